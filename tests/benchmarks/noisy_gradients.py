"""One full noisy parameter-shift gradient: ours against Qiskit Aer, in the same run.

    python tests/benchmarks/noisy_gradients.py [--device ibm_manila] [--batch 32] [--shots 1024] [--repeats 20] [--json]

The 48-weight circuit on 4 qubits (RY RZ RX RY encoder, 3 blocks of an RZZ ring and RY RX RZ), one Z a qubit: two
shifted circuits a weight and row. Aer runs the very circuits that ours stand for (same compiled gates, delays and
measurement), as density matrices with parameter binds. One thread each; CPU seconds, the least of the repeats (Aer: one
run, after a small one to warm up). "Exact" is the same without shots. The first call of a fresh process is timed too,
with and without compiled kernels in the cache. Target: 300 times with shots.
"""

# ruff: noqa: E402 - threads are fixed before anything is imported that starts them
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"  # before any of them starts its threads

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError

import qtrain
from qcompile.calibration import load_device
from qcompile.compiled import compact
from qcompile.schedule import pad
from qtrain import ansatze, encoders
from qtrain.noise import measured_circuit
from tests.aer_reference import in_one_piece, noise_model

KEY = (0, 0, 0)
SHIFTS = np.array([np.pi / 2, -np.pi / 2])
TARGET = 300


class Problem:
    """The circuit, its data and the executors' common program."""

    def __init__(self, device: str, batch: int) -> None:
        encoder, self.features = encoders.ry_rz_rx_ry(4)
        ansatz, self.weights = ansatze.rzz_ring(4, 3)
        model = qtrain.QuantumModel(
            encoder.compose(ansatz), features=self.features, weights=self.weights, observables=["Z0", "Z1", "Z2", "Z3"]
        )
        self.device = load_device(device)
        self.exact = qtrain.NoisySimulator(self.device, shots=None)
        self.program = self.exact.prepare(
            model.circuit, model.observables, features=model.features, weights=model.weights
        )
        rng = np.random.default_rng(7)
        self.x = rng.uniform(0, np.pi, (batch, len(self.features)))
        self.w = rng.uniform(-np.pi, np.pi, len(self.weights))
        self.angles = self.program.angles(self.x, self.w)
        self.slots = np.flatnonzero((self.program.A != 0).any(axis=1))
        if not np.all(np.abs(self.program.A).sum(axis=0) == 1):
            raise SystemExit("a weight has not exactly one slot of slope 1; both sides would run different circuits")

    def ours(self, executor: qtrain.NoisySimulator) -> Callable[[], Any]:
        return lambda: executor.shifted_expectations(self.program, self.angles, self.slots, SHIFTS, key=KEY)


class AerGradient:
    """The same shifted circuits, by Aer: one circuit, 2 x weights x batch parameter binds."""

    def __init__(self, problem: Problem) -> None:
        compiled = problem.program.compiled
        assert compiled is not None
        device, active = compiled.device, compiled.active_qubits
        self.problem = problem
        self.basis = problem.program.measurement.bases[0]
        padded = pad(measured_circuit(compiled, self.basis), device)
        self.circuit = compact(padded, active)
        noise = noise_model(device, active)
        for i, p in enumerate(active):
            readout = device.qubits[p].readout
            if readout is not None:
                up, down = readout.p1_given_0, readout.p0_given_1
                noise.add_readout_error(ReadoutError([[1 - up, up], [down, 1 - down]]), [i])
        self.noise = noise

    def binds(self, rows: int, weights: int) -> dict[Parameter, list[float]]:
        """[weight, shift, row] points, flat."""
        points = np.broadcast_to(self.problem.w, (weights, len(SHIFTS), rows, len(self.problem.w))).copy()
        for k in range(weights):
            points[k, :, :, k] += SHIFTS[:, None]
        x = np.broadcast_to(self.problem.x[:rows], (weights, len(SHIFTS), rows, self.problem.x.shape[1]))
        values = dict(zip(self.problem.weights, points.reshape(-1, points.shape[-1]).T))
        values.update(zip(self.problem.features, x.reshape(-1, x.shape[-1]).T))
        return {p: values[p].tolist() for p in self.circuit.parameters}

    def sampled(self, rows: int, weights: int, shots: int) -> None:
        simulator = AerSimulator(
            method="density_matrix", noise_model=self.noise, max_parallel_threads=1, seed_simulator=1
        )
        result = simulator.run([self.circuit], parameter_binds=[self.binds(rows, weights)], shots=shots).result()
        for i in range(2 * weights * rows):
            result.get_counts(i)

    def exact(self, rows: int, weights: int, noise: NoiseModel | None = None) -> np.ndarray:
        """[weight, shift, row, observable] of what is read, without shots.

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
        outcomes = np.arange(2**bits)
        values = []
        for row in self.problem.program.measurement.coefficients:
            ((qubit, _),) = self.problem.program.measurement.strings[int(np.flatnonzero(row)[0])]
            signs = 1.0 - 2.0 * ((outcomes >> self.basis.qubits.index(qubit)) & 1)
            values.append(tensor.reshape(-1, len(outcomes)) @ signs)
        return np.array(values).T.reshape(weights, 2, rows, -1)


def cpu_seconds(run: Callable[[], Any], repeats: int) -> float:
    best = np.inf
    for _ in range(repeats):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return float(best)


def first_call(device: str, batch: int, *, cold: bool) -> float:
    """Wall seconds of the first gradient of a fresh process, after everything is prepared."""
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import noisy_gradients as b;"
        "p = b.Problem(sys.argv[2], int(sys.argv[3])); run = p.ours(b.qtrain.NoisySimulator(p.device));"
        "t = time.perf_counter(); run(); print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | ({"NUMBA_CACHE_DIR": empty} if cold else {})
        command = [sys.executable, "-c", code, os.path.dirname(os.path.abspath(__file__)), device, str(batch)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(device: str, batch: int, shots: int, repeats: int) -> dict[str, Any]:
    """Every figure of this benchmark; seconds."""
    problem = Problem(device, batch)
    weights = len(problem.weights)
    sampled = problem.ours(qtrain.NoisySimulator(problem.device, shots=shots))
    exact = problem.ours(problem.exact)
    aer = AerGradient(problem)
    expected = aer.exact(2, 2, in_one_piece(aer.noise))  # warms Aer up, and holds both to the same numbers
    slots = [int(problem.program.slots_of(k)[0]) for k in range(2)]
    signs = [problem.program.A[slot, k] for k, slot in enumerate(slots)]
    found = exact()[:2, [int(np.flatnonzero(problem.slots == s)[0]) for s in slots]].transpose(1, 2, 0, 3)
    found = np.array([values if sign > 0 else values[::-1] for values, sign in zip(found, signs)])
    sampled()
    figures = {
        "device": device,
        "batch": batch,
        "shots": shots,
        "weights": weights,
        "circuits": 2 * weights * batch,
        "agreement": float(np.abs(found - expected).max()),
        "ours": cpu_seconds(sampled, repeats),
        "ours_exact": cpu_seconds(exact, repeats),
        "aer": cpu_seconds(lambda: aer.sampled(batch, weights, shots), 1),
        "aer_exact": cpu_seconds(lambda: aer.exact(batch, weights), 1),
        "first_call": first_call(device, batch, cold=False),
        "first_call_without_cache": first_call(device, batch, cold=True),
    }
    figures["ratio"] = figures["aer"] / figures["ours"]
    figures["ratio_exact"] = figures["aer_exact"] / figures["ours_exact"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--device", default="ibm_manila")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--shots", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures = measure(options.device, options.batch, options.shots, options.repeats)
    if options.json:
        print(json.dumps(figures))
        return
    print(
        f"{figures['weights']} weights, batch {figures['batch']}, {figures['device']}: {figures['circuits']} circuits, "
        f"one thread each, CPU ms; both agree to {figures['agreement']:.0e}"
    )
    for what, suffix in ((f"{figures['shots']} shots", ""), ("exact", "_exact")):
        ours, aer, ratio = figures["ours" + suffix], figures["aer" + suffix], figures["ratio" + suffix]
        print(f"  {what:12} ours {ours * 1e3:8.2f}   Aer {aer * 1e3:10.1f}   ratio {ratio:8.0f}")
    print(
        f"  first call in a fresh process: {figures['first_call']:.2f} s, "
        f"{figures['first_call_without_cache']:.1f} s where kernels must be compiled first"
    )
    print(f"  target: {TARGET} times with shots: {'met' if figures['ratio'] >= TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
