"""The law of the shots: multinomial over the bits of a basis up to 5 qubits, binomial a Pauli string above."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from scipy import stats

from qcompile.device import Device
from qtrain.executors.base import generator
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.executors.sampling import JOINT_QUBITS, sample_outcomes, sample_strings


def bell(n):
    """Pairs of qubits in (|00> + |11>) / sqrt 2, turned a little."""
    circuit = QuantumCircuit(n)
    for q in range(0, n - 1, 2):
        circuit.h(q)
        circuit.cx(q, q + 1)
    for q in range(n):
        circuit.ry(0.3 + 0.1 * q, q)
    return circuit


def single_z(n):
    return [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], n) for q in range(n)]


def executors(n, shots):
    line = Device.from_coupling([(q, q + 1) for q in range(n - 1)], readout_error=0.03)
    return {"exact": ExactSimulator(shots), "noisy": NoisySimulator(line, shots, effort="fast")}


def pearson(counts, probabilities):
    """p-value of counts [outcome] against probabilities; rare outcomes are put together."""
    expected = counts.sum() * probabilities
    rare = expected < 5
    if rare.any():
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
        counts, expected = counts[expected > 0], expected[expected > 0]
    return stats.chisquare(counts, expected).pvalue


@pytest.mark.parametrize("kind", ["exact", "noisy"])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_outcomes_follow_the_exact_distribution(kind, n):
    # with every parity as an observable, the sampled expectations give the counts back exactly
    shots = 20_000
    executor = executors(n, shots)[kind]
    subsets = [[q for q in range(n) if s >> q & 1] for s in range(1, 2**n)]
    observables = [SparsePauliOp.from_sparse_list([("Z" * len(s), s, 1.0)], n) for s in subsets]
    program = executor.prepare(bell(n), observables)
    angles = np.zeros((1, 0))
    parities = np.append(1.0, executor.expectations(program, angles, key=(7, 0, 0))[0])
    # the program's qubits may be in another order than the circuit's, the basis's bits are in the program's
    position = {q: i for i, q in enumerate(program.measurement.bases[0].qubits)}
    masks = [0] + [
        sum(1 << position[q] for q, _ in program.measurement.strings[int(np.flatnonzero(row)[0])])
        for row in program.measurement.coefficients
    ]
    outcomes = np.arange(2**n)
    signs = 1.0 - 2.0 * (np.bitwise_count(np.array(masks)[:, None] & outcomes) % 2)
    counts = parities @ signs / 2**n * shots
    assert np.abs(counts - counts.round()).max() < 1e-6
    assert counts.round().sum() == shots
    assert pearson(counts.round(), executor.probabilities(program, angles)[0]) > 1e-3


def test_a_wrong_distribution_fails_the_same_test():
    rng = np.random.default_rng(0)
    counts = sample_outcomes(np.array([0.25, 0.25, 0.25, 0.25]), 20_000, rng) * 20_000
    assert pearson(counts, np.array([0.24, 0.26, 0.25, 0.25])) < 1e-3


@pytest.mark.parametrize("kind", ["exact", "noisy"])
def test_observables_of_one_basis_are_correlated_where_drawn_jointly(kind):
    executor = executors(2, 1)[kind]
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    program = executor.prepare(circuit, single_z(2))
    draws = executor.expectations(program, np.zeros((4000, 0)), key=(1, 0, 0))
    assert set(np.unique(draws)) == {-1.0, 1.0}
    assert np.corrcoef(draws.T)[0, 1] > 0.8


@pytest.mark.parametrize("kind", ["exact", "noisy"])
def test_above_five_qubits_each_string_is_drawn_by_itself(kind):
    n = JOINT_QUBITS + 1
    executor = executors(n, 400)[kind]
    program = executor.prepare(bell(n), single_z(n))
    assert program.num_qubits == n
    exact = executors(n, None)[kind].expectations(program, np.zeros((1, 0)), key=(0, 0, 0))[0]
    draws = executor.expectations(program, np.zeros((3000, 0)), key=(2, 0, 0))
    sigma = np.sqrt((1 - exact**2) / 400)
    assert np.abs((draws.mean(axis=0) - exact) / (sigma / np.sqrt(3000))).max() < 4.5
    assert np.abs(draws.std(axis=0) / sigma - 1).max() < 0.08
    correlations = np.corrcoef(draws.T) - np.eye(n)
    assert np.abs(correlations).max() < 5 / np.sqrt(3000)


def test_variance_of_joint_draws_is_that_of_the_shots():
    executor = ExactSimulator(shots=100)
    program = executor.prepare(bell(3), single_z(3))
    exact = ExactSimulator().expectations(program, np.zeros((1, 0)), key=(0, 0, 0))[0]
    draws = executor.expectations(program, np.zeros((4000, 0)), key=(5, 0, 0))
    assert np.abs(draws.std(axis=0) / np.sqrt((1 - exact**2) / 100) - 1).max() < 0.08


def test_different_bases_have_shots_of_their_own():
    executor = ExactSimulator(shots=1)
    circuit = QuantumCircuit(1)
    circuit.ry(np.pi / 4, 0)
    program = executor.prepare(circuit, [SparsePauliOp("Z"), SparsePauliOp("X")])
    assert program.num_bases == 2
    draws = executor.expectations(program, np.zeros((4000, 0)), key=(0, 0, 0))
    assert abs(np.corrcoef(draws.T)[0, 1]) < 5 / np.sqrt(4000)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 5), bits=st.integers(0, 5), shots=st.integers(1, 5000))
def test_frequencies_are_whole_shots_and_sum_to_one(seed, rows, bits, shots):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(2**bits), size=rows) + rng.normal(scale=1e-16, size=(rows, 2**bits))
    frequencies = sample_outcomes(probabilities, shots, rng)
    assert np.abs(frequencies.sum(axis=1) - 1).max() < 1e-12
    assert np.abs(frequencies * shots - np.round(frequencies * shots)).max() < 1e-8


def test_counts_of_few_shots_follow_the_multinomial_law():
    shots, probabilities = 3, np.array([0.1, 0.55, 0.3, 0.05])
    rng = np.random.default_rng(3)
    counts = np.round(sample_outcomes(np.tile(probabilities, (40_000, 1)), shots, rng) * shots).astype(int)
    possible = [c for c in np.ndindex(4, 4, 4, 4) if sum(c) == shots]
    observed = np.array([np.count_nonzero((counts == c).all(axis=1)) for c in possible], dtype=float)
    assert pearson(observed, stats.multinomial.pmf(possible, shots, probabilities)) > 1e-3


@pytest.mark.parametrize("shots", [1, 7, 40, 1000, 8192])
@pytest.mark.parametrize("probability", [1e-3, 0.37, 0.5, 0.99])
def test_counts_of_one_outcome_follow_the_binomial_law(shots, probability):
    rng = np.random.default_rng([shots, int(1000 * probability)])
    rows = np.tile([1 - probability, probability], (20_000, 1))
    counts = np.round(sample_outcomes(rows, shots, rng)[:, 1] * shots).astype(int)
    observed = np.bincount(counts, minlength=shots + 1).astype(float)
    assert pearson(observed, stats.binom.pmf(np.arange(shots + 1), shots, probability)) > 1e-3


def test_rows_of_one_call_are_independent():
    rng = np.random.default_rng(5)
    counts = sample_outcomes(np.full((100_000, 2), 0.5), 1, rng)[:, 0]
    table = np.histogram2d(counts[:-1], counts[1:], bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_many_shots_are_drawn_by_numpy_of_the_same_law():
    probabilities = np.array([0.2, 0.3, 0.4, 0.1])
    frequencies = sample_outcomes(np.tile(probabilities, (50, 1)), 20_000, np.random.default_rng(0))
    assert pearson(np.round(frequencies * 20_000).sum(axis=0), probabilities) > 1e-3


def test_certain_outcomes_stay_certain():
    rng = np.random.default_rng(0)
    values = np.array([1.0 + 1e-15, -1.0 - 1e-15])
    assert sample_strings(values, 50, rng).tolist() == [1.0, -1.0]


def test_draws_are_a_function_of_the_key_alone():
    assert generator((1, 2, 3)).integers(2**62) == generator((1, 2, 3)).integers(2**62)
    seen = {int(generator(k).integers(2**62)) for k in ((1, 2, 3), (2, 1, 3), (1, 3, 2), (1, 2, 4))}
    assert len(seen) == 4
    assert generator((1, 2, 3), 0).integers(2**62) != generator((1, 2, 3), 1).integers(2**62)
