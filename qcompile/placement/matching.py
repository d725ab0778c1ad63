"""Error-tolerant graph matching: layouts under which the heaviest pairs of qubits are neighbours, by a beam.

Virtual qubits are placed one after another, each the one that weighs most to those already placed, and the best partial
layouts are kept. A pair counts its weight if it lands on a coupler, and costs it for each coupler beyond the first
otherwise; a coupler between qubits that never meet is wasted, which keeps a layout that must fill a chip compact. What
a vertex still needs around it (ball sizes among the *certain* pairs) rules out borders and corners in time.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.placement.couplings import Couplings, Ints, couplings

Floats = NDArray[np.float64]

CERTAIN = 1.0
"""Weight from which a pair counts as certain: it should be on a coupler."""

_FAR = 3  # couplers too many that a pair is charged at most
_TIE = 1e-7  # most that chance adds to a score


class Knobs(NamedTuple):
    """How to grow.

    Attributes:
        width: partial layouts kept.
        crowding: cost of each qubit that a ball around a vertex has too many for its place.
        mismatch: cost of each neighbour by which a vertex and its place differ.
        waste: cost of a coupler between qubits that never meet.
        start: 0 begins with the vertex of fewest fitting places, 1 with the next, and so on.
    """

    width: int = 500
    crowding: float = 0.3
    mismatch: float = 0.1
    waste: float = 0.1
    start: int = 0


def match(weights: Floats, chip: Couplings, knobs: Knobs, *, count: int, seed: int) -> tuple[Ints, Floats]:
    """Layouts of high weight on neighbours.

    Args:
        weights: [virtual, virtual], symmetric, not negative; 0 for qubits that never meet.
        chip: connected, of at least as many vertices.
        count: layouts at most.
        seed: breaks ties.
    Returns: [layout, virtual] vertices of the chip, the best first; and the score of each.
    """
    size = len(weights)
    active = np.flatnonzero(weights.sum(1))
    certain = couplings(size, np.argwhere(np.triu(weights >= CERTAIN, 1)).astype(np.int64))
    scores = place_scores(weights, certain, chip, knobs)
    scores += _TIE * np.random.default_rng(seed).random(scores.shape)
    order = growth_order(weights, scores, active, knobs.start)
    rows, totals = grow(weights, scores, order, chip, knobs.width, knobs.waste)
    rows, totals = rows[:count], totals[:count]
    idle = np.setdiff1d(np.arange(size), active)
    for row in rows:
        row[idle] = np.setdiff1d(np.arange(chip.size), row[active])[: len(idle)]
    return rows, totals


def place_scores(weights: Floats, certain: Couplings, chip: Couplings, knobs: Knobs) -> Floats:
    """[virtual, place] what speaks against a place by itself, 0 or less."""
    radii = range(1, 7)
    ours = np.stack([((certain.hops <= r) & (certain.hops < certain.size)).sum(1) for r in radii], axis=1)
    theirs = np.stack([((chip.hops <= r) & (chip.hops < chip.size)).sum(1) for r in radii], axis=1)
    excess = np.maximum(0, ours[:, None, :] - theirs[None, :, :]).sum(2)
    partners = (weights > 0.15 * CERTAIN).sum(1)
    differs = np.abs(partners[:, None] - chip.degrees[None, :])
    return -knobs.crowding * excess - knobs.mismatch * differs


def growth_order(weights: Floats, scores: Floats, active: Ints, start: int) -> Ints:
    """Active vertices: a hard one to place first, then always the one of most weight to those before."""
    if not len(active):
        return active
    choices = (scores >= scores.max(1)[:, None] - 2 * _TIE).sum(1)[active]
    total = weights.sum(1)[active]
    first = active[np.lexsort((-total, choices))[start % len(active)]]
    gain = weights[first].copy()
    order, left = [int(first)], set(active.tolist()) - {int(first)}
    tie = 1e-6 * weights.sum(1)
    while left:
        rest = np.array(sorted(left))
        best = int(rest[np.argmax(gain[rest] + tie[rest])])
        order.append(best)
        left.remove(best)
        gain += weights[best]
    return np.array(order, np.int64)


@numba.njit(cache=True, nogil=True)
def grow(weights, scores, order, chip, width, waste):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """([layout, virtual] places, the best first, -1 for vertices not in `order`; [layout] scores)."""
    size, places = scores.shape
    layouts = np.full((2, width, size), -1, np.int64)
    owners = np.full((2, width, places), -1, np.int64)
    totals = np.zeros((2, width))
    gains, parents = np.empty(width * places), np.empty(width * places, np.int64)
    spots = np.empty(width * places, np.int64)
    mark = np.full(places, -1, np.int64)
    partners = np.empty(size, np.int64)
    kept, old, stamp = 1, 0, 0
    for i in range(len(order)):
        v = order[i]
        known = 0
        for j in range(i):
            if weights[v, order[j]] > 0:
                partners[known] = order[j]
                known += 1
        count = 0
        for s in range(kept):
            stamp += 1
            begin = count
            heaviest = -1
            for j in range(known):
                u = partners[j]
                if heaviest < 0 or weights[v, u] > weights[v, heaviest]:
                    heaviest = u
                at = layouts[old, s, u]
                for e in range(chip.offsets[at], chip.offsets[at + 1]):
                    h = chip.near[e]
                    if owners[old, s, h] < 0 and mark[h] != stamp:
                        mark[h] = stamp
                        spots[count] = h
                        count += 1
            if count == begin:  # no free place beside a partner: the free ones closest to the heaviest, or all
                nearest = places + 1
                for h in range(places):
                    if heaviest >= 0 and owners[old, s, h] < 0:
                        nearest = min(nearest, chip.hops[h, layouts[old, s, heaviest]])
                for h in range(places):
                    if owners[old, s, h] < 0 and (heaviest < 0 or chip.hops[h, layouts[old, s, heaviest]] <= nearest):
                        spots[count] = h
                        count += 1
            for c in range(begin, count):
                h = spots[c]
                total = totals[old, s] + scores[v, h]
                for j in range(known):
                    u = partners[j]
                    far = chip.hops[h, layouts[old, s, u]] - 1
                    total += weights[u, v] if far == 0 else -weights[u, v] * min(far, _FAR)
                for e in range(chip.offsets[h], chip.offsets[h + 1]):
                    u = owners[old, s, chip.near[e]]
                    if u >= 0 and weights[u, v] == 0:
                        total -= waste
                gains[c] = total
                parents[c] = s
        best = np.argsort(-gains[:count])
        kept = min(width, count)
        new = 1 - old
        for t in range(kept):
            c = best[t]
            layouts[new, t] = layouts[old, parents[c]]
            owners[new, t] = owners[old, parents[c]]
            layouts[new, t, v] = spots[c]
            owners[new, t, spots[c]] = v
            totals[new, t] = gains[c]
        old = new
    return layouts[old, :kept].copy(), totals[old, :kept].copy()


def layout_score(layout: Ints, weights: Floats, scores: Floats, chip: Couplings, waste: float) -> float:
    """The plain twin of the score that `grow` adds up vertex by vertex, for a full layout."""
    active = np.flatnonzero(weights.sum(1))
    far = chip.hops[np.ix_(layout, layout)] - 1
    value = np.where(far == 0, weights, -weights * np.minimum(far, _FAR))
    meets = np.where((far == 0) & (weights == 0), -waste, value)
    return float(np.triu(meets[np.ix_(active, active)], 1).sum() + scores[active, layout[active]].sum())
