"""numba kernels on rows: the inner loops of the state-vector simulator.

Each takes contiguous one-dimensional views of equal length and is one loop over them, with few arrays that are written:
only so does the compiler make vector instructions of it. Numbers stay in the rows' own precision.
"""

from __future__ import annotations

from typing import Any

import numba

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def copy_row(to: Any, source: Any) -> None:
    """to = source."""
    for k in range(to.size):
        to[k] = source[k]


@_jit
def turn(a: Any, b: Any, cos: float, sin: float) -> None:
    """(a, b) -> (cos a - sin b, sin a + cos b): a + ib times cos + i sin."""
    c, s = a.dtype.type(cos), a.dtype.type(sin)
    for k in range(a.size):
        x, y = a[k], b[k]
        a[k] = c * x - s * y
        b[k] = s * x + c * y


@_jit
def turn_rows(a: Any, b: Any, cos: Any, sin: Any, sign: int) -> None:
    """The same with an angle an entry, backwards for sign -1."""
    f = a.dtype.type(sign)
    for k in range(a.size):
        x, y, s = a[k], b[k], f * sin[k]
        a[k] = cos[k] * x - s * y
        b[k] = s * x + cos[k] * y


@_jit
def mix_rows(a: Any, b: Any, c: Any, d: Any, ur: Any, ui: Any) -> None:
    """A 2 x 2 matrix, entries 00, 01, 10, 11, on (a + ib, c + id)."""
    r0, r1, r2, r3 = ur[0], ur[1], ur[2], ur[3]
    i0, i1, i2, i3 = ui[0], ui[1], ui[2], ui[3]
    for k in range(a.size):
        p, q, r, s = a[k], b[k], c[k], d[k]
        a[k] = r0 * p - i0 * q + r1 * r - i1 * s
        b[k] = r0 * q + i0 * p + r1 * s + i1 * r
        c[k] = r2 * p - i2 * q + r3 * r - i3 * s
        d[k] = r2 * q + i2 * p + r3 * s + i3 * r


@_jit
def four_rows(out: Any, rows: Any, real: Any, imaginary: Any) -> None:
    """out = real @ rows[:4] + imaginary @ rows[4:]."""
    a, b, c, d = rows[0], rows[1], rows[2], rows[3]
    e, f, g, h = rows[4], rows[5], rows[6], rows[7]
    r0, r1, r2, r3 = real[0], real[1], real[2], real[3]
    i0, i1, i2, i3 = imaginary[0], imaginary[1], imaginary[2], imaginary[3]
    for k in range(out.size):
        x = r0 * a[k] + r1 * b[k] + r2 * c[k] + r3 * d[k]
        out[k] = x + i0 * e[k] + i1 * f[k] + i2 * g[k] + i3 * h[k]


@_jit
def im_sum(p: Any, q: Any, a: Any, b: Any) -> float:
    """Sum of Im(conj(p + iq) (a + ib))."""
    total = p.dtype.type(0)
    for k in range(p.size):
        total += p[k] * b[k] - q[k] * a[k]
    return total


@_jit
def re_sum(p: Any, q: Any, a: Any, b: Any) -> float:
    """Sum of Re(conj(p + iq) (a + ib))."""
    total = p.dtype.type(0)
    for k in range(p.size):
        total += p[k] * a[k] + q[k] * b[k]
    return total


@_jit
def row_im(out: Any, p: Any, q: Any, a: Any, b: Any, sign: int) -> None:
    """out += sign * Im(conj(p + iq) (a + ib))."""
    f = out.dtype.type(sign)
    for k in range(out.size):
        out[k] += f * (p[k] * b[k] - q[k] * a[k])


@_jit
def row_re(out: Any, p: Any, q: Any, a: Any, b: Any, sign: int) -> None:
    """out += sign * Re(conj(p + iq) (a + ib))."""
    f = out.dtype.type(sign)
    for k in range(out.size):
        out[k] += f * (p[k] * a[k] + q[k] * b[k])


@_jit
def add_scaled(out: Any, factors: Any, row: Any, sign: int) -> None:
    """out += sign * factors * row."""
    f = out.dtype.type(sign)
    for k in range(out.size):
        out[k] += f * factors[k] * row[k]
