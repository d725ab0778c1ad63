"""One row whose amplitudes several threads share: step by step, each thread takes parts of it.

Parts do not depend on the number of threads and are added in their order, so neither do results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtrain.simulators import sweep_kernels as kernels
from qtrain.simulators.product_kernels import contract, outer_product
from qtrain.simulators.sweep_job import PLANES, Job
from qtrain.simulators.sweep_kernels import LAMBDA
from qtrain.simulators.sweep_steps import PERMUTE

Array = NDArray[np.float64]


def forward(job: Job, number: int, steps: int, kept: NDArray[Any], values: Array) -> None:
    """Row `number` through the first steps: values [part, string], and kept[number] where kept has rows."""
    tables, row, size, parts = job.made.tables, job.row, job.size, job.parts
    planes, where, table, _, _ = job.workspace(PLANES // 2)
    half, cos, sin = (angles[number] for angles in job.angles)
    singles = job.singles[number]
    kernels.phases(tables, half, row, size, job.fresh, True, table)
    job.each_part(lambda part: outer_product(singles, job.scratch()[1], size, planes[0], planes[1], part, parts))
    for at in range(steps):

        def step(part: int, at: int = at) -> None:
            work, mine = job.scratch()[0], (part, part + 1)
            kernels.forward(tables, at, at + 1, half, cos, sin, table, row, size, planes, where, work, mine, parts)

        job.each_part(step)
        if tables.steps[at, 0] == PERMUTE:
            kernels.swap(where, tables.steps[at, 2])
    re, im = planes[where[0]], planes[where[1]]

    def measure(part: int) -> None:
        work, mine = job.scratch()[0], (part, part + 1)
        kernels.expectations(job.made.observables, row, size, re, im, work, values, mine, parts)

    job.each_part(measure)
    if len(kept):
        kept[number, 0], kept[number, 1] = re[:size], im[:size]


def backward(
    job: Job,
    number: int,
    sloped: NDArray[np.bool_],
    needed: int,
    kept: NDArray[Any],
    weights: Array,
    slopes: tuple[NDArray[Any], ...],
) -> None:
    """Row `number` back from kept [2, 2^n]; slopes: as `sweep_rows.backward_rows` has them, of this row."""
    tables, row, size, parts = job.made.tables, job.row, job.size, job.parts
    planes, where, table, _, _ = job.workspace(PLANES)
    half, cos, sin = (angles[number] for angles in job.angles)
    strings, turns, over_high, over_low = slopes
    kernels.phases(tables, half, row, size, job.fresh, True, table)
    planes[0, :size], planes[1, :size] = kept

    def weigh(part: int) -> None:
        work, mine = job.scratch()[0], (part, part + 1)
        kernels.observable(job.made.observables, weights, row, size, planes, where, work, mine, parts)

    job.each_part(weigh)
    for at in range(job.made.body - 1, -1, -1):

        def step(part: int, at: int = at) -> None:
            kernels.backward(
                tables,
                at,
                at + 1,
                sloped,
                needed,
                half,
                cos,
                sin,
                table,
                row,
                size,
                planes,
                where,
                job.scratch()[0],
                strings,
                turns,
                (part, part + 1),
                parts,
            )

        job.each_part(step)
        if tables.steps[at, 0] == PERMUTE:
            if at > needed:
                kernels.swap(where, tables.steps[at, 2])
            kernels.swap(where, LAMBDA + tables.steps[at, 2])
    gr, gi, singles = planes[where[LAMBDA]], planes[where[LAMBDA + 1]], job.singles[number]

    def end(part: int) -> None:
        contract(singles, job.scratch()[1], size, gr, gi, over_high[part], over_low, part, parts)

    job.each_part(end)
