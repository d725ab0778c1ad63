"""Merging neighbouring fixed maps, so that a simulator makes fewer passes over its state.

Works for unitaries and for Pauli transfer matrices alike: a map on (a, b) has a as the more significant index.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtrain.gates import Fixed

Matrix = NDArray[Any]
Cost = Callable[[Matrix], float]


def fuse(ops: Sequence[Any], cost: Cost) -> list[Any]:
    """The same operations with fixed maps merged wherever that is not dearer.

    Args:
        ops: `Fixed` maps on one or two qubits; anything else with `.qubits` is left alone and not crossed.
        cost: of one pass with a given matrix; two maps merge if cost(product) <= the sum of theirs.
    """
    out: list[Any] = []
    last: dict[int, int] = {}  # qubit -> position in `out` of the newest operation on it
    for op in ops:
        merged = op
        if isinstance(merged, Fixed):
            merged = _absorb_before(merged, out, last, cost)
            if _merge_into_previous(merged, out, last, cost):
                continue
        for q in merged.qubits:
            last[q] = len(out)
        out.append(merged)
    return [op for op in out if op is not None]


def _absorb_before(op: Fixed, out: list[Any], last: dict[int, int], cost: Cost) -> Fixed:
    """A two-qubit map takes in the one-qubit maps right before it."""
    if len(op.qubits) == 1:
        return op
    for q in op.qubits:
        position = last.get(q)
        before = out[position] if position is not None else None
        if isinstance(before, Fixed) and before.qubits == (q,):
            product = op.matrix @ embedded(before, op.qubits)
            if cost(product) <= cost(op.matrix) + cost(before.matrix):
                assert position is not None
                out[position] = None
                op = Fixed(op.qubits, product)
    return op


def _merge_into_previous(op: Fixed, out: list[Any], last: dict[int, int], cost: Cost) -> bool:
    """Folds a map into the newest one on its qubits, if that one holds them all."""
    positions = {last.get(q) for q in op.qubits}
    position = positions.pop()
    if positions or position is None:
        return False
    before = out[position]
    if not isinstance(before, Fixed) or not set(op.qubits) <= set(before.qubits):
        return False
    product = embedded(op, before.qubits) @ before.matrix
    if cost(product) > cost(op.matrix) + cost(before.matrix):
        return False
    out[position] = Fixed(before.qubits, product)
    return True


def embedded(op: Fixed, qubits: tuple[int, ...]) -> Matrix:
    """The map's matrix on `qubits`, which hold its own."""
    if op.qubits == qubits:
        return op.matrix
    size = math.isqrt(len(op.matrix)) if len(op.qubits) == 2 else len(op.matrix)
    if len(op.qubits) == 2:
        shape = (size,) * 4
        return op.matrix.reshape(shape).transpose(1, 0, 3, 2).reshape(size**2, size**2)
    identity = np.eye(size)
    return np.kron(op.matrix, identity) if op.qubits[0] == qubits[0] else np.kron(identity, op.matrix)
