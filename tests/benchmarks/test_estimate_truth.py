"""The yardsticks of estimate_accuracy.py: its truth is the tests' own reference, its peers are what they say."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit

import qcompile
from tests.aer_reference import exact_state_fidelity
from tests.benchmarks.estimate_accuracy import expectation_pass
from tests.benchmarks.estimate_circuits import KNOWN_FAMILIES, Case, known, unseen, wide_circuit
from tests.benchmarks.estimate_peers import alap_idle, asap_idle, esp, ideal_expectations, z_type
from tests.benchmarks.estimate_truth import active_qubits, confused, final_places, padded, truth
from tests.circuits import u3cu3


@pytest.mark.parametrize("case", [*known(5, seed=3)[::2], *unseen(24, seed=3)[9::7]], ids=lambda c: c.name)
def test_truth_is_the_reference_of_the_other_tests(case):
    device = qcompile.load_device(case.chip)
    layout = qcompile.Layout(tuple(case.circuit.layout.initial_index_layout(filter_ancillas=True)))
    final = qcompile.Layout(tuple(final_places(case.circuit)))
    wrapped = qcompile.CompiledCircuit(case.circuit, layout, final, None, device)
    found = truth(case.circuit, device)
    assert found.state == pytest.approx(exact_state_fidelity(wrapped), abs=1e-12)
    assert sum(found.clean) == pytest.approx(1, abs=1e-7)
    assert sum(found.noisy) == pytest.approx(1, abs=1e-7)  # Aer drops error terms below 1e-10
    assert 0 < found.hellinger <= 1
    if len(found.measured) == len(found.z_read):
        bits = np.arange(len(found.noisy))
        read = confused(np.array(found.noisy), [final.physical[v] for v in found.measured], device)
        for place, v in enumerate(found.measured):
            assert read @ (1 - 2 * (bits >> place & 1)) == pytest.approx(found.z_read[v], abs=1e-7)
            assert np.array(found.noisy) @ (1 - 2 * (bits >> place & 1)) == pytest.approx(found.damped[v], abs=1e-7)


def test_readout_is_two_sided():
    device = qcompile.load_device("ibm_manila")
    readout = [device.qubits[q].readout for q in (3, 1)]
    assert confused(np.array([0, 0, 1.0, 0]), [3, 1], device) == pytest.approx(
        [
            (1 - readout[0].p1_given_0) * readout[1].p0_given_1,
            readout[0].p1_given_0 * readout[1].p0_given_1,
            (1 - readout[0].p1_given_0) * (1 - readout[1].p0_given_1),
            readout[0].p1_given_0 * (1 - readout[1].p0_given_1),
        ]
    )


def test_circuits_are_a_function_of_the_seed_and_use_no_dead_gate():
    for make in (known, unseen):
        cases, again = make(20, seed=5), make(20, seed=5)
        assert [c.circuit for c in cases] == [c.circuit for c in again]
        assert [c.circuit for c in cases] != [c.circuit for c in make(20, seed=6)]
        for case in cases:
            assert not qcompile.estimate(case.circuit, qcompile.load_device(case.chip)).dead_gates
    assert {c.family for c in known(20)} == set(KNOWN_FAMILIES)


def test_esp_is_the_number_of_qiskit():
    for case in unseen(6, seed=7):
        device = qcompile.load_device(case.chip)
        assert np.prod(esp(case.circuit, device)) == pytest.approx(case.circuit.estimate_fidelity(device.target()))


def test_idle_times_by_hand():
    device = qcompile.Device.from_coupling([(0, 1)], two_qubit_duration=3e-7, one_qubit_duration=4e-8)
    circuit = QuantumCircuit(2, 2)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.sx(0)
    circuit.sx(0)
    circuit.barrier()
    circuit.measure([0, 1], [0, 1])
    # early: qubit 1 waits for the first sx, in |0>, and for the last two; late: for the last two alone
    assert asap_idle(circuit, device) == pytest.approx({0: 0, 1: 1.2e-7}, abs=1e-15)
    assert alap_idle(circuit, device) == pytest.approx({1: 8e-8}, abs=1e-15)


def test_wide_circuit_has_the_gates_asked_for_and_only_live_ones():
    device = qcompile.load_device("ibm_brisbane")
    circuit = wide_circuit(device, 1000, 0)
    assert sum(i.operation.name != "barrier" for i in circuit.data) == 1000
    assert all(
        device.is_live(i.operation.name, tuple(circuit.find_bit(q).index for q in i.qubits))
        for i in circuit.data
        if i.operation.name not in ("measure", "barrier")
    )


def test_padded_has_the_active_qubits_alone():
    case = known(1)[0]
    small = padded(case.circuit, qcompile.load_device(case.chip))
    assert small.num_qubits == len(active_qubits(case.circuit))
    assert not {"measure", "barrier"} & set(small.count_ops())


@pytest.mark.parametrize("measured", [0, 2, 4])
def test_expectations_are_those_of_the_truth(measured):
    device = qcompile.load_device("ibm_torino")
    circuit = u3cu3(4, 2)
    circuit = circuit.assign_parameters(np.random.default_rng(3).uniform(-np.pi, np.pi, circuit.num_parameters))
    if measured:
        circuit.add_register(ClassicalRegister(measured))
        circuit.measure(range(4 - measured, 4), range(measured))
    mapped = qcompile.compile(circuit, device, effort="fast").circuit
    exact = truth(mapped, device)
    said = expectation_pass(Case("u3cu3", "ibm_torino", "u3cu3", mapped), device, exact)
    assert len(z_type(exact)) >= len(exact.measured)
    assert said.expectations == pytest.approx([exact.damped[k] for k in z_type(exact)], abs=1e-7)
    assert said.read == pytest.approx([exact.z_read[v] for v in exact.measured], abs=1e-7)
    assert len(ideal_expectations(exact)) == len(said.expectations)
