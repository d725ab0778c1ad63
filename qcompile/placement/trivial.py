"""Trivial placement: virtual qubit v on the v-th qubit of the largest live region. What everything else must beat."""

from __future__ import annotations

from collections.abc import Iterator

from qiskit import QuantumCircuit

from qcompile.device import Device
from qcompile.layout import Layout
from qcompile.placement.base import Placement


def place(circuit: QuantumCircuit, device: Device, seed: int) -> Iterator[Placement]:
    """One proposal; `seed` plays no part."""
    del seed
    region = device.components[0]
    yield Placement(Layout(tuple(sorted(region)[: circuit.num_qubits])), region)
