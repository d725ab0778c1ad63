"""Binding against Qiskit's assign_parameters: CPU time of one bound circuit and of the angles of 10,000 vectors.

python tests/benchmarks/binding.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from qiskit import transpile
from qiskit.circuit.library import efficient_su2, zz_feature_map

import qcompile
from tests.circuits import u3cu3

BATCH = 10_000


def milliseconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Least CPU time of `repeats` runs, after one that warms up."""
    work()
    spent = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return 1e3 * min(spent)


def main() -> None:
    device = qcompile.load_device("ibm_guadalupe")
    rng = np.random.default_rng(0)
    print("circuit                        slots  first use  bind, ms  Qiskit's  10,000 vectors, ms")
    for name, circuit in {
        "ZZFeatureMap 6 q, 2 reps": zz_feature_map(6),
        "U3+CU3 4 q, 48 parameters": u3cu3(4, 2),
        "EfficientSU2 16 q, 15 reps": efficient_su2(16, reps=15, entanglement="linear"),
    }.items():
        compiled = qcompile.compile(circuit, device, effort="fast")
        values = rng.uniform(0, 2 * np.pi, (BATCH, circuit.num_parameters))
        begin = time.process_time()
        compiled.bind(values[0])
        first = 1e3 * (time.process_time() - begin)
        ours, batch = (
            milliseconds(lambda c=compiled, v=values: c.bind(v[0])),
            milliseconds(lambda c=compiled, v=values: c.angles(v)),
        )
        qiskit = milliseconds(lambda c=compiled, v=values: c.circuit.assign_parameters(v[0]))
        print(f"{name:30s} {len(compiled.slots):5d} {first:10.2f} {ours:9.3f} {qiskit:9.3f} {batch:19.1f}")
    symbolic = transpile(
        zz_feature_map(6),
        target=device.target(),
        optimization_level=1,
        initial_layout=list(range(6)),
        seed_transpiler=0,
    )
    point = rng.uniform(0, 2 * np.pi, 6)
    theirs = milliseconds(lambda: symbolic.assign_parameters(point), repeats=1)
    print(f"ZZFeatureMap 6 q as Qiskit O1 compiles it, its symbolic global phase included: {theirs:.1f} ms a bind")


if __name__ == "__main__":
    main()
