"""What compile promises: executable, equivalent, no dead gate, symbolic, deterministic, never worse for more effort."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator

import qcompile
from qcompile import Device, UnroutableError, assert_equivalent, assert_executable, compile, list_devices, load_device
from tests.aer_reference import exact_state_fidelity
from tests.circuits import bound, esu2, qaoa, qoc, u3cu3
from tests.qcompile.strategies import circuits, devices


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(circuit=circuits(), device=devices(), seed=st.integers(0, 3))
def test_any_circuit_on_any_chip_is_executable_and_equivalent(
    circuit: QuantumCircuit, device: Device, seed: int
) -> None:
    largest = len(device.components[0]) if device.components else 0
    if circuit.num_qubits > largest:
        with pytest.raises(UnroutableError, match=f"has {circuit.num_qubits} qubits"):
            compile(circuit, device, seed=seed, effort="fast")
        return
    compiled = compile(circuit, device, seed=seed, effort="fast")
    assert_executable(compiled.circuit, device)
    assert_equivalent(circuit, compiled)
    assert 0 <= compiled.estimate.state_fidelity <= 1
    assert set(compiled.active_qubits) <= device.components[0]
    assert {p.name for p in compiled.circuit.parameters} <= {p.name for p in circuit.parameters}


def _dead_gates_used(circuit: QuantumCircuit, device: Device) -> list[object]:
    used = []
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(q).index for q in instruction.qubits)
        gate = device.gates.get((instruction.operation.name, qubits))
        unusable = any(not device.qubits[q].usable for q in qubits)
        if instruction.operation.name != "barrier" and (unusable or (gate is not None and gate.error == 1)):
            used.append((instruction.operation.name, qubits))
    return used


@pytest.mark.parametrize("name", sorted({d.name for d in list_devices()} - {"ibm_kyoto"}))
def test_no_dead_gate_is_ever_used(name: str) -> None:
    device = load_device(name)
    rng = np.random.default_rng(1)
    width = len(device.components[0])
    for circuit in (u3cu3(min(5, width), 1), esu2(min(12, width), 1, rng), qoc(min(7, width), 1)):
        compiled = compile(circuit, device, effort="fast")
        assert _dead_gates_used(compiled.circuit, device) == []
        assert_executable(compiled.circuit, device)


@pytest.mark.parametrize("name", ["ibm_manhattan", "ibm_sherbrooke", "ibm_torino"])
def test_a_circuit_as_wide_as_the_live_region_uses_no_dead_gate(name: str) -> None:
    device = load_device(name)
    width = len(device.components[0])
    circuit = QuantumCircuit(width)
    circuit.h(0)
    for q in range(width - 1):
        circuit.cx(q, q + 1)
    compiled = compile(circuit, device, effort="fast")
    assert _dead_gates_used(compiled.circuit, device) == []


def test_kyoto_still_takes_a_single_qubit() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    assert_equivalent(circuit, compile(circuit, load_device("ibm_kyoto")))


def test_cairo_with_two_one_way_gates_compiles_where_qiskit_raises() -> None:
    device = load_device("ibm_cairo")
    compiled = compile(u3cu3(6, 1), device)
    assert_executable(compiled.circuit, device)
    assert_equivalent(u3cu3(6, 1), compiled)


def test_parameters_stay_symbolic_and_bind_to_the_bound_circuit() -> None:
    circuit = u3cu3(3, 1)
    compiled = compile(circuit, load_device("ibm_manila"))
    assert [p.name for p in compiled.circuit.parameters] == [p.name for p in circuit.parameters]
    values = np.random.default_rng(3).uniform(-np.pi, np.pi, circuit.num_parameters)
    expected = Operator(circuit.assign_parameters(values))
    found = Operator.from_circuit(compiled.circuit.assign_parameters(values), ignore_set_layout=False)
    reduced = QuantumCircuit(compiled.circuit.num_qubits)
    reduced.append(expected.to_instruction(), range(3))
    assert found.equiv(Operator(reduced))


def test_layouts_match_what_qiskit_reads() -> None:
    compiled = compile(bound(qoc(4, 1), 0), load_device("ibm_jakarta"))
    layout = compiled.circuit.layout
    assert tuple(layout.initial_index_layout(filter_ancillas=True)) == compiled.initial_layout.physical
    assert tuple(layout.final_index_layout(filter_ancillas=True)) == compiled.final_layout.physical


def test_compact_is_the_same_circuit_on_the_active_qubits() -> None:
    circuit = bound(u3cu3(4, 1), 5)
    compiled = compile(circuit, load_device("ibm_guadalupe"))
    small = compiled.compact()
    assert small.num_qubits == len(compiled.active_qubits)
    assert small.count_ops() == compiled.circuit.count_ops()
    assert small.clbits == compiled.circuit.clbits


def test_equal_seeds_give_equal_circuits_and_the_input_is_untouched() -> None:
    circuit = u3cu3(5, 1)
    before = circuit.copy()
    device = load_device("ibm_guadalupe")
    first, second = compile(circuit, device, seed=7), compile(circuit, device, seed=7)
    assert first.circuit == second.circuit
    assert first.initial_layout == second.initial_layout
    assert first.estimate == second.estimate
    assert circuit == before


@pytest.mark.parametrize("name", ["ibm_jakarta", "ibm_sherbrooke"])
def test_more_effort_is_never_worse_and_trivial_is_beaten(name: str) -> None:
    device = load_device(name)
    circuit = bound(qaoa(5, 2, np.random.default_rng(4)), 4)
    found = [compile(circuit, device, effort=effort).estimate for effort in ("fast", "normal", "best")]
    merits = [e.state_fidelity for e in found]
    assert merits[0] <= merits[1] * 1.01
    assert merits[1] <= merits[2] * 1.01
    trivial = transpile(
        circuit, target=device.target(), optimization_level=1, seed_transpiler=0,
        initial_layout=sorted(device.components[0])[:5],
    )  # fmt: skip
    assert merits[0] >= qcompile.estimate(trivial, device).state_fidelity


def test_candidates_are_picked_by_fidelity_not_by_swap_count() -> None:
    """Two places for a pair: a noisy coupler, or a good one: the good one is taken though both need no SWAP."""
    device = Device.from_coupling([(0, 1), (1, 2), (2, 3)])
    gates = dict(device.gates)
    for pair in ((0, 1), (1, 0), (1, 2), (2, 1)):
        gates["cx", pair] = qcompile.Gate(0.2, 3e-7)
    noisy = Device(
        device.name, device.vendor, device.calibrated_at, device.qubits, gates, device.native_gates, device.timing
    )
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    assert set(compile(circuit, noisy).active_qubits) == {2, 3}


def test_idle_decay_moves_a_circuit_off_short_lived_qubits() -> None:
    """Equal gate errors everywhere: only T1 and T2 tell the places apart, which the plain product does not see."""
    device = Device.from_coupling([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)], t1=2e-4, t2=2e-4)
    qubits = [qcompile.Qubit(q.label, 5e-6, 5e-6, q.readout) if i < 3 else q for i, q in enumerate(device.qubits)]
    lossy = Device(
        device.name,
        device.vendor,
        device.calibrated_at,
        tuple(qubits),
        device.gates,
        device.native_gates,
        device.timing,
    )
    circuit = bound(esu2(3, 2, np.random.default_rng(0)), 0)
    assert set(compile(circuit, lossy).active_qubits) == {3, 4, 5}


def test_swaps_cost_one_cx_beside_a_symbolic_block() -> None:
    """RZZ on a triangle of a line: 3 blocks and one SWAP, 2 + 2 + 2 + 1 CX instead of 9; or no SWAP and fewer CX."""
    t = ParameterVector("t", 3)
    circuit = QuantumCircuit(3)
    for k, (a, b) in enumerate([(0, 1), (1, 2), (0, 2)]):
        circuit.rzz(t[k], a, b)
    compiled = compile(circuit, Device.from_coupling([(0, 1), (1, 2)]))
    assert compiled.estimate.swaps <= 1
    assert compiled.estimate.two_qubit_gates <= 7
    assert_equivalent(circuit, compiled)


def test_symbolic_rotations_merge_into_few_pulses() -> None:
    t = ParameterVector("t", 4)
    circuit = QuantumCircuit(1)
    circuit.rz(t[0], 0)
    circuit.rz(t[1], 0)
    circuit.ry(t[2], 0)
    circuit.rx(t[3], 0)
    compiled = compile(circuit, load_device("ibm_manila"))
    assert compiled.circuit.count_ops()["sx"] == 3
    assert_equivalent(circuit, compiled)


@pytest.mark.parametrize("name", ["ibm_manila", "ibm_torino"])
def test_estimate_is_near_the_exact_noisy_simulation(name: str) -> None:
    device = load_device(name)
    errors = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        circuit = bound([u3cu3(3, 1), qoc(4, 1), esu2(4, 2, rng), qaoa(4, 2, rng)][seed], seed)
        compiled = compile(circuit, device)
        errors.append(abs(compiled.estimate.state_fidelity - exact_state_fidelity(compiled)))
    assert np.mean(errors) < 0.03


def test_live_graph_of_every_stored_device_is_what_its_gates_say() -> None:
    for stored in list_devices():
        device = load_device(stored.path)
        expected: nx.Graph[int] = nx.Graph()
        for (name, pair), gate in device.gates.items():
            alive = gate.usable and gate.error is not None and gate.error < 1
            if name in device.native_gates.two_qubit and alive and all(device.qubits[q].usable for q in pair):
                expected.add_edge(*pair)
        assert set(map(frozenset, device.graph.edges)) == set(map(frozenset, expected.edges))


def test_both_directions_of_a_coupler_are_used_as_they_come() -> None:
    """Turning a CX round would cost four pulses; where both ways are calibrated alike none is needed."""
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    circuit.cx(1, 0)
    compiled = compile(circuit, Device.from_coupling([(0, 1)]))
    assert compiled.circuit.count_ops() == {"cx": 2}


def test_a_much_worse_direction_is_not_used() -> None:
    device = Device.from_coupling([(0, 1)])
    gates = dict(device.gates)
    gates["cx", (0, 1)] = qcompile.Gate(0.1, 3e-7)
    lopsided = Device(
        device.name, device.vendor, device.calibrated_at, device.qubits, gates, device.native_gates, device.timing
    )
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    compiled = compile(circuit, lopsided)
    used = [i for i in compiled.circuit.data if i.operation.name == "cx"]
    assert [tuple(compiled.circuit.find_bit(q).index for q in i.qubits) for i in used] == [(1, 0)]
    assert_equivalent(circuit, compiled)
