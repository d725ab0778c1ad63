"""The noisy gradient benchmark: its figures, as `make bench` prints them, and that its yardsticks are right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qcompile.channels import relaxation_ptm, unitary_ptm
from tests.benchmarks.noisy_aer import AerGradient, binomial_p, disagreement, homogeneity_p, our_counts, sampling_p
from tests.benchmarks.noisy_gradients import verdicts
from tests.benchmarks.noisy_ours import exact
from tests.benchmarks.noisy_workloads import NoisyWorkload, Problem, exported, kraus_operators


@pytest.mark.benchmark
def test_noisy_gradients_meet_their_targets():
    # a process of its own: one thread each must be asked for before anything is imported
    script = Path(__file__).with_name("noisy_gradients.py")
    done = subprocess.run([sys.executable, str(script), "--json"], capture_output=True, text=True, check=True)
    targets = [one for line in done.stdout.splitlines() for one in json.loads(line)["targets"]]
    print(json.dumps(targets, indent=2))
    assert not [one["target"] for one in targets if not one["met"]]


@pytest.fixture(scope="module")
def problem():
    return Problem(NoisyWorkload("small", "sel", 3, 1, "ibm_manila", 2, 1, aer=(2, 2)))


@pytest.fixture(scope="module")
def aer(problem):
    return AerGradient(problem)


def test_aer_runs_the_circuits_that_ours_stand_for(problem, aer):
    assert disagreement(problem, aer, weights=len(problem.w), rows=2) < 1e-12
    found = sampling_p(problem, aer, weights=len(problem.w), rows=2)
    assert found.keys() == {"ours", "Aer", "joint"}
    assert min(found.values()) > 1e-4


def test_counts_are_read_back_from_parities(problem):
    counts = our_counts(problem, shots=1024)
    assert counts.sum(axis=1).tolist() == [1024, 1024]
    assert counts.min() >= 0


def test_chi_square_tests_can_fail():
    rng = np.random.default_rng(0)
    exact_values = rng.uniform(-0.9, 0.9, (200, 2))
    drawn = rng.binomial(1024, (1 + exact_values) / 2) / 512 - 1
    assert binomial_p(drawn, exact_values, 1024) > 1e-4
    assert binomial_p(drawn + np.array([0.02, 0]), exact_values, 1024) < 1e-4
    one, other = rng.multinomial(1024, [0.4, 0.3, 0.2, 0.1], 50), rng.multinomial(1024, [0.4, 0.3, 0.2, 0.1], 50)
    assert homogeneity_p(one, other) > 1e-4
    assert homogeneity_p(one, rng.multinomial(1024, [0.38, 0.32, 0.2, 0.1], 50)) < 1e-4


def evolved(problem, row):
    """The density matrix of one row from exported Kraus operators, and what is read of it."""
    n, sent = problem.program.num_qubits, exported(problem)
    rho = np.zeros([2] * 2 * n, dtype=complex)
    rho[(0,) * 2 * n] = 1
    angles = np.array(sent["angles"][row]) + np.array(sent["slopes"]) @ sent["w"]
    for op in sent["ops"]:
        qubits = op["qubits"]
        if "kraus" in op:
            operators = np.array(op["kraus"][0]) + 1j * np.array(op["kraus"][1])
        else:
            operators = np.diag(np.exp([-0.5j * angles[op["slot"]], 0.5j * angles[op["slot"]]]))[None]
        total = np.zeros_like(rho)
        k = len(qubits)
        for matrix in operators:
            tensor = matrix.reshape([2] * 2 * k)
            one_side = np.moveaxis(np.tensordot(tensor, rho, axes=(range(k, 2 * k), qubits)), range(k), qubits)
            columns = [n + q for q in qubits]
            both = np.tensordot(tensor.conj(), one_side, axes=(range(k, 2 * k), columns))
            total += np.moveaxis(both, range(k), columns)
        rho = total
    weights = np.real(np.diagonal(rho.reshape(2**n, 2**n))).reshape([2] * n)
    found = []
    for o in sent["observables"]:
        one = weights.sum(axis=tuple(a for a in range(n) if a != o["qubit"]))
        found.append(one[0] * o["zero"] + one[1] * o["one"])
    return found


def test_exported_kraus_operators_are_our_circuit(problem):
    import qtrain

    executor = qtrain.NoisySimulator(problem.device, shots=None)
    values = executor.expectations(problem.program, problem.angles, key=(0, 0, 0))
    assert np.array([evolved(problem, row) for row in range(2)]) == pytest.approx(values, abs=1e-12)
    loss = exact(problem)()["loss"]
    assert loss == pytest.approx(np.mean(np.sum(values**2, axis=1)))


def test_kraus_operators_of_known_channels():
    (only,) = kraus_operators(unitary_ptm(np.diag([1, 1j])))
    assert np.abs(only) == pytest.approx(np.eye(2))
    assert only[1, 1] / only[0, 0] == pytest.approx(1j)
    operators = kraus_operators(relaxation_ptm(1.0, 1.5, 0.7))
    assert len(operators) == 3
    assert sum(k.conj().T @ k for k in operators) == pytest.approx(np.eye(2))


def test_a_wrong_number_or_sample_is_reported():
    figures = {
        "sampled": {"ratio": 900.0, "aer_circuits_run": 10},
        "circuits": 100,
        "shots": 1024,
        "target": 1000,
        "agreement": 1e-6,
        "p": {"ours": 1e-9},
        "exact": {"ours": {"disagreement": 0.0, "ratio": 1.0}, "default.mixed": {"disagreement": 0.1, "ratio": 9.0}},
        "first_warm": 1.0,
        "first_cold": 5.0,
    }
    missed = [words for words, met in verdicts(figures) if not met]
    assert len(missed) == 4
    assert "scaled from 10 of 100 circuits" in missed[0]
    assert "DIFFER" in missed[-1]
