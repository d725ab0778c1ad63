"""Two-qubit gates are written in CX exactly, numbers and symbols, either way round."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator

from qcompile.lowering import lower
from qcompile.unrolling import unrolled

ANGLES = {"cu": 4, "cu3": 3, "cz": 0}
NAMES = ("cz", "cp", "crz", "cry", "crx", "cu", "rzz", "rxx", "ryy")


def _circuit(name: str, angles: list[object], qubits: tuple[int, int]) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    getattr(circuit, name)(*angles, *qubits)
    return circuit


@pytest.mark.parametrize("qubits", [(0, 1), (1, 0)])
@pytest.mark.parametrize("name", NAMES)
def test_each_gate_is_exact(name: str, qubits: tuple[int, int]) -> None:
    numbers = list(np.random.default_rng(len(name)).uniform(-6, 6, ANGLES.get(name, 1)))
    circuit = _circuit(name, numbers, qubits)
    found = unrolled(circuit, ("cx", "h", "p", "ry", "rz", "sx", "sxdg", "u"))
    assert found is not None
    written = QuantumCircuit(2)
    for instruction in found:
        written.append(instruction.operation, [circuit.find_bit(q).index for q in instruction.qubits])
    assert Operator(written).equiv(Operator(circuit), atol=1e-12)
    assert written.count_ops()["cx"] == (1 if name == "cz" else 2)


@pytest.mark.parametrize("name", NAMES)
def test_symbols_stay(name: str) -> None:
    parameters = [Parameter(f"t{k}") for k in range(ANGLES.get(name, 1))]
    circuit = _circuit(name, list(parameters), (0, 1))
    lowered = lower(circuit)
    point = np.random.default_rng(7).uniform(-3, 3, (1, len(parameters)))
    bound = lowered.circuit.assign_parameters(
        {p: float(lowered.slot_values(point)[0, k]) for p, k in lowered.slots.items()}
    )
    assert Operator(bound).equiv(Operator(circuit.assign_parameters(point[0])), atol=1e-12)


def test_other_gates_are_left_to_qiskit() -> None:
    circuit = QuantumCircuit(3)
    circuit.ccx(0, 1, 2)
    assert unrolled(circuit, ("cx",)) is None
    assert set(lower(circuit).circuit.count_ops()) <= {"cx", "h", "t", "tdg", "u", "p"}


def test_gates_of_another_control_state_are_not_mistaken() -> None:
    circuit = QuantumCircuit(2)
    circuit.cp(0.3, 0, 1, ctrl_state=0)
    assert Operator(lower(circuit).circuit).equiv(Operator(circuit), atol=1e-12)


@pytest.mark.parametrize(
    "names", [("rxx", "ryy"), ("ryy", "rzz"), ("rzz", "rxx"), ("rxx", "ryy", "rzz"), ("rzz", "rzz")]
)
def test_exchange_gates_of_one_pair_are_written_together(names: tuple[str, ...]) -> None:
    parameters = [Parameter(f"t{k}") for k in range(len(names))]
    circuit = QuantumCircuit(2)
    for k, name in enumerate(names):
        getattr(circuit, name)(parameters[k], *((0, 1) if k % 2 else (1, 0)))
    lowered = lower(circuit)
    assert lowered.circuit.count_ops()["cx"] == (3 if len(names) == 3 else 2)
    point = np.random.default_rng(3).uniform(-3, 3, (1, len(parameters)))
    numbers = {p: float(lowered.slot_values(point)[0, k]) for p, k in lowered.slots.items()}
    ours, theirs = lowered.circuit.assign_parameters(numbers), circuit.assign_parameters(point[0])
    assert Operator(ours).equiv(Operator(theirs), atol=1e-12)


def test_exchange_gates_wait_for_nothing_else() -> None:
    circuit = QuantumCircuit(3)
    for a, b in ((0, 1), (1, 2), (0, 1)):
        circuit.rxx(0.3, a, b)
        circuit.h(a)
        circuit.ryy(0.4, a, b)
        circuit.rzz(0.5, b, a)
    circuit.barrier(0, 1)
    circuit.rzz(0.6, 0, 1)
    lowered = lower(circuit)
    bare = QuantumCircuit(3)
    for instruction in circuit.data:
        if instruction.name != "barrier":
            bare.append(instruction)
    found = QuantumCircuit(3)
    for instruction in lowered.circuit.data:
        if instruction.name != "barrier":
            found.append(instruction)
    assert Operator(found).equiv(Operator(bare), atol=1e-12)
