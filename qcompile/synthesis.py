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
from qiskit.circuit import CircuitInstruction, Gate, ParameterExpression
from qiskit.circuit.library import (
    CXGate,
    PhaseGate,
    RGate,
    RZGate,
    RZZGate,
    SXGate,
    U1Gate,
    U2Gate,
    U3Gate,
    UGate,
    XGate,
)
from qiskit.synthesis import TwoQubitBasisDecomposer

from qcompile.block_codes import CX
from qcompile.channels import average_fidelity, gate_noise
from qcompile.device import ENTANGLING, Device, GateKey
from qcompile.errors import CalibrationError
from qcompile.ideal import standard_gates
from qcompile.lowering import Angle, Lowered
from qcompile.native_form import checked_form
from qcompile.pulses import H, Matrix, Wires, as_matrix
from qcompile.units import RZZ, Templates, Unit, fence_of

_Pair = tuple[Matrix | None, Matrix | None]

FinalMeasurement = tuple[int, CircuitInstruction]
"""A wire, and the measurement that ends it."""


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
    units: Sequence[Unit], templates: Templates, ends: Sequence[int], final: Sequence[FinalMeasurement], device: Device
) -> list[NativeOperation]:
    """Native operations of a routed circuit.

    Args:
        units: on physical qubits, blocks on live couplers.
        templates: of the circuit that the units are of.
        ends: physical qubit that each wire ends on.
        final: measurements at the end: (wire, instruction).
    """
    return _Synthesizer(device).run(units, templates, ends, final)


class _Synthesizer:
    def __init__(self, device: Device) -> None:
        self.device = device
        self.wires = Wires(checked_form(device))
        self.rotates = "rzz" in device.native_gates.fractional
        self.out: list[NativeOperation] = []

    def run(
        self,
        units: Sequence[Unit],
        templates: Templates,
        ends: Sequence[int],
        final: Sequence[FinalMeasurement],
    ) -> list[NativeOperation]:
        circuit, parts, add = templates.circuit, templates.parts, self.wires.add
        for unit in units:
            entries, qubits = unit
            fence = fence_of(circuit, unit)
            if fence is not None:
                for code in circuit.nodes[entries[0] // 8].codes:
                    part, side = divmod(code, len(qubits))
                    add(qubits[side], parts[part])
                self._fence(fence, qubits[: len(fence.qubits)])
                continue
            first, second = qubits
            turn = rotating_gate(self.device, first, second) if self.rotates else None
            rotation = None if turn is None else templates.rotation(entries)
            for code in templates.codes(entries) if rotation is None else rotation.codes:
                if code >= 0:
                    add(second if code & 1 else first, parts[code >> 1])
                elif code == CX:
                    self._cx(first, second)
                elif code == RZZ and turn is not None and rotation is not None:
                    for q in qubits:
                        self._flush(q, diagonal=True)
                    self.out.append(NativeOperation(*turn, (Angle(rotation.angle),)))
                else:
                    self._cx(second, first)
        for wire, chain in enumerate(circuit.trailing):
            for part in chain:
                add(ends[wire], parts[part])
        for wire, measurement in final:
            self._fence(measurement, (ends[wire],))
        for q in self.wires.qubits:
            self._flush(q)
        return self.out

    def _cx(self, control: int, target: int) -> None:
        name, pair, before, after, diagonal = native_cx(self.device, control, target)
        for q, matrix in zip(pair, before):
            if matrix is not None:
                self.wires.add(q, matrix)
        for q, passes in zip(pair, diagonal):
            self._flush(q, diagonal=passes)
        self.out.append(NativeOperation(name, pair))
        for q, matrix in zip(pair, after):
            if matrix is not None:
                self.wires.add(q, matrix)

    def _flush(self, qubit: int, *, diagonal: bool = False) -> None:
        for name, angles in self.wires.flush(qubit, diagonal=diagonal):
            self.out.append(NativeOperation(name, (qubit,), angles))

    def _fence(self, instruction: CircuitInstruction, qubits: tuple[int, ...]) -> None:
        name = instruction.operation.name
        if name in ("barrier", "delay"):
            for q in qubits:
                self._flush(q, diagonal=True)
            self.out.append(NativeOperation(name, qubits, (), instruction))
            return
        pulses, frame = self.wires.drop(qubits[0])
        for pulse, angles in pulses:
            self.out.append(NativeOperation(pulse, qubits, angles))
        dropped = (frame,) if frame != Angle(0.0) else ()
        self.out.append(NativeOperation(name, qubits, dropped, instruction))


class _NativeCX(NamedTuple):
    """A CX as the chip does it: one-qubit unitaries around a native gate, for its first and its second qubit.

    Attributes:
        diagonal: whether the native gate commutes with Z rotations of its first, of its second qubit.
    """

    name: str
    pair: tuple[int, ...]
    before: _Pair
    after: _Pair
    diagonal: tuple[bool, bool]


@lru_cache(maxsize=65536)
def native_cx(device: Device, control: int, target: int) -> _NativeCX:
    """The cheapest native gate for a CX, with what stands around it."""
    name, pair = cheapest_native(device, control, target)
    return _NativeCX(name, pair, *_cx_from(name, pair == (control, target)), _DIAGONAL.get(name, (False, False)))


@lru_cache(maxsize=65536)
def rotating_gate(device: Device, first: int, second: int) -> GateKey | None:
    """The live, calibrated RZZ of a coupler, where it loses less than two CX; None elsewhere."""
    offers = []
    for pair in ((first, second), (second, first)):
        gate = device.gates.get(("rzz", pair))
        if gate is not None and gate.error is not None and device.is_live("rzz", pair):
            offers.append((1 - average_fidelity(gate_noise(device, "rzz", pair)[0]), pair))
    cx = cheapest_native(device, first, second)
    if not offers or min(offers)[0] >= 2 * (1 - average_fidelity(gate_noise(device, *cx)[0])):
        return None
    return "rzz", min(offers)[1]


@lru_cache(maxsize=64)
def rotating_share(device: Device) -> float:
    """Share of the live couplers that have a good RZZ."""
    edges = sorted(device.graph.edges)
    if not edges or "rzz" not in device.native_gates.fractional:
        return 0.0
    return sum(rotating_gate(device, a, b) is not None for a, b in edges) / len(edges)


_DIAGONAL = {"cz": (True, True), "cx": (True, False), "cy": (True, False), "ch": (True, False)}
"""Native gates that commute with Z rotations of a qubit."""


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
    "rz": RZGate,
    "rzz": RZZGate, "sx": SXGate, "x": XGate, "r": RGate, "u": UGate, "p": PhaseGate,
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
    made: dict[tuple[str, Any], Gate] = {}
    qubits = [(q,) for q in circuit.qubits]
    for name, at, angles, original in operations:
        where = qubits[at[0]] if len(at) == 1 else tuple(circuit.qubits[q] for q in at)
        if original is not None:
            circuit.append(original.operation, list(at), list(original.clbits))
            continue
        gate = made.get((name, angles))
        if gate is None:
            gate = made[name, angles] = _gate(name, [lowered.expression(angle) for angle in angles])
        # checked where the operations were made; `append` would check each again, at six times the price
        circuit._append(CircuitInstruction(gate, where, ()))
    return circuit


def _gate(name: str, angles: Sequence[Any]) -> Gate:
    kind = _NATIVE_TO_GATE.get(name)
    return standard_gates()[name].copy() if kind is None else kind(*angles)


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
