"""Error of expectations predicted by Pauli propagation: against Aer on 240 circuits, and how far it goes on 127 qubits.

    python tests/benchmarks/expectation_accuracy.py [--circuits 240] [--only small|wide] [--json]

small: u3cu3, esu2, qaoa, random, qoc; 2 to 7 qubits, depth 1 to 12; manila, jakarta, guadalupe, torino; mapped by
Qiskit at O1 or O3 onto random connected regions with coupler error below 0.1. Truth is Aer's density matrix with the
readout confusion of the calibration; observables are Z of every qubit and one random pair. Beside it: no prediction
(error 0), ideal times estimated state fidelity, and the propagation kept to 1,000 strings, with how often its typical
truncation and its bound held where it dropped something.

wide: Z of every virtual qubit on ibm_brisbane (of some where it says so). "checked": largest distance from the density
matrix of those light cones that have 10 qubits or fewer, up to 10 of them. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import efficient_su2
from qiskit.circuit.random import random_circuit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import qcompile
from qcompile.channels import confusion_matrix
from qcompile.expectation import EXACT_QUBITS, _exact_rows, _restricted
from qcompile.fidelity.blocks import fused
from qcompile.fidelity.program import noisy_program
from qcompile.fidelity.propagation import Propagated, propagate, route
from qcompile.native import native_steps
from tests.aer_reference import density_matrix
from tests.circuits import bound, esu2, qaoa, qoc, u3cu3

CHIPS = ("ibm_manila", "ibm_jakarta", "ibm_guadalupe", "ibm_torino")
FAMILIES = ("u3cu3", "esu2", "qaoa", "random", "qoc")
FEW = 1000  # strings
CHECKED = 10


def small_circuit(number: int, device: qcompile.Device) -> QuantumCircuit:
    """One of the mix, mapped and bound."""
    rng = np.random.default_rng(number)
    family = FAMILIES[number % len(FAMILIES)]
    n, depth = int(rng.integers(2, min(7, device.num_qubits) + 1)), int(rng.integers(1, 13))
    if family == "u3cu3":
        circuit = bound(u3cu3(n, depth), number)
    elif family == "esu2":
        circuit = bound(esu2(n, depth, rng), number)
    elif family == "qaoa":
        circuit = bound(qaoa(n, depth, rng), number, 0.0)
    elif family == "qoc":
        circuit = bound(qoc(n, depth), number)
    else:
        circuit = random_circuit(n, depth, max_operands=2, seed=number)
        circuit.measure_all()
    good = [e for e in device.graph.edges if device.graph.edges[e]["error"] < 0.1]
    region = device.graph.edge_subgraph(good)
    members = [int(rng.choice(sorted(region.nodes)))]
    while len(members) < n:
        around = sorted({q for m in members for q in region[m]} - set(members))
        if not around:
            members = [int(rng.choice(sorted(region.nodes)))]
            continue
        members.append(int(rng.choice(around)))
    level = 1 + 2 * int(rng.integers(2))
    return transpile(
        circuit, target=device.target(), optimization_level=level, seed_transpiler=number, initial_layout=members
    )


def compiled_by_qiskit(mapped: QuantumCircuit, device: qcompile.Device) -> qcompile.CompiledCircuit:
    read = mapped.layout
    start, end = (
        qcompile.Layout(tuple(layout(filter_ancillas=True)))
        for layout in (read.initial_index_layout, read.final_index_layout)
    )
    return qcompile.CompiledCircuit(mapped, start, end, qcompile.estimate(mapped, device), device)


def true_value(rho: np.ndarray, compiled: qcompile.CompiledCircuit, qubits: list[int]) -> float:
    """<product of Z> as it is read, from Aer's density matrix."""
    n = len(compiled.active_qubits)
    wires = compiled.final_layout.restricted(compiled.active_qubits).physical
    populations = np.real(np.diag(rho))
    index = np.arange(2**n)
    signs = np.ones(2**n)
    for v in qubits:
        mean = confusion_matrix(compiled.device, compiled.final_layout.physical[v]) @ [1.0, -1.0]
        signs = signs * mean[(index >> wires[v]) & 1]
    return float(populations @ signs)


def small(count: int, *, quiet: bool) -> dict[str, Any]:
    errors: dict[str, list[float]] = {k: [] for k in ("ours", "few strings", "fidelity times ideal", "no prediction")}
    size, seconds, exact_methods, circuits = [], 0.0, 0, 0
    held: list[tuple[bool, bool]] = []
    for number in range(count):
        device = qcompile.load_device(CHIPS[number % len(CHIPS)])
        compiled = compiled_by_qiskit(small_circuit(number, device), device)
        if len(compiled.active_qubits) > 8:
            continue  # Aer would take minutes
        circuits += 1
        rng = np.random.default_rng(number)
        n = len(compiled.final_layout)
        strings = [[v] for v in range(n)] + [sorted(rng.choice(n, 2, replace=False).tolist())]
        names = [" ".join(f"Z{v}" for v in s) for s in strings]
        begun = time.process_time()
        found = qcompile.expectation_errors(compiled, names)
        seconds += time.process_time() - begun
        exact_methods += sum(e.method == "exact" for e in found)
        few = truncated(compiled, strings)
        rho = density_matrix(compiled)
        kept = compiled.estimate.state_fidelity
        for string, e, cut in zip(strings, found, few):
            true = true_value(rho, compiled, string) - e.ideal
            size.append(abs(true))
            errors["ours"].append(abs(e.error - true))
            off = abs(cut.noisy - cut.ideal - true)
            errors["few strings"].append(off)
            if cut.lost_noisy > 1e-6:
                held.append((off <= cut.lost_square**0.5, off <= cut.lost_noisy + cut.lost_ideal))
            errors["fidelity times ideal"].append(abs((kept - 1) * e.ideal - true))
            errors["no prediction"].append(abs(true))
        if not quiet and number % 40 == 39:
            print(f"{number + 1} circuits", flush=True)
    return {
        "circuits": circuits,
        "observables": len(size),
        "few strings: truncated": len(held),
        "few strings: typical truncation held": float(np.mean([h[0] for h in held])),
        "few strings: bound held": float(np.mean([h[1] for h in held])),
        "seconds": seconds,
        "by density matrix": exact_methods,
        **{f"{k}, {w}": float(f(v)) for k, v in errors.items() for w, f in (("mean", np.mean), ("max", np.max))},
    }


def truncated(compiled: qcompile.CompiledCircuit, strings: list[list[int]]) -> list[Propagated]:
    """With FEW strings kept, whatever the light cone; readout included."""
    at = compiled.final_layout.physical
    program = noisy_program(native_steps(compiled.circuit, compiled.device, (), np.empty((1, 0))), compiled.device, at)
    readout = np.tile(np.eye(4), (program.num_qubits, 1, 1))
    for p in at:
        zero, one = confusion_matrix(compiled.device, p) @ [1.0, -1.0]
        readout[program.where[p], 3, ::3] = (zero + one) / 2, (zero - one) / 2
    blocks = fused(program, 0, readout)
    return [
        propagate(blocks, route(blocks, np.array([program.where[at[v]] for v in s])), max_terms=FEW) for s in strings
    ]


def ising(n: int, steps: int, *, dt: float = 0.25) -> QuantumCircuit:
    """Trotter steps of a transverse-field Ising chain, J = h = 1."""
    circuit = QuantumCircuit(n)
    for _ in range(steps):
        for start in (0, 1):
            for q in range(start, n - 1, 2):
                circuit.rzz(2 * dt, q, q + 1)
        circuit.rx(2 * dt, range(n))
    return circuit


def kicked(device: qcompile.Device, steps: int, angle: float) -> QuantumCircuit:
    """Kicked Ising model on every live coupler of the chip (Kim et al., Nature 618, 500 (2023)), native gates by O1."""
    circuit = QuantumCircuit(device.num_qubits)
    for _ in range(steps):
        circuit.rx(angle, range(device.num_qubits))
        for a, b in sorted(device.graph.edges):
            circuit.rzz(-np.pi / 2, a, b)
    return transpile(
        circuit,
        target=device.target(),
        optimization_level=1,
        initial_layout=range(device.num_qubits),
        seed_transpiler=0,
    )


def wide(*, quiet: bool) -> list[dict[str, Any]]:
    device = qcompile.load_device("ibm_brisbane")
    circuits = {
        "EfficientSU2, 100 q, 1 rep, linear": efficient_su2(100, reps=1, entanglement="linear"),
        "EfficientSU2, 100 q, 3 reps, pairwise": efficient_su2(100, reps=3, entanglement="pairwise"),
        "Ising chain, 100 q, 2 Trotter steps": ising(100, 2),
        "Ising chain, 100 q, 4 Trotter steps": ising(100, 4),
        "Ising chain, 60 q, 8 Trotter steps": ising(60, 8),
        "U3+CU3 ring, 30 q, 3 blocks (every tenth Z)": u3cu3(30, 3),
    }
    rows = []
    for name, circuit in circuits.items():
        values = np.random.default_rng(0).uniform(-np.pi, np.pi, circuit.num_parameters)
        compiled = qcompile.compile(circuit.assign_parameters(values), device, effort="fast")
        at = list(compiled.final_layout.physical)
        rows.append(wide_row(name, compiled.circuit, at[::10] if "tenth" in name else at, device))
        if not quiet:
            print(rows[-1], flush=True)
    live = sorted(device.components[0])
    for steps, angle, every in ((3, 0.8, 1), (5, 0.3, 1), (5, 0.8, 1), (8, 0.8, 40)):
        mapped = kicked(device, steps, angle)
        rows.append(wide_row(f"kicked Ising, whole chip, {steps} steps, rx {angle}", mapped, live[::every], device))
        if not quiet:
            print(rows[-1], flush=True)
    return rows


def wide_row(name: str, circuit: QuantumCircuit, at: list[int], device: qcompile.Device) -> dict[str, Any]:
    """Z on each of the physical qubits `at`, and light cones of 10 qubits or fewer against their density matrices."""
    bare = circuit.copy()
    bare._layout = None  # name the qubits by their place on the chip
    names = [f"Z{p}" for p in at]
    begun = time.process_time()
    found = qcompile.expectation_errors(bare, names, device=device)
    seconds = time.process_time() - begun
    steps = [s for s in native_steps(bare, device, (), np.empty((1, 0))) if s.name not in ("measure", "barrier")]
    program = noisy_program(steps, device, at)
    readout = np.tile(np.eye(4), (program.num_qubits, 1, 1))
    blocks = fused(program, 0, readout)
    checked, worst, widest, cone = 0, 0.0, 0, 0
    for p in at:
        string = np.array([program.where[p]])
        way = route(blocks, string)
        if way.plan is None:
            continue
        widest, cone = max(widest, way.plan.width), max(cone, len(way.plan.cone))
        if len(way.plan.cone) <= EXACT_QUBITS and checked < CHECKED:
            part = way.plan.cone
            (row,) = _exact_rows(_restricted(program, part), [np.searchsorted(part, string)], readout[part])
            mine = propagate(blocks, way)
            worst = max(worst, float(np.abs(row.values[0] - [mine.noisy, mine.ideal]).max()))
            checked += 1
    return {
        "circuit": name,
        "observables": len(at),
        "two-qubit gates": program.two_qubit_gates,
        "blocks": len(blocks.pair),
        "widest cone": cone,
        "held at once": widest,
        "seconds": seconds,
        "terms": max(e.terms for e in found),
        "mean |error|": float(np.mean([abs(e.error) for e in found])),
        "truncation bound, max": max(e.truncation for e in found),
        "typical, max": max(e.typical_truncation for e in found),
        "checked": checked,
        "checked, max distance": worst,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circuits", type=int, default=240)
    parser.add_argument("--only", choices=("small", "wide"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    if options.only != "wide":
        result["small"] = small(options.circuits, quiet=options.json)
        if not options.json:
            print(json.dumps(result["small"], indent=2))
    if options.only != "small":
        result["wide"] = wide(quiet=options.json)
    if options.json:
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
