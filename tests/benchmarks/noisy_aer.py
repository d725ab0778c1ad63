"""Qiskit Aer on the very circuits that our noisy parameter shift stands for, and whether both read the same.

Aer runs the compiled circuit (same gates, delays, noise and measurement) as density matrices, one circuit with a
parameter bind for every weight, shift and row.
"""

from __future__ import annotations

import time

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from scipy.stats import chi2

import qtrain
from qcompile.compiled import compact
from qcompile.schedule import pad
from qtrain.noise import measured_circuit
from tests.aer_reference import in_one_piece, noise_model
from tests.benchmarks.noisy_workloads import KEY, SHIFTS, SHOTS, Problem


class AerGradient:
    """The shifted circuits of a problem, by Aer."""

    def __init__(self, problem: Problem) -> None:
        compiled = problem.program.compiled
        assert compiled is not None
        device, active = compiled.device, compiled.active_qubits
        self.problem = problem
        self.basis = problem.program.measurement.bases[0]
        self.circuit = compact(pad(measured_circuit(compiled, self.basis), device), active)
        noise = noise_model(device, active)
        for i, p in enumerate(active):
            readout = device.qubits[p].readout
            if readout is not None:
                up, down = readout.p1_given_0, readout.p0_given_1
                noise.add_readout_error(ReadoutError([[1 - up, up], [down, 1 - down]]), [i])
        self.noise = noise

    def binds(self, rows: int, weights: int) -> dict[Parameter, list[float]]:
        """[row, weight, shift] points, flat; of the first rows and weights. No weights: the rows as they are."""
        problem = self.problem
        shape = (rows, weights, len(SHIFTS)) if weights else (rows, 1, 1)
        points = np.broadcast_to(problem.w, (*shape, len(problem.w))).copy()
        for k in range(weights):
            points[:, k, :, k] += SHIFTS
        x = np.broadcast_to(problem.x[:rows, None, None], (*shape, problem.x.shape[1]))
        values = dict(zip(problem.weights, points.reshape(-1, points.shape[-1]).T))
        values.update(zip(problem.features, x.reshape(-1, x.shape[-1]).T))
        return {p: values[p].tolist() for p in self.circuit.parameters}

    def counts(self, rows: int, weights: int, shots: int) -> np.ndarray:
        """[point, outcome] of the measured bits; the first measured qubit is the lowest bit."""
        simulator = AerSimulator(
            method="density_matrix", noise_model=self.noise, max_parallel_threads=1, seed_simulator=1
        )
        result = simulator.run([self.circuit], parameter_binds=[self.binds(rows, weights)], shots=shots).result()
        found = np.zeros((rows * max(1, 2 * weights), 2 ** len(self.basis.qubits)), dtype=np.int64)
        for i, row in enumerate(found):
            for outcome, count in result.get_counts(i).items():
                row[int(outcome, 2)] = count
        return found

    def exact(self, rows: int, weights: int, noise: NoiseModel | None = None) -> np.ndarray:
        """[row, weight, shift, observable] of what is read, without shots.

        Aer leaves readout error out of the probabilities that it saves: added here.
        """
        circuit: QuantumCircuit = self.circuit.remove_final_measurements(inplace=False)
        circuit.save_probabilities(list(self.basis.qubits))
        simulator = AerSimulator(method="density_matrix", noise_model=noise or self.noise, max_parallel_threads=1)
        result = simulator.run([circuit], parameter_binds=[self.binds(rows, weights)]).result()
        bits = len(self.basis.qubits)
        probabilities = np.array([result.data(i)["probabilities"] for i in range(2 * weights * rows)])
        tensor = probabilities.reshape(-1, *[2] * bits)
        for bit, confusion in enumerate(self.problem.program.noisy[0].confusion):
            tensor = np.moveaxis(np.tensordot(tensor, confusion, axes=(bits - bit, 0)), -1, bits - bit)
        return self.expectations(tensor.reshape(len(tensor), -1)).reshape(rows, weights, len(SHIFTS), -1)

    def expectations(self, frequencies: np.ndarray) -> np.ndarray:
        """[point, observable] of frequencies [point, outcome]; each observable is one Z."""
        outcomes = np.arange(frequencies.shape[1])
        values = []
        for row in self.problem.program.measurement.coefficients:
            ((qubit, _),) = self.problem.program.measurement.strings[int(np.flatnonzero(row)[0])]
            values.append(frequencies @ (1.0 - 2.0 * ((outcomes >> self.basis.qubits.index(qubit)) & 1)))
        return np.array(values).T


def extrapolated(aer: AerGradient, weights: int, rows: int, shots: int | None) -> tuple[float, int]:
    """(CPU seconds of Aer's whole gradient, circuits that were run for it).

    Where not all are run, what two numbers of circuits take gives the time of one more, and of none: what Aer does once
    a call is not multiplied.
    """

    def seconds(weights: int, rows: int) -> float:
        started = time.process_time()
        if shots is None:
            aer.exact(rows, weights)
        else:
            aer.counts(rows, weights, shots)
        return time.process_time() - started

    taken, circuits, total = seconds(weights, rows), 2 * weights * rows, aer.problem.circuits
    if circuits == total:
        return taken, circuits
    fewer = 2 * max(1, weights // 2) * max(1, rows // 2)
    if fewer == circuits:  # wide circuits: what is done once does not matter
        return taken * total / circuits, circuits
    once_more = seconds(max(1, weights // 2), max(1, rows // 2))
    each = (taken - once_more) / (circuits - fewer)
    return taken + each * (total - circuits), circuits + fewer


def disagreement(problem: Problem, aer: AerGradient, weights: int, rows: int) -> float:
    """The largest difference of exact shifted expectations; each of Aer's errors whole, or it drops small terms."""
    expected = aer.exact(rows, weights, in_one_piece(aer.noise))
    return float(np.abs(problem.shifted(None, weights, rows) - expected).max())


def binomial_p(sampled: np.ndarray, exact: np.ndarray, shots: int) -> float:
    """P-value of sampled expectations [point, observable] against exact ones: chi-square of each observable by itself.

    The least of the observables' times their number (Bonferroni): they may share shots. Points where fewer than five
    shots are expected on one side are left out.
    """
    up = (1 + exact) / 2
    fits = np.minimum(up, 1 - up) * shots >= 5
    terms = np.where(fits, (sampled - exact) ** 2 * shots / np.where(fits, 4 * up * (1 - up), 1), 0)
    least = min(float(chi2.sf(t.sum(), f.sum())) for t, f in zip(terms.T, fits.T) if f.any())
    return min(1.0, least * exact.shape[1])


def homogeneity_p(first: np.ndarray, second: np.ndarray) -> float:
    """P-value that two histograms of equally many shots, [point, outcome] each, are of the same distributions.

    Outcomes of fewer than ten counts together are put into one.
    """
    statistic, freedom = 0.0, 0
    for a, b in zip(first, second):
        both = a + b
        many = both >= 10
        left = np.append(a[many], a[~many].sum())
        right = np.append(b[many], b[~many].sum())
        seen = left + right > 0
        statistic += float(np.sum((left - right)[seen] ** 2 / (left + right)[seen]))
        freedom += int(seen.sum()) - 1
    return float(chi2.sf(statistic, freedom))


def our_counts(problem: Problem, shots: int) -> np.ndarray | None:
    """[row, outcome] of jointly drawn bits, read back from every parity; None where strings are drawn one by one."""
    program = problem.joint
    if program is None:
        return None
    executor = qtrain.NoisySimulator(problem.device, shots=shots)
    parities = executor.expectations(program, program.angles(problem.x, problem.w), key=KEY)
    n = problem.workload.qubits
    virtual = np.arange(2**n)
    signs = 1.0 - 2.0 * (np.bitwise_count(virtual[1:, None] & virtual[None, :]) & 1)
    by_virtual = (parities @ signs + 1) * shots / 2**n
    # the outcome's bits are measured qubits, ascending; qubit v's parity reads the qubit where v ended
    order = problem.program.measurement
    places = [order.strings[int(np.flatnonzero(row)[0])][0][0] for row in order.coefficients]
    measured = order.bases[0].qubits
    bits = (virtual[:, None] >> np.arange(n)) & 1
    moved = (bits << np.array([measured.index(p) for p in places])).sum(axis=1)
    counts = np.zeros_like(by_virtual)
    counts[:, moved] = by_virtual
    if np.abs(counts - np.rint(counts)).max() > 1e-6:
        raise SystemExit("the parities of one circuit do not come from the same shots")
    return np.rint(counts).astype(np.int64)


def sampling_p(problem: Problem, aer: AerGradient, weights: int, rows: int) -> dict[str, float]:
    """P-values of what is drawn: ours and Aer's against exact expectations, and both histograms with each other."""
    exact = problem.shifted(None, weights, rows).reshape(2 * weights * rows, -1)
    ours = problem.shifted(SHOTS, weights, rows).reshape(exact.shape)
    theirs = aer.expectations(aer.counts(rows, weights, SHOTS) / SHOTS)
    found = {"ours": binomial_p(ours, exact, SHOTS), "Aer": binomial_p(theirs, exact, SHOTS)}
    mine = our_counts(problem, SHOTS)
    if mine is not None:
        found["joint"] = homogeneity_p(mine, aer.counts(len(problem.x), 0, SHOTS))
    return found
