"""Subgraph placement: where the circuit's own interaction graph embeds, no SWAP is needed (VF2, Cordella et al. 2004).

Enumeration is bounded by a number of search steps, so a graph that does not embed costs little. The same search moves
a routed circuit to other regions of the chip with the same couplings.
"""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx
import numpy as np
import rustworkx as rx
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qcompile.device import Device
from qcompile.layout import Layout
from qcompile.placement.base import Placement, interaction_graph

SEARCH_STEPS = 200_000
_PROPOSALS = 3


def place(circuit: QuantumCircuit, device: Device, seed: int) -> Iterator[Placement]:
    """Up to three embeddings of the interaction graph into the largest live region, lowest coupler errors first."""
    pattern = interaction_graph(circuit)
    found = embeddings(pattern, device, limit=2000, seed=seed)
    if not len(found):
        return
    columns = {v: i for i, v in enumerate(sorted(pattern))}
    prices = np.zeros(len(found))
    table = edge_table(device, "error")
    for a, b in pattern.edges:
        errors = np.minimum(table[found[:, columns[a]], found[:, columns[b]]], 1 - 1e-9)
        prices -= pattern.edges[a, b]["count"] * np.log1p(-errors)
    for row in np.argsort(prices, kind="stable")[:_PROPOSALS]:
        yield Placement(Layout(tuple(int(p) for p in found[row])), device.components[0])


def embeddings(pattern: nx.Graph[int], device: Device, *, limit: int, seed: int) -> NDArray[np.int64]:
    """Embeddings of a graph into the largest live region.

    Args:
        pattern: any graph; isolated nodes take free qubits.
        limit: most embeddings to return.
    Returns: [embedding, node of the pattern in ascending order] physical qubits; empty where none was found.
    """
    component = device.components[0]
    nodes = sorted(pattern)
    joined = [v for v in nodes if pattern.degree[v]]
    if len(nodes) > len(component) or not _degrees_fit(pattern, device):
        return np.empty((0, len(nodes)), np.int64)
    rng = np.random.default_rng([seed, len(nodes)])
    host = [int(p) for p in rng.permutation(sorted(component))]
    found: list[list[int]] = []
    if joined:
        search = rx.vf2_mapping(
            _rx_graph(device.graph.subgraph(component), host),
            _rx_graph(pattern, joined),
            subgraph=True,
            induced=False,
            id_order=False,
            call_limit=SEARCH_STEPS,
        )
        for mapping in search:
            row = dict.fromkeys(nodes, -1)
            for big, small in mapping.items():
                row[joined[small]] = host[big]
            found.append([row[v] for v in nodes])
            if len(found) >= limit:
                break
    else:
        found.append([-1] * len(nodes))
    for assigned in found:
        taken = set(assigned)
        spare = iter(p for p in host if p not in taken)
        for i, p in enumerate(assigned):
            if p < 0:
                assigned[i] = next(spare)
    return np.array(found, np.int64).reshape(len(found), len(nodes))


def _degrees_fit(pattern: nx.Graph[int], device: Device) -> bool:
    """Cheap certificate: sorted degrees of the pattern must not exceed those of the chip, nor its edges in number."""
    host = device.graph.subgraph(device.components[0])
    ours = sorted((d for _, d in pattern.degree), reverse=True)
    theirs = sorted((d for _, d in host.degree), reverse=True)
    return pattern.number_of_edges() <= host.number_of_edges() and all(a <= b for a, b in zip(ours, theirs))


def _rx_graph(graph: nx.Graph[int], order: list[int]) -> rx.PyGraph[int, None]:
    position = {v: i for i, v in enumerate(order)}
    out: rx.PyGraph[int, None] = rx.PyGraph(multigraph=False)
    out.add_nodes_from(order)
    out.add_edges_from_no_data([(position[a], position[b]) for a, b in graph.edges])
    return out


def edge_table(device: Device, attribute: str) -> NDArray[np.float64]:
    """[qubit, qubit] table of a live coupler's `error` or `duration`; NaN where there is none."""
    table = np.full((device.num_qubits, device.num_qubits), np.nan)
    for a, b in device.graph.edges:
        table[a, b] = table[b, a] = device.graph.edges[a, b][attribute]
    return table
