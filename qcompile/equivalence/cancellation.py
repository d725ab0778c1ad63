"""Cancels what two circuits have in common from both ends, so that only where they differ is left to compare.

From the front: what was done so far on one side is what was done on the other, up to a relabelling of wires and one
unitary a wire. A few gates of both sides on the same wires are taken off together when that stays so: a block and the
block that it became, a SWAP alone, a few blocks in another order. From the back the same with the inverse circuits. A
circuit of any width whose routing is right cancels to nothing; a wrong gate keeps its surroundings from cancelling, and
what is left is small enough to simulate. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qcompile import ideal
from qcompile.equivalence.pair import Pair, Step, Wired

Unitary = NDArray[np.complex128]

WIDEST = 6  # wires of gates that are taken off together
_LONGEST = 24  # gates of one side that are tried together
_TOLERANCE = 1e-9  # of entries; each piece taken off may add as much to the difference of what is left

_PAULIS = tuple(ideal.gate_matrix(name) for name in "xyz")


def reduced(pair: Pair) -> Pair:
    """A pair that is equal if and only if this one is, with what cancels taken off both ends.

    Unchanged where a reset throws something away: what may happen to that is not followed here.
    """
    if len(pair.outputs) < pair.ours.width:
        return pair
    front = _from_the_front(pair)
    return _inverted(_from_the_front(_inverted(front)))


def _inverted(pair: Pair) -> Pair:
    ours, theirs = (
        Wired([Step(s.matrix.conj().T, s.wires) for s in reversed(side.steps)], side.width, side.records)
        for side in (pair.ours, pair.theirs)
    )
    return Pair(ours, theirs, pair.outputs, pair.inputs)


def _from_the_front(pair: Pair) -> Pair:
    width = pair.width
    place = dict(pair.inputs)  # wire of ours -> wire of theirs
    for ours, theirs in pair.outputs:  # what starts in |0> on both sides: an outcome with the same outcome
        if ours not in place and theirs not in place.values():
            place[ours] = theirs
    free = [w for w in range(width) if w not in set(place.values())]
    place |= dict(zip((w for w in range(width) if w not in place), free))
    peeler = _Peeler(_Front(pair.ours.steps, width), _Front(pair.theirs.steps, width), place)
    peeler.run()
    touched = {w for k in peeler.ours.done for w in peeler.ours.nodes[k].wires}  # no longer in |0>
    given = sorted(touched.union(wire for wire, _ in pair.inputs))
    turned = [Step(peeler.turns[w], (peeler.place[w],)) for w in sorted(peeler.turns)]
    return Pair(
        Wired(peeler.ours.left(), width, pair.ours.records),
        Wired([*turned, *peeler.theirs.left()], width, pair.theirs.records),
        [(wire, peeler.place[wire]) for wire in given],
        pair.outputs,
    )


class _Match(NamedTuple):
    """Nodes of both sides that go together, what they leave on each wire, and where each wire goes."""

    ours: Sequence[int]
    theirs: Sequence[int]
    turns: dict[int, Unitary]
    place: dict[int, int]


class _Front:
    """One circuit, worked off from its front.

    Nodes on a wire that commute with the same Pauli there form a stage and are unordered; a node waits for the earlier
    stages of all its wires.
    """

    def __init__(self, steps: Sequence[Step], width: int) -> None:
        self.nodes = _runs(steps)
        self.stages: list[list[list[int]]] = [[] for _ in range(width)]
        axes: list[set[int]] = [set() for _ in range(width)]
        for k, node in enumerate(self.nodes):
            for side, wire in enumerate(node.wires):
                own = _axes(node, side)
                if self.stages[wire] and axes[wire] & own:
                    axes[wire] &= own
                    self.stages[wire][-1].append(k)
                else:
                    axes[wire] = own
                    self.stages[wire].append([k])
        self.current = [0] * width
        self.done: set[int] = set()

    def left(self) -> list[Step]:
        """What is still to be done, in time order."""
        return [node for k, node in enumerate(self.nodes) if k not in self.done]

    def waiting(self, wire: int, done: set[int] | None = None) -> list[int]:
        """Nodes of the first stage of a wire that is not done."""
        finished = self.done if done is None else done
        for stage in self.stages[wire][self.current[wire] :]:
            rest = [k for k in stage if k not in finished]
            if rest:
                return rest
        return []

    def is_ready(self, k: int, done: set[int] | None = None) -> bool:
        """Whether a node can be done next."""
        return all(k in self.waiting(wire, done) for wire in self.nodes[k].wires)

    def within(self, wires: Sequence[int]) -> list[int]:
        """Nodes on these wires alone that can be done before anything else, in an order in which they can be."""
        inside, done = set(wires), set(self.done)
        found: list[int] = []
        progress = True
        while progress and len(found) < _LONGEST:
            progress = False
            for wire in wires:
                for k in self.waiting(wire, done):
                    if inside.issuperset(self.nodes[k].wires) and self.is_ready(k, done):
                        done.add(k)
                        found.append(k)
                        progress = True
        return found

    def take(self, nodes: Sequence[int]) -> None:
        """Marks nodes as done."""
        self.done.update(nodes)
        for wire in {w for k in nodes for w in self.nodes[k].wires}:
            stages = self.stages[wire]
            while self.current[wire] < len(stages) and self.done.issuperset(stages[self.current[wire]]):
                self.current[wire] += 1


class _Peeler:
    """Invariant: what `theirs` has done = (turns on each wire) after relabelling after what `ours` has done."""

    def __init__(self, ours: _Front, theirs: _Front, place: dict[int, int]) -> None:
        self.ours, self.theirs, self.place = ours, theirs, place
        self.home = {theirs: ours for ours, theirs in place.items()}
        self.turns: dict[int, Unitary] = {}

    def run(self) -> None:
        """Takes off whatever can be: pairs of wires first, more only where no pair goes on."""
        self._take_single()
        size = 2
        while size <= WIDEST:
            matched = False
            for wires in self._places(size):
                match = self._match(wires)
                if match is not None:
                    self._apply(match)
                    self._take_single()
                    matched = True
                    if size > 2:
                        break
            size = 2 if matched else size + 1

    def _take_single(self) -> None:
        """One-wire nodes always go: what they do is part of the turn of their wire."""
        for wire in sorted(self.place):
            there = self.place[wire]
            turn = self.turns.get(wire)
            for front, at in ((self.ours, wire), (self.theirs, there)):
                while single := [k for k in front.waiting(at) if len(front.nodes[k].wires) == 1]:
                    for k in single:
                        matrix = front.nodes[k].matrix
                        before = np.eye(2, dtype=np.complex128) if turn is None else turn
                        turn = before @ matrix.conj().T if front is self.ours else matrix @ before
                    front.take(single)
            if turn is not None:
                self.turns[wire] = turn

    def _places(self, size: int) -> list[tuple[int, ...]]:
        """Sets of wires of ours, `size` at most, around each node that is at the front of either side."""
        found: dict[tuple[int, ...], None] = {}
        for wire in sorted(self.place):
            for front, wires in self._fronts(wire):
                del front
                chosen = set(wires)
                while len(chosen) < size:
                    more = [w for inner in sorted(chosen) for _, w in self._fronts(inner) if not chosen.issuperset(w)]
                    if not more:
                        break
                    chosen.update(min(more, key=lambda w: (len(chosen.union(w)), w)))
                if len(chosen) <= size:
                    found[tuple(sorted(chosen))] = None
        return list(found)

    def _fronts(self, wire: int) -> Iterator[tuple[_Front, tuple[int, ...]]]:
        """Nodes of either side that wait on a wire of ours, as wires of ours."""
        for k in self.ours.waiting(wire):
            yield self.ours, tuple(sorted(self.ours.nodes[k].wires))
        for k in self.theirs.waiting(self.place[wire]):
            yield self.theirs, tuple(sorted(self.home[w] for w in self.theirs.nodes[k].wires))

    def _match(self, wires: tuple[int, ...]) -> _Match | None:
        """Some first nodes of both sides on these wires that do the same, up to turns and relabelling."""
        there = [self.place[w] for w in wires]
        ours, theirs = self.ours.within(wires), self.theirs.within(there)
        if not ours and not theirs:
            return None
        size = 2 ** len(wires)
        begin: Unitary = np.eye(size, dtype=np.complex128)
        for i, wire in enumerate(wires):
            if wire in self.turns:
                begin = _applied(self.turns[wire], (i,), begin)
        left = [np.eye(size, dtype=np.complex128)]
        for k in ours:
            left.append(
                _applied(self.ours.nodes[k].matrix, [wires.index(w) for w in self.ours.nodes[k].wires], left[-1])
            )
        right = [begin]
        for k in theirs:
            node = self.theirs.nodes[k]
            right.append(_applied(node.matrix, [there.index(w) for w in node.wires], right[-1]))
        ends = [i for i in range(len(left)) if i == len(ours) or len(self.ours.nodes[ours[i]].wires) > 1]
        for j in range(len(right) - 1, -1, -1):
            for i in reversed(ends):
                if i + j == 0 or (len(wires) > 2 and i < len(ours) and j < len(theirs)):
                    continue  # of many wires, all there is on one side or the other: each try costs a millisecond
                found = _local(right[j] @ left[i].conj().T)
                if found is not None:
                    turns, goes = found
                    return _Match(
                        ours[:i], theirs[:j], {w: turns[goes[n]] for n, w in enumerate(wires)},
                        {w: there[goes[n]] for n, w in enumerate(wires)},
                    )  # fmt: skip
        return None

    def _apply(self, match: _Match) -> None:
        self.ours.take(match.ours)
        self.theirs.take(match.theirs)
        self.turns |= match.turns
        self.place |= match.place
        self.home |= {theirs: ours for ours, theirs in match.place.items()}


def _runs(steps: Sequence[Step]) -> list[Step]:
    """Neighbours on the same two wires, with the one-wire steps between them, as one step each."""
    out: list[Step | None] = []
    latest: dict[int, int] = {}  # wire -> its last step of several wires
    since: dict[int, list[int]] = {}  # wire -> one-wire steps behind that
    for step in steps:
        if len(step.wires) == 1:
            since.setdefault(step.wires[0], []).append(len(out))
            out.append(step)
            continue
        a = step.wires[0]
        at = latest.get(a, -1)
        before = out[at] if at >= 0 else None
        again = before is not None and len(step.wires) == 2 and set(before.wires) == set(step.wires)
        if before is not None and again and latest[step.wires[1]] == at:
            matrix = before.matrix
            for w in step.wires:
                for k in since.pop(w, []):
                    single = out[k]
                    assert single is not None
                    matrix = _applied(single.matrix, (before.wires.index(w),), matrix)
                    out[k] = None
            matrix = _applied(step.matrix, [before.wires.index(w) for w in step.wires], matrix)
            out[at] = None
            out.append(Step(matrix, before.wires))
        else:
            out.append(step)
        for w in step.wires:
            latest[w] = len(out) - 1
            since.pop(w, None)
    return [step for step in out if step is not None]


def _axes(node: Step, side: int) -> set[int]:
    """Which of X, Y, Z on one wire a node commutes with."""
    return {
        number
        for number, p in enumerate(_PAULIS)
        if np.abs(_applied(p, (side,), node.matrix) - _applied(p.T, (side,), node.matrix.T).T).max() < _TOLERANCE
    }


def _applied(matrix: Unitary, wires: Sequence[int], onto: Unitary) -> Unitary:
    """(matrix on some wires) @ onto."""
    count, own = int(onto.shape[0]).bit_length() - 1, len(wires)
    axes = [count - 1 - wire for wire in reversed(wires)]
    tensor = onto.reshape([2] * count + [-1])
    moved = np.tensordot(matrix.reshape([2] * (2 * own)), tensor, axes=(list(range(own, 2 * own)), axes))
    return np.asarray(np.moveaxis(moved, list(range(own)), axes).reshape(onto.shape), dtype=np.complex128)


def _local(matrix: Unitary) -> tuple[list[Unitary], list[int]] | None:
    """(turn of each wire, where each wire goes) of a unitary that relabels wires and then turns each; else None."""
    count = int(matrix.shape[0]).bit_length() - 1
    turns: dict[int, Unitary] = {}
    goes: list[int] = []
    for i in range(count):
        images = [_applied(p.T, (i,), matrix.T).T @ matrix.conj().T for p in (_PAULIS[0], _PAULIS[2])]
        for j in range(count):
            if j in turns:
                continue
            x, z = (_on_wire(image, j, count) for image in images)
            if min(np.linalg.norm(x), np.linalg.norm(z)) ** 2 > 2 - _TOLERANCE:
                up = (np.eye(2) + z)[:, int(np.argmax(np.abs(np.diag(np.eye(2) + z))))]
                up = up / np.linalg.norm(up)
                turns[j] = np.stack([up, x @ up], axis=1)
                goes.append(j)
                break
        else:
            return None
    rebuilt = np.eye(len(matrix), dtype=np.complex128)
    for j in range(count):
        rebuilt = _applied(turns[j], (j,), rebuilt)
    index = np.arange(len(matrix))
    moved = sum(((index >> i) & 1) << goes[i] for i in range(count))  # basis state i goes here before it is turned
    rebuilt = rebuilt[:, moved]
    overlap = np.vdot(rebuilt, matrix)
    if np.abs(matrix - overlap / abs(overlap) * rebuilt).max() > _TOLERANCE:
        return None
    return [turns[j] for j in range(count)], goes


def _on_wire(operator: Unitary, wire: int, count: int) -> Unitary:
    """Partial trace onto one wire, divided by the dimension of the others."""
    high, low = 2 ** (count - 1 - wire), 2**wire
    tensor = operator.reshape(high, 2, low, high, 2, low)
    return np.asarray(np.einsum("halhbl->ab", tensor)) / (high * low)
