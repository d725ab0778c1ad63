"""Bad parameters, data, settings and run directories: one clear error each, before any job is sent."""

import warnings

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

import qtrain
from qcompile.calibration import load_device
from qcompile.errors import InputError
from qtrain.errors import ConfigError, DataError, ModelError, RunError
from tests.qtrain.test_bad_inputs import MANILA, blobs, executors, small_model, train


@pytest.fixture(scope="module")
def backend():
    """A chip with its calibration."""
    return executors()["chip"]


@pytest.fixture
def chip(backend):
    """A chip to which nothing may be sent."""
    yield backend
    assert backend.ledger == qtrain.Ledger()
    assert backend.jobs.jobs() == []


# --- 42 parameters where they cannot be shifted


def weight_circuits():
    t, u = Parameter("t"), Parameter("u")
    product, squared, looped, measured, classical = (QuantumCircuit(2, 1) for _ in range(5))
    product.ry(t * u, 0)
    squared.ry(t**2, 0)
    with looped.for_loop(range(2)):
        looped.ry(t, 0)
    measured.ry(t, 0)
    measured.measure(0, 0)
    measured.cx(0, 1)
    with classical.if_test((classical.clbits[0], 1)):
        classical.ry(t, 0)
    return {
        "product of weights": (product, [t, u], r"gate 0 \(ry.*otherwise than affinely.*Expected number \* weight"),
        "square of a weight": (squared, [t], "otherwise than affinely"),
        "in a loop": (looped, [t], "circuit holds for_loop.*Expected gates only"),
        "in a condition": (classical, [t], "circuit holds if_else"),
        "measured midway": (measured, [t], "measurement"),
    }


@pytest.mark.parametrize("case", weight_circuits())
def test_42_a_weight_that_no_shift_rule_reaches_is_named_with_its_gate(chip, case):
    circuit, weights, match = weight_circuits()[case]

    def layer():
        model = qtrain.QuantumModel(circuit, weights=weights, observables=["Z0"])
        return qtrain.QuantumLayer(model, chip, qtrain.parameter_shift())

    with pytest.raises(ModelError, match=match):
        layer()


def test_42_a_weight_used_twice_and_a_gate_without_a_two_term_rule_train_by_their_slots():
    """Both are no error: the derivative is the sum over slots, each of which has the rule. Checked against adjoint."""
    t = ParameterVector("t", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(t[0], 0)
    circuit.crx(t[1], 0, 1)
    circuit.ry(2 * t[0] + 0.3, 1)
    model = qtrain.QuantumModel(circuit, weights=list(t), observables=["Z0", "Z1"])
    grads = []
    for gradient in (qtrain.parameter_shift(), qtrain.adjoint()):
        layer = qtrain.QuantumLayer(model, qtrain.ExactSimulator(), gradient)
        layer(torch.zeros((1, 0))).sum().backward()
        grads.append(layer.weights.grad.numpy())
    assert np.allclose(*grads, atol=1e-12)


# --- 43 data


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (np.zeros((0, 2)), [], "nothing in it. Expected at least one row"),
        (np.zeros((4, 0)), [0, 1, 0, 1], "nothing in it"),
        (np.zeros((4, 2)), [1, 1, 1, 1], "every row has class 1. Expected two classes"),
        (np.zeros((4, 2)), [0, 2, 0, 2], "no row has class 1"),
        (np.zeros((4, 2)), [0, 1, 0], r"y \(3,\)"),
        (np.full((4, 2), np.nan), [0, 1, 0, 1], "row 0, feature 0 is nan"),
        (np.zeros((4, 2), complex), [0, 1, 0, 1], "complex128. Expected real"),
        (np.zeros((4, 2)), [0.5, 1, 0, 1], "no class numbers"),
        (np.zeros((4, 2)), [-1, 1, 0, 1], "label -1"),
        (np.zeros((4, 3)), [0, 1, 0, 1], "has 3 features, the encoder takes 2"),
        (np.zeros((4, 1)), [0, 1, 0, 1], "has 1 features, the encoder takes 2"),
        (np.zeros((4, 2)), [0, 1, 2, 1], "has 3 classes, the model 2 observables"),
        (np.zeros((3, 2)), [0, 1, 0], "batch_size = 4, but train_set has 3 rows"),
        ([[0.0, 1.0], [0.0]], [0, 1], "not a table of numbers"),
        (np.ma.masked_equal(np.zeros((4, 2)), 0.0), [0, 1, 0, 1], "x is a masked array"),
        (np.zeros((4, 2)), np.ma.masked_equal([0, 1, 0, 1], 0), "y is a masked array"),
    ],
)
def test_43_data_that_cannot_be_learnt_from(chip, x, y, match):
    with pytest.raises(InputError, match=match) as caught:
        train(chip, data=(x, y))
    assert isinstance(caught.value, DataError | ConfigError)


# --- 44 pruning, 45 learning rates and all other numbers of a training


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"ratio": 1.0}, "ratio = 1.0. Expected 0 <= ratio < 1"),
        ({"ratio": -0.1}, "ratio = -0.1"),
        ({"ratio": float("nan")}, "ratio = nan"),
        ({"ratio": "half"}, "ratio = 'half'"),
        ({"accumulation_window": 0}, "accumulation_window = 0. Expected a whole number of steps, 1 or more"),
        ({"pruning_window": 0}, "pruning_window = 0"),
        ({"pruning_window": 1.5}, "pruning_window = 1.5"),
    ],
)
def test_44_pruning_options_out_of_range(options, match):
    with pytest.raises(ConfigError, match=match):
        qtrain.prune(qtrain.parameter_shift(), **options)


def test_44_pruning_never_leaves_out_every_weight():
    gradient = qtrain.prune(qtrain.parameter_shift(), ratio=0.999)
    result = train(qtrain.ExactSimulator(20), gradient=gradient, steps=3)
    assert [m["evaluated"] for m in result.metrics] == [len(result.weights), 1, 1]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"lr": 0}, "lr = 0. Expected a finite learning rate above 0"),
        ({"lr": -0.1}, "lr = -0.1"),
        ({"lr": float("nan")}, "lr = nan"),
        ({"lr": float("inf")}, "lr = inf"),
        ({"lr": "fast"}, "lr = 'fast'"),
        ({"steps": 0}, "steps = 0"),
        ({"steps": 1.5}, "steps = 1.5"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"optimizer": "lbfgs"}, "optimizer = 'lbfgs'. Expected one of adam"),
        ({"schedule": "steep"}, "schedule = 'steep'"),
        ({"budget": 0}, "budget = 0"),
        ({"budget": float("nan")}, "budget = nan"),
        ({"loss": None}, r"loss = None. Expected a function: \(outputs"),
        ({"loss": "mse"}, "loss = 'mse'. Expected a function"),
        ({"gradient": None}, "gradient = None. Expected a gradient method"),
        ({"gradient": qtrain.parameter_shift}, "Expected a gradient method"),
    ],
)
def test_45_settings_out_of_range(chip, options, match):
    with pytest.raises(ConfigError, match=match):
        train(chip, **options)


# --- 46 a run directory that belongs to something else


def test_46_resume_refuses_what_has_changed_and_shows_it(tmp_path):
    run = tmp_path / "run"
    first = train(qtrain.NoisySimulator(MANILA, shots=20, effort="fast"), run_dir=run, steps=1, checkpoint_every=1)
    other = small_model(observables=("Z0", "X1"))
    changed = {
        "circuit: ": {"model": other},
        "train_set: ": {"train_set": blobs(14)},
        "executor.seed: 0 -> 1": {"executor": qtrain.NoisySimulator(MANILA, shots=20, effort="fast", seed=1)},
        "executor.shots: 20 -> 30": {"executor": qtrain.NoisySimulator(MANILA, shots=30, effort="fast")},
        "device: ": {"executor": qtrain.NoisySimulator(load_device("ibm_jakarta"), shots=20, effort="fast")},
        "gradient: ": {"gradient": qtrain.spsa()},
        "loss: ": {"loss": torch.nn.functional.multi_margin_loss},
    }
    for match, parts in changed.items():
        with pytest.raises(RunError, match=match) as caught:
            qtrain.resume(run, progress=False, **parts)
        assert " -> " in str(caught.value), "recorded -> now"
        assert "train anew in another run directory" in str(caught.value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert qtrain.resume(run, progress=False).weights_sha256 == first.weights_sha256
