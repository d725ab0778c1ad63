"""Points -> jobs: one job while the limits allow it, else as few as they allow, of even sizes.

A chunk is a run of consecutive executions, all points of the first basis first. Which points go together is a function
of their number and the limits alone, so that an interrupted step is cut the same way when it is taken up again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from qiskit import QuantumCircuit

from qcompile.cost import execution_cost
from qcompile.device import Device
from qtrain.chip.circuits import NativeCircuit
from qtrain.errors import ConfigError

MAX_EXECUTIONS = 5_000_000  # of a job: circuits after broadcasting x shots
MAX_INSTRUCTIONS = 32_000_000  # control instructions of a qubit and job
MAX_BYTES = 48 * 2**20  # of parameter values, where 64 MB is the limit of a whole request
MAX_SECONDS = 2.5 * 3600  # of QPU time, where 3 h is the limit of a job

_INSTRUCTIONS = {"rz": 1, "p": 1, "measure": 10, "reset": 17, "barrier": 0, "delay": 1}
_INITIALIZATION = 50


@dataclass(frozen=True)
class Chunk:
    """What one job runs.

    Attributes:
        parts: (basis, first point, last point + 1).
        units: hashes of its executions, in the order of `parts`.
        shots: of each circuit.
        predicted: QPU seconds by the vendor's formula.
    """

    parts: tuple[tuple[int, int, int], ...]
    units: tuple[str, ...]
    shots: int
    predicted: float

    @property
    def circuits(self) -> int:
        """Bound circuits."""
        return len(self.units)

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        return len(self.units) * self.shots

    @property
    def content(self) -> str:
        """Hash of what it is, whenever and however often it is sent."""
        return hashlib.sha256("".join(self.units).encode()).hexdigest()


def control_instructions(circuit: QuantumCircuit) -> int:
    """Of the busiest qubit, as the service counts: rz 1, other one-qubit gates 2, two-qubit ones 5, measure 10."""
    counts: dict[int, int] = {}
    for instruction in circuit.data:
        width = len(instruction.qubits)
        weight = _INSTRUCTIONS.get(instruction.operation.name, 2 if width == 1 else 5)
        for qubit in instruction.qubits:
            index = circuit.find_bit(qubit).index
            counts[index] = counts.get(index, _INITIALIZATION) + weight
    return max(counts.values(), default=0)


def capacity(natives: Sequence[NativeCircuit], device: Device, shots: int, durations: Sequence[float]) -> int:
    """Circuits that one job may hold. Raises: ConfigError: not even one."""
    limits = {
        "executions a job": (device.limits.max_executions_per_job or MAX_EXECUTIONS) // shots,
        "control instructions a qubit": MAX_INSTRUCTIONS // max(1, *(control_instructions(n.circuit) for n in natives)),
        "bytes a request": MAX_BYTES // (8 * max(1, *(len(n.constant) for n in natives))),
        "QPU seconds a job": int(MAX_SECONDS / max(1e-9, _seconds(device, max(durations), shots, 1000) / 1000)),
    }
    name, least = min(limits.items(), key=lambda item: item[1])
    if least < 1:
        raise ConfigError(f"shots = {shots}: one circuit alone passes the limit of {name}. Use fewer shots.")
    return least


def split(
    units: Sequence[Sequence[str]],
    natives: Sequence[NativeCircuit],
    device: Device,
    shots: int,
    durations: Sequence[float],
) -> list[Chunk]:
    """The jobs of some executions.

    Args:
        units: [basis][point] hashes.
        natives: of each basis.
        durations: of each basis's circuit, s.
    Raises: ConfigError: one circuit alone passes a limit.
    """
    total = sum(len(points) for points in units)
    if total == 0:
        return []
    pieces = -(-total // capacity(natives, device, shots, durations))
    mean = float(np.mean(durations))
    bounds = [total * i // pieces for i in range(pieces + 1)]
    return [_chunk(units, range(a, b), shots, device, mean) for a, b in pairwise(bounds)]


def halves(chunk: Chunk, device: Device, duration: float) -> list[Chunk]:
    """A job that took too long, as two. Raises: ConfigError: it is a single circuit already."""
    if chunk.circuits == 1:
        raise ConfigError(
            f"one circuit of {chunk.shots} shots passes the time limit of a job. Use fewer shots, or a longer limit."
        )
    middle = chunk.circuits // 2
    made = []
    for first, last in ((0, middle), (middle, chunk.circuits)):
        seconds = _seconds(device, duration, chunk.shots, last - first)
        made.append(Chunk(tuple(_cut(chunk.parts, first, last)), chunk.units[first:last], chunk.shots, seconds))
    return made


def _chunk(units: Sequence[Sequence[str]], places: range, shots: int, device: Device, duration: float) -> Chunk:
    every = [(basis, 0, len(points)) for basis, points in enumerate(units)]
    hashes = [u for points in units for u in points][places.start : places.stop]
    parts = tuple(_cut(every, places.start, places.stop))
    return Chunk(parts, tuple(hashes), shots, _seconds(device, duration, shots, len(hashes)))


def _cut(parts: Sequence[tuple[int, int, int]], first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """The part of consecutive executions from `first` to before `last`."""
    begin = 0
    for basis, start, stop in parts:
        a, b = max(first, begin), min(last, begin + stop - start)
        if a < b:
            yield basis, start + a - begin, start + b - begin
        begin += stop - start


def _seconds(device: Device, duration: float, shots: int, circuits: int) -> float:
    return execution_cost(device, duration, shots=shots, circuits=circuits).qpu_seconds
