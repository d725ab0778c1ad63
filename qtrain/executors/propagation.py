"""PropagationSimulator: the device's calibrated noise on circuits of any width, by truncated Pauli propagation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain.errors import ConfigError
from qtrain.executors.base import (
    Array,
    Key,
    Slots,
    bill,
    call_bill,
    checked_cotangent,
    checked_device,
    checked_key,
    checked_loss,
    checked_program,
    checked_seed,
    checked_shifts,
    checked_shots,
    generator,
    refuse_shots,
)
from qtrain.executors.sampling import sample_strings
from qtrain.ledger import Ledger
from qtrain.noise import check_readout, lower_for_device, with_noise
from qtrain.program import Program
from qtrain.simulators.propagation import Limits, Propagation, propagation

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qcompile.device import Device

THRESHOLD = 1e-7
MAX_TERMS = 1 << 16
_EXPECTATIONS, _SHIFTED = 0, 1  # draws of the two methods differ even at the same key


@dataclass(frozen=True, eq=False)
class Truncation:
    """What dropping Pauli strings did to the expectations of a call, before shots.

    Attributes:
        bound: [batch, observable] the exact noisy value is within this of the one returned: the sum of the
            |coefficients| dropped at these angles. It lets no two strings cancel, so it is far too large for deep
            circuits; above the sum of the observable's |coefficients| it says nothing. 0 if nothing was dropped.
        typical: [observable] bound on the root mean square of the error over independent, uniformly random angles, for
            the value and for its derivative by any one angle: different strings have different products of cosines and
            sines, which do not interfere (but for those that relaxation, T1, turns into each other, a small part). No
            bound at the angles at hand; pessimistic where many strings are dropped late.
        terms: most strings carried at once, for any observable.
    """

    bound: Array
    typical: Array
    terms: int


class PropagationSimulator:
    """Expectations on a device's calibrated noise, up to the whole chip; the noise model is that of `NoisySimulator`.

    Every Pauli string is propagated back through the circuit as a sum of strings. Which ones are carried is settled
    once for all angles, so values and derivatives are those of one fixed trigonometric polynomial: `adjoint` is its
    exact derivative, and equals the parameter shift of the values returned. If nothing is dropped, both are exact; else
    `truncation` says how far off they may be. Time and memory grow with strings times blocks, not with the width.

    With shots, every string is sampled by itself: means and variances are those of a chip, correlations between strings
    are not there. The ledger counts what a chip would have been billed.

    Args:
        device: the calibration snapshot.
        shots: executions of each circuit; None for exact noisy expectations.
        seed: of the compiler's choices and, with the key, of every draw.
        effort: of the compiler: "fast", "normal" or "best".
        readout_error: two-sided misreading of every measured qubit; False leaves gates and idling only.
        threshold: strings up to this root mean square coefficient over random angles are dropped; 0 keeps all.
        max_terms: strings carried at once for one observable's string, the largest ones by that measure.
    Attributes:
        truncation: of the last call of `expectations`, `shifted_expectations` (at the unshifted angles) or
            `value_and_gradient`; None before.
    Raises: ConfigError: a value out of its range.
    """

    truncation: Truncation | None
    reason = ""
    """Why `simulator_for` chose it."""

    def __init__(
        self,
        device: Device,
        shots: int | None = None,
        seed: int = 0,
        effort: str = "normal",
        *,
        readout_error: bool = True,
        threshold: float = THRESHOLD,
        max_terms: int = MAX_TERMS,
    ) -> None:
        self.device = checked_device(device)
        self.shots = checked_shots(shots, device)
        self.seed = checked_seed(seed)
        self.effort = effort
        self.readout_error = readout_error
        self.threshold, self.max_terms = _checked_limits(threshold, max_terms)
        self.ledger = Ledger()
        self.truncation = None

    def __repr__(self) -> str:
        return (
            f"PropagationSimulator({self.device.name!r}, shots={self.shots}, seed={self.seed}, "
            f"threshold={self.threshold:g}, max_terms={self.max_terms})"
        )

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
        """[batch, observable]. Raises: ConfigError: angles, key or program of the wrong kind."""
        checked = self._checked(program, angles)
        chosen = checked_key(key)
        rng = generator(chosen, self.seed, _EXPECTATIONS)
        cost = call_bill(program, len(checked), self.shots, chosen)
        strings = self._values(program, checked)
        self.ledger += cost
        return program.measurement.combine(self._sampled(program, strings, rng))

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: every shift from two walks of each string.

        Raises: ConfigError: angles, slots, shifts, key or program of the wrong kind.
        """
        checked = self._checked(program, angles)
        indices, moves = checked_shifts(program, slots, shifts)
        chosen = checked_key(key)
        rng = generator(chosen, self.seed, _SHIFTED)
        points = len(checked) * len(indices) * len(moves)
        cost = call_bill(program, points, self.shots, chosen, rows=len(checked))
        count = len(program.measurement.strings)
        strings = np.empty((len(checked), len(indices), len(moves), count))
        lost = np.empty((len(checked), count))
        for number, walks in enumerate(self._walks(program)):
            terms = program.measurement.bases[number].terms
            result = walks.shifts(checked, indices)
            strings[..., terms] = result.at(moves)
            lost[:, terms] = result.values.lost
        self._state(program, lost)
        self.ledger += cost
        return program.measurement.combine(self._sampled(program, strings, rng))

    def adjoint(self, program: Program, angles: Array, cotangent: Array) -> Array:
        """[batch, slot]: exact derivative of sum(cotangent * E), E as returned without shots. Costs no circuits.

        Raises: ConfigError: this simulator takes shots, which an exact derivative has none of.
        """
        refuse_shots(self.shots)
        checked = self._checked(program, angles)
        return self._gradient(program, checked, checked_cotangent(program, len(checked), cotangent))

    def value_and_gradient(
        self, program: Program, features: Array, weights: Array, loss: Callable[[Array], tuple[float, Array]]
    ) -> tuple[float, Array, Array]:
        """(loss, its derivative [weight], expectations [batch, observable]); costs what `expectations` does.

        Args:
            features: [batch, feature].
            weights: [weight].
            loss: values [batch, observable] -> (loss, its derivative by them).
        Raises: ConfigError: shots, or numbers of the wrong shape.
        """
        refuse_shots(self.shots)
        checked = self._checked(program, checked_program(program).angles(features, weights))
        values = program.measurement.combine(self._values(program, checked))
        found, cotangent = checked_loss(program, values, loss)
        slots = self._gradient(program, checked, cotangent)
        self.ledger += bill(program, len(checked), self.shots)
        return found, slots.sum(axis=0) @ program.A, values

    def _values(self, program: Program, angles: Array) -> Array:
        """[batch, string], and states the truncation."""
        strings, lost = np.empty((2, len(angles), len(program.measurement.strings)))
        for number, walks in enumerate(self._walks(program)):
            terms = program.measurement.bases[number].terms
            strings[:, terms], lost[:, terms] = walks.values(angles)
        self._state(program, lost)
        return strings

    def _gradient(self, program: Program, angles: Array, cotangent: Array) -> Array:
        weights = cotangent @ program.measurement.coefficients
        total = np.zeros(angles.shape)
        for number, walks in enumerate(self._walks(program)):
            terms = program.measurement.bases[number].terms
            total += walks.gradient(angles, np.ascontiguousarray(weights[:, terms]))
        return total

    def _walks(self, program: Program) -> list[Propagation]:
        limits = Limits(self.threshold, self.max_terms)
        strings = program.measurement.strings
        return [
            propagation(circuit, [tuple(q for q, _ in strings[t]) for t in basis.terms], limits)
            for circuit, basis in zip(program.noisy, program.measurement.bases)
        ]

    def _state(self, program: Program, lost: Array) -> None:
        size = np.abs(program.measurement.coefficients).T
        squares, terms = np.zeros(len(size)), 0
        for basis, walks in zip(program.measurement.bases, self._walks(program)):
            squares[list(basis.terms)] = walks.mean_squares
            terms = max(terms, int(walks.terms.max(initial=0)))
        self.truncation = Truncation(lost @ size, np.sqrt(squares) @ size, terms)

    def _sampled(self, program: Program, strings: Array, rng: np.random.Generator) -> Array:
        return strings if self.shots is None else sample_strings(strings, self.shots, rng)

    def _checked(self, program: Program, angles: Array) -> Array:
        checked_program(program)
        if program.device is None or program.device != self.device or len(program.noisy) != program.num_bases:
            raise ConfigError(
                f"the program was not made for {self.device.name} with noise. "
                "Expected one from this executor's prepare(circuit, observables)."
            )
        check_readout(program, readout_error=self.readout_error)
        return program.checked_angles(angles)


def _checked_limits(threshold: Any, max_terms: Any) -> tuple[float, int]:
    numbers = (int, float, np.integer, np.floating)
    if isinstance(threshold, bool) or not isinstance(threshold, numbers) or not 0 <= threshold < 1:
        raise ConfigError(f"threshold = {threshold!r}. Expected a number from 0 up to 1, e.g. {THRESHOLD:g}.")
    if isinstance(max_terms, bool) or not isinstance(max_terms, int | np.integer) or not 1 <= max_terms < 1 << 27:
        raise ConfigError(f"max_terms = {max_terms!r}. Expected a whole number from 1 to 2^27 - 1, e.g. {MAX_TERMS}.")
    return float(threshold), int(max_terms)
