"""Graphs as flat arrays for the kernels of placement and routing: a chip's couplers, or who meets whom in a circuit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Couplings(NamedTuple):
    """An undirected graph without loops on vertices 0 .. q - 1.

    Attributes:
        adjacency: bool[q, q], symmetric.
        hops: int64[q, q], edges between two vertices; q where there is no path.
        offsets: int64[q + 1]; near: int64[2 * edges]: neighbours of v, ascending, from offsets[v] to offsets[v + 1].
    """

    adjacency: NDArray[np.bool_]
    hops: Ints
    offsets: Ints
    near: Ints

    @property
    def size(self) -> int:
        """Vertices."""
        return len(self.adjacency)

    @property
    def degrees(self) -> Ints:
        """[vertex]."""
        return np.diff(self.offsets)

    @property
    def edges(self) -> Ints:
        """[edge, 2], ascending, the lower vertex first."""
        return np.argwhere(np.triu(self.adjacency)).astype(np.int64)


def couplings(size: int, edges: Iterable[tuple[int, int]] | Ints) -> Couplings:
    """The graph of these edges; repeated ones count once.

    Raises: ValueError: a loop, or a vertex outside 0 .. size - 1.
    """
    pairs = np.array(edges if isinstance(edges, np.ndarray) else sorted(edges), np.int64).reshape(-1, 2)
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= size or (pairs[:, 0] == pairs[:, 1]).any()):
        raise ValueError(f"edges: expected pairs of different vertices 0 .. {size - 1}, found {pairs.tolist()[:4]}...")
    adjacency = np.zeros((size, size), np.bool_)
    adjacency[pairs[:, 0], pairs[:, 1]] = adjacency[pairs[:, 1], pairs[:, 0]] = True
    offsets = np.zeros(size + 1, np.int64)
    np.cumsum(adjacency.sum(1), out=offsets[1:])
    near = np.nonzero(adjacency)[1].astype(np.int64)
    return Couplings(adjacency, _hops(offsets, near), offsets, near)


@numba.njit(cache=True, nogil=True)
def _hops(offsets, near):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Breadth-first search from every vertex."""
    size = len(offsets) - 1
    hops = np.full((size, size), size, np.int64)
    queue = np.empty(size, np.int64)
    for start in range(size):
        hops[start, start] = 0
        queue[0] = start
        head, tail = 0, 1
        while head < tail:
            v = queue[head]
            head += 1
            for k in range(offsets[v], offsets[v + 1]):
                w = near[k]
                if hops[start, w] == size and w != start:
                    hops[start, w] = hops[start, v] + 1
                    queue[tail] = w
                    tail += 1
    return hops
