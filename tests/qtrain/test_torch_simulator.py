"""TorchSimulator against the numba simulators, on every device of torch that is there."""

import copy
import pickle
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qcompile.calibration import load_device
from qtrain.errors import ConfigError, ModelError
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.executors.torch_simulator import TorchSimulator
from qtrain.program import lower
from qtrain.simulators import plain
from tests.gradient_circuits import everything, qoc, sel
from tests.qtrain.test_gradient_contract import METHODS, small_program
from tests.qtrain.test_gradient_contract import point as small_point
from tests.qtrain.test_simulators import random_program_circuit

KEY = (5, 2, 0)
SHIFTS = np.array([np.pi / 2, -np.pi / 2, 0.3])
MANILA = load_device("ibm_manila")
CIRCUITS = {
    "qoc": qoc,
    "sel": lambda: sel(6, 3),
    "everything(2)": lambda: everything(2),
    "everything(3)": lambda: everything(3),
    "everything(5)": lambda: everything(5),
    "qoc, 1 block": lambda: qoc(1),
    "sel on 3 qubits": lambda: sel(3, 2),
}

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
every_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
every_precision = pytest.mark.parametrize(("precision", "tolerance"), [("double", 1e-12), ("single", 5e-5)])
no_rows_alike = pytest.mark.parametrize("alike", [True, False], ids=["weights alike in all rows", "no rows alike"])


def observables(n):
    """Z of the first qubits, and a sum with X and an odd number of Y: two measurement bases."""
    alone = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], n) for q in range(min(n, 3))]
    return [*alone, SparsePauliOp(["Y" + "X" * (n - 1), "Z" * n], [0.7, -1.2])]


def point(program, batch=4, seed=1):
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-3, 3, (batch, program.num_features)), rng.uniform(-3, 3, program.num_weights)
    return x, w, rng.normal(size=(batch, program.num_observables))


def squares(values):
    return float((values**2).sum()), 2 * values


@cache
def prepared(name, *, noisy=False):
    """A program of one of the circuits, for both executors, which make the same."""
    circuit, features, weights = CIRCUITS[name]()
    executor = TorchSimulator(MANILA if noisy else None, effort="fast")
    return executor.prepare(circuit, observables(circuit.num_qubits), features=features, weights=weights)


def assert_same(ours, reference, program, tolerance, alike=True):
    """Every method of an executor without shots, against expectations, shifts and adjoint of another."""
    x, w, cotangent = point(program)
    angles, slots = program.angles(x, w), np.arange(program.num_slots)[::-1]
    if not alike:
        angles = angles + np.random.default_rng(9).normal(size=angles.shape)
    expected = reference.expectations(program, angles, key=KEY)
    np.testing.assert_allclose(ours.expectations(program, angles, key=KEY), expected, atol=tolerance)
    if program.num_slots:
        np.testing.assert_allclose(
            ours.shifted_expectations(program, angles, slots, SHIFTS, key=KEY),
            reference.shifted_expectations(program, angles, slots, SHIFTS, key=KEY),
            atol=tolerance,
        )
    derivative = reference.adjoint(program, angles, cotangent)
    np.testing.assert_allclose(ours.adjoint(program, angles, cotangent), derivative, atol=tolerance)
    jacobian = ours.jacobian(program, angles)
    assert jacobian.shape == (len(angles), program.num_observables, program.num_slots)
    np.testing.assert_allclose(np.einsum("bos,bo->bs", jacobian, cotangent), derivative, atol=tolerance)
    if alike:
        loss, gradient, values = ours.value_and_gradient(program, x, w, squares)
        plainly = reference.adjoint(program, angles, 2 * expected).sum(axis=0) @ program.A
        np.testing.assert_allclose(values, expected, atol=tolerance)
        np.testing.assert_allclose(gradient, plainly, atol=10 * tolerance)
        assert loss == pytest.approx(squares(expected)[0], abs=10 * tolerance)


@every_device
@every_precision
@no_rows_alike
@pytest.mark.parametrize("name", ["qoc", "sel", "everything(2)", "everything(5)"])
def test_state_vectors_are_those_of_the_exact_simulator(device, precision, tolerance, alike, name):
    ours = TorchSimulator(device=device, precision=precision)
    assert_same(ours, ExactSimulator(), prepared(name), tolerance, alike)


@every_device
@every_precision
@no_rows_alike
@pytest.mark.parametrize("name", ["sel on 3 qubits", "everything(3)"])
def test_density_matrices_are_those_of_the_noisy_simulator(device, precision, tolerance, alike, name):
    ours = TorchSimulator(MANILA, device=device, precision=precision, effort="fast")
    reference = NoisySimulator(MANILA, shots=None, effort="fast")
    assert_same(ours, reference, prepared(name, noisy=True), tolerance, alike)


@every_device
@pytest.mark.parametrize("noisy", [False, True], ids=["exact", "noisy"])
def test_numbers_do_not_depend_on_the_memory_limit(device, noisy):
    """2,500 bytes hold a row, slot and observable at a time, and few of the states on the way."""
    chip = MANILA if noisy else None
    circuit, features, weights = CIRCUITS["qoc, 1 block"]()
    wanted = [SparsePauliOp("ZIII"), SparsePauliOp("IZZI")]
    much, little = TorchSimulator(chip, device=device), TorchSimulator(chip, device=device, memory_limit=2_500)
    program = much.prepare(circuit, wanted, features=features, weights=weights)
    x, w, cotangent = point(program, batch=2)
    angles, slots = program.angles(x, w), np.arange(program.num_slots)[::5]
    for call in (
        lambda executor: executor.adjoint(program, angles, cotangent),
        lambda executor: executor.jacobian(program, angles),
        lambda executor: executor.shifted_expectations(program, angles, slots, SHIFTS, key=KEY),
        lambda executor: executor.value_and_gradient(program, x, w, squares)[1],
    ):
        np.testing.assert_allclose(call(little), call(much), atol=1e-13)


@every_device
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6), batch=st.sampled_from([1, 3]))
def test_random_circuits_equal_the_plain_twin(device, seed, n, batch):
    circuit, x, w, wanted = random_program_circuit(seed, n)
    executor = TorchSimulator(device=device)
    program = executor.prepare(circuit, wanted, features=x, weights=w)
    angles = np.random.default_rng(seed).uniform(-3, 3, (batch, program.num_slots))
    expected = program.measurement.combine(plain.string_expectations(program, angles))
    assert np.abs(executor.expectations(program, angles, key=KEY) - expected).max() < 1e-12
    exact, cotangent = ExactSimulator(), np.random.default_rng(seed + 1).normal(size=expected.shape)
    found = executor.adjoint(program, angles, cotangent)
    assert np.abs(found - exact.adjoint(program, angles, cotangent)).max() < 1e-12


@every_device
@pytest.mark.parametrize("name", METHODS)
def test_gradient_methods_give_what_they_give_on_the_exact_simulator(device, name):
    method, found = METHODS[name], []
    for executor in (TorchSimulator(device=device), ExactSimulator()):
        program = small_program(executor, shared=True)
        angles, cotangent = small_point(program)
        state = method.init(program)
        for step in range(2):
            gradient, state = method.estimate(executor, program, angles, cotangent, state, key=(7, step, 1))
        found.append(gradient)
    np.testing.assert_allclose(found[0].values, found[1].values, atol=1e-8)
    np.testing.assert_array_equal(found[0].evaluated, found[1].evaluated)


@every_device
@pytest.mark.parametrize("qubits", [4, 6], ids=["bits drawn jointly", "strings drawn alone"])
def test_shots_are_drawn_from_the_probabilities_of_the_noisy_simulator(device, qubits):
    """Equal generators and probabilities that differ by rounding give equal draws, but for a tie in 10^12."""
    chip = load_device("ibm_guadalupe")
    circuit, features, weights = sel(qubits, 1)
    wanted = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], qubits) for q in range(qubits)]
    found = []
    program = NoisySimulator(chip, effort="fast").prepare(circuit, wanted, features=features, weights=weights)
    x, w, _ = point(program)
    angles = program.angles(x, w)
    for executor in (TorchSimulator(chip, device=device, shots=500), NoisySimulator(chip, shots=500)):
        found.append(executor.expectations(program, angles, key=KEY))
        found.append(executor.shifted_expectations(program, angles, np.array([3, 1]), SHIFTS, key=KEY))
        assert not np.array_equal(found[-2], executor.expectations(program, angles, key=(5, 3, 0)))
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[3])


def trivial(kind):
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(1 if kind == "one qubit" else 2)
    if kind != "empty":
        circuit.h(0)
    if kind in ("one qubit", "starts alone"):
        circuit.rx(w[0], 0)
        circuit.rz(w[1], circuit.num_qubits - 1)
    if kind == "constant":
        circuit.cx(0, 1)
    return circuit, [], [p for p in w if p in circuit.parameters]


@every_device
@pytest.mark.parametrize("kind", ["empty", "constant", "one qubit", "starts alone"])
def test_circuits_with_next_to_nothing_in_them(device, kind):
    circuit, features, weights = trivial(kind)
    executor = TorchSimulator(device=device)
    program = executor.prepare(circuit, observables(circuit.num_qubits), features=features, weights=weights)
    assert_same(executor, ExactSimulator(), program, 1e-12)


@every_device
def test_an_observable_without_a_string_is_its_constant(device):
    circuit, _, weights = trivial("one qubit")
    for chip in (None, MANILA):
        executor = TorchSimulator(chip, device=device, effort="fast")
        program = executor.prepare(circuit, [SparsePauliOp("I", 0.7)], weights=weights)
        loss, gradient, values = executor.value_and_gradient(program, np.zeros((3, 0)), np.ones(2), squares)
        assert np.array_equal(values, np.full((3, 1), 0.7))
        assert np.array_equal(gradient, [0, 0])
        assert loss == pytest.approx(3 * 0.49)


def test_a_batch_without_rows_has_no_gradient():
    executor, program = TorchSimulator(), prepared("qoc, 1 block")
    _, gradient, values = executor.value_and_gradient(program, np.zeros((0, 16)), np.zeros(16), squares)
    assert values.shape == (0, 4)
    assert np.array_equal(gradient, np.zeros(16))
    assert executor.jacobian(program, np.zeros((0, program.num_slots))).shape == (0, 4, program.num_slots)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu"}, "'cuda:<number>'"),
        ({"device": "meta"}, "'cuda:<number>'"),
        ({"device": None}, "'cuda:<number>'"),
        ({"device": "cuda:99"}, "GPU"),
        ({"precision": "half"}, "'double' or 'single'"),
        ({"shots": 0}, "shots"),
        ({"seed": -1}, "seed"),
        ({"memory_limit": 0}, "bytes"),
        ({"memory_limit": 1e9}, "bytes"),
        ({"chip": "ibm_manila"}, "load_device"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        TorchSimulator(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_missing_gpu_names_the_way_out():
    with pytest.raises(ConfigError, match=r"device='cpu', or a machine with a GPU"):
        TorchSimulator(device="cuda")


def test_an_executor_can_be_sent_to_another_process_after_use():
    executor, program = TorchSimulator(precision="single", seed=3), prepared("everything(2)")
    x, w, _ = point(program)
    expected = executor.expectations(program, program.angles(x, w), key=KEY)
    for again in (pickle.loads(pickle.dumps(executor)), copy.deepcopy(executor)):
        assert (repr(again), again.ledger) == (repr(executor), executor.ledger)
        assert np.array_equal(again.expectations(program, program.angles(x, w), key=KEY), expected)


def test_a_program_with_another_readout_error_is_refused():
    program = prepared("sel on 3 qubits", noisy=True)
    with pytest.raises(ConfigError, match="readout_error"):
        TorchSimulator(MANILA, readout_error=False).expectations(program, np.zeros((1, program.num_slots)), key=KEY)


def test_programs_and_states_that_cannot_be_simulated_are_refused():
    circuit, features, weights = qoc(1)
    wanted = observables(4)
    noisy = TorchSimulator(MANILA, effort="fast").prepare(circuit, wanted, features=features, weights=weights)
    angles = np.zeros((1, noisy.num_slots))
    with pytest.raises(ConfigError, match="without a chip"):
        TorchSimulator().expectations(noisy, angles, key=KEY)
    exact = lower(circuit, wanted, features=features, weights=weights)
    with pytest.raises(ConfigError, match="ibm_manila with noise"):
        TorchSimulator(MANILA).adjoint(exact, angles, np.zeros((1, 4)))
    with pytest.raises(ModelError, match=r"256 bytes.*memory_limit"):
        TorchSimulator(memory_limit=255).expectations(exact, np.zeros((1, exact.num_slots)), key=KEY)
    with pytest.raises(ConfigError, match="cotangent"):
        TorchSimulator().value_and_gradient(exact, np.zeros((1, 16)), np.zeros(16), lambda values: (0.0, values[:, :1]))
    for call in ("jacobian", "value_and_gradient"):
        arguments = (np.zeros((1, 16)), np.zeros(16), squares) if call == "value_and_gradient" else (angles,)
        with pytest.raises(ConfigError, match="shots"):
            getattr(TorchSimulator(shots=10), call)(exact, *arguments)
