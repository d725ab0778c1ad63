"""The noise model is Qiskit Aer's, on the active qubits, with our delays: probabilities agree to 1e-12.

When it runs, Aer leaves out every term of an error whose probability is below 1e-10 (of the 144 terms of a two-qubit
gate on torino, many are). Each error is therefore given to it as one Kraus map, which it keeps whole; one test takes
the noise model as it is and finds no more difference than the terms left out.
"""

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import ReadoutError
from scipy import stats

from qcompile.calibration import load_device
from qcompile.compiled import compact
from qcompile.schedule import pad
from qtrain.executors.noisy import NoisySimulator
from qtrain.noise import measured_circuit
from tests.aer_reference import in_one_piece, noise_model
from tests.gradient_circuits import everything

CHIPS = ("ibm_manila", "ibm_jakarta", "ibm_guadalupe", "ibm_torino", "iqm_adonis", "google_rainbow")
KEY = (0, 0, 0)


def aer_noise(program):
    return noise_model(program.compiled.device, program.compiled.active_qubits)


def bound_circuit(program, values, basis):
    """The scheduled circuit of one basis on the active qubits, numbers bound, without its measurement."""
    compiled = program.compiled
    padded = pad(measured_circuit(compiled, program.measurement.bases[basis]), compiled.device)
    circuit = compact(padded, compiled.active_qubits)
    circuit.remove_final_measurements()
    return circuit.assign_parameters({p: values[p.name] for p in circuit.parameters})


def aer_probabilities(program, values, basis, noise=None):
    """[2^m] of the measured bits, without readout error, from Aer's density matrix."""
    circuit = bound_circuit(program, values, basis)
    circuit.save_density_matrix()
    noise = noise or in_one_piece(aer_noise(program))
    simulator = AerSimulator(method="density_matrix", noise_model=noise)
    density = simulator.run(circuit).result().data()["density_matrix"]
    return density.probabilities(list(program.measurement.bases[basis].qubits))


def random_circuit(n, gates, rng):
    """Features, weights, expressions and fixed gates at random; observables in all three bases."""
    x, w = ParameterVector("x", 3), ParameterVector("w", 4)
    circuit = QuantumCircuit(n)
    for _ in range(gates):
        angle = [float(rng.uniform(-3, 3)), x[int(rng.integers(3))] * 0.7, 2 * w[int(rng.integers(4))] + 1][
            int(rng.integers(3))
        ]
        one = int(rng.integers(n))
        a, b = (int(q) for q in rng.choice(n, 2, replace=False))
        match int(rng.integers(8)):
            case 0:
                circuit.rx(angle, one)
            case 1:
                circuit.ry(angle, one)
            case 2:
                circuit.u(angle, 0.3, angle, one)
            case 3:
                circuit.rzz(angle, a, b)
            case 4:
                circuit.crx(angle, a, b)
            case 5:
                circuit.h(one)
            case 6:
                circuit.cx(a, b)
            case 7:
                circuit.t(one)
    present = circuit.parameters
    features, weights = [p for p in x if p in present], [p for p in w if p in present]
    observables = [SparsePauliOp(label * n) for label in "ZXY"] + [SparsePauliOp("Z" + "I" * (n - 1))]
    return circuit, features, weights, observables


@pytest.mark.parametrize(
    ("number", "chip"), [(number, chip) for number in range(5) for chip in (CHIPS if number < 2 else CHIPS[:4])]
)
def test_probabilities_of_random_compiled_circuits_equal_those_of_aer(chip, number):
    rng = np.random.default_rng([number, CHIPS.index(chip)])
    n = 2 + number % 3
    circuit, features, weights, observables = random_circuit(n, 8 + 2 * number, rng)
    executor = NoisySimulator(load_device(chip), shots=None, effort="fast", readout_error=False)
    program = executor.prepare(circuit, observables, features=features, weights=weights)
    x, w = rng.uniform(-3, 3, len(features)), rng.uniform(-3, 3, len(weights))
    angles = program.angles(x[None], w)
    values = {p.name: float(v) for p, v in zip([*features, *weights], [*x, *w])}
    for basis in range(program.num_bases):
        expected = aer_probabilities(program, values, basis)
        found = executor.probabilities(program, angles, basis)[0]
        assert np.abs(found - expected).max() < 1e-12


@pytest.mark.parametrize("chip", CHIPS[:4])
def test_aer_as_it_runs_differs_by_no_more_than_the_terms_it_leaves_out(chip):
    rng = np.random.default_rng([9, CHIPS.index(chip)])
    circuit, features, weights, observables = random_circuit(4, 30, rng)
    executor = NoisySimulator(load_device(chip), shots=None, effort="fast", readout_error=False)
    program = executor.prepare(circuit, observables, features=features, weights=weights)
    x, w = rng.uniform(-3, 3, len(features)), rng.uniform(-3, 3, len(weights))
    values = {p.name: float(v) for p, v in zip([*features, *weights], [*x, *w])}
    noise = aer_noise(program)
    left_out = 0.0
    bound = bound_circuit(program, values, 0)
    for instruction in bound.data:
        qubits = tuple(bound.find_bit(q).index for q in instruction.qubits)
        error = noise._local_quantum_errors.get(instruction.operation.name, {}).get(qubits)
        if error is not None:
            left_out += sum(p for p in error.probabilities if p < 1e-10)
    found = executor.probabilities(program, program.angles(x[None], w), 0)[0]
    as_it_runs = aer_probabilities(program, values, 0, noise)
    assert left_out < 1e-6
    assert np.abs(found - as_it_runs).max() < left_out + 1e-12


@pytest.mark.parametrize("chip", CHIPS[:4])
def test_two_sided_readout_error_equals_that_of_aer(chip):
    device = load_device(chip)
    rng = np.random.default_rng(CHIPS.index(chip))
    circuit, features, weights, observables = random_circuit(3, 12, rng)
    executor = NoisySimulator(device, shots=None, effort="fast")
    program = executor.prepare(circuit, observables, features=features, weights=weights)
    x, w = rng.uniform(-3, 3, len(features)), rng.uniform(-3, 3, len(weights))
    angles = program.angles(x[None], w)
    values = {p.name: float(v) for p, v in zip([*features, *weights], [*x, *w])}
    for number, basis in enumerate(program.measurement.bases):
        expected = aer_probabilities(program, values, number).reshape([2] * len(basis.qubits))
        for bit, qubit in enumerate(basis.qubits):
            readout = device.qubits[program.compiled.active_qubits[qubit]].readout
            assert readout.p1_given_0 != readout.p0_given_1
            error = ReadoutError(
                [[1 - readout.p1_given_0, readout.p1_given_0], [readout.p0_given_1, 1 - readout.p0_given_1]]
            )
            axis = len(basis.qubits) - 1 - bit
            expected = np.moveaxis(np.tensordot(error.probabilities.T, expected, axes=(1, axis)), 0, axis)
        found = executor.probabilities(program, angles, number)[0]
        assert np.abs(found - expected.reshape(-1)).max() < 1e-12


@pytest.mark.parametrize("chip", ["ibm_guadalupe", "iqm_adonis"])
def test_a_circuit_that_holds_everything_equals_aer(chip):
    circuit, features, weights = everything(4)
    executor = NoisySimulator(load_device(chip), shots=None, readout_error=False)
    program = executor.prepare(circuit, [SparsePauliOp("ZZZZ")], features=features, weights=weights)
    rng = np.random.default_rng(0)
    x, w = rng.uniform(-3, 3, len(features)), rng.uniform(-3, 3, len(weights))
    values = {p.name: float(v) for p, v in zip([*features, *weights], [*x, *w])}
    found = executor.probabilities(program, program.angles(x[None], w))[0]
    assert np.abs(found - aer_probabilities(program, values, 0)).max() < 1e-12


def test_sampled_counts_are_of_the_law_that_those_of_aer_are_of():
    shots, rows = 4096, 16
    circuit, features, weights = everything(3)
    executor = NoisySimulator(load_device("ibm_manila"), shots=shots)
    subsets = [[q for q in range(3) if s >> q & 1] for s in range(1, 8)]
    observables = [SparsePauliOp.from_sparse_list([("Z" * len(s), s, 1.0)], 3) for s in subsets]
    program = executor.prepare(circuit, observables, features=features, weights=weights)
    rng = np.random.default_rng(1)
    x, w = rng.uniform(-3, 3, len(features)), rng.uniform(-3, 3, len(weights))
    angles = np.repeat(program.angles(x[None], w), rows, axis=0)
    # every parity together is the counts again; the program's qubits may be in another order than the circuit's
    basis = program.measurement.bases[0]
    masks = [sum(1 << basis.qubits.index(q) for q, _ in program.measurement.strings[t]) for t in basis.terms]
    parities = np.ones((rows, 8))
    drawn = executor.expectations(program, angles, key=KEY)
    parities[:, masks] = np.linalg.solve(program.measurement.coefficients, drawn.T).T
    signs = 1.0 - 2.0 * (np.bitwise_count(np.arange(8)[:, None] & np.arange(8)) % 2)
    ours = (parities @ signs / 8 * shots).sum(axis=0)
    padded = pad(measured_circuit(program.compiled, basis), program.device)
    measured = compact(padded, program.compiled.active_qubits)
    values = {p.name: float(v) for p, v in zip([*features, *weights], [*x, *w])}
    noise = aer_noise(program)
    for i, p in enumerate(program.compiled.active_qubits):
        up, down = program.device.qubits[p].readout.p1_given_0, program.device.qubits[p].readout.p0_given_1
        noise.add_readout_error(ReadoutError([[1 - up, up], [down, 1 - down]]), [i])
    simulator = AerSimulator(method="density_matrix", noise_model=noise, seed_simulator=1)
    bound = measured.assign_parameters({p: values[p.name] for p in measured.parameters})
    counted = simulator.run(bound, shots=shots * rows).result().get_counts()
    aer = np.array([counted.get(f"{outcome:03b}", 0) for outcome in range(8)])
    assert ours.round().sum() == aer.sum() == shots * rows
    assert stats.chi2_contingency(np.array([ours.round(), aer])).pvalue > 1e-3
    exact = executor.probabilities(program, angles[:1])[0]
    for counts in (ours, aer):
        assert stats.chisquare(counts, exact * shots * rows).pvalue > 1e-3


def test_expectations_are_those_of_the_probabilities_read():
    device = load_device("ibm_manila")
    rng = np.random.default_rng(3)
    circuit, features, weights, observables = random_circuit(3, 12, rng)
    executor = NoisySimulator(device, shots=None, effort="fast")
    program = executor.prepare(circuit, observables, features=features, weights=weights)
    angles = program.angles(rng.uniform(-3, 3, (4, len(features))), rng.uniform(-3, 3, len(weights)))
    values = executor.expectations(program, angles, key=KEY)
    for column in range(3):
        term = int(np.flatnonzero(program.measurement.coefficients[column])[0])
        basis = next(i for i, b in enumerate(program.measurement.bases) if term in b.terms)
        outcomes = np.arange(2 ** len(program.measurement.bases[basis].qubits))
        parity = 1.0 - 2.0 * (np.bitwise_count(outcomes) % 2)
        expected = executor.probabilities(program, angles, basis) @ parity
        assert np.abs(values[:, column] - expected).max() < 1e-12


def test_a_qubit_that_waits_decays_by_its_own_t1():
    device = load_device("ibm_manila")
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.delay(50, 0, unit="us")
    executor = NoisySimulator(device, shots=None, readout_error=False)
    program = executor.prepare(circuit, [SparsePauliOp("Z")])
    qubit = device.qubits[program.compiled.active_qubits[0]]
    value = executor.expectations(program, np.zeros((1, 0)), key=KEY)[0, 0]
    assert value == pytest.approx(1 - 2 * math.exp(-50e-6 / qubit.t1), abs=2e-3)
