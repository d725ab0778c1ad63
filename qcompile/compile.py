"""compile: from any circuit to native gates on the best region of a chip, parameters still symbolic.

Rounds of candidates: each proposes initial layouts, routes them, moves the routed circuits to other regions with the
same couplings, and synthesizes native gates; what the calibration says loses least is kept. Efforts differ in the
number of rounds only, so a dearer one is never worse.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from qcompile.candidates import (
    ESTIMATED,
    ROUTES,
    Candidate,
    Problem,
    best_of,
    cheapest,
    evaluate,
    relocations,
    route_placement,
)
from qcompile.circuit import (
    CircuitLike,
    check_device,
    check_mid_circuit,
    check_width,
    final_measurements,
    read_circuit,
    written_out,
)
from qcompile.commuting import has_freedom, reordered
from qcompile.compiled import CompiledCircuit, on_demand, set_qiskit_layout
from qcompile.device import Device
from qcompile.errors import InputError
from qcompile.estimate import complete
from qcompile.lowering import cancel_pairs, lower
from qcompile.placement import region, sabre, subgraph, trivial
from qcompile.placement.base import Placement
from qcompile.schedule import with_delays_in_seconds
from qcompile.synthesis import check_native_gates, to_circuit
from qcompile.values import Values, checked_seed, parameter_draws
from qcompile.verify import assert_executable

ROUNDS = {"fast": 1, "normal": 4, "best": 16}
"""Rounds of candidates by effort."""

_METHODS_A_ROUND = (sabre.place, region.place, sabre.place, region.place)
_ORDERS = 16  # orders of commuting gates that are tried
_REORDERED = 2_000  # operations; a longer circuit is routed as it is written
_OPERATIONS = 60_000  # a circuit of more than a few thousand operations gets fewer rounds, methods and relocations


def compile(
    circuit: CircuitLike, device: Device, seed: int = 0, effort: str = "normal", values: Values = None
) -> CompiledCircuit:
    """Maps a circuit onto a device's live qubits and couplers.

    Args:
        circuit: a QuantumCircuit, the path of an OpenQASM 2 or 3 file, or QASM text. Parameters stay symbolic;
            the global phase is dropped.
        seed: every random choice is a function of it.
        effort: "fast", "normal" or "best": more candidates are tried; never worse than a cheaper one.
        values: parameter values to judge candidates at (by parameter or name, or in `circuit.parameters` order);
            None: 8 draws uniform in [0, 2 pi) from the seed. The result stays symbolic.
    Raises: CircuitError: what cannot be compiled. UnroutableError: wider than the largest live region.
        CalibrationError: the device lacks the native gates that circuits are built from. NotExecutableError: a
        measurement in the middle of the circuit, on a chip that takes none.
    """
    if effort not in ROUNDS:
        raise InputError(f"effort = {effort!r}. Expected one of {', '.join(ROUNDS)}.")
    seed = checked_seed(seed)
    check_device(device)
    original = read_circuit(circuit)
    check_native_gates(device)
    check_width(original, device)
    written = written_out(with_delays_in_seconds(original, device))
    lowered = lower(written)
    check_mid_circuit(lowered.circuit, device)
    draws = parameter_draws(lowered.parameters, values, seed, original.name)
    reduced = cancel_pairs(lowered.circuit)
    measured = tuple(final_measurements(reduced).values()) or tuple(range(reduced.num_qubits))
    orders = [reduced]
    if has_freedom(written) and reduced.size() <= _REORDERED:
        orders += [cancel_pairs(lower(reordered(written, k), lowered).circuit) for k in range(1, _ORDERS)]
    problem = Problem(tuple(orders), lowered.slots, lowered.slot_values(draws), device, measured)
    breadth = max(1, _OPERATIONS // max(reduced.size(), 1))
    best = best_of([_round(problem, seed, number, breadth) for number in range(min(ROUNDS[effort], breadth))])

    plan = best.plan
    compiled = to_circuit(best.native, lowered, device.num_qubits)
    set_qiskit_layout(compiled, original, plan.layout, plan.moves)
    assert_executable(compiled, device)
    estimate = on_demand(
        partial(complete, compiled.copy(), device, best.steps, plan.final_layout.physical, swaps=plan.swaps)
    )
    return CompiledCircuit(compiled, plan.layout, plan.final_layout, estimate, device, lowered.parameters)


def _round(problem: Problem, seed: int, number: int, breadth: int) -> Candidate:
    """Best candidate of one round of at most `breadth` placement methods, routings and relocations."""
    routed = [
        best_of([evaluate(problem, plan) for plan in route_placement(problem, placement, trial, min(ROUTES, breadth))])
        for trial, placement in _placements(problem, seed, number, breadth)
    ]
    moved = [m for candidate in routed for m in relocations(problem, candidate, seed + number)]
    return best_of(routed + [evaluate(problem, plan) for plan in cheapest(moved, min(ESTIMATED, breadth))])


def _placements(problem: Problem, seed: int, number: int, breadth: int) -> Iterator[tuple[int, Placement]]:
    """(seed of the trial, proposal) of one round; the first one adds the trivial layout and direct embeddings."""
    first = 1000 * seed + len(_METHODS_A_ROUND) * number
    methods = list(_METHODS_A_ROUND[:breadth])
    if number == 0:
        methods += [trivial.place, subgraph.place]
    for i, method in enumerate(methods):
        for placement in method(problem.order(first + i), problem.device, first + i):
            yield first + i, placement
