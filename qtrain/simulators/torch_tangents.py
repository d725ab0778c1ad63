"""Every shift of every slot of a state vector from one forward pass that carries the state and one tangent a slot.

A rotation by d more makes cos(d/2) psi + sin(d/2) phi of the state psi, where phi is what the rest of the circuit makes
of -i P psi. All later expectations follow from those of psi, of phi and between both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from qtrain.simulators.torch_axes import BATCH, BRANCH, Named
from qtrain.simulators.torch_passes import BoundCircuit, product
from qtrain.simulators.torch_products import quarter_turned

Tensor = torch.Tensor


def with_tangents(bound: BoundCircuit, wanted: Mapping[int, Sequence[int]]) -> tuple[Tensor, Tensor, list[int]]:
    """(final states [row, 2^n], tangents [slot, row, 2^n], the slots in that order).

    wanted: positions of the elements of each block, or, counted on from these, of each start.
    """
    circuit, top = bound.circuit, bound.circuit.from_top
    effects = bound.effects((quarter_turned,))
    count = len(bound.maps)
    slots: list[int] = []
    state = bound.beginning()
    size = circuit.circuit.base ** len(top)
    tensor = torch.zeros((0, bound.rows, size), dtype=circuit.dtype, device=circuit.device)
    for qubit, block in enumerate(circuit.circuit.starts):
        chosen = list(wanted.get(count + qubit, ()))
        if chosen:
            moved = (effects[count + qubit][:, 0, chosen] @ circuit.origin).transpose(0, 1)
            vectors = [moved if q == qubit else bound.starts[q].expand(len(chosen), -1, -1) for q in top]
            tensor = torch.cat([tensor, product(vectors)])
            slots += [block.slots[i] for i in chosen]
    branch = bound.named(tensor, (BRANCH, BATCH))
    for number, block in enumerate(circuit.circuit.body):
        matrix, chosen = bound.maps[number], list(wanted.get(number, ()))
        met, state = bound.applied(number, state)
        if matrix.ndim == 2:
            others = met.others(block.qubits)
            before, order = branch.arranged((BRANCH,), block.qubits, others)
            after = torch.bmm(matrix.expand(len(before), -1, -1), before)
            new = (effects[number][0, chosen].flatten(0, 1) @ met.tensor).unflatten(0, (len(chosen), len(matrix)))
        else:
            others = met.others((BATCH, *block.qubits))
            before, order = branch.arranged((BRANCH,), (BATCH,), block.qubits, others)
            after = matrix @ before
            new = effects[number][:, 0, chosen].transpose(0, 1) @ met.tensor
        slots += [block.slots[i] for i in chosen]
        lengths = (len(slots), *(branch.lengths[branch.order.index(axis)] for axis in order[1:]))
        branch = Named(torch.cat([after, new]), order, lengths)
    final, _ = state.arranged((BATCH,), top)
    tangents, _ = branch.arranged((BRANCH,), (BATCH,), top)
    return final, tangents, slots
