"""rank: the front against its definition, chips that refuse, the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

import qcompile
from qcompile import CircuitError, Device, InputError, UnknownDeviceError, draw_ranking, load_device, rank, save_device
from qcompile.cli import main
from qcompile.draw_ranking import _apart
from qcompile.rank import ORDERS, RankedChip

BELL = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; h q[0]; cx q[0], q[1]; measure q -> c;'
MODULE = sys.modules["qcompile.rank"]  # the package's attribute of that name is the function
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "devices"
    folder.mkdir()
    monkeypatch.setenv("QONCHIP_DEVICES", str(folder))
    return folder


def ring() -> QuantumCircuit:
    circuit = QuantumCircuit(3, name="ring")
    for q in range(3):
        circuit.ry(Parameter(f"a{q}"), q)
        circuit.cx(q, (q + 1) % 3)
    circuit.measure_all()
    return circuit


RING = ring()


@pytest.fixture(scope="module")
def ranking() -> qcompile.Ranking:
    return rank(RING, ["ibm_manila", "ibm_lagos", "ibm_kyoto"], shots=1000, circuits=3, now=NOW)


# --- the ranking ---


def test_chips_carry_the_compiler_s_own_numbers(ranking) -> None:
    assert [chip.name for chip in ranking.chips][-1] == "ibm_kyoto"
    for name in ("ibm_manila", "ibm_lagos"):
        chip, device = ranking[name], load_device(name)
        compiled = qcompile.compile(RING, device, effort="fast")
        bill = qcompile.cost(compiled, 1000, 3)
        found = compiled.estimate
        assert (chip.state_fidelity, chip.hellinger_fidelity) == (found.state_fidelity, found.hellinger_fidelity)
        assert (chip.success_probability, chip.duration) == (found.success_probability, found.duration)
        assert (chip.two_qubit_gates, chip.breakdown) == (found.two_qubit_gates, dict(found.breakdown))
        assert (chip.qpu_seconds, chip.usd, chip.credits) == (bill.qpu_seconds, bill.usd, None)
        assert chip.age_days == pytest.approx((NOW - device.calibrated_at).total_seconds() / 86400)
        assert ranking.compiled[name].circuit == compiled.circuit
    assert ranking.best == ranking.chips[0]
    assert ranking.best in ranking.front


def test_a_chip_that_cannot_take_the_circuit_stays_with_the_reason(own_folder) -> None:
    (own_folder / "ibm_broken_2024-01-01.json").write_text("{")
    small = replace(Device.from_coupling([(0, 1), (1, 2)], name="few"), limits=qcompile.device.Limits(max_shots=10))
    found = rank(RING, ["manila", "ibm_kyoto", "ibm_broken", small], shots=100)
    assert [chip.name for chip in found.chips] == ["ibm_manila", "few", "ibm_broken", "ibm_kyoto"]
    for name, part in (("ibm_kyoto", "live region"), ("ibm_broken", "line 1"), ("few", "shots = 100 is more")):
        assert part in found[name].refusal
        assert not found[name].on_front
        assert found[name].state_fidelity is None
        assert f"{name}: " in str(found)
    assert list(found.compiled) == ["ibm_manila"]
    assert found.front == (found["ibm_manila"],)
    nobody = rank(RING, ["ibm_kyoto"])
    assert (nobody.best, nobody.front) == (None, ())


def test_every_stored_chip_is_ranked_in_its_newest_snapshot(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(MODULE, "load_device", lambda path: asked.append(path.name) or load_device("ibm_manila"))
    with pytest.raises(InputError, match="twice"):
        rank(RING)
    newest = {stored.name: stored.path.name for stored in qcompile.list_devices()}
    assert sorted(asked) == sorted(newest.values())


def test_two_snapshots_of_one_device_are_told_apart() -> None:
    old, new = (
        replace(Device.from_coupling([(0, 1), (1, 2)], name="lab"), calibrated_at=datetime(year, 5, 1, tzinfo=UTC))
        for year in (2024, 2025)
    )
    found = rank(RING, [new, old])
    assert [chip.name for chip in found.chips] == ["lab_2024-05-01", "lab_2025-05-01"], "a tie goes by the name"
    assert all(chip.on_front for chip in found.chips), "equal chips do not dominate each other"


def test_same_seed_same_ranking_whatever_the_day(ranking) -> None:
    names = ["ibm_kyoto", "ibm_lagos", "ibm_manila"]
    again = rank(RING, names, shots=1000, circuits=3, now=datetime(2030, 1, 1, tzinfo=UTC))
    assert again == ranking
    assert again["ibm_manila"].age_days > ranking["ibm_manila"].age_days
    assert rank(RING, names, shots=1000, circuits=3, seed=1) != ranking


def test_table_prices_and_credits_are_ranked() -> None:
    line = Device.from_coupling([(0, 1), (1, 2)])
    chips = [replace(line, name=name) for name in ("iqm_garnet", "quantinuum_h1", "lab")]
    found = rank(RING, chips, shots=1000)
    assert found["iqm_garnet"].usd == pytest.approx(0.3 + 1.45)
    assert found["quantinuum_h1"].usd is None
    assert found["quantinuum_h1"].credits > 5
    assert found["lab"].assumptions == ()
    assert "credits" in str(found)
    assert all(chip.on_front for chip in found.chips)


@pytest.mark.parametrize("by", ORDERS)
def test_orders(by: str) -> None:
    chips = tuple(
        RankedChip(name, state_fidelity=fidelity, qpu_seconds=seconds, usd=usd)
        for name, fidelity, seconds, usd in (("a", 0.5, 3.0, None), ("b", 0.9, 3.0, 2.0), ("c", 0.7, 1.0, 5.0))
    )
    mixed = qcompile.Ranking("x", 1, 1, 0, "fast", (RankedChip("no", refusal="small"), *chips))
    expected = {"fidelity": "bca", "seconds": "cba", "usd": "bca"}[by]
    assert [chip.name for chip in mixed.sorted(by).chips] == [*expected, "no"]
    with pytest.raises(InputError, match="fidelity, seconds, usd"):
        mixed.sorted("price")


def test_chips_are_announced() -> None:
    said: list[tuple] = []
    rank(RING, ["ibm_manila", "ibm_kyoto"], progress=lambda *news: said.append(news))
    assert said == [(0, 2, "ibm_manila"), (1, 2, "ibm_kyoto")]


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"circuit": "OPENQASM 2.0; nonsense"}, CircuitError, "QASM"),
        ({"shots": 0}, InputError, "shots"),
        ({"circuits": 1.5}, InputError, "circuits"),
        ({"values": [1.0]}, CircuitError, "values"),
        ({"devices": ["ibm_manila", "ibm_nowhere"]}, UnknownDeviceError, "ibm_nowhere"),
        ({"devices": []}, InputError, "empty"),
        ({"devices": "ibm_manila"}, InputError, "list of devices"),
        ({"devices": ["manila", "ibm_manila"]}, InputError, "twice"),
        ({"effort": "huge"}, InputError, "effort"),
        ({"seed": -1}, InputError, "seed"),
        ({"seed": 2**63}, InputError, "seed"),
        ({"circuits": 10**30}, InputError, "circuits"),
    ],
)
def test_bad_input_is_refused_before_anything_is_compiled(arguments: dict, error: type, part: str, monkeypatch) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(sys.modules["qcompile.compile"], "check_native_gates", compiled.append)
    with pytest.raises(error, match=part):
        rank(**{"circuit": RING, "devices": ["ibm_manila"], **arguments})
    assert compiled == []


def test_prints_as_json_text_and_html(ranking) -> None:
    values = json.loads(json.dumps(ranking.to_dict(), allow_nan=False))
    assert values["best"] == ranking.best.name
    assert values["front"] == [chip.name for chip in ranking.front]
    assert [chip["name"] for chip in values["chips"]] == [chip.name for chip in ranking.chips]
    text = str(ranking)
    assert "ring, 1000 shots of 3 circuits, effort fast, seed 0" in text
    assert "Pareto front" in text
    assert "credits" not in text
    assert ranking._repr_html_().count("<tr>") == 4
    named = replace(ranking, circuit_name="<script>")
    assert "<script" not in named._repr_html_()
    with pytest.raises(KeyError, match="ibm_manila"):
        ranking["torino"]


# --- the picture ---


def test_picture_names_every_chip_that_took_the_circuit(ranking) -> None:
    figure = draw_ranking(ranking)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "ibm_manila" in texts
    assert "ibm_lagos" in texts
    assert "ibm_kyoto" not in texts
    assert "1 chip did not take the circuit" in " ".join(text.get_text() for text in figure.texts)
    nobody = replace(ranking, chips=(ranking["ibm_kyoto"],))
    with pytest.raises(InputError, match="nothing to draw"):
        draw_ranking(nobody)


@given(st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=30))
def test_labels_keep_their_distance_and_stay_inside(wanted: list[float]) -> None:
    wanted = sorted(wanted, reverse=True)
    step = 1 / max(len(wanted), 12)
    heights = _apart(wanted, step)
    assert all(a - b >= step - 1e-9 for a, b in pairwise(heights))
    assert heights[-1] >= -1e-9
    assert heights[0] <= 1


# --- the command ---


@pytest.fixture
def bell(tmp_path) -> str:
    path = tmp_path / "bell.qasm"
    path.write_text(BELL)
    return str(path)


def test_command_prints_a_table_and_writes_a_picture(capsys, tmp_path, bell) -> None:
    picture = tmp_path / "rank.png"
    arguments = ["rank", bell, "--devices", "manila, lagos,kyoto", "--shots", "1000", "--sort", "seconds"]
    assert main([*arguments, "--picture", str(picture)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.index("ibm_lagos") < printed.out.index("ibm_manila") < printed.out.index("ibm_kyoto")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    values = json.loads(printed.out)
    expected = rank(Path(bell), ["manila", "lagos", "kyoto"], shots=1000).sorted("seconds").to_dict()
    for chip in [*values["chips"], *expected["chips"]]:
        del chip["age_days"]
    assert values["chips"] == expected["chips"]
    assert (values["effort"], values["picture"]) == ("fast", None)


def test_command_takes_files(capsys, tmp_path, bell) -> None:
    path = save_device(Device.from_coupling([(0, 1)], name="lab"), tmp_path / "lab.json")
    assert main(["rank", bell, "--devices", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == "lab"


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--shots", "0"], "shots"),
        (["--devices", "manila,nowhere"], "nowhere"),
        (["--devices", "manila", "--values", "a=x"], "--values"),
        (["--devices", "kyoto", "--picture", "{folder}/r.png"], "nothing to draw"),
        (["--picture", "{folder}/r.bmp"], ".png or .svg or .pdf"),
        (["--devices", ""], ""),
    ],
)
def test_command_refuses_bad_input(capsys, tmp_path, bell, more: list[str], part: str) -> None:
    assert main(["rank", bell, *(text.format(folder=tmp_path) for text in more)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("qcompile: ")
    assert part in printed.err


def test_command_has_help_and_can_be_stopped(capsys, bell, monkeypatch) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["rank", "--help"])
    assert stopped.value.code == 0
    assert "--devices" in capsys.readouterr().out

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MODULE, "compile", interrupted)
    assert main(["rank", bell, "--devices", "manila"]) == 130
    assert capsys.readouterr().err == "qcompile: stopped.\n"


def test_best_front_and_level_do_not_depend_on_the_order() -> None:
    chips = tuple(
        RankedChip(name, state_fidelity=fidelity, qpu_seconds=seconds, usd=1.0, by_now=by_now, on_front=name in "ac")
        for name, fidelity, seconds, by_now in (
            ("a", 0.90, 3.0, (0.85, 0.91)),
            ("b", 0.86, 2.9, (0.80, 0.86)),
            ("c", 0.80, 1.0, (0.70, 0.84)),
        )
    )
    mixed = qcompile.Ranking("x", 1, 1, 0, "fast", chips)
    for order in ORDERS:
        found = mixed.sorted(order)
        assert found.best is not None
        assert found.best.name == "a"
        assert [chip.name for chip in found.front] == ["a", "c"]
        assert [chip.name for chip in found.level] == ["a", "b"], "c cannot be as good as a"
        assert found.to_dict()["level"] == ["a", "b"]
    assert mixed._cells(chips[1])[0] == "≈"
    assert mixed._cells(chips[0])[0] == "*"
    assert replace(mixed, chips=(RankedChip("no", refusal="small"),)).level == ()


def test_no_digit_is_lost_on_a_terminal_of_80_columns(ranking) -> None:
    from rich.console import Console

    names = {"ibm_manila": "ibm_sherbrooke", "ibm_lagos": "ibm_marrakesh", "ibm_kyoto": "ibm_kyoto"}
    dear = tuple(
        replace(chip, name=names[chip.name], age_days=1808.0, usd=chip.usd and 1139.82, qpu_seconds=chip.usd and 1234.5)
        for chip in ranking.chips
    )
    for chips in (dear, tuple(replace(chip, credits=chip.usd and 1234.5) for chip in dear)):
        console = Console(width=80, color_system=None)
        with console.capture() as text:
            console.print(replace(ranking, chips=chips).table())
        assert "…" not in text.get()
        assert text.get().count("1,139.82") == 2


def test_a_broken_price_file_is_refused_before_anything_is_compiled(own_folder, monkeypatch) -> None:
    (own_folder / "pricing.json").write_text("[" * 100_000)
    compiled: list[object] = []
    monkeypatch.setattr(sys.modules["qcompile.compile"], "check_native_gates", compiled.append)
    with pytest.raises(qcompile.CalibrationError, match=r"devices/pricing\.json: cannot be parsed"):
        rank(RING, ["ibm_manila"])
    assert compiled == []


def test_what_the_table_leaves_out_is_said(ranking) -> None:
    words = " ".join(str(ranking).split())
    assert "State fidelity: by exact simulation of the calibrated noise." in words
    assert "Bill: price as of 2026-05-25." in words
    assert "2026-05-25" in ranking._repr_html_()
    priced = [chip for chip in ranking.chips if chip.usd is not None]
    assert [chip.jobs for chip in priced] == [1, 1]


def test_chips_say_how_they_were_judged_and_where_they_are_by_now(bell) -> None:
    early, late = (
        rank(Path(bell), ["manila"], now=datetime(2024, 5, 28, tzinfo=UTC) + timedelta(days=days)) for days in (0, 9)
    )
    (chip,), (later,) = early.chips, late.chips
    assert (chip.method, chip.uncertainty) == ("exact", 0.0)
    assert chip.by_now is not None
    assert later.by_now is not None
    assert chip.by_now[0] < chip.state_fidelity < chip.by_now[1]
    assert later.by_now[0] < chip.by_now[0]
    assert early == late, "the date is no part of a result"
