"""ExactSimulator: the circuit as it stands, on a state vector, without a device or noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qtrain.executors.base import (
    Array,
    Key,
    Loss,
    Slots,
    bill,
    call_bill,
    checked_cotangent,
    checked_key,
    checked_loss,
    checked_precision,
    checked_program,
    checked_shifts,
    checked_shots,
    generator,
    refuse_shots,
    shifted_points,
)
from qtrain.executors.sampling import is_joint, parity_signs, sample_outcomes, sample_strings
from qtrain.ledger import Ledger
from qtrain.program import Program, lower
from qtrain.simulators import statevector

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

_EXPECTATIONS, _SHIFTED = 0, 1  # draws of the two methods differ even at the same key


class ExactSimulator:
    """Noise-free expectations.

    With shots: drawn jointly over the bits of each measurement basis up to 5 qubits, above that one Pauli string at a
    time (sampling.py). The ledger counts circuits and shots; there is no chip, so QPU seconds stay 0.

    Args:
        shots: executions of each circuit; None for exact expectations.
        precision: "double", or "single" for states of complex64: half the memory, expectations good to about 1e-6.
            What is drawn with shots comes from double precision.
    Raises: ConfigError: shots that are no whole number of 1 or more, or another precision.
    """

    reason = ""
    """Why `simulator_for` chose it."""

    def __init__(self, shots: int | None = None, *, precision: str = "double") -> None:
        self.shots = checked_shots(shots)
        self.precision = checked_precision(precision)
        self.ledger = Ledger()

    def __repr__(self) -> str:
        precision = "" if self.precision == "double" else f", precision={self.precision!r}"
        return f"ExactSimulator(shots={self.shots}{precision})"

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """Lowers the circuit; nothing is compiled. Raises: ModelError."""
        return lower(circuit, observables, features=features, weights=weights)

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable]. Raises: ConfigError: angles or a key of the wrong kind."""
        return self._values(program, checked_program(program).checked_angles(angles), key, _EXPECTATIONS)

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: each shift as a circuit of its own."""
        checked = checked_program(program).checked_angles(angles)
        indices, moves = checked_shifts(program, slots, shifts)
        points = shifted_points(checked, indices, moves)
        values = self._values(program, points.reshape(int(np.prod(points.shape[:3])), program.num_slots), key, _SHIFTED)
        return values.reshape(*points.shape[:3], program.num_observables)

    def adjoint(self, program: Program, angles: Array, cotangent: Array) -> Array:
        """[batch, slot]: exact derivative of sum(cotangent * E), cotangent [batch, observable]. Costs no circuits.

        Raises: ConfigError: this simulator takes shots, which an exact derivative has none of.
        """
        refuse_shots(self.shots)
        checked = checked_program(program).checked_angles(angles)
        weights = checked_cotangent(program, len(checked), cotangent)
        return statevector.adjoint(program, checked, weights, self.precision)

    def value_and_gradient(
        self, program: Program, features: Array, weights: Array, loss: Loss
    ) -> tuple[float, Array, Array]:
        """A loss, its derivative by every weight [weight], and the expectations [batch, observable]; exact.

        One forward and one backward pass, whatever the number of weights. The ledger counts the circuits of the
        expectations; the derivatives cost none.

        Args:
            features: [batch, feature] rad.
            weights: [weight] rad.
            loss: expectations [batch, observable] -> (loss, its derivative by them [batch, observable]).
        Raises: ConfigError: this simulator takes shots, features or weights of the wrong kind, or a loss that returns
            anything else.
        """
        refuse_shots(self.shots)
        values, pull = statevector.weight_pullback(checked_program(program), features, weights, self.precision)
        result, cotangent = checked_loss(program, values, loss)
        self.ledger += bill(program, len(values), None)
        return result, pull(cotangent), values

    def jacobian(self, program: Program, angles: Array) -> Array:
        """[batch, observable, slot]: derivative of every expectation by every angle; exact. Costs no circuits.

        Raises: ConfigError: this simulator takes shots, which an exact derivative has none of.
        """
        refuse_shots(self.shots)
        return statevector.jacobian(program, checked_program(program).checked_angles(angles), self.precision)

    def probabilities(self, program: Program, angles: Array, basis: int = 0) -> Array:
        """[batch, 2^m]: exact, of the m bits of one measurement basis; its first qubit is the lowest bit."""
        return statevector.basis_probabilities(program, checked_program(program).checked_angles(angles), basis)

    def _values(self, program: Program, angles: Array, key: Key, method: int) -> Array:
        chosen = checked_key(key)
        rng = generator(chosen, method)
        cost = call_bill(program, len(angles), self.shots, chosen)
        measurement = program.measurement
        strings = np.empty((len(angles), len(measurement.strings)))
        if self.shots is None:
            strings = statevector.string_expectations(program, angles, self.precision)
        elif not all(is_joint(basis) for basis in measurement.bases):
            strings = statevector.string_expectations(program, angles)
        if self.shots is not None:
            for number, basis in enumerate(measurement.bases):
                if is_joint(basis):
                    outcomes = statevector.basis_probabilities(program, angles, number)
                    drawn = sample_outcomes(outcomes, self.shots, rng) @ parity_signs(basis, measurement)
                else:
                    drawn = sample_strings(strings[:, basis.terms], self.shots, rng)
                strings[:, basis.terms] = drawn
        self.ledger += cost
        return measurement.combine(strings)
