"""Test accuracy on digits 0 to 3 under ibm_manila's noise, with and without gradient pruning.

    python tests/benchmarks/digits_accuracy.py [--seeds N] [--steps N] [--json]

The set-up of the project's reference: 4x4 images, 48 weights, 1024 shots, 400 training and 300 test rows, batch 32,
Adam 0.05 with cosine decay, 180 steps. Pruning (ratio 0.5, windows 1 and 2) is measured at equal steps, and at equal
circuits: as many steps as the circuits of the unpruned run pay for. Nothing is asserted; the target is a mean of 0.72
without pruning.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np

import qtrain
from qcompile.calibration import load_device
from qtrain import ansatze, datasets, encoders

BATCH = 32


def digits_model() -> qtrain.QuantumModel:
    encoder, features = encoders.ry_rz_rx_ry(4)
    ansatz, weights = ansatze.rzz_ring(4, 3)
    return qtrain.QuantumModel(
        encoder.compose(ansatz), features=features, weights=weights, observables=["Z0", "Z1", "Z2", "Z3"]
    )


def steps_for(method, program, circuits: int) -> int:
    """The most steps whose forward and gradient circuits are within `circuits`."""
    steps = 0
    while True:
        circuits -= BATCH * program.num_bases + method.circuits(program, BATCH, steps)[1]
        if circuits < 0:
            return steps
        steps += 1


def measure(seeds: int, steps: int, device: str = "ibm_manila", shots: int = 1024) -> list[dict]:
    model = digits_model()
    executor = qtrain.NoisySimulator(load_device(device), shots=shots)
    full = qtrain.parameter_shift()
    pruned = qtrain.prune(full, ratio=0.5, accumulation_window=1, pruning_window=2)
    program = qtrain.QuantumLayer(model, executor, full).program
    per_run = steps * (BATCH * program.num_bases + full.circuits(program, BATCH, 0)[1])
    cases = [
        ("no pruning", full, steps),
        ("pruned, equal steps", pruned, steps),
        ("pruned, equal circuits", pruned, steps_for(pruned, program, per_run)),
    ]
    rows = []
    for name, method, count in cases:
        accuracies, started = [], time.perf_counter()
        for seed in range(seeds):
            train_set, test_set = datasets.digits(seed)
            result = qtrain.train(
                model, train_set, executor=executor, gradient=method, steps=count, seed=seed, test_set=test_set,
                optimizer="adam", lr=0.05, batch_size=BATCH, schedule="cosine", progress=False,
            )  # fmt: skip
            accuracies.append(result.test_accuracy)
        rows.append(
            {
                "case": name,
                "steps": count,
                "circuits": result.ledger.circuits - len(test_set) * program.num_bases,
                "qpu_seconds": result.ledger.qpu_seconds,
                "accuracy_mean": float(np.mean(accuracies)),
                "accuracy_std": float(np.std(accuracies)),
                "accuracies": accuracies,
                "seconds_per_run": (time.perf_counter() - started) / seeds,
            }
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=180)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.seeds, options.steps)
    if options.json:
        print(json.dumps(rows))
        return 0
    print(f"{'digits 0-3, ibm_manila, 1024 shots':<36} {'steps':>6} {'circuits':>9} {'mean':>6} {'std':>6}  each seed")
    for row in rows:
        each = " ".join(f"{a:.3f}" for a in row["accuracies"])
        print(
            f"{row['case']:<36} {row['steps']:>6} {row['circuits']:>9,} {row['accuracy_mean']:>6.3f} "
            f"{row['accuracy_std']:>6.3f}  {each}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
