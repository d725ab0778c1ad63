"""A noisy circuit as two-qubit blocks whose rotations keep their slots, for Pauli propagation.

What touches one qubit is gathered into the two-qubit block around it, as in `qcompile.fidelity.blocks`; here a block is
F_m R_m ... F_1 R_1 F_0 with fixed Pauli transfer matrices F and Z rotations R by angle slots, so that its matrix and
its derivatives cost a few small products for each new set of angles.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qtrain.gates import Fixed
from qtrain.noise import NoisyCircuit
from qtrain.program import SlotRotation

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_ROUNDING = 1e-14  # entries of a fixed matrix below it are rounding, and would hide its zeros
_BEGIN = np.zeros((4, 4))
_BEGIN[[0, 3], 0] = 1.0  # a qubit starts in |0>: I and Z are 1, and nothing else enters


class Blocks(NamedTuple):
    """Two-qubit blocks in time order; Pauli transfer matrices (index 4 * first + second) act on r_P = tr(P rho).

    Attributes:
        pair: [block, 2] qubits. A qubit without a two-qubit gate is paired with one of its own beyond the register.
        begins: [block, 2] whether it is the qubit's first block: the state |0> is multiplied in.
        offset: [block + 1] the rotations of block k are offset[k] to offset[k + 1].
        side: [rotation] which of the block's two qubits it turns.
        slot: [rotation] whose angle.
        fixed: [rotation + block, 16, 16] what stands before, between and behind the rotations of each block in turn.
    """

    pair: Integers
    begins: NDArray[np.bool_]
    offset: Integers
    side: Integers
    slot: Integers
    fixed: Array

    @property
    def num_qubits(self) -> int:
        """Qubits, the added partners included."""
        return int(self.pair.max()) + 1


class _Block:
    """One block while it is put together."""

    def __init__(self, pair: tuple[int, int], begins: tuple[bool, bool]) -> None:
        self.pair, self.begins = pair, begins
        self.fixed = [np.kron(*(_BEGIN if b else np.eye(4) for b in begins))]
        self.rotations: list[tuple[int, int]] = []

    def append(self, op: Fixed | SlotRotation) -> None:
        if isinstance(op, SlotRotation):
            self.rotations.append((self.pair.index(op.qubits[0]), op.slot))
            self.fixed.append(np.eye(16))
            return
        matrix = op.matrix
        if len(op.qubits) == 1:
            matrix = np.kron(matrix, np.eye(4)) if op.qubits[0] == self.pair[0] else np.kron(np.eye(4), matrix)
        elif op.qubits != self.pair:
            matrix = matrix.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)
        self.fixed[-1] = matrix @ self.fixed[-1]


def fuse(circuit: NoisyCircuit) -> Blocks:
    """The circuit's blocks; what reading does to Z (it shrinks, and leans to one side) is part of the last ones."""
    blocks: list[_Block] = []
    last: dict[int, _Block] = {}
    waiting: dict[int, list[Fixed | SlotRotation]] = {q: [] for q in range(circuit.num_qubits)}

    def block_of(a: int, b: int) -> _Block:
        block = last.get(a)
        if block is None or last.get(b) is not block:
            block = _Block((a, b), (a not in last, b not in last))
            blocks.append(block)
            last[a] = last[b] = block
        for q in (a, b):
            for op in waiting.get(q, ()):
                block.append(op)
            waiting[q] = []
        return block

    for op in circuit.ops:
        if len(op.qubits) == 1:
            waiting[op.qubits[0]].append(op)
        else:
            block_of(*op.qubits).append(op)
    for q, confusion in zip(circuit.measured, circuit.confusion):
        (zero_0, zero_1), (one_0, one_1) = confusion
        shown_0, shown_1 = zero_0 - zero_1, one_0 - one_1
        reading = np.eye(4)
        reading[3] = (shown_0 + shown_1) / 2, 0.0, 0.0, (shown_0 - shown_1) / 2
        waiting[q].append(Fixed((q,), reading))
    spare = circuit.num_qubits
    for q in range(circuit.num_qubits):
        if q not in last:
            block_of(q, spare)
            spare += 1
        for op in waiting[q]:
            last[q].append(op)
    fixed = np.array([matrix for block in blocks for matrix in block.fixed])
    fixed[np.abs(fixed) < _ROUNDING] = 0.0
    rotations = [rotation for block in blocks for rotation in block.rotations]
    return Blocks(
        np.array([block.pair for block in blocks], np.int64),
        np.array([block.begins for block in blocks], np.bool_),
        np.concatenate(([0], np.cumsum([len(block.rotations) for block in blocks]))).astype(np.int64),
        np.array([side for side, _ in rotations], np.int64),
        np.array([slot for _, slot in rotations], np.int64),
        fixed,
    )


def matrices(blocks: Blocks, angles: Array) -> Array:
    """[block, 16, 16] for one row of angles [slot], rad."""
    turns = angles[blocks.slot]
    out = np.empty((len(blocks.pair), 16, 16))
    _multiply(blocks.offset, blocks.side, blocks.fixed, np.cos(turns), np.sin(turns), out)
    return out


def slot_terms(blocks: Blocks, angles: Array, slopes: Array) -> tuple[Array, Array]:
    """Cosine and sine [slot]: what turning one slot by d adds, cosine * (cos d - 1) + sine * sin d.

    Args:
        slopes: [block, 16, 16] derivative of the value by each entry of the blocks' matrices. The value is affine in
            one block's matrix, so this is all there is to know.
    """
    turns = angles[blocks.slot]
    found = np.empty((2, len(turns)))
    _contract(blocks.offset, blocks.side, blocks.fixed, np.cos(turns), np.sin(turns), slopes, found)
    terms = np.zeros((2, len(angles)))
    terms[:, blocks.slot] = found  # a slot is one rotation
    return terms[0], terms[1]


def mean_squares(blocks: Blocks, draws: int = 16) -> Array:
    """[block, 16, 16] mean square of each entry for uniformly random angles; zero where it is zero for every angle."""
    rng = np.random.default_rng(0)
    total = np.zeros((len(blocks.pair), 16, 16))
    for _ in range(draws):
        angles = np.zeros(int(blocks.slot.max(initial=-1)) + 1)
        angles[blocks.slot] = rng.uniform(-np.pi, np.pi, len(blocks.slot))
        total += matrices(blocks, angles) ** 2
    total[total < draws * _ROUNDING**2] = 0.0
    return total / draws


@numba.njit(cache=True, nogil=True)
def _turn(matrix, side, c, s):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The rows of X and Y of one qubit, rotated about Z in place."""
    far, near = (4, 1) if side == 0 else (1, 4)
    for other in range(4):
        x, y = far + near * other, 2 * far + near * other
        for q in range(16):
            a, b = matrix[x, q], matrix[y, q]
            matrix[x, q] = c * a - s * b
            matrix[y, q] = s * a + c * b


@numba.njit(cache=True, nogil=True)
def _multiply(offset, side, fixed, cos, sin, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for k in range(len(out)):
        current = fixed[offset[k] + k].copy()
        for j in range(offset[k], offset[k + 1]):
            _turn(current, side[j], cos[j], sin[j])
            current = np.dot(fixed[j + k + 1], current)
        out[k] = current


@numba.njit(cache=True, nogil=True)
def _contract(offset, side, fixed, cos, sin, slopes, found):  # type: ignore[no-untyped-def]  # pragma: no cover
    for k in range(len(slopes)):
        first, count = offset[k], offset[k + 1] - offset[k]
        before = np.empty((count, 16, 16))  # right behind each rotation
        current = fixed[first + k].copy()
        for j in range(count):
            _turn(current, side[first + j], cos[first + j], sin[first + j])
            before[j] = current
            current = np.dot(fixed[first + j + k + 1], current)
        slope = slopes[k].copy()
        for j in range(count - 1, -1, -1):
            slope = np.dot(fixed[first + j + k + 1].T.copy(), slope)
            far, near = (4, 1) if side[first + j] == 0 else (1, 4)
            cosine, sine = 0.0, 0.0
            for other in range(4):
                x, y = far + near * other, 2 * far + near * other
                for q in range(16):
                    cosine += slope[x, q] * before[j, x, q] + slope[y, q] * before[j, y, q]
                    sine += slope[y, q] * before[j, x, q] - slope[x, q] * before[j, y, q]
            found[0, first + j] = cosine
            found[1, first + j] = sine
            _turn(slope, side[first + j], cos[first + j], -sin[first + j])
