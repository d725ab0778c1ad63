"""Synthesis: a routed circuit into the device's native gates, parameters still symbolic.

Each CX becomes the best live native gate of its coupler, in the direction that is calibrated. What stands between
two-qubit gates on a wire is merged into the chip's own pulses (pulses.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Parameter, ParameterExpression
from qiskit.circuit.library import (
    CXGate,
    PhaseGate,
    RGate,
    RZGate,
    SXGate,
    U1Gate,
    U2Gate,
    U3Gate,
    UGate,
    XGate,
)
from qiskit.synthesis import TwoQubitBasisDecomposer

from qcompile.absorption import RoutedOperation
from qcompile.channels import average_fidelity, gate_noise
from qcompile.device import ENTANGLING, Device, GateKey
from qcompile.errors import CalibrationError
from qcompile.ideal import standard_gates
from qcompile.lowering import Angle, Lowered
from qcompile.native_form import checked_form
from qcompile.pulses import H, Matrix, Wires, as_matrix


class NativeOperation(NamedTuple):
    """One operation on physical qubits: a native gate, or measure, reset, delay, barrier as read.

    `angles` are the gate's, as Qiskit orders them: one of rz, two of r, three of u. Those of a measurement or a reset:
    the Z rotation in front of it that was dropped, if there was one.
    """

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()
    original: CircuitInstruction | None = None


def check_native_gates(device: Device) -> None:
    """Raises CalibrationError where the device has not the native gates that circuits are built from here."""
    checked_form(device)
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
        self.wires = Wires(checked_form(device), slots)
        self.out: list[NativeOperation] = []

    def run(self, operations: Sequence[RoutedOperation]) -> list[NativeOperation]:
        for operation in operations:
            name = operation.name
            if name == "cx":
                self._cx(*operation.qubits)
            elif name in ("barrier", "delay"):
                for q in operation.qubits:
                    self._flush(q, diagonal=True)
                self.out.append(NativeOperation(name, operation.qubits, (), operation.original))
            elif name in ("measure", "reset"):
                self._end(operation)
            else:
                self.wires.gate(operation.qubits[0], name, operation.params)
        for q in self.wires.qubits:
            self._flush(q)
        return self.out

    def _cx(self, control: int, target: int) -> None:
        name, pair = cheapest_native(self.device, control, target)
        before, after = _cx_from(name, pair == (control, target))
        for q, matrix in zip(pair, before):
            if matrix is not None:
                self.wires.multiply(q, matrix)
        for q, diagonal in zip(pair, _DIAGONAL.get(name, (False, False))):
            self._flush(q, diagonal=diagonal)
        self.out.append(NativeOperation(name, pair))
        for q, matrix in zip(pair, after):
            if matrix is not None:
                self.wires.multiply(q, matrix)

    def _flush(self, qubit: int, *, diagonal: bool = False) -> None:
        for name, angles in self.wires.flush(qubit, diagonal=diagonal):
            self.out.append(NativeOperation(name, (qubit,), angles))

    def _end(self, operation: RoutedOperation) -> None:
        pulses, frame = self.wires.drop(operation.qubits[0])
        for name, angles in pulses:
            self.out.append(NativeOperation(name, operation.qubits, angles))
        dropped = (frame,) if frame != Angle(0.0) else ()
        self.out.append(NativeOperation(operation.name, operation.qubits, dropped, operation.original))


_DIAGONAL = {"cz": (True, True), "cx": (True, False), "cy": (True, False), "ch": (True, False)}
"""Native gates that commute with Z rotations of a qubit."""

_Pair = tuple[Matrix | None, Matrix | None]


@lru_cache(maxsize=65536)
def cheapest_native(device: Device, control: int, target: int) -> GateKey:
    """The live native gate that makes a CX at the lowest price: its own infidelity and the pulses around it.

    A coupler may have several gates, and each in both directions: a CX turned round costs four pulses, so the direction
    that is asked for wins where the errors are alike.
    """
    offers = []
    pulse = checked_form(device).pulse
    for name in sorted(set(ENTANGLING).intersection(device.native_gates.two_qubit)):
        for pair in ((control, target), (target, control)):
            if not device.is_live(name, pair):
                continue
            price = 1 - average_fidelity(gate_noise(device, name, pair)[0])
            for side in _cx_from(name, pair == (control, target)):
                for q, matrix in zip(pair, side):
                    if matrix is not None:
                        price += 1 - average_fidelity(gate_noise(device, pulse, (q,))[0])
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
        return (H, H), (H, H)
    if name == "cz":
        return ((None, H), (None, H)) if same_direction else ((H, None), (H, None))
    wanted = CXGate().to_matrix()
    if not same_direction:
        exchange = np.eye(4)[[0, 2, 1, 3]]
        wanted = exchange @ wanted @ exchange
    built = TwoQubitBasisDecomposer(standard_gates()[name])(wanted, _num_basis_uses=1)
    before: list[NDArray[np.complex128] | None] = [None, None]
    after: list[NDArray[np.complex128] | None] = [None, None]
    side = before
    for instruction in built.data:
        where = [built.find_bit(q).index for q in instruction.qubits]
        if len(where) == 2:
            side = after
            continue
        matrix = np.asarray(instruction.operation.to_matrix(), dtype=np.complex128)
        earlier = side[where[0]]
        side[where[0]] = matrix if earlier is None else matrix @ earlier
    return _pair(before), _pair(after)


def _pair(side: list[NDArray[np.complex128] | None]) -> _Pair:
    first, second = (None if matrix is None else as_matrix(matrix) for matrix in side)
    return first, second


_NATIVE_TO_GATE: dict[str, Any] = {
    "rz": RZGate, "sx": SXGate, "x": XGate, "r": RGate, "u": UGate, "p": PhaseGate,
    "u1": U1Gate, "u2": U2Gate, "u3": U3Gate,
}  # fmt: skip


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
        elif operation.name in _NATIVE_TO_GATE:
            angles = [lowered.expression(angle) for angle in operation.angles]
            circuit.append(_NATIVE_TO_GATE[operation.name](*angles), list(operation.qubits))
        else:
            circuit.append(gates[operation.name].copy(), list(operation.qubits))
    return circuit


def dropped_frames(
    operations: Sequence[NativeOperation], lowered: Lowered
) -> tuple[tuple[int, int, float | ParameterExpression], ...]:
    """(physical qubit, k, angle) of the Z rotation dropped in front of the k-th measurement or reset of a qubit."""
    ends: dict[int, int] = {}
    found = []
    for operation in operations:
        if operation.name in ("measure", "reset"):
            qubit = operation.qubits[0]
            if operation.angles:
                found.append((qubit, ends.get(qubit, 0), lowered.expression(operation.angles[0])))
            ends[qubit] = ends.get(qubit, 0) + 1
    return tuple(found)
