"""Subgraph embedding: embeddings are embeddings, none is missed, certificates never refute what embeds."""

from __future__ import annotations

import time

import networkx as nx
import numpy as np
import pytest
import rustworkx as rx
from hypothesis import given, settings
from hypothesis import strategies as st

import qcompile
from qcompile import Device
from qcompile.placement import embedding
from qcompile.placement.certificates import cycle_lengths, fundamental_cycles, places, refuted, seats_suffice
from qcompile.placement.couplings import Couplings, couplings
from qcompile.placement.embedding import Prices, find, plain_search
from qcompile.placement.subgraph import cheapest, embeddings, live_couplings


@st.composite
def graphs(draw: st.DrawFn, smallest: int = 1, largest: int = 8) -> Couplings:
    size = draw(st.integers(smallest, largest))
    pairs = [(a, b) for a in range(size) for b in range(a)]
    return couplings(size, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else [])


def without_isolated(graph: Couplings) -> Couplings:
    kept = np.flatnonzero(graph.degrees)
    return couplings(len(kept), np.searchsorted(kept, graph.edges))


def all_embeddings(pattern: Couplings, host: Couplings) -> set[tuple[int, ...]]:
    """By rustworkx."""

    def graph(g: Couplings) -> rx.PyGraph[int, None]:
        out: rx.PyGraph[int, None] = rx.PyGraph()
        out.add_nodes_from(range(g.size))
        out.add_edges_from_no_data([tuple(e) for e in g.edges.tolist()])
        return out

    mappings = rx.vf2_mapping(graph(host), graph(pattern), subgraph=True, induced=False)
    return {tuple(big for big, _ in sorted(m.items(), key=lambda item: item[1])) for m in mappings}


@settings(max_examples=150, deadline=None)
@given(graphs(2, 5), graphs(2, 7), st.integers(0, 5))
def test_all_embeddings_are_found_and_no_others(pattern: Couplings, host: Couplings, seed: int) -> None:
    pattern = without_isolated(pattern)
    if not pattern.size:
        return
    found = find(pattern, host, limit=10_000, seed=seed)
    expected = all_embeddings(pattern, host)
    assert found.complete
    assert len(found.rows) == len(expected)
    assert {tuple(row) for row in found.rows.tolist()} == expected


@settings(max_examples=150, deadline=None)
@given(graphs(2, 8), st.data())
def test_certificates_never_refute_a_subgraph(host: Couplings, data: st.DataObject) -> None:
    kept = data.draw(st.permutations(range(host.size)))[: data.draw(st.integers(1, host.size))]
    label = {h: i for i, h in enumerate(kept)}
    edges = [(label[a], label[b]) for a, b in host.edges.tolist() if a in label and b in label]
    pattern = couplings(len(kept), data.draw(st.lists(st.sampled_from(edges), unique=True)) if edges else [])
    fits = places(pattern, host)
    assert refuted(pattern, host) is None
    assert fits[np.arange(len(kept)), kept].all()
    assert seats_suffice(fits)


@settings(max_examples=60, deadline=None)
@given(graphs(2, 5), graphs(3, 8))
def test_kernel_equals_its_plain_twin(pattern: Couplings, host: Couplings) -> None:
    pattern = without_isolated(pattern)
    if not pattern.size:
        return
    fits = places(pattern, host)
    plan = embedding._planned(pattern, fits)
    roots = np.arange(host.size)
    free = Prices(np.zeros(fits.shape), np.zeros((pattern.size,) * 2), np.zeros((host.size,) * 2))
    rows, _, cut = embedding._search(
        *plan, fits, host, roots, free, np.zeros(pattern.size + 1), False, 10_000, 10_000, 10**6, 10**6
    )
    assert not cut
    assert [tuple(r) for r in rows.tolist()] == list(plain_search(plan, fits, host, roots))


@settings(max_examples=60, deadline=None)
@given(graphs(2, 5), graphs(3, 7), st.integers(0, 2**20))
def test_priced_search_finds_the_cheapest(pattern: Couplings, host: Couplings, seed: int) -> None:
    pattern = without_isolated(pattern)
    if not pattern.size:
        return
    rng = np.random.default_rng(seed)
    vertex = rng.random((pattern.size, host.size))
    load, edge = rng.integers(1, 4, (pattern.size,) * 2) * 1.0, rng.random((host.size,) * 2)
    prices = Prices(vertex, load + load.T, edge + edge.T)

    def price(row: tuple[int, ...]) -> float:
        total = sum(vertex[v, h] for v, h in enumerate(row))
        return total + sum(prices.load[a, b] * prices.edge[row[a], row[b]] for a, b in pattern.edges)

    found = find(pattern, host, limit=3, seed=0, prices=prices)
    expected = sorted(price(row) for row in all_embeddings(pattern, host))[:3]
    assert found.complete
    np.testing.assert_allclose(found.prices, expected)
    np.testing.assert_allclose([price(tuple(row)) for row in found.rows.tolist()], expected)


@settings(max_examples=100, deadline=None)
@given(graphs(3, 8))
def test_cycle_bounds_hold_for_every_cycle(graph: Couplings) -> None:
    cycles = [len(c) for c in nx.simple_cycles(nx.Graph(graph.edges.tolist()))]
    bounds = cycle_lengths(graph.edges)
    assert (bounds is None) == (not cycles)
    assert set(fundamental_cycles(graph)) <= set(cycles)
    if bounds is not None:
        step, shortest, longest = bounds
        assert min(cycles) == shortest
        assert max(cycles) <= longest
        assert all(length % step == 0 for length in cycles)


@pytest.fixture(scope="module")
def brisbane() -> Device:
    return qcompile.load_device("ibm_brisbane")


def test_rings_on_a_heavy_hexagon_map_are_found_or_refuted_at_once(brisbane: Device) -> None:
    embeddings(nx.cycle_graph(12), brisbane, limit=1, seed=0)  # compiles
    for length in (12, 20, 24, 28, 32, 40, 48, 60):
        started = time.process_time()
        found = embeddings(nx.cycle_graph(length), brisbane, limit=5, seed=0)
        assert time.process_time() - started < 0.5
        assert len(found) == 5
        for row in found:
            assert len(set(row.tolist())) == length
            assert all(brisbane.graph.has_edge(int(a), int(b)) for a, b in zip(row, np.roll(row, 1)))
    for length in (3, 10, 16, 30, 50, 99, 127):
        started = time.process_time()
        assert not len(embeddings(nx.cycle_graph(length), brisbane, limit=5, seed=0))
        assert time.process_time() - started < 0.5
    assert cycle_lengths(live_couplings(brisbane)[1].edges)[:2] == (4, 12)  # type: ignore[index]


def test_embeddings_spread_over_the_chip_and_depend_on_the_seed_alone(brisbane: Device) -> None:
    pattern = nx.path_graph(12)
    found = embeddings(pattern, brisbane, limit=500, seed=3)
    assert len({tuple(r) for r in found.tolist()}) == len(found) == 500
    assert len(set(found[:, 0].tolist())) > 60
    np.testing.assert_array_equal(found, embeddings(pattern, brisbane, limit=500, seed=3))
    assert not np.array_equal(found, embeddings(pattern, brisbane, limit=500, seed=4))


def test_isolated_nodes_take_free_qubits(brisbane: Device) -> None:
    pattern: nx.Graph[int] = nx.Graph([(4, 7), (7, 9)])
    pattern.add_nodes_from([0, 8, 11])
    found = embeddings(pattern, brisbane, limit=50, seed=0)
    assert found.shape == (50, 6)
    assert all(len(set(row)) == 6 for row in found.tolist())
    prices = np.random.default_rng(0).random((6, brisbane.num_qubits))
    loads = nx.to_numpy_array(pattern, sorted(pattern))
    priced = cheapest(pattern, brisbane, prices, loads, np.ones((brisbane.num_qubits,) * 2), limit=5, seed=0)
    assert all(len(set(row)) == 6 for row in priced.rows.tolist())
    assert (np.diff(priced.prices) >= 0).all()
    assert not len(embeddings(nx.empty_graph(128), brisbane, limit=1, seed=0))
    assert embeddings(nx.empty_graph(3), brisbane, limit=9, seed=0).shape == (1, 3)


def test_bad_edges_are_refused() -> None:
    for edges in ([(0, 0)], [(0, 3)], [(-1, 0)]):
        with pytest.raises(ValueError, match="different vertices"):
            couplings(3, edges)
