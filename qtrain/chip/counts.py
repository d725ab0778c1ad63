"""Any backend's results, in the form that BackendSamplerV2 reads them in.

BackendSamplerV2 asks for each single shot ("memory"), as a hexadecimal number. Where a backend returns none, it takes
every bit for 0 without a word; where one returns strings of bits, as vendors' packages do, it reads those as
hexadecimal. So backends are asked for counts, which all of them return, and only what is certain is passed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2, Options
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData
from qiskit.transpiler import Target

from qtrain.errors import ExecutorError


class CountingBackend(BackendV2):
    """A backend that is asked for counts, and answers shot by shot, in the order of their outcomes.

    Args:
        backend: the one that runs the circuits.
        options: passed on to its `run`.
    """

    def __init__(self, backend: BackendV2, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name=str(backend.name))
        self._counted, self._passed_on = backend, dict(options or {})

    @property
    def target(self) -> Target:
        """The backend's own."""
        return self._counted.target

    @property
    def max_circuits(self) -> int | None:
        """Of one call."""
        most: int | None = self._counted.max_circuits
        return most

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(
        self,
        run_input: Sequence[QuantumCircuit],
        *,
        shots: int,
        memory: bool = False,
        seed_simulator: int | None = None,
    ) -> CountingJob:
        """Begins to run. An option that is not set is not passed on: some packages warn of it, some fail."""
        del memory
        seed = {} if seed_simulator is None else {"seed_simulator": seed_simulator}
        job = self._counted.run(list(run_input), shots=shots, **seed, **self._passed_on)
        return CountingJob(job, [circuit.num_clbits for circuit in run_input], shots)


class CountingJob:
    """A backend's own job, and the classical bits of each of its circuits."""

    def __init__(self, job: Any, widths: Sequence[int], shots: int) -> None:
        self._job, self._widths, self._shots = job, widths, shots

    def result(self) -> Result:
        """Waits for it. Raises: ExecutorError: it holds anything but the counts of every circuit, or other shots."""
        result = self._job.result()
        found = getattr(result, "results", None) or []
        if len(found) != len(self._widths):
            raise ExecutorError(f"the result holds {len(found)} circuits. Expected {len(self._widths)}.")
        entries = []
        for number, (entry, width) in enumerate(zip(found, self._widths)):
            memory = _memory(entry, width, f"circuit {number} of the result")
            if len(memory) != self._shots:
                raise ExecutorError(
                    f"circuit {number} of the result has {len(memory)} shots. Expected the {self._shots} asked for."
                )
            entries.append(ExperimentResult(self._shots, True, ExperimentResultData(memory=memory)))
        return Result(results=entries)


def _memory(entry: Any, width: int, place: str) -> list[str]:
    """Each shot as a hexadecimal number."""
    counts = getattr(getattr(entry, "data", None), "counts", None)
    if not isinstance(counts, Mapping) or not counts:
        status = getattr(entry, "status", "")
        raise ExecutorError(f"{place} holds no counts{f' ({status})' if status else ''}. Expected outcomes.")
    memory: list[str] = []
    for outcome, number in sorted(counts.items()):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise ExecutorError(f"{place}: outcome {outcome!r} came {number!r} times. Expected a whole number.")
        memory += [hex(_outcome(str(outcome), width, place))] * int(number)
    return memory


def _outcome(text: str, width: int, place: str) -> int:
    """An outcome as a number, from Qiskit's hexadecimal form or from one character a bit, the last bit first."""
    bits = text.replace(" ", "")
    try:
        value = int(bits, 16) if bits.startswith("0x") else -1
        if len(bits) == width and set(bits) <= {"0", "1"}:
            value = int(bits, 2)
    except ValueError:
        value = -1
    if not 0 <= value < 2**width:
        raise ExecutorError(f"{place}: outcome {text!r}. Expected {width} bits, or a hexadecimal number of as many.")
    return value
