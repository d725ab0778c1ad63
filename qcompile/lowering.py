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
from qiskit.circuit import CircuitInstruction, Parameter, ParameterExpression
from qiskit.exceptions import QiskitError

from qcompile.circuit import written_out
from qcompile.errors import CircuitError
from qcompile.unrolling import unrolled
from qcompile.values import expression_values

ONE_QUBIT_BASIS = ("id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "p", "u", "rx", "ry", "rz")
_BASIS = [*ONE_QUBIT_BASIS, "cx", "swap", "measure", "reset", "delay"]


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
        circuit: one-qubit gates, cx, swap, measure, reset, delay, barrier; no global phase; symbolic angles are
            `slots`.
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
        total = total + angle.constant if angle.constant != 0.0 else total
        number = _number(total)  # slots that differ in writing alone may cancel
        return total if number is None else number


def lower(circuit: QuantumCircuit) -> Lowered:
    """Lowers a checked circuit. Raises: CircuitError: a gate that Qiskit cannot write in one-qubit gates and CX."""
    work = written_out(circuit)
    flat = unrolled(work, _BASIS)
    if flat is None:
        flat = _transpiled(work)
    slots: dict[Parameter, int] = {}
    expressions: list[ParameterExpression] = []
    by_expression: dict[ParameterExpression, Parameter] = {}
    lowered = QuantumCircuit(circuit.qubits, circuit.clbits, name=circuit.name)  # in its order; registers share bits
    for register in (*circuit.qregs, *circuit.cregs):
        lowered.add_register(register)
    for instruction in flat:
        # read gates are good; `append` would check each again, at six times the price
        if instruction.name == "delay" or not instruction.is_parameterized():
            lowered._append(instruction)
            continue
        params: list[float | Parameter] = []
        for value in instruction.params:
            number = _number(value)
            if number is not None:
                params.append(number)
                continue
            placeholder = by_expression.get(value)
            if placeholder is None:
                by_expression[value] = placeholder = Parameter(f"slot{len(expressions)}")
                slots[placeholder] = len(expressions)
                expressions.append(value)
            params.append(placeholder)
        lowered._append(instruction.replace(operation=instruction.operation.base_class(*params), params=params))
    return Lowered(lowered, slots, tuple(expressions), tuple(circuit.parameters))


def _number(value: float | ParameterExpression) -> float | None:
    """What an angle is without any values; None where it waits for one.

    Qiskit names the parameters of `0 * a` and `a - a` although the number no longer depends on them. Left like that
    they cannot be copied, and some not even hashed.
    """
    try:
        return float(value)
    except TypeError:
        return None


def _transpiled(circuit: QuantumCircuit) -> list[CircuitInstruction]:
    """By Qiskit's own synthesis; right for every input state: an idle qubit is no clean ancilla."""
    work = circuit.copy()
    work.global_phase = 0
    try:
        flat = transpile(work, basis_gates=_BASIS, optimization_level=0, qubits_initially_zero=False)
    except (QiskitError, RecursionError, ValueError) as error:
        raise CircuitError(
            f"{circuit.name}: cannot be lowered to one-qubit gates and CX: {str(error).splitlines()[0]}"
        ) from error
    return list(flat.data)
