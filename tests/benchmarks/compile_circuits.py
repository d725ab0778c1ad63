"""The circuits and chips on which compilers are compared.

A circuit is named by its family, its qubits and its repetitions: "u3cu3-16-2". `symbolic` makes it with its parameters,
`bound` at numbers drawn uniformly from [-pi, pi] by `numpy.random.default_rng(1)`; both measure every qubit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import networkx as nx
import numpy as np
import rustworkx as rx
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import efficient_su2, real_amplitudes, zz_feature_map
from qiskit.circuit.random import random_circuit

import qcompile
from tests.circuits import u3cu3

_EMBEDDING_CALLS = 200_000  # of a subgraph search; the 12 to 16 qubits here are decided within them


def rzz_ring(n: int, reps: int) -> QuantumCircuit:
    """reps times [RY and RZ on each qubit, RZZ on the ring]."""
    angles = iter(ParameterVector("t", 3 * n * reps))
    circuit = QuantumCircuit(n)
    for _ in range(reps):
        for q in range(n):
            circuit.ry(next(angles), q)
        for q in range(n):
            circuit.rz(next(angles), q)
        for q in range(n):
            circuit.rzz(next(angles), q, (q + 1) % n)
    return circuit


def qaoa_regular(n: int, rounds: int) -> QuantumCircuit:
    """QAOA on a random 3-regular graph, networkx seed 7."""
    graph = nx.random_regular_graph(3, n, seed=7)
    gamma, beta = ParameterVector("g", rounds), ParameterVector("b", rounds)
    circuit = QuantumCircuit(n)
    circuit.h(range(n))
    for k in range(rounds):
        for a, b in sorted(graph.edges):
            circuit.rzz(gamma[k], a, b)
        circuit.rx(2 * beta[k], range(n))
    return circuit


def qft(n: int, _: int) -> QuantumCircuit:
    """The Fourier transform without its final swaps."""
    circuit = QuantumCircuit(n)
    for i in reversed(range(n)):
        circuit.h(i)
        for j in reversed(range(i)):
            circuit.cp(math.pi / 2 ** (i - j), j, i)
    return circuit


def ising_grid(n: int, steps: int) -> QuantumCircuit:
    """Trotter steps of a transverse-field Ising model on the squarest grid of n sites."""
    rows = max(r for r in range(1, math.isqrt(n) + 1) if n % r == 0)
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, n // rows), ordering="sorted")
    angles = iter(ParameterVector("t", 2 * steps))
    circuit = QuantumCircuit(n)
    for _ in range(steps):
        coupling, field = next(angles), next(angles)
        for a, b in sorted(grid.edges):
            circuit.rzz(coupling, a, b)
        circuit.rx(field, range(n))
    return circuit


def heisenberg_ring(n: int, steps: int) -> QuantumCircuit:
    """Trotter steps of a Heisenberg model on a ring: RXX, RYY, RZZ on each bond."""
    angles = iter(ParameterVector("t", 3 * steps))
    circuit = QuantumCircuit(n)
    circuit.x(range(0, n, 2))
    for _ in range(steps):
        x, y, z = next(angles), next(angles), next(angles)
        for a in range(n):
            b = (a + 1) % n
            circuit.rxx(x, a, b)
            circuit.ryy(y, a, b)
            circuit.rzz(z, a, b)
    return circuit


def controlled_rings(n: int, reps: int) -> QuantumCircuit:
    """reps times [RX and RZ on each qubit, CRX from each qubit q to q + 1 + rep (mod n)]: rings of growing range."""
    angles = iter(ParameterVector("t", 3 * n * reps))
    circuit = QuantumCircuit(n)
    for rep in range(reps):
        for q in range(n):
            circuit.rx(next(angles), q)
            circuit.rz(next(angles), q)
        for q in range(n):
            circuit.crx(next(angles), q, (q + 1 + rep) % n)
    return circuit


def random_pairs(n: int, layers: int) -> QuantumCircuit:
    """layers times [U on each qubit, CX on a random perfect matching], numpy seed 5."""
    rng = np.random.default_rng(5)
    angles = iter(ParameterVector("t", 3 * n * layers))
    circuit = QuantumCircuit(n)
    for _ in range(layers):
        for q in range(n):
            circuit.u(next(angles), next(angles), next(angles), q)
        order = rng.permutation(n)
        for a, b in zip(order[0 : n - 1 : 2], order[1::2]):
            circuit.cx(int(a), int(b))
    return circuit


def bernstein_vazirani(n: int, _: int) -> QuantumCircuit:
    """A secret of n - 1 bits, about 70 % of them set, numpy seed 5."""
    circuit = QuantumCircuit(n)
    circuit.x(n - 1)
    circuit.h(range(n))
    for q in np.flatnonzero(np.random.default_rng(5).random(n - 1) < 0.7):
        circuit.cx(int(q), n - 1)
    circuit.h(range(n - 1))
    return circuit


FAMILIES: dict[str, Callable[[int, int], QuantumCircuit]] = {
    "u3cu3": u3cu3,
    "su2lin": lambda n, reps: efficient_su2(n, reps=reps, entanglement="reverse_linear"),
    "su2circ": lambda n, reps: efficient_su2(n, reps=reps, entanglement="circular"),
    "su2full": lambda n, reps: efficient_su2(n, reps=reps, entanglement="full"),
    "racirc": lambda n, reps: real_amplitudes(n, reps=reps, entanglement="circular"),
    "rasca": lambda n, reps: real_amplitudes(n, reps=reps, entanglement="sca"),
    "rafull": lambda n, reps: real_amplitudes(n, reps=reps, entanglement="full"),
    "zzfull": lambda n, reps: zz_feature_map(n, reps=reps, entanglement="full"),
    "qaoa": qaoa_regular,
    "rzzring": rzz_ring,
    "crx": controlled_rings,
    "qft": qft,
    "ising": ising_grid,
    "heis": heisenberg_ring,
    "pairs": random_pairs,
    "random": lambda n, depth: random_circuit(n, depth, max_operands=2, seed=1),
    "bv": bernstein_vazirani,
}
"""Family -> (qubits, repetitions) -> circuit without measurements; what has no repetitions is named with 1."""

CHIPS = ("ibm_brisbane", "ibm_torino", "ibm_fez", "ibm_guadalupe")
MORE_CHIPS = ("ibm_sherbrooke", "ibm_kingston", "ibm_kolkata", "ibm_miami")

QUICK = ("u3cu3-16-2@ibm_brisbane", "su2circ-8-2@ibm_torino", "qaoa-10-1@ibm_guadalupe", "su2full-8-1@ibm_fez")
PUBLISHED = (
    "u3cu3-16-2@ibm_brisbane", "su2circ-16-3@ibm_brisbane", "su2full-16-2@ibm_brisbane", "su2full-10-2@ibm_guadalupe",
    "qaoa-16-1@ibm_torino", "u3cu3-10-3@ibm_fez", "qft-16-1@ibm_fez",
)  # fmt: skip
"""The pairs of 8 to 16 qubits that figures were published of before."""

MODERATE = (
    *PUBLISHED,
    "rafull-12-2@ibm_brisbane", "zzfull-10-2@ibm_brisbane", "qaoa-12-2@ibm_brisbane", "crx-10-2@ibm_brisbane",
    "rzzring-14-2@ibm_torino", "pairs-12-6@ibm_torino", "su2circ-10-3@ibm_torino", "heis-8-2@ibm_torino",
    "ising-12-2@ibm_fez", "rasca-14-2@ibm_fez", "racirc-14-2@ibm_fez", "random-10-20@ibm_fez",
    "u3cu3-8-2@ibm_guadalupe", "qaoa-10-1@ibm_guadalupe", "zzfull-8-1@ibm_guadalupe", "bv-12-1@ibm_guadalupe",
    "su2full-8-1@ibm_fez", "qft-8-1@ibm_guadalupe", "su2lin-12-3@ibm_brisbane",
)  # fmt: skip

_ALL = (
    "u3cu3-8-2", "u3cu3-10-3", "u3cu3-16-2", "su2circ-10-3", "su2circ-16-3", "su2full-8-1", "su2full-12-2",
    "racirc-14-2", "rasca-14-2", "rafull-12-2", "zzfull-8-2", "zzfull-12-1", "qaoa-10-1", "qaoa-12-2", "qaoa-16-1",
    "rzzring-14-2", "crx-10-2", "qft-8-1", "qft-12-1", "qft-16-1", "ising-12-2", "ising-16-2", "heis-8-2",
    "heis-14-1", "pairs-12-6", "random-10-20", "random-14-16", "bv-12-1",
)  # fmt: skip
ALL = tuple(f"{circuit}@{chip}" for circuit in _ALL for chip in (*CHIPS, *MORE_CHIPS))
SMALL = tuple(
    f"{circuit}@{chip}"
    for circuit in ("u3cu3-4-2", "rzzring-5-2", "su2full-5-1", "qaoa-6-1")
    for chip in ("ibm_guadalupe", "ibm_torino")
)
"""Circuits that are small enough for the exact simulation of most of their mappings."""


def symbolic(name: str) -> QuantumCircuit:
    """The circuit of a name, parameters symbolic, every qubit measured. Raises: ValueError: no such name."""
    family, *sizes = name.split("-")
    if family not in FAMILIES or len(sizes) != 2 or not all(s.isdigit() for s in sizes):
        raise ValueError(f"{name!r}. Expected FAMILY-QUBITS-REPETITIONS, FAMILY one of {', '.join(sorted(FAMILIES))}.")
    circuit = FAMILIES[family](int(sizes[0]), int(sizes[1]))
    circuit.name = name
    circuit.measure_all()
    return circuit


def angles(circuit: QuantumCircuit) -> dict[Parameter, float]:
    """The numbers that a symbolic circuit is bound to."""
    values = np.random.default_rng(1).uniform(-np.pi, np.pi, circuit.num_parameters)
    return dict(zip(circuit.parameters, values.tolist()))


def bound(name: str) -> QuantumCircuit:
    """The circuit of a name at the angles of seed 1, every qubit measured."""
    circuit = symbolic(name)
    return circuit.assign_parameters(angles(circuit))


def live_device(chip: str) -> qcompile.Device:
    """The chip's calibration, see `live`."""
    device = qcompile.load_device(chip)
    return live(device, device.components[0])


def live(device: qcompile.Device, region: frozenset[int] | set[int]) -> qcompile.Device:
    """The device cut down to some of its qubits, renumbered in ascending order, and to its live gates of fixed angle.

    What every compiler is given: Qiskit places parts of a circuit on regions that nothing joins, and emits fractional
    RZZ at angles that no chip takes; dead couplers are used by Qiskit, pytket and QMAP alike.
    """
    position = {q: i for i, q in enumerate(sorted(region))}
    return replace(
        device,
        qubits=tuple(device.qubits[q] for q in sorted(region)),
        gates={
            (name, tuple(position[q] for q in qubits)): gate
            for (name, qubits), gate in device.gates.items()
            if name not in device.native_gates.fractional
            and all(q in position for q in qubits)
            and (len(qubits) == 1 or device.is_live(name, qubits))
        },
    )


def needs_routing(circuit: QuantumCircuit, device: qcompile.Device) -> bool:
    """Whether the circuit's pairs of qubits fit onto no couplers of the device (False where one search found a fit)."""
    wanted: rx.PyGraph[None, None] = rx.PyGraph(multigraph=False)
    wanted.add_nodes_from([None] * circuit.num_qubits)
    for i in circuit.data:
        if len(i.qubits) == 2 and i.operation.name != "barrier":
            a, b = (circuit.find_bit(q).index for q in i.qubits)
            wanted.add_edge(a, b, None)
    there: rx.PyGraph[None, None] = rx.PyGraph(multigraph=False)
    there.add_nodes_from([None] * device.num_qubits)
    there.add_edges_from([(a, b, None) for a, b in device.graph.edges])
    found = rx.vf2_mapping(there, wanted, subgraph=True, induced=False, call_limit=_EMBEDDING_CALLS)
    return next(iter(found), None) is None
