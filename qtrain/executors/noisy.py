"""NoisySimulator: the compiled circuit with the device's calibrated noise, as a density matrix in the Pauli basis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qtrain.errors import ConfigError
from qtrain.executors.base import (
    Array,
    Key,
    Slots,
    bill,
    checked_cotangent,
    checked_device,
    checked_key,
    checked_seed,
    checked_shifts,
    checked_shots,
    generator,
    refuse_shots,
)
from qtrain.executors.sampling import is_joint, parity_signs, sample_outcomes, sample_strings
from qtrain.ledger import Ledger
from qtrain.noise import lower_for_device, with_noise
from qtrain.program import Program
from qtrain.simulators import pauli

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qcompile.device import Device

_EXPECTATIONS, _SHIFTED = 0, 1  # draws of the two methods differ even at the same key


class NoisySimulator:
    """Expectations on a device's calibrated noise; what its calibration does not hold (drift, crosstalk) is not there.

    With shots: the bits of a measurement basis are drawn jointly where it measures 5 qubits or fewer, otherwise every
    Pauli string by itself (sampling.py). Each basis is a circuit of its own, with noisy native gates for its basis
    change. The ledger counts what a chip would have been billed.

    Args:
        device: the calibration snapshot.
        shots: executions of each circuit; None for exact noisy expectations.
        seed: of the compiler's choices and, with the key, of every draw.
        effort: of the compiler: "fast", "normal" or "best".
        readout_error: two-sided misreading of every measured qubit; False leaves gates and idling only.
    Raises: ConfigError: a value out of its range.
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
    ) -> None:
        self.device = checked_device(device)
        self.shots = checked_shots(shots, device)
        self.seed = checked_seed(seed)
        self.effort = effort
        self.readout_error = readout_error
        self.ledger = Ledger()

    def __repr__(self) -> str:
        return f"NoisySimulator({self.device.name!r}, shots={self.shots}, seed={self.seed})"

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """Compiles for the device and adds its noise.

        Raises: ModelError (also: too wide for a density matrix), CircuitError, UnroutableError.
        """
        pauli.check_width(circuit.num_qubits)
        program = lower_for_device(
            circuit,
            observables,
            self.device,
            seed=self.seed,
            effort=self.effort,
            features=features,
            weights=weights,
        )
        pauli.check_width(program.num_qubits)
        return with_noise(program, readout_error=self.readout_error)

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable]. Raises: ConfigError: angles, key or program of the wrong kind."""
        checked = self._checked(program, angles)
        rng = generator(checked_key(key), self.seed, _EXPECTATIONS)
        cost = bill(program, len(checked), self.shots)
        strings = np.empty((len(checked), len(program.measurement.strings)))
        for number, circuit in enumerate(program.noisy):
            wanted = self._strings(program, number)
            values = pauli.expectations(circuit, checked, pauli.read_strings(circuit, wanted))
            strings[:, program.measurement.bases[number].terms] = self._sampled(program, number, values, rng)
        self.ledger += cost
        return program.measurement.combine(strings)

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: every shift from one forward and one backward pass.

        Raises: ConfigError: angles, slots, shifts, key or program of the wrong kind.
        """
        checked = self._checked(program, angles)
        indices, moves = checked_shifts(program, slots, shifts)
        rng = generator(checked_key(key), self.seed, _SHIFTED)
        cost = bill(program, len(checked) * len(indices) * len(moves), self.shots)
        distinct, again = np.unique(indices, return_inverse=True)
        strings = np.empty((len(checked), len(indices), len(moves), len(program.measurement.strings)))
        for number, circuit in enumerate(program.noisy):
            wanted = self._strings(program, number)
            result = pauli.shifts(circuit, checked, distinct, pauli.read_strings(circuit, wanted))
            values = result.at(moves)
            if len(distinct) != len(indices) or np.any(again[1:] < again[:-1]):
                values = values[:, again]
            strings[..., program.measurement.bases[number].terms] = self._sampled(program, number, values, rng)
        self.ledger += cost
        return program.measurement.combine(strings)

    def adjoint(self, program: Program, angles: Array, cotangent: Array) -> Array:
        """[batch, slot]: exact derivative of sum(cotangent * E), cotangent [batch, observable]. Costs no circuits.

        Raises: ConfigError: this simulator takes shots, which an exact derivative has none of.
        """
        refuse_shots(self.shots)
        checked = self._checked(program, angles)
        weights = checked_cotangent(program, len(checked), cotangent) @ program.measurement.coefficients
        total = np.zeros(checked.shape)
        for number, circuit in enumerate(program.noisy):
            wanted = self._strings(program, number)
            terms = program.measurement.bases[number].terms
            total += pauli.adjoint(circuit, checked, pauli.read_strings(circuit, wanted), weights[:, terms])
        return total

    def probabilities(self, program: Program, angles: Array, basis: int = 0) -> Array:
        """[batch, 2^m]: exact, of the m bits read in one measurement basis; its first qubit is the lowest bit."""
        circuit = program.noisy[basis]
        observables = pauli.read_strings(circuit, subsets(circuit.measured))
        return _probabilities(pauli.expectations(circuit, self._checked(program, angles), observables))

    def _checked(self, program: Program, angles: Array) -> Array:
        if program.device is None or program.device != self.device or len(program.noisy) != program.num_bases:
            raise ConfigError(
                f"the program was not made for {self.device.name} with noise. "
                "Expected one from this executor's prepare(circuit, observables)."
            )
        return program.checked_angles(angles)

    def _strings(self, program: Program, number: int) -> list[tuple[int, ...]]:
        """What to evaluate in one basis: every parity of its bits to draw them jointly, else the strings wanted."""
        basis = program.measurement.bases[number]
        if self.shots is not None and is_joint(basis):
            return subsets(basis.qubits)
        return [tuple(q for q, _ in program.measurement.strings[t]) for t in basis.terms]

    def _sampled(self, program: Program, number: int, values: Array, rng: np.random.Generator) -> Array:
        """[..., term of the basis] from exact values of `_strings`."""
        if self.shots is None:
            return values
        basis = program.measurement.bases[number]
        if not is_joint(basis):
            return sample_strings(values, self.shots, rng)
        frequencies = sample_outcomes(_probabilities(values), self.shots, rng)
        return frequencies @ parity_signs(basis, program.measurement)


def subsets(qubits: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every non-empty subset; number s, from 1, holds qubits[i] where bit i of s is set."""
    return [tuple(q for i, q in enumerate(qubits) if s >> i & 1) for s in range(1, 2 ** len(qubits))]


def _probabilities(parities: Array) -> Array:
    """[..., outcome] from expectations of every parity [..., subset - 1]: an inverse Walsh transform."""
    count = parities.shape[-1] + 1
    outcomes = np.arange(count)
    signs = 1.0 - 2.0 * (np.bitwise_count(outcomes[1:, None] & outcomes[None, :]) & 1)
    probabilities: Array = (parities @ signs + 1.0) / count
    return probabilities
