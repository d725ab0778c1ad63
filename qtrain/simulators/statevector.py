"""Batched state vectors: expectations, and every derivative by adjoint differentiation. complex128, exact.

Layout: amplitude first, batch last, so that the inner loop runs over the batch (or, where an angle is the same for the
whole batch, over one long run of amplitudes). Adjoint differentiation: Jones and Gacon, arXiv 2009.02823.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.gates import Fixed, Reset
from qtrain.program import SlotRotation
from qtrain.simulators import runs_kernels as runs
from qtrain.simulators import statevector_kernels as kernels
from qtrain.simulators import sweeps
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk
from qtrain.simulators.fusion import fuse

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
_CACHE_BYTES = 512 * 1024  # a chunk's states should stay in the second-level cache
_ELEMENT = {"X": runs.X, "Y": runs.Y, "Z": runs.Z}
_PAULI_MASKS = {"X": (1, 0), "Y": (1, 1), "Z": (0, 1)}


class _Code(NamedTuple):
    """A program as flat arrays, in the form that the kernels take.

    Attributes:
        starts: how many of the first operations are runs on qubits 0, 1, ... in the beginning.
        ops: (kind, masks, which, elements, matrices, twos), see `statevector_kernels.forward`.
        inverse: the inverses of `twos`.
        strings: [string, 2] masks of the program's Pauli strings.
    """

    starts: int
    ops: tuple[NDArray[Any], ...]
    inverse: Array
    strings: NDArray[np.int64]


@dataclass
class _Run:
    """One-qubit operations that follow each other on a qubit."""

    qubits: tuple[int]
    elements: list[Fixed | SlotRotation]


_codes: WeakKeyDictionary[Program, _Code] = WeakKeyDictionary()


def string_masks(string: tuple[tuple[int, str], ...]) -> tuple[int, int]:
    """Bit masks (x, z) of a Pauli string given as (qubit, Pauli) pairs."""
    x = z = 0
    for qubit, pauli in string:
        flips, signs = _PAULI_MASKS[pauli]
        x |= flips << qubit
        z |= signs << qubit
    return x, z


def _is_monomial(matrix: NDArray[np.complex128]) -> bool:
    return bool(np.all(np.count_nonzero(matrix, axis=1) == 1))


def _cost(matrix: NDArray[np.complex128]) -> float:
    """Multiplications an amplitude of one pass, plus the pass itself."""
    return (1.0 if _is_monomial(matrix) else float(len(matrix))) + 3.0


def _joined(program: Program) -> tuple[list[_Run], list[Any]]:
    """The first run of each qubit, and everything else with one-qubit operations joined to runs."""
    starts = [_Run((q,), []) for q in range(program.num_qubits)]
    waiting: dict[int, _Run] = dict(enumerate(starts))
    rest: list[Any] = []
    for op in program.ops:
        if isinstance(op, Reset):
            raise ModelError(
                f"the circuit resets qubit {op.qubits[0]} behind other gates, which a state vector cannot hold. "
                "Use NoisySimulator."
            )
        if len(op.qubits) > 1:
            for q in op.qubits:
                waiting.pop(q, None)
            rest.append(op)
        elif op.qubits[0] in waiting:
            waiting[op.qubits[0]].elements.append(op)
        else:
            run = waiting[op.qubits[0]] = _Run((op.qubits[0],), [op])
            rest.append(run)
    fixed = [_as_fixed(op) if isinstance(op, _Run) else op for op in rest]
    return starts, fuse(fixed, _cost)


def _as_fixed(run: _Run) -> _Run | Fixed:
    """A run without rotations as one map, so that it can be merged into a neighbour."""
    product = np.eye(2, dtype=np.complex128)
    for element in run.elements:
        if not isinstance(element, Fixed):
            return run
        product = element.matrix @ product
    return Fixed(run.qubits, product)


def _code(program: Program) -> _Code:
    known = _codes.get(program)
    if known is not None:
        return known
    kind, masks, which = [], [], []
    elements: list[tuple[int, int]] = []
    ones: list[NDArray[np.complex128]] = []
    twos: list[NDArray[np.complex128]] = []
    starts, rest = _joined(program)
    for op in [*starts, *rest]:
        if isinstance(op, SlotRotation):
            kind.append(kernels.STRING)
            masks.append(string_masks(tuple(zip(op.qubits, op.paulis))))
            which.append((op.slot, op.slot))
            continue
        masks.append((1 << op.qubits[0], 1 << op.qubits[-1]))
        if isinstance(op, Fixed) and len(op.qubits) == 2:
            kind.append(kernels.MONOMIAL if _is_monomial(op.matrix) else kernels.DENSE)
            which.append((len(twos), len(twos)))
            twos.append(op.matrix)
            continue
        kind.append(kernels.RUN)
        first = len(elements)
        for element in [op] if isinstance(op, Fixed) else op.elements:
            if isinstance(element, Fixed):
                elements.append((runs.FIXED, len(ones)))
                ones.append(element.matrix)
            else:
                elements.append((_ELEMENT[element.paulis], element.slot))
        which.append((first, len(elements)))
    matrices, _ = _stacked(ones, 2)
    two, inverse = _stacked(twos, 4)
    pairs = [np.array(rows, dtype=np.int64).reshape(-1, 2) for rows in (masks, which, elements)]
    code = _Code(
        len(starts),
        (np.array(kind, dtype=np.int8), *pairs, matrices, two),
        inverse,
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
    kernels.forward(state[0], state[1], columns, code.starts, code.ops, turns)
    return state


def _width(program: Program, batch: int, states: int) -> int:
    """Rows a chunk: what fits the cache, at least 8 where memory allows. Raises ModelError if one row is too big."""
    row = states * 16 * 2**program.num_qubits
    if row > 8 * MEMORY_LIMIT:
        raise ModelError(
            f"a state vector of {program.num_qubits} qubits takes {row:.3g} bytes. "
            f"Expected at most {8 * MEMORY_LIMIT:.3g}; use fewer qubits."
        )
    return max(1, min(batch, max(8, _CACHE_BYTES // row), MEMORY_LIMIT // row))


def _effort(program: Program, batch: int) -> float:
    return 8.0 * len(program.ops) * batch * 2**program.num_qubits


def string_expectations(program: Program, angles: Array) -> Array:
    """[batch, string]: noise-free expectations of the strings of `program.measurement`."""
    if program.num_qubits >= sweeps.FROM_QUBITS:
        return sweeps.string_expectations(program, angles)
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
    if program.num_qubits >= sweeps.FROM_QUBITS:
        return sweeps.adjoint(program, angles, cotangent)
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
            state[0], state[1], pulled[0], pulled[1], columns, code.starts, code.ops, code.inverse, turns, gradient
        )
        out[rows] = gradient.T

    for_each_chunk(work, len(angles), _width(program, len(angles), 2), 4 * _effort(program, len(angles)))
    return out


def amplitudes(program: Program, angles: Array) -> NDArray[np.complex128]:
    """[batch, 2^n] amplitudes; qubit 0 is the least significant bit."""
    if program.num_qubits >= sweeps.FROM_QUBITS:
        return sweeps.amplitudes(program, angles)
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
