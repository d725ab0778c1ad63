"""What it costs to bring two qubits together, by the errors of the couplers between them."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def distances(edge, gate, offsets, near):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """(prices, hops) between all qubits: three CX on every coupler of a path but one, on that one a single CX."""
    count = len(edge)
    far = 1e18
    swap = np.full((count, count), far)
    hops = np.full((count, count), np.int64(1 << 40))
    heap = np.empty(count, np.int64)
    for s in range(count):
        queued = np.zeros(count, np.bool_)
        hops[s, s] = 0
        heap[0] = s
        queued[s] = True
        head, tail = 0, 1
        while head < tail:
            a = heap[head]
            head += 1
            for i in range(offsets[a], offsets[a + 1]):
                b = near[i]
                if not queued[b]:
                    queued[b] = True
                    hops[s, b] = hops[s, a] + 1
                    heap[tail] = b
                    tail += 1
        # few qubits: Dijkstra by scanning
        done = np.zeros(count, np.bool_)
        swap[s, s] = 0.0
        for _ in range(tail):
            a, best = -1, far
            for k in range(tail):
                q = heap[k]
                if not done[q] and swap[s, q] < best:
                    a, best = q, swap[s, q]
            done[a] = True
            for i in range(offsets[a], offsets[a + 1]):
                b = near[i]
                swap[s, b] = min(swap[s, b], best + 3 * gate[edge[a, b]])
    price = np.full((count, count), far)
    for s in range(count):
        for u in range(count):
            if swap[s, u] >= far:
                continue
            for i in range(offsets[u], offsets[u + 1]):
                v = near[i]
                last = swap[s, u] + gate[edge[u, v]]
                for b in range(count):
                    price[s, b] = min(price[s, b], last + swap[v, b])
    for s in range(count):
        price[s, s] = 0.0
    return price, hops
