"""numba kernels of the density-matrix simulator: passes of one- and two-qubit maps over Pauli coefficients.

A state is a flat array [digits of the qubits, copies, columns]: the last qubit's digit comes first, each qubit has as
many digits as its cut holds; `copies` are observables, `columns` rows of a batch. Everything is real. What does not
depend on the column runs over one long row. The plain twin is plain.py.

Places are unsigned and rows are no slices: numba makes a slice in about 20 ns and checks signed indices for being
negative, in rows of a few elements ten times the arithmetic.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

TWO = 0
U = np.uint64
_0, _1, _2, _3, _4 = U(0), U(1), U(2), U(3), U(4)
_TILE = U(128)  # elements of a row handled at once by a two-qubit map: 32 rows of them stay in the first-level cache

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def _two(source: Any, target: Any, shape: Any, width: Any, indptr: Any, indices: Any, values: Any) -> None:
    """A map of two qubits with sparse rows (a noisy CX has about 25 of 256 entries)."""
    outer, middle = U(shape[0]), U(shape[1])
    upper_in, lower_in, upper_out, lower_out = U(shape[3]), U(shape[4]), U(shape[5]), U(shape[6])
    row_in = np.empty(16, dtype=U)
    row_out = np.empty(16, dtype=U)
    for k in range(upper_in * lower_in):
        row_in[k] = ((k // lower_in) * middle * lower_in + k % lower_in) * width
    for k in range(upper_out * lower_out):
        row_out[k] = ((k // lower_out) * middle * lower_out + k % lower_out) * width
    for h in range(outer):
        for m in range(middle):
            start_in = (h * upper_in * middle + m) * lower_in * width
            start_out = (h * upper_out * middle + m) * lower_out * width
            for tile in range(_0, width, _TILE):
                size = min(_TILE, width - tile)
                for k in range(upper_out * lower_out):
                    first, stop = indptr[k], indptr[k + _1]
                    to, at = start_out + row_out[k] + tile, start_in + tile
                    if first == stop:
                        for i in range(size):
                            target[to + i] = 0.0
                        continue
                    # up to four terms at once, the first of them 1 to 4
                    head = first + (stop - first - 1) % 4 + 1
                    a, va = at + row_in[indices[first]], values[first]
                    if head - first == 1:
                        for i in range(size):
                            target[to + i] = va * source[a + i]
                    elif head - first == 2:
                        b, vb = at + row_in[indices[first + 1]], values[first + 1]
                        for i in range(size):
                            target[to + i] = va * source[a + i] + vb * source[b + i]
                    elif head - first == 3:
                        b, vb = at + row_in[indices[first + 1]], values[first + 1]
                        c, vc = at + row_in[indices[first + 2]], values[first + 2]
                        for i in range(size):
                            target[to + i] = va * source[a + i] + vb * source[b + i] + vc * source[c + i]
                    else:
                        b, vb = at + row_in[indices[first + 1]], values[first + 1]
                        c, vc = at + row_in[indices[first + 2]], values[first + 2]
                        d, vd = at + row_in[indices[first + 3]], values[first + 3]
                        for i in range(size):
                            total = va * source[a + i] + vb * source[b + i]
                            target[to + i] = total + vc * source[c + i] + vd * source[d + i]
                    for p in range(head, stop, 4):
                        a, va = at + row_in[indices[p]], values[p]
                        b, vb = at + row_in[indices[p + 1]], values[p + 1]
                        c, vc = at + row_in[indices[p + 2]], values[p + 2]
                        d, vd = at + row_in[indices[p + 3]], values[p + 3]
                        for i in range(size):
                            total = va * source[a + i] + vb * source[b + i]
                            target[to + i] += total + vc * source[c + i] + vd * source[d + i]


@_jit
def _one(state: Any, outer: Any, width: Any, m: Any) -> None:
    """A trace-preserving map of one qubit with all its digits, in place; its first row is (1, 0, 0, 0)."""
    m10, m11, m12, m13 = m[1, 0, 0], m[1, 1, 0], m[1, 2, 0], m[1, 3, 0]
    m20, m21, m22, m23 = m[2, 0, 0], m[2, 1, 0], m[2, 2, 0], m[2, 3, 0]
    m30, m31, m32, m33 = m[3, 0, 0], m[3, 1, 0], m[3, 2, 0], m[3, 3, 0]
    for h in range(outer):
        a = _4 * h * width
        b, c, d = a + width, a + _2 * width, a + _3 * width
        for i in range(width):
            w, x, y, z = state[a + i], state[b + i], state[c + i], state[d + i]
            state[b + i] = m10 * w + m11 * x + m12 * y + m13 * z
            state[c + i] = m20 * w + m21 * x + m22 * y + m23 * z
            state[d + i] = m30 * w + m31 * x + m32 * y + m33 * z


@_jit
def _one_transposed(state: Any, outer: Any, width: Any, m: Any) -> None:
    """The same map on observables: the transposed matrix."""
    m10, m11, m12, m13 = m[1, 0, 0], m[1, 1, 0], m[1, 2, 0], m[1, 3, 0]
    m20, m21, m22, m23 = m[2, 0, 0], m[2, 1, 0], m[2, 2, 0], m[2, 3, 0]
    m30, m31, m32, m33 = m[3, 0, 0], m[3, 1, 0], m[3, 2, 0], m[3, 3, 0]
    for h in range(outer):
        a = _4 * h * width
        b, c, d = a + width, a + _2 * width, a + _3 * width
        for i in range(width):
            w, x, y, z = state[a + i], state[b + i], state[c + i], state[d + i]
            state[a + i] = w + m10 * x + m20 * y + m30 * z
            state[b + i] = m11 * x + m21 * y + m31 * z
            state[c + i] = m12 * x + m22 * y + m32 * z
            state[d + i] = m13 * x + m23 * y + m33 * z


@_jit
def _dense(
    source: Any, target: Any, outer: Any, inner: Any, ins: Any, num_in: Any, outs: Any, num_out: Any, m: Any, back: bool
) -> None:
    """A map [4, 4, columns] of one qubit between some of its digits; back: on observables.

    `inner` counts rows of all columns; where the map is the same for every column it has one, and `inner` elements.
    """
    columns = U(m.shape[2])
    for h in range(outer):
        for i in range(num_out):
            to = (h * num_out + i) * inner * columns
            for j in range(num_in):
                at = (h * num_in + j) * inner * columns
                p, q = (ins[j], outs[i]) if back else (outs[i], ins[j])
                if columns == _1:
                    factor = m[p, q, 0]
                    if j == _0:
                        for k in range(inner):
                            target[to + k] = factor * source[at + k]
                    else:
                        for k in range(inner):
                            target[to + k] += factor * source[at + k]
                elif j == _0:
                    for r in range(_0, inner * columns, columns):
                        for k in range(columns):
                            target[to + r + k] = m[p, q, k] * source[at + r + k]
                else:
                    for r in range(_0, inner * columns, columns):
                        for k in range(columns):
                            target[to + r + k] += m[p, q, k] * source[at + r + k]


@_jit
def passes(
    source: Any,
    target: Any,
    copies: int,
    columns: int,
    start: int,
    stop: int,
    kind: Any,
    number: Any,
    shape: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    before: Any,
    after: Any,
    map_at: Any,
    map_width: Any,
    maps: Any,
) -> bool:
    """Operations start, start + 1, ..., stop - 1; backward on observables if stop < start: start - 1, ..., stop.

    before, after: [run, 4] digits. maps[map_at[run] :]: [4, 4, map_width[run]] its map; backward, indptr, indices and
    values are those of the transposed matrices.
    Returns: whether the result is in `target`; both arrays are overwritten.
    """
    moved = False
    back = stop < start
    turned = np.empty(7, dtype=np.int64)
    for step in range(abs(stop - start)):
        op = start - 1 - step if back else start + step
        at = number[op]
        own = shape[op]
        inner = U(own[2] * copies * columns)
        if back:
            turned[:3] = own[:3]
            turned[3:5] = own[5:]
            turned[5:] = own[3:5]
            own = turned
        swap = True
        if kind[op] == TWO:
            _two(source, target, own, inner, indptr[at], indices, values)
        else:
            width = map_width[at]
            m = maps[map_at[at] : map_at[at] + 16 * width].reshape(4, 4, width)
            outer, num_in, num_out = U(own[0]), U(own[4]), U(own[6])
            swap = bool(width > 1 or num_in < _4 or num_out < _4)
            if swap:
                ins, outs = (after[at], before[at]) if back else (before[at], after[at])
                _dense(source, target, outer, inner // U(width), ins, num_in, outs, num_out, m, back)
            elif back:
                _one_transposed(source, outer, inner, m)
            else:
                _one(source, outer, inner, m)
        if swap:
            source, target = target, source
            moved = not moved
    return moved
