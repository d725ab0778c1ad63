"""SWAPs on circuits whose optimum is known: our router alone, our compiler, Qiskit O3's layout and routing.

    python tests/benchmarks/planted_swaps.py [--chips eagle127] [--swaps 3,5,10,20] [--seeds 2] [--plain] [--no-qiskit]

Instances are those of `planted_instances.py`; why their optimum is one stands there. Every row is the mean over the
seeds of SWAPs over the planted optimum, then CPU seconds of one circuit; below, the geometric mean and the worst of all
instances. With --plain the circuits are CX alone, as published, and a compiler may cancel and exchange some of them, so
it may go below 1. Qiskit's SWAPs are counted behind its routing, before it optimizes. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.transpiler import CouplingMap

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import qcompile
from qcompile.placement.couplings import couplings
from qcompile.routing.prefix import route_nearly_fitting
from qcompile.routing.view import View
from tests.benchmarks.planted_chips import GATES, edges
from tests.benchmarks.planted_instances import Planted, planted


def by_router(instance: Planted, chip: str, seed: int) -> float:
    pairs = edges(chip)
    view = View(instance.num_qubits, *instance.arrays())
    routed = route_nearly_fitting(view, couplings(instance.num_qubits, pairs), seed=seed)
    return np.nan if routed is None else routed.swaps


def by_compiler(circuit: QuantumCircuit, chip: str, seed: int, effort: str) -> float:
    device = qcompile.Device.from_coupling(edges(chip))
    return qcompile.compile(circuit, device, seed=seed, effort=effort).estimate.swaps


def by_qiskit(circuit: QuantumCircuit, chip: str, seed: int) -> float:
    coupling = CouplingMap([*edges(chip), *((b, a) for a, b in edges(chip))])
    passes = generate_preset_pass_manager(3, coupling_map=coupling, basis_gates=["cx", "u"], seed_transpiler=seed)
    passes.translation = passes.optimization = passes.scheduling = None
    return passes.run(circuit).count_ops().get("swap", 0)


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """(result, CPU seconds)."""
    started = time.process_time()
    result = call()
    return result, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", default=",".join(GATES))
    parser.add_argument("--swaps", default="3,5,10,20")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--effort", default="fast", choices=("fast", "normal", "best"))
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--no-compiler", action="store_true")
    parser.add_argument("--no-qiskit", action="store_true")
    options = parser.parse_args()
    columns = ["router", *["compile"] * (not options.no_compiler), *["qiskit"] * (not options.no_qiskit)]
    print(f"{'chip':14}{'planted':>8}" + "".join(f"{c + ' x':>12}{'CPU s':>8}" for c in columns))
    ratios: dict[str, list[float]] = {c: [] for c in columns}
    for chip in options.chips.split(","):
        by_router(planted(edges(chip), 3, GATES[chip], 0), chip, 0)  # compiles the kernels
        for swaps in map(int, options.swaps.split(",")):
            found: dict[str, list[tuple[float, float]]] = {c: [] for c in columns}
            for seed in range(options.seeds):
                instance = planted(edges(chip), swaps, GATES[chip], seed)
                circuit = instance.circuit(separated=not options.plain)
                calls = {
                    "router": partial(by_router, instance, chip, seed),
                    "compile": partial(by_compiler, circuit, chip, seed, options.effort),
                    "qiskit": partial(by_qiskit, circuit, chip, seed),
                }
                for column in columns:
                    count, seconds = timed(calls[column])
                    found[column].append((count / swaps, seconds))
                    ratios[column].append(count / swaps)
            means = [np.mean(found[c], axis=0) for c in columns]
            print(f"{chip:14}{swaps:8}" + "".join(f"{r:12.2f}{s:8.2f}" for r, s in means), flush=True)
    for name, values in (
        ("geometric mean", [np.exp(np.mean(np.log(ratios[c]))) for c in columns]),
        ("worst", [np.max(ratios[c]) for c in columns]),
    ):
        print(f"{name:22}" + "".join(f"{v:12.2f}{'':8}" for v in values))


if __name__ == "__main__":
    main()
