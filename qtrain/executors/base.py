"""The executor contract: who evaluates expectations of a program, and what that costs.

An executor is stateless but for its ledger. Shots, noise and credentials are constructor arguments; randomness is a
function of the key alone, so the same call with the same key gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qtrain.ledger import Ledger

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qtrain.program import Program

Array = NDArray[np.float64]
Slots = NDArray[np.integer[Any]]
Key = tuple[int, int, int]
"""(seed, step, stream): all that a random draw may depend on."""

FORWARD, BACKWARD, EVALUATE, PRUNE, BATCH, WEIGHTS = range(6)
"""Streams: draws of one step that must not be the same ones. WEIGHTS: the initial weights, at step 0."""

NUM_STREAMS = 16
"""The k-th further use of a stream within one step draws from stream + k * NUM_STREAMS."""


def generator(key: Key, *more: int) -> np.random.Generator:
    """The random generator of a key; equal keys give equal draws on every machine."""
    return np.random.default_rng([int(k) for k in (*key, *more)])


@runtime_checkable
class Executor(Protocol):
    """Evaluates a program's observables.

    Every method is deterministic in its arguments and `key`. Angles are radians, [batch, slot], in the order of
    the program's slots.
    """

    ledger: Ledger

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """Compiles once for this executor's device (exact: no device) and lowers the result.

        Args:
            circuit: parameters symbolic, no measurement.
            observables: on the circuit's own (virtual) qubits.
            features, weights: the circuit's parameters, split; default: all of them are weights.
        Raises: ModelError, CircuitError, UnroutableError.
        """
        ...

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable]: expectation values, sampled if the executor takes shots."""
        ...

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: expectations with one slot's angle moved.

        Args:
            slots: [k] indices of the slots to shift, one after another.
            shifts: [s] what is added to the angle, rad.
        """
        ...


def spelled_out_shifts(
    executor: Executor, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key
) -> Array:
    """Every shift as a circuit of its own: what a chip runs, and the reference for cleverer executors.

    Returns: [batch, slot, shift, observable].
    """
    batch, num_slots = angles.shape
    points = np.broadcast_to(angles[:, None, None, :], (batch, len(slots), len(shifts), num_slots)).copy()
    for i, slot in enumerate(slots):
        points[:, i, :, int(slot)] += np.asarray(shifts)[None, :]
    values = executor.expectations(program, points.reshape(-1, num_slots), key=key)
    return values.reshape(batch, len(slots), len(shifts), -1)
