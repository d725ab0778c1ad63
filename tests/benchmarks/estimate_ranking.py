"""Whether an estimate picks the best of many mappings of one circuit, next to the formulas of other tools.

    python tests/benchmarks/estimate_ranking.py [--candidates 40] [--seed 0] [--methods product cluster marginals exact]
        [--cache FOLDER] [--json]

The 19 pairs of mapped_fidelity.py. Candidates of a pair: Qiskit O3 over seeds, O3 on random regions of low coupler
error, our own compile over seeds; 40 of them leave about 25 that differ. For each method: Spearman's rank correlation
of its state fidelity with the exact one among the candidates of a pair, and the exact state fidelity that is lost by
taking its first choice instead of the best. Our own candidates were chosen by our own estimate, so both figures are
given without them too. Candidates whose exact fidelities agree to 1e-12 count once. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import qcompile
from tests.benchmarks.estimate_accuracy import METHODS, PRESENT, available, ours
from tests.benchmarks.estimate_circuits import KNOWN_CHIPS, Case, connected_qubits, target_of, usable
from tests.benchmarks.estimate_peers import PEERS
from tests.benchmarks.estimate_truth import WIDEST, Truth, active_qubits, truths
from tests.benchmarks.mapped_fidelity import circuits
from tests.circuits import bound

SAME = 1e-12
OURS = "ours"


_TRIES = 5
"""Random regions of which the one of least error is taken."""


def region_of_low_error(
    device: qcompile.Device, good: nx.Graph[int], count: int, rng: np.random.Generator
) -> list[int]:
    """Connected qubits in a random order: of a few random regions the one whose couplers have the least mean error."""
    regions = [connected_qubits(good, count, rng) for _ in range(_TRIES)]
    errors = [[device.graph.edges[e]["error"] for e in good.subgraph(r).edges] for r in regions]
    return [int(q) for q in rng.permutation(regions[int(np.argmin([np.mean(e) for e in errors]))])]


def candidates(
    circuit: QuantumCircuit, device: qcompile.Device, count: int, seed: int
) -> list[tuple[str, QuantumCircuit]]:
    """(who made it, mapped circuit): two fifths by O3, two fifths by O3 on regions, the rest by our own compile."""
    rng, good, whole = np.random.default_rng([seed, 3]), usable(device), device.target()
    share = 2 * count // 5
    found = [
        ("O3", transpile(circuit, target=whole, optimization_level=3, seed_transpiler=seed + k)) for k in range(share)
    ]
    for k in range(share):
        region = region_of_low_error(device, good, circuit.num_qubits, rng)
        mapped = transpile(
            circuit,
            target=target_of(device, good, region, fractional=True),
            optimization_level=3,
            initial_layout=region,
            seed_transpiler=seed + k,
        )
        found.append(("region", mapped))
    for k in range(count - 2 * share):
        compiled = qcompile.compile(circuit, device, seed=seed + k, effort=("fast", "normal")[k % 2])
        found.append((OURS, compiled.circuit))
    return [(by, c) for by, c in found if len(active_qubits(c)) <= WIDEST]


def distinct(exact: Sequence[Truth]) -> list[int]:
    """Positions of the candidates that differ in exact fidelity, the first of each."""
    kept: list[int] = []
    for k, found in enumerate(exact):
        if all(abs(found.state - exact[j].state) > SAME for j in kept):
            kept.append(k)
    return kept


def judged(predicted: NDArray[np.float64], exact: NDArray[np.float64]) -> dict[str, float]:
    """Rank correlation and what the first choice loses; a method that cannot tell any apart correlates by 0."""
    apart = len(exact) > 2 and np.ptp(predicted) > 0
    return {
        "correlation": float(spearmanr(predicted, exact)[0]) if apart else 0.0,
        "loss": float(exact.max() - exact[int(np.argmax(predicted))]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=40, help="a pair, before those that are the same")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", default=available(), choices=(*METHODS, PRESENT))
    parser.add_argument("--cache", type=Path, help="folder that keeps the truths")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(width=150, quiet=options.json)
    methods = {m: ours(m) for m in options.methods} | {m: f for m, f in PEERS.items() if m != "no noise"}
    devices = {chip: qcompile.load_device(chip) for chip in KNOWN_CHIPS}
    pairs = [(d, n, c) for d in devices.values() for n, c in circuits().items() if c.num_qubits <= d.num_qubits]
    cases = [
        Case(by, device.name, name, mapped)
        for device, name, circuit in track(pairs, description="candidates", console=console)
        for by, mapped in candidates(bound(circuit, 42), device, options.candidates, options.seed)
    ]
    exact = truths(cases, options.cache)
    rows: list[dict[str, Any]] = []
    for device, name, _ in pairs:
        own = [k for k, c in enumerate(cases) if (c.chip, c.family) == (device.name, name)]
        kept = [own[k] for k in distinct([exact[k] for k in own])]
        others = [j for j, k in enumerate(kept) if cases[k].name != OURS]
        states = np.array([exact[k].state for k in kept])
        row: dict[str, Any] = {"chip": device.name, "circuit": name, "candidates": len(kept), "others": len(others)}
        row |= {"best": float(states.max()), "worst": float(states.min()), "methods": {}}
        row["best_by"] = cases[kept[int(states.argmax())]].name
        for method, predict in methods.items():
            said = np.array([predict(cases[k], device, exact[k]).state for k in kept], dtype=float)
            row["methods"][method] = judged(said, states) | {
                f"{k}_others": v for k, v in judged(said[others], states[others]).items()
            }
        rows.append(row)
    means: dict[str, dict[str, float]] = {}
    for m in methods:
        means[m] = {}
        for suffix in ("", "_others"):
            correlations, losses = ([r["methods"][m][k + suffix] for r in rows] for k in ("correlation", "loss"))
            means[m] |= {f"mean correlation{suffix}": float(np.mean(correlations)), f"least{suffix}": min(correlations)}
            means[m] |= {f"mean loss{suffix}": float(np.mean(losses)), f"max loss{suffix}": max(losses)}
    if options.json:
        print(json.dumps({"rows": rows, "means": means}, indent=2))
        return
    first = options.methods[-1]
    table = Table(title=f"correlation / loss by pair, {first} and ESP", title_justify="left")
    for heading in ("chip", "circuit", "candidates", "exact, worst to best", "best is by", first, "ESP"):
        table.add_column(heading, justify="left" if heading in ("chip", "circuit") else "right")
    for r in rows:
        cells = [f"{r['methods'][m]['correlation']:.3f} / {r['methods'][m]['loss']:.4f}" for m in (first, "ESP")]
        spread = f"{r['worst']:.4f} to {r['best']:.4f}"
        table.add_row(r["chip"], r["circuit"], f"{r['candidates']} ({r['others']})", spread, r["best_by"], *cells)
    console.print(table)
    table = Table(title=f"{len(rows)} pairs; right half: without our own candidates", title_justify="left")
    table.add_column("method")
    for heading in next(iter(means.values())):
        table.add_column(heading.removesuffix("_others"), justify="right")
    for method, figures in means.items():
        table.add_row(method, *(f"{v:.4f}" for v in figures.values()))
    console.print(table)


if __name__ == "__main__":
    main()
