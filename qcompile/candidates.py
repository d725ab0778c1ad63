"""Candidates of one compilation: routed circuits, moved over the chip, in native gates, ranked by the estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from qcompile.blocks import BlockCircuit
from qcompile.device import Device
from qcompile.estimate import Score, score
from qcompile.fidelity.program import NativeStep
from qcompile.layout import Layout
from qcompile.placement.subgraph import cheapest, live_couplings
from qcompile.routing.arrays import Blocks, Chip, block_arrays, chip_arrays
from qcompile.routing.kernels import route
from qcompile.routing.prefix import route_nearly_fitting
from qcompile.routing.search import search
from qcompile.routing.view import View
from qcompile.schedule import Held, delay_seconds, find_windows, start_times
from qcompile.synthesis import FinalMeasurement, NativeOperation, synthesize
from qcompile.units import SWAP, Templates, Unit, fence_of, read_units

_NARROW, _BROAD = 5, 10  # qubits
SUCCESS_WEIGHTS = (0.0, 0.5)
"""Of log success probability beside log state fidelity, up to 5 qubits and from 10 on; in between it rises evenly.

The fidelity of a narrow circuit is known exactly, and says all. That of a wide one is ruled by waiting, and pays for it
in gates; success probability does not see waiting. Their mean loses little of either.
"""

READOUT_WEIGHTS = (0.2, 1.0)
"""Of log readout, likewise: what cannot be read is lost, whatever state it was."""

_STATE_WORK = 2**18  # amplitudes x two-qubit gates x draws up to which candidates are judged by a statevector: 2 ms
_PASSES, _MORE_PASSES, _WIDE = 2, 6, 24  # forward passes of a trial; for circuits of so many qubits
_AGAIN = 5  # trials of each given layout, for those
_WAITING = 1e-6  # s; what a qubit waits, to the placement that grows layouts


class Variant:
    """One way to write the circuit: its blocks, as arrays for the router, and how they are written in CX.

    Args:
        measured: virtual qubits that are read at the end.
        rotating: the chip has RZZ gates.
    """

    def __init__(self, circuit: BlockCircuit, measured: Sequence[int], *, rotating: bool) -> None:
        self._rotating = rotating
        self.circuit = circuit
        self.templates = Templates(circuit)
        self._read = [circuit.output_wire[v] for v in measured]

    @cached_property
    def forward(self) -> Blocks:
        """The blocks in time order."""
        return block_arrays(self.circuit, self._read, rotating=self._rotating)

    @cached_property
    def backward(self) -> Blocks:
        """The blocks run backwards."""
        return block_arrays(self.circuit, self._read, backward=True, rotating=self._rotating)


@dataclass(frozen=True)
class Problem:
    """What is compiled.

    Attributes:
        variants: ways to write the circuit, the plainest first.
        later: more of them, from the second round on.
        slot_values: [draw, slot] numbers to judge candidates at, rad.
        device: the chip.
        measured: virtual qubits that are measured at the end; all of them if none is, as something will be read.
        final: measurements at the end: (virtual qubit, instruction).
    """

    variants: tuple[Variant, ...]
    later: tuple[Variant, ...]
    slot_values: NDArray[np.float64]
    device: Device
    measured: tuple[int, ...]
    final: tuple[FinalMeasurement, ...]

    @cached_property
    def method(self) -> str:
        """How candidates are estimated: by exact marginals where a state is small beside the work of synthesis."""
        circuit = self.variants[0].circuit
        passes = 2 * max(circuit.two_qubit_price, 1) * len(self.slot_values)  # as many again for SWAPs
        return "marginals" if 2**circuit.num_qubits * passes <= _STATE_WORK else "cluster"

    def _weight(self, ends: tuple[float, float]) -> float:
        width = self.variants[0].circuit.num_qubits
        return float(np.interp(width, (_NARROW, _BROAD), ends))

    @cached_property
    def success_weight(self) -> float:
        """See `SUCCESS_WEIGHTS`."""
        return self._weight(SUCCESS_WEIGHTS)

    @cached_property
    def readout_weight(self) -> float:
        """See `READOUT_WEIGHTS`."""
        return self._weight(READOUT_WEIGHTS)

    @cached_property
    def coupler_prices(self) -> NDArray[np.float64]:
        """[qubit, qubit] -log survival of one CX with the pulses around it; infinite where there is no coupler."""
        prices = np.append(self.chip.gate, np.inf)  # coupler -1 is none
        return prices[self.chip.edge]

    @cached_property
    def chip(self) -> Chip:
        """The largest live region for the router."""
        return chip_arrays(self.device, self.device.components[0], self.readout_weight, 1 - self.success_weight)


@dataclass(frozen=True)
class Plan:
    """A routed circuit at one place of the chip; it can stand wherever its couplers exist.

    Attributes:
        variant: what was routed.
        units: on physical qubits.
        layout: [wire] where each wire starts.
        ends: [wire] where it ends.
        swaps: inserted by the router.
    """

    variant: Variant
    units: tuple[Unit, ...]
    layout: tuple[int, ...]
    ends: tuple[int, ...]
    swaps: int

    @property
    def initial_layout(self) -> Layout:
        """Where each virtual qubit starts; it enters on the wire of its own number."""
        return Layout(self.layout)

    @cached_property
    def final_layout(self) -> Layout:
        """Where each virtual qubit ends."""
        return Layout(tuple(self.ends[w] for w in self.variant.circuit.output_wire))

    @cached_property
    def couplings(self) -> nx.Graph[int]:
        """Couplers in use, and every qubit that is touched or holds a virtual qubit."""
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(self.layout)
        for unit in self.units:
            if fence_of(self.variant.circuit, unit) is None:
                graph.add_edge(*unit.qubits)
            else:
                graph.add_nodes_from(unit.qubits)
        return graph

    def on(self, where: Mapping[int, int]) -> Plan:
        """The same plan with physical qubit p replaced by where[p]."""
        units = tuple(Unit(entries, tuple(where[q] for q in qubits)) for entries, qubits in self.units)
        layout, ends = (tuple(where[p] for p in places) for places in (self.layout, self.ends))
        return Plan(self.variant, units, layout, ends, self.swaps)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A plan in native gates; estimated when its merit is asked for."""

    problem: Problem
    plan: Plan
    native: list[NativeOperation]

    @cached_property
    def steps(self) -> list[NativeStep]:
        """The native operations with their numbers."""
        return native_steps(self.native, self.problem.device, self.problem.slot_values)

    @cached_property
    def score(self) -> Score:
        """The estimate, as far as candidates are compared by it."""
        places = self.plan.final_layout.physical
        measured = [places[v] for v in self.problem.measured]
        return score(self.steps, self.problem.device, places, measured, self.problem.method)

    @cached_property
    def merit(self) -> float:
        """What candidates are compared by; higher is better.

        The mean of log state fidelity and of log success probability: see `SUCCESS_WEIGHTS`.
        """
        gates = self.problem.device.gates
        errors = [gates[o.name, o.qubits].error or 0.0 for o in self.native if (o.name, o.qubits) in gates]
        succeeds = float(np.log1p(-np.minimum(errors, 1 - 1e-12)).sum()) if errors else 0.0
        state = math.log(max(float(self.score.fidelity.mean()), 1e-300))
        share = self.problem.success_weight
        return (1 - share) * state + share * succeeds - self.problem.readout_weight * self.score.readout_loss


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate of highest merit; of equals the first."""
    return candidates[0] if len(candidates) == 1 else max(candidates, key=lambda c: c.merit)


class Trial(NamedTuple):
    """One routing that the search found, reproducible.

    Attributes:
        price: -log of survival, by the router's own reckoning.
        layout: [wire] where each wire starts.
        knobs, state: of the router.
    """

    price: float
    variant: Variant
    layout: NDArray[np.int64]
    knobs: NDArray[np.float64]
    state: np.uint64


def trials(problem: Problem, variant: Variant, given: Sequence[Sequence[int]], work: int, seed: int) -> list[Trial]:
    """The best of many randomized routings, cheapest first.

    Args:
        given: layouts that are tried in any case.
        work: of the router, see `routing.kernels.route`; half for grown layouts, half to improve the best.
        seed: of every random choice.
    """
    width = variant.circuit.num_qubits
    again = 1 if width < _WIDE else _AGAIN
    layouts = np.array([list(g) for g in given] * again, np.int64).reshape(-1, width)
    region = np.array(sorted(problem.device.components[0]), np.int64)
    budgets = (work // 2, work - work // 2)
    passes = _PASSES if width < _WIDE else _MORE_PASSES
    number = np.random.SeedSequence([seed, width]).generate_state(1, np.uint64)[0]
    prices, starts, knobs, states, _, _ = search(
        variant.forward, variant.backward, problem.chip, region, layouts, budgets, passes, _WAITING, number
    )
    return [
        Trial(price, variant, starts[k], knobs[k], states[k])
        for k, price in enumerate(prices.tolist())
        if price < 1e300
    ]


def fixed_trials(problem: Problem, variant: Variant, layout: Sequence[int], count: int, seed: int) -> list[Trial]:
    """The best of `count` randomized routings from one layout, cheapest first."""
    layouts = np.tile(np.array(list(layout), np.int64), (count, 1))
    region = np.array(sorted(problem.device.components[0]), np.int64)
    number = np.random.SeedSequence([seed, len(layout)]).generate_state(1, np.uint64)[0]
    prices, starts, knobs, states, _, _ = search(
        variant.forward, variant.backward, problem.chip, region, layouts, (0, 0), 1, _WAITING, number
    )
    return [Trial(p, variant, starts[k], knobs[k], states[k]) for k, p in enumerate(prices.tolist()) if p < 1e300]


def planned(problem: Problem, trial: Trial) -> Plan:
    """The plan of one trial."""
    variant, circuit = trial.variant, trial.variant.circuit
    room = 30 * len(circuit.nodes) + 1000
    items, position = np.empty((room, 3), np.int64), np.empty(circuit.num_qubits, np.int64)
    random = np.array([trial.state], np.uint64)
    used = route(variant.forward, problem.chip, trial.layout, trial.knobs, random, room, items, position)[1]
    start = tuple(trial.layout.tolist())
    units, ends = read_units(circuit, items[:used], start)
    return Plan(variant, tuple(units), start, tuple(ends), _swaps(units))


def candidate(problem: Problem, plan: Plan) -> Candidate:
    """A plan in native gates where it stands."""
    wires = plan.variant.circuit.output_wire
    final = [(wires[v], instruction) for v, instruction in problem.final]
    native = synthesize(plan.units, plan.variant.templates, plan.ends, final, problem.device)
    return Candidate(problem, plan, native)


def native_steps(
    native: Sequence[NativeOperation], device: Device, slot_values: NDArray[np.float64]
) -> list[NativeStep]:
    """Native operations with their durations (s) and their angles at each draw."""
    steps = []
    for operation in native:
        params = (
            () if operation.original is not None else tuple(angle.values(slot_values) for angle in operation.angles)
        )
        if operation.name == "barrier":
            duration = 0.0
        elif operation.name == "delay" and operation.original is not None:
            duration = delay_seconds(operation.original.operation, device, "delay")
        else:
            duration = device.duration(operation.name, operation.qubits)
        steps.append(NativeStep(operation.name, operation.qubits, params, duration))
    return steps


def embedded(problem: Problem, variant: Variant, count: int, seed: int) -> list[tuple[int, ...]]:
    """Layouts that need no SWAP, cheapest first; none where the interactions do not fit the couplers."""
    circuit = variant.circuit
    pattern: nx.Graph[int] = nx.Graph()
    pattern.add_nodes_from(range(circuit.num_qubits))
    loads = np.zeros((circuit.num_qubits, circuit.num_qubits))
    for (a, b), price in circuit.interactions.items():
        pattern.add_edge(a, b)
        loads[a, b] = loads[b, a] = price
    read = np.array([variant.forward.read[w] for w in range(circuit.num_qubits)])
    vertices = read[:, None] * problem.chip.readout[None, :] + _WAITING * problem.chip.idle[None, :]
    found = cheapest(pattern, problem.device, vertices, loads, problem.coupler_prices, limit=count, seed=seed)
    return [tuple(row) for row in found.rows.tolist()]


def nearly_fitting(problem: Problem, variant: Variant, seed: int, limit: int) -> Plan | None:
    """The plan of a circuit that fits the couplers but for a few SWAPs, `limit` at most; None if it is another kind."""
    circuit = variant.circuit
    if circuit.one_qubit_only or limit < 0:
        return None
    qubits, chip = live_couplings(problem.device)
    found = route_nearly_fitting(_view(circuit), chip, seed=seed, limit=limit)
    if found is None:
        return None
    found = found.on(qubits)
    layout = tuple(found.layout.tolist())
    units, ends = read_units(circuit, found.items, layout)
    return Plan(variant, tuple(units), layout, tuple(ends), _swaps(units))


def _view(circuit: BlockCircuit) -> View:
    pairs = np.array([n.wires if n.fence is None else (-1, -1) for n in circuit.nodes], np.int64)
    stages = np.array([s if n.fence is None else (0, 0) for n, s in zip(circuit.nodes, circuit.stages)], np.int64)
    rows = [
        (k, w, s)
        for k, (node, at) in enumerate(zip(circuit.nodes, circuit.stages))
        if node.fence is not None
        for w, s in zip(node.wires, at)
    ]
    fences = np.array(rows, np.int64).reshape(-1, 3)
    columns = [np.ascontiguousarray(c) for c in (*pairs.T, *stages.T, *fences.T)]
    return View(circuit.num_qubits, *columns)


def _swaps(units: Sequence[Unit]) -> int:
    return sum(entries.count(SWAP) for entries, _ in units)


def relocations(problem: Problem, best: Candidate, seed: int, count: int) -> list[Plan]:
    """The cheapest other places of a plan, by a first-order sum over couplers and qubits: gates, waiting, readout."""
    plan, chip = best.plan, problem.chip
    nodes = sorted(plan.couplings)
    column = {p: i for i, p in enumerate(nodes)}
    loads = np.zeros((len(nodes), len(nodes)))
    for unit in plan.units:
        if fence_of(plan.variant.circuit, unit) is None:
            a, b = column[unit.qubits[0]], column[unit.qubits[1]]
            loads[a, b] += sum(code < 0 for code in plan.variant.templates.codes(unit.entries))
    loads += loads.T
    vertices = np.zeros((len(nodes), problem.device.num_qubits))
    for p, waiting in _waits(best.steps).items():
        if p in column:
            vertices[column[p]] += waiting * chip.idle
    for v in problem.measured:
        vertices[column[plan.final_layout.physical[v]]] += chip.readout
    found = cheapest(
        plan.couplings, problem.device, vertices, loads, problem.coupler_prices, limit=count + 1, seed=seed
    )
    moved = [plan.on(dict(zip(nodes, row))) for row in found.rows.tolist() if row != nodes]
    return moved[:count]


def _waits(steps: Sequence[NativeStep]) -> dict[int, float]:
    """How long each qubit waits, s."""
    held = Held.of([s.qubits for s in steps], [s.name for s in steps])
    durations = np.array([s.duration for s in steps])
    start, total = start_times(held, durations)
    windows = find_windows(held, durations, start, total)
    return dict(enumerate(np.bincount(windows.qubit, windows.duration).tolist()))
