"""When each instruction starts, as late as possible, and where qubits wait.

Real hardware aligns the measurements at the end and starts everything else as late as it can (ALAP): a qubit then
stays in |0>, where nothing decays, until it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, ParameterExpression

from qcompile.device import Device
from qcompile.errors import CircuitError

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "ps": 1e-12}
_RESOLUTION = 1e-15  # s; gaps below it are rounding of sums, not waiting


class IdleWindow(NamedTuple):
    """A qubit that waits with something in it: between two of its instructions, or after its last. Times in s."""

    qubit: int
    start: float
    duration: float
    after: int
    """Index of the instruction that it waits behind."""


@dataclass(frozen=True)
class Schedule:
    """ALAP schedule of a circuit on a device.

    Attributes:
        start: of each instruction of `circuit.data`, s from the beginning.
        durations: of each instruction, s.
        duration: of the whole circuit, measurements included, s.
        idle: windows in which an active qubit waits after its first instruction; explicit delays are not in it.
    """

    start: tuple[float, ...]
    durations: tuple[float, ...]
    duration: float
    idle: tuple[IdleWindow, ...]


def instruction_durations(circuit: QuantumCircuit, device: Device) -> list[float]:
    """Duration of each instruction on the device, s: calibrated gates, delays in any unit, barriers 0.

    Raises: CircuitError: a delay whose duration is symbolic, negative, or in dt where the device states no dt.
    """
    durations = []
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    for index, instruction in enumerate(circuit.data):
        name = instruction.operation.name
        if name == "barrier":
            durations.append(0.0)
        elif name == "delay":
            durations.append(delay_seconds(instruction.operation, device, f"instruction {index}"))
        else:
            durations.append(device.duration(name, tuple(index_of[q] for q in instruction.qubits)))
    return durations


def delay_seconds(delay: object, device: Device, place: str) -> float:
    """Length of a Delay instruction, s.

    Raises: CircuitError: symbolic, negative or infinite, or in dt where the device states no dt.
    """
    value, unit = delay.duration, delay.unit  # type: ignore[attr-defined]  # qiskit's Delay is untyped
    if isinstance(value, ParameterExpression):
        if value.parameters:
            raise CircuitError(f"{place}: delay({value}) is symbolic. Expected a number; bind it before compiling.")
        value = float(value)
    if unit == "dt":
        if device.timing.dt is None:
            raise CircuitError(
                f"{place}: delay of {value} dt, but {device.name} states no dt. Give the delay in s, us or ns."
            )
        scale = device.timing.dt
    elif unit in _UNITS:
        scale = _UNITS[unit]
    else:
        raise CircuitError(f"{place}: delay unit {unit!r} is not known. Expected dt, s, ms, us, ns or ps.")
    seconds = float(value) * scale
    if not (math.isfinite(seconds) and seconds >= 0):
        raise CircuitError(f"{place}: delay({value} {unit}) is not a waiting time. Expected a finite one, 0 or more.")
    return seconds


def with_delays_in_seconds(circuit: QuantumCircuit, device: Device) -> QuantumCircuit:
    """The circuit with every delay in seconds, whatever its unit: Qiskit's passes refuse a mixture.

    Raises: CircuitError: a delay that is no waiting time.
    """
    if not any(i.operation.name == "delay" for i in circuit.data):
        return circuit
    converted = circuit.copy_empty_like()
    for index, instruction in enumerate(circuit.data):
        if instruction.operation.name == "delay":
            seconds = delay_seconds(instruction.operation, device, f"{circuit.name}: instruction {index}")
            converted.append(Delay(seconds, "s"), instruction.qubits)
        else:
            converted.append(instruction)
    return converted


class Held(NamedTuple):
    """Which qubits each instruction holds, packed: instruction i holds qubits[offsets[i]:offsets[i + 1]].

    Attributes:
        barrier, measure: [instruction] whether it is one.
    """

    offsets: NDArray[np.int64]
    qubits: NDArray[np.int64]
    barrier: NDArray[np.bool_]
    measure: NDArray[np.bool_]

    @classmethod
    def of(cls, qubits: Sequence[Sequence[int]], names: Sequence[str]) -> Held:
        """Packs one sequence of qubits, and one name, an instruction."""
        offsets = np.zeros(len(qubits) + 1, np.int64)
        np.cumsum(np.array([len(held) for held in qubits], np.int64), out=offsets[1:])
        flat = np.array(list(chain.from_iterable(qubits)), np.int64)
        barrier = np.array([name == "barrier" for name in names], np.bool_)
        return cls(offsets, flat, barrier, np.array([name == "measure" for name in names], np.bool_))

    @property
    def width(self) -> int:
        """One more than the highest qubit."""
        return int(self.qubits.max(initial=-1)) + 1


class Windows(NamedTuple):
    """Idle windows as arrays, sorted by the instruction that they follow, then by qubit; times in s."""

    qubit: NDArray[np.int64]
    start: NDArray[np.float64]
    duration: NDArray[np.float64]
    after: NDArray[np.int64]


def start_times(held: Held, durations: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Start of each instruction, as late as possible, and the total duration; s."""
    ends, free = _as_late_as_possible(held.offsets, held.qubits, durations, held.width)
    total = float(free.max(initial=0.0))
    return np.maximum(total - ends - durations, 0.0), total


def find_windows(held: Held, durations: NDArray[np.float64], start: NDArray[np.float64], total: float) -> Windows:
    """Gaps behind each qubit's instructions.

    No window opens before a qubit's first instruction, nor behind a final measurement; barriers hold nothing.
    """
    found = _windows(held.offsets, held.qubits, durations, start, total, held.barrier, held.measure, held.width)
    order = np.lexsort((found[0], found[3]))
    return Windows(*(column[order] for column in found))


def depth(held: Held) -> int:
    """Longest chain of instructions that share qubits; barriers do not count."""
    counts = (~held.barrier).astype(np.float64)
    return int(_as_late_as_possible(held.offsets, held.qubits, counts, held.width)[1].max(initial=0.0))


@numba.njit(cache=True, nogil=True)
def _as_late_as_possible(offsets, qubits, durations, width):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Time from the end of each instruction to the end of the circuit, and the time that each qubit takes."""
    free = np.zeros(width)
    ends = np.zeros(len(durations))
    for i in range(len(durations) - 1, -1, -1):
        at = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            at = max(at, free[qubits[k]])
        for k in range(offsets[i], offsets[i + 1]):
            free[qubits[k]] = at + durations[i]
        ends[i] = at
    return ends, free


@numba.njit(cache=True, nogil=True)
def _windows(  # type: ignore[no-untyped-def]
    offsets, qubits, durations, start, total, barrier, measure, width
):  # pragma: no cover - compiled
    room = len(qubits) + width
    qubit, after = np.empty(room, np.int64), np.empty(room, np.int64)
    begin, length = np.empty(room), np.empty(room)
    last = np.full(width, -1)
    count = 0
    for i in range(len(durations)):
        if barrier[i]:
            continue
        for k in range(offsets[i], offsets[i + 1]):
            q = qubits[k]
            before = last[q]
            if before >= 0:
                end = start[before] + durations[before]
                if start[i] - end > _RESOLUTION:
                    qubit[count], begin[count], length[count], after[count] = q, end, start[i] - end, before
                    count += 1
            last[q] = i
    for q in range(width):
        before = last[q]
        if before >= 0 and not measure[before]:
            end = start[before] + durations[before]
            if total - end > _RESOLUTION:
                qubit[count], begin[count], length[count], after[count] = q, end, total - end, before
                count += 1
    return qubit[:count], begin[:count], length[:count], after[:count]


def schedule(circuit: QuantumCircuit, device: Device) -> Schedule:
    """ALAP schedule of a circuit on physical qubits with the device's calibrated durations.

    Raises: CircuitError: a delay that is no waiting time.
    """
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    qubits = [[index_of[q] for q in instruction.qubits] for instruction in circuit.data]
    names = [instruction.operation.name for instruction in circuit.data]
    durations = instruction_durations(circuit, device)
    held, lengths = Held.of(qubits, names), np.array(durations, dtype=np.float64)
    start, total = start_times(held, lengths)
    windows = find_windows(held, lengths, start, total)
    idle = tuple(IdleWindow(*row) for row in zip(*(column.tolist() for column in windows)))
    return Schedule(tuple(start.tolist()), tuple(durations), total, idle)


def pad(circuit: QuantumCircuit, device: Device) -> QuantumCircuit:
    """The same circuit with every idle window filled by an explicit Delay in seconds, for simulation.

    Delays before a qubit's first instruction are left out: it is in |0>, where nothing decays.
    """
    timing = schedule(circuit, device)
    behind: dict[int, list[IdleWindow]] = {}
    for window in timing.idle:
        behind.setdefault(window.after, []).append(window)
    padded = circuit.copy_empty_like()
    for i, instruction in enumerate(circuit.data):
        padded.append(instruction)
        for window in behind.get(i, ()):
            padded.delay(window.duration, window.qubit, unit="s")
    return padded
