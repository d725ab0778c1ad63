"""The router contract.

A router takes a lowered circuit (one-qubit gates, cx, measure, reset, delay, barrier), an initial layout and a
connected live region, and returns the same circuit on physical qubits with SWAPs, every two-qubit gate on a live
coupler of the region. It never emits a SWAP that nothing follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from qiskit import QuantumCircuit

from qcompile.device import Device
from qcompile.layout import Layout


@dataclass(frozen=True)
class Routed:
    """A routed circuit.

    Attributes:
        circuit: on `device.num_qubits` wires: one-qubit gates, cx, swap, measure, reset, delay, barrier.
        initial_layout: where each virtual qubit starts.
        moves: physical qubit -> where what was on it at the start is at the end; unnamed ones stay.
        swaps: SWAPs inserted.
    """

    circuit: QuantumCircuit
    initial_layout: Layout
    moves: Mapping[int, int]
    swaps: int

    @property
    def final_layout(self) -> Layout:
        """Where each virtual qubit ends."""
        return self.initial_layout.then(self.moves)


class Router(Protocol):
    """One routing method; deterministic in its arguments."""

    def __call__(
        self, circuit: QuantumCircuit, device: Device, layout: Layout, region: frozenset[int], seed: int
    ) -> Routed:
        """Routes `circuit` from `layout`, on couplers of `region` only."""
        ...
