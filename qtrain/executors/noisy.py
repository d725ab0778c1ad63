"""NoisySimulator: the compiled circuit with the device's calibrated noise, as a density matrix in the Pauli basis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ConfigError
from qtrain.executors.base import (
    Array,
    Key,
    Loss,
    Slots,
    bill,
    call_bill,
    checked_cotangent,
    checked_device,
    checked_key,
    checked_loss,
    checked_precision,
    checked_program,
    checked_seed,
    checked_shifts,
    checked_shots,
    generator,
    refuse_shots,
)
from qtrain.executors.sampling import is_joint, parity_signs, sample_outcomes, sample_strings
from qtrain.ledger import Ledger
from qtrain.noise import NoisyCircuit, check_readout, lower_for_device, with_noise
from qtrain.program import Program
from qtrain.simulators import pauli
from qtrain.simulators.batches import MEMORY_LIMIT

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qcompile.device import Device

_EXPECTATIONS, _SHIFTED = 0, 1  # draws of the two methods differ even at the same key
_JACOBIAN_SIZE = 4**7  # observables times coefficients up to which every observable's own backward pass is cheaper


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
        precision: "double", or "single" for float32, good to about 1e-6.
        memory_limit: bytes that states and observables may take at once, default 2 GiB; where they would take more,
            passes are made again.
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
        precision: str = "double",
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        self.device = checked_device(device)
        self.shots = checked_shots(shots, device)
        self.seed = checked_seed(seed)
        self.effort = effort
        self.readout_error = readout_error
        if isinstance(memory_limit, bool) or not isinstance(memory_limit, int | np.integer) or memory_limit < 1:
            raise ConfigError(f"memory_limit = {memory_limit!r}. Expected a whole number of bytes, 1 or more.")
        self.precision = checked_precision(precision)
        self.memory_limit = int(memory_limit)
        self._numbers: pauli.Numbers = {"precision": self.precision, "memory_limit": self.memory_limit}
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
        chosen = checked_key(key)
        cost = call_bill(program, len(checked), self.shots, chosen)
        if self.shots is None:
            self.ledger += cost
            return self._exact(program, checked, np.empty(0, dtype=np.intp)).expectations
        rng = generator(chosen, self.seed, _EXPECTATIONS)
        strings = np.empty((len(checked), len(program.measurement.strings)))
        for number, circuit in enumerate(program.noisy):
            readout = pauli.read_strings(circuit, self._strings(program, number))
            values = pauli.expectations(circuit, checked, readout, **self._numbers)
            if self._is_joint(program, number):
                drawn = self._drawn(program, number, _probabilities(values), rng)
            else:
                drawn = sample_strings(values, self.shots, rng)
            strings[:, program.measurement.bases[number].terms] = drawn
        self.ledger += cost
        return program.measurement.combine(strings)

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: every shift from one forward and one backward pass.

        Raises: ConfigError: angles, slots, shifts, key or program of the wrong kind.
        """
        checked = self._checked(program, angles)
        indices, moves = checked_shifts(program, slots, shifts)
        chosen = checked_key(key)
        points = len(checked) * len(indices) * len(moves)
        cost = call_bill(program, points, self.shots, chosen, rows=len(checked))
        distinct, inverse = np.unique(indices, return_inverse=True)
        again = slice(None) if np.array_equal(distinct, indices) else inverse
        if self.shots is None:
            self.ledger += cost
            exact: Array = self._exact(program, checked, distinct).at(moves)[:, again]
            return exact
        rng = generator(chosen, self.seed, _SHIFTED)
        strings = np.empty((len(checked), len(indices), len(moves), len(program.measurement.strings)))
        for number, circuit in enumerate(program.noisy):
            readout = pauli.read_strings(circuit, self._strings(program, number))
            result = pauli.shifts(circuit, checked, distinct, readout, **self._numbers)
            if self._is_joint(program, number):
                parts = _probabilities(result.expectations), *(_spread(part) for part in result[1:])
                drawn = self._drawn(program, number, pauli.Shifts(*parts).at(moves)[:, again], rng)
            else:
                drawn = sample_strings(result.at(moves)[:, again], self.shots, rng)
            strings[..., program.measurement.bases[number].terms] = drawn
        self.ledger += cost
        return program.measurement.combine(strings)

    def adjoint(self, program: Program, angles: Array, cotangent: Array) -> Array:
        """[batch, slot]: exact derivative of sum(cotangent * E), cotangent [batch, observable]. Costs no circuits.

        Raises: ConfigError: this simulator takes shots, which an exact derivative has none of.
        """
        refuse_shots(self.shots)
        checked = self._checked(program, angles)
        weights = checked_cotangent(program, len(checked), cotangent)
        return self._weighted(program, checked, np.arange(program.num_slots), weights)

    def jacobian(self, program: Program, angles: Array) -> Array:
        """[batch, observable, slot]: exact derivatives of every observable by every angle. Costs no circuits.

        Raises: ConfigError: this simulator takes shots, which an exact derivative has none of.
        """
        refuse_shots(self.shots)
        every = np.arange(program.num_slots)
        return self._exact(program, self._checked(program, angles), every).sine.transpose(0, 2, 1)

    def value_and_gradient(
        self, program: Program, features: Array, weights: Array, loss: Loss
    ) -> tuple[float, Array, Array]:
        """A loss, its derivative by every weight [weight], and the expectations [batch, observable]; exact.

        The ledger counts the circuits of the expectations; the derivatives cost none.

        Args:
            features: [batch, feature] rad.
            weights: [weight] rad.
            loss: expectations [batch, observable] -> (loss, its derivative by them [batch, observable]).
        Raises: ConfigError: this simulator takes shots, features or weights of the wrong kind, or a loss that returns
            anything else.
        """
        refuse_shots(self.shots)
        angles = self._checked(program, checked_program(program).angles(features, weights))
        cost = bill(program, len(angles), None)
        slots = np.flatnonzero((program.A != 0).any(axis=1))
        whole = program.num_observables * 4**program.num_qubits <= _JACOBIAN_SIZE
        result = self._exact(program, angles, slots if whole else slots[:0])
        number, cotangent = checked_loss(program, result.expectations, loss)
        self.ledger += cost
        if whole:
            by_slot = np.einsum("bko,bo->k", result.sine, cotangent)
        else:
            by_slot = self._weighted(program, angles, slots, cotangent).sum(axis=0)
        return number, by_slot @ program.A[slots], result.expectations

    def probabilities(self, program: Program, angles: Array, basis: int = 0) -> Array:
        """[batch, 2^m]: exact, of the m bits read in one measurement basis; its first qubit is the lowest bit."""
        circuit = program.noisy[basis]
        readout = pauli.read_strings(circuit, subsets(circuit.measured))
        return _probabilities(pauli.expectations(circuit, self._checked(program, angles), readout, **self._numbers))

    def _checked(self, program: Program, angles: Array) -> Array:
        checked_program(program)
        if program.device is None or program.device != self.device or len(program.noisy) != program.num_bases:
            raise ConfigError(
                f"the program was not made for {self.device.name} with noise. "
                "Expected one from this executor's prepare(circuit, observables)."
            )
        check_readout(program, readout_error=self.readout_error)
        return program.checked_angles(angles)

    def _exact(self, program: Program, angles: Array, slots: NDArray[np.intp]) -> pauli.Shifts:
        """Every shift of every observable, without shots."""
        rows, count = len(angles), program.num_observables
        offset = np.broadcast_to(program.measurement.offset, (rows, count))
        nothing = np.zeros((rows, len(slots), count))
        total = pauli.Shifts(offset, nothing, nothing)
        for readout, circuit in self._readouts(program):
            parts = pauli.shifts(circuit, angles, slots, readout, **self._numbers)
            total = pauli.Shifts(*(whole + part for whole, part in zip(total, parts)))
        return total

    def _weighted(self, program: Program, angles: Array, slots: NDArray[np.intp], weights: Array) -> Array:
        """[batch, slot] derivatives of each row's weighted sum of the observables [batch, observable]."""
        total = np.zeros((len(angles), len(slots)))
        for readout, circuit in self._readouts(program):
            total += pauli.adjoint(circuit, angles, slots, readout, weights, **self._numbers)
        return total

    def _readouts(self, program: Program) -> Iterator[tuple[pauli.Readout, NoisyCircuit]]:
        """Each basis's part of the observables, and its circuit."""
        for number, circuit in enumerate(program.noisy):
            terms = program.measurement.bases[number].terms
            digits, values = pauli.read_strings(circuit, self._strings(program, number))
            yield pauli.Readout(digits, values @ program.measurement.coefficients[:, terms].T), circuit

    def _is_joint(self, program: Program, number: int) -> bool:
        return self.shots is not None and is_joint(program.measurement.bases[number])

    def _strings(self, program: Program, number: int) -> list[tuple[int, ...]]:
        """What to evaluate in one basis: every parity of its bits to draw them jointly, else the strings wanted."""
        basis = program.measurement.bases[number]
        if self._is_joint(program, number):
            return subsets(basis.qubits)
        return [tuple(q for q, _ in program.measurement.strings[t]) for t in basis.terms]

    def _drawn(self, program: Program, number: int, probabilities: Array, rng: np.random.Generator) -> Array:
        """[..., term of the basis] means of shots of its bits, drawn jointly."""
        assert self.shots is not None
        frequencies = sample_outcomes(probabilities, self.shots, rng)
        return frequencies @ parity_signs(program.measurement.bases[number], program.measurement)


def subsets(qubits: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every non-empty subset; number s, from 1, holds qubits[i] where bit i of s is set."""
    return [tuple(q for i, q in enumerate(qubits) if s >> i & 1) for s in range(1, 2 ** len(qubits))]


def _probabilities(parities: Array) -> Array:
    """[..., outcome] from expectations of every parity [..., subset - 1]: an inverse Walsh transform."""
    return _spread(parities) + 1.0 / (parities.shape[-1] + 1)


def _spread(parities: Array) -> Array:
    """What changes of the parities [..., subset - 1] do to the probabilities [..., outcome]."""
    count = parities.shape[-1] + 1
    outcomes = np.arange(count)
    signs = 1.0 - 2.0 * (np.bitwise_count(outcomes[1:, None] & outcomes[None, :]) & 1)
    changes: Array = parities @ (signs / count)
    return changes
