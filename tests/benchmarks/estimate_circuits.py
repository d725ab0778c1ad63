"""The mapped circuits on which estimates of fidelity are judged: a known set and an unseen one.

`known` is 60 circuits on each of manila, jakarta, guadalupe and torino: five families, 2 to 7 qubits, depth 1 to 12,
half compiled by Qiskit at O1 and half at O3 onto random connected qubits whose couplers have an error below 0.1.
`unseen` has other chips, families and seeds, 2 to 8 qubits, spare qubits to route through, delays, qubits that are not
measured. Everything is a function of the seed; no circuit uses a dead gate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import QFTGate, real_amplitudes, zz_feature_map
from qiskit.circuit.random import random_circuit
from qiskit.transpiler import Target

import qcompile
from tests.circuits import esu2, qaoa, qoc, u3cu3

KNOWN_CHIPS = ("ibm_manila", "ibm_jakarta", "ibm_guadalupe", "ibm_torino")
UNSEEN_CHIPS = (
    "ibm_brisbane", "ibm_fez", "ibm_kolkata", "ibm_montreal", "ibm_perth", "ibm_oslo", "ibm_lagos", "ibm_sherbrooke",
    "ibm_hanoi", "ibm_kingston", "ibm_nairobi", "ibm_marrakesh",
)  # fmt: skip
WORST_COUPLER = 0.1
WORST_READOUT = 0.3
_UNSEEN_STREAM = 2

Family = Callable[[int, int, np.random.Generator], QuantumCircuit]
"""(qubits, depth, random numbers) -> bound circuit; without measurements every qubit is measured at the end."""


@dataclass(frozen=True)
class Case:
    """One mapped circuit.

    Attributes:
        name, family: e.g. "017 esu2(5,3) O1", "esu2".
        chip: name of the device.
        circuit: on the device's physical qubits, with Qiskit's `.layout`, measurements at the end.
    """

    name: str
    chip: str
    family: str
    circuit: QuantumCircuit


def usable(device: qcompile.Device, worst: float = WORST_COUPLER) -> nx.Graph[int]:
    """Live couplers with an error below `worst`, between qubits that can be read."""
    good: nx.Graph[int] = nx.Graph()
    for a, b, error in device.graph.edges(data="error"):
        readouts = [device.qubits[q].readout for q in (a, b)]
        if error < worst and all(r is not None and r.error < WORST_READOUT for r in readouts):
            good.add_edge(a, b)
    return good


def connected_qubits(graph: nx.Graph[int], count: int, rng: np.random.Generator) -> list[int]:
    """Random connected qubits, in the order in which they were reached."""
    big = sorted(q for part in nx.connected_components(graph) if len(part) >= count for q in part)
    reached = [int(rng.choice(big))]
    while len(reached) < count:
        border = sorted({n for q in reached for n in graph[q]} - set(reached))
        reached.append(int(rng.choice(border)))
    return reached


def target_of(device: qcompile.Device, good: nx.Graph[int], region: Sequence[int], fractional: bool = False) -> Target:
    """The device's own Target with gates on a region alone, couplers of `good` only."""
    inside, whole = set(region), device.target()
    target = Target(num_qubits=device.num_qubits, dt=whole.dt, qubit_properties=whole.qubit_properties)
    for name in whole.operation_names:
        if name in device.native_gates.fractional and not fractional:
            continue
        props = {
            on: entry
            for on, entry in whole[name].items()
            if inside.issuperset(on) and (len(on) == 1 or good.has_edge(*on))
        }
        if props:
            target.add_instruction(whole.operation_from_name(name), props, name=name)
    return target


def _angles(
    circuit: QuantumCircuit, rng: np.random.Generator, features: str = "", low: float = -np.pi
) -> QuantumCircuit:
    """Bound from `low` to pi; parameters whose name begins with one of `features` from 0."""
    return circuit.assign_parameters(
        [float(rng.uniform(0.0 if p.name[0] in features else low, np.pi)) for p in circuit.parameters]
    )


def _random(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    return random_circuit(n, d, max_operands=2, seed=int(rng.integers(2**31)))


def _ghz(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for q in range(1, n):
        circuit.cx(q - 1 if d % 2 else 0, q)
    return circuit


def _qft(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    for q in range(n):
        circuit.ry(rng.uniform(0, np.pi), q)
    circuit.append(QFTGate(n), range(n))
    return circuit.decompose()


def _ising(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    field, coupling, step = *rng.uniform(0.3, 1.5, 2), rng.uniform(0.1, 0.5)
    circuit = QuantumCircuit(n)
    for _ in range(d):
        for parity in (0, 1):
            for q in range(parity, n - 1, 2):
                circuit.rzz(-2 * coupling * step, q, q + 1)
        circuit.rx(-2 * field * step, range(n))
    return circuit


def _w_state(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    circuit.x(0)
    for q in range(n - 1):
        circuit.cry(2 * math.acos(math.sqrt(1 / (n - q))), q, q + 1)
        circuit.cx(q + 1, q)
    return circuit


def _clifford_t(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    for _ in range(2 * d):
        for q in range(n):
            getattr(circuit, str(rng.choice(["h", "s", "t", "sx", "x"])))(q)
        circuit.cx(*(int(q) for q in rng.choice(n, 2, replace=False)))
    return circuit


def _mirror(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    """A random basis state, there and back: without noise that state alone is read."""
    there = _angles(u3cu3(n, max(1, d // 4)), rng)
    circuit = QuantumCircuit(n)
    for q in range(n):
        if rng.integers(2):
            circuit.x(q)
    circuit.compose(there, inplace=True)
    circuit.barrier()  # or the compiler would cancel the two halves
    return circuit.compose(there.inverse())


def _part_measured(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    plain = _angles(esu2(n, d, rng), rng)
    read = sorted(int(q) for q in rng.choice(n, int(rng.integers(1, n)), replace=False))
    circuit = QuantumCircuit(n, len(read))
    circuit.compose(plain, inplace=True)
    circuit.measure(read, range(len(read)))
    return circuit


def _delayed(n: int, d: int, rng: np.random.Generator) -> QuantumCircuit:
    circuit = _angles(qoc(n, max(1, d // 3)), rng)
    for q in range(n):
        circuit.delay(4 * int(rng.integers(1250)), q, unit="ns")  # whole in the clock of every chip
    return circuit.compose(_angles(qoc(n, 1), rng))


KNOWN_FAMILIES: dict[str, Family] = {
    "u3cu3": lambda n, d, rng: _angles(u3cu3(n, d), rng),
    "esu2": lambda n, d, rng: _angles(esu2(n, d, rng), rng),
    "qaoa": lambda n, d, rng: _angles(qaoa(n, d, rng), rng, low=0.0),
    "random": _random,
    "qoc": lambda n, d, rng: _angles(qoc(n, d), rng, features="x"),
}
UNSEEN_FAMILIES: dict[str, Family] = {
    "ghz": _ghz,
    "qft": _qft,
    "real_amplitudes": lambda n, d, rng: _angles(real_amplitudes(n, entanglement="full", reps=1 + d // 4), rng),
    "zz_feature_map": lambda n, d, rng: _angles(zz_feature_map(n, reps=1 + d // 7), rng, low=0.0),
    "ising": _ising,
    "w_state": _w_state,
    "clifford_t": _clifford_t,
    "mirror": _mirror,
    "part_measured": _part_measured,
    "delayed": _delayed,
}


def _cases(
    chips: Sequence[str],
    families: dict[str, Family],
    count: int,
    stream: Sequence[int],
    widest: int,
    spare: int,
    fractional: bool,
) -> list[Case]:
    devices = [qcompile.load_device(chip) for chip in chips]
    good = [usable(device) for device in devices]
    names, cases = list(families), []
    for index in range(count):
        rng = np.random.default_rng([*stream, index])
        which, turn = index % len(chips), index // len(chips)
        device, graph = devices[which], good[which]
        family = names[turn % len(names)]
        level = (1, 3)[(turn // len(names) + which * spare) % 2]
        largest = max(len(part) for part in nx.connected_components(graph))
        n, d = int(rng.integers(2, min(widest, largest) + 1)), int(rng.integers(1, 13))
        circuit = families[family](n, d, rng)
        if not circuit.num_clbits:
            circuit.measure_all()
        region = connected_qubits(graph, min(n + int(rng.integers(spare + 1)), largest), rng)
        target = target_of(device, graph, region, fractional and bool(rng.integers(2)))
        layout = [int(q) for q in rng.permutation(region)[:n]]  # a spare qubit may lie in between
        mapped = transpile(
            circuit, target=target, optimization_level=level, initial_layout=layout, seed_transpiler=index
        )
        cases.append(Case(f"{index:03} {family}({n},{d}) O{level}", device.name, family, mapped))
    return cases


def known(count: int = 240, seed: int = 0, chips: Sequence[str] = KNOWN_CHIPS) -> list[Case]:
    """Circuits of the five common families; routed within exactly as many qubits as they have."""
    return _cases(chips, KNOWN_FAMILIES, count, (seed, 1), widest=7, spare=0, fractional=False)


def unseen(count: int = 120, seed: int = 0, chips: Sequence[str] = UNSEEN_CHIPS) -> list[Case]:
    """Circuits of ten other families; up to one spare qubit to route through, fractional gates on half of those on
    Herons."""
    return _cases(chips, UNSEEN_FAMILIES, count, (seed, _UNSEEN_STREAM), widest=8, spare=1, fractional=True)


def wide_circuit(device: qcompile.Device, gates: int, seed: int) -> QuantumCircuit:
    """Layers of rz and sx on every usable qubit and two-qubit gates on a random matching; all measured."""
    rng = np.random.default_rng(seed)
    pairs = [data["gate"] for *_, data in sorted(device.graph.edges(data=True), key=lambda e: (e[0], e[1]))]
    active = sorted({q for _, on in pairs for q in on})
    circuit = QuantumCircuit(device.num_qubits, len(active))
    while circuit.size() < gates:
        for q in active:
            circuit.rz(float(rng.uniform(-np.pi, np.pi)), q)
            circuit.sx(q)
        held: set[int] = set()
        for k in rng.permutation(len(pairs)):
            name, on = pairs[int(k)]
            if held.isdisjoint(on):
                held.update(on)
                getattr(circuit, name)(*on)
    circuit.data = circuit.data[: gates - len(active)]
    circuit.barrier()
    circuit.measure(active, range(len(active)))
    return circuit
