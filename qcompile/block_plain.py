"""The kernels of `block_kernels` once more, in plain numpy: slow, short, for the tests to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Unitary = NDArray[np.complex128]

_CX = {
    -1: np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]], np.complex128),
    -2: np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], np.complex128),
}
_SWAP = np.eye(4)[[0, 2, 1, 3]]
_PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
_LOOSE = 1e-9


def on_side(matrix: Unitary, side: int) -> Unitary:
    """[4, 4] of a one-qubit unitary on one wire; wire 0 is the less significant bit."""
    pair = np.kron(np.eye(2), matrix) if side == 0 else np.kron(matrix, np.eye(2))
    return np.asarray(pair, np.complex128)


def block_unitary(codes: Sequence[int], matrices: Sequence[Unitary]) -> Unitary:
    """[4, 4] product of a block's codes (see `blocks.Node`)."""
    product = np.eye(4, dtype=np.complex128)
    for code in codes:
        product = (_CX[code] if code < 0 else on_side(matrices[code // 2], code % 2)) @ product
    return product


def commuting_axes(unitary: Unitary) -> list[set[str]]:
    """For each of the two wires: the Paulis on it that commute with the unitary."""
    found = []
    for side in range(2):
        paulis = [on_side(pauli, side) for pauli in _PAULIS]
        found.append({name for name, p in zip("XYZ", paulis) if np.abs(p @ unitary - unitary @ p).max() < _LOOSE})
    return found


def price(unitary: Unitary, *, swapped: bool) -> int:
    """CX that a unitary needs, or with a SWAP behind it.

    Source: Shende, Bullock, Markov, "Recognizing small-circuit structure in two-qubit operators" (2004).
    """
    if swapped:
        unitary = _SWAP @ unitary
    unitary = unitary / np.linalg.det(unitary) ** 0.25
    yy = np.kron(_PAULIS[1], _PAULIS[1])
    gamma = unitary @ yy @ unitary.T @ yy
    if min(np.abs(gamma - np.eye(4)).max(), np.abs(gamma + np.eye(4)).max()) < _LOOSE:
        return 0
    if abs(np.trace(gamma)) < _LOOSE and np.abs(gamma @ gamma + np.eye(4)).max() < _LOOSE:
        return 1
    return 2 if abs(np.trace(gamma).imag) < _LOOSE else 3
