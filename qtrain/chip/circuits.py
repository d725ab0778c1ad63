"""A compiled program as a service takes it: native circuits with one parameter for each angle that may be shifted.

A program's angle slots are what is shifted, its native gates hold expressions of weights and features. Here every
symbolic native angle becomes a parameter of its own, and parameters = matrix @ slots + constant: for most gates that is
the slot itself. A chip that keeps Z rotations in software has no gate for them; there a shifted Z rotation turns the
phase of every later pulse on its qubit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression

from qtrain.errors import ExecutorError
from qtrain.frames import affine, joined, keeps_frames
from qtrain.gates import Fixed, Qubits, Rotation, Step, gate_steps
from qtrain.measurement import Basis
from qtrain.noise import measured_circuit
from qtrain.program import Program, SlotRotation

if TYPE_CHECKING:
    from qcompile.compiled import CompiledCircuit

Array = NDArray[np.float64]

_AGREES = 1e-9  # rad; of angles computed both ways
_SMALL = 1e-12  # a coefficient that is rounding


@dataclass(frozen=True, eq=False)
class NativeCircuit:
    """The circuit of one measurement basis.

    Attributes:
        circuit: on physical qubits, native, measured into the register "basis"; its parameters sort as the rows below.
        matrix: [parameter, slot].
        constant: [parameter] rad.
    """

    circuit: QuantumCircuit
    matrix: Array
    constant: Array

    def values(self, angles: Array) -> Array:
        """[point, parameter] rad from angles [point, slot]."""
        values: Array = angles @ self.matrix.T + self.constant
        return values


@dataclass
class _Row:
    """One native angle: slopes by the slots, and a constant."""

    slopes: Array
    constant: float

    def minus(self, other: _Row) -> _Row:
        return _Row(self.slopes - other.slopes, self.constant - other.constant)

    @property
    def is_constant(self) -> bool:
        return bool(np.max(np.abs(self.slopes), initial=0.0) < _SMALL)


def native_circuit(program: Program, basis: Basis) -> NativeCircuit:
    """The circuit that a chip runs for one basis of a compiled program.

    Raises: ExecutorError: a slot cannot be shifted by native angles alone.
    """
    compiled = program.compiled
    assert compiled is not None
    measured = measured_circuit(compiled, basis)
    reader = _Reader(program, compiled, measured)
    rows = reader.rows()
    circuit = measured.copy_empty_like()
    parameters: list[Parameter] = []
    kept: list[_Row] = []
    for number, instruction in enumerate(measured.data):
        operation = instruction.operation
        if reader.is_frame(operation.name):
            continue  # no gate: later pulses on the qubit have it in their phases
        found = rows.get(number, {})
        if not found:
            circuit.append(instruction)
            continue
        angles = list(operation.params)
        for position, row in found.items():
            if row.is_constant:
                angles[position] = float(row.constant)
                continue
            parameters.append(Parameter(f"angle{len(parameters):05d}"))  # by name they sort as they come
            kept.append(row)
            angles[position] = parameters[-1]
        operation = operation.to_mutable()
        operation.params = angles
        circuit.append(operation, instruction.qubits, instruction.clbits)
    matrix = np.array([row.slopes for row in kept]).reshape(len(kept), program.num_slots)
    made = NativeCircuit(circuit, matrix, np.array([row.constant for row in kept]))
    _check(program, measured, made, reader)
    return made


class _Reader:
    """Walks through a measured circuit, and finds each of its native angles as a row over the program's slots."""

    def __init__(self, program: Program, compiled: CompiledCircuit, measured: QuantumCircuit) -> None:
        self.program, self.measured = program, measured
        self.position = {p: i for i, p in enumerate(compiled.active_qubits)}
        self.frames_kept = keeps_frames(compiled.circuit)
        self.virtual = compiled.device.native_gates.virtual
        self.owner: dict[int, int] = {}  # id of a step -> its instruction
        self.alive: list[Step] = []  # ids are unique only while the steps live
        self.slots: dict[Qubits, list[int]] = {}  # as in noise.py: in order, for the same qubits
        for op in program.ops:
            if isinstance(op, SlotRotation):
                self.slots.setdefault(op.qubits, []).append(op.slot)
        point = np.random.default_rng(0)
        self.features, self.weights = (
            point.uniform(0.1, 1.0, program.num_features),
            point.uniform(0.1, 1.0, program.num_weights),
        )

    def is_frame(self, name: str) -> bool:
        """Whether a gate only turns the phases of what follows it, and is not sent."""
        return self.frames_kept and name in self.virtual

    def rows(self) -> dict[int, dict[int, _Row]]:
        """instruction -> position among its angles -> row; instructions without one stay as they are."""
        found: dict[int, dict[int, _Row]] = {}
        frame = {q: self._zero() for q in range(self.program.num_qubits)}
        pending: dict[int, list[_Row]] = {}  # rotations of a gate that is being read
        steps = self._steps()
        for step in joined(steps) if self.frames_kept else steps:
            number = self.owner.get(id(step))
            name = "" if number is None else self.measured.data[number].operation.name
            row = self._slot(step) if isinstance(step, Rotation) else None
            turns = isinstance(step, Rotation) and step.paulis == "Z" and name == "r"
            if number is None or turns or self.is_frame(name):
                (qubit,) = step.qubits
                turn = row if row is not None else _Row(self._zero().slopes, _z_angle(step))
                frame[qubit] = frame[qubit].minus(turn)
            elif name == "r" and row is None and _is_symbolic(self.measured.data[number].operation.params[0]):
                continue  # its constant phase, before and after the pulse itself
            elif name == "r":
                found[number] = self._pulse(number, row, frame[step.qubits[0]])
            elif row is not None:
                pending.setdefault(number, []).append(row)
            else:
                self._refuse_turned(number, step, frame)
        for number, turned in pending.items():
            found[number] = self._solved(number, turned)
        return found

    def _steps(self) -> Iterator[Step]:
        for number, instruction in enumerate(self.measured.data):
            physical = tuple(self.measured.find_bit(q).index for q in instruction.qubits)
            if instruction.operation.name in ("barrier", "measure") or not set(physical) <= set(self.position):
                continue
            qubits = tuple(self.position[p] for p in physical)
            for step in gate_steps(instruction.operation, qubits, self._place(number)):
                self.owner[id(step)] = number
                self.alive.append(step)
                yield step

    def _slot(self, step: Rotation) -> _Row:
        """The rotation as its slot, plus what a fixed turn joined to it adds."""
        slot = self.slots[step.qubits].pop(0)
        row = self._zero()
        row.slopes[slot] = 1.0
        row.constant = self._value(step.angle) - float(self._angles()[slot])
        if abs(row.constant) < _SMALL:
            row.constant = 0.0
        return row

    def _pulse(self, number: int, theta: _Row | None, frame: _Row) -> dict[int, _Row]:
        angles = list(self.measured.data[number].operation.params)
        rows = {} if theta is None else {0: theta}
        if _is_symbolic(angles[1]):
            rows[1] = frame
        elif not frame.is_constant or abs(frame.constant) > _SMALL:
            rows[1] = _Row(frame.slopes, frame.constant + float(angles[1]))
        return rows

    def _solved(self, number: int, turned: list[_Row]) -> dict[int, _Row]:
        """Angles of a gate from its rotations, which are affine in them."""
        operation = self.measured.data[number].operation
        symbolic = [i for i, angle in enumerate(operation.params) if _is_symbolic(angle)]
        unknown = [Parameter(f"unknown{i}") for i in range(len(symbolic))]
        copy = operation.to_mutable()
        copy.params = [unknown[symbolic.index(i)] if i in symbolic else a for i, a in enumerate(operation.params)]
        qubits = tuple(range(len(self.measured.data[number].qubits)))
        forms = [affine(s.angle) for s in gate_steps(copy, qubits, self._place(number)) if isinstance(s, Rotation)]
        if len(forms) != len(unknown) or len(turned) != len(unknown) or None in forms:
            raise ExecutorError(self._cannot(number))
        slopes = np.array([[form.slopes.get(u, 0.0) for u in unknown] for form in forms if form is not None])
        if abs(np.linalg.det(slopes)) < _SMALL:
            raise ExecutorError(self._cannot(number))
        inverse = np.linalg.inv(slopes)
        constants = np.array([row.constant - form.constant for row, form in zip(turned, forms) if form is not None])
        matrix = inverse @ np.array([row.slopes for row in turned])
        return {p: _Row(matrix[i], float(inverse[i] @ constants)) for i, p in enumerate(symbolic)}

    def _refuse_turned(self, number: int, step: Step, frame: dict[int, _Row]) -> None:
        """A gate other than a pulse cannot take a turned frame along, unless it commutes with Z rotations."""
        for qubit in step.qubits:
            left = frame[qubit]
            if left.is_constant and abs(left.constant) < _SMALL:
                continue
            if isinstance(step, Fixed) and np.count_nonzero(step.matrix) == len(step.matrix):
                continue  # diagonal, as CZ is
            raise ExecutorError(self._cannot(number))

    def _cannot(self, number: int) -> str:
        return (
            f"{self._place(number)}: an angle before it cannot be shifted with native gates alone. "
            "Expected a device whose Z rotations are gates, or whose other gates commute with them."
        )

    def _place(self, number: int) -> str:
        instruction = self.measured.data[number]
        physical = [self.measured.find_bit(q).index for q in instruction.qubits]
        return f"gate {number} ({instruction.operation.name} on physical qubits {physical})"

    def _zero(self) -> _Row:
        return _Row(np.zeros(self.program.num_slots), 0.0)

    def _angles(self) -> Array:
        return self.program.angles(self.features[None], self.weights)[0]

    def _value(self, expression: ParameterExpression) -> float:
        return _bound(expression, self._named(expression))

    def _named(self, expression: ParameterExpression) -> dict[Parameter, float]:
        known = dict(zip(self.program.parameters, (*self.features, *self.weights)))
        return {p: float(known[p]) for p in expression.parameters}


def _z_angle(step: Step) -> float:
    """Of a fixed Z rotation exp(-i angle Z / 2)."""
    assert isinstance(step, Fixed)
    return float(np.angle(step.matrix[1, 1] / step.matrix[0, 0]))


def _is_symbolic(angle: Any) -> bool:
    return isinstance(angle, ParameterExpression) and bool(angle.parameters)


def _bound(expression: ParameterExpression, values: dict[Parameter, float]) -> float:
    return float(expression.bind(values).numeric())


def _check(program: Program, measured: QuantumCircuit, made: NativeCircuit, reader: _Reader) -> None:
    """Both ways of binding agree at a point that was not used to find the rows; phases, up to the frames left out."""
    rng = np.random.default_rng(1)
    features, weights = rng.uniform(0.1, 1.0, program.num_features), rng.uniform(-3.0, 3.0, program.num_weights)
    known = dict(zip(program.parameters, (*features, *weights)))
    ours = made.circuit.assign_parameters(made.values(program.angles(features[None], weights))[0])
    theirs = measured.assign_parameters({p: known[p] for p in measured.parameters})
    turned: set[Any] = set()
    sent = iter(ours.data)
    for expected in theirs.data:
        if reader.is_frame(expected.operation.name):
            turned.update(expected.qubits)
            continue
        found = next(sent)
        skipped = 1 if turned.intersection(expected.qubits) else None  # the phase of r, its second angle
        for x, y in list(zip(found.operation.params, expected.operation.params))[:skipped]:
            if abs(np.angle(np.exp(1j * (float(x) - float(y))))) > _AGREES:
                raise ExecutorError(
                    f"{found.operation.name}: angle {float(x)} rad by slots, {float(y)} rad by the compiled circuit. "
                    "Expected the same; this is a bug of native_circuit."
                )
