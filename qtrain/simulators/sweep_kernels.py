"""numba kernels that take rows of a batch through the steps of a program, forward and back.

planes [6, 2^n + padding]: psi (re, im) and its spare, lambda (re, im) and its spare; a permutation writes to the spare,
which then changes places with its source: where [6] says which plane is which now. A call runs the steps from `first`
to `last`, and of each the parts `mine`: all of them, or one that a thread has.
"""

from __future__ import annotations

from typing import Any

import numba

from qtrain.simulators.diagonal_kernels import odd, scaled, squared_norms, transform
from qtrain.simulators.sweep_steps import (
    DENSE,
    DIAGONAL,
    FAR_TURNS,
    OVERLAP,
    PERMUTE,
    STRING,
    TURNS,
    dense_step,
    diagonal_slopes,
    diagonal_step,
    far_turns_step,
    far_turns_step_back,
    fill_phases,
    overlap_step,
    permute_step,
    string_step,
    turns_step,
    turns_step_back,
)
from qtrain.simulators.sweep_strings import add_string, overlap

SPARE = 2  # plane of psi; lambda's planes are three further
LAMBDA = 3

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def swap(where: Any, plane: int) -> None:
    """A plane and the spare of its state change places, after a permutation."""
    spare = SPARE if plane < LAMBDA else SPARE + LAMBDA
    where[plane], where[spare] = where[spare], where[plane]


@_jit
def phases(tables: Any, half: Any, row: int, size: int, fresh: Any, every: bool, table: Any) -> None:
    """Phase tables of every diagonal, or of those alone whose angles differ from row to row: fresh [step]."""
    for number in range(len(tables.steps)):
        if tables.steps[number, 0] == DIAGONAL and (every or fresh[number]):
            fill_phases(tables.steps[number], tables.masks, tables.groups, half, row, size, table)


@_jit
def forward(
    tables: Any,
    first: int,
    last: int,
    half: Any,
    cos: Any,
    sin: Any,
    table: Any,
    row: int,
    size: int,
    planes: Any,
    where: Any,
    work: Any,
    mine: Any,
    parts: int,
) -> None:
    """Steps on psi. mine: first and last part; where is brought up to date if these are all parts."""
    for number in range(first, last):
        step = tables.steps[number]
        kind = step[0]
        re, im = planes[where[0]], planes[where[1]]
        for part in range(mine[0], mine[1]):
            if kind == DIAGONAL:
                diagonal_step(step, tables.groups, table, row, size, re, im, 1.0, part, parts)
            elif kind == PERMUTE:
                source, target = planes[where[step[2]]], planes[where[SPARE]]
                permute_step(step, tables.gathers, 0, row, size, source, target, part, parts)
            elif kind == TURNS:
                turns_step(step, cos, sin, size, re, im, part, parts)
            elif kind == FAR_TURNS:
                far_turns_step(step, cos, sin, size, re, im, work[0], part, parts)
            elif kind == STRING:
                string_step(step, half, size, re, im, 1.0, part, parts)
            elif kind == DENSE:
                dense_step(step, tables.dense, False, size, re, im, part)
        if kind == PERMUTE and mine[1] - mine[0] == parts:
            swap(where, step[2])


@_jit
def backward(
    tables: Any,
    first: int,
    last: int,
    sloped: Any,
    needed: int,
    half: Any,
    cos: Any,
    sin: Any,
    table: Any,
    row: int,
    size: int,
    planes: Any,
    where: Any,
    work: Any,
    string_slopes: Any,
    turn_slopes: Any,
    mine: Any,
    parts: int,
) -> None:
    """Steps from `last` down to `first` off psi and lambda; derivatives are added, a row a part, see sweep_steps.

    sloped [step]: whether it has derivatives; needed: the first one that has, psi is not taken back further.
    """
    for number in range(last - 1, first - 1, -1):
        step = tables.steps[number]
        kind = step[0]
        done = number <= needed
        pr, pi, gr, gi = planes[where[0]], planes[where[1]], planes[where[LAMBDA]], planes[where[LAMBDA + 1]]
        for part in range(mine[0], mine[1]):
            if kind == DIAGONAL:
                if sloped[number]:
                    slopes = string_slopes[part]
                    diagonal_slopes(step, tables.masks, row, size, pr, pi, gr, gi, work[0], slopes, part, parts)
                if not done:
                    diagonal_step(step, tables.groups, table, row, size, pr, pi, -1.0, part, parts)
                diagonal_step(step, tables.groups, table, row, size, gr, gi, -1.0, part, parts)
            elif kind == PERMUTE:
                for state in range(LAMBDA if done else 0, 2 * LAMBDA, LAMBDA):
                    source, target = planes[where[state + step[2]]], planes[where[state + SPARE]]
                    permute_step(step, tables.gathers, 1, row, size, source, target, part, parts)
            elif kind == TURNS:
                turns_step_back(step, cos, sin, size, pr, pi, gr, gi, turn_slopes[part], part, parts)
            elif kind == FAR_TURNS:
                a, b = work[0], work[1]
                far_turns_step_back(step, cos, sin, size, pr, pi, gr, gi, a, b, turn_slopes[part], part, parts)
            elif kind == OVERLAP:
                overlap_step(step, size, pr, pi, gr, gi, string_slopes[part], part, parts)
            elif kind == STRING:
                string_step(step, half, size, pr, pi, -1.0, part, parts)
                string_step(step, half, size, gr, gi, -1.0, part, parts)
            else:
                dense_step(step, tables.dense, True, size, pr, pi, part)
                dense_step(step, tables.dense, True, size, gr, gi, part)
        if kind == PERMUTE and mine[1] - mine[0] == parts:
            if not done:
                swap(where, step[2])
            swap(where, LAMBDA + step[2])


@_jit
def expectations(
    observables: Any, row: int, size: int, re: Any, im: Any, work: Any, out: Any, mine: Any, parts: int
) -> None:
    """out [part, string]: parts of <psi| P |psi>; observables [string, 3]: masks x, z and sign."""
    diagonal = False
    for t in range(len(observables)):
        diagonal = diagonal or observables[t, 0] == 0
    rows = size // row
    for part in range(mine[0], mine[1]):
        first, last = rows * part // parts, rows * (part + 1) // parts
        if diagonal:
            for h in range(first, last):
                squared_norms(re, im, h * row, work[0], row)
                transform(work[0], row)
                for t in range(len(observables)):
                    if observables[t, 0] == 0:
                        z = observables[t, 1]
                        value = observables[t, 2] * work[0, z & (row - 1)]
                        out[part, t] += -value if odd(h & (z // row)) else value
        for t in range(len(observables)):
            x, z, sign = observables[t]
            if x:
                out[part, t] += sign * overlap(re, im, re, im, first * row, last * row, x, z).real


@_jit
def observable(
    observables: Any, weights: Any, row: int, size: int, planes: Any, where: Any, work: Any, mine: Any, parts: int
) -> None:
    """lambda = sum over strings of weights[string] P |psi>."""
    pr, pi, gr, gi = planes[where[0]], planes[where[1]], planes[where[LAMBDA]], planes[where[LAMBDA + 1]]
    rows = size // row
    for part in range(mine[0], mine[1]):
        first, last = rows * part // parts, rows * (part + 1) // parts
        for h in range(first, last):
            for i in range(row):
                work[0, i] = 0.0
            for t in range(len(observables)):
                if observables[t, 0] == 0:
                    z = observables[t, 1]
                    weight = observables[t, 2] * weights[t]
                    work[0, z & (row - 1)] += -weight if odd(h & (z // row)) else weight
            transform(work[0], row)
            scaled(pr, pi, gr, gi, h * row, work[0], row)
        for t in range(len(observables)):
            x, z, sign = observables[t]
            if x:
                add_string(pr, pi, gr, gi, first * row, last * row, x, z, sign * weights[t])
