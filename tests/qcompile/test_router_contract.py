"""The router: every node once, on live couplers, in the order of its stages; choice by choice like its plain twin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qcompile.blocks import BlockCircuit, read_blocks
from qcompile.device import Device
from qcompile.lowering import lower
from qcompile.placement.grow import disturb, grow
from qcompile.routing import kernels, plain
from qcompile.routing.arrays import Blocks, Chip, block_arrays, chip_arrays
from qcompile.routing.search import search
from qcompile.units import SWAP, Templates, read_units
from tests.qcompile.rebuilt import layered
from tests.qcompile.strategies import devices

PROPERTY = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


class Case(NamedTuple):
    circuit: BlockCircuit
    blocks: Blocks
    backward: Blocks
    chip: Chip
    device: Device
    layout: np.ndarray
    knobs: np.ndarray
    seed: int


@st.composite
def cases(draw: st.DrawFn, max_gates: int = 30) -> Case:
    device = draw(devices(max_qubits=9))
    assume(device.components and len(device.components[0]) >= 2)
    region = sorted(device.components[0])
    lowered = lower(draw(layered(max_qubits=min(6, len(region)), max_gates=max_gates)))
    circuit = read_blocks(lowered.circuit, lowered.slots)
    measured = range(draw(st.integers(0, circuit.num_qubits)))
    knobs = np.zeros(kernels.KNOBS)
    knobs[kernels.WINDOW] = draw(st.sampled_from([0, 1, 4, 32]))
    knobs[kernels.AHEAD] = draw(st.sampled_from([0.25, 1.0, 30.0]))  # the last one leads astray
    knobs[kernels.DECAY] = draw(st.sampled_from([0.75, 0.95]))
    knobs[kernels.NEARNESS] = draw(st.integers(0, 1))
    knobs[kernels.TEMPERATURE] = draw(st.sampled_from([0.1, 1.5, 20.0]))
    knobs[kernels.IDLE] = draw(st.sampled_from([0.0, 0.1]))
    knobs[kernels.FADE] = draw(st.sampled_from([1.0, 0.9]))
    knobs[kernels.EXCHANGE] = draw(st.integers(0, 1))
    knobs[kernels.FLAT] = draw(st.integers(0, 1))
    layout = np.array(draw(st.permutations(region))[: circuit.num_qubits], np.int64)
    blocks, backward = (block_arrays(circuit, measured, backward=way) for way in (False, True))
    chip = chip_arrays(device, device.components[0], 0.3, 0.5)
    return Case(circuit, blocks, backward, chip, device, layout, knobs, draw(st.integers(0, 2**64 - 1)))


class Routed(NamedTuple):
    price: float
    items: np.ndarray
    swaps: int
    pulses: int
    position: np.ndarray
    state: int


def routed(
    blocks: Blocks, chip: Chip, layout: np.ndarray, knobs: np.ndarray, seed: int, room: int = 4000
) -> Routed | None:
    items, position = np.empty((room, 3), np.int64), np.empty(len(layout), np.int64)
    random = np.array([seed], np.uint64)
    price, used, swaps, pulses, _ = kernels.route(blocks, chip, layout, knobs, random, room, items, position)
    return None if used < 0 else Routed(price, items[:used], swaps, pulses, position, int(random[0]))


def assert_valid(circuit: BlockCircuit, device: Device, layout: np.ndarray, found: Routed, *, backward: bool) -> None:
    """Each node once, on a live coupler of the device, where its wires are, after the earlier stages of its wires."""
    place = dict(enumerate(layout.tolist()))
    nodes = len(circuit.nodes)
    left: dict[tuple[int, int], int] = {}
    for node, at in zip(circuit.nodes, circuit.stages):
        for entry in zip(node.wires, at):
            left[entry] = left.get(entry, 0) + 1
    step = -1 if backward else 1
    ran = []
    for number, p, q in found.items.tolist():
        if number == SWAP:
            assert device.graph.has_edge(p, q)
            change = {p: q, q: p}
            place = {w: change.get(at, at) for w, at in place.items()}
            continue
        k = nodes - 1 - number if backward else number
        node = circuit.nodes[k]
        if node.fence is None:
            assert device.graph.has_edge(p, q)
            assert [place[w] for w in node.wires] == [p, q]
        for w, s in zip(node.wires, circuit.stages[k]):
            assert left.get((w, s - step), 0) == 0
            left[w, s] -= 1
        ran.append(k)
    assert sorted(ran) == list(range(nodes))
    assert [place[w] for w in range(circuit.num_qubits)] == found.position.tolist()
    assert found.swaps == (found.items[:, 0] == SWAP).sum()


@settings(PROPERTY, max_examples=80)
@given(case=cases())
def test_routings_are_valid_forwards_and_backwards(case: Case) -> None:
    for blocks, backward in ((case.blocks, False), (case.backward, True)):
        found = routed(blocks, case.chip, case.layout, case.knobs, case.seed)
        assert found is not None
        assert_valid(case.circuit, case.device, case.layout, found, backward=backward)


@settings(PROPERTY, max_examples=80)
@given(case=cases())
def test_router_equals_its_plain_twin(case: Case) -> None:
    for blocks in (case.blocks, case.backward):
        random = plain.Random(case.seed)
        expected = plain.route(blocks, case.chip, case.layout, case.knobs, random, 4000)
        found = routed(blocks, case.chip, case.layout, case.knobs, case.seed)
        assert found is not None
        assert expected is not None
        assert found.items.tolist() == [list(item) for item in expected.items]
        assert found.price == pytest.approx(expected.price, rel=1e-9, abs=1e-12)
        assert (found.swaps, found.pulses) == (expected.swaps, expected.pulses)
        assert found.position.tolist() == expected.position
        assert found.state == random.state


@settings(PROPERTY, max_examples=80)
@given(case=cases())
def test_units_take_no_more_cx_than_the_router_paid_for(case: Case) -> None:
    found = routed(case.blocks, case.chip, case.layout, case.knobs, case.seed)
    assert found is not None
    units, ends = read_units(case.circuit, found.items, case.layout.tolist())
    templates = Templates(case.circuit)
    written = sum(code < 0 for unit in units if len(unit.qubits) == 2 for code in templates.codes(unit.entries))
    assert written <= found.pulses
    assert len(set(ends)) == len(ends)


@settings(PROPERTY, max_examples=30)
@given(case=cases(max_gates=15))
def test_the_price_is_at_least_that_of_the_gates(case: Case) -> None:
    """Waiting comes on top; nothing is paid twice: a circuit whose blocks are all on couplers pays its own prices."""
    found = routed(case.blocks, case.chip, case.layout, case.knobs, case.seed)
    assert found is not None
    cheapest = case.chip.gate.min()
    assert found.price >= found.pulses * cheapest - 1e-9
    if found.swaps == 0:
        assert found.pulses <= case.circuit.two_qubit_price


@settings(PROPERTY, max_examples=20)
@given(case=cases())
def test_a_routing_in_two_steps_is_the_routing_in_one(case: Case) -> None:
    """`advance` may be stopped anywhere; only the weight of waiting is renewed, so it is off here."""
    case.knobs[kernels.IDLE] = 0
    room, nodes = 4000, len(case.circuit.nodes)
    whole = routed(case.blocks, case.chip, case.layout, case.knobs, case.seed)
    assert whole is not None
    width, size = len(case.layout), len(case.chip.edge)
    integers, floats = kernels.state_sizes(case.blocks, width, size, room)
    state, prices = np.empty(integers, np.int64), np.empty(floats)
    kernels.begin(case.blocks, case.chip, case.layout, room, state, prices)
    random = np.array([case.seed], np.uint64)
    for target in (nodes // 3, nodes):
        assert kernels.advance(case.blocks, case.chip, case.knobs, random, room, state, prices, target)
    items = kernels.views(case.blocks, width, size, room, state)[6][: state[kernels.USED]]
    np.testing.assert_array_equal(items, whole.items)
    assert kernels.closing_price(case.blocks, case.chip, room, state, prices)[0] == pytest.approx(whole.price)


def test_too_little_room_is_said() -> None:
    circuit = QuantumCircuit(3)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        circuit.rzz(Parameter(f"t{a}{b}"), a, b)
    lowered = lower(circuit)
    blocks = block_arrays(read_blocks(lowered.circuit, lowered.slots), [])
    device = Device.from_coupling([(0, 1), (1, 2)])
    chip = chip_arrays(device, device.components[0], 0.3, 0.5)
    knobs = np.array([4, 0.5, 0.8, 0, 0.1, 0, 1, 0.0, 0])
    assert len(knobs) == kernels.KNOBS
    layout = np.arange(3)
    assert routed(blocks, chip, layout, knobs, 1, room=3) is None
    assert plain.route(blocks, chip, layout, knobs, plain.Random(1), 3) is None
    assert routed(blocks, chip, layout, knobs, 1, room=10) is not None


def test_random_numbers_equal_the_plain_ones_and_fill_the_interval() -> None:
    state, random = np.array([2**64 - 5], np.uint64), plain.Random(2**64 - 5)
    drawn = [kernels.uniform(state) for _ in range(2000)]
    assert drawn == [random.uniform() for _ in range(2000)]
    assert 0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.02)


@settings(PROPERTY, max_examples=40)
@given(device=devices(max_qubits=10))
def test_distances_equal_their_plain_twin(device: Device) -> None:
    for region in device.components:
        chip = chip_arrays(device, region, 0.3, 0.5)
        couplers = [(int(a), int(b)) for a, b in chip.ends]
        prices, hops = plain.distances(couplers, chip.gate.tolist(), device.num_qubits)
        inside = np.isfinite(prices)
        np.testing.assert_allclose(chip.distance[inside], prices[inside], rtol=1e-12)
        assert (chip.distance[~inside] >= 1e18).all()
        inside = np.isfinite(hops)
        np.testing.assert_array_equal(chip.hops[inside], hops[inside])
        assert (chip.hops[~inside] >= 1 << 40).all()


@settings(PROPERTY, max_examples=40)
@given(case=cases())
def test_grown_and_disturbed_layouts_are_distinct_qubits_of_the_region(case: Case) -> None:
    region = np.array(sorted(case.device.components[0]), np.int64)
    layout, again = (np.empty(case.circuit.num_qubits, np.int64) for _ in range(2))
    states = [np.array([case.seed], np.uint64) for _ in range(2)]
    for state, row in zip(states, (layout, again)):
        grow(case.blocks, case.chip, region, 1e-6, state, row)
    np.testing.assert_array_equal(layout, again)
    for _ in range(10):
        assert len(set(layout.tolist())) == len(layout)
        assert set(layout.tolist()) <= set(region.tolist())
        disturb(case.chip, states[0], layout)


@settings(PROPERTY, max_examples=25)
@given(case=cases(), budget=st.sampled_from([0, 20_000]))
def test_search_keeps_the_best_and_each_is_reproducible(case: Case, budget: int) -> None:
    region = np.array(sorted(case.device.components[0]), np.int64)
    given_layouts = np.array([case.layout, case.layout[::-1]])
    arguments = (case.blocks, case.backward, case.chip, region, given_layouts, (budget, budget), 2, 1e-6)
    found = search(*arguments, np.uint64(case.seed))
    prices, layouts, knobs, states, swaps, trials = found
    known = int((prices < 1e300).sum())
    assert known >= 1
    again = search(*arguments, np.uint64(case.seed))
    for first, second in zip(found[:5], again[:5]):
        np.testing.assert_array_equal(first[:known], second[:known])
    assert again[5] == trials
    assert trials >= 2
    assert (np.diff(prices[:known]) >= 0).all()
    for k in range(known):
        again = routed(
            case.blocks, case.chip, layouts[k], knobs[k], int(states[k]), room=30 * len(case.circuit.nodes) + 1000
        )
        assert again is not None
        read = float(np.sum(case.blocks.read * case.chip.readout[again.position]))
        assert again.price + read == pytest.approx(prices[k], rel=1e-12)
        assert again.swaps == swaps[k]
        assert_valid(case.circuit, case.device, layouts[k], again, backward=False)


@settings(PROPERTY, max_examples=15)
@given(case=cases())
def test_a_larger_budget_and_more_layouts_are_never_dearer(case: Case) -> None:
    region = np.array(sorted(case.device.components[0]), np.int64)

    def best(layouts: list[np.ndarray], budget: int) -> float:
        arguments = (case.blocks, case.backward, case.chip, region, np.array(layouts), (budget, 0), 2, 1e-6)
        return float(search(*arguments, np.uint64(case.seed))[0][0])

    alone = best([case.layout], 0)
    assert best([case.layout, case.layout[::-1]], 0) <= alone
    assert best([case.layout], 30_000) <= alone
