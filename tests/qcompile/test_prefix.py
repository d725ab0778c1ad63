"""Circuits that nearly fit the chip: routings are valid, planted SWAPs are found, everything else is left alone."""

from __future__ import annotations

import time

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcompile.placement import matching
from qcompile.placement.couplings import Couplings, couplings
from qcompile.placement.matching import Knobs, growth_order, layout_score, match, place_scores
from qcompile.placement.prefix import pair_weights, prefix_layouts, span_pairs, spans
from qcompile.routing.beam import route
from qcompile.routing.prefix import route_nearly_fitting
from qcompile.routing.replay import Route, final_layout, plain_replay, replay
from qcompile.routing.view import View
from tests.benchmarks.planted_chips import GATES, edges
from tests.benchmarks.planted_instances import Planted, planted


@st.composite
def chips(draw: st.DrawFn) -> Couplings:
    size = draw(st.integers(2, 8))
    tree = nx.random_labeled_tree(size, seed=draw(st.integers(0, 2**20)))
    pairs = [(a, b) for a in range(size) for b in range(a)]
    return couplings(size, {(max(e), min(e)) for e in tree.edges} | set(draw(st.lists(st.sampled_from(pairs)))))


@st.composite
def views(draw: st.DrawFn, qubits: int) -> View:
    """Blocks in random groups, numbers of groups with gaps, and some fences."""
    pairs = [(a, b) for a in range(qubits) for b in range(qubits) if a != b]
    fence = st.lists(st.integers(0, qubits - 1), min_size=1, unique=True)
    drawn = draw(st.lists(st.tuples(st.sampled_from(pairs) | fence, st.integers(0, 2), st.integers(0, 2)), max_size=25))
    stage = [0] * qubits
    rows, fences = [], []
    for node, (on, up_a, up_b) in enumerate(drawn):
        if isinstance(on, list):
            for w in on:
                fences.append((node, w, stage[w] + 1))
                stage[w] += 2
            rows.append((-1, -1, -1, -1))
            continue
        a, b = on
        stage[a] += up_a
        stage[b] += up_b
        rows.append((a, b, stage[a], stage[b]))
    return View(
        qubits, *np.array(rows, np.int64).reshape(-1, 4).T.copy(), *np.array(fences, np.int64).reshape(-1, 3).T.copy()
    )


def view_of(instance: Planted) -> View:
    return View(instance.num_qubits, *instance.arrays())


def assert_valid(routed: Route, view: View, chip: Couplings) -> None:
    """Each block once, on a coupler, where its qubits are, after all blocks of earlier groups on both wires."""
    place = dict(enumerate(routed.layout.tolist()))
    assert len(set(place.values())) == view.num_qubits
    stage = [-(10**9)] * view.num_qubits
    ran = []
    for block, a, b in routed.items.tolist():
        if block >= 0 and view.first[block] < 0:
            assert (a, b) == (-1, -1)
            for row in np.flatnonzero(view.fence_node == block):
                assert stage[view.fence_wire[row]] <= view.fence_stage[row]
                stage[view.fence_wire[row]] = int(view.fence_stage[row])
            ran.append(block)
            continue
        assert chip.adjacency[a, b]
        if block < 0:
            change = {a: b, b: a}
            place = {v: change.get(p, p) for v, p in place.items()}
            continue
        u, v = int(view.first[block]), int(view.second[block])
        assert (place[u], place[v]) == (a, b)
        for wire, at in ((u, view.stage_first[block]), (v, view.stage_second[block])):
            assert stage[wire] <= at
            stage[wire] = int(at)
        ran.append(block)
    assert sorted(ran) == list(range(len(view.first)))
    assert routed.swaps == (routed.items[:, 0] < 0).sum()
    assert [place[v] for v in range(view.num_qubits)] == final_layout(routed).tolist()


def fewest_swaps(view: View, chip: Couplings, layout: np.ndarray) -> int:
    """Breadth-first over all SWAP sequences."""
    pairs = chip.edges.tolist()
    waiting: list[list[list[int]]] = [[]]
    for swaps in waiting:
        if sum(map(len, plain_replay(view, chip, layout, np.array(swaps, np.int64).reshape(-1, 2)))) == len(view.first):
            return len(swaps)
        waiting += [[*swaps, pair] for pair in pairs]
    raise AssertionError


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_routings_are_valid(data: st.DataObject) -> None:
    chip = data.draw(chips())
    view = data.draw(views(data.draw(st.integers(2, chip.size))))
    layouts = np.array([data.draw(st.permutations(range(chip.size)))[: view.num_qubits] for _ in range(2)], np.int64)
    routed = route(view, chip, layouts, limit=10 * len(view.first) + 10, width=20)
    if routed is not None:
        assert_valid(routed, view, chip)
        assert routed.layout.tolist() in layouts.tolist()
    routed = route_nearly_fitting(view, chip, limit=10**6)
    if routed is not None:
        assert_valid(routed, view, chip)
        again = route_nearly_fitting(view, chip, limit=10**6)
        assert again is not None
        np.testing.assert_array_equal(again.items, routed.items)
        assert_valid(
            routed.on(np.arange(chip.size)[::-1].copy()), view, couplings(chip.size, chip.size - 1 - chip.edges)
        )


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_replay_equals_its_plain_twin(data: st.DataObject) -> None:
    chip = data.draw(chips())
    view = data.draw(views(data.draw(st.integers(2, chip.size))))
    layout = np.array(data.draw(st.permutations(range(chip.size)))[: view.num_qubits], np.int64)
    pairs = chip.edges[data.draw(st.lists(st.integers(0, len(chip.edges) - 1), max_size=12))]
    expected = plain_replay(view, chip, layout, pairs)
    routed = replay(view, chip, layout, pairs)
    assert (routed is None) == (sum(map(len, expected)) < len(view.first))
    if routed is not None:
        cuts = np.flatnonzero(routed.items[:, 0] < 0)
        found = [set(part[part[:, 0] >= 0, 0].tolist()) for part in np.split(routed.items, cuts)]
        assert found == expected[: len(found)]
        assert not any(expected[len(found) :])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_beam_finds_the_fewest_swaps_of_small_circuits(data: st.DataObject) -> None:
    chip = couplings(4, [(0, 1), (1, 2), (2, 3)])
    view = data.draw(views(4)).part(0, 6)
    layout = np.arange(4)
    routed = route(view, chip, layout[None, :], limit=12, width=500)
    least = fewest_swaps(view, chip, layout)
    assert routed is not None
    assert routed.swaps == least


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_scores_of_grown_layouts_equal_the_plain_sum(data: st.DataObject) -> None:
    chip = data.draw(chips())
    size = data.draw(st.integers(2, chip.size))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    weights = np.triu(np.where(rng.random((size, size)) < 0.6, rng.random((size, size)) * 1.2, 0), 1)
    weights += weights.T
    scores = place_scores(weights, couplings(size, np.argwhere(np.triu(weights >= 1, 1))), chip, Knobs())
    order = growth_order(weights, scores, np.flatnonzero(weights.sum(1)), 0)
    rows, totals = matching.grow(weights, scores, order, chip, 10_000, 0.1)
    for row, total in zip(rows[:5], totals):
        assert layout_score(row, weights, scores, chip, 0.1) == pytest.approx(total)
    for row in match(weights, chip, Knobs(), count=5, seed=0)[0]:
        assert len(set(row.tolist())) == size


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_spans_end_where_degrees_exceed_the_chip(data: st.DataObject) -> None:
    chip = data.draw(chips())
    view = data.draw(views(chip.size))
    view = View(chip.size, *(column[view.blocks] for column in view[1:5]))

    def fits(begin: int, end: int) -> bool:
        met = couplings(chip.size, {(int(a), int(b)) for a, b in zip(view.first[begin:end], view.second[begin:end])})
        return bool((np.sort(met.degrees) <= np.sort(chip.degrees)).all())

    begin = 0
    for k, end in enumerate(ends := spans(view.first, view.second, chip).tolist()):
        assert end - begin <= 1 or fits(begin, end)
        assert end == len(view.first) or not fits(begin, end + 1)
        pairs = {(int(min(p)), int(max(p))) for p in zip(view.first[begin:end], view.second[begin:end])}
        assert {tuple(p) for p in span_pairs(view.first, view.second, np.array(ends), k).tolist()} == pairs
        begin = end
    weights = pair_weights(chip.size, view.first, view.second, np.array(ends), 0, 1.0)
    np.testing.assert_array_equal(weights, weights.T)
    met = couplings(chip.size, np.stack([view.first, view.second], axis=1))
    np.testing.assert_array_equal(weights > 0, met.adjacency)


@pytest.mark.parametrize("chip", ["grid16", "falcon27", "rochester53"])
@pytest.mark.parametrize(("swaps", "seed"), [(3, 0), (10, 1), (20, 2)])
def test_planted_swaps_are_found(chip: str, swaps: int, seed: int) -> None:
    graph = couplings(max(map(max, edges(chip))) + 1, edges(chip))
    view = view_of(planted(edges(chip), swaps, GATES[chip], seed))
    routed = route_nearly_fitting(view, graph)
    assert routed is not None
    assert_valid(routed, view, graph)
    assert routed.swaps == swaps


@pytest.mark.parametrize(("swaps", "seed"), [(3, 3), (5, 4), (10, 5), (20, 6)])
def test_planted_swaps_are_found_on_127_qubits(swaps: int, seed: int) -> None:
    graph = couplings(127, edges("eagle127"))
    view = view_of(planted(edges("eagle127"), swaps, GATES["eagle127"], seed))
    started = time.process_time()
    routed = route_nearly_fitting(view, graph)
    assert time.process_time() - started < 20  # compilation of the kernels included
    assert routed is not None
    assert_valid(routed, view, graph)
    assert routed.swaps <= 2 * swaps


def test_planted_instances_can_be_run_with_the_planted_swaps_and_not_with_fewer() -> None:
    graph = couplings(16, edges("grid16"))
    for seed in range(5):
        instance = planted(edges("grid16"), 4, 150, seed)
        view = view_of(instance)
        layout, swaps = np.array(instance.layout), np.array(instance.planted_swaps)
        routed = replay(view, graph, layout, swaps)
        assert routed is not None
        assert_valid(routed, view, graph)
        assert routed.swaps == 4
        assert replay(view, graph, layout, swaps[:-1]) is None
        assert len(spans(view.first, view.second, graph)) - 1 == 4
        assert instance.pairs == planted(edges("grid16"), 4, 150, seed).pairs


def test_an_ordinary_circuit_is_left_alone_cheaply() -> None:
    graph = couplings(127, edges("eagle127"))
    rng = np.random.default_rng(0)
    pairs = np.array([rng.permutation(60)[:2] for _ in range(600)])
    count = np.zeros(60, np.int64)
    stages = np.empty_like(pairs)
    for row, (a, b) in enumerate(pairs):
        stages[row] = count[[a, b]]
        count[[a, b]] += 1
    view = View(60, *(np.ascontiguousarray(c) for c in (*pairs.T, *stages.T)))
    route_nearly_fitting(view, graph)
    started = time.process_time()
    assert route_nearly_fitting(view, graph) is None
    assert time.process_time() - started < 0.5


def test_circuits_without_blocks_and_idle_qubits_route() -> None:
    chip = couplings(5, [(0, 1), (1, 2), (2, 3), (3, 4)])
    empty = View(3, *np.empty((4, 0), np.int64))
    routed = route_nearly_fitting(empty, chip)
    assert routed is not None
    assert routed.swaps == 0
    assert len(routed.items) == 0
    one = View(5, *np.array([[4], [1], [0], [0]]))
    routed = route_nearly_fitting(one, chip)
    assert routed is not None
    assert_valid(routed, one, chip)
    assert prefix_layouts(5, one.first, one.second, chip).shape[1] == 5
