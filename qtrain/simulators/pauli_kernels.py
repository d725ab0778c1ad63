"""numba kernels of the density-matrix simulator.

A state is a flat array of 4^n Pauli coefficients by `columns` (batch entries, observables, or both), index
Pauli * columns + column; qubit q has the digit of weight 4^q: 0 I, 1 X, 2 Y, 3 Z. Everything is real. What does not
depend on the column runs over one long row. The plain twin is plain.py.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

ONE, TWO, ROTATION = 0, 1, 2
_TILE = 64  # elements of a row handled at once by a two-qubit map: 16 rows of them stay in the first-level cache

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def _one(state: Any, run: int, m: Any) -> None:
    """A trace-preserving one-qubit map; its first row is (1, 0, 0, 0)."""
    for base in range(0, state.size, 4 * run):
        for i in range(base, base + run):
            w, x, y, z = state[i], state[i + run], state[i + 2 * run], state[i + 3 * run]
            state[i + run] = m[1, 0] * w + m[1, 1] * x + m[1, 2] * y + m[1, 3] * z
            state[i + 2 * run] = m[2, 0] * w + m[2, 1] * x + m[2, 2] * y + m[2, 3] * z
            state[i + 3 * run] = m[3, 0] * w + m[3, 1] * x + m[3, 2] * y + m[3, 3] * z


@_jit
def _one_transposed(state: Any, run: int, m: Any) -> None:
    """The same map on observables: the transposed matrix."""
    for base in range(0, state.size, 4 * run):
        for i in range(base, base + run):
            w, x, y, z = state[i], state[i + run], state[i + 2 * run], state[i + 3 * run]
            state[i] = w + m[1, 0] * x + m[2, 0] * y + m[3, 0] * z
            state[i + run] = m[1, 1] * x + m[2, 1] * y + m[3, 1] * z
            state[i + 2 * run] = m[1, 2] * x + m[2, 2] * y + m[3, 2] * z
            state[i + 3 * run] = m[1, 3] * x + m[2, 3] * y + m[3, 3] * z


@_jit
def _two(state: Any, run_a: int, run_b: int, indptr: Any, indices: Any, values: Any) -> None:
    """A two-qubit map with sparse rows (a noisy CX has about 25 of 256 entries)."""
    low, high = min(run_a, run_b), max(run_a, run_b)
    rows = np.empty((16, _TILE))
    for outer in range(0, state.size, 4 * high):
        for middle in range(outer, outer + high, 4 * low):
            for start in range(middle, middle + low, _TILE):
                width = min(_TILE, middle + low - start)
                for k in range(16):
                    source = state[start + (k >> 2) * run_a + (k & 3) * run_b :]
                    copy = rows[k]
                    for i in range(width):
                        copy[i] = source[i]
                for k in range(16):
                    _sparse_row(
                        state[start + (k >> 2) * run_a + (k & 3) * run_b :],
                        rows,
                        width,
                        indices[indptr[k] : indptr[k + 1]],
                        values[indptr[k] : indptr[k + 1]],
                    )


@_jit
def _sparse_row(target: Any, rows: Any, width: int, indices: Any, values: Any) -> None:
    """target = sum of values * rows[indices], four terms a pass."""
    count = indices.size
    if count == 0:
        for i in range(width):
            target[i] = 0.0
        return
    head = count % 4
    if head == 0:
        head = 4
    a = rows[indices[0]]
    va = values[0]
    if head == 1:
        for i in range(width):
            target[i] = va * a[i]
    elif head == 2:
        b, vb = rows[indices[1]], values[1]
        for i in range(width):
            target[i] = va * a[i] + vb * b[i]
    elif head == 3:
        b, vb, c, vc = rows[indices[1]], values[1], rows[indices[2]], values[2]
        for i in range(width):
            target[i] = va * a[i] + vb * b[i] + vc * c[i]
    else:
        b, vb, c, vc, d, vd = rows[indices[1]], values[1], rows[indices[2]], values[2], rows[indices[3]], values[3]
        for i in range(width):
            target[i] = va * a[i] + vb * b[i] + vc * c[i] + vd * d[i]
    for p in range(head, count, 4):
        a, b, c, d = rows[indices[p]], rows[indices[p + 1]], rows[indices[p + 2]], rows[indices[p + 3]]
        va, vb, vc, vd = values[p], values[p + 1], values[p + 2], values[p + 3]
        for i in range(width):
            target[i] += va * a[i] + vb * b[i] + vc * c[i] + vd * d[i]


@_jit
def _rotate(state: Any, run: int, cos: Any, sin: Any, direction: float) -> None:
    """exp(-i angle Z / 2): X -> c X - s Y, Y -> s X + c Y; direction -1 for its inverse. One angle a column, or one."""
    columns = cos.size
    for base in range(run, state.size, 4 * run):
        if columns == 1:
            c, s = cos[0], direction * sin[0]
            for i in range(base, base + run):
                x, y = state[i], state[i + run]
                state[i] = c * x - s * y
                state[i + run] = s * x + c * y
        else:
            for row in range(base, base + run, columns):
                for k in range(columns):
                    i = row + k
                    c, s = cos[k], direction * sin[k]
                    x, y = state[i], state[i + run]
                    state[i] = c * x - s * y
                    state[i + run] = s * x + c * y


@_jit
def _halves(state: Any, run: int, kept: Any) -> None:
    """kept[0] and kept[1]: the coefficients with X and with Y on the qubit, in order."""
    at = 0
    for base in range(run, state.size, 4 * run):
        for i in range(run):
            kept[0, at + i] = state[base + i]
            kept[1, at + i] = state[base + run + i]
        at += run


@_jit
def forward(
    state: Any,
    columns: int,
    kind: Any,
    strides: Any,
    index: Any,
    ones: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    cos: Any,
    sin: Any,
    uniform: Any,
    store_at: Any,
    store: Any,
) -> None:
    """Applies every operation; store[store_at[slot]] gets the X and Y halves right behind a wanted slot.

    index: of a one-qubit matrix, of a two-qubit matrix, or the slot of a rotation. cos, sin [slot, columns].
    """
    for op in range(kind.size):
        at = index[op]
        run = strides[op, 0] * columns
        if kind[op] == ONE:
            _one(state, run, ones[at])
        elif kind[op] == TWO:
            _two(state, run, strides[op, 1] * columns, indptr[at], indices, values)
        else:
            width = 1 if uniform[at] else columns
            _rotate(state, run, cos[at, :width], sin[at, :width], 1.0)
            if store_at[at] >= 0:
                _halves(state, run, store[store_at[at]])


@_jit
def backward(
    state: Any,
    columns: int,
    start: int,
    stop: int,
    kind: Any,
    strides: Any,
    index: Any,
    ones: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    cos: Any,
    sin: Any,
    uniform: Any,
    store_at: Any,
    store: Any,
) -> None:
    """Pulls observables back through operations start - 1, ..., stop; store[store_at[slot]] gets their halves.

    The sparse matrices are the transposed ones here.
    """
    for op in range(start - 1, stop - 1, -1):
        at = index[op]
        run = strides[op, 0] * columns
        if kind[op] == ONE:
            _one_transposed(state, run, ones[at])
        elif kind[op] == TWO:
            _two(state, run, strides[op, 1] * columns, indptr[at], indices, values)
        else:
            if store_at[at] >= 0:
                _halves(state, run, store[store_at[at]])
            width = 1 if uniform[at] else columns
            _rotate(state, run, cos[at, :width], sin[at, :width], -1.0)


@_jit
def combine_columns(observables: Any, states: Any, rows: int, cosine: Any, sine: Any) -> None:
    """One slot, observables that differ from row to row: cosine and sine [observable, row].

    observables [2, half, observable * rows], states [2, half, rows]: X and Y halves behind the rotation, so that
    E(angle + d) = E + cosine (cos d - 1) + sine sin d.
    """
    cosine[:] = 0.0
    sine[:] = 0.0
    for i in range(states.shape[1]):
        x, y = states[0, i], states[1, i]
        for m in range(cosine.shape[0]):
            ox, oy = observables[0, i, m * rows : (m + 1) * rows], observables[1, i, m * rows : (m + 1) * rows]
            c, s = cosine[m], sine[m]
            for k in range(rows):
                c[k] += ox[k] * x[k] + oy[k] * y[k]
                s[k] += oy[k] * x[k] - ox[k] * y[k]


@_jit
def product_state(bloch: Any, state: Any) -> None:
    """state [4^n, columns] of a product of one-qubit vectors bloch [qubit, 4, columns]."""
    columns = state.shape[1]
    state[0, :] = 1.0
    size = 1
    for q in range(bloch.shape[0]):
        for digit in range(3, -1, -1):
            factor = bloch[q, digit]
            for i in range(size):
                source, target = state[i], state[digit * size + i]
                for k in range(columns):
                    target[k] = source[k] * factor[k]
        size *= 4
