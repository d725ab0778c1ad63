"""Noisy gradients on calibrated chips: ours against Qiskit Aer and density-matrix simulators, in the same run.

    python tests/benchmarks/noisy_gradients.py [--only NAME ...] [--full] [--peers-python PATH] [--json]

Three workloads (noisy_workloads.py), one thread a tool, CPU seconds. *Sampled*: the whole parameter shift with 1024
shots, two circuits a weight and row; to 5 measured bits drawn jointly, above each observable by itself. Aer runs the
very circuits (noisy_aer.py): all of them on 4 qubits, a stated part on more, scaled linearly; --full runs all (the
10-qubit one takes hours). *Exact*: loss and gradient of every weight without shots, against simulators that
differentiate (noisy_peers.py), in rounds that alternate.

Expectations must agree with Aer's to 1e-9; exact losses and gradients with the peers' to 1e-9, 1e-4 in complex64; what
is drawn must pass a chi-square test, ours and Aer's alike (p >= 1e-4).

Targets: 1000 times Aer on 4 and 7 qubits, 100 times on 10; exact 2 times TensorCircuit-NG; first call within 3 s, 30 s
where kernels are compiled first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.benchmark_processes import HOW_TO_INSTALL, ONE_THREAD, PEERS_PYTHON

os.environ.update(ONE_THREAD)

import argparse
import json
from typing import Any

from rich.console import Console

from tests.benchmarks.benchmark_processes import Tool, compared, first_call, missing
from tests.benchmarks.benchmark_worker import timed
from tests.benchmarks.gradients import FIRST_CALL, FIRST_CALL_COLD, allowed
from tests.benchmarks.gradients import disagreement as difference
from tests.benchmarks.noisy_aer import AerGradient, disagreement, extrapolated, sampling_p
from tests.benchmarks.noisy_workloads import SHOTS, WORKLOADS, NoisyWorkload, Problem, exported

LIMIT = 300.0
EXACT_TARGET = 2.0
LEAST_P = 1e-4
PEERS = (
    Tool("TensorCircuit-NG c64", "noisy_peers.py", ("tensorcircuit",), "tensorcircuit"),
    Tool("TensorCircuit-NG c128", "noisy_peers.py", ("tensorcircuit-c128",), "tensorcircuit"),
    Tool("default.mixed", "noisy_peers.py", ("default.mixed",), "pennylane"),
)


def measure(
    workload: NoisyWorkload,
    peers: tuple[Tool, ...],
    python: str,
    *,
    full: bool,
    seconds: float,
    limit: float,
    first_calls: bool = True,
) -> dict[str, Any]:
    """Every figure of one workload, CPU seconds; those of fresh processes only with `first_calls`."""
    problem = Problem(workload)
    aer = AerGradient(problem)
    weights, rows = (len(problem.w), len(problem.x)) if full else workload.aer
    figures: dict[str, Any] = {
        "workload": workload.name,
        "weights": len(problem.w),
        "batch": len(problem.x),
        "active_qubits": problem.program.num_qubits,
        "circuits": problem.circuits,
        "shots": SHOTS,
        "target": workload.target,
        "agreement": disagreement(problem, aer, min(2, weights), min(2, rows)),  # warms Aer up, too
        "p": sampling_p(problem, aer, min(4, weights), min(16, rows)),
    }
    for what, shots in (("sampled", SHOTS), ("shifted_exact", None)):
        before = timed(lambda shots=shots: {"shifted": problem.shifted(shots)}, seconds)  # type: ignore[misc]
        taken, circuits = extrapolated(aer, weights, rows, shots)
        after = timed(lambda shots=shots: {"shifted": problem.shifted(shots)}, seconds)  # type: ignore[misc]
        ours = min(before["least"], after["least"])
        figures[what] = {"ours": ours, "aer": taken, "aer_circuits_run": circuits, "ratio": taken / ours}
    own = Tool("ours", "noisy_ours.py", ("exact", workload.name))
    tools = [(own, sys.executable), *((p, python) for p in peers if workload.peers)]
    found = compared(tools, exported(problem), rounds=3, seconds=seconds, limit=limit)
    reference = found["ours"]
    for row in found.values():
        if "error" not in row:
            row["ratio"] = row["least"] / reference["least"]
            row["disagreement"] = difference(row["values"], reference["values"])
    for row in found.values():
        row.pop("values", None)
    figures["exact"] = found
    drawn = Tool("ours", "noisy_ours.py", ("sampled", workload.name))
    for what, cold in (("first_warm", False), ("first_cold", True)) if first_calls else ():
        figures[what] = first_call(drawn, {}, cold=cold)["first"]
    return figures


def verdicts(figures: dict[str, Any]) -> list[tuple[str, bool]]:
    """(what was asked and found, whether it was met) of one workload."""
    sampled, target = figures["sampled"], figures["target"]
    part = sampled["aer_circuits_run"]
    scaled = "" if part >= figures["circuits"] else f", scaled from {part} of {figures['circuits']} circuits"
    found = [
        (
            f"{target:g} times Aer with {figures['shots']} shots: {sampled['ratio']:.0f} times{scaled}",
            sampled["ratio"] >= target,
        ),
        (f"expectations equal to Aer's to 1e-9: {figures['agreement']:.1e}", figures["agreement"] <= 1e-9),
    ]
    for whose, p in figures["p"].items():
        found.append((f"chi-square test of what is drawn ({whose}): p = {p:.3g}", p >= LEAST_P))
    for name, row in figures["exact"].items():
        if "error" in row:
            continue
        if row["disagreement"] > allowed(name):
            words = f"agreement of {name} to {allowed(name):g}: THE NUMBERS DIFFER by {row['disagreement']:.1e}"
            found.append((words, False))
        if name.startswith("TensorCircuit"):
            words = f"{EXACT_TARGET:g} times {name}, exact gradient: {row['ratio']:.1f} times"
            found.append((words, row["ratio"] >= EXACT_TARGET))
    for what, most, kernels in (("warm", FIRST_CALL, "on disk"), ("cold", FIRST_CALL_COLD, "compiled first")):
        spent = figures.get(f"first_{what}")
        if spent is not None:
            found.append((f"first call within {most:g} s, kernels {kernels}: {spent:.1f} s", spent <= most))
    return found


def show(console: Console, figures: dict[str, Any]) -> None:
    console.print(
        f"{figures['workload']}: {figures['weights']} weights, batch {figures['batch']}, "
        f"{figures['active_qubits']} active qubits, {figures['circuits']} circuits; CPU ms",
        style="bold",
        highlight=False,
    )
    for what, words in (
        ("sampled", f"parameter shift, {figures['shots']} shots"),
        ("shifted_exact", "the same, exact"),
    ):
        one = figures[what]
        console.print(
            f"  {words:30} ours {one['ours'] * 1e3:10.2f}   Aer {one['aer'] * 1e3:12.0f}   {one['ratio']:9.0f} times",
            highlight=False,
        )
    for name, row in figures["exact"].items():
        if "error" in row:
            console.print(f"  exact loss and gradient        {name}: {row['error']}", highlight=False)
        else:
            console.print(
                f"  exact loss and gradient        {name:22} {row['least'] * 1e3:10.2f}   {row['ratio']:7.2f} times "
                f"ours, first {row['first']:.1f} s, {row['peak_mb']:.0f} MB, differs by {row['disagreement']:.0e}",
                highlight=False,
            )
    for one in figures["targets"]:
        style = "green" if one["met"] else "bold red"
        console.print(f"  target: {one['target']}: {'met' if one['met'] else 'MISSED'}", style=style, highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="+", choices=[w.name for w in WORKLOADS], help="workloads; default all")
    parser.add_argument("--full", action="store_true", help="Aer runs every circuit of every workload")
    parser.add_argument("--peers", nargs="*", choices=[p.name for p in PEERS], help="default all")
    parser.add_argument("--peers-python", default=str(PEERS_PYTHON), help="an interpreter that has the peers")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds a tool and round")
    parser.add_argument("--limit", type=float, default=LIMIT, help="wall seconds that one answer of a peer may take")
    parser.add_argument("--skip-first-calls", action="store_true", help="none of the fresh processes of ours")
    parser.add_argument("--json", action="store_true", help="print one JSON object a workload")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=140)
    wanted = tuple(p for p in PEERS if options.peers is None or p.name in options.peers)
    absent = missing(wanted, options.peers_python)
    for p in absent:
        words = f"{p.name}: not measured, {p.package} is not installed in {options.peers_python}. {HOW_TO_INSTALL}."
        console.print(words, style="bold red", highlight=False)
    for workload in WORKLOADS:
        if options.only is not None and workload.name not in options.only:
            continue
        figures = measure(
            workload,
            tuple(p for p in wanted if p not in absent),
            options.peers_python,
            full=options.full,
            seconds=options.seconds,
            limit=options.limit,
            first_calls=not options.skip_first_calls,
        )
        figures["targets"] = [{"target": words, "met": bool(met)} for words, met in verdicts(figures)]
        if options.json:
            print(json.dumps(figures), flush=True)
        show(console, figures)


if __name__ == "__main__":
    main()
