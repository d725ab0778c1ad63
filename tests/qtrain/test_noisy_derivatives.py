"""NoisySimulator's exact derivatives: Jacobian, and loss and gradient in one call."""

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from qcompile.device import Device
from qtrain.errors import ConfigError
from qtrain.executors import noisy
from qtrain.executors.noisy import NoisySimulator
from tests.gradient_circuits import everything

KEY = (0, 0, 0)
LINE = Device.from_coupling([(0, 1), (1, 2)], readout_error=0.03)
OBSERVABLES = [SparsePauliOp("ZII"), SparsePauliOp(["IZZ", "XII", "III"], [0.5, 1.5, 0.25])]


def prepared(batch, **options):
    circuit, x, w = everything(3)
    executor = NoisySimulator(LINE, shots=None, effort="fast", **options)
    program = executor.prepare(circuit, OBSERVABLES, features=x, weights=w)
    rng = np.random.default_rng(0)
    return executor, program, rng.uniform(-2, 2, (batch, len(x))), rng.uniform(-2, 2, len(w))


def loss(values):
    return float((values**2).mean() + values[:, 0].sum()), 2 * values / values.size + np.eye(2)[0]


def test_jacobian_equals_the_parameter_shift():
    executor, program, x, w = prepared(3)
    angles = program.angles(x, w)
    slots = np.arange(program.num_slots)
    shifted = executor.shifted_expectations(program, angles, slots, np.array([np.pi / 2, -np.pi / 2]), key=KEY)
    expected = (shifted[:, :, 0] - shifted[:, :, 1]).transpose(0, 2, 1) / 2
    found = executor.jacobian(program, angles)
    assert found.shape == (3, 2, program.num_slots)
    assert np.abs(found - expected).max() < 1e-13


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [0, 4**7])
def test_value_and_gradient_equal_those_of_central_differences(batch, size, monkeypatch):
    monkeypatch.setattr(noisy, "_JACOBIAN_SIZE", size)  # observables one by one, or each row's weighted one
    executor, program, x, w = prepared(batch)
    value, gradient, values = executor.value_and_gradient(program, x, w, loss)

    def at(weights):
        return loss(executor.expectations(program, program.angles(x, weights), key=KEY))[0]

    assert np.abs(values - executor.expectations(program, program.angles(x, w), key=KEY)).max() < 1e-14
    assert value == pytest.approx(at(w), abs=1e-13)
    steps = 1e-5 * np.eye(len(w))
    expected = np.array([(at(w + step) - at(w - step)) / 2e-5 for step in steps])
    assert gradient.shape == w.shape
    assert np.abs(gradient - expected).max() < 1e-8


def test_single_precision_is_good_to_a_millionth():
    _, program, x, w = prepared(3)
    double, single = prepared(3)[0], prepared(3, precision="single")[0]
    for one, other in zip(
        double.value_and_gradient(program, x, w, loss), single.value_and_gradient(program, x, w, loss)
    ):
        assert 0 < np.abs(np.subtract(one, other)).max() < 5e-6


def test_derivatives_bill_the_expectations_alone():
    executor, program, x, w = prepared(4)
    executor.jacobian(program, program.angles(x, w))
    assert executor.ledger.circuits == 0
    executor.value_and_gradient(program, x, w, loss)
    assert executor.ledger.circuits == 4 * program.num_bases


def test_shots_have_no_exact_derivative():
    _, program, x, w = prepared(1)
    executor = NoisySimulator(LINE, shots=100)
    with pytest.raises(ConfigError, match="100 shots"):
        executor.jacobian(program, program.angles(x, w))
    with pytest.raises(ConfigError, match="100 shots"):
        executor.value_and_gradient(program, x, w, loss)


@pytest.mark.parametrize(
    ("options", "message"), [({"precision": "half"}, "precision = 'half'"), ({"memory_limit": 0}, "memory_limit = 0")]
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        NoisySimulator(LINE, **options)
