"""What noise does to the expectations of given observables: what a training on the chip feels, up to the whole chip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Pauli, SparsePauliOp

from qcompile.channels import confusion_matrix
from qcompile.circuit import check_device
from qcompile.compiled import CompiledCircuit
from qcompile.device import Device
from qcompile.errors import InputError, NotExecutableError
from qcompile.fidelity import exact
from qcompile.fidelity.blocks import fused
from qcompile.fidelity.program import NativeStep, NoisyProgram, noisy_program
from qcompile.fidelity.propagation import NEGLIGIBLE, propagate, route
from qcompile.layout import virtual_places
from qcompile.native import native_steps
from qcompile.native_form import basis_change, checked_form
from qcompile.observables import Operator, String, read_operators, shared_bases
from qcompile.values import Values, parameter_draws

Array = NDArray[np.float64]

THRESHOLD = 1e-6
MAX_TERMS = 1 << 18
EXACT_QUBITS = 10
"""Largest light cone whose density matrix is an alternative: 8 MB, about a second."""

_ANY_NUMBER = 1 << 62  # of strings: more than any memory holds
_NOTHING_KNOWN = 4.0  # two expectations are each between -1 and 1
_PROPAGATION, _EXACT = 20e-9, 12e-9  # s for each 4^qubits and block, or two-qubit gate; measured, good to a factor of 2


@dataclass(frozen=True)
class ExpectationError:
    """One observable's expectation with and without the calibrated noise; both exact but for the truncation.

    Attributes:
        observable: as it was given, or its Pauli strings.
        ideal: without noise; mean over the parameter draws, like all that follow.
        noisy: with gate noise, waiting and, unless switched off, readout error.
        error: noisy - ideal.
        spread: standard deviation of `error` over the draws; 0 where everything is bound.
        truncation: rigorous bound on what dropped Pauli strings changed in `ideal`, `noisy` and `error`: the sum of
            their |coefficients|, noisy and noise-free, times the observable's own. 0 (to rounding) where nothing had
            to be dropped; 4 for each unit of coefficient where it says nothing, which is soon: the sum lets no two
            strings cancel.
        typical_truncation: root of the sum of squares of (noisy - noise-free) coefficients dropped: how far `error`
            is off if what they stand for has random signs. No bound: far too large where the state is scrambled, up
            to about twice too small where it stays close to a product (small angles);
            `tests/benchmarks/expectation_accuracy.py` counts how often the truth is below it. `ideal` and `noisy`
            alone can be further off than `error`: what they miss is much the same.
        terms: the most Pauli strings carried at once (of an exact density matrix: its entries).
        draws: parameter draws averaged over.
        method: "propagation" (Pauli strings, backwards), or "exact" (density matrix) where a string needed it.
    """

    observable: str
    ideal: float
    noisy: float
    error: float
    spread: float
    truncation: float
    typical_truncation: float
    terms: int
    draws: int
    method: str

    def _repr_html_(self) -> str:
        spread = f" ± {self.spread:.4f} over {self.draws} draws" if self.draws > 1 else ""
        cells = {
            "observable": self.observable,
            "ideal": f"{self.ideal:+.4f}",
            "noisy": f"{self.noisy:+.4f}",
            "error": f"{self.error:+.4f}{spread}",
            "truncation, bound": f"{self.truncation:.1g}",
            "typical": f"{self.typical_truncation:.1g}",
            "strings": f"{self.terms:,}",
            "method": self.method,
        }
        head = "".join(f"<th>{escape(name)}</th>" for name in cells)
        body = "".join(f"<td>{escape(cell)}</td>" for cell in cells.values())
        return f"<table><thead><tr>{head}</tr></thead><tbody><tr>{body}</tr></tbody></table>"


class _Row(NamedTuple):
    """Results of one string: by draw, noisy and ideal; bound and square of what is lost; and how it was found."""

    values: Array
    bound: Array
    square: Array
    terms: int
    method: str


def expectation_errors(
    compiled: CompiledCircuit | QuantumCircuit,
    observables: Iterable[str | Pauli | SparsePauliOp],
    values: Values = None,
    *,
    device: Device | None = None,
    seed: int = 0,
    readout: bool = True,
    threshold: float = THRESHOLD,
    max_terms: int = MAX_TERMS,
) -> tuple[ExpectationError, ...]:
    """Ideal and noisy expectations of observables, by noisy Pauli propagation; the width of the chip does not matter.

    What is measured is what `qtrain.NoisySimulator` measures: final measurements are taken off; strings that share a
    basis share a circuit, whose noisy native gates turn X and Y into Z; the schedule ends with the measurements.

    A string whose light cone is narrow in the best order of its blocks (4^qubits <= max_terms) comes out exact, and so
    does one that sees up to 10 qubits, if need be by a density matrix. Otherwise Pauli strings are dropped, which is
    reported. Time grows with 4^(qubits held at once) up to max_terms, times blocks, strings and draws.

    Args:
        compiled: result of `compile`, or a QuantumCircuit on physical qubits in native gates.
        observables: on the virtual qubits (without a layout: on the physical ones), one an entry: "Z0", "X0 Z2",
            "Z0Z1", a Pauli string of the full width in Qiskit's order ("ZII" is Z on qubit 2 of 3), Pauli or
            SparsePauliOp with real coefficients.
        values: of the circuit's parameters; None: 8 draws uniform in [0, 2 pi) from the seed.
        device: of a QuantumCircuit; with a CompiledCircuit, another snapshot of its chip.
        readout: whether measured qubits are misread as calibrated, each of the two ways.
        threshold: Pauli strings below are dropped, but only where 4^qubits > max_terms.
        max_terms: Pauli strings kept; the largest coefficients stay.
    Raises: InputError: an observable, threshold or max_terms that cannot be used, no device. CircuitError: bad
        values. NotExecutableError: a gate that the device has no calibration of.
    """
    threshold, max_terms = _checked_numbers(threshold, max_terms)
    circuit, chip, virtual_at = _on_physical(compiled, device)
    operators = read_operators(observables, len(virtual_at))
    parameters = tuple(circuit.parameters)
    table = parameter_draws(parameters, values, seed, circuit.name)
    steps = _without_measurements(native_steps(circuit, chip, parameters, table))
    rows: dict[String, _Row] = {}
    for basis, strings in shared_bases(dict.fromkeys(s for o in operators for s, _ in o.terms)):
        paulis = {virtual_at[q]: pauli for q, pauli in basis.items()}
        program = noisy_program([*steps, *_measurement(paulis, chip, len(table))], chip, list(paulis))
        measured = _MeasuredProgram(program, chip if readout else None)
        physical = [[virtual_at[q] for q, _ in string] for string in strings]
        rows |= zip(strings, measured.rows(physical, threshold, max_terms))
    return tuple(_combined(o, rows, len(table)) for o in operators)


@dataclass(frozen=True, eq=False)
class _MeasuredProgram:
    """The circuit of one measurement basis; `reader` is the device whose readout error counts, if any."""

    program: NoisyProgram
    reader: Device | None

    def rows(self, strings: Sequence[Sequence[int]], threshold: float, max_terms: int) -> Iterator[_Row]:
        """Expectations of Z strings on physical qubits."""
        program = self.program
        compact = [np.array([program.where[p] for p in string]) for string in strings]
        blocks = [fused(program, d, self.readout) for d in range(program.draws)]
        routes = [route(blocks[0], string) for string in compact]
        work = sum(way.plan.work for way in routes if way.plan is not None)
        if program.num_qubits <= EXACT_QUBITS and _exact_seconds(program) < _PROPAGATION * work:
            yield from _exact_rows(program, compact, self.readout)
            return
        for string, way in zip(compact, routes):
            fits = way.plan is None or 4**way.plan.width <= max_terms
            part = string if way.plan is None else np.union1d(way.plan.cone, string)
            if not fits and len(part) <= EXACT_QUBITS:
                yield from _exact_rows(_restricted(program, part), [np.searchsorted(part, string)], self.readout[part])
            else:
                limit = NEGLIGIBLE if fits else threshold
                found = [propagate(b, way, threshold=limit, max_terms=max_terms) for b in blocks]
                yield _Row(
                    np.clip([[r.noisy, r.ideal] for r in found], -1.0, 1.0),  # where the truth lies
                    np.array([min(r.lost_noisy + r.lost_ideal, _NOTHING_KNOWN) for r in found]),
                    np.array([r.lost_square for r in found]),
                    max(r.terms for r in found),
                    "propagation",
                )

    @cached_property
    def readout(self) -> Array:
        """[compact qubit, 4, 4] what reading does to Z: it shrinks, and leans to one side (the entry Z, I)."""
        maps = np.tile(np.eye(4), (self.program.num_qubits, 1, 1))
        if self.reader is not None:
            for q in self.program.virtual_at:
                confusion = confusion_matrix(self.reader, self.program.physical[q])
                zero, one = confusion @ [1.0, -1.0]  # mean of what is read where 0 or 1 was there
                maps[q, 3, 0], maps[q, 3, 3] = (zero + one) / 2, (zero - one) / 2
        return maps


def _exact_seconds(program: NoisyProgram) -> float:
    """Predicted, noisy and noise-free, of one draw."""
    return 2 * _EXACT * program.two_qubit_gates * 4.0**program.num_qubits


def _exact_rows(program: NoisyProgram, strings: Sequence[NDArray[np.int64]], readout: Array) -> Iterator[_Row]:
    """Expectations from density matrices, each draw's made once for all strings."""
    n, draws = program.num_qubits, program.draws
    values = np.empty((len(strings), draws, 2))
    nothing = np.tile(np.eye(4), (n, 1, 1))
    for d in range(draws):
        for w, (one, reading) in enumerate(((program, readout), (_noise_free(program), nothing))):
            state = exact.noisy_state(one, d).reshape([4] * n)
            for s, string in enumerate(strings):
                values[s, d, w] = _expectation(state, string, reading)
    for row in values:
        yield _Row(row, np.zeros(draws), np.zeros(draws), 4**n, "exact")


def _expectation(state: Array, string: NDArray[np.int64], readout: Array) -> float:
    """What is read of a Z string, from a Pauli vector with the highest qubit on the first axis."""
    index: list[int | slice] = [0] * state.ndim
    for q in string:
        index[state.ndim - 1 - q] = slice(None, None, 3)  # I and Z
    left = state[tuple(index)]
    for q in sorted(string):
        left = left @ readout[q, 3, ::3]
    return float(left)


def _noise_free(program: NoisyProgram) -> NoisyProgram:
    one, two = (np.broadcast_to(np.eye(m.shape[-1]), m.shape).copy() for m in program.noises)
    ones = np.ones(len(program.kind))
    return replace(program, noises=(one, two), decay=ones, dephase=ones)


def _restricted(program: NoisyProgram, qubits: NDArray[np.int64]) -> NoisyProgram:
    """The operations on some compact qubits, ascending; a gate that reaches beyond them is not in their light cone."""
    where = np.full(program.num_qubits + 1, -1)  # the last entry stands for "no second qubit"
    where[qubits] = np.arange(len(qubits))
    kept = (where[program.first] >= 0) & ((program.second < 0) | (where[program.second] >= 0))
    parts = {name: getattr(program, name)[kept] for name in ("kind", "noise", "decay", "dephase", "element")}
    return replace(
        program,
        physical=tuple(program.physical[q] for q in qubits),
        virtual_at=tuple(int(where[q]) for q in program.virtual_at if where[q] >= 0),
        first=where[program.first][kept],
        second=where[program.second][kept],
        angle=np.ascontiguousarray(program.angle[:, kept]),
        matrix=np.ascontiguousarray(program.matrix[:, kept]),
        **parts,
    )


def _combined(operator: Operator, rows: dict[String, _Row], draws: int) -> ExpectationError:
    values = np.full((draws, 2), operator.offset)
    bound, square = np.zeros(draws), np.zeros(draws)
    for string, coefficient in operator.terms:
        values += coefficient * rows[string].values
        bound += abs(coefficient) * rows[string].bound
        square += coefficient**2 * rows[string].square
    error = values[:, 0] - values[:, 1]
    used = [rows[string] for string, _ in operator.terms]
    return ExpectationError(
        observable=operator.text,
        ideal=float(values[:, 1].mean()),
        noisy=float(values[:, 0].mean()),
        error=float(error.mean()),
        spread=float(error.std()),
        truncation=float(bound.mean()),
        typical_truncation=float(np.sqrt(square.mean())),
        terms=max((row.terms for row in used), default=0),
        draws=draws,
        method="exact" if any(row.method == "exact" for row in used) else "propagation",
    )


def _on_physical(
    compiled: CompiledCircuit | QuantumCircuit, device: Device | None
) -> tuple[QuantumCircuit, Device, list[int]]:
    """The circuit, its device, and where each virtual qubit is at the end."""
    if isinstance(compiled, CompiledCircuit):
        circuit, chip = compiled.circuit, compiled.device if device is None else device
        virtual_at = list(compiled.final_layout.physical)
    elif isinstance(compiled, QuantumCircuit):
        if device is None:
            raise InputError(f"{compiled.name}: device is missing. A mapped QuantumCircuit needs device=...")
        circuit, chip = compiled, device
        places = virtual_places(circuit)
        virtual_at = list(range(circuit.num_qubits)) if places is None else places
    else:
        raise InputError(
            f"compiled is a {type(compiled).__name__}. Expected the result of qcompile.compile, or a mapped "
            "QuantumCircuit and device=..."
        )
    check_device(chip)
    if circuit.num_qubits > chip.num_qubits:
        raise NotExecutableError(
            f"{circuit.name}: has {circuit.num_qubits} qubits, {chip.name} has {chip.num_qubits}. "
            "Expected a circuit on physical qubits; map it with qcompile.compile first."
        )
    return circuit, chip, virtual_at


def _without_measurements(steps: Sequence[NativeStep]) -> list[NativeStep]:
    """The steps without measurements that at most barriers follow on their qubit, and barriers that nothing follows."""
    kept, held, busy = [], set[int](), set[int]()  # held: by anything that stays, busy: by more than a barrier
    for step in reversed(steps):
        is_barrier = step.name == "barrier"
        if is_barrier and held.isdisjoint(step.qubits):
            continue
        if step.name == "measure" and busy.isdisjoint(step.qubits):
            continue
        held.update(step.qubits)
        if not is_barrier:
            busy.update(step.qubits)
        kept.append(step)
    return kept[::-1]


def _measurement(paulis: dict[int, str], device: Device, draws: int) -> Iterator[NativeStep]:
    """Basis change and measurement of physical qubits."""
    for qubit, pauli in sorted(paulis.items()):
        for name, params in () if pauli == "Z" else basis_change(checked_form(device), pauli):
            if (name, (qubit,)) not in device.gates:
                raise NotExecutableError(
                    f"measuring {pauli} on physical qubit {qubit}: {device.name} has no calibration of {name} there. "
                    "Measure Z on it, or map the circuit elsewhere."
                )
            yield NativeStep(name, (qubit,), tuple(np.full(draws, p) for p in params), device.duration(name, (qubit,)))
    for qubit in sorted(paulis):
        yield NativeStep("measure", (qubit,), (), device.duration("measure", (qubit,)))


def _checked_numbers(threshold: Any, max_terms: Any) -> tuple[float, int]:
    numbers = (int, float, np.integer, np.floating)
    if isinstance(threshold, bool) or not isinstance(threshold, numbers) or not 0 <= threshold < math.inf:
        raise InputError(f"threshold = {threshold!r}. Expected a number of 0 or more, e.g. {THRESHOLD:g}.")
    if isinstance(max_terms, bool) or not isinstance(max_terms, int | np.integer) or max_terms < 1:
        raise InputError(f"max_terms = {max_terms!r}. Expected an integer of 1 or more, e.g. {MAX_TERMS}.")
    return float(threshold), min(int(max_terms), _ANY_NUMBER)
