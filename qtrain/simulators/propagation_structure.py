"""Which Pauli strings there are at each step of a sweep, whatever the angles: found once, used for every set of angles.

A string stays if its root mean square coefficient over uniformly random angles passes a threshold, and, where there
would be too many, if it is among the largest. What is left is a fixed polynomial in the cosines and sines of the
angles: its derivatives are those of the very sum that is evaluated, also where a coefficient is zero at the angles at
hand, and E = A + B cos + C sin holds in each slot.

Source: the fixed tree of paths is that of LOWESA (Fontana et al., arXiv 2306.05400); by the orthogonality of the paths
the squares of what is dropped add up to the mean square error over random angles.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qtrain.simulators.propagation_blocks import Blocks
from qtrain.simulators.propagation_order import Plan

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_PER_WORD = 32  # qubits


class Structure(NamedTuple):
    """The strings that one Z string becomes. Those in front of step k are start[k] to start[k + 1]; a group is the
    strings of a step that differ on the block's two qubits only.

    Attributes:
        block: [step].
        start: [step + 1].
        code: [string] 16 * group + index on the block's pair, in its own step.
        origin: [string] the same after the step before; -1 for the measured string.
        groups: [step] how many.
        settled: [step] the group whose rest is the identity; -1 where there is none.
        dropped: whether anything was.
        mean_square: what was dropped, squared, over random angles.
    """

    block: Integers
    start: Integers
    code: NDArray[np.int32]
    origin: NDArray[np.int32]
    groups: Integers
    settled: Integers
    dropped: bool
    mean_square: float

    @property
    def terms(self) -> int:
        """Most strings at once."""
        return int(np.diff(self.start).max())

    @property
    def nbytes(self) -> int:
        """Memory of the indices."""
        return self.code.nbytes + self.origin.nbytes


def build(blocks: Blocks, squares: Array, way: Plan, *, threshold: float, max_terms: int) -> Structure:
    """The structure of the string that `way` is for.

    Args:
        squares: [block, 16, 16] mean squares of the matrices' entries.
        threshold: root mean square coefficient up to which a string is dropped.
        max_terms: strings kept from one step to the next.
    """
    words = -(-way.places // _PER_WORD)
    keys, weights = np.zeros((1, words), np.uint64), np.ones(1)
    for place in way.start:
        keys[0, place // _PER_WORD] |= np.uint64(3 << (2 * (place % _PER_WORD)))
    steps = len(way.block)
    codes, origins = [], [np.full(1, -1, np.int32)]
    start, groups, settled = np.zeros(steps + 1, np.int64), np.empty(steps, np.int64), np.empty(steps, np.int64)
    lost, is_dropped = 0.0, False
    for step, (k, place) in enumerate(zip(way.block.tolist(), way.place.tolist())):
        code = np.empty(len(keys), np.int32)
        room = min(16 * len(keys), max_terms)
        after, squared, came_from = np.empty((room, words), np.uint64), np.empty(room), np.empty(room, np.int32)
        kept, groups[step], settled[step], missing = _step(
            keys, weights, squares[k], place[0], place[1], threshold**2, max_terms, code, after, squared, came_from
        )
        if missing >= 0.0:
            is_dropped, lost = True, lost + missing
        codes.append(code)
        origins.append(came_from[:kept].copy())
        start[step + 1] = start[step] + len(keys)
        keys, weights = after[:kept].copy(), squared[:kept].copy()
    return Structure(
        way.block, start, np.concatenate(codes), np.concatenate(origins), groups, settled, is_dropped, lost
    )


@numba.njit(cache=True, nogil=True)
def _step(  # type: ignore[no-untyped-def]
    keys, weights, squares, one, other, floor, max_terms, code, after, squared, came_from
):  # pragma: no cover - compiled
    """Fills what comes out of a block; returns (kept, groups, settled group or -1, square dropped or -1 if nothing)."""
    count, words = keys.shape
    word_a, shift_a = one >> 5, np.uint64(2 * (one & 31))
    word_b, shift_b = other >> 5, np.uint64(2 * (other & 31))
    three = np.uint64(3)
    clear_a, clear_b = ~(three << shift_a), ~(three << shift_b)
    size = 16
    while size < 2 * count:
        size *= 2
    mask = np.uint64(size - 1)
    table = np.full(size, -1, np.int32)
    rests = np.empty((count, words), np.uint64)
    rest = np.empty(words, np.uint64)
    groups, settled = 0, -1
    for t in range(count):
        h = np.uint64(0x9E3779B97F4A7C15)
        for w in range(words):
            key = keys[t, w]
            if w == word_a:
                key &= clear_a
            if w == word_b:
                key &= clear_b
            rest[w] = key
            h ^= key
            h *= np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(29)
        h *= np.uint64(0x94D049BB133111EB)
        slot = np.int64((h ^ (h >> np.uint64(32))) & mask)
        g = -1
        while g < 0:
            g = table[slot]
            if g < 0:
                g = groups
                table[slot] = g
                rests[g] = rest
                groups += 1
                is_identity = True
                for w in range(words):
                    is_identity = is_identity and rest[w] == np.uint64(0)
                if is_identity:
                    settled = g
            else:
                for w in range(words):
                    if rests[g, w] != rest[w]:
                        g = -1
                        break
                slot = (slot + 1) & (size - 1)
        row = int(((keys[t, word_a] >> shift_a) & three) << np.uint64(2) | ((keys[t, word_b] >> shift_b) & three))
        code[t] = 16 * g + row
    total = np.zeros((groups, 16))
    for t in range(count):
        g, row = code[t] >> 4, code[t] & 15
        for q in range(16):
            total[g, q] += weights[t] * squares[row, q]
    kept = 0
    dropped = -1.0
    for g in range(groups):
        for q in range(16):
            if g == settled and q == 0:
                continue
            if total[g, q] > floor:
                kept += 1
            elif total[g, q] > 0.0:
                dropped = max(dropped, 0.0) + total[g, q]
                total[g, q] = 0.0
    cut, ties = -1.0, 0
    if kept > max_terms:
        sizes = np.empty(kept)
        at = 0
        for g in range(groups):
            for q in range(16):
                if total[g, q] > 0.0 and not (g == settled and q == 0):
                    sizes[at] = total[g, q]
                    at += 1
        cut = np.partition(sizes, kept - max_terms)[kept - max_terms]
        ties = max_terms
        for k in range(kept):
            ties -= sizes[k] > cut  # of those as large as the cut, the first ones are kept
    at = 0
    for g in range(groups):
        for q in range(16):
            if total[g, q] == 0.0 or (g == settled and q == 0):
                continue
            if total[g, q] <= cut:
                if total[g, q] < cut or ties == 0:
                    dropped = max(dropped, 0.0) + total[g, q]
                    continue
                ties -= 1
            for w in range(words):
                key = rests[g, w]
                if w == word_a:
                    key |= np.uint64(q >> 2) << shift_a
                if w == word_b:
                    key |= np.uint64(q & 3) << shift_b
                after[at, w] = key
            squared[at] = total[g, q]
            came_from[at] = 16 * g + q
            at += 1
    return at, groups, settled, dropped
