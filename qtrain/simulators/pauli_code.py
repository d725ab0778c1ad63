"""A noisy circuit as flat arrays for the Pauli kernels, reordered so that little is left to do for each batch row.

What each qubit does by itself before its first two-qubit gate acts on 4 numbers, not on 4^n (`starts`). What is not
causally behind a rotation that may be shifted comes first, so that a data encoder does not end up in the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.gates import Fixed
from qtrain.noise import NoisyCircuit
from qtrain.program import SlotRotation
from qtrain.simulators import pauli_kernels as kernels
from qtrain.simulators.fusion import fuse

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Op = Fixed | SlotRotation

_PASS_COST = 3.0  # of reading and writing every coefficient once, in multiplications a coefficient


class Ops(NamedTuple):
    """Operations in order: kind, strides [op, 2] of their qubits, and the number of their matrix or slot."""

    kind: NDArray[np.int8]
    strides: NDArray[np.int64]
    number: NDArray[np.int64]


class Sparse(NamedTuple):
    """16 x 16 matrices by rows: indptr [matrix, 17] into indices and values."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    values: Array


class PauliCode(NamedTuple):
    """Flat arrays of a noisy circuit.

    Attributes:
        starts: for each qubit, what it does alone at the beginning, on a register of its own.
        body: everything else.
        ones: [matrix, 4, 4].
        twos, transposed: two-qubit maps, and the same for observables.
        position: [slot] where in `body` a slot's rotation is; -1 in `starts` or nowhere.
    """

    num_qubits: int
    starts: tuple[Ops, ...]
    body: Ops
    ones: Array
    twos: Sparse
    transposed: Sparse
    position: NDArray[np.int64]

    def is_uniform_behind(self, slots: NDArray[np.intp], angles: Array) -> bool:
        """Whether every rotation behind the first of `slots` has one angle for the whole batch."""
        places = self.position[slots]
        if not len(places) or places.max() < 0:
            return True
        behind = self.position > places[places >= 0].min()
        return bool(np.all(angles[:, behind] == angles[:1, behind]))


_codes: WeakKeyDictionary[NoisyCircuit, dict[bytes, PauliCode]] = WeakKeyDictionary()


def encode(circuit: NoisyCircuit, settled: Mask) -> PauliCode:
    """The circuit's code; `settled` [slot] are the rotations that nobody will shift. Kept for the next call."""
    known = _codes.setdefault(circuit, {})
    code = known.get(settled.tobytes())
    if code is None:
        code = known[settled.tobytes()] = _encode(circuit, settled)
    return code


def _encode(circuit: NoisyCircuit, settled: Mask) -> PauliCode:
    alone, rest = _take_starts(circuit, settled)
    tables = _Tables()
    starts = tuple(tables.ops(fuse(ops, _cost), {q: 0}) for q, ops in enumerate(alone))
    qubits = {q: q for q in range(circuit.num_qubits)}
    body = tables.ops(_settled_first(fuse(rest, _cost), settled), qubits)
    position = np.full(len(settled), -1, dtype=np.int64)
    turns = body.kind == kernels.ROTATION
    position[body.number[turns]] = np.flatnonzero(turns)
    ones = np.array(tables.ones, dtype=np.float64).reshape(-1, 4, 4)
    twos, transposed = _sparse(tables.twos), _sparse([m.T for m in tables.twos])
    return PauliCode(circuit.num_qubits, starts, body, ones, twos, transposed, position)


def _cost(matrix: Array) -> float:
    """Multiplications a coefficient of one pass, plus the pass itself."""
    return np.count_nonzero(matrix) / len(matrix) + _PASS_COST


def _take_starts(circuit: NoisyCircuit, settled: Mask) -> tuple[list[list[Op]], list[Op]]:
    """Leading one-qubit operations of each qubit, up to its first two-qubit gate or rotation that may be shifted."""
    alone: list[list[Op]] = [[] for _ in range(circuit.num_qubits)]
    rest: list[Op] = []
    joined: set[int] = set()
    for op in circuit.ops:
        shiftable = isinstance(op, SlotRotation) and not settled[op.slot]
        if len(op.qubits) == 1 and op.qubits[0] not in joined and not shiftable:
            alone[op.qubits[0]].append(op)
        else:
            joined.update(op.qubits)
            rest.append(op)
    return alone, rest


def _settled_first(ops: Sequence[Op], settled: Mask) -> list[Op]:
    """The same circuit with everything first that is not causally behind a rotation that may be shifted."""
    first: list[Op] = []
    behind: list[Op] = []
    reached: set[int] = set()
    for op in ops:
        if reached.intersection(op.qubits) or (isinstance(op, SlotRotation) and not settled[op.slot]):
            reached.update(op.qubits)
            behind.append(op)
        else:
            first.append(op)
    return first + behind


class _Tables:
    """Collects matrices while operations are written down."""

    def __init__(self) -> None:
        self.ones: list[Array] = []
        self.twos: list[Array] = []

    def ops(self, ops: Sequence[Any], qubits: dict[int, int]) -> Ops:
        """Operations as arrays; qubit q is digit qubits[q] of the register."""
        kind, strides, number = [], [], []
        for op in ops:
            digits = [4 ** qubits[q] for q in op.qubits]
            strides.append((digits[0], digits[-1]))
            if isinstance(op, SlotRotation):
                kind.append(kernels.ROTATION)
                number.append(op.slot)
            else:
                table = self.ones if len(op.qubits) == 1 else self.twos
                kind.append(kernels.ONE if len(op.qubits) == 1 else kernels.TWO)
                number.append(len(table))
                table.append(op.matrix)
        return Ops(
            np.array(kind, dtype=np.int8),
            np.array(strides, dtype=np.int64).reshape(-1, 2),
            np.array(number, dtype=np.int64),
        )


def _sparse(matrices: Sequence[Array]) -> Sparse:
    indptr = np.zeros((len(matrices), 17), dtype=np.int64)
    indices: list[int] = []
    values: list[float] = []
    for number, matrix in enumerate(matrices):
        for row in range(16):
            indptr[number, row] = len(indices)
            entries = np.flatnonzero(matrix[row])
            indices.extend(entries.tolist())
            values.extend(matrix[row, entries].tolist())
        indptr[number, 16] = len(indices)
    return Sparse(indptr, np.array(indices, dtype=np.int64), np.array(values, dtype=np.float64))
