"""A NoisyProgram as two-qubit blocks, noisy and noise-free side by side, and the order in which a string meets them.

What touches one qubit (gates, their noise, waiting, resets) is gathered into the two-qubit gate behind it, gates that
follow one another on the same pair become one matrix, and the state |0> that a qubit starts in is part of its first
block. A circuit of CX RZ CX, SX and RZ then is one 16 x 16 matrix where it would have been a dozen branching steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.fidelity.program import DEPHASE, IDLE, ONE, RESET, RZ, TWO, NoisyProgram

Array = NDArray[np.float64]

_ROUNDING = 1e-14  # entries of a block below it are rounding, and would hide its zeros
_ORDERS = 3  # rules for the next block that `plan` tries


class Blocks(NamedTuple):
    """Two-qubit blocks in time order. Pauli transfer matrices (index 4 * first + second) act on r_P = tr(P rho).

    Attributes:
        pair: [block, 2] compact qubits, first and second.
        begins: [block, 2] whether it is the qubit's first block: then its columns other than I are 0, since what the
            qubit starts in is multiplied in.
        matrix: [block, 2, 16, 16] noisy, noise-free.
        alone: [qubit, 2] <Z> at the end of a qubit that no block touches, noisy and noise-free.
    """

    pair: NDArray[np.int64]
    begins: NDArray[np.bool_]
    matrix: Array
    alone: Array


class Plan(NamedTuple):
    """How one Pauli string walks back through the blocks; a slot holds two bits of a packed string.

    Attributes:
        block: [step] the blocks of its light cone, latest first as far as their qubits ask for it.
        slot: [step, 2] where a block's qubits are held; a slot is used again once its qubit is settled.
        start: [qubit of the string] slots of the string itself.
        slots: how many there are.
        width: the most qubits that are held at once: 4^width bounds the number of strings.
        work: sum over the steps of 4^(qubits held).
        cone: compact qubits that the string can see.
    """

    block: NDArray[np.int64]
    slot: NDArray[np.int64]
    start: NDArray[np.int64]
    slots: int
    width: int
    work: float
    cone: NDArray[np.int64]


def fused(program: NoisyProgram, draw: int, readout: Array) -> Blocks:
    """The blocks of one parameter draw.

    Args:
        readout: [compact qubit, 4, 4] what a measurement reads, as a Pauli transfer matrix behind everything; the
            identity on qubits that are not measured. It is part of the noisy matrices alone.
    """
    pair, begins, matrix, alone = _fuse(
        program.kind, program.first, program.second, program.matrix[draw], program.noise, program.angle[draw],
        program.decay, program.dephase, *program.unitaries, *program.noises, readout,
    )  # fmt: skip
    matrix[np.abs(matrix) < _ROUNDING] = 0.0
    return Blocks(pair, begins, matrix, alone)


def plan(blocks: Blocks, string: NDArray[np.int64]) -> Plan:
    """The order of blocks that holds the fewest qubits at once, of three rules tried.

    Blocks on other qubits commute, so any order that respects their qubits is the same physics. Going back to the
    start along one edge of the light cone settles qubits early: a chain of any length and shallow depth needs no more
    than its depth.

    Args:
        string: compact qubits of the measured Z string, each of which a block touches.
    """
    best: Plan | None = None
    for rule in range(_ORDERS):
        found = Plan(*_plan(blocks.pair, blocks.begins, string, len(blocks.alone), rule))
        if best is None or found.work < best.work:
            best = found
    assert best is not None
    return best


@numba.njit(cache=True, nogil=True)
def _plan(pair, begins, string, n, rule):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    count = len(pair)
    reach = np.zeros(n, np.bool_)
    reach[string] = True
    in_cone = np.zeros(count, np.bool_)
    for k in range(count - 1, -1, -1):
        if reach[pair[k, 0]] or reach[pair[k, 1]]:
            in_cone[k] = True
            reach[pair[k, 0]] = True
            reach[pair[k, 1]] = True
    top, left = np.full(n, -1), np.zeros(n, np.int64)  # latest block to come, how many are to come
    below = np.full((count, 2), -1)
    steps = 0
    for k in range(count):
        if in_cone[k]:
            steps += 1
            for side in range(2):
                q = pair[k, side]
                below[k, side] = top[q]
                top[q] = k
                left[q] += 1
    cone = np.flatnonzero(reach)
    held = np.full(n, -1)
    free = np.empty(n, np.int64)
    spare, slots, live = 0, 0, 0
    start = np.empty(len(string), np.int64)
    for j in range(len(string)):
        held[string[j]] = slots
        start[j] = slots
        slots += 1
        live += 1
    width, work = live, 0.0
    block, slot = np.empty(steps, np.int64), np.empty((steps, 2), np.int64)
    for step in range(steps):
        chosen, least, second_least = -1, 1 << 60, 1 << 60
        for q in cone:
            k = top[q]
            if k < 0 or pair[k, 0] != q or top[pair[k, 1]] != k:
                continue
            b = pair[k, 1]
            growth = int(held[q] < 0) + int(held[b] < 0) - int(begins[k, 0]) - int(begins[k, 1])
            depth = left[q] + left[b]
            if rule == 0:
                first_key, second_key = growth, depth
            elif rule == 1:
                first_key, second_key = depth, growth
            else:
                first_key, second_key = -k, 0
            if first_key < least or (first_key == least and second_key < second_least):
                chosen, least, second_least = k, first_key, second_key
        block[step] = chosen
        for side in range(2):
            q = pair[chosen, side]
            if held[q] < 0:
                if spare > 0:
                    spare -= 1
                    held[q] = free[spare]
                else:
                    held[q] = slots
                    slots += 1
                live += 1
            slot[step, side] = held[q]
            top[q] = below[chosen, side]
            left[q] -= 1
        width = max(width, live)
        work += 4.0**live
        for side in range(2):
            if begins[chosen, side]:
                free[spare] = held[pair[chosen, side]]
                spare += 1
                live -= 1
    return block, slot, start, slots, width, work, cone


@numba.njit(cache=True, nogil=True)
def _fuse(  # type: ignore[no-untyped-def]
    kind, first, second, matrix, noise, angle, decay, dephase, u1, u2, n1, n2, readout
):  # pragma: no cover - compiled
    n = len(readout)
    room = 0
    for i in range(len(kind)):
        room += kind[i] == TWO
    pair, begins = np.empty((room, 2), np.int64), np.zeros((room, 2), np.bool_)
    blocks = np.zeros((room, 2, 16, 16))
    pending = np.zeros((n, 2, 4, 4))  # since the last block; noisy, noise-free
    for q in range(n):
        for j in range(4):
            pending[q, 0, j, j] = 1.0
            pending[q, 1, j, j] = 1.0
    last = np.full(n, -1)
    local = np.empty((2, 4, 4))
    both, gate, turned = np.empty((16, 16)), np.empty((16, 16)), np.empty((16, 16))
    identity = np.eye(4)
    count = 0
    for i in range(len(kind)):
        a = first[i]
        if kind[i] != TWO:
            local[:] = 0.0
            for w in range(2):
                local[w, 0, 0] = 1.0
                if kind[i] == RZ:
                    c, s = math.cos(angle[i]), math.sin(angle[i])
                    local[w, 1, 1], local[w, 1, 2], local[w, 2, 1], local[w, 2, 2] = c, -s, s, c
                    local[w, 3, 3] = 1.0
                elif kind[i] == ONE:
                    local[w] = u1[matrix[i]] if w == 1 else np.dot(n1[noise[i]], u1[matrix[i]])
                elif kind[i] == DEPHASE:
                    local[w, 3, 3] = 1.0
                elif kind[i] == RESET:
                    local[w, 3, 0] = 1.0  # relaxation behind it leaves |0> as it is
                else:
                    wait = kind[i] == IDLE and w == 0
                    local[w, 1, 1] = local[w, 2, 2] = dephase[i] if wait else 1.0
                    local[w, 3, 3] = decay[i] if wait else 1.0
                    local[w, 3, 0] = 1.0 - decay[i] if wait else 0.0
                pending[a, w] = np.dot(local[w], pending[a, w])
            continue
        b = second[i]
        k = last[a]
        is_new = k < 0 or k != last[b]
        if is_new:
            k = count
            count += 1
            pair[k, 0], pair[k, 1] = a, b
            for q, side in ((a, 0), (b, 1)):
                if last[q] < 0:
                    begins[k, side] = True
                    for w in range(2):
                        _begin(pending[q, w])
                last[q] = k
        for w in range(2):
            _product(pending[a, w], pending[b, w], both)
            if w == 1:
                gate[:] = np.dot(u2[matrix[i]], both)
            else:
                gate[:] = np.dot(n2[noise[i]], np.dot(u2[matrix[i]], both))
            if is_new:
                blocks[k, w] = gate
            else:
                if pair[k, 0] != a:
                    _exchange(gate, turned)
                    gate[:] = turned
                blocks[k, w] = np.dot(gate, blocks[k, w])
            pending[a, w] = identity
            pending[b, w] = identity
    alone = np.zeros((n, 2))
    for q in range(n):
        pending[q, 0] = np.dot(readout[q], pending[q, 0])
        k = last[q]
        for w in range(2):
            if k < 0:
                _begin(pending[q, w])
                alone[q, w] = pending[q, w, 3, 0]
            elif pair[k, 0] == q:
                _product(pending[q, w], identity, both)
                blocks[k, w] = np.dot(both, blocks[k, w])
            else:
                _product(identity, pending[q, w], both)
                blocks[k, w] = np.dot(both, blocks[k, w])
    return pair[:count].copy(), begins[:count].copy(), blocks[:count].copy(), alone


@numba.njit(cache=True, nogil=True)
def _begin(ptm):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The matrix on |0>: I and Z are 1; the result stands in the column of I, and nothing else is left."""
    for j in range(4):
        ptm[j, 0] += ptm[j, 3]
        ptm[j, 1] = 0.0
        ptm[j, 2] = 0.0
        ptm[j, 3] = 0.0


@numba.njit(cache=True, nogil=True)
def _product(one, other, both):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    for r in range(16):
        for c in range(16):
            both[r, c] = one[r >> 2, c >> 2] * other[r & 3, c & 3]


@numba.njit(cache=True, nogil=True)
def _exchange(gate, turned):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The same matrix with its two qubits named the other way round."""
    for r in range(16):
        for c in range(16):
            turned[4 * (r & 3) + (r >> 2), 4 * (c & 3) + (c >> 2)] = gate[r, c]
