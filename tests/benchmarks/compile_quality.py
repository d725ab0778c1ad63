"""Compilers compared: circuits x chips x {ours, Qiskit O2, Qiskit O3, O3 inside our region, pytket, QMAP}.

    python tests/benchmarks/compile_quality.py [--quick | --all] [--pairs 'u3cu3*@*' ...] [--chips ibm_fez ...]
        [--efforts fast normal best] [--seeds 20] [--own-seeds 1] [--without QMAP ...] [--no-special | --only-special]
        [--limit 120] [--json]

Everyone gets the same calibration, cut down to the live gates of the largest live component (compile_circuits.py),
circuits bound to numbers, and one thread. Peers: compile_peers.py. Columns:

- 2q, 2q depth: native two-qubit gates, and layers of them;
- ESP: product of (1 - error) over all gates and the readout of the measured qubits, the same function for all;
- state: state fidelity as `qcompile.estimate` says it; exact: by density matrix, where 7 qubits or fewer are active;
- CPU: seconds of one compilation, everything warm; build: of what is made once for a chip (Qiskit's pass manager).

"O3 median" has the medians of the seeds (state fidelity: of the run in the middle by ESP), "O3 best" the run with the
highest ESP and the CPU of all. "In region": O3 on a chip cut down to the qubits that ours uses and their neighbours.
Then the geometric means of ours against O3, over the pairs of 8 to 16 qubits that fit no couplers as they are, every
pair where ours has a lower ESP than O3's median, circuits that are compiled symbolic, and some large ones
(compile_special.py). Ctrl-C ends it early; what is measured is printed. Nothing is asserted.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # a test that imports this keeps its threads
    for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON"):
        os.environ[f"{_name}_NUM_THREADS"] = "1"
    os.environ["QISKIT_PARALLEL"] = "FALSE"

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from qiskit import QuantumCircuit
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import qcompile
from tests.benchmarks.compile_circuits import ALL, MODERATE, QUICK, SMALL, bound, live, live_device, needs_routing
from tests.benchmarks.compile_peers import NAMES, Mapped, Peer, PeerError, qiskit_runs
from tests.benchmarks.compile_rows import Pair, Row, print_header, print_pair, print_row, print_summary, summary
from tests.benchmarks.compile_special import SPECIALS, SYMBOLIC, by_qiskit, special_row, symbolic_and_bound
from tests.benchmarks.estimate_peers import esp as esp_factors
from tests.benchmarks.estimate_truth import active_qubits, truth

EFFORTS = ("fast", "normal", "best")
VERIFIED = 10
"""Qubits to which ours is simulated next to the original; outside of the timing."""
EXACT = 7  # active qubits whose density matrix is simulated
WARM = ("u3cu3-4-1", "u3cu3-12-1", "su2circ-8-1", "su2full-6-1", "zzfull-6-1", "qaoa-8-1", "qft-6-1", "random-6-6")
"""What ours has compiled before any clock starts: every numba kernel is then compiled, or read from the disk."""
OTHERS = ("O2", "O3", "region", *NAMES)


def esp(circuit: QuantumCircuit, device: qcompile.Device) -> float:
    """Product of (1 - error) over gates and measurements."""
    return math.prod(esp_factors(circuit, device))


def _pairs(circuit: QuantumCircuit) -> tuple[int, int]:
    """Two-qubit gates and layers of them."""

    def is_pair(i: Any) -> bool:
        return len(i.qubits) == 2 and i.operation.name != "barrier"

    return sum(is_pair(i) for i in circuit.data), circuit.depth(is_pair)


def row(tool: str, runs: Sequence[Mapped], *, best: bool = False) -> Row:
    """Medians of some runs, or the best of them at the cost of all."""
    scores = [esp(r.circuit, r.device) for r in runs]
    order = sorted(range(len(runs)), key=lambda k: scores[k])
    shown = runs[order[-1] if best else order[(len(runs) - 1) // 2]]
    sizes = [_pairs(r.circuit) for r in ([shown] if best else runs)]
    exact = None
    if len(active_qubits(shown.circuit)) <= EXACT:
        exact = truth(shown.circuit, shown.device).state
    seconds = [r.cpu for r in runs]
    return Row(
        tool,
        esp=scores[order[-1]] if best else float(np.median(scores)),
        two_qubit=float(np.median([n for n, _ in sizes])),
        depth=float(np.median([d for _, d in sizes])),
        state=qcompile.estimate(shown.circuit, shown.device).state_fidelity,
        exact=exact,
        cpu=sum(seconds) if best else float(np.median(seconds)),
        build=sum(r.build for r in runs) if best else float(np.median([r.build for r in runs])),
    )


def ours(circuit: QuantumCircuit, device: qcompile.Device, effort: str, seeds: range) -> list[Mapped]:
    """Our result for each seed."""
    found = []
    for seed in seeds:
        begun = time.process_time()
        compiled = qcompile.compile(circuit, device, seed=seed, effort=effort)
        seconds = time.process_time() - begun
        qcompile.assert_executable(compiled.circuit, device)
        if circuit.num_qubits <= VERIFIED:
            qcompile.assert_equivalent(circuit, compiled)
        found.append(Mapped(compiled.circuit, device, seconds))
    return found


def _vicinity(mapped: Mapped) -> set[int]:
    """Active qubits and their neighbours."""
    active = set(active_qubits(mapped.circuit))
    return active.union(*(mapped.device.graph[q] for q in active))


class Bench:
    """Measures pair after pair with everything warm."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.peers = {name: Peer(name, options.limit) for name in NAMES if name not in options.without}
        self._devices: dict[str, qcompile.Device] = {}

    def device(self, chip: str) -> qcompile.Device:
        """The chip as everyone gets it; ours has compiled another circuit for it once."""
        if chip not in self._devices:
            warm = ("u3cu3-4-1",) if self._devices else WARM
            self._devices[chip] = live_device(chip)
            for name in warm:
                for effort in self.options.efforts:
                    qcompile.compile(bound(name), self._devices[chip], effort=effort)
        return self._devices[chip]

    def pair(self, name: str) -> Pair:
        """CIRCUIT@CHIP with no rows yet."""
        circuit, chip = name.split("@")
        made = bound(circuit)
        return Pair(circuit, chip, made.num_qubits, needs_routing(made, self.device(chip)))

    def measure(self, pair: Pair, tell: Callable[[str], None]) -> None:
        """Fills in the rows; `tell` is called with what comes next."""
        circuit, device = bound(pair.circuit), self.device(pair.chip)
        mine: list[Mapped] = []
        for effort in self.options.efforts:
            tell(f"ours {effort}")
            try:
                found = ours(circuit, device, effort, range(self.options.own_seeds))
            except qcompile.NotEquivalentError as error:
                pair.rows.append(Row(f"ours {effort}", note=f"WRONG: {error}"))
                continue
            mine = found
            pair.rows.append(row(f"ours {effort}", mine))
        without, seeds = self.options.without, range(self.options.seeds)
        if "O2" not in without:
            tell("Qiskit O2")
            pair.rows.append(row("O2 median", qiskit_runs(circuit, device, 2, seeds)))
        if "O3" not in without:
            tell("Qiskit O3")
            pair.rows += _both("O3", qiskit_runs(circuit, device, 3, seeds))
        if "region" not in without and mine:
            tell("Qiskit O3 in our region")
            region = live(device, _vicinity(max(mine, key=lambda m: esp(m.circuit, device))))
            pair.rows += _both("O3 in region", qiskit_runs(circuit, region, 3, seeds))
        for peer in self.peers.values():
            tell(peer.name)
            try:
                pair.rows.append(row(peer.name, [peer.map(circuit, device)]))
            except PeerError as error:
                pair.rows.append(Row(peer.name, note=str(error)))

    def close(self) -> None:
        """Ends the peers' processes."""
        for peer in self.peers.values():
            peer.close()


def _both(tool: str, runs: Sequence[Mapped]) -> list[Row]:
    return [row(f"{tool} median", runs), row(f"{tool} best", runs, best=True)]


def chosen(options: argparse.Namespace) -> list[str]:
    """Names of the pairs to measure."""
    given = QUICK if options.quick else (*ALL, *SMALL) if options.all else (*MODERATE, *SMALL)
    if options.pairs:
        exact = [p for p in options.pairs if not set(p) & set("*?[")]
        patterns = [p for p in options.pairs if p not in exact]
        pool = dict.fromkeys((*given, *ALL, *MODERATE, *SMALL))
        given = tuple(dict.fromkeys([*exact, *(n for n in pool if any(fnmatch(n, p) for p in patterns))]))
    return [n for n in given if not options.chips or n.split("@")[1] in options.chips]


def specials(console: Console, tell: Callable[[str], None], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measures and prints symbolic circuits and single hard ones, one after another."""

    def line(title: str, measured: Row, limit: float | None = None) -> dict[str, Any]:
        note = "" if limit is None else f"should take {limit:g} s at most"
        print_row(console, replace(measured, note=note))
        return {"title": title, "limit": limit, **asdict(measured)}

    for effort in options.efforts:
        console.print(f"\n[bold]Parameters left open, ours {effort}[/bold]")
        for name in SYMBOLIC:
            tell(f"{name}: symbolic")
            console.print(name.replace("@", " @ "), style="bold")
            for kind, mapped in zip(("symbolic", "bound"), symbolic_and_bound(name, effort)):
                yield line(name, row(f"{kind} {effort}", [mapped]))
    console.print("\n[bold]Single circuits[/bold]")
    for one in SPECIALS:
        tell(one.title)
        console.print(one.title, style="bold")
        for effort in options.efforts:
            yield line(one.title, row(f"ours {effort}", [special_row(one, effort)]), one.limit)
        if "O3" not in options.without:
            yield line(one.title, row("O3, one seed", [by_qiskit(one)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="four pairs")
    size.add_argument("--all", action="store_true", help="every circuit on every chip")
    parser.add_argument("--pairs", nargs="+", help="CIRCUIT@CHIP, or patterns over all known pairs")
    parser.add_argument("--chips", nargs="+", help="only these")
    parser.add_argument("--efforts", nargs="*", default=["fast", "normal"], choices=EFFORTS)
    parser.add_argument("--seeds", type=int, default=20, help="of Qiskit")
    parser.add_argument("--own-seeds", type=int, default=1, help="of ours; medians are shown")
    parser.add_argument("--without", nargs="*", default=[], choices=OTHERS, help="compilers to leave out")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one circuit by pytket or QMAP")
    parser.add_argument("--no-special", action="store_true", help="pairs alone; so with --quick, --pairs and --chips")
    parser.add_argument("--only-special", action="store_true", help="no pairs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(width=160, quiet=options.json)
    names = [] if options.only_special else chosen(options)
    with_special = not (options.no_special or options.quick or options.pairs or options.chips)
    bench, pairs, special = Bench(options), [], []
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    print_header(console)
    stopped = False
    with bar:
        task = bar.add_task("", total=len(names))
        try:
            for name in names:
                pairs.append(bench.pair(name))
                bench.measure(pairs[-1], lambda step, of=name: bar.update(task, description=f"{of}: {step}"))
                print_pair(console, pairs[-1])
                bar.advance(task)
        except KeyboardInterrupt:
            stopped = True
            console.print(f"Stopped in pair {len(pairs)} of {len(names)}.")
        finally:
            bench.close()
        found = summary(pairs, options.efforts)
        if pairs:
            print_summary(console, found)
        try:
            if with_special and not stopped:
                for entry in specials(console, lambda step: bar.update(task, description=step), options):
                    special.append(entry)
        except KeyboardInterrupt:
            stopped = True
            console.print("Stopped.")
    if options.json:
        document = {"pairs": [asdict(p) for p in pairs], "summary": found, "special": special, "stopped": stopped}
        print(json.dumps(document, indent=2))
    sys.exit(130 if stopped else 0)


if __name__ == "__main__":
    main()
