"""The routing view: any order that respects the stages is the same circuit, prices are what Qiskit says they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import CXGate, SwapGate, UnitaryGate
from qiskit.quantum_info import random_unitary
from qiskit.synthesis import TwoQubitBasisDecomposer, TwoQubitWeylDecomposition

from qcompile import block_kernels, block_plain
from qcompile.blocks import BlockCircuit, read_blocks
from qcompile.lowering import Lowered, lower
from qcompile.pulses import rz_matrix
from tests.qcompile.lowered import lowered_circuits
from tests.qcompile.rebuilt import assert_same, layered, random_order, slot_point, written
from tests.qcompile.strategies import circuits

DECOMPOSER = TwoQubitBasisDecomposer(CXGate())
SWAP = SwapGate().to_matrix()


def qiskit_price(unitary: np.ndarray) -> int:
    """CX that Qiskit's decomposition needs to be exact (its `num_basis_gates` says 0 for SWAP with H)."""
    traces = DECOMPOSER.traces(TwoQubitWeylDecomposition(unitary))
    return next(count for count, trace in enumerate(traces) if abs(trace) > 4 - 1e-9)


def view(circuit: QuantumCircuit, *, relabel: bool = True) -> BlockCircuit:
    lowered = lower(circuit)
    return read_blocks(lowered.circuit, lowered.slots, relabel=relabel)


def assert_any_order_is_the_circuit(lowered: Lowered, seed: int, relabel: bool) -> None:
    blocks = read_blocks(lowered.circuit, lowered.slots, relabel=relabel)
    point = slot_point(lowered)
    rng = np.random.default_rng(seed)
    for order in (range(len(blocks.nodes)), random_order(blocks, rng), random_order(blocks, rng)):
        assert_same(lowered, blocks, written(blocks, order, point), point)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(circuit=layered(), seed=st.integers(0, 2**20), relabel=st.booleans())
def test_any_order_that_respects_the_stages_is_the_circuit(circuit: QuantumCircuit, seed: int, relabel: bool) -> None:
    assert_any_order_is_the_circuit(lower(circuit), seed, relabel)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(circuit=circuits(max_gates=20, measured=False), seed=st.integers(0, 2**20))
def test_gates_of_all_kinds_keep_their_meaning(circuit: QuantumCircuit, seed: int) -> None:
    assert_any_order_is_the_circuit(lower(circuit), seed, True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(circuit=lowered_circuits(), seed=st.integers(0, 2**20), relabel=st.booleans())
def test_fences_keep_their_place(circuit: QuantumCircuit, seed: int, relabel: bool) -> None:
    assert_any_order_is_the_circuit(lower(circuit), seed, relabel)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(circuit=layered(max_qubits=3))
def test_prices_of_numbers_are_what_qiskit_needs_and_of_symbols_what_is_written(circuit: QuantumCircuit) -> None:
    blocks = view(circuit)
    for k, node in enumerate(blocks.nodes):
        alone, swapped = int(blocks.price[k]), int(blocks.swapped_price[k])
        if node.fence is not None:
            assert (alone, swapped) == (0, 0)
        elif blocks.numeric[k]:
            assert alone == qiskit_price(blocks.unitaries[k])
            assert swapped == qiskit_price(SWAP @ blocks.unitaries[k])
            assert 1 <= alone <= 3
        else:
            assert (alone, swapped) == (node.written, node.written + 1)


def _pair(name: str, *angles: object, then_swap: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    getattr(circuit, name)(*angles, 0, 1)
    if then_swap:
        circuit.swap(0, 1)
    return circuit


@pytest.mark.parametrize(
    ("name", "angles", "alone", "swapped"),
    [
        ("cx", (), 1, 2), ("cz", (), 1, 2), ("ecr", (), 1, 2), ("iswap", (), 2, 1), ("dcx", (), 2, 1),
        ("rzz", (0.3,), 2, 3), ("rxx", (0.3,), 2, 3), ("cp", (0.3,), 2, 3), ("rzz", (np.pi / 2,), 1, 2),
        ("rzz", (Parameter("t"),), 2, 3), ("rxx", (Parameter("t"),), 2, 3), ("cp", (Parameter("t"),), 2, 3),
        ("crx", (Parameter("t"),), 2, 3),
    ],
)  # fmt: skip
def test_prices_of_single_gates(name: str, angles: tuple[object, ...], alone: int, swapped: int) -> None:
    blocks = view(_pair(name, *angles))
    assert blocks.price.tolist() == [alone]
    assert blocks.swapped_price.tolist() == [swapped]
    assert blocks.interactions == {(0, 1): alone}
    assert blocks.two_qubit_price == alone


@pytest.mark.parametrize("gate", ["rzz", "cp", "rxx"])
@pytest.mark.parametrize("angle", [0.0, 2 * np.pi, 4 * np.pi])
def test_blocks_of_numbers_without_interaction_become_one_qubit_gates(gate: str, angle: float) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    getattr(circuit, gate)(angle, 0, 1)
    circuit.ry(0.3, 1)
    lowered = lower(circuit)
    blocks = read_blocks(lowered.circuit, lowered.slots)
    assert (blocks.nodes, blocks.two_qubit_price) == ((), 0)
    assert blocks.one_qubit_only
    assert_same(lowered, blocks, written(blocks, [], slot_point(lowered)), slot_point(lowered))


def test_written_swaps_exchange_the_names_of_wires() -> None:
    circuit = QuantumCircuit(3)
    circuit.cx(0, 1)
    circuit.swap(1, 2)
    circuit.cx(0, 1)
    circuit.swap(0, 1)
    blocks = view(circuit)
    assert [node.wires for node in blocks.nodes] == [(0, 1), (0, 2)]
    assert blocks.output_wire == (2, 0, 1)
    assert view(circuit, relabel=False).output_wire == (0, 1, 2)


def test_a_written_swap_that_is_kept_costs_what_the_merged_block_costs() -> None:
    blocks = view(_pair("rzz", Parameter("t"), then_swap=True), relabel=False)
    assert blocks.price.tolist() == [3]
    assert view(_pair("cx", then_swap=True), relabel=False).price.tolist() == [2]
    assert view(_pair("swap"), relabel=False).price.tolist() == [3]


@pytest.mark.parametrize("gate", ["rzz", "cp"])
def test_a_diagonal_layer_is_one_stage_behind_the_gates_in_front(gate: str) -> None:
    circuit = QuantumCircuit(4)
    circuit.h(range(4))
    pairs = [(a, b) for a in range(4) for b in range(a)]
    for k, (a, b) in enumerate(pairs):
        getattr(circuit, gate)(*([] if gate == "cz" else [Parameter(f"t{k}")]), a, b)
    blocks = view(circuit)
    assert len(blocks.nodes) == 6
    assert set(blocks.stages) == {(0, 0)}
    assert blocks.openings.keys() == {(w, 0) for w in range(4)}


def test_cx_that_share_a_control_or_a_target_are_one_stage() -> None:
    for fan_out in (True, False):
        circuit = QuantumCircuit(4)
        for q in (1, 2, 3):
            circuit.cx(*((0, q) if fan_out else (q, 0)))
        blocks = view(circuit)
        hub = [at[node.wires.index(0)] for node, at in zip(blocks.nodes, blocks.stages)]
        assert hub == [0, 0, 0]
    chain = QuantumCircuit(3)
    chain.cx(0, 1)
    chain.cx(1, 2)
    assert view(chain).stages == ((0, 0), (1, 0))


def test_a_gate_that_does_not_commute_begins_a_new_stage_and_one_that_does_none() -> None:
    for name, expected in (("h", 1), ("rx", 1), ("rz", 0), ("s", 0)):
        circuit = QuantumCircuit(3)
        circuit.cx(0, 1)
        getattr(circuit, name)(*([0.3] if name[0] == "r" else []), 0)
        circuit.cx(0, 2)
        assert view(circuit).stages == ((0, 0), (expected, 0)), name


@pytest.mark.parametrize("fence", ["barrier", "reset", "delay", "measure"])
def test_a_fence_is_a_stage_of_its_own(fence: str) -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.cz(0, 1)
    match fence:
        case "barrier":
            circuit.barrier(0)
        case "reset":
            circuit.reset(0)
        case "delay":
            circuit.delay(100, 0, unit="ns")
        case _:
            circuit.measure(0, 0)
    circuit.cz(0, 2)
    blocks = view(circuit)
    assert blocks.stages == ((0, 0), (1,), (2, 0))
    assert blocks.nodes[1].fence is not None
    assert not blocks.openings


def test_measurements_into_the_same_bit_keep_their_order() -> None:
    circuit = QuantumCircuit(3, 1)
    for q in range(3):
        circuit.measure(q, 0)
    blocks = view(circuit)
    for seed in range(5):
        assert random_order(blocks, np.random.default_rng(seed)) == [0, 1, 2]


def test_blocks_of_one_stage_on_the_same_pair_merge() -> None:
    circuit = QuantumCircuit(3)
    a, b = Parameter("a"), Parameter("b")
    circuit.rzz(a, 0, 1)
    circuit.rzz(0.4, 1, 2)
    circuit.rzz(b, 0, 1)
    blocks = view(circuit)
    assert sorted(node.wires for node in blocks.nodes) == [(0, 1), (1, 2)]
    assert blocks.price.tolist() == [2, 2]


def test_blocks_that_merge_into_nothing_leave_no_node() -> None:
    circuit = QuantumCircuit(3)
    for a, b in ((0, 1), (0, 2), (0, 1), (1, 2), (1, 2)):
        circuit.cx(a, b)
    blocks = view(circuit)
    assert [node.wires for node in blocks.nodes] == [(0, 2)]
    symbolic = QuantumCircuit(3)
    t = Parameter("t")
    for a, b in ((0, 1), (0, 2), (0, 1)):
        symbolic.cx(a, b)
        symbolic.rz(t, 0)
    assert [node.wires for node in view(symbolic).nodes] == [(0, 2)]


def test_a_symbolic_rotation_between_two_cx_is_no_number() -> None:
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    circuit.rx(Parameter("t"), 0)
    circuit.cx(0, 1)
    assert view(circuit).numeric.tolist() == [False]
    assert view(circuit.assign_parameters([0.3])).numeric.tolist() == [True]


def test_the_same_circuit_gives_the_same_view() -> None:
    circuit = QuantumCircuit(4)
    for k, (a, b) in enumerate([(0, 1), (2, 3), (1, 2), (0, 1)]):
        circuit.rzz(Parameter(f"t{k}"), a, b)
    first, second = view(circuit), view(circuit)
    for name in ("parts", "nodes", "stages", "openings", "trailing", "output_wire"):
        assert getattr(first, name) == getattr(second, name)
    np.testing.assert_array_equal(first.unitaries, second.unitaries)


def test_prices_do_not_depend_on_the_global_phase() -> None:
    for seed in range(20):
        unitary = random_unitary(4, seed=seed).data
        phase = np.exp(1j * seed)
        many = np.array([unitary, phase * unitary, phase * CXGate().to_matrix(), phase * SWAP, phase * np.eye(4)])
        assert block_kernels.prices(many, False).tolist() == [3, 3, 1, 3, 0]
        assert block_kernels.prices(many, True).tolist() == [3, 3, 2, 0, 3]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_kernels_equal_their_plain_twins(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    fixed = [UnitaryGate(np.eye(2)).to_matrix(), np.diag([1, 1j]), np.array([[1, 1], [1, -1]]) / np.sqrt(2)]
    matrices = np.array([*fixed, np.array(rz_matrix(0.7)).reshape(2, 2), random_unitary(2, seed=rng).data])
    blocks = [
        data.draw(st.lists(st.sampled_from([-1, -1, -2, *range(10)]), max_size=12))
        for _ in range(data.draw(st.integers(0, 6)))
    ]
    offsets = np.cumsum([0, *map(len, blocks)])
    codes = np.array([code for block in blocks for code in block], np.int64)
    unitaries = block_kernels.block_unitaries(offsets, codes, matrices)
    expected = [block_plain.block_unitary(block, matrices) for block in blocks]
    np.testing.assert_allclose(unitaries, np.reshape(expected, (-1, 4, 4)), atol=1e-12)
    sets = [["".join(sorted(side)) for side in block_plain.commuting_axes(u)] for u in unitaries]
    found = [
        ["".join(name for bit, name in enumerate("XYZ") if side >> bit & 1) for side in pair]
        for pair in block_kernels.commuting_axes(unitaries).tolist()
    ]
    assert found == sets
    for swapped in (False, True):
        plain = [block_plain.price(u, swapped=swapped) for u in unitaries]
        assert block_kernels.prices(unitaries, swapped).tolist() == plain
        assert plain == [qiskit_price(SWAP @ u if swapped else u) for u in unitaries]
