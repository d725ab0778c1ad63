"""compile_quality.py: its circuits and chips are what they say, one yardstick judges all, and peers cannot fail it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

import qcompile
from qcompile.compiled import compact
from tests.benchmarks import compile_peers, compile_quality
from tests.benchmarks.compile_circuits import ALL, FAMILIES, MODERATE, QUICK, SMALL, bound, live_device, needs_routing
from tests.benchmarks.compile_peers import Peer, PeerError, qiskit_runs
from tests.benchmarks.compile_rows import Pair, Row, summary
from tests.benchmarks.compile_special import SPECIALS, Special, special_row, symbolic_and_bound
from tests.benchmarks.estimate_truth import active_qubits


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_circuits_are_bound_and_measure_every_qubit(family):
    circuit = bound(f"{family}-8-2")
    assert circuit.num_parameters == 0
    assert circuit.count_ops()["measure"] == circuit.num_qubits == 8
    assert circuit == bound(f"{family}-8-2")


@pytest.mark.parametrize("name", ["u3cu3-8", "nothing-8-2", "u3cu3-x-2"])
def test_unknown_circuits_are_refused(name):
    with pytest.raises(ValueError, match="Expected FAMILY-QUBITS-REPETITIONS"):
        bound(name)


def test_every_pair_is_of_a_known_family_and_chip():
    stored = {stored.name for stored in qcompile.list_devices()}
    for name in (*ALL, *MODERATE, *QUICK, *SMALL):
        circuit, chip = name.split("@")
        family, qubits, _ = circuit.split("-")
        assert family in FAMILIES
        assert chip in stored
        assert int(qubits) <= 16  # the live component of guadalupe, the smallest


def test_live_device_is_connected_and_has_no_dead_gate():
    device = live_device("ibm_torino")
    assert [len(c) for c in device.components] == [device.num_qubits]
    assert all(device.is_live(name, on) for name, on in device.gates if len(on) == 2)
    assert {name for name, on in device.gates if len(on) == 2} == {"cz"}


def test_needs_routing_tells_rings_that_fit_from_rings_that_do_not():
    device = live_device("ibm_brisbane")
    assert needs_routing(bound("rzzring-8-1"), device)
    assert not needs_routing(bound("rzzring-12-1"), device)
    assert not needs_routing(bound("su2lin-8-1"), device)


def test_esp_counts_gates_and_measured_qubits_as_our_estimate_does():
    device = live_device("ibm_guadalupe")
    mapped = qiskit_runs(bound("qaoa-6-1"), device, 1, range(1))[0].circuit
    assert compile_quality.esp(mapped, device) == pytest.approx(qcompile.estimate(mapped, device).success_probability)


def test_medians_and_the_best_run_stand_in_the_row():
    device = live_device("ibm_guadalupe")
    runs = qiskit_runs(bound("qaoa-8-1"), device, 1, range(4))
    scores = [compile_quality.esp(r.circuit, device) for r in runs]
    median, best = (compile_quality.row("x", runs, best=b) for b in (False, True))
    assert median.esp == pytest.approx(np.median(scores))
    assert best.esp == max(scores)
    assert best.cpu == pytest.approx(sum(r.cpu for r in runs))
    sizes = [sum(len(i.qubits) == 2 for i in r.circuit.data if i.operation.name != "barrier") for r in runs]
    assert median.two_qubit == np.median(sizes)
    assert best.two_qubit == sizes[int(np.argmax(scores))]


def test_summary_is_geometric_and_names_losses():
    def pair(name, qubits, routed, mine, peer):
        rows = [
            Row("ours fast", esp=mine, cpu=2.0),
            Row("O3 median", esp=peer, cpu=1.0),
        ]
        return Pair(name, "chip", qubits, routed, rows)

    pairs = [
        pair("a", 8, True, 0.8, 0.2), pair("b", 16, True, 0.1, 0.2), pair("small", 5, True, 0.1, 0.2),
        pair("fits", 8, False, 0.2, 0.2), pair("qft-8-1", 8, True, 1.0, 0.5),
    ]  # fmt: skip
    found = summary(pairs, ["fast"])
    assert found["pairs"] == 3
    assert found["means"]["fast"]["ESP over O3 median"] == pytest.approx(math.cbrt(4 * 0.5 * 2))
    assert found["means"]["fast"]["ESP over O3 median, not all-to-all"] == pytest.approx(math.sqrt(4 * 0.5))
    assert found["means"]["fast"]["CPU in O3 runs"] == pytest.approx(2)
    assert [x["pair"] for x in found["losses"]["fast"]] == ["b@chip", "small@chip"]


@pytest.mark.parametrize(("ends", "error"), [([0, 2], None), ([0], "measures bits")])
def test_a_peers_circuit_is_finished_on_its_own_places(ends, error):
    device = qcompile.Device.from_coupling([(0, 1), (1, 2)])
    mapped = QuantumCircuit(3, 2)
    mapped.h(0)
    mapped.cx(0, 1)
    mapped.swap(1, 2)
    for bit, place in enumerate(ends):
        mapped.measure(place, bit)
    original = QuantumCircuit(2, 2)
    original.h(0)
    original.cx(0, 1)
    original.measure([0, 1], [0, 1])
    if error:
        with pytest.raises(PeerError, match=error):
            compile_peers._finished(mapped, original, device)
        return
    native = compile_peers._finished(mapped, original, device)
    qcompile.assert_executable(native, device)
    assert native.layout.final_index_layout(filter_ancillas=True) == ends
    assert native.count_ops()["cx"] == 4


def test_a_peer_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(compile_peers, "installed", lambda name: False)
    with pytest.raises(PeerError, match="pip install pytket"):
        Peer("pytket").map(bound("qaoa-4-1"), live_device("ibm_guadalupe"))


@pytest.mark.parametrize("name", compile_peers.NAMES)
def test_an_installed_peer_keeps_the_distribution(name):
    if not compile_peers.installed(name):
        pytest.skip(f"{name} is not installed")
    circuit, peer = bound("u3cu3-4-1"), Peer(name)
    try:
        mapped = peer.map(circuit, live_device("ibm_guadalupe")).circuit
    finally:
        peer.close()
    active = active_qubits(mapped)
    small = compact(mapped, active)
    small.remove_final_measurements()
    ends = [active.index(p) for p in mapped.layout.final_index_layout(filter_ancillas=True)]
    expected = Statevector(circuit.remove_final_measurements(inplace=False)).probabilities()
    assert Statevector(small).probabilities(ends) == pytest.approx(expected, abs=1e-9)


def test_quick_run_prints_one_document(monkeypatch, capsys):
    arguments = [
        "--pairs",
        "u3cu3-4-1@ibm_guadalupe",
        "--efforts",
        "fast",
        "--seeds",
        "2",
        "--without",
        "pytket",
        "QMAP",
    ]
    monkeypatch.setattr("sys.argv", ["compile_quality.py", *arguments, "--json"])
    with pytest.raises(SystemExit) as done:
        compile_quality.main()
    assert done.value.code == 0
    document = json.loads(capsys.readouterr().out)
    rows = {r["tool"]: r for r in document["pairs"][0]["rows"]}
    assert set(rows) == {"ours fast", "O2 median", "O3 median", "O3 best", "O3 in region median", "O3 in region best"}
    assert rows["ours fast"]["exact"] == pytest.approx(rows["ours fast"]["state"], abs=1e-6)
    assert all(0 < r["esp"] <= 1 and r["two_qubit"] >= 8 for r in rows.values())


def test_symbolic_results_are_judged_bound():
    left, numbers = symbolic_and_bound("qaoa-4-1@ibm_manila", "fast")
    assert left.circuit.num_parameters == numbers.circuit.num_parameters == 0
    values = [qcompile.estimate(m.circuit, m.device).state_fidelity for m in (left, numbers)]
    assert min(values) > 0.5


def test_special_circuits_take_the_fewest_seconds_of_their_repeats():
    assert {s.name for s in SPECIALS} >= {"u3cu3-4-2", "rzzring-50-1", "su2circ-127-3", "qaoa-50-1"}
    mapped = special_row(Special("u3cu3-4-1", "ibm_manila", symbolic=True), "fast", repeats=2)
    assert mapped.cpu > 0
    assert mapped.circuit.num_parameters == 0
