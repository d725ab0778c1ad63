"""Prefix placement: layouts under which a circuit runs for as long as possible before its first SWAP.

Program order is cut into *spans*: a span ends before the block whose pair gives some qubits more partners than the chip has
neighbours for, so no layout runs a span and its next block without a SWAP. The pairs of the first span are certain; later
ones count less the later they come, since a few SWAPs move few qubits. `matching` turns that into layouts.
"""

from __future__ import annotations

import numba
import numpy as np

from qcompile.placement.couplings import Couplings, Ints
from qcompile.placement.matching import CERTAIN, Floats, Knobs, match

_LATER = 0.6  # weight of a pair just behind the first span, beside CERTAIN

ATTEMPTS: tuple[tuple[float, Knobs], ...] = (
    (2.0, Knobs(width=1000, crowding=0.3, mismatch=0.2, waste=0.2)),
    (1.0, Knobs(width=500, crowding=0.3, mismatch=0.0, waste=0.05)),
    (2.0, Knobs(width=2000, crowding=0.3, mismatch=0.2, waste=0.2, start=1)),
    (0.5, Knobs(width=1000, crowding=0.3, mismatch=0.1, waste=0.1)),
    (4.0, Knobs(width=1000, crowding=0.1, mismatch=0.1, waste=0.1, start=2)),
    (1.0, Knobs(width=2000, crowding=0.5, mismatch=0.1, waste=0.1, start=3)),
)
"""(spans over which the weight of later pairs falls by e, how to grow): tried in turn, as none is best everywhere."""


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


def pair_weights(num_qubits: int, first: Ints, second: Ints, ends: Ints, fall: float) -> Floats:
    """[virtual, virtual] by when a pair first meets: CERTAIN in the first span, falling by e every `fall` spans behind it.

    The unit is the mean span or the first one, whichever is longer.
    """
    pairs = np.sort(np.stack([first, second], axis=1), axis=1)
    _, at = np.unique(pairs[:, 0] * num_qubits + pairs[:, 1], return_index=True)
    length = max(int(ends[0]), len(first) / len(ends), 1.0)
    value = np.where(at < ends[0], CERTAIN, _LATER * np.exp(-(at - ends[0]) / (fall * length)))
    weights = np.zeros((num_qubits, num_qubits))
    weights[pairs[at, 0], pairs[at, 1]] = weights[pairs[at, 1], pairs[at, 0]] = np.maximum(value, 1e-6)
    return weights


def prefix_layouts(
    num_qubits: int, first: Ints, second: Ints, chip: Couplings, *, attempt: int = 0, count: int = 8, seed: int = 0
) -> Ints:
    """Initial layouts, the most promising first.

    Args:
        first, second: [block] virtual qubits in program order.
        chip: connected, of at least `num_qubits` vertices.
        attempt: which of `ATTEMPTS`, counted on and on.
        count: layouts at most.
    Returns: [layout, virtual] vertices of the chip.
    """
    fall, knobs = ATTEMPTS[attempt % len(ATTEMPTS)]
    knobs = knobs._replace(start=knobs.start + attempt // len(ATTEMPTS))
    weights = pair_weights(num_qubits, first, second, spans(first, second, chip), fall)
    return match(weights, chip, knobs, count=count, seed=seed + attempt)[0]
