"""Noise-free states of small bound circuits in plain numpy: the yardstick of verification and Hellinger fidelity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Operation
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Operator

State = NDArray[np.complex128]


def apply(state: State, matrix: NDArray[np.complex128], qubits: Sequence[int], num_qubits: int) -> State:
    """The state after a unitary on `qubits` (Qiskit's order: the first one is the least significant bit)."""
    count = len(qubits)
    axes = [num_qubits - 1 - q for q in reversed(qubits)]
    tensor = state.reshape([2] * num_qubits)
    moved = np.tensordot(matrix.reshape([2] * (2 * count)), tensor, axes=(list(range(count, 2 * count)), axes))
    return np.moveaxis(moved, list(range(count)), axes).reshape(-1)


def zero_state(num_qubits: int) -> State:
    """|0...0>."""
    state = np.zeros(2**num_qubits, dtype=np.complex128)
    state[0] = 1.0
    return state


def marginal(probabilities: NDArray[np.float64], qubits: Sequence[int], num_qubits: int) -> NDArray[np.float64]:
    """Distribution of some qubits' bits; bit i of the result's index is qubits[i]."""
    tensor = probabilities.reshape([2] * num_qubits)
    kept = [num_qubits - 1 - q for q in reversed(qubits)]
    rest = tuple(a for a in range(num_qubits) if a not in kept)
    summed = np.transpose(tensor, (*kept, *rest)).reshape(2 ** len(qubits), -1).sum(axis=1)
    return np.asarray(summed, dtype=np.float64)


def confuse(probabilities: NDArray[np.float64], confusion: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Distribution of what is read; confusion[i] is the [prepared, read] matrix of bit i."""
    count = len(confusion)
    tensor = probabilities.reshape([2] * count)
    for i, matrix in enumerate(confusion):
        axis = count - 1 - i
        tensor = np.moveaxis(np.tensordot(matrix.T, tensor, axes=(1, axis)), 0, axis)
    return np.asarray(tensor.reshape(-1))


@cache
def standard_gates() -> dict[str, Any]:
    """Gates of Qiskit's standard library by name; Qiskit itself makes them anew at every call. Do not change them."""
    return dict(get_standard_gate_name_mapping())


@lru_cache(maxsize=4096)
def gate_matrix(name: str, params: tuple[float, ...] = ()) -> NDArray[np.complex128]:
    """Matrix of a gate of Qiskit's standard library at given angles, rad. Treat as read-only: results are shared.

    Raises: KeyError: no gate of that name.
    """
    gate = standard_gates()[name]
    if params:
        gate = gate.to_mutable()
        gate.params = list(params)
    return np.asarray(gate.to_matrix(), dtype=np.complex128)


def gate_matrices(name: str, angles: NDArray[np.float64]) -> NDArray[np.complex128]:
    """[k, d, d] matrices of a gate of Qiskit's standard library at [k, parameter] angles, rad.

    Raises: KeyError: no gate of that name.
    """
    if name in ("u2", "u3", "u", "r", "rx"):
        theta, phi, lam = _u_angles(name, angles)
        half = theta / 2
        matrices = np.empty((len(angles), 2, 2), np.complex128)
        matrices[:, 0, 0] = np.cos(half)
        matrices[:, 0, 1] = -np.exp(1j * lam) * np.sin(half)
        matrices[:, 1, 0] = np.exp(1j * phi) * np.sin(half)
        matrices[:, 1, 1] = np.exp(1j * (phi + lam)) * np.cos(half)
        return matrices
    return np.array([gate_matrix(name, tuple(row)) for row in angles.tolist()])


def _u_angles(name: str, angles: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Of [k, parameter] angles those of u(theta, phi, lambda)."""
    first, last = angles[:, 0], angles[:, -1]
    if name == "u2":
        return np.full(len(angles), math.pi / 2), first, last
    if name == "r":
        return first, last - math.pi / 2, math.pi / 2 - last
    if name == "rx":
        return first, np.full(len(angles), -math.pi / 2), np.full(len(angles), math.pi / 2)
    return first, angles[:, 1], last


def operation_matrix(operation: Operation) -> NDArray[np.complex128]:
    """Matrix of any bound gate: its own, or that of its definition."""
    if operation.name in standard_gates() and operation.name != "delay":
        return gate_matrix(operation.name, tuple(float(p) for p in operation.params))
    return np.asarray(Operator(operation).data, dtype=np.complex128)
