"""Noisy expectations of Z on each of 127 qubits and one gradient, on Heron calibrations, by Pauli propagation.

    python tests/benchmarks/wide_gradients.py [--devices ibm_torino ibm_fez] [--threads 2] [--finer]

Hardware-efficient circuits of 127 qubits and 3 layers: `ansatze.efficient_su2` with CX on a line, one after the other
(reverse_linear) and in pairs (pairwise). Loss: sum of squares of the 127 expectations; angles uniform in [-pi, pi].
Times are CPU and wall seconds; the first gradient includes finding the strings, and numba's compilation where its
cache is cold. `bound` and `typical` are the executor's own statements; --finer adds the difference from the same with 8
times as many strings, of values and of the gradient (root mean square of the gradient beside it).
"""

from __future__ import annotations

import argparse
import os
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--devices", nargs="+", default=["ibm_torino", "ibm_fez", "ibm_marrakesh"])
parser.add_argument("--entanglement", nargs="+", default=["reverse_linear", "pairwise"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--qubits", type=int, default=127)
parser.add_argument("--reps", type=int, default=3)
parser.add_argument("--finer", action="store_true", help="compare with 8 times as many strings")
arguments = parser.parse_args()
os.environ["NUMBA_NUM_THREADS"] = str(arguments.threads)  # read when numba is first imported

import numpy as np  # noqa: E402

import qtrain  # noqa: E402
from qcompile import load_device  # noqa: E402
from qtrain import ansatze  # noqa: E402


class Clock:
    """CPU and wall seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.process_time(), time.perf_counter()

    def __str__(self) -> str:
        cpu, wall = time.process_time() - self.start[0], time.perf_counter() - self.start[1]
        return f"{cpu:6.2f} s CPU {wall:6.2f} s wall"


def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
    return float((values**2).sum()), 2 * values


def measure(name: str, entanglement: str) -> None:
    n = arguments.qubits
    circuit, weights = ansatze.efficient_su2(n, reps=arguments.reps, entanglement=entanglement)
    model = qtrain.QuantumModel(circuit, weights=weights, observables=[f"Z{q}" for q in range(n)])
    executor = qtrain.PropagationSimulator(load_device(name))
    print(f"\n{name}, {entanglement}: {n} qubits, {arguments.reps} layers, {len(weights)} weights")
    clock = Clock()
    program = executor.prepare(model.circuit, model.observables, weights=model.weights)
    print(f"  compile and noise model     {clock}   ({program.num_qubits} active qubits)")
    features = np.zeros((1, 0))
    for step, label in enumerate(("first", "second", "third")):
        point = np.random.default_rng(step).uniform(-np.pi, np.pi, len(weights))
        clock = Clock()
        _, gradient, values = executor.value_and_gradient(program, features, point, loss)
        print(f"  values and gradient, {label:6} {clock}")
        truncation = executor.truncation
        assert truncation is not None
        bound, typical = truncation.bound[0], truncation.typical
        print(
            f"    bound: median {np.median(bound):.1e}, largest {bound.max():.1e}, {np.sum(bound > 0.01)} above 0.01; "
            f"typical: median {np.median(typical):.1e}, largest {typical.max():.1e}; "
            f"strings at most {truncation.terms:,}"
        )
    if arguments.finer:
        finer = qtrain.PropagationSimulator(executor.device, threshold=1e-8, max_terms=8 * executor.max_terms)
        clock = Clock()
        _, better, exact = finer.value_and_gradient(program, features, point, loss)
        print(
            f"  against a finer one {clock}: values differ by {np.abs(values - exact).max():.1e} at most, "
            f"gradient by {np.abs(gradient - better).max():.1e} at most, {np.sqrt(np.mean(better**2)):.1e} rms in size"
        )


if __name__ == "__main__":
    for device in arguments.devices:
        for way in arguments.entanglement:
            measure(device, way)
