"""When each instruction starts, as late as possible, and where qubits wait.

Real hardware aligns the measurements at the end and starts everything else as late as it can (ALAP): a qubit then
stays in |0>, where nothing decays, until it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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

    Raises: CircuitError: symbolic or negative, or in dt where the device states no dt.
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
    if not value >= 0:
        raise CircuitError(f"{place}: delay({value} {unit}) is not a waiting time. Expected 0 or more.")
    return float(value) * scale


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


def as_late_as_possible(qubits: Sequence[Sequence[int]], durations: Sequence[float]) -> tuple[list[float], float]:
    """Start times of instructions given in order by the qubits they hold, and the total duration; s."""
    free: dict[int, float] = {}
    ends = [0.0] * len(durations)
    for i in range(len(durations) - 1, -1, -1):
        held = qubits[i]
        at = 0.0
        for q in held:
            t = free.get(q, 0.0)
            at = max(at, t)
        for q in held:
            free[q] = at + durations[i]
        ends[i] = at
    total = max(free.values(), default=0.0)
    return [max(total - end - d, 0.0) for end, d in zip(ends, durations)], total


def idle_windows(
    qubits: Sequence[Sequence[int]],
    durations: Sequence[float],
    start: Sequence[float],
    total: float,
    names: Sequence[str],
) -> list[IdleWindow]:
    """Gaps behind each qubit's instructions, in the order of the instruction that they follow.

    No window opens before a qubit's first instruction, nor behind a final measurement; barriers hold nothing.
    """
    windows: list[IdleWindow] = []
    last: dict[int, int] = {}
    for i, held in enumerate(qubits):
        if names[i] == "barrier":
            continue
        for q in held:
            before = last.get(q)
            if before is not None:
                end = start[before] + durations[before]
                if start[i] - end > _RESOLUTION:
                    windows.append(IdleWindow(q, end, start[i] - end, before))
            last[q] = i
    for q, before in last.items():
        end = start[before] + durations[before]
        if names[before] != "measure" and total - end > _RESOLUTION:
            windows.append(IdleWindow(q, end, total - end, before))
    windows.sort(key=lambda w: (w.after, w.qubit))
    return windows


def schedule(circuit: QuantumCircuit, device: Device) -> Schedule:
    """ALAP schedule of a circuit on physical qubits with the device's calibrated durations.

    Raises: CircuitError: a delay that is no waiting time.
    """
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    qubits = [[index_of[q] for q in instruction.qubits] for instruction in circuit.data]
    names = [instruction.operation.name for instruction in circuit.data]
    durations = instruction_durations(circuit, device)
    start, total = as_late_as_possible(qubits, durations)
    return Schedule(tuple(start), tuple(durations), total, tuple(idle_windows(qubits, durations, start, total, names)))


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
