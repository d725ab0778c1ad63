"""Running a circuit under a layout: between given SWAPs, everything that can run does, which never hurts."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from qcompile.placement.couplings import Couplings, Ints
from qcompile.routing.view import View, wires


class Route(NamedTuple):
    """A complete routing.

    Attributes:
        layout: [virtual] where qubits start.
        items: [item, 3] in order of execution: node (-1: a SWAP), place of its first and of its second qubit; -1, -1 of
            a fence.
        swaps: how many there are.
    """

    layout: Ints
    items: Ints
    swaps: int

    def on(self, qubits: Ints) -> Route:
        """The same with place p called qubits[p]."""
        items = self.items.copy()
        items[:, 1:] = np.where(items[:, 1:] < 0, -1, qubits[items[:, 1:]])
        return Route(qubits[self.layout], items, self.swaps)


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
def open_group(at, wire, group):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(first, last + 1) of the members of a wire's group; empty behind its last one."""
    k = at.begins[wire] + group
    if k >= at.begins[wire + 1]:
        return 0, 0
    return at.starts[k], at.starts[k + 1]


@numba.njit(cache=True, nogil=True)
def _runs(at, b, w, adjacency, place, group):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Whether node b, in the open group of wire w, is ready on its other wires and on a coupler."""
    if at.first[b] < 0:
        for k in range(at.fence_offsets[b], at.fence_offsets[b + 1]):
            if group[at.fence_wires[k]] != at.fence_groups[k]:
                return False
        return True
    other, theirs = at.second[b], at.group_second[b]
    if other == w:
        other, theirs = at.first[b], at.group_first[b]
    return group[other] == theirs and adjacency[place[w], place[other]]


@numba.njit(cache=True, nogil=True)
def _leave(at, wire, group, left, stack, waiting):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Takes one node off a wire's open group; behind the last, opens the next one and puts the wire on the stack."""
    left[wire] -= 1
    if left[wire] > 0:
        return waiting
    group[wire] += 1
    low, high = open_group(at, wire, group[wire])
    left[wire] = high - low
    stack[waiting] = wire
    return waiting + 1


@numba.njit(cache=True, nogil=True)
def advance(at, adjacency, place, group, left, done, log, logged, stack, waiting):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Runs what can run, beginning with the wires on the stack; returns the length of the log of nodes."""
    while waiting > 0:
        waiting -= 1
        w = stack[waiting]
        opened = group[w]
        low, high = open_group(at, w, opened)
        for i in range(low, high):
            b = at.members[i]
            if done[b] or not _runs(at, b, w, adjacency, place, group):
                continue
            done[b] = 1
            log[logged] = b
            logged += 1
            if at.first[b] >= 0:
                waiting = _leave(at, at.first[b], group, left, stack, waiting)
                waiting = _leave(at, at.second[b], group, left, stack, waiting)
            else:
                for k in range(at.fence_offsets[b], at.fence_offsets[b + 1]):
                    waiting = _leave(at, at.fence_wires[k], group, left, stack, waiting)
            if group[w] != opened:
                break
    return logged


@numba.njit(cache=True, nogil=True)
def _replay(at, chip, layout, swaps):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(items, how many)."""
    blocks, places = len(at.first), len(chip.adjacency)
    items = np.empty((blocks + len(swaps), 3), np.int64)
    place, owner = layout.copy(), np.empty(places, np.int64)
    group, left, done = np.zeros(places, np.int64), np.zeros(places, np.int64), np.zeros(blocks, np.uint8)
    log, stack = np.empty(blocks + 1, np.int64), np.empty(places + len(at.members) + 2, np.int64)
    for w in range(places):
        owner[place[w]] = w
        low, high = open_group(at, w, 0)
        left[w] = high - low
        stack[w] = w
    count, waiting = 0, places
    for k in range(len(swaps) + 1):
        logged = advance(at, chip.adjacency, place, group, left, done, log, 0, stack, waiting)
        for i in range(logged):
            b = log[i]
            items[count, 0], items[count, 1], items[count, 2] = b, -1, -1
            if at.first[b] >= 0:
                items[count, 1], items[count, 2] = place[at.first[b]], place[at.second[b]]
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
    """The plain twin of `replay`: the nodes that run before the first SWAP, between it and the second, and so on."""
    place = dict(enumerate(layout.tolist()))
    stages = [_stages(view, k) for k in range(len(view.first))]
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
            if (view.first[b] < 0 or chip.adjacency[tuple(place[w] for w in stages[b])])
            and not any(stages[c][w] < stages[b][w] for c in pending for w in stages[c].keys() & stages[b].keys())
        }:
            pending -= ready
            spans[-1] |= ready
    return spans


def _stages(view: View, node: int) -> dict[int, int]:
    """Wire -> stage."""
    if view.first[node] < 0:
        rows = np.flatnonzero(view.fence_node == node)
        return dict(zip(view.fence_wire[rows].tolist(), view.fence_stage[rows].tolist()))
    return {
        int(view.first[node]): int(view.stage_first[node]),
        int(view.second[node]): int(view.stage_second[node]),
    }
