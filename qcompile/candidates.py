"""Candidates of one compilation: routed circuits, moved over the chip, in native gates, ranked by the estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qcompile.absorption import RoutedOperation, read_operations
from qcompile.device import Device
from qcompile.estimate import Score, score
from qcompile.fidelity.program import NativeStep
from qcompile.layout import Layout
from qcompile.lowering import merge_blocks
from qcompile.native_form import checked_form
from qcompile.placement.base import Placement
from qcompile.placement.region import idle_rate
from qcompile.placement.subgraph import edge_table, embeddings
from qcompile.routing import sabre
from qcompile.schedule import Held, delay_seconds, find_windows, start_times
from qcompile.synthesis import NativeOperation, synthesize

_EMBEDDINGS = 2000  # places looked at for one routed circuit
ROUTES = 4
"""Randomized routings of one placement."""

ESTIMATED = 12
"""Of those, how many are synthesized and estimated."""

_STATE_WORK = 2**18  # amplitudes x two-qubit gates x draws up to which candidates are judged by a statevector: 2 ms

_READOUT_WEIGHT = 0.3  # of log readout beside log state fidelity: gains 2 % ESP for 0.4 % of state fidelity


@dataclass(frozen=True)
class Problem:
    """What is compiled.

    Attributes:
        circuits: lowered; the first as written, the others with commuting gates in other orders.
        slots: placeholder parameter -> slot number.
        slot_values: [draw, slot] numbers to judge candidates at, rad.
        device: the chip.
        measured: virtual qubits that are measured at the end; all of them if none is, as something will be read.
    """

    circuits: tuple[QuantumCircuit, ...]
    slots: dict[Parameter, int]
    slot_values: NDArray[np.float64]
    device: Device
    measured: tuple[int, ...]

    @cached_property
    def method(self) -> str:
        """How candidates are estimated: by exact marginals where a state is small beside the work of synthesis."""
        circuit = self.circuits[0]
        passes = 2 * circuit.num_nonlocal_gates() * len(self.slot_values)  # as many again for SWAPs
        return "marginals" if 2**circuit.num_qubits * passes <= _STATE_WORK else "cluster"

    def order(self, trial: int) -> QuantumCircuit:
        """The circuit that a trial works on."""
        return self.circuits[trial % len(self.circuits)]


@dataclass(frozen=True)
class Plan:
    """A routed circuit at one place of the chip; it can stand wherever its couplings exist."""

    operations: tuple[RoutedOperation, ...]
    layout: Layout
    moves: Mapping[int, int]
    swaps: int

    @property
    def final_layout(self) -> Layout:
        """Where each virtual qubit ends."""
        return self.layout.then(self.moves)

    @cached_property
    def couplings(self) -> nx.Graph[int]:
        """Couplers in use, and every qubit that is touched or holds a virtual qubit."""
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from((*self.layout.physical, *self.final_layout.physical))
        for operation in self.operations:
            if operation.name == "cx":
                graph.add_edge(*operation.qubits)
            elif operation.name != "barrier":
                graph.add_nodes_from(operation.qubits)
        return graph

    def on(self, where: Mapping[int, int]) -> Plan:
        """The same plan with physical qubit p replaced by where[p]; wires that nothing touches are dropped."""
        operations = tuple(o._replace(qubits=tuple(where[q] for q in o.qubits if q in where)) for o in self.operations)
        moves = {where[a]: where[b] for a, b in self.moves.items() if a in where and b in where}
        return Plan(operations, Layout(tuple(where[p] for p in self.layout.physical)), moves, self.swaps)


@dataclass(frozen=True)
class Candidate:
    """A plan in native gates, with its score."""

    plan: Plan
    native: list[NativeOperation]
    steps: list[NativeStep]
    score: Score

    @property
    def merit(self) -> float:
        """Log of the estimated state fidelity and, at a lower weight, of the readout; higher is better."""
        fidelity = float(self.score.fidelity.mean())
        return math.log(max(fidelity, 1e-300)) - _READOUT_WEIGHT * self.score.readout_loss


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate of highest merit; of equals the first."""
    return max(candidates, key=lambda c: c.merit)


def route_placement(problem: Problem, placement: Placement, seed: int, routes: int) -> list[Plan]:
    """Routes `routes` times from a proposed layout; a circuit of numbers also with its blocks resynthesized.

    Symbolic blocks are beyond resynthesis, which would tear the CX apart that SWAPs cancel with.
    """
    plans = []
    for number in range(routes):
        trial = ROUTES * seed + number
        circuit = problem.order(seed + number)  # at first the one that the placement was made for
        routed = sabre.route(circuit, problem.device, placement.layout, placement.region, trial)
        circuits = [routed.circuit] if problem.slots else [routed.circuit, merge_blocks(routed.circuit)]
        plans += [
            Plan(tuple(read_operations(mapped)), placement.layout, dict(routed.moves), routed.swaps)
            for mapped in circuits
        ]
        if not routed.swaps:
            break  # other trials would only find the same
    return plans


def evaluate(problem: Problem, plan: Plan) -> Candidate:
    """Native gates and score of a plan where it stands."""
    native = synthesize(plan.operations, problem.slots, problem.device)
    steps = native_steps(native, problem.device, problem.slot_values)
    final = plan.final_layout.physical
    measured = [final[v] for v in problem.measured]
    return Candidate(plan, native, steps, score(steps, problem.device, final, measured, problem.method))


def native_steps(
    native: Sequence[NativeOperation], device: Device, slot_values: NDArray[np.float64]
) -> list[NativeStep]:
    """Native operations with their durations (s) and their angles at each draw."""
    steps = []
    for operation in native:
        angles = operation.angles if operation.original is None else ()
        params = tuple([angle.values(slot_values) for angle in angles])
        if operation.name == "barrier":
            duration = 0.0
        elif operation.name == "delay" and operation.original is not None:
            duration = delay_seconds(operation.original.operation, device, "delay")
        else:
            duration = device.duration(operation.name, operation.qubits)
        steps.append(NativeStep(operation.name, operation.qubits, params, duration))
    return steps


def relocations(problem: Problem, candidate: Candidate, seed: int) -> list[tuple[float, Plan]]:
    """The cheapest other places of a plan, each with its price: -log of gate, idle and readout survival.

    The price is a first-order sum over couplers and qubits, so thousands of places are compared at once; the caller
    estimates the best few in full.
    """
    plan, device = candidate.plan, problem.device
    nodes = sorted(plan.couplings)
    found = embeddings(plan.couplings, device, limit=_EMBEDDINGS, seed=seed)
    if not len(found):
        return []
    column = {p: i for i, p in enumerate(nodes)}
    prices = np.zeros(len(found))
    table = -np.log1p(-np.minimum(edge_table(device, "error"), 1 - 1e-9))
    one_qubit, waiting = _loads(candidate.steps, checked_form(device).pulses)
    pulses: dict[tuple[int, int], int] = {}
    for operation in plan.operations:
        if operation.name == "cx":
            a, b = sorted(operation.qubits)
            pulses[a, b] = pulses.get((a, b), 0) + 1
    for (a, b), count in pulses.items():
        prices += count * table[found[:, column[a]], found[:, column[b]]]
    idle = np.array([idle_rate(device, q) for q in range(device.num_qubits)])
    pulse = np.array([_one_qubit_loss(device, q) for q in range(device.num_qubits)])
    for p, i in column.items():
        prices += waiting.get(p, 0.0) * idle[found[:, i]] + one_qubit.get(p, 0) * pulse[found[:, i]]
    readout = np.array([-math.log1p(-min(r.error, 0.999)) if (r := q.readout) else 0.0 for q in device.qubits])
    for v in problem.measured:
        prices += _READOUT_WEIGHT * readout[found[:, column[plan.final_layout.physical[v]]]]
    chosen = np.argsort(prices, kind="stable")[:ESTIMATED]
    return [(float(prices[k]), plan.on({p: int(found[k, i]) for p, i in column.items()})) for k in chosen]


def _one_qubit_loss(device: Device, qubit: int) -> float:
    gate = device.gates.get((checked_form(device).pulse, (qubit,)))
    return -math.log1p(-min(gate.error, 0.999)) if gate is not None and gate.error is not None else 0.0


def _loads(steps: Sequence[NativeStep], names: tuple[str, ...]) -> tuple[dict[int, int], dict[int, float]]:
    """One-qubit pulses (gates of some names) of each qubit, and its waiting time in s."""
    pulses: dict[int, int] = {}
    for step in steps:
        if step.name in names:
            pulses[step.qubits[0]] = pulses.get(step.qubits[0], 0) + 1
    held = Held.of([s.qubits for s in steps], [s.name for s in steps])
    durations = np.array([s.duration for s in steps])
    start, total = start_times(held, durations)
    windows = find_windows(held, durations, start, total)
    return pulses, dict(enumerate(np.bincount(windows.qubit, windows.duration).tolist()))


def cheapest(moved: Sequence[tuple[float, Plan]], count: int) -> list[Plan]:
    """The plans of lowest price."""
    return [plan for _, plan in sorted(moved, key=lambda m: m[0])[:count]]
