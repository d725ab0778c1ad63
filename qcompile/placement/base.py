"""The placement contract.

A placement method looks at a lowered circuit and a device and proposes initial layouts, each inside one live
connected region to which routing is then confined. Methods are deterministic in (circuit, device, seed).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import networkx as nx
from qiskit import QuantumCircuit

from qcompile.device import Device
from qcompile.layout import Layout


class Placement(NamedTuple):
    """A proposal: where virtual qubits start, and the live region that routing may use."""

    layout: Layout
    region: frozenset[int]


class PlacementMethod(Protocol):
    """One placement method."""

    def __call__(self, circuit: QuantumCircuit, device: Device, seed: int) -> Iterator[Placement]:
        """Yields proposals, the most promising first; none where the method does not apply."""
        ...


def interaction_graph(circuit: QuantumCircuit) -> nx.Graph[int]:
    """Qubits that share a two-qubit gate; every qubit is a node, an edge's `count` is its number of gates."""
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(circuit.num_qubits))
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    for instruction in circuit.data:
        if len(instruction.qubits) == 2 and instruction.operation.name != "barrier":
            a, b = (index_of[q] for q in instruction.qubits)
            count = graph.edges[a, b]["count"] + 1 if graph.has_edge(a, b) else 1
            graph.add_edge(a, b, count=count)
    return graph
