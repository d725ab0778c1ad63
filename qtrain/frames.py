"""Z rotations of one qubit, joined across what commutes with them.

A chip that keeps Z rotations in software writes them into the phase of every pulse behind them: R(theta, phi) is
RZ(phi) RX(theta) RZ(-phi), and two pulses in a row leave RZ(phi1 - phi2) between them. Joined, what both phases have
in common is gone, so that a rotation of the circuit is one angle slot again instead of two for each later pulse. CZ,
waiting and the noise of pulses (depolarizing, relaxation) all commute with Z rotations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression

from qcompile.channels import unitary_ptm
from qtrain.gates import Fixed, Rotation, Step, rotation_matrix

_ROUNDING = 1e-12  # size of a commutator, or of a slope, below which there is none


class Affine(NamedTuple):
    """constant + sum of slope * parameter, rad."""

    slopes: dict[Parameter, float]
    constant: float

    def plus(self, other: Affine) -> Affine:
        """The sum; parameters that cancel are left out."""
        slopes = dict(self.slopes)
        for parameter, slope in other.slopes.items():
            slopes[parameter] = slopes.get(parameter, 0.0) + slope
        return Affine({p: s for p, s in slopes.items() if abs(s) > _ROUNDING}, self.constant + other.constant)

    def expression(self) -> Any:
        """As Qiskit writes it: a number where there is no parameter."""
        total: Any = 0.0
        for parameter, slope in self.slopes.items():
            total = (parameter if slope == 1.0 else slope * parameter) + total
        return total + self.constant if self.constant != 0.0 else total


def affine(expression: ParameterExpression) -> Affine | None:
    """Slopes and constant of an expression; None where it is no such sum."""
    slopes = {}
    for parameter in sorted(expression.parameters, key=lambda p: (p.name, str(p.uuid))):
        slope = expression.gradient(parameter)
        if isinstance(slope, ParameterExpression):
            if slope.parameters:
                return None
            slope = slope.numeric()
        slopes[parameter] = float(slope)
    constant = expression.bind(dict.fromkeys(expression.parameters, 0.0)).numeric()
    return Affine(slopes, float(constant.real if isinstance(constant, complex) else constant))


def keeps_frames(circuit: QuantumCircuit) -> bool:
    """Whether a circuit has pulses with symbolic phases, between which rotations are to be joined."""
    return any(i.operation.name == "r" and isinstance(i.operation.params[1], ParameterExpression) for i in circuit.data)


def joined(steps: Iterable[Step]) -> Iterator[Step]:
    """The same operations; a symbolic Z rotation moves behind what commutes with it, and into the next one.

    Args:
        steps: unitaries or Pauli transfer matrices (`Fixed`), rotations, resets, in time order.
    """
    waiting: dict[int, tuple[Affine, str]] = {}
    for step in steps:
        if isinstance(step, Rotation) and step.paulis == "Z" and (angle := affine(step.angle)) is not None:
            (qubit,) = step.qubits
            known = waiting.get(qubit)
            waiting[qubit] = (angle, step.place) if known is None else (known[0].plus(angle), known[1])
            continue
        for position, qubit in enumerate(step.qubits):
            if qubit in waiting and not _commutes(step, position):
                yield from _written(qubit, *waiting.pop(qubit))
        yield step
    for qubit in sorted(waiting):
        yield from _written(qubit, *waiting[qubit])


def _written(qubit: int, angle: Affine, place: str) -> Iterator[Step]:
    if angle.slopes:
        yield Rotation((qubit,), "Z", angle.expression(), place)
    elif angle.constant != 0.0:
        yield Fixed((qubit,), rotation_matrix("Z", angle.constant))


def _commutes(step: Step, position: int) -> bool:
    """Whether a step commutes with Z rotations of one of its qubits."""
    if isinstance(step, Rotation):
        return step.paulis[position] == "Z"
    if not isinstance(step, Fixed):
        return True  # a reset, which leaves nothing that could turn
    turn = _turn(len(step.matrix), len(step.qubits), position)
    return bool(np.max(np.abs(step.matrix @ turn - turn @ step.matrix)) < _ROUNDING)


@cache
def _turn(size: int, width: int, position: int) -> NDArray[Any]:
    """RZ(1), an angle of no symmetry, on one of `width` qubits: as a unitary, or a PTM where `size` is 4^width."""
    turn: NDArray[Any] = rotation_matrix("Z", 1.0)
    if size == 4**width:
        turn = unitary_ptm(turn)
    if width == 1:
        return turn
    other = np.eye(len(turn))
    return np.kron(turn, other) if position == 0 else np.kron(other, turn)
