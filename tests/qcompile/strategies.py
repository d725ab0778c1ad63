"""Random circuits and random calibrated devices for property tests."""

from __future__ import annotations

from datetime import UTC, datetime

import networkx as nx
import numpy as np
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qcompile import Device, Gate, NativeGates, Qubit, Readout
from qcompile.device import Source

GATES = ("h", "x", "s", "tdg", "sx", "rx", "ry", "rz", "p", "u", "cx", "cz", "swap", "rzz", "rxx", "crx", "cu", "cp")


@st.composite
def circuits(draw: st.DrawFn, max_qubits: int = 4, max_gates: int = 12, measured: bool = True) -> QuantumCircuit:
    """Gates of many kinds, angles bound or symbolic (some shared, some in expressions)."""
    n = draw(st.integers(1, max_qubits))
    circuit = QuantumCircuit(n)
    shared = [Parameter(name) for name in ("a", "b", "c")]
    for _ in range(draw(st.integers(0, max_gates))):
        name = draw(st.sampled_from(GATES))
        width = 2 if name in ("cx", "cz", "swap", "rzz", "rxx", "crx", "cu", "cp") else 1
        if width > n:
            continue
        qubits = draw(st.permutations(range(n)))[:width]
        count = {"u": 3, "cu": 4}.get(name, 1 if name in ("rx", "ry", "rz", "p", "rzz", "rxx", "crx", "cp") else 0)
        angles: list[object] = []
        for _ in range(count):
            number = draw(st.floats(-6.3, 6.3, allow_nan=False) | st.sampled_from([0.0, np.pi / 2, np.pi, -np.pi / 2]))
            kind = draw(st.integers(0, 3))
            parameter = draw(st.sampled_from(shared))
            angles.append(number if kind < 2 else parameter if kind == 2 else 2 * parameter + number)
        getattr(circuit, name)(*angles, *qubits)
    if measured and draw(st.booleans()):
        circuit.measure_all()
    return circuit


@st.composite
def devices(draw: st.DrawFn, max_qubits: int = 7) -> Device:
    """Connected random chips: one-way and two-way couplers of several gates, dead gates, dead qubits, odd T1 and T2."""
    n = draw(st.integers(2, max_qubits))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    tree = nx.random_labeled_tree(n, seed=seed)
    pairs = {tuple(sorted(e)) for e in tree.edges}
    for _ in range(draw(st.integers(0, n))):
        a, b = rng.choice(n, 2, replace=False)
        pairs.add((int(min(a, b)), int(max(a, b))))
    gates: dict[tuple[str, tuple[int, ...]], Gate] = {}
    names: set[str] = set()
    for a, b in sorted(pairs):
        for name in rng.choice(["cx", "cz", "ecr"], rng.integers(1, 3), replace=False):
            names.add(str(name))
            ways = [[(a, b)], [(b, a)], [(a, b), (b, a)]][rng.integers(3)]
            for way in ways:
                dead = rng.random() < 0.15
                error = 1.0 if dead else min(max(float(rng.lognormal(-4.5, 0.8)), 1e-4), 0.4)
                gates[str(name), way] = Gate(error, float(rng.uniform(5e-8, 6e-7)), usable=not dead)
    native = [("id", "rz", "sx", "x"), ("id", "r", "rz"), ("r",), ("rz", "u"), ("u1", "u2", "u3")][rng.integers(5)]
    qubits = []
    for q in range(n):
        t1 = float(rng.lognormal(-9.2, 0.5))
        usable = rng.random() > 0.08
        for one in native:
            error = float(rng.uniform(1e-5, 1e-3))
            gates[one, (q,)] = Gate(0.0, 0.0) if one in ("rz", "u1") else Gate(error, 3.5e-8, usable=usable)
        readout = Readout(float(rng.uniform(0, 0.1)), float(rng.uniform(0, 0.2)), 1e-6)
        qubits.append(Qubit(str(10 * q), t1, t1 * float(rng.uniform(0.2, 2.5)), readout, usable))
    return Device(
        name=f"random{seed}", vendor="synthetic", calibrated_at=datetime(2024, 1, 1, tzinfo=UTC), qubits=tuple(qubits),
        gates=gates, native_gates=NativeGates(native, tuple(sorted(names)), tuple({"rz", "u1"}.intersection(native))),
        source=Source("synthetic", "test"),
    )  # fmt: skip
