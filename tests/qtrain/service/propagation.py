"""Exact outcome probabilities of noisy circuits, all points at once, in the Pauli basis.

A state of n qubits is [4, ..., 4, point]: the coefficients of I, X, Y, Z on each qubit. Only elementwise operations, so
that a point's numbers are the same, bit for bit, whatever points stand beside it.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import PTM, Operator

from .chip import Chip
from .lowering import Lowered, Operation

Array = NDArray[np.float64]
WIDEST = 8  # qubits
CELLS = 1 << 17  # of a state, all its points together: a megabyte stays in the cache


@cache
def fixed(name: str, angles: tuple[float, ...]) -> Array:
    """The Pauli transfer matrix of a standard gate, its first qubit the slowest axis."""
    gate = get_standard_gate_name_mapping()[name]
    operator = Operator(Gate.to_matrix(type(gate)(*angles)) if angles else gate)
    return np.ascontiguousarray(PTM(operator.reverse_qargs()).data.real)


def rotation(first: int, second: int, angles: Array) -> Array:
    """[4, 4, point] turning one Pauli into another."""
    matrix = np.zeros((4, 4, len(angles)))
    for k in range(4):
        matrix[k, k] = 1.0
    cosines, sines = np.cos(angles), np.sin(angles)
    matrix[first, first] = matrix[second, second] = cosines
    matrix[second, first] = sines
    matrix[first, second] = -sines
    return matrix


def transfer(operation: Operation, points: int) -> Array:
    """[4^k, 4^k, point], or [4^k, 4^k, 1] where all points share it."""
    if all(isinstance(angle, float) for angle in operation.angles):
        return fixed(operation.name, operation.angles)[..., None]
    columns = [np.broadcast_to(angle, (points,)) for angle in operation.angles]
    if operation.name in ("rz", "p"):
        return rotation(1, 2, columns[0])
    if operation.name == "rx":
        return rotation(2, 3, columns[0])
    if operation.name == "ry":
        return rotation(3, 1, columns[0])
    rows = [tuple(float(value) for value in row) for row in zip(*columns)]
    return np.stack([fixed.__wrapped__(operation.name, row) for row in rows], axis=-1)


def product(left: Array, right: Array) -> Array:
    """Matrix product point by point, summed in a fixed order."""
    total = left[:, 0, None] * right[None, 0]
    for k in range(1, left.shape[1]):
        total = total + left[:, k, None] * right[None, k]
    return total


def damp(matrix: Array, parameter: float) -> Array:
    """The same, then depolarizing: everything but the identity's coefficient shrinks."""
    if not parameter:
        return matrix
    damped = matrix * (1.0 - parameter)
    damped[0] = matrix[0]
    return damped


def act(state: Array, matrix: Array, axes: tuple[int, ...]) -> Array:
    """The matrix on those qubits' axes; zero entries cost nothing."""
    moved = np.moveaxis(state, axes, range(len(axes)))
    result = np.zeros(moved.shape)
    steps = list(itertools.product(range(4), repeat=len(axes)))
    filled = np.abs(matrix).max(axis=-1) > 0
    for row, out in enumerate(steps):
        for column in np.flatnonzero(filled[row]):
            result[out] += matrix[row, column] * moved[steps[column]]
    return np.moveaxis(result, range(len(axes)), axes)


def probabilities(lowered: Lowered, chip: Chip) -> Array:
    """[point, outcome] of the measured qubits, the first measured the lowest bit; readout errors included."""
    active = lowered.active
    points = max(1, CELLS // 4 ** len(active))
    parts = []
    for start in range(0, lowered.points, points):
        stop = min(start + points, lowered.points)
        part = [
            Operation(o.name, o.qubits, tuple(a if isinstance(a, float) else a[start:stop] for a in o.angles))
            for o in lowered.operations
        ]
        parts.append(_part(part, list(lowered.measured), active, chip, stop - start))
    return np.concatenate(parts)


def _part(operations: list[Operation], measured: list[int], active: list[int], chip: Chip, points: int) -> Array:
    axis = {qubit: k for k, qubit in enumerate(active)}
    state = np.zeros((4,) * len(active) + (points,))
    state[tuple(np.ix_(*[[0, 3]] * len(active)))] = 1.0
    waiting: dict[int, Array] = {}  # one-qubit gates that no other gate has met yet
    for operation in operations:
        matrix = damp(transfer(operation, points), chip.depolarizing(operation.name, operation.qubits))
        if len(operation.qubits) == 1:
            qubit = operation.qubits[0]
            waiting[qubit] = product(matrix, waiting[qubit]) if qubit in waiting else matrix
            continue
        for qubit in operation.qubits:
            if qubit in waiting:
                state = act(state, waiting.pop(qubit), (axis[qubit],))
        state = act(state, matrix, tuple(axis[qubit] for qubit in operation.qubits))
    for qubit, matrix in waiting.items():
        state = act(state, matrix, (axis[qubit],))
    for qubit in active:
        if qubit not in measured:
            state = np.take(state, [0], axis=axis[qubit])  # traced out
    for qubit in measured:
        up, down = chip.flips(qubit)
        moved = np.moveaxis(state, axis[qubit], 0)
        zero, one = (moved[0] + moved[3]) / 2, (moved[0] - moved[3]) / 2
        read = np.stack([zero * (1 - up) + one * down, zero * up + one * (1 - down)])
        state = np.moveaxis(read, 0, axis[qubit])
    order = [axis[qubit] for qubit in active if qubit not in measured] + [axis[qubit] for qubit in reversed(measured)]
    return np.ascontiguousarray(state.transpose([len(active), *order]).reshape(points, 2 ** len(measured)))
