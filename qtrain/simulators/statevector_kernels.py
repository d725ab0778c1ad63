"""numba kernels of the state-vector simulator.

A state of `dimension` amplitudes and `columns` batch entries is two flat arrays, real and imaginary parts, index
amplitude * columns + column. A Pauli string is two bit masks and a count: P |j> = i^(y) (-1)^|j & z| |j ^ x>, y the
number of Y. The plain twin is plain.py.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

FIXED_ONE, FIXED_TWO, ROTATION = 0, 1, 2

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
def _fixed_one(re: Any, im: Any, run: int, mr: Any, mi: Any) -> None:
    for base in range(0, re.size, 2 * run):
        for i in range(base, base + run):
            j = i + run
            ar, ai, br, bi = re[i], im[i], re[j], im[j]
            re[i] = mr[0, 0] * ar - mi[0, 0] * ai + mr[0, 1] * br - mi[0, 1] * bi
            im[i] = mr[0, 0] * ai + mi[0, 0] * ar + mr[0, 1] * bi + mi[0, 1] * br
            re[j] = mr[1, 0] * ar - mi[1, 0] * ai + mr[1, 1] * br - mi[1, 1] * bi
            im[j] = mr[1, 0] * ai + mi[1, 0] * ar + mr[1, 1] * bi + mi[1, 1] * br


@_jit
def _fixed_two(re: Any, im: Any, run_a: int, run_b: int, mr: Any, mi: Any) -> None:
    low, high = min(run_a, run_b), max(run_a, run_b)
    vr, vi = np.empty(4), np.empty(4)
    for outer in range(0, re.size, 2 * high):
        for middle in range(outer, outer + high, 2 * low):
            for i in range(middle, middle + low):
                for k in range(4):
                    at = i + (k >> 1) * run_a + (k & 1) * run_b
                    vr[k], vi[k] = re[at], im[at]
                for k in range(4):
                    at = i + (k >> 1) * run_a + (k & 1) * run_b
                    sr, si = 0.0, 0.0
                    for m in range(4):
                        sr += mr[k, m] * vr[m] - mi[k, m] * vi[m]
                        si += mr[k, m] * vi[m] + mi[k, m] * vr[m]
                    re[at], im[at] = sr, si


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
def _apply(
    re: Any,
    im: Any,
    columns: int,
    op: int,
    kind: Any,
    masks: Any,
    matrix: Any,
    ones: Any,
    twos: Any,
    cos: Any,
    sin: Any,
    uniform: Any,
    slot: Any,
    direction: float,
) -> None:
    a, b = masks[op, 0], masks[op, 1]
    if kind[op] == FIXED_ONE:
        _fixed_one(re, im, a * columns, ones[0, matrix[op]], ones[1, matrix[op]])
    elif kind[op] == FIXED_TWO:
        _fixed_two(re, im, a * columns, b * columns, twos[0, matrix[op]], twos[1, matrix[op]])
    else:
        s = slot[op]
        width = 1 if uniform[s] else columns
        _rotate(re, im, columns, a, b, cos[s, :width], sin[s, :width], direction)


@_jit
def forward(
    re: Any,
    im: Any,
    columns: int,
    kind: Any,
    masks: Any,
    matrix: Any,
    slot: Any,
    ones: Any,
    twos: Any,
    cos: Any,
    sin: Any,
    uniform: Any,
) -> None:
    """Applies every operation in order. cos and sin [slot, columns] are those of half the angles."""
    for op in range(kind.size):
        _apply(re, im, columns, op, kind, masks, matrix, ones, twos, cos, sin, uniform, slot, 1.0)


@_jit
def backward(
    re: Any,
    im: Any,
    lr: Any,
    li: Any,
    columns: int,
    kind: Any,
    masks: Any,
    matrix: Any,
    slot: Any,
    ones: Any,
    twos: Any,
    cos: Any,
    sin: Any,
    uniform: Any,
    gradient: Any,
) -> None:
    """Takes every operation back off psi and lambda = O psi; gradient[slot, column] = d<O>/d angle.

    ones and twos hold the inverse matrices here.
    """
    first = 0
    while first < kind.size and kind[first] != ROTATION:
        first += 1
    for op in range(kind.size - 1, first - 1, -1):
        if kind[op] == ROTATION:
            _overlap(lr, li, re, im, columns, masks[op, 0], masks[op, 1], gradient[slot[op]])
        if op > first:
            _apply(re, im, columns, op, kind, masks, matrix, ones, twos, cos, sin, uniform, slot, -1.0)
            _apply(lr, li, columns, op, kind, masks, matrix, ones, twos, cos, sin, uniform, slot, -1.0)


@_jit
def expectations(re: Any, im: Any, columns: int, strings: Any, out: Any) -> None:
    """out[string, column] = <psi| P |psi>; strings [string, 2] are masks x, z."""
    dimension = re.size // columns
    for t in range(len(strings)):
        x, z = strings[t, 0], strings[t, 1]
        imaginary, phase = _string_phase(x, z)
        row = out[t]
        row[:] = 0.0
        for i in range(dimension):
            j = i ^ x
            sign = -phase if _odd(j & z) else phase
            a, b = i * columns, j * columns
            if imaginary:
                for k in range(columns):
                    row[k] -= sign * (re[a + k] * im[b + k] - im[a + k] * re[b + k])
            else:
                for k in range(columns):
                    row[k] += sign * (re[a + k] * re[b + k] + im[a + k] * im[b + k])


@_jit
def weighted_observable(re: Any, im: Any, columns: int, strings: Any, weights: Any, lr: Any, li: Any) -> None:
    """lambda = sum over strings of weights[string, column] P |psi>."""
    dimension = re.size // columns
    lr[:] = 0.0
    li[:] = 0.0
    for t in range(len(strings)):
        x, z = strings[t, 0], strings[t, 1]
        imaginary, phase = _string_phase(x, z)
        w = weights[t]
        for i in range(dimension):
            j = i ^ x
            sign = -phase if _odd(j & z) else phase
            a, b = i * columns, j * columns
            if imaginary:
                for k in range(columns):
                    lr[a + k] -= sign * w[k] * im[b + k]
                    li[a + k] += sign * w[k] * re[b + k]
            else:
                for k in range(columns):
                    lr[a + k] += sign * w[k] * re[b + k]
                    li[a + k] += sign * w[k] * im[b + k]
