"""Forward and backward passes of a block circuit on torch: batched, for unitaries and noisy maps alike.

The forward pass multiplies block matrices onto a product state. The backward pass carries whatever is paired with the
state (the observable itself in the Pauli basis, twice the observable times the state of a state vector) and leaves, at
each block, the outer product of both over the block's qubits; that is the derivative by the block's matrix, and its
product with what each slot does to the matrix is the derivative by the slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from qtrain.simulators.torch_axes import BATCH, BRANCH, Named
from qtrain.simulators.torch_blocks import BlockCircuit
from qtrain.simulators.torch_products import Group, Turns, grouped, quarter_turned, surroundings, tree

Tensor = torch.Tensor
Mask = NDArray[np.bool_]
Part = Callable[[Group, Turns], Tensor]


class Layout(NamedTuple):
    """How the matrices of one call are made: blocks whose angles are the same in every row have one matrix for all."""

    starts: tuple[Group, ...]
    body: tuple[Group, ...]
    per_row: tuple[bool, ...]
    row_bytes: int
    """Of the matrices that each row has of its own: elements, products and what is beside them."""


class TorchCircuit:
    """A block circuit's constants on one torch device, in one precision."""

    def __init__(self, circuit: BlockCircuit, device: torch.device, dtype: torch.dtype) -> None:
        self.circuit = circuit
        self.device, self.dtype = device, dtype
        self.real = dtype.to_real()
        self.origin = torch.from_numpy(circuit.origin).to(device=device, dtype=dtype)
        order = [slot for block in (*circuit.body, *circuit.starts) for slot in block.slots]
        self.slot_order = torch.tensor(order, dtype=torch.int64).to(device)
        self.from_top = tuple(range(circuit.num_qubits - 1, -1, -1))
        self._layouts: dict[tuple[bool, ...], Layout] = {}

    @property
    def state_bytes(self) -> int:
        """Of one row's state."""
        return int(self.circuit.base**self.circuit.num_qubits * self.dtype.itemsize)

    def layout(self, angles: NDArray[np.float64]) -> Layout:
        """The layout for angles [batch, slot], made once for each pattern of blocks that differ from row to row."""
        uniform = np.all(angles == angles[:1], axis=0)
        per_row = tuple(not uniform[list(block.slots)].all() for block in self.circuit.body)
        known = self._layouts.get(per_row)
        if known is None:
            starts = grouped(self.circuit.starts, [True] * len(self.circuit.starts), self.device, self.dtype)
            body = grouped(self.circuit.body, per_row, self.device, self.dtype)
            elements = sum(group.fixed.numel() for group in (*starts, *body) if group.per_row)
            known = self._layouts[per_row] = Layout(starts, body, per_row, 8 * elements * self.dtype.itemsize)
        return known


class BoundCircuit:
    """A circuit with numbers in it: angles [row, slot], float64, on the circuit's device."""

    def __init__(self, circuit: TorchCircuit, layout: Layout, angles: Tensor) -> None:
        self.circuit, self.layout = circuit, layout
        self.rows = len(angles)
        scaled = (angles if angles.shape[1] else angles.new_zeros(self.rows, 1)) * circuit.circuit.factor
        self.turns = Turns(scaled.cos().to(circuit.real), scaled.sin().to(circuit.real))
        self.trees = [tree(group, self.turns) for group in (*layout.starts, *layout.body)]
        starts: dict[int, Tensor] = {}
        maps: dict[int, Tensor] = {}
        for number, (group, products) in enumerate(zip((*layout.starts, *layout.body), self.trees)):
            alone = number < len(layout.starts)
            for i, member in enumerate(group.members):
                total = products.totals[..., i, :, :]
                if alone:
                    starts[member] = total @ circuit.origin
                else:
                    maps[member] = total
        self.starts = [starts[q] for q in range(len(starts))]
        self.maps = [maps[number] for number in range(len(maps))]
        self.from_the_top = ((BATCH,), circuit.from_top)
        self._kept: list[Named] = []
        self._stride = 1

    def beginning(self) -> Named:
        """The product state that the body starts from."""
        return self.named(product([self.starts[q] for q in self.circuit.from_top]), (BATCH,))

    def named(self, tensor: Tensor, front: tuple[int, ...]) -> Named:
        """A tensor with an axis for each of `front` and one for all qubits, the last qubit first."""
        top, base = self.circuit.from_top, self.circuit.circuit.base
        return Named(tensor, (*front, *top), (*tensor.shape[: len(front)], *(base for _ in top)))

    def applied(self, number: int, state: Named) -> tuple[Named, Named]:
        """(the state as the block met it, the state behind it)."""
        qubits, matrix = self.circuit.circuit.body[number].qubits, self.maps[number]
        if matrix.ndim == 2:
            tensor, order = state.arranged(qubits, state.others(qubits))
        else:
            tensor, order = state.arranged((BATCH,), qubits, state.others((BATCH, *qubits)))
        return state.like(tensor, order), state.like(matrix @ tensor, order)

    def run(self, hold: int = 0) -> Named:
        """The state behind the whole circuit.

        hold: about as many states on the way are kept for `states_before`; 0: none.
        """
        count = len(self.maps)
        if hold:
            fits = (s for s in range(1, count + 1) if -(-count // s) + (s if s > 1 else 0) <= hold)
            self._stride = next(fits, isqrt(count) + 1)
        state = self.beginning()
        for number in range(count):
            met, state = self.applied(number, state)
            if hold and number % self._stride == 0:
                self._kept.append(met)
        return state

    def states_before(self) -> Iterator[Named]:
        """The states in front of the blocks, from the last to the first, after `run` has held some.

        Where it did not hold them all, the others are computed again from those.
        """
        count = len(self.maps)
        kept = list(self._kept)
        while kept:
            state = kept.pop()
            start = len(kept) * self._stride
            held = [state]
            for number in range(start, min(start + self._stride, count) - 1):
                _, state = self.applied(number, state)
                held.append(state)
            while held:
                yield held.pop()

    def states_undone(self, final: Named, *, batch_first: bool) -> Iterator[Named]:
        """The same for unitary blocks: each is undone, nothing is held."""
        state = final
        for number in reversed(range(len(self.maps))):
            qubits, matrix = self.circuit.circuit.body[number].qubits, self.maps[number]
            if batch_first or matrix.ndim == 3:
                tensor, order = state.arranged((BATCH,), qubits, state.others((BATCH, *qubits)))
            else:
                tensor, order = state.arranged(qubits, state.others(qubits))
            state = state.like(_times(matrix.mH, tensor), order)
            yield state

    def derivatives(
        self, before: Iterator[Named], pulled: Named, parts: Sequence[Part] = (quarter_turned,), *, summed: bool = False
    ) -> Tensor:
        """[part, row, branch, slot]: real part of pulled^dagger (what the part of a slot's element makes of the state).

        Args:
            before: states in front of the blocks, from the last to the first.
            pulled: what is paired with the final state: axes BRANCH, qubits and, if rows differ, BATCH.
            parts: of the elements, see torch_products.py; the derivative by f times the angle, if not given.
            summed: over the rows, which `pulled` then tells apart: [part, 1, branch, slot], of one branch.
        """
        effects = self.effects(parts)
        count = len(self.maps)
        values: dict[int, Tensor] = {}
        for number, state in zip(reversed(range(count)), before):
            outer, pulled = self._meet(number, state, pulled, summed)
            values[number] = _paired(outer, effects[number], summed)
        outers = self._meet_starts(pulled)
        for qubit, outer in enumerate(outers):
            values[count + qubit] = _paired(outer, effects[count + qubit], summed)
        found = torch.cat([values[number] for number in range(len(values))], dim=-1)
        rows, branches, _, _ = found.shape
        out = found.new_zeros(len(parts), rows, branches, self.circuit.circuit.num_slots)
        return out.index_copy(3, self.circuit.slot_order, found.permute(2, 0, 1, 3))

    def effects(self, parts: Sequence[Part]) -> dict[int, Tensor]:
        """[..., part, slot, d, d] of each block, then of each start: what the parts of its slots make of its matrix."""
        out: dict[int, Tensor] = {}
        for number, group in enumerate((*self.layout.starts, *self.layout.body)):
            offset = len(self.maps) if number < len(self.layout.starts) else 0
            before, behind = surroundings(self.trees[number])
            whole = torch.stack([behind @ part(group, self.turns) @ before for part in parts], dim=-5)
            for i, member in enumerate(group.members):
                out[offset + member] = whole[..., i, : group.counts[i], :, :]
        return out

    def _meet(self, number: int, state: Named, pulled: Named, summed: bool) -> tuple[Tensor, Named]:
        """(outer products [row, branch, d, d] of pulled and state over the block's qubits, `pulled` before it)."""
        qubits, matrix = self.circuit.circuit.body[number].qubits, self.maps[number]
        rest = state.others((BATCH, *qubits))
        size = matrix.shape[-1]
        if matrix.ndim == 3 and BATCH not in pulled.order:
            pulled = self._for_each_row(pulled)
        if BATCH not in pulled.order:  # one observable for all rows
            right, _ = state.arranged((BATCH, *qubits), rest)
            left, order = pulled.arranged((BRANCH, *qubits), rest)
            outer = (left @ right.mH).unflatten(1, (self.rows, size)).unflatten(0, (-1, size)).permute(2, 0, 1, 3)
            return outer, pulled.like(_times(matrix.mH, left.unflatten(0, (-1, size))), order)
        if summed and matrix.ndim == 2:
            right, _ = state.arranged(qubits, (BATCH, *rest))
            left, order = pulled.arranged(qubits, (BATCH, BRANCH, *rest))
            return (left @ right.mH)[None, None], pulled.like(matrix.mH @ left, order)
        right, _ = state.arranged((BATCH,), qubits, rest)
        left, order = pulled.arranged((BATCH,), (BRANCH,), qubits, rest)
        outer = (left.flatten(1, 2) @ right.mH).unflatten(1, (-1, size))
        back = _times(matrix.mH, left) if matrix.ndim == 2 else matrix.mH[:, None] @ left
        return outer, pulled.like(back, order)

    def _meet_starts(self, pulled: Named) -> list[Tensor]:
        """For each qubit the same with its own start: [row, branch, d, d]."""
        if BATCH in pulled.order:
            whole, _ = pulled.arranged((BATCH,), (BRANCH,), self.circuit.from_top)
        else:
            whole, _ = pulled.arranged((BRANCH,), self.circuit.from_top)
        vectors = [self.starts[q] for q in self.circuit.from_top]
        alone = _alone(whole, vectors)
        origin = self.circuit.origin.conj()
        return [left[..., None] * origin for left in reversed(alone)]

    def _for_each_row(self, pulled: Named) -> Named:
        tensor = pulled.tensor.reshape(pulled.lengths).expand(self.rows, *pulled.lengths)
        return Named(tensor, (BATCH, *pulled.order), (self.rows, *pulled.lengths))


def product(vectors: Sequence[Tensor]) -> Tensor:
    """The product state of vectors [..., base]; the first one is the most significant digit."""
    level = list(vectors)
    while len(level) > 1:
        pairs = [(a[..., :, None] * b[..., None, :]).flatten(-2) for a, b in zip(level[0::2], level[1::2])]
        level = pairs + level[2 * len(pairs) :]
    return level[0]


def _alone(whole: Tensor, vectors: Sequence[Tensor]) -> list[Tensor]:
    """For each vector [row, base] what is paired with it, [row, branch, base]: all others are contracted.

    whole: [row, branch, base^n], or [branch, base^n] if it is the same for all rows.
    """
    if len(vectors) == 1:
        return [whole if whole.ndim == 3 else whole.expand(len(vectors[0]), *whole.shape)]
    half = len(vectors) // 2
    first, second = product(vectors[:half]), product(vectors[half:])
    split = whole.unflatten(-1, (first.shape[-1], second.shape[-1]))
    rows = "r" if whole.ndim == 3 else ""
    upper = torch.einsum(f"{rows}mab,rb->rma", split, second.conj())
    lower = torch.einsum(f"{rows}mab,ra->rmb", split, first.conj())
    return [*_alone(upper, vectors[:half]), *_alone(lower, vectors[half:])]


def _times(matrix: Tensor, tensor: Tensor) -> Tensor:
    """One matrix [d, d], or one for each row [row, d, d], times [..., d, rest]."""
    if matrix.ndim == 3 or tensor.ndim == 2:
        return matrix @ tensor
    if tensor.shape[-1] == 1:
        return (tensor.squeeze(-1) @ matrix.mT).unsqueeze(-1)
    flat = tensor.flatten(0, -3)
    return torch.bmm(matrix.expand(len(flat), *matrix.shape), flat).reshape(tensor.shape)


def _paired(outer: Tensor, effects: Tensor, summed: bool) -> Tensor:
    """[row, branch, part, slot]: real part of the sum of conj(outer) times effects [..., part, slot, d, d].

    outer: [row, branch, d, d], where one row stands for all if the sum over rows was taken.
    """
    parts, slots = effects.shape[-4:-2]
    left, right = _reals(outer), _reals(effects).flatten(-3, -2)
    if right.ndim == 2:
        values = left @ right.mT
    elif summed:
        values = torch.einsum("rmx,rkx->mk", left, right)[None]
        return values.unflatten(-1, (parts, slots))
    else:
        values = left @ right.mT
    if summed and len(values) > 1:
        values = values.sum(0, keepdim=True)
    return values.unflatten(-1, (parts, slots))


def _reals(matrices: Tensor) -> Tensor:
    """[..., d, d] as real numbers [..., k]."""
    if matrices.is_complex():
        return torch.view_as_real(matrices.resolve_conj()).flatten(-3)
    return matrices.flatten(-2)
