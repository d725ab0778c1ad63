"""numba kernels of the stages of a program: apply them to a batch of states, and take them back with derivatives.

A state of 2^n amplitudes and `columns` batch entries is two flat arrays, real and imaginary parts, index
amplitude * columns + column. A row of `ops` [op, 7] is (kind, a, b, first, end, table, undo):

    RUN          rotations and fixed gates of one qubit, bit a, the same for every column: elements[first:end]
    DIAGONAL     Z-type rotations: masks b of elements[first:end] as (mask, slot); fixed phases: table, or -1
    PERMUTATION  of amplitudes: moves[first:end] as (to, from), -1 being a spare row; moved back in reverse
    ROTATION     exp(-i angle P / 2) with masks a = x, b = z of P, first = its slot
    DENSE        a fixed 4 x 4 map on bits a and b, first = its number

A Pauli string is two bit masks: P |j> = i^y (-1)^|j & z| |j ^ x>, y the number of Y. `undo` is 0 where no earlier
operation shares a qubit, so that nothing reads the state any more. turns: (cos [slot], sin [slot] of half of the angles
that all columns share, row_of [slot] = row of an angle a column or -1, cos_rows, sin_rows [row, columns]).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.rows_kernels import (
    add_scaled,
    copy_row,
    cross_sum,
    four_rows,
    im_sum,
    mix_pair,
    re_sum,
    row_im,
    row_re,
    turn,
    turn_rows,
)

RUN, DIAGONAL, PERMUTATION, ROTATION, DENSE = 0, 1, 2, 3, 4
FIXED, X, Y, Z = 0, 1, 2, 3  # elements of a run

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def odd(value: int) -> bool:
    """Whether an odd number of bits is set."""
    parity = False
    while value:
        value &= value - 1
        parity = not parity
    return parity


@_jit
def _high_bit(value: int) -> int:
    bit = 1
    while value > 1:
        value >>= 1
        bit <<= 1
    return bit


@_jit
def string_phase(x: int, z: int) -> tuple[bool, float]:
    """i^(number of Y) as (is it imaginary, its sign)."""
    y = 0
    both = x & z
    while both:
        both &= both - 1
        y += 1
    return y % 2 == 1, 1.0 if y % 4 < 2 else -1.0


@_jit
def run_matrix(op: Any, elements: Any, matrices: Any, turns: Any, ur: Any, ui: Any) -> None:
    """ur, ui [4]: entries 00, 01, 10, 11 of the product of a run's elements."""
    cos, sin = turns[0], turns[1]
    a, b, c, d = 1.0 + 0.0j, 0.0j, 0.0j, 1.0 + 0.0j
    for e in range(op[3], op[4]):
        kind, at = elements[e, 0], elements[e, 1]
        if kind == FIXED:
            m, k = matrices[0, at], matrices[1, at]
            p, q = complex(m[0, 0], k[0, 0]), complex(m[0, 1], k[0, 1])
            r, s = complex(m[1, 0], k[1, 0]), complex(m[1, 1], k[1, 1])
        elif kind == X:
            p, q = complex(cos[at], 0.0), complex(0.0, -sin[at])
            r, s = q, p
        elif kind == Y:
            p, q = complex(cos[at], 0.0), complex(-sin[at], 0.0)
            r, s = -q, p
        else:
            p, q = complex(cos[at], -sin[at]), 0.0j
            r, s = q, complex(cos[at], sin[at])
        a, b, c, d = p * a + q * c, p * b + q * d, r * a + s * c, r * b + s * d
    ur[0], ur[1], ur[2], ur[3] = a.real, b.real, c.real, d.real
    ui[0], ui[1], ui[2], ui[3] = a.imag, b.imag, c.imag, d.imag


@_jit
def _run_gradient(op: Any, elements: Any, blochs: Any, turns: Any, g: Any, gradient: Any) -> None:
    """Adds every rotation's derivative of a run. g [3, width] = Im <lambda|P|psi> behind it for P = X, Y, Z; used up.

    Taking an element E off turns P into E P E^-1, a rotation of the three.
    """
    cos, sin = turns[0], turns[1]
    for e in range(op[4] - 1, op[3] - 1, -1):
        kind, at = elements[e, 0], elements[e, 1]
        if kind == FIXED:
            m = blochs[at]
            for k in range(g.shape[1]):
                x, y, z = g[0, k], g[1, k], g[2, k]
                for row in range(3):
                    g[row, k] = m[row, 0] * x + m[row, 1] * y + m[row, 2] * z
            continue
        c, s = cos[at] * cos[at] - sin[at] * sin[at], 2 * cos[at] * sin[at]
        first, second = kind % 3, (kind + 1) % 3
        for k in range(g.shape[1]):
            gradient[at, k] += g[kind - 1, k]
            p, q = g[first, k], g[second, k]
            g[first, k] = c * p + s * q
            g[second, k] = c * q - s * p


@_jit
def _apply_run(re: Any, im: Any, run: int, ur: Any, ui: Any) -> None:
    for base in range(0, re.size, 2 * run):
        middle, end = base + run, base + 2 * run
        mix_pair(re[base:middle], im[base:middle], re[middle:end], im[middle:end], ur, ui)


@_jit
def _run_overlaps(lr: Any, li: Any, re: Any, im: Any, run: int, columns: int, g: Any) -> None:
    """g [3, width] = Im <lambda|P|psi> of one qubit's X, Y, Z; width columns, or 1 for the sum over them."""
    g[:] = 0
    for base in range(0, re.size, 2 * run):
        if g.shape[1] == 1:
            low, high = slice(base, base + run), slice(base + run, base + 2 * run)
            x, y, z = cross_sum(lr[low], li[low], lr[high], li[high], re[low], im[low], re[high], im[high])
            g[0, 0] += x
            g[1, 0] += y
            g[2, 0] += z
            continue
        for row in range(base, base + run, columns):
            low, high = slice(row, row + columns), slice(row + run, row + run + columns)
            row_im(g[0], lr[low], li[low], re[high], im[high], 1)
            row_im(g[0], lr[high], li[high], re[low], im[low], 1)
            row_re(g[1], lr[high], li[high], re[low], im[low], 1)
            row_re(g[1], lr[low], li[low], re[high], im[high], -1)
            row_im(g[2], lr[low], li[low], re[low], im[low], 1)
            row_im(g[2], lr[high], li[high], re[high], im[high], -1)


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
    low, high = (x | z) & -(x | z), _high_bit(x)
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
def _phases(op: Any, elements: Any, tables: Any, turns: Any, dimension: int, pr: Any, pi: Any) -> None:
    """pr, pi [dimension]: the phase of every amplitude under a DIAGONAL."""
    if op[5] < 0:
        pr[:] = 1
        pi[:] = 0
    else:
        pr[:] = tables[0, op[5]]
        pi[:] = tables[1, op[5]]
    for e in range(op[3], op[4]):
        at = elements[e, 1]
        rotate(pr, pi, 1, 0, elements[e, 0], turns[0][at : at + 1], turns[1][at : at + 1], 1)


@_jit
def _apply_phases(re: Any, im: Any, columns: int, pr: Any, pi: Any, direction: int) -> None:
    for i in range(pr.size):
        row = slice(i * columns, (i + 1) * columns)
        turn(re[row], im[row], pr[i], direction * pi[i])


@_jit
def _diagonal_gradient(
    lr: Any, li: Any, re: Any, im: Any, columns: int, op: Any, elements: Any, gradient: Any
) -> None:
    """Adds the derivatives of a DIAGONAL's rotations: signed sums of Im(conj(lambda_i) psi_i)."""
    width = gradient.shape[1]
    for i in range(re.size // columns):
        row = slice(i * columns, (i + 1) * columns)
        if width == 1:
            total = im_sum(lr[row], li[row], re[row], im[row])
            for e in range(op[3], op[4]):
                at = elements[e, 1]
                gradient[at, 0] += -total if odd(i & elements[e, 0]) else total
            continue
        for e in range(op[3], op[4]):
            sign = -1 if odd(i & elements[e, 0]) else 1
            row_im(gradient[elements[e, 1]], lr[row], li[row], re[row], im[row], sign)


@_jit
def _move(re: Any, im: Any, columns: int, moves: Any, first: int, end: int, back: bool) -> None:
    """Copies rows of the state along cycles."""
    spare_r, spare_i = np.empty(columns, re.dtype), np.empty(columns, re.dtype)
    for m in range(end - first):
        row = moves[end - 1 - m] if back else moves[first + m]
        to, source = (row[1], row[0]) if back else (row[0], row[1])
        a, b = to * columns, source * columns
        if to < 0:
            copy_row(spare_r, re[b : b + columns])
            copy_row(spare_i, im[b : b + columns])
        elif source < 0:
            copy_row(re[a : a + columns], spare_r)
            copy_row(im[a : a + columns], spare_i)
        else:
            copy_row(re[a : a + columns], re[b : b + columns])
            copy_row(im[a : a + columns], im[b : b + columns])


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
    dimension = re.size // columns
    ur, ui = np.empty(4, re.dtype), np.empty(4, re.dtype)
    pr, pi = np.empty(dimension, re.dtype), np.empty(dimension, re.dtype)
    for number in range(first, end):
        op = ops[number]
        kind, a, b, at = op[0], op[1], op[2], op[3]
        if kind == RUN:
            run_matrix(op, elements, matrices, turns, ur, ui)
            _apply_run(re, im, a * columns, ur, ui)
        elif kind == DIAGONAL:
            _phases(op, elements, tables, turns, dimension, pr, pi)
            _apply_phases(re, im, columns, pr, pi, 1)
        elif kind == PERMUTATION:
            _move(re, im, columns, moves, at, op[4], False)
        elif kind == ROTATION:
            r = row_of[at]
            c, s = (cos[at : at + 1], sin[at : at + 1]) if r < 0 else (cos_rows[r], sin_rows[r])
            rotate(re, im, columns, a, b, c, s, 1)
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
    dimension = re.size // columns
    ur, ui = np.empty(4, re.dtype), np.empty(4, re.dtype)
    pr, pi = np.empty(dimension, re.dtype), np.empty(dimension, re.dtype)
    g = np.empty((3, gradient.shape[1]), re.dtype)
    for number in range(end - 1, first - 1, -1):
        op = ops[number]
        kind, a, b, at = op[0], op[1], op[2], op[3]
        if kind == RUN:
            _run_overlaps(lr, li, re, im, a * columns, columns, g)
            _run_gradient(op, elements, blochs, turns, g, gradient)
            if op[6]:
                run_matrix(op, elements, matrices, turns, ur, ui)
                ur[1], ur[2] = ur[2], ur[1]
                ui[0], ui[1], ui[2], ui[3] = -ui[0], -ui[2], -ui[1], -ui[3]
                _apply_run(re, im, a * columns, ur, ui)
                _apply_run(lr, li, a * columns, ur, ui)
        elif kind == DIAGONAL:
            _diagonal_gradient(lr, li, re, im, columns, op, elements, gradient)
            if op[6]:
                _phases(op, elements, tables, turns, dimension, pr, pi)
                _apply_phases(re, im, columns, pr, pi, -1)
                _apply_phases(lr, li, columns, pr, pi, -1)
        elif kind == PERMUTATION:
            _move(re, im, columns, moves, at, op[4], True)
            _move(lr, li, columns, moves, at, op[4], True)
        elif kind == ROTATION:
            r = row_of[at]
            c, s = (cos[at : at + 1], sin[at : at + 1]) if r < 0 else (cos_rows[r], sin_rows[r])
            string_overlap(lr, li, re, im, columns, a, b, gradient[at])
            if op[6]:
                rotate(re, im, columns, a, b, c, s, -1)
                rotate(lr, li, columns, a, b, c, s, -1)
        elif op[6]:
            _dense(re, im, a * columns, b * columns, inverses[0, at], inverses[1, at])
            _dense(lr, li, a * columns, b * columns, inverses[0, at], inverses[1, at])


@_jit
def product_state(re: Any, im: Any, columns: int, code: Any, turns: Any, starts: Any) -> None:
    """The product of one-qubit states: operations starts[q] to starts[q + 1], on bit 0, make qubit q's."""
    re[:] = 0
    im[:] = 0
    re[:columns] = 1
    one_r, one_i = np.empty(2 * columns, re.dtype), np.empty(2 * columns, re.dtype)
    size = columns
    for q in range(starts.size - 1):
        if starts[q + 1] > starts[q]:
            one_r[:] = 0
            one_i[:] = 0
            one_r[:columns] = 1
            apply(one_r, one_i, columns, code, turns, starts[q], starts[q + 1])
            for base in range(0, size, columns):
                row, high = slice(base, base + columns), slice(size + base, size + base + columns)
                copy_row(re[high], re[row])
                copy_row(im[high], im[row])
                turn_rows(re[high], im[high], one_r[columns:], one_i[columns:], 1)
                turn_rows(re[row], im[row], one_r[:columns], one_i[:columns], 1)
        size *= 2
