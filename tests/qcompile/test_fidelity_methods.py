"""The four methods of fidelity: kernels against their plain twins, exact against Aer, each against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from qcompile import CompiledCircuit, Device, InputError, compile, estimate, load_device
from qcompile.fidelity import METHODS, cluster, exact, marginals, plain, product, recovery
from qcompile.fidelity.program import NoisyProgram, noisy_program
from qcompile.fidelity.tiers import affordable, state_fidelity
from qcompile.native import native_steps
from tests.aer_reference import density_matrix, exact_state_fidelity
from tests.circuits import bound, esu2, qaoa, qoc, u3cu3
from tests.qcompile.strategies import circuits, devices


def program_of(circuit: QuantumCircuit, device: Device, virtual_at: list[int] | None = None) -> NoisyProgram:
    """Program of a circuit on physical qubits; its own virtual qubits if it has a layout."""
    if virtual_at is None:
        virtual_at = list(circuit.layout.final_index_layout(filter_ancillas=True))
    parameters = tuple(circuit.parameters)
    table = np.random.default_rng(0).uniform(0, 2 * np.pi, (2 if parameters else 1, len(parameters)))
    return noisy_program(native_steps(circuit, device, parameters, table), device, virtual_at)


def mapped(chip: str, number: int) -> CompiledCircuit:
    rng = np.random.default_rng(number)
    circuit = (bound(qoc(4, 2), 1), bound(u3cu3(3, 2), 2), bound(esu2(5, 2, rng), 3), bound(qaoa(4, 3, rng), 4))[number]
    return compile(circuit, load_device(chip), effort="fast")


CASES = [("ibm_manila", 0), ("ibm_guadalupe", 2), ("ibm_torino", 1), ("ibm_brisbane", 3)]


@pytest.mark.parametrize(("chip", "number"), CASES)
def test_kernels_equal_their_plain_twins(chip: str, number: int) -> None:
    compiled = mapped(chip, number)
    program = program_of(compiled.circuit, compiled.device)
    np.testing.assert_allclose(product.log_survival(program), plain.product_log_survival(program), atol=1e-13)
    logs, state = marginals.log_survival(program, 0)
    plain_logs, plain_state = plain.marginals_log_survival(program, 0)
    np.testing.assert_allclose(logs, plain_logs, atol=1e-12)
    assert abs(np.vdot(state, plain_state)) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(exact.noisy_state(program, 0), plain.noisy_state(program, 0), atol=1e-12)
    (lost, whole), (plain_lost, plain_whole) = (m.path_losses(program, 0, 40) for m in (recovery, plain))
    np.testing.assert_allclose(lost, plain_lost, atol=1e-12)
    assert whole == pytest.approx(plain_whole, abs=1e-12)


@given(devices(), st.data())
@settings(max_examples=25, deadline=None)
def test_kernels_equal_their_plain_twins_on_any_circuit_and_chip(device: Device, data: st.DataObject) -> None:
    circuit = data.draw(circuits(min(3, len(device.components[0]))))
    compiled = compile(circuit, device, effort="fast")
    program = program_of(compiled.circuit, device)
    np.testing.assert_allclose(product.log_survival(program), plain.product_log_survival(program), atol=1e-10)
    if program.is_unitary and program.num_qubits <= 5:
        for draw in range(program.draws):
            np.testing.assert_allclose(
                marginals.log_survival(program, draw)[0], plain.marginals_log_survival(program, draw)[0], atol=1e-10
            )
        np.testing.assert_allclose(exact.noisy_state(program, 0), plain.noisy_state(program, 0), atol=1e-10)


def test_measurement_and_reset_before_the_end_are_carried_by_the_methods_that_can() -> None:
    device = load_device("ibm_guadalupe")
    circuit = QuantumCircuit(3, 1)
    circuit.compose(u3cu3(3, 1), inplace=True)
    circuit.measure(0, 0)
    circuit.reset(0)
    circuit.cx(0, 1)
    compiled = compile(circuit, device)
    program = program_of(compiled.circuit, device)
    np.testing.assert_allclose(product.log_survival(program), plain.product_log_survival(program), atol=1e-12)
    np.testing.assert_allclose(exact.noisy_state(program, 1), plain.noisy_state(program, 1), atol=1e-12)
    found = estimate(compiled.circuit, device)
    assert found.method == "cluster"
    assert found.hellinger_fidelity is None
    assert "before its end" in found.hellinger_note
    for method in ("marginals", "exact"):
        with pytest.raises(InputError, match="Use 'cluster'"):
            estimate(compiled.circuit, device, method=method)


def test_circuit_that_measures_and_goes_on_is_compiled_and_judged() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.cx(0, 1)
    circuit.measure(1, 1)
    found = compile(circuit, load_device("ibm_fez")).estimate
    assert found.method == "cluster"
    assert 0.9 < found.state_fidelity < 1
    assert found.hellinger_fidelity is None


@pytest.mark.parametrize(("chip", "number"), CASES)
def test_exact_method_is_aers_density_matrix(chip: str, number: int) -> None:
    compiled = mapped(chip, number)
    found = estimate(compiled.circuit, compiled.device, method="exact")
    assert found.state_fidelity == pytest.approx(exact_state_fidelity(compiled), abs=1e-8)
    program = program_of(compiled.circuit, compiled.device)
    noisy = exact.noisy_state(program, 0)
    rho = density_matrix(compiled)
    place = {p: i for i, p in enumerate(compiled.active_qubits)}
    wires = [place[p] for p in compiled.final_layout.physical]
    n = len(place)
    diagonal = np.real(np.diag(rho)).reshape([2] * n)
    axes = [n - 1 - w for w in reversed(wires)]
    expected = np.moveaxis(diagonal, axes, range(len(axes))).reshape(2 ** len(axes), -1).sum(axis=1)
    ours = exact.probabilities(noisy, program.virtual_at, program.num_qubits)
    np.testing.assert_allclose(ours, expected, atol=1e-8)


def test_cheaper_methods_come_close_and_say_how_close() -> None:
    for chip, number in CASES:
        compiled = mapped(chip, number)
        truth = estimate(compiled.circuit, compiled.device, method="exact")
        assert truth.uncertainty == 0
        for method, limit in (("product", 0.1), ("cluster", 0.02), ("marginals", 0.008)):
            found = estimate(compiled.circuit, compiled.device, method=method)
            assert found.method == method
            assert abs(found.state_fidelity - truth.state_fidelity) < limit
            assert 0 < found.uncertainty < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_cluster_is_exact_for_two_qubits(seed: int) -> None:
    compiled = compile(bound(u3cu3(2, 4), seed), load_device("ibm_lagos"), effort="fast")
    program = program_of(compiled.circuit, compiled.device)
    np.testing.assert_allclose(cluster.log_survival(program)[0], marginals.log_survival(program, 0)[0], atol=1e-12)


def test_cluster_sees_what_two_gates_build_up_and_take_down() -> None:
    """An RZZ is CX RZ CX: the second CX meets a correlated pair, which single-qubit marginals lose."""
    compiled = compile(bound(qoc(5, 3), 5), load_device("ibm_guadalupe"), effort="fast")
    program = program_of(compiled.circuit, compiled.device)
    truth = marginals.log_survival(program, 0)[0].sum()
    assert abs(cluster.log_survival(program).sum() - truth) < 0.3 * abs(product.log_survival(program).sum() - truth)


def test_cluster_keeps_few_pairs_of_wide_circuits_and_stays_finite() -> None:
    device = load_device("ibm_brisbane")
    compiled = compile(bound(esu2(40, 2, np.random.default_rng(0)), 0), device, effort="fast")
    found = estimate(compiled.circuit, device)
    assert found.method == "cluster"
    assert 0 < found.state_fidelity < 1
    assert found.hellinger_fidelity is None
    assert found.hellinger_note


def test_errors_that_cancel_come_back() -> None:
    """GHZ under dephasing alone: an even number of phase flips is no error, F = (1 + prod(1 - 2 p)) / 2."""
    n, waits, t2 = 5, 2e-5, 1e-4
    device = Device.from_coupling(
        [(q, q + 1) for q in range(n - 1)], two_qubit_error=0, one_qubit_error=0, readout_error=0, t1=1e6, t2=t2,
        two_qubit_duration=1e-12, one_qubit_duration=1e-12,
    )  # fmt: skip
    circuit = QuantumCircuit(n)
    circuit.rz(np.pi / 2, 0)
    circuit.sx(0)
    circuit.rz(np.pi / 2, 0)
    for q in range(n - 1):
        circuit.cx(q, q + 1)
    for q in range(n):
        circuit.delay(waits, q, unit="s")
    expected = (1 + math.exp(-n * waits / t2)) / 2
    truth = estimate(circuit, device, method="exact").state_fidelity
    assert truth == pytest.approx(expected, abs=1e-4)
    program = program_of(circuit, device, list(range(n)))
    assert math.exp(marginals.log_survival(program, 0)[0].sum()) < expected - 0.05  # the plain product
    assert estimate(circuit, device, method="marginals").state_fidelity == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("method", ["cluster", "marginals"])
@pytest.mark.parametrize("waits_in_ground_state", [True, False])
def test_no_more_comes_back_than_was_lost(method: str, waits_in_ground_state: bool) -> None:
    """Waiting in |0> harms nothing; paths, which see no |0>, once lost and regained so much of it that F was 1."""
    device = Device.from_coupling([(0, 1)], one_qubit_error=0.05, two_qubit_error=0, t1=2e-6, t2=2e-6)
    circuit = QuantumCircuit(2)
    for _ in range(4):
        circuit.cx(0, 1)
        circuit.delay(3e-6, 0, unit="s")
        if not waits_in_ground_state:
            circuit.sx(0)
    circuit.sx(0)
    truth = estimate(circuit, device, method="exact").state_fidelity
    found = estimate(circuit, device, method=method).state_fidelity
    if waits_in_ground_state:
        assert truth == pytest.approx(0.95, abs=1e-3)
        assert found == pytest.approx(truth, abs=2e-3)
    else:
        assert found < 1


def test_paths_are_a_function_of_their_counters() -> None:
    compiled = mapped("ibm_manila", 0)
    program = program_of(compiled.circuit, compiled.device)
    first, again = (recovery.path_losses(program, 0, 200)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(recovery.path_losses(program, 0, 50)[0], first[:50])
    numbers = [recovery.uniform(0, e, k) for e in range(50) for k in range(50)]
    assert 0.47 < np.mean(numbers) < 0.53
    assert 0.075 < np.var(numbers) < 0.092


def test_method_is_chosen_by_size_and_can_be_forced() -> None:
    device = load_device("ibm_brisbane")
    assert estimate(mapped("ibm_manila", 0).circuit, load_device("ibm_manila")).method == "exact"
    wide = compile(bound(esu2(14, 1, np.random.default_rng(0)), 0), device, effort="fast")
    assert wide.estimate.method == "marginals"
    with pytest.raises(InputError, match=r"method 'exact' keeps a state of \d+ active qubits, 12 at most"):
        estimate(wide.circuit, device, method="exact")
    with pytest.raises(InputError, match="Expected one of product, cluster, marginals, exact"):
        estimate(wide.circuit, device, method="magic")
    program = program_of(wide.circuit, device)
    assert affordable(program) == "marginals"
    for method in METHODS[:3]:
        assert 0 <= state_fidelity(program, method).fidelity[0] <= 1


def test_spare_qubits_are_traced_out() -> None:
    """What a SWAP leaves on a spare qubit does not count: only the virtual ones are judged."""
    device = load_device("ibm_manila")
    circuit = QuantumCircuit(5)
    circuit.sx(0)
    circuit.cx(0, 1)
    for _ in range(3):
        circuit.cx(1, 2)
    circuit.x(4)
    for virtual in ([0, 1, 2], [2, 0, 1]):
        program = program_of(circuit, device, virtual)
        assert 4 not in program.physical
        n = program.num_qubits
        noisy, psi = exact.noisy_state(program, 0), marginals.log_survival(program, 0)[1]
        assert exact.overlap(noisy, psi, program.virtual_at, n) < 1
    assert (
        exact.overlap(exact.noisy_state(program, 0), marginals.log_survival(program, 0)[1], [0], program.num_qubits) > 0
    )


def test_circuit_without_operations_is_perfect() -> None:
    device = load_device("ibm_manila")
    for method in (None, *METHODS):
        found = estimate(QuantumCircuit(5), device, method=method)
        assert found.state_fidelity == 1
        assert found.losses == ()
