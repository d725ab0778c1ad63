"""A beam of routings side by side: what lags behind is replaced by what leads, so each stretch of a long circuit gets
the best of many tries, not the whole of it the best of many sums.
"""

from __future__ import annotations

import numba
import numpy as np

from qcompile.routing.kernels import SWAPS, USED, WORK, advance, begin, closing_price, state_sizes, uniform, views


@numba.njit(cache=True, nogil=True)
def beam(blocks, chip, layouts, knobs, random, stretch, room, items, layout, position):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Routes from several layouts at once.

    Args:
        blocks, chip: see `arrays`.
        layouts: [beam, wire].
        knobs: [beam, 6].
        random: uint64[beam] of the random numbers; advanced.
        stretch: nodes between comparisons.
        room, items, position: as in `route`.
        layout: int64[wire] filled with where the best one began.
    Returns: as `route`, of the best one; work of all.
    """
    count, width = layouts.shape
    size, nodes = len(chip.edge), len(blocks.is_block)
    integers, floats = state_sizes(blocks, width, size, room)
    states, prices = np.empty((count, integers), np.int64), np.empty((count, floats))
    began = layouts.copy()
    merit = np.empty(count)
    for b in range(count):
        begin(blocks, chip, layouts[b], room, states[b], prices[b])
    target = 0
    work = 0
    fixed = integers - 3 * room  # items are copied as far as they are used
    while target < nodes:
        target = min(target + stretch, nodes)
        for b in range(count):
            states[b, WORK] = 0
            fits = advance(blocks, chip, knobs[b], random[b : b + 1], room, states[b], prices[b], target)
            work += states[b, WORK]
            merit[b] = 1e300
            if fits:
                merit[b] = _merit(blocks, chip, room, states[b], prices[b], target == nodes)
        if target < nodes:
            order = np.argsort(merit)
            half = count // 2
            for i in range(half):
                good, bad = order[i], order[count - 1 - i]
                states[bad, :fixed] = states[good, :fixed]
                used = 3 * states[good, USED]
                states[bad, fixed : fixed + used] = states[good, fixed : fixed + used]
                prices[bad] = prices[good]
                began[bad] = began[good]
            work += half * (fixed + 10)
    b = int(np.argmin(merit))
    found = views(blocks, width, size, room, states[b])
    layout[:] = began[b]
    position[:] = found[0]
    if merit[b] >= 1e300:
        return merit[b], -1, states[b, SWAPS], 0, work
    used = states[b, USED]
    items[:used] = found[6][:used]
    total, pulses = closing_price(blocks, chip, room, states[b], prices[b])
    return total, used, states[b, SWAPS], pulses, work


@numba.njit(cache=True, nogil=True)
def _merit(blocks, chip, room, state, prices, finished):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Price so far with its waiting, and what the ready blocks are still apart."""
    total, _ = closing_price(blocks, chip, room, state, prices)
    width = len(blocks.stage_offsets) - 1
    position, _, _, _, marks, _, _ = views(blocks, width, len(chip.edge), room, state)
    if finished:
        for w in range(width):
            total += chip.readout[position[w]]
        return total
    ahead = 0.0
    for f in range(state[0]):
        at = blocks.offsets[marks[3, f]]
        ahead += chip.distance[position[blocks.wires[at]], position[blocks.wires[at + 1]]]
    return total + ahead
