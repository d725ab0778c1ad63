"""Batched state vectors on torch: expectations, shifts and derivatives. complex128 or complex64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from qtrain.program import Program
from qtrain.simulators.pauli import Shifts
from qtrain.simulators.torch_axes import BATCH, BRANCH, Named
from qtrain.simulators.torch_blocks import state_vector_blocks
from qtrain.simulators.torch_passes import BoundCircuit
from qtrain.simulators.torch_simulation import Array, Place, Simulation, Strings, as_array
from qtrain.simulators.torch_strings import PauliStrings
from qtrain.simulators.torch_tangents import with_tangents

Tensor = torch.Tensor


class TorchStateVector(Simulation):
    """The noise-free circuit of a program at a place."""

    def __init__(self, program: Program, place: Place) -> None:
        dtype = torch.complex64 if place.single else torch.complex128
        super().__init__(state_vector_blocks(program), place, dtype)

    def make_readout(self, strings: Strings) -> _Readout:
        """Signs and flips of the strings."""
        return _Readout(strings, self.circuit.circuit.num_qubits, self.place.device, self.circuit.dtype)

    def held(self) -> int:
        """None: unitaries are undone."""
        return 0

    def before(self, bound: BoundCircuit, final: Named, *, summed: bool) -> Iterator[Named]:
        """Each block undone."""
        return bound.states_undone(final, batch_first=not summed)

    def states(self, branches: int) -> int:
        """A state, its rearranged copy and their product; in a backward pass the same of every branch."""
        return 4 + 6 * branches

    def shifts(self, angles: Array, slots: NDArray[np.intp], strings: Strings) -> Shifts:
        """Every shifted expectation of the wanted slots, each at most once, from tangents."""
        batch, count = len(angles), len(strings)
        result = Shifts(
            self.expectations(angles, strings),
            np.zeros((batch, len(slots), count)),
            np.zeros((batch, len(slots), count)),
        )
        position = {int(slot): i for i, slot in enumerate(slots)}
        blocks = (*self.circuit.circuit.body, *self.circuit.circuit.starts)
        places = [(b, i) for b, block in enumerate(blocks) for i, slot in enumerate(block.slots) if slot in position]
        for part in self.parts(len(places)):
            wanted: dict[int, list[int]] = {}
            for number, element in places[part]:
                wanted.setdefault(number, []).append(element)
            for rows in self.chunks(angles, part.stop - part.start):
                found, squares, crossed = self._tangents(angles[rows], wanted, strings)
                columns = [position[slot] for slot in found]
                result.cosine[rows, columns] = (result.expectations[rows, None] - squares.transpose(1, 0, 2)) / 2
                result.sine[rows, columns] = crossed.transpose(1, 0, 2)
        return result

    def _tangents(
        self, angles: Array, wanted: dict[int, list[int]], strings: Strings
    ) -> tuple[list[int], Array, Array]:
        """(slots, [slot, row, string] expectations of the tangents, the same between state and tangent)."""
        readout = self.readout(strings)
        with torch.no_grad():
            numbers = torch.from_numpy(np.ascontiguousarray(angles)).to(self.place.device)
            bound = BoundCircuit(self.circuit, self.circuit.layout(angles), numbers)
            states, tangents, slots = with_tangents(bound, wanted)
            squares = readout.strings.elements(tangents, tangents)
            crossed = readout.strings.elements(states, tangents)
        return slots, as_array(squares), as_array(crossed)


class _Readout:
    """Strings on final states, twice the weighted strings times them as what goes backward."""

    def __init__(self, strings: Strings, num_qubits: int, device: torch.device, dtype: torch.dtype) -> None:
        self.strings = PauliStrings(strings, num_qubits, device, dtype)

    def values(self, states: Tensor) -> Tensor:
        return self.strings.elements(states, states)

    def pulled(self, weights: Tensor, final: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        branches = final[:, None, :].expand(-1, weights.shape[-2], -1)
        return 2 * self.strings.weighted(weights, branches), (BATCH, BRANCH)
