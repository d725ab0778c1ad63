"""numba kernels of the state-vector simulator.

A state of 2^n amplitudes and `columns` batch entries is two flat arrays, real and imaginary parts, index
amplitude * columns + column. What is the same for every column runs over one long row. A Pauli string is two bit
masks: P |j> = i^(y) (-1)^|j & z| |j ^ x>, y the number of Y. One-qubit runs are in runs_kernels.py, the plain twin is
plain.py.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.runs_kernels import apply_run, cross_run, gradient_run, run_matrix, run_width

RUN, DENSE, MONOMIAL, STRING = 0, 1, 2, 3
_TILE = 256  # amplitudes of a row handled at once by a two-qubit map

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def _odd(value: int) -> bool:
    odd = False
    while value:
        value &= value - 1
        odd = not odd
    return odd


@_jit
def _lowest_bit(value: int) -> int:
    return value & -value


@_jit
def _highest_bit(value: int) -> int:
    bit = 1
    while value > 1:
        value >>= 1
        bit <<= 1
    return bit


@_jit
def _string_phase(x: int, z: int) -> tuple[bool, float]:
    """i^(number of Y) as (is it imaginary, its sign)."""
    y = 0
    both = x & z
    while both:
        both &= both - 1
        y += 1
    return y % 2 == 1, 1.0 if y % 4 < 2 else -1.0


@_jit
def _two(re: Any, im: Any, run_a: int, run_b: int, mr: Any, mi: Any, monomial: bool) -> None:
    """A two-qubit map [4, 4]; a monomial one has one entry a row, and rows that it leaves alone are not touched."""
    low, high = min(run_a, run_b), max(run_a, run_b)
    rows_r, rows_i = np.empty((4, _TILE)), np.empty((4, _TILE))
    for outer in range(0, re.size, 2 * high):
        for middle in range(outer, outer + high, 2 * low):
            for start in range(middle, middle + low, _TILE):
                width = min(_TILE, middle + low - start)
                for k in range(4):
                    if monomial and mr[k, k] == 1.0:
                        continue
                    at = start + (k >> 1) * run_a + (k & 1) * run_b
                    source_r, source_i, copy_r, copy_i = re[at:], im[at:], rows_r[k], rows_i[k]
                    for i in range(width):
                        copy_r[i] = source_r[i]
                        copy_i[i] = source_i[i]
                for k in range(4):
                    at = start + (k >> 1) * run_a + (k & 1) * run_b
                    if not monomial:
                        _row(re[at:], im[at:], width, rows_r, rows_i, mr[k], mi[k])
                    elif mr[k, k] != 1.0:
                        for m in range(4):
                            if mr[k, m] != 0.0 or mi[k, m] != 0.0:
                                _scaled(re[at:], im[at:], width, rows_r[m], rows_i[m], mr[k, m], mi[k, m])


@_jit
def _row(target_r: Any, target_i: Any, width: int, rows_r: Any, rows_i: Any, mr: Any, mi: Any) -> None:
    a, b, c, d = rows_r[0], rows_r[1], rows_r[2], rows_r[3]
    p, q, r, s = rows_i[0], rows_i[1], rows_i[2], rows_i[3]
    m0, m1, m2, m3 = mr[0], mr[1], mr[2], mr[3]
    n0, n1, n2, n3 = mi[0], mi[1], mi[2], mi[3]
    for i in range(width):
        target_r[i] = (m0 * a[i] + m1 * b[i] + m2 * c[i] + m3 * d[i]) - (n0 * p[i] + n1 * q[i] + n2 * r[i] + n3 * s[i])
    for i in range(width):
        target_i[i] = m0 * p[i] + m1 * q[i] + m2 * r[i] + m3 * s[i] + n0 * a[i] + n1 * b[i] + n2 * c[i] + n3 * d[i]


@_jit
def _scaled(target_r: Any, target_i: Any, width: int, a: Any, b: Any, x: float, y: float) -> None:
    for i in range(width):
        target_r[i] = x * a[i] - y * b[i]
        target_i[i] = x * b[i] + y * a[i]


@_jit
def _phases(re: Any, im: Any, start: int, stop: int, columns: int, cos: Any, sin: Any, sign: float) -> None:
    """Amplitudes from start to stop times cos - i sign sin; one angle a column, or one for all."""
    if cos.size == 1:
        c, s = cos[0], sign * sin[0]
        for i in range(start, stop):
            a, b = re[i], im[i]
            re[i] = c * a + s * b
            im[i] = c * b - s * a
        return
    for base in range(start, stop, columns):
        for k in range(columns):
            i = base + k
            c, s = cos[k], sign * sin[k]
            a, b = re[i], im[i]
            re[i] = c * a + s * b
            im[i] = c * b - s * a


@_jit
def _mix_imaginary(re: Any, im: Any, at: int, other: int, count: int, cos: Any, sin: Any, si: float, sj: float) -> None:
    """Pairs (i, j): psi_i -> c psi_i - i s sj psi_j, psi_j -> c psi_j - i s si psi_i. One angle a column, or one."""
    if cos.size == 1:
        c, s = cos[0], sin[0]
        for k in range(count):
            i, j = at + k, other + k
            ar, ai, br, bi = re[i], im[i], re[j], im[j]
            re[i] = c * ar + s * sj * bi
            im[i] = c * ai - s * sj * br
            re[j] = c * br + s * si * ai
            im[j] = c * bi - s * si * ar
        return
    for base in range(0, count, cos.size):
        for k in range(cos.size):
            c, s = cos[k], sin[k]
            i, j = at + base + k, other + base + k
            ar, ai, br, bi = re[i], im[i], re[j], im[j]
            re[i] = c * ar + s * sj * bi
            im[i] = c * ai - s * sj * br
            re[j] = c * br + s * si * ai
            im[j] = c * bi - s * si * ar


@_jit
def _mix_real(re: Any, im: Any, at: int, other: int, count: int, cos: Any, sin: Any, si: float, sj: float) -> None:
    """Pairs (i, j): psi_i -> c psi_i + s sj psi_j, psi_j -> c psi_j + s si psi_i. One angle a column, or one."""
    if cos.size == 1:
        c, s = cos[0], sin[0]
        for k in range(count):
            i, j = at + k, other + k
            ar, ai, br, bi = re[i], im[i], re[j], im[j]
            re[i] = c * ar + s * sj * br
            im[i] = c * ai + s * sj * bi
            re[j] = c * br + s * si * ar
            im[j] = c * bi + s * si * ai
        return
    for base in range(0, count, cos.size):
        for k in range(cos.size):
            c, s = cos[k], sin[k]
            i, j = at + base + k, other + base + k
            ar, ai, br, bi = re[i], im[i], re[j], im[j]
            re[i] = c * ar + s * sj * br
            im[i] = c * ai + s * sj * bi
            re[j] = c * br + s * si * ar
            im[j] = c * bi + s * si * ai


@_jit
def _rotate(re: Any, im: Any, columns: int, x: int, z: int, cos: Any, sin: Any, direction: float) -> None:
    """exp(-i angle P / 2), or its inverse for direction -1; cos and sin are those of angle / 2."""
    dimension = re.size // columns
    if x == 0:
        low = _lowest_bit(z)
        for i in range(0, dimension, low):
            sign = -direction if _odd(i & z) else direction
            _phases(re, im, i * columns, (i + low) * columns, columns, cos, sin, sign)
        return
    imaginary, phase = _string_phase(x, z)
    phase *= direction
    low, high = _lowest_bit(x | z), _highest_bit(x)
    for i in range(0, dimension, low):
        if i & high:
            continue
        j = i ^ x
        si = -phase if _odd(i & z) else phase
        sj = -phase if _odd(j & z) else phase
        count = low * columns
        if imaginary:
            _mix_real(re, im, i * columns, j * columns, count, cos, sin, si, sj)
        else:
            _mix_imaginary(re, im, i * columns, j * columns, count, cos, sin, si, sj)


@_jit
def _overlap(lr: Any, li: Any, re: Any, im: Any, columns: int, x: int, z: int, out: Any) -> None:
    """out[column] += Im <lambda| P |psi>."""
    dimension = re.size // columns
    imaginary, phase = _string_phase(x, z)
    low = _lowest_bit(x | z)
    for i in range(0, dimension, low):
        sign = -phase if _odd((i ^ x) & z) else phase
        a, b = i * columns, (i ^ x) * columns
        if columns == 1:
            total = 0.0
            if imaginary:
                for k in range(low):
                    total += lr[a + k] * re[b + k] + li[a + k] * im[b + k]
            else:
                for k in range(low):
                    total += lr[a + k] * im[b + k] - li[a + k] * re[b + k]
            out[0] += sign * total
            continue
        for base in range(0, low * columns, columns):
            p, q = a + base, b + base
            if imaginary:
                for k in range(columns):
                    out[k] += sign * (lr[p + k] * re[q + k] + li[p + k] * im[q + k])
            else:
                for k in range(columns):
                    out[k] += sign * (lr[p + k] * im[q + k] - li[p + k] * re[q + k])


@_jit
def forward(re: Any, im: Any, columns: int, starts: int, code: Any, turns: Any) -> None:
    """Applies every operation; the first `starts`, one run a qubit, make the product state to begin with.

    code: (kind, masks, which, elements, matrices, twos). masks [op, 2]: strides of the qubits, or x and z of a string.
    which [op, 2]: rows of `elements` of a run; a matrix of `twos` [2, matrix, 4, 4]; a slot. turns: (cos, sin, uniform)
    of half the angles, [slot, columns].
    """
    kind, masks, which, elements, matrices, twos = code
    cos, sin, uniform = turns
    ur, ui = np.empty((4, columns)), np.empty((4, columns))
    re[:columns] = 1.0
    size = columns
    for op in range(starts):
        width = run_width(which[op], elements, uniform, columns)
        run_matrix(which[op], elements, matrices, cos, sin, width, ur, ui)
        for base in range(0, size, columns):
            for k in range(columns):
                j = 0 if width == 1 else k
                i = base + k
                a, b = re[i], im[i]
                re[size + i] = ur[2, j] * a - ui[2, j] * b
                im[size + i] = ur[2, j] * b + ui[2, j] * a
                re[i] = ur[0, j] * a - ui[0, j] * b
                im[i] = ur[0, j] * b + ui[0, j] * a
        size *= 2
    for op in range(starts, kind.size):
        a, b, first = masks[op, 0], masks[op, 1], which[op, 0]
        if kind[op] == RUN:
            width = run_width(which[op], elements, uniform, columns)
            run_matrix(which[op], elements, matrices, cos, sin, width, ur, ui)
            apply_run(re, im, a * columns, ur[:, :width], ui[:, :width])
        elif kind[op] == STRING:
            width = 1 if uniform[first] else columns
            _rotate(re, im, columns, a, b, cos[first, :width], sin[first, :width], 1.0)
        else:
            _two(re, im, a * columns, b * columns, twos[0, first], twos[1, first], kind[op] == MONOMIAL)


@_jit
def backward(
    re: Any, im: Any, lr: Any, li: Any, columns: int, starts: int, code: Any, inverse: Any, turns: Any, gradient: Any
) -> None:
    """Takes every operation back off psi and lambda = O psi; gradient[slot, column] = d<O>/d angle.

    inverse: the inverse matrices of `twos`. A run's rotations all follow from one sum over the state, its 2 x 2 matrix
    of overlaps; the runs at the start need not be taken off, as no two of them share a qubit.
    """
    kind, masks, which, elements, matrices, _ = code
    cos, sin, uniform = turns
    ur, ui = np.empty((4, columns)), np.empty((4, columns))
    cross_r, cross_i = np.empty((4, columns)), np.empty((4, columns))
    for op in range(kind.size - 1, -1, -1):
        a, b, first = masks[op, 0], masks[op, 1], which[op, 0]
        if kind[op] == RUN:
            cross_run(lr, li, re, im, a * columns, columns, cross_r, cross_i)
            gradient_run(which[op], elements, matrices, cos, sin, cross_r, cross_i, gradient)
            if op < starts:
                continue
            width = run_width(which[op], elements, uniform, columns)
            run_matrix(which[op], elements, matrices, cos, sin, width, ur, ui)
            for k in range(width):  # the inverse is the conjugate transpose
                ur[1, k], ur[2, k] = ur[2, k], ur[1, k]
                ui[0, k], ui[1, k], ui[2, k], ui[3, k] = -ui[0, k], -ui[2, k], -ui[1, k], -ui[3, k]
            apply_run(re, im, a * columns, ur[:, :width], ui[:, :width])
            apply_run(lr, li, a * columns, ur[:, :width], ui[:, :width])
        elif kind[op] == STRING:
            _overlap(lr, li, re, im, columns, a, b, gradient[first])
            width = 1 if uniform[first] else columns
            _rotate(re, im, columns, a, b, cos[first, :width], sin[first, :width], -1.0)
            _rotate(lr, li, columns, a, b, cos[first, :width], sin[first, :width], -1.0)
        else:
            mr, mi = inverse[0, first], inverse[1, first]
            _two(re, im, a * columns, b * columns, mr, mi, kind[op] == MONOMIAL)
            _two(lr, li, a * columns, b * columns, mr, mi, kind[op] == MONOMIAL)


@_jit
def expectations(re: Any, im: Any, columns: int, strings: Any, out: Any) -> None:
    """out[string, column] = <psi| P |psi>; strings [string, 2] are masks x, z."""
    dimension = re.size // columns
    for t in range(len(strings)):
        x, z = strings[t, 0], strings[t, 1]
        imaginary, phase = _string_phase(x, z)
        if imaginary:
            phase = -phase
        low = _lowest_bit(x | z)
        row = out[t]
        row[:] = 0.0
        for i in range(0, dimension, low):
            sign = -phase if _odd((i ^ x) & z) else phase
            a, b = i * columns, (i ^ x) * columns
            if columns == 1:
                total = 0.0
                if imaginary:
                    for k in range(low):
                        total += re[a + k] * im[b + k] - im[a + k] * re[b + k]
                else:
                    for k in range(low):
                        total += re[a + k] * re[b + k] + im[a + k] * im[b + k]
                row[0] += sign * total
                continue
            for base in range(0, low * columns, columns):
                p, q = a + base, b + base
                if imaginary:
                    for k in range(columns):
                        row[k] += sign * (re[p + k] * im[q + k] - im[p + k] * re[q + k])
                else:
                    for k in range(columns):
                        row[k] += sign * (re[p + k] * re[q + k] + im[p + k] * im[q + k])


@_jit
def weighted_observable(re: Any, im: Any, columns: int, strings: Any, weights: Any, lr: Any, li: Any) -> None:
    """lambda = sum over strings of weights[string, column] P |psi>."""
    dimension = re.size // columns
    lr[:] = 0.0
    li[:] = 0.0
    for t in range(len(strings)):
        x, z = strings[t, 0], strings[t, 1]
        imaginary, phase = _string_phase(x, z)
        low = _lowest_bit(x | z)
        w = weights[t]
        for i in range(0, dimension, low):
            sign = -phase if _odd((i ^ x) & z) else phase
            a, b = i * columns, (i ^ x) * columns
            if columns == 1:
                _add_scaled(lr, li, a, re, im, b, low, sign * w[0], imaginary)
                continue
            for base in range(0, low * columns, columns):
                p, q = a + base, b + base
                if imaginary:
                    for k in range(columns):
                        lr[p + k] -= sign * w[k] * im[q + k]
                        li[p + k] += sign * w[k] * re[q + k]
                else:
                    for k in range(columns):
                        lr[p + k] += sign * w[k] * re[q + k]
                        li[p + k] += sign * w[k] * im[q + k]


@_jit
def _add_scaled(
    lr: Any, li: Any, at: int, re: Any, im: Any, source: int, count: int, factor: float, imaginary: bool
) -> None:
    """lambda[at:] += factor psi[source:], times i where imaginary."""
    if imaginary:
        for k in range(count):
            lr[at + k] -= factor * im[source + k]
            li[at + k] += factor * re[source + k]
    else:
        for k in range(count):
            lr[at + k] += factor * re[source + k]
            li[at + k] += factor * im[source + k]
