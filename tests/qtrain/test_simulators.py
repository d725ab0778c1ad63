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

from qtrain.program import lower
from qtrain.simulators import batches, plain, statevector

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


def test_results_do_not_depend_on_threads(monkeypatch):
    circuit, x, w, observables = random_program_circuit(11, 4)
    program = lower(circuit, observables, features=x, weights=w)
    angles = np.random.default_rng(0).uniform(-3, 3, (70, program.num_slots))
    results = {}
    for threads in (1, 2):
        monkeypatch.setattr(batches, "_threads", lambda threads=threads: threads)
        monkeypatch.setattr(batches, "THREADING_PAYS", 0.0)
        results[threads] = statevector.string_expectations(program, angles)
    assert np.array_equal(results[1], results[2])


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
