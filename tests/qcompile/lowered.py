"""Random circuits in the compiler's own basis, and what stays of them when gates change places."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator


@st.composite
def lowered_circuits(draw: st.DrawFn) -> QuantumCircuit:
    """Mostly CX and Z rotations, some other gates, measurements, resets, delays and barriers between them."""
    n = draw(st.integers(1, 5))
    circuit = QuantumCircuit(n, 2)
    names = ["cx"] * 8 + ["rz", "slot", "s", "t", "z", "swap", "h", "rx", "measure", "reset", "barrier", "delay"]
    for number in range(draw(st.integers(0, 40))):
        name = draw(st.sampled_from(names))
        qubits = draw(st.permutations(range(n)))
        if name in ("cx", "swap"):
            if n > 1:
                getattr(circuit, name)(*qubits[:2])
        elif name in ("rz", "rx"):
            getattr(circuit, name)(draw(st.floats(-3, 3, allow_nan=False)), qubits[0])
        elif name == "slot":
            circuit.rz(Parameter(f"slot{number}"), qubits[0])
        elif name == "measure":
            circuit.measure(qubits[0], draw(st.integers(0, 1)))
        elif name == "barrier":
            circuit.barrier(qubits[: draw(st.integers(1, n))])
        elif name == "delay":
            circuit.delay(100, qubits[0], unit="ns")
        else:
            getattr(circuit, name)(qubits[0])
    return circuit


def marked(circuit: QuantumCircuit, values: dict[Parameter, float]) -> Operator:
    """The unitary, with a gate that commutes with nothing in the place of each measurement, reset, delay, barrier."""
    replaced = QuantumCircuit(circuit.num_qubits)
    for instruction in circuit.assign_parameters(values).data:
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        if instruction.name in ("measure", "reset", "delay", "barrier"):
            angle = {"measure": 0.3, "reset": 0.7, "delay": 1.1, "barrier": 1.9}[instruction.name]
            angle += 0.1 * sum(circuit.find_bit(c).index + 1 for c in instruction.clbits)
            for q in qubits:
                replaced.u(angle, 0.4, 0.9, q)
            for a, b in pairwise(qubits):
                replaced.rxx(angle, a, b)
                replaced.ryy(0.5 * angle, a, b)
        else:
            replaced.append(instruction.operation, qubits)
    return Operator(replaced)
