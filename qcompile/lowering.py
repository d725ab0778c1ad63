"""Lowering: any circuit into one-qubit gates, CX, measurements, resets, delays and barriers, parameters still symbolic.

Each distinct symbolic angle becomes a *slot*: the compiler carries `Angle` values (a number plus whole multiples of
slots) and touches the symbolic expressions twice, here and when the finished circuit is written. The global phase,
which nobody can measure and which makes symbolic circuits slow, is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.exceptions import QiskitError
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import (
    Collect2qBlocks,
    CommutativeInverseCancellation,
    ConsolidateBlocks,
    UnitarySynthesis,
)

from qcompile.circuit import written_out
from qcompile.errors import CircuitError
from qcompile.values import expression_values

ONE_QUBIT_BASIS = ("id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "p", "u", "rx", "ry", "rz")
_BASIS = [*ONE_QUBIT_BASIS, "cx", "measure", "reset", "delay"]


class Angle(NamedTuple):
    """A rotation angle: `constant` plus the sum of factor * slot; rad."""

    constant: float
    terms: tuple[tuple[int, float], ...] = ()

    def plus(self, other: Angle) -> Angle:
        """The sum of both."""
        if not other.terms:
            return Angle(self.constant + other.constant, self.terms)
        merged = dict(self.terms)
        for slot, factor in other.terms:
            merged[slot] = merged.get(slot, 0.0) + factor
        return Angle(self.constant + other.constant, tuple((s, f) for s, f in merged.items() if f != 0.0))

    def negated(self) -> Angle:
        """The opposite rotation."""
        return Angle(-self.constant, tuple((s, -f) for s, f in self.terms))

    def shifted(self, constant: float) -> Angle:
        """The same with a number added."""
        return Angle(self.constant + constant, self.terms)

    def values(self, slots: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers for [draw, slot] slot values; shape [draw]."""
        total = np.full(len(slots), self.constant)
        for slot, factor in self.terms:
            total += factor * slots[:, slot]
        return total


@dataclass(frozen=True)
class Lowered:
    """A circuit in the compiler's own basis.

    Attributes:
        circuit: one-qubit gates, cx, measure, reset, delay, barrier; no global phase; symbolic angles are `slots`.
        slots: placeholder parameter -> its number.
        expressions: expressions[i]: what slot i stands for, in the user's parameters.
        parameters: the user's parameters, in the order of `circuit.parameters` of the original.
    """

    circuit: QuantumCircuit
    slots: dict[Parameter, int]
    expressions: tuple[ParameterExpression, ...]
    parameters: tuple[Parameter, ...]

    def slot_values(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """[draw, slot] numbers for [draw, parameter] values."""
        return expression_values(self.expressions, self.parameters, values)

    def expression(self, angle: Angle) -> float | ParameterExpression:
        """The angle in the user's own parameters."""
        total: float | ParameterExpression = 0.0
        for slot, factor in angle.terms:
            part = self.expressions[slot]
            total = (part if factor == 1.0 else factor * part) + total
        return total + angle.constant if angle.constant != 0.0 else total


def lower(circuit: QuantumCircuit, like: Lowered | None = None) -> Lowered:
    """Lowers a checked circuit.

    Args:
        like: the same gates lowered in another order; the slots are numbered as there.
    Raises: CircuitError: a gate that Qiskit cannot synthesize into one-qubit gates and CX.
    """
    parameters = tuple(circuit.parameters)
    work = written_out(circuit).copy()
    work.global_phase = 0
    try:
        # right for every input state: an idle qubit is no clean ancilla, the circuit may be a part of a larger one
        flat = transpile(work, basis_gates=_BASIS, optimization_level=0, qubits_initially_zero=False)
    except (QiskitError, RecursionError, ValueError) as error:
        raise CircuitError(
            f"{circuit.name}: cannot be lowered to one-qubit gates and CX: {str(error).splitlines()[0]}"
        ) from error
    slots: dict[Parameter, int] = dict(like.slots) if like else {}
    expressions: list[ParameterExpression] = list(like.expressions) if like else []
    by_expression = {expressions[number]: placeholder for placeholder, number in slots.items()}
    lowered = QuantumCircuit(*circuit.qregs, *circuit.cregs, name=circuit.name)
    for bit in (*circuit.qubits, *circuit.clbits):
        if bit not in lowered.qubits and bit not in lowered.clbits:
            lowered.add_bits([bit])
    for instruction in flat.data:
        operation = instruction.operation
        symbolic = [isinstance(p, ParameterExpression) and bool(p.parameters) for p in operation.params]
        if any(symbolic) and operation.name != "delay":
            params: list[float | Parameter] = []
            for value, is_symbolic in zip(operation.params, symbolic):
                if not is_symbolic:
                    params.append(float(value))
                    continue
                if value not in by_expression:
                    placeholder = Parameter(f"slot{len(expressions)}")
                    by_expression[value] = placeholder
                    slots[placeholder] = len(expressions)
                    expressions.append(value)
                params.append(by_expression[value])
            operation = operation.copy()
            operation.params = params
        lowered.append(operation, instruction.qubits, instruction.clbits)
    return Lowered(lowered, slots, tuple(expressions), parameters)


def cancel_pairs(circuit: QuantumCircuit) -> QuantumCircuit:
    """Cancels gates with their inverses where what stands between them commutes."""
    cancelled: QuantumCircuit = PassManager([CommutativeInverseCancellation()]).run(circuit)
    cancelled.global_phase = 0
    return cancelled


def merge_blocks(circuit: QuantumCircuit) -> QuantumCircuit:
    """Resynthesizes numeric two-qubit blocks, SWAPs included, with as few CX as they need; symbols stay."""
    passes = [Collect2qBlocks(), ConsolidateBlocks(basis_gates=["u", "cx"]), UnitarySynthesis(basis_gates=["u", "cx"])]
    merged: QuantumCircuit = PassManager(passes).run(circuit)
    merged.global_phase = 0
    return merged
