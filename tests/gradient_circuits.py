"""Circuits that gradients are tested and measured on. Each function returns (circuit, features, weights)."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from qtrain import ansatze, encoders

Built = tuple[QuantumCircuit, list[Parameter], list[Parameter]]


def qoc(blocks: int = 3) -> Built:
    """4 qubits; RY RZ RX RY encoder (16 features); blocks of [RZZ ring, RY RX RZ on each]: 16 weights a block."""
    encoder, features = encoders.ry_rz_rx_ry(4)
    ansatz, weights = ansatze.rzz_ring(4, blocks)
    return encoder.compose(ansatz), list(features), list(weights)


def sel(n: int, layers: int) -> Built:
    """RY encoder, then layers of RZ RY RZ on each wire and a CX ring of range (layer mod (n - 1)) + 1.

    PennyLane's StronglyEntanglingLayers.
    """
    x, w = ParameterVector("x", n), ParameterVector("w", 3 * n * layers)
    circuit, rest = QuantumCircuit(n), iter(w)
    for q in range(n):
        circuit.ry(x[q], q)
    for layer in range(layers):
        for q in range(n):
            circuit.rz(next(rest), q)
            circuit.ry(next(rest), q)
            circuit.rz(next(rest), q)
        for q in range(n):
            circuit.cx(q, (q + layer % (n - 1) + 1) % n)
    return circuit, list(x), list(w)


def everything(n: int = 4) -> Built:
    """What a user's circuit may hold at once: n features, 2n + 4 weights, n >= 2.

    A ZZ feature map (products of features), U and CU, CRX, CRY, CRZ and CP, weights shared by several gates with
    slopes and offsets, features uploaded again behind weights and added to one, fixed gates and an RXX.
    """
    x, w = ParameterVector("x", n), ParameterVector("w", 2 * n + 4)
    circuit = QuantumCircuit(n)
    for q in range(n):
        circuit.h(q)
        circuit.p(2 * x[q], q)
    for q in range(n - 1):
        circuit.cx(q, q + 1)
        circuit.p(2 * (3.14159 - x[q]) * (3.14159 - x[q + 1]), q + 1)
        circuit.cx(q, q + 1)
    for q in range(n):
        circuit.u(w[q], w[(q + 1) % n], -0.5 * w[q] + 0.3, q)
    for q in range(n - 1):
        circuit.cu(w[n + q], w[0], 2 * w[n + q] - 0.1, 0.0, q, q + 1)
    for q in range(n):
        circuit.ry(x[q], q)
    circuit.crx(w[2 * n - 1], 0, n - 1)
    circuit.cry(w[2 * n], n - 1, 0)
    circuit.sx(0)
    circuit.rx(w[2 * n + 1] + 0.7 * x[0], 1)
    circuit.crz(w[2 * n + 2], 1, 0)
    circuit.cp(w[0], 0, 1)
    circuit.swap(0, n - 1)
    circuit.rxx(w[2 * n + 3], 0, 1)
    return circuit, list(x), list(w)
