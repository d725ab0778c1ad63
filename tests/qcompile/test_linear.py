"""Linear reversible maps, parity networks and the regions they rewrite: the same circuit, the known figures."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import PermutationGate, efficient_su2, real_amplitudes, zz_feature_map
from qiskit.quantum_info import Operator
from qiskit.synthesis import synth_cnot_count_full_pmh

from qcompile import line_order, linear, phase_polynomial, regions
from qcompile.lowering import lower
from tests.qcompile.lowered import lowered_circuits, marked


@st.composite
def cx_lists(draw: st.DrawFn, most: int = 12) -> tuple[int, list[tuple[int, int]]]:
    n = draw(st.integers(2, most))
    wires = st.lists(st.integers(0, n - 1), min_size=2, max_size=2, unique=True)
    return n, [(a, b) for a, b in draw(st.lists(wires, max_size=60))]


def carried_back(operator: Operator, ends: tuple[int, ...]) -> Operator:
    """The operator, then each qubit ends[v] put back to v."""
    back = QuantumCircuit(len(ends))
    back.append(PermutationGate(list(ends)), range(len(ends)))
    return operator.compose(Operator(back))


def cx_count(circuit: QuantumCircuit) -> int:
    counts = circuit.count_ops()
    return counts.get("cx", 0) + 3 * counts.get("swap", 0)


def cx_pairs(circuit: QuantumCircuit) -> list[tuple[int, int]]:
    index = {q: i for i, q in enumerate(circuit.qubits)}
    return [(index[i.qubits[0]], index[i.qubits[1]]) for i in circuit.data if i.name == "cx"]


@given(cx_lists())
@settings(max_examples=150, deadline=None)
def test_synthesis_does_the_same_map_and_knows_the_order_of_time(case: tuple[int, list[tuple[int, int]]]) -> None:
    n, pairs = case
    rows = linear.linear_map(pairs, n)
    found = linear.synthesize_linear(rows, pairs)
    assert found is not None
    assert np.array_equal(linear.linear_map(found, n), rows)
    assert found == linear.synthesize_linear(rows, pairs)
    assert linear.synthesize_linear(rows, pairs, fewer_than=len(found)) is None


@given(cx_lists(most=9))
@settings(max_examples=50, deadline=None)
def test_kernel_agrees_with_its_plain_twin(case: tuple[int, list[tuple[int, int]]]) -> None:
    n, pairs = case
    rows = linear.linear_map(pairs, n)
    dual = linear.transpose(linear.invert(rows))
    liked = np.eye(n, k=1, dtype=bool) | np.eye(n, k=-1, dtype=bool)
    for greedy in (0, 1, 2):
        for most_greedy in (3, 1000):
            arguments = (rows, dual, liked, greedy, 2 * n * n, most_greedy)
            assert np.array_equal(linear.eliminate(*arguments), linear.eliminate.py_func(*arguments))


@pytest.mark.parametrize("n", [1, 5, 63, 64, 65, 127, 130])
def test_matrices_of_any_width_are_inverted_and_transposed(n: int) -> None:
    rng = np.random.default_rng(n)
    pairs = [tuple(int(q) for q in rng.choice(n, 2, replace=False)) for _ in range(6 * n)] if n > 1 else []
    rows = linear.linear_map(pairs, n)
    assert np.array_equal(linear.invert(rows), linear.linear_map(pairs[::-1], n))
    assert np.array_equal(linear.transpose(rows), linear.linear_map([(b, a) for a, b in pairs[::-1]], n))
    assert np.array_equal(linear.packed(linear.unpacked(rows)), rows)


def test_a_matrix_without_inverse_is_refused() -> None:
    with pytest.raises(ValueError, match="has no inverse"):
        linear.synthesize_linear(linear.packed([1, 2, 3]))


@pytest.mark.parametrize(("n", "count"), [(8, 30), (12, 60), (16, 200), (32, 400)])
def test_random_maps_take_fewer_cx_than_by_patel_markov_hayes(n: int, count: int) -> None:
    ours = theirs = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        pairs = [tuple(int(q) for q in rng.choice(n, 2, replace=False)) for _ in range(count)]
        rows = linear.linear_map(pairs, n)
        ours += len(linear.synthesize_linear(rows) or [])
        matrix = np.array([[bool(row >> j & 1) for j in range(n)] for row in linear.unpacked(rows)])
        theirs += min(synth_cnot_count_full_pmh(matrix, size).size() for size in (2, 3, 4))
    assert ours < theirs


@given(lowered_circuits())
@settings(max_examples=200, deadline=None)
def test_alternatives_do_the_same_with_fewer_cx(circuit: QuantumCircuit) -> None:
    rng = np.random.default_rng(0)
    values = {p: float(rng.uniform(-3, 3)) for p in circuit.parameters}
    found = regions.alternatives(circuit)
    for other, ends in ((f.circuit, f.ends) for f in found):
        if ends == tuple(range(circuit.num_qubits)):
            assert cx_count(other) <= 1.5 * cx_count(circuit)
        assert carried_back(marked(other, values), ends).equiv(marked(circuit, values), atol=1e-7)
        assert other.qregs == circuit.qregs
        assert other.cregs == circuit.cregs
    assert regions.alternatives(circuit) == found


@given(lowered_circuits())
@settings(max_examples=100, deadline=None)
def test_layers_are_the_circuit_in_another_order(circuit: QuantumCircuit) -> None:
    rng = np.random.default_rng(0)
    values = {p: float(rng.uniform(-3, 3)) for p in circuit.parameters}
    again = circuit.copy_empty_like()
    for others, gathered in regions.layers(circuit):
        assert all(i.name in ("cx", "swap", "rz", "s", "t", "z") for i in gathered)
        for instruction in (*others, *gathered):
            again.append(instruction)
    assert dict(again.count_ops()) == dict(circuit.count_ops())
    assert marked(again, values).equiv(marked(circuit, values), atol=1e-7)


@pytest.mark.parametrize(("n", "reps"), [(4, 1), (10, 2), (16, 2), (70, 1)])
@pytest.mark.parametrize("build", [efficient_su2, real_amplitudes])
def test_full_entanglement_takes_n_minus_1_cx_a_layer(build: object, n: int, reps: int) -> None:
    circuit = lower(build(n, reps=reps, entanglement="full")).circuit  # type: ignore[operator]
    assert cx_count(circuit) == reps * n * (n - 1) // 2
    ((other, ends),) = [(f.circuit, f.ends) for f in regions.alternatives(circuit)]
    assert ends == tuple(range(n))
    assert cx_count(other) == reps * (n - 1)
    assert {(min(p), max(p)) for p in cx_pairs(other)} == {
        (q, q + 1) for q in range(n - 1)
    }  # a path, which every chip has


@pytest.mark.parametrize("entanglement", ["linear", "reverse_linear", "circular", "sca", "pairwise"])
def test_what_is_sparse_already_has_no_alternative(entanglement: str) -> None:
    assert regions.alternatives(lower(efficient_su2(12, reps=3, entanglement=entanglement)).circuit) == []


def test_other_qubits_do_not_end_a_region_but_a_measurement_ends_it_on_its_own() -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.cx(0, 1)
    circuit.h(2)
    circuit.cx(0, 1)
    assert [i.name for i in regions.alternatives(circuit)[0].circuit.data] == ["h"]
    circuit.measure(1, 0)
    circuit.cx(0, 1)
    circuit.cx(0, 1)
    assert [i.name for i in regions.alternatives(circuit)[0].circuit.data] == ["h", "measure"]
    circuit = QuantumCircuit(2, 1)
    circuit.cx(0, 1)
    circuit.measure(1, 0)
    circuit.cx(0, 1)
    assert regions.alternatives(circuit) == []


@pytest.mark.parametrize("n", range(2, 24))
@pytest.mark.parametrize("build", [phase_polynomial.all_pairs, phase_polynomial.all_pairs_reversing])
def test_a_line_network_meets_every_pair_and_leaves_one_bit_a_wire(n: int, build: object) -> None:
    network = build(n)  # type: ignore[operator]
    assert all(abs(control - target) == 1 and min(control, target) >= 0 for control, target in network)
    every = {1 << i | 1 << j for i in range(n) for j in range(i)}
    assert every <= set(phase_polynomial.parities(network, n))
    assert every <= set(phase_polynomial.parities(network[::-1], n))
    ends = phase_polynomial.final_bits(network, n)
    assert sorted(ends) == list(range(n))
    if build is phase_polynomial.all_pairs_reversing:
        assert ends == list(range(n))[::-1]
    else:
        assert len(network) <= 0.95 * (n * n - 1)


@given(st.integers(2, 9), st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_walk_meets_what_is_wanted_along_its_line(n: int, seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    wanted = [pair for pair in itertools.combinations(range(n), 2) if rng.random() < density]
    order, exchanges = line_order.walk(n, wanted, 2)
    assert (order, exchanges) == line_order.walk(n, wanted, 2)
    network = phase_polynomial.along(order, exchanges)
    beside = {frozenset(pair) for pair in itertools.pairwise(order)}
    assert all(frozenset(pair) in beside for pair in network)
    assert {1 << i | 1 << j for i, j in wanted} <= set(phase_polynomial.parities(network, n))
    assert sorted(phase_polynomial.final_bits(network, n)) == list(range(n))
    assert len(network) <= len(phase_polynomial.along(range(n), [w for k in range(n) for w in range(k % 2, n - 1, 2)]))


def test_kernels_of_a_walk_agree_with_their_plain_twins() -> None:
    rng = np.random.default_rng(0)
    price = rng.uniform(1, 2, (7, 7))
    price += price.T
    wanted = np.array([(0, 3), (1, 5), (2, 6), (3, 4)])
    arguments = (price, wanted, rng.integers(0, 7, (300, 2)), rng.random(300), 0.3, 0.02)
    order = line_order.arrange(*arguments)
    assert np.array_equal(order, line_order.arrange.py_func(*arguments))
    exchanges = rng.integers(0, 6, 60)
    assert np.array_equal(
        line_order.needed(order, exchanges, wanted[:1]), line_order.needed.py_func(order, exchanges, wanted[:1])
    )


@pytest.mark.parametrize(("n", "most"), [(8, 27), (10, 38), (12, 63), (16, 91)])
def test_a_3_regular_graph_takes_little_more_than_its_own_cx(n: int, most: int) -> None:
    edges = sorted(nx.random_regular_graph(3, n, seed=7).edges)
    assert len(phase_polynomial.some_pairs(n, edges, 16)) <= most


@given(st.integers(3, 6), st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([0.8, 1.0]))
@settings(max_examples=40, deadline=None)
def test_dense_zz_rotations_are_laid_along_a_line(n: int, seed: int, rounds: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(n)
    for k in range(rounds):
        circuit.rx(0.3 + k, range(n))
        for a, b in itertools.combinations(range(n), 2):
            if rng.random() < density:
                circuit.rzz(Parameter(f"{k} {a} {b}"), a, b)
    circuit.measure_all()
    lowered = lower(circuit).circuit
    found = regions.alternatives(lowered)
    values = {p: float(rng.uniform(-3, 3)) for p in lowered.parameters}
    for other, ends in ((f.circuit, f.ends) for f in found):
        assert carried_back(marked(other, values), ends).equiv(marked(lowered, values), atol=1e-7)
    assert found or density < 1


@pytest.mark.parametrize(("n", "most"), [(8, 98), (10, 170), (12, 254), (16, 466)])
def test_a_full_zz_feature_map_takes_few_cx_between_neighbours(n: int, most: int) -> None:
    circuit = lower(zz_feature_map(n, reps=2, entanglement="full")).circuit
    (short,) = regions.alternatives(circuit)
    assert cx_count(short.circuit) <= most < 3 * n * (n - 1)  # two SWAP networks
    assert short.ends == tuple(range(n))  # there and back
    assert {abs(a - b) for a, b in cx_pairs(short.circuit)} == {1}
    assert short.circuit.num_parameters == circuit.num_parameters


def test_an_ansatz_after_a_feature_map_stays_on_the_reversed_line() -> None:
    circuit = zz_feature_map(7, reps=1, entanglement="full").compose(real_amplitudes(7, entanglement="full", reps=1))
    *_, short, reversing = regions.alternatives(lower(circuit).circuit)
    assert reversing.ends == tuple(range(7))[::-1] != short.ends
    assert (
        {abs(a - b) for a, b in cx_pairs(reversing.circuit)} == {1} != {abs(a - b) for a, b in cx_pairs(short.circuit)}
    )
    assert cx_count(reversing.circuit) == len(phase_polynomial.all_pairs_reversing(7)) + 6
