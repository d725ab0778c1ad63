"""The simulators again in plain numpy: slow, obvious, and what the kernels are held to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ExecutorError
from qtrain.gates import Fixed, Reset, rotation_matrix
from qtrain.noise import NoisyCircuit
from qtrain.program import Program

Array = NDArray[np.float64]


def amplitudes(program: Program, angles: Array) -> NDArray[np.complex128]:
    """[batch, 2^n] amplitudes of a noise-free program; qubit 0 is the least significant bit.

    Raises: ExecutorError: the program resets a qubit.
    """
    rows = []
    for row in angles:
        state = np.zeros([2] * program.num_qubits, dtype=np.complex128)
        state.flat[0] = 1.0
        for op in program.ops:
            if isinstance(op, Reset):
                raise ExecutorError("a state vector cannot hold a reset. Use NoisySimulator.")
            matrix = op.matrix if isinstance(op, Fixed) else rotation_matrix(op.paulis, row[op.slot])
            state = _applied(matrix, op.qubits, state)
        rows.append(state.reshape(-1))
    return np.array(rows).reshape(len(angles), -1)


def string_expectations(program: Program, angles: Array) -> Array:
    """[batch, string]: noise-free expectations of the strings of `program.measurement`."""
    states = amplitudes(program, angles).reshape(-1, *[2] * program.num_qubits)
    out = np.empty((len(angles), len(program.measurement.strings)))
    for column, string in enumerate(program.measurement.strings):
        for row, state in enumerate(states):
            turned = state
            for qubit, pauli in string:
                turned = _applied(1j * rotation_matrix(pauli, np.pi), (qubit,), turned)
            out[row, column] = np.vdot(state, turned).real
    return out


def pauli_coefficients(circuit: NoisyCircuit, angles: Array) -> Array:
    """[batch, 4^n]: tr(P rho) for every Pauli string P, qubit q being the digit of weight 4^q (I, X, Y, Z)."""
    rows = []
    for row in angles:
        zero = np.array([1.0, 0.0, 0.0, 1.0])
        state = np.ones(1)
        for _ in range(circuit.num_qubits):
            state = np.kron(state, zero)
        state = state.reshape([4] * circuit.num_qubits)
        for op in circuit.ops:
            matrix = op.matrix if isinstance(op, Fixed) else _z_rotation(row[op.slot])
            state = _applied(matrix, op.qubits, state)
        rows.append(state.reshape(-1))
    return np.array(rows).reshape(len(angles), -1)


def string_values(circuit: NoisyCircuit, strings: Sequence[Sequence[int]]) -> Array:
    """[4^n, string] observables: the product of Z over each string's measured qubits, as the noisy readout shows it."""
    columns = []
    for string in strings:
        column = np.ones(1)
        for qubit in reversed(range(circuit.num_qubits)):
            factor = np.array([1.0, 0.0, 0.0, 0.0])
            if qubit in string:
                e0, e1 = circuit.confusion[circuit.measured.index(qubit)] @ [1.0, -1.0]
                factor = np.array([(e0 + e1) / 2, 0.0, 0.0, (e0 - e1) / 2])
            column = np.kron(column, factor)
        columns.append(column)
    return np.array(columns).T


def _z_rotation(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]], dtype=np.float64)


def _applied(matrix: NDArray[Any], qubits: tuple[int, ...], state: NDArray[Any]) -> NDArray[Any]:
    """A map on some qubits of a tensor whose last axis is qubit 0; the first qubit is the more significant index."""
    n, k = state.ndim, len(qubits)
    axes = [n - 1 - q for q in qubits]
    tensor = matrix.reshape([state.shape[0]] * (2 * k))
    return np.moveaxis(np.tensordot(tensor, state, axes=(range(k, 2 * k), axes)), range(k), axes)
