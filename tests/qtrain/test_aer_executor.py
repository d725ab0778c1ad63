"""AerExecutor against NoisySimulator: one noise model, two programs."""

import builtins
from types import SimpleNamespace

import numpy as np
import pytest

import qtrain
from qcompile import load_device
from qcompile.errors import MissingExtraError
from qtrain.errors import ConfigError, ExecutorError
from qtrain.simulators.aer import convert
from tests.gradient_circuits import everything, qoc

MANILA = load_device("ibm_manila")
KEY = (1, 2, 0)


def prepared(built, observables, device=MANILA, batch=2):
    circuit, features, weights = built
    model = qtrain.QuantumModel(circuit, features=features, weights=weights, observables=observables)
    reference = qtrain.NoisySimulator(device, shots=None, effort="fast")
    program = reference.prepare(model.circuit, model.observables, features=model.features, weights=model.weights)
    rng = np.random.default_rng(0)
    angles = program.angles(
        rng.uniform(-np.pi, np.pi, (batch, len(features))), rng.uniform(-np.pi, np.pi, len(weights))
    )
    return reference, program, angles


@pytest.mark.parametrize("device", ["ibm_manila", "iqm_garnet"])
def test_its_density_matrix_equals_ours(device):
    chip = load_device(device)
    reference, program, angles = prepared(everything(3), ["Z0", "X1 Z2", "Y0 Y1"], chip)
    executor = qtrain.AerExecutor(chip, shots=None, effort="fast", method="density_matrix")
    difference = executor.expectations(program, angles, key=KEY) - reference.expectations(program, angles, key=KEY)
    assert np.abs(difference).max() < 2e-9  # Aer leaves out terms below 1e-10
    slots = np.arange(program.num_slots)[::9]
    moves = np.array([np.pi / 2, -np.pi / 2])
    shifted = executor.shifted_expectations(program, angles, slots, moves, key=KEY)
    expected = reference.shifted_expectations(program, angles, slots, moves, key=KEY)
    assert np.abs(shifted - expected).max() < 2e-9


@pytest.mark.parametrize("method", ["statevector", "matrix_product_state", "density_matrix"])
def test_sampled_bits_are_those_of_the_noise_model(method):
    """Chi-square of the 16 outcomes, reconstructed from the means of all 15 parities."""
    names = ["Z0", "Z1", "Z2", "Z3", "Z0 Z1", "Z0 Z2", "Z0 Z3", "Z1 Z2", "Z1 Z3", "Z2 Z3"]
    names += ["Z0 Z1 Z2", "Z0 Z1 Z3", "Z0 Z2 Z3", "Z1 Z2 Z3", "Z0 Z1 Z2 Z3"]
    reference, program, angles = prepared(qoc(1), names)
    shots = 1500
    executor = qtrain.AerExecutor(MANILA, shots=shots, effort="fast", method=method)
    subsets = [sum(1 << int(c) for c in name if c.isdigit()) for name in names]
    outcomes = np.arange(16)
    signs = 1 - 2 * (np.bitwise_count(np.array(subsets)[:, None] & outcomes) & 1).astype(int)
    for row in range(2):
        sampled, exact = (
            (1 + e.expectations(program, angles[row : row + 1], key=KEY)[0] @ signs) / 16 for e in (executor, reference)
        )
        statistic = shots * ((sampled - exact) ** 2 / exact).sum()
        assert statistic < 44.3  # 15 degrees of freedom, chance 1e-4
        assert np.abs(sampled * shots - np.round(sampled * shots)).max() < 1e-6, "these are no counts"


def test_draws_depend_on_the_key_alone_and_rows_differ():
    _, program, angles = prepared(qoc(1), ["Z0", "Z2"])
    twice = np.repeat(angles[:1], 3, axis=0)
    first, second = (qtrain.AerExecutor(MANILA, shots=500, effort="fast") for _ in range(2))
    values = first.expectations(program, twice, key=KEY)
    np.testing.assert_array_equal(values, second.expectations(program, twice, key=KEY))
    assert not np.array_equal(values, second.expectations(program, twice, key=(1, 3, 0)))
    assert len(np.unique(values, axis=0)) > 1, "equal rows must be drawn independently"


def test_the_noise_model_is_made_once_for_a_program(monkeypatch):
    from qtrain.executors import aer

    _, program, angles = prepared(qoc(1), ["Z0"])
    executor = qtrain.AerExecutor(MANILA, shots=10, effort="fast")
    made = []
    monkeypatch.setattr(aer, "convert", lambda circuit: made.append(circuit) or convert(circuit))
    for step in range(3):
        executor.expectations(program, angles, key=(0, step, 0))
    assert len(made) == 1


def test_only_a_density_matrix_goes_without_shots():
    with pytest.raises(ConfigError, match="density_matrix"):
        qtrain.AerExecutor(MANILA, shots=None)
    with pytest.raises(ConfigError, match="method"):
        qtrain.AerExecutor(MANILA, method="stabilizer")


def test_a_failure_of_aer_names_the_way_out(monkeypatch):
    _, program, angles = prepared(qoc(1), ["Z0"])
    executor = qtrain.AerExecutor(MANILA, shots=10, effort="fast", method="statevector")
    failed = SimpleNamespace(success=False, status="ERROR: Insufficient memory", results=[])
    job = SimpleNamespace(result=lambda: failed)
    aer = SimpleNamespace(AerSimulator=lambda **_: SimpleNamespace(run=lambda *_, **__: job))
    monkeypatch.setattr("qtrain.executors.aer.aer_module", lambda: aer)
    with pytest.raises(ExecutorError, match=r"Insufficient memory.*PropagationSimulator"):
        executor.expectations(program, angles, key=KEY)


def test_without_qiskit_aer_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name.startswith("qiskit_aer"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r'pip install "qonchip\[aer\]"'):
        qtrain.AerExecutor(MANILA)
