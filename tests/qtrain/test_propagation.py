"""PropagationSimulator: equal to the density matrix where nothing is dropped, and within its own bound where it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qtrain
from qcompile import Device, load_device
from qtrain.errors import ConfigError
from qtrain.executors.base import spelled_out_shifts
from qtrain.simulators.propagation_blocks import fuse, matrices, mean_squares, slot_terms
from qtrain.simulators.propagation_kernels import differentiate, evaluate
from qtrain.simulators.propagation_order import joint_order, plan
from qtrain.simulators.propagation_plain import propagate_plain
from qtrain.simulators.propagation_structure import build
from tests.gradient_circuits import everything, qoc, sel

KEY = (0, 0, 0)
LINE = Device.from_coupling([(q, q + 1) for q in range(9)], t1=5e-5, t2=4e-5, two_qubit_error=2e-2)


def prepared(built, observables, device=LINE, batch=2, seed=0, **options):
    circuit, features, weights = built
    model = qtrain.QuantumModel(circuit, features=features, weights=weights, observables=observables)
    executor = qtrain.PropagationSimulator(device, effort="fast", **options)
    program = executor.prepare(model.circuit, model.observables, features=model.features, weights=model.weights)
    rng = np.random.default_rng(seed)
    angles = program.angles(
        rng.uniform(-np.pi, np.pi, (batch, len(features))), rng.uniform(-np.pi, np.pi, len(weights))
    )
    return executor, program, angles, rng.normal(size=(batch, program.num_observables))


@pytest.mark.parametrize(
    ("built", "observables"),
    [
        (qoc(2), ["Z0", "Z1", "Z2", "Z3"]),
        (sel(6, 2), ["Z0", "Z3", "Z5"]),
        (everything(), ["Z0", "X1 Z2", "Y3", "Z0 Z1 Z2 Z3"]),
    ],
    ids=["qoc", "sel", "everything"],
)
@pytest.mark.parametrize("device", [LINE, load_device("ibm_manila")], ids=["line", "manila"])
def test_it_equals_the_density_matrix_where_nothing_is_dropped(built, observables, device):
    if built[0].num_qubits > device.num_qubits:
        pytest.skip("the circuit is wider than the device")
    executor, program, angles, cotangent = prepared(built, observables, device, threshold=0.0)
    reference = qtrain.NoisySimulator(device, shots=None, effort="fast")
    values = executor.expectations(program, angles, key=KEY)
    assert np.abs(values - reference.expectations(program, angles, key=KEY)).max() < 1e-10
    assert executor.truncation.bound.max() < 1e-10
    assert not executor.truncation.typical.any()
    found = executor.adjoint(program, angles, cotangent)
    assert np.abs(found - reference.adjoint(program, angles, cotangent)).max() < 1e-10


@pytest.mark.parametrize("options", [{"threshold": 0.03}, {"max_terms": 12}], ids=["threshold", "max_terms"])
def test_what_is_dropped_is_within_the_stated_bound(options):
    executor, program, angles, _ = prepared(sel(7, 3), ["Z0", "Z3", "Z2 Z5"], batch=4, **options)
    reference = qtrain.NoisySimulator(LINE, shots=None, effort="fast").expectations(program, angles, key=KEY)
    error = np.abs(executor.expectations(program, angles, key=KEY) - reference)
    truncation = executor.truncation
    assert np.all(error <= truncation.bound + 1e-12)
    assert error.max() > 1e-4, "nothing was dropped, so nothing was tested"
    assert np.all(truncation.typical > 0)
    if "max_terms" in options:
        assert truncation.terms == 12


def test_typical_truncation_holds_on_average_over_random_angles():
    circuit, features, weights = sel(6, 2)
    executor, program, _, _ = prepared((circuit, features, weights), ["Z0", "Z2", "Z4"], threshold=0.03)
    angles = np.random.default_rng(1).uniform(-np.pi, np.pi, (60, program.num_slots))
    reference = qtrain.NoisySimulator(LINE, shots=None, effort="fast")
    error = executor.expectations(program, angles, key=KEY) - reference.expectations(program, angles, key=KEY)
    assert np.all(np.sqrt((error**2).mean(axis=0)) < 1.2 * executor.truncation.typical)
    weight = np.eye(3)[np.arange(60) % 3]
    slopes = executor.adjoint(program, angles, weight) - reference.adjoint(program, angles, weight)
    assert np.sqrt((slopes**2).mean(axis=0)).max() < 1.2 * executor.truncation.typical.max()


@pytest.mark.parametrize("options", [{}, {"max_terms": 10}], ids=["whole", "truncated"])
def test_derivatives_are_those_of_the_sum_that_is_evaluated(options):
    executor, program, angles, cotangent = prepared(everything(), ["Z0", "X1 Z2"], batch=2, **options)
    found = executor.adjoint(program, angles, cotangent)
    step = 1e-5
    for slot in range(0, program.num_slots, 3):
        moved = np.zeros(program.num_slots)
        moved[slot] = step
        up, down = (executor.expectations(program, angles + s * moved, key=KEY) for s in (1, -1))
        expected = ((up - down) / (2 * step) * cotangent).sum(axis=1)
        np.testing.assert_allclose(found[:, slot], expected, atol=1e-8)
    slots, shifts = np.arange(program.num_slots), np.array([np.pi / 2, -np.pi / 2, 0.4])
    shifted = executor.shifted_expectations(program, angles, slots, shifts, key=KEY)
    spelled = spelled_out_shifts(executor, program, angles, slots, shifts, key=KEY)
    assert np.abs(shifted - spelled).max() < 1e-12
    by_shift = np.einsum("bko,bo->bk", (shifted[:, :, 0] - shifted[:, :, 1]) / 2, cotangent)
    assert np.abs(by_shift - found).max() < 1e-12


def test_a_derivative_is_right_where_the_coefficient_itself_is_zero():
    """At angles 0 an RX leaves Z as it is; the derivative runs through the Y that is not there."""
    w = ParameterVector("w", 6)
    circuit = QuantumCircuit(3)
    for q in range(3):
        circuit.rx(w[q], q)
    circuit.cz(0, 1)
    circuit.cz(1, 2)
    circuit.sx(0)
    for q in range(3):
        circuit.ry(w[3 + q], q)
    executor, program, _, _ = prepared((circuit, [], list(w)), ["Z0", "Z0 Z1", "X2"])
    angles = program.angles(np.zeros((1, 0)), np.zeros(6))
    reference = qtrain.NoisySimulator(LINE, shots=None, effort="fast")
    cotangent = np.array([[1.0, -0.5, 0.7]])
    expected = reference.adjoint(program, angles, cotangent)
    assert np.abs(expected).max() > 0.1
    assert np.abs(executor.adjoint(program, angles, cotangent) - expected).max() < 1e-6


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999), threshold=st.sampled_from([0.0, 0.02, 0.1]), string=st.sets(st.integers(0, 4), min_size=1)
)
def test_kernels_equal_the_plain_twin(seed, threshold, string):
    _, program, angles, _ = prepared(sel(5, 2), ["Z0 Z1 Z2 Z3 Z4"], seed=seed)
    circuit = program.noisy[0]
    blocks, row = fuse(circuit), angles[0]
    squares = mean_squares(blocks)
    measured = tuple(sorted(circuit.measured[i] for i in string))
    way = plan(blocks, measured, joint_order(blocks, [measured]))
    structure = build(blocks, squares, way, threshold=threshold, max_terms=1 << 20)
    value, lost = evaluate(structure, matrices(blocks, row))
    plain = propagate_plain(blocks, squares, measured, way.block.tolist(), row, threshold=threshold, max_terms=1 << 20)
    assert (value, lost) == pytest.approx(plain, abs=1e-12)
    slopes = np.zeros((len(blocks.pair), 16, 16))
    assert differentiate(structure, matrices(blocks, row), 1.0, slopes) == pytest.approx((value, lost), abs=1e-12)
    cosine, sine = slot_terms(blocks, row, slopes)
    slot = seed % len(row)
    moved = row.copy()
    moved[slot] += 0.7
    there = evaluate(structure, matrices(blocks, moved))[0]
    assert there == pytest.approx(value + cosine[slot] * (np.cos(0.7) - 1) + sine[slot] * np.sin(0.7), abs=1e-12)


def test_one_call_gives_loss_gradient_and_values():
    circuit, features, weights = sel(4, 2)
    executor, program, _, _ = prepared((circuit, features, weights), ["Z0", "Z2"])
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(3, len(features))), rng.normal(size=len(weights))

    def loss(values):
        return float((values**2).mean()), 2 * values / values.size

    found, gradient, values = executor.value_and_gradient(program, x, w, loss)
    angles = program.angles(x, w)
    np.testing.assert_array_equal(values, executor.expectations(program, angles, key=KEY))
    assert found == loss(values)[0]
    expected = executor.adjoint(program, angles, loss(values)[1]).sum(axis=0) @ program.A
    np.testing.assert_allclose(gradient, expected, atol=1e-14)


def test_a_chip_wide_circuit_is_exact_far_beyond_the_density_matrix():
    """Idle qubits far away change nothing: the middle of a long line equals the same piece on a short one."""
    values = []
    for n in (9, 40):
        device = Device.from_coupling([(q, q + 1) for q in range(n - 1)], t1=1e12, t2=1e12)
        w = ParameterVector("w", 2 * n)
        circuit = QuantumCircuit(n)
        for layer in range(2):
            for q in range(n):
                circuit.ry(w[layer * n + q], q)
            for q in range(layer % 2, n - 1, 2):
                circuit.cx(q, q + 1)
        # virtual qubits where they are, so that the two circuits meet the same gates
        executor = qtrain.PropagationSimulator(device, effort="fast", readout_error=False, threshold=0.0)
        model = qtrain.QuantumModel(circuit, weights=list(w), observables=["Z3"])
        program = executor.prepare(model.circuit, model.observables, weights=model.weights)
        numbers = np.sin(1.0 + np.tile(np.arange(n), 2) + np.repeat([0.0, 0.5], n))
        values.append(executor.expectations(program, program.angles(np.zeros((1, 0)), numbers), key=KEY)[0, 0])
        assert executor.truncation.bound.max() < 1e-12
    assert values[0] == pytest.approx(values[1], abs=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": -1e-3}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"threshold": "small"}, "threshold"),
        ({"max_terms": 0}, "max_terms"),
        ({"max_terms": 1e4}, "max_terms"),
        ({"max_terms": 1 << 40}, "max_terms"),
    ],
)
def test_limits_are_checked(options, words):
    with pytest.raises(ConfigError, match=words):
        qtrain.PropagationSimulator(LINE, **options)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch):
    from qtrain.simulators import batches, propagation

    executor, program, angles, cotangent = prepared(sel(6, 2), [f"Z{q}" for q in range(6)], batch=10)
    monkeypatch.setattr(batches, "THREADING_PAYS", 0.0)
    monkeypatch.setattr(propagation, "_TASK", 100)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(batches, "_threads", lambda threads=threads: threads)
        propagation._known.clear()
        values = executor.expectations(program, angles, key=KEY)
        found.append((values, executor.adjoint(program, angles, cotangent)))
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)


def test_structures_beyond_the_memory_limit_are_made_again(monkeypatch):
    from qtrain.simulators import propagation

    executor, program, angles, cotangent = prepared(sel(5, 2), ["Z0", "Z1", "Z4"])
    kept = executor.adjoint(program, angles, cotangent)
    monkeypatch.setattr(propagation, "MEMORY_LIMIT", 1)
    propagation._known.clear()
    np.testing.assert_array_equal(executor.adjoint(program, angles, cotangent), kept)
