"""Verification: does a circuit run on a device as it stands, and does a mapped circuit do what the original does?

Equivalence is shown part by part, where nothing connects the parts of a circuit, on a random entangled input
(`equivalence/statevector.py`). Where that takes more than a second, what both circuits have in common is cancelled from
both ends first (`equivalence/cancellation.py`: of a right mapping little is left, at any width); what remains is
simulated, to 24 qubits and half a minute, or left to MQT QCEC (extra `verify`).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Instruction, Operation, ParameterExpression
from qiskit.circuit.library import PauliEvolutionGate

from qcompile import ideal
from qcompile.circuit import (
    CircuitLike,
    check_mid_circuit,
    final_measurements,
    is_homemade,
    read_circuit,
    written_out,
)
from qcompile.device import Device
from qcompile.equivalence import qcec, statevector
from qcompile.equivalence.cancellation import reduced
from qcompile.equivalence.pair import pair_of, parts
from qcompile.errors import NotEquivalentError, NotExecutableError

if TYPE_CHECKING:
    from qcompile.compiled import CompiledCircuit

_NARROW = 12  # qubits up to which a second point costs next to nothing
_ANGLE_SLACK = 1e-9  # rad


def assert_executable(circuit: QuantumCircuit, device: Device) -> None:
    """Passes if the device can run every instruction as it stands: native, live, in the calibrated direction.

    Raises: NotExecutableError: naming the first instruction that it cannot run, the rule, and the way out.
    """
    if circuit.num_qubits > device.num_qubits:
        raise NotExecutableError(
            f"{circuit.name}: {circuit.num_qubits} qubits; {device.name} has {device.num_qubits}. Compile it first."
        )
    check_mid_circuit(circuit, device)
    native = {*device.native_gates.one_qubit, *device.native_gates.two_qubit, *device.native_gates.fractional}
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    for index, instruction in enumerate(circuit.data):
        name = instruction.operation.name
        qubits = tuple(index_of[q] for q in instruction.qubits)
        place = f"{circuit.name}: instruction {index}, {name}{qubits if len(qubits) > 1 else f'({qubits[0]})'}"
        if name == "barrier":
            continue
        dead = [q for q in qubits if not device.qubits[q].usable]
        if dead:
            raise NotExecutableError(
                f"{place}: qubit {dead[0]} of {device.name} is not usable (its measurement or a pulse is dead). "
                "Compile the circuit for this calibration."
            )
        if name in ("measure", "reset", "delay"):
            continue
        if name not in native:
            raise NotExecutableError(
                f"{place}: not a native gate of {device.name}. Expected one of {sorted(native)}; compile it first."
            )
        if (name, qubits) not in device.gates:
            reverse = " It is calibrated in the other direction only." if (name, qubits[::-1]) in device.gates else ""
            raise NotExecutableError(
                f"{place}: {device.name} has no such coupling.{reverse} Compile the circuit for this device."
            )
        if not device.is_live(name, qubits):
            raise NotExecutableError(
                f"{place}: dead in the calibration of {device.calibrated_at:%Y-%m-%d} (error 1). "
                "Compile the circuit for this calibration."
            )
        if name == "rzz":
            _check_fractional(place, instruction.operation.params[0])


def _check_fractional(place: str, angle: object) -> None:
    if isinstance(angle, ParameterExpression) and angle.parameters:
        raise NotExecutableError(
            f"{place}: symbolic angle {angle} in a fractional gate, which takes 0 to pi/2 only. "
            "A shifted value would leave that range: write it as CX RZ CX."
        )
    value = float(angle)  # type: ignore[arg-type]  # a number, or an expression without parameters
    if not -_ANGLE_SLACK <= value <= math.pi / 2 + _ANGLE_SLACK:
        raise NotExecutableError(f"{place}: angle {value} rad. Expected 0 to pi/2, what the fractional gate takes.")


def assert_equivalent(original: CircuitLike, compiled: CompiledCircuit, *, seed: int = 0) -> None:
    """Passes if the compiled circuit does what the original does, up to layouts and the global phase.

    Symbolic parameters are bound to random numbers, twice up to 12 qubits, once beyond: at any one generic point a
    difference shows with probability one. Final measurements must read the same virtual qubits into the same bits;
    mid-circuit measurements and resets are deferred to ancillas.

    Raises: NotEquivalentError: they differ, and by how much. VerificationError: what does not cancel is too large to
        simulate (24 qubits once measurements are deferred, or more than half a minute), and QCEC could not decide it.
        MissingExtraError: it is too large, and mqt.qcec is not installed.
    """
    virtual = written_out(read_circuit(original), _is_composite)
    mapped = _with_frames(compiled)
    names = {p.name for p in virtual.parameters}
    if {p.name for p in mapped.parameters} - names:
        raise NotEquivalentError(
            f"{virtual.name}: the compiled circuit has parameters "
            f"{sorted({p.name for p in mapped.parameters} - names)} that the original has not."
        )
    position = {p: i for i, p in enumerate(compiled.active_qubits)}
    start = [position[p] for p in compiled.initial_layout.physical]
    end = [position[p] for p in compiled.final_layout.physical]
    if len(start) != virtual.num_qubits:
        raise NotEquivalentError(f"{virtual.name}: {virtual.num_qubits} qubits, but the layout places {len(start)}.")
    _check_measurements(virtual, mapped, end)
    rng = np.random.default_rng(seed)
    for draw in range(2 if names else 1):
        point = {name: float(rng.uniform(-np.pi, np.pi)) for name in sorted(names)}
        a, b = _bound(virtual, point), _bound(mapped, point)
        undecided = False
        for part in parts(pair_of(a, b, start, end)):
            if draw and part.width > _NARROW:
                break  # parts come by width, and one point is enough
            for left in [part] if statevector.work(part) <= statevector.QUICK else parts(reduced(part)):
                if statevector.work(left) <= statevector.LONGEST:
                    statevector.compare(left, rng)
                else:
                    undecided = True
        if undecided:
            qcec.compare(a, b, start, _wire_permutation(compiled))


def _is_composite(operation: Operation) -> bool:
    """What is verified by its definition: what holds resets or measurements, and time evolutions.

    A time evolution stands for the product formula that Qiskit synthesizes, not for the exact exponential.
    """
    if operation.name in ideal.standard_gates() or not isinstance(operation, Instruction):
        return is_homemade(operation)
    has_matrix = isinstance(operation, Gate) and hasattr(operation, "__array__")
    is_matrix = has_matrix and not isinstance(operation, PauliEvolutionGate)
    return not is_matrix and operation.definition is not None


def _bound(circuit: QuantumCircuit, point: dict[str, float]) -> QuantumCircuit:
    return circuit.assign_parameters({p: point[p.name] for p in circuit.parameters})


def _check_measurements(virtual: QuantumCircuit, mapped: QuantumCircuit, end: list[int]) -> None:
    wanted = {c: end[q] for c, q in final_measurements(virtual).items()}
    found = final_measurements(mapped)
    times = [_times_written(circuit) for circuit in (virtual, mapped)]
    for clbit in sorted(wanted.keys() | found.keys()):
        deferred = (clbit in wanted) != (clbit in found) and times[0][clbit] == times[1][clbit]
        if wanted.get(clbit) != found.get(clbit) and not deferred:
            raise NotEquivalentError(
                f"{virtual.name}: classical bit {clbit} is read from active qubit {found.get(clbit)} of the compiled "
                f"circuit; expected {wanted.get(clbit)}, where the final layout puts that virtual qubit."
            )


def _times_written(circuit: QuantumCircuit) -> Counter[int]:
    return Counter(circuit.find_bit(i.clbits[0]).index for i in circuit.data if i.name == "measure")


def _with_frames(compiled: CompiledCircuit) -> QuantumCircuit:
    """The compact circuit with the Z rotations written out that were dropped in front of measurements and resets.

    Whatever they are, they change nothing that can be seen; unitaries, which are compared here, they do change.
    """
    mapped = compiled.compact()
    if not compiled.frames:
        return mapped
    dropped = {(compiled.active_qubits.index(q), number): angle for q, number, angle in compiled.frames}
    index_of = {q: i for i, q in enumerate(mapped.qubits)}
    written, ends = mapped.copy_empty_like(), dict.fromkeys(range(mapped.num_qubits), 0)
    for instruction in mapped.data:
        if instruction.operation.name in ("measure", "reset"):
            qubit = index_of[instruction.qubits[0]]
            if (qubit, ends[qubit]) in dropped:
                written.rz(dropped[qubit, ends[qubit]], qubit)
            ends[qubit] += 1
        written.append(instruction)
    return written


def _wire_permutation(compiled: CompiledCircuit) -> dict[int, int]:
    """Active wire -> active wire where its content leaves; spare qubits go by Qiskit's own layout."""
    position = {p: i for i, p in enumerate(compiled.active_qubits)}
    layout = compiled.circuit.layout
    moved = {}
    if layout is not None and layout.final_layout is not None:
        moved = {p: layout.final_layout[q] for p, q in enumerate(compiled.circuit.qubits)}
    ends = {position[p]: position[q] for p, q in zip(compiled.initial_layout.physical, compiled.final_layout.physical)}
    free = sorted(set(position.values()) - set(ends.values()))
    for p in compiled.active_qubits:
        if position[p] not in ends:
            wanted = position.get(moved.get(p, p), -1)
            ends[position[p]] = free.pop(free.index(wanted) if wanted in free else 0)
    return ends
