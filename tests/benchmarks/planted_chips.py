"""Coupling graphs of the planted instances: 16, 27, 53, 65 and 127 qubits."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx

import qcompile

GATES = {
    "grid16": 150,
    "falcon27": 400,
    "rochester53": 1500,
    "sycamore53": 1500,
    "hummingbird65": 1500,
    "eagle127": 4000,
}
"""Chip -> gates of an instance on it."""

_STORED = {"falcon27": "ibm_montreal", "hummingbird65": "ibm_manhattan", "eagle127": "ibm_brisbane"}

_ROCHESTER = (
    "0-1-2-3-4-6-13-14-15-18-27-26-25-24-23-17-11-10-9-5-0 7-8-9 7-16-19-20-21-22-23 11-12-13"
    " 21-28-32-31-30-39-42-43-44 25-29-36-35-34-33-32 34-40-46-45-44 36-37-38-41-50-49-48-47-46 44-51 48-52"
)


def edges(chip: str) -> list[tuple[int, int]]:
    """Couplers of a chip of `GATES` as designed, dead ones included."""
    if chip in _STORED:
        pairs = [q for _, q in qcompile.load_device(_STORED[chip]).gates if len(q) == 2]
        return sorted({(min(q), max(q)) for q in pairs})
    if chip == "rochester53":
        walks = [[int(q) for q in walk.split("-")] for walk in _ROCHESTER.split()]
        return sorted({(min(e), max(e)) for walk in walks for e in pairwise(walk)})
    graph = nx.grid_2d_graph(4, 4) if chip == "grid16" else _sycamore()
    number = {v: i for i, v in enumerate(sorted(graph))}
    return sorted((min(number[a], number[b]), max(number[a], number[b])) for a, b in graph.edges)


def _sycamore() -> nx.Graph:
    """Nine diagonal rows of six qubits, each coupled to two of the next row; the chip's one dead qubit is left out."""
    graph = nx.Graph()
    for row in range(8):
        for column in range(6):
            for other in (column, column + 1 if row % 2 else column - 1):
                if 0 <= other < 6:
                    graph.add_edge((row, column), (row + 1, other))
    graph.remove_node((0, 3))
    return graph
