"""numba kernels of the stages of a program: apply them to a batch of states, and take them back with derivatives.

A state of 2^n amplitudes and `columns` batch entries is two flat arrays, real and imaginary parts, index
amplitude * columns + column. A row of `ops` [op, 7] is (kind, a, b, first, end, table, undo):

    RUN          rotations and fixed gates of one qubit, bit a, the same for every column: elements[first:end]
    DIAGONAL     Z-type rotations: masks b of elements[first:end] as (mask, slot); fixed phases: table, or -1
    PERMUTATION  of amplitudes: moves[first:end] as (to, from), -1 being a spare row; moved back in reverse
    ROTATION     exp(-i angle P / 2) with masks a = x, b = z of P, first = its slot
    DENSE        a fixed 4 x 4 map on bits a and b, first = its number

The first ones, one a qubit, are runs that make the product state to begin with; their angles may differ by column.

A Pauli string is two bit masks: P |j> = i^y (-1)^|j & z| |j ^ x>, y the number of Y. `undo` is 0 where no earlier
operation shares a qubit, so that nothing reads the state any more. turns: (cos [slot], sin [slot] of half of the angles
that all columns share, row_of [slot] = row of an angle a column or -1, cos_rows, sin_rows [row, columns]).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.masks_kernels import high_bit, odd, parity, string_phase
from qtrain.simulators.rows_kernels import (
    copy_row,
    four_rows,
    im_sum,
    re_sum,
    row_im,
    row_re,
    turn,
    turn_rows,
)
from qtrain.simulators.runs_kernels import (
    BACK,
    FORTH,
    apply_run,
    run_gradient,
    run_matrix,
    run_rows,
    run_sums,
)

RUN, DIAGONAL, PERMUTATION, ROTATION, DENSE = 0, 1, 2, 3, 4

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def _turn(a: Any, b: Any, columns: int, c: Any, s: Any, sign: int) -> None:
    """Rotates (a, b) by one angle, or by one a column."""
    if c.size == 1:
        turn(a, b, c[0], sign * s[0])
        return
    for base in range(0, a.size, columns):
        turn_rows(a[base : base + columns], b[base : base + columns], c, s, sign)


@_jit
def rotate(re: Any, im: Any, columns: int, x: int, z: int, c: Any, s: Any, direction: int) -> None:
    """exp(-i angle P / 2), or its inverse for direction -1; c and s, [columns] or [1], are those of angle / 2."""
    dimension = re.size // columns
    if x == 0:
        low = z & -z
        for i in range(0, dimension, low):
            block = slice(i * columns, (i + low) * columns)
            _turn(re[block], im[block], columns, c, s, direction if odd(i & z) else -direction)
        return
    imaginary, phase = string_phase(x, z)
    low, high = (x | z) & -(x | z), high_bit(x)
    for i in range(0, dimension, low):
        if i & high:
            continue
        j = i ^ x
        sign = direction if (phase > 0) == odd(j & z) else -direction
        one, other = slice(i * columns, (i + low) * columns), slice(j * columns, (j + low) * columns)
        if imaginary:
            _turn(re[one], re[other], columns, c, s, sign)
            _turn(im[one], im[other], columns, c, s, sign)
        else:
            _turn(re[one], im[other], columns, c, s, sign)
            _turn(re[other], im[one], columns, c, s, sign)


@_jit
def string_overlap(lr: Any, li: Any, re: Any, im: Any, columns: int, x: int, z: int, out: Any) -> None:
    """out [width] += Im <lambda| P |psi>; width columns, or 1 for the sum over them."""
    imaginary, phase = string_phase(x, z)
    low = (x | z) & -(x | z)
    for i in range(0, re.size // columns, low):
        sign = 1 if (phase > 0) != odd((i ^ x) & z) else -1
        if out.size == 1:
            a, b = slice(i * columns, (i + low) * columns), slice((i ^ x) * columns, ((i ^ x) + low) * columns)
            if imaginary:
                out[0] += sign * re_sum(lr[a], li[a], re[b], im[b])
            else:
                out[0] += sign * im_sum(lr[a], li[a], re[b], im[b])
            continue
        for k in range(low):
            a = slice((i + k) * columns, (i + k + 1) * columns)
            b = slice(((i ^ x) + k) * columns, ((i ^ x) + k + 1) * columns)
            if imaginary:
                row_re(out, lr[a], li[a], re[b], im[b], sign)
            else:
                row_im(out, lr[a], li[a], re[b], im[b], sign)


@_jit
def _phases(op: Any, elements: Any, tables: Any, turns: Any, pr: Any, pi: Any) -> None:
    """pr, pi [amplitude]: the phases of a DIAGONAL."""
    if op[5] < 0:
        pr[:] = 1
        pi[:] = 0
    else:
        pr[:] = tables[0, op[5]]
        pi[:] = tables[1, op[5]]
    for e in range(op[3], op[4]):
        mask, c, s = elements[e, 0], turns[0][elements[e, 1]], turns[1][elements[e, 1]]
        for i in range(pr.size):
            a, b = pr[i], pi[i]
            t = s if parity(i & mask) else -s
            pr[i] = c * a - t * b
            pi[i] = c * b + t * a


@_jit
def _apply_phases(re: Any, im: Any, pr: Any, pi: Any, direction: int) -> None:
    """States [amplitude, columns] times the phases, or their conjugates for direction -1."""
    for i in range(len(re)):
        c, s = pr[i], pi[i] if direction > 0 else -pi[i]
        for k in range(re.shape[1]):
            a, b = re[i, k], im[i, k]
            re[i, k] = c * a - s * b
            im[i, k] = c * b + s * a


@_jit
def _diagonal_sums(lr: Any, li: Any, re: Any, im: Any, op: Any, elements: Any, sums: Any, gradient: Any) -> None:
    """Adds to gradient [slot, 1] the derivatives of a DIAGONAL's rotations: signed sums of Im(conj(lambda_i) psi_i).

    States [amplitude, columns]; sums [amplitude] is overwritten.
    """
    for i in range(len(re)):
        total = gradient.dtype.type(0)
        for k in range(re.shape[1]):
            total += lr[i, k] * im[i, k] - li[i, k] * re[i, k]
        sums[i] = total
    for e in range(op[3], op[4]):
        mask, total = elements[e, 0], gradient.dtype.type(0)
        for i in range(sums.size):
            total += -sums[i] if parity(i & mask) else sums[i]
        gradient[elements[e, 1], 0] += total


@_jit
def _diagonal_rows(lr: Any, li: Any, re: Any, im: Any, op: Any, elements: Any, gradient: Any) -> None:
    """The same of every column: gradient [slot, columns]."""
    columns = re.shape[1]
    products = np.empty(columns, re.dtype)
    for i in range(len(re)):
        for k in range(columns):
            products[k] = lr[i, k] * im[i, k] - li[i, k] * re[i, k]
        for e in range(op[3], op[4]):
            out = gradient[elements[e, 1]]
            if parity(i & elements[e, 0]):
                for k in range(columns):
                    out[k] -= products[k]
            else:
                for k in range(columns):
                    out[k] += products[k]


@_jit
def _move(real: Any, imaginary: Any, moves: Any, first: int, end: int, direction: int) -> None:
    """Copies rows of a state [amplitude, columns] along cycles."""
    columns = real.shape[1]
    spare_r, spare_i = np.empty(columns, real.dtype), np.empty(columns, real.dtype)
    for m in range(end - first):
        row = moves[end - 1 - m] if direction < 0 else moves[first + m]
        to, source = (row[1], row[0]) if direction < 0 else (row[0], row[1])
        to_r, to_i = (spare_r, spare_i) if to < 0 else (real[to], imaginary[to])
        from_r, from_i = (spare_r, spare_i) if source < 0 else (real[source], imaginary[source])
        for k in range(columns):
            to_r[k] = from_r[k]
        for k in range(columns):
            to_i[k] = from_i[k]


@_jit
def _dense(re: Any, im: Any, run_a: int, run_b: int, mr: Any, mi: Any) -> None:
    """A 4 x 4 map on two qubits."""
    low, high = min(run_a, run_b), max(run_a, run_b)
    old = np.empty((8, low), re.dtype)
    for outer in range(0, re.size, 2 * high):
        for at in range(outer, outer + high, 2 * low):
            for k in range(4):
                start = at + (k >> 1) * run_a + (k & 1) * run_b
                copy_row(old[k], re[start : start + low])
                copy_row(old[4 + k], im[start : start + low])
            for k in range(4):
                start = at + (k >> 1) * run_a + (k & 1) * run_b
                four_rows(re[start : start + low], old, mr[k], -mi[k])
                four_rows(im[start : start + low], old, mi[k], mr[k])


@_jit
def apply(re: Any, im: Any, columns: int, code: Any, turns: Any, first: int, end: int) -> None:
    """Applies operations first to end. code: (ops, elements, matrices, blochs, tables, moves, twos, inverses)."""
    ops, elements, matrices, _, tables, moves, twos, _ = code
    cos, sin, row_of, cos_rows, sin_rows = turns
    psi_r, psi_i = re.reshape(-1, columns), im.reshape(-1, columns)
    dimension = len(psi_r)
    ur, ui = np.empty(4, re.dtype), np.empty(4, re.dtype)
    pr, pi = np.empty(dimension, re.dtype), np.empty(dimension, re.dtype)
    for number in range(first, end):
        op = ops[number]
        kind, a, b, at = op[0], op[1], op[2], op[3]
        if kind == RUN:
            run_matrix(op, elements, matrices, turns, ur, ui)
            apply_run(re, im, a * columns, ur, ui)
        elif kind == DIAGONAL:
            _phases(op, elements, tables, turns, pr, pi)
            _apply_phases(psi_r, psi_i, pr, pi, FORTH)
        elif kind == PERMUTATION:
            _move(psi_r, psi_i, moves, at, op[4], FORTH)
        elif kind == ROTATION:
            r = row_of[at]
            c, s = (cos[at : at + 1], sin[at : at + 1]) if r < 0 else (cos_rows[r], sin_rows[r])
            rotate(re, im, columns, a, b, c, s, FORTH)
        else:
            _dense(re, im, a * columns, b * columns, twos[0, at], twos[1, at])


@_jit
def take_back(
    re: Any, im: Any, lr: Any, li: Any, columns: int, code: Any, turns: Any, first: int, end: int, gradient: Any
) -> None:
    """Takes operations end to first off psi and lambda; adds Im <lambda|P|psi> = d<O>/d angle to gradient.

    gradient: [slot, columns], or [slot, 1] for the sum over the columns.
    """
    ops, elements, matrices, blochs, tables, moves, _, inverses = code
    cos, sin, row_of, cos_rows, sin_rows = turns
    psi_r, psi_i = re.reshape(-1, columns), im.reshape(-1, columns)
    dimension = len(psi_r)
    ur, ui = np.empty(4, re.dtype), np.empty(4, re.dtype)
    pr, pi = np.empty(dimension, re.dtype), np.empty(dimension, re.dtype)
    pulled_r, pulled_i = lr.reshape(-1, columns), li.reshape(-1, columns)
    sums = np.empty(dimension, re.dtype)
    g = np.empty((3, gradient.shape[1]), re.dtype)
    for number in range(end - 1, first - 1, -1):
        op = ops[number]
        kind, a, b, at = op[0], op[1], op[2], op[3]
        if kind == RUN:
            if g.shape[1] == 1:
                run_sums(lr, li, re, im, a * columns, g)
            else:
                run_rows(pulled_r, pulled_i, psi_r, psi_i, a, g)
            run_gradient(op, elements, blochs, turns, g, gradient)
            if op[6]:
                run_matrix(op, elements, matrices, turns, ur, ui)
                ur[1], ur[2] = ur[2], ur[1]
                ui[0], ui[1], ui[2], ui[3] = -ui[0], -ui[2], -ui[1], -ui[3]
                apply_run(re, im, a * columns, ur, ui)
                apply_run(lr, li, a * columns, ur, ui)
        elif kind == DIAGONAL:
            if g.shape[1] == 1:
                _diagonal_sums(pulled_r, pulled_i, psi_r, psi_i, op, elements, sums, gradient)
            else:
                _diagonal_rows(pulled_r, pulled_i, psi_r, psi_i, op, elements, gradient)
            if op[6]:
                _phases(op, elements, tables, turns, pr, pi)
                _apply_phases(psi_r, psi_i, pr, pi, BACK)
                _apply_phases(pulled_r, pulled_i, pr, pi, BACK)
        elif kind == PERMUTATION:
            _move(psi_r, psi_i, moves, at, op[4], BACK)
            _move(pulled_r, pulled_i, moves, at, op[4], BACK)
        elif kind == ROTATION:
            r = row_of[at]
            c, s = (cos[at : at + 1], sin[at : at + 1]) if r < 0 else (cos_rows[r], sin_rows[r])
            string_overlap(lr, li, re, im, columns, a, b, gradient[at])
            if op[6]:
                rotate(re, im, columns, a, b, c, s, BACK)
                rotate(lr, li, columns, a, b, c, s, BACK)
        elif op[6]:
            _dense(re, im, a * columns, b * columns, inverses[0, at], inverses[1, at])
            _dense(lr, li, a * columns, b * columns, inverses[0, at], inverses[1, at])
