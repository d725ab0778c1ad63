"""Expectation of a Pauli string with and without noise, by propagating it backwards through the circuit.

Heisenberg picture: the measured Z string becomes a sum of Pauli strings, each with two coefficients, one under the
noise and one without it. Both are carried in the same pass, because their difference, the error that a training feels,
is small where each of them is not. The blocks (blocks.py) hold depolarizing, relaxation and its non-unital part, which
turns a Z into an I (T1 drives qubits to |0>, so it biases expectations and does not only shrink them).

Strings are packed two bits a qubit (0 to 3: I, X, Y, Z) into 64-bit words. A step gathers strings that differ on the
block's two qubits only, multiplies their 16 coefficients by the block, and writes what is left; what has become the
identity is a number, and leaves the table. Where the table would grow past its limit, the smallest strings are dropped
and added up: a Pauli's expectation lies in [-1, 1] in every state, so the sum of |coefficients| dropped bounds what was
lost (Rudolph et al., arXiv 2505.21606).

Sources: Rall et al., arXiv 1901.09070 (Pauli propagation); Fontana et al., arXiv 2306.05400 (LOWESA: noise makes it
converge); Schuster et al., arXiv 2407.12768 (any noisy circuit, on average over inputs); Martinez et al., arXiv
2501.13050 and Angrisani et al., arXiv 2501.13101 (non-unital noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.fidelity.blocks import Blocks, Plan, plan

NEGLIGIBLE = 1e-16
"""Coefficients up to this are rounding: dropped even where nothing need be, and counted like the others."""

_BUDGET = 1 << 20  # strings handled before Python looks for a Ctrl-C: about 0.1 s
_ROOM = 1 << 12  # strings that there is room for from the start
_PER_WORD = 32  # qubits


@dataclass(frozen=True)
class Propagated:
    """Result for one Pauli string and one parameter draw.

    Attributes:
        noisy, ideal: expectations.
        lost_noisy, lost_ideal: sums of |coefficient| dropped: bounds on what is missing in each.
        lost_square: sum over what was dropped of (noisy - ideal coefficient)^2.
        terms: the most strings that were carried at once.
    """

    noisy: float
    ideal: float
    lost_noisy: float
    lost_ideal: float
    lost_square: float
    terms: int


@dataclass(frozen=True)
class Route:
    """A Z string and the way that it takes, the same for every parameter draw.

    Attributes:
        alone: compact qubits of the string that no block touches.
        plan: for the others; None if there are none.
    """

    alone: NDArray[np.int64]
    plan: Plan | None


def route(blocks: Blocks, string: NDArray[np.int64]) -> Route:
    """The way back of a Z string on these compact qubits."""
    touched = np.isin(string, blocks.pair)
    return Route(string[~touched], plan(blocks, string[touched]) if touched.any() else None)


def propagate(blocks: Blocks, way: Route, *, threshold: float = NEGLIGIBLE, max_terms: int = 1 << 62) -> Propagated:
    """Expectation of a Z string in the state at the end, noisy and noise-free.

    Args:
        threshold: strings are dropped whose coefficients are both this small.
        max_terms: strings kept from one block to the next, the largest ones (by the larger of the two coefficients).
    """
    noisy, ideal = (float(np.prod(blocks.alone[way.alone, w])) for w in range(2))
    if way.plan is None:
        return Propagated(noisy, ideal, 0.0, 0.0, 0.0, 1)
    steps = way.plan
    keys, values = _packed(steps), np.array([[noisy, ideal]])
    sums = np.zeros(6)  # settled noisy and ideal, lost noisy and ideal, lost square, most strings
    sums[5] = 1
    at, count = 0, 1
    while at < len(steps.block):
        room = min(max(16 * count, _ROOM), max_terms)
        if room > len(keys):
            keys = np.concatenate((keys[:count], np.empty((room - count, keys.shape[1]), np.uint64)))
            values = np.concatenate((values[:count], np.empty((room - count, 2))))
        # returns no arrays: Ctrl-C while numba wraps one would come out as a SystemError
        at, count = _advance(
            at, count, keys, values, sums, steps.block, steps.slot, blocks.matrix, threshold, max_terms, _BUDGET
        )
    settled_noisy, settled_ideal, lost_noisy, lost_ideal, lost_square, terms = sums.tolist()
    return Propagated(settled_noisy, settled_ideal, lost_noisy, lost_ideal, lost_square, int(terms))


def _packed(steps: Plan) -> NDArray[np.uint64]:
    """[1, word] the measured Z string."""
    keys = np.zeros((1, -(-steps.slots // _PER_WORD)), np.uint64)
    for s in steps.start.tolist():
        keys[0, s // _PER_WORD] |= np.uint64(3 << (2 * (s % _PER_WORD)))
    return keys


@numba.njit(cache=True, nogil=True)
def _advance(  # type: ignore[no-untyped-def]
    at, count, keys, values, sums, block, slot, matrix, threshold, max_terms, budget
):  # pragma: no cover - compiled
    """As many steps as the budget of strings and the room in `keys` allow, at least one."""
    done = 0
    while at < len(block) and done < budget and min(16 * count, max_terms) <= len(keys):
        done += count + 1
        new_keys, new_values = _step(
            keys[:count], values[:count], sums, matrix[block[at]], slot[at, 0], slot[at, 1], threshold, max_terms
        )
        count = len(new_values)
        keys[:count] = new_keys
        values[:count] = new_values
        sums[5] = max(sums[5], count)
        at += 1
    return at, count


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _step(keys, values, sums, matrix, one, other, threshold, max_terms):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The strings before a block from those behind it."""
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
    group = np.empty(count, np.int32)
    leader = np.empty(count, np.int32)  # [group] one of its strings
    groups = 0
    for t in range(count):
        h = np.uint64(0x9E3779B97F4A7C15)
        for w in range(words):
            key = keys[t, w]
            if w == word_a:
                key &= clear_a
            if w == word_b:
                key &= clear_b
            h ^= key
            h *= np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(29)
        h *= np.uint64(0x94D049BB133111EB)
        place = np.int64((h ^ (h >> np.uint64(32))) & mask)
        while True:
            g = table[place]
            if g < 0:
                table[place] = groups
                leader[groups] = t
                group[t] = groups
                groups += 1
                break
            same = True
            for w in range(words):
                difference = keys[t, w] ^ keys[leader[g], w]
                if w == word_a:
                    difference &= clear_a
                if w == word_b:
                    difference &= clear_b
                same = same and difference == np.uint64(0)
            if same:
                group[t] = g
                break
            place = (place + 1) & (size - 1)
    after = np.zeros((groups, 2, 16))
    for t in range(count):
        row = int(((keys[t, word_a] >> shift_a) & three) << np.uint64(2) | ((keys[t, word_b] >> shift_b) & three))
        target = after[group[t]]
        for w in range(2):
            c = values[t, w]
            if c != 0.0:
                for q in range(16):
                    target[w, q] += c * matrix[w, row, q]
    kept = 0
    for g in range(groups):
        rest_is_identity = True
        for w in range(words):
            key = keys[leader[g], w]
            if w == word_a:
                key &= clear_a
            if w == word_b:
                key &= clear_b
            rest_is_identity = rest_is_identity and key == np.uint64(0)
        if rest_is_identity:
            sums[0] += after[g, 0, 0]
            sums[1] += after[g, 1, 0]
            after[g, 0, 0] = 0.0
            after[g, 1, 0] = 0.0
        for q in range(16):
            n, i = after[g, 0, q], after[g, 1, q]
            if max(abs(n), abs(i)) > threshold:
                kept += 1
            elif n != 0.0 or i != 0.0:
                _drop(sums, n, i)
                after[g, 0, q] = 0.0
                after[g, 1, q] = 0.0
    cut, ties = -1.0, 0
    if kept > max_terms:
        sizes = np.empty(kept)
        at = 0
        for g in range(groups):
            for q in range(16):
                larger = max(abs(after[g, 0, q]), abs(after[g, 1, q]))
                if larger > 0.0:
                    sizes[at] = larger
                    at += 1
        cut = np.partition(sizes, kept - max_terms)[kept - max_terms]
        ties = max_terms
        for k in range(kept):
            ties -= sizes[k] > cut  # of those as large as the cut, the first ones are kept
        kept = max_terms
    new_keys, new_values = np.empty((kept, words), np.uint64), np.empty((kept, 2))
    at = 0
    for g in range(groups):
        for q in range(16):
            n, i = after[g, 0, q], after[g, 1, q]
            larger = max(abs(n), abs(i))
            if larger == 0.0:
                continue
            if larger <= cut:
                if larger < cut or ties == 0:
                    _drop(sums, n, i)
                    continue
                ties -= 1
            for w in range(words):
                key = keys[leader[g], w]
                if w == word_a:
                    key = (key & clear_a) | (np.uint64(q >> 2) << shift_a)
                if w == word_b:
                    key = (key & clear_b) | (np.uint64(q & 3) << shift_b)
                new_keys[at, w] = key
            new_values[at, 0] = n
            new_values[at, 1] = i
            at += 1
    return new_keys, new_values


@numba.njit(cache=True, nogil=True, inline="always")
def _drop(sums, n, i):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    sums[2] += abs(n)
    sums[3] += abs(i)
    sums[4] += (n - i) * (n - i)


def propagate_plain(
    blocks: Blocks, way: Route, *, threshold: float = NEGLIGIBLE, max_terms: int = 1 << 62
) -> Propagated:
    """`propagate` with a dictionary, one line an idea; tests compare the two."""
    coefficients = np.array([np.prod(blocks.alone[way.alone, w]) for w in range(2)])
    if way.plan is None:
        return Propagated(float(coefficients[0]), float(coefficients[1]), 0.0, 0.0, 0.0, 1)
    strings = {sum(3 << (2 * s) for s in way.plan.start.tolist()): coefficients}
    settled, lost, most = np.zeros(2), np.zeros(3), 1
    for k, (a, b) in zip(way.plan.block.tolist(), way.plan.slot.tolist()):
        before: dict[int, NDArray[np.float64]] = {}
        for string, pair in strings.items():
            p, q = (string >> (2 * a)) & 3, (string >> (2 * b)) & 3
            rest = string ^ (p << (2 * a)) ^ (q << (2 * b))
            before[rest] = before.get(rest, np.zeros((2, 16))) + pair[:, None] * blocks.matrix[k, :, 4 * p + q]
        strings = {
            rest ^ ((q >> 2) << (2 * a)) ^ ((q & 3) << (2 * b)): row[:, q]
            for rest, row in before.items()
            for q in range(16)
        }
        settled += strings.pop(0, np.zeros(2))
        large = {s: pair for s, pair in strings.items() if np.abs(pair).max() > threshold}
        kept = dict(sorted(large.items(), key=lambda item: -np.abs(item[1]).max())[:max_terms])
        for string, pair in strings.items():
            if string not in kept:
                lost += [*np.abs(pair), (pair[0] - pair[1]) ** 2]
        strings = {string: pair for string, pair in large.items() if string in kept}
        most = max(most, len(strings))
    noisy, ideal, lost_noisy, lost_ideal, lost_square = (*settled.tolist(), *lost.tolist())
    return Propagated(noisy, ideal, lost_noisy, lost_ideal, lost_square, most)
