"""Two circuits as lists of unitaries on numbered wires, with what enters and what leaves where; taken apart where
nothing connects them.

Mid-circuit measurements and resets are deferred: an outcome is copied onto an ancilla of its own, and a reset exchanges
the qubit for a fresh one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qcompile import ideal
from qcompile.circuit import final_measurements
from qcompile.errors import NotEquivalentError

_CX = ideal.gate_matrix("cx")
_SWAP = ideal.gate_matrix("swap")
_EXCHANGED = (0, 2, 1, 3)


class Step(NamedTuple):
    """A unitary on some wires, the first one the least significant bit."""

    matrix: NDArray[np.complex128]
    wires: tuple[int, ...]


class Wired(NamedTuple):
    """A circuit without measurements and resets.

    Attributes:
        steps: in time order.
        width: wires; those behind the circuit's own start in |0>.
        records: (classical bit, how many-th write) -> wire that holds the outcome of a mid-circuit measurement.
    """

    steps: list[Step]
    width: int
    records: dict[tuple[int, int], int]


class Pair(NamedTuple):
    """What is compared: `ours` on wires that all carry input, `theirs` on these and maybe others.

    Attributes:
        inputs: (wire of ours, wire of theirs) that are given the same state; all others start in |0>.
        outputs: (wire of ours, wire of theirs) that must end in the same state, whatever happens on all others.
    """

    ours: Wired
    theirs: Wired
    inputs: list[tuple[int, int]]
    outputs: list[tuple[int, int]]

    @property
    def width(self) -> int:
        """Wires of the wider one."""
        return max(self.ours.width, self.theirs.width)


def pair_of(original: QuantumCircuit, mapped: QuantumCircuit, start: Sequence[int], end: Sequence[int]) -> Pair:
    """Both circuits, bound; virtual qubit v enters `mapped` on qubit start[v] and leaves on end[v].

    A measurement that is final in one of them only, as nothing is left of what follows it, is deferred in both.

    Raises: NotEquivalentError: they measure other bits in the middle.
    """
    last = set(final_measurements(original)).intersection(final_measurements(mapped))
    ours, theirs = deferred(original, last), deferred(mapped, last)
    if ours.records.keys() != theirs.records.keys():
        raise NotEquivalentError(
            f"mid-circuit measurements differ: {sorted(ours.records)} in the original, {sorted(theirs.records)} in the "
            "compiled circuit, each (classical bit, how many-th write)."
        )
    outputs = [*enumerate(end), *((ours.records[key], theirs.records[key]) for key in sorted(ours.records))]
    return Pair(ours, theirs, list(enumerate(start)), outputs)


def deferred(circuit: QuantumCircuit, last: Collection[int]) -> Wired:
    """The steps of a bound circuit; the final measurements into the classical bits `last` are left out."""
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    bit_of = {c: i for i, c in enumerate(circuit.clbits)}
    left: dict[int, int] = {}
    for instruction in circuit.data:
        if instruction.name == "measure":
            left[bit_of[instruction.clbits[0]]] = left.get(bit_of[instruction.clbits[0]], 0) + 1
    written = dict.fromkeys(left, 0)
    steps: list[Step] = []
    records: dict[tuple[int, int], int] = {}
    width = circuit.num_qubits
    for instruction in circuit.data:
        wires = tuple(index_of[q] for q in instruction.qubits)
        if instruction.name in ("barrier", "delay") or not wires:
            continue
        if instruction.name == "measure":
            clbit = bit_of[instruction.clbits[0]]
            written[clbit] += 1
            if clbit in last and written[clbit] == left[clbit]:
                continue
            records[clbit, written[clbit]] = width
            steps.append(Step(_CX, (wires[0], width)))
            width += 1
        elif instruction.name == "reset":
            steps.append(Step(_SWAP, (wires[0], width)))
            width += 1
        else:
            steps.append(Step(ideal.operation_matrix(instruction.operation), wires))
    return Wired(steps, width, records)


def parts(pair: Pair) -> list[Pair]:
    """The pair in pieces that share no wire, the narrowest first; pieces without any input or output are left out."""
    shift = pair.ours.width
    parent = list(range(shift + pair.theirs.width))

    def root(wire: int) -> int:
        while parent[wire] != wire:
            parent[wire] = parent[parent[wire]]
            wire = parent[wire]
        return wire

    def join(wires: Iterable[int]) -> None:
        first, *others = wires
        for other in others:
            parent[root(other)] = root(first)

    for ours, theirs in (*pair.inputs, *pair.outputs):
        join((ours, shift + theirs))
    for step in pair.ours.steps:
        join(step.wires)
    for step in pair.theirs.steps:
        join([shift + wire for wire in step.wires])
    found: list[Pair] = []
    for here in sorted({root(ours) for ours, _ in (*pair.inputs, *pair.outputs)}):
        # wires that are given a state come first, those that start in |0> behind them
        sides: list[dict[int, int]] = []
        for side, offset, width in ((0, 0, pair.ours.width), (1, shift, pair.theirs.width)):
            given = [wires[side] for wires in pair.inputs if root(offset + wires[side]) == here]
            others = [w for w in range(width) if root(offset + w) == here and w not in set(given)]
            sides.append({wire: i for i, wire in enumerate([*given, *others])})
        pieces = [_piece(w, place) for w, place in zip((pair.ours, pair.theirs), sides)]
        links: list[list[tuple[int, int]]] = [
            [(sides[0][a], sides[1][b]) for a, b in joined if a in sides[0]] for joined in (pair.inputs, pair.outputs)
        ]
        found.append(Pair(pieces[0], pieces[1], *links))
    return sorted(found, key=lambda p: p.width)


def _piece(whole: Wired, place: dict[int, int]) -> Wired:
    steps = [Step(s.matrix, tuple(place[w] for w in s.wires)) for s in whole.steps if s.wires[0] in place]
    return Wired(steps, len(place), {key: place[wire] for key, wire in whole.records.items() if wire in place})


def fused(steps: Sequence[Step]) -> list[Step]:
    """The same with one-wire unitaries merged into what follows, and neighbours on the same two wires into one."""
    out: list[Step | None] = []  # None where a step has moved into another
    latest: dict[int, int] = {}  # wire -> index of the last step on it
    for step in steps:
        matrix, wires = step.matrix, step.wires
        at = latest.get(wires[0], -1)
        before = out[at] if at >= 0 and all(latest.get(w) == at for w in wires) and len(wires) <= 2 else None
        if before is not None and len(before.wires) <= 2:
            out[at] = Step(_widened(matrix, wires, before.wires) @ before.matrix, before.wires)
            continue
        if len(wires) == 2:
            for w in wires:
                k = latest.get(w, -1)
                alone = out[k] if k >= 0 else None
                if alone is not None and alone.wires == (w,):
                    matrix = matrix @ _widened(alone.matrix, (w,), wires)
                    out[k] = None
        for w in wires:
            latest[w] = len(out)
        out.append(Step(matrix, wires))
    return [step for step in out if step is not None]


def _widened(matrix: NDArray[np.complex128], wires: tuple[int, ...], onto: tuple[int, ...]) -> NDArray[np.complex128]:
    """A unitary on one or two wires as one on `onto`, which holds them."""
    if wires == onto:
        return matrix
    if len(wires) == 2:
        return matrix[np.ix_(_EXCHANGED, _EXCHANGED)]
    factors = (np.eye(2), matrix) if wires[0] == onto[0] else (matrix, np.eye(2))
    return np.asarray(np.kron(*factors), dtype=np.complex128)
