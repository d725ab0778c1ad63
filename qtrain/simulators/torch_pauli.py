"""Batched density matrices in the Pauli basis on torch: noisy expectations, shifts and derivatives, by two passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from qtrain.noise import NoisyCircuit
from qtrain.simulators.pauli import Shifts
from qtrain.simulators.torch_axes import BATCH, BRANCH, Named
from qtrain.simulators.torch_blocks import pauli_blocks
from qtrain.simulators.torch_passes import BoundCircuit, TorchCircuit
from qtrain.simulators.torch_products import quarter_turned, turning
from qtrain.simulators.torch_simulation import Array, Place, Simulation, Strings

Tensor = torch.Tensor


class TorchDensityMatrix(Simulation):
    """The noisy circuit of one measurement basis at a place; strings are products of Z over measured qubits.

    data: [slot] whether a feature enters.
    """

    def __init__(self, circuit: NoisyCircuit, data: NDArray[np.bool_], place: Place) -> None:
        super().__init__(pauli_blocks(circuit, data), place, torch.float32 if place.single else torch.float64)
        self.noisy = circuit

    def make_readout(self, strings: Strings) -> _Readout:
        """The strings as a noisy readout shows them."""
        return _Readout(read_diagonals(self.noisy, strings), self.circuit)

    def held(self) -> int:
        """Every state if they fit half the memory, else as many as do."""
        return max(4, self.place.memory // (2 * self.circuit.state_bytes))

    def before(self, bound: BoundCircuit, final: Named, *, summed: bool) -> Iterator[Named]:
        """As they were held, or computed again."""
        return bound.states_before()

    def states(self, branches: int) -> int:
        """Those held, what a map takes, and the observables going backward."""
        held = min(len(self.circuit.circuit.body), self.held()) if branches else 0
        return held + 4 + 4 * branches

    def shifts(self, angles: Array, slots: NDArray[np.intp], strings: Strings) -> Shifts:
        """Every shifted expectation of the wanted slots from one forward pass and one backward pass a string."""
        batch, count = len(angles), len(strings)
        result = Shifts(
            self.expectations(angles, strings),
            np.zeros((batch, len(slots), count)),
            np.zeros((batch, len(slots), count)),
        )
        for part in self.parts(count):
            weights = np.eye(count)[part]
            for rows in self.chunks(angles, len(weights)):
                cosine, sine = self._backward(angles[rows], strings, weights, (turning, quarter_turned))
                result.cosine[rows, :, part] = cosine[:, :, slots].transpose(0, 2, 1)
                result.sine[rows, :, part] = sine[:, :, slots].transpose(0, 2, 1)
        return result


class _Readout:
    """Strings on final states; their weighted sums go backward."""

    def __init__(self, diagonals: Array, circuit: TorchCircuit) -> None:
        qubits = np.arange(circuit.circuit.num_qubits)
        bits = np.arange(diagonals.shape[1])[:, None] >> qubits & 1
        self.places = torch.from_numpy(bits @ (3 * 4**qubits)).to(circuit.device)
        self.diagonals = torch.from_numpy(diagonals).to(device=circuit.device, dtype=circuit.dtype)
        self.size = 4 ** len(qubits)

    def values(self, states: Tensor) -> Tensor:
        return states.index_select(-1, self.places) @ self.diagonals.mT

    def pulled(self, weights: Tensor, final: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        sums = weights @ self.diagonals
        whole = sums.new_zeros((*sums.shape[:-1], self.size)).index_copy(-1, self.places, sums)
        return whole, (BRANCH,) if weights.ndim == 2 else (BATCH, BRANCH)


def read_diagonals(circuit: NoisyCircuit, strings: Strings) -> Array:
    """[string, 2^n] observables: what the noisy readout shows of each product of Z, as coefficients of Z-strings.

    A measured qubit shows ((e0 + e1) / 2) I + ((e0 - e1) / 2) Z, with e0 and e1 the means of what is read.
    """
    position = {q: i for i, q in enumerate(circuit.measured)}
    out = np.zeros((len(strings), 2**circuit.num_qubits))
    for row, string in enumerate(strings):
        shown = {}
        for qubit, _ in string:
            (zero_0, zero_1), (one_0, one_1) = circuit.confusion[position[qubit]]
            mean_0, mean_1 = zero_0 - zero_1, one_0 - one_1
            shown[qubit] = [(mean_0 + mean_1) / 2, (mean_0 - mean_1) / 2]
        vector = np.ones(1)
        for qubit in range(circuit.num_qubits):
            vector = np.kron(shown.get(qubit, [1.0, 0.0]), vector)
        out[row] = vector
    return out
