"""Loss and gradient of every weight, noise-free: ours against the fastest simulators, in the same run.

    python tests/benchmarks/gradients.py [--only NAME ...] [--peers NAME ...] [--peers-python PATH] [--json]

Five workloads (gradient_workloads.py), one thread a tool, CPU seconds: the least of blocks of calls, in rounds that
alternate between ours and a peer. A peer runs in a process of its own interpreter (`make peers` makes one), and is
stopped when one answer takes longer than --limit wall seconds. "first" is the first call, building and compiling
included, imports not; ours is also given for fresh processes with and without kernels on disk. Memory is the peak over
the imports. Every loss and gradient must agree with ours: to 1e-9 in complex128, 1e-4 in complex64.

Targets: 5 times the best peer on qoc and at 10 qubits, 2 times at 16 and 20; at 20 qubits within 1.3 times the memory
floor: one-qubit runs and two-qubit gates * 96 * 2^n bytes over the bandwidth that is measured in this run; first call
within 3 s, 30 s where kernels are compiled first.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from rich.console import Console
from rich.table import Table

import qtrain
from tests.benchmarks.benchmark_processes import (
    HOW_TO_INSTALL,
    PEERS_PYTHON,
    Tool,
    WorkerError,
    compared,
    first_call,
    missing,
)
from tests.benchmarks.gradient_workloads import WORKLOADS, Workload
from tests.benchmarks.memory_bandwidth import floor_seconds, stream_bandwidth

LIMIT = 240.0
FIRST_CALL, FIRST_CALL_COLD = 3.0, 30.0
FLOOR = 1.3
PEERS = (
    Tool("TensorCircuit-NG c64", "gradient_peers.py", ("tensorcircuit",), "tensorcircuit"),
    Tool("torch backprop c64", "gradient_peers.py", ("torch",), "torch"),
    Tool("qulacs", "gradient_peers.py", ("qulacs",), "qulacs"),
    Tool("lightning", "gradient_peers.py", ("lightning",), "pennylane_lightning"),
    Tool("lightning c64", "gradient_peers.py", ("lightning-c64",), "pennylane_lightning"),
    Tool("default.qubit", "gradient_peers.py", ("default.qubit",), "pennylane"),
)
WIDEST = {"default.qubit": 10}
"""Qubits beyond which a peer is not asked: it takes minutes there and is never the best."""


def ours() -> tuple[Tool, ...]:
    """Our paths; the first is judged. Single precision is measured where the executor offers it."""
    paths = [Tool("ours", "gradient_ours.py", ("call",)), Tool("ours, torch layer", "gradient_ours.py", ("layer",))]
    if "precision" in inspect.signature(qtrain.ExactSimulator).parameters:
        paths.append(Tool("ours c64", "gradient_ours.py", ("call-single",)))
    return tuple(paths)


def disagreement(found: dict[str, Any], reference: dict[str, Any]) -> float:
    """The largest difference of two results of the same names, in any of their numbers."""
    if found.keys() != reference.keys():
        return float("inf")
    return max(float(np.max(np.abs(np.array(found[k]) - np.array(reference[k])))) for k in reference)


def allowed(tool: str) -> float:
    """How far a tool's numbers may be from ours."""
    return 1e-4 if "c64" in tool else 1e-9


def measure(
    workload: Workload,
    peers: tuple[Tool, ...],
    python: str,
    *,
    rounds: int,
    seconds: float,
    limit: float,
    first_calls: bool = True,
) -> dict[str, Any]:
    """Every figure of one workload; those of fresh processes only with `first_calls`."""
    problem = workload.problem()
    own = ours()
    asked = [p for p in peers if workload.qubits <= WIDEST.get(p.name, 99)]
    bandwidth = stream_bandwidth() if workload.near_floor else 0.0
    rows = compared(
        [*((t, sys.executable) for t in own), *((p, python) for p in asked)],
        problem,
        rounds=rounds,
        seconds=seconds,
        limit=limit,
    )
    reference = rows[own[0].name]
    for name, row in rows.items():
        if "error" not in row:
            row["disagreement"] = disagreement(row["values"], reference["values"])
            row["agrees"] = row["disagreement"] <= allowed(name)
            row["ratio"] = row["least"] / reference["least"]
    for row in rows.values():
        row.pop("values", None)
    figures: dict[str, Any] = {"workload": workload.name, "rows": rows, "target": workload.target}
    for what, cold in (("first_warm", False), ("first_cold", True)) if first_calls else ():
        figures[what] = first_call(own[0], problem, cold=cold)["first"]
    if workload.near_floor:
        bandwidth = max(bandwidth, stream_bandwidth())
        figures["bandwidth"] = bandwidth
        figures["floor"] = floor_seconds(problem["passes"], workload.qubits, bandwidth)
        figures["passes"] = problem["passes"]
    return figures


def verdicts(figures: dict[str, Any]) -> list[tuple[str, bool]]:
    """(what was asked and found, whether it was met) of one workload."""
    rows, reference = figures["rows"], figures["rows"]["ours"]
    found: list[tuple[str, bool]] = []
    rivals = {k: r for k, r in rows.items() if not k.startswith("ours") and "error" not in r}
    if rivals and figures["target"]:
        best = min(rivals, key=lambda k: rivals[k]["least"])
        ratio = rivals[best]["least"] / reference["least"]
        words = f"{figures['target']:g} times the best peer: {ratio:.1f} times {best}"
        found.append((words, ratio >= figures["target"]))
    if "floor" in figures:
        times = reference["least"] / figures["floor"]
        words = (
            f"within {FLOOR} times the memory floor: {times:.2f} times {figures['floor'] * 1e3:.0f} ms "
            f"({figures['passes']} passes at {figures['bandwidth'] / 1e9:.1f} GB/s)"
        )
        found.append((words, times <= FLOOR))
    for what, most, kernels in (("warm", FIRST_CALL, "on disk"), ("cold", FIRST_CALL_COLD, "compiled first")):
        seconds = figures.get(f"first_{what}")
        if seconds is not None:
            found.append((f"first call within {most:g} s, kernels {kernels}: {seconds:.1f} s", seconds <= most))
    for name, row in rows.items():
        if not row.get("agrees", True):
            words = f"agreement of {name} to {allowed(name):g}: THE NUMBERS DIFFER by {row['disagreement']:.1e}"
            found.append((words, False))
    return found


def table(figures: dict[str, Any]) -> Table:
    """One workload as a table."""
    shown = Table(title=figures["workload"], title_justify="left")
    shown.add_column("")
    for heading in ("least, ms", "median, ms", "times ours", "first, s", "memory, MB", "differs by"):
        shown.add_column(heading, justify="right")
    for name, row in figures["rows"].items():
        if "error" in row:
            shown.add_row(name, row["error"])
            continue
        cells = [
            f"{row['least'] * 1e3:.3f}",
            f"{row['median'] * 1e3:.3f}",
            f"{row['ratio']:.2f}",
            f"{row['first']:.2f}",
        ]
        shown.add_row(name, *cells, f"{row['peak_mb']:.0f}", f"{row['disagreement']:.0e}")
    return shown


def chosen_peers(names: list[str] | None, python: str) -> tuple[tuple[Tool, ...], list[str]]:
    """The peers that are wanted and installed, and words on those that are not installed."""
    wanted = tuple(p for p in PEERS if names is None or p.name in names)
    absent = missing(wanted, python)
    words = [f"{p.name}: not measured, {p.package} is not installed in {python}. {HOW_TO_INSTALL}." for p in absent]
    return tuple(p for p in wanted if p not in absent), words


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="+", choices=[w.name for w in WORKLOADS], help="workloads; default all")
    parser.add_argument("--peers", nargs="*", choices=[p.name for p in PEERS], help="default all")
    parser.add_argument("--peers-python", default=str(PEERS_PYTHON), help="an interpreter that has the peers")
    parser.add_argument("--rounds", type=int, default=3, help="alternations of ours and a peer")
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds a tool and round")
    parser.add_argument("--limit", type=float, default=LIMIT, help="wall seconds that one answer of a peer may take")
    parser.add_argument("--skip-first-calls", action="store_true", help="none of the fresh processes of ours")
    parser.add_argument("--json", action="store_true", help="print one JSON object a workload")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=120)
    peers, absent = chosen_peers(options.peers, options.peers_python)
    for words in absent:
        console.print(words, style="bold red", highlight=False)
    for workload in WORKLOADS:
        if options.only is not None and workload.name not in options.only:
            continue
        try:
            figures = measure(
                workload,
                peers,
                options.peers_python,
                rounds=options.rounds,
                seconds=options.seconds,
                limit=options.limit,
                first_calls=not options.skip_first_calls,
            )
        except WorkerError as error:
            raise SystemExit(f"{workload.name}: ours failed: {error}") from None
        figures["targets"] = [{"target": words, "met": met} for words, met in verdicts(figures)]
        if options.json:
            print(json.dumps(figures), flush=True)
        console.print(table(figures))
        for one in figures["targets"]:
            style = "green" if one["met"] else "bold red"
            console.print(f"target: {one['target']}: {'met' if one['met'] else 'MISSED'}", style=style, highlight=False)


if __name__ == "__main__":
    main()
