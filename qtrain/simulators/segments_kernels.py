"""numba kernels of whole programs: state and expectations of a batch, then the derivatives, from one forward pass.

A segment that the whole batch shares is one unitary V of 2^n x 2^n. With many rows it pays to find V once, by applying
the segment to the basis states, and to multiply: psi -> V psi. Going back, d/d angle of sum over rows of
<lambda| V |psi> needs the rows only in the matrix M = sum of lambda psi^dagger: its columns, taken back beside those of
V, give every derivative that is summed over the batch.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.runs_kernels import product_state
from qtrain.simulators.stages_kernels import apply, take_back
from qtrain.simulators.strings_kernels import expectations, weighted_observable

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def _multiply(mr: Any, mi: Any, re: Any, im: Any, columns: int, out_r: Any, out_i: Any) -> None:
    """out = M state; M [dimension, dimension]."""
    a, b = re.reshape(-1, columns), im.reshape(-1, columns)
    real, imaginary = out_r.reshape(-1, columns), out_i.reshape(-1, columns)
    for i in range(len(mr)):
        for k in range(columns):
            real[i, k] = 0
            imaginary[i, k] = 0
        for j in range(0, len(mr), 2):
            p, q, r, s = mr[i, j], mi[i, j], mr[i, j + 1], mi[i, j + 1]
            for k in range(columns):
                real[i, k] += p * a[j, k] - q * b[j, k] + r * a[j + 1, k] - s * b[j + 1, k]
            for k in range(columns):
                imaginary[i, k] += p * b[j, k] + q * a[j, k] + r * b[j + 1, k] + s * a[j + 1, k]


@_jit
def _outer(lr: Any, li: Any, re: Any, im: Any, columns: int, out_r: Any, out_i: Any) -> None:
    """out [dimension, dimension] += sum over columns of lambda psi^dagger."""
    shape = (-1, columns)
    p, q, a, b = lr.reshape(shape), li.reshape(shape), re.reshape(shape), im.reshape(shape)
    for i in range(len(out_r)):
        for j in range(len(out_r)):
            x, y = out_r[i, j], out_i[i, j]
            for k in range(columns):
                x += p[i, k] * a[j, k] + q[i, k] * b[j, k]
                y += q[i, k] * a[j, k] - p[i, k] * b[j, k]
            out_r[i, j], out_i[i, j] = x, y


@_jit
def shared_unitaries(code: Any, turns: Any, segments: Any, out: Any) -> None:
    """out [segment, 2, dimension, dimension]: V of every segment [segment, 3] that is marked to be multiplied."""
    dimension = out.shape[2]
    for s in range(len(segments)):
        if segments[s, 2]:
            out[s] = 0
            for i in range(dimension):
                out[s, 0, i, i] = 1
            flat = out[s].reshape(2, -1)
            apply(flat[0], flat[1], dimension, code, turns, segments[s, 0], segments[s, 1])


@_jit
def forward(
    state: Any, columns: int, code: Any, turns: Any, qubits: int, segments: Any, unitaries: Any, strings: Any, out: Any
) -> None:
    """state [2, dimension * columns] and out [string, column] of a batch.

    segments: [segment, 3] first operation, end, whether to multiply by its unitary.
    """
    re, im = state[0], state[1]
    product_state(re, im, columns, code, turns, qubits)
    for s in range(len(segments)):
        if segments[s, 2]:
            old = state.copy()
            _multiply(unitaries[s, 0], unitaries[s, 1], old[0], old[1], columns, re, im)
        else:
            apply(re, im, columns, code, turns, segments[s, 0], segments[s, 1])
    expectations(re, im, columns, strings, out)


@_jit
def backward(
    state: Any,
    columns: int,
    code: Any,
    turns: Any,
    segments: Any,
    needed: int,
    unitaries: Any,
    strings: Any,
    weights: Any,
    overlaps: Any,
    gradient: Any,
) -> None:
    """Takes the batch back to the operation `needed`; `state` is used up.

    weights [string, column] of the strings. gradient [slot, 1 or columns] += derivatives along the way; of segments
    that are multiplied, overlaps [segment, 2, dimension, dimension] += lambda psi^dagger behind them.
    """
    re, im = state[0], state[1]
    pulled = np.empty_like(state)
    lr, li = pulled[0], pulled[1]
    weighted_observable(re, im, columns, strings, weights, lr, li)
    for s in range(len(segments) - 1, -1, -1):
        first, end = max(segments[s, 0], needed), segments[s, 1]
        if end <= needed:
            return
        if not segments[s, 2]:
            take_back(re, im, lr, li, columns, code, turns, first, end, gradient)
            continue
        _outer(lr, li, re, im, columns, overlaps[s, 0], overlaps[s, 1])
        if segments[s, 0] <= needed:
            return
        back_r, back_i = unitaries[s, 0].T.copy(), -unitaries[s, 1].T
        old = state.copy()
        _multiply(back_r, back_i.copy(), old[0], old[1], columns, re, im)
        old = pulled.copy()
        _multiply(back_r, back_i.copy(), old[0], old[1], columns, lr, li)


@_jit
def shared_gradient(
    code: Any, turns: Any, segments: Any, needed: int, unitaries: Any, overlaps: Any, gradient: Any
) -> None:
    """gradient [slot, 1] += derivatives in the segments that are multiplied; `unitaries` are used up."""
    dimension = unitaries.shape[2]
    for s in range(len(segments)):
        if segments[s, 2] and segments[s, 1] > needed:
            flat = unitaries[s].reshape(2, -1)
            m = np.empty_like(flat)
            _multiply(overlaps[s, 0], overlaps[s, 1], flat[0], flat[1], dimension, m[0], m[1])
            first = max(segments[s, 0], needed)
            take_back(flat[0], flat[1], m[0], m[1], dimension, code, turns, first, segments[s, 1], gradient)
