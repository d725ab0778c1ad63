"""Kernels against their plain twins, Qiskit and finite differences."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector

from qcompile.device import Device
from qtrain.errors import ModelError
from qtrain.executors.noisy import NoisySimulator
from qtrain.program import lower
from qtrain.simulators import batches, pauli, plain, statevector
from qtrain.simulators.pauli_code import encode

KEY = (0, 0, 0)
PI = np.pi
NAMES = (
    "h",
    "x",
    "sx",
    "t",
    "rx",
    "ry",
    "rz",
    "u",
    "cx",
    "cz",
    "swap",
    "rzz",
    "rxx",
    "ryy",
    "crx",
    "cu",
    "iswap",
    "ccx",
)


def random_program_circuit(seed, n, gates=14, weights=3, features=2):
    """A circuit of library gates whose angles are constants, weights or features."""
    rng = np.random.default_rng(seed)
    library = get_standard_gate_name_mapping()
    w, x = ParameterVector("w", weights), ParameterVector("x", features)
    circuit = QuantumCircuit(n)
    for k in range(max(n, features)):
        circuit.ry(x[k % features], k % n)
    for _ in range(gates):
        gate = library[str(rng.choice(NAMES))].copy()
        if gate.num_qubits > n:
            continue
        choices = [float(rng.uniform(-3, 3)), w[int(rng.integers(weights))], -2 * w[0] + 0.3, x[0] * x[1]]
        if gate.params:
            gate.params = [choices[int(rng.integers(len(choices)))] for _ in gate.params]
        circuit.append(gate, [int(q) for q in rng.choice(n, gate.num_qubits, replace=False)])
    for k in range(weights):
        circuit.rx(w[k], k % n)
    labels = ["".join(rng.choice(list("IXYZ"), n)) for _ in range(4)]
    observables = [SparsePauliOp([label, "Z" * n], [0.7, -0.2]) for label in labels]
    return circuit, list(x), list(w), observables


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 5))
def test_expectations_equal_qiskit_statevector(seed, n):
    circuit, x, w, observables = random_program_circuit(seed, n)
    program = lower(circuit, observables, features=x, weights=w)
    rng = np.random.default_rng(seed + 1)
    features, weights = rng.uniform(-3, 3, (3, len(x))), rng.uniform(-3, 3, len(w))
    found = program.measurement.combine(statevector.string_expectations(program, program.angles(features, weights)))
    for row in range(3):
        values = dict(zip([*x, *w], [*features[row], *weights]))
        state = Statevector(circuit.assign_parameters(values))
        expected = [state.expectation_value(o).real for o in observables]
        assert np.abs(found[row] - expected).max() < 1e-12


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 4), batch=st.integers(1, 5))
def test_statevector_kernels_equal_the_plain_twin(seed, n, batch):
    circuit, x, w, observables = random_program_circuit(seed, n)
    program = lower(circuit, observables, features=x, weights=w)
    angles = np.random.default_rng(seed).uniform(-3, 3, (batch, program.num_slots))
    assert np.abs(statevector.amplitudes(program, angles) - plain.amplitudes(program, angles)).max() < 1e-13
    found = statevector.string_expectations(program, angles)
    assert np.abs(found - plain.string_expectations(program, angles)).max() < 1e-13


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 4), batch=st.sampled_from([1, 3]))
def test_adjoint_equals_the_parameter_shift_of_the_plain_twin(seed, n, batch):
    circuit, x, w, observables = random_program_circuit(seed, n)
    program = lower(circuit, observables, features=x, weights=w)
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-3, 3, (batch, program.num_slots))
    cotangent = rng.normal(size=(batch, program.num_observables))
    found = statevector.adjoint(program, angles, cotangent)
    for slot in range(program.num_slots):
        both = []
        for sign in (1, -1):
            moved = angles.copy()
            moved[:, slot] += sign * PI / 2
            both.append(program.measurement.combine(plain.string_expectations(program, moved)))
        expected = ((both[0] - both[1]) / 2 * cotangent).sum(axis=1)
        assert np.abs(found[:, slot] - expected).max() < 1e-12


@pytest.mark.parametrize("shared", [True, False])
def test_one_angle_for_all_rows_and_an_angle_a_row_give_the_same(shared):
    circuit, x, w, observables = random_program_circuit(5, 4)
    program = lower(circuit, observables, features=x, weights=w)
    rng = np.random.default_rng(1)
    angles = np.repeat(rng.uniform(-3, 3, (1, program.num_slots)), 3, axis=0)
    if not shared:
        angles[2] += 0.1
    found = statevector.string_expectations(program, angles)
    single = statevector.string_expectations(program, angles[:1])
    assert np.abs(found[:2] - single).max() < 1e-14


def noisy_program(seed, n, device=None, gates=14):
    circuit, x, w, observables = random_program_circuit(seed, n, gates=gates)
    device = device or Device.from_coupling([(q, q + 1) for q in range(max(n - 1, 1))])
    executor = NoisySimulator(device, shots=None, effort="fast")
    return executor, executor.prepare(circuit, observables, features=x, weights=w)


@pytest.mark.parametrize(("seed", "n"), [(0, 1), (1, 2), (2, 3), (3, 4)])
def test_pauli_kernels_equal_the_plain_twin(seed, n):
    _, program = noisy_program(seed, n)
    angles = np.random.default_rng(seed).uniform(-3, 3, (5, program.num_slots))
    for circuit in program.noisy:
        observables = np.random.default_rng(1).normal(size=(4**circuit.num_qubits, 6))
        expected = plain.pauli_coefficients(circuit, angles) @ observables
        found = pauli.expectations(circuit, angles, observables)
        assert np.abs(found - expected).max() < 1e-11 * np.abs(observables).sum(axis=0).max()


@pytest.mark.parametrize(("seed", "n"), [(0, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("kind", ["weights", "all", "reuploaded"])
def test_two_passes_equal_every_shift_of_the_plain_twin(seed, n, kind):
    _, program = noisy_program(seed, n)
    rng = np.random.default_rng(seed)
    angles = np.repeat(rng.uniform(-3, 3, (1, program.num_slots)), 4, axis=0)
    angles[:, program.feature_slots] = rng.uniform(-3, 3, (4, int(program.feature_slots.sum())))
    if kind == "reuploaded":
        angles = rng.uniform(-3, 3, angles.shape)
    slots = np.flatnonzero(~program.feature_only) if kind == "weights" else np.arange(program.num_slots)
    shifts = np.array([PI / 2, -PI / 2, 0.0, 0.4])
    circuit = program.noisy[0]
    strings = pauli.read_strings(circuit, [(circuit.measured[0],), circuit.measured])
    found = pauli.shifts(circuit, angles, slots, strings).at(shifts)
    for i, slot in enumerate(slots):
        for j, shift in enumerate(shifts):
            moved = angles.copy()
            moved[:, slot] += shift
            expected = plain.pauli_coefficients(circuit, moved) @ strings
            assert np.abs(found[:, i, j] - expected).max() < 1e-12


def test_noisy_adjoint_equals_the_shifted_expectations():
    executor, program = noisy_program(7, 3)
    rng = np.random.default_rng(0)
    angles = rng.uniform(-3, 3, (5, program.num_slots))
    cotangent = rng.normal(size=(5, program.num_observables))
    slots = np.arange(program.num_slots)
    shifted = executor.shifted_expectations(program, angles, slots, np.array([PI / 2, -PI / 2]), key=KEY)
    expected = np.einsum("bko,bo->bk", (shifted[:, :, 0] - shifted[:, :, 1]) / 2, cotangent)
    assert np.abs(executor.adjoint(program, angles, cotangent) - expected).max() < 1e-12


def test_results_do_not_depend_on_threads_or_memory(monkeypatch):
    executor, program = noisy_program(11, 4)
    angles = np.random.default_rng(0).uniform(-3, 3, (70, program.num_slots))
    slots, shifts = np.arange(program.num_slots), np.array([0.3])

    def values():
        return (
            executor.shifted_expectations(program, angles, slots, shifts, key=KEY),
            statevector.string_expectations(program, angles),
        )

    results = {}
    for threads in (1, 2):
        monkeypatch.setattr(batches, "_threads", lambda threads=threads: threads)
        monkeypatch.setattr(batches, "THREADING_PAYS", 0.0)
        results[threads] = values()
    for one, two in zip(results[1], results[2]):
        assert np.array_equal(one, two)
    monkeypatch.setattr(pauli, "MEMORY_LIMIT", 8 * 4**4 * 20)  # a few rows and slots at a time
    monkeypatch.setattr(pauli, "_HISTORY_BYTES", 8 * 4**4 * 7)
    for whole, split in zip(results[1], values()):
        assert np.abs(whole - split).max() < 1e-13


def test_data_behind_the_first_weight_leaves_the_shared_pass():
    circuit, x, w, observables = random_program_circuit(3, 2)
    circuit.rx(x[0], 0)
    executor = NoisySimulator(Device.from_coupling([(0, 1)]), shots=None, effort="fast")
    program = executor.prepare(circuit, observables, features=x, weights=w)
    code = encode(program.noisy[0], program.feature_only)
    weights = np.flatnonzero(~program.feature_slots)
    rng = np.random.default_rng(0)
    rows = program.angles(rng.uniform(-3, 3, (3, len(x))), rng.uniform(-3, 3, len(w)))
    assert not code.is_uniform_behind(weights, rows)
    assert code.is_uniform_behind(weights, rows[:1])


def test_an_encoder_is_settled_before_the_backward_pass():
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    for q in range(2):
        circuit.ry(x[q], q)
    circuit.rzz(w[0], 0, 1)
    circuit.rx(w[1], 0)
    executor = NoisySimulator(Device.from_coupling([(0, 1)]), shots=None)
    program = executor.prepare(circuit, [SparsePauliOp("ZZ")], features=list(x), weights=list(w))
    code = encode(program.noisy[0], program.feature_only)
    assert all(code.position[slot] == -1 for slot in np.flatnonzero(program.feature_only))
    rows = program.angles(np.array([[0.1, 0.2], [1.0, 2.0]]), np.array([0.3, 0.4]))
    assert code.is_uniform_behind(np.flatnonzero(~program.feature_only), rows)


def test_ten_qubits_with_noise():
    circuit, x, w, observables = random_program_circuit(0, 10, gates=6, weights=2)
    device = Device.from_coupling([(q, q + 1) for q in range(9)])
    executor = NoisySimulator(device, shots=None, effort="fast")
    program = executor.prepare(circuit, observables[:1], features=x, weights=w)
    angles = program.angles(np.array([[0.3, 0.7]]), np.array([0.2, 0.4]))
    slots = np.flatnonzero(~program.feature_only)[:2]
    found = executor.shifted_expectations(program, angles, slots, np.array([0.5]), key=KEY)
    for i, slot in enumerate(slots):
        moved = angles.copy()
        moved[:, slot] += 0.5
        assert np.abs(found[:, i, 0] - executor.expectations(program, moved, key=KEY)).max() < 1e-12


def test_a_density_matrix_too_wide_is_refused_with_its_size():
    circuit = QuantumCircuit(14)
    circuit.h(range(14))
    device = Device.from_coupling([(q, q + 1) for q in range(13)])
    with pytest.raises(ModelError, match=f"14 qubits takes {8 * 4**14:,} bytes"):
        NoisySimulator(device).prepare(circuit, [SparsePauliOp("Z" * 14)])


def test_a_process_that_ran_kernels_on_threads_may_fork():
    code = """
import os, sys
import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qtrain.executors.exact import ExactSimulator
from qtrain.simulators import batches
batches.THREADING_PAYS = 0.0
circuit = QuantumCircuit(10)
circuit.h(range(10))
executor = ExactSimulator()
program = executor.prepare(circuit, [SparsePauliOp("X" * 10)])
run = lambda: executor.expectations(program, np.zeros((500, 0)), key=(0, 0, 0))
assert abs(run() - 1).max() < 1e-12
child = os.fork()
if child == 0:
    os._exit(0 if abs(run() - 1).max() < 1e-12 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == 0
