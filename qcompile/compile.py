"""compile: from any circuit to native gates on the best region of a chip, parameters still symbolic.

Rounds of candidates: each proposes initial layouts, routes them, moves the routed circuits to other regions with the
same couplings, and synthesizes native gates; what the calibration says loses least is kept. Efforts differ in the
number of rounds only, so a dearer one is never worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qcompile.blocks import read_blocks
from qcompile.cancellation import cancel_pairs
from qcompile.candidates import (
    Candidate,
    Plan,
    Problem,
    Trial,
    Variant,
    best_of,
    candidate,
    embedded,
    nearly_fitting,
    planned,
    relocations,
    trials,
)
from qcompile.circuit import (
    CircuitLike,
    check_device,
    check_mid_circuit,
    check_width,
    read_circuit,
    without_final_measurements,
    written_out,
)
from qcompile.compiled import CompiledCircuit, on_demand, set_qiskit_layout
from qcompile.decoupling import check_method, decouple
from qcompile.device import Device
from qcompile.errors import InputError
from qcompile.estimate import Estimate, complete
from qcompile.fidelity.program import NativeStep
from qcompile.lowering import lower
from qcompile.native import native_steps
from qcompile.placement.line import line_layouts
from qcompile.regions import alternatives
from qcompile.schedule import with_delays_in_seconds
from qcompile.synthesis import check_native_gates, dropped_frames, rotating_share, to_circuit
from qcompile.units import SWAP
from qcompile.values import Values, checked_seed, parameter_draws
from qcompile.verify import assert_executable
from qcompile.warmup import announce

Placed = tuple[int, ...]
"""[wire] physical qubit: a layout."""

ROUNDS = {"fast": 1, "normal": 2, "best": 4}
"""Rounds of candidates by effort."""

_WORK = (800_000, 4_500_000, 60_000_000, 200_000_000)  # of the router, by round: 5 ns each
_LINE_ORDERS = 6  # tries of `regions.alternatives`
_ROTATING = 0.7  # share of the couplers with a good RZZ from which routing counts on it
_FIRST_LOOK = 0.15  # share of the work for each of several variants
_ESTIMATED = (1, 4, 12, 24)  # plans that are synthesized and estimated, by round
_MOVED = (0, 4, 12, 24)  # other places of the best one that are estimated, by round
_FITTED = (0, 2)  # rounds that also look for a layout that nearly fits; the first one only where it may be
_WIDE, _DEEP = 24, 6  # qubits, and blocks a qubit
_SMALL, _MORE_MOVED = 30, 3  # CX up to which the trivial layout and so many times more places are estimated
_NARROW, _LEAST = 16, 0.3  # qubits for which `_WORK` is meant, and the least share of it
_LINES = 4  # layouts along a line that are tried
_EMBEDDED = 3  # layouts without SWAPs that are tried


def compile(
    circuit: CircuitLike,
    device: Device,
    seed: int = 0,
    effort: str = "normal",
    values: Values = None,
    *,
    dynamical_decoupling: str | None = None,
) -> CompiledCircuit:
    """Maps a circuit onto a device's live qubits and couplers.

    Args:
        circuit: a QuantumCircuit, the path of an OpenQASM 2 or 3 file, or QASM text. Parameters stay symbolic;
            the global phase is dropped.
        seed: every random choice is a function of it.
        effort: "fast", "normal" or "best": more candidates are tried; never worse than a cheaper one.
        values: parameter values to judge candidates at (by parameter or name, or in `circuit.parameters` order);
            None: 8 draws uniform in [0, 2 pi) from the seed. The result stays symbolic.
        dynamical_decoupling: pulses in idle windows, see `qcompile/decoupling.py`: "xy4" or "xx" wherever a window
            allows; "auto" only where the estimate rises, which sees no slow phases and so rarely does.
    Raises: CircuitError: what cannot be compiled. UnroutableError: wider than the largest live region.
        CalibrationError: the device lacks the native gates that circuits are built from. NotExecutableError: a
        measurement in the middle of the circuit, on a chip that takes none.
    """
    if effort not in ROUNDS:
        raise InputError(f"effort = {effort!r}. Expected one of {', '.join(ROUNDS)}.")
    seed = checked_seed(seed)
    check_method(dynamical_decoupling)
    check_device(device)
    original = read_circuit(circuit)
    check_native_gates(device)
    check_width(original, device)
    written = written_out(with_delays_in_seconds(original, device))
    announce()
    lowered = lower(written)
    check_mid_circuit(lowered.circuit, device)
    draws = parameter_draws(lowered.parameters, values, seed, original.name)
    body, final = without_final_measurements(lowered.circuit)
    measured = tuple(v for v, _ in final) or tuple(range(body.num_qubits))
    variants = variants_of(body, lowered.slots, measured, device)
    later: tuple[Variant, ...] = ()
    if effort != "fast":
        cancelled = cancel_pairs(body)
        if cancelled.size() < body.size():
            later = variants_of(cancelled, lowered.slots, measured, device)
    problem = Problem(variants, later, lowered.slot_values(draws), device, measured, tuple(final))
    best = best_of(_candidates(problem, seed, ROUNDS[effort]))

    plan = best.plan
    compiled = to_circuit(best.native, lowered, device.num_qubits)
    set_qiskit_layout(compiled, original, plan.initial_layout, moves_of(plan))
    steps = None
    if dynamical_decoupling is not None:
        places = plan.final_layout.physical
        compiled = decouple(compiled, device, dynamical_decoupling, places, lowered.parameters, draws)
        steps = native_steps(compiled, device, lowered.parameters, draws)
    assert_executable(compiled, device)
    estimate = on_demand(partial(_estimate, compiled.copy(), best, steps))
    frames = dropped_frames(best.native, lowered)
    return CompiledCircuit(
        compiled, plan.initial_layout, plan.final_layout, estimate, device, lowered.parameters, frames
    )


def _estimate(compiled: QuantumCircuit, best: Candidate, steps: Sequence[NativeStep] | None) -> Estimate:
    places = best.plan.final_layout.physical
    native = best.steps if steps is None else steps
    return complete(compiled, best.problem.device, native, places, swaps=best.plan.swaps)


def variants_of(
    body: QuantumCircuit, slots: dict[Parameter, int], measured: tuple[int, ...], device: Device
) -> tuple[Variant, ...]:
    """The circuit as it is written, and rewritten with fewer CX where that saves many.

    A circuit of two-qubit gates alone is routed as it is written: it has no angles that anything could depend on, and
    who compiles it wants to see its routing.
    """
    rotating = rotating_share(device) >= _ROTATING
    found = [Variant(read_blocks(body, slots), measured, rotating=rotating)]
    if all(len(instruction.qubits) > 1 for instruction in body.data):
        return tuple(found)
    for rewriting in alternatives(body, _LINE_ORDERS):
        blocks = read_blocks(rewriting.circuit, slots)
        ends = tuple(blocks.output_wire[w] for w in rewriting.ends)
        found.append(Variant(replace(blocks, output_wire=ends), measured, rotating=rotating))
    return tuple(found)


def _candidates(problem: Problem, seed: int, rounds: int) -> list[Candidate]:
    """The estimated plans of some rounds; the first ones are the same whatever follows them."""
    trivial = tuple(sorted(problem.device.components[0])[: problem.variants[0].circuit.num_qubits])
    pool: list[Trial] = []
    scale = max(_LEAST, (len(trivial) / _NARROW) ** 2)  # passes over wide circuits cost more, and more are needed
    found: list[Candidate] = []
    small = problem.variants[0].circuit.two_qubit_price <= _SMALL
    if small:  # routers' prices are close there: the estimate decides
        plain = trials(problem, problem.variants[0], [trivial], 0, 1000 * seed)
        found += [candidate(problem, planned(problem, t)) for t in plain if tuple(t.layout.tolist()) == trivial][:1]
    for number in range(rounds):
        variants = problem.variants if number == 0 else problem.variants + problem.later
        given = [
            [tuple(t.layout.tolist()) for t in pool if t.variant is v][:4] or _proposed(problem, v, trivial, seed)
            for v in variants
        ]
        pool = _searched(problem, variants, given, int(scale * _WORK[number]), 1000 * seed + 10 * number)
        found += [candidate(problem, planned(problem, trial)) for trial in pool[: _ESTIMATED[number]]]
        if number in (_FITTED if _may_nearly_fit(problem) else _FITTED[1:]):
            fewest = min(c.plan.swaps for c in found)
            plans = [nearly_fitting(problem, variant, seed, fewest - 1) for variant in variants]
            found += [candidate(problem, plan) for plan in plans if plan is not None]
        if _MOVED[number]:
            places = _MOVED[number] * (_MORE_MOVED if small else 1)
            moved = relocations(problem, best_of(found), seed + number, places)
            found += [candidate(problem, plan) for plan in moved]
    return found


def _proposed(problem: Problem, variant: Variant, trivial: Placed, seed: int) -> list[Placed]:
    """Layouts to begin with: the trivial one, embeddings without SWAPs, stretches of a line."""
    lines = line_layouts(variant.circuit, problem.device, problem.chip, _LINES)
    return [trivial, *embedded(problem, variant, _EMBEDDED, seed), *lines]


def _may_nearly_fit(problem: Problem) -> bool:
    """Whether a circuit is deep or wide enough for the router of nearly fitting ones to pay at once."""
    circuit = problem.variants[0].circuit
    blocks = sum(node.fence is None for node in circuit.nodes)
    return circuit.num_qubits >= _WIDE or blocks >= _DEEP * circuit.num_qubits


def _searched(
    problem: Problem, variants: Sequence[Variant], given: list[list[Placed]], work: int, seed: int
) -> list[Trial]:
    """The best trials, cheapest first. Of several variants each gets a little work, the best one the rest."""
    share = work if len(variants) == 1 else int(min(_FIRST_LOOK, 0.5 / len(variants)) * work)
    pool: list[Trial] = []
    for k, variant in enumerate(variants):
        pool += trials(problem, variant, given[k], share, seed + k)
    pool.sort(key=lambda trial: trial.price)
    if share < work:
        best = pool[0].variant
        begun = [tuple(trial.layout.tolist()) for trial in pool if trial.variant is best][:4]
        pool += trials(problem, best, begun, work - share * len(variants), seed + len(variants))
        pool.sort(key=lambda trial: trial.price)
    return pool


def moves_of(plan: Plan) -> dict[int, int]:
    """Physical qubit -> where what was on it at the start is at the end; spare qubits that SWAPs moved included."""
    content: dict[int, int] = {}
    for entries, qubits in plan.units:
        for _ in range(entries.count(SWAP) % 2):
            a, b = qubits
            content[a], content[b] = content.get(b, b), content.get(a, a)
    moves = {began: at for at, began in content.items()}
    for v, p in enumerate(plan.layout):
        moves[p] = plan.final_layout.physical[v]
    return moves
