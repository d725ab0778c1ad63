"""numba kernels for Pauli strings with X or Y, and dense two-qubit maps: what layers cannot make cheaper.

P |j> = i^y (-1)^parity(j & z) |j ^ x>, y the number of Y. The bits of x within a vector exchange lanes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.diagonal_kernels import odd
from qtrain.simulators.lanes import (
    exchange1,
    exchange2,
    exchange4,
    load,
    signed1,
    signed2,
    signed4,
    splat,
    store,
    total,
)

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def phase_of(x: int, z: int) -> complex:
    """i^(number of Y)."""
    y = 0
    both = x & z
    while both:
        both &= both - 1
        y += 1
    return (1.0 + 0.0j, 1.0j, -1.0 + 0.0j, -1.0j)[y & 3]


@_jit
def _moved(v: Any, x: int) -> Any:
    """Lane i becomes lane i ^ x."""
    if x & 1:
        v = exchange1(v)
    if x & 2:
        v = exchange2(v)
    if x & 4:
        v = exchange4(v)
    return v


@_jit
def _signs(like: Any, x: int, z: int) -> Any:
    """(-1)^parity((lane ^ x) & z)."""
    v = splat(like, like.dtype.type(-1.0 if odd(x & z & 7) else 1.0))
    if z & 1:
        v = signed1(v)
    if z & 2:
        v = signed2(v)
    if z & 4:
        v = signed4(v)
    return v


@_jit
def _pivot(x: int) -> int:
    """The highest bit of x outside the lanes; 0 if there is none."""
    x &= ~7
    bit = 8
    if x == 0:
        return 0
    while x >= 2 * bit:
        bit *= 2
    return bit


@_jit
def _partner(re: Any, im: Any, i: int, x: int, z: int, signs: Any) -> Any:
    """The part of (P psi)[i : i + 8] that has no power of i."""
    j = i ^ (x & ~7)
    factor = splat(re, re.dtype.type(-1.0 if odd(j & z & ~7) else 1.0)) * signs
    return factor * _moved(load(re, j), x), factor * _moved(load(im, j), x)


@_jit
def rotate(re: Any, im: Any, start: int, stop: int, x: int, z: int, cos: float, sin: float) -> None:
    """exp(-i angle P / 2) on the vectors from start to stop and their partners; cos, sin of half the angle."""
    kind = re.dtype.type
    phase = -1.0j * sin * phase_of(x, z)
    c, u, v = splat(re, kind(cos)), splat(re, kind(phase.real)), splat(re, kind(phase.imag))
    signs, pivot = _signs(re, x, z), _pivot(x)
    for i in range(start, stop, 8):
        if i & pivot:
            continue
        a, b = _partner(re, im, i, x, z, signs)
        p, q = load(re, i), load(im, i)
        if pivot:
            j = i ^ (x & ~7)
            e, f = _partner(re, im, j, x, z, signs)
            r, s = load(re, j), load(im, j)
            store(re, j, c * r + u * e - v * f)
            store(im, j, c * s + u * f + v * e)
        store(re, i, c * p + u * a - v * b)
        store(im, i, c * q + u * b + v * a)


@_jit
def overlap(gr: Any, gi: Any, pr: Any, pi: Any, start: int, stop: int, x: int, z: int) -> complex:
    """<lambda| P |psi>, summed over lambda's amplitudes from start to stop; g is lambda, p is psi."""
    zero = splat(pr, pr.dtype.type(0.0))
    real, imaginary = zero, zero
    signs = _signs(pr, x, z)
    for i in range(start, stop, 8):
        a, b = _partner(pr, pi, i, x, z, signs)
        p, q = load(gr, i), load(gi, i)
        real = real + p * a + q * b
        imaginary = imaginary + p * b - q * a
    return complex(total(real), total(imaginary)) * phase_of(x, z)


@_jit
def add_string(pr: Any, pi: Any, gr: Any, gi: Any, start: int, stop: int, x: int, z: int, weight: float) -> None:
    """lambda += weight P psi on lambda's amplitudes from start to stop."""
    kind = pr.dtype.type
    phase = weight * phase_of(x, z)
    u, v = splat(pr, kind(phase.real)), splat(pr, kind(phase.imag))
    signs = _signs(pr, x, z)
    for i in range(start, stop, 8):
        a, b = _partner(pr, pi, i, x, z, signs)
        store(gr, i, load(gr, i) + u * a - v * b)
        store(gi, i, load(gi, i) + u * b + v * a)


@_jit
def two_qubit(re: Any, im: Any, size: int, first: int, second: int, matrix: Any) -> None:
    """A 4 x 4 map on qubits of strides first and second, the first one the more significant index."""
    kind = re.dtype.type
    low, high = min(first, second), max(first, second)
    mr, mi = np.empty((4, 4), re.dtype), np.empty((4, 4), re.dtype)
    for k in range(4):
        for m in range(4):
            mr[k, m], mi[k, m] = kind(matrix[k, m].real), kind(matrix[k, m].imag)
    for outer in range(0, size, 2 * high):
        for middle in range(outer, outer + high, 2 * low):
            for i in range(middle, middle + low):
                a0, a1, a2, a3 = re[i], re[i + second], re[i + first], re[i + first + second]
                b0, b1, b2, b3 = im[i], im[i + second], im[i + first], im[i + first + second]
                for k in range(4):
                    j = i + (k >> 1) * first + (k & 1) * second
                    r, s = mr[k], mi[k]
                    re[j] = (
                        r[0] * a0 + r[1] * a1 + r[2] * a2 + r[3] * a3 - (s[0] * b0 + s[1] * b1 + s[2] * b2 + s[3] * b3)
                    )
                    im[j] = (
                        r[0] * b0 + r[1] * b1 + r[2] * b2 + r[3] * b3 + (s[0] * a0 + s[1] * a1 + s[2] * a2 + s[3] * a3)
                    )
