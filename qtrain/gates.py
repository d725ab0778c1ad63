"""Circuit -> steps: fixed unitaries on one or two qubits, and rotations exp(-i angle P / 2) with a symbolic angle.

Every gate of Qiskit's library, and any gate with a definition, comes apart into these two. A controlled rotation of
P is two rotations, P by angle / 2 and Z P by -angle / 2, so that each one alone has
E(angle) = A + B cos(angle) + C sin(angle). Global phases are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, ControlledGate, Gate, Instruction, ParameterExpression
from qiskit.circuit.exceptions import CircuitError as QiskitCircuitError
from qiskit.circuit.library import standard_gates as library
from qiskit.exceptions import QiskitError
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import HighLevelSynthesis

from qtrain.errors import ModelError

Unitary = NDArray[np.complex128]
Qubits = tuple[int, ...]
_MAX_DEPTH = 64  # nesting of definitions; deeper ones are recursive


class Fixed(NamedTuple):
    """A map without parameters: a unitary here, a Pauli transfer matrix in noise.py.

    On two qubits the first one is the more significant index.
    """

    qubits: Qubits
    matrix: NDArray[Any]


class Rotation(NamedTuple):
    """exp(-i angle P / 2), P the product of `paulis[i]` ("X", "Y", "Z") on `qubits[i]`. `place` names the gate."""

    qubits: Qubits
    paulis: str
    angle: ParameterExpression
    place: str


class Reset(NamedTuple):
    """A qubit set to |0>, whatever it was."""

    qubits: Qubits


Step = Fixed | Rotation | Reset
_Parts = list[tuple[str, tuple[int, ...], Any]]

# angle rules in time order: (Paulis, positions among the gate's qubits, angle)
_ROTATIONS: dict[type[Instruction], Callable[..., _Parts]] = {
    library.RXGate: lambda t: [("X", (0,), t)],
    library.RYGate: lambda t: [("Y", (0,), t)],
    library.RZGate: lambda t: [("Z", (0,), t)],
    library.PhaseGate: lambda t: [("Z", (0,), t)],
    library.U1Gate: lambda t: [("Z", (0,), t)],
    library.RGate: lambda t, p: [("Z", (0,), -1 * p), ("X", (0,), t), ("Z", (0,), p)],
    library.U2Gate: lambda p, k: [("Z", (0,), k), ("Y", (0,), np.pi / 2), ("Z", (0,), p)],
    library.U3Gate: lambda t, p, k: [("Z", (0,), k), ("Y", (0,), t), ("Z", (0,), p)],
    library.UGate: lambda t, p, k: [("Z", (0,), k), ("Y", (0,), t), ("Z", (0,), p)],
    library.RXXGate: lambda t: [("XX", (0, 1), t)],
    library.RYYGate: lambda t: [("YY", (0, 1), t)],
    library.RZZGate: lambda t: [("ZZ", (0, 1), t)],
    library.RZXGate: lambda t: [("ZX", (0, 1), t)],
    library.CRXGate: lambda t: [("X", (1,), t / 2), ("ZX", (0, 1), t / -2)],
    library.CRYGate: lambda t: [("Y", (1,), t / 2), ("ZY", (0, 1), t / -2)],
    library.CRZGate: lambda t: [("Z", (1,), t / 2), ("ZZ", (0, 1), t / -2)],
    library.CPhaseGate: lambda t: [("Z", (0,), t / 2), ("Z", (1,), t / 2), ("ZZ", (0, 1), t / -2)],
    library.CU1Gate: lambda t: [("Z", (0,), t / 2), ("Z", (1,), t / 2), ("ZZ", (0, 1), t / -2)],
}

_PAULI = {
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "Z": np.diag([1, -1]).astype(np.complex128),
}


def rotation_matrix(paulis: str, angle: float) -> Unitary:
    """exp(-i angle P / 2); the first Pauli acts on the more significant index."""
    product: Unitary = np.eye(1, dtype=np.complex128)
    for pauli in paulis:
        product = np.kron(product, _PAULI[pauli]).astype(np.complex128)
    matrix: Unitary = np.cos(angle / 2) * np.eye(len(product)) - 1j * np.sin(angle / 2) * product
    return matrix


def steps(circuit: QuantumCircuit) -> Iterator[Step]:
    """The circuit as fixed unitaries, rotations and resets, in time order.

    Raises: ModelError: a measurement, control flow, an opaque gate or a constant that is not finite, by name and place.
    """
    index_of = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    for number, instruction in enumerate(circuit.data):
        operation = instruction.operation
        qubits = tuple(index_of[q] for q in instruction.qubits)
        yield from gate_steps(operation, qubits, f"gate {number} ({operation.name} on qubits {list(qubits)})")


def gate_steps(operation: Any, qubits: Qubits, place: str, depth: int = 0) -> Iterator[Step]:
    """One instruction as steps; `place` is what errors call it."""
    name = operation.name
    if name in ("barrier", "delay") or not qubits:
        return
    if name == "reset":
        yield Reset(qubits)
        return
    _refuse_classical(operation, place)
    if depth > _MAX_DEPTH:
        raise ModelError(f"{place}: its definition contains itself. Expected a gate that ends in library gates.")
    params = list(getattr(operation, "params", ()))
    symbolic = any(isinstance(p, ParameterExpression) and p.parameters for p in params)
    if not symbolic:
        _check_constants(params, place)
        matrix = _matrix(operation, len(qubits))
        if matrix is not None:
            yield Fixed(qubits, matrix)
            return
    parts = _rotation_rule(operation) if symbolic else None
    if parts is not None:
        for paulis, positions, angle in parts(*params):
            yield from _rotation(tuple(qubits[i] for i in positions), paulis, angle, place)
        return
    definition = _definition(operation, place)
    inner = {qubit: qubits[i] for i, qubit in enumerate(definition.qubits)}
    for instruction in definition.data:
        yield from gate_steps(instruction.operation, tuple(inner[q] for q in instruction.qubits), place, depth + 1)


def _rotation(qubits: Qubits, paulis: str, angle: Any, place: str) -> Iterator[Step]:
    if isinstance(angle, ParameterExpression) and angle.parameters:
        yield Rotation(qubits, paulis, angle, place)
    else:
        _check_constants([angle], place)
        yield Fixed(qubits, rotation_matrix(paulis, float(angle)))


def _rotation_rule(operation: Any) -> Callable[..., _Parts] | None:
    """The angle rule of a library gate; by class, since anyone may define a gate named rx."""
    if isinstance(operation, ControlledGate) and operation.ctrl_state != 2**operation.num_ctrl_qubits - 1:
        return None
    return _ROTATIONS.get(getattr(operation, "base_class", type(operation)))


def _refuse_classical(operation: Any, place: str) -> None:
    if operation.name == "measure":
        raise ModelError(
            f"{place}: a trainable circuit holds no measurement; executors measure the observables themselves. "
            "Remove it, e.g. with circuit.remove_final_measurements(inplace=False)."
        )
    if isinstance(operation, ControlFlowOp) or operation.name in ("break_loop", "continue_loop", "store"):
        raise ModelError(
            f"{place}: control flow and classical variables cannot be trained. Expected gates alone; unroll it."
        )


def _check_constants(values: Sequence[Any], place: str) -> None:
    for value in values:
        if not isinstance(value, int | float | complex | np.number | ParameterExpression):
            continue
        try:
            number = complex(value)
        except (TypeError, ValueError) as error:
            raise ModelError(f"{place}: its angle {value} is not a number. Expected finite radians.") from error
        if not np.isfinite(number):
            raise ModelError(f"{place}: its angle is {value}. Expected a finite number of radians.")


def _matrix(operation: Any, num_qubits: int) -> Unitary | None:
    """The unitary of a one- or two-qubit gate, first qubit more significant; None where it must be taken apart."""
    if num_qubits > 2 or not isinstance(operation, Gate):
        return None
    try:
        matrix = np.asarray(operation.to_matrix(), dtype=np.complex128)
    except (QiskitCircuitError, AttributeError, TypeError):
        return None
    if num_qubits == 2:
        return np.ascontiguousarray(matrix.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4))
    return matrix


def _definition(operation: Any, place: str) -> QuantumCircuit:
    try:
        definition = getattr(operation, "definition", None)
    except (QiskitError, TypeError) as error:
        raise ModelError(
            f"{place}: Qiskit cannot take it apart: {error}. Expected gates whose angles may stay symbolic, e.g. "
            "PauliEvolutionGate instead of a HamiltonianGate, or a number instead of the parameter."
        ) from error
    if definition is None:
        definition = _synthesized(operation)
    if definition is None:
        raise ModelError(
            f"{place}: it has neither a unitary nor a definition, so nothing can run it. "
            "Expected gates of Qiskit's library, or gates with a definition."
        )
    return definition


def _synthesized(operation: Any) -> QuantumCircuit | None:
    """What has no definition of its own: annotated gates, permutations, Cliffords and linear functions."""
    wrapped = QuantumCircuit(operation.num_qubits)
    try:
        wrapped.append(operation, range(operation.num_qubits))
        made: QuantumCircuit = PassManager([HighLevelSynthesis(basis_gates=["u", "cx", "rx", "ry", "rz"])]).run(wrapped)
    except QiskitError:
        return None
    return None if any(step.operation.name == operation.name for step in made.data) else made
