"""numba kernels that draw binomial and multinomial counts, exactly and without logarithms.

A shot succeeds if a uniform number is below p. All shots that still agree with the binary digits of p look at the next
digit together: how many of their next bits are 1 is the number of ones among so many random bits, half of them settle,
half go on. So m shots take about 2 m random bits, 64 in one instruction. The law is binomial up to p's 53 bits.
A multinomial is a tree of binomials: the highest bit of the outcomes first.

Random bits are SplitMix64 (Steele, Lea and Flood 2014) in counter form: word i of row r is a function of (seed, r, i).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

U = np.uint64
_GOLDEN = U(0x9E3779B97F4A7C15)
_ROW = U(0xD1342543DE82EF95)  # rows begin at unrelated places of the cycle
_FEW = U(32)  # shots that are compared one by one, all at once in vector registers

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def _mixed(z: Any) -> Any:
    z = (z ^ (z >> U(30))) * U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U(27))) * U(0x94D049BB133111EB)
    return z ^ (z >> U(31))


@_jit
def _ones(x: Any) -> Any:
    """How many bits are set; LLVM knows the pattern and makes it one instruction."""
    x = x - ((x >> U(1)) & U(0x5555555555555555))
    x = (x & U(0x3333333333333333)) + ((x >> U(2)) & U(0x3333333333333333))
    x = (x + (x >> U(4))) & U(0x0F0F0F0F0F0F0F0F)
    return (x * U(0x0101010101010101)) >> U(56)


@_jit
def _binomial(count: Any, probability: float, place: Any) -> Any:
    """(successes of `count` shots, the next place among the random words)."""
    if probability >= 1.0:
        return count, place
    if not probability > 0.0:
        return U(0), place
    # exact: a float below 1 times 2^32, and what is left times 2^32, are whole parts of 32 bits
    upper = np.floor(probability * 4294967296.0)
    digits = (U(upper) << U(32)) | U((probability * 4294967296.0 - upper) * 4294967296.0)
    successes = U(0)
    while count > _FEW:
        words = (count - U(1)) >> U(6)
        ones = _ones(_mixed(place) >> ((words + U(1)) * U(64) - count))
        for word in range(U(1), words + U(1)):
            ones += _ones(_mixed(place + word * _GOLDEN))
        place += (words + U(1)) * _GOLDEN
        settled = U(0) - (digits >> U(63))  # all bits set where p's digit is 1: those with a 0 succeed
        successes += settled & (count - ones)
        count = (settled & ones) | (~settled & (count - ones))
        digits <<= U(1)
    for shot in range(_FEW):
        successes += U(shot < count) & U(_mixed(place + shot * _GOLDEN) < digits)
    return successes, place + _FEW * _GOLDEN


@_jit
def multinomials(probabilities: Any, shots: int, seed: Any, frequencies: Any) -> None:
    """Relative frequencies [row, outcome] of `shots` draws from each row of probabilities [row, 2^bits].

    Negative probabilities count as zero; a row need not sum to 1 exactly.
    """
    outcomes = probabilities.shape[1]
    total = np.empty(2 * outcomes)  # of the subtree: node i has the children 2 i and 2 i + 1
    drawn = np.empty(2 * outcomes, dtype=U)
    for row in range(probabilities.shape[0]):
        for i in range(outcomes):
            total[outcomes + i] = max(probabilities[row, i], 0.0)
        for node in range(outcomes - 1, 0, -1):
            total[node] = total[2 * node] + total[2 * node + 1]
        drawn[1] = U(shots)
        place = _mixed(seed + U(row) * _ROW)
        for node in range(1, outcomes):
            right = U(0)
            if drawn[node] > U(0):
                right, place = _binomial(drawn[node], total[2 * node + 1] / total[node], place)
            drawn[2 * node] = drawn[node] - right
            drawn[2 * node + 1] = right
        for i in range(outcomes):
            frequencies[row, i] = drawn[outcomes + i] / shots
