"""Batched state vectors: expectations, and every derivative by adjoint differentiation; exact.

Layout: amplitude first, batch last, so that the inner loop runs over the batch (or, where an angle is the same for the
whole batch, over one long run of amplitudes). Adjoint differentiation: Jones and Gacon, arXiv 2009.02823.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.simulators import segments_kernels as kernels
from qtrain.simulators import sweeps
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk, row_width
from qtrain.simulators.pullback import DTYPES, WeightPullback
from qtrain.simulators.stages import Stages, stages
from qtrain.simulators.strings import measured_masks

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
_NO_UNITARIES: dict[str, NDArray[Any]] = {char: np.empty((0, 2, 2, 2), char) for char in "df"}


class _Batch(NamedTuple):
    """Rows of angles in the form that the kernels take.

    Attributes:
        half: [slot, batch] rad, half of the angles.
        segments: [segment, 3], none of them multiplied.
        masks: [string, 2] of what is measured.
    """

    made: Stages
    half: Array
    segments: NDArray[np.int64]
    masks: NDArray[np.int64]
    dtype: np.dtype[Any]

    def turns(self, rows: slice) -> tuple[NDArray[Any], ...]:
        shared, varying = self.half[:, rows.start], np.ascontiguousarray(self.half[self.made.varying, rows])
        cosines = (np.cos(half).astype(self.dtype) for half in (shared, varying))
        sines = (np.sin(half).astype(self.dtype) for half in (shared, varying))
        (cos, cos_rows), (sin, sin_rows) = cosines, sines
        return cos, sin, self.made.row_of, cos_rows, sin_rows

    def forward(self, rows: slice) -> tuple[NDArray[Any], NDArray[Any], tuple[NDArray[Any], ...]]:
        """State [2, 2^n * columns] behind the circuit, expectations [string, columns], and the turns of these rows."""
        made, turns, columns = self.made, self.turns(rows), rows.stop - rows.start
        state = np.empty((2, 2**made.num_qubits * columns), self.dtype)
        values = np.empty((len(self.masks), columns), self.dtype)
        none = _NO_UNITARIES[self.dtype.char]
        kernels.forward(state, columns, made.code, turns, made.num_qubits, self.segments, none, self.masks, values)
        return state, values, turns

    def backward(self, state: NDArray[Any], weights: Array, turns: tuple[NDArray[Any], ...]) -> NDArray[Any]:
        """[slot, columns]: derivatives of sum of weights [columns, string] * strings; the state is used up."""
        made = self.made
        gradient = np.zeros((len(made.row_of), len(weights)), self.dtype)
        none = _NO_UNITARIES[self.dtype.char]
        kernels.backward(
            state,
            len(weights),
            made.code,
            turns,
            self.segments,
            made.needed,
            none,
            self.masks,
            np.ascontiguousarray(weights.T, dtype=self.dtype),
            none,
            gradient,
        )
        return gradient


def _batch(program: Program, angles: Array, precision: str, *, derivatives: bool) -> _Batch:
    dtype = np.dtype(DTYPES[precision])
    varying = (angles != angles[:1]).any(axis=0)
    varying = program.feature_slots if not np.any(varying & ~program.feature_slots) else np.ones_like(varying)
    made = stages(program, varying, np.full(program.num_slots, derivatives), dtype)
    segments = np.array([(s.first, s.end, 0) for s in made.segments], dtype=np.int64).reshape(-1, 3)
    return _Batch(made, np.ascontiguousarray(angles.T) / 2, segments, measured_masks(program.measurement), dtype)


def _by_sweeps(program: Program, batch: int) -> bool:
    """Whether sweeps are faster than the kernels whose inner loop runs over the batch, which has to be long enough."""
    few = sweeps.FEW_ROWS.get(program.num_qubits, 0)
    return program.num_qubits >= sweeps.FROM_QUBITS or 0 < batch <= few


def _effort(program: Program, batch: int) -> float:
    return 8.0 * len(program.ops) * batch * 2**program.num_qubits


def string_expectations(program: Program, angles: Array, precision: str = "double") -> Array:
    """[batch, string]: noise-free expectations of the strings of `program.measurement`."""
    if _by_sweeps(program, len(angles)):
        return sweeps.string_expectations(program, angles, precision)
    batch = _batch(program, angles, precision, derivatives=False)
    out = np.empty((len(angles), len(batch.masks)))

    def work(rows: slice) -> None:
        out[rows] = batch.forward(rows)[1].T

    width = row_width(program.num_qubits, len(angles), 2 * batch.dtype.itemsize)
    for_each_chunk(work, len(angles), width, _effort(program, len(angles)))
    return out


def adjoint(program: Program, angles: Array, cotangent: Array, precision: str = "double") -> Array:
    """[batch, slot]: derivative of sum over observables of cotangent * E with respect to every angle; exact.

    Args:
        angles: [batch, slot] rad.
        cotangent: [batch, observable].
        precision: "double" or "single", of the states.
    """
    weights = cotangent @ program.measurement.coefficients
    if _by_sweeps(program, len(angles)):
        return sweeps.BatchPullback(program, angles, precision).slopes(weights)
    batch = _batch(program, angles, precision, derivatives=True)
    out = np.empty((len(angles), program.num_slots))

    def work(rows: slice) -> None:
        state, _, turns = batch.forward(rows)
        out[rows] = batch.backward(state, weights[rows], turns).T

    width = row_width(program.num_qubits, len(angles), 6 * batch.dtype.itemsize)
    for_each_chunk(work, len(angles), width, 4 * _effort(program, len(angles)))
    return out


def weight_pullback(
    program: Program, features: Array, weights: Array, precision: str = "double"
) -> tuple[Array, Callable[[Array], Array]]:
    """Expectations, and what turns a loss's derivatives by them into its derivatives by the weights.

    Args:
        features: [batch, feature] rad; weights: [weight] rad.
    Returns:
        [batch, observable] expectations, and a function cotangent [batch, observable] -> [weight].
    Raises: ConfigError: features or weights of a wrong kind.
    """
    measured = program.measurement
    back: sweeps.BatchPullback | WeightPullback
    shared, varying = program.angle_map.apart(features, weights)
    if _by_sweeps(program, varying.shape[1]):
        back = sweeps.BatchPullback(program, program.angles(features, weights), precision)
    else:
        back = WeightPullback(program, shared, varying, precision)
    return measured.combine(back.strings), lambda c: back.gradient(c @ measured.coefficients) @ program.A


def jacobian(program: Program, angles: Array, precision: str = "double") -> Array:
    """[batch, observable, slot]: derivative of every expectation by every angle; one backward pass an observable."""
    coefficients = program.measurement.coefficients
    out = np.empty((len(angles), len(coefficients), program.num_slots))
    if _by_sweeps(program, len(angles)):
        back = sweeps.BatchPullback(program, angles, precision)
        for number, row in enumerate(coefficients):
            out[:, number] = back.slopes(np.tile(row, (len(angles), 1)))
        return out
    batch = _batch(program, angles, precision, derivatives=True)

    def work(rows: slice) -> None:
        state, _, turns = batch.forward(rows)
        for number, row in enumerate(coefficients):
            weights = np.broadcast_to(row, (rows.stop - rows.start, len(row)))
            out[rows, number] = batch.backward(state.copy(), weights, turns).T

    width = row_width(program.num_qubits, len(angles), 8 * batch.dtype.itemsize)
    for_each_chunk(work, len(angles), width, 4 * len(coefficients) * _effort(program, len(angles)))
    return out


def amplitudes(program: Program, angles: Array) -> NDArray[np.complex128]:
    """[batch, 2^n] amplitudes; qubit 0 is the least significant bit."""
    if _by_sweeps(program, len(angles)):
        return np.asarray(sweeps.amplitudes(program, angles), dtype=np.complex128)
    batch = _batch(program, angles, "double", derivatives=False)
    out = np.empty((len(angles), 2**program.num_qubits), dtype=np.complex128)

    def work(rows: slice) -> None:
        state = batch.forward(rows)[0].reshape(2, 2**program.num_qubits, -1)
        out[rows] = (state[0] + 1j * state[1]).T

    width = row_width(program.num_qubits, len(angles), 16)
    for_each_chunk(work, len(angles), width, _effort(program, len(angles)))
    return out


_TO_Z = {
    "X": np.array([[1, 1], [1, -1]], dtype=np.complex128) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]], dtype=np.complex128) / np.sqrt(2),
}


def basis_probabilities(program: Program, angles: Array, basis: int) -> Array:
    """[batch, 2^m]: probabilities of the m measured bits of one basis; the first measured qubit is the lowest bit."""
    n = program.num_qubits
    measured = program.measurement.bases[basis]
    out = np.empty((len(angles), 2 ** len(measured.paulis)))
    rows_at_once = max(1, MEMORY_LIMIT // (64 * 2**n))
    axis = {q: n - q for q in range(n)}  # of the tensor [batch, qubit n-1, ..., qubit 0]
    for start in range(0, len(angles), rows_at_once):
        rows = slice(start, start + rows_at_once)
        tensor = amplitudes(program, angles[rows]).reshape(-1, *[2] * n)
        for qubit, pauli in measured.paulis:
            if pauli != "Z":
                tensor = np.moveaxis(np.tensordot(_TO_Z[pauli], tensor, axes=(1, axis[qubit])), 0, axis[qubit])
        weights = tensor.real**2 + tensor.imag**2
        others = tuple(axis[q] for q in range(n) if q not in measured.qubits)
        out[rows] = weights.sum(axis=others).reshape(len(weights), -1)
    return out
