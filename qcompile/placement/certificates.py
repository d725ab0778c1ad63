"""Cheap proofs that one graph does not embed in another, and the few places that each vertex may take if it does.

An embedding sends vertices to different vertices and edges to edges. So it cannot raise distances: a ball of radius r
lands inside the ball of radius r, cycles land on cycles of their length, and what is left after leaves are pruned again
and again (the 2-core) lands inside what is left of the host. A ring of 50 on a heavy-hexagon map is refuted by cycle
lengths alone: there, all are multiples of 4.
"""

from __future__ import annotations

import math
from functools import lru_cache

import networkx as nx
import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from qcompile.placement.couplings import Couplings, Ints

_RADIUS = 6
_ROUNDS = 4  # of arc consistency; each drops places that no neighbour could live with


def refuted(pattern: Couplings, host: Couplings) -> str | None:
    """Why the pattern cannot embed in the host; None where no proof was found. Isolated vertices need free places."""
    if pattern.size > host.size:
        return f"{pattern.size} vertices, {host.size} in the host"
    if pattern.near.size > host.near.size:
        return f"{pattern.near.size // 2} edges, {host.near.size // 2} in the host"
    ours, theirs = np.sort(pattern.degrees)[::-1], np.sort(host.degrees)[::-1]
    if (ours > theirs[: len(ours)]).any():
        return f"degrees {ours[:4].tolist()}... exceed {theirs[:4].tolist()}..."
    return _refuted_by_cycles(pattern, host)


def _refuted_by_cycles(pattern: Couplings, host: Couplings) -> str | None:
    lengths = fundamental_cycles(pattern)
    if not lengths:
        return None
    allowed = _cycle_lengths(host.edges.tobytes())
    if allowed is None:
        return f"a cycle of {lengths[0]}; the host has none"
    step, shortest, longest = allowed
    for length in lengths:
        if length % step or not shortest <= length <= longest:
            return f"a cycle of {length}; the host's are multiples of {step} from {shortest} to {longest}"
    return None


def fundamental_cycles(graph: Couplings) -> list[int]:
    """Lengths of the cycles that the edges outside a breadth-first forest close, ascending; all are simple cycles."""
    depth, parent = [-1] * graph.size, [-1] * graph.size
    near = np.split(graph.near, graph.offsets[1:-1])
    found = []
    for root in range(graph.size):
        if depth[root] >= 0:
            continue
        depth[root] = 0
        queue = [root]
        for v in queue:
            for w in near[v].tolist():
                if depth[w] < 0:
                    depth[w], parent[w] = depth[v] + 1, v
                    queue.append(w)
    for a, b in graph.edges.tolist():
        if parent[a] == b or parent[b] == a:
            continue
        length, high, low = 1, a, b
        while high != low:
            if depth[high] < depth[low]:
                high, low = low, high
            high = parent[high]
            length += 1
        found.append(length)
    return sorted(found)


@lru_cache(maxsize=64)
def _cycle_lengths(edges: bytes) -> tuple[int, int, int] | None:
    return cycle_lengths(np.frombuffer(edges, np.int64).reshape(-1, 2))


def cycle_lengths(edges: Ints) -> tuple[int, int, int] | None:
    """(a number that divides the length of every cycle, the shortest, an upper bound of the longest); None: no cycles.

    Chains of the 2-core between its branching vertices are contracted to weighted edges. If g divides all weights and
    the weights over g close only even cycles, then 2 g divides every cycle, else g does.
    """
    shape: nx.Graph[int] = nx.Graph(edges.tolist())
    core = nx.k_core(shape, 2) if len(shape) else shape
    if not len(core):
        return None
    blocks = list(nx.biconnected_components(core))
    longest = max(map(len, blocks))
    shortest = int(nx.girth(core))
    chains = _chains(core)
    unit = math.gcd(*(length for _, _, length in chains))
    doubled: nx.Graph[tuple[int, int]] = nx.Graph()  # (vertex, parity); a path to the other parity: an odd closed walk
    for a, b, length in chains:
        odd = (length // unit) % 2
        doubled.add_edge((a, 0), (b, odd))
        doubled.add_edge((a, 1), (b, 1 - odd))
    part = {v: k for k, vertices in enumerate(nx.connected_components(doubled)) for v in vertices}
    even = all(part[a, 0] != part[a, 1] for a, _, _ in chains)
    return (2 * unit if even else unit), shortest, longest


def _chains(core: nx.Graph[int]) -> list[tuple[int, int, int]]:
    """(end, end, edges) of each path through vertices of degree 2; a cycle without branching starts anywhere."""
    ends = sorted(v for v in core if core.degree[v] != 2)
    bare = [c for c in nx.connected_components(core) if all(core.degree[v] == 2 for v in c)]
    found = [(min(c), min(c), len(c)) for c in bare]
    seen = set()
    for start in ends:
        for step in sorted(core[start]):
            if (start, step) in seen:
                continue
            before, v, length = start, step, 1
            while core.degree[v] == 2:
                before, v = v, next(w for w in core[v] if w != before)
                length += 1
            seen |= {(start, step), (v, before)}
            found.append((start, v, length))
    return found


def places(pattern: Couplings, host: Couplings) -> NDArray[np.bool_]:
    """[pattern vertex, host vertex] where a vertex may go; an all-false row is a proof that nothing embeds.

    By ball sizes (of radius 1: the degree), the 2-core, and then neighbour by neighbour (arc consistency).
    """
    radii = np.arange(1, _RADIUS + 1)
    ours, theirs = _ball_sizes(pattern.hops, radii), _ball_sizes(host.hops, radii)
    fits = np.all(ours[:, None, :] <= theirs[None, :, :], axis=2)
    fits &= _in_core(host)[None, :] | ~_in_core(pattern)[:, None]
    _narrow(fits, pattern.offsets, pattern.near, host.offsets, host.near, _ROUNDS)
    return fits


def seats_suffice(fits: NDArray[np.bool_]) -> bool:
    """Whether all vertices can take different places of `places` at once, edges aside."""
    matched = maximum_bipartite_matching(csr_array(fits), perm_type="column")
    return bool((matched >= 0).all())


def _ball_sizes(hops: Ints, radii: Ints) -> Ints:
    reachable = hops < len(hops)
    return np.stack([(reachable & (hops <= r)).sum(1) for r in radii], axis=1)


def _in_core(graph: Couplings) -> NDArray[np.bool_]:
    """Whether each vertex is in the 2-core."""
    inside = np.ones(graph.size, np.bool_)
    while True:
        thin = inside & ((graph.adjacency & inside[None, :]).sum(1) < 2)
        if not thin.any():
            return inside
        inside &= ~thin


@numba.njit(cache=True, nogil=True)
def _narrow(fits, offsets, near, host_offsets, host_near, rounds):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Keeps h for v only while each of v's neighbours has a place among h's neighbours."""
    for _ in range(rounds):
        changed = False
        for v in range(fits.shape[0]):
            for h in range(fits.shape[1]):
                if not fits[v, h]:
                    continue
                served = True
                for k in range(offsets[v], offsets[v + 1]):
                    u, found = near[k], False
                    for j in range(host_offsets[h], host_offsets[h + 1]):
                        if fits[u, host_near[j]]:
                            found = True
                            break
                    if not found:
                        served = False
                        break
                if not served:
                    fits[v, h] = False
                    changed = True
        if not changed:
            break
