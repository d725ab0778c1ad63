"""Ansatze: trainable circuits.

Every builder returns (circuit, weights): the parameters in the order in which `layer.weights` lists them. The ring
couples qubit q to q + 1, the last one to the first; two qubits are coupled once, one qubit not at all.
"""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import efficient_su2 as qiskit_efficient_su2

from qtrain.encoders import Built, check_size


def ring(num_qubits: int) -> list[tuple[int, int]]:
    """Pairs (q, q + 1 mod n).

    >>> ring(3), ring(2), ring(1)
    ([(0, 1), (1, 2), (2, 0)], [(0, 1)], [])
    """
    if num_qubits <= 2:
        return [(0, 1)][: num_qubits - 1]
    return [(q, (q + 1) % num_qubits) for q in range(num_qubits)]


def rzz_ring(num_qubits: int = 4, blocks: int = 3, *, prefix: str = "w") -> Built:
    """Blocks of [RZZ on the ring, then RY, RX, RZ layers]: 4 qubits and 3 blocks have 48 weights.

    Source: the RZZ + RY + RX + RZ blocks of arXiv 2202.13239; the qoc circuit of this project's benchmarks.
    Raises: ModelError: fewer than one qubit or block.
    """
    return _blocks("rzz_ring", num_qubits, blocks, prefix, ("ry", "rx", "rz"))


def rzz_ry(num_qubits: int = 4, blocks: int = 1, *, prefix: str = "w") -> Built:
    """Blocks of [RZZ on the ring, then one RY layer]: 2n weights a block from three qubits on.

    Source: the 2-class tasks of arXiv 2202.13239.
    Raises: ModelError: fewer than one qubit or block.
    """
    return _blocks("rzz_ry", num_qubits, blocks, prefix, ("ry",))


def _blocks(what: str, num_qubits: int, blocks: int, prefix: str, rotations: tuple[str, ...]) -> Built:
    check_size(what, "num_qubits", num_qubits)
    check_size(what, "blocks", blocks)
    pairs = ring(num_qubits)
    weights = list(ParameterVector(prefix, blocks * (len(pairs) + len(rotations) * num_qubits)))
    rest = iter(weights)
    circuit = QuantumCircuit(num_qubits)
    for _ in range(blocks):
        for a, b in pairs:
            circuit.rzz(next(rest), a, b)
        for rotation in rotations:
            for qubit in range(num_qubits):
                getattr(circuit, rotation)(next(rest), qubit)
    return circuit, weights


def u3cu3(num_qubits: int = 4, blocks: int = 2, *, prefix: str = "w") -> Built:
    """Blocks of [U3 on every qubit, then CU3 on the ring]: 6n weights a block from three qubits on.

    A CU3 angle is shared by two or three slots of its decomposition, so a weight may need more than two circuits.
    Source: the U3+CU3 space of arXiv 2107.10845 (QuantumNAS), used again in 2202.13239.
    Raises: ModelError: fewer than one qubit or block.
    """
    check_size("u3cu3", "num_qubits", num_qubits)
    check_size("u3cu3", "blocks", blocks)
    pairs = ring(num_qubits)
    weights = list(ParameterVector(prefix, blocks * 3 * (num_qubits + len(pairs))))
    rest = iter(weights)
    circuit = QuantumCircuit(num_qubits)
    for _ in range(blocks):
        for qubit in range(num_qubits):
            circuit.u(next(rest), next(rest), next(rest), qubit)
        for a, b in pairs:
            circuit.cu(next(rest), next(rest), next(rest), 0.0, a, b)
    return circuit, weights


def efficient_su2(num_qubits: int, *, reps: int = 3, entanglement: str = "reverse_linear", prefix: str = "w") -> Built:
    """Qiskit's hardware-efficient RY RZ layers with CX between: 2n(reps + 1) weights.

    Source: `qiskit.circuit.library.efficient_su2`.
    Raises: ModelError: fewer than one qubit or repetition.
    """
    check_size("efficient_su2", "num_qubits", num_qubits)
    check_size("efficient_su2", "reps", reps)
    circuit = qiskit_efficient_su2(num_qubits, reps=reps, entanglement=entanglement, parameter_prefix=prefix)
    return circuit, list(circuit.parameters)
