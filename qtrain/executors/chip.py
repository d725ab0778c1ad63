"""ChipExecutor: expectations from a real chip, or from any Qiskit backend, every point paid for once."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from qcompile.calibration import device_to_json
from qtrain.chip.budget import check_budget
from qtrain.chip.circuits import NativeCircuit, native_circuit
from qtrain.chip.credentials import refuse_credentials
from qtrain.chip.faults import Patience, Say, answered
from qtrain.chip.means import readings
from qtrain.chip.patient import PatientService
from qtrain.chip.points import Asked, Points, asked, is_evaluation, step_of
from qtrain.chip.preflight import PlannedJob, check_health, check_quota, preflight
from qtrain.chip.primitives import backend_by_name, service_of
from qtrain.chip.sampler_options import check_options
from qtrain.chip.spending import Spending
from qtrain.chip.split import Chunk, capacity, halves, split
from qtrain.chip.submission import Submission, Work
from qtrain.chip.types import Options, Pub
from qtrain.chip.watch import CalibrationWatch
from qtrain.errors import ConfigError, FailedJobError, MovedError, PreflightError
from qtrain.executors.base import (
    Array,
    Key,
    Slots,
    checked_key,
    checked_seed,
    checked_shifts,
    checked_shots,
    shifted_points,
)
from qtrain.jobs import JobLedger
from qtrain.ledger import Ledger
from qtrain.noise import lower_for_device
from qtrain.program import Program
from qtrain.run import JOBS_FILE

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qcompile.device import Device

CHARGES_ASKED = 10  # jobs whose charge is asked for at once


class ChipExecutor:
    """Runs programs on a backend: qiskit-ibm-runtime's, or any Qiskit `BackendV2` through `BackendSamplerV2`.

    All points of a request are one job while the service's limits allow it; in a training, those of a step's forward
    pass and of its gradient together. Each job is in a ledger before it is sent and its results are when they come, so
    that a process may end at any time, and nothing is paid for twice: `open` binds that ledger to a run directory.

    The same point asked for again with the same key is answered from the ledger; with another key it is a new sample.

    Args:
        backend: a BackendV2, e.g. QiskitRuntimeService().backend("ibm_fez"), or AerSimulator().
        shots: executions of each circuit. What the service really grants is what a mean is over.
        seed: of the compiler's choices; and of the draws where the backend simulates.
        effort: of the compiler: "fast", "normal" or "best".
        budget: what a run may spend in all: QPU seconds (60, "2 min") or money ("25 USD"). On a paid backend, this or
            `accept_seconds` must be given.
        accept_seconds: QPU seconds that you agree to pay for, in place of a budget.
        mode: "batch", "job", or "session" where the plan has it: its clock is billed, the budget counts jobs alone.
        options: passed on to the service's sampler, e.g. {"dynamical_decoupling": {"enable": True}, "twirling": {...}};
            of another vendor's backend, to its `run`.
        mitigate_readout: undo each qubit's calibrated misreading in the means; the variance grows by up to the inverse
            square of what is left of a string's contrast.
        patience: how long to wait for what.
        say: takes (kind, text) of what the user should know, instead of a line on standard error.

    Attributes:
        device: the calibration that circuits are compiled for, as of the last `refresh`.
        reached_by: arguments of `from_name` that lead to the same backend; a name of None: none do.
        jobs: the JobLedger.
        ledger: what was asked for, by the vendor's formula; what was charged is in `jobs.spent()`.

    Raises: ConfigError: an argument out of its range, or no cap on a paid backend. MissingExtraError.
    """

    def __init__(
        self,
        backend: Any,
        shots: int = 1024,
        seed: int = 0,
        effort: str = "normal",
        *,
        budget: Any = None,
        accept_seconds: float | None = None,
        mode: str = "batch",
        options: Options | None = None,
        mitigate_readout: bool = False,
        patience: Patience | None = None,
        say: Say | None = None,
    ) -> None:
        refuse_credentials(dict(options or {}), "options")
        self.patience = patience or Patience()
        self._say_aloud = say or _say_on_stderr
        self.jobs = JobLedger(None)
        self.service = PatientService(service_of(backend, mode, options), self.patience, self._say)
        self.backend = self.service.name
        # another vendor's backend, or a simulator, is an object that no name leads to
        self.reached_by: dict[str, str | None] = {"name": self.backend if self.service.finds_jobs else None}
        self.mode = mode
        self.options = json.loads(json.dumps(dict(options or {})))  # plain values, which a run directory can hold
        self._watch = CalibrationWatch(self.service, self._say)
        self.device = self._watch.newest
        if shots is None:
            raise ConfigError("shots = None: a chip always takes shots. Expected a whole number, 1 or more.")
        self.shots = checked_shots(shots, self.device) or 0
        check_options(self.options, self.shots, self.device)
        self.seed = checked_seed(seed)
        self.effort = effort
        if not isinstance(mitigate_readout, bool):
            raise ConfigError(f"mitigate_readout = {mitigate_readout!r}. Expected True or False.")
        self.mitigate_readout = mitigate_readout
        self.budget = check_budget(self.service, budget, accept_seconds, device=self.device)
        self.ledger = Ledger()
        self._natives: WeakKeyDictionary[Program, tuple[NativeCircuit, ...]] = WeakKeyDictionary()
        self._ready: dict[str, Array] = {}  # results of a step's prefetched passes: each counts once in the ledger
        self._ready_step = -1

    @classmethod
    def from_name(cls, name: str, *, instance: str | None = None, **arguments: Any) -> ChipExecutor:
        """On a backend by its name: "aer", "fake_manila", or one of the IBM account (QISKIT_IBM_TOKEN, or saved)."""
        made = cls(backend_by_name(name, instance), **arguments)
        made.reached_by = {"name": name, "instance": instance}
        return made

    def __repr__(self) -> str:
        return f"ChipExecutor({self.backend!r}, shots={self.shots}, seed={self.seed}, mode={self.mode!r})"

    def open(self, run_dir: str | Path | None) -> None:
        """Binds the ledger of a run directory; None: one in memory, which ends with the process."""
        self.jobs.close()
        self.jobs = JobLedger(None if run_dir is None else Path(run_dir) / JOBS_FILE)
        self._ready.clear()

    def close(self) -> None:
        """No more jobs will come; those at the service run on."""
        try:
            self._learn_charges()
        finally:
            answered(self.service.close, self.patience.answer)

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """Compiles for the backend's calibration, as of the last `refresh`.

        Raises: ModelError, CircuitError, UnroutableError. ExecutorError: a slot that native gates cannot shift.
        """
        program = lower_for_device(
            circuit,
            observables,
            self.device,
            seed=self.seed,
            effort=self.effort,
            features=features,
            weights=weights,
        )
        self._native(program)
        return program

    def refresh(self, program: Program, step: int | None = None) -> str | None:
        """Looks at the calibration as it is now; what has changed, in words, if the program must be compiled anew.

        A loop of your own calls it before every step, as `qtrain.train` does, and `layer.recompile()` if it says so.

        Args:
            step: about to be done. If its jobs are there already, sent before an interruption, it is finished on
                the calibration that they were compiled for: nothing of it is paid for again.
        """
        text = self._watch.look(program, step, self.jobs)
        self.device = self._watch.chosen
        return text

    def preflight(self, program: Program, most: Ledger) -> None:
        """Before a step that spends at most so much. Raises: PreflightError: not now. BudgetError: not any more."""
        check_health(self.service)
        check_quota(self.service, most.qpu_seconds)
        self._learn_charges()
        self._allow(program, most.qpu_seconds, most.shots)

    def capacity(self, program: Program) -> int | None:
        """Circuits of that program that one job may hold; None where nothing of it is measured.

        Raises: ConfigError: one circuit alone is more than a job may hold.
        """
        if program.device is None or not program.num_bases:
            return None
        return capacity(self._native(program), program.device, self.shots, program.durations)

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable] means over the shots.

        Raises: ConfigError: angles, key or program of the wrong kind. PreflightError, BudgetError, JobError.
        """
        (values,) = self._evaluated(program, [(self._checked(program, angles), checked_key(key))])
        return values

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: every shift is a circuit of its own, all of them in one job.

        Raises: as `expectations`.
        """
        checked = self._checked(program, angles)
        indices, moves = checked_shifts(program, slots, shifts)
        points = shifted_points(checked, indices, moves)
        (values,) = self._evaluated(program, [(points.reshape(-1, program.num_slots), checked_key(key))])
        return values.reshape(*points.shape[:3], program.num_observables)

    def prefetch(self, program: Program, requests: Sequence[Points]) -> None:
        """Runs what several calls are about to ask for as one job; each of them is then answered at once, unbilled.

        Raises: as `expectations`.
        """
        found, step = self._asked(program, requests), step_of(requests)
        if step != self._ready_step:
            self._ready.clear()
        self._run(program, found, requests)
        ready = [unit for request in found for unit in request.flat]
        self._ready |= {unit: values for unit, (_, values) in self.jobs.known(ready).items()}
        self._ready_step = step

    def _evaluated(self, program: Program, requests: Sequence[Points]) -> list[Array]:
        found = self._asked(program, requests)
        wanted = [unit for request in found for unit in request.flat]
        known = self._ready
        if not all(unit in known for unit in wanted):
            self._run(program, found, requests)
            known = {unit: values for unit, (_, values) in self.jobs.known(wanted).items()}
        return [self._combined(program, request, known) for request in found]

    def _asked(self, program: Program, requests: Sequence[Points]) -> list[Asked]:
        settings = f"{program.sha256} {self.backend} {json.dumps(self.options, sort_keys=True)} {self.shots}"
        return asked(f"{settings} {self.seed} {self.mitigate_readout}", program.num_bases, requests)

    def _run(self, program: Program, found: Sequence[Asked], requests: Sequence[Points]) -> None:
        """Sees to it that the ledger holds all of it, and adds the bill, paid for now or before."""
        step = step_of(requests)
        device, natives, bases = program.device, self._native(program), program.measurement.bases
        assert device is not None
        angles = np.concatenate([request.angles for request in found])
        units = [[u for request in found for u in request.units[basis]] for basis in range(len(bases))]
        if not len(angles) or not bases:
            return
        chunks = split(units, natives, device, self.shots, program.durations)
        halve = partial(halves, device=device, duration=float(np.mean(program.durations)))
        values = [native.values(angles) for native in natives]

        def pubs(chunk: Chunk) -> list[Pub]:
            return [Pub(natives[b].circuit, values[b][i:j]) for b, i, j in chunk.parts]

        count = sum(c.circuits for c in chunks)
        total = Ledger(count, count * self.shots, math.fsum(c.predicted for c in chunks), len(chunks))
        known = self.jobs.known([u for points in units for u in points])
        under_way = {job.content for job in self.jobs.open_jobs()}
        submission = Submission(self.service, self.jobs, self.patience, self._say)
        chunks = submission.parts(chunks, halve)
        new = [c for c in chunks if c.content not in under_way and not known.keys() >= set(c.units)]
        if new:
            planned = [PlannedJob(c.executions, _bytes(pubs(c)), c.predicted) for c in new]
            try:
                circuits = [n.circuit for n in natives]
                preflight(self.service, self._watch.newest, circuits, values, self.shots, planned, self.mode)
            except PreflightError as error:
                if self._watch.is_newest(device):
                    raise
                raise self._moved(step, device, error) from None
            self._allow(program, math.fsum(c.predicted for c in new), sum(c.executions for c in new))
        spending = Spending(self.budget, self.shots)
        work = Work(
            step=step,
            evaluation=is_evaluation(requests),
            backend=self.backend,
            calibration=device.sha256,
            chunks=chunks,
            pubs=pubs,
            readings=lambda basis: readings(program, bases[basis], mitigated=self.mitigate_readout),
            halves=halve,
            allowed=lambda chunk: self._allow(program, chunk.predicted, chunk.executions),
            limit=lambda: spending.limit(self.jobs, self.device, program),
        )
        self.jobs.keep_calibration(device.sha256, device_to_json(device))
        try:
            submission.run(work)
        except FailedJobError as error:
            if self._watch.is_newest(device, ask=True):
                raise
            raise self._moved(step, device, error) from None
        self.ledger += total

    def _moved(self, step: int, device: Device, error: Exception) -> MovedError:
        moved = self._watch.moved(step, device, self.jobs, str(error))
        self.device = self._watch.chosen
        return moved

    def _allow(self, program: Program, seconds: float, executions: int) -> None:
        """Raises: BudgetError: so many QPU seconds and executions more would pass the budget."""
        Spending(self.budget, self.shots).allow(self.jobs, self.device, program, seconds, executions)

    def _learn_charges(self) -> None:
        """What ended jobs came to, as far as the service says it by now: a charge is final some time after the end."""
        for tag, job_id in self.jobs.uncharged()[-CHARGES_ASKED:]:
            try:
                charged = answered(partial(self.service.charged, job_id), self.patience.answer)
            except Exception:  # of the vendor's client; the prediction counts until it answers
                return
            if charged is not None:
                self.jobs.charged(tag, charged, job_id=job_id)

    def _combined(self, program: Program, asked: Asked, known: dict[str, Array]) -> Array:
        """[point, observable] from the means of each basis's strings."""
        strings = np.empty((len(asked.angles), len(program.measurement.strings)))
        for basis, units in zip(program.measurement.bases, asked.units):
            means = np.array([known[unit] for unit in units]).reshape(len(units), len(basis.terms))
            strings[:, basis.terms] = means
        return program.measurement.combine(strings)

    def _native(self, program: Program) -> tuple[NativeCircuit, ...]:
        if program not in self._natives:
            self._natives[program] = tuple(native_circuit(program, b) for b in program.measurement.bases)
        return self._natives[program]

    def _checked(self, program: Any, angles: Any) -> Array:
        if not isinstance(program, Program) or program.compiled is None or program.device is None:
            raise ConfigError(
                f"the program was not made for {self.backend}. "
                "Expected one from this executor's prepare(circuit, observables)."
            )
        return program.checked_angles(angles)

    def _say(self, kind: str, text: str) -> None:
        self.jobs.event(kind, text)
        self._say_aloud(kind, text)


def _bytes(pubs: Sequence[Pub]) -> int:
    """Of the values that a job carries; a circuit is a few kilobytes."""
    return sum(pub.values.nbytes + 8 * 1024 for pub in pubs)


def _say_on_stderr(kind: str, text: str) -> None:
    print(f"qtrain: {kind}: {text}", file=sys.stderr, flush=True)
