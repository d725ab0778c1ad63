"""What each gradient method says of itself: bias, variance, circuits, and where it leads."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

import qtrain
from qcompile.calibration import load_device
from qtrain import gradients
from qtrain.errors import ConfigError
from qtrain.executors.base import BACKWARD
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.gradients.base import to_weights
from qtrain.gradients.rotosolve import degree, lowest
from tests.gradient_circuits import everything
from tests.qtrain.test_gradient_contract import KEY, point, small_program
from tests.qtrain.test_metric import metric_by_differences


def weight_gradients(method, executor, program, angles, cotangent, seeds):
    state = method.init(program)
    return np.array(
        [
            to_weights(
                program,
                method.estimate(executor, program, angles, cotangent, state, key=(seed, 0, BACKWARD))[0].values,
            )
            for seed in range(seeds)
        ]
    )


@settings(max_examples=25, deadline=None)
@given(data=st.data(), shift=st.floats(0.05, 3.1))
def test_any_shift_equals_adjoint_on_random_circuits(data, shift):
    n, gates = 3, data.draw(st.integers(1, 8))
    w = ParameterVector("w", 4)
    circuit = QuantumCircuit(n)
    for _ in range(gates):
        name = data.draw(st.sampled_from(["rx", "ry", "rz", "p", "rxx", "rzz", "crx", "cp", "h", "cx"]))
        qubits = data.draw(st.permutations(range(n)))[: 1 if len(name) <= 2 and name not in ("cp", "cx") else 2]
        factor, weight = data.draw(st.sampled_from([1, -2, 0.5])), w[data.draw(st.integers(0, 3))]
        getattr(circuit, name)(*([] if name in ("h", "cx") else [factor * weight]), *qubits)
    for q in range(n):
        circuit.ry(w[q], q)
    circuit.rx(w[3], 0)
    executor = ExactSimulator()
    program = executor.prepare(circuit, [SparsePauliOp("ZXI"), SparsePauliOp("IIY")], weights=list(w))
    angles, cotangent = point(program, batch=2, seed=data.draw(st.integers(0, 99)))
    one, default, other = (
        method.estimate(executor, program, angles, cotangent, {}, key=KEY)[0].values
        for method in (gradients.parameter_shift(shift=shift), gradients.parameter_shift(), gradients.adjoint())
    )
    np.testing.assert_allclose(default, other, atol=1e-9)
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_a_central_difference_is_too_small_by_sin_h_over_h():
    executor = ExactSimulator()
    program = small_program(executor, shared=True)
    angles, cotangent = point(program)
    for step in (0.1, 1.0, 2.5):
        method = gradients.finite_difference(step=step)
        found = method.estimate(executor, program, angles, cotangent, {}, key=KEY)[0].values
        exact = gradients.adjoint().estimate(executor, program, angles, cotangent, {}, key=KEY)[0].values
        np.testing.assert_allclose(found, exact * np.sin(step) / step, atol=1e-9)


@pytest.mark.parametrize("kind", ["exact", "noisy"])
@pytest.mark.parametrize(
    "method",
    [gradients.parameter_shift(), gradients.parameter_shift(shift=0.5), gradients.finite_difference(step=0.2)],
    ids=lambda method: method.name,
)
def test_with_shots_the_mean_is_the_derivative(method, kind):
    def made(shots):
        noisy = NoisySimulator(load_device("ibm_manila"), shots=shots, effort="fast")
        return ExactSimulator(shots) if kind == "exact" else noisy

    circuit, features, weights = everything(2)
    checked = [SparsePauliOp("ZI"), SparsePauliOp("XX")]
    executor, without = made(100), made(None)
    program = executor.prepare(circuit, checked, features=features, weights=weights)
    angles, cotangent = point(program, batch=2)
    exact = to_weights(program, method.estimate(without, program, angles, cotangent, {}, key=KEY)[0].values)
    found = weight_gradients(method, executor, program, angles, cotangent, 150)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(error > 0)
    assert np.all(np.abs(found.mean(axis=0) - exact) < 4.5 * error)


def test_spsa_is_right_on_average_and_costs_two_circuits():
    executor = ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program, batch=1)
    exact = to_weights(
        program, gradients.adjoint().estimate(executor, program, angles, cotangent, {}, key=KEY)[0].values
    )
    found = weight_gradients(gradients.spsa(c=0.05), executor, program, angles, cotangent, 2000)
    assert executor.ledger.circuits == 2 * program.num_bases * 2000
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - exact) < 4 * error + 0.01)


def test_a_mean_of_n_has_the_nth_part_of_the_variance():
    executor = ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program, batch=1)
    one, four, nested = (
        weight_gradients(method, executor, program, angles, cotangent, 700).var(axis=0)
        for method in (
            gradients.spsa(),
            gradients.average(gradients.spsa(), 4),
            gradients.average(gradients.average(gradients.spsa(), 2), 2),
        )
    )
    np.testing.assert_allclose(one / four, 4, rtol=0.35)
    np.testing.assert_allclose(one / nested, 4, rtol=0.35)


def test_a_mean_begins_with_what_the_method_alone_would_say():
    executor = ExactSimulator(20)
    program = small_program(executor)
    angles, cotangent = point(program)
    alone = gradients.parameter_shift().estimate(executor, program, angles, cotangent, {}, key=KEY)[0]
    first = gradients.average(gradients.parameter_shift(), 1)
    np.testing.assert_array_equal(
        first.estimate(executor, program, angles, cotangent, {}, key=KEY)[0].values, alone.values
    )


def test_a_mean_of_pruned_estimates_repeats_one_choice_of_weights():
    executor = ExactSimulator(20)
    program = small_program(executor)
    angles, cotangent = point(program)
    pruned = gradients.prune(gradients.parameter_shift(), ratio=0.5)
    for seed in range(5):
        state = {**pruned.init(program), "position": 1, "magnitude": np.ones(4)}
        key = (seed, 1, BACKWARD)
        alone, _ = pruned.estimate(executor, program, angles, cotangent, state, key=key)
        mean, _ = gradients.average(pruned, 3).estimate(executor, program, angles, cotangent, state, key=key)
        np.testing.assert_array_equal(mean.evaluated, alone.evaluated)
        assert np.any(mean.values != alone.values)


# --- rotosolve


@settings(max_examples=60, deadline=None)
@given(degree=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_the_lowest_point_of_a_trigonometric_polynomial_is_found(degree, seed):
    rng = np.random.default_rng(seed)
    cosines, sines = rng.normal(size=(2, degree))
    orders = np.arange(1, degree + 1)

    def curve(t):
        return np.cos(np.outer(t, orders)) @ cosines + np.sin(np.outer(t, orders)) @ sines + 3.0

    found = lowest(curve(2 * np.pi * np.arange(2 * degree + 1) / (2 * degree + 1)))
    assert -np.pi <= found <= np.pi
    assert curve(found)[0] <= curve(np.linspace(-np.pi, np.pi, 4001)).min() + 1e-12


def test_a_flat_curve_moves_nothing():
    assert lowest(np.zeros(3)) == lowest(np.full(3, 0.7)) == lowest(np.full(9, -4.0)) == 0.0


def minimum_of_one(build, observable="Z", start=0.3):
    """The weight after one step of rotosolve on a loss that is the observable itself."""
    (w,) = weights = ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    build(circuit, w)
    executor, method = ExactSimulator(), gradients.rotosolve()
    program = executor.prepare(circuit, [SparsePauliOp(observable)], weights=list(weights))
    angles = program.angles(np.zeros((1, 0)), np.array([start]))
    gradient, _ = method.estimate(executor, program, angles, np.ones((1, 1)), method.init(program), key=KEY)
    end = np.array([start]) - to_weights(program, gradient.values)
    return executor.expectations(program, program.angles(np.zeros((1, 0)), end), key=KEY)[0, 0], executor.ledger


def test_one_weight_is_at_its_minimum_after_one_step_of_three_circuits():
    value, ledger = minimum_of_one(lambda circuit, w: circuit.ry(w, 0))
    assert value == pytest.approx(-1, abs=1e-14)
    assert ledger.circuits == 3 + 1
    value, _ = minimum_of_one(lambda circuit, w: circuit.ry(-3 * w + 0.4, 0))
    assert value == pytest.approx(-1, abs=1e-14)


def test_a_weight_with_several_slopes_takes_the_circuits_of_its_degree():
    def build(circuit, w):
        circuit.ry(w, 0)
        circuit.rx(0.5 * w, 0)
        circuit.ry(-1.5 * w + 0.2, 0)

    value, ledger = minimum_of_one(build, "X")
    assert ledger.circuits == 2 * 6 + 1 + 1  # slopes 2, 1 and 3 times 1/2
    grid = np.linspace(0, 4 * np.pi, 20001)
    w = ParameterVector("w", 1)
    circuit = QuantumCircuit(1)
    build(circuit, w[0])
    executor = ExactSimulator()
    program = executor.prepare(circuit, [SparsePauliOp("X")], weights=list(w))
    angles = np.concatenate([program.angles(np.zeros((1, 0)), np.array([t])) for t in grid])
    assert value <= executor.expectations(program, angles, key=KEY).min() + 1e-12


def test_slopes_without_a_common_divisor_are_refused_with_their_weight():
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0], 0)
    circuit.rx(w[1], 0)
    circuit.ry(np.sqrt(2) * w[1], 0)
    program = ExactSimulator().prepare(circuit, [SparsePauliOp("Z")], weights=list(w))
    assert degree(program, 0) == (1.0, 1)
    with pytest.raises(ConfigError, match=r"weight 1 .*slopes \[1.0, 1.414.*parameter_shift"):
        gradients.rotosolve().init(program)


@pytest.mark.parametrize("kind", ["exact", "noisy"])
def test_an_energy_never_grows_and_ends_lower_than_gradient_descent(kind):
    """A fixed weighted sum of expectations over all rows, through the layer."""
    circuit, features, weights = everything(2)
    noisy = NoisySimulator(load_device("ibm_manila"), shots=None, effort="fast")
    model = qtrain.QuantumModel(circuit, features=features, weights=weights, observables=["Z0", "Z0 Z1"])
    rows = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (4, len(features))))
    scale = torch.tensor([1.0, -0.5], dtype=torch.float64)
    ends = {}
    for method, lr in ((gradients.rotosolve(), 1.0), (gradients.parameter_shift(), 0.02)):
        layer = qtrain.QuantumLayer(model, ExactSimulator() if kind == "exact" else noisy, method)
        optimizer = qtrain.masked(torch.optim.SGD(layer.parameters(), lr=lr), layer)
        losses = []
        for _ in range(2 * len(weights)):
            optimizer.zero_grad()
            loss = (layer(rows) * scale).sum()
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
        ends[method.is_move] = losses[-1]
        assert losses[-1] < losses[0] - 0.5
        assert np.diff(losses).max() < 1e-9
    assert ends[True] < ends[False]


def test_turns_pass_over_weights_that_do_nothing_or_are_not_wanted():
    x, w = ParameterVector("x", 1), ParameterVector("w", 4)
    circuit = QuantumCircuit(1)
    circuit.rx(x[0], 0)
    circuit.ry(w[0], 0)
    circuit.ry(w[1] - w[1] + 0.1, 0)
    circuit.rx(w[2], 0)
    circuit.ry(w[3], 0)
    executor, method = ExactSimulator(), gradients.rotosolve()
    program = executor.prepare(circuit, [SparsePauliOp("Z")], features=list(x), weights=list(w))
    angles, cotangent = point(program, batch=2)
    state, found = method.init(program), []
    for wanted in (None, None, None, None, [0, 0, 0, 1], [1, 0, 1, 0], [0, 1, 0, 0]):
        mask = None if wanted is None else np.array(wanted, dtype=bool)
        gradient, state = method.estimate(executor, program, angles, cotangent, state, key=KEY, weights=mask)
        found.append(np.flatnonzero(gradient.evaluated).tolist())
    assert found == [[0], [2], [3], [0], [3], [0], []]


# --- natural


def natural_and_plain(method, program, angles, cotangent, executor, **options):
    plain = gradients.adjoint().estimate(executor, program, angles, cotangent, {}, key=KEY, **options)[0]
    found = method.estimate(executor, program, angles, cotangent, method.init(program), key=KEY, **options)[0]
    return found, plain


def test_one_qubit_follows_the_sphere():
    """<X> of RZ(phi) RY(theta) |0> is sin theta cos phi; on the sphere of radius 1/2 its steepest ascent is known."""
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0], 0)
    circuit.rz(w[1], 0)
    executor = ExactSimulator()
    program = executor.prepare(circuit, [SparsePauliOp("X")], weights=list(w))
    theta, phi = 0.7, 2.1
    angles = program.angles(np.zeros((1, 0)), np.array([theta, phi]))
    method = gradients.natural(gradients.parameter_shift(), regularization=0.0)
    found, _ = natural_and_plain(method, program, angles, np.ones((1, 1)), executor)
    expected = [4 * np.cos(theta) * np.cos(phi), -4 * np.sin(phi) / np.sin(theta)]
    np.testing.assert_allclose(to_weights(program, found.values), expected, atol=1e-12)


@pytest.mark.parametrize("regularization", [0.0, 1e-3, 0.5])
def test_pruned_inside_or_outside_only_the_chosen_weights_are_in_the_metric(regularization):
    executor = ExactSimulator()
    program = small_program(executor, shared=True)
    angles, cotangent = point(program)
    adjoint = gradients.adjoint()
    inside = gradients.natural(gradients.prune(adjoint, ratio=0.5), regularization=regularization)
    outside = gradients.prune(gradients.natural(adjoint, regularization=regularization), ratio=0.5)
    plain = to_weights(program, adjoint.estimate(executor, program, angles, cotangent, {}, key=KEY)[0].values)
    matrix = program.A.T @ metric_by_differences(program, angles) @ program.A
    for method in (inside, outside):
        state = method.init(program)
        for step in range(3):
            found, state = method.estimate(executor, program, angles, cotangent, state, key=(0, step, BACKWARD))
            chosen = found.evaluated
            assert chosen.sum() == (4 if step == 0 else 2)
            part = matrix[np.ix_(chosen, chosen)] + regularization * np.eye(chosen.sum())
            expected = np.linalg.pinv(part, rcond=1e-8) @ plain[chosen]
            np.testing.assert_allclose(
                to_weights(program, found.values)[chosen], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
            )


def test_derivatives_of_features_are_left_as_they_are():
    executor = ExactSimulator()
    program = small_program(executor, shared=True)  # one weight enters three slots, one of them beside a feature
    angles, cotangent = point(program)
    method = gradients.natural(gradients.adjoint())
    found, plain = natural_and_plain(method, program, angles, cotangent, executor, features=True)
    np.testing.assert_array_equal(found.values[:, program.feature_slots], plain.values[:, program.feature_slots])
    alone, _ = natural_and_plain(method, program, angles, cotangent, executor)
    np.testing.assert_allclose(to_weights(program, found.values), to_weights(program, alone.values), atol=1e-9)


def test_a_weight_that_only_ever_stands_beside_a_feature_is_refused_where_both_get_gradients():
    circuit, features, weights = everything(2)
    executor = ExactSimulator()
    program = executor.prepare(circuit, [SparsePauliOp("ZI")], features=features, weights=weights)
    angles, cotangent = point(program)
    method = gradients.natural(gradients.adjoint())
    with pytest.raises(ConfigError, match="a rotation of its own"):
        method.estimate(executor, program, angles, cotangent, {}, key=KEY, features=True)


def test_natural_descent_gets_lower_in_the_same_steps_on_an_ising_chain():
    n, w = 4, ParameterVector("w", 16)
    circuit = QuantumCircuit(n)
    for layer in range(2):
        for q in range(n):
            circuit.ry(w[8 * layer + q], q)
        for q in range(n):
            circuit.rzz(w[8 * layer + 4 + q], q, (q + 1) % n)
    energy = SparsePauliOp.from_sparse_list(
        [("ZZ", [q, (q + 1) % n], -1.0) for q in range(n)] + [("X", [q], -1.0) for q in range(n)], num_qubits=n
    )
    model = qtrain.QuantumModel(circuit, features=[], weights=list(w), observables=[energy])
    rows, ends = torch.zeros((1, 0), dtype=torch.float64), []
    for method in (gradients.natural(gradients.adjoint()), gradients.adjoint()):
        layer = qtrain.QuantumLayer(model, ExactSimulator(), method, seed=1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.02)
        for _ in range(60):
            optimizer.zero_grad()
            value = layer(rows).sum()
            value.backward()
            optimizer.step()
        ends.append(value.item())
    assert ends[0] < ends[1] - 0.1
