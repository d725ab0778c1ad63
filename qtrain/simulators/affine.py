"""Affine maps of bit strings over GF(2): what CX, X, SWAP and every other two-qubit permutation do to basis states.

|j> becomes |M j + b>, addition without carry. Any sequence of such gates is one map, so it moves amplitudes once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class AffineMap:
    """j -> M j + b on `num_qubits` bits; the identity to begin with.

    Attributes:
        rows: rows[i] is the mask of input bits that bit i of the output is the parity of.
        offset: b.
    """

    def __init__(self, num_qubits: int) -> None:
        self.rows = [1 << q for q in range(num_qubits)]
        self.offset = 0

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return self.offset == 0 and all(row == 1 << i for i, row in enumerate(self.rows))

    def then(self, qubits: Sequence[int], images: Sequence[int]) -> None:
        """Appends a permutation of the basis states of one or two qubits: state k goes to images[k].

        The first qubit is the more significant bit of k. Every permutation of up to four states is affine.
        """
        places = list(reversed(qubits))
        rows = [self.rows[q] for q in places]
        offsets = [self.offset >> q & 1 for q in places]
        for i, q in enumerate(places):
            row, bit = 0, images[0] >> i & 1
            for k, (source, constant) in enumerate(zip(rows, offsets)):
                if (images[1 << k] ^ images[0]) >> i & 1:
                    row ^= source
                    bit ^= constant
            self.rows[q] = row
            self.offset = self.offset & ~(1 << q) | bit << q

    def pulled(self, mask: int) -> tuple[int, bool]:
        """The parity mask.(M j + b) as a parity of j: its mask, and whether it changes sign."""
        found = 0
        for i, row in enumerate(self.rows):
            if mask >> i & 1:
                found ^= row
        return found, (mask & self.offset).bit_count() % 2 == 1

    def image(self, j: int) -> int:
        """M j, without the offset."""
        return sum(((row & j).bit_count() & 1) << i for i, row in enumerate(self.rows))

    def inverse(self) -> AffineMap:
        """The map back. Gates are reversible, so it exists."""
        n = len(self.rows)
        rows, back = list(self.rows), [1 << q for q in range(n)]
        for column in range(n):
            pivot = next(r for r in range(column, n) if rows[r] >> column & 1)
            rows[column], rows[pivot] = rows[pivot], rows[column]
            back[column], back[pivot] = back[pivot], back[column]
            for r in range(n):
                if r != column and rows[r] >> column & 1:
                    rows[r] ^= rows[column]
                    back[r] ^= back[column]
        found = AffineMap(n)
        found.rows = back
        found.offset = found.image(self.offset)
        return found

    def tables(self, low: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(lows [2^low], highs [2^(n - low)]): j goes to lows[lowest bits of j] ^ highs[the others]."""
        columns = [self.image(1 << j) for j in range(len(self.rows))]
        lows, highs = np.zeros(1, dtype=np.int64), np.full(1, self.offset, dtype=np.int64)
        for column in columns[:low]:
            lows = np.concatenate([lows, lows ^ column])
        for column in columns[low:]:
            highs = np.concatenate([highs, highs ^ column])
        return lows, highs
