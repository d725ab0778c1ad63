"""Subgraph placement: where the circuit's own interaction graph embeds, no SWAP is needed.

The search (`embedding.py`) is bounded by a number of steps, and cheap certificates come first, so a graph that does not
embed costs little. The same search moves a routed circuit to other regions of the chip with the same couplings.
"""

from __future__ import annotations

from functools import lru_cache

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from qcompile.device import Device
from qcompile.placement.couplings import Couplings, couplings
from qcompile.placement.embedding import Found, Prices, find


@lru_cache(maxsize=64)
def live_couplings(device: Device) -> tuple[NDArray[np.int64], Couplings]:
    """(physical qubits of the largest live region, ascending; its couplers between positions in that array)."""
    nodes = np.array(sorted(device.components[0]), np.int64)
    position = {int(p): i for i, p in enumerate(nodes)}
    edges = [(position[a], position[b]) for a, b in device.graph.subgraph(nodes.tolist()).edges]
    return nodes, couplings(len(nodes), edges)


def embeddings(pattern: nx.Graph[int], device: Device, *, limit: int, seed: int) -> NDArray[np.int64]:
    """Embeddings of a graph into the largest live region.

    Args:
        pattern: any graph; isolated nodes take free qubits.
        limit: most embeddings to return.
    Returns: [embedding, node of the pattern in ascending order] physical qubits; empty where none was found.
    """
    return _embedded(pattern, device, limit, seed, None, None, None).rows


def cheapest(
    pattern: nx.Graph[int],
    device: Device,
    vertex_prices: NDArray[np.float64],
    loads: NDArray[np.float64],
    coupler_prices: NDArray[np.float64],
    *,
    limit: int,
    seed: int,
) -> Found:
    """The cheapest embeddings into the largest live region, by branch and bound; exact where `complete`.

    Args:
        pattern: any graph; isolated nodes take free qubits, the cheaper ones first, and do not count as to be optimal.
        vertex_prices: [node of the pattern in ascending order, physical qubit], not negative.
        loads: [node, node], symmetric: how often the price of the coupler under a pattern's edge is paid.
        coupler_prices: [physical qubit, physical qubit], symmetric, not negative; infinite where there is no coupler.
    Returns: rows [embedding, node] of physical qubits, the cheapest first, with the prices of all nodes.
    """
    return _embedded(pattern, device, limit, seed, vertex_prices, loads, coupler_prices)


def _embedded(
    pattern: nx.Graph[int],
    device: Device,
    limit: int,
    seed: int,
    vertex_prices: NDArray[np.float64] | None,
    loads: NDArray[np.float64] | None,
    coupler_prices: NDArray[np.float64] | None,
) -> Found:
    qubits, host = live_couplings(device)
    nodes = sorted(pattern)
    nothing = Found(np.empty((0, len(nodes)), np.int64), np.zeros(0), True)
    if len(nodes) > len(qubits):
        return nothing
    column = {v: i for i, v in enumerate(nodes)}
    joined = [v for v in nodes if pattern.degree[v]]
    here = np.array([column[v] for v in joined], np.int64)
    position = {v: i for i, v in enumerate(joined)}
    graph = couplings(len(joined), [(position[a], position[b]) for a, b in pattern.edges])
    prices = None
    if vertex_prices is not None and loads is not None and coupler_prices is not None:
        coupler = coupler_prices[np.ix_(qubits, qubits)]
        prices = Prices(vertex_prices[np.ix_(here, qubits)], loads[np.ix_(here, here)], coupler)
    found = find(graph, host, limit=limit, seed=seed, prices=prices) if joined else _one_empty(limit)
    if not len(found.rows):
        return nothing._replace(complete=found.complete)
    rows = np.full((len(found.rows), len(nodes)), -1, np.int64)
    rows[:, here] = qubits[found.rows]
    costs = found.prices.copy()
    spare = np.random.default_rng([seed, len(nodes)]).permutation(qubits)
    for i in sorted(set(range(len(nodes))) - set(here.tolist())):
        if vertex_prices is not None:
            spare = spare[np.argsort(vertex_prices[i, spare], kind="stable")]
        taken = (rows[:, None, :] == spare[None, :, None]).any(2)
        rows[:, i] = spare[np.argmin(taken, axis=1)]
        if vertex_prices is not None:
            costs += vertex_prices[i, rows[:, i]]
    order = np.argsort(costs, kind="stable")
    return Found(rows[order], costs[order], found.complete)


def _one_empty(limit: int) -> Found:
    """The one embedding of a graph without vertices."""
    return Found(np.empty((min(limit, 1), 0), np.int64), np.zeros(min(limit, 1)), True)
