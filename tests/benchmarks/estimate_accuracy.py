"""How well estimates of fidelity agree with exact noise simulation, next to the formulas of other tools.

    python tests/benchmarks/estimate_accuracy.py [--count 240] [--unseen 120] [--chips ibm_manila ...] [--seed 0]
        [--methods product cluster marginals exact] [--cache FOLDER] [--no-timings] [--json]

Two sets of circuits (estimate_circuits.py): the known one and an unseen one. Truth (estimate_truth.py) is Aer's density
matrix of the scheduled circuit. For each method: Spearman's rank correlation with the truth, mean and largest absolute
error, bias (estimate minus truth), of the state fidelity and of the Hellinger fidelity of what is read; how often the
error lies within the stated uncertainty; mean and largest error of expectation values on the measured qubits: <P> of
Z-type Paulis in the final state, without readout error (every Z, neighbouring ZZ, of the random Paulis those without X
and Y: to measure these takes gates, whose noise the truth leaves out), and <Z> of every qubit as it is read. Then CPU
time against the density matrix. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import qcompile
from tests.benchmarks.estimate_circuits import (
    KNOWN_CHIPS,
    UNSEEN_CHIPS,
    Case,
    connected_qubits,
    known,
    target_of,
    unseen,
    usable,
    wide_circuit,
)
from tests.benchmarks.estimate_peers import PEERS, Method, Prediction, z_type
from tests.benchmarks.estimate_truth import Truth, density_matrix, truths
from tests.circuits import bound, u3cu3

METHODS = ("product", "cluster", "marginals", "exact")
PRESENT = "present"
"""Name of the estimate where qcompile.estimate takes no method."""


# Ours: the only two places that call what is judged.


def our_estimate(circuit: QuantumCircuit, device: qcompile.Device, method: str) -> qcompile.Estimate:
    if method == PRESENT:
        return qcompile.estimate(circuit, device)
    return qcompile.estimate(circuit, device, method=method)


def our_expectations(
    circuit: QuantumCircuit, device: qcompile.Device, paulis: Sequence[str], *, readout: bool
) -> list[float]:
    """Noisy expectation values of Qiskit labels on the virtual qubits."""
    return [float(e.noisy) for e in qcompile.expectation_errors(circuit, paulis, device=device, readout=readout)]


def available() -> tuple[str, ...]:
    """The methods of qcompile.estimate."""
    return METHODS if "method" in inspect.signature(qcompile.estimate).parameters else (PRESENT,)


def ours(method: str) -> Method:
    def predict(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
        begun = time.process_time()
        found = our_estimate(case.circuit, device, method)
        seconds = time.process_time() - begun
        uncertainty = getattr(found, "uncertainty", None)
        return Prediction(found.state_fidelity, found.hellinger_fidelity, uncertainty, None, seconds)

    return predict


def expectation_pass(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
    begun = time.process_time()
    labels = [exact.paulis[k] for k in z_type(exact)]
    values = our_expectations(case.circuit, device, labels, readout=False)
    seconds = time.process_time() - begun
    read = our_expectations(case.circuit, device, [exact.paulis[v] for v in exact.measured], readout=True)
    return Prediction(None, None, None, values, seconds, read)


# Figures.


def agreement(predicted: Sequence[float | None], exact: Sequence[float]) -> dict[str, float] | None:
    """Rank correlation, mean and largest absolute error, bias, and how many circuits anything was said of."""
    pairs = np.array([(p, t) for p, t in zip(predicted, exact) if p is not None])
    if not len(pairs):
        return None
    error = pairs[:, 0] - pairs[:, 1]
    told_apart = len(pairs) > 2 and np.ptp(pairs[:, 0]) > 0 and np.ptp(pairs[:, 1]) > 0
    return {
        "rank": float(spearmanr(pairs[:, 0], pairs[:, 1])[0]) if told_apart else math.nan,
        "mean_error": float(np.abs(error).mean()),
        "max_error": float(np.abs(error).max()),
        "bias": float(error.mean()),
        "circuits": float(len(pairs)),
    }


def distances(pairs: Iterable[tuple[Sequence[float] | None, Sequence[float]]]) -> np.ndarray:
    """|predicted - true| of all circuits that anything was said of."""
    return np.array([abs(v - t) for said, true in pairs if said is not None for v, t in zip(said, true, strict=True)])


def figures(predictions: Sequence[Prediction], exact: Sequence[Truth]) -> dict[str, Any]:
    said = list(zip(predictions, exact))
    errors = distances((p.expectations, [x.damped[k] for k in z_type(x)]) for p, x in said)
    misread = distances((p.read, [x.z_read[v] for v in x.measured]) for p, x in said)
    covered = [
        abs(p.state - x.state) <= p.uncertainty
        for p, x in zip(predictions, exact)
        if p.uncertainty is not None and p.state is not None
    ]
    return {
        "circuits": len(exact),
        "state": agreement([p.state for p in predictions], [x.state for x in exact]),
        "hellinger": agreement([p.hellinger for p in predictions], [x.hellinger for x in exact]),
        "within_uncertainty": float(np.mean(covered)) if covered else None,
        "mean_uncertainty": float(np.mean([p.uncertainty for p in predictions if p.uncertainty is not None]))
        if covered
        else None,
        "expectation_mean_error": float(errors.mean()) if len(errors) else None,
        "expectation_max_error": float(errors.max()) if len(errors) else None,
        "read_mean_error": float(misread.mean()) if len(misread) else None,
        "read_max_error": float(misread.max()) if len(misread) else None,
        "cpu_ms": 1e3 * float(np.median([p.seconds for p in predictions])),
    }


def _cell(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def print_figures(console: Console, title: str, rows: dict[str, dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("method", no_wrap=True)
    for of in ("state", "Hellinger"):
        for name in ("rank", "mean", "max", "bias"):
            table.add_column(f"{of}\n{name}", justify="right")
    for name in (
        "<P> mean\nerror",
        "<P> max\nerror",
        "read <Z>\nmean",
        "read <Z>\nmax",
        "within\nuncert.",
        "mean\nuncert.",
        "median\nCPU ms",
    ):
        table.add_column(name, justify="right")
    for method, row in rows.items():
        cells = []
        for of in ("state", "hellinger"):
            for name in ("rank", "mean_error", "max_error", "bias"):
                cells.append(_cell(row[of][name]) if row[of] is not None else "")
            if row[of] is not None and row[of]["circuits"] < row["circuits"]:
                cells[-4] += f" ({row[of]['circuits']:.0f} of {row['circuits']})"
        for of in ("expectation", "read"):
            found = (row[f"{of}_mean_error"], row[f"{of}_max_error"])
            cells += ["" if value is None else f"{value:.2g}" for value in found]
        cells += [_cell(row["within_uncertainty"], 3), _cell(row["mean_uncertainty"]), _cell(row["cpu_ms"] or None, 2)]
        table.add_row(method, *cells)
    console.print(table)


# CPU time.


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Least CPU seconds of some repeats, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def timings(methods: Sequence[str], seed: int) -> dict[str, Any]:
    """CPU seconds at 10 qubits next to the density matrix, and at 127 qubits and 5,000 gates next to Qiskit's ESP."""
    small = qcompile.load_device("ibm_guadalupe")
    rng, good = np.random.default_rng(seed), usable(small)
    region = connected_qubits(good, 10, rng)
    circuit = bound(u3cu3(10, 2), seed)
    mapped = transpile(
        circuit,
        target=target_of(small, good, region),
        initial_layout=region,
        optimization_level=1,
        seed_transpiler=seed,
    )
    simulated = cpu(lambda: density_matrix(mapped, small), 2)
    wide = qcompile.load_device("ibm_brisbane")
    large, target = wide_circuit(wide, 5000, seed), wide.target()
    product = cpu(lambda: large.estimate_fidelity(target), 5)
    rows: dict[str, Any] = {
        "density_matrix_10q": {"seconds": simulated, "gates": mapped.size()},
        "qiskit_esp_127q": {"seconds": product, "gates": large.size()},
    }
    for method in methods:
        seconds = cpu(lambda m=method: our_estimate(mapped, small, m), 3)
        rows[f"{method}_10q"] = {"seconds": seconds, "density_matrix_over_it": simulated / seconds}
        if method in ("product", "cluster", PRESENT):
            seconds = cpu(lambda m=method: our_estimate(large, wide, m), 5)
            rows[f"{method}_127q"] = {"seconds": seconds, "it_over_qiskit_esp": seconds / product}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=240, help="circuits of the known set")
    parser.add_argument("--unseen", type=int, default=120, help="circuits of the unseen set")
    parser.add_argument("--chips", nargs="+", help="only these, of the chips of both sets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", default=available(), choices=(*METHODS, PRESENT))
    parser.add_argument("--detail", help="method whose figures are split by family and chip; default: the last one")
    parser.add_argument("--cache", type=Path, help="folder that keeps the truths")
    parser.add_argument("--no-timings", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(width=205, quiet=options.json)
    wanted = options.chips
    sets = {}
    for title, make, chips, count in (
        ("known", known, KNOWN_CHIPS, options.count),
        ("unseen", unseen, UNSEEN_CHIPS, options.unseen),
    ):
        kept = tuple(c for c in chips if wanted is None or c in wanted)
        sets[title] = make(count, options.seed, kept) if kept and count else []
    methods = {m: ours(m) for m in options.methods}
    if hasattr(qcompile, "expectation_errors"):
        methods["expectation_errors"] = expectation_pass
    methods |= PEERS
    result: dict[str, Any] = {}
    for title, cases in sets.items():
        if not cases:
            continue
        exact = truths(cases, options.cache, title=f"truth of the {title} set")
        devices = {c.chip: qcompile.load_device(c.chip) for c in cases}
        said = {m: [f(c, devices[c.chip], x) for c, x in zip(cases, exact)] for m, f in methods.items()}
        rows = {m: figures(p, exact) for m, p in said.items()}
        print_figures(console, f"{title} set, {len(cases)} circuits", rows)
        detail = options.detail or options.methods[-1]
        split = {}
        for group in sorted({c.family for c in cases}) + sorted({c.chip for c in cases}):
            index = [k for k, c in enumerate(cases) if group in (c.family, c.chip)]
            split[group] = figures([said[detail][k] for k in index], [exact[k] for k in index])
        print_figures(console, f"{title} set, {detail}, by family and chip", split)
        result[title] = {"methods": rows, "detail": {detail: split}}
    if not options.no_timings:
        result["timings"] = timings(options.methods, options.seed)
        for name, row in result["timings"].items():
            console.print(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()))
    if options.json:
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
