"""How the time of one gradient grows with the number of qubits and of weights, ours and the peers', as a picture.

    python tests/benchmarks/gradient_growth.py [--peers-python PATH] [--save FILE.json] [--picture FILE.png]
    python tests/benchmarks/gradient_growth.py --load docs/gradients_growth.json --picture docs/gradients_growth.png

Loss and gradient of every weight of *sel* circuits (gradient_workloads.py) at batch 1: 4 to 20 qubits with two layers,
and 8 qubits with 1 to 32 layers. One thread, CPU seconds, measured as in gradients.py. A peer that takes longer than
--limit wall seconds for an answer at one point is not asked at the larger ones of that series.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from tests.benchmarks.benchmark_processes import PEERS_PYTHON, Tool, compared
from tests.benchmarks.gradient_workloads import Workload
from tests.benchmarks.gradients import PEERS, allowed, chosen_peers, disagreement, ours

LIMIT = 90.0
LAYERS = 2
QUBITS = (4, 6, 8, 10, 12, 14, 16, 18, 20)
WIDTH = 8
DEPTHS = (1, 2, 4, 8, 16, 32)
NEVER_BEST = ("default.qubit", "lightning c64")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

Series = list[dict[str, Any]]


def series() -> dict[str, list[tuple[int, Workload]]]:
    """Name of the axis -> [(its value, workload)]."""
    wide = [(n, Workload(f"{n} qubits", "sel", n, LAYERS, 1)) for n in QUBITS]
    deep = [(3 * WIDTH * d, Workload(f"{3 * WIDTH * d} weights", "sel", WIDTH, d, 1)) for d in DEPTHS]
    return {"qubits": wide, "weights": deep}


def measure(peers: tuple[Tool, ...], python: str, limit: float) -> dict[str, Series]:
    """CPU seconds of each tool at each point: {"at", "seconds": {tool: s}, "first": {tool: s}}."""
    own = ours()[0]
    found: dict[str, Series] = {}
    for axis, points in series().items():
        left = list(peers)
        found[axis] = []
        for at, workload in points:
            tools = [(own, sys.executable), *((p, python) for p in left)]
            rows = compared(tools, workload.problem(), rounds=2, seconds=0.3, limit=limit)
            for name, row in rows.items():
                if "error" in row:
                    print(f"{workload.name}: {name}: {row['error']}", file=sys.stderr)
                    left = [p for p in left if p.name != name]
                elif disagreement(row["values"], rows[own.name]["values"]) > allowed(name):
                    apart = disagreement(row["values"], rows[own.name]["values"])
                    print(f"{workload.name}: {name} is {apart:.0e} away from ours: left out from here", file=sys.stderr)
                    row["error"] = "other numbers"
                    left = [p for p in left if p.name != name]
            good = {name: row for name, row in rows.items() if "error" not in row}
            times = {what: {name: row[what] for name, row in good.items()} for what in ("least", "first")}
            found[axis].append({"at": at, "seconds": times["least"], "first": times["first"]})
    return found


def draw(found: dict[str, Series], path: Path) -> None:
    """Both series on logarithmic time axes."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=False)
    names = list(dict.fromkeys(n for points in found.values() for p in points for n in p["seconds"]))
    for panel, (axis, points) in zip(axes, found.items()):
        for name, color in zip(names, COLORS):
            known = [(p["at"], p["seconds"][name] * 1e3) for p in points if name in p["seconds"]]
            if known:
                width = 2.4 if name == "ours" else 1.3
                panel.plot(*zip(*known), color=color, label=name, linewidth=width, marker="o", markersize=4)
        panel.set_yscale("log")
        panel.set_xlabel(axis)
        panel.set_ylabel("CPU ms, one thread")
        panel.grid(alpha=0.3, which="major")
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].set_title(f"{LAYERS} layers, batch 1", fontsize=10)
    axes[0].set_xticks(QUBITS)
    axes[1].set_title(f"{WIDTH} qubits, batch 1", fontsize=10)
    axes[1].set_xscale("log", base=2)
    ticks = [p["at"] for p in found["weights"]]
    axes[1].set_xticks(ticks, [str(t) for t in ticks])
    axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle("Loss and gradient of every weight, noise-free", fontsize=12)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--peers", nargs="*", choices=[p.name for p in PEERS], help="default: those that may be best")
    parser.add_argument("--peers-python", default=str(PEERS_PYTHON), help="an interpreter that has the peers")
    parser.add_argument("--limit", type=float, default=LIMIT, help="wall seconds that one answer of a peer may take")
    parser.add_argument("--load", type=Path, help="draw saved figures instead of measuring")
    parser.add_argument("--save", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--picture", type=Path, help="where the picture goes")
    options = parser.parse_args()
    if options.load is not None:
        found = json.loads(options.load.read_text(encoding="utf-8"))
    else:
        names = options.peers
        if names is None:
            names = [p.name for p in PEERS if p.name not in NEVER_BEST]
        peers, absent = chosen_peers(names, options.peers_python)
        for words in absent:
            print(words, file=sys.stderr)
        found = measure(peers, options.peers_python, options.limit)
    if options.save is not None:
        options.save.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.picture is not None:
        draw(found, options.picture)
    for axis, points in found.items():
        for point in points:
            times = "   ".join(f"{name} {seconds * 1e3:.3f}" for name, seconds in point["seconds"].items())
            print(f"{point['at']:4d} {axis}, CPU ms: {times}")


if __name__ == "__main__":
    main()
