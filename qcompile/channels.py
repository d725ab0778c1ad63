"""Noise channels of a calibrated device as real matrices in the Pauli basis.

The model (reference: Qiskit Aer's `NoiseModel.from_backend` at temperature 0): a native gate is its unitary, then a
depolarizing channel, then thermal relaxation of its qubits over its duration, so that the whole has the calibrated
average gate infidelity. Where T1 and T2 alone exceed that infidelity there is no depolarizing channel.

A Pauli transfer matrix (PTM) R acts on the vector r_P = tr(P rho), Paulis in the order I, X, Y, Z; on two qubits the
first qubit of the gate is the more significant index: 4 * first + second.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from qcompile.device import Device
from qcompile.ideal import gate_matrix

Matrix = NDArray[np.float64]

_PAULIS: tuple[NDArray[np.complex128], ...] = (
    np.eye(2, dtype=np.complex128),
    np.array([[0, 1], [1, 0]], dtype=np.complex128),
    np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    np.diag([1, -1]).astype(np.complex128),
)


@cache
def pauli_basis(num_qubits: int) -> NDArray[np.complex128]:
    """[4^n, 2^n, 2^n]; matrices act on Qiskit's order, where the first qubit is the least significant bit."""
    if num_qubits == 1:
        return np.array(_PAULIS)
    return np.array([np.kron(second, first) for first in _PAULIS for second in _PAULIS])


def unitary_ptm(matrix: NDArray[np.complex128]) -> Matrix:
    """PTM of a one- or two-qubit unitary given in Qiskit's qubit order. Shape [4, 4] or [16, 16]."""
    return unitary_ptms(matrix[np.newaxis])[0]


def unitary_ptms(matrices: NDArray[np.complex128]) -> Matrix:
    """The same for a stack [k, 2, 2] or [k, 4, 4]; shape [k, 4, 4] or [k, 16, 16]."""
    dimension = matrices.shape[1]
    paulis = pauli_basis(1 if dimension == 2 else 2)
    rotated = matrices[:, np.newaxis] @ paulis @ matrices.conj().transpose(0, 2, 1)[:, np.newaxis]
    flat = rotated.transpose(0, 1, 3, 2).reshape(len(matrices), dimension**2, -1)
    return np.ascontiguousarray(np.real(paulis.reshape(dimension**2, -1) @ flat.transpose(0, 2, 1)) / dimension)


def relaxation_ptm(t1: float, t2: float, duration: float) -> Matrix:
    """Thermal relaxation towards |0> over `duration`; all in s, 0 < t2 <= 2 * t1, either may be infinite.

    Raises: ValueError: t2 > 2 * t1 or a negative duration.
    Source: Aer's `thermal_relaxation_error` at excited-state population 0.
    """
    if t2 > 2 * t1 or duration < 0:
        raise ValueError(f"relaxation over {duration} s with t1 = {t1} s, t2 = {t2} s: expected t2 <= 2*t1, time >= 0")
    decay, dephase = math.exp(-duration / t1), math.exp(-duration / t2)
    return np.array([[1, 0, 0, 0], [0, dephase, 0, 0], [0, 0, dephase, 0], [1 - decay, 0, 0, decay]], dtype=np.float64)


def average_fidelity(ptm: Matrix) -> float:
    """Average gate fidelity of a channel with the identity (Nielsen 2002): (d F_process + 1) / (d + 1)."""
    dimension = math.isqrt(len(ptm))
    process = float(np.trace(ptm)) / len(ptm)
    return (dimension * process + 1) / (dimension + 1)


def depolarizing_probability(error: float, relaxation_fidelity: float, num_qubits: int) -> float:
    """Strength p of the depolarizing channel that completes relaxation to a calibrated gate error.

    Args:
        error: average gate infidelity in [0, 1]; capped at d / (d + 1), the worst a channel can have.
        relaxation_fidelity: average fidelity of the relaxation alone.
    Returns: p = d (F_r - 1 + e) / (d F_r - 1), or 0 where relaxation alone exceeds the error.
    """
    dimension = 2**num_qubits
    if error <= 1 - relaxation_fidelity:
        return 0.0
    capped = min(error, dimension / (dimension + 1))
    p = dimension * (relaxation_fidelity - 1 + capped) / (dimension * relaxation_fidelity - 1)
    return min(p, dimension**2 / (dimension**2 - 1))


@lru_cache(maxsize=65536)
def idle_channel(device: Device, qubit: int, duration: float) -> Matrix:
    """PTM of a qubit that waits `duration` seconds. Treat as read-only: results are shared."""
    return relaxation_ptm(*device.qubits[qubit].relaxation, duration)


@lru_cache(maxsize=65536)
def gate_noise(device: Device, name: str, qubits: tuple[int, ...]) -> tuple[Matrix, float]:
    """What follows the ideal unitary of a native gate: (PTM of depolarizing then relaxation, depolarizing p).

    Virtual gates are noise-free. A reset relaxes for its duration. Treat as read-only: results are shared.

    Raises: KeyError: the device has no calibration of that gate.
    """
    size = 4 ** len(qubits)
    if name in device.native_gates.virtual:
        return np.eye(size), 0.0
    relaxation = np.eye(1, dtype=np.float64)
    duration = device.duration(name, qubits)
    for qubit in qubits:
        relaxation = np.asarray(np.kron(relaxation, idle_channel(device, qubit, duration)), dtype=np.float64)
    if name == "reset":
        return relaxation, 0.0
    error = device.gates[name, qubits].error
    p = depolarizing_probability(error or 0.0, average_fidelity(relaxation), len(qubits))
    depolarizing = np.diag([1.0] + [1.0 - p] * (size - 1))
    return relaxation @ depolarizing, p


@lru_cache(maxsize=65536)
def gate_survival(device: Device, name: str, qubits: tuple[int, ...]) -> Matrix:
    """`survival_form` of a native gate's noise. Treat as read-only: results are shared. Raises: as `gate_noise`."""
    return survival_form(gate_noise(device, name, qubits)[0])


@lru_cache(maxsize=4096)
def gate_unitary(name: str, params: tuple[float, ...] = ()) -> Matrix:
    """PTM of a gate of Qiskit's standard library at given angles (rad). Treat as read-only: results are shared."""
    return unitary_ptm(gate_matrix(name, params))


RESET_PTM: Matrix = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=np.float64)
"""Reset to |0>."""

DEPHASE_PTM: Matrix = np.diag([1.0, 0.0, 0.0, 1.0])
"""A measurement whose outcome goes elsewhere: coherences are lost, populations stay."""


def confusion_matrix(device: Device, qubit: int) -> Matrix:
    """[2, 2] readout confusion: entry [prepared, read]. The identity where no readout error is known."""
    readout = device.qubits[qubit].readout
    if readout is None:
        return np.eye(2)
    return np.array(
        [[1 - readout.p1_given_0, readout.p1_given_0], [readout.p0_given_1, 1 - readout.p0_given_1]], dtype=np.float64
    )


@cache
def _fidelity_tensor(num_qubits: int) -> Matrix:
    """G[P, Q, a, b] = Re tr(b P a Q) / d^3: turns a PTM into the quadratic form below."""
    paulis = pauli_basis(num_qubits)
    left = np.einsum("bij,pjk->bpik", paulis, paulis)
    tensor: Matrix = np.real(np.einsum("bpik,aqki->pqab", left, left)) / (2**num_qubits) ** 3
    return tensor


def survival_form(ptm: Matrix) -> Matrix:
    """Quadratic form S with r^T S r = sum_k |tr(K_k rho)|^2: the chance that a channel leaves `rho` alone.

    r_P = tr(P rho). It is the entanglement fidelity of the channel for that state (Schumacher 1996), which is 1 for
    relaxation acting on |0> and below the process fidelity for states that the channel harms most.
    """
    size = len(ptm)
    tensor = _fidelity_tensor(1 if size == 4 else 2)
    form = np.einsum("pqab,ab->pq", tensor, ptm, optimize=True)
    return np.ascontiguousarray((form + form.T) / 2)
