"""Density matrices in the Pauli basis against their plain twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qcompile.calibration import load_device
from qcompile.device import Device
from qtrain.errors import ModelError
from qtrain.executors.noisy import NoisySimulator
from qtrain.simulators import batches, pauli, plain
from qtrain.simulators.pauli_code import encode
from tests.gradient_circuits import everything, sel
from tests.qtrain.test_simulators import random_program_circuit

KEY = (0, 0, 0)
PI = np.pi


def noisy_program(seed, n, device=None, gates=14):
    circuit, x, w, observables = random_program_circuit(seed, n, gates=gates)
    device = device or Device.from_coupling([(q, q + 1) for q in range(max(n - 1, 1))])
    executor = NoisySimulator(device, shots=None, effort="fast")
    return executor, executor.prepare(circuit, observables, features=x, weights=w)


def single_z(n):
    return [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], n) for q in range(n)]


def everything_program(n=3):
    circuit, x, w = everything(n)
    observables = [*single_z(n), SparsePauliOp("X" + "Z" * (n - 1), 0.5)]
    executor = NoisySimulator(load_device("ibm_guadalupe"), shots=None, effort="fast")
    return executor, executor.prepare(circuit, observables, features=x, weights=w)


def whole(circuit):
    """A readout of random observables, every Pauli string in each."""
    values = np.random.default_rng(1).normal(size=(4**circuit.num_qubits, 6))
    return pauli.Readout(((0, 1, 2, 3),) * circuit.num_qubits, values)


def assert_equals_plain_twin(circuit, angles, slots, strings, *, tolerance=1e-12, **options):
    shifts = np.array([PI / 2, -PI / 2, 0.0, 0.4])
    found = pauli.shifts(circuit, angles, slots, pauli.read_strings(circuit, strings), **options)
    values = plain.string_values(circuit, strings)
    assert np.abs(found.expectations - plain.pauli_coefficients(circuit, angles) @ values).max() < tolerance
    for i, slot in enumerate(slots):
        for j, shift in enumerate(shifts):
            moved = angles.copy()
            moved[:, slot] += shift
            expected = plain.pauli_coefficients(circuit, moved) @ values
            assert np.abs(found.at(shifts)[:, i, j] - expected).max() < tolerance


@pytest.mark.parametrize(("seed", "n"), [(0, 1), (1, 2), (2, 3), (3, 4)])
def test_kernels_equal_the_plain_twin(seed, n):
    _, program = noisy_program(seed, n)
    angles = np.random.default_rng(seed).uniform(-3, 3, (5, program.num_slots))
    for circuit in program.noisy:
        readout = whole(circuit)
        expected = plain.pauli_coefficients(circuit, angles) @ readout.values
        found = pauli.expectations(circuit, angles, readout)
        assert np.abs(found - expected).max() < 1e-11 * np.abs(readout.values).sum(axis=0).max()


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
    circuit = program.noisy[0]
    assert_equals_plain_twin(circuit, angles, slots, [(circuit.measured[0],), circuit.measured])


@pytest.mark.parametrize("precision", ["double", "single"])
def test_a_circuit_that_holds_everything_equals_the_plain_twin(precision):
    _, program = everything_program()
    rng = np.random.default_rng(0)
    angles = program.angles(rng.uniform(-3, 3, (2, program.num_features)), rng.uniform(-3, 3, program.num_weights))
    for circuit in program.noisy:
        strings = [(q,) for q in circuit.measured] + [circuit.measured]
        tolerance = 1e-12 if precision == "double" else 2e-6
        slots = np.arange(program.num_slots)
        assert_equals_plain_twin(circuit, angles, slots, strings, precision=precision, tolerance=tolerance)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.sampled_from([1, 3]), precision=st.sampled_from(["double", "single"]))
def test_adjoint_equals_the_weighted_derivatives(seed, batch, precision):
    _, program = noisy_program(seed, 3)
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-3, 3, (batch, program.num_slots))
    for circuit in program.noisy:
        readout = pauli.read_strings(circuit, [(q,) for q in circuit.measured])
        cotangent = rng.normal(size=(batch, len(circuit.measured)))
        slots = np.arange(program.num_slots)
        found = pauli.adjoint(circuit, angles, slots, readout, cotangent, precision=precision)
        sine = pauli.shifts(circuit, angles, slots, readout).sine
        expected = np.einsum("bko,bo->bk", sine, cotangent)
        assert np.abs(found - expected).max() < (1e-12 if precision == "double" else 1e-5)


def test_noisy_adjoint_equals_the_shifted_expectations():
    executor, program = noisy_program(7, 3)
    rng = np.random.default_rng(0)
    angles = rng.uniform(-3, 3, (5, program.num_slots))
    cotangent = rng.normal(size=(5, program.num_observables))
    slots = np.arange(program.num_slots)
    shifted = executor.shifted_expectations(program, angles, slots, np.array([PI / 2, -PI / 2]), key=KEY)
    expected = np.einsum("bko,bo->bk", (shifted[:, :, 0] - shifted[:, :, 1]) / 2, cotangent)
    assert np.abs(executor.adjoint(program, angles, cotangent) - expected).max() < 1e-12


def test_results_do_not_depend_on_threads(monkeypatch):
    executor, program = noisy_program(11, 4)
    angles = np.random.default_rng(0).uniform(-3, 3, (70, program.num_slots))
    slots, shifts = np.arange(program.num_slots), np.array([0.3])
    results = []
    monkeypatch.setattr(batches, "THREADING_PAYS", 0.0)
    for threads in (1, 2):
        monkeypatch.setattr(batches, "_threads", lambda threads=threads: threads)
        results.append(executor.shifted_expectations(program, angles, slots, shifts, key=KEY))
    assert np.array_equal(*results)


@pytest.mark.parametrize("batch", [13, 1])
@pytest.mark.parametrize("memory_limit", [300_000, 100_000, 10_000])
def test_results_do_not_depend_on_the_memory_limit(batch, memory_limit):
    _, program = everything_program()
    rng = np.random.default_rng(0)
    angles = program.angles(rng.uniform(-3, 3, (batch, program.num_features)), rng.uniform(-3, 3, program.num_weights))
    slots = np.arange(program.num_slots)
    circuit = program.noisy[0]
    readout = pauli.read_strings(circuit, [(q,) for q in circuit.measured])
    cotangent = rng.normal(size=(batch, len(circuit.measured)))
    for unlimited, limited in zip(
        (*pauli.shifts(circuit, angles, slots, readout), pauli.adjoint(circuit, angles, slots, readout, cotangent)),
        (
            *pauli.shifts(circuit, angles, slots, readout, memory_limit=memory_limit),
            pauli.adjoint(circuit, angles, slots, readout, cotangent, memory_limit=memory_limit),
        ),
    ):
        assert np.abs(unlimited - limited).max() < 1e-13


def test_what_data_enters_comes_before_what_it_need_not_follow():
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    for q in range(2):
        circuit.ry(x[q], q)
    circuit.rzz(w[0], 0, 1)
    circuit.rx(w[1], 0)
    executor = NoisySimulator(Device.from_coupling([(0, 1)]), shots=None)
    program = executor.prepare(circuit, [SparsePauliOp("ZZ")], features=list(x), weights=list(w))
    readout = pauli.read_strings(program.noisy[0], [program.noisy[0].measured])
    code = encode(program.noisy[0], readout.digits)
    place = np.where(code.run_of >= 0, code.runs.op[code.run_of], -1)
    assert place[program.feature_slots].max() < place[~program.feature_slots].min()


def test_qubits_outside_the_light_cone_and_unread_paulis_are_left_out():
    n = 8
    circuit, x, w = sel(n, 1)
    executor = NoisySimulator(Device.from_coupling([(q, (q + 1) % n) for q in range(n)]), shots=None, effort="fast")
    program = executor.prepare(circuit, single_z(n), features=x, weights=w)
    for qubits in ([q] for q in range(n)):
        readout = pauli.read_strings(program.noisy[0], [qubits])
        assert [len(own) for own in readout.digits] == [2 if q in qubits else 1 for q in range(n)]
        # a ring of CX holds I and Z alone: 2^n coefficients, not 4^n
        assert encode(program.noisy[0], readout.digits).sizes.max() <= 2 * 2**n


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
