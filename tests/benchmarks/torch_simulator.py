"""TorchSimulator against the numba simulators, in the same run: expectations and the gradient of every weight.

    python tests/benchmarks/torch_simulator.py [--repeats 5] [--only qoc] [--json]

Loss: mean over the batch of the sum of z squared, by value_and_gradient of torch, and by expectations and adjoint of
the numba simulator. CPU: one thread each, CPU ms, least of the repeats. GPU, where there is one: wall ms with its first
call (libraries, CUDA graph) beside it, in double and single precision. Both agree to 1e-10 in double precision.
"""

# ruff: noqa: E402 - threads are fixed before anything is imported that starts them
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"  # before any of them starts its threads

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp

import qtrain
from qcompile.calibration import load_device
from tests.gradient_circuits import everything, qoc, sel

KEY = (0, 0, 0)
WORKLOADS: dict[str, tuple[Callable[[], Any], int, str | None]] = {  # circuit, batch, chip
    "qoc, batch 32": (qoc, 32, None),
    "qoc, batch 256": (qoc, 256, None),
    "everything(6), batch 32": (lambda: everything(6), 32, None),
    "sel 10 x 5, batch 32": (lambda: sel(10, 5), 32, None),
    "sel 16 x 4, batch 8": (lambda: sel(16, 4), 8, None),
    "sel 20 x 2, batch 1": (lambda: sel(20, 2), 1, None),
    "noisy qoc on manila, batch 32": (qoc, 32, "ibm_manila"),
    "noisy sel 6 x 2 on guadalupe, batch 8": (lambda: sel(6, 2), 8, "ibm_guadalupe"),
}


def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean over the batch of the sum of squares, and its derivative."""
    return float((values**2).sum(axis=1).mean()), 2 * values / len(values)


def timed(run: Callable[[], Any], repeats: int, clock: Callable[[], float]) -> tuple[float, float]:
    """(first call, least of the repeats), ms."""
    found = []
    for _ in range(repeats + 1):
        started = clock()
        run()
        found.append(1e3 * (clock() - started))
    return found[0], min(found[1:])


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Every figure of one workload, ms."""
    build, batch, chip = WORKLOADS[name]
    circuit, features, weights = build()
    device = None if chip is None else load_device(chip)
    n = circuit.num_qubits
    wanted = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], n) for q in range(n)]
    numba = qtrain.ExactSimulator() if device is None else qtrain.NoisySimulator(device, shots=None)
    program = numba.prepare(circuit, wanted, features=features, weights=weights)
    rng = np.random.default_rng(7)
    x, w = rng.uniform(0, np.pi, (batch, len(features))), rng.uniform(-np.pi, np.pi, len(weights))

    def by_numba() -> np.ndarray:
        angles = program.angles(x, w)
        _, cotangent = loss(numba.expectations(program, angles, key=KEY))
        gradient: np.ndarray = numba.adjoint(program, angles, cotangent).sum(axis=0) @ program.A
        return gradient

    figures: dict[str, Any] = {"workload": name, "numba": timed(by_numba, repeats, time.process_time)[1]}
    places = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for place in places:
        for precision in ("double", "single"):
            ours = qtrain.TorchSimulator(device, device=place, precision=precision)

            def by_torch(ours: qtrain.TorchSimulator = ours) -> np.ndarray:
                return ours.value_and_gradient(program, x, w, loss)[1]

            clock = time.process_time if place == "cpu" else time.perf_counter
            first, least = timed(by_torch, repeats, clock)
            figures[f"{place}, {precision}"] = least
            figures[f"{place}, {precision}, first call"] = first
            error = float(np.abs(by_torch() - by_numba()).max())
            if error > (1e-10 if precision == "double" else 1e-3):
                raise SystemExit(f"{name}, {place}, {precision}: gradients differ by {error}")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="workloads whose name holds this")
    parser.add_argument("--json", action="store_true", help="print one JSON object a workload")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in WORKLOADS:
        if options.only not in name:
            continue
        figures = measure(name, options.repeats)
        if options.json:
            print(json.dumps(figures), flush=True)
            continue
        times = "   ".join(f"{key} {value:.2f}" for key, value in figures.items() if key != "workload")
        print(f"{name}: {times}", flush=True)


if __name__ == "__main__":
    main()
