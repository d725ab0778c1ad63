"""Linear reversible maps: what CX gates do to bits is an invertible matrix over GF(2), and few CX may do the same.

A map of n qubits is n rows of n bits: bit j of row i says that output i is a sum that contains input j; CX(c, t) adds
row c to row t. The all-to-all layer of n (n - 1) / 2 CX that ansaetze call "full" is such a map; n - 1 CX are enough.

Greedy elimination: of all row additions, take the one that leaves the fewest ones in the matrix and in its inverse, on
the matrix and its transpose; where no addition helps, column elimination finishes (de Brugiere et al., "Gaussian
elimination versus greedy methods for the synthesis of linear reversible circuits", ACM TQC 2, 2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint64]
"""[n, word]: rows of an n x n matrix over GF(2), bit j % 64 of word j // 64 of row i its entry (i, j)."""

_WORK = 30_000_000  # pairs of rows that greedy elimination compares at most, about 50 ms


def linear_map(pairs: Iterable[tuple[int, int]], n: int) -> Rows:
    """The map of CX (control, target), in order of time, on n qubits."""
    rows = [1 << q for q in range(n)]
    for control, target in pairs:
        rows[target] ^= rows[control]
    return packed(rows)


def packed(rows: Sequence[int]) -> Rows:
    """Rows from Python integers, one a row."""
    width = 8 * max(1, -(-len(rows) // 64))
    data = b"".join(row.to_bytes(width, "little") for row in rows)
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(len(rows), width // 8)


def unpacked(rows: Rows) -> list[int]:
    """Python integers from rows: the inverse of `packed`."""
    return [int.from_bytes(row.astype("<u8").tobytes(), "little") for row in rows]


def synthesize_linear(
    rows: Rows, preferred: Sequence[tuple[int, int]] = (), fewer_than: int | None = None
) -> list[tuple[int, int]] | None:
    """CX (control, target), in order of time, that do an invertible linear map; the fewest that were found.

    Args:
        rows: [n, word] of an invertible matrix.
        preferred: pairs of qubits that are taken first where additions are equally good; either order.
        fewer_than: only a shorter result is worth anything: None is returned otherwise.
    Raises: ValueError: a matrix that has no inverse.
    """
    n = len(rows)
    liked = np.zeros((n, n), dtype=np.bool_)
    for a, b in preferred:
        liked[a, b] = liked[b, a] = True
    limit = 2 * n * n if fewer_than is None else max(fewer_than, 0)
    inverse = invert(rows)
    best: list[tuple[int, int]] | None = None
    for transposed in (False, True):
        matrix, dual = (transpose(rows), inverse) if transposed else (rows, transpose(inverse))
        for greedy in (2, 1, 0):
            additions = eliminate(matrix, dual, liked, greedy, limit, _WORK // max(1, n * n))
            if len(additions) >= limit:
                continue
            limit = len(additions)
            # additions turn the matrix into the identity, so in reverse they build it; those of the transposed matrix
            # build it in the order in which they were found, with control and target exchanged
            order = additions[:, ::-1] if transposed else additions[::-1]
            best = [(int(c), int(t)) for c, t in order]
    return best


def transpose(rows: Rows) -> Rows:
    """The transposed matrix."""
    n = len(rows)
    bits = np.unpackbits(rows.astype("<u8").view(np.uint8), axis=1, bitorder="little")[:, :n]
    turned = np.zeros((n, 64 * rows.shape[1]), dtype=np.uint8)
    turned[:, :n] = bits.T
    return np.packbits(turned, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def invert(rows: Rows) -> Rows:
    """The inverse. Raises ValueError where there is none."""
    left, right = unpacked(rows), [1 << i for i in range(len(rows))]
    for column in range(len(left)):
        pivot = next((i for i in range(column, len(left)) if left[i] >> column & 1), None)
        if pivot is None:
            raise ValueError(f"the matrix has no inverse: its rank is less than {len(left)}.")
        for side in (left, right):
            side[column], side[pivot] = side[pivot], side[column]
        for i in range(len(left)):
            if i != column and left[i] >> column & 1:
                left[i] ^= left[column]
                right[i] ^= right[column]
    return packed(right)


@numba.njit(cache=True, nogil=True)
def ones_of_sum(a: Rows, i: int, j: int) -> int:
    """Number of ones in the sum of rows i and j."""
    total = 0
    for k in range(a.shape[1]):
        word = a[i, k] ^ a[j, k]
        word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
        word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
        word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        total += int((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return total


@numba.njit(cache=True, nogil=True)
def eliminate(
    rows: Rows, dual: Rows, liked: NDArray[np.bool_], greedy: int, limit: int, most_greedy: int
) -> NDArray[np.int64]:
    """Row additions [step, (source, changed row)] that turn a matrix into the identity; `limit` of them if too many.

    Args:
        rows: [n, word]; dual: [n, word] the transposed inverse, where the same addition goes the other way.
        liked: [n, n] pairs that win among equals.
        greedy: 0: column elimination alone; 1: first greedy additions that count the ones of the matrix; 2: of both.
        limit: gives up at so many additions.
        most_greedy: column elimination takes over after so many.
    """
    n = len(rows)
    empty = np.zeros((1, rows.shape[1]), dtype=np.uint64)
    a, b = np.vstack((rows, empty)), np.vstack((dual, empty))  # row n is empty: its sum with a row is the row
    weight, dual_weight = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    for i in range(n):
        weight[i], dual_weight[i] = ones_of_sum(a, i, n), ones_of_sum(b, i, n)
    steps = np.empty((limit, 2), dtype=np.int64)
    count = 0
    while greedy > 0 and count < min(limit, most_greedy):
        least, source, changed = -1, -1, -1
        for i in range(n):
            for j in range(n):
                if i == j:
                    continue
                gain = ones_of_sum(a, i, j) - weight[j]
                if greedy == 2:
                    gain += ones_of_sum(b, i, j) - dual_weight[i]
                gain = 2 * gain - (1 if liked[i, j] else 0)
                if gain < least:
                    least, source, changed = gain, i, j
        if source < 0:
            break
        a[changed] ^= a[source]
        b[source] ^= b[changed]
        weight[changed], dual_weight[source] = ones_of_sum(a, changed, n), ones_of_sum(b, source, n)
        steps[count, 0], steps[count, 1] = source, changed
        count += 1
    for column in range(n):
        word, bit = column // 64, np.uint64(1) << np.uint64(column % 64)
        if not a[column, word] & bit:
            for i in range(column + 1, n):
                if a[i, word] & bit:
                    if count == limit:
                        return steps
                    a[column] ^= a[i]
                    steps[count, 0], steps[count, 1] = i, column
                    count += 1
                    break
        for i in range(n):
            if i != column and a[i, word] & bit:
                if count == limit:
                    return steps
                a[i] ^= a[column]
                steps[count, 0], steps[count, 1] = column, i
                count += 1
    return steps[:count]
