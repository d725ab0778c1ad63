"""Placement along a line: wires in a row on a long path of the chip, for circuits that are nearly a chain or a ring.

Qubits beside the path, dead ends of it, stand behind their neighbour on it. Of all stretches of the line that are long
enough, those with the best couplers and readouts are offered.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qcompile.blocks import BlockCircuit
from qcompile.device import Device
from qcompile.placement.couplings import couplings
from qcompile.placement.embedding import find
from qcompile.placement.subgraph import live_couplings
from qcompile.routing.arrays import Chip

_STEPS = 20_000  # of the search for one length of the path
_SHORTER = 0.96  # next length that is tried, beside the last one


@lru_cache(maxsize=64)
def line(device: Device) -> tuple[int, ...]:
    """All qubits of the largest live region, neighbours one after another wherever that was found."""
    qubits, host = live_couplings(device)
    path: list[int] = [0]
    length = host.size
    while length > 1:
        pattern = couplings(length, [(i, i + 1) for i in range(length - 1)])
        found = find(pattern, host, limit=1, seed=0, steps=_STEPS).rows
        if len(found):
            path = found[0].tolist()
            break
        length = min(length - 1, int(_SHORTER * length))
    behind: dict[int, list[int]] = {}
    left = [p for p in range(host.size) if p not in set(path)]
    placed = set(path)
    while left:  # a connected region: each round reaches at least one
        for p in list(left):
            near = [q for q in host.near[host.offsets[p] : host.offsets[p + 1]].tolist() if q in placed]
            if near:
                behind.setdefault(near[0], []).append(p)
                placed.add(p)
                left.remove(p)
    order: list[int] = []
    stack = path[::-1]
    while stack:
        p = stack.pop()
        order.append(int(qubits[p]))
        stack += behind.pop(p, ())[::-1]
    return tuple(order)


def line_layouts(circuit: BlockCircuit, device: Device, chip: Chip, count: int) -> list[tuple[int, ...]]:
    """Layouts [wire] on the best stretches of the line, in both directions; none overlaps a better one by half."""
    order = np.array(line(device), np.int64)
    width = circuit.num_qubits
    edge = chip.edge[order[:-1], order[1:]]
    step = np.where(edge >= 0, np.append(chip.gate, 0.0)[edge], 3 * chip.unit)
    price = _sums(step, width - 1) + _sums(chip.readout[order], width)
    rows = np.array(_row(circuit), np.int64)
    found: list[tuple[int, ...]] = []
    taken: list[int] = []
    for at in np.argsort(price, kind="stable").tolist():
        if len(found) >= count:
            break
        if any(abs(at - other) < max(width // 2, 1) for other in taken):
            continue
        taken.append(at)
        for stretch in (order[at : at + width], order[at : at + width][::-1]):
            layout = np.empty(width, np.int64)
            layout[rows] = stretch
            found.append(tuple(layout.tolist()))
    return found[:count]


def _sums(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Of each stretch of some length."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    return np.asarray(total[length:] - total[: len(total) - length], np.float64)


def _row(circuit: BlockCircuit) -> list[int]:
    """The wires in a row: each next one is the partner that the last one meets most, if one is left."""
    partners: dict[int, dict[int, int]] = {w: {} for w in range(circuit.num_qubits)}
    for (a, b), weight in circuit.interactions.items():
        partners[a][b] = partners[b][a] = weight
    free = set(partners)
    row: list[int] = []
    while free:
        near = [v for v in partners[row[-1]] if v in free] if row else []
        if near:
            here = partners[row[-1]]
            w = min(near, key=lambda v: (-here[v], sum(u in free for u in partners[v]), v))
        else:
            w = min(free, key=lambda v: (sum(u in free for u in partners[v]), v))
        row.append(w)
        free.discard(w)
    return row
