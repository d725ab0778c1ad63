"""Verification: does a circuit run on a device as it stands, and does a mapped circuit do what the original does?

Equivalence up to 12 qubits is shown by simulating both on a random entangled input: two unitaries that agree there
(up to a global phase) agree everywhere, with probability one. Beyond, MQT QCEC decides (extra `verify`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Gate, Instruction, Operation, ParameterExpression
from qiskit.circuit.library import PauliEvolutionGate

from qcompile import ideal
from qcompile.circuit import (
    CircuitLike,
    check_mid_circuit,
    final_measurements,
    has_mid_circuit_operations,
    is_homemade,
    read_circuit,
    written_out,
)
from qcompile.device import Device
from qcompile.errors import MissingExtraError, NotEquivalentError, NotExecutableError, VerificationError
from qcompile.lowering import ONE_QUBIT_BASIS

if TYPE_CHECKING:
    from qcompile.compiled import CompiledCircuit

SIMULATED_QUBITS = 12
QCEC_DEADLINE = 120.0  # s
_TOLERANCE = 1e-7  # distance of the two final states; rounding of 10^4 gates stays below 1e-9
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


class _Deferred(NamedTuple):
    """A circuit without measurements and resets: each mid-circuit one moved onto an ancilla of its own."""

    unitary: QuantumCircuit
    records: dict[tuple[int, int], int]  # (clbit, how many-th write) -> wire that holds the outcome
    discarded: int  # wires at the end that hold what resets threw away


def assert_equivalent(original: CircuitLike, compiled: CompiledCircuit, *, seed: int = 0) -> None:
    """Passes if the compiled circuit does what the original does, up to layouts and the global phase.

    Symbolic parameters are bound to two random draws. Final measurements must read the same virtual qubits into the
    same bits; mid-circuit measurements and resets are deferred to ancillas.

    Raises: NotEquivalentError: they differ, and by how much. VerificationError: too large, and QCEC could not decide.
        MissingExtraError: more than 12 qubits and mqt.qcec is not installed.
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
    for _ in range(2 if names else 1):
        point = {name: float(rng.uniform(-np.pi, np.pi)) for name in sorted(names)}
        a, b = _bound(virtual, point), _bound(mapped, point)
        if max(a.num_qubits, b.num_qubits) > SIMULATED_QUBITS:
            _compare_by_qcec(a, b, start, _wire_permutation(compiled))
        else:
            _compare_by_simulation(_defer(a), _defer(b), start, end, rng)


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
    for clbit in sorted(wanted.keys() | found.keys()):
        if wanted.get(clbit) != found.get(clbit):
            raise NotEquivalentError(
                f"{virtual.name}: classical bit {clbit} is read from active qubit {found.get(clbit)} of the compiled "
                f"circuit; expected {wanted.get(clbit)}, where the final layout puts that virtual qubit."
            )


def _defer(circuit: QuantumCircuit) -> _Deferred:
    last = set(final_measurements(circuit))
    writes: dict[int, int] = {}
    total_writes: dict[int, int] = {}
    for instruction in circuit.data:
        if instruction.operation.name == "measure":
            clbit = circuit.find_bit(instruction.clbits[0]).index
            total_writes[clbit] = total_writes.get(clbit, 0) + 1
    steps: list[tuple[object, list[int]]] = []
    records: dict[tuple[int, int], int] = {}
    resets = []
    width = circuit.num_qubits
    for instruction in circuit.data:
        name = instruction.operation.name
        qubits = [circuit.find_bit(q).index for q in instruction.qubits]
        if name in ("barrier", "delay"):
            continue
        if name == "measure":
            clbit = circuit.find_bit(instruction.clbits[0]).index
            writes[clbit] = writes.get(clbit, 0) + 1
            if clbit in last and writes[clbit] == total_writes[clbit]:
                continue
            records[clbit, writes[clbit]] = width
            steps.append(("record", [qubits[0], width]))
            width += 1
        elif name == "reset":
            resets.append(width)
            steps.append(("discard", [qubits[0], width]))
            width += 1
        else:
            steps.append((instruction.operation, qubits))
    order = {w: i for i, w in enumerate([w for w in range(width) if w not in resets] + resets)}
    unitary = QuantumCircuit(width)
    for what, wires in steps:
        placed = [order[w] for w in wires]
        if what == "record":
            unitary.cx(*placed)
        elif what == "discard":
            unitary.swap(*placed)
        else:
            unitary.append(what, placed)
    return _Deferred(unitary, {k: order[w] for k, w in records.items()}, len(resets))


def _compare_by_simulation(
    a: _Deferred, b: _Deferred, start: list[int], end: list[int], rng: np.random.Generator
) -> None:
    if a.records.keys() != b.records.keys():
        raise NotEquivalentError(
            f"mid-circuit measurements differ: {sorted(a.records)} in the original, {sorted(b.records)} in the "
            "compiled circuit, each (classical bit, how many-th write)."
        )
    if max(a.unitary.num_qubits, b.unitary.num_qubits) > 2 * SIMULATED_QUBITS:
        raise VerificationError(
            f"{max(a.unitary.num_qubits, b.unitary.num_qubits)} qubits once mid-circuit measurements and resets are "
            f"deferred; at most {2 * SIMULATED_QUBITS} can be simulated."
        )
    count = len(start)
    state = rng.normal(size=2**count) + 1j * rng.normal(size=2**count)
    state /= np.linalg.norm(state)
    keys = sorted(a.records)
    ours = _run(a.unitary, state, list(range(count)), [*range(count), *(a.records[k] for k in keys)])
    theirs = _run(b.unitary, state, start, [*end, *(b.records[k] for k in keys)])
    difference = _distance(ours, theirs)
    if difference > _TOLERANCE:
        raise NotEquivalentError(
            f"the compiled circuit does something else: on a random input the final states are {difference:.3g} apart; "
            f"expected less than {_TOLERANCE:g}. If it was edited after compiling, compile the edited original."
        )


def _run(
    circuit: QuantumCircuit, state: NDArray[np.complex128], inputs: list[int], outputs: list[int]
) -> NDArray[np.complex128]:
    """[kept, rest] amplitudes: the input on some wires (others |0>), the outputs as the row index."""
    width = circuit.num_qubits
    full = np.zeros(2**width, dtype=np.complex128)
    index = np.zeros(len(state), dtype=np.int64)
    for i, wire in enumerate(inputs):
        index |= ((np.arange(len(state)) >> i) & 1) << wire
    full[index] = state
    for instruction in circuit.data:
        wires = [circuit.find_bit(q).index for q in instruction.qubits]
        full = ideal.apply(full, ideal.operation_matrix(instruction.operation), wires, width)
    tensor = full.reshape([2] * width)
    kept = [width - 1 - w for w in reversed(outputs)]
    rest = [axis for axis in range(width) if axis not in kept]
    return np.transpose(tensor, (*kept, *rest)).reshape(2 ** len(outputs), -1)


def _distance(ours: NDArray[np.complex128], theirs: NDArray[np.complex128]) -> float:
    """Distance of two states up to what cannot be seen: a global phase, or any unitary on the discarded wires."""
    left, _, right = np.linalg.svd(ours.conj().T @ theirs, full_matrices=False)
    return float(np.linalg.norm(ours @ (left @ right) - theirs))


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


def _compare_by_qcec(a: QuantumCircuit, b: QuantumCircuit, start: list[int], ends: dict[int, int]) -> None:
    """Both on equally many wires, the routing undone by SWAPs: then they are one unitary, up to a global phase.

    Args:
        start: wire of `b` that virtual qubit v enters on.
        ends: wire of `b` that the content of each wire leaves on, spare qubits included.
    """
    try:
        from mqt.qcec.verify_hard_timeout import verify_with_hard_timeout
    except ImportError as error:
        raise MissingExtraError(
            f"{b.num_qubits} qubits: beyond {SIMULATED_QUBITS} equivalence is checked by mqt.qcec, which is not "
            'installed. Install it with: pip install "qonchip[verify]"'
        ) from error
    if has_mid_circuit_operations(a) or has_mid_circuit_operations(b):
        raise VerificationError(
            f"{b.num_qubits} qubits with mid-circuit measurement or reset: only up to {SIMULATED_QUBITS} qubits can be "
            "checked. Verify the parts between them one by one."
        )
    enter = [*start, *(w for w in range(b.num_qubits) if w not in set(start))]
    wire_of = {w: i for i, w in enumerate(enter)}
    both = []
    for circuit, wires in ((a, list(range(a.num_qubits))), (b, [wire_of[w] for w in range(b.num_qubits)])):
        plain = QuantumCircuit(max(a.num_qubits, b.num_qubits))
        for instruction in circuit.data:
            if instruction.operation.name not in ("measure", "barrier", "delay"):
                plain.append(instruction.operation, [wires[circuit.find_bit(q).index] for q in instruction.qubits])
        basis = [*ONE_QUBIT_BASIS, "cx", "cz", "ecr", "swap"]
        both.append(transpile(plain, basis_gates=basis, optimization_level=0, qubits_initially_zero=False))
    at = {wire_of[w]: wire_of[end] for w, end in ends.items()}  # content of wire i is now on wire at[i]: carry it home
    for home in sorted(at):
        away = at[home]
        if away != home:
            both[1].swap(home, away)
            at = {k: away if v == home else v for k, v in at.items()}
            at[home] = home
    try:
        verdict = verify_with_hard_timeout(both[0], both[1], QCEC_DEADLINE)["equivalence"]
    except (TimeoutError, RuntimeError) as error:
        raise VerificationError(
            f"mqt.qcec came to no verdict on {both[1].num_qubits} qubits: {error}. "
            "Verify fewer layers or a part of the circuit."
        ) from error
    if verdict in ("equivalent", "equivalent_up_to_global_phase", "equivalent_up_to_phase"):
        return
    if verdict == "not_equivalent":
        raise NotEquivalentError(
            "the compiled circuit does something else (mqt.qcec found a counterexample). "
            "If it was edited after compiling, compile the edited original."
        )
    raise VerificationError(
        f"mqt.qcec came to no verdict on {both[1].num_qubits} qubits ({verdict}). "
        "Verify fewer layers or a part of the circuit."
    )


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
