"""Pictures: every chip is drawn without overlap, and what is dead, used or unusable is marked."""

import io
import itertools
import math
from dataclasses import replace

import networkx as nx
import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle
from qiskit import QuantumCircuit

import qcompile
from qcompile.coordinates import coordinates, couplers

STORED = [s.name for s in qcompile.list_devices() if s.origin != "user"]


def ring(n: int) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    for q in range(n):
        circuit.cx(q, (q + 1) % n)
    return circuit


def texts(figure) -> set[str]:
    axes = figure.axes[0]
    legend = axes.get_legend()
    return {t.get_text() for t in axes.texts} | {t.get_text() for t in (legend.get_texts() if legend else ())}


def png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


@pytest.mark.parametrize("name", STORED)
def test_stored_chip_is_drawn_on_its_grid(name: str) -> None:
    device = qcompile.load_device(name)
    where = coordinates(device)
    assert len(set(where.values())) == device.num_qubits
    assert {round(math.dist(where[a], where[b]), 9) for a, b in couplers(device)} == {1.0}


@pytest.mark.parametrize(
    "edges",
    [
        list(nx.complete_graph(8).edges),
        list(nx.cycle_graph(7).edges),
        list(nx.star_graph(6).edges),
        list(nx.random_regular_graph(3, 20, seed=1).edges),
        [(0, 1), (3, 4), (4, 5)],
        [],
    ],
    ids=["complete", "cycle", "star", "regular", "islands", "no couplers"],
)
def test_any_other_chip_is_drawn_without_overlap(edges) -> None:
    device = qcompile.Device.from_coupling(edges, num_qubits=max([3, *(max(e) + 1 for e in edges)]))
    where = coordinates(device)
    assert min(math.dist(where[a], where[b]) for a, b in itertools.combinations(where, 2)) > 0.7
    assert where == coordinates(device)
    assert png(qcompile.draw_device(device)).startswith(b"\x89PNG")


def test_same_picture_every_time() -> None:
    device = qcompile.load_device("jakarta")
    compiled = qcompile.compile(ring(4), device, effort="fast")
    assert png(qcompile.draw_device(device, compiled)) == png(qcompile.draw_device(device, compiled))


def test_dead_couplers_and_unusable_qubits_are_marked() -> None:
    assert {"dead coupler", "unusable qubit"} <= texts(qcompile.draw_device(qcompile.load_device("kingston")))
    assert not {"dead coupler", "unusable qubit"} & texts(qcompile.draw_device(qcompile.load_device("guadalupe")))
    figure = qcompile.draw_device(qcompile.load_device("manhattan"))
    dashed = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection) and c.get_array() is None)
    assert len(dashed.get_segments()) == 22


def test_a_chip_on_which_everything_is_dead_is_drawn() -> None:
    figure = qcompile.draw_device(qcompile.load_device("kyoto"))
    assert "dead coupler" in texts(figure)
    assert len(figure.axes) == 2, "one colour bar: no coupler has an error to show"


def test_active_qubits_are_ringed_and_named() -> None:
    device = qcompile.load_device("guadalupe")
    compiled = qcompile.compile(ring(5), device, effort="fast")
    figure = qcompile.draw_device(device, compiled)
    assert {f"q{v}" for v in range(5)} <= texts(figure)
    circles = [p for p in figure.axes[0].patches if isinstance(p, Circle)]
    assert sum(c.get_linewidth() > 2 for c in circles) == len(compiled.active_qubits)
    places = {t.get_text(): t.get_position() for t in figure.axes[0].texts}
    for v, p in enumerate(compiled.initial_layout.physical):
        assert math.dist(places[f"q{v}"], coordinates(device)[p]) < 0.6


def test_circuit_that_someone_else_mapped_is_drawn_too() -> None:
    device = qcompile.load_device("manila")
    circuit = QuantumCircuit(3)
    circuit.cx(1, 2)
    figure = qcompile.draw_device(device, circuit, color_by="t1", title="mine")
    circles = [p for p in figure.axes[0].patches if isinstance(p, Circle)]
    assert [c.get_linewidth() > 2 for c in circles] == [False, True, True, False, False]
    assert figure.axes[0].get_title() == "mine"


def test_unknown_values_are_drawn_white() -> None:
    device = qcompile.Device.from_target(
        qcompile.Device.from_coupling([(0, 1)], t1=1e-4, t2=1e-4).target(), name="my_target"
    )
    assert png(qcompile.draw_device(device, color_by="t2"))


def test_bad_arguments_are_refused() -> None:
    device = qcompile.load_device("manila")
    with pytest.raises(qcompile.InputError, match="color_by = 'age'"):
        qcompile.draw_device(device, color_by="age")
    with pytest.raises(qcompile.InputError, match="6 qubits; ibm_manila has 5"):
        qcompile.draw_device(device, ring(6))


def test_schedule_shows_every_active_qubit_and_where_it_waits() -> None:
    circuit = ring(4)
    circuit.measure_all()
    compiled = qcompile.compile(circuit, qcompile.load_device("jakarta"), effort="fast")
    figure = qcompile.draw_schedule(compiled)
    axes = figure.axes[0]
    assert len(axes.get_yticklabels()) == len(compiled.active_qubits)
    hatched = [c for c in axes.collections if c.get_hatch()]
    assert len(hatched) == len(compiled.schedule.idle)
    assert axes.get_xlim()[1] == pytest.approx(compiled.schedule.duration * 1e6)
    assert png(figure)


def test_comparison_has_a_bar_for_each_known_number() -> None:
    comparison = qcompile.compare(ring(3), qcompile.load_device("manila"), effort="fast")
    figure = qcompile.draw_comparison(comparison)
    titles = ["estimated fidelity", "two-qubit gates", "duration, µs", "QPU time of 4,096 shots, s, and price"]
    assert [axes.get_title() for axes in figure.axes] == titles
    assert len(figure.axes[0].patches) == 12  # state, Hellinger and ESP of four rows
    assert any("USD" in t.get_text() for t in figure.axes[3].texts)
    shown = {t.get_text() for t in figure.axes[0].texts}
    assert f"{comparison['qcompile'].state_fidelity:.3f}" in shown
    assert "2026-05-25" in figure.get_supxlabel()
    assert png(figure)


def test_comparison_shows_how_far_off_a_fidelity_may_be_and_what_is_not_known() -> None:
    comparison = qcompile.compare(ring(3), qcompile.load_device("manila"), effort="fast")
    ideal, *mapped = comparison.rows
    rows = (ideal, *(replace(r, method="cluster", uncertainty=0.02, hellinger_fidelity=None, usd=None) for r in mapped))
    figure = qcompile.draw_comparison(replace(comparison, rows=rows))
    shown = [t.get_text() for t in figure.axes[0].texts]
    assert sum("± 0.020" in text for text in shown) == 3
    assert shown.count("not estimated") == 3
    assert any("no price" in t.get_text() for t in figure.axes[3].texts)
    assert "two-qubit cluster marginals (9 of 10 within ± 0.020)" in figure.get_supxlabel()
    assert png(figure)
