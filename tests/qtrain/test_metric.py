"""The block-diagonal metric against derivatives of the state vector."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qtrain import metric as module
from qtrain.errors import ConfigError
from qtrain.executors.exact import ExactSimulator
from qtrain.gates import Reset
from qtrain.metric import blocks, metric
from qtrain.program import SlotRotation
from qtrain.simulators import statevector
from tests.gradient_circuits import everything, qoc, sel


def full_metric_by_differences(program, angles, step=1e-5):
    """[slot, slot]: mean over the rows of Re <d_i psi | d_j psi> - <d_i psi | psi> <psi | d_j psi>, no blocks."""
    moves = step * np.vstack([np.zeros(program.num_slots), np.eye(program.num_slots), -np.eye(program.num_slots)])
    states = statevector.amplitudes(program, (angles + moves[:, None]).reshape(-1, program.num_slots))
    states = states.reshape(len(moves), len(angles), -1)
    psi, change = states[0], np.subtract(*np.split(states[1:], 2)) / (2 * step)
    products = np.einsum("ibn,jbn->bij", change.conj(), change)
    along = np.einsum("ibn,bn->bi", change.conj(), psi)
    return (products - along[:, :, None] * along.conj()[:, None, :]).real.mean(axis=0)


def metric_by_differences(program, angles):
    """The same within the blocks."""
    inside = np.zeros((program.num_slots, program.num_slots), dtype=bool)
    for block in blocks(program):
        slots = [rotation.slot for rotation in block.rotations]
        inside[np.ix_(slots, slots)] = True
    return np.where(inside, full_metric_by_differences(program, angles), 0.0)


def prepared(built, batch=2, seed=0):
    circuit, features, weights = built
    program = ExactSimulator().prepare(
        circuit, [SparsePauliOp("Z" * circuit.num_qubits)], features=features, weights=weights
    )
    rng = np.random.default_rng(seed)
    angles = program.angles(rng.uniform(-3, 3, (batch, len(features))), rng.uniform(-3, 3, len(weights)))
    return program, angles


@pytest.mark.parametrize("built", [qoc(1), sel(3, 2), everything(2), everything(3)], ids=["qoc", "sel", "2", "3"])
def test_blocks_equal_derivatives_of_the_state(built):
    program, angles = prepared(built)
    found = metric(program, angles)
    np.testing.assert_allclose(found, metric_by_differences(program, angles), atol=1e-8)
    np.testing.assert_array_equal(found, found.T)
    assert np.linalg.eigvalsh(found).min() > -1e-12
    assert np.diag(found).max() <= 0.25 + 1e-12


def test_blocks_are_as_wide_as_the_circuit_allows():
    program, _ = prepared(sel(4, 2))
    assert [len(block.rotations) for block in blocks(program)] == [4, 4, 4, 4, 4, 4, 4, 0]
    program, _ = prepared(qoc(2))
    assert [len(block.rotations) for block in blocks(program)] == [4] * 7 + [8] + [4] * 3  # RZ and RZZ commute


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_blocks_of_random_circuits_keep_the_circuit(data):
    """The operations in the order of the blocks are the same circuit, and rotations of a block commute."""
    n = data.draw(st.integers(1, 3))
    w = ParameterVector("w", 8)
    circuit, used = QuantumCircuit(n), 1
    circuit.ry(w[0], 0)
    for _ in range(data.draw(st.integers(1, 10))):
        name = data.draw(st.sampled_from(["rx", "ry", "rz", "rzz", "rxx", "crx", "h", "s", "cx"]))
        width = 2 if name in ("rzz", "rxx", "crx", "cx") else 1
        if width > n or used == len(w):
            continue
        qubits = data.draw(st.permutations(range(n)))[:width]
        symbolic = name not in ("h", "s", "cx")
        getattr(circuit, name)(*([w[used]] if symbolic else []), *qubits)
        used += symbolic
    program, angles = prepared((circuit, [], list(w)[:used]), batch=1, seed=data.draw(st.integers(0, 99)))
    ordered = [op for block in blocks(program) for op in (*block.fixed, *block.rotations)]
    assert len(ordered) == len(program.ops)
    again = ExactSimulator().prepare(circuit, list(program.observables), weights=list(w)[:used])
    object.__setattr__(again, "ops", tuple(ordered))
    np.testing.assert_allclose(
        statevector.amplitudes(again, angles), statevector.amplitudes(program, angles), atol=1e-12
    )
    np.testing.assert_allclose(metric(program, angles), metric_by_differences(program, angles), atol=1e-8)


def test_one_qubit_has_the_sphere_s_metric():
    """RZ(phi) RY(theta) |0>: (d theta^2 + sin^2 theta d phi^2) / 4."""
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0], 0)
    circuit.rz(w[1], 0)
    program, angles = prepared((circuit, [], list(w)), batch=1)
    np.testing.assert_allclose(metric(program, angles), np.diag([0.25, np.sin(angles[0, 0]) ** 2 / 4]), atol=1e-15)


def test_rows_and_generators_in_parts_give_the_same(monkeypatch):
    program, angles = prepared(everything(3), batch=5)
    whole = metric(program, angles)
    for limit in (8, 16, 64):
        monkeypatch.setattr(module, "_AMPLITUDES_AT_ONCE", limit)
        np.testing.assert_allclose(metric(program, angles), whole, atol=1e-14)


def test_too_wide_a_circuit_and_a_reset_are_refused():
    w = ParameterVector("w", 1)
    wide = QuantumCircuit(21)
    wide.ry(w[0], 0)
    program, angles = prepared((wide, [], list(w)), batch=1)
    with pytest.raises(ConfigError, match="at most 20 qubits"):
        metric(program, angles)
    reset = QuantumCircuit(1)
    reset.ry(w[0], 0)
    program, angles = prepared((reset, [], list(w)), batch=1)
    assert isinstance(program.ops[0], SlotRotation)
    object.__setattr__(program, "ops", (*program.ops, Reset((0,))))
    with pytest.raises(ConfigError, match="resets qubit 0"):
        metric(program, angles)
