"""Accuracy per QPU second on a chip that is not quite its calibration: cold, warm, pruned and unpruned.

    python tests/benchmarks/warm_start.py [--seeds N] [--sigma S] [--json FILE] [--picture FILE]

The task is that of digits_accuracy.py: digits 0 to 3, 48 weights, 1024 shots, batches of 32. The chip is emulated:
circuits are compiled by the stored calibration of ibm_manila, as a service would report it, and run by NoisySimulator
on noise in which every gate error, T1, T2 and side of a readout error is multiplied by exp(sigma * N(0, 1)), drawn anew
for every seed. (Not by ChipExecutor on a simulated backend: there a step of 3,104 circuits takes seconds, here
milliseconds; the bill is the same formula.)

Cold trains on the chip from random weights: 180 steps, or only as many as the warm start gets. Warm trains 180 steps
on the noise of the stored calibration, unpruned, which costs no QPU time, and then takes 24 steps on the chip, at a
fifth of the learning rate. (That rate was chosen on seeds 10 to 12, among .003, .01, .02 and .05.)

QPU seconds are those of the steps on the chip by IBM's formula; evaluations of the test set are not in them. Nothing is
asserted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import qtrain
from qcompile.calibration import load_device
from qcompile.device import Device, Gate
from qtrain import datasets
from qtrain.executors.base import bill
from qtrain.noise import with_noise
from qtrain.start import start_from
from qtrain.train import evaluate
from tests.benchmarks.digits_accuracy import BATCH, digits_model

DEVICE, SHOTS, SIGMA = "ibm_manila", 1024, 0.3
MANY, FEW = 180, 24  # steps
COLD_RATE, WARM_RATE = 0.05, 0.01
EVALUATE_EVERY = 4
FULL = qtrain.parameter_shift()
PRUNED = qtrain.prune(FULL, ratio=0.5, accumulation_window=1, pruning_window=2)
CASES = (("cold", MANY), ("cold", FEW), ("warm", FEW))

Curve = list[tuple[float, float]]
"""(QPU seconds of the steps so far, test accuracy)."""


def drifted(device: Device, sigma: float, seed: int) -> Device:
    """The device with every error, T1, T2 and readout error times exp(sigma * N(0, 1)); a coupler's directions alike.

    Raises: CalibrationError: a probability that has left its range.
    """
    rng = np.random.default_rng(seed)

    def moved(value: float | None) -> float | None:
        factor = float(np.exp(sigma * rng.standard_normal()))
        return None if value is None else value * factor

    qubits = []
    for qubit in device.qubits:
        readout = qubit.readout
        if readout is not None:
            sides = {"p1_given_0": moved(readout.p1_given_0), "p0_given_1": moved(readout.p0_given_1)}
            readout = replace(readout, **sides)
        qubits.append(replace(qubit, t1=moved(qubit.t1), t2=moved(qubit.t2), readout=readout))
    gates: dict[tuple[str, tuple[int, ...]], Gate] = {}
    for (name, on), gate in sorted(device.gates.items()):
        reverse = gates.get((name, on[::-1]))
        if not gate.usable:
            error = gate.error
        elif reverse is not None and len(on) > 1 and gate.error == device.gates[name, on[::-1]].error:
            error = reverse.error
        else:
            error = moved(gate.error)
        gates[name, on] = replace(gate, error=error)
    return replace(device, qubits=tuple(qubits), gates=gates)


class DriftedChip(qtrain.NoisySimulator):
    """Compiles by one calibration, runs on the noise of another."""

    def __init__(self, reported: Device, actual: Device, shots: int | None, seed: int) -> None:
        super().__init__(actual, shots=shots, seed=seed)
        self.reported = qtrain.NoisySimulator(reported, shots=shots, seed=seed)

    def prepare(self, *arguments: Any, **options: Any) -> Any:
        program = self.reported.prepare(*arguments, **options)
        compiled = replace(program.compiled, device=self.device)
        return with_noise(replace(program, compiled=compiled, device=self.device))


def curve(
    executor: qtrain.NoisySimulator,
    gradient: Any,
    seed: int,
    run_dir: Path,
    *,
    steps: int,
    rate: float,
    shots: int,
    start: Path | None = None,
) -> Curve:
    """Of one training, evaluated before the first step and every few steps."""
    train_set, test_set = datasets.digits(seed)
    result = qtrain.train(
        digits_model(), train_set, executor=executor, gradient=gradient, steps=steps, lr=rate, batch_size=BATCH,
        seed=seed, test_set=test_set, evaluate_every=EVALUATE_EVERY, run_dir=run_dir, start=start, progress=False,
    )  # fmt: skip
    layer = qtrain.QuantumLayer(digits_model(), executor, gradient, seed=seed)
    if start is not None:
        with torch.no_grad():
            layer.weights.copy_(torch.from_numpy(start_from(start, layer.model).weights))
    evaluation = bill(layer.program, len(test_set), shots).qpu_seconds
    found = [line for line in result.metrics if "test_accuracy" in line]
    points = [(line["qpu_seconds"] - n * evaluation, line["test_accuracy"]) for n, line in enumerate(found, start=1)]
    return [(0.0, evaluate(layer, test_set)[1]), *points]


def measure(
    seeds: Sequence[int], sigma: float, *, cases: Sequence[tuple[str, int]] = CASES, model_steps: int = MANY
) -> list[dict[str, Any]]:
    """One row a case; QPU seconds are [point], of the first seed, accuracies [seed, point]."""
    reported = load_device(DEVICE)
    curves: dict[tuple[str, str, int], list[Curve]] = {}
    for seed in seeds:
        chip = DriftedChip(reported, drifted(reported, sigma, seed), SHOTS, seed)
        with tempfile.TemporaryDirectory() as folder:
            noise_model, trained = qtrain.NoisySimulator(reported, shots=SHOTS, seed=seed), Path(folder) / "model"
            curve(noise_model, FULL, seed, trained, steps=model_steps, rate=COLD_RATE, shots=SHOTS)
            for name, gradient in (("every gradient", FULL), ("pruned", PRUNED)):
                for kind, steps in cases:
                    warm = kind == "warm"
                    found = curve(
                        chip, gradient, seed, Path(folder) / f"{name} {kind} {steps}", steps=steps, shots=SHOTS,
                        rate=WARM_RATE if warm else COLD_RATE, start=trained if warm else None,
                    )  # fmt: skip
                    curves.setdefault((kind, name, steps), []).append(found)
    rows = []
    for (kind, name, steps), found_of_seeds in curves.items():
        points = np.array(found_of_seeds)
        rows.append(
            {
                "start": kind,
                "gradients": name,
                "steps": steps,
                "qpu_seconds": points[0, :, 0].tolist(),
                "accuracy": points[:, :, 1].tolist(),
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Accuracy before and after, what it cost, and what a QPU second bought above a guess (0.25)."""
    lines = [
        f"{'start':<6} {'gradients':<15} {'steps':>5} {'QPU s':>9} {'before':>7} {'after':>7} {'std':>6} "
        f"{'(after - 0.25) per 1000 QPU s':>30}"
    ]
    for row in rows:
        accuracy, seconds = np.array(row["accuracy"]), row["qpu_seconds"][-1]
        before, after = accuracy.mean(axis=0)[[0, -1]]
        lines.append(
            f"{row['start']:<6} {row['gradients']:<15} {row['steps']:>5} {seconds:>9,.0f} {before:>7.3f} {after:>7.3f} "
            f"{accuracy[:, -1].std():>6.3f} {1000 * (after - 0.25) / seconds:>30.4f}"
        )
    return "\n".join(lines)


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Accuracy over QPU seconds: what the warm start gets to spend, and all of it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained", dpi=110)
    near, far = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    colors = {("cold", MANY): "tab:gray", ("cold", FEW): "tab:blue", ("warm", FEW): "tab:red"}
    for row in rows:
        seconds, accuracy = np.array(row["qpu_seconds"]) / 1000, np.array(row["accuracy"])
        mean, spread = accuracy.mean(axis=0), accuracy.std(axis=0)
        color = colors.get((row["start"], row["steps"]), "tab:green")
        every = row["gradients"] == "every gradient"
        label = f"{row['start']}, {row['steps']} steps, {row['gradients']}"
        for axes in (near, far):
            axes.plot(seconds, mean, color=color, linestyle="-" if every else "--", label=label, linewidth=1.6)
            if every:
                axes.fill_between(seconds, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    few = max(row["qpu_seconds"][-1] for row in rows if row["steps"] == min(r["steps"] for r in rows)) / 1000
    near.set_xlim(-0.02 * few, 1.02 * few)
    near.set_title("as long as the warm start trains on the chip", fontsize=10)
    far.set_title("to the end", fontsize=10)
    near.set_ylabel(f"test accuracy, {len(rows[0]['accuracy'])} seeds: mean, standard deviation", fontsize=9)
    for axes in (near, far):
        axes.set_xlabel("thousand QPU seconds of training on the chip")
        axes.grid(alpha=0.3)
    far.legend(fontsize=8, loc="lower right")
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sigma", type=float, default=SIGMA, help="log-normal width of the drift; default 0.3")
    parser.add_argument("--json", type=Path, help="write every point")
    parser.add_argument("--picture", type=Path, help="write the curves, .png")
    options = parser.parse_args(arguments)
    rows = measure(range(options.seeds), options.sigma)
    print(
        f"digits 0-3, {DEVICE} drifted by sigma = {options.sigma}, {SHOTS} shots, batch {BATCH}, {options.seeds} seeds"
    )
    print(table(rows))
    if options.json is not None:
        document = {"device": DEVICE, "sigma": options.sigma, "shots": SHOTS, "batch_size": BATCH, "rows": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    if options.picture is not None:
        draw(rows, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
