"""What the router of nearly fitting circuits sees: blocks and fences in stages, also wire by wire for its kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qcompile.placement.couplings import Ints

_NONE = np.empty(0, np.int64)


class View(NamedTuple):
    """What routing sees of a circuit: two-qubit blocks, fences, and what must come before what.

    Attributes:
        num_qubits: virtual qubits.
        first, second: [node] virtual qubits of a block, in an order that the stages allow; -1, -1 for a fence.
        stage_first, stage_second: [node] number of the commuting group that a block belongs to on its first and on its
            second wire; on a wire, all nodes of a group come before any of a later one. Numbers may have gaps.
        fence_node, fence_wire, fence_stage: a row for each wire of each fence (barrier, measurement, ...): it runs when
            it is ready on all of its wires, wherever they are.
    """

    num_qubits: int
    first: Ints
    second: Ints
    stage_first: Ints
    stage_second: Ints
    fence_node: Ints = _NONE
    fence_wire: Ints = _NONE
    fence_stage: Ints = _NONE

    def backward(self) -> View:
        """The same circuit from its end: node k is node len - 1 - k here."""
        return View(
            self.num_qubits,
            np.ascontiguousarray(self.first[::-1]),
            np.ascontiguousarray(self.second[::-1]),
            -self.stage_first[::-1],
            -self.stage_second[::-1],
            len(self.first) - 1 - self.fence_node,
            self.fence_wire,
            -self.fence_stage,
        )

    def part(self, begin: int, end: int) -> View:
        """Nodes begin to end - 1 alone."""
        inside = (self.fence_node >= begin) & (self.fence_node < end)
        return View(
            self.num_qubits,
            self.first[begin:end],
            self.second[begin:end],
            self.stage_first[begin:end],
            self.stage_second[begin:end],
            self.fence_node[inside] - begin,
            self.fence_wire[inside],
            self.fence_stage[inside],
        )

    @property
    def blocks(self) -> Ints:
        """Nodes that are no fences."""
        return np.flatnonzero(self.first >= 0)


class Wires(NamedTuple):
    """A view, wire by wire. Groups are numbered from 0 without gaps; group g of wire w is number begins[w] + g.

    Attributes:
        first, second, group_first, group_second: [node].
        members: nodes of all groups, one after another, program order inside a group.
        starts: [group + 1] in `members`. begins: [wire + 1].
        fence_offsets: [node + 1] in `fence_wires` and `fence_groups`.
    """

    first: Ints
    second: Ints
    group_first: Ints
    group_second: Ints
    members: Ints
    starts: Ints
    begins: Ints
    fence_offsets: Ints
    fence_wires: Ints
    fence_groups: Ints


def wires(view: View, places: int) -> Wires:
    """Groups of each wire; wires from `num_qubits` to `places` carry nothing."""
    count, blocks = len(view.first), view.blocks
    wire = np.concatenate([view.first[blocks], view.second[blocks], view.fence_wire])
    stage = np.concatenate([view.stage_first[blocks], view.stage_second[blocks], view.fence_stage])
    node = np.concatenate([blocks, blocks, view.fence_node])
    order = np.lexsort((node, stage, wire))
    opens = np.ones(len(wire), np.bool_)
    opens[1:] = (np.diff(wire[order]) != 0) | (np.diff(stage[order]) != 0)
    starts = np.append(np.flatnonzero(opens), len(wire))
    begins = np.searchsorted(wire[order][starts[:-1]], np.arange(places + 1))
    number = np.empty(len(wire), np.int64)
    number[order] = np.cumsum(opens) - 1
    number -= begins[wire]
    groups = np.full((2, count), -1, np.int64)
    groups[:, blocks] = number[: 2 * len(blocks)].reshape(2, -1)
    fences = np.argsort(view.fence_node, kind="stable")
    offsets = np.searchsorted(view.fence_node[fences], np.arange(count + 1))
    fence_groups = number[2 * len(blocks) :][fences]
    return Wires(
        view.first, view.second, groups[0].copy(), groups[1].copy(), node[order], starts, begins,
        offsets, view.fence_wire[fences], fence_groups,
    )  # fmt: skip
