"""Simulators against Qiskit and Aer, and every gradient method against central differences, on the same circuits.

`everything` holds what a user's circuit may: features uploaded again, shared weights, CRX, U and CU, a ZZ feature map.
"""

from functools import cache

import numpy as np
import pytest
import torch
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator

import qtrain
from qcompile.calibration import load_device
from qtrain import gradients
from qtrain.executors.base import BACKWARD
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.gradients.base import to_weights
from qtrain.simulators import statevector
from tests.aer_reference import in_one_piece
from tests.gradient_circuits import everything, qoc, sel
from tests.qtrain.test_gradient_contract import METHODS, MOVES
from tests.qtrain.test_metric import metric_by_differences
from tests.qtrain.test_noise_against_aer import aer_noise, bound_circuit

CIRCUITS = {"qoc": lambda: qoc(1), "everything": lambda: everything(3), "sel": lambda: sel(3, 2)}
KEY = (2, 0, BACKWARD)
STEP = 1e-5


def observables(n):
    """Single Z, a weighted sum, and strings in the other bases."""
    middle = SparsePauliOp(["Z" * n, "I" * n, "X" + "I" * (n - 1)], [0.5, 0.25, -1.5])
    return [SparsePauliOp("I" * (n - 1) + "Z"), middle, SparsePauliOp("Y" * n)]


def values_of(circuit, features, weights, seed, batch):
    rng = np.random.default_rng(seed)
    return rng.uniform(-np.pi, np.pi, (batch, len(features))), rng.uniform(-np.pi, np.pi, len(weights))


@pytest.mark.parametrize(
    "built",
    [
        everything(2),
        everything(3),
        everything(4),
        everything(6),
        everything(9),
        qoc(3),
        sel(4, 3),
        sel(8, 2),
        sel(10, 2),
    ],
    ids=lambda built: f"{built[0].num_qubits} qubits, {built[0].size()} gates",
)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_state_vector_is_qiskits(built, batch):
    circuit, features, weights = built
    executor, checked = ExactSimulator(), observables(circuit.num_qubits)
    program = executor.prepare(circuit, checked, features=features, weights=weights)
    x, w = values_of(circuit, features, weights, 1, batch)
    angles = program.angles(x, w)
    found = statevector.amplitudes(program, angles)
    expected = [Statevector(circuit.assign_parameters(dict(zip([*features, *weights], [*row, *w])))) for row in x]
    for state, reference in zip(found, expected):
        phase = np.vdot(state, reference.data)
        np.testing.assert_allclose(state * phase / abs(phase), reference.data, atol=1e-12)
    np.testing.assert_allclose(
        executor.expectations(program, angles, key=KEY),
        [[reference.expectation_value(o).real for o in checked] for reference in expected],
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("qoc", "ibm_manila"),
        ("sel", "ibm_manila"),
        *(("everything", c) for c in ("ibm_manila", "ibm_torino", "iqm_adonis")),
    ],
)
def test_a_density_matrix_is_aers(name, chip):
    circuit, features, weights = CIRCUITS[name]()
    executor = NoisySimulator(load_device(chip), shots=None, effort="fast", readout_error=False)
    program = executor.prepare(circuit, observables(circuit.num_qubits), features=features, weights=weights)
    x, w = values_of(circuit, features, weights, 2, 1)
    values = {p.name: float(v) for p, v in zip([*features, *weights], [*x[0], *w])}
    noise = in_one_piece(aer_noise(program))
    for basis in range(program.num_bases):
        bound = bound_circuit(program, values, basis)
        bound.save_density_matrix()
        density = AerSimulator(method="density_matrix", noise_model=noise).run(bound).result().data()["density_matrix"]
        expected = density.probabilities(list(program.measurement.bases[basis].qubits))
        found = executor.probabilities(program, program.angles(x, w), basis)[0]
        np.testing.assert_allclose(found, expected, atol=1e-12)


@cache
def prepared(name, kind):
    """(executor, program, angles, cotangent, dL/d angle by central differences)."""
    circuit, features, weights = CIRCUITS[name]()
    noisy = NoisySimulator(load_device("ibm_manila"), shots=None, effort="fast")
    executor = ExactSimulator() if kind == "exact" else noisy
    program = executor.prepare(circuit, observables(circuit.num_qubits), features=features, weights=weights)
    x, w = values_of(circuit, features, weights, 3, 2)
    angles = program.angles(x, w)
    cotangent = np.random.default_rng(4).normal(size=(2, 3))
    moves = STEP * np.eye(program.num_slots)
    points = np.concatenate([angles[None] + moves[:, None], angles[None] - moves[:, None]])
    found = executor.expectations(program, points.reshape(-1, program.num_slots), key=KEY)
    losses = (found.reshape(2, program.num_slots, *cotangent.shape) * cotangent).sum(axis=-1)
    return executor, program, angles, cotangent, (losses[0] - losses[1]).T / (2 * STEP)


def estimates(method, name, kind, keys, **options):
    executor, program, angles, cotangent, expected = prepared(name, kind)
    state = method.init(program)
    found = [method.estimate(executor, program, angles, cotangent, state, key=key, **options)[0] for key in keys]
    return program, angles, [g.values for g in found], expected


both_kinds = pytest.mark.parametrize("kind", ["exact", "noisy"])
every_circuit = pytest.mark.parametrize("circuit", CIRCUITS)


@both_kinds
@every_circuit
@pytest.mark.parametrize(
    "name",
    ["parameter_shift", "parameter_shift, other shift", "adjoint", "finite_difference", "finite_difference, forward",
     "prune", "prune(adjoint)", "prune(average)", "average(prune)"],
)  # fmt: skip
def test_methods_that_draw_nothing_equal_central_differences(name, circuit, kind):
    tolerance = 1e-5 if "finite_difference" in name else 1e-8
    _, _, (found,), expected = estimates(METHODS[name], circuit, kind, [KEY], features=True)
    np.testing.assert_allclose(found, expected, atol=tolerance)


@both_kinds
@every_circuit
@pytest.mark.parametrize("inner", ["spsa(c=0.02)", "average(spsa(c=0.02), 4)"])
def test_methods_that_draw_equal_central_differences_in_the_mean(inner, circuit, kind):
    keys = [(seed, 0, BACKWARD) for seed in range(80)]
    program, _, found, expected = estimates(gradients.from_name(inner), circuit, kind, keys)
    weights = np.array([to_weights(program, values) for values in found])
    error = weights.std(axis=0, ddof=1) / np.sqrt(len(keys))
    distance = np.abs(weights.mean(axis=0) - to_weights(program, expected))
    assert np.all(distance < 5 * error + 0.005)
    assert np.mean(distance / (error + 1e-9)) < 2


@both_kinds
@every_circuit
def test_natural_gradients_equal_central_differences_in_the_metric_of_the_state(circuit, kind):
    program, angles, (found,), expected = estimates(METHODS["natural"], circuit, kind, [KEY])
    matrix = program.A.T @ metric_by_differences(program, angles) @ program.A
    wanted = np.linalg.solve(matrix + 0.01 * np.eye(program.num_weights), to_weights(program, expected))
    np.testing.assert_allclose(to_weights(program, found), wanted, rtol=1e-5, atol=1e-6)


@both_kinds
@every_circuit
def test_rotosolve_moves_each_weight_to_its_lowest_point(circuit, kind):
    executor, program, angles, cotangent, _ = prepared(circuit, kind)
    method, fine = METHODS["rotosolve"], np.linspace(0, 4 * np.pi, 161)
    state = method.init(program)
    for turn in range(program.num_weights):
        gradient, state = method.estimate(executor, program, angles, cotangent, state, key=(0, turn, BACKWARD))
        (weight,) = np.flatnonzero(gradient.evaluated)
        move = -to_weights(program, gradient.values)[weight]
        scan = np.concatenate([fine, [move]])[:, None, None] * program.A[:, weight]
        found = executor.expectations(program, (angles + scan).reshape(-1, program.num_slots), key=KEY)
        losses = (found.reshape(len(scan), *cotangent.shape) * cotangent).sum(axis=(1, 2))
        assert losses[-1] <= losses[:-1].min() + 1e-9


@both_kinds
@every_circuit
def test_the_one_call_path_equals_central_differences(circuit, kind):
    """value_and_gradient and jacobian, where an executor has them."""
    executor, program, angles, cotangent, expected = prepared(circuit, kind)
    _, features, weights = CIRCUITS[circuit]()
    x, w = values_of(circuit, features, weights, 3, 2)

    def loss(values):
        return float((values * cotangent).sum()), cotangent

    plain = executor.expectations(program, angles, key=KEY)
    if hasattr(executor, "value_and_gradient"):
        value, gradient, values = executor.value_and_gradient(program, x, w, loss)
        np.testing.assert_allclose(values, plain, atol=1e-12)
        assert value == pytest.approx((plain * cotangent).sum())
        np.testing.assert_allclose(gradient, to_weights(program, expected), atol=1e-8)
    if hasattr(executor, "jacobian"):
        jacobian = executor.jacobian(program, angles)
        np.testing.assert_allclose(np.einsum("bok,bo->bk", jacobian, cotangent), expected, atol=1e-8)


@both_kinds
@every_circuit
@pytest.mark.parametrize("name", ["parameter_shift", "adjoint"])
def test_a_layer_equals_central_differences_in_weights_and_features(name, circuit, kind):
    """Through torch's chain rule: shared weights, slopes, products of features, data uploaded again."""
    built, features, weights = CIRCUITS[circuit]()
    executor = prepared(circuit, kind)[0]
    model = qtrain.QuantumModel(built, features=features, weights=weights, observables=observables(built.num_qubits))
    layer = qtrain.QuantumLayer(model, executor, METHODS[name])
    x = torch.tensor(values_of(built, features, weights, 5, 2)[0], requires_grad=True)
    scale = torch.tensor(np.random.default_rng(6).normal(size=(2, 3)))
    (layer(x) * scale).sum().backward()

    def differences(tensor):
        found = np.empty(tensor.numel())
        flat = tensor.detach().view(-1)
        with torch.no_grad():
            for i in range(len(flat)):
                ends = []
                for sign in (1, -1):
                    flat[i] += sign * STEP
                    ends.append(float((layer(x) * scale).sum()))
                    flat[i] -= sign * STEP
                found[i] = (ends[0] - ends[1]) / (2 * STEP)
        return found.reshape(tensor.shape)

    np.testing.assert_allclose(layer.weights.grad, differences(layer.weights), atol=2e-8)
    np.testing.assert_allclose(x.grad, differences(x), atol=2e-8)


def test_every_method_is_held_to_the_differences():
    assert set(MOVES) < set(METHODS)
    assert {m.partition("(")[0] for m in METHODS} >= set(gradients.METHODS)
