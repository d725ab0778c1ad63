"""Batched state vectors: expectations, and every derivative by adjoint differentiation. complex128, exact.

Layout: amplitude first, batch last, so that the inner loop runs over the batch (or, where an angle is the same for the
whole batch, over one long run of amplitudes). Adjoint differentiation: Jones and Gacon, arXiv 2009.02823.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ExecutorError
from qtrain.gates import Fixed, Reset
from qtrain.simulators import statevector_kernels as kernels
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk
from qtrain.simulators.fusion import fuse

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
_CACHE_BYTES = 512 * 1024  # a chunk's states should stay in the second-level cache
_PAULI_MASKS = {"X": (1, 0), "Y": (1, 1), "Z": (0, 1)}


class _Code(NamedTuple):
    """A program as flat arrays; ones and twos [2, matrix, d, d] are real and imaginary parts."""

    kind: NDArray[np.int8]
    masks: NDArray[np.int64]
    matrix: NDArray[np.int64]
    slot: NDArray[np.int64]
    ones: Array
    twos: Array
    inverse_ones: Array
    inverse_twos: Array
    strings: NDArray[np.int64]


_codes: WeakKeyDictionary[Program, _Code] = WeakKeyDictionary()


def string_masks(string: tuple[tuple[int, str], ...]) -> tuple[int, int]:
    """Bit masks (x, z) of a Pauli string given as (qubit, Pauli) pairs."""
    x = z = 0
    for qubit, pauli in string:
        flips, signs = _PAULI_MASKS[pauli]
        x |= flips << qubit
        z |= signs << qubit
    return x, z


def _matrix_cost(matrix: NDArray[np.complex128]) -> float:
    return float(len(matrix))


def _code(program: Program) -> _Code:
    known = _codes.get(program)
    if known is not None:
        return known
    kind, masks, index, slot = [], [], [], []
    matrices: dict[int, list[NDArray[np.complex128]]] = {1: [], 2: []}
    for op in fuse(program.ops, _matrix_cost):
        if isinstance(op, Reset):
            raise ExecutorError(
                f"the circuit resets qubit {op.qubits[0]} behind other gates, which a state vector cannot hold. "
                "Use NoisySimulator."
            )
        if isinstance(op, Fixed):
            width = len(op.qubits)
            kind.append(kernels.FIXED_ONE if width == 1 else kernels.FIXED_TWO)
            masks.append((1 << op.qubits[0], 1 << op.qubits[-1]))
            index.append(len(matrices[width]))
            slot.append(-1)
            matrices[width].append(op.matrix)
        else:
            kind.append(kernels.ROTATION)
            masks.append(string_masks(tuple(zip(op.qubits, op.paulis))))
            index.append(-1)
            slot.append(op.slot)
    ones, inverse_ones = _stacked(matrices[1], 2)
    twos, inverse_twos = _stacked(matrices[2], 4)
    code = _Code(
        np.array(kind, dtype=np.int8),
        np.array(masks, dtype=np.int64).reshape(-1, 2),
        np.array(index, dtype=np.int64),
        np.array(slot, dtype=np.int64),
        ones,
        twos,
        inverse_ones,
        inverse_twos,
        np.array([string_masks(s) for s in program.measurement.strings], dtype=np.int64).reshape(-1, 2),
    )
    _codes[program] = code
    return code


def _stacked(matrices: list[NDArray[np.complex128]], size: int) -> tuple[Array, Array]:
    """Unitaries and their inverses as [2, matrix, size, size]: real and imaginary parts."""
    stack = np.array(matrices, dtype=np.complex128).reshape(-1, size, size)
    inverse = stack.conj().transpose(0, 2, 1)
    return np.stack([stack.real, stack.imag]), np.ascontiguousarray(np.stack([inverse.real, inverse.imag]))


class _Angles(NamedTuple):
    """cos and sin of half the angles [slot, columns], and which slots have one angle for the whole chunk."""

    cos: Array
    sin: Array
    uniform: NDArray[np.bool_]


def _half_angles(angles: Array) -> _Angles:
    half = np.ascontiguousarray(angles.T) / 2
    return _Angles(np.cos(half), np.sin(half), np.all(half == half[:, :1], axis=1))


def _run(code: _Code, num_qubits: int, turns: _Angles) -> Array:
    """[2, 2^n * columns]: real and imaginary parts after the whole circuit."""
    columns = turns.cos.shape[1]
    state = np.zeros((2, 2**num_qubits * columns))
    state[0, :columns] = 1.0
    kernels.forward(
        state[0], state[1], columns, code.kind, code.masks, code.matrix, code.slot, code.ones, code.twos, *turns
    )
    return state


def _width(program: Program, batch: int, states: int) -> int:
    """Rows a chunk: what fits the cache, at least 8 where memory allows. Raises ExecutorError if one row is too big."""
    row = states * 16 * 2**program.num_qubits
    if row > 8 * MEMORY_LIMIT:
        raise ExecutorError(
            f"a state vector of {program.num_qubits} qubits takes {row:.3g} bytes. "
            f"Expected at most {8 * MEMORY_LIMIT:.3g}; use fewer qubits."
        )
    return max(1, min(batch, max(8, _CACHE_BYTES // row), MEMORY_LIMIT // row))


def _effort(program: Program, batch: int) -> float:
    return 8.0 * len(program.ops) * batch * 2**program.num_qubits


def string_expectations(program: Program, angles: Array) -> Array:
    """[batch, string]: noise-free expectations of the strings of `program.measurement`."""
    code = _code(program)
    out = np.empty((len(angles), len(code.strings)))

    def work(rows: slice) -> None:
        turns = _half_angles(angles[rows])
        columns = turns.cos.shape[1]
        state = _run(code, program.num_qubits, turns)
        values = np.empty((len(code.strings), columns))
        kernels.expectations(state[0], state[1], columns, code.strings, values)
        out[rows] = values.T

    for_each_chunk(work, len(angles), _width(program, len(angles), 1), _effort(program, len(angles)))
    return out


def adjoint(program: Program, angles: Array, cotangent: Array) -> Array:
    """[batch, slot]: derivative of sum over observables of cotangent * E with respect to every angle; exact.

    Args:
        angles: [batch, slot] rad.
        cotangent: [batch, observable].
    """
    code = _code(program)
    weights = cotangent @ program.measurement.coefficients
    out = np.zeros((len(angles), program.num_slots))

    def work(rows: slice) -> None:
        turns = _half_angles(angles[rows])
        columns = turns.cos.shape[1]
        state = _run(code, program.num_qubits, turns)
        pulled = np.empty_like(state)
        kernels.weighted_observable(
            state[0], state[1], columns, code.strings, np.ascontiguousarray(weights[rows].T), pulled[0], pulled[1]
        )
        gradient = np.zeros((program.num_slots, columns))
        kernels.backward(
            state[0],
            state[1],
            pulled[0],
            pulled[1],
            columns,
            code.kind,
            code.masks,
            code.matrix,
            code.slot,
            code.inverse_ones,
            code.inverse_twos,
            *turns,
            gradient,
        )
        out[rows] = gradient.T

    for_each_chunk(work, len(angles), _width(program, len(angles), 2), 4 * _effort(program, len(angles)))
    return out


def amplitudes(program: Program, angles: Array) -> NDArray[np.complex128]:
    """[batch, 2^n] amplitudes; qubit 0 is the least significant bit."""
    code = _code(program)
    out = np.empty((len(angles), 2**program.num_qubits), dtype=np.complex128)

    def work(rows: slice) -> None:
        state = _run(code, program.num_qubits, _half_angles(angles[rows])).reshape(2, 2**program.num_qubits, -1)
        out[rows] = (state[0] + 1j * state[1]).T

    for_each_chunk(work, len(angles), _width(program, len(angles), 1), _effort(program, len(angles)))
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
