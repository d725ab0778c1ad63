"""compare: four ways to map a circuit, judged by one yardstick."""

import json
from dataclasses import replace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

import qcompile
from qcompile.examples import PQC6


def symbolic() -> QuantumCircuit:
    circuit = QuantumCircuit(4, name="symbolic")
    for q in range(4):
        circuit.ry(Parameter(f"a{q}"), q)
    for q in range(4):
        circuit.rzz(Parameter(f"b{q}"), q, (q + 1) % 4)
    circuit.measure_all()
    return circuit


@pytest.fixture(scope="module")
def comparison() -> qcompile.Comparison:
    return qcompile.compare(PQC6, qcompile.load_device("guadalupe"), shots=1000)


def test_every_way_of_mapping_has_its_row(comparison) -> None:
    assert [row.name for row in comparison.rows] == ["ideal", "trivial", "Qiskit O3", "qcompile"]
    assert comparison.draws == 8
    ideal = comparison["ideal"]
    assert (ideal.state_fidelity, ideal.two_qubit_gates, ideal.duration, ideal.usd) == (1.0, 24, None, None)
    with pytest.raises(KeyError, match="tket"):
        comparison["tket"]


def test_thinking_beats_not_thinking(comparison) -> None:
    trivial, o3, ours = (comparison[name] for name in ("trivial", "Qiskit O3", "qcompile"))
    assert trivial.state_fidelity < min(o3.state_fidelity, ours.state_fidelity)
    assert trivial.two_qubit_gates > max(o3.two_qubit_gates, ours.two_qubit_gates)
    assert ours.state_fidelity > o3.state_fidelity


def test_our_row_is_the_compiler_s_own_estimate(comparison) -> None:
    ours, found = comparison["qcompile"], comparison.compiled.estimate
    assert ours.state_fidelity == found.state_fidelity
    assert ours.swaps == found.swaps
    assert ours.qpu_seconds == qcompile.cost(comparison.compiled, shots=1000).qpu_seconds
    assert ours.breakdown == dict(found.breakdown)


@pytest.mark.parametrize("chip", ["guadalupe", "torino", "manhattan", "cairo", "kingston"])
def test_mapped_circuits_run_on_the_device_dead_gates_and_islands_or_not(chip: str) -> None:
    device = qcompile.load_device(chip)
    found = qcompile.compare(symbolic(), device, effort="fast")
    for name, circuit in found.circuits.items():
        qcompile.assert_executable(circuit, device)
        assert circuit.num_qubits == device.num_qubits
        assert name in ("trivial", "Qiskit O3", "qcompile")


def test_numbers_of_a_qiskit_row_are_those_of_its_circuit() -> None:
    """The circuit was cut down to the live region for Qiskit and put back: nothing may change on the way."""
    device = qcompile.load_device("torino")
    values = np.linspace(0.1, 3, 8)
    found = qcompile.compare(symbolic(), device, values=values, effort="fast")
    assert found.draws == 1
    for name in ("trivial", "Qiskit O3"):
        row, again = found[name], qcompile.estimate(found.circuits[name], device)
        assert row.state_fidelity == pytest.approx(again.state_fidelity, abs=1e-12)
        assert row.success_probability == pytest.approx(again.success_probability, abs=1e-12)
        assert row.hellinger_fidelity == pytest.approx(again.hellinger_fidelity, abs=1e-12)
        assert (row.two_qubit_gates, row.depth) == (again.two_qubit_gates, again.depth)
        assert row.duration == pytest.approx(again.duration)


def test_mapped_circuits_do_what_the_original_does() -> None:
    device = qcompile.load_device("jakarta")
    circuit = symbolic()
    bound = circuit.assign_parameters(np.linspace(0.1, 3, 8))
    found = qcompile.compare(bound, device, effort="fast")
    for mapped in found.circuits.values():
        start = mapped.layout.initial_index_layout(filter_ancillas=True)
        end = mapped.layout.final_index_layout(filter_ancillas=True)
        as_compiled = qcompile.CompiledCircuit(
            mapped, qcompile.Layout(tuple(start)), qcompile.Layout(tuple(end)), found.compiled.estimate, device
        )
        qcompile.assert_equivalent(bound, as_compiled)


def test_trivial_row_counts_its_swaps() -> None:
    line = qcompile.Device.from_coupling([(0, 1), (1, 2), (2, 3)])
    circuit = QuantumCircuit(4)
    circuit.cx(0, 3)
    found = qcompile.compare(circuit, line)
    assert found["trivial"].swaps == 2
    assert found["qcompile"].swaps == 0
    assert found["Qiskit O3"].swaps == 0


def test_same_seed_same_numbers() -> None:
    device = qcompile.load_device("guadalupe")
    first, second = (qcompile.compare(symbolic(), device, seed=5, effort="fast").to_dict() for _ in range(2))
    for rows in (first["rows"], second["rows"]):
        for row in rows:
            del row["compile_seconds"]
    assert first == second


def test_prints_as_json_text_and_html(comparison) -> None:
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert values["rows"][3]["name"] == "qcompile"
    assert values["shots"] == 1000
    text = str(comparison)
    assert "pqc6 on ibm_guadalupe, 1000 shots, mean of 8 parameter draws" in text
    assert "Upper bounds" in text
    assert max(map(len, text.splitlines())) <= 100
    html = comparison._repr_html_()
    assert html.count("<tr>") == 5
    assert (
        "<script"
        not in qcompile.compare(
            QuantumCircuit(1, name="<script>"), qcompile.load_device("manila"), effort="fast"
        )._repr_html_()
    )


def test_rows_are_announced() -> None:
    said: list[str] = []
    qcompile.compare(symbolic(), qcompile.load_device("manila"), effort="fast", progress=said.append)
    assert said == ["trivial", "Qiskit O3", "qcompile"]


def test_bad_input_is_refused_before_any_work() -> None:
    said: list[str] = []
    manila = qcompile.load_device("manila")
    for arguments, error in (
        ((symbolic(), qcompile.load_device("kyoto")), qcompile.UnroutableError),
        ((QuantumCircuit(6), manila), qcompile.UnroutableError),
    ):
        with pytest.raises(error):
            qcompile.compare(*arguments, progress=said.append)
    with pytest.raises(qcompile.InputError, match="shots"):
        qcompile.compare(symbolic(), manila, shots=0, progress=said.append)
    with pytest.raises(qcompile.CircuitError, match="values"):
        qcompile.compare(symbolic(), manila, values=[1.0], progress=said.append)
    assert said == []


def test_rows_say_how_sure_they_are(comparison) -> None:
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert (values["seed"], values["effort"], values["calibrated_at"][:10]) == (0, "normal", "2021-04-20")
    ideal, *mapped = values["rows"]
    assert (ideal["by_now"], ideal["method"], ideal["hellinger_uncertainty"]) == (None, None, None)
    for row in mapped:
        assert (row["method"], row["uncertainty"], row["hellinger_uncertainty"]) == ("exact", 0.0, 0.0)
        assert row["by_now"]["low"] < row["state_fidelity"] < row["by_now"]["high"]
        assert row["assumptions"] == ["price as of 2026-05-25"]
    words = " ".join(str(comparison).split())
    for part in (
        "by exact simulation",
        "by now, after the drift since 2021-04-20 (68 %): trivial",
        "Bill: price as of",
    ):
        assert part in words
        assert part in comparison._repr_html_()


def test_a_lead_within_the_uncertainty_is_none(comparison) -> None:
    assert [row.name for row in comparison.level] == ["qcompile"], "exact: who is ahead is ahead"
    ours, o3 = comparison["qcompile"], comparison["Qiskit O3"]
    gap = ours.state_fidelity - o3.state_fidelity
    for off, level in ((gap + 1e-3, ["qcompile", "Qiskit O3"]), (gap - 1e-3, ["qcompile"])):
        rows = (*comparison.rows[:2], replace(o3, uncertainty=off, method="cluster"), ours)
        unsure = replace(comparison, rows=rows)
        assert [row.name for row in unsure.level] == level
        assert ("Level, within the uncertainty" in str(unsure)) == (len(level) > 1)
        assert unsure.to_dict()["level"] == level


def test_credits_are_compared() -> None:
    line = replace(qcompile.Device.from_coupling([(0, 1), (1, 2), (2, 3)]), name="quantinuum_h1")
    found = qcompile.compare(symbolic(), line, effort="fast", shots=100)
    assert found["ideal"].credits is None
    assert found["qcompile"].credits == qcompile.cost(found.compiled, 100).credits
    assert f"qcompile {found['qcompile'].credits:,.1f}" in " ".join(str(found).split())
    assert any("credits" in text.get_text() for text in qcompile.draw_comparison(found).axes[3].texts)
