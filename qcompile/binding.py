"""Binding: numbers for the symbolic angles of a compiled circuit, for whole batches, without symbolic arithmetic.

Qiskit's assign_parameters evaluates every expression at every bind. Here each is read once (`expressions.py`), and
numbers go into a template that has one plain parameter an angle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector

from qcompile.errors import CircuitError
from qcompile.expressions import AngleTable
from qcompile.native import is_symbolic
from qcompile.values import Values, parameter_draws


class Slot(NamedTuple):
    """One symbolic angle of a compiled circuit.

    Attributes:
        instruction, param: it is `circuit.data[instruction].operation.params[param]`.
        gate: name of the native gate.
        qubits: physical.
        expression: the angle in the circuit's parameters, rad.
    """

    instruction: int
    param: int
    gate: str
    qubits: tuple[int, ...]
    expression: ParameterExpression


class Binding:
    """The angles of one circuit as functions of its parameters.

    Args:
        circuit: parameters in gate angles only; later edits of it are not seen.
        parameters: the order of values; they may be more than the circuit's own.
    Attributes:
        slots: the symbolic angles in program order.
    Raises: CircuitError: the circuit has a parameter that is not among `parameters`, or one outside a gate's angles.
    """

    def __init__(self, circuit: QuantumCircuit, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.name = circuit.name
        index_of = {q: i for i, q in enumerate(circuit.qubits)}
        self.slots = tuple(
            Slot(i, k, instruction.name, tuple(index_of[q] for q in instruction.qubits), value)
            for i, instruction in enumerate(circuit.data)
            if instruction.params
            for k, value in enumerate(instruction.params)
            if is_symbolic(value)
        )
        strangers = sorted({p.name for p in circuit.parameters} - {p.name for p in self.parameters})
        if strangers:
            raise CircuitError(f"{circuit.name}: parameters {strangers} are not those that it was compiled with.")
        if is_symbolic(circuit.global_phase):
            raise CircuitError(f"{circuit.name}: symbolic global phase. Expected none, as qcompile.compile leaves it.")
        self._table = AngleTable([slot.expression for slot in self.slots], self.parameters)
        self._circuit = circuit.copy()

    def angles(self, values: Values) -> NDArray[np.float64]:
        """[batch, slot] rad at values [batch, parameter]; one vector or mapping is a batch of one.

        Raises: CircuitError: a wrong shape, a missing or unknown parameter, a value that is not finite and real, or an
            angle without a real value there.
        """
        return self._table(self._numbers(values))

    def _numbers(self, values: Values) -> NDArray[np.float64]:
        if values is None:
            raise CircuitError(f"{self.name}: no values. Expected one for each of {len(self.parameters)} parameters.")
        if isinstance(values, Mapping) or np.ndim(values) == 1:
            return parameter_draws(self.parameters, values, 0, self.name)
        table = np.asarray(values)
        wanted = len(self.parameters)
        if table.ndim != 2 or table.shape[1] != wanted or table.dtype.kind not in "fiu":
            raise CircuitError(
                f"{self.name}: values of shape {table.shape} and dtype {table.dtype}. Expected real numbers, "
                f"({wanted},) or (batch, {wanted}), in the order of the circuit's parameters."
            )
        if not np.isfinite(table).all():
            row, column = (int(k) for k in np.argwhere(~np.isfinite(table))[0])
            raise CircuitError(
                f"{self.name}: values[{row}, {column}] = {table[row, column]} for {self.parameters[column].name}. "
                "Expected finite radians."
            )
        return table.astype(np.float64)

    def bind(self, values: Values) -> QuantumCircuit:
        """The circuit at one vector or mapping of values. Raises: CircuitError: as `angles`; several vectors."""
        angles = self.angles(values)
        if len(angles) != 1:
            raise CircuitError(f"{self.name}: values for {len(angles)} circuits. Expected one vector; bind one by one.")
        bound: QuantumCircuit = self._template.assign_parameters(angles[0])
        return bound

    @cached_property
    def _template(self) -> QuantumCircuit:
        """The circuit with a plain parameter of its own at each slot, in the order of the slots."""
        names = iter(ParameterVector("slot", len(self.slots)))
        template = self._circuit.copy_empty_like()
        for instruction in self._circuit.data:
            if any(is_symbolic(value) for value in instruction.params):
                operation = instruction.operation.to_mutable()
                operation.params = [next(names) if is_symbolic(value) else value for value in operation.params]
                template.append(operation, instruction.qubits, instruction.clbits)
            else:
                template.append(instruction)
        return template
