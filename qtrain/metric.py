"""Metric: how far a program's state moves with its angles, block by block (Fubini-Study).

For the state psi of angles t, g_ij = Re <d_i psi | d_j psi> - <d_i psi | psi> <psi | d_j psi>. Rotations
exp(-i t P / 2) that commute and can stand side by side make a block; within it g_ij = (<P_i P_j> - <P_i> <P_j>) / 4 on
the state in front of the block, and between blocks the metric is taken as zero. The state is the noise-free one,
simulated here in plain numpy.
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
States = NDArray[np.complex128]
MOST_QUBITS = 20
_AMPLITUDES_AT_ONCE = 2**20  # of all generators of a block together: 16 MB


class Block(NamedTuple):
    """Fixed operations, then rotations that commute with each other."""

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
                elif not _commute(earlier, op):
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


def _commute(one: SlotRotation, other: Fixed | SlotRotation) -> bool:
    if isinstance(other, Fixed):
        return False  # some do, which is not looked into
    paulis = dict(zip(one.qubits, one.paulis))
    return sum(paulis.get(q, p) != p for q, p in zip(other.qubits, other.paulis)) % 2 == 0


def metric(program: Program, angles: Array) -> Array:
    """[slot, slot]: mean over the rows of the block-diagonal metric; symmetric, positive semidefinite, at most 1/4.

    Args:
        angles: [batch, slot] rad.
    Raises: ConfigError: more than 20 qubits; a reset.
    """
    n, found = program.num_qubits, np.zeros((program.num_slots, program.num_slots))
    if n > MOST_QUBITS:
        raise ConfigError(
            f"the metric of {n} qubits needs their state vector. Expected at most {MOST_QUBITS} qubits, "
            "or a gradient method without a metric."
        )
    rows = max(1, _AMPLITUDES_AT_ONCE >> n)
    for start in range(0, len(angles), rows):
        part = np.asarray(angles[start : start + rows]).T
        state = np.zeros((2**n, part.shape[1]), dtype=np.complex128)
        state[0] = 1.0
        for fixed, rotations in blocks(program):
            for op in fixed:
                state = _applied(op.matrix, op.qubits, state)
            if rotations:
                slots = [rotation.slot for rotation in rotations]
                found[np.ix_(slots, slots)] += _covariances(rotations, state) / 4
            for rotation in rotations:
                half = part[rotation.slot] / 2
                state = np.cos(half) * state - 1j * np.sin(half) * _turned(rotation, state)
    return found / max(1, len(angles))


def _covariances(rotations: tuple[SlotRotation, ...], state: States) -> Array:
    """[rotation, rotation]: sum over the rows of Re <P_i P_j> - <P_i> <P_j>."""
    size = state.size
    at_once = max(1, _AMPLITUDES_AT_ONCE // size)
    means = np.array([_real_products(state, _turned(r, state)) for r in rotations])
    products = np.empty((len(rotations), len(rotations)))
    chunks = [slice(i, i + at_once) for i in range(0, len(rotations), at_once)]
    for i, first in enumerate(chunks):
        left = np.array([_turned(r, state) for r in rotations[first]]).reshape(-1, size).view(np.float64)
        products[first, first] = left @ left.T
        for second in chunks[i + 1 :]:
            right = np.array([_turned(r, state) for r in rotations[second]]).reshape(-1, size).view(np.float64)
            products[first, second] = left @ right.T
            products[second, first] = products[first, second].T
    covariances: Array = products - means @ means.T
    return covariances


def _real_products(one: States, other: States) -> Array:
    """[row] Re <one | other> of states [amplitude, row]."""
    products: Array = np.einsum("ab,ab->b", one.real, other.real) + np.einsum("ab,ab->b", one.imag, other.imag)
    return products


def _turned(rotation: SlotRotation, state: States) -> States:
    """P psi."""
    tensor = state.reshape(*[2] * (len(state).bit_length() - 1), -1)
    n = tensor.ndim - 1
    tensor = np.flip(tensor, tuple(n - 1 - q for q, p in zip(rotation.qubits, rotation.paulis) if p != "Z"))
    for qubit, pauli in zip(rotation.qubits, rotation.paulis):
        if pauli != "X":
            signs: NDArray[Any] = np.array([1.0, -1.0]) if pauli == "Z" else np.array([-1j, 1j])
            tensor = tensor * signs.reshape(2, *[1] * (qubit + 1))
    return np.ascontiguousarray(tensor).reshape(state.shape)


def _applied(matrix: NDArray[Any], qubits: tuple[int, ...], state: States) -> States:
    """A unitary on some qubits; the first qubit is the more significant index."""
    tensor = state.reshape(*[2] * (len(state).bit_length() - 1), -1)
    n, k = tensor.ndim - 1, len(qubits)
    axes = [n - 1 - q for q in qubits]
    out = np.tensordot(matrix.reshape([2] * (2 * k)), tensor, axes=(range(k, 2 * k), axes))
    return np.ascontiguousarray(np.moveaxis(out, range(k), axes)).reshape(state.shape)
