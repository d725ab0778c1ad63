"""Exact loss and gradient in one call: against Qiskit, spelled-out differences and the plain twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qtrain.errors import ConfigError, ModelError
from qtrain.executors.exact import ExactSimulator
from qtrain.simulators import batches, plain, pullback, statevector
from tests.gradient_circuits import everything, qoc, sel
from tests.qtrain.test_simulators import random_program_circuit

PI = np.pi
CIRCUITS = {"qoc": qoc, "sel": lambda: sel(4, 3), "everything": lambda: everything(4), "two qubits": lambda: sel(2, 2)}


def prepared(built, observables=None, precision="double"):
    circuit, features, weights = built
    n = circuit.num_qubits
    z = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], n) for q in range(n)]
    executor = ExactSimulator(precision=precision)
    return executor, executor.prepare(circuit, observables or z, features=features, weights=weights)


def point(program, batch, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, PI, (batch, program.num_features)), rng.uniform(-PI, PI, program.num_weights)


def squares(values):
    return float((values**2).sum() / len(values)), 2 * values / len(values)


def by_plain_shifts(program, angles, cotangent):
    """[batch, slot] derivatives by the parameter shift of the plain twin."""
    out = np.empty(angles.shape)
    for slot in range(program.num_slots):
        both = []
        for sign in (1, -1):
            moved = angles.copy()
            moved[:, slot] += sign * PI / 2
            both.append(program.measurement.combine(plain.string_expectations(program, moved)))
        out[:, slot] = ((both[0] - both[1]) / 2 * cotangent).sum(axis=1)
    return out


@pytest.mark.parametrize("batch", [1, 3, 50])  # 50: segments become unitaries
@pytest.mark.parametrize("name", CIRCUITS)
def test_loss_and_gradient_equal_the_plain_twin(name, batch):
    executor, program = prepared(CIRCUITS[name]())
    features, weights = point(program, batch)
    loss, gradient, values = executor.value_and_gradient(program, features, weights, squares)
    rows = min(batch, 3)
    angles = program.angles(features, weights)
    expected = program.measurement.combine(plain.string_expectations(program, angles[:rows]))
    np.testing.assert_allclose(values[:rows], expected, atol=1e-13)
    assert loss == squares(values)[0]
    if batch <= 3:
        slots = by_plain_shifts(program, angles, squares(values)[1])
    else:
        slots = statevector.adjoint(program, angles, squares(values)[1])
    np.testing.assert_allclose(gradient, slots.sum(axis=0) @ program.A, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 4), batch=st.sampled_from([1, 2, 40]))
def test_random_circuits_and_observables(seed, n, batch):
    circuit, x, w, observables = random_program_circuit(seed, n)
    circuit.ry(x[0], 0)  # data behind weights
    circuit.rx(w[1] + 0.5 * x[1], n - 1)
    executor, program = prepared((circuit, x, w), observables)
    features, weights = point(program, batch, seed)
    _, gradient, values = executor.value_and_gradient(program, features, weights, squares)
    angles = program.angles(features, weights)
    np.testing.assert_allclose(values, executor.expectations(program, angles, key=(0, 0, 0)), atol=1e-13)
    slots = by_plain_shifts(program, angles[:2], squares(values)[1][:2])
    adjoint = statevector.adjoint(program, angles, squares(values)[1])
    np.testing.assert_allclose(adjoint[:2], slots, atol=1e-12)
    np.testing.assert_allclose(gradient, adjoint.sum(axis=0) @ program.A, atol=1e-12)


@pytest.mark.parametrize("segment_pays", [True, False])
def test_unitaries_of_segments_and_passes_over_rows_agree(segment_pays, monkeypatch):
    monkeypatch.setattr(pullback, "_PASSES_OVER_PRODUCTS", 1e-9 if segment_pays else np.inf)
    _, program = prepared(everything(3))
    features, weights = point(program, 20)
    back = pullback.WeightPullback(program, *program.angle_map.apart(features, weights))
    assert back.multiplies == segment_pays
    found = back.gradient(squares(back.strings)[1])
    angles = program.angles(features, weights)
    slots = statevector.adjoint(program, angles, squares(back.strings)[1]).sum(axis=0)
    np.testing.assert_allclose(found @ program.A, slots @ program.A, atol=1e-12)


@pytest.mark.parametrize("n", [5, 9])
@pytest.mark.parametrize("name", ["sel", "everything"])
def test_wider_circuits_on_both_sides_of_the_sweeps(name, n):
    executor, program = prepared(sel(n, 2) if name == "sel" else everything(n))
    features, weights = point(program, 2)
    _, gradient, values = executor.value_and_gradient(program, features, weights, squares)
    for k in range(0, program.num_weights, 5):
        moved = [weights + s * 1e-5 * (np.arange(len(weights)) == k) for s in (1, -1)]
        up, down = (executor.value_and_gradient(program, features, m, squares)[0] for m in moved)
        assert gradient[k] == pytest.approx((up - down) / 2e-5, abs=1e-8)
    assert values.shape == (2, n)


def test_the_jacobian_holds_every_adjoint():
    executor, program = prepared(everything(3), [SparsePauliOp(["ZZI", "XYZ"], [0.5, 2.0]), SparsePauliOp("IIX")])
    angles = program.angles(*point(program, 4))
    jacobian = executor.jacobian(program, angles)
    assert jacobian.shape == (4, 2, program.num_slots)
    for number in range(2):
        cotangent = np.zeros((4, 2))
        cotangent[:, number] = 1
        np.testing.assert_allclose(jacobian[:, number], executor.adjoint(program, angles, cotangent), atol=1e-13)
        np.testing.assert_allclose(jacobian[:, number], by_plain_shifts(program, angles, cotangent), atol=1e-12)


@pytest.mark.parametrize("batch", [3, 60])
def test_single_precision_is_close(batch):
    double, program = prepared(everything(4))
    single, _ = prepared(everything(4), precision="single")
    features, weights = point(program, batch)
    exact, near = (e.value_and_gradient(program, features, weights, squares) for e in (double, single))
    for one, other in zip(exact, near):
        assert 0 < np.abs(np.asarray(one) - np.asarray(other)).max() < 2e-5
    angles = program.angles(features, weights)
    assert 0 < np.abs(single.jacobian(program, angles) - double.jacobian(program, angles)).max() < 2e-5
    assert near[2].dtype == np.float64


def test_results_depend_neither_on_threads_nor_much_on_memory(monkeypatch):
    executor, program = prepared(qoc())
    features, weights = point(program, 600)
    monkeypatch.setattr(batches, "CACHE_BYTES", 16 * 1024)
    monkeypatch.setattr(batches, "THREADING_PAYS", 0.0)
    found = {}
    for threads in (1, 2):
        monkeypatch.setattr(batches, "_threads", lambda threads=threads: threads)
        found[threads] = executor.value_and_gradient(program, features, weights, squares)
    for one, two in zip(found[1], found[2]):
        assert np.array_equal(one, two)
    monkeypatch.setattr(pullback, "KEPT_BYTES", 0)  # states are made again
    again = executor.value_and_gradient(program, features, weights, squares)
    for one, two in zip(found[1], again):
        np.testing.assert_allclose(one, two, atol=1e-14)


def test_no_weights_no_features_and_an_identity_observable():
    executor = ExactSimulator()
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    program = executor.prepare(circuit, [SparsePauliOp("II", 0.5), SparsePauliOp("XX")])
    loss, gradient, values = executor.value_and_gradient(program, np.zeros((2, 0)), np.zeros(0), squares)
    assert gradient.shape == (0,)
    np.testing.assert_allclose(values, [[0.5, 1.0]] * 2, atol=1e-15)
    assert loss == pytest.approx(1.25)
    assert executor.ledger.circuits == 2


def test_a_call_bills_its_expectations():
    executor, program = prepared(qoc())
    executor.value_and_gradient(program, *point(program, 5), squares)
    assert executor.ledger.circuits == 5


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda z: 1.0, r"returned a float. Expected \(loss, its derivative"),
        (lambda z: (np.nan, z), "nan as its value"),
        (lambda z: (z, z), "as its value"),
        (lambda z: (1j, z), "as its value"),
        (lambda z: (1.0, z[0]), r"cotangent has shape \(4,\)"),
        (lambda z: (1.0, z * np.nan), "NaN or infinity"),
    ],
)
def test_a_loss_that_returns_anything_else_is_refused(loss, words):
    executor, program = prepared(qoc())
    with pytest.raises(ConfigError, match=words):
        executor.value_and_gradient(program, *point(program, 3), loss)


def test_shots_shapes_and_precisions_are_refused():
    executor, program = prepared(qoc())
    features, weights = point(program, 3)
    with pytest.raises(ConfigError, match="takes 10 shots"):
        ExactSimulator(shots=10).value_and_gradient(program, features, weights, squares)
    with pytest.raises(ConfigError, match="takes 10 shots"):
        ExactSimulator(shots=10).jacobian(program, program.angles(features, weights))
    with pytest.raises(ConfigError, match=r"Expected \(batch, 16\)"):
        executor.value_and_gradient(program, features[0], weights, squares)
    features[1, 2] = np.nan
    with pytest.raises(ConfigError, match=r"features\[1, 2\] = nan"):
        executor.value_and_gradient(program, features, weights, squares)
    with pytest.raises(ConfigError, match="precision = 'half'"):
        ExactSimulator(precision="half")


def test_a_state_too_wide_is_refused_with_its_size():
    x = ParameterVector("x", 1)
    circuit = QuantumCircuit(40)
    circuit.rx(x[0], 0)
    executor, program = prepared((circuit, [], list(x)), [SparsePauliOp.from_sparse_list([("Z", [0], 1.0)], 40)])
    with pytest.raises(ModelError, match="40 qubits"):
        executor.value_and_gradient(program, np.zeros((1, 0)), np.zeros(1), squares)
