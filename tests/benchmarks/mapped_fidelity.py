"""State fidelity of mapped circuits by exact noise simulation: trivial layout, Qiskit O3 (5 seeds), ours, on 19 pairs.

    python tests/benchmarks/mapped_fidelity.py [--effort normal] [--json]

manila, jakarta, guadalupe, torino x {qoc(4,3), u3cu3(4,2), esu2(5,3), qaoa(5,4), u3cu3(6,1)} bound at seed 42 (the
6-qubit one not on manila). Qiskit gets targets without dead gates. Truth is Aer's density matrix of the scheduled
circuit on all active qubits; the estimate stands beside it. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from qiskit import QuantumCircuit, transpile

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import qcompile
from tests.aer_reference import exact_state_fidelity
from tests.circuits import bound, esu2, qaoa, qoc, u3cu3

CHIPS = ("ibm_manila", "ibm_jakarta", "ibm_guadalupe", "ibm_torino")
SEEDS = 5


def circuits() -> dict[str, QuantumCircuit]:
    return {
        "qoc(4,3)": qoc(4, 3),
        "u3cu3(4,2)": u3cu3(4, 2),
        "esu2(5,3)": esu2(5, 3, np.random.default_rng(42)),
        "qaoa(5,4)": qaoa(5, 4, np.random.default_rng(42)),
        "u3cu3(6,1)": u3cu3(6, 1),
    }


def mapped_by_qiskit(
    circuit: QuantumCircuit, device: qcompile.Device, level: int, seed: int, layout: list[int] | None = None
) -> qcompile.CompiledCircuit:
    mapped = transpile(
        circuit, target=device.target(), optimization_level=level, seed_transpiler=seed, initial_layout=layout
    )
    read = mapped.layout
    return qcompile.CompiledCircuit(
        mapped,
        qcompile.Layout(tuple(read.initial_index_layout(filter_ancillas=True))),
        qcompile.Layout(tuple(read.final_index_layout(filter_ancillas=True))),
        qcompile.estimate(mapped, device),
        device,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="normal", choices=("fast", "normal", "best"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for chip in CHIPS:
        device = qcompile.load_device(chip)
        for name, circuit in circuits().items():
            if circuit.num_qubits > device.num_qubits:
                continue
            measured = bound(circuit, 42)
            begun = time.process_time()
            ours = qcompile.compile(measured, device, effort=options.effort)
            seconds = time.process_time() - begun
            trivial = mapped_by_qiskit(measured, device, 1, 0, sorted(device.components[0])[: circuit.num_qubits])
            peers = sorted(exact_state_fidelity(mapped_by_qiskit(measured, device, 3, seed)) for seed in range(SEEDS))
            row = {
                "chip": chip,
                "circuit": name,
                "trivial": exact_state_fidelity(trivial),
                "qiskit_o3_median": peers[SEEDS // 2],
                "qiskit_o3_best": peers[-1],
                "ours": exact_state_fidelity(ours),
                "ours_estimated": ours.estimate.state_fidelity,
                "cpu_seconds": seconds,
            }
            rows.append(row)
            if not options.json:
                print("  ".join(f"{v:.4f}" if isinstance(v, float) else f"{v:13}" for v in row.values()), flush=True)
    names = [k for k, v in rows[0].items() if isinstance(v, float)]
    means = {k: float(np.mean([r[k] for r in rows])) for k in names}
    if options.json:
        print(json.dumps({"rows": rows, "means": means}, indent=2))
    else:
        print("mean: " + ", ".join(f"{k} {v:.4f}" for k, v in means.items()))


if __name__ == "__main__":
    main()
