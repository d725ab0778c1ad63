"""Circuits that need a known number of SWAPs on a coupling graph.

Written from the construction of Ping, Lin, Tan and Cong, "Assessing Quantum Layout Synthesis Tools via Known
Optimal-SWAP Cost Benchmarks" (arXiv:2502.08839). With swaps = k a circuit is k sections and a tail. Each section runs
on couplers under the layout that the SWAPs so far have made, then ends with a *special* gate, whose two qubits are not
neighbours before the next SWAP and are after it.

**Why k SWAPs are needed.** Let x be a qubit of a section's special gate, on a physical qubit of d neighbours. The
section holds a gate on each coupler that touches x or any physical qubit of more than d neighbours. In the graph of
these gates and the special one, x has d + 1 neighbours, and each qubit that sits on one of more than d has all of its
neighbours: that is one qubit of more than d neighbours more than the chip has, so no layout runs them all. The
section's gates are tied behind the previous special gate by a chain of gates along a breadth-first tree, and in front
of its own special gate by another: each qubit of theirs is reached from the special gate through gates that share a
qubit with the one before. So between two special gates every valid routing has a SWAP, and these k spans do not
overlap. **Why k are enough**: the planted ones do it.

Both need the gates to keep their order on each qubit. In the `separated` form every CX has a one-qubit rotation before
it on both qubits that no CX commutes with, so no compiler may cancel CX or exchange those that share one qubit, and k
is the optimum. (Neighbours on the same pair may merge into one block; that moves nothing.) The `plain` form has CX
only, as published: a compiler that exchanges CX of a common control, or cancels equal neighbours, may need fewer.
"""

from __future__ import annotations

from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit


class Planted(NamedTuple):
    """An instance: pairs of virtual qubits in program order, and the SWAPs that they need."""

    num_qubits: int
    pairs: tuple[tuple[int, int], ...]
    swaps: int
    layout: tuple[int, ...]  # the planted initial layout, virtual -> physical; no compiler may look at it
    planted_swaps: tuple[tuple[int, int], ...]  # couplers, one behind each section but the last

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """first, second, stage_first, stage_second of every pair, nothing commuting."""
        pairs = np.array(self.pairs, np.int64).reshape(-1, 2)
        stages = np.empty_like(pairs)
        seen = np.zeros(self.num_qubits, np.int64)
        for row, (a, b) in enumerate(self.pairs):
            stages[row] = seen[a], seen[b]
            seen[a] += 1
            seen[b] += 1
        return pairs[:, 0].copy(), pairs[:, 1].copy(), stages[:, 0].copy(), stages[:, 1].copy()

    def circuit(self, *, separated: bool) -> QuantumCircuit:
        """As CX gates: alone, or with one-qubit rotations between them."""
        circuit = QuantumCircuit(self.num_qubits, name=f"planted{self.swaps}")
        for k, (a, b) in enumerate(self.pairs):
            if separated:
                for q in (a, b):
                    circuit.u(0.3 + 0.001 * (k % 97), 0.7, 0.9, q)
            circuit.cx(a, b)
        return circuit


def planted(edges: list[tuple[int, int]], swaps: int, gates: int, seed: int, share: float = 0.5) -> Planted:
    """An instance on a connected coupling graph.

    Args:
        edges: couplers between physical qubits 0 .. n - 1.
        swaps: SWAPs that the circuit needs, at least 1.
        gates: wanted gates; more where the construction needs more.
        share: of the couplers, how many a section's filler gates are drawn from, in (0, 1].
    """
    rng = np.random.default_rng([seed, swaps, gates])
    graph = nx.Graph(sorted((min(e), max(e)) for e in edges))
    if not nx.is_connected(graph) or sorted(graph) != list(range(len(graph))):
        raise ValueError("edges: expected a connected graph on qubits 0 .. n - 1")
    virtual = rng.permutation(len(graph)).tolist()  # physical -> virtual
    layout = tuple(int(p) for p in np.argsort(virtual))
    useful = [e for e in sorted(graph.edges) if _gained(graph, e)]
    sections: list[list[tuple[int, int]]] = []
    specials: list[tuple[int, int]] = []
    couplers: list[list[tuple[int, int]]] = []
    done: list[tuple[int, int]] = []
    for _ in range(swaps):
        choices = [e for e in useful if not done or e != done[-1]]
        swap = choices[rng.integers(len(choices))]
        gained = _gained(graph, swap)
        p, far = gained[rng.integers(len(gained))]
        section = _section(graph, virtual, (p, far), specials[-1] if specials else None, rng)
        sections.append(section)
        couplers.append([(virtual[a], virtual[b]) for a, b in sorted(graph.edges)])
        specials.append((virtual[p], virtual[far]))
        virtual[swap[0]], virtual[swap[1]] = virtual[swap[1]], virtual[swap[0]]
        done.append(swap)
    sections.append([])
    couplers.append([(virtual[a], virtual[b]) for a, b in sorted(graph.edges)])
    missing = max(0, gates - sum(map(len, sections)) - swaps)
    pairs: list[tuple[int, int]] = []
    for k, (section, open_pairs) in enumerate(zip(sections, couplers)):
        filler = missing // len(sections) + (k < missing % len(sections))
        pool = [pair for pair in open_pairs if rng.random() < share] or open_pairs
        for _ in range(filler):
            section.insert(int(rng.integers(len(section) + 1)), pool[rng.integers(len(pool))])
        pairs += section
        if k < swaps:
            pairs.append(specials[k])
    turned = [(a, b) if rng.random() < 0.5 else (b, a) for a, b in pairs]
    return Planted(len(graph), tuple(turned), swaps, layout, tuple(done))


def _gained(graph: nx.Graph, swap: tuple[int, int]) -> list[tuple[int, int]]:
    """(neighbour of one end only, the other end): pairs that are neighbours after the SWAP and not before."""
    a, b = swap
    return [(p, b) for p in sorted(set(graph[a]) - set(graph[b]) - {b})] + [
        (p, a) for p in sorted(set(graph[b]) - set(graph[a]) - {a})
    ]


def _section(
    graph: nx.Graph,
    virtual: list[int],
    special: tuple[int, int],
    previous: tuple[int, int] | None,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Gates (virtual) that no layout runs together with the special one, tied to both special gates."""
    x = special[rng.integers(2)]
    full = {v for v in graph if graph.degree[v] > graph.degree[x]} | {x}
    needed = [(a, b) for a, b in sorted(graph.edges) if a in full or b in full]
    reached = {a if a in full else b for a, b in needed}
    rng.shuffle(needed)
    gates = [(virtual[a], virtual[b]) for a, b in needed]
    if previous is not None:
        physical = {v: p for p, v in enumerate(virtual)}
        gates = _chain(graph, virtual, physical[previous[rng.integers(2)]], reached) + gates
    return gates + _chain(graph, virtual, special[rng.integers(2)], reached)[::-1]


def _chain(graph: nx.Graph, virtual: list[int], root: int, reached: set[int]) -> list[tuple[int, int]]:
    """Gates along a breadth-first tree from the root to each qubit to be reached, in the tree's order."""
    tree = list(nx.bfs_edges(graph, root))
    parent = {child: up for up, child in tree}
    kept = set()
    for leaf in sorted(reached):
        vertex = leaf
        while vertex != root and vertex not in kept:
            kept.add(vertex)
            vertex = parent[vertex]
    return [(virtual[up], virtual[child]) for up, child in tree if child in kept]
