"""Many randomized trials of placing and routing, forwards and backwards; the best iterates of all passes are kept."""

from __future__ import annotations

import numba
import numpy as np

from qcompile.placement.grow import disturb, grow
from qcompile.routing.kernels import KNOBS, route
from qcompile.routing.splitmix import uniform

POOL = 12
"""Iterates that are kept."""

_TRIAL = 200  # work of a pass beside that of the router


@numba.njit(cache=True, nogil=True)
def search(blocks, reverse, chip, region, given, budgets, passes, waiting, seed):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Best iterates, each reproducible by `route` from its layout, knobs and state.

    Args:
        blocks, reverse: the circuit forwards and backwards.
        chip: see `arrays`.
        region: qubits that layouts may use.
        given: [layout, wire] layouts to begin with.
        budgets: work (see `route`) for trials from grown layouts, and for trials that disturb the best ones; the given
            layouts are tried whatever they cost.
        passes: forward passes of a trial, each but the first from where the backward pass ended.
        waiting: s that a qubit is thought to wait, for growing.
        seed: of all random numbers.
    Returns: (prices [POOL], ascending, 1e300 where there is none; layouts [POOL, wire]; knobs [POOL, KNOBS]; states
        [POOL]; SWAPs [POOL]; trials).
    """
    width = given.shape[1]
    nodes = len(blocks.is_block)
    state = np.array([seed], np.uint64)
    prices = np.full(POOL, 1e300)
    layouts = np.empty((POOL, width), np.int64)
    all_knobs = np.empty((POOL, KNOBS))
    states = np.empty(POOL, np.uint64)
    swaps = np.zeros(POOL, np.int64)
    room = 30 * nodes + 1000
    items = np.empty((room, 3), np.int64)
    layout, start, end = np.empty(width, np.int64), np.empty(width, np.int64), np.empty(width, np.int64)
    knobs = np.empty(KNOBS)
    spent = 0
    trial = 0
    while trial < len(given) or spent < budgets[0] + budgets[1]:
        if trial < len(given):
            layout[:] = given[trial]
        elif spent < budgets[0] or prices[0] >= 1e300:
            grow(blocks, chip, region, waiting, state, layout)
        else:
            known = 0
            while known < POOL and prices[known] < 1e300:
                known += 1
            layout[:] = layouts[int(uniform(state) ** 2 * known)]
            disturb(chip, state, layout)
        knobs[0] = 4 * 2 ** int(4 * uniform(state))
        knobs[1] = 0.25 + 0.25 * int(4 * uniform(state))
        knobs[2] = 0.75 + 0.2 * uniform(state)
        knobs[3] = int(2 * uniform(state))
        knobs[4] = (0.1, 0.5, 1.5)[int(3 * uniform(state))]
        knobs[5] = (0.0, 0.0, 0.05, 0.1)[int(4 * uniform(state))]
        knobs[6] = (1.0, 1.0, 0.97, 0.9)[int(4 * uniform(state))]
        knobs[7] = int(1.3 * uniform(state))
        knobs[8] = int(1.5 * uniform(state))
        for number in range(passes):
            start[:] = layout
            before = state[0]
            price, used, count, _, work = route(blocks, chip, start, knobs, state, room, items, end)
            spent += work + _TRIAL
            if used >= 0:
                for w in range(width):
                    price += blocks.read[w] * chip.readout[end[w]]
                _keep(prices, layouts, all_knobs, states, swaps, price, start, knobs, before, count)
            if number + 1 == passes or count == 0:
                break
            layout[:] = end
            work = route(reverse, chip, layout, knobs, state, room, items, end)[4]
            spent += work
            layout[:] = end
        trial += 1
    return prices, layouts, all_knobs, states, swaps, trial


@numba.njit(cache=True, nogil=True)
def _keep(prices, layouts, all_knobs, states, swaps, price, layout, knobs, state, count):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Puts an iterate among the best, unless one of the same price from the same layout is there."""
    at = 0
    while at < POOL and prices[at] < price:
        at += 1
    if at == POOL or (prices[at] == price and np.all(layouts[at] == layout)):
        return
    for i in range(POOL - 1, at, -1):
        prices[i], layouts[i], all_knobs[i] = prices[i - 1], layouts[i - 1], all_knobs[i - 1]
        states[i], swaps[i] = states[i - 1], swaps[i - 1]
    prices[at], layouts[at], all_knobs[at], states[at], swaps[at] = price, layout, knobs, state, count
