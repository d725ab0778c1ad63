"""numba kernels for what is diagonal: Z-string rotations, Z observables, their derivatives; and for permutations.

Rows of 2^low neighbours are handled at a time. Sums over parities come from one Walsh-Hadamard transform a row, however
many strings there are. A diagonal is phases over the low bits, phases over the high bits, and one table over the
low bits for all strings that share their high bits (their sign is the parity of those).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

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
)

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def odd(value: int) -> bool:
    """Parity of the bits of a number below 2^32."""
    value ^= value >> 16
    value ^= value >> 8
    value ^= value >> 4
    return (0x6996 >> (value & 15)) & 1 == 1


@_jit
def transform(row: Any, size: int) -> None:
    """Walsh-Hadamard transform in place, not normalized: row[m] becomes sum of (-1)^parity(m & j) row[j]."""
    for i in range(0, size, 8):
        x = load(row, i)
        x = exchange1(x) + signed1(x)
        x = exchange2(x) + signed2(x)
        store(row, i, exchange4(x) + signed4(x))
    a = 8
    while 4 * a <= size:
        for base in range(0, size, 4 * a):
            for i in range(base, base + a, 8):
                p, q, r, s = load(row, i), load(row, i + a), load(row, i + 2 * a), load(row, i + 3 * a)
                p, q, r, s = p + q, p - q, r + s, r - s
                store(row, i, p + r)
                store(row, i + a, q + s)
                store(row, i + 2 * a, p - r)
                store(row, i + 3 * a, q - s)
        a *= 4
    if 2 * a <= size:
        for i in range(0, a, 8):
            p, q = load(row, i), load(row, i + a)
            store(row, i, p + q)
            store(row, i + a, p - q)


@_jit
def phase_table(re: Any, im: Any, masks: Any, half: Any, shift: int) -> None:
    """Phases of Z-strings over the bits from `shift` on, as many as the table has; re, im are overwritten.

    masks, half [string]: half the angle, with its sign. Strings on one qubit come first, lowest first: those double
    the table.
    """
    size = re.size
    re[0], im[0] = 1.0, 0.0
    width, number = 1, 0
    while width < size:
        angle = 0.0
        while number < masks.size and (masks[number] >> shift) & (size - 1) == width:
            angle += half[number]
            number += 1
        c, s = np.cos(angle), np.sin(angle)
        for i in range(width):
            a, b = re[i], im[i]
            re[width + i], im[width + i] = c * a - s * b, c * b + s * a
            re[i], im[i] = c * a + s * b, c * b - s * a
        width *= 2
    for k in range(number, masks.size):
        c, s = np.cos(half[k]), np.sin(half[k])
        mask = (masks[k] >> shift) & (size - 1)
        for i in range(size):
            t = -s if odd(i & mask) else s
            a, b = re[i], im[i]
            re[i], im[i] = c * a + t * b, c * b - t * a


@_jit
def apply_phases(
    re: Any, im: Any, start: int, high: int, table: Any, at: int, groups: Any, size: int, direction: float
) -> None:
    """One row times its phases, direction 1, or times their conjugates, direction -1.

    table [2, ...] from `at` on: the low bits' phases [size], then [size] a group, then the high bits' phases.
    groups [group, 3]: masks of high bits first.
    """
    tr, ti = table[0], table[1]
    kind = re.dtype.type
    many = len(groups)
    end = at + size * (1 + many) + high
    hr, hi = splat(re, kind(tr[end])), splat(re, kind(direction * ti[end]))
    flip = splat(re, kind(direction))
    for i in range(0, size, 8):
        lr, li = load(tr, at + i), flip * load(ti, at + i)
        fr, fi = hr * lr - hi * li, hr * li + hi * lr
        for k in range(many):
            j = at + size * (1 + k) + i
            gr, gi = load(tr, j), flip * load(ti, j)
            if odd(high & groups[k, 0]):
                fr, fi = fr * gr + fi * gi, fi * gr - fr * gi
            else:
                fr, fi = fr * gr - fi * gi, fi * gr + fr * gi
        x, y = load(re, start + i), load(im, start + i)
        store(re, start + i, x * fr - y * fi)
        store(im, start + i, x * fi + y * fr)


@_jit
def imaginary_overlap(pr: Any, pi: Any, gr: Any, gi: Any, start: int, row: Any, size: int) -> None:
    """row = Im(conj(lambda) psi) of a row that starts at `start`; p is psi, g is lambda."""
    for i in range(0, size, 8):
        j = start + i
        store(row, i, load(gr, j) * load(pi, j) - load(gi, j) * load(pr, j))


@_jit
def squared_norms(pr: Any, pi: Any, start: int, row: Any, size: int) -> None:
    """row = |psi|^2."""
    for i in range(0, size, 8):
        a, b = load(pr, start + i), load(pi, start + i)
        store(row, i, a * a + b * b)


@_jit
def scaled(pr: Any, pi: Any, gr: Any, gi: Any, start: int, row: Any, size: int) -> None:
    """lambda = row psi."""
    for i in range(0, size, 8):
        w, j = load(row, i), start + i
        store(gr, j, w * load(pr, j))
        store(gi, j, w * load(pi, j))


@_jit
def permute(source: Any, target: Any, start: int, base: int, lows: Any, row: int) -> None:
    """target[start + i] = source[base ^ lows[i]] for a row."""
    for i in range(row):
        target[start + i] = source[base ^ lows[i]]
