"""The lookahead router as a compiled kernel; `plain` is its twin in plain Python.

Lookahead over SWAPs in the manner of SABRE (Li, Ding, Xie 2019), with prices in place of counts: distances are -log of
survival, a SWAP beside a block on the same coupler costs what the merged block costs more, ready blocks and a window of
later ones pull with decaying weights, and idle decay counts by the time that a SWAP adds.
"""

from __future__ import annotations

import numba
import numpy as np

from qcompile.routing.splitmix import uniform
from qcompile.routing.state import (
    FINISHED,
    FIRST,
    FRONTS,
    LAST_EDGE,
    STUCK,
    SWAPS,
    UNITS,
    USED,
    WORK,
    begin,
    state_sizes,
    views,
)  # fmt: skip

WINDOW, AHEAD, DECAY, NEARNESS, TEMPERATURE, IDLE, FADE, EXCHANGE, FLAT, KNOBS = range(10)
"""Knobs of a trial: blocks that are looked ahead at, their weight, its decay from one to the next, how much more near
blocks weigh than far ones, random price in units of a CX, weight of the time that a SWAP adds, weight of a ready block
beside that of the one written before it, whether SWAPs are thought of right behind each block, whether all couplers
are thought equal in distances; how many they are."""

UPCOMING = 12  # blocks of each wire by which such a SWAP is judged

_LONE, _SINGLE, _SEVERAL, _SWAPPED = 0, 1, 2, 3  # what a unit holds: a SWAP, a block, several; blocks, then a SWAP


@numba.njit(cache=True, nogil=True)
def advance(blocks, chip, knobs, random, room, state, prices, target):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Routes on until at least `target` nodes are done; False where the room for items ran out.

    Args:
        blocks, chip: see `arrays`.
        knobs: [KNOBS] see WINDOW, AHEAD, ...
        random: uint64[1] of the random numbers; advanced.
        state, prices: of `begin`, or of an earlier call; advanced.
    """
    size, nodes = len(chip.edge), len(blocks.is_block)
    width = len(blocks.stage_offsets) - 1
    position, holder, left, unit_of, marks, unit, items = views(blocks, width, size, room, state)
    waits, done, ready, front = marks[0], marks[1], marks[2], marks[3]
    unit_edge, unit_paid, unit_kind, unit_node = unit[0], unit[1], unit[2], unit[3]
    clock = prices[1:]
    distance = chip.flat if knobs[FLAT] > 0 else chip.distance
    fronts, first, finished, units, used = state[FRONTS], state[FIRST], state[FINISHED], state[UNITS], state[USED]
    swaps, last_edge, stuck, work = state[SWAPS], state[LAST_EDGE], state[STUCK], state[WORK]
    total = prices[0]
    window = int(knobs[WINDOW])
    rate = 0.0
    for w in range(width):
        rate += chip.idle[position[w]]
    queue = np.empty(nodes, np.int64)
    tail = 0
    if used == 0 and finished == 0 and fronts == 0:  # not begun
        for k in range(nodes):
            if waits[k] == 0:
                queue[tail] = k
                tail += 1
    term_a, term_b = np.empty(nodes + window, np.int64), np.empty(nodes + window, np.int64)
    term_w = np.empty(nodes + window)
    pull_offsets, pulls = np.empty(width + 1, np.int64), np.empty(2 * (nodes + window), np.int64)
    seen = np.empty(width, np.bool_)
    fits = True
    head = 0
    while True:
        if used + 1 >= room:  # a block, and a SWAP right behind it
            fits = False
            break
        best_p, best_q = -1, -1  # of the SWAP that is done
        if head < tail:  # whatever can run, runs
            k = queue[head]
            head += 1
            at = blocks.offsets[k]
            if blocks.is_block[k]:
                p, q = position[blocks.wires[at]], position[blocks.wires[at + 1]]
                e = chip.edge[p, q]
                if e < 0:
                    front[fronts] = k
                    fronts += 1
                    ready[k] = 1
                    continue
                items[used, 0], items[used, 1], items[used, 2] = k, p, q
                u = unit_of[p]
                if u >= 0 and u == unit_of[q]:
                    before = unit_paid[u]
                    if unit_kind[u] == _LONE:
                        unit_paid[u] = blocks.swapped[k]
                    else:
                        unit_paid[u] += blocks.price[k]
                        if blocks.numeric[k] and blocks.numeric[unit_node[u]]:
                            unit_paid[u] = min(unit_paid[u], 3)
                    if unit_kind[u] == _LONE or blocks.numeric[unit_node[u]]:
                        unit_node[u] = k  # one symbol makes the whole unit symbolic
                    unit_kind[u] = _SEVERAL
                    more = unit_paid[u] - before
                else:
                    more = blocks.price[k]
                    unit_of[p] = unit_of[q] = units
                    unit_edge[units], unit_paid[units], unit_kind[units], unit_node[units] = e, more, _SINGLE, k
                    units += 1
                total += more * chip.gate[e]
                clock[p] = clock[q] = max(clock[p], clock[q]) + max(more, 0) * chip.time[e]
            else:
                items[used, 0], items[used, 1], items[used, 2] = k, -1, -1
                latest = 0.0
                for i in range(at, blocks.offsets[k + 1]):
                    latest = max(latest, clock[position[blocks.wires[i]]])
                for i in range(at, blocks.offsets[k + 1]):
                    unit_of[position[blocks.wires[i]]] = -1
                    clock[position[blocks.wires[i]]] = latest
            used += 1
            done[k] = 1
            finished += 1
            stuck = 0
            last_edge = -1
            for i in range(at, blocks.offsets[k + 1]):
                s = blocks.stages[i]
                left[s] -= 1
                if left[s] == 0 and s + 1 < blocks.stage_offsets[blocks.wires[i] + 1]:
                    for j in range(blocks.member_offsets[s + 1], blocks.member_offsets[s + 2]):
                        m = blocks.members[j]
                        waits[m] -= 1
                        if waits[m] == 0:
                            if tail == nodes:
                                tail -= head
                                for i2 in range(tail):
                                    queue[i2] = queue[head + i2]
                                head = 0
                            queue[tail] = m
                            tail += 1
            if knobs[EXCHANGE] == 0.0 or not blocks.is_block[k]:
                continue
            # a SWAP right behind the block is cheap: it is done where it brings the next partners closer
            u = unit_of[p]
            if unit_kind[u] == _SINGLE:
                more = blocks.swapped[k] - unit_paid[u]
            else:
                more = min(3 - unit_paid[u], 1) if blocks.numeric[unit_node[u]] else 1
            price = more * chip.gate[e]
            for side in range(2):
                here, there = (p, q) if side == 0 else (q, p)
                w, partner = blocks.wires[at + side], blocks.wires[at + 1 - side]
                count = 0
                s = blocks.stage_offsets[w]
                while s < blocks.stage_offsets[w + 1] and count < UPCOMING:
                    if left[s] > 0:
                        for j in range(blocks.member_offsets[s], blocks.member_offsets[s + 1]):
                            m = blocks.members[j]
                            if done[m] or not blocks.is_block[m] or count == UPCOMING:
                                continue
                            other = blocks.wires[blocks.offsets[m]] + blocks.wires[blocks.offsets[m] + 1] - w
                            if other != partner:
                                apart = distance[there, position[other]] - distance[here, position[other]]
                                price += knobs[FADE] ** abs(m - k) * apart
                            count += 1
                    s += 1
                work += 2 * count
            if price >= 0:
                continue
            best_p, best_q = p, q
        elif finished >= target:
            break
        else:
            head = tail = 0
            while done[first]:
                first += 1
            # what pulls: ready blocks, and a window of those behind them
            terms = 0
            for f in range(fronts):
                at = blocks.offsets[front[f]]
                a, b = blocks.wires[at], blocks.wires[at + 1]
                apart = chip.hops[position[a], position[b]] - 1
                term_a[terms], term_b[terms] = a, b
                term_w[terms] = (1.0 + knobs[NEARNESS] / apart) * knobs[FADE] ** (front[f] - first)
                terms += 1
            count, k, weight = 0, first, knobs[AHEAD]
            while count < window and k < nodes:
                if not done[k] and not ready[k] and blocks.is_block[k]:
                    at = blocks.offsets[k]
                    term_a[terms], term_b[terms], term_w[terms] = blocks.wires[at], blocks.wires[at + 1], weight
                    weight *= knobs[DECAY]
                    count += 1
                    terms += 1
                k += 1
            for w in range(width + 1):
                pull_offsets[w] = 0
            for t in range(terms):
                pull_offsets[term_a[t]] += 1
                pull_offsets[term_b[t]] += 1
            running = 0
            for w in range(width):
                running += pull_offsets[w]
                pull_offsets[w] = running
            pull_offsets[width] = running
            for t in range(terms):
                pull_offsets[term_a[t]] -= 1
                pulls[pull_offsets[term_a[t]]] = t
                pull_offsets[term_b[t]] -= 1
                pulls[pull_offsets[term_b[t]]] = t
            makespan = 0.0
            for q in range(size):
                makespan = max(makespan, clock[q])
            work += 2 * terms + size + width
            best = 1e300
            if stuck < 3 * width + 20:
                seen[:] = False
                for f in range(2 * fronts):
                    v = blocks.wires[blocks.offsets[front[f // 2]] + f % 2]
                    if seen[v]:
                        continue
                    seen[v] = True
                    p = position[v]
                    for i in range(chip.offsets[p], chip.offsets[p + 1]):
                        q = chip.near[i]
                        e = chip.edge[p, q]
                        if e == last_edge:
                            continue
                        v2 = holder[q]
                        u = unit_of[p]
                        more = 3
                        if u >= 0 and u == unit_of[q]:
                            if unit_kind[u] == _SINGLE:
                                more = blocks.swapped[unit_node[u]] - unit_paid[u]
                            elif unit_kind[u] == _SEVERAL:
                                more = 1
                                if blocks.numeric[unit_node[u]]:
                                    more = min(3 - unit_paid[u], 1)
                            else:
                                continue  # it would only undo a SWAP
                        price = more * (chip.unit if knobs[FLAT] > 0 else chip.gate[e])
                        work += 4 + 2 * (pull_offsets[v + 1] - pull_offsets[v])
                        for j in range(pull_offsets[v], pull_offsets[v + 1]):
                            t = pulls[j]
                            other = term_a[t] + term_b[t] - v
                            if other != v2:
                                at_other = position[other]
                                price += term_w[t] * (distance[q, at_other] - distance[p, at_other])
                        if v2 >= 0:
                            for j in range(pull_offsets[v2], pull_offsets[v2 + 1]):
                                t = pulls[j]
                                other = term_a[t] + term_b[t] - v2
                                if other != v:
                                    at_other = position[other]
                                    price += term_w[t] * (distance[p, at_other] - distance[q, at_other])
                        ends = max(clock[p], clock[q]) + max(more, 0) * chip.time[e]
                        if ends > makespan:
                            price += knobs[IDLE] * rate * (ends - makespan)
                        price += knobs[TEMPERATURE] * chip.unit * uniform(random)
                        if price < best:
                            best, best_p, best_q = price, p, q
            if best_p < 0:  # no progress for long: the nearest ready block walks together
                nearest, goal = 1 << 40, -1
                for f in range(fronts):
                    at = blocks.offsets[front[f]]
                    apart = chip.hops[position[blocks.wires[at]], position[blocks.wires[at + 1]]]
                    if apart < nearest:
                        nearest = apart
                        best_p, goal = position[blocks.wires[at]], position[blocks.wires[at + 1]]
                cheapest = 1e300
                for i in range(chip.offsets[best_p], chip.offsets[best_p + 1]):
                    q = chip.near[i]
                    if chip.hops[q, goal] < nearest and chip.gate[chip.edge[best_p, q]] < cheapest:
                        cheapest, best_q = chip.gate[chip.edge[best_p, q]], q
        p, q = best_p, best_q
        e = chip.edge[p, q]
        items[used, 0], items[used, 1], items[used, 2] = -1, p, q
        used += 1
        swaps += 1
        stuck += 1
        last_edge = e
        u = unit_of[p]
        if u >= 0 and u == unit_of[q]:
            before = unit_paid[u]
            if unit_kind[u] == _SINGLE:
                unit_paid[u] = blocks.swapped[unit_node[u]]
                unit_kind[u] = _SWAPPED
            elif unit_kind[u] == _LONE:  # only where a ready block is walked home: both SWAPs go
                unit_paid[u] = 0
                unit_of[p] = unit_of[q] = -1
            else:
                unit_paid[u] += 1
                if blocks.numeric[unit_node[u]]:
                    unit_paid[u] = min(unit_paid[u], 3)
                unit_kind[u] = _SWAPPED
            more = unit_paid[u] - before
        else:
            more = 3
            unit_of[p] = unit_of[q] = units
            unit_edge[units], unit_paid[units], unit_kind[units], unit_node[units] = e, 3, _LONE, -1
            units += 1
        total += more * chip.gate[e]
        clock[p] = clock[q] = max(clock[p], clock[q]) + max(more, 0) * chip.time[e]
        a, b = holder[p], holder[q]
        holder[p], holder[q] = b, a
        if a >= 0:
            position[a] = q
        if b >= 0:
            position[b] = p
        f = 0
        while f < fronts:
            k = front[f]
            at = blocks.offsets[k]
            pa, pb = position[blocks.wires[at]], position[blocks.wires[at + 1]]
            if chip.edge[pa, pb] >= 0:
                fronts -= 1
                front[f] = front[fronts]
                ready[k] = 0
                if tail == nodes:
                    tail -= head
                    for i2 in range(tail):
                        queue[i2] = queue[head + i2]
                    head = 0
                queue[tail] = k
                tail += 1
            else:
                f += 1
    state[FRONTS], state[FIRST], state[FINISHED], state[UNITS], state[USED] = fronts, first, finished, units, used
    state[SWAPS], state[LAST_EDGE], state[STUCK], state[WORK] = swaps, last_edge, stuck, work
    prices[0] = total
    return fits


@numba.njit(cache=True, nogil=True)
def closing_price(blocks, chip, room, state, prices):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(price with all waiting, everything as late as possible; CX) of a finished routing."""
    size, width = len(chip.edge), len(blocks.stage_offsets) - 1
    _, _, _, _, _, unit, _ = views(blocks, width, size, room, state)
    total = prices[0]
    to_end, busy = np.zeros(size), np.zeros(size)
    pulses = 0
    for u in range(state[UNITS] - 1, -1, -1):
        e = unit[0, u]
        p, q = chip.ends[e, 0], chip.ends[e, 1]
        length = unit[1, u] * chip.time[e]
        pulses += unit[1, u]
        to_end[p] = to_end[q] = max(to_end[p], to_end[q]) + length
        busy[p] += length
        busy[q] += length
    for q in range(size):
        total += chip.idle[q] * (to_end[q] - busy[q])
    return total, pulses


@numba.njit(cache=True, nogil=True)
def route(blocks, chip, layout, knobs, random, room, items, position):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Routes from a layout; every block ends on a coupler.

    Args:
        blocks, chip, knobs, random: see `advance`.
        layout: [wire] qubit at the start.
        room: most items.
        items: int64[room, 3] filled with (node or -1 for a SWAP, qubit of its first wire, of its second).
        position: int64[wire] filled with where each wire ends.
    Returns: (price: -log survival of couplers and waiting, items used, SWAPs, CX, work: about 5 ns each); items used is
        -1 where room ran out.
    """
    width, size = len(layout), len(chip.edge)
    integers, floats = state_sizes(blocks, width, size, room)
    state, prices = np.empty(integers, np.int64), np.empty(floats)
    begin(blocks, chip, layout, room, state, prices)
    fits = advance(blocks, chip, knobs, random, room, state, prices, len(blocks.is_block))
    found = views(blocks, width, size, room, state)
    position[:] = found[0]
    if not fits:
        return prices[0], -1, state[SWAPS], 0, state[WORK]
    used = state[USED]
    items[:used] = found[6][:used]
    total, pulses = closing_price(blocks, chip, room, state, prices)
    return total, used, state[SWAPS], pulses, state[WORK]
