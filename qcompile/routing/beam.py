"""SWAPs by a beam over (layout, done blocks), one level for each SWAP: few SWAPs where a circuit nearly fits the chip.

Between SWAPs everything that can run does: that never hurts. States of equally many SWAPs compete by the blocks done,
less how far the partners of the next blocks of each qubit are apart; equal ones meet once. The first level that
finishes has the fewest SWAPs of all that the beam has seen. Work ends early where the blocks freed by a SWAP do not add
up to a finish within the limit.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from qcompile.placement.couplings import Couplings, Ints

WIDTH = 50
DEPTH = 8
DECAY = 0.8
"""States kept, blocks of each qubit that are looked ahead at, and the weight of each next one of them."""

_FAIR = 5  # SWAPs after which the rate of blocks a SWAP is believed
_SLACK = 1.5


class View(NamedTuple):
    """What routing sees of a circuit: two-qubit blocks, and what must come before what.

    Attributes:
        num_qubits: virtual qubits.
        first, second: [block] virtual qubits, in an order that the stages allow.
        stage_first, stage_second: [block] number of the commuting group that a block belongs to on its first and on its
            second wire; on a wire, all blocks of a group come before any of a later one. Numbers may have gaps.
    """

    num_qubits: int
    first: Ints
    second: Ints
    stage_first: Ints
    stage_second: Ints

    def backward(self) -> View:
        """The same circuit from its end: block k is block len - 1 - k here."""
        return View(
            self.num_qubits,
            np.ascontiguousarray(self.first[::-1]),
            np.ascontiguousarray(self.second[::-1]),
            -self.stage_first[::-1],
            -self.stage_second[::-1],
        )

    def part(self, begin: int, end: int) -> View:
        """Blocks begin to end - 1 alone."""
        return View(self.num_qubits, *(column[begin:end] for column in self[1:]))


class Wires(NamedTuple):
    """A view, wire by wire. Groups are numbered from 0 without gaps; group g of wire w is number begins[w] + g.

    Attributes:
        first, second, group_first, group_second: [block].
        members: blocks of all groups, one after another, program order inside a group.
        starts: [group + 1] in `members`. begins: [wire + 1].
    """

    first: Ints
    second: Ints
    group_first: Ints
    group_second: Ints
    members: Ints
    starts: Ints
    begins: Ints


class Route(NamedTuple):
    """A complete routing.

    Attributes:
        layout: [virtual] where qubits start.
        items: [item, 3] in order of execution: block (-1: a SWAP), place of its first and of its second qubit.
        swaps: how many there are.
    """

    layout: Ints
    items: Ints
    swaps: int

    def on(self, qubits: Ints) -> Route:
        """The same with place p called qubits[p]."""
        items = self.items.copy()
        items[:, 1:] = qubits[items[:, 1:]]
        return Route(qubits[self.layout], items, self.swaps)


def wires(view: View, places: int) -> Wires:
    """Groups of each wire; wires from `num_qubits` to `places` carry nothing."""
    count = len(view.first)
    wire = np.concatenate([view.first, view.second])
    stage = np.concatenate([view.stage_first, view.stage_second])
    block = np.tile(np.arange(count), 2)
    order = np.lexsort((block, stage, wire))
    opens = np.ones(2 * count, np.bool_)
    opens[1:] = (np.diff(wire[order]) != 0) | (np.diff(stage[order]) != 0)
    starts = np.append(np.flatnonzero(opens), 2 * count)
    begins = np.searchsorted(wire[order][starts[:-1]], np.arange(places + 1))
    number = np.empty(2 * count, np.int64)
    number[order] = np.cumsum(opens) - 1
    number -= begins[wire]
    return Wires(view.first, view.second, number[:count], number[count:], block[order], starts, begins)


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


def replay(view: View, chip: Couplings, layout: Ints, swaps: Ints) -> Route | None:
    """Everything that can run, then the first SWAP, then everything that can run, and so on.

    Args:
        swaps: [swap, 2] places, neighbours on the chip.
    Returns: None if blocks are left at the end. SWAPs that nothing follows are dropped.
    """
    at = wires(view, chip.size)
    full = np.append(layout, np.setdiff1d(np.arange(chip.size), layout)).astype(np.int64)
    items, count = _replay(at, chip, full, np.ascontiguousarray(swaps, np.int64).reshape(-1, 2))
    items = items[:count]
    if (items[:, 0] >= 0).sum() < len(view.first):
        return None
    ran = np.flatnonzero(items[:, 0] >= 0)
    items = items[: ran[-1] + 1 if len(ran) else 0]
    return Route(layout.copy(), items, int((items[:, 0] < 0).sum()))


def final_layout(routed: Route) -> Ints:
    """[virtual] where qubits are after all items."""
    layout = routed.layout.copy()
    for _, a, b in routed.items[routed.items[:, 0] < 0]:
        on_a, on_b = layout == a, layout == b
        layout[on_a], layout[on_b] = b, a
    return layout


@numba.njit(cache=True, nogil=True)
def _open(at, wire, group):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(first, last + 1) of the members of a wire's group; empty behind its last one."""
    k = at.begins[wire] + group
    if k >= at.begins[wire + 1]:
        return 0, 0
    return at.starts[k], at.starts[k + 1]


@numba.njit(cache=True, nogil=True)
def _advance(at, adjacency, place, group, left, done, log, logged, stack, waiting):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Runs what can run, beginning with the wires on the stack; returns the length of the log of blocks."""
    while waiting > 0:
        waiting -= 1
        w = stack[waiting]
        again = True
        while again:
            again = False
            low, high = _open(at, w, group[w])
            for i in range(low, high):
                b = at.members[i]
                if done[b]:
                    continue
                other, theirs = at.second[b], at.group_second[b]
                if other == w:
                    other, theirs = at.first[b], at.group_first[b]
                if group[other] != theirs or not adjacency[place[w], place[other]]:
                    continue
                done[b] = 1
                log[logged] = b
                logged += 1
                left[other] -= 1
                if left[other] == 0:
                    group[other] += 1
                    start, end = _open(at, other, group[other])
                    left[other] = end - start
                    stack[waiting] = other
                    waiting += 1
                left[w] -= 1
                if left[w] == 0:
                    group[w] += 1
                    start, end = _open(at, w, group[w])
                    left[w] = end - start
                    again = True
                    break
    return logged


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
            if done[b]:
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
    stack = np.empty(places + 2 * blocks + 2, np.int64)
    for s in range(starts):
        for w in range(places):
            place[0, s, w] = layouts[s, w]
            owner[0, s, layouts[s, w]] = w
            hashes[0, s] ^= table[w, layouts[s, w]]
            low, high = _open(at, w, 0)
            left[0, s, w] = high - low
            stack[w] = w
        ran[0, s] = _advance(
            at, chip.adjacency, place[0, s], group[0, s], left[0, s], done[0, s], log, 0, stack, places
        )
        if ran[0, s] == blocks:
            return 0, s, parents, pairs
    begun = ran[0, :starts].max()
    most = room * (len(chip.near) // 2)
    scores, origins = np.empty(most), np.empty(most, np.int64)
    ends, totals = np.empty((most, 2), np.int64), np.empty(most, np.int64)
    keys = np.empty(most, np.uint64)
    trial_group, trial_left = np.empty(places, np.int64), np.empty(places, np.int64)
    wanted = np.zeros(places, np.bool_)
    kept, old = starts, 0
    for level in range(1, limit + 1):
        count = 0
        for s in range(kept):
            here, on, mine, finished = place[old, s], owner[old, s], group[old, s], done[old, s]
            wanted[:] = False
            for w in range(places):
                low, high = _open(at, w, mine[w])
                for i in range(low, high):
                    b = at.members[i]
                    if not finished[b]:
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
                    trial_group[:] = mine
                    trial_left[:] = left[old, s]
                    stack[0], stack[1] = u, v
                    logged = _advance(at, chip.adjacency, here, trial_group, trial_left, finished, log, 0, stack, 2)
                    apart = _distance_ahead(at, chip.hops, here, trial_group, finished, depth, decay)
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
            logged = _advance(
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


@numba.njit(cache=True, nogil=True)
def _replay(at, chip, layout, swaps):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(items, how many)."""
    blocks, places = len(at.first), len(chip.adjacency)
    items = np.empty((blocks + len(swaps), 3), np.int64)
    place, owner = layout.copy(), np.empty(places, np.int64)
    group, left, done = np.zeros(places, np.int64), np.zeros(places, np.int64), np.zeros(blocks, np.uint8)
    log, stack = np.empty(blocks + 1, np.int64), np.empty(places + 2 * blocks + 2, np.int64)
    for w in range(places):
        owner[place[w]] = w
        low, high = _open(at, w, 0)
        left[w] = high - low
        stack[w] = w
    count, waiting = 0, places
    for k in range(len(swaps) + 1):
        logged = _advance(at, chip.adjacency, place, group, left, done, log, 0, stack, waiting)
        for i in range(logged):
            b = log[i]
            items[count, 0], items[count, 1], items[count, 2] = b, place[at.first[b]], place[at.second[b]]
            count += 1
        if k == len(swaps):
            break
        a, b = swaps[k]
        items[count, 0], items[count, 1], items[count, 2] = -1, a, b
        count += 1
        u, v = owner[a], owner[b]
        place[u], place[v], owner[a], owner[b] = b, a, v, u
        stack[0], stack[1] = u, v
        waiting = 2
    return items, count


def plain_replay(view: View, chip: Couplings, layout: Ints, swaps: Ints) -> list[set[int]]:
    """The plain twin of `replay`: the blocks that run before the first SWAP, between it and the second, and so on."""
    place = dict(enumerate(layout.tolist()))
    pending = set(range(len(view.first)))
    spans: list[set[int]] = []
    for swap in [None, *swaps.tolist()]:
        if swap is not None:
            change = {swap[0]: swap[1], swap[1]: swap[0]}
            place = {v: change.get(p, p) for v, p in place.items()}
        spans.append(set())
        while ready := {
            b
            for b in pending
            if chip.adjacency[place[int(view.first[b])], place[int(view.second[b])]]
            and not any(_before(view, c, b) for c in pending)
        }:
            pending -= ready
            spans[-1] |= ready
    return spans


def _before(view: View, early: int, late: int) -> bool:
    """Whether two blocks share a wire on which one is in an earlier group."""
    stages = [
        {int(view.first[b]): int(view.stage_first[b]), int(view.second[b]): int(view.stage_second[b])}
        for b in (early, late)
    ]
    return any(stages[0][w] < stages[1][w] for w in stages[0].keys() & stages[1].keys())
