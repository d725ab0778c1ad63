"""numba kernels that turn many qubits of a real vector: forward, and back again with every derivative.

RY is real, so real and imaginary parts are two real vectors that turn alike. Six qubits are turned in one pass over 64
neighbours, the three lowest within a register; further qubits three at a time, eight vectors in registers. Index bit q
of a vector is its qubit q here; sweeps over high qubits copy tiles so that it is (sweep_kernels.py).
"""

from __future__ import annotations

from typing import Any

import numba

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
def _inner(x: Any, c: Any, s: Any) -> Any:
    """One vector whose three qubits turn; s holds the sines with the signs that their lanes take."""
    x = c[0] * x + s[0] * exchange1(x)
    x = c[1] * x + s[1] * exchange2(x)
    return c[2] * x + s[2] * exchange4(x)


@_jit
def _across(x: Any, c: Any, s: Any) -> Any:
    """Eight vectors that three qubits number."""
    x0, x1, x2, x3, x4, x5, x6, x7 = x
    c0, c1, c2 = c
    s0, s1, s2 = s
    x0, x1 = c0 * x0 - s0 * x1, s0 * x0 + c0 * x1
    x2, x3 = c0 * x2 - s0 * x3, s0 * x2 + c0 * x3
    x4, x5 = c0 * x4 - s0 * x5, s0 * x4 + c0 * x5
    x6, x7 = c0 * x6 - s0 * x7, s0 * x6 + c0 * x7
    x0, x2 = c1 * x0 - s1 * x2, s1 * x0 + c1 * x2
    x1, x3 = c1 * x1 - s1 * x3, s1 * x1 + c1 * x3
    x4, x6 = c1 * x4 - s1 * x6, s1 * x4 + c1 * x6
    x5, x7 = c1 * x5 - s1 * x7, s1 * x5 + c1 * x7
    x0, x4 = c2 * x0 - s2 * x4, s2 * x0 + c2 * x4
    x1, x5 = c2 * x1 - s2 * x5, s2 * x1 + c2 * x5
    x2, x6 = c2 * x2 - s2 * x6, s2 * x2 + c2 * x6
    x3, x7 = c2 * x3 - s2 * x7, s2 * x3 + c2 * x7
    return x0, x1, x2, x3, x4, x5, x6, x7


@_jit
def _read(x: Any, i: int, a: int, b: int, c: int) -> Any:
    return (
        load(x, i),
        load(x, i + a),
        load(x, i + b),
        load(x, i + a + b),
        load(x, i + c),
        load(x, i + a + c),
        load(x, i + b + c),
        load(x, i + a + b + c),
    )


@_jit
def _write(x: Any, i: int, a: int, b: int, c: int, values: Any) -> None:
    store(x, i, values[0])
    store(x, i + a, values[1])
    store(x, i + b, values[2])
    store(x, i + a + b, values[3])
    store(x, i + c, values[4])
    store(x, i + a + c, values[5])
    store(x, i + b + c, values[6])
    store(x, i + a + b + c, values[7])


@_jit
def _three(x: Any, cos: Any, sin: Any, at: int, sign: float) -> Any:
    """Cosines and sines of places at, at + 1, at + 2 in all lanes."""
    kind = x.dtype.type
    c = splat(x, kind(cos[at])), splat(x, kind(cos[at + 1])), splat(x, kind(cos[at + 2]))
    s = splat(x, kind(sign * sin[at])), splat(x, kind(sign * sin[at + 1])), splat(x, kind(sign * sin[at + 2]))
    return c, s


@_jit
def _lane_signs(s: Any) -> Any:
    """The sines of the three lowest qubits as `_inner` takes them: minus for |0>, plus for |1>."""
    minus = s[0] - s[0] - s[0], s[1] - s[1] - s[1], s[2] - s[2] - s[2]
    return signed1(minus[0]), signed2(minus[1]), signed4(minus[2])


@_jit
def _turn_64(x: Any, start: int, stop: int, cos: Any, sin: Any) -> None:
    c, s = _three(x, cos, sin, 0, 1.0)
    s = _lane_signs(s)
    d, t = _three(x, cos, sin, 3, 1.0)
    for i in range(start, stop, 64):
        v = _read(x, i, 8, 16, 32)
        v = (
            _inner(v[0], c, s),
            _inner(v[1], c, s),
            _inner(v[2], c, s),
            _inner(v[3], c, s),
            _inner(v[4], c, s),
            _inner(v[5], c, s),
            _inner(v[6], c, s),
            _inner(v[7], c, s),
        )
        _write(x, i, 8, 16, 32, _across(v, d, t))


@_jit
def _turn_three(x: Any, start: int, stop: int, strides: Any, c: Any, s: Any) -> None:
    a, b, h = strides
    for i0 in range(start, stop, 2 * h):
        for i1 in range(i0, i0 + h, 2 * b):
            for i2 in range(i1, i1 + b, 2 * a):
                for i in range(i2, i2 + a, 8):
                    _write(x, i, a, b, h, _across(_read(x, i, a, b, h), c, s))


@_jit
def _turn_one(x: Any, start: int, stop: int, a: int, c: Any, s: Any) -> None:
    for base in range(start, stop, 2 * a):
        for i in range(base, base + a, 8):
            p, q = load(x, i), load(x, i + a)
            store(x, i, c * p - s * q)
            store(x, i + a, s * p + c * q)


@_jit
def turn(x: Any, start: int, stop: int, active: int, cos: Any, sin: Any) -> None:
    """Turns the qubits of a mask in x[start:stop], a whole number of blocks that hold them, 64 elements at least.

    cos, sin [qubit] of half the angles: 1 and 0 where nothing turns.
    """
    kind = x.dtype.type
    if active & 63:
        _turn_64(x, start, stop, cos, sin)
    a, b, h = 0, 0, 0
    many = 0
    q = 6
    while active >> q:
        if active >> q & 1:
            a, b, h = b, h, q
            many += 1
        if many == 3:
            c = splat(x, kind(cos[a])), splat(x, kind(cos[b])), splat(x, kind(cos[h]))
            s = splat(x, kind(sin[a])), splat(x, kind(sin[b])), splat(x, kind(sin[h]))
            _turn_three(x, start, stop, (1 << a, 1 << b, 1 << h), c, s)
            many = 0
        q += 1
    while many:
        q = h if many == 1 else b
        _turn_one(x, start, stop, 1 << q, splat(x, kind(cos[q])), splat(x, kind(sin[q])))
        many -= 1


@_jit
def _slopes_across(p: Any, g: Any, sums: Any) -> Any:
    """Adds g1 p0 - g0 p1 of each of three qubits that number eight vectors, to one accumulator a qubit."""
    p0, p1, p2, p3, p4, p5, p6, p7 = p
    g0, g1, g2, g3, g4, g5, g6, g7 = g
    a, b, c = sums
    a = a + g1 * p0 - g0 * p1 + g3 * p2 - g2 * p3 + g5 * p4 - g4 * p5 + g7 * p6 - g6 * p7
    b = b + g2 * p0 - g0 * p2 + g3 * p1 - g1 * p3 + g6 * p4 - g4 * p6 + g7 * p5 - g5 * p7
    c = c + g4 * p0 - g0 * p4 + g5 * p1 - g1 * p5 + g6 * p2 - g2 * p6 + g7 * p3 - g3 * p7
    return a, b, c


@_jit
def _slopes_inner(p: Any, g: Any, sums: Any) -> Any:
    """The same of the three qubits within a vector; the lanes of |1> count with a minus (`_lane_totals`)."""
    a, b, c = sums
    return a + p * exchange1(g), b + p * exchange2(g), c + p * exchange4(g)


@_jit
def _back_64(p: Any, g: Any, start: int, stop: int, cos: Any, sin: Any, slopes: Any) -> None:
    c, s = _three(p, cos, sin, 0, -1.0)
    s = _lane_signs(s)
    d, t = _three(p, cos, sin, 3, -1.0)
    zero = splat(p, p.dtype.type(0.0))
    inner, across = (zero, zero, zero), (zero, zero, zero)
    for i in range(start, stop, 64):
        u, v = _read(p, i, 8, 16, 32), _read(g, i, 8, 16, 32)
        across = _slopes_across(u, v, across)
        u, v = _across(u, d, t), _across(v, d, t)
        inner = _slopes_inner(u[0], v[0], inner)
        inner = _slopes_inner(u[1], v[1], inner)
        inner = _slopes_inner(u[2], v[2], inner)
        inner = _slopes_inner(u[3], v[3], inner)
        inner = _slopes_inner(u[4], v[4], inner)
        inner = _slopes_inner(u[5], v[5], inner)
        inner = _slopes_inner(u[6], v[6], inner)
        inner = _slopes_inner(u[7], v[7], inner)
        u = (
            _inner(u[0], c, s),
            _inner(u[1], c, s),
            _inner(u[2], c, s),
            _inner(u[3], c, s),
            _inner(u[4], c, s),
            _inner(u[5], c, s),
            _inner(u[6], c, s),
            _inner(u[7], c, s),
        )
        v = (
            _inner(v[0], c, s),
            _inner(v[1], c, s),
            _inner(v[2], c, s),
            _inner(v[3], c, s),
            _inner(v[4], c, s),
            _inner(v[5], c, s),
            _inner(v[6], c, s),
            _inner(v[7], c, s),
        )
        _write(p, i, 8, 16, 32, u)
        _write(g, i, 8, 16, 32, v)
    slopes[0] += total(signed1(inner[0]))
    slopes[1] += total(signed2(inner[1]))
    slopes[2] += total(signed4(inner[2]))
    for k in range(3):
        slopes[3 + k] += total(across[k])


@_jit
def _back_three(p: Any, g: Any, start: int, stop: int, strides: Any, c: Any, s: Any) -> Any:
    a, b, h = strides
    zero = splat(p, p.dtype.type(0.0))
    sums = zero, zero, zero
    for i0 in range(start, stop, 2 * h):
        for i1 in range(i0, i0 + h, 2 * b):
            for i2 in range(i1, i1 + b, 2 * a):
                for i in range(i2, i2 + a, 8):
                    u, v = _read(p, i, a, b, h), _read(g, i, a, b, h)
                    sums = _slopes_across(u, v, sums)
                    _write(p, i, a, b, h, _across(u, c, s))
                    _write(g, i, a, b, h, _across(v, c, s))
    return total(sums[0]), total(sums[1]), total(sums[2])


@_jit
def _back_one(p: Any, g: Any, start: int, stop: int, a: int, c: Any, s: Any) -> float:
    found = splat(p, p.dtype.type(0.0))
    for base in range(start, stop, 2 * a):
        for i in range(base, base + a, 8):
            p0, p1, g0, g1 = load(p, i), load(p, i + a), load(g, i), load(g, i + a)
            found = found + g1 * p0 - g0 * p1
            store(p, i, c * p0 - s * p1)
            store(p, i + a, s * p0 + c * p1)
            store(g, i, c * g0 - s * g1)
            store(g, i + a, s * g0 + c * g1)
    return total(found)


@_jit
def turn_back(p: Any, g: Any, start: int, stop: int, active: int, cos: Any, sin: Any, slopes: Any) -> None:
    """Takes the turns off p and g, and adds sum of g_1 p_0 - g_0 p_1 of every active qubit to slopes [qubit].

    Over real and imaginary parts together that is Im <g| Y |p>, the derivative with respect to the angle.
    """
    kind = p.dtype.type
    if active & 63:
        _back_64(p, g, start, stop, cos, sin, slopes)
    a, b, h = 0, 0, 0
    many = 0
    q = 6
    while active >> q:
        if active >> q & 1:
            a, b, h = b, h, q
            many += 1
        if many == 3:
            c = splat(p, kind(cos[a])), splat(p, kind(cos[b])), splat(p, kind(cos[h]))
            s = splat(p, kind(-sin[a])), splat(p, kind(-sin[b])), splat(p, kind(-sin[h]))
            first, second, third = _back_three(p, g, start, stop, (1 << a, 1 << b, 1 << h), c, s)
            slopes[a] += first
            slopes[b] += second
            slopes[h] += third
            many = 0
        q += 1
    while many:
        q = h if many == 1 else b
        slopes[q] += _back_one(p, g, start, stop, 1 << q, splat(p, kind(cos[q])), splat(p, kind(-sin[q])))
        many -= 1
