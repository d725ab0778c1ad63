"""What the gradient benchmark computes: circuits, data and the loss, in a form that any interpreter can read.

A workload is written as JSON, so that a peer reads the same gates and numbers without this project being installed:
`gates` is a list of [name, qubits, kind, index], kind "x" for a feature, "w" for a weight, null for a gate without an
angle. Loss: mean over the batch of the sum over qubits of <Z> squared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from tests.gradient_circuits import Built, qoc, sel

SEED = 7


@dataclass(frozen=True)
class Workload:
    """One circuit and batch.

    Attributes:
        family: "qoc" (4 qubits, `layers` blocks) or "sel".
        target: how many times faster than the best peer ours is to be.
        near_floor: whether the memory-bandwidth floor is judged, too.
    """

    name: str
    family: str
    qubits: int
    layers: int
    batch: int
    target: float = 0.0
    near_floor: bool = False

    def built(self) -> Built:
        """(circuit, features, weights)."""
        return qoc(self.layers) if self.family == "qoc" else sel(self.qubits, self.layers)

    def problem(self) -> dict[str, Any]:
        """Everything that a worker needs, as JSON."""
        circuit, features, weights = self.built()
        rng = np.random.default_rng(SEED)
        x = rng.uniform(0, np.pi, (self.batch, len(features)))
        w = rng.uniform(-np.pi, np.pi, len(weights))
        return {
            "name": self.name,
            "qubits": self.qubits,
            "gates": gates(circuit, features, weights),
            "x": x.tolist(),
            "w": w.tolist(),
            "passes": passes(circuit),
        }


WORKLOADS = (
    Workload("qoc batch 32", "qoc", 4, 3, 32, target=5),
    Workload("qoc batch 256", "qoc", 4, 3, 256, target=5),
    Workload("sel 10x5 batch 32", "sel", 10, 5, 32, target=5),
    Workload("sel 16x4 batch 8", "sel", 16, 4, 8, target=2),
    Workload("sel 20x2 batch 1", "sel", 20, 2, 1, target=2, near_floor=True),
)


def gates(circuit: QuantumCircuit, features: list[Any], weights: list[Any]) -> list[list[Any]]:
    """[name, qubits, kind, index] of each gate, whose angle must be one feature or one weight as it is."""
    known = {p: ("x", i) for i, p in enumerate(features)} | {p: ("w", i) for i, p in enumerate(weights)}
    found: list[list[Any]] = []
    for instruction in circuit.data:
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        kind, index = known[instruction.operation.params[0]] if instruction.operation.params else (None, 0)
        found.append([instruction.operation.name, qubits, kind, index])
    return found


def circuit_of(problem: dict[str, Any]) -> Built:
    """The circuit of a problem's gates: the inverse of `gates`."""
    vectors = {"x": ParameterVector("x", len(problem["x"][0])), "w": ParameterVector("w", len(problem["w"]))}
    circuit = QuantumCircuit(problem["qubits"])
    for name, qubits, kind, index in problem["gates"]:
        angle = () if kind is None else (vectors[kind][index],)
        getattr(circuit, name)(*angle, *qubits)
    return circuit, list(vectors["x"]), list(vectors["w"])


def passes(circuit: QuantumCircuit) -> int:
    """Passes over the state that a gate-by-gate simulator makes once runs of one-qubit gates are one gate each."""
    count, running = 0, set()
    for instruction in circuit.data:
        qubits = {circuit.find_bit(q).index for q in instruction.qubits}
        if len(qubits) > 1:
            running -= qubits
            count += 1
        elif not qubits <= running:
            running |= qubits
            count += 1
    return count


def loss_of(values: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss, and its derivative with respect to the values [batch, observable]."""
    return float(np.mean(np.sum(values**2, axis=1))), 2 * values / len(values)
