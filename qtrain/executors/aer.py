"""AerExecutor: the device's calibrated noise in Qiskit Aer, by trajectories or density matrices: the fallback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from qtrain.errors import ConfigError, ExecutorError
from qtrain.executors.base import (
    Array,
    Key,
    Slots,
    call_bill,
    checked_device,
    checked_key,
    checked_program,
    checked_seed,
    checked_shifts,
    checked_shots,
    generator,
    spelled_out_shifts,
)
from qtrain.ledger import Ledger
from qtrain.measurement import Basis
from qtrain.noise import NoisyCircuit, lower_for_device, with_noise
from qtrain.program import Program
from qtrain.simulators.aer import AerCircuit, aer_module, convert

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qcompile.device import Device

METHODS = ("automatic", "density_matrix", "matrix_product_state", "statevector")

_converted: WeakKeyDictionary[NoisyCircuit, AerCircuit] = WeakKeyDictionary()


class AerExecutor:
    """Expectations on a device's calibrated noise from Qiskit Aer, on the active qubits; the model of `NoisySimulator`.

    For what the other simulators do not reach: trajectories hold one pure state of the active qubits (2^n numbers) or a
    matrix product state, whatever the noise. All bits of a basis are drawn jointly. A gradient takes every shifted
    circuit by itself, so it is hundreds of times slower than `NoisySimulator` where that fits.

    Args:
        device: the calibration snapshot.
        shots: executions of each circuit; None, with method "density_matrix" alone: exact expectations.
        seed: of the compiler's choices and, with the key, of every draw.
        effort: of the compiler: "fast", "normal" or "best".
        readout_error: two-sided misreading of every measured qubit; False leaves gates and idling only.
        method: Aer's: "automatic", "density_matrix", "matrix_product_state" or "statevector" (trajectories).
    Raises: ConfigError: a value out of its range. MissingExtraError: qiskit-aer is not installed.
    """

    reason = ""
    """Why `simulator_for` chose it."""

    def __init__(
        self,
        device: Device,
        shots: int | None = 1024,
        seed: int = 0,
        effort: str = "normal",
        *,
        readout_error: bool = True,
        method: str = "automatic",
    ) -> None:
        self.device = checked_device(device)
        self.shots = checked_shots(shots, device)
        self.seed = checked_seed(seed)
        self.effort = effort
        self.readout_error = readout_error
        if method not in METHODS:
            raise ConfigError(f"method = {method!r}. Expected one of {', '.join(METHODS)}.")
        if shots is None and method != "density_matrix":
            raise ConfigError(
                f"shots = None with method {method!r}: trajectories are samples. "
                'Expected a number of shots, or method "density_matrix", which is exact.'
            )
        aer_module()
        self.method = method
        self.ledger = Ledger()

    def __repr__(self) -> str:
        return f"AerExecutor({self.device.name!r}, shots={self.shots}, seed={self.seed}, method={self.method!r})"

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """Compiles for the device and adds its noise. Raises: ModelError, CircuitError, UnroutableError."""
        program = lower_for_device(
            circuit,
            observables,
            self.device,
            seed=self.seed,
            effort=self.effort,
            features=features,
            weights=weights,
        )
        return with_noise(program, readout_error=self.readout_error)

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable].

        Raises: ConfigError: angles, key or program of the wrong kind. ExecutorError: Aer failed (memory).
        """
        checked = self._checked(program, angles)
        chosen = checked_key(key)
        rng = generator(chosen, self.seed)
        cost = call_bill(program, len(checked), self.shots, chosen)
        strings = np.empty((len(checked), len(program.measurement.strings)))
        for noisy, basis in zip(program.noisy, program.measurement.bases):
            seed = int(rng.integers(1 << 31))
            if len(checked):
                strings[:, basis.terms] = self._run(noisy, basis, program, checked, seed)
        self.ledger += cost
        return program.measurement.combine(strings)

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: every shift is a circuit of its own, all of a basis in one run.

        Raises: ConfigError: angles, slots, shifts, key or program of the wrong kind. ExecutorError: Aer failed.
        """
        checked = self._checked(program, angles)
        indices, moves = checked_shifts(program, slots, shifts)
        return spelled_out_shifts(self, program, checked, indices, moves, key=checked_key(key))

    def _run(self, noisy: NoisyCircuit, basis: Basis, program: Program, angles: Array, seed: int) -> Array:
        """[batch, term of the basis]."""
        ready = _converted.get(noisy)
        if ready is None:
            ready = _converted[noisy] = convert(noisy)
        circuit, noise, measured = ready.circuit.copy(), ready.noise, list(basis.qubits)
        aer = aer_module()
        if self.shots is None:
            circuit.save_probabilities(measured)
        else:
            circuit.add_register(*_bits(len(measured)))
            circuit.measure(measured, range(len(measured)))
        simulator = aer.AerSimulator(method=self.method, noise_model=noise, seed_simulator=seed, max_parallel_threads=1)
        shots = 1 if self.shots is None else self.shots
        if ready.parameters:
            columns = {p: angles[:, s].tolist() for p, s in zip(ready.parameters, ready.slots)}
            result = simulator.run(circuit, shots=shots, parameter_binds=[columns]).result()
        else:
            result = simulator.run([circuit] * len(angles), shots=shots).result()
        if not result.success:
            states = {str(getattr(r, "status", "")) for r in result.results if not r.success} or {str(result.status)}
            raise ExecutorError(
                f"Aer ({self.method}) failed on {noisy.num_qubits} qubits: {'; '.join(sorted(states))}. "
                'Use fewer qubits, method="matrix_product_state", or PropagationSimulator.'
            )
        rows = [_parities(result.data(i), noisy, basis, program, self.shots) for i in range(len(angles))]
        return np.array(rows)

    def _checked(self, program: Program, angles: Array) -> Array:
        checked_program(program)
        if program.device is None or program.device != self.device or len(program.noisy) != program.num_bases:
            raise ConfigError(
                f"the program was not made for {self.device.name} with noise. "
                "Expected one from this executor's prepare(circuit, observables)."
            )
        return program.checked_angles(angles)


def _bits(count: int) -> list[Any]:
    from qiskit import ClassicalRegister

    return [ClassicalRegister(count, "read")]


def _parities(data: dict[str, Any], noisy: NoisyCircuit, basis: Basis, program: Program, shots: int | None) -> Array:
    """[term] means of each string's parity, from counts or from probabilities before the readout."""
    position = {q: i for i, q in enumerate(basis.qubits)}
    wanted = [[position[q] for q, _ in program.measurement.strings[t]] for t in basis.terms]
    if shots is None:
        return _of_probabilities(np.asarray(data["probabilities"]), noisy, wanted)
    numbers = [int(outcome, 16) for outcome in data["counts"]]
    weights = np.array(list(data["counts"].values()), np.float64)
    bits = np.array([[number >> i & 1 for i in range(len(position))] for number in numbers])
    means: Array = np.array([weights @ (1 - 2 * (bits[:, on].sum(axis=1) & 1)) for on in wanted]) / shots
    return means


def _of_probabilities(probabilities: Array, noisy: NoisyCircuit, wanted: list[list[int]]) -> Array:
    count = len(noisy.measured)
    outcomes = probabilities.reshape([2] * count)  # the first measured qubit is the last axis
    means = np.empty(len(wanted))
    for number, on in enumerate(wanted):
        left = outcomes
        for bit in range(count - 1, -1, -1):  # from the first axis on
            reading = noisy.confusion[bit] @ [1.0, -1.0] if bit in on else np.ones(2)
            left = np.tensordot(reading, left, axes=(0, 0))
        means[number] = float(left)
    return means
