"""Walks on a line: an order of bits and exchanges of neighbours after which every wanted pair was adjacent once.

A parity network on a line (`phase_polynomial`) meets the pairs that stand side by side; an exchange of two neighbours
costs two CX. Where not all pairs are wanted, the order to begin with decides how many exchanges it takes: odd-even
exchanges bring places together in a fixed order, so annealing looks for the order of bits whose wanted pairs meet
early. Exchanges that turn out unneeded are dropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

_STEPS = 5_000  # of annealing a try
_STEEPNESS = 1.5  # price of meeting one layer later, as a factor
_HOT, _COLD = 0.3, 0.02  # temperatures of the logarithm of the price

Pairs = Sequence[tuple[int, int]]


def walk(n: int, wanted: Pairs, tries: int) -> tuple[list[int], list[int]]:
    """(order, exchanges): bits along the line, and the places w whose bit changes places with the next, in time.

    Args:
        n: bits, at least 2.
        wanted: pairs of bits that must be neighbours at some time.
        tries: orders to look for, at least 1; the fewest exchanges win. About 0.6 ms each for 16 bits.
    """
    pairs = np.array(wanted, dtype=np.int64).reshape(-1, 2)
    best: tuple[int, list[int], list[int]] | None = None
    for attempt in range(tries):
        rounds = [list(range((layer + attempt) % 2, n - 1, 2)) for layer in range(n)]
        price = _STEEPNESS ** _first_layers(n, rounds)
        rng = np.random.default_rng(attempt)
        place = arrange(price, pairs, rng.integers(0, n, (_STEPS, 2)), rng.random(_STEPS), _HOT, _COLD)
        order = np.argsort(place)
        exchanges = needed(order, np.array([w for layer in rounds for w in layer], dtype=np.int64), pairs)
        if best is None or len(exchanges) < best[0]:
            best = (len(exchanges), [int(b) for b in order], [int(w) for w in exchanges])
    assert best is not None
    return best[1], best[2]


def _first_layers(n: int, rounds: list[list[int]]) -> NDArray[np.float64]:
    """[place, place] the layer of exchanges after which what began there are neighbours; never: as late as any."""
    first = np.full((n, n), float(len(rounds)))
    row = list(range(n))
    for layer, exchanges in enumerate([[], *rounds]):
        for w in exchanges:
            row[w], row[w + 1] = row[w + 1], row[w]
        for a, b in itertools.pairwise(row):
            first[a, b] = first[b, a] = min(first[a, b], layer)
    return first


@numba.njit(cache=True, nogil=True)
def arrange(
    price: NDArray[np.float64],
    wanted: NDArray[np.int64],
    proposals: NDArray[np.int64],
    chances: NDArray[np.float64],
    hot: float,
    cold: float,
) -> NDArray[np.int64]:
    """[bit] places of the least sum of prices over wanted pairs, by annealing.

    Args:
        price: [place, place], symmetric and positive; wanted: [pair, 2] bits.
        proposals: [step, 2] bits that may change places; chances: [step] uniform in [0, 1).
        hot, cold: temperatures of the logarithm of the sum, at the beginning and at the end.
    """
    n = len(price)
    place = np.arange(n)
    near = np.zeros((n, n), dtype=np.bool_)
    total = 0.0
    for k in range(len(wanted)):
        a, b = wanted[k, 0], wanted[k, 1]
        near[a, b] = near[b, a] = True
        total += price[a, b]
    best, least = place.copy(), total
    for step in range(len(proposals)):
        a, b = proposals[step, 0], proposals[step, 1]
        if a == b:
            continue
        change = 0.0
        for k in range(n):
            if k not in (a, b):
                difference = price[place[b], place[k]] - price[place[a], place[k]]
                if near[a, k]:
                    change += difference
                if near[b, k]:
                    change -= difference
        temperature = hot * (cold / hot) ** (step / len(proposals))
        if change <= 0.0 or chances[step] < (total / (total + change)) ** (1.0 / temperature):
            place[a], place[b] = place[b], place[a]
            total += change
            if total < least:
                best, least = place.copy(), total
    return best


@numba.njit(cache=True, nogil=True)
def _meets_all(
    order: NDArray[np.int64], exchanges: NDArray[np.int64], kept: NDArray[np.bool_], wanted: NDArray[np.bool_]
) -> bool:
    """Whether all wanted pairs [bit, bit] are neighbours at some time of the kept exchanges."""
    row, open_pairs = order.copy(), wanted.copy()
    n = len(row)
    for w in range(n - 1):
        open_pairs[row[w], row[w + 1]] = open_pairs[row[w + 1], row[w]] = False
    for k in range(len(exchanges)):
        if kept[k]:
            w = exchanges[k]
            row[w], row[w + 1] = row[w + 1], row[w]
            if w > 0:
                open_pairs[row[w - 1], row[w]] = open_pairs[row[w], row[w - 1]] = False
            if w + 2 < n:
                open_pairs[row[w + 1], row[w + 2]] = open_pairs[row[w + 2], row[w + 1]] = False
    return not open_pairs.any()


@numba.njit(cache=True, nogil=True)
def needed(order: NDArray[np.int64], exchanges: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """The exchanges without those, from the last to the first, that wanted pairs [pair, 2] do without."""
    n = len(order)
    near = np.zeros((n, n), dtype=np.bool_)
    for k in range(len(wanted)):
        near[wanted[k, 0], wanted[k, 1]] = near[wanted[k, 1], wanted[k, 0]] = True
    kept = np.ones(len(exchanges), dtype=np.bool_)
    for k in range(len(exchanges) - 1, -1, -1):
        kept[k] = False
        if not _meets_all(order, exchanges, kept, near):
            kept[k] = True
    return exchanges[kept]
