"""RZZ gates: rotations by a number are one gate where the chip calibrates it; symbols never are."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator, random_unitary
from qiskit.synthesis import TwoQubitWeylDecomposition

from qcompile import assert_equivalent, assert_executable, compile, load_device
from qcompile.block_kernels import rotations
from qcompile.blocks import read_blocks
from qcompile.synthesis import rotating_gate, rotating_share
from qcompile.units import RZZ, Templates
from tests.circuits import bound, qoc


def _turned(angle: float, seed: int) -> np.ndarray:
    """A rotation about ZZ between random one-qubit gates."""
    circuit = QuantumCircuit(2)
    circuit.rzz(angle, 0, 1)
    local = [np.kron(random_unitary(2, seed=2 * seed + k).data, random_unitary(2, seed=50 + k).data) for k in (0, 1)]
    return np.exp(1j * seed) * local[0] @ Operator(circuit).data @ local[1]


def test_rotations_are_told_from_other_unitaries() -> None:
    others = [random_unitary(4, seed=s).data for s in range(5)]
    for a, b in ((0.3, 0.2), (1.0, 0.1)):
        circuit = QuantumCircuit(2)
        circuit.rxx(a, 0, 1)
        circuit.ryy(b, 0, 1)
        others.append(Operator(circuit).data)
    turned = [_turned(angle, seed) for seed, angle in enumerate((0.3, -0.3, 1.4, 2.9, -2.0, np.pi / 2, 4.0))]
    assert not rotations(np.array(others)).any()
    assert rotations(np.array(turned)).all()
    assert all(abs(TwoQubitWeylDecomposition(u).b) < 1e-7 for u in turned)


@pytest.mark.parametrize("angle", [0.3, -0.3, 1.5, 2.9, -2.0, 3.5, 6.0])
def test_a_rotation_is_one_rzz_within_its_range(angle: float) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.rz(angle, 1)
    circuit.cx(0, 1)
    templates = Templates(read_blocks(circuit, {}))
    found = templates.rotation((0,))
    assert found is not None
    assert 0 <= found.angle <= np.pi / 2 + 1e-12
    written = QuantumCircuit(2)
    for code in found.codes:
        if code == RZZ:
            written.rzz(found.angle, 0, 1)
        else:
            part = templates.parts[code // 2]
            written.unitary(np.array(part).reshape(2, 2), [code % 2])
    for part in (1, 0):  # the chain in front travels with the block
        opened = templates.circuit.openings.get((part, 0), ())
        for number in reversed(opened):
            written.data.insert(0, _one(templates.parts[number], part, written))
    assert Operator(written).equiv(Operator(circuit), atol=1e-9)


def _one(part: object, side: int, circuit: QuantumCircuit) -> object:
    other = QuantumCircuit(circuit.num_qubits)
    other.unitary(np.array(part).reshape(2, 2), [side])
    return other.data[0].replace(qubits=[circuit.qubits[side]])


@pytest.mark.parametrize("name", ["ibm_fez", "ibm_kingston"])
def test_numbers_become_rzz_and_symbols_do_not(name: str) -> None:
    device = load_device(name)
    circuit = qoc(6, 2)
    numbers = compile(bound(circuit, 3), device, effort="fast")
    assert numbers.circuit.count_ops().get("rzz", 0) >= (1 if name == "ibm_fez" else 6)  # fez lacks it on a quarter
    assert_executable(numbers.circuit, device)
    assert_equivalent(bound(circuit, 3), numbers)
    symbols = compile(circuit, device, effort="fast")
    assert "rzz" not in symbols.circuit.count_ops()
    assert_equivalent(circuit, symbols)
    assert numbers.estimate.two_qubit_gates < symbols.estimate.two_qubit_gates


def test_a_mixed_circuit_keeps_its_symbols() -> None:
    device = load_device("ibm_kingston")
    t = Parameter("t")
    circuit = QuantumCircuit(3)
    circuit.rzz(0.4, 0, 1)
    circuit.rx(t, 1)
    circuit.rzz(t, 1, 2)
    circuit.rzz(-1.1, 0, 1)
    compiled = compile(circuit, device)
    assert_equivalent(circuit, compiled)
    assert compiled.circuit.count_ops()["rzz"] == 2


def test_chips_without_rzz_have_no_share() -> None:
    assert rotating_share(load_device("ibm_guadalupe")) == 0
    device = load_device("ibm_torino")  # its RZZ are listed without errors
    assert rotating_share(device) == 0
    assert rotating_gate(device, 0, 1) is None
