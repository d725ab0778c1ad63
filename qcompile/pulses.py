"""What waits on a wire -> native pulses: numbers merged into one unitary, symbolic Z rotations kept apart by what does
not commute with them.

Between two-qubit gates a chain of numbers costs at most two SX, one R or one U (`native_form`). A Z rotation is a
change of frame: on an R or U chip it is not written but carried on, through diagonal gates, into the phases of the
pulses behind it; in front of a measurement or a reset, where nothing can see it, it is dropped.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter

from qcompile.ideal import gate_matrix
from qcompile.lowering import Angle
from qcompile.native_form import NativeForm

Matrix = tuple[complex, complex, complex, complex]
"""A 2x2 unitary, row by row; plain numbers, which for one qubit are faster than arrays and can be a cache's key."""

Parts = tuple[Matrix | Angle, ...]

_EPSILON = 1e-10  # rad, or size of an entry; below it there is none
_HALF = math.sqrt(0.5) + 0j
H: Matrix = (_HALF, _HALF, _HALF, -_HALF)
_SX: Matrix = (0.5 + 0.5j, 0.5 - 0.5j, 0.5 - 0.5j, 0.5 + 0.5j)
_SXDG: Matrix = (0.5 - 0.5j, 0.5 + 0.5j, 0.5 + 0.5j, 0.5 - 0.5j)
_NONE = Angle(0.0)


class Pulse(NamedTuple):
    """A native one-qubit gate: rz, sx, x, r(theta, phi), u(theta, phi, lambda), u1, u2 or u3."""

    name: str
    angles: tuple[Angle, ...] = ()


class _Turn(NamedTuple):
    """R(theta, phi) = RZ(phi) RX(theta) RZ(-phi)."""

    theta: Angle
    phi: Angle


class Wires:
    """One-qubit gates that wait on each physical qubit until something else happens there."""

    def __init__(self, form: NativeForm) -> None:
        self._form = form
        self._waiting: dict[int, list[Matrix | Angle]] = {}
        self._frames: dict[int, Angle] = {}

    @property
    def qubits(self) -> list[int]:
        """Physical qubits on which anything ever waited, ascending."""
        return sorted(self._waiting.keys() | self._frames.keys())

    def add(self, qubit: int, part: Matrix | Angle) -> None:
        """A unitary of numbers, or a symbolic Z rotation."""
        self._waiting.setdefault(qubit, []).append(part)

    def flush(self, qubit: int, *, diagonal: bool = False) -> Sequence[Pulse]:
        """The pulses of what waits, in front of a gate (or the end of the circuit).

        Args:
            diagonal: the gate commutes with Z rotations of this qubit, so that its frame is carried on behind it.
        """
        pulses = self._emit(qubit)
        if diagonal or qubit not in self._frames:
            return pulses
        frame = _wrapped(self._frames.pop(qubit))
        return pulses if frame == _NONE else _with_frame(pulses, frame, self._form)

    def drop(self, qubit: int) -> tuple[Sequence[Pulse], Angle]:
        """The pulses in front of a measurement or a reset, and the frame, which nothing can see behind it."""
        pulses = self._emit(qubit)
        return pulses, _wrapped(self._frames.pop(qubit, _NONE))

    def _emit(self, qubit: int) -> Sequence[Pulse]:
        waiting = self._waiting.get(qubit)
        if not waiting:
            return ()
        parts = tuple(waiting)
        waiting.clear()
        if self._form.kind == "sx":
            return sx_pulses(parts, self._form.shorter is not None)
        make = r_pulses if self._form.kind == "r" else u_pulses
        pulses, self._frames[qubit] = make(parts, self._frames.get(qubit, _NONE), self._form)
        return pulses


def gate_parts(name: str, params: Sequence[Any], slots: Mapping[Parameter, int]) -> Parts:
    """What a gate of `lowering.ONE_QUBIT_BASIS` consists of, first one first.

    Args:
        slots: placeholder parameter -> slot number (of `Lowered`).
    """
    if not any(isinstance(p, Parameter) for p in params):
        return (numeric_gate(name, tuple(float(p) for p in params)),)
    if name in ("rz", "p"):
        return _z(params[0], slots)
    if name == "rx":
        return (H, *_z(params[0], slots), H)
    if name == "ry":
        return (_SX, *_z(params[0], slots), _SXDG)
    # u(theta, phi, lambda) = RZ(phi) RY(theta) RZ(lambda), up to a phase
    return (*_z(params[2], slots), _SX, *_z(params[0], slots), _SXDG, *_z(params[1], slots))


def _z(value: Any, slots: Mapping[Parameter, int]) -> Parts:
    if isinstance(value, Parameter):
        return (Angle(0.0, ((slots[value], 1.0),)),)
    return (rz_matrix(float(value)),)


def as_matrix(array: NDArray[np.complex128]) -> Matrix:
    """The same of a [2, 2] array."""
    (a, b), (c, d) = np.asarray(array, dtype=np.complex128).tolist()
    return a, b, c, d


def numeric_gate(name: str, params: tuple[float, ...] = ()) -> Matrix:
    """Matrix of a gate of Qiskit's standard library at given angles, rad."""
    return rz_matrix(params[0]) if name in ("rz", "p") else _library_gate(name, params)


@lru_cache(maxsize=4096)
def _library_gate(name: str, params: tuple[float, ...]) -> Matrix:
    return as_matrix(gate_matrix(name, params))


def rz_matrix(angle: float) -> Matrix:
    """RZ at an angle in rad."""
    return cmath.exp(-0.5j * angle), 0j, 0j, cmath.exp(0.5j * angle)


def _times(later: Matrix, earlier: Matrix) -> Matrix:
    a, b, c, d = later
    e, f, g, h = earlier
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def _phase(number: complex) -> float:
    """In (-pi, pi]; -0.0 and 0.0, which are equal as keys of a cache, give the same."""
    return cmath.phase(number + 0j)


def _wrapped(angle: Angle) -> Angle:
    """The same Z rotation, or phase of an axis, with its constant in (-pi, pi], 0 where it is next to nothing."""
    constant = math.remainder(angle.constant, 2 * math.pi)
    if abs(constant) < _EPSILON:
        constant = 0.0
    elif constant < _EPSILON - math.pi:
        constant = math.pi
    return Angle(constant, angle.terms)


def _opposite(phi: Angle) -> Angle:
    return phi.negated().shifted(math.pi / 2)


# ---- rz + sx [+ x]


@lru_cache(maxsize=65536)
def sx_pulses(parts: Parts, has_x: bool) -> tuple[Pulse, ...]:
    """Pulses in rz, sx and, where the chip has it, x: every constant angle goes into a neighbouring (free) RZ."""
    pulses: list[Pulse] = []
    pending = _NONE
    for part in _merged(parts):
        if isinstance(part, Angle):
            pending = pending.plus(part)
            continue
        angles, gate = _euler(part, has_x)
        for angle in angles[:-1]:
            _append_rz(pulses, pending.shifted(angle))
            pulses.append(Pulse(gate))
            pending = _NONE
        pending = pending.shifted(angles[-1])
    _append_rz(pulses, pending)
    return tuple(pulses)


def _append_rz(pulses: list[Pulse], angle: Angle) -> None:
    wrapped = _wrapped(angle)
    if wrapped != _NONE:
        pulses.append(Pulse("rz", (wrapped,)))


def _merged(parts: Parts) -> list[Matrix | Angle]:
    """Joins what is next to each other, and symbolic rotations across what is diagonal (adds) or anti-diagonal (the
    later one changes sign)."""
    merged: list[Matrix | Angle] = []
    for part in parts:
        last = merged[-1] if merged else None
        if last is None:
            merged.append(part)
        elif not isinstance(part, Angle):
            if isinstance(last, Angle):
                merged.append(part)
            else:
                merged[-1] = _times(part, last)
        elif isinstance(last, Angle):
            merged[-1] = last.plus(part)
        else:
            earlier = merged[-2] if len(merged) >= 2 else None
            if isinstance(earlier, Angle) and abs(last[2]) < _EPSILON:
                merged[-2] = earlier.plus(part)
            elif isinstance(earlier, Angle) and abs(last[0]) < _EPSILON:
                merged[-2] = earlier.plus(part.negated())
            else:
                merged.append(part)
    return merged


def _euler(matrix: Matrix, has_x: bool) -> tuple[tuple[float, ...], str]:
    """Z angles around at most two SX (or one X): angles[0], gate, angles[1], ...; the global phase is dropped."""
    a, b, c, d = matrix
    if abs(c) < _EPSILON:
        return (_phase(d) - _phase(a),), ""
    theta = 2 * math.atan2(abs(c), abs(a))
    if abs(a) < _EPSILON:
        phi, lam = 0.0, _phase(-b) - _phase(c)
        if has_x:  # U(pi, phi, lam) = X RZ(lam - phi + pi)
            return (lam - phi + math.pi, 0.0), "x"
        theta = math.pi
    else:
        phi = _phase(c) - _phase(a)
        lam = _phase(-b) - _phase(a)
    if abs(theta - math.pi / 2) < _EPSILON:
        return (lam - math.pi / 2, phi + math.pi / 2), "sx"
    return (lam, theta + math.pi, phi + math.pi), "sx"


# ---- r, and u


@lru_cache(maxsize=65536)
def r_pulses(parts: Parts, frame: Angle, form: NativeForm) -> tuple[tuple[Pulse, ...], Angle]:
    """Pulses R(theta, phi) of what comes behind a frame, and the frame behind them: R(theta, phi) RZ(f) =
    RZ(f) R(theta, phi - f)."""
    turns, turned = _turns(parts)
    back = frame.negated()
    return tuple([Pulse(form.pulse, (theta, _wrapped(phi.plus(back)))) for theta, phi in turns]), frame.plus(turned)


@lru_cache(maxsize=65536)
def u_pulses(parts: Parts, frame: Angle, form: NativeForm) -> tuple[tuple[Pulse, ...], Angle]:
    """Pulses U(theta, phi, lambda) = RZ(phi) RY(theta) RZ(lambda), which take up what turns around Z on both sides; a
    frame is left where there is no pulse."""
    turns, turned = _turns(parts)
    if not turns:
        return (), frame.plus(turned)
    pulses = []
    for number, (theta, phi) in enumerate(turns):
        after = turned if number == len(turns) - 1 else _NONE
        pulses.append(_u(theta, phi.shifted(-math.pi / 2).plus(after), frame.plus(_opposite(phi)), form))
        frame = _NONE
    return tuple(pulses), _NONE


def _turns(parts: Parts) -> tuple[tuple[_Turn, ...], Angle]:
    """Turns about axes of the equator, first one first, then a Z rotation.

    A symbolic Z rotation behind a unitary N is, in front of it, one about the axis N^dagger Z N: where that lies on
    the equator it is one turn, and N waits on, often to come to nothing (RX = H RZ H, RY); where it is the pole, it is
    none; otherwise N is done first.
    """
    turns: list[_Turn] = []
    frame = _NONE
    waiting: Matrix | None = None
    for part in parts:
        if not isinstance(part, Angle):
            waiting = part if waiting is None else _times(part, waiting)
        elif waiting is None or abs(waiting[2]) < _EPSILON:
            frame = frame.plus(part)
        elif abs(waiting[0]) < _EPSILON:
            frame = frame.plus(part.negated())
        elif abs(abs(waiting[0]) - abs(waiting[2])) < _EPSILON:
            axis = -_phase(waiting[0].conjugate() * waiting[1])
            _append_turn(turns, part, frame.negated().shifted(axis))
        else:
            frame = _append_unitary(turns, waiting, frame).plus(part)
            waiting = None
    if waiting is not None:
        frame = _append_unitary(turns, waiting, frame)
    return tuple(turns), frame


def _append_unitary(turns: list[_Turn], matrix: Matrix, frame: Angle) -> Angle:
    """Adds RZ(gamma) R(theta, phi) behind the frame; returns the new frame."""
    a, b, c, d = matrix
    if abs(c) < _EPSILON:
        return frame.shifted(_phase(d) - _phase(a))
    if abs(a) < _EPSILON:
        theta, phi, gamma = math.pi, 0.0, _phase(c) - _phase(b)
    else:
        theta = 2 * math.atan2(abs(c), abs(a))
        phi, gamma = _phase(c) - _phase(d) + math.pi / 2, _phase(d) - _phase(a)
    _append_turn(turns, Angle(theta), frame.negated().shifted(phi))
    return frame.shifted(gamma)


def _append_turn(turns: list[_Turn], theta: Angle, phi: Angle) -> None:
    """Adds a turn; one about the axis of the turn before it, or its opposite, makes one with it."""
    phi = _wrapped(phi)
    if turns and turns[-1].phi.terms == phi.terms:
        between = abs(_wrapped(phi.shifted(-turns[-1].phi.constant)).constant)
        if between == 0.0 or math.pi - between < _EPSILON:
            earlier = turns.pop()
            theta = earlier.theta.plus(theta if between == 0.0 else theta.negated())
            phi = earlier.phi
    theta = _wrapped(theta)
    if theta != _NONE:
        turns.append(_Turn(theta, phi))


def _u(theta: Angle, phi: Angle, lam: Angle, form: NativeForm) -> Pulse:
    phi, lam = _wrapped(phi), _wrapped(lam)
    if form.shorter is not None and not theta.terms and abs(abs(theta.constant) - math.pi / 2) < _EPSILON:
        turned = math.pi if theta.constant < 0 else 0.0  # RY(-x) = RZ(pi) RY(x) RZ(-pi)
        return Pulse(form.shorter, (_wrapped(phi.shifted(turned)), _wrapped(lam.shifted(-turned))))
    return Pulse(form.pulse, (theta, phi, lam))


def _with_frame(pulses: Sequence[Pulse], frame: Angle, form: NativeForm) -> list[Pulse]:
    """The pulses, and behind them a Z rotation that must be written: the virtual gate, or what pulses make of it."""
    if form.frame is not None:
        return [*pulses, Pulse(form.frame, (frame,))]
    if form.kind == "u":
        return [*pulses, Pulse(form.pulse, (_NONE, _NONE, frame))]
    # RZ(frame) = R(pi, phi + frame / 2) R(pi, phi), of which the first is one with the pulse before it
    theta, phi = pulses[-1].angles if pulses else (_NONE, _NONE)
    half = Angle(frame.constant / 2, tuple((slot, factor / 2) for slot, factor in frame.terms))
    flip = Pulse("r", (_wrapped(theta.shifted(math.pi)), phi))
    return [*pulses[:-1], flip, Pulse("r", (Angle(math.pi), _wrapped(phi.plus(half))))]
