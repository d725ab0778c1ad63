"""Subgraph embedding by backtracking (after Ullmann 1976 and VF2, Cordella et al. 2004), with prices.

Vertices are placed most-constrained first, each beside one that is already placed; places are narrowed beforehand
(`certificates`), and a vertex may not be farther from a placed one than the pattern allows, so that a large ring turns
back in time. With prices the search is branch and bound: it keeps the cheapest embeddings and leaves a branch that
cannot beat them. All of it ends after a number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.placement.certificates import places, refuted, seats_suffice
from qcompile.placement.couplings import Couplings, Ints

Floats = NDArray[np.float64]

STEPS = 200_000
"""Assignments that one search may try: a few milliseconds."""

_BOUNDS = 4  # distances that are kept under watch for each vertex


class Prices(NamedTuple):
    """What an embedding costs: a sum over its vertices and edges, none negative.

    Attributes:
        vertex: [pattern vertex, host vertex].
        load: [pattern vertex, pattern vertex], symmetric.
        edge: [host vertex, host vertex], symmetric; times the load of the pattern's edge on it.
    """

    vertex: Floats
    load: Floats
    edge: Floats


class Found(NamedTuple):
    """Embeddings.

    Attributes:
        rows: [embedding, pattern vertex] host vertices; the cheapest first, or in the order in which they were found.
        prices: [embedding]; 0 without prices.
        complete: whether the search came to its end: there are no others (with prices: no cheaper ones).
    """

    rows: Ints
    prices: Floats
    complete: bool


class _Plan(NamedTuple):
    """The order of search, with positions in that order: see `_planned`."""

    order: Ints
    parent: Ints
    check_offsets: Ints
    checks: Ints
    bounds: Ints


def find(
    pattern: Couplings, host: Couplings, *, limit: int, seed: int, prices: Prices | None = None, steps: int = STEPS
) -> Found:
    """Up to `limit` embeddings of a graph without isolated vertices; spread over the host where there are more.

    Args:
        seed: of the order in which places are tried.
        prices: if given, the cheapest embeddings that `steps` suffice to find.
    """
    nothing = np.empty((0, pattern.size), np.int64)
    if limit < 1 or not pattern.size:
        return Found(nothing, np.zeros(0), limit < 1)
    if refuted(pattern, host) is not None:
        return Found(nothing, np.zeros(0), True)
    fits = places(pattern, host)
    if not fits.any(1).all() or not seats_suffice(fits):
        return Found(nothing, np.zeros(0), True)
    plan = _planned(pattern, fits)
    shuffled = np.random.default_rng([seed, pattern.size]).permutation(host.size)
    host = host._replace(near=_reordered(host, np.argsort(shuffled)))
    if prices is not None:
        roots = shuffled[np.argsort(prices.vertex[plan.order[0], shuffled], kind="stable")]
        floors = _floors(pattern, fits, prices, plan.order)
        rows, costs, cut = _search(*plan, fits, host, roots, prices, floors, True, limit, limit, steps, steps)
        order = np.argsort(costs, kind="stable")
        return Found(rows[order], costs[order], not cut)
    free = Prices(np.zeros(fits.shape), np.zeros((pattern.size,) * 2), np.zeros((host.size,) * 2))
    floors = np.zeros(pattern.size + 1)
    regions = int(fits[plan.order[0]].sum())
    share, quota = max(1, steps // regions), -(-limit // regions)
    while True:
        rows, costs, cut = _search(
            *plan, fits, host, shuffled, free, floors, False, limit, quota, steps, min(steps, share)
        )
        if len(rows) >= limit or not cut or (quota >= limit and share >= steps):
            return Found(rows, costs, not cut)
        quota, share = min(limit, 8 * quota), 8 * share


def _planned(pattern: Couplings, fits: NDArray[np.bool_]) -> _Plan:
    """Order, parent position, other earlier neighbours, and [position, watch, (earlier position, hops)] bounds."""
    return _Plan(*_plan(pattern.offsets, pattern.near, pattern.hops, fits.sum(1)))


def _reordered(host: Couplings, rank: Ints) -> Ints:
    """Neighbours of each vertex by ascending rank."""
    owner = np.repeat(np.arange(host.size), host.degrees)
    return host.near[np.lexsort((rank[host.near], owner))]


def _floors(pattern: Couplings, fits: NDArray[np.bool_], prices: Prices, order: Ints) -> Floats:
    """[position] the least that it and all later ones will cost, each on its own."""
    least = np.where(fits, prices.vertex, np.inf).min(1)
    position = np.argsort(order)
    for a, b in pattern.edges:
        cheapest = np.where(np.isfinite(prices.edge), prices.edge, np.inf).min()
        later = a if position[a] > position[b] else b
        least[later] += prices.load[a, b] * cheapest
    return np.append(np.cumsum(least[order][::-1])[::-1], 0.0)


def plain_search(
    plan: tuple[Ints, ...], fits: NDArray[np.bool_], host: Couplings, roots: Ints
) -> Iterator[tuple[int, ...]]:
    """The plain twin of the kernel without prices and limits: images of the pattern's vertices, in the same order."""
    order, parent, check_offsets, checks, bounds = plan
    image: list[int] = []

    def below(depth: int) -> Iterator[tuple[int, ...]]:
        if depth == len(order):
            yield tuple(image[p] for p in np.argsort(order))
            return
        up = int(parent[depth])
        beside = range(host.offsets[image[up]], host.offsets[image[up] + 1]) if up >= 0 else None
        for g in roots.tolist() if beside is None else [int(host.near[k]) for k in beside]:
            earlier = checks[check_offsets[depth] : check_offsets[depth + 1]]
            watched = [(p, most) for p, most in bounds[depth].tolist() if p >= 0]
            if (
                g not in image
                and fits[order[depth], g]
                and all(host.adjacency[g, image[p]] for p in earlier)
                and all(host.hops[g, image[p]] <= most for p, most in watched)
            ):
                image.append(g)
                yield from below(depth + 1)
                image.pop()

    yield from below(0)


@numba.njit(cache=True, nogil=True)
def _plan(offsets, near, hops, choices):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    size = len(offsets) - 1
    order = np.empty(size, np.int64)
    position = np.full(size, -1, np.int64)
    placed_near = np.zeros(size, np.int64)
    parent = np.full(size, -1, np.int64)
    check_offsets = np.zeros(size + 1, np.int64)
    checks = np.empty(len(near), np.int64)
    bounds = np.full((size, _BOUNDS, 2), -1, np.int64)
    inner = np.full((size, size), size + 1, np.int64)  # hops through placed vertices only, by position
    count = 0
    for i in range(size):
        best = -1
        for v in range(size):
            if position[v] >= 0:
                continue
            if best < 0:
                best = v
                continue
            joined, other = placed_near[v], placed_near[best]
            if joined != other:
                better = joined > other
            elif choices[v] != choices[best]:
                better = choices[v] < choices[best]
            else:
                better = offsets[v + 1] - offsets[v] > offsets[best + 1] - offsets[best]
            if better:
                best = v
        order[i] = best
        position[best] = i
        inner[i, i] = 0
        for k in range(offsets[best], offsets[best + 1]):
            w = near[k]
            placed_near[w] += 1
            p = position[w]
            if p < 0:
                continue
            if parent[i] < 0:
                parent[i] = p
            else:
                checks[count] = p
                count += 1
            for j in range(i):
                inner[i, j] = min(inner[i, j], inner[p, j] + 1)
        check_offsets[i + 1] = count
        for j in range(i):
            inner[j, i] = inner[i, j]
        for j in range(i):  # shorter ways between old vertices, through the new one
            for k in range(i):
                inner[j, k] = min(inner[j, k], inner[j, i] + inner[i, k])
        for slot in range(_BOUNDS):  # those whose short way is still to be placed, the largest difference first
            chosen, most = -1, 0
            for j in range(i):
                allowed = hops[best, order[j]]
                gap = min(inner[i, j], size) - allowed
                if allowed < size and gap > most:
                    taken = False
                    for other in range(slot):
                        taken = taken or bounds[i, other, 0] == j
                    if not taken:
                        chosen, most = j, gap
            if chosen < 0:
                break
            bounds[i, slot, 0], bounds[i, slot, 1] = chosen, hops[best, order[chosen]]
    return order, parent, check_offsets, checks[:count].copy(), bounds


@numba.njit(cache=True, nogil=True)
def _search(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled; `plain_search` states what it does
    order, parent, check_offsets, checks, bounds, fits, host, roots, prices, floors, priced, limit, quota, steps, share
):
    """(rows, prices, whether embeddings may be missing that were not too dear: by the limit, a quota or the steps).

    The first vertex is tried at each of `roots`; below one root, at most `share` steps are made and `quota` embeddings
    taken. A vertex without placed neighbours is tried at all of `roots`, too.
    """
    size, places_ = fits.shape
    rows = np.empty((limit, size), np.int64)
    costs = np.full(limit, np.inf)
    found, worst, spent = 0, np.inf, 0
    cut = False
    image = np.full(size, -1, np.int64)  # by position
    used = np.zeros(places_, np.bool_)
    candidates = np.empty((size, places_), np.int64)
    extra = np.empty((size, places_))
    count, index = np.zeros(size, np.int64), np.zeros(size, np.int64)
    base = np.zeros(size + 1)
    for r in range(len(roots)):
        if spent >= steps or (found == limit and not priced):
            return rows[:found], costs[:found], True
        if not fits[order[0], roots[r]]:
            continue
        candidates[0, 0] = roots[r]
        extra[0, 0] = prices.vertex[order[0], roots[r]]
        count[0], index[0] = 1, 0
        depth, at_start, before = 0, spent, found
        while depth >= 0:
            if index[depth] == count[depth]:
                depth -= 1
                if depth >= 0:
                    used[image[depth]] = False
                continue
            h = candidates[depth, index[depth]]
            cost = base[depth] + extra[depth, index[depth]]
            index[depth] += 1
            if found == limit and cost + floors[depth + 1] >= worst:
                continue
            spent += 1
            image[depth] = h
            if depth == size - 1:
                slot = found if found < limit else int(np.argmax(costs))
                found = min(found + 1, limit)
                for p in range(size):
                    rows[slot, order[p]] = image[p]
                costs[slot] = cost
                if found == limit:
                    worst = costs.max()
                if not priced and found - before >= quota:
                    cut = True
                    break
                continue
            if spent - at_start >= share:
                cut = True
                break
            used[h] = True
            depth += 1
            base[depth] = cost
            v = order[depth]
            amount = 0
            up = parent[depth]
            first = host.offsets[image[up]] if up >= 0 else 0
            last = host.offsets[image[up] + 1] if up >= 0 else places_
            for k in range(first, last):
                g = host.near[k] if up >= 0 else roots[k]
                if used[g] or not fits[v, g]:
                    continue
                ok = True
                for c in range(check_offsets[depth], check_offsets[depth + 1]):
                    if not host.adjacency[g, image[checks[c]]]:
                        ok = False
                        break
                if not ok:
                    continue
                for b in range(_BOUNDS):
                    if bounds[depth, b, 0] < 0:
                        break
                    if host.hops[g, image[bounds[depth, b, 0]]] > bounds[depth, b, 1]:
                        ok = False
                        break
                if not ok:
                    continue
                price = 0.0
                if priced:
                    price = prices.vertex[v, g]
                    if up >= 0:
                        price += prices.load[v, order[up]] * prices.edge[g, image[up]]
                    for c in range(check_offsets[depth], check_offsets[depth + 1]):
                        price += prices.load[v, order[checks[c]]] * prices.edge[g, image[checks[c]]]
                slot = amount  # insertion sort by price
                while slot > 0 and extra[depth, slot - 1] > price:
                    candidates[depth, slot], extra[depth, slot] = candidates[depth, slot - 1], extra[depth, slot - 1]
                    slot -= 1
                candidates[depth, slot], extra[depth, slot] = g, price
                amount += 1
            count[depth], index[depth] = amount, 0
        for p in range(depth + 1):
            used[image[p]] = False
    return rows[:found], costs[:found], cut
