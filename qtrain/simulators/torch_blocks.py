"""A circuit as few blocks on few qubits each: for hardware that is fast at matrix products and slow to start them.

A block is a product of elements, one a slot: element = fixed + cos(f angle) cosine + sin(f angle) sine, where f is 1/2
for state vectors and 1 for density matrices in the Pauli basis; maps without angles are multiplied into the elements.
What a qubit does by itself before its first two-qubit map is a block of its own (`starts`), which acts on one qubit's
vector. Where features enter, every row has matrices of its own, so such blocks stay narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.gates import Fixed, Reset, rotation_matrix
from qtrain.noise import NoisyCircuit
from qtrain.program import Op, Program, SlotRotation

Matrix = NDArray[Any]
Mask = NDArray[np.bool_]
Turn = Callable[[str], tuple[Matrix, Matrix, Matrix]]

_STATE_VECTOR_WIDTH = 4  # qubits: 16 multiplications an amplitude, about what moving it costs
_PAULI_WIDTH = 2  # the same, since a qubit has four coefficients
_DATA_WIDTH = 2


class Block(NamedTuple):
    """A map on some qubits.

    Attributes:
        qubits: the first is the most significant digit of its matrices.
        slots: of its elements, in time order; none where the block is one constant matrix.
        fixed, cosine, sine: [element, d, d]; at least one element.
    """

    qubits: tuple[int, ...]
    slots: tuple[int, ...]
    fixed: Matrix
    cosine: Matrix
    sine: Matrix


@dataclass(frozen=True, eq=False)
class BlockCircuit:
    """Blocks in time order.

    Attributes:
        base: numbers a qubit: 2 amplitudes or 4 Pauli coefficients.
        factor: f of the elements.
        origin: [base] of a qubit in |0>.
        starts: what each qubit does first, alone.
        body: everything else.
    """

    num_qubits: int
    num_slots: int
    base: int
    factor: float
    origin: Matrix
    starts: tuple[Block, ...]
    body: tuple[Block, ...]


def state_vector_blocks(program: Program) -> BlockCircuit:
    """The noise-free circuit of a program; complex. Raises: ModelError: it resets a qubit."""
    ops: list[Fixed | SlotRotation] = []
    for op in program.ops:
        if isinstance(op, Reset):
            raise ModelError(
                f"the circuit resets qubit {op.qubits[0]} behind other gates, which a state vector cannot hold. "
                "Use TorchSimulator(device) or NoisySimulator(device), which can."
            )
        ops.append(op)
    origin = np.array([1, 0], dtype=np.complex128)
    parts = _parts(ops, program.num_qubits, program.feature_slots, origin, _half_turn, _STATE_VECTOR_WIDTH)
    return BlockCircuit(program.num_qubits, program.num_slots, 2, 0.5, origin, *parts)


def pauli_blocks(circuit: NoisyCircuit, data: Mask) -> BlockCircuit:
    """A noisy circuit in the Pauli basis; real. data: [slot] whether a feature enters."""
    origin = np.array([1.0, 0.0, 0.0, 1.0])
    parts = _parts(circuit.ops, circuit.num_qubits, data, origin, _pauli_turn, _PAULI_WIDTH)
    return BlockCircuit(circuit.num_qubits, len(data), 4, 1.0, origin, *parts)


@cache
def _half_turn(paulis: str) -> tuple[Matrix, Matrix, Matrix]:
    """exp(-i angle P / 2) by cos and sin of half the angle."""
    half = rotation_matrix(paulis, np.pi)  # -i P, but for rounding
    half = np.where(np.abs(half) > 0.5, half, 0)
    return np.zeros_like(half), np.eye(len(half), dtype=np.complex128), half


@cache
def _pauli_turn(paulis: str) -> tuple[Matrix, Matrix, Matrix]:
    """A Z rotation of a qubit's coefficients (I, X, Y, Z)."""
    assert paulis == "Z", "noise.py writes every rotation as one of Z"
    sine = np.zeros((4, 4))
    sine[1, 2], sine[2, 1] = -1.0, 1.0
    return np.diag([1.0, 0.0, 0.0, 1.0]), np.diag([0.0, 1.0, 1.0, 0.0]), sine


def _parts(
    ops: Sequence[Fixed | SlotRotation], num_qubits: int, data: Mask, origin: Matrix, turn: Turn, width: int
) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """(starts, body)."""
    alone: list[list[Op]] = [[] for _ in range(num_qubits)]
    rest: list[Op] = []
    joined: set[int] = set()
    for op in ops:
        if len(op.qubits) == 1 and op.qubits[0] not in joined:
            alone[op.qubits[0]].append(op)
        else:
            joined.update(op.qubits)
            rest.append(op)
    starts = tuple(_block((q,), own, origin, turn) for q, own in enumerate(alone))
    body = tuple(_block(tuple(sorted(b.qubits)), b.ops, origin, turn) for b in _collected(rest, data, width))
    return starts, body


@dataclass
class _Collected:
    """Operations that will be one block; `data`: features enter."""

    qubits: set[int]
    ops: list[Op]
    data: bool

    def takes(self, op: Op, data: bool, width: int) -> bool:
        """Whether the operation may be added without making the block too wide."""
        union = self.qubits.union(op.qubits)
        if self.data != data:  # what is the same for all rows may go along, but must not make a block of rows wider
            return self.data and len(union) == len(self.qubits)
        return len(union) <= (_DATA_WIDTH if data else width)


def _collected(ops: Sequence[Op], data: Mask, width: int) -> list[_Collected]:
    """Operations sorted greedily into blocks, which are in time order.

    An operation may join the newest block on its qubits, or a later one, since those do not touch its qubits.
    """
    found: list[_Collected] = []
    last: dict[int, int] = {}
    for op in ops:
        holds_data = isinstance(op, SlotRotation) and bool(data[op.slot])
        newest = max((last[q] for q in op.qubits if q in last), default=0)
        for place in range(newest, len(found)):
            if found[place].takes(op, holds_data, width):
                break
        else:
            place = len(found)
            found.append(_Collected(set(), [], holds_data))
        found[place].qubits.update(op.qubits)
        found[place].ops.append(op)
        last.update(dict.fromkeys(op.qubits, place))
    return found


def _block(qubits: tuple[int, ...], ops: Sequence[Op], origin: Matrix, turn: Turn) -> Block:
    size = len(origin) ** len(qubits)
    constant: Matrix = np.eye(size, dtype=origin.dtype)  # of the maps since the last slot
    slots: list[int] = []
    elements: list[list[Matrix]] = []
    for op in ops:
        if isinstance(op, SlotRotation):
            slots.append(op.slot)
            elements.append([_applied(part, op.qubits, constant, qubits, len(origin)) for part in turn(op.paulis)])
            constant = np.eye(size, dtype=origin.dtype)
        else:
            assert isinstance(op, Fixed)
            constant = _applied(op.matrix, op.qubits, constant, qubits, len(origin))
    if elements:
        elements[-1] = [constant @ part for part in elements[-1]]
    else:
        elements = [[constant, np.zeros_like(constant), np.zeros_like(constant)]]
    fixed, cosine, sine = (np.array(parts) for parts in zip(*elements))
    return Block(qubits, tuple(slots), fixed, cosine, sine)


def _applied(matrix: Matrix, qubits: tuple[int, ...], after: Matrix, register: tuple[int, ...], base: int) -> Matrix:
    """`matrix`, which acts on `qubits` of the register, times `after`, which acts on all of it."""
    k = len(qubits)
    axes = [register.index(q) for q in qubits]
    rows = after.reshape([base] * len(register) + [-1])
    product = np.tensordot(matrix.reshape([base] * (2 * k)), rows, axes=(range(k, 2 * k), axes))
    return np.ascontiguousarray(np.moveaxis(product, range(k), axes).reshape(after.shape))
