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


@numba.njit(cache=True, nogil=True, fastmath=True)
def single_states(starts: Any, elements: Any, matrices: Any, half: Any, out: Any) -> None:
    """out [batch, qubit, 2]: |0> behind each qubit's first operations.

    starts [qubit, 2]: its rows of elements [element, 2]: (kind, matrix or slot). half [batch, slot]: half the angles.
    """
    for row in range(len(half)):
        for q in range(len(starts)):
            u, v = complex(1.0, 0.0), complex(0.0, 0.0)
            for e in range(starts[q, 0], starts[q, 1]):
                a, b, c, d = _matrix(elements[e, 0], elements[e, 1], matrices, half[row], 1.0)
                u, v = a * u + b * v, c * u + d * v
            out[row, q, 0], out[row, q, 1] = u, v


@_jit
def prefixes(singles: Any, first: int, last: int, out: Any) -> None:
    """out[2^k : 2^(k + 1)]: the product state of k qubits from `first` on, k = 0, 1, ..., all before `last`."""
    out[1] = 1.0
    for q in range(first, last):
        size = 1 << (q - first)
        a, b = singles[q, 0], singles[q, 1]
        for i in range(size):
            value = out[size + i]
            out[2 * size + i] = a * value
            out[3 * size + i] = b * value


@_jit
def outer_product(singles: Any, trees: Any, size: int, re: Any, im: Any, part: int, parts: int) -> None:
    """One part of psi[high, low] = upper[high] lower[low], `size` amplitudes; trees: complex workspace."""
    low = len(singles) // 2
    row = 1 << low
    lower, upper = trees[: 2 * row], trees[2 * row :]
    prefixes(singles, 0, low, lower)
    prefixes(singles, low, len(singles), upper)
    kind = re.dtype.type
    many = size // row
    lr, li = np.empty(row, re.dtype), np.empty(row, re.dtype)
    for i in range(row):
        lr[i], li[i] = kind(lower[row + i].real), kind(lower[row + i].imag)
    for h in range(many * part // parts, many * (part + 1) // parts):
        a, b = splat(re, kind(upper[many + h].real)), splat(re, kind(upper[many + h].imag))
        for i in range(0, row, 8):
            p, q = load(lr, i), load(li, i)
            store(re, h * row + i, a * p - b * q)
            store(im, h * row + i, a * q + b * p)


@_jit
def contract(
    singles: Any, trees: Any, size: int, re: Any, im: Any, over_high: Any, over_low: Any, part: int, parts: int
) -> None:
    """One part of both contractions of conj(lambda)[high, low] with the product state, in one reading.

    over_low [high] = sum over low with `lower`; over_high [low] += sum over high with `upper`.
    """
    low = len(singles) // 2
    row = 1 << low
    lower, upper = trees[: 2 * row], trees[2 * row :]
    prefixes(singles, 0, low, lower)
    prefixes(singles, low, len(singles), upper)
    kind = re.dtype.type
    lr, li = np.empty(row, re.dtype), np.empty(row, re.dtype)
    sr, si = np.empty(row, re.dtype), np.empty(row, re.dtype)
    for i in range(row):
        lr[i], li[i] = kind(lower[row + i].real), kind(lower[row + i].imag)
        sr[i], si[i] = kind(0.0), kind(0.0)
    zero = splat(re, kind(0.0))
    many = size // row
    for h in range(many * part // parts, many * (part + 1) // parts):
        a, b = splat(re, kind(upper[many + h].real)), splat(re, kind(upper[many + h].imag))
        real, imaginary = zero, zero
        for i in range(0, row, 8):
            p, q = load(re, h * row + i), load(im, h * row + i)
            u, v = load(lr, i), load(li, i)
            real = real + p * u + q * v
            imaginary = imaginary + p * v - q * u
            store(sr, i, load(sr, i) + p * a + q * b)
            store(si, i, load(si, i) + p * b - q * a)
        over_low[h] = complex(total(real), total(imaginary))
    for i in range(row):
        over_high[i] += complex(sr[i], si[i])


@_jit
def _slopes(
    vector: Any, singles: Any, first: int, tree: Any, starts: Any, elements: Any, matrices: Any, half: Any, slopes: Any
) -> None:
    """The same for the qubits from `first` on that vector [2^qubits] is over; it is used up. tree: their `prefixes`."""
    size = vector.size // 2
    q = first
    while 1 << (q - first) < size:
        q += 1
    while size:
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
        size //= 2
        q -= 1


@numba.njit(cache=True, nogil=True, fastmath=True)
def start_slopes(
    over_high: Any, over_low: Any, singles: Any, starts: Any, elements: Any, matrices: Any, half: Any, slopes: Any
) -> None:
    """Adds the derivatives of the first operations to slopes [batch, slot].

    over_high [batch, low], over_low [batch, high]: conj(lambda) with the other qubits contracted; both are used up.
    """
    lower, upper = np.empty(2 * over_high.shape[1], np.complex128), np.empty(2 * over_low.shape[1], np.complex128)
    low = 0
    while 1 << low < over_high.shape[1]:
        low += 1
    for b in range(len(half)):
        prefixes(singles[b], 0, low, lower)
        prefixes(singles[b], low, len(starts), upper)
        _slopes(over_high[b], singles[b], 0, lower, starts, elements, matrices, half[b], slopes[b])
        _slopes(over_low[b], singles[b], low, upper, starts, elements, matrices, half[b], slopes[b])
