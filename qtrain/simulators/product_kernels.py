"""numba kernels for the product state that a circuit begins with, and for the derivatives of what made it.

Neither takes a pass a qubit: the state is an outer product of two small tables, and lambda contracted with one of them
at a time, in one reading, gives every qubit's share.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.lanes import load, splat, store, total

FIXED, X, Y, Z = 0, 1, 2, 3

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def _matrix(kind: int, at: int, matrices: Any, half: Any, direction: float) -> Any:
    """An element's 2 x 2 matrix, direction 1, or its inverse, direction -1."""
    if kind == FIXED:
        m = matrices[at]
        if direction > 0:
            return m[0, 0], m[0, 1], m[1, 0], m[1, 1]
        return m[0, 0].conjugate(), m[1, 0].conjugate(), m[0, 1].conjugate(), m[1, 1].conjugate()
    c, s = np.cos(half[at]), direction * np.sin(half[at])
    if kind == X:
        return complex(c, 0.0), complex(0.0, -s), complex(0.0, -s), complex(c, 0.0)
    if kind == Y:
        return complex(c, 0.0), complex(-s, 0.0), complex(s, 0.0), complex(c, 0.0)
    return complex(c, -s), complex(0.0, 0.0), complex(0.0, 0.0), complex(c, s)


@_jit
def single_states(starts: Any, elements: Any, matrices: Any, half: Any, out: Any) -> None:
    """out [qubit, 2]: |0> behind each qubit's first operations. elements [element, 2]: (kind, matrix or slot)."""
    for q in range(len(starts)):
        u, v = complex(1.0, 0.0), complex(0.0, 0.0)
        for e in range(starts[q, 0], starts[q, 1]):
            a, b, c, d = _matrix(elements[e, 0], elements[e, 1], matrices, half, 1.0)
            u, v = a * u + b * v, c * u + d * v
        out[q, 0], out[q, 1] = u, v


@_jit
def prefixes(singles: Any, out: Any) -> None:
    """out[2^q : 2^(q + 1)]: the product state of the first q qubits, q = 0, 1, ..., all of them."""
    out[1] = 1.0
    for q in range(len(singles)):
        size = 1 << q
        a, b = singles[q, 0], singles[q, 1]
        for i in range(size):
            value = out[size + i]
            out[2 * size + i] = a * value
            out[3 * size + i] = b * value


@_jit
def outer_product(low: Any, high: Any, first: int, last: int, re: Any, im: Any) -> None:
    """psi[high, low] = high[...] low[...] for the high indices from first to last."""
    size = low.size
    kind = re.dtype.type
    lr, li = np.empty(size, re.dtype), np.empty(size, re.dtype)
    for i in range(size):
        lr[i], li[i] = kind(low[i].real), kind(low[i].imag)
    for h in range(first, last):
        a, b = splat(re, kind(high[h].real)), splat(re, kind(high[h].imag))
        for i in range(0, size, 8):
            p, q = load(lr, i), load(li, i)
            store(re, h * size + i, a * p - b * q)
            store(im, h * size + i, a * q + b * p)


@_jit
def contract(re: Any, im: Any, low: Any, high: Any, first: int, last: int, over_low: Any, over_high: Any) -> None:
    """Both contractions of conj(lambda)[high, low] for the high indices from first to last.

    over_low [high] = sum over low with `low`; over_high [low] += sum over high with `high`.
    """
    size = low.size
    kind = re.dtype.type
    lr, li = np.empty(size, re.dtype), np.empty(size, re.dtype)
    sr, si = np.zeros(size, re.dtype), np.zeros(size, re.dtype)
    for i in range(size):
        lr[i], li[i] = kind(low[i].real), kind(low[i].imag)
    zero = splat(re, kind(0.0))
    for h in range(first, last):
        a, b = splat(re, kind(high[h].real)), splat(re, kind(high[h].imag))
        real, imaginary = zero, zero
        for i in range(0, size, 8):
            p, q = load(re, h * size + i), load(im, h * size + i)
            u, v = load(lr, i), load(li, i)
            real = real + p * u + q * v
            imaginary = imaginary + p * v - q * u
            store(sr, i, load(sr, i) + p * a + q * b)
            store(si, i, load(si, i) + p * b - q * a)
        over_low[h] = complex(total(real), total(imaginary))
    for i in range(size):
        over_high[i] += complex(sr[i], si[i])


@_jit
def start_slopes(
    vector: Any, singles: Any, tree: Any, starts: Any, elements: Any, matrices: Any, half: Any, slopes: Any
) -> None:
    """Adds the derivatives of the first operations of the qubits of `singles` to slopes [slot].

    vector [2^qubits]: conj(lambda) with all other qubits contracted; it is used up. tree: their `prefixes`.
    """
    for q in range(len(singles) - 1, -1, -1):
        size = 1 << q
        u, v = singles[q, 0], singles[q, 1]
        left, right = complex(0.0, 0.0), complex(0.0, 0.0)
        for i in range(size):
            left += vector[i] * tree[size + i]
            right += vector[size + i] * tree[size + i]
        for i in range(size):
            vector[i] = vector[i] * u + vector[size + i] * v
        for e in range(starts[q, 1] - 1, starts[q, 0] - 1, -1):
            kind, at = elements[e, 0], elements[e, 1]
            if kind == X:
                slopes[at] += (left * v + right * u).imag
            elif kind == Y:
                slopes[at] += (right * u - left * v).real
            elif kind == Z:
                slopes[at] += (left * u - right * v).imag
            a, b, c, d = _matrix(kind, at, matrices, half, -1.0)
            u, v = a * u + b * v, c * u + d * v
            # conj(lambda) is a row: it takes the element itself, whose entries are the inverse's conjugates
            left, right = (
                left * a.conjugate() + right * b.conjugate(),
                left * c.conjugate() + right * d.conjugate(),
            )
