"""The whole path in one go: `python -m qtrain.demo`.

Maps a circuit that comes with the package onto ibm_guadalupe, in four ways, and says where fidelity, time and money go;
then trains digits 0 to 3 on the noise of ibm_manila with gradient pruning. Every number printed is from the run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import qcompile
import qtrain
from qcompile.examples import PQC6
from qcompile.tables import bill_parts, loss_table
from qtrain.billing import price

COMPILED_FOR, TRAINED_ON = "ibm_guadalupe", "ibm_manila"
SHOTS, BATCH = 1024, 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit code: 0 done, 1 failed by an outside cause, 130 stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m qtrain.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="folder for pictures; default out")
    parser.add_argument("--steps", type=int, default=180, help="gradient steps of the training; default 180")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    begin = time.perf_counter()
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        _compile(console, options.out)
        _train(console, options.steps)
    except KeyboardInterrupt:
        return _stop("stopped.", 130)
    except qcompile.QonchipError as error:
        return _stop(str(error), error.exit_code)
    except OSError as error:
        return _stop(f"{error.filename or 'output'}: {error.strerror or error}.", 1)
    console.print(f"\nDone in {time.perf_counter() - begin:.0f} s.")
    return 0


def _stop(message: str, code: int) -> int:
    print(f"demo: {message}", file=sys.stderr)
    return code


def _compile(console: Console, out: Path) -> None:
    device = qcompile.load_device(COMPILED_FOR)
    console.rule(f"[bold]1. Compile {PQC6.name} for {device.name}")
    comparison = qcompile.compare(PQC6, device, shots=SHOTS)
    console.print(comparison.table())
    console.print(loss_table(comparison))

    compiled = comparison.compiled
    bill = qcompile.cost(compiled, shots=SHOTS)
    parts = ", ".join(f"{seconds:.3f} s {what}" for what, seconds in bill_parts(compiled, bill).items())
    dollars = "price unknown" if bill.usd is None else f"{bill.usd:.2f} USD"
    console.print(f"{SHOTS} shots of our circuit on the chip: {bill.qpu_seconds:.2f} QPU seconds, {dollars}: {parts}.")
    qcompile.assert_executable(compiled.circuit, device)
    qcompile.assert_equivalent(PQC6, compiled)
    console.print("Checked: every gate is native and live, and the circuit does what the original does.")
    for name, figure in (
        ("coupling_map", qcompile.draw_device(device, compiled)),
        ("comparison", qcompile.draw_comparison(comparison)),
        ("schedule", qcompile.draw_schedule(compiled)),
    ):
        path = out / f"{COMPILED_FOR}_{name}.png"
        figure.savefig(path)
        console.print(f"wrote {path}")


def _train(console: Console, steps: int) -> None:
    device = qcompile.load_device(TRAINED_ON)
    console.rule(f"[bold]2. Train digits 0 to 3 on the noise of {device.name}")
    encoder, features = qtrain.encoders.ry_rz_rx_ry(4)
    ansatz, weights = qtrain.ansatze.rzz_ring(4, blocks=3)
    model = qtrain.QuantumModel(
        encoder.compose(ansatz), features=features, weights=weights, observables=[f"Z{q}" for q in range(4)]
    )
    train_set, test_set = qtrain.datasets.digits()
    full = qtrain.parameter_shift()
    pruned = qtrain.prune(full, ratio=0.5, accumulation_window=1, pruning_window=2)
    console.print(
        f"{len(weights)} weights, {len(features)} features, 4 qubits; {steps} steps with batches of {BATCH} of "
        f"{len(train_set)} rows, {SHOTS} shots a circuit. Pruning leaves out half of the weights in 2 of 3 steps."
    )
    table = Table()
    for column in ("gradients", "loss at first", "last 10 steps", "test accuracy", "circuits", "QPU seconds", "USD"):
        table.add_column(column, justify="left" if column == "gradients" else "right")
    table.add_column("simulated in", justify="right")
    for name, gradient in (("pruned", pruned), ("all", full)):
        begin = time.perf_counter()
        result = qtrain.train(
            model,
            train_set,
            test_set=test_set,
            executor=qtrain.NoisySimulator(device, shots=SHOTS),
            gradient=gradient,
            steps=steps,
            batch_size=BATCH,
        )
        seconds = time.perf_counter() - begin
        spent, dollars = result.ledger, price(result.ledger, device)
        table.add_row(
            name,
            f"{result.losses[0]:.3f}",
            f"{np.mean(result.losses[-10:]):.3f}",
            f"{result.test_accuracy:.3f}",
            f"{spent.circuits:,}",
            f"{spent.qpu_seconds:,.0f}",
            "unknown" if dollars is None else f"{dollars:,.0f}",
            f"{seconds:.1f} s",
        )
    console.print(table)
    console.print(
        f"Accuracy on {len(test_set)} rows. Circuits, QPU seconds and USD are what the chip would have charged."
    )


if __name__ == "__main__":
    sys.exit(main())
