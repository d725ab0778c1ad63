"""SWAPs by a beam over (layout, done blocks), one level for each SWAP: few SWAPs where a circuit nearly fits the chip.

Between SWAPs everything that can run does: that never hurts. States of equally many SWAPs compete by the blocks done,
less how far the partners of the next blocks of each qubit are apart; equal ones meet once. The first level that
finishes has the fewest SWAPs of all that the beam has seen. Work ends early where the blocks freed by a SWAP do not add
up to a finish within the limit.
"""

from __future__ import annotations

import numba
import numpy as np

from qcompile.placement.couplings import Couplings, Ints
from qcompile.routing.replay import Route, advance, open_group, replay
from qcompile.routing.view import View, wires

__all__ = ["DECAY", "DEPTH", "WIDTH", "Route", "View", "route"]

WIDTH = 50
DEPTH = 8
DECAY = 0.8
"""States kept, blocks of each qubit that are looked ahead at, and the weight of each next one of them."""

_FAIR = 5  # SWAPs after which the rate of blocks a SWAP is believed
_SLACK = 1.5


def route(
    view: View, chip: Couplings, layouts: Ints, *, limit: int, width: int = WIDTH, depth: int = DEPTH
) -> Route | None:
    """The routing of fewest SWAPs that the beam finds from any of these layouts.

    Args:
        chip: connected.
        layouts: [layout, virtual] places to start from.
        limit: SWAPs at most.
    Returns: None if it found none within the limit, or the rate of progress did not promise one.
    """
    at = wires(view, chip.size)
    full = np.stack([np.append(row, np.setdiff1d(np.arange(chip.size), row)) for row in layouts]).astype(np.int64)
    table = np.random.default_rng(0).integers(0, 2**63, (chip.size, chip.size), dtype=np.uint64)
    level, slot, parents, pairs = _beam(at, chip, full, table, width, limit, depth, DECAY)
    if level < 0:
        return None
    chosen = np.empty((level, 2), np.int64)
    for number in range(level, 0, -1):
        chosen[number - 1] = pairs[number, slot]
        slot = parents[number, slot]
    return replay(view, chip, full[slot, : view.num_qubits], chosen)


@numba.njit(cache=True, nogil=True)
def _distance_ahead(at, hops, place, group, done, depth, decay):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Couplers too many between the partners of the next `depth` blocks of each wire, decaying along the wire."""
    total = 0.0
    for w in range(len(group)):
        k = at.begins[w] + group[w]
        if k >= at.begins[w + 1]:
            continue
        weight, seen = 1.0, 0
        for i in range(at.starts[k], at.starts[at.begins[w + 1]]):
            b = at.members[i]
            if done[b] or at.first[b] < 0:
                continue
            total += weight * (hops[place[at.first[b]], place[at.second[b]]] - 1)
            weight *= decay
            seen += 1
            if seen == depth:
                break
    return total


@numba.njit(cache=True, nogil=True)
def _beam(at, chip, layouts, table, width, limit, depth, decay):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(SWAPs or -1, slot of the finished state, [level, slot] parents, [level, slot, 2] SWAPs)."""
    blocks, places, starts = len(at.first), len(chip.adjacency), len(layouts)
    room = max(width, starts)
    place = np.empty((2, room, places), np.int64)  # wire -> place
    owner = np.empty((2, room, places), np.int64)  # place -> wire
    group = np.zeros((2, room, places), np.int64)
    left = np.zeros((2, room, places), np.int64)
    done = np.zeros((2, room, blocks), np.uint8)
    ran = np.zeros((2, room), np.int64)
    hashes = np.zeros((2, room), np.uint64)
    parents = np.full((limit + 1, room), -1, np.int64)
    pairs = np.full((limit + 1, room, 2), -1, np.int64)
    log = np.empty(blocks + 1, np.int64)
    stack = np.empty(places + len(at.members) + 2, np.int64)
    for s in range(starts):
        for w in range(places):
            place[0, s, w] = layouts[s, w]
            owner[0, s, layouts[s, w]] = w
            hashes[0, s] ^= table[w, layouts[s, w]]
            low, high = open_group(at, w, 0)
            left[0, s, w] = high - low
            stack[w] = w
        ran[0, s] = advance(at, chip.adjacency, place[0, s], group[0, s], left[0, s], done[0, s], log, 0, stack, places)
        if ran[0, s] == blocks:
            return 0, s, parents, pairs
    begun = ran[0, :starts].max()
    most = room * (len(chip.near) // 2)
    scores, origins = np.empty(most), np.empty(most, np.int64)
    ends, totals = np.empty((most, 2), np.int64), np.empty(most, np.int64)
    keys = np.empty(most, np.uint64)
    next_group, next_left = np.empty(places, np.int64), np.empty(places, np.int64)
    wanted = np.zeros(places, np.bool_)
    kept, old = starts, 0
    for level in range(1, limit + 1):
        count = 0
        for s in range(kept):
            here, on, mine, finished = place[old, s], owner[old, s], group[old, s], done[old, s]
            wanted[:] = False
            for w in range(places):
                low, high = open_group(at, w, mine[w])
                for i in range(low, high):
                    b = at.members[i]
                    if not finished[b] and at.first[b] >= 0:
                        u, v = at.first[b], at.second[b]
                        if mine[u] == at.group_first[b] and mine[v] == at.group_second[b]:
                            wanted[here[u]] = True
                            wanted[here[v]] = True
            for a in range(places):
                for k in range(chip.offsets[a], chip.offsets[a + 1]):
                    b = chip.near[k]
                    if b < a or not (wanted[a] or wanted[b]):
                        continue
                    u, v = on[a], on[b]
                    here[u], here[v] = b, a
                    next_group[:] = mine
                    next_left[:] = left[old, s]
                    stack[0], stack[1] = u, v
                    logged = advance(at, chip.adjacency, here, next_group, next_left, finished, log, 0, stack, 2)
                    apart = _distance_ahead(at, chip.hops, here, next_group, finished, depth, decay)
                    for i in range(logged):
                        finished[log[i]] = 0
                    here[u], here[v] = a, b
                    origins[count], ends[count, 0], ends[count, 1] = s, a, b
                    totals[count] = ran[old, s] + logged
                    scores[count] = apart - totals[count]
                    keys[count] = hashes[old, s] ^ table[u, a] ^ table[v, b] ^ table[u, b] ^ table[v, a]
                    count += 1
        order = np.argsort(scores[:count], kind="mergesort")
        new, fresh, best = 1 - old, 0, 0
        for c in order:
            twice = False
            for t in range(fresh):
                if hashes[new, t] == keys[c] and ran[new, t] >= totals[c]:
                    twice = True
                    break
            if twice:
                continue
            s, a, b = origins[c], ends[c, 0], ends[c, 1]
            place[new, fresh], owner[new, fresh] = place[old, s], owner[old, s]
            group[new, fresh], left[new, fresh], done[new, fresh] = group[old, s], left[old, s], done[old, s]
            u, v = owner[old, s, a], owner[old, s, b]
            place[new, fresh, u], place[new, fresh, v] = b, a
            owner[new, fresh, a], owner[new, fresh, b] = v, u
            stack[0], stack[1] = u, v
            logged = advance(
                at, chip.adjacency, place[new, fresh], group[new, fresh], left[new, fresh], done[new, fresh], log, 0,
                stack, 2,
            )  # fmt: skip
            ran[new, fresh], hashes[new, fresh] = ran[old, s] + logged, keys[c]
            parents[level, fresh], pairs[level, fresh, 0], pairs[level, fresh, 1] = s, a, b
            best = max(best, ran[new, fresh])
            fresh += 1
            if ran[new, fresh - 1] == blocks:
                return level, fresh - 1, parents, pairs
            if fresh == width:
                break
        kept, old = fresh, new
        if level >= _FAIR and level * (blocks - begun) > _SLACK * limit * max(best - begun, 1):
            break
    return -1, 0, parents, pairs
