"""A program as stages for the state-vector kernels: what depends on the data, and what the whole batch shares.

Between two uploads of data the circuit is one unitary for every row of a batch. Such a segment is turned into few
passes: one-qubit runs are one matrix, Z-type rotations that nothing separates are one phase an amplitude, CX and SWAP
are one permutation. What stands on a qubit before the first weight needs no pass at all: the start is a product state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.gates import Fixed, Reset
from qtrain.program import SlotRotation
from qtrain.simulators import runs_kernels as runs
from qtrain.simulators import stages_kernels as kernels
from qtrain.simulators.fusion import fuse
from qtrain.simulators.strings import string_masks

if TYPE_CHECKING:
    from qtrain.program import Program

Mask = NDArray[np.bool_]
_ELEMENT = {"X": runs.X, "Y": runs.Y, "Z": runs.Z}
_PAULIS = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], dtype=np.complex128)


@dataclass
class _Run:
    """One-qubit operations that follow each other on a qubit, the same for the whole batch."""

    qubits: tuple[int, ...]
    elements: list[Fixed | SlotRotation]


@dataclass
class _Diagonal:
    """Z-type rotations by shared angles, and fixed phases [2^n]."""

    qubits: tuple[int, ...]
    terms: list[tuple[int, int]] = field(default_factory=list)
    table: NDArray[np.complex128] | None = None


@dataclass
class _Permutation:
    """Amplitude i comes from source[i]."""

    qubits: tuple[int, ...]
    source: NDArray[np.int64]


Item = Fixed | SlotRotation | _Run | _Diagonal | _Permutation


class Segment(NamedTuple):
    """Operations first to end, `cost` multiplications an amplitude there and back; `shared` by all rows of a batch."""

    first: int
    end: int
    shared: bool
    cost: float


class Stages(NamedTuple):
    """A program as flat arrays, in the form that the kernels take.

    Attributes:
        code: (ops, elements, matrices, blochs, tables, moves, twos, inverses), see `stages_kernels`.
        num_qubits: the first operations, one a qubit, make the product state to begin with.
        segments: in time order.
        needed: the first operation whose derivative is wanted; the number of operations where there is none.
        varying: slots with an angle a row; `row_of` [slot] is a slot's place among them, or -1.
    """

    code: tuple[NDArray[Any], ...]
    num_qubits: int
    segments: tuple[Segment, ...]
    needed: int
    varying: NDArray[np.intp]
    row_of: NDArray[np.int64]


_known: WeakKeyDictionary[Program, dict[tuple[bytes, bytes, str], Stages]] = WeakKeyDictionary()


def stages(program: Program, varying: Mask, wanted: Mask, dtype: Any) -> Stages:
    """The program's stages, made once.

    Args:
        varying: [slot] whether its angle may differ from row to row.
        wanted: [slot] whether its derivative is.
        dtype: of the arrays: float64 or float32.
    """
    known = _known.setdefault(program, {})
    key = (varying.tobytes(), wanted.tobytes(), np.dtype(dtype).char)
    if key not in known:
        known[key] = _Encoder(program.num_qubits, varying, wanted, np.dtype(dtype)).encode(program.ops)
    return known[key]


class _Encoder:
    def __init__(self, num_qubits: int, varying: Mask, wanted: Mask, dtype: np.dtype[Any]) -> None:
        self.num_qubits, self.varying, self.wanted, self.dtype = num_qubits, varying, wanted, dtype
        self.ops: list[tuple[int, ...]] = []
        self.elements: list[tuple[int, int]] = []
        self.ones: list[NDArray[np.complex128]] = []
        self.twos: list[NDArray[np.complex128]] = []
        self.tables: list[NDArray[np.complex128]] = []
        self.moves: list[tuple[int, int]] = []
        self.touched: set[int] = set()
        self.needed = -1

    def encode(self, ops: Iterable[Any]) -> Stages:
        starts, rest = self._split(ops)
        for q, elements in enumerate(starts):
            self._emit(_Run((q,), elements))
        segments = []
        for shared, items in _alternating(rest, self._is_shared):
            first = len(self.ops)
            cost = sum(self._emit(item) for item in (self._merged(items) if shared else items))
            if len(self.ops) > first:  # gates may multiply to the identity
                segments.append(Segment(first, len(self.ops), shared, cost))
        return Stages(
            self._code(),
            self.num_qubits,
            tuple(segments),
            len(self.ops) if self.needed < 0 else self.needed,
            np.flatnonzero(self.varying),
            np.where(self.varying, np.cumsum(self.varying) - 1, -1).astype(np.int64),
        )

    def _is_shared(self, item: Item) -> bool:
        return not (isinstance(item, SlotRotation) and self.varying[item.slot])

    def _split(self, ops: Iterable[Any]) -> tuple[list[list[Fixed | SlotRotation]], list[Item]]:
        """What each qubit starts with, up to the first operation whose derivative is wanted; and the rest, in runs."""
        starts: list[list[Fixed | SlotRotation]] = [[] for _ in range(self.num_qubits)]
        fresh, running = set(range(self.num_qubits)), dict[int, _Run]()
        rest: list[Item] = []
        for op in ops:
            if isinstance(op, Reset):
                raise ModelError(
                    f"the circuit resets qubit {op.qubits[0]} behind other gates, which a state vector cannot hold. "
                    "Use NoisySimulator."
                )
            q = op.qubits[0]
            slot = op.slot if isinstance(op, SlotRotation) else None
            if len(op.qubits) == 1 and q in fresh and (slot is None or not self.wanted[slot]):
                starts[q].append(op)
                continue
            fresh.difference_update(op.qubits)
            if len(op.qubits) == 1 and self._is_shared(op):
                if q in running:
                    running[q].elements.append(op)
                else:
                    running[q] = _Run((q,), [op])
                    rest.append(running[q])
                continue
            for q in op.qubits:
                running.pop(q, None)
            rest.append(op)
        return starts, fuse([_simplified(item) for item in rest], _fusion_cost)

    def _merged(self, items: list[Item]) -> list[Item]:
        """Neighbouring diagonal operations become one, and so do neighbouring permutations."""
        out: list[Item] = []
        other: dict[type, dict[int, int]] = {_Diagonal: {}, _Permutation: {}}  # newest of any other kind, by qubit
        newest: dict[type, int] = {}
        for raw in items:
            for item in self._plain_parts(raw):
                kind = type(item)
                place = newest.get(kind, -1)
                blocked = max((other[kind].get(q, -1) for q in item.qubits), default=-1) if kind in other else 0
                if kind in other and place > blocked and place >= 0:
                    _join(out[place], item)
                    place_of_item = place
                else:
                    place_of_item = len(out)
                    out.append(item)
                    if kind in other:
                        newest[kind] = place_of_item
                for group, last in other.items():
                    if group is not kind:
                        for q in item.qubits:
                            last[q] = max(last.get(q, -1), place_of_item)
        return out

    def _plain_parts(self, item: Item) -> list[Item]:
        """Shared operations as diagonals and permutations wherever they are."""
        if isinstance(item, SlotRotation) and set(item.paulis) == {"Z"}:
            return [_Diagonal(item.qubits, [(string_masks(tuple(zip(item.qubits, item.paulis)))[1], item.slot)])]
        if isinstance(item, _Run) and all(_is_diagonal(element) for element in item.elements):
            mask = 1 << item.qubits[0]
            parts = _Diagonal(item.qubits)
            for element in item.elements:
                if isinstance(element, SlotRotation):
                    parts.terms.append((mask, element.slot))
                else:
                    _join(parts, _Diagonal(item.qubits, [], self._phases(element.qubits, np.diag(element.matrix))))
            return [parts]
        if isinstance(item, Fixed) and bool(np.all(np.count_nonzero(item.matrix, axis=1) == 1)):
            source = np.argmax(item.matrix != 0, axis=1)
            phases = item.matrix[np.arange(len(source)), source]
            parts_: list[Item] = []
            if np.any(source != np.arange(len(source))):
                parts_.append(_Permutation(item.qubits, self._sources(item.qubits, source)))
            if np.any(phases != 1):
                parts_.append(_Diagonal(item.qubits, [], self._phases(item.qubits, phases)))
            return parts_
        return [item]

    def _local(self, qubits: tuple[int, ...]) -> NDArray[np.int64]:
        """[2^n]: every amplitude's index into a map on these qubits; the first one is the more significant."""
        index = np.arange(2**self.num_qubits)
        local = np.zeros_like(index)
        for q in qubits:
            local = 2 * local + (index >> q & 1)
        return local

    def _phases(self, qubits: tuple[int, ...], phases: NDArray[np.complex128]) -> NDArray[np.complex128]:
        table: NDArray[np.complex128] = phases[self._local(qubits)].astype(np.complex128)
        return table

    def _sources(self, qubits: tuple[int, ...], source: NDArray[np.intp]) -> NDArray[np.int64]:
        index = np.arange(2**self.num_qubits)
        old = source[self._local(qubits)]
        for k, q in enumerate(reversed(qubits)):
            index = (index & ~(1 << q)) | ((old >> k & 1) << q)
        return index

    def _emit(self, item: Item) -> float:
        """Appends one operation; returns its multiplications an amplitude, there and back."""
        a, b, first, end, table, cost = 0, 0, 0, 0, -1, 0.0
        if isinstance(item, SlotRotation):
            kind, cost = kernels.ROTATION, 20.0
            a, b = string_masks(tuple(zip(item.qubits, item.paulis)))
            first = item.slot
        elif isinstance(item, _Diagonal):
            kind, cost = kernels.DIAGONAL, 15.0
            first, end = len(self.elements), len(self.elements) + len(item.terms)
            self.elements += item.terms
            if item.table is not None:
                table = len(self.tables)
                self.tables.append(item.table)
        elif isinstance(item, _Permutation):
            kind, cost = kernels.PERMUTATION, 4.0
            moves = _cycles(item.source)
            first, end = len(self.moves), len(self.moves) + len(moves)
            self.moves += moves
        elif isinstance(item, Fixed) and len(item.qubits) == 2:
            kind, cost = kernels.DENSE, 48.0
            a, b, first = 1 << item.qubits[0], 1 << item.qubits[1], len(self.twos)
            self.twos.append(item.matrix)
        else:
            kind, a, first, cost = kernels.RUN, 1 << item.qubits[0], len(self.elements), 32.0
            for element in [item] if isinstance(item, Fixed) else item.elements:
                if isinstance(element, Fixed):
                    self.elements.append((runs.FIXED, len(self.ones)))
                    self.ones.append(element.matrix)
                else:
                    self.elements.append((_ELEMENT[element.paulis], element.slot))
            end = len(self.elements)
        if self.needed < 0 and any(self.wanted[slot] for slot in _slots(item)):
            self.needed = len(self.ops)
        undo = int(bool(self.touched.intersection(item.qubits)))
        self.ops.append((kind, a, b, first, end, table, undo))
        if self.needed >= 0:
            self.touched.update(item.qubits)
        return cost

    def _code(self) -> tuple[NDArray[Any], ...]:
        ones = np.array(self.ones, dtype=np.complex128).reshape(-1, 2, 2)
        blochs = np.einsum("mij,ajk,mlk,bli->mab", ones, _PAULIS, ones.conj(), _PAULIS).real / 2
        twos = np.array(self.twos, dtype=np.complex128).reshape(-1, 4, 4)
        tables = np.array(self.tables, dtype=np.complex128).reshape(-1, 2**self.num_qubits)
        return (
            np.array(self.ops, dtype=np.int64).reshape(-1, 7),
            np.array(self.elements, dtype=np.int64).reshape(-1, 2),
            self._stacked(ones),
            np.ascontiguousarray(blochs, dtype=self.dtype),
            self._stacked(tables),
            np.array(self.moves, dtype=np.int64).reshape(-1, 2),
            self._stacked(twos),
            self._stacked(twos.conj().transpose(0, 2, 1)),
        )

    def _stacked(self, matrices: NDArray[np.complex128]) -> NDArray[Any]:
        """Real and imaginary parts along a new first axis."""
        return np.ascontiguousarray(np.stack([matrices.real, matrices.imag]), dtype=self.dtype)


def _slots(item: Item) -> list[int]:
    if isinstance(item, SlotRotation):
        return [item.slot]
    if isinstance(item, _Diagonal):
        return [slot for _, slot in item.terms]
    if isinstance(item, _Run):
        return [element.slot for element in item.elements if isinstance(element, SlotRotation)]
    return []


def _is_diagonal(op: Fixed | SlotRotation) -> bool:
    if isinstance(op, SlotRotation):
        return set(op.paulis) == {"Z"}
    return bool(np.count_nonzero(op.matrix) == len(op.matrix) and np.all(np.diag(op.matrix) != 0))


def _simplified(item: Item) -> Item:
    """A run without rotations as one map, so that it can be merged into a neighbour."""
    if not isinstance(item, _Run):
        return item
    product = np.eye(2, dtype=np.complex128)
    for element in item.elements:
        if not isinstance(element, Fixed):
            return item
        product = element.matrix @ product
    return Fixed(item.qubits, product)


def _fusion_cost(matrix: NDArray[np.complex128]) -> float:
    """Multiplications an amplitude, there and back: permutations and phases are nearly free."""
    if np.all(np.count_nonzero(matrix, axis=1) == 1):
        return 4.0
    return 32.0 if len(matrix) == 2 else 48.0


def _join(into: Any, item: Any) -> None:
    """Appends a later diagonal or permutation to an earlier one."""
    into.qubits = tuple(sorted({*into.qubits, *item.qubits}))
    if isinstance(into, _Permutation):
        into.source = into.source[item.source]
        return
    into.terms += item.terms
    if item.table is not None:
        into.table = item.table if into.table is None else into.table * item.table


def _alternating(items: list[Item], is_shared: Any) -> list[tuple[bool, list[Item]]]:
    """The items in groups that the whole batch shares, or not, as long as their order on every qubit allows."""
    out: list[tuple[bool, list[Item]]] = []
    shared = False
    while items:
        blocked: set[int] = set()
        taken, left = list[Item](), list[Item]()
        for item in items:
            if is_shared(item) == shared and not blocked.intersection(item.qubits):
                taken.append(item)
            else:
                blocked.update(item.qubits)
                left.append(item)
        if taken:
            out.append((shared, taken))
        items, shared = left, not shared
    return out


def _cycles(source: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Copies (to, from) that move every amplitude i from source[i], cycle by cycle, through the spare row -1."""
    moves: list[tuple[int, int]] = []
    done = source == np.arange(len(source))
    for start in range(len(source)):
        if done[start]:
            continue
        moves.append((-1, start))
        to = start
        while source[to] != start:
            moves.append((to, int(source[to])))
            done[to] = True
            to = int(source[to])
        moves.append((to, -1))
        done[to] = True
    return moves
