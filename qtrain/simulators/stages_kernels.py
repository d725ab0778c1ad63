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

from qtrain.simulators.rows_kernels import (
    copy_row,
    four_rows,
    im_sum,
    mix_rows,
    re_sum,
    row_im,
    row_re,
    turn,
    turn_rows,
)

RUN, DIAGONAL, PERMUTATION, ROTATION, DENSE = 0, 1, 2, 3, 4
FIXED, X, Y, Z = 0, 1, 2, 3  # elements of a run
_SHORT = 8  # entries from which slices are worth their overhead

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def parity(value: int) -> int:
    """1 where an odd number of bits is set, else 0; without a branch, so that loops over it are vector loops."""
    value ^= value >> 32
    value ^= value >> 16
    value ^= value >> 8
    value ^= value >> 4
    value ^= value >> 2
    value ^= value >> 1
    return value & 1


@_jit
def odd(value: int) -> bool:
    """Whether an odd number of bits is set."""
    return parity(value) == 1


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
    """A 2 x 2 matrix, entries 00, 01, 10, 11, on the qubit whose two halves are `run` entries apart."""
    if run < _SHORT:
        r0, r1, r2, r3 = ur[0], ur[1], ur[2], ur[3]
        i0, i1, i2, i3 = ui[0], ui[1], ui[2], ui[3]
        for base in range(0, re.size, 2 * run):
            for k in range(base, base + run):
                p, q, r, s = re[k], im[k], re[k + run], im[k + run]
                re[k] = r0 * p - i0 * q + r1 * r - i1 * s
                im[k] = r0 * q + i0 * p + r1 * s + i1 * r
                re[k + run] = r2 * p - i2 * q + r3 * r - i3 * s
                im[k + run] = r2 * q + i2 * p + r3 * s + i3 * r
        return
    for base in range(0, re.size, 2 * run):  # slices: the compiler would test all blocks for overlap at once, in vain
        middle, end = base + run, base + 2 * run
        mix_rows(re[base:middle], im[base:middle], re[middle:end], im[middle:end], ur, ui)


@_jit
def _run_sums(lr: Any, li: Any, re: Any, im: Any, run: int, g: Any) -> None:
    """g [3, 1] = Im <lambda|P|psi> of one qubit's X, Y, Z, summed over the columns."""
    x, y, z = g.dtype.type(0), g.dtype.type(0), g.dtype.type(0)
    for base in range(0, re.size, 2 * run):
        middle, end = base + run, base + 2 * run
        p0, q0, p1, q1 = lr[base:middle], li[base:middle], lr[middle:end], li[middle:end]
        a0, b0, a1, b1 = re[base:middle], im[base:middle], re[middle:end], im[middle:end]
        for k in range(run):
            x += p0[k] * b1[k] - q0[k] * a1[k] + p1[k] * b0[k] - q1[k] * a0[k]
            y += p1[k] * a0[k] + q1[k] * b0[k] - p0[k] * a1[k] - q0[k] * b1[k]
            z += p0[k] * b0[k] - q0[k] * a0[k] - p1[k] * b1[k] + q1[k] * a1[k]
    g[0, 0], g[1, 0], g[2, 0] = x, y, z


@_jit
def _run_rows(lr: Any, li: Any, re: Any, im: Any, bit: int, g: Any) -> None:
    """g [3, columns]: the same of every column; states [amplitude, columns]."""
    g[:] = 0
    for i in range(len(re)):
        if i & bit:
            continue
        p0, q0, p1, q1 = lr[i], li[i], lr[i | bit], li[i | bit]
        a0, b0, a1, b1 = re[i], im[i], re[i | bit], im[i | bit]
        for k in range(a0.size):
            g[0, k] += p0[k] * b1[k] - q0[k] * a1[k] + p1[k] * b0[k] - q1[k] * a0[k]
        for k in range(a0.size):
            g[1, k] += p1[k] * a0[k] + q1[k] * b0[k] - p0[k] * a1[k] - q0[k] * b1[k]
        for k in range(a0.size):
            g[2, k] += p0[k] * b0[k] - q0[k] * a0[k] - p1[k] * b1[k] + q1[k] * a1[k]


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
def _move(real: Any, imaginary: Any, moves: Any, first: int, end: int, back: bool) -> None:
    """Copies rows of a state [amplitude, columns] along cycles."""
    columns = real.shape[1]
    spare_r, spare_i = np.empty(columns, real.dtype), np.empty(columns, real.dtype)
    for m in range(end - first):
        row = moves[end - 1 - m] if back else moves[first + m]
        to, source = (row[1], row[0]) if back else (row[0], row[1])
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
            _apply_run(re, im, a * columns, ur, ui)
        elif kind == DIAGONAL:
            _phases(op, elements, tables, turns, pr, pi)
            _apply_phases(psi_r, psi_i, pr, pi, 1)
        elif kind == PERMUTATION:
            _move(psi_r, psi_i, moves, at, op[4], False)
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
                _run_sums(lr, li, re, im, a * columns, g)
            else:
                _run_rows(pulled_r, pulled_i, psi_r, psi_i, a, g)
            _run_gradient(op, elements, blochs, turns, g, gradient)
            if op[6]:
                run_matrix(op, elements, matrices, turns, ur, ui)
                ur[1], ur[2] = ur[2], ur[1]
                ui[0], ui[1], ui[2], ui[3] = -ui[0], -ui[2], -ui[1], -ui[3]
                _apply_run(re, im, a * columns, ur, ui)
                _apply_run(lr, li, a * columns, ur, ui)
        elif kind == DIAGONAL:
            if g.shape[1] == 1:
                _diagonal_sums(pulled_r, pulled_i, psi_r, psi_i, op, elements, sums, gradient)
            else:
                _diagonal_rows(pulled_r, pulled_i, psi_r, psi_i, op, elements, gradient)
            if op[6]:
                _phases(op, elements, tables, turns, pr, pi)
                _apply_phases(psi_r, psi_i, pr, pi, -1)
                _apply_phases(pulled_r, pulled_i, pr, pi, -1)
        elif kind == PERMUTATION:
            _move(psi_r, psi_i, moves, at, op[4], True)
            _move(pulled_r, pulled_i, moves, at, op[4], True)
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
def _start(op: Any, elements: Any, matrices: Any, turns: Any, r: Any, i: Any) -> None:
    """r, i [2, columns]: one qubit's state after the elements of `op`, from |0>."""
    cos, sin, row_of, cos_rows, sin_rows = turns
    r[0], r[1], i[0], i[1] = 1, 0, 0, 0
    ur, ui = np.empty(4, r.dtype), np.empty(4, r.dtype)
    for e in range(op[3], op[4]):
        kind, at = elements[e, 0], elements[e, 1]
        if kind == FIXED:
            for entry in range(4):
                ur[entry], ui[entry] = matrices[0, at, entry >> 1, entry & 1], matrices[1, at, entry >> 1, entry & 1]
            mix_rows(r[0], i[0], r[1], i[1], ur, ui)
            continue
        row = row_of[at]
        if row < 0:
            if kind == X:
                turn(r[0], i[1], cos[at], -sin[at])
                turn(r[1], i[0], cos[at], -sin[at])
            elif kind == Y:
                turn(r[0], r[1], cos[at], sin[at])
                turn(i[0], i[1], cos[at], sin[at])
            else:
                turn(r[0], i[0], cos[at], -sin[at])
                turn(r[1], i[1], cos[at], sin[at])
            continue
        c, s = cos_rows[row], sin_rows[row]
        if kind == X:
            turn_rows(r[0], i[1], c, s, -1)
            turn_rows(r[1], i[0], c, s, -1)
        elif kind == Y:
            turn_rows(r[0], r[1], c, s, 1)
            turn_rows(i[0], i[1], c, s, 1)
        else:
            turn_rows(r[0], i[0], c, s, -1)
            turn_rows(r[1], i[1], c, s, 1)


@_jit
def product_state(re: Any, im: Any, columns: int, code: Any, turns: Any, qubits: int) -> None:
    """The product of one-qubit states: operation q makes qubit q's from |0>."""
    ops, elements, matrices = code[0], code[1], code[2]
    real, imaginary = re.reshape(-1, columns), im.reshape(-1, columns)
    real[0], imaginary[0] = 1, 0
    r, i = np.empty((2, columns), re.dtype), np.empty((2, columns), re.dtype)
    for q in range(qubits):
        rows = 1 << q
        if ops[q, 4] == ops[q, 3]:
            real[rows : 2 * rows], imaginary[rows : 2 * rows] = 0, 0
            continue
        _start(ops[q], elements, matrices, turns, r, i)
        for row in range(rows):
            for k in range(columns):
                real[rows + row, k] = r[1, k] * real[row, k] - i[1, k] * imaginary[row, k]
            for k in range(columns):
                imaginary[rows + row, k] = r[1, k] * imaginary[row, k] + i[1, k] * real[row, k]
            for k in range(columns):
                a, b = real[row, k], imaginary[row, k]
                real[row, k] = r[0, k] * a - i[0, k] * b
                imaginary[row, k] = r[0, k] * b + i[0, k] * a
