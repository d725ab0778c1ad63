"""Replay: results recorded once, given again as often as wanted, from memory or from a file.

A result is known by what defines it: program, angles, slots, shifts, key, and the executor's shots and seed. The bill
of each call is recorded with it, so a replayed training shows the ledger of the recorded one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qtrain.errors import ConfigError, ExecutorError
from qtrain.executors.base import Array, Executor, Key, Slots, checked_key, checked_program, checked_shifts
from qtrain.ledger import Ledger

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qcompile.device import Device
    from qtrain.program import Program

_BILL = "bill-"  # prefix of the arrays that hold what a call cost


class Replay:
    """Wraps an executor: runs and records each new call, and answers a known one from the record.

    Args:
        executor: prepares programs, and runs what is not in the record.
        path: an .npz file of `save` to start from; then nothing runs, a call that is not in it is an error.
    Raises: ConfigError: the file cannot be read or is no record.
    """

    def __init__(self, executor: Executor, path: str | os.PathLike[str] | None = None) -> None:
        self.executor = executor
        self.ledger = Ledger()
        self.recording = path is None
        self._results: dict[str, tuple[Array, Ledger]] = {} if path is None else _read(Path(path))

    def __repr__(self) -> str:
        return f"Replay({self.executor!r}, {len(self)} results, recording={self.recording})"

    def __len__(self) -> int:
        return len(self._results)

    @property
    def shots(self) -> int | None:
        """Of the wrapped executor: what a bill and a budget count."""
        shots: int | None = getattr(self.executor, "shots", None)
        return shots

    @property
    def seed(self) -> int | None:
        """Of the wrapped executor."""
        seed: int | None = getattr(self.executor, "seed", None)
        return seed

    @property
    def device(self) -> Device | None:
        """Of the wrapped executor."""
        device: Device | None = getattr(self.executor, "device", None)
        return device

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """As the wrapped executor prepares it."""
        return self.executor.prepare(circuit, observables, features=features, weights=weights)

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable]. Raises: ExecutorError: not in the record, and nothing may run."""
        checked = checked_program(program).checked_angles(angles)
        name = self._name(program, "expectations", checked, checked_key(key))
        return self._result(name, lambda: self.executor.expectations(program, checked, key=key))

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]. Raises: ExecutorError: not in the record, and nothing may run."""
        checked = checked_program(program).checked_angles(angles)
        indices, moves = checked_shifts(program, slots, shifts)
        name = self._name(program, "shifted", checked, checked_key(key), indices.astype(np.int64), moves)
        return self._result(name, lambda: self.executor.shifted_expectations(program, checked, indices, moves, key=key))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the record as an .npz file, whole or not at all: plain arrays, no pickle."""
        arrays: dict[str, Array] = {}
        for name, (values, cost) in self._results.items():
            arrays[name] = values
            arrays[_BILL + name] = np.array([cost.circuits, cost.shots, cost.qpu_seconds, cost.jobs], dtype=np.float64)
        target = Path(path)
        part = target.with_name(target.name + ".part")
        try:
            with part.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()

    def _name(self, program: Program, method: str, angles: Array, key: Key, *more: Array) -> str:
        digest = hashlib.sha256(f"{program.sha256} {method} {key} {self.shots} {self.seed} {angles.shape};".encode())
        digest.update(angles.tobytes())
        for array in more:
            digest.update(f"{array.shape};".encode() + array.tobytes())
        return digest.hexdigest()

    def _result(self, name: str, run: Callable[[], Array]) -> Array:
        known = self._results.get(name)
        if known is None:
            if not self.recording:
                raise ExecutorError(
                    f"result {name[:12]} is not among the {len(self)} recorded ones. Expected the program, angles, "
                    "slots, shifts and key of the recorded training; record it anew with Replay(executor)."
                )
            before = self.executor.ledger
            values = run()
            known = self._results[name] = values.copy(), self.executor.ledger - before
        values, cost = known
        self.ledger += cost
        return values.copy()


def _read(path: Path) -> dict[str, tuple[Array, Ledger]]:
    try:
        # opened here, since numpy leaves a file open that turns out to be no archive
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        results = {}
        for name, values in arrays.items():
            if not name.startswith(_BILL):
                circuits, shots, seconds, jobs = arrays[_BILL + name].tolist()
                results[name] = values, Ledger(int(circuits), int(shots), seconds, int(jobs))
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ConfigError(
            f"{path}: cannot be read as recorded results ({error}). Expected an .npz file of Replay.save."
        ) from error
    return results
