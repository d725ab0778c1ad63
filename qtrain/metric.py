"""Metric: how far a program's state moves with its angles, block by block (Fubini-Study).

For the state psi of angles t, g_ij = Re <d_i psi | d_j psi> - <d_i psi | psi> <psi | d_j psi>. Rotations
exp(-i t P / 2) that can stand side by side and have the same Pauli on every qubit that they share make a block. Within
it g_ij = (<P_i P_j> - <P_i> <P_j>) / 4 on the state in front of the block; between blocks the metric is taken as zero.
In one product basis all rotations of a block are diagonal, so one set of probabilities tells all its entries, and one
phase an amplitude applies it. The state is the noise-free one, simulated here in plain numpy.
Source: Stokes, Izaac, Killoran and Carleo, Quantum 4, 269 (2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ConfigError
from qtrain.gates import Fixed, Reset
from qtrain.program import SlotRotation

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
MOST_QUBITS = 20
_AMPLITUDES_AT_ONCE = 2**17  # 2 MB: fits the second-level cache
_JOINED = 4  # neighbouring qubits whose one-qubit unitaries are applied as one matrix

_TO_Z = {
    "X": np.array([[1, 1], [1, -1]], dtype=np.complex128) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]], dtype=np.complex128) / np.sqrt(2),
    "Z": np.eye(2, dtype=np.complex128),
}


class Block(NamedTuple):
    """Fixed operations, then rotations that are diagonal in one product basis."""

    fixed: tuple[Fixed, ...]
    rotations: tuple[SlotRotation, ...]


_blocks: WeakKeyDictionary[Program, tuple[Block, ...]] = WeakKeyDictionary()


def blocks(program: Program) -> tuple[Block, ...]:
    """The program's operations as blocks in time order, each rotation in the earliest one that it can stand in.

    Raises: ConfigError: the program resets a qubit, which no pure state holds.
    """
    known = _blocks.get(program)
    if known is not None:
        return known
    found: list[tuple[list[Fixed], list[SlotRotation]]] = []
    behind: dict[int, list[tuple[int, Fixed | SlotRotation]]] = {}  # qubit -> (block, operation) so far
    for op in program.ops:
        if isinstance(op, Reset):
            raise ConfigError(
                f"the circuit resets qubit {op.qubits[0]} behind other gates, and no pure state holds that. "
                "Use a gradient method without a metric, e.g. parameter_shift()."
            )
        place = 0
        for qubit in op.qubits:
            for block, earlier in behind.setdefault(qubit, []):
                if isinstance(earlier, Fixed):
                    place = max(place, block)
                elif not _side_by_side(earlier, op):
                    place = max(place, block + 1)
        while len(found) <= place:
            found.append(([], []))
        for qubit in op.qubits:
            behind[qubit].append((place, op))
        if isinstance(op, Fixed):
            found[place][0].append(op)
        else:
            found[place][1].append(op)
    result = _blocks[program] = tuple(Block(tuple(fixed), tuple(rotations)) for fixed, rotations in found)
    return result


def _side_by_side(one: SlotRotation, other: Fixed | SlotRotation) -> bool:
    if isinstance(other, Fixed):
        return False  # some commute, which is not looked into
    paulis = dict(zip(one.qubits, one.paulis))
    return all(paulis.get(q, p) == p for q, p in zip(other.qubits, other.paulis))


def metric(program: Program, angles: Array, slots: NDArray[np.intp] | None = None) -> Array:
    """[slot, slot]: mean over the rows of the block-diagonal metric; symmetric, positive semidefinite, at most 1/4.

    Args:
        angles: [batch, slot] rad.
        slots: whose entries are wanted, the others stay 0; default: all.
    Raises: ConfigError: more than 20 qubits; a reset.
    """
    if program.num_qubits > MOST_QUBITS:
        raise ConfigError(
            f"the metric of {program.num_qubits} qubits needs their state vector. Expected at most {MOST_QUBITS} "
            "qubits, or a gradient method without a metric."
        )
    wanted = set(range(program.num_slots) if slots is None else slots.tolist())
    found = np.zeros((program.num_slots, program.num_slots))
    rows = max(1, _AMPLITUDES_AT_ONCE >> program.num_qubits)
    for start in range(0, len(angles), rows):
        part = np.ascontiguousarray(np.asarray(angles[start : start + rows]).T)
        state = _State(program.num_qubits, part.shape[1])
        for fixed, rotations in blocks(program):
            for op in fixed:
                state.apply(op)
            entered = [rotation.slot for rotation in rotations]
            covariances = state.turn(rotations, part[entered], wanted.isdisjoint(entered))
            if covariances is not None:
                found[np.ix_(entered, entered)] += covariances / 4
    if slots is not None:
        left = np.setdiff1d(np.arange(program.num_slots), slots)
        found[left], found[:, left] = 0.0, 0.0
    return found / max(1, len(angles))


class _State:
    """State vectors [amplitude, row]; qubit 0 is the lowest bit. One-qubit unitaries wait until they matter."""

    def __init__(self, num_qubits: int, rows: int) -> None:
        self.n = num_qubits
        self.amplitudes = np.zeros((2**num_qubits, rows), dtype=np.complex128)
        self.amplitudes[0] = 1.0
        self.waiting: dict[int, NDArray[np.complex128]] = {}

    def apply(self, op: Fixed) -> None:
        """A unitary on some qubits; the first qubit is the more significant index."""
        if len(op.qubits) == 1:
            self._wait(op.qubits[0], op.matrix)
            return
        self._settle(set(op.qubits))
        tensor = self.amplitudes.reshape(*[2] * self.n, -1)
        out = np.zeros_like(tensor)
        for row, column in np.argwhere(op.matrix != 0).tolist():
            out[self._slice(op.qubits, row)] += op.matrix[row, column] * tensor[self._slice(op.qubits, column)]
        self.amplitudes = out.reshape(self.amplitudes.shape)

    def turn(self, rotations: tuple[SlotRotation, ...], angles: Array, unwatched: bool) -> Array | None:
        """Applies a block's rotations by their angles [rotation, row].

        Returns: [rotation, rotation] sum over the rows of <P_i P_j> - <P_i> <P_j> before; None if unwatched.
        """
        basis = {q: p for rotation in rotations for q, p in zip(rotation.qubits, rotation.paulis)}
        for qubit, pauli in basis.items():
            self._wait(qubit, _TO_Z[pauli])
        self._settle(set(basis))
        masks = np.array([sum(1 << q for q in rotation.qubits) for rotation in rotations])
        products, means = np.zeros((len(masks), len(masks))), np.zeros((len(masks), angles.shape[1]))
        at_once = max(1, _AMPLITUDES_AT_ONCE // (len(masks) + self.amplitudes.shape[1]))
        for start in range(0, len(self.amplitudes) if rotations else 0, at_once):
            part = self.amplitudes[start : start + at_once]
            ones = np.bitwise_count(np.arange(start, start + len(part)) & masks[:, None]) & 1
            signs = 1.0 - 2.0 * ones
            if not unwatched:
                probabilities = part.real**2 + part.imag**2
                means += signs @ probabilities
                products += (signs * probabilities.sum(axis=1)) @ signs.T
            part *= np.exp(-0.5j * (signs.T @ angles))
        for qubit, pauli in basis.items():
            self._wait(qubit, _TO_Z[pauli].conj().T)
        return None if unwatched else products - means @ means.T

    def _wait(self, qubit: int, matrix: NDArray[Any]) -> None:
        before = self.waiting.get(qubit)
        self.waiting[qubit] = matrix if before is None else matrix @ before

    def _settle(self, qubits: set[int]) -> None:
        """Applies what waits on these qubits, neighbours together."""
        for low in range(0, self.n, _JOINED):
            group = range(low, min(low + _JOINED, self.n))
            if not any(q in qubits and q in self.waiting for q in group):
                continue
            joined = np.eye(1, dtype=np.complex128)
            for q in group:
                higher = self.waiting.pop(q, _TO_Z["Z"])
                size = 2 * len(joined)
                joined = (higher[:, None, :, None] * joined[:, None, :]).reshape(size, size)  # their Kronecker product
            whole = self.amplitudes.reshape(-1, len(joined), 2**low * self.amplitudes.shape[1])
            self.amplitudes = np.matmul(joined, whole).reshape(self.amplitudes.shape)

    def _slice(self, qubits: tuple[int, ...], value: int) -> tuple[Any, ...]:
        """Of the tensor [qubit n-1, ..., qubit 0, row]: these qubits at the bits of a value, the first the highest."""
        index: list[Any] = [slice(None)] * self.n
        for place, qubit in enumerate(reversed(qubits)):
            index[self.n - 1 - qubit] = value >> place & 1
        return tuple(index)
