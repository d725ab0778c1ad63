"""A noisy circuit as flat arrays for the Pauli kernels, reduced to the coefficients that matter.

What one qubit does by itself between its two-qubit maps is one `Run`: one 4 x 4 map, whatever its rotations. A qubit
begins as the identity alone, and its first run prepares it; so a product state costs next to nothing.

Of the four Paulis of a qubit, a cut through the circuit holds only those that a state can have there and that an
observable can meet there: qubits outside the light cone have I alone, measured ones behind their last gates I and Z.

Order: whatever data enters, and all that comes before it, stands first, so that one backward pass of the rest serves
a whole batch; and a qubit is not prepared before something meets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.gates import Fixed
from qtrain.noise import NoisyCircuit
from qtrain.program import SlotRotation
from qtrain.simulators.fusion import fuse

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Digits = tuple[int, ...]  # Paulis of one qubit, ascending: 0 I, 1 X, 2 Y, 3 Z

TWO, RUN = 0, 1
_PASS_COST = 3.0  # of reading and writing every coefficient once, in multiplications a coefficient
_PREPARE = np.outer([1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0])  # the identity -> |0><0|
_ROTATION = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]], dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Run:
    """One-qubit operations in a row; the first of a qubit's first run prepares it."""

    qubits: tuple[int]
    items: tuple[Fixed | SlotRotation, ...]

    @property
    def pattern(self) -> Mask:
        """[4, 4] where its map may be non-zero, whatever the angles."""
        pattern = np.eye(4, dtype=np.bool_)
        for item in self.items:
            pattern = (item.matrix != 0 if isinstance(item, Fixed) else _ROTATION) @ pattern
        return pattern


Op = Fixed | Run


class Sparse(NamedTuple):
    """Matrices of at most 16 x 16 by rows: indptr [matrix, 17] into indices and values."""

    indptr: Integers
    indices: Integers
    values: Array


class Runs(NamedTuple):
    """All runs.

    Attributes:
        start: [run + 1] where a run's items begin.
        fixed: [item] index into `ones`; -1 for a rotation.
        slot: [item] of a rotation; -1 for a fixed map.
        ones: [matrix, 4, 4].
        before, after: [run, 4] digits that the qubit has before and behind it, the first of so many as `shape` says.
        op: [run] its place among the operations.
    """

    start: Integers
    fixed: Integers
    slot: Integers
    ones: Array
    before: Integers
    after: Integers
    op: Integers


class PauliCode(NamedTuple):
    """Flat arrays of a noisy circuit.

    Attributes:
        kind: [op] TWO or RUN.
        number: [op] of its sparse matrix or run.
        shape: [op, 7] outer, middle and inner sizes around its qubits, then how many digits: upper qubit before, lower
            before, upper behind, lower behind. A run's qubit is the lower one.
        sizes: [op + 1] coefficients at the cut before each operation and at the end.
        twos, transposed: two-qubit maps, and the same for observables.
        runs: one-qubit runs.
        run_of: [slot] the run that a slot is in; -1 nowhere (the compiler may have dropped it).
        digits: of each qubit at the end.
    """

    kind: NDArray[np.int8]
    number: Integers
    shape: Integers
    sizes: Integers
    twos: Sparse
    transposed: Sparse
    runs: Runs
    run_of: Integers
    digits: tuple[Digits, ...]


_codes: WeakKeyDictionary[NoisyCircuit, dict[tuple[Digits, ...], PauliCode]] = WeakKeyDictionary()


def encode(circuit: NoisyCircuit, digits: tuple[Digits, ...]) -> PauliCode:
    """The circuit's code for observables that hold only `digits` of each qubit. Kept for the next call."""
    known = _codes.setdefault(circuit, {})
    if digits not in known:
        known[digits] = _encode(circuit, digits)
    return known[digits]


def _encode(circuit: NoisyCircuit, digits: tuple[Digits, ...]) -> PauliCode:
    ops = _data_first(fuse(list(_runs(circuit)), _cost), circuit.feature_slots)
    before, after = _supports(ops, digits)
    sizes = [1]
    shapes = []
    present = [1] * circuit.num_qubits
    for op, ins, outs in zip(ops, before, after):
        lower, upper = min(op.qubits), max(op.qubits)
        one = lower == upper
        shapes.append(
            (
                int(np.prod(present[upper + 1 :], dtype=np.int64)),
                1 if one else int(np.prod(present[lower + 1 : upper], dtype=np.int64)),
                int(np.prod(present[:lower], dtype=np.int64)),
                *((1,) if one else (len(ins[upper]),)),
                len(ins[lower]),
                *((1,) if one else (len(outs[upper]),)),
                len(outs[lower]),
            )
        )
        for q in op.qubits:
            present[q] = len(outs[q])
        sizes.append(int(np.prod(present, dtype=np.int64)))
    twos = [(op, i, o) for op, i, o in zip(ops, before, after) if isinstance(op, Fixed)]
    forward = [_between(op, i, o) for op, i, o in twos]
    runs = [(place, op, before[place], after[place]) for place, op in enumerate(ops) if isinstance(op, Run)]
    kind = np.array([RUN if isinstance(op, Run) else TWO for op in ops], dtype=np.int8)
    run_of = np.full(len(circuit.feature_slots), -1, dtype=np.int64)
    for number, (_, run, _, _) in enumerate(runs):
        run_of[[item.slot for item in run.items if isinstance(item, SlotRotation)]] = number
    return PauliCode(
        kind=kind,
        number=np.where(kind == RUN, np.cumsum(kind == RUN) - 1, np.cumsum(kind == TWO) - 1).astype(np.int64),
        shape=np.array(shapes, dtype=np.int64).reshape(-1, 7),
        sizes=np.array(sizes, dtype=np.int64),
        twos=_sparse(forward),
        transposed=_sparse([m.T for m in forward]),
        runs=_flat(runs),
        run_of=run_of,
        digits=tuple(_ends(ops, after, circuit.num_qubits)),
    )


def _cost(matrix: Array) -> float:
    """Multiplications a coefficient of one pass, plus the pass itself."""
    return np.count_nonzero(matrix) / len(matrix) + _PASS_COST


def _runs(circuit: NoisyCircuit) -> Iterable[Op]:
    """The circuit with its one-qubit operations gathered; those without a rotation become one fixed map."""
    gathered: dict[int, list[Fixed | SlotRotation]] = {q: [Fixed((q,), _PREPARE)] for q in range(circuit.num_qubits)}

    def close(q: int) -> Iterable[Op]:
        items = gathered.pop(q, [])
        if any(isinstance(item, SlotRotation) for item in items) or (items and items[0].matrix is _PREPARE):  # type: ignore[union-attr]
            yield Run((q,), tuple(items))
        elif items:
            product = np.eye(4)
            for item in items:
                product = item.matrix @ product  # type: ignore[union-attr]
            yield Fixed((q,), product)

    for op in circuit.ops:
        if len(op.qubits) == 1:
            gathered.setdefault(op.qubits[0], []).append(op)
        else:
            for q in op.qubits:
                yield from close(q)
            assert isinstance(op, Fixed)
            yield op
    for q in range(circuit.num_qubits):
        yield from close(q)


def _data_first(fused: Sequence[Op], data: Mask) -> list[Op]:
    """The same circuit: what data enters with all before it, then the rest; a qubit's first run as late as may be."""
    ops = [op if len(op.qubits) == 2 or isinstance(op, Run) else Run((op.qubits[0],), (op,)) for op in fused]
    first = set()  # places of first runs
    wanted = set()  # places of what data enters, and of all before it
    seen: set[int] = set()
    for place, op in enumerate(ops):
        if not seen.issuperset(op.qubits):
            first.add(place)
            seen.update(op.qubits)
    reached: set[int] = set()
    for place in range(len(ops) - 1, -1, -1):
        op = ops[place]
        own = isinstance(op, Run) and any(isinstance(i, SlotRotation) and data[i.slot] for i in op.items)
        if own or reached.intersection(op.qubits):
            wanted.add(place)
            reached.update(op.qubits)
    waiting = {ops[place].qubits[0]: place for place in sorted(first)}
    out: list[Op] = []

    def emit(places: Iterable[int]) -> None:
        for place in places:
            for q in ops[place].qubits:
                if q in waiting:
                    out.append(ops[waiting.pop(q)])
            out.append(ops[place])

    emit(place for place in sorted(wanted) if place not in first)
    for q in [q for q, place in waiting.items() if place in wanted]:
        out.append(ops[waiting.pop(q)])
    emit(place for place in range(len(ops)) if place not in wanted and place not in first)
    return [*out, *(ops[place] for place in waiting.values())]


def _supports(ops: Sequence[Op], digits: tuple[Digits, ...]) -> tuple[list[dict[int, Digits]], list[dict[int, Digits]]]:
    """Digits of each operation's qubits before and behind it: those that occur and that an observable meets."""
    patterns = [op.pattern if isinstance(op, Run) else op.matrix != 0 for op in ops]
    occurring = [np.array([1, 0, 0, 0], dtype=np.bool_) for _ in digits]
    forward = []
    for op, pattern in zip(ops, patterns):
        ins = {q: occurring[q] for q in op.qubits}
        occurring_after = _images(op, pattern, occurring)
        occurring = [occurring_after.get(q, occurring[q]) for q in range(len(digits))]
        forward.append((ins, occurring_after))
    met = [np.isin(np.arange(4), own) for own in digits]
    before: list[dict[int, Digits]] = []
    after: list[dict[int, Digits]] = []
    for op, pattern, (ins, outs) in zip(reversed(ops), reversed(patterns), reversed(forward)):
        after.append({q: _listed(outs[q] & met[q]) for q in op.qubits})
        met_before = _images(op, pattern.T, met)
        met = [met_before.get(q, met[q]) for q in range(len(digits))]
        before.append({q: _listed(ins[q] & met[q]) for q in op.qubits})
    return before[::-1], after[::-1]


def _images(op: Op, pattern: Mask, masks: Sequence[Mask]) -> dict[int, Mask]:
    """Digits that the operation's qubits can have behind it."""
    if len(op.qubits) == 1:
        return {op.qubits[0]: pattern @ masks[op.qubits[0]]}
    a, b = op.qubits
    pairs: Mask = (pattern @ np.outer(masks[a], masks[b]).ravel()).reshape(4, 4)
    return {a: np.any(pairs, axis=1, keepdims=True)[:, 0], b: np.any(pairs, axis=0, keepdims=True)[0]}


def _listed(mask: Mask) -> Digits:
    return tuple(int(d) for d in np.flatnonzero(mask))


def _ends(ops: Sequence[Op], after: Sequence[dict[int, Digits]], num_qubits: int) -> list[Digits]:
    last = dict[int, Digits]()
    for op, outs in zip(ops, after):
        last.update({q: outs[q] for q in op.qubits})
    return [last[q] for q in range(num_qubits)]


def _between(op: Fixed, ins: dict[int, Digits], outs: dict[int, Digits]) -> Array:
    """The map from the digits before to those behind; the upper qubit is the more significant index."""
    a, b = op.qubits
    tensor = op.matrix.reshape(4, 4, 4, 4)[np.ix_(outs[a], outs[b], ins[a], ins[b])]
    if a < b:
        tensor = tensor.transpose(1, 0, 3, 2)
    return np.ascontiguousarray(tensor).reshape(len(outs[a]) * len(outs[b]), -1)


def _sparse(matrices: Sequence[Array]) -> Sparse:
    indptr = np.zeros((len(matrices), 17), dtype=np.int64)
    indices: list[int] = []
    values: list[float] = []
    for number, matrix in enumerate(matrices):
        for row in range(16):
            indptr[number, row] = len(indices)
            if row < len(matrix):
                entries = np.flatnonzero(matrix[row])
                indices.extend(entries.tolist())
                values.extend(matrix[row, entries].tolist())
        indptr[number, 16] = len(indices)
    return Sparse(indptr, np.array(indices, dtype=np.int64), np.array(values, dtype=np.float64))


def _flat(runs: Sequence[tuple[int, Run, dict[int, Digits], dict[int, Digits]]]) -> Runs:
    start, fixed, slot = [0], list[int](), list[int]()
    ones = list[Array]()
    before, after = np.zeros((len(runs), 4), dtype=np.int64), np.zeros((len(runs), 4), dtype=np.int64)
    for number, (_, run, ins, outs) in enumerate(runs):
        (q,) = run.qubits
        before[number, : len(ins[q])] = ins[q]
        after[number, : len(outs[q])] = outs[q]
        for item in _merged(run.items):
            fixed.append(len(ones) if isinstance(item, Fixed) else -1)
            slot.append(-1 if isinstance(item, Fixed) else item.slot)
            if isinstance(item, Fixed):
                ones.append(item.matrix)
        start.append(len(fixed))
    return Runs(
        np.array(start, dtype=np.int64),
        np.array(fixed, dtype=np.int64),
        np.array(slot, dtype=np.int64),
        np.array(ones, dtype=np.float64).reshape(-1, 4, 4),
        before,
        after,
        np.array([place for place, _, _, _ in runs], dtype=np.int64),
    )


def _merged(items: Sequence[Fixed | SlotRotation]) -> list[Fixed | SlotRotation]:
    """Neighbouring fixed maps as one."""
    out: list[Fixed | SlotRotation] = []
    for item in items:
        previous = out[-1] if out else None
        if isinstance(item, Fixed) and isinstance(previous, Fixed):
            out[-1] = Fixed(item.qubits, item.matrix @ previous.matrix)
        else:
            out.append(item)
    return out
