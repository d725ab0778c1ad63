"""Synthesis: a routed circuit into the device's native gates, parameters still symbolic.

Each CX becomes the best live native gate of its coupler, in the direction that is calibrated. What stands between
two-qubit gates on a wire is merged: numbers into one unitary of at most two SX, symbolic Z rotations kept apart by
what does not commute with them, every constant angle folded into a neighbouring (virtual, free) RZ.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Parameter
from qiskit.circuit.library import CXGate, RZGate, SXGate, XGate
from qiskit.synthesis import TwoQubitBasisDecomposer

from qcompile.absorption import RoutedOperation
from qcompile.channels import average_fidelity, gate_noise
from qcompile.device import ENTANGLING, Device, GateKey
from qcompile.errors import CalibrationError
from qcompile.ideal import gate_matrix, standard_gates
from qcompile.lowering import Angle, Lowered

Unitary = NDArray[np.complex128]

_EPSILON = 1e-10  # rad; below it a rotation is none
_H: Unitary = np.array([[1, 1], [1, -1]], dtype=np.complex128) / math.sqrt(2)
_SX: Unitary = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]], dtype=np.complex128) / 2
_X: Unitary = np.array([[0, 1], [1, 0]], dtype=np.complex128)


class NativeOperation(NamedTuple):
    """One operation on physical qubits: a native gate (`angle` for rz), or measure, reset, delay, barrier as read."""

    name: str
    qubits: tuple[int, ...]
    angle: Angle | None = None
    original: CircuitInstruction | None = None


@dataclass
class _Wire:
    """One-qubit gates that wait on a qubit: matrices and symbolic Z rotations by turns, first one first."""

    parts: list[Unitary | Angle]

    def multiply(self, matrix: Unitary) -> None:
        if self.parts and not isinstance(self.parts[-1], Angle):
            self.parts[-1] = matrix @ self.parts[-1]
        else:
            self.parts.append(matrix)

    def rotate_z(self, angle: Angle) -> None:
        if not angle.terms:
            self.multiply(_rz(angle.constant))
        elif self.parts and isinstance(self.parts[-1], Angle):
            self.parts[-1] = self.parts[-1].plus(angle)
        else:
            self.parts.append(angle)


def check_native_gates(device: Device) -> None:
    """Raises CalibrationError where the device has not the native gates that circuits are built from here."""
    missing = {"rz", "sx"} - set(device.native_gates.one_qubit)
    if missing:
        raise CalibrationError(
            f"{device.name}: native one-qubit gates {device.native_gates.one_qubit} lack {sorted(missing)}. "
            "Expected rz and sx, from which circuits are built here."
        )
    two_qubit = device.native_gates.two_qubit
    if two_qubit and not set(ENTANGLING).intersection(two_qubit):
        raise CalibrationError(
            f"{device.name}: native two-qubit gates {two_qubit}. Expected one of {', '.join(ENTANGLING)}, from which "
            "circuits are built here."
        )


def synthesize(
    operations: Sequence[RoutedOperation], slots: dict[Parameter, int], device: Device
) -> list[NativeOperation]:
    """Native operations of a routed circuit.

    Args:
        operations: on physical qubits: one-qubit gates, cx on live couplers, measure, reset, delay, barrier.
        slots: placeholder parameter -> slot number (of `Lowered`).
    """
    return _Synthesizer(device, slots).run(operations)


class _Synthesizer:
    def __init__(self, device: Device, slots: dict[Parameter, int]) -> None:
        self.device = device
        self.slots = slots
        self.wires: dict[int, _Wire] = {}
        self.out: list[NativeOperation] = []
        self.has_x = "x" in device.native_gates.one_qubit

    def run(self, operations: Sequence[RoutedOperation]) -> list[NativeOperation]:
        for operation in operations:
            if operation.name == "cx":
                self._cx(*operation.qubits)
            elif operation.name in ("measure", "reset", "delay", "barrier"):
                for q in operation.qubits:
                    self._flush(q)
                self.out.append(NativeOperation(operation.name, operation.qubits, None, operation.original))
            else:
                self._one_qubit(operation)
        for q in sorted(self.wires):
            self._flush(q)
        return self.out

    def _wire(self, qubit: int) -> _Wire:
        return self.wires.setdefault(qubit, _Wire([]))

    def _angle(self, value: Any) -> Angle:
        if isinstance(value, Parameter):
            return Angle(0.0, ((self.slots[value], 1.0),))
        return Angle(float(value))

    def _one_qubit(self, operation: RoutedOperation) -> None:
        wire = self._wire(operation.qubits[0])
        name, params = operation.name, operation.params
        if not any(isinstance(p, Parameter) for p in params):
            wire.multiply(_matrix(name, params))
        elif name in ("rz", "p"):
            wire.rotate_z(self._angle(params[0]))
        elif name == "rx":
            wire.multiply(_H)
            wire.rotate_z(self._angle(params[0]))
            wire.multiply(_H)
        elif name == "ry":
            self._ry(wire, self._angle(params[0]))
        else:  # u(theta, phi, lambda) = RZ(phi) RY(theta) RZ(lambda), up to a phase
            wire.rotate_z(self._angle(params[2]))
            self._ry(wire, self._angle(params[0]))
            wire.rotate_z(self._angle(params[1]))

    @staticmethod
    def _ry(wire: _Wire, angle: Angle) -> None:
        wire.multiply(_SX)
        wire.rotate_z(angle)
        wire.multiply(_SX.conj().T)

    def _cx(self, control: int, target: int) -> None:
        name, pair = cheapest_native(self.device, control, target)
        before, after = _cx_from(name, pair == (control, target))
        for q, matrix in zip(pair, before):
            if matrix is not None:
                self._wire(q).multiply(matrix)
        for q in pair:
            self._flush(q)
        self.out.append(NativeOperation(name, pair))
        for q, matrix in zip(pair, after):
            if matrix is not None:
                self._wire(q).multiply(matrix)

    def _flush(self, qubit: int) -> None:
        wire = self.wires.get(qubit)
        if wire is None or not wire.parts:
            return
        pending = Angle(0.0)
        for part in _merge_rotations(wire.parts):
            if isinstance(part, Angle):
                pending = pending.plus(part)
                continue
            angles, gates = _euler(part, self.has_x)
            for angle, gate in zip(angles, gates):
                self._rz(qubit, pending.shifted(angle))
                self.out.append(NativeOperation(gate, (qubit,)))
                pending = Angle(0.0)
            pending = pending.shifted(angles[-1])
        self._rz(qubit, pending)
        wire.parts.clear()

    def _rz(self, qubit: int, angle: Angle) -> None:
        wrapped = math.remainder(angle.constant, 2 * math.pi)
        if angle.terms or abs(wrapped) > _EPSILON:
            constant = wrapped if abs(wrapped) > _EPSILON else 0.0
            self.out.append(NativeOperation("rz", (qubit,), Angle(constant, angle.terms)))


def _merge_rotations(parts: Sequence[Unitary | Angle]) -> list[Unitary | Angle]:
    """Joins symbolic rotations across what is diagonal (adds) or anti-diagonal (the later one changes sign)."""
    merged: list[Unitary | Angle] = []
    for part in parts:
        if not isinstance(part, Angle):
            if merged and not isinstance(merged[-1], Angle):
                merged[-1] = part @ merged[-1]
            else:
                merged.append(part)
            continue
        if len(merged) >= 2 and isinstance(merged[-2], Angle) and not isinstance(merged[-1], Angle):
            between, earlier = merged[-1], merged[-2]
            if abs(between[1, 0]) < _EPSILON:
                merged[-2] = earlier.plus(part)
                continue
            if abs(between[0, 0]) < _EPSILON:
                merged[-2] = earlier.plus(part.negated())
                continue
        if merged and isinstance(merged[-1], Angle):
            merged[-1] = merged[-1].plus(part)
        else:
            merged.append(part)
    return merged


def _euler(matrix: Unitary, has_x: bool) -> tuple[list[float], list[str]]:
    """Z angles around at most two SX (or one X): angles[0], gate, angles[1], ...; the global phase is dropped."""
    theta = 2 * math.atan2(abs(matrix[1, 0]), abs(matrix[0, 0]))
    if abs(matrix[1, 0]) < _EPSILON:
        return [cmath.phase(matrix[1, 1]) - cmath.phase(matrix[0, 0])], []
    if abs(matrix[0, 0]) < _EPSILON:
        phi, lam = 0.0, cmath.phase(-matrix[0, 1]) - cmath.phase(matrix[1, 0])
        if has_x:  # U(pi, phi, lam) = X RZ(lam - phi + pi)
            return [lam - phi + math.pi, 0.0], ["x"]
        theta = math.pi
    else:
        phi = cmath.phase(matrix[1, 0]) - cmath.phase(matrix[0, 0])
        lam = cmath.phase(-matrix[0, 1]) - cmath.phase(matrix[0, 0])
    if abs(theta - math.pi / 2) < _EPSILON:
        return [lam - math.pi / 2, phi + math.pi / 2], ["sx"]
    return [lam, theta + math.pi, phi + math.pi], ["sx", "sx"]


def _rz(angle: float) -> Unitary:
    return np.diag([cmath.exp(-0.5j * angle), cmath.exp(0.5j * angle)])


def _matrix(name: str, params: tuple[Any, ...]) -> Unitary:
    if name == "unitary":
        return np.asarray(params[0], dtype=np.complex128)
    if name in {"rz", "p"}:  # not worth a place in the cache
        return _rz(params[0])
    return gate_matrix(name, tuple(float(p) for p in params))


_Pair = tuple[Unitary | None, Unitary | None]


@lru_cache(maxsize=65536)
def cheapest_native(device: Device, control: int, target: int) -> GateKey:
    """The live native gate that makes a CX at the lowest price: its own infidelity and the pulses around it.

    A coupler may have several gates, and each in both directions: a CX turned round costs four pulses, so the direction
    that is asked for wins where the errors are alike.
    """
    offers = []
    for name in sorted(set(ENTANGLING).intersection(device.native_gates.two_qubit)):
        for pair in ((control, target), (target, control)):
            if not device.is_live(name, pair):
                continue
            price = 1 - average_fidelity(gate_noise(device, name, pair)[0])
            for side in _cx_from(name, pair == (control, target)):
                for q, matrix in zip(pair, side):
                    if matrix is not None:
                        price += 1 - average_fidelity(gate_noise(device, "sx", (q,))[0])
            offers.append((price, pair != (control, target), name, pair))
    _, _, name, pair = min(offers)
    return name, pair


@cache
def _cx_from(name: str, same_direction: bool) -> tuple[_Pair, _Pair]:
    """CX from one native gate: one-qubit unitaries before and after, for the native gate's first and second qubit.

    Args:
        name: one of `ENTANGLING`.
        same_direction: whether the native gate's first qubit is the control.
    """
    if name == "cx" and same_direction:
        return (None, None), (None, None)
    if name == "cx":
        return (_H, _H), (_H, _H)
    if name == "cz":
        return ((None, _H), (None, _H)) if same_direction else ((_H, None), (_H, None))
    wanted = CXGate().to_matrix()
    if not same_direction:
        exchange = np.eye(4)[[0, 2, 1, 3]]
        wanted = exchange @ wanted @ exchange
    built = TwoQubitBasisDecomposer(standard_gates()[name])(wanted, _num_basis_uses=1)
    before: list[Unitary | None] = [None, None]
    after: list[Unitary | None] = [None, None]
    side = before
    for instruction in built.data:
        where = [built.find_bit(q).index for q in instruction.qubits]
        if len(where) == 2:
            side = after
            continue
        matrix = np.asarray(instruction.operation.to_matrix(), dtype=np.complex128)
        earlier = side[where[0]]
        side[where[0]] = matrix if earlier is None else matrix @ earlier
    return (before[0], before[1]), (after[0], after[1])


_NATIVE_TO_GATE: dict[str, Any] = {"sx": SXGate, "x": XGate}


def to_circuit(operations: Sequence[NativeOperation], lowered: Lowered, num_qubits: int) -> QuantumCircuit:
    """The finished circuit on `num_qubits` physical qubits, classical registers and parameters as in the original."""
    source = lowered.circuit
    circuit = QuantumCircuit(num_qubits, name=source.name)
    for bit in source.clbits:
        circuit.add_bits([bit])
    for register in source.cregs:
        circuit.add_register(register)
    gates = standard_gates()
    for operation in operations:
        if operation.original is not None:
            circuit.append(operation.original.operation, list(operation.qubits), list(operation.original.clbits))
        elif operation.angle is not None:
            circuit.append(RZGate(lowered.expression(operation.angle)), list(operation.qubits))
        else:
            gate = _NATIVE_TO_GATE.get(operation.name)
            circuit.append(gate() if gate else gates[operation.name].copy(), list(operation.qubits))
    return circuit
