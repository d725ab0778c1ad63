"""The state of a routing in progress: one array of integers, one of floats, and where in them everything stands."""

from __future__ import annotations

import numba

FRONTS, FIRST, FINISHED, UNITS, USED, SWAPS, LAST_EDGE, STUCK, WORK, SCALARS = range(10)
"""Numbers at the head of a state: ready blocks that wait, first node that is not done, nodes done, units, items used,
SWAPs, coupler of the last SWAP, SWAPs since a block ran, work; how many they are."""


@numba.njit(cache=True, nogil=True)
def state_sizes(blocks, width, size, room):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(integers, floats) of the state of a routing in progress, with room for some items."""
    nodes, stages = len(blocks.is_block), blocks.stage_offsets[width]
    return SCALARS + width + 2 * size + stages + 4 * nodes + 7 * room, 1 + size


@numba.njit(cache=True, nogil=True)
def views(blocks, width, size, room, state):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The arrays of a state: (position, holder, left, unit_of), (waits, done, ready, front), (edge, paid, kind, node of
    each unit), items.
    """
    nodes, stages = len(blocks.is_block), blocks.stage_offsets[width]
    at = SCALARS
    position, holder = state[at : at + width], state[at + width : at + width + size]
    at += width + size
    left, unit_of = state[at : at + stages], state[at + stages : at + stages + size]
    at += stages + size
    marks = state[at : at + 4 * nodes].reshape(4, nodes)
    at += 4 * nodes
    units = state[at : at + 4 * room].reshape(4, room)
    at += 4 * room
    return position, holder, left, unit_of, marks, units, state[at : at + 3 * room].reshape(room, 3)


@numba.njit(cache=True, nogil=True)
def begin(blocks, chip, layout, room, state, prices):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Fills the state of a routing that has not begun; prices[0]: the price so far; then the clock of each qubit, s."""
    width, size = len(layout), len(chip.edge)
    position, holder, left, unit_of, marks, _, _ = views(blocks, width, size, room, state)
    state[:SCALARS] = 0
    state[LAST_EDGE] = -1
    prices[:] = 0.0
    holder[:] = -1
    unit_of[:] = -1
    marks[:] = 0
    for w in range(width):
        position[w] = layout[w]
        holder[layout[w]] = w
    for s in range(len(left)):
        left[s] = blocks.member_offsets[s + 1] - blocks.member_offsets[s]
    for k in range(len(blocks.is_block)):
        for i in range(blocks.offsets[k], blocks.offsets[k + 1]):
            if blocks.stages[i] != blocks.stage_offsets[blocks.wires[i]]:
                marks[0, k] += 1
