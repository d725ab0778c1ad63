"""A circuit with its points -> operations on the active qubits, with one angle a point."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression

from .chip import Chip

Array = NDArray[np.float64]
SILENT = ("barrier", "delay")


@dataclass(frozen=True)
class Operation:
    """A gate: its name, physical qubits, and angles [point] (or one number where all points share it)."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Array | float, ...]


@dataclass(frozen=True)
class Lowered:
    """What is run.

    Attributes:
        operations: gates in order.
        measured: physical qubit -> (register, bit), in the order of measurement.
        registers: name -> size.
        straight: no control flow, no reset, nothing after a measurement.
        points: how many.
        seeds: [point] of 16 bytes, a function of what the circuit does at that point and of nothing else: neither
            names, tags, ids, time, nor the other points of the job.
    """

    operations: list[Operation]
    measured: dict[int, list[tuple[str, int]]]
    registers: dict[str, int]
    straight: bool
    points: int
    seeds: list[bytes]

    @property
    def active(self) -> list[int]:
        """Physical qubits that anything happens to, ascending."""
        used = {qubit for operation in self.operations for qubit in operation.qubits}
        return sorted(used | self.measured.keys())


def evaluate(expression: ParameterExpression | float, columns: dict[str, Array]) -> Array | float:
    """The angle at every point. Affine expressions elementwise, so that a point's angle never depends on its
    neighbours.
    """
    if not isinstance(expression, ParameterExpression) or not expression.parameters:
        return float(expression)
    parameters = sorted(expression.parameters, key=lambda parameter: parameter.name)

    def at(values: list[float]) -> float:
        return float(expression.bind(dict(zip(parameters, values))))

    base = at([0.0] * len(parameters))
    slopes = [at([float(k == j) for k in range(len(parameters))]) - base for j in range(len(parameters))]
    generic = [0.7310585 * (k + 1) for k in range(len(parameters))]
    if abs(at(generic) - base - sum(s * g for s, g in zip(slopes, generic))) < 1e-12:
        angles = np.full_like(columns[parameters[0].name], base)
        for parameter, slope in zip(parameters, slopes):
            angles = angles + slope * columns[parameter.name]
        return angles
    rows = zip(*(columns[parameter.name] for parameter in parameters))
    return np.array([at([float(value) for value in row]) for row in rows])


def lower(circuit: QuantumCircuit, values: Array, chip: Chip) -> Lowered:
    """values [point, parameter] in the order of circuit.parameters; raises JobRefused for what the chip cannot run."""
    chip.check(circuit)
    columns = {parameter.name: values[:, k] for k, parameter in enumerate(circuit.parameters)}
    places = {}
    for register in circuit.cregs:
        places.update({bit: (register.name, k) for k, bit in enumerate(register)})
    operations: list[Operation] = []
    measured: dict[int, list[tuple[str, int]]] = {}
    straight = True
    words: list[str] = [f"{register.name}:{register.size}" for register in circuit.cregs]
    moving: list[Array] = []
    for instruction in circuit.data:
        name = instruction.operation.name
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        if name in SILENT:
            continue
        bits = [places[bit] for bit in instruction.clbits]
        words.append(f"{name} {qubits} {bits}")
        if name == "measure":
            straight &= qubits[0] not in measured
            measured.setdefault(qubits[0], []).append(bits[0])
            continue
        straight &= not (measured.keys() & set(qubits)) and not bits
        if name == "reset" or instruction.operation.num_clbits or not instruction.operation.name.isidentifier():
            straight = False
            continue
        if instruction.operation.name in ("if_else", "for_loop", "switch_case", "while_loop"):
            straight = False
            continue
        angles = tuple(evaluate(parameter, columns) for parameter in instruction.operation.params)
        for angle in angles:
            chip.check_angles(name, angle)
            if isinstance(angle, float):
                words.append(repr(angle))
            else:
                moving.append(angle)
        operations.append(Operation(name, qubits, angles))
    head = hashlib.blake2b("\n".join(words).encode()).digest()
    table = np.stack(moving, axis=1) if moving else np.zeros((len(values), 0))
    seeds = [hashlib.blake2b(head + row.tobytes(), digest_size=16).digest() for row in np.ascontiguousarray(table)]
    return Lowered(operations, measured, {r.name: r.size for r in circuit.cregs}, straight, len(values), seeds)
