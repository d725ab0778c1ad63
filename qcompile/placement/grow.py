"""Growing placement: the interaction graph laid onto the chip qubit by qubit, each at the free place that pulls least.

Wires are taken from a random one outwards, strongest interaction first; the price of a place is the distance to the
partners that are placed, what couples it to the region, its readout and its waiting, and a random part.
"""

from __future__ import annotations

import numba
import numpy as np

from qcompile.routing.splitmix import uniform

_COUPLING = 4.0  # CX on the coupler into the region that a place is judged by
_RANDOM = 1.0  # spread of the random part, in units of a CX


@numba.njit(cache=True, nogil=True)
def grow(blocks, chip, region, waiting, state, layout):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Fills layout[wire] with distinct qubits of a connected region, grown from a random start.

    Args:
        blocks, chip: see `routing.arrays`.
        region: its qubits.
        waiting: s that a qubit is thought to wait.
        state: uint64[1] of the random numbers; advanced.
    """
    width, size = len(layout), len(chip.edge)
    quality = uniform(state) ** 2  # how much a qubit's own readout and waiting count: good qubits may be far apart
    taken = np.zeros(size, np.bool_)
    placed = np.zeros(width, np.bool_)
    pull = np.zeros(width)  # CX with what is placed
    rim = np.zeros(size, np.bool_)  # free, beside the region
    for w in range(width):
        layout[w] = -1
    for step in range(width):
        wire = -1
        if step > 0:
            strongest = 0.0
            for w in range(width):
                if not placed[w] and pull[w] > 0:
                    strength = pull[w] * (0.5 + uniform(state))
                    if strength > strongest:
                        wire, strongest = w, strength
        if wire < 0:  # the first one, or of a part of its own
            skip = int(uniform(state) * (width - step))
            for w in range(width):
                if not placed[w]:
                    if skip == 0:
                        wire = w
                        break
                    skip -= 1
        best, place = 1e300, -1
        if step == 0:
            place = region[int(uniform(state) * len(region))]
        else:
            for p in region:
                if taken[p] or not rim[p]:
                    continue
                price = 0.0
                for i in range(blocks.near_offsets[wire], blocks.near_offsets[wire + 1]):
                    other = blocks.near[i]
                    if placed[other]:
                        price += min(blocks.weight[i], 4.0) * chip.distance[p, layout[other]]
                coupling = 1e300
                for i in range(chip.offsets[p], chip.offsets[p + 1]):
                    if taken[chip.near[i]]:
                        coupling = min(coupling, chip.gate[chip.edge[p, chip.near[i]]])
                price += _COUPLING * coupling + quality * (chip.readout[p] + chip.idle[p] * waiting)
                price += _RANDOM * chip.unit * uniform(state)
                if price < best:
                    best, place = price, p
        layout[wire] = place
        placed[wire] = taken[place] = True
        for i in range(blocks.near_offsets[wire], blocks.near_offsets[wire + 1]):
            pull[blocks.near[i]] += blocks.weight[i]
        for i in range(chip.offsets[place], chip.offsets[place + 1]):
            rim[chip.near[i]] = True


@numba.njit(cache=True, nogil=True)
def disturb(chip, state, layout):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Changes a layout a little: one wire moves to a place beside it, and what is there to its place, once or twice."""
    width = len(layout)
    for _ in range(1 + int(2 * uniform(state))):
        w = int(uniform(state) * width)
        p = layout[w]
        degree = chip.offsets[p + 1] - chip.offsets[p]
        if degree == 0:
            continue
        q = chip.near[chip.offsets[p] + int(uniform(state) * degree)]
        if uniform(state) < 0.3 and width > 1:
            q = layout[int(uniform(state) * width)]
        for v in range(width):
            if layout[v] == q:
                layout[v] = p
        layout[w] = q
