"""Observables -> what is measured: distinct Pauli strings, and bases whose strings share their shots.

Two strings share a basis where they are equal or the identity on every qubit (qubit-wise commuting).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from qtrain.errors import ModelError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Basis:
    """One measurement setting.

    Attributes:
        paulis: qubit -> "X", "Y" or "Z", ascending; these qubits are measured, in this order.
        terms: indices of the strings that it measures.
    """

    paulis: tuple[tuple[int, str], ...]
    terms: tuple[int, ...]

    @property
    def qubits(self) -> tuple[int, ...]:
        """Measured qubits, ascending."""
        return tuple(q for q, _ in self.paulis)


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a set of observables needs.

    Attributes:
        strings: distinct Pauli strings other than the identity, {qubit: Pauli} as sorted pairs.
        coefficients: [observable, string].
        offset: [observable] coefficient of the identity.
        bases: settings that cover every string once.
    """

    strings: tuple[tuple[tuple[int, str], ...], ...]
    coefficients: Array
    offset: Array
    bases: tuple[Basis, ...]

    def combine(self, values: Array) -> Array:
        """[..., observable] from expectations of the strings [..., string]."""
        combined: Array = values @ self.coefficients.T + self.offset
        return combined


def checked_observables(observables: Sequence[Any], num_qubits: int) -> tuple[SparsePauliOp, ...]:
    """The observables, simplified.

    Raises: ModelError: none given, not a SparsePauliOp, of another width, or not Hermitian.
    """
    if not observables:
        raise ModelError("observables is empty. Expected at least one SparsePauliOp.")
    checked = []
    for i, observable in enumerate(observables):
        if not isinstance(observable, SparsePauliOp):
            raise ModelError(
                f"observables[{i}] is a {type(observable).__name__}. Expected a SparsePauliOp, "
                f"e.g. SparsePauliOp.from_sparse_list([('Z', [0], 1.0)], num_qubits={num_qubits})."
            )
        if observable.num_qubits != num_qubits:
            raise ModelError(
                f"observables[{i}] is {observable.num_qubits} qubits wide, the circuit {num_qubits}. "
                "Expected the circuit's own width."
            )
        if observable.coeffs.dtype == object or observable.parameters:
            raise ModelError(f"observables[{i}] has symbolic coefficients. Expected real numbers.")
        simple = observable.simplify(atol=0.0, rtol=0.0)
        if not np.all(np.isfinite(simple.coeffs)) or np.any(simple.coeffs.imag != 0):
            raise ModelError(
                f"observables[{i}] has coefficients {simple.coeffs.tolist()}. "
                "Expected finite real numbers (a Hermitian operator)."
            )
        checked.append(simple)
    return tuple(checked)


def relabelled(
    observables: Sequence[SparsePauliOp], qubits: Sequence[int], num_qubits: int
) -> tuple[SparsePauliOp, ...]:
    """The same observables where qubit v is called qubits[v], on a register of `num_qubits`."""
    return tuple(o.apply_layout(list(qubits), num_qubits) for o in observables)


def measurement(observables: Sequence[SparsePauliOp]) -> Measurement:
    """Strings, coefficients and bases of checked observables; bases are filled greedily, in the order of appearance."""
    index: dict[tuple[tuple[int, str], ...], int] = {}
    offset = np.zeros(len(observables))
    entries: list[tuple[int, int, float]] = []
    for row, observable in enumerate(observables):
        for paulis, qubits, coefficient in observable.to_sparse_list():
            string = tuple(sorted(zip((int(q) for q in qubits), paulis)))
            if not string:
                offset[row] += coefficient.real
                continue
            entries.append((row, index.setdefault(string, len(index)), coefficient.real))
    coefficients = np.zeros((len(observables), len(index)))
    for row, column, value in entries:
        coefficients[row, column] += value
    return Measurement(tuple(index), coefficients, offset, _bases(tuple(index)))


def _bases(strings: tuple[tuple[tuple[int, str], ...], ...]) -> tuple[Basis, ...]:
    settings: list[tuple[dict[int, str], list[int]]] = []
    for number, string in enumerate(strings):
        for paulis, members in settings:
            if all(paulis.get(q, p) == p for q, p in string):
                paulis.update(string)
                members.append(number)
                break
        else:
            settings.append((dict(string), [number]))
    return tuple(Basis(tuple(sorted(paulis.items())), tuple(members)) for paulis, members in settings)
