"""Torch tensors whose axes are named by qubit, so that a map meets its qubits in one block of memory.

Axes are only ever moved in memory when a map needs them: a circuit's qubits stay in whatever order the last map left.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import torch

BATCH, BRANCH = -1, -2  # the other axes: rows of the batch; one state of several for each row
Order = tuple[int, ...]


class Named(NamedTuple):
    """A tensor with an axis for each name in `order`, in that order, of the lengths given; its own shape is free."""

    tensor: torch.Tensor
    order: Order
    lengths: tuple[int, ...]

    def length(self, axes: Order) -> int:
        """Numbers along some of its axes."""
        return prod(self.lengths[self.order.index(axis)] for axis in axes)

    def others(self, axes: Order) -> Order:
        """The axes that are not among these, in their order."""
        return tuple(axis for axis in self.order if axis not in axes)

    def arranged(self, *groups: Order) -> tuple[torch.Tensor, Order]:
        """The numbers with one axis for each group of names, contiguous, and the order of names that this makes."""
        target = tuple(axis for group in groups for axis in group)
        shape = [self.length(group) for group in groups]
        if target == self.order:
            return self.tensor.reshape(shape), target
        runs, moved = _runs(self.order, self.lengths, target)
        return self.tensor.reshape(runs).permute(moved).reshape(shape), target

    def like(self, tensor: torch.Tensor, order: Order) -> Named:
        """Other numbers under the same names, in another order."""
        return Named(tensor, order, tuple(self.lengths[self.order.index(axis)] for axis in order))


@lru_cache(maxsize=4096)
def _runs(order: Order, lengths: tuple[int, ...], target: Order) -> tuple[list[int], list[int]]:
    """Neighbouring axes that stay neighbours count as one: the shape in runs, and the permutation of the runs."""
    position = {axis: i for i, axis in enumerate(target)}
    shape: list[int] = []
    first: list[int] = []  # where each run begins in the target
    previous = -2
    for axis, length in zip(order, lengths):
        if position[axis] == previous + 1:
            shape[-1] *= length
        else:
            shape.append(length)
            first.append(position[axis])
        previous = position[axis]
    return shape, sorted(range(len(first)), key=first.__getitem__)
