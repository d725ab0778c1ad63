"""What state vectors and density matrices on torch have in common: chunks of rows, forward, backward.

All methods take angles [batch, slot] as numpy arrays, float64, rad, and Pauli strings as (qubit, Pauli) pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.simulators.torch_axes import Named
from qtrain.simulators.torch_blocks import BlockCircuit
from qtrain.simulators.torch_graphs import GRAPH_BYTES, Runner
from qtrain.simulators.torch_passes import BoundCircuit, Part, TorchCircuit
from qtrain.simulators.torch_products import quarter_turned

Array = NDArray[np.float64]
Strings = tuple[tuple[tuple[int, str], ...], ...]
Tensor = torch.Tensor
Backward = Callable[[Array], Array]


class Place(NamedTuple):
    """Where and how to compute: dtype is that of a state vector; `memory` in bytes for the states of a call."""

    device: torch.device
    single: bool
    memory: int
    runner: Runner


class Readout(Protocol):
    """Strings on final states."""

    def values(self, states: Tensor) -> Tensor:
        """[row, string] from states [row, ...]."""
        ...

    def pulled(self, weights: Tensor, final: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """What the backward pass starts from and its axes before the qubits.

        weights: [branch, string] for all rows, or [row, branch, string]. final: [row, ...] the states.
        """
        ...


class Simulation:
    """A circuit at a place; a subclass knows its readout and how states in front of blocks are had again.

    Raises: ModelError: one state is larger than the memory.
    """

    def __init__(self, circuit: BlockCircuit, place: Place, dtype: torch.dtype) -> None:
        self.place = place
        self.circuit = TorchCircuit(circuit, place.device, dtype)
        if self.circuit.state_bytes > place.memory:
            raise ModelError(
                f"a state of {circuit.num_qubits} qubits takes {self.circuit.state_bytes:,} bytes. Expected at most "
                f"memory_limit = {place.memory:,}; raise it where the device has more, or use fewer qubits."
            )
        self._readouts: dict[Strings, Any] = {}

    def readout(self, strings: Strings) -> Any:
        """Of the strings, made once."""
        known = self._readouts.get(strings)
        if known is None:
            known = self._readouts[strings] = self.make_readout(strings)
        return known

    def make_readout(self, strings: Strings) -> Readout:
        """A `Readout` of the strings."""
        raise NotImplementedError

    def before(self, bound: BoundCircuit, final: Named, *, summed: bool) -> Iterator[Named]:
        """The states in front of the blocks, from last to first."""
        raise NotImplementedError

    def held(self) -> int:
        """How many states of each row a forward pass keeps for the backward pass."""
        raise NotImplementedError

    def states(self, branches: int) -> int:
        """How many states a row takes in a forward and a backward pass of so many branches; 0 of them: forward only."""
        raise NotImplementedError

    def chunks(self, angles: Array, branches: int) -> Iterator[slice]:
        """Slices of the rows that fit the memory."""
        row = self.states(branches) * self.circuit.state_bytes + self.circuit.layout(angles).row_bytes
        size = max(1, self.place.memory // row)
        return (slice(start, min(start + size, len(angles))) for start in range(0, len(angles), size))

    def parts(self, branches: int) -> Iterator[slice]:
        """Slices of the branches such that one row of each fits the memory."""
        size = max(1, branches)
        while size > 1 and self.states(size) * self.circuit.state_bytes > self.place.memory:
            size //= 2
        return (slice(start, min(start + size, branches)) for start in range(0, branches, size))

    def expectations(self, angles: Array, strings: Strings) -> Array:
        """[batch, string]."""
        out = np.empty((len(angles), len(strings)))
        for rows in self.chunks(angles, 0):
            out[rows] = as_array(self._forward(angles[rows], strings, hold=False)[0])
        return out

    def gradient(self, angles: Array, strings: Strings, weights: Array) -> Array:
        """[batch, slot]: derivative of sum(weights * values), weights [batch, string]."""
        out = np.zeros(angles.shape)
        for rows in self.chunks(angles, 1):
            out[rows] = self._backward(angles[rows], strings, weights[rows, None, :])[0, :, 0]
        return out

    def jacobian(self, angles: Array, strings: Strings, weights: Array) -> Array:
        """[batch, m, slot]: derivatives of the sums of the strings with weights [m, string]."""
        out = np.zeros((len(angles), len(weights), angles.shape[1]))
        for part in self.parts(len(weights)):
            for rows in self.chunks(angles, part.stop - part.start):
                out[rows, part] = self._backward(angles[rows], strings, weights[part])[0]
        return out

    def values_then_gradient(self, angles: Array, strings: Strings) -> tuple[Array, Backward]:
        """([batch, string], a function from weights [batch, string] to the derivative [slot] summed over the batch).

        Whoever calls that function does so once, before anything else is asked of this simulation.
        """
        chunks = list(self.chunks(angles, 1))
        if len(chunks) != 1:
            return self.expectations(angles, strings), lambda weights: self.gradient(angles, strings, weights).sum(0)
        values, bound, final = self._forward(angles, strings, hold=True)
        return as_array(values), lambda weights: self._summed(bound, final, strings, weights)

    def _forward(self, angles: Array, strings: Strings, *, hold: bool) -> tuple[Tensor, BoundCircuit, Named]:
        layout, readout = self.circuit.layout(angles), self.readout(strings)
        held = self.held() if hold else 0

        def work(numbers: Tensor) -> tuple[Tensor, BoundCircuit, Named]:
            bound = BoundCircuit(self.circuit, layout, numbers)
            final = bound.run(held)
            return readout.values(final.arranged(*bound.from_the_top)[0]), bound, final

        found: tuple[Tensor, BoundCircuit, Named] = self._run(("forward", hold, strings, layout.per_row), work, angles)
        return found

    def _summed(self, bound: BoundCircuit, final: Named, strings: Strings, weights: Array) -> Array:
        readout = self.readout(strings)

        def work(numbers: Tensor) -> Tensor:
            return self._derivatives(bound, final, readout, numbers, (quarter_turned,), summed=True)[0, 0, 0]

        # `bound` is in the key, since a graph would read its memory
        return as_array(self._run(("summed", bound, strings), work, weights[:, None, :]))

    def _backward(
        self, angles: Array, strings: Strings, weights: Array, parts: Sequence[Part] = (quarter_turned,)
    ) -> Array:
        """[part, row, branch, slot]; weights as in `Readout.pulled`."""
        layout, readout = self.circuit.layout(angles), self.readout(strings)

        def work(numbers: Tensor, weights: Tensor) -> Tensor:
            bound = BoundCircuit(self.circuit, layout, numbers)
            final = bound.run(self.held())
            return self._derivatives(bound, final, readout, weights, parts, summed=False)

        key = ("backward", strings, layout.per_row, tuple(part.__name__ for part in parts))
        return as_array(self._run(key, work, angles, weights))

    def _derivatives(
        self,
        bound: BoundCircuit,
        final: Named,
        readout: Readout,
        weights: Tensor,
        parts: Sequence[Part],
        *,
        summed: bool,
    ) -> Tensor:
        states, _ = final.arranged(*bound.from_the_top)
        tensor, front = readout.pulled(weights.to(self.circuit.real), states)
        pulled = bound.named(tensor, front)
        before = self.before(bound, final, summed=summed)
        return bound.derivatives(before, pulled, parts, summed=summed) * self.circuit.circuit.factor

    def _run(self, key: tuple[Any, ...], work: Callable[..., Any], *arrays: Array) -> Any:
        device = self.place.device
        with torch.no_grad():
            tensors = [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays]
            small = len(arrays[0]) * self.circuit.state_bytes <= GRAPH_BYTES
            return self.place.runner((self, *key), work, *tensors, small=small)


def as_array(tensor: Tensor) -> Array:
    """Numbers of a tensor on any device, float64."""
    array: Array = tensor.cpu().double().numpy()
    return array
