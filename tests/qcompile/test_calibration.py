"""The stored format: every rule has a seeded defect in a small valid file."""

import copy
import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcompile.calibration import device_from_json, device_to_json, file_name, load_device, save_device
from qcompile.device import Device
from qcompile.errors import CalibrationError
from qcompile.repairs import device_from_document

NAME = "toy_line_2025-01-02.json"

VALID = {
    "schema": "qcompile.device/1",
    "name": "toy_line",
    "vendor": "toy",
    "calibrated_at": "2025-01-02T03:04:05.678901Z",
    "num_qubits": 3,
    "error_kind": "average_infidelity",
    "source": {"kind": "synthetic", "ref": "a line of three"},
    "native_gates": {"1q": ["id", "rz", "sx", "x"], "2q": ["cx"], "virtual": ["rz"], "fractional": ["rx", "rzz"]},
    "timing": {"dt": 2.2e-10, "granularity": 16, "rep_delay": 2.5e-4, "rep_delay_range": [0, 5e-4], "reset": 1e-6},
    "limits": {"max_shots": 1000, "mid_circuit": False, "control_flow": ["if_else"]},
    "pricing": {"model": "qpu_seconds", "usd_per_second": 1.6, "job_overhead_s": 2, "as_of": "2026-05", "source": "x"},
    "notes": [],
    "qubits": [
        {"i": q, "t1": 1e-4, "t2": 1.5e-4, "readout": {"p1_given_0": 0.01, "p0_given_1": 0.03, "duration": 1e-6}}
        for q in range(3)
    ],
    "gates": [
        *({"g": g, "q": [q], "error": 1e-4, "duration": 3e-8} for g in ("id", "sx", "x") for q in range(3)),
        *({"g": "rz", "q": [q], "error": 0, "duration": 0} for q in range(3)),
        {"g": "cx", "q": [0, 1], "error": 1e-2, "duration": 3e-7, "date": "2025-01-01T00:00:00+02:00"},
        {"g": "cx", "q": [1, 0], "error": 1e-2, "duration": 3.4e-7},
        {"g": "cx", "q": [1, 2], "error": 2e-2, "duration": 3e-7},
        {"g": "rx", "q": [0], "error": 1e-4, "duration": 3e-8},
        {"g": "rzz", "q": [0, 1], "error": 1e-2, "duration": 3e-7},
    ],
}
CX_01, CX_10, CX_12 = 12, 13, 14  # rows of VALID["gates"]
ID_0, SX_0, X_0, RZ_0, RX_0, RZZ_01 = 0, 3, 6, 9, 15, 16
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def edited(*path_and_value: object) -> dict:
    """A copy of VALID with the value at a path replaced: edited("gates", 3, "error", 1.7)."""
    *path, last, value = path_and_value
    document = copy.deepcopy(VALID)
    place = document
    for step in path:
        place = place[step]
    place[last] = value
    return document


def load(document: dict, **options: bool) -> Device:
    return device_from_json(json.dumps(document), NAME, **options)


def refusal(document: dict) -> str:
    with pytest.raises(CalibrationError) as caught:
        load(document)
    message = str(caught.value)
    assert message.startswith(f"{NAME}: ")
    return message.removeprefix(f"{NAME}: ")


def test_valid_file_has_no_notes() -> None:
    device = load(VALID)
    assert device.notes == ()
    assert sorted(device.graph.edges) == [(0, 1), (1, 2)]
    assert device.qubits[0].readout.p0_given_1 == 0.03
    assert device.timing.rep_delay_range == (0.0, 5e-4)
    assert device.limits.control_flow == ("if_else",)
    assert device.gates["cx", (0, 1)].calibrated_at == datetime(2024, 12, 31, 22, tzinfo=UTC)


def test_impossible_error_names_file_field_value_rule_and_way_out() -> None:
    assert refusal(edited("gates", CX_01, "error", 1.7)) == (
        "gates[12].error = 1.7 is not a probability. "
        "Expected 0 <= error <= 1 (average gate infidelity); exactly 1 marks a dead gate."
    )


# --- dead and missing ---


def test_dead_gate_is_no_edge_and_is_noted() -> None:
    device = load(edited("gates", CX_12, "error", 1))
    assert not device.gates["cx", (1, 2)].usable
    assert sorted(device.graph.edges) == [(0, 1)]
    assert device.notes == ("cx(1, 2): error 1, not used",)


def test_one_dead_direction_leaves_the_other_alive() -> None:
    device = load(edited("gates", CX_01, "error", 1.0))
    assert device.graph.edges[0, 1]["gate"] == ("cx", (1, 0))


def test_many_dead_gates_share_one_note_that_names_each() -> None:
    document = edited("num_qubits", 12)
    document["qubits"] = [{"i": q, "readout": VALID["qubits"][0]["readout"], "t1": 1, "t2": 1} for q in range(12)]
    document["gates"] = [{"g": "cx", "q": [q, q + 1], "error": 1} for q in range(11)]
    document["native_gates"] = {"1q": [], "2q": ["cx"]}
    (note,) = load(document).notes
    assert note.startswith("11 cx gates: error 1, not used: ")
    assert all(f"cx({q}, {q + 1})" in note for q in range(11))


@pytest.mark.parametrize("row", [SX_0, X_0])
def test_qubit_without_sx_or_x_is_unusable(row: int) -> None:
    device = load(edited("gates", row, "error", 1))
    assert [q.usable for q in device.qubits] == [False, True, True]
    assert sorted(device.graph.edges) == [(1, 2)]
    assert f"qubit 0: its {VALID['gates'][row]['g']} cannot be used, nor can the qubit" in device.notes


def test_qubit_whose_sx_row_is_missing_is_unusable() -> None:
    document = copy.deepcopy(VALID)
    del document["gates"][SX_0]
    assert not load(document).qubits[0].usable


@pytest.mark.parametrize("row", [ID_0, RX_0, RZZ_01])
def test_id_and_fractional_gates_are_judged_alone(row: int) -> None:
    device = load(edited("gates", row, "error", 1))
    assert all(q.usable for q in device.qubits)
    assert sorted(device.graph.edges) == [(0, 1), (1, 2)]
    assert len(device.notes) == 1


def test_fractional_gate_alone_makes_no_edge() -> None:
    document = copy.deepcopy(VALID)
    del document["gates"][CX_01 : CX_10 + 1]
    assert not load(document).graph.has_edge(0, 1)


def test_dead_measurement_makes_the_qubit_unusable() -> None:
    device = load(edited("qubits", 2, "readout", {"p1_given_0": 1, "p0_given_1": 1}))
    assert not device.qubits[2].usable
    assert device.notes == ("qubit 2: its measurement is dead, not used",)


def test_readout_that_tells_nothing_is_noted_and_kept() -> None:
    device = load(edited("qubits", 2, "readout", {"p1_given_0": 0, "p0_given_1": 1}))
    assert device.qubits[2].usable
    assert device.notes == ("qubit 2: readout tells nothing, p(1|0) 0 + p(0|1) 1 >= 1",)


def test_missing_error_is_refused_unless_allowed() -> None:
    document = edited("gates", CX_12, "error", None)
    message = refusal(document)
    assert message.startswith("gates[14].error is missing (cx(1, 2)).")
    assert "allow_missing=True" in message
    device = load(document, allow_missing=True)
    assert device.gates["cx", (1, 2)].error is None
    assert not device.is_live("cx", (1, 2))
    assert device.notes == ("cx(1, 2): no error published, not used",)
    assert device_from_json(device_to_json(device), NAME) == device  # once marked, it needs no permission


def test_missing_error_of_a_virtual_gate_is_fine() -> None:
    assert load(edited("gates", RZ_0, {"g": "rz", "q": [0]})).is_live("rz", (0,))


# --- coherence and units ---


def test_t2_above_twice_t1_is_stored_as_published_and_noted() -> None:
    device = load(edited("qubits", 1, {**VALID["qubits"][1], "t1": 78.3e-6, "t2": 244.1e-6}))
    assert device.qubits[1].t2 == 244.1e-6
    assert device.qubits[1].relaxation == (78.3e-6, 156.6e-6)
    assert device.notes == ("qubit 1: t2 244.1 us above 2*t1 = 156.6 us, clamped in simulation",)


def test_missing_t1_and_t2_are_noted() -> None:
    document = edited("qubits", 1, "t1", None)
    del document["qubits"][1]["t2"]
    device = load(document)
    assert device.qubits[1].relaxation == (math.inf, math.inf)
    assert device.notes == ("qubit 1: t1 and t2 unknown, infinite in simulation",)


def test_lifetime_in_microseconds_is_noted() -> None:
    assert load(edited("qubits", 1, "t1", 78.3)).notes == (
        "qubit 1: t1 78.3 s is more than 2e7 times the longest gate; is it in seconds?",
    )


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (("gates", CX_01, "error"), -0.01, "is not a probability"),
        (("gates", CX_01, "error"), True, "is not a probability"),
        (("gates", CX_01, "error"), "0.01", "is not a probability"),
        (("gates", CX_01, "error"), [0.01], "is not a probability"),
        (("gates", CX_01, "error"), 10**400, "is not a probability"),
        (("gates", CX_01, "duration"), -1e-9, "is not a duration"),
        (("gates", CX_01, "duration"), 300.0, "convert nanoseconds"),
        (("gates", CX_01, "q"), [0, 9], "names a qubit that is not there"),
        (("gates", CX_01, "q"), [-1, 0], "names a qubit that is not there"),
        (("gates", CX_01, "q"), [1, 1], "is a self loop"),
        (("gates", CX_01, "q"), [1], "does not fit cx"),
        (("gates", SX_0, "q"), [0, 1], "does not fit sx"),
        (("gates", CX_01, "q"), [], "breaks the format"),
        (("gates", CX_01, "q"), [0.0, 1.0], "breaks the format"),
        (("gates", CX_01, "q"), [0, 10**30], "names a qubit that is not there"),
        (("gates", CX_01, "g"), "cX", "is not in native_gates"),
        (("gates", CX_01, "usable"), "no", "breaks the format"),
        (("gates", CX_01, "date"), "yesterday", "is not a date"),
        (("gates", CX_01, "date"), "2999-01-01T00:00:00Z", "lies in the future"),
        (("gates",), {}, "breaks the format"),
        (("qubits",), [], "breaks the format"),
        (("qubits", 1, "t1"), 0, "is not a relaxation time"),
        (("qubits", 1, "t2"), -1e-5, "is not a relaxation time"),
        (("qubits", 1, "i"), 2, "is out of order"),
        (("qubits", 1, "label"), "0", "repeats qubits[0]"),
        (("qubits", 1, "label"), "", "is not a name"),
        (("qubits", 1, "readout", "p1_given_0"), 1.01, "is not a probability"),
        (("qubits", 1, "readout", "duration"), -1, "is not a duration"),
        (("num_qubits",), 4, "is not the number of rows"),
        (("num_qubits",), 3.0, "breaks the format"),
        (("schema",), "qcompile.device/2", "is a format that this version does not read"),
        (("schema",), None, "is a format that this version does not read"),
        (("error_kind",), "pauli", "convert first"),
        (("error_kind",), None, "convert first"),
        (("calibrated_at",), "2999-01-01T00:00:00Z", "lies in the future"),
        (("calibrated_at",), "2025-01-02T03:04:05", "is not a date with a time zone"),
        (("calibrated_at",), 1735786800, "is not a date with a time zone"),
        (("calibrated_at",), "0001-01-01T00:00:00+10:00", "is not a date with a time zone"),
        (("timing", "dt"), 0.222, "is not a clock period"),
        (("timing", "rep_delay"), 250.0, "is not a delay"),
        (("timing", "rep_delay_range"), [0.0], "breaks the format"),
        (("timing", "granularity"), 0, "breaks the format"),
        (("limits", "max_shots"), 0, "breaks the format"),
        (("pricing", "model"), "free", "breaks the format"),
        (("pricing", "usd_per_second"), -1, "is not a price"),
        (("native_gates", "2q"), ["cx", "sx"], "is listed under 1q and 2q"),
        (("name",), "two\nlines", "is not a name"),
        (("notes",), [1], "breaks the format"),
    ],
    ids=str,
)
def test_bad_value_is_refused_at_its_place(path: tuple, value: object, rule: str) -> None:
    message = refusal(edited(*path, value))
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
    assert place.split(".", maxsplit=1)[0] in message
    assert rule in message
    if "breaks the format" not in rule:
        assert "Expected" in message or ";" in message


@pytest.mark.parametrize("field", ["schema", "name", "vendor", "calibrated_at", "error_kind", "qubits", "gates"])
def test_missing_field_is_named(field: str) -> None:
    document = copy.deepcopy(VALID)
    del document[field]
    assert refusal(document).startswith(f"{field} is missing.")


def test_unknown_field_is_refused_with_the_likely_one() -> None:
    document = edited("qubits", 1, "t_1", 1e-4)
    assert refusal(document) == (
        "qubits[1].t_1 = 0.0001 is not a field of qcompile.device/1. Expected only known fields; did you mean 't1'?"
    )


@pytest.mark.parametrize("path", [("qubits", 1, "t1"), ("qubits", 1, "t2"), ("pricing", "usd_per_second")])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_number_that_is_not_finite_is_refused_in_open_ranges(path: tuple, value: float) -> None:
    with pytest.raises(CalibrationError, match=f"{path[-1]} = {value} is not a"):
        device_from_document(edited(*path, value), NAME)


def test_number_of_further_mistakes_is_told() -> None:
    document = edited("gates", CX_01, "error", 2)
    document["gates"][CX_12]["error"] = -1
    assert refusal(document).endswith("(1 more.)")


def test_repeated_gate_is_refused_with_both_rows() -> None:
    document = copy.deepcopy(VALID)
    document["gates"].append(document["gates"][CX_12])
    assert refusal(document).startswith("gates[17] = cx(1, 2) repeats gates[14].")


def test_one_way_gate_is_kept_as_given() -> None:
    device = load(VALID)
    assert ("cx", (1, 2)) in device.gates
    assert ("cx", (2, 1)) not in device.gates


def test_labels_with_gaps_stay_labels() -> None:
    document = copy.deepcopy(VALID)
    for row, label in zip(document["qubits"], ("7", "10", "q(3,4)")):
        row["label"] = label
    device = load(document)
    assert [q.label for q in device.qubits] == ["7", "10", "q(3,4)"]
    assert sorted(device.graph.nodes) == [0, 1, 2]
    assert device_from_json(device_to_json(device), NAME) == device


def test_clock_skew_of_minutes_is_tolerated() -> None:
    ahead = edited("calibrated_at", (NOW + timedelta(minutes=30)).isoformat())
    assert device_from_document(ahead, NAME, now=NOW).calibrated_at > NOW
    with pytest.raises(CalibrationError, match="lies in the future"):
        device_from_document(edited("calibrated_at", (NOW + timedelta(hours=2)).isoformat()), NAME, now=NOW)


# --- round trip ---

positive = st.floats(min_value=0, exclude_min=True, max_value=0.99)
probability = st.floats(min_value=0, max_value=1)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2025, 1, 1), timezones=st.just(UTC))


@st.composite
def documents(draw: st.DrawFn) -> dict:
    """Valid files with every kind of dirt that is repaired: dead gates, T2 > 2*T1, missing values, labels with gaps."""
    n = draw(st.integers(1, 5))
    labels = draw(
        st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=n, max_size=n, unique=True)
    )
    readout = st.fixed_dictionaries(
        {"p1_given_0": probability, "p0_given_1": probability, "duration": st.none() | positive}
    )
    qubits = [
        {
            "i": i,
            "label": labels[i],
            "usable": draw(st.booleans()),
            "t1": draw(st.none() | positive),
            "t2": draw(st.none() | positive),
            "readout": draw(st.none() | readout),
            "date": draw(st.none() | moments.map(datetime.isoformat)),
        }
        for i in range(n)
    ]
    pairs = [("cx", [a, b]) for a in range(n) for b in range(n) if a != b]
    ones = [(g, [q]) for g in ("sx", "x", "rz") for q in range(n)]
    gates = [
        {
            "g": g,
            "q": q,
            "error": draw(st.just(1) | probability),
            "duration": draw(st.none() | positive),
            "usable": draw(st.booleans()),
        }
        for g, q in draw(st.lists(st.sampled_from(pairs + ones), unique_by=str))
    ]
    return VALID | {
        "calibrated_at": draw(moments).isoformat(),
        "num_qubits": n,
        "notes": draw(st.lists(st.text(), unique=True)),
        "pricing": draw(st.none() | st.just(VALID["pricing"])),
        "qubits": qubits,
        "gates": gates,
    }


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_round_trip_is_exact(document: dict) -> None:
    device = device_from_document(document, NAME, now=NOW)
    again = device_from_json(device_to_json(device), NAME)
    assert again == device  # every float bit for bit: 0.1 + 0.2 is not 0.3 here
    assert again.sha256 == device.sha256
    assert device_to_json(again) == device_to_json(device)
    assert all(again.gates[key].usable is False for key, gate in device.gates.items() if gate.error == 1)


def test_uniform_chip_survives_the_round_trip(tmp_path) -> None:
    device = Device.from_coupling([(0, 1), (1, 2)], two_qubit_error=1, one_qubit_error=0, t1=1)
    again = load_device(save_device(device, tmp_path / file_name(device)))
    assert again.notes
    assert not again.graph.edges
    clean = Device.from_coupling([(0, 1), (1, 2)], two_qubit_error=0, t1=1, t2=1, rep_delay=0)
    assert load_device(save_device(clean, tmp_path / "clean.json")).sha256 == clean.sha256


def test_file_has_one_line_for_each_qubit_and_gate() -> None:
    device = load(VALID)
    lines = device_to_json(device).splitlines()
    assert sum(line.startswith('  {"i"') for line in lines) == 3
    assert sum(line.startswith('  {"g"') for line in lines) == len(device.gates)
