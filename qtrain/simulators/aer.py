"""A noisy circuit for Qiskit Aer: its gates as labelled unitaries, its noise as a noise model on those labels.

Every channel that depolarizes and then relaxes becomes a mixture of Paulis and resets, which trajectories sample
without looking at the state; only where T2 > T1 Kraus operators are needed. Aer leaves out noise terms of probability
below 1e-10 when it runs: up to 2e-9 in a probability of a deep circuit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import IGate, Reset, UnitaryGate, ZGate
from qiskit.quantum_info import PTM, Kraus

from qcompile.errors import MissingExtraError
from qtrain.gates import Fixed
from qtrain.noise import NoisyCircuit

Array = NDArray[np.float64]

_EXACT = 1e-12  # within which a map is a unitary, or depolarizing and relaxation


class AerCircuit(NamedTuple):
    """One measurement basis for Aer.

    Attributes:
        circuit: on the active qubits, one parameter a slot, without measurement.
        parameters: of the slots that are in it.
        slots: which those are.
        noise: qiskit_aer NoiseModel with gate noise, waiting and readout error.
    """

    circuit: QuantumCircuit
    parameters: tuple[Parameter, ...]
    slots: tuple[int, ...]
    noise: Any


def aer_module() -> Any:
    """The qiskit_aer package. Raises: MissingExtraError: it is not installed."""
    try:
        import qiskit_aer
        import qiskit_aer.noise
    except ImportError as error:
        raise MissingExtraError('AerExecutor needs qiskit-aer: pip install "qonchip[aer]".') from error
    return qiskit_aer


def convert(circuit: NoisyCircuit) -> AerCircuit:
    """The circuit of one basis and its noise model. Raises: MissingExtraError."""
    aer = aer_module().noise
    converted, noise = QuantumCircuit(circuit.num_qubits), aer.NoiseModel()
    known: dict[bytes, tuple[str, Any]] = {}  # a map's entries -> ("unitary", matrix) or (label, error)
    placed: set[tuple[str, tuple[int, ...]]] = set()
    slots: list[int] = []
    parameters: list[Parameter] = []
    for op in circuit.ops:
        if not isinstance(op, Fixed):
            slots.append(op.slot)
            parameters.append(Parameter(f"slot{op.slot}"))
            converted.rz(parameters[-1], op.qubits[0])
            continue
        label, content = known.setdefault(op.matrix.tobytes(), _read(op.matrix, f"noise{len(known)}", aer))
        if label == "unitary":
            converted.append(UnitaryGate(content), op.qubits)
            continue
        _labelled(converted, op.qubits, label)
        if (label, op.qubits) not in placed:
            placed.add((label, op.qubits))
            noise.add_quantum_error(content, label, list(op.qubits), warnings=False)
    for qubit, confusion in zip(circuit.measured, circuit.confusion):
        noise.add_readout_error(aer.ReadoutError(confusion), [qubit], warnings=False)
    return AerCircuit(converted, tuple(parameters), tuple(slots), noise)


def _labelled(circuit: QuantumCircuit, qubits: tuple[int, ...], label: str) -> None:
    """Names the place of a channel: the unitary right in front of it on the same qubits, or an identity."""
    if circuit.data:
        before = circuit.data[-1]
        on = tuple(circuit.find_bit(q).index for q in before.qubits)
        if before.operation.name == "unitary" and before.operation.label is None and on == qubits:
            circuit.data[-1] = before.replace(operation=UnitaryGate(before.operation.params[0], label=label))
            return
    circuit.append(UnitaryGate(np.eye(2 ** len(qubits)), label=label), qubits)


def _read(ptm: Array, label: str, aer: Any) -> tuple[str, Any]:
    """("unitary", matrix) or (label, QuantumError) of a Pauli transfer matrix, first qubit more significant."""
    size = len(ptm)
    if np.abs(ptm @ ptm.T - np.eye(size)).max() < _EXACT:
        return "unitary", _kraus(ptm)[0]
    width = 1 if size == 4 else 2
    strides = (1,) if width == 1 else (4, 1)
    decays = [1.0 - ptm[3 * s, 0] for s in strides]
    if min(decays) > 0.0:
        kept = ptm[3 * strides[0], 3 * strides[0]] / decays[0]  # 1 - depolarizing probability
        dephasings = [ptm[s, s] / kept if kept > 0.0 else 0.0 for s in strides]
        relaxations = [np.diag([1.0, c, c, d]) for c, d in zip(dephasings, decays)]
        for relaxation, decay in zip(relaxations, decays):
            relaxation[3, 0] = 1.0 - decay
        whole = relaxations[0] if width == 1 else np.kron(*relaxations)
        whole = whole @ np.diag([1.0] + [kept] * (size - 1))
        if np.abs(whole - ptm).max() < _EXACT:
            error = _relaxation(dephasings[0], decays[0], aer)
            if width == 2:
                error = error.expand(_relaxation(dephasings[1], decays[1], aer))
            return label, error if kept >= 1.0 else aer.depolarizing_error(1.0 - kept, width).compose(error)
    return label, aer.kraus_error(_kraus(ptm))


def _relaxation(dephasing: float, decay: float, aer: Any) -> Any:
    """Relaxation towards |0>: exp(-t/T2) and exp(-t/T1)."""
    if dephasing > decay:  # T2 > T1: no mixture of resets and phase flips
        matrix = np.diag([1.0, dephasing, dephasing, decay])
        matrix[3, 0] = 1.0 - decay
        return aer.kraus_error(_kraus(matrix))
    terms = [
        ([(Reset(), [0])], 1.0 - decay),
        ([(ZGate(), [0])], (decay - dephasing) / 2),
        ([(IGate(), [0])], (decay + dephasing) / 2),
    ]
    return aer.QuantumError(terms)


def _kraus(ptm: Array) -> list[NDArray[np.complex128]]:
    """Kraus operators in Qiskit's order, the largest first."""
    matrix = ptm
    if len(ptm) == 16:
        matrix = ptm.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)
    return sorted((np.asarray(k) for k in Kraus(PTM(matrix)).data), key=lambda k: -float(np.linalg.norm(k)))
