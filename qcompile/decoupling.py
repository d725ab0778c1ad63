"""Dynamical decoupling: pi pulses in idle windows, whose product is the identity.

A qubit that waits picks up a phase from whatever changes slowly: its own drift, neighbours that it is coupled to.
Pulses that turn it over let the second half of the wait undo the first: X-X (Viola, Lloyd 1998) for phases, X-Y-X-Y
(Maudsley 1986, "XY4") also for errors of the pulses themselves.

What a calibration says of waiting is T1 and T2, and the published T2 is that of a Hahn echo: the slow part is already
refocused in it, and how much of it there was (T2*, crosstalk) is not published. In that model pulses win back no
phase. They cost their error, and gain where a qubit would wait mostly in |1>, which decays: turned over, it spends
half of the time in |0>. "auto" inserts what gains by the model, and nothing else. Where slow phases are known to be
there, as on most superconducting chips, "xy4" or "xx" inserts wherever a window allows; where the estimate falls then,
that is because it does not see what is refocused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Parameter

from qcompile.device import Device
from qcompile.errors import InputError
from qcompile.estimate import score
from qcompile.fidelity.program import NativeStep
from qcompile.ideal import standard_gates
from qcompile.native import native_steps
from qcompile.native_form import checked_form, half_turn
from qcompile.schedule import schedule

SEQUENCES = {"xx": "XX", "xy4": "XYXY"}
"""Axes of the pulses, in time order; each product is the identity up to its phase."""

METHODS = ("auto", *SEQUENCES)
"""What `dynamical_decoupling` may be, beside None."""

_SLACK = 1.0  # a window is long enough if as much time as the pulses take is left between them
_RESOLUTION = 1e-15  # s; gaps below it are rounding of sums, not waiting
_TRIED = 48  # windows, those first where most can be won, in which "auto" asks the estimate
_MARGINALS = 10  # qubits up to which "auto" asks the estimate by exact marginals


class Insertion(NamedTuple):
    """A sequence that fills one window: native steps on one qubit behind instruction `after`, delays included."""

    after: int
    steps: tuple[NativeStep, ...]


class _Window(NamedTuple):
    """Times in s. A barrier ends a window, since nothing may pass it."""

    qubit: int
    after: int
    duration: float


def check_method(method: str | None) -> None:
    """Raises: InputError: neither None nor one of `METHODS`."""
    if method is not None and method not in METHODS:
        raise InputError(f"dynamical_decoupling = {method!r}. Expected None, {', '.join(map(repr, METHODS))}.")


def decouple(
    circuit: QuantumCircuit,
    device: Device,
    method: str,
    virtual_at: Sequence[int],
    parameters: Sequence[Parameter] = (),
    table: NDArray[np.float64] | None = None,
) -> QuantumCircuit:
    """The circuit with pulses in its idle windows; it does the same and takes as long.

    Left alone: what comes before a qubit's first gate, where it is in |0>, or behind a measurement or reset; windows in
    front of a reset, or at the end of a qubit that holds no virtual one; those in front of a measurement, where no
    phase matters ("auto" may use them, since decay does); delays of the circuit's own. Pulses start on the device's
    grid (`pulse_alignment` dt), counted from the start of the window.

    Args:
        circuit: on physical qubits, in native gates.
        method: one of `METHODS`. "auto": in each window X-X, X-Y-X-Y or nothing, whatever the estimate says is best.
        virtual_at: physical qubits of the virtual ones at the end.
        parameters, table: [draw, parameter] values that "auto" judges at.
    Raises: InputError: no such method. CalibrationError: the device lacks the native pulses.
    """
    check_method(method)
    if method == "auto":
        values = np.empty((1, 0)) if table is None else table
        return _with(circuit, _gaining(circuit, device, virtual_at, parameters, values))
    windows = _windows(circuit, device, frozenset(virtual_at), ("measure", "reset"))
    fitted = (_fitted(window, device, SEQUENCES[method]) for window in windows)
    return _with(circuit, [insertion for insertion in fitted if insertion is not None])


def _windows(
    circuit: QuantumCircuit, device: Device, kept: frozenset[int], blind: tuple[str, ...]
) -> Iterator[_Window]:
    """Windows that open behind gates, by qubit and time.

    Args:
        kept: qubits whose state is wanted at the end.
        blind: instructions that do not see what happened in a window in front of them.
    """
    timing = schedule(circuit, device)
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    names = [instruction.name for instruction in circuit.data]
    lines: dict[int, list[int]] = {}
    for i, instruction in enumerate(circuit.data):
        for q in instruction.qubits:
            lines.setdefault(index_of[q], []).append(i)
    for qubit, line in sorted(lines.items()):
        matters = qubit in kept  # whether the next operation, or the end, sees what happened
        sees = []
        for i in reversed(line):
            sees.append(matters)
            if names[i] not in ("barrier", "delay"):
                matters = names[i] not in blind
        begun = False
        for i, following, seen in zip(line, [*line[1:], None], reversed(sees)):
            if names[i] not in ("barrier", "delay"):
                begun = names[i] not in ("measure", "reset")
            end = timing.start[i] + timing.durations[i]
            until = timing.duration if following is None else timing.start[following]
            if begun and seen and until - end > _RESOLUTION:
                yield _Window(qubit, i, until - end)


def _fitted(window: _Window, device: Device, axes: str) -> Insertion | None:
    """A sequence with pulses at (2 k + 1) / 2 n of what they leave free; None where the window is too short."""
    form = checked_form(device)
    where = (window.qubit,)
    turns = [half_turn(form, axis) for axis in axes]
    if not all(device.is_live(name, where) for turn in turns for name, _ in turn):
        return None
    lengths = [sum(device.duration(name, where) for name, _ in turn) for turn in turns]
    grid = (device.timing.dt or 0.0) * device.timing.pulse_alignment
    slack = window.duration - sum(lengths)
    if slack < max(_SLACK * sum(lengths), 2 * len(axes) * grid) or slack <= 0:
        return None
    steps: list[NativeStep] = []
    now = 0.0
    for k, (turn, length) in enumerate(zip(turns, lengths)):
        ideal = slack * (2 * k + 1) / (2 * len(turns)) + sum(lengths[:k])
        start = math.floor(ideal / grid + 0.5) * grid if grid else ideal
        steps.append(NativeStep("delay", where, (), start - now))
        steps += [NativeStep(name, where, angles, device.duration(name, where)) for name, angles in turn]
        now = start + length
    steps.append(NativeStep("delay", where, (), window.duration - now))
    return Insertion(window.after, tuple(step for step in steps if step.name != "delay" or step.duration > _RESOLUTION))


def _gaining(
    circuit: QuantumCircuit,
    device: Device,
    virtual_at: Sequence[int],
    parameters: Sequence[Parameter],
    table: NDArray[np.float64],
) -> list[Insertion]:
    """Insertions that raise the estimated state fidelity, each beside those before it."""
    offers = []
    for window in _windows(circuit, device, frozenset(virtual_at), ("reset",)):
        choices = [c for axes in SEQUENCES.values() if (c := _fitted(window, device, axes)) is not None]
        if choices:
            bound = window.duration / (2 * device.qubits[window.qubit].relaxation[0])  # of a qubit in |1> all the time
            cheapest = min(_error(choice, device) for choice in choices)
            if bound > cheapest:
                offers.append((cheapest - bound, window, choices))
    if not offers:
        return []
    steps = native_steps(circuit, device, parameters, table)
    method = "marginals" if len({q for s in steps for q in s.qubits}) <= _MARGINALS else "cluster"

    def fidelity(insertions: Sequence[Insertion]) -> float:
        return float(score(_steps_with(steps, insertions), device, virtual_at, (), method).fidelity.mean())

    chosen: list[Insertion] = []
    best = fidelity(chosen)
    for _, _, choices in sorted(offers, key=lambda offer: offer[:2])[:_TRIED]:
        found, taken = max(((fidelity([*chosen, choice]), choice) for choice in choices), key=lambda pair: pair[0])
        if found > best:
            best = found
            chosen.append(taken)
    return chosen


def _error(insertion: Insertion, device: Device) -> float:
    errors = (device.gates[step.name, step.qubits].error for step in insertion.steps if step.name != "delay")
    return sum(error or 0.0 for error in errors)


def _steps_with(steps: Sequence[NativeStep], insertions: Sequence[Insertion]) -> list[NativeStep]:
    behind: dict[int, list[NativeStep]] = {}
    for insertion in insertions:
        behind.setdefault(insertion.after, []).extend(insertion.steps)
    return [inner for i, step in enumerate(steps) for inner in (step, *behind.get(i, ()))]


def _with(circuit: QuantumCircuit, insertions: Sequence[Insertion]) -> QuantumCircuit:
    behind: dict[int, list[NativeStep]] = {}
    for insertion in insertions:
        behind.setdefault(insertion.after, []).extend(insertion.steps)
    out = circuit.copy_empty_like()
    for i, instruction in enumerate(circuit.data):
        out.append(instruction)
        for step in behind.get(i, ()):
            if step.name == "delay":
                out.append(Delay(step.duration, "s"), list(step.qubits))
            else:
                out.append(standard_gates()[step.name].base_class(*step.params), list(step.qubits))
    return out
