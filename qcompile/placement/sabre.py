"""SABRE placement: forward and backward routing passes from random starts, through Qiskit's SabreLayout.

Proposes one layout a seed on the whole live region. It counts SWAPs and does not see errors.
"""

from __future__ import annotations

from collections.abc import Iterator

from qiskit import QuantumCircuit
from qiskit.converters import circuit_to_dag
from qiskit.transpiler.passes import SabreLayout

from qcompile.device import Device
from qcompile.layout import Layout
from qcompile.placement.base import Placement
from qcompile.routing.sabre import local_coupling

ITERATIONS, TRIALS = 4, 8


def place(circuit: QuantumCircuit, device: Device, seed: int) -> Iterator[Placement]:
    """One proposal on the largest live region."""
    yield place_in(circuit, device, device.components[0], seed)


def place_in(circuit: QuantumCircuit, device: Device, region: frozenset[int], seed: int) -> Placement:
    """The layout that SABRE finds inside one region."""
    nodes, coupling = local_coupling(device, region)
    method = SabreLayout(
        coupling, seed=seed, max_iterations=ITERATIONS, swap_trials=TRIALS, layout_trials=TRIALS, skip_routing=True
    )
    method.run(circuit_to_dag(circuit))
    found = method.property_set["layout"]
    return Placement(Layout(tuple(nodes[found[qubit]] for qubit in circuit.qubits)), region)
