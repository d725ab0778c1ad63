"""Matrices of a circuit's blocks on torch, and what each of their slots can do to them, many blocks at a time.

Blocks of one size are padded to the same number of elements, a power of two; products go up a binary tree. Down the
same tree run the products of everything before and of everything behind each element, so that a derivative of the
whole block is (behind) (element's derivative) (before).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from qtrain.simulators.torch_blocks import Block

Tensor = torch.Tensor


class Turns(NamedTuple):
    """cos and sin of f times the angles, [row, slot]."""

    cos: Tensor
    sin: Tensor


class Group(NamedTuple):
    """Blocks whose matrices are made together.

    Attributes:
        members: their positions in the circuit.
        per_row: whether each row of the batch has matrices of its own.
        slots: [block, element]; 0 where an element is padding.
        fixed, cosine, sine: [block, element, d, d].
        counts: slots of each block: its first elements.
    """

    members: tuple[int, ...]
    per_row: bool
    slots: Tensor
    fixed: Tensor
    cosine: Tensor
    sine: Tensor
    counts: tuple[int, ...]


class Tree(NamedTuple):
    """Elements and the products of neighbours, level by level: [..., block, 2^level, d, d], the elements last."""

    levels: tuple[Tensor, ...]

    @property
    def totals(self) -> Tensor:
        """[..., block, d, d]."""
        return self.levels[0].squeeze(-3)


def grouped(
    blocks: Sequence[Block], per_row: Sequence[bool], device: torch.device, dtype: torch.dtype
) -> tuple[Group, ...]:
    """The blocks sorted by size, number of elements and whether rows differ."""
    kinds: dict[tuple[int, int, bool], list[int]] = {}
    for number, block in enumerate(blocks):
        elements = 1 << (len(block.fixed) - 1).bit_length()
        kinds.setdefault((block.fixed.shape[-1], elements, bool(per_row[number])), []).append(number)
    return tuple(
        _group([blocks[i] for i in members], tuple(members), elements, size, rows, device, dtype)
        for (size, elements, rows), members in sorted(kinds.items())
    )


def _group(
    blocks: Sequence[Block],
    members: tuple[int, ...],
    elements: int,
    size: int,
    per_row: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> Group:
    shape = (len(blocks), elements)
    slots = np.zeros(shape, dtype=np.int64)
    parts = np.zeros((3, *shape, size, size), dtype=np.result_type(*(b.fixed.dtype for b in blocks)))
    parts[0] = np.eye(size)
    for i, block in enumerate(blocks):
        slots[i, : len(block.slots)] = block.slots
        parts[:, i, : len(block.fixed)] = block.fixed, block.cosine, block.sine
    fixed, cosine, sine = (torch.from_numpy(part).to(device=device, dtype=dtype) for part in parts)
    return Group(
        members,
        per_row,
        torch.from_numpy(slots).to(device),
        fixed,
        cosine,
        sine,
        tuple(len(block.slots) for block in blocks),
    )


def tree(group: Group, turns: Turns) -> Tree:
    """Every product that a group's matrices are made of; with a first axis [row] where the group is per row."""
    cos, sin = _of_elements(group, turns)
    levels = [group.fixed + cos * group.cosine + sin * group.sine]
    while levels[0].shape[-3] > 1:
        newest = levels[0]
        levels.insert(0, newest[..., 1::2, :, :] @ newest[..., 0::2, :, :])
    return Tree(tuple(levels))


def surroundings(products: Tree) -> tuple[Tensor, Tensor]:
    """([..., block, element, d, d] of all that comes before an element, the same of all that comes behind)."""
    top = products.levels[0]
    before = behind = torch.eye(top.shape[-1], dtype=top.dtype, device=top.device).expand(top.shape)
    for level in products.levels[1:]:
        early, late = level[..., 0::2, :, :], level[..., 1::2, :, :]
        before = torch.stack([before, early @ before], dim=-3).flatten(-4, -3)
        behind = torch.stack([behind @ late, behind], dim=-3).flatten(-4, -3)
    return before, behind


def quarter_turned(group: Group, turns: Turns) -> Tensor:
    """[..., block, element, d, d]: derivatives of the elements by f times their angle."""
    cos, sin = _of_elements(group, turns)
    return cos * group.sine - sin * group.cosine


def turning(group: Group, turns: Turns) -> Tensor:
    """[..., block, element, d, d]: the parts of the elements that turn with the angle."""
    cos, sin = _of_elements(group, turns)
    return cos * group.cosine + sin * group.sine


def _of_elements(group: Group, turns: Turns) -> tuple[Tensor, Tensor]:
    """cos and sin as [..., block, element, 1, 1]."""
    cos, sin = (
        (part if group.per_row else part[0])[..., group.slots.flatten()].unflatten(-1, group.slots.shape)[
            ..., None, None
        ]
        for part in turns
    )
    return cos, sin
