"""IBM's properties and configuration -> Device; the stored files against the installed package."""

import copy
import json
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import qiskit_ibm_runtime
from qiskit_ibm_runtime.fake_provider import FakeFractionalBackend, FakeKingston, FakeManilaV2, FakePoughkeepsieV2
from qiskit_ibm_runtime.models import BackendConfiguration, BackendProperties

from qcompile.calibration import device_from_json, device_to_json, file_name, list_devices, load_device
from qcompile.device import Device, Limits
from qcompile.errors import CalibrationError, MissingExtraError
from qcompile.vendors import ibm, ibm_stored

PACKAGE = Path(qiskit_ibm_runtime.__file__).parent / "fake_provider" / "backends"
STORED = [stored for stored in list_devices() if stored.origin != "user" and stored.vendor == "ibm"]
REQUIRED = (
    "manila", "jakarta", "lagos", "guadalupe", "kolkata", "cairo", "manhattan", "brisbane", "sherbrooke", "kyoto",
    "torino", "fez", "kingston", "miami",
)  # fmt: skip


def raw(snapshot: str) -> tuple[dict, dict]:
    folder = PACKAGE / snapshot
    return tuple(json.loads((folder / f"{kind}_{snapshot}.json").read_text()) for kind in ("props", "conf"))


# --- stored files ---


@pytest.fixture(scope="module")
def stored() -> dict[str, Device]:
    return {s.name.removeprefix("ibm_"): load_device(s.path) for s in STORED}


def test_every_required_chip_is_stored(stored) -> None:
    assert set(REQUIRED) <= set(stored)
    assert sorted(stored) == sorted(ibm_stored.SNAPSHOTS)


@pytest.mark.parametrize("snapshot", ibm_stored.SNAPSHOTS)
def test_stored_device_equals_its_rebuild_from_the_installed_package(stored, snapshot: str) -> None:
    device, rebuilt = stored[snapshot], ibm_stored.build(snapshot)
    ref = f"qiskit-ibm-runtime=={version('qiskit-ibm-runtime')} fake_provider/{snapshot}"
    assert rebuilt.source.ref == ref
    if rebuilt.source.sha256 != device.source.sha256:
        assert device.source.ref != ref, "same package version, other raw files: the stored file is not what it says"
        pytest.skip(f"{ref} ships another calibration than {device.source.ref}; store it as a new file")
    assert replace(rebuilt, source=device.source) == device
    assert rebuilt.sha256 == device.sha256
    assert device_to_json(device) == next(s.path for s in STORED if s.name == device.name).read_text()


def test_file_is_named_after_its_content(stored) -> None:
    assert {s.path.name for s in STORED} == {file_name(device) for device in stored.values()}


def test_source_date_and_licence_of_every_file_are_told(stored) -> None:
    for device in stored.values():
        assert device.source.kind == "package"
        assert device.source.license == "Apache-2.0"
        assert len(device.source.sha256) == 64
        assert device.calibrated_at.utcoffset().total_seconds() == 0
        assert device.pricing.usd_per_second == 1.60
        assert device.pricing.job_overhead_s == 2.0
        assert device.limits.max_executions_per_job == 5_000_000


def test_readme_table_is_that_of_the_files(stored) -> None:
    readme = (STORED[0].path.parent / "README.md").read_text(encoding="utf-8")
    shown = readme.partition(ibm_stored.TABLE_STARTS)[2].partition(ibm_stored.TABLE_ENDS)[0]
    assert shown.strip() == ibm_stored.table(stored[name] for name in sorted(stored)).strip()


def dead(device: Device, gate: str) -> int:
    return sum(name == gate and not g.usable for (name, _), g in device.gates.items())


@pytest.mark.parametrize(
    ("snapshot", "gate", "count"),
    [
        ("manhattan", "cx", 44), ("kyoto", "ecr", 144), ("torino", "cz", 22), ("torino", "rzz", 300),
        ("sherbrooke", "ecr", 9), ("brisbane", "ecr", 1), ("fez", "cz", 14), ("fez", "rzz", 98), ("miami", "cz", 14),
        ("kingston", "cz", 14), ("kingston", "rzz", 22), ("cairo", "ecr", 1), ("hanoi", "cx", 2),
    ],
)  # fmt: skip
def test_dead_gates_are_counted_and_each_is_named_in_the_notes(stored, snapshot, gate, count) -> None:
    device = stored[snapshot]
    assert dead(device, gate) == count
    notes = "\n".join(note for note in device.notes if "error 1, not used" in note)
    for (name, qubits), g in device.gates.items():
        assert (f"{name}({', '.join(map(str, qubits))})" in notes) == (not g.usable)
    if count > 8:
        assert sum(note.startswith(f"{count} {gate} gates: error 1, not used: ") for note in device.notes) == 1


@pytest.mark.parametrize(
    ("snapshot", "count"),
    [("hanoi", 5), ("torino", 5), ("cairo", 4), ("brisbane", 2), ("kolkata", 2), ("kyoto", 2), ("manila", 0)],
)
def test_t2_above_twice_t1_is_noted_for_every_such_qubit(stored, snapshot, count) -> None:
    notes = [n for n in stored[snapshot].notes if "above 2*t1" in n]
    assert len(notes) == count
    assert sum(q.t2 > 2 * q.t1 for q in stored[snapshot].qubits) == count


def test_manhattan_falls_apart_into_regions_of_17_13_8(stored) -> None:
    assert [len(c) for c in stored["manhattan"].components][:3] == [17, 13, 8]


def test_kyoto_has_no_live_coupler(stored) -> None:
    assert not stored["kyoto"].graph.edges


def test_cairo_has_two_gates_both_one_way(stored) -> None:
    device = stored["cairo"]
    assert device.native_gates.two_qubit == ("cx", "ecr")
    pairs = [qubits for name, qubits in device.gates if name in ("cx", "ecr")]
    assert Counter(name for name, q in device.gates if len(q) == 2) == {"ecr": 14, "cx": 12}
    assert not any((b, a) in pairs for a, b in pairs)
    assert "coupler(1, 0): no calibrated gate, not an edge" in device.notes


def test_miami_waits_4_ms_between_executions(stored) -> None:
    assert stored["miami"].timing.rep_delay == 4e-3
    assert stored["miami"].timing.rep_delay_range == (1e-3, 4e-3)
    assert not stored["miami"].limits.mid_circuit
    assert stored["manila"].timing.rep_delay == 250e-6


def test_kingston_146_has_no_lifetimes_and_its_dead_qubits_are_unusable(stored) -> None:
    device = stored["kingston"]
    assert device.qubits[146].t1 is None
    assert "qubit 146: t1 and t2 unknown, infinite in simulation" in device.notes
    assert [i for i, q in enumerate(device.qubits) if not q.usable] == [96, 112, 113, 131, 146]


def test_sherbrooke_84_reads_nothing_but_zeros_and_that_is_noted(stored) -> None:
    assert "qubit 84: readout tells nothing, p(1|0) 1 + p(0|1) 0 >= 1" in stored["sherbrooke"].notes


# --- values ---


def test_values_are_the_published_ones_in_seconds() -> None:
    device = load_device("ibm_manila")
    qubit = device.qubits[0]
    assert (qubit.t1, qubit.t2) == (131.5286444531517e-6, 102.20390054827382e-6)
    assert (qubit.readout.p1_given_0, qubit.readout.p0_given_1) == (0.0158, 0.05479999999999996)
    assert qubit.readout.duration == pytest.approx(5351.11111111111e-9, rel=1e-15)
    assert qubit.calibrated_at == datetime(2024, 5, 27, 7, 29, 32, tzinfo=UTC)  # the oldest of its values
    assert device.gates["id", (0,)].error == 0.00015506593900605392
    assert device.timing.dt == pytest.approx(0.2222222222222222e-9, rel=1e-15)
    assert device.timing.granularity == 16
    assert device.timing.reset == pytest.approx(5514.666666666666e-9, rel=1e-15)
    assert device.calibrated_at == datetime(2024, 5, 27, 18, 27, 23, tzinfo=UTC)
    assert device.limits == Limits(100_000, 5_000_000, 10_000, 64 * 2**20, True, ("if_else", "for_loop", "switch_case"))


def test_values_agree_with_qiskits_own_reading_of_the_snapshot() -> None:
    device, target = load_device("ibm_kingston"), FakeKingston().target
    compared = [key for key in device.gates if key[0] in target.operation_names]  # their Target leaves out rx, rzz
    assert Counter(name for name, _ in compared) == {"cz": 352, **dict.fromkeys(("id", "rz", "sx", "x"), 156)}
    for name, qubits in compared:
        gate, theirs = device.gates[name, qubits], target[name][qubits]
        assert theirs.error == gate.error
        assert theirs.duration == pytest.approx(gate.duration, rel=1e-12)
    for field in ("t1", "t2"):
        ours, theirs = ([getattr(q, field) for q in qubits] for qubits in (device.qubits, target.qubit_properties))
        assert [n for n, value in enumerate(ours) if value is None] == [146] == [theirs.index(None)]
        assert ours[:146] == pytest.approx(theirs[:146], rel=1e-12)
    differ = [q for q in range(156) if abs(device.qubits[q].readout.error - target["measure"][q,].error) > 1e-12]
    noted = [n.partition(":")[0] for n in device.notes if "is not the mean of" in n]
    assert noted == [f"qubit {q}" for q in differ]
    assert len(differ) == 8


@pytest.mark.parametrize(("unit", "value"), [("s", 1e-4), ("ms", 0.1), ("us", 100.0), ("µs", 100), ("ns", 1e5)])
def test_every_spelling_of_a_unit_gives_the_same_seconds(unit, value) -> None:
    properties, configuration = raw("manila")
    properties["qubits"][0][0] |= {"unit": unit, "value": value}
    assert ibm.from_properties(properties, configuration).qubits[0].t1 == pytest.approx(1e-4, rel=1e-15)


def test_clock_period_in_seconds_is_recognized_and_noted() -> None:
    device = Device.from_backend(FakePoughkeepsieV2())
    assert device.timing.dt == 3.5555555555555554e-09
    assert "dt 3.55556e-09 read as seconds; nanoseconds were expected" in device.notes
    assert "all 20 qubits: readout length unknown, taken as 0" in device.notes


def test_fractional_gates_are_kept_apart() -> None:
    native = Device.from_backend(FakeFractionalBackend()).native_gates
    assert native.fractional == ("rx", "rzz")
    assert native.two_qubit == ("cx",)
    assert "rx" not in native.one_qubit


# --- backends ---


def test_fake_backend_equals_its_stored_file() -> None:
    device, kept = Device.from_backend(FakeManilaV2()), load_device("ibm_manila")
    assert device.sha256 == kept.sha256
    assert replace(device, source=kept.source) == kept
    assert device.qubits[0].readout.p1_given_0 != device.qubits[0].readout.p0_given_1  # two-sided


@pytest.mark.parametrize("snapshot", ["manila", "kingston", "miami", "cairo"])
def test_live_backend_gives_the_physics_of_its_files(snapshot) -> None:
    properties, configuration = raw(snapshot)
    live = SimpleNamespace(
        name=f"ibm_{snapshot}",
        properties=lambda: BackendProperties.from_dict(dated(properties)),
        configuration=lambda: BackendConfiguration.from_dict(copy.deepcopy(configuration)),
        refresh=lambda *_, **__: pytest.fail("a snapshot must not refresh the backend"),
    )
    device = Device.from_backend(live)
    assert device.sha256 == load_device(f"ibm_{snapshot}").sha256
    assert device.calibrated_at == load_device(f"ibm_{snapshot}").calibrated_at
    assert device.source.kind == "backend"
    assert device_from_json(device_to_json(device), "x") == device


def dated(thing: object) -> object:
    """What the service's client makes of the text: datetimes for dates."""
    if isinstance(thing, dict):
        return {
            k: datetime.fromisoformat(v) if k in ("date", "last_update_date") else dated(v) for k, v in thing.items()
        }
    return [dated(item) for item in thing] if isinstance(thing, list) else thing


def test_fake_backend_refreshed_for_this_process_is_read_from_its_own_folder(monkeypatch) -> None:
    monkeypatch.setattr(FakeManilaV2, "refresh", lambda *_, **__: pytest.fail("must not refresh"))
    backend = FakeManilaV2()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("props", "conf"):
            shutil.copy(PACKAGE / "manila" / f"{kind}_manila.json", folder)
        path = Path(folder) / "props_manila.json"
        path.write_text(path.read_text().replace("131.5286444531517", "99.5"))
        backend._tmp_data_dir = SimpleNamespace(name=folder)
        device = Device.from_backend(backend)
    assert device.qubits[0].t1 == 99.5e-6
    assert device.source.kind == "files"


def test_reading_a_fake_backend_leaves_the_package_untouched() -> None:
    before = {p: p.read_bytes() for p in (PACKAGE / "manila").glob("*.json")}
    Device.from_backend(FakeManilaV2())
    assert before == {p: p.read_bytes() for p in (PACKAGE / "manila").glob("*.json")}


def test_missing_package_names_the_extra(monkeypatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "qiskit_ibm_runtime"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qonchip\[ibm\]"'):
        ibm_stored.build("manila")


def test_unknown_snapshot_is_refused_by_file() -> None:
    with pytest.raises(CalibrationError, match=r"props_atlantis.json: cannot be read"):
        ibm_stored.build("atlantis")


# --- dirt, seeded ---


def qubit_value(properties: dict, name: str) -> dict:
    return next(v for v in properties["qubits"][1] if v["name"] == name)


def gate_value(properties: dict, name: str) -> dict:
    row = next(g for g in properties["gates"] if g["gate"] == "cx")
    return next(v for v in row["parameters"] if v["name"] == name)


@pytest.mark.parametrize(
    ("find", "name", "change", "rule"),
    [
        (
            qubit_value,
            "T1",
            {"unit": "fortnight"},
            "qubits[1].T1 = 124.53550487905082 has the unknown unit 'fortnight'",
        ),
        (qubit_value, "T1", {"unit": ""}, "has the unknown unit ''"),
        (qubit_value, "T1", {"value": float("nan")}, "qubits[1].T1 = nan is not a time"),
        (qubit_value, "T2", {"value": -1.0}, "qubits[1].T2 = -1.0 is not a time"),
        (qubit_value, "T2", {"value": 0.0}, "qubits[1].t2 = 0.0 is not a relaxation time"),
        (qubit_value, "readout_length", {"unit": "GHz"}, "has the unknown unit 'GHz'"),
        (qubit_value, "prob_meas1_prep0", {"value": 1.2}, "prob_meas1_prep0 = 1.2 is not a probability"),
        (qubit_value, "T1", {"date": "yesterday"}, "is not a date"),
        (gate_value, "gate_error", {"value": 1.7}, "gates[20].gate_error = 1.7 is not a probability"),
        (gate_value, "gate_error", {"value": -0.1}, "is not a probability"),
        (gate_value, "gate_error", {"value": float("inf")}, "is not a probability"),
        (gate_value, "gate_error", {"value": "0.01"}, "is not a probability"),
        (gate_value, "gate_error", {"unit": "%"}, "has the unit '%'"),
        (gate_value, "gate_error", {"value": None}, "error is missing (cx("),
        (gate_value, "gate_length", {"unit": "dt"}, "has the unknown unit 'dt'"),
        (gate_value, "gate_length", {"unit": "s"}, "is not a duration"),
    ],
)
def test_bad_value_is_refused_by_the_vendors_own_name(find, name, change, rule) -> None:
    properties, configuration = raw("manila")
    find(properties, name).update(change)
    with pytest.raises(CalibrationError) as caught:
        ibm.from_properties(properties, configuration)
    assert str(caught.value).startswith("ibm_manila")
    assert rule in str(caught.value)
    assert "Expected" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"last_update_date": None}, "last_update_date = None is not a date"),
        ({"last_update_date": "2999-01-01T00:00:00Z"}, "lies in the future"),
        ({"qubits": None}, "qubits = None is not a list"),
        ({"gates": {}}, "gates = {} is not a list"),
        ({"gates": ["cx"]}, "is not an object"),
        ({"qubits": [[{"value": 1}]]}, "is not a list of named values"),
    ],
)
def test_properties_without_their_parts_are_refused(change, rule) -> None:
    properties, configuration = raw("manila")
    with pytest.raises(CalibrationError, match=rule.replace("(", r"\(")):
        ibm.from_properties(properties | change, configuration)


def test_configuration_of_another_chip_is_refused() -> None:
    with pytest.raises(CalibrationError, match="num_qubits = 7 is not the number of rows"):
        ibm.from_properties(raw("manila")[0], raw("lagos")[1])


def test_file_that_is_no_json_is_refused_by_name(tmp_path) -> None:
    (tmp_path / "props_x.json").write_text('{"qubits": [')
    (tmp_path / "conf_x.json").write_text("[]")
    with pytest.raises(CalibrationError, match=r"props_x.json: cannot be read"):
        ibm.from_files(tmp_path / "props_x.json", tmp_path / "conf_x.json")
    (tmp_path / "props_x.json").write_text("{}")
    with pytest.raises(CalibrationError, match=r"conf_x.json: holds no JSON object"):
        ibm.from_files(tmp_path / "props_x.json", tmp_path / "conf_x.json")


def test_readout_without_its_two_sides_is_symmetric_and_noted() -> None:
    properties, configuration = raw("manila")
    properties["qubits"][1] = [v for v in properties["qubits"][1] if not v["name"].startswith("prob_")]
    device = ibm.from_properties(properties, configuration)
    readout = device.qubits[1].readout
    assert readout.p1_given_0 == readout.p0_given_1 == 0.02190000000000003
    assert device.notes == ("qubit 1: two-sided readout error unknown, readout_error taken for both sides",)


def test_missing_readout_length_is_noted() -> None:
    properties, configuration = raw("manila")
    properties["qubits"][1] = [v for v in properties["qubits"][1] if v["name"] != "readout_length"]
    device = ibm.from_properties(properties, configuration)
    assert device.qubits[1].readout.duration is None
    assert device.notes == ("qubit 1: readout length unknown, taken as 0",)


def test_what_is_not_operational_is_not_used() -> None:
    properties, configuration = raw("manila")
    stopped = {"name": "operational", "unit": "", "value": 0, "date": "2024-05-27T00:00:00Z"}
    properties["qubits"][4].append(stopped)
    next(g for g in properties["gates"] if g["gate"] == "cx" and g["qubits"] == [0, 1])["parameters"].append(stopped)
    device = ibm.from_properties(properties, configuration)
    assert not device.qubits[4].usable
    assert not device.is_live("cx", (0, 1))
    assert device.is_live("cx", (1, 0))
    assert set(device.notes) == {"qubit 4: not operational, not used", "cx(0, 1): not operational, not used"}


def test_dead_measurement_entry_makes_its_qubit_unusable() -> None:
    properties, configuration = raw("miami")
    row = next(g for g in properties["gates"] if g["gate"] == "measure" and g["qubits"] == [5])
    next(v for v in row["parameters"] if v["name"] == "gate_error")["value"] = 1
    device = ibm.from_properties(properties, configuration)
    assert not device.qubits[5].usable
    assert "qubit 5: its measurement is dead, not used" in device.notes


def test_missing_error_is_left_unused_where_that_is_allowed() -> None:
    properties, configuration = raw("manila")
    gate_value(properties, "gate_error")["value"] = None
    device = ibm.from_properties(properties, configuration, allow_missing=True)
    assert dead(device, "cx") == 1
    assert "no error published, not used" in device.notes[0]
