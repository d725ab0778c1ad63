"""Units: blocks and SWAPs on one coupler are the right unitary in no more CX than the router paid for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator

from qcompile.blocks import BlockCircuit, read_blocks
from qcompile.lowering import Lowered, lower
from qcompile.units import OPENS, SWAP, TURNED, Templates, Unit, fence_of, read_units
from tests.qcompile.rebuilt import append_codes, layered, slot_point


def view(circuit: QuantumCircuit) -> tuple[Lowered, BlockCircuit]:
    lowered = lower(circuit)
    return lowered, read_blocks(lowered.circuit, lowered.slots)


def plainly(blocks: BlockCircuit, entries: tuple[int, ...], point: np.ndarray) -> QuantumCircuit:
    """A unit gate by gate on two qubits."""
    circuit = QuantumCircuit(2)
    for entry in entries:
        if entry == SWAP:
            circuit.swap(0, 1)
            continue
        node, at = blocks.nodes[entry // 8], blocks.stages[entry // 8]
        qubits = (1, 0) if entry & TURNED else (0, 1)
        for side, place in enumerate(zip(node.wires, at)):
            if entry & OPENS << side:
                parts = [part * 2 + side for part in blocks.openings[place]]
                append_codes(circuit, parts, blocks.parts, qubits, point)
        append_codes(circuit, node.codes, blocks.parts, qubits, point)
    return circuit


def written(templates: Templates, entries: tuple[int, ...], point: np.ndarray) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    append_codes(circuit, templates.codes(entries), templates.parts, (0, 1), point)
    return circuit


def cx_of(templates: Templates, *entries: int) -> int:
    return sum(code < 0 for code in templates.codes(entries))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.data())
def test_any_unit_is_the_right_unitary_in_no_more_cx_than_its_parts(data: st.DataObject) -> None:
    lowered, blocks = view(data.draw(layered(max_qubits=3, max_gates=20)))
    usable = [k for k, node in enumerate(blocks.nodes) if node.fence is None]
    templates, point = Templates(blocks), slot_point(lowered)
    for _ in range(4):
        entries, most = [], 0
        for _ in range(data.draw(st.integers(1, 4))):
            if not usable or data.draw(st.integers(0, 2)) == 0:
                entries.append(SWAP)
                most += 3
                continue
            k = data.draw(st.sampled_from(usable))
            entry = 8 * k + TURNED * data.draw(st.integers(0, 1))
            for side, place in enumerate(zip(blocks.nodes[k].wires, blocks.stages[k])):
                if place in blocks.openings and data.draw(st.booleans()):
                    entry += OPENS << side
            entries.append(entry)
            most += int(blocks.price[k])
        unit = tuple(entries)
        assert Operator(written(templates, unit, point)).equiv(Operator(plainly(blocks, unit, point)))
        assert cx_of(templates, *unit) <= most
        chosen = [entry // 8 for entry in unit if entry != SWAP]
        if chosen and all(blocks.mergeable[k] for k in chosen):
            assert cx_of(templates, *unit) <= 3
        if len(chosen) == 1 and unit.count(SWAP) < 2:
            price = blocks.swapped_price if SWAP in unit else blocks.price
            assert cx_of(templates, *unit) == price[chosen[0]]


@pytest.mark.parametrize(
    ("name", "angles", "with_swap"),
    [
        ("cx", (), 2), ("cz", (), 2), ("iswap", (), 1), ("rzz", (0.3,), 3), ("cp", (0.3,), 3), ("crx", (0.3,), 3),
        ("rzz", (Parameter("t"),), 3), ("rxx", (Parameter("t"),), 3), ("cp", (Parameter("t"),), 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [0, TURNED])
@pytest.mark.parametrize("behind", [False, True])
def test_cx_of_a_gate_with_a_swap(
    name: str, angles: tuple[object, ...], with_swap: int, turned: int, behind: bool
) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0)
    getattr(circuit, name)(*angles, 0, 1)
    circuit.rx(0.7, 1)
    lowered, blocks = view(circuit)
    templates, point = Templates(blocks), slot_point(lowered)
    unit = (turned, SWAP) if behind else (SWAP, turned)
    assert cx_of(templates, *unit) == with_swap
    assert Operator(written(templates, unit, point)).equiv(Operator(plainly(blocks, unit, point)))


def test_swaps_alone_cost_three_and_two_of_them_nothing() -> None:
    _, blocks = view(QuantumCircuit(2))
    templates = Templates(blocks)
    assert cx_of(templates, SWAP) == 3
    assert templates.codes((SWAP, SWAP)) == ()


def test_numbers_beside_a_symbolic_block_are_shortened_all_the_same() -> None:
    """Five CX in a row of numbers need three, whatever stands beside them."""
    circuit = QuantumCircuit(3)
    for k in range(5):
        circuit.cx(k % 2, 1 - k % 2)
        circuit.ry(0.3 + k, 0)
        circuit.rx(0.8 + k, 1)
    circuit.cx(1, 2)
    circuit.rzz(Parameter("t"), 0, 1)
    _, blocks = view(circuit)
    pair = [8 * k for k, node in enumerate(blocks.nodes) if node.wires == (0, 1)]
    assert blocks.numeric[[entry // 8 for entry in pair]].tolist() == [True, False]
    assert cx_of(Templates(blocks), *pair) == 5


def three() -> BlockCircuit:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.rzz(Parameter("t"), 0, 1)
    circuit.h(1)
    circuit.cx(1, 2)
    return view(circuit)[1]


def test_trailing_swaps_are_left_out_and_the_wires_end_where_they_would_without() -> None:
    blocks = three()
    items = np.array([[0, 0, 1], [-1, 0, 1], [1, 0, 2], [-1, 0, 2], [-1, 1, 3]])
    units, ends = read_units(blocks, items, [0, 1, 2])
    assert units == [Unit((0, SWAP), (0, 1)), Unit((8,), (0, 2))]
    assert ends == [1, 0, 2]


def test_a_trailing_swap_that_saves_cx_stays() -> None:
    circuit = QuantumCircuit(2)
    circuit.iswap(0, 1)
    _, blocks = view(circuit)
    units, ends = read_units(blocks, np.array([[0, 0, 1], [-1, 0, 1]]), [0, 1])
    assert units == [Unit((0, SWAP), (0, 1))]
    assert ends == [1, 0]
    assert cx_of(Templates(blocks), *units[0].entries) == 1


def test_items_on_one_coupler_are_one_unit_until_something_else_touches_it() -> None:
    blocks = three()
    items = np.array([[-1, 3, 4], [-1, 4, 0], [0, 0, 1], [-1, 1, 0], [1, 0, 2]])
    units, ends = read_units(blocks, items, [3, 1, 2])
    assert [unit.qubits for unit in units] == [(3, 4), (4, 0), (0, 1), (0, 2)]
    assert units[2].entries == (0, SWAP)
    assert ends == [1, 0, 2]


def test_a_fence_stands_where_its_wires_are() -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.cx(0, 1)
    circuit.measure(1, 0)
    circuit.barrier(1, 2)
    circuit.cx(1, 2)
    _, blocks = view(circuit)
    items = np.array([[0, 5, 6], [-1, 6, 7], [1, -1, -1], [2, -1, -1], [3, 7, 6]])
    units, ends = read_units(blocks, items, [5, 6, 7])
    assert [unit.qubits for unit in units] == [(5, 6), (6, 7), (7,), (7, 6), (7, 6)]
    assert [None if (fence := fence_of(blocks, unit)) is None else fence.name for unit in units] == [
        None, None, "measure", "barrier", None,
    ]  # fmt: skip
    assert ends == [5, 7, 6]


def test_what_stands_in_front_of_a_stage_comes_with_whichever_block_is_first() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.rzz(Parameter("a"), 0, 1)
    circuit.rzz(Parameter("b"), 0, 2)
    _, blocks = view(circuit)
    for order in ([0, 1], [1, 0]):
        items = np.array([[k, *blocks.nodes[k].wires] for k in order])
        units, _ = read_units(blocks, items, [0, 1, 2])
        assert [unit.entries for unit in units] == [(8 * order[0] + OPENS,), (8 * order[1],)]
