"""Layouts along a line: distinct qubits of the live region, neighbours wherever a long path was found."""

from __future__ import annotations

import itertools

import pytest
from qiskit import QuantumCircuit

from qcompile import Device, load_device
from qcompile.blocks import read_blocks
from qcompile.placement.line import line, line_layouts
from qcompile.routing.arrays import chip_arrays


@pytest.mark.parametrize("name", ["ibm_manila", "ibm_guadalupe", "ibm_brisbane", "google_willow", "ibm_kyoto"])
def test_the_line_holds_every_live_qubit_once(name: str) -> None:
    device = load_device(name)
    assert sorted(line(device)) == sorted(device.components[0])


def test_the_line_of_a_chain_is_the_chain() -> None:
    device = Device.from_coupling([(i, i + 1) for i in range(9)])
    assert line(device) in (tuple(range(10)), tuple(range(9, -1, -1)))


def test_most_of_a_heavy_hex_chip_is_on_one_path() -> None:
    device = load_device("ibm_brisbane")
    order = line(device)
    breaks = sum(not device.graph.has_edge(a, b) for a, b in itertools.pairwise(order))
    assert breaks <= 30


def test_a_chain_is_laid_onto_neighbours() -> None:
    device = load_device("ibm_brisbane")
    circuit = QuantumCircuit(12)
    order = [3, 7, 0, 11, 5, 1, 9, 2, 10, 4, 8, 6]
    for a, b in itertools.pairwise(order):
        circuit.cx(a, b)
    blocks = read_blocks(circuit, {})
    chip = chip_arrays(device, device.components[0], 1.0, 0.5)
    layouts = line_layouts(blocks, device, chip, 4)
    assert len(layouts) == 4
    best = layouts[0]
    assert len(set(best)) == 12
    assert sum(chip.edge[best[a], best[b]] >= 0 for a, b in itertools.pairwise(order)) >= 9


def test_as_wide_as_the_chip() -> None:
    device = load_device("ibm_manila")
    circuit = QuantumCircuit(5)
    circuit.cx(0, 1)
    chip = chip_arrays(device, device.components[0], 1.0, 0.5)
    for layout in line_layouts(read_blocks(circuit, {}), device, chip, 4):
        assert sorted(layout) == [0, 1, 2, 3, 4]
