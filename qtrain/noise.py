"""Device -> noise channels on the active qubits, as real maps in the Pauli basis (see qcompile.channels for the model).

Every measurement basis has a circuit of its own: its basis change is made of noisy native gates, its measurement ends
the schedule, and what idles meanwhile relaxes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qcompile.channels import RESET_PTM, confusion_matrix, gate_noise, idle_channel, unitary_ptm
from qcompile.compile import compile as compile_circuit
from qcompile.compiled import CompiledCircuit
from qcompile.device import Device
from qcompile.errors import NotExecutableError
from qcompile.native_form import basis_change, checked_form
from qcompile.schedule import delay_seconds, pad, schedule
from qtrain.errors import ConfigError
from qtrain.frames import joined, keeps_frames
from qtrain.gates import Fixed, Qubits, Rotation, Step, Unitary, gate_steps
from qtrain.measurement import Basis, measurement, relabelled
from qtrain.program import Program, SlotRotation, lower_ops, read
from qtrain.slots import angle_map

Array = NDArray[np.float64]

_ROUNDING = 1e-15  # entries of a transfer matrix below it are rounding, and would hide its zeros


@dataclass(frozen=True, eq=False)
class NoisyCircuit:
    """The noisy circuit of one measurement basis.

    Attributes:
        num_qubits: active qubits.
        ops: in time order: `Fixed` Pauli transfer matrices ([4, 4] or [16, 16], first qubit more significant) and
            Z rotations by an angle slot.
        measured: qubits that are read, ascending.
        confusion: [measured, prepared, read] readout error.
        feature_slots: [slot] whether a feature enters: angles that differ from row to row of a batch.
    """

    num_qubits: int
    ops: tuple[Fixed | SlotRotation, ...]
    measured: tuple[int, ...]
    confusion: Array
    feature_slots: NDArray[np.bool_]

    @property
    def fingerprint(self) -> bytes:
        """What defines its results, as bytes that are the same in every process."""
        parts = [self.confusion.tobytes(), repr((self.num_qubits, self.measured)).encode()]
        for op in self.ops:
            parts.append(repr(op.qubits).encode())
            parts.append(op.matrix.tobytes() if isinstance(op, Fixed) else str(op.slot).encode())
        return b"".join(parts)


def lower_for_device(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    device: Device,
    *,
    seed: int = 0,
    effort: str = "normal",
    features: Sequence[Parameter] = (),
    weights: Sequence[Parameter] | None = None,
) -> Program:
    """Compiles a circuit, parameters symbolic, and lowers the native one; without its noise.

    Raises: ModelError: what cannot be trained. CircuitError, UnroutableError: what cannot be compiled.
    """
    # the circuit as given is lowered too, for its errors alone: they name the user's gates, before the long work
    checked, chosen, trained = read(circuit, observables, features, weights)
    _, original = lower_ops(circuit)
    angle_map(original, chosen, trained)
    compiled = compile_circuit(circuit, device, seed=seed, effort=effort)
    active = compiled.active_qubits
    position = {p: i for i, p in enumerate(active)}
    ops, expressions = lower_ops(compiled.compact())
    moved = relabelled(checked, [position[p] for p in compiled.final_layout.physical], len(active))
    needed = measurement(moved)
    return Program(
        num_qubits=len(active),
        ops=tuple(ops),
        angle_map=angle_map(expressions, chosen, trained),
        observables=moved,
        measurement=needed,
        compiled=compiled,
        device=device,
        durations=tuple(schedule(measured_circuit(compiled, b), device).duration for b in needed.bases),
        parameters=(*chosen, *trained),
    )


def measured_circuit(compiled: CompiledCircuit, basis: Basis) -> QuantumCircuit:
    """The compiled circuit on physical qubits, followed by a basis change and the measurement of the basis's qubits."""
    circuit = compiled.circuit.copy()
    bits = ClassicalRegister(len(basis.paulis), "basis")
    circuit.add_register(bits)
    physical = [compiled.active_qubits[q] for q in basis.qubits]
    form = checked_form(compiled.device)
    for qubit, (_, pauli) in zip(physical, basis.paulis):
        for name, params in basis_change(form, pauli):
            getattr(circuit, name)(*params, qubit)
    circuit.measure(physical, bits)
    return circuit


def with_noise(program: Program, *, readout_error: bool = True) -> Program:
    """A compiled program with the noisy circuit of each of its bases."""
    compiled = program.compiled
    assert compiled is not None
    circuits = []
    for basis in program.measurement.bases:
        physical = [compiled.active_qubits[q] for q in basis.qubits]
        confusion = [confusion_matrix(compiled.device, p) if readout_error else np.eye(2) for p in physical]
        circuits.append(
            NoisyCircuit(
                program.num_qubits,
                tuple(_noisy_ops(program, pad(measured_circuit(compiled, basis), compiled.device))),
                basis.qubits,
                np.array(confusion),
                program.feature_slots,
            )
        )
    return replace(program, noisy=tuple(circuits))


def check_readout(program: Program, *, readout_error: bool) -> None:
    """Raises: ConfigError: the program was made with readout error and is to be run without it, or the reverse."""
    assert program.device is not None
    assert program.compiled is not None
    active = program.compiled.active_qubits
    for circuit in program.noisy:
        for qubit, found in zip(circuit.measured, circuit.confusion):
            expected = confusion_matrix(program.device, active[qubit]) if readout_error else np.eye(2)
            if not np.array_equal(found, expected):
                raise ConfigError(
                    f"the program was made with readout_error={not readout_error}, this executor has "
                    f"readout_error={readout_error}. Expected one from this executor's prepare(circuit, observables)."
                )


def _noisy_ops(program: Program, padded: QuantumCircuit) -> Iterator[Fixed | SlotRotation]:
    """Each native gate as its unitary, then its noise; delays and resets as channels."""
    compiled = program.compiled
    assert compiled is not None
    # a schedule may order instructions anew, but never those on the same qubits: slots are found again by those
    slots: dict[Qubits, deque[int]] = {}
    for op in program.ops:
        if isinstance(op, SlotRotation):
            slots.setdefault(op.qubits, deque()).append(op.slot)
    found = _noisy_steps(compiled, padded)
    for step in joined(found) if keeps_frames(compiled.circuit) else found:
        if isinstance(step, Rotation):
            before, rotation, after = _as_z_rotation(step, slots[step.qubits].popleft())
            yield from before
            yield rotation
            yield from after
        elif len(step.matrix) == 2:  # type: ignore[union-attr]  # of a rotation that was symbolic in both of its parts
            yield _transfer(step.qubits, step.matrix)  # type: ignore[union-attr]
        else:
            yield step  # type: ignore[misc]  # resets are channels here


def _noisy_steps(compiled: CompiledCircuit, padded: QuantumCircuit) -> Iterator[Step]:
    """The same with rotations as they are: `Fixed` Pauli transfer matrices and `Rotation`."""
    device = compiled.device
    position = {p: i for i, p in enumerate(compiled.active_qubits)}
    index_of = {q: i for i, q in enumerate(padded.qubits)}
    for number, instruction in enumerate(padded.data):
        operation = instruction.operation
        name = operation.name
        physical = tuple(index_of[q] for q in instruction.qubits)
        if name in ("barrier", "measure") or not set(physical) <= set(position):
            continue
        qubits = tuple(position[p] for p in physical)
        if name == "delay":
            seconds = delay_seconds(operation, device, f"instruction {number}")
            yield Fixed(qubits, idle_channel(device, physical[0], seconds))
            continue
        if name == "reset":
            yield Fixed(qubits, RESET_PTM)
        else:
            for step in gate_steps(operation, qubits, f"gate {number} ({name} on physical qubits {list(physical)})"):
                if isinstance(step, Fixed):
                    yield _transfer(step.qubits, step.matrix)
                else:
                    yield step
        if name not in device.native_gates.virtual:
            yield Fixed(qubits, _noise(device, name, physical))


def _noise(device: Device, name: str, physical: Qubits) -> Array:
    try:
        return gate_noise(device, name, physical)[0]
    except KeyError:
        raise NotExecutableError(
            f"{name} on physical qubits {list(physical)}: {device.name} has no calibration of it. "
            "Expected native gates only; compile the circuit for this device."
        ) from None


def _transfer(qubits: Qubits, unitary: Unitary) -> Fixed:
    """The Pauli transfer matrix of a unitary whose first qubit is the more significant index."""
    if len(qubits) == 2:
        unitary = unitary.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)
    matrix = unitary_ptm(unitary)
    matrix[np.abs(matrix) < _ROUNDING] = 0.0
    return Fixed(qubits, matrix)


@cache
def _to_z(pauli: str) -> Unitary:
    """V with V P V^dagger = Z."""
    s = np.sqrt(0.5)
    matrices = {"X": [[s, s], [s, -s]], "Y": [[s, -1j * s], [s, 1j * s]], "Z": [[1, 0], [0, 1]]}
    return np.array(matrices[pauli], dtype=np.complex128)


def _as_z_rotation(step: Rotation, slot: int) -> tuple[list[Fixed], SlotRotation, list[Fixed]]:
    """exp(-i angle P / 2) = W^dagger exp(-i angle Z / 2) W, with Z on the last qubit."""
    before = [_transfer((q,), _to_z(p)) for q, p in zip(step.qubits, step.paulis) if p != "Z"]
    after = [_transfer((q,), _to_z(p).conj().T) for q, p in zip(step.qubits, step.paulis) if p != "Z"]
    if len(step.qubits) == 2:
        parity = _transfer(step.qubits, np.eye(4, dtype=np.complex128)[[0, 1, 3, 2]])
        before, after = [*before, parity], [parity, *after]
    return before, SlotRotation(step.qubits[-1:], "Z", slot), after
