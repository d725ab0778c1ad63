"""Encoders: circuits that put a data row into angles.

Every builder returns (circuit, features): the parameters in the order in which a data row lists its values. Values
are angles in rad and are used as they are; `datasets.scaled` maps data to a range. Compose with an ansatz:

    encoder, features = ry_rz_rx_ry(4)
    ansatz, weights = rzz_ring(4, blocks=3)
    circuit = encoder.compose(ansatz)
"""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import zz_feature_map as qiskit_zz_feature_map

from qtrain.errors import ModelError

Built = tuple[QuantumCircuit, list[Parameter]]

ROTATIONS = ("rx", "ry", "rz")


def check_size(what: str, name: str, value: int) -> None:
    """Raises ModelError unless `value` is an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{what}: {name} = {value!r}. Expected an integer of at least 1.")


def angle_encoder(num_qubits: int, *, rotation: str = "ry", prefix: str = "x") -> Built:
    """One rotation a qubit: feature q is the angle on qubit q.

    Args:
        rotation: "rx", "ry" or "rz"; rz is preceded by a Hadamard, without which it would do nothing to |0>.
        prefix: the parameters are prefix[0], prefix[1], ...
    Raises: ModelError: fewer than one qubit, or another rotation.
    """
    check_size("angle_encoder", "num_qubits", num_qubits)
    if rotation not in ROTATIONS:
        raise ModelError(f"angle_encoder: rotation = {rotation!r}. Expected one of {', '.join(ROTATIONS)}.")
    features = list(ParameterVector(prefix, num_qubits))
    circuit = QuantumCircuit(num_qubits)
    for qubit, feature in enumerate(features):
        if rotation == "rz":
            circuit.h(qubit)
        getattr(circuit, rotation)(feature, qubit)
    return circuit, features


def ry_rz_rx_ry(num_qubits: int = 4, *, prefix: str = "x") -> Built:
    """Four rotations a qubit, 4 * num_qubits features: 16 on 4 qubits, a 4x4 image.

    Layer by layer: feature k * num_qubits + q is the angle of the k-th of RY, RZ, RX, RY on qubit q.
    Source: the image encoder of Wang et al., arXiv 2202.13239 (their 4x4 MNIST tasks).
    Raises: ModelError: fewer than one qubit.
    """
    check_size("ry_rz_rx_ry", "num_qubits", num_qubits)
    features = list(ParameterVector(prefix, 4 * num_qubits))
    circuit = QuantumCircuit(num_qubits)
    for layer, rotation in enumerate(("ry", "rz", "rx", "ry")):
        for qubit in range(num_qubits):
            getattr(circuit, rotation)(features[layer * num_qubits + qubit], qubit)
    return circuit, features


def zz_feature_map(num_qubits: int, *, reps: int = 2, entanglement: str = "full", prefix: str = "x") -> Built:
    """Qiskit's second-order Pauli-Z evolution: products (pi - x_i)(pi - x_j) of two features are angles.

    A feature enters each repetition anew, so its derivative is a sum over several angle slots.
    Source: Havlicek et al., Nature 567, 209 (2019); `qiskit.circuit.library.zz_feature_map`.
    Raises: ModelError: fewer than one qubit or repetition.
    """
    check_size("zz_feature_map", "num_qubits", num_qubits)
    check_size("zz_feature_map", "reps", reps)
    circuit = qiskit_zz_feature_map(num_qubits, reps=reps, entanglement=entanglement, parameter_prefix=prefix)
    return circuit, list(circuit.parameters)
