"""The router of `kernels` once more, in plain Python: slow, short, for the tests to compare with."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from qcompile.routing.arrays import Blocks, Chip
from qcompile.routing.kernels import (
    AHEAD,
    DECAY,
    EXCHANGE,
    FADE,
    FLAT,
    IDLE,
    NEARNESS,
    TEMPERATURE,
    UPCOMING,
    WINDOW,
)

Item = tuple[int, int, int]
"""Node and the qubits of its wires, -1 and -1 for a fence; or -1 and the qubits of a SWAP."""


class Random:
    """The numbers of a splitmix64 sequence (Steele, Lea, Flood 2014)."""

    def __init__(self, state: int) -> None:
        self.state = state

    def uniform(self) -> float:
        """The next one in [0, 1)."""
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        z ^= z >> 31
        return (z >> 11) / 2**53


def distances(couplers: Sequence[tuple[int, int]], gate: Sequence[float], size: int) -> tuple[NDArray[np.float64], ...]:
    """[qubit, qubit] prices and hops; infinite between qubits that no path joins."""
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(size))
    graph.add_weighted_edges_from((a, b, 3 * price) for (a, b), price in zip(couplers, gate))
    swaps, hops, prices = (np.full((size, size), np.inf) for _ in range(3))
    for source in graph:
        for q, far in nx.single_source_dijkstra_path_length(graph, source).items():
            swaps[source, q] = far
        for q, far in nx.single_source_shortest_path_length(graph, source).items():
            hops[source, q] = far
    for (a, b), price in zip(couplers, gate):  # the coupler where they meet: one CX in place of three
        for u, v in ((a, b), (b, a)):
            prices = np.minimum(prices, swaps[:, u, None] + price + swaps[None, v, :])
    np.fill_diagonal(prices, 0)
    return prices, hops


@dataclass(eq=False)
class _Unit:
    """Neighbouring blocks and SWAPs on one coupler."""

    qubits: tuple[int, int]
    paid: int  # CX
    node: int | None  # what stands for its blocks: the last one, or the first symbolic one
    single: bool  # one block and nothing else
    swapped: bool  # a SWAP is last


class Routing(NamedTuple):
    """See `kernels.route`."""

    price: float
    items: list[Item]
    swaps: int
    pulses: int
    position: list[int]


class _Router:
    def __init__(
        self, blocks: Blocks, chip: Chip, layout: Sequence[int], knobs: Sequence[float], random: Random
    ) -> None:
        self.blocks, self.chip, self.knobs, self.random = blocks, chip, knobs, random
        self.distance = chip.flat if knobs[FLAT] > 0 else chip.distance
        cuts = [slice(a, b) for a, b in pairwise(blocks.offsets.tolist())]
        self.wires: list[list[int]] = [blocks.wires[cut].tolist() for cut in cuts]
        self.stages: list[list[int]] = [blocks.stages[cut].tolist() for cut in cuts]
        self.left: dict[int, set[int]] = {}  # flat stage -> its nodes that are not done
        for k, numbers in enumerate(self.stages):
            for s in numbers:
                self.left.setdefault(s, set()).add(k)
        self.position = [int(p) for p in layout]
        self.holder = {p: w for w, p in enumerate(self.position)}
        self.unit_of: dict[int, _Unit] = {}
        self.units: list[_Unit] = []
        self.clock = dict.fromkeys(range(len(chip.edge)), 0.0)
        self.total = 0.0
        self.items: list[Item] = []
        self.done: set[int] = set()
        self.queue = deque(k for k in range(len(self.wires)) if self.is_ready(k))
        self.front: list[int] = []  # ready blocks whose wires are apart
        self.stuck = 0  # SWAPs since a node ran
        self.last: frozenset[int] = frozenset()  # qubits of the last SWAP
        self.rate = sum(chip.idle[p] for p in self.position)
        self.limit = 3 * len(layout) + 20

    def run(self) -> None:
        """Routes everything."""
        while True:
            while self.queue:
                k = self.queue.popleft()
                p, q = self.places(k) if self.blocks.is_block[k] else (-1, -1)
                if p >= 0 and self.chip.edge[p, q] < 0:
                    self.front.append(k)
                    continue
                self.run_node(k, p, q)
                if p >= 0 and self.knobs[EXCHANGE] and self.price_of_exchange(k, p, q) < 0:
                    self.swap(p, q)
            if not self.front:
                return
            self.swap(*self.choose())

    def places(self, k: int) -> tuple[int, int]:
        """Qubits of a block's wires."""
        a, b = self.wires[k]
        return self.position[a], self.position[b]

    def is_ready(self, k: int) -> bool:
        """Whether every node of the stages before it is done."""
        for w, s in zip(self.wires[k], self.stages[k]):
            if s > self.blocks.stage_offsets[w] and self.left[s - 1]:
                return False
        return True

    def shared(self, p: int, q: int) -> _Unit | None:
        """The unit that something on both qubits would join."""
        unit = self.unit_of.get(p)
        return unit if unit is self.unit_of.get(q) else None

    def charge(self, p: int, q: int, more: int) -> None:
        """Pays for CX, and waits for them."""
        e = self.chip.edge[p, q]
        self.total += more * self.chip.gate[e]
        self.clock[p] = self.clock[q] = max(self.clock[p], self.clock[q]) + max(more, 0) * self.chip.time[e]

    def open_unit(self, p: int, q: int, unit: _Unit) -> None:
        self.units.append(unit)
        self.unit_of[p] = self.unit_of[q] = unit
        self.charge(p, q, unit.paid)

    def run_node(self, k: int, p: int, q: int) -> None:
        """Runs a node; what becomes ready by it is queued."""
        if p >= 0:
            self.run_block(k, p, q)
        else:
            at = [self.position[w] for w in self.wires[k]]
            latest = max((self.clock[place] for place in at), default=0.0)
            for place in at:
                self.unit_of.pop(place, None)
                self.clock[place] = latest
        self.items.append((k, p, q))
        self.done.add(k)
        self.stuck, self.last = 0, frozenset()
        for w, s in zip(self.wires[k], self.stages[k]):
            self.left[s].remove(k)
            if not self.left[s] and s + 1 < self.blocks.stage_offsets[w + 1]:
                self.queue.extend(m for m in sorted(self.left[s + 1]) if self.is_ready(m))

    def run_block(self, k: int, p: int, q: int) -> None:
        numeric, alone = bool(self.blocks.numeric[k]), int(self.blocks.price[k])
        unit = self.shared(p, q)
        if unit is None:
            self.open_unit(p, q, _Unit((p, q), alone, k, single=True, swapped=False))
            return
        before = unit.paid
        if unit.node is None:
            unit.paid, unit.node = int(self.blocks.swapped[k]), k
        else:
            unit.paid += alone
            if numeric and self.blocks.numeric[unit.node]:
                unit.paid = min(unit.paid, 3)
            if self.blocks.numeric[unit.node]:
                unit.node = k
        unit.single = unit.swapped = False
        self.charge(p, q, unit.paid - before)

    def price_of_swap(self, p: int, q: int) -> int | None:
        """CX that a SWAP costs more; None where it would only undo one."""
        unit = self.shared(p, q)
        if unit is None:
            return 3
        if unit.node is None or unit.swapped:
            return None
        if unit.single:
            return int(self.blocks.swapped[unit.node]) - unit.paid
        return min(3 - unit.paid, 1) if self.blocks.numeric[unit.node] else 1

    def price_of_exchange(self, k: int, p: int, q: int) -> float:
        """Price of a SWAP right behind a block, less what it brings the next partners of its wires closer."""
        more = self.price_of_swap(p, q)
        assert more is not None
        price = more * self.chip.gate[self.chip.edge[p, q]]
        for w, partner, here, there in zip(self.wires[k], self.wires[k][::-1], (p, q), (q, p)):
            mine = range(self.blocks.stage_offsets[w], self.blocks.stage_offsets[w + 1])
            upcoming = [m for s in mine for m in sorted(self.left[s]) if self.blocks.is_block[m]]
            for m in upcoming[:UPCOMING]:
                other = sum(self.wires[m]) - w
                if other != partner:
                    far = self.distance[:, self.position[other]]
                    price += self.knobs[FADE] ** abs(m - k) * (far[there] - far[here])
        return float(price)

    def pulls(self) -> list[tuple[int, int, float]]:
        """(wire, wire, weight): ready blocks, and a window of those behind them."""
        found, knobs = [], self.knobs
        undone = [k for k in range(len(self.wires)) if k not in self.done]
        for k in self.front:
            near = 1 + knobs[NEARNESS] / (self.chip.hops[self.places(k)] - 1)
            found.append((*self.wires[k], near * knobs[FADE] ** (k - undone[0])))
        later = [k for k in undone if k not in self.front and self.blocks.is_block[k]]
        weight = knobs[AHEAD]
        for k in later[: int(knobs[WINDOW])]:
            found.append((*self.wires[k], weight))
            weight *= knobs[DECAY]
        return found

    def choose(self) -> tuple[int, int]:
        """The SWAP of least price; where there is no progress for long, the nearest ready block walks together."""
        chip, knobs, terms, makespan = self.chip, self.knobs, self.pulls(), max(self.clock.values())
        best: tuple[float, tuple[int, int]] | None = None
        wires = list(dict.fromkeys(w for k in self.front for w in self.wires[k])) if self.stuck < self.limit else []
        for w in wires:
            p = self.position[w]
            for q in chip.near[chip.offsets[p] : chip.offsets[p + 1]].tolist():
                more = self.price_of_swap(p, q)
                if more is None or frozenset((p, q)) == self.last:
                    continue
                e = chip.edge[p, q]
                price = more * (chip.unit if knobs[FLAT] > 0 else chip.gate[e])
                other = self.holder.get(q)
                for moved, away, here, there in ((w, other, p, q), (other, w, q, p)):
                    for a, b, weight in reversed(terms):
                        if moved in (a, b) and away not in (a, b):
                            partner = self.position[a + b - moved]
                            price += weight * (self.distance[there, partner] - self.distance[here, partner])
                ends = max(self.clock[p], self.clock[q]) + max(more, 0) * chip.time[e]
                price += knobs[IDLE] * self.rate * max(ends - makespan, 0)
                price += knobs[TEMPERATURE] * chip.unit * self.random.uniform()
                if best is None or price < best[0]:
                    best = price, (p, q)
        if best is not None:
            return best[1]
        nearest = min(self.front, key=lambda k: chip.hops[self.places(k)])
        p, goal = self.places(nearest)
        nearer = [
            q for q in chip.near[chip.offsets[p] : chip.offsets[p + 1]] if chip.hops[q, goal] < chip.hops[p, goal]
        ]
        return p, min((int(q) for q in nearer), key=lambda q: chip.gate[chip.edge[p, q]])

    def swap(self, p: int, q: int) -> None:
        """Swaps two qubits; ready blocks that are together by it are queued."""
        self.items.append((-1, p, q))
        self.stuck += 1
        self.last = frozenset((p, q))
        unit = self.shared(p, q)
        if unit is None:
            self.open_unit(p, q, _Unit((p, q), 3, None, single=False, swapped=True))
        elif unit.node is None:  # the SWAP before goes too
            self.charge(p, q, -unit.paid)
            unit.paid = 0
            del self.unit_of[p], self.unit_of[q]
        else:
            before = unit.paid
            if unit.single:
                unit.paid = int(self.blocks.swapped[unit.node])
            else:
                unit.paid = min(unit.paid + 1, 3) if self.blocks.numeric[unit.node] else unit.paid + 1
            unit.single, unit.swapped = False, True
            self.charge(p, q, unit.paid - before)
        a, b = self.holder.pop(p, None), self.holder.pop(q, None)
        for wire, place in ((a, q), (b, p)):
            if wire is not None:
                self.position[wire], self.holder[place] = place, wire
        f = 0
        while f < len(self.front):
            k = self.front[f]
            if self.chip.edge[self.places(k)] >= 0:
                self.queue.append(k)
                self.front[f] = self.front[-1]
                self.front.pop()
            else:
                f += 1

    def closing_price(self) -> float:
        """The price with all waiting, everything as late as possible."""
        to_end = dict.fromkeys(self.clock, 0.0)
        busy = dict.fromkeys(self.clock, 0.0)
        for unit in reversed(self.units):
            p, q = unit.qubits
            length = unit.paid * self.chip.time[self.chip.edge[p, q]]
            to_end[p] = to_end[q] = max(to_end[p], to_end[q]) + length
            busy[p] += length
            busy[q] += length
        return float(self.total + sum(self.chip.idle[p] * (to_end[p] - busy[p]) for p in self.clock))


def route(
    blocks: Blocks, chip: Chip, layout: Sequence[int], knobs: Sequence[float], random: Random, room: int
) -> Routing | None:
    """Routes from a layout as `kernels.route` does: the same items at the same price; None where room ran out."""
    router = _Router(blocks, chip, layout, knobs, random)
    router.run()
    if len(router.items) + 1 >= room:
        return None
    swaps = sum(node < 0 for node, _, _ in router.items)
    pulses = sum(unit.paid for unit in router.units)
    return Routing(router.closing_price(), router.items, swaps, pulses, router.position)
