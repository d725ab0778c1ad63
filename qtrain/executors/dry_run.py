"""DryRun: the bill of a training, circuit by circuit, without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from qtrain.chip.circuits import native_circuit
from qtrain.chip.split import capacity
from qtrain.errors import ExecutorError
from qtrain.executors.base import (
    Array,
    Key,
    Slots,
    call_bill,
    checked_device,
    checked_key,
    checked_program,
    checked_seed,
    checked_shifts,
    checked_shots,
)
from qtrain.ledger import Ledger
from qtrain.noise import lower_for_device
from qtrain.program import Program, lower

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qcompile.device import Device


class DryRun:
    """Counts what an executor would spend, in `ledger`; runs nothing.

    Every expectation is returned as 0: right in shape, meaningless in value. `is_dry` says so to whoever looks. All
    inputs are checked as on a real executor, so what passes here is accepted there.

    Args:
        device: whose compiled circuit, timing and price formula the bill is for; None counts circuits and shots only.
        shots: executions of each circuit; None counts circuits only.
        seed, effort: passed to the compiler.
    Raises: ConfigError: shots that are no whole number of 1 or more, or more than the device takes.
    """

    is_dry = True

    def __init__(
        self, device: Device | None = None, shots: int | None = 1024, seed: int = 0, effort: str = "normal"
    ) -> None:
        self.device = None if device is None else checked_device(device)
        self.shots = checked_shots(shots, device)
        self.seed = checked_seed(seed)
        self.effort = effort
        self.ledger = Ledger()
        self._capacities: WeakKeyDictionary[Program, int | None] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"DryRun({self.device.name if self.device else None}, shots={self.shots})"

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """Compiles for the device, or lowers the circuit as it stands.

        Raises: ModelError, CircuitError, UnroutableError.
        """
        if self.device is None:
            return lower(circuit, observables, features=features, weights=weights)
        return lower_for_device(
            circuit,
            observables,
            self.device,
            seed=self.seed,
            effort=self.effort,
            features=features,
            weights=weights,
        )

    def capacity(self, program: Program) -> int | None:
        """Circuits of that program that one job may hold; None where no chip limits them.

        Raises: ConfigError: one circuit alone is more than a job may hold.
        """
        if self.shots is None or program.device is None or not program.num_bases:
            return None
        if program not in self._capacities:
            self._capacities[program] = _capacity(program, program.device, self.shots)
        return self._capacities[program]

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable] zeros; adds the bill of one circuit a row and basis."""
        chosen = checked_key(key)
        batch = len(checked_program(program).checked_angles(angles))
        self.ledger += call_bill(program, batch, self.shots, chosen, capacity=self.capacity(program))
        return np.zeros((batch, program.num_observables))

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable] zeros; adds the bill of one circuit a row, slot, shift and basis."""
        chosen = checked_key(key)
        batch = len(checked_program(program).checked_angles(angles))
        indices, moves = checked_shifts(program, slots, shifts)
        points = batch * len(indices) * len(moves)
        capacity = self.capacity(program)
        self.ledger += call_bill(program, points, self.shots, chosen, rows=batch, capacity=capacity)
        return np.zeros((batch, len(indices), len(moves), program.num_observables))


def _capacity(program: Program, device: Device, shots: int) -> int | None:
    try:
        natives = [native_circuit(program, basis) for basis in program.measurement.bases]
    except ExecutorError:
        return None  # a chip cannot shift these angles; there is still something to count
    return capacity(natives, device, shots, program.durations)
