"""Program: a circuit lowered once for an executor, so that every later call only binds numbers.

Words: an angle slot is one rotation exp(-i theta P / 2), so that E(theta) = A + B cos theta + C sin theta. Weights
enter angles affinely, features by any smooth expression (slots.py); gates come apart in gates.py; observables are
sorted into measurement bases in measurement.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.quantum_info import SparsePauliOp

from qtrain.errors import ConfigError, ModelError
from qtrain.frames import joined, keeps_frames
from qtrain.gates import Fixed, Reset, Rotation, steps
from qtrain.measurement import Measurement, checked_observables, measurement
from qtrain.real_arrays import real_array
from qtrain.slots import AngleMap, Array, angle_map

if TYPE_CHECKING:
    import torch

    from qcompile.compiled import CompiledCircuit
    from qcompile.device import Device
    from qtrain.noise import NoisyCircuit


@dataclass(frozen=True)
class SlotRotation:
    """A rotation whose angle is read from a slot; otherwise as `gates.Rotation`."""

    qubits: tuple[int, ...]
    paulis: str
    slot: int


Op = Fixed | SlotRotation | Reset


@dataclass(frozen=True, eq=False)
class Program:
    """A circuit on its active qubits, its observables, and how numbers become angles.

    Attributes:
        num_qubits: active qubits only; qubit i of a compiled program is `compiled.active_qubits[i]`.
        ops: noise-free operations in time order.
        angle_map: features and weights -> angles.
        observables: on these qubits.
        measurement: distinct Pauli strings and the bases that measure them.
        compiled, device: where the program was made for a device.
        noisy: the circuit of each basis with the device's noise; empty without a noise model.
    """

    num_qubits: int
    ops: tuple[Op, ...]
    angle_map: AngleMap
    observables: tuple[SparsePauliOp, ...]
    measurement: Measurement
    compiled: CompiledCircuit | None = None
    device: Device | None = None
    noisy: tuple[NoisyCircuit, ...] = ()
    durations: tuple[float, ...] = ()
    """Of the circuit of each basis on the device, measurement included, s."""
    parameters: tuple[Parameter, ...] = ()
    """The circuit's own: features, then weights."""

    @property
    def A(self) -> Array:
        """[slot, weight]: what a weight adds to an angle."""
        return self.angle_map.A

    @property
    def b(self) -> Array:
        """[slot] constants, rad."""
        return self.angle_map.b

    @property
    def num_slots(self) -> int:
        """Angle slots."""
        return self.angle_map.num_slots

    @property
    def num_weights(self) -> int:
        """Weights, those that the compiler cancelled included."""
        return self.A.shape[1]

    @property
    def num_features(self) -> int:
        """Features, those that the compiler cancelled included."""
        return self.angle_map.F.shape[1]

    @property
    def num_observables(self) -> int:
        """Observables, one column of `expectations` each."""
        return len(self.observables)

    @property
    def num_bases(self) -> int:
        """Circuits that one point of angles takes: one a measurement basis."""
        return len(self.measurement.bases)

    @property
    def feature_slots(self) -> NDArray[np.bool_]:
        """[slot] whether a feature enters."""
        return self.angle_map.feature_slots

    @cached_property
    def feature_only(self) -> NDArray[np.bool_]:
        """[slot] whether features enter and no weight does."""
        return self.feature_slots & ~(self.A != 0).any(axis=1)

    def slots_of(self, weight: int) -> NDArray[np.intp]:
        """Slots that a weight enters, ascending."""
        if not 0 <= weight < self.num_weights:
            raise ConfigError(f"weight {weight}: expected an index from 0 to {self.num_weights - 1}.")
        return np.flatnonzero(self.A[:, weight])

    def angles(self, features: Array, weights: Array) -> Array:
        """[batch, slot] rad from features [batch, feature] and weights [weight]; shapes are exact.

        Raises: ConfigError: too many or too few values, or one that is not finite and real.
        """
        return self.angle_map(features, weights)

    def torch_angles(self, features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The same in torch, float64, differentiable in both. Raises: ConfigError: a wrong shape."""
        return self.angle_map.differentiable(features, weights)

    @cached_property
    def sha256(self) -> str:
        """Hash of what defines the results: operations, angles, observables, device and schedule."""
        digest = hashlib.sha256(f"qubits {self.num_qubits};".encode())
        for op in self.ops:
            digest.update(f"{type(op).__name__}{op.qubits}".encode())
            if isinstance(op, Fixed):
                digest.update(op.matrix.tobytes())
            elif isinstance(op, SlotRotation):
                digest.update(f"{op.paulis}{op.slot}".encode())
        digest.update(self.angle_map.fingerprint)
        digest.update(repr((self.measurement.strings, self.measurement.bases)).encode())
        digest.update(self.measurement.coefficients.tobytes() + self.measurement.offset.tobytes())
        if self.device is not None:
            digest.update(self.device.sha256.encode() + np.array(self.durations).tobytes())
        for circuit in self.noisy:
            digest.update(circuit.fingerprint)
        return digest.hexdigest()

    def checked_angles(self, angles: Any) -> Array:
        """`angles` as float64 [batch, slot].

        Raises: ConfigError: another shape, complex, or not finite.
        """
        array = real_array("angles", angles)
        if array.ndim != 2 or array.shape[1] != self.num_slots:
            raise ConfigError(f"angles have shape {array.shape}. Expected (batch, {self.num_slots}).")
        if not np.all(np.isfinite(array)):
            row, slot = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ConfigError(f"angles[{row}, {slot}] = {array[row, slot]}. Expected finite numbers, rad.")
        return np.ascontiguousarray(array, dtype=np.float64)


def split_parameters(
    circuit: QuantumCircuit, features: Sequence[Parameter], weights: Sequence[Parameter] | None
) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Features and weights; by default every parameter that is no feature is a weight, in the circuit's order.

    Raises: ModelError: a parameter that is not in the circuit, named twice, or in neither list.
    """
    present = list(circuit.parameters)
    chosen = tuple(features)
    trained = tuple(p for p in present if p not in chosen) if weights is None else tuple(weights)
    seen: set[Parameter] = set()
    for what, group in (("features", chosen), ("weights", trained)):
        for i, parameter in enumerate(group):
            if not isinstance(parameter, Parameter):
                raise ModelError(f"{what}[{i}] is a {type(parameter).__name__}. Expected a qiskit Parameter.")
            if parameter not in present:
                raise ModelError(
                    f"{what}[{i}] = {parameter.name} is not in the circuit. Expected one of its parameters."
                )
            if parameter in seen:
                raise ModelError(f"{what}[{i}] = {parameter.name} is named twice. Expected it once, in one list.")
            seen.add(parameter)
    left = [p.name for p in present if p not in seen]
    if left:
        raise ModelError(
            f"parameter {', '.join(left)} is neither a feature nor a weight. Name it in one of the lists, or bind it."
        )
    return chosen, trained


def lower_ops(circuit: QuantumCircuit) -> tuple[list[Op], list[tuple[ParameterExpression, str]]]:
    """The circuit's operations with numbered slots, and each slot's expression with the name of its gate.

    A reset of a qubit that nothing has touched is left out.
    """
    ops: list[Op] = []
    expressions: list[tuple[ParameterExpression, str]] = []
    touched: set[int] = set()
    found = joined(steps(circuit)) if keeps_frames(circuit) else steps(circuit)
    for step in found:
        if isinstance(step, Rotation):
            ops.append(SlotRotation(step.qubits, step.paulis, len(expressions)))
            expressions.append((step.angle, step.place))
        elif isinstance(step, Fixed) or touched.intersection(step.qubits):
            ops.append(step)
        touched.update(step.qubits)
    return ops, expressions


def read(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    features: Sequence[Parameter],
    weights: Sequence[Parameter] | None,
) -> tuple[tuple[SparsePauliOp, ...], tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Checked observables, features and weights. Raises: ModelError."""
    if not isinstance(circuit, QuantumCircuit):
        raise ModelError(f"circuit is a {type(circuit).__name__}. Expected a qiskit QuantumCircuit.")
    if circuit.num_qubits == 0:
        raise ModelError("the circuit has no qubits. Expected at least one.")
    return checked_observables(observables, circuit.num_qubits), *split_parameters(circuit, features, weights)


def lower(
    circuit: QuantumCircuit,
    observables: Sequence[SparsePauliOp],
    *,
    features: Sequence[Parameter] = (),
    weights: Sequence[Parameter] | None = None,
) -> Program:
    """A noise-free program of a circuit as it stands: no device, every qubit of the circuit.

    Raises: ModelError: a parameter, gate or observable that cannot be trained; a reset behind other gates.
    """
    checked, chosen, trained = read(circuit, observables, features, weights)
    ops, expressions = lower_ops(circuit)
    if any(isinstance(op, Reset) for op in ops):
        raise ModelError(
            "the circuit resets a qubit behind other gates, which a state vector cannot hold. "
            "Remove the reset, or train on NoisySimulator(device), which can."
        )
    return Program(
        circuit.num_qubits,
        tuple(ops),
        angle_map(expressions, chosen, trained),
        checked,
        measurement(checked),
        parameters=(*chosen, *trained),
    )
