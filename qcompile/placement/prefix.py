"""Prefix placement: layouts under which a circuit runs for as long as possible without a SWAP.

Program order is cut into *spans*: a span ends before the block whose pair gives some qubits more partners than the chip
has neighbours for, so no layout runs a span and its next block without a SWAP. The pairs of one span, the first one or
any other, are certain; those met farther from it count less, since a few SWAPs move few qubits. `matching` turns that
into layouts for the moment at which the span begins.
"""

from __future__ import annotations

import numba
import numpy as np

from qcompile.placement.couplings import Couplings, Ints
from qcompile.placement.matching import CERTAIN, Floats, Knobs, match

_LATER = 0.6  # weight of a pair that is met just outside the span, beside CERTAIN
_FAINT = 1e-6  # weight that no distance falls below

ATTEMPTS: tuple[tuple[float, Knobs], ...] = (
    (2.0, Knobs(width=400, crowding=0.3, mismatch=0.2, waste=0.2)),
    (1.0, Knobs(width=500, crowding=0.3, mismatch=0.0, waste=0.05)),
    (2.0, Knobs(width=2000, crowding=0.3, mismatch=0.2, waste=0.2, start=1)),
    (0.5, Knobs(width=1000, crowding=0.3, mismatch=0.1, waste=0.1)),
    (4.0, Knobs(width=1000, crowding=0.1, mismatch=0.1, waste=0.1, start=2)),
    (1.0, Knobs(width=2000, crowding=0.5, mismatch=0.1, waste=0.1, start=3)),
)
"""(spans over which the weight of pairs falls by e, how to grow): to be tried in turn, as none is best everywhere."""


def spans(first: Ints, second: Ints, chip: Couplings) -> Ints:
    """[span] where each span ends, the last at the number of blocks.

    At least as many SWAPs as ends before the last are needed if each span must wait for the one before it.
    """
    degrees = chip.degrees
    most = np.array([(degrees >= d).sum() for d in range(chip.size + 1)], np.int64)
    return _spans(first, second, most, chip.size)


@numba.njit(cache=True, nogil=True)
def _spans(first, second, most, size):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    met = np.full((size, size), -1, np.int64)
    partners = np.zeros(size, np.int64)
    crowd = np.zeros(len(most), np.int64)  # qubits of at least so many partners
    ends = np.empty(len(first) + 1, np.int64)
    count = 0
    for t in range(len(first)):
        a, b = first[t], second[t]
        if met[a, b] == count:
            continue
        for attempt in range(2):
            met[a, b] = met[b, a] = count
            over = False
            for v in (a, b):
                partners[v] += 1
                crowd[partners[v]] += 1
                over = over or crowd[partners[v]] > most[partners[v]]
            if attempt == 1 or not over:
                break
            ends[count] = t
            count += 1
            partners[:] = 0
            crowd[:] = 0
    ends[count] = len(first)
    return ends[: count + 1].copy()


def span_pairs(first: Ints, second: Ints, ends: Ints, span: int) -> Ints:
    """[pair, 2] that meet within a span, each once."""
    begin = ends[span - 1] if span else 0
    pairs = np.stack([first[begin : ends[span]], second[begin : ends[span]]], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def pair_weights(num_qubits: int, first: Ints, second: Ints, ends: Ints, span: int, fall: float) -> Floats:
    """[virtual, virtual] by how far from the span a pair meets: CERTAIN in it, falling by e every `fall` spans.

    Distances are in blocks; the unit is the mean span or this one, whichever is longer.
    """
    begin, end = (int(ends[span - 1]) if span else 0), int(ends[span])
    at = np.arange(len(first))
    away = np.maximum(np.maximum(begin - 1 - at, at - end), -1)
    distance = np.full((num_qubits, num_qubits), np.inf)
    np.minimum.at(distance, (first, second), away)
    distance = np.minimum(distance, distance.T)
    unit = fall * max(end - begin, len(first) / len(ends), 1.0)
    weights = np.where(distance < 0, CERTAIN, np.maximum(_LATER * np.exp(-distance / unit), _FAINT))
    return np.where(np.isfinite(distance), weights, 0.0)


def prefix_layouts(
    num_qubits: int,
    first: Ints,
    second: Ints,
    chip: Couplings,
    *,
    span: int = 0,
    attempt: int = 0,
    count: int = 8,
    seed: int = 0,
) -> Ints:
    """Layouts for the moment at which a span begins, the most promising first; initial layouts for span 0.

    Args:
        first, second: [block] virtual qubits in program order.
        chip: connected, of at least `num_qubits` vertices.
        attempt: which of `ATTEMPTS`, counted on and on.
        count: layouts at most.
    Returns: [layout, virtual] vertices of the chip.
    """
    fall, knobs = ATTEMPTS[attempt % len(ATTEMPTS)]
    knobs = knobs._replace(start=knobs.start + attempt // len(ATTEMPTS))
    weights = pair_weights(num_qubits, first, second, spans(first, second, chip), span, fall)
    return match(weights, chip, knobs, count=count, seed=seed + attempt)[0]
