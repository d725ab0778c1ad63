"""numba kernels that take whole rows of a batch forward and back, one after the other on one thread."""

from __future__ import annotations

from typing import Any

import numba

from qtrain.simulators.product_kernels import contract, outer_product
from qtrain.simulators.sweep_kernels import LAMBDA, backward, expectations, forward, observable, phases

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def _in_order(where: Any) -> None:
    for plane in range(where.size):
        where[plane] = plane


@_jit
def forward_rows(
    tables: Any,
    steps: int,
    angles: Any,
    fresh: Any,
    singles: Any,
    row: int,
    size: int,
    workspace: Any,
    parts: int,
    observables: Any,
    kept: Any,
    values: Any,
) -> None:
    """values [batch, part, string] and, where it has rows, kept [batch, 2, 2^n]: psi after the first `steps` steps.

    angles: half the strings' angles, cos and sin of the turns', each [batch, ...]. fresh [step]: diagonals whose
    phases differ from row to row. singles [batch, qubit, 2]: the qubits' states to begin with.
    """
    half, cos, sin = angles
    planes, where, table, work, trees = workspace
    mine = 0, parts
    for b in range(len(half)):
        _in_order(where)
        phases(tables, half[b], row, size, fresh, b == 0, table)
        for part in range(parts):
            outer_product(singles[b], trees, size, planes[0], planes[1], part, parts)
        forward(tables, 0, steps, half[b], cos[b], sin[b], table, row, size, planes, where, work, mine, parts)
        re, im = planes[where[0]], planes[where[1]]
        expectations(observables, row, size, re, im, work, values[b], mine, parts)
        if len(kept):
            for i in range(size):
                kept[b, 0, i] = re[i]
            for i in range(size):
                kept[b, 1, i] = im[i]


@_jit
def backward_rows(
    tables: Any,
    steps: int,
    sloped: Any,
    needed: int,
    angles: Any,
    fresh: Any,
    singles: Any,
    row: int,
    size: int,
    workspace: Any,
    parts: int,
    observables: Any,
    kept: Any,
    weights: Any,
    slopes: Any,
) -> None:
    """slopes: of strings and of turns, each [batch, part, ...], and both contractions of conj(lambda) for the start.

    weights [batch, string]. The contractions are [batch, part, low] and [batch, high], see product_kernels.
    """
    half, cos, sin = angles
    string_slopes, turn_slopes, over_high, over_low = slopes
    planes, where, table, work, trees = workspace
    mine = 0, parts
    for b in range(len(half)):
        _in_order(where)
        phases(tables, half[b], row, size, fresh, b == 0, table)
        for i in range(size):
            planes[0, i] = kept[b, 0, i]
        for i in range(size):
            planes[1, i] = kept[b, 1, i]
        observable(observables, weights[b], row, size, planes, where, work, mine, parts)
        backward(
            tables,
            0,
            steps,
            sloped,
            needed,
            half[b],
            cos[b],
            sin[b],
            table,
            row,
            size,
            planes,
            where,
            work,
            string_slopes[b],
            turn_slopes[b],
            mine,
            parts,
        )
        gr, gi = planes[where[LAMBDA]], planes[where[LAMBDA + 1]]
        for part in range(parts):
            contract(singles[b], trees, size, gr, gi, over_high[b, part], over_low[b], part, parts)
