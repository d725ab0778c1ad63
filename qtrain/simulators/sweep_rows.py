"""numba kernels that take rows of a batch through all steps, one row after the other on one thread."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.product_kernels import contract, outer_product, prefixes, single_states, start_slopes
from qtrain.simulators.sweep_kernels import (
    DIAGONAL,
    PERMUTE,
    STRING,
    backward_part,
    expectations_part,
    forward_part,
    observable_part,
    permute_part,
    phases,
    string_back_part,
)

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def fill_phases(tables: Any, half: Any, offsets: Any, row: int, bits: int, table: Any, stale: Any) -> None:
    """Phase tables of the diagonals that are stale [diagonal], at offsets [diagonal + 1] of table (re, im)."""
    re, im = table
    for d in range(len(tables.diagonals)):
        if stale[d]:
            a, b = offsets[d], offsets[d + 1]
            phases(tables.diagonals[d], tables, half, row, 1 << bits, re[a:b], im[a:b])


@_jit
def product_trees(tables: Any, half: Any, bits: int) -> tuple[Any, Any, Any]:
    """The qubits' states to begin with [qubit, 2], and the product states of the lower and the upper half of them."""
    low = bits // 2
    singles = np.empty((bits, 2), np.complex128)
    single_states(tables.starts, tables.elements, tables.matrices, half, singles)
    lower, upper = np.empty(2 << low, np.complex128), np.empty(2 << (bits - low), np.complex128)
    prefixes(singles[:low], lower)
    prefixes(singles[low:], upper)
    return singles, lower, upper


@_jit
def product_slopes(tables: Any, half: Any, trees: Any, over_low: Any, over_high: Any, slopes: Any) -> None:
    """Derivatives of the first operations from both contractions of conj(lambda), which are used up."""
    singles, lower, upper = trees
    low = 0
    while 1 << low < over_high.size:
        low += 1
    elements, matrices = tables.elements, tables.matrices
    start_slopes(over_high, singles[:low], lower, tables.starts[:low], elements, matrices, half, slopes)
    start_slopes(over_low, singles[low:], upper, tables.starts[low:], elements, matrices, half, slopes)


@_jit
def diagonal_table(step: Any, offsets: Any, table: Any) -> Any:
    """The part of the phase tables (re, im) that a step reads; any part where it is no diagonal."""
    re, im = table
    if step[0] == DIAGONAL:
        a, b = offsets[step[1]], offsets[step[1] + 1]
        return re[a:b], im[a:b]
    return re[:0], im[:0]


@_jit
def swap_planes(where: Any, plane: int) -> None:
    """The spare plane takes the place of a plane that was permuted into it."""
    where[plane], where[4] = where[4], where[plane]


@_jit
def _forward(
    tables: Any, steps: int, half: Any, offsets: Any, table: Any, row: int, bits: int, planes: Any, where: Any, parts: int
) -> None:
    size = 1 << bits
    _, lower, upper = product_trees(tables, half, bits)
    low, high = lower[lower.size // 2 :], upper[upper.size // 2 :]
    outer_product(low, high, 0, high.size, planes[where[0]], planes[where[1]])
    for number in range(steps):
        step = tables.steps[number]
        if step[0] == PERMUTE:
            for plane in range(2):
                for part in range(parts):
                    permute_part(step, tables, 0, planes[where[plane]], planes[where[4]], part, parts)
                swap_planes(where, plane)
            continue
        re, im = planes[where[0]][:size], planes[where[1]][:size]
        for part in range(parts):
            forward_part(step, tables, half, diagonal_table(step, offsets, table), row, bits, re, im, part, parts)


@_jit
def forward_rows(
    tables: Any,
    steps: int,
    half: Any,
    offsets: Any,
    table: Any,
    fresh: Any,
    row: int,
    bits: int,
    planes: Any,
    parts: int,
    observables: Any,
    signs: Any,
    kept: Any,
    values: Any,
) -> None:
    """kept [batch, 2, 2^n]: psi after the first `steps` steps; values [batch, string]: expectations.

    half [batch, slot]: half the angles. fresh [diagonal]: whose phases change from row to row.
    """
    size = 1 << bits
    stale = np.ones_like(fresh)
    for b in range(len(half)):
        where = np.arange(5)
        fill_phases(tables, half[b], offsets, row, bits, table, stale)
        stale = fresh
        _forward(tables, steps, half[b], offsets, table, row, bits, planes, where, parts)
        re, im = planes[where[0]][:size], planes[where[1]][:size]
        found = np.zeros((parts, len(signs)))
        for part in range(parts):
            expectations_part(observables, signs, row, bits, re, im, found[part], part, parts)
        for part in range(parts):
            values[b] += found[part]
        if len(kept):
            kept[b, 0], kept[b, 1] = re, im


@_jit
def backward_rows(
    tables: Any,
    steps: int,
    first_slope: int,
    half: Any,
    offsets: Any,
    table: Any,
    fresh: Any,
    row: int,
    bits: int,
    planes: Any,
    parts: int,
    observables: Any,
    signs: Any,
    kept: Any,
    weights: Any,
    slots: int,
    slopes: Any,
) -> None:
    """slopes [batch, slot] += derivatives of sum of weights * <P>, weights [batch, string].

    first_slope: the first step that has derivatives; psi need not be taken back further.
    """
    size = 1 << bits
    stale = np.ones_like(fresh)
    for b in range(len(half)):
        where = np.arange(5)
        fill_phases(tables, half[b], offsets, row, bits, table, stale)
        stale = fresh
        planes[0][:size], planes[1][:size] = kept[b, 0], kept[b, 1]
        found = np.zeros((parts, half.shape[1]))
        state = planes[where[0]][:size], planes[where[1]][:size], planes[where[2]][:size], planes[where[3]][:size]
        for part in range(parts):
            observable_part(observables, signs, weights[b], row, bits, state, part, parts)
        for number in range(steps - 1, -1, -1):
            step = tables.steps[number]
            done = number <= first_slope
            if step[0] == PERMUTE:
                for plane in range(2 if done else 0, 4):
                    for part in range(parts):
                        permute_part(step, tables, 1, planes[where[plane]], planes[where[4]], part, parts)
                    swap_planes(where, plane)
                continue
            state = planes[where[0]][:size], planes[where[1]][:size], planes[where[2]][:size], planes[where[3]][:size]
            mine = diagonal_table(step, offsets, table)
            for part in range(parts):
                backward_part(step, tables, half[b], mine, row, bits, state, slots, done, found[part], part, parts)
            if step[0] == STRING:
                for part in range(parts):
                    string_back_part(step, tables, half[b], bits, state, part, parts)
        trees = product_trees(tables, half[b], bits)
        _, lower, upper = trees
        low, high = lower[lower.size // 2 :], upper[upper.size // 2 :]
        over_low, over_high = np.empty(high.size, np.complex128), np.zeros(low.size, np.complex128)
        contract(planes[where[2]], planes[where[3]], low, high, 0, high.size, over_low, over_high)
        product_slopes(tables, half[b], trees, over_low, over_high, found[0])
        for part in range(parts):
            slopes[b] += found[part]
