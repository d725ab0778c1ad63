"""The order in which Pauli strings meet the blocks of a circuit on their way back to its start.

Blocks on other qubits commute, so every order that respects time on each qubit is the same physics. A sweep along the
chip that finishes one qubit after the other holds few of them at once, however long the circuit's light cones are: a
chain of 127 qubits and three layers is swept with about ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.simulators.propagation_blocks import Blocks

Integers = NDArray[np.int64]
String = tuple[int, ...]

_STARTS = 12  # qubits that a sweep is tried from


class Plan(NamedTuple):
    """How one string walks back; a place holds two bits of a packed string, and is used again for other qubits.

    Attributes:
        block: [step] blocks of its light cone.
        place: [step, 2] where the block's qubits are held.
        start: places of the string's own qubits.
        places: how many there are.
        width: the most qubits held at once: 4^width bounds the number of strings.
    """

    block: Integers
    place: Integers
    start: tuple[int, ...]
    places: int
    width: int


def joint_order(blocks: Blocks, strings: Sequence[String]) -> list[int]:
    """The blocks of the joint light cone in the order that holds the fewest qubits at once, of several starts tried.

    What a string's own light cone leaves of a good sweep is a good sweep for the string.

    Args:
        strings: qubits of each Z string, none empty.
    """
    cone = _Cone(blocks, strings)
    starts = [None, *cone.qubits[:: -(-len(cone.qubits) // _STARTS)]]
    best = cone.anywhere()
    least = cone.work(best)
    for rule in (0, 1):
        for start in starts:
            found = cone.sweep(start, rule)
            if cone.work(found) < least:
                best, least = found, cone.work(found)
    return best


def plan(blocks: Blocks, string: String, order: Sequence[int]) -> Plan:
    """The way of one string, by the joint order or by the next block that lets the fewest qubits in."""
    cone = _Cone(blocks, [string])
    restricted = [k for k in order if k in cone.behind]
    return _placed(blocks, string, min(restricted, cone.anywhere(), key=cone.work))


class _Cone:
    """The joint light cone of some strings; sets of blocks and qubits are the bits of integers."""

    def __init__(self, blocks: Blocks, strings: Sequence[String]) -> None:
        self.pair = [(int(a), int(b)) for a, b in blocks.pair]
        reach = {q for string in strings for q in string}
        stacks: dict[int, list[int]] = {}
        for k in range(len(self.pair) - 1, -1, -1):
            if not reach.isdisjoint(self.pair[k]):
                reach.update(self.pair[k])
                for q in self.pair[k]:
                    stacks.setdefault(q, []).append(k)
        self.qubits = sorted(stacks)
        self.stacks = {q: stacks[q][::-1] for q in self.qubits}
        self.first = {q: stack[0] for q, stack in self.stacks.items()}
        later: dict[int, list[int]] = {}
        for stack in self.stacks.values():
            for one, following in pairwise(stack):
                later.setdefault(one, []).append(following)
        self.behind: dict[int, int] = {}  # block -> itself and the blocks that must be met before it
        self.touched: dict[int, int] = {}  # block -> qubits of those
        for k in sorted({k for stack in self.stacks.values() for k in stack}, reverse=True):
            self.behind[k] = 1 << k
            self.touched[k] = sum(1 << q for q in self.pair[k])
            for j in later.get(k, ()):
                self.behind[k] |= self.behind[j]
                self.touched[k] |= self.touched[j]

    def anywhere(self) -> list[int]:
        """Blocks in the order in which that one comes next, of all, which lets the fewest qubits in."""
        stacks, order, held = self._stacks(), list[int](), 0
        while ready := {stack[-1] for stack in stacks.values() if stack}:
            held = self._take(min(sorted(ready), key=lambda k: self._growth(k, stacks, held)), stacks, held, order)
        return order

    def sweep(self, start: int | None, rule: int) -> list[int]:
        """Blocks in the order in which qubits are finished one by one, from `start`: next is the one that leaves the
        fewest held (rule 0), or that needs the fewest blocks (rule 1).
        """
        stacks, order, held = self._stacks(), list[int](), 0
        done, finished = 0, 0
        left = list(self.qubits)
        while left:
            chosen = start if start is not None and not order else self._next(left, held, done, finished, rule)
            wanted = self.behind[self.first[chosen]] & ~done
            done |= wanted
            while wanted:
                k = min(_bits(wanted), key=lambda k: self._growth(k, stacks, held))
                wanted &= ~(1 << k)
                held = self._take(k, stacks, held, order)
            finished = sum(1 << q for q, stack in stacks.items() if not stack)
            left = [q for q in left if not finished >> q & 1]
        return order

    def _stacks(self) -> dict[int, list[int]]:
        return {q: list(stack) for q, stack in self.stacks.items()}

    def _take(self, k: int, stacks: dict[int, list[int]], held: int, order: list[int]) -> int:
        """Meets a block; returns the qubits held afterwards."""
        order.append(k)
        for q in self.pair[k]:
            held |= 1 << q
            stacks[q].pop()
            if not stacks[q]:
                held &= ~(1 << q)
        return held

    def _next(self, left: list[int], held: int, done: int, finished: int, rule: int) -> int:
        def cost(q: int) -> tuple[int, int]:
            k = self.first[q]
            after = done | self.behind[k]
            live = held | (self.touched[k] & ~finished)
            kept = sum(not after >> self.first[x] & 1 for x in _bits(live))
            return (live.bit_count(), kept) if rule == 0 else ((self.behind[k] & ~done).bit_count(), kept)

        return min(left, key=cost)

    def _growth(self, k: int, stacks: dict[int, list[int]], held: int) -> tuple[int, int]:
        a, b = self.pair[k]
        if stacks[a][-1] != k or stacks[b][-1] != k:
            return (1 << 30, 0)  # something later comes first
        grown = sum(1 - (held >> q & 1) - (self.first[q] == k) for q in (a, b))
        return (grown, len(stacks[a]) + len(stacks[b]))

    def work(self, order: Sequence[int]) -> float:
        """Sum over the steps of 4^(qubits held)."""
        total = 0.0
        held: set[int] = set()
        for k in order:
            held.update(self.pair[k])
            total += 4.0 ** len(held)
            held.difference_update([q for q in self.pair[k] if self.first[q] == k])
        return total


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _placed(blocks: Blocks, string: String, order: Sequence[int]) -> Plan:
    at = {q: i for i, q in enumerate(string)}
    free: list[int] = []
    places = width = len(string)
    place = np.empty((len(order), 2), np.int64)
    for step, k in enumerate(order):
        pair = blocks.pair[k].tolist()
        for side, q in enumerate(pair):
            if q not in at:
                if not free:
                    free.append(places)
                    places += 1
                at[q] = free.pop()
            place[step, side] = at[q]
        width = max(width, len(at))
        free.extend(at.pop(q) for side, q in enumerate(pair) if blocks.begins[k, side])
    return Plan(np.array(order, np.int64), place, tuple(range(len(string))), places, width)
