"""Noise-aware region placement: a random low-error connected region a little wider than the circuit, SABRE inside it.

The region grows from a random start, each step taking the neighbour that costs least: -log(1 - error) of its best
coupler into the region and its decay over a typical two-qubit gate, with random weights so that seeds differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from qiskit import QuantumCircuit

from qcompile.device import Device
from qcompile.placement.base import Placement
from qcompile.placement.sabre import place_in

_SPARE = 3  # a region has up to this many qubits more than the circuit
_STARTS = 6  # regions grown for one proposal, the cheapest is taken


def place(circuit: QuantumCircuit, device: Device, seed: int) -> Iterator[Placement]:
    """One proposal inside a low-error region of the largest live component."""
    rng = np.random.default_rng([seed, circuit.num_qubits])
    component = device.components[0]
    size = min(len(component), circuit.num_qubits + int(rng.integers(0, _SPARE + 1)))
    regions = [_grow(device, component, size, rng) for _ in range(_STARTS)]
    region = min(regions, key=lambda r: (r[0], sorted(r[1])))[1]
    yield place_in(circuit, device, region, seed)


def _grow(
    device: Device, component: frozenset[int], size: int, rng: np.random.Generator
) -> tuple[float, frozenset[int]]:
    """(cost per qubit, region)."""
    graph = device.graph
    nodes = sorted(component)
    noise = {q: float(rng.uniform(0.7, 1.3)) for q in nodes}
    region = {nodes[int(rng.integers(len(nodes)))]}
    total = 0.0
    while len(region) < size:
        offers = []
        for inside in sorted(region):
            for outside, edge in graph.adj[inside].items():
                if outside not in region:
                    price = -math.log1p(-min(edge["error"], 1 - 1e-9)) + idle_rate(device, outside) * edge["duration"]
                    offers.append((price * noise[outside], outside))
        price, chosen = min(offers)
        total += price
        region.add(chosen)
    return total / max(size, 1), frozenset(region)


def idle_rate(device: Device, qubit: int) -> float:
    """Process infidelity that a waiting qubit gathers per second, to first order: (1/T1 + 2/T2) / 4."""
    t1, t2 = device.qubits[qubit].relaxation
    return (1 / t1 + 2 / t2) / 4
