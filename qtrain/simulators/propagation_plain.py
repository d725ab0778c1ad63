"""Truncated Pauli propagation with dictionaries, one line an idea: what the kernels are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtrain.simulators.propagation_blocks import Blocks, matrices
from qtrain.simulators.propagation_order import String

Array = NDArray[np.float64]


def propagate_plain(
    blocks: Blocks, squares: Array, string: String, order: list[int], angles: Array, *, threshold: float, max_terms: int
) -> tuple[float, float]:
    """(expectation, sum of |coefficients| dropped) of a Z string for one row of angles; the twin of `evaluate`."""
    matrix = matrices(blocks, angles)
    strings = {tuple((q, 3) for q in sorted(string)): (1.0, 1.0)}  # Paulis -> coefficient, its mean square
    value = lost = 0.0
    for k in order:
        pair = tuple(blocks.pair[k].tolist())
        after: dict[tuple[tuple[int, int], ...], Array] = {}
        for paulis, numbers in strings.items():
            here = dict(paulis)
            row = 4 * here.pop(pair[0], 0) + here.pop(pair[1], 0)
            rest = tuple(sorted(here.items()))
            after.setdefault(rest, np.zeros((2, 16)))
            after[rest] += np.array(numbers)[:, None] * np.stack((matrix[k, row], squares[k, row]))
        whole = {
            tuple(sorted((*rest, *((q, p) for q, p in zip(pair, divmod(column, 4)) if p)))): tuple(both[:, column])
            for rest, both in after.items()
            for column in range(16)
            if both[1, column] > 0.0
        }
        value += whole.pop((), (0.0, 0.0))[0]
        large = {s: n for s, n in whole.items() if n[1] > threshold**2}
        strings = dict(sorted(large.items(), key=lambda item: -item[1][1])[:max_terms])
        lost += sum(abs(n[0]) for s, n in whole.items() if s not in strings)
    return value, lost
