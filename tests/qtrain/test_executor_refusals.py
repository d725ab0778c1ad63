"""What executors refuse, and what a loss or a program without slots may not upset."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qtrain.errors import ConfigError
from qtrain.executors.noisy import NoisySimulator
from tests.qtrain.test_executor_contract import DEVICE, EXECUTORS, KEY, model, prepared


def test_a_program_with_readout_error_is_refused_without_it():
    circuit, observables, x, w = model()
    for made, run in ((True, False), (False, True)):
        program = NoisySimulator(DEVICE, shots=None, effort="fast", readout_error=made).prepare(
            circuit, observables, features=x, weights=w
        )
        executor = NoisySimulator(DEVICE, shots=None, effort="fast", readout_error=run)
        with pytest.raises(ConfigError, match=f"readout_error={made}.*readout_error={run}"):
            executor.expectations(program, np.zeros((1, program.num_slots)), key=KEY)


@pytest.mark.parametrize("name", ["exact", "noisy", "propagation", "torch", "torch, noisy"])
def test_a_loss_that_writes_into_its_argument_changes_nothing(name):
    executor, program, _ = prepared(name)
    features, weights = np.zeros((2, 2)), np.ones(3)

    def loss(values):
        kept = values.copy()
        values[:] = 7.0
        return float(kept.sum()), np.ones_like(kept)

    before = executor.ledger.circuits
    _, _, values = executor.value_and_gradient(program, features, weights, loss)
    assert np.abs(values).max() < 3
    assert executor.ledger.circuits == before + 2 * program.num_bases
    with pytest.raises(ConfigError, match="Expected a finite real number"):
        executor.value_and_gradient(program, features, weights, lambda z: (float("nan"), z))


@pytest.mark.parametrize("name", ["exact", "torch"])
def test_no_slots_give_no_shifts(name):
    executor = EXECUTORS[name]()
    program = executor.prepare(QuantumCircuit(1), [SparsePauliOp("Z")])
    shape = executor.shifted_expectations(program, np.zeros((3, 0)), np.zeros(0, int), np.array([0.1]), key=KEY).shape
    assert shape == (3, 0, 1, 1)
