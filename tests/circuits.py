"""Circuit families that the tests and benchmarks share; every one bound or symbolic on request."""

from __future__ import annotations

import networkx as nx
import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import efficient_su2


def u3cu3(n: int, depth: int) -> QuantumCircuit:
    """depth times [U on each qubit, CU on the ring (one CU for two qubits)]."""
    ring = [(q, (q + 1) % n) for q in range(n)] if n > 2 else [(0, 1)]
    angles = iter(ParameterVector("t", 3 * depth * (n + len(ring))))
    circuit = QuantumCircuit(n)
    for _ in range(depth):
        for q in range(n):
            circuit.u(next(angles), next(angles), next(angles), q)
        for a, b in ring:
            circuit.cu(next(angles), next(angles), next(angles), 0, a, b)
    return circuit


def esu2(n: int, depth: int, rng: np.random.Generator) -> QuantumCircuit:
    """EfficientSU2, entanglement linear or circular by a coin."""
    return efficient_su2(n, reps=depth, entanglement=["linear", "circular"][int(rng.integers(2))])


def qaoa(n: int, depth: int, rng: np.random.Generator) -> QuantumCircuit:
    """QAOA on a G(n, 0.6) graph, max(1, depth // 2) rounds."""
    graph = nx.gnp_random_graph(n, 0.6, seed=int(rng.integers(2**31)))
    rounds = max(1, depth // 2)
    gamma, beta = ParameterVector("g", rounds), ParameterVector("b", rounds)
    circuit = QuantumCircuit(n)
    circuit.h(range(n))
    for k in range(rounds):
        for a, b in sorted(graph.edges):
            circuit.rzz(2 * gamma[k], a, b)
        circuit.rx(2 * beta[k], range(n))
    return circuit


def qoc(n: int, depth: int) -> QuantumCircuit:
    """RY features, then depth times [RZZ ring, RY on each]."""
    x, t = ParameterVector("x", n), iter(ParameterVector("t", 2 * n * depth))
    circuit = QuantumCircuit(n)
    for q in range(n):
        circuit.ry(x[q], q)
    for _ in range(depth):
        for q in range(n):
            circuit.rzz(next(t), q, (q + 1) % n)
        for q in range(n):
            circuit.ry(next(t), q)
    return circuit


def bound(circuit: QuantumCircuit, seed: int, low: float = -np.pi, high: float = np.pi) -> QuantumCircuit:
    """The circuit at angles drawn uniformly from the seed, every qubit measured."""
    values = np.random.default_rng(seed).uniform(low, high, circuit.num_parameters)
    measured = circuit.assign_parameters(values)
    measured.measure_all()
    return measured
