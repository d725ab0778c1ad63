"""Google, IQM and Braket: units and error kinds end in the converters; what breaks a rule is refused by name."""

import copy
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcompile import CalibrationError, Device, assert_equivalent, assert_executable, compile, list_devices, load_device
from qcompile.calibration import device_to_json
from qcompile.channels import gate_noise
from qcompile.coordinates import coordinates
from qcompile.errors import MissingExtraError
from qcompile.imports import import_device
from qcompile.vendors import braket, error_kinds, google, iqm, packaged
from tests.aer_reference import exact_state_fidelity
from tests.circuits import u3cu3

FILES = Path(__file__).parent / "vendor_files"
GOOGLE = json.loads((FILES / "toy_2024_05_06_calibration.json").read_text())
IQM = json.loads((FILES / "iqm_toy.json").read_text())
RIGETTI = json.loads((FILES / "rigetti_toy.json").read_text())


def close(value):
    return pytest.approx(value, rel=1e-12)


# --- kinds of error ---


def test_kinds_of_error_become_average_infidelities():
    assert error_kinds.from_pauli(0.0127773, 2) == pytest.approx(0.0102219, abs=1e-7)  # both published, weber
    assert error_kinds.from_pauli(0.003, 1) == close(0.002)
    assert error_kinds.from_process(0.0125, 2) == close(0.01)
    assert error_kinds.from_depolarizing(0.02, 1) == close(0.01)
    assert error_kinds.from_depolarizing(0.02, 2) == close(0.015)
    assert {error_kinds.from_pauli(1, 1), error_kinds.from_process(1, 2), error_kinds.from_depolarizing(1, 2)} == {1}


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.5), st.floats(1e-6, 1e-3), st.floats(0.2, 2.5), st.sampled_from([1, 2]), st.floats(0, 0.1))
def test_noise_model_finds_the_depolarizing_parameter_again(parameter, t1, ratio, width, fraction):
    duration = fraction * t1
    profile = copy.deepcopy(IQM)
    for label in ("QB1", "QB2"):
        profile["error_profile"]["t1s"][label] = t1 * 1e9
        profile["error_profile"]["t2s"][label] = ratio * t1 * 1e9
    kind = "single_qubit" if width == 1 else "two_qubit"
    gate, key = ("prx", "QB1") if width == 1 else ("cz", "QB1-QB2")
    profile["error_profile"][f"{kind}_gate_depolarizing_error_parameters"][gate][key] = parameter
    profile["error_profile"][f"{kind}_gate_durations"][gate] = duration * 1e9
    device = iqm.from_profile(profile, name="iqm_toy")
    found = gate_noise(device, "r" if width == 1 else "cz", (0,) if width == 1 else (0, 1))[1]
    assert found == pytest.approx(parameter, abs=1e-12)


def test_cycles_multiply_their_polarizations():
    once = error_kinds.repeated_pauli(0.01, 2, 1)
    assert once == pytest.approx(0.01, abs=1e-15)
    noise = np.diag([1.0] + [1 - 16 / 15 * 0.01] * 15)
    assert error_kinds.repeated_pauli(0.01, 2, 3) == pytest.approx(1 - np.trace(noise @ noise @ noise) / 16, abs=1e-15)


# --- golden files ---


def test_google_file():
    device = google.from_file(FILES / "toy_2024_05_06_calibration.json")
    assert (device.name, device.vendor, f"{device.calibrated_at:%Y-%m-%d}") == ("google_toy", "google", "2024-05-06")
    assert [q.label for q in device.qubits] == ["3_2", "4_2", "10_2"]
    assert [q.t1 for q in device.qubits] == [15e-6, 2.5e-6, 20e-6]
    tphi = 1 / (3 * 0.001 / 25e-9 - 1 / 15e-6)
    assert device.qubits[0].t2 == close(1 / (0.5 / 15e-6 + 1 / tphi))
    assert device.qubits[1].t2 == close(5e-6)  # t1 alone exceeds its incoherent error
    assert device.qubits[2].t2 is None
    assert device.qubits[0].readout.p1_given_0 == 0.01
    assert device.qubits[0].readout.p0_given_1 == 0.05
    assert device.qubits[0].readout.duration == 600e-9
    assert device.gates["u", (0,)].error == close(0.001)
    assert device.gates["cz", (0, 1)].error == device.gates["cz", (1, 0)].error == close(0.01)
    assert device.gates["cz", (0, 1)].duration == 42e-9
    assert not device.is_live("cz", (1, 2))
    assert {"qubit 1: t1 alone exceeds the incoherent error of a pulse, t2 taken as 2*t1",
            "cz(1, 2): error 1, not used", "qubit 2: readout error unknown"} <= set(device.notes)  # fmt: skip


def test_cz_of_a_sycamore_chip_is_two_cycles():
    document = json.loads(json.dumps(GOOGLE).replace("parallel_cz_gate", "parallel_sqrt_iswap_gate"))
    device = google.from_calibration(document, name="google_toy", calibrated_at=load_device("ibm_manila").calibrated_at)
    assert device.gates["cz", (0, 1)].error == close(0.8 * error_kinds.repeated_pauli(0.0125, 2, 2))
    assert device.gates["cz", (0, 1)].duration == close(89e-9)
    assert any("two sqrt(iSWAP)" in note for note in device.notes)
    assert not device.limits.mid_circuit


def test_iqm_file():
    device = iqm.from_file(FILES / "iqm_toy.json")
    assert (device.name, device.vendor, f"{device.calibrated_at:%H:%M:%S}") == ("iqm_toy", "iqm", "07:08:09")
    assert [q.label for q in device.qubits] == ["QB1", "QB2", "QB10"]
    assert (device.qubits[1].t1, device.qubits[1].t2) == (33e-6, 26e-6)
    assert (device.qubits[1].readout.p1_given_0, device.qubits[1].readout.p0_given_1) == (0.018, 0.05)
    assert gate_noise(device, "r", (1,))[1] == pytest.approx(0.0054, abs=1e-12)
    assert gate_noise(device, "cz", (1, 0))[1] == pytest.approx(0.0335, abs=1e-12)
    assert gate_noise(device, "r", (2,))[1] == pytest.approx(0, abs=1e-12)
    assert (device.duration("r", (0,)), device.duration("cz", (0, 1)), device.duration("rz", (0,))) == (40e-9, 80e-9, 0)
    assert not device.is_live("cz", (1, 2))
    assert "qubit 2: t2 12.0 us above 2*t1 = 10.0 us, clamped in simulation" in device.notes


def test_rigetti_file_on_braket():
    device = braket.from_file(FILES / "rigetti_toy.json")
    assert (device.name, device.vendor, device.limits.max_shots) == ("rigetti_toy", "rigetti", 50_000)
    assert [q.label for q in device.qubits] == ["7", "10", "21", "113"]
    assert (device.qubits[0].t1, device.qubits[0].t2) == (28.9e-6, 21e-6)
    assert device.qubits[0].readout.error == close(0.1)
    assert device.gates["sx", (0,)].error == close(0.0007)
    assert device.gates["cz", (1, 0)].error == close(0.8 * error_kinds.repeated_pauli(0.025, 2, 2))
    assert not device.is_live("cz", (1, 2))
    assert "coupler(21, 113): no calibrated gate, not an edge" in device.notes
    assert "the date has no time zone: taken as UTC" in device.notes


def test_iqm_file_on_braket():
    device = braket.from_file(FILES / "iqm_braket-toy.json")
    assert device.native_gates.one_qubit == ("r", "rz")
    assert [device.gates["r", (q,)].error for q in range(3)] == [close(0.001), close(0.002), close(0.0015)]
    assert device.gates["cz", (0, 1)].error == close(0.01)
    assert device.gates["cz", (1, 2)].error == close(0.01)  # a process fidelity of 0.9875


def test_ionq_file_on_braket_is_all_to_all():
    device = braket.from_file(FILES / "ionq_toy.json")
    assert device.graph.number_of_edges() == 6
    assert device.gates["cx", (3, 0)].error == close(0.0031)
    assert device.gates["cx", (3, 0)].duration == 600e-6
    assert device.gates["sx", (2,)].error == close(0.0003)
    assert (device.qubits[0].t1, device.qubits[0].t2, device.timing.reset) == (100.0, 1.0, 2e-5)


@pytest.mark.parametrize(
    "file", ["toy_2024_05_06_calibration.json", "iqm_toy.json", "rigetti_toy.json", "iqm_braket-toy.json",
             "ionq_toy.json"]
)  # fmt: skip
def test_import_recognizes_each_format_and_the_chip_compiles(file, tmp_path, monkeypatch):
    monkeypatch.setenv("QONCHIP_DEVICES", str(tmp_path))
    device = import_device([str(FILES / file)]).device
    assert load_device(device.name) == device
    circuit = u3cu3(2, 1)
    circuit.measure_all()
    compiled = compile(circuit, device, effort="fast")
    assert_executable(compiled.circuit, device)
    assert_equivalent(circuit, compiled)


# --- dirt ---


def edited(document, path, value):
    document = copy.deepcopy(document)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


def google_value(row):
    return ("metrics", "metrics", row, "values", 0, "doubleVal")


ONE = ("error_profile", "single_qubit_gate_depolarizing_error_parameters", "prx", "QB2")
ST = "standardized"
FIDELITY = (ST, "oneQubitProperties", "7", "oneQubitFidelity")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (google_value(0), float("nan"), "single_qubit_idle_t1_micros of 3_2 = nan is not a time"),
        (google_value(0), "NaN", "single_qubit_idle_t1_micros of 3_2 = 'NaN' is not a time"),
        (google_value(0), -1.0, "single_qubit_idle_t1_micros of 3_2 = -1.0 is not a time"),
        (google_value(0), 0.0, "t1 = 0.0 is not a relaxation time"),
        (google_value(5), 1.5, "single_qubit_rb_pauli_error_per_gate of 3_2 = 1.5 is not a probability"),
        (google_value(5), -0.1, "single_qubit_rb_pauli_error_per_gate of 3_2 = -0.1 is not a probability"),
        (google_value(8), 2.0, "single_qubit_p00_error of 3_2 = 2.0 is not a probability"),
        (google_value(12), "big", "per_cycle of 3_2 4_2 = 'big' is not a probability"),
        (("metrics", "metrics", 12, "targets"), ["3_2", "9_9"], "of 3_2 9_9 names no pair"),
        (("metrics", "metrics", 1, "targets"), ["3_2"], "repeats single_qubit_idle_t1_micros of 3_2"),
        (("metrics", "metrics", 0, "targets"), ["north"], "'north' is no qubit of a grid"),
        (("metrics", "metrics", 3), {"name": "x"}, r"metrics[3] = \"{'name': 'x'}\" is no metric"),
        (("metrics", "metrics"), {}, "metrics = '{}' is not a list"),
        (("metrics", "timestampMs"), "soon", "timestampMs = 'soon' is no time"),
        (("metrics", "metrics", 7), GOOGLE["metrics"]["metrics"][7] | {"name": "other"}, "error is missing (u(2))"),
    ],
)  # fmt: skip
def test_google_dirt_is_refused_by_name(path, value, named):
    document = edited(GOOGLE, path, value)
    with pytest.raises(CalibrationError) as caught:
        google.from_calibration(document, name="google_toy", calibrated_at=load_device("ibm_manila").calibrated_at)
    assert named.replace("\\", "") in str(caught.value)
    assert "Expected" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (ONE, 1.2, "parameters['prx']['QB2'] = 1.2 is not a depolarizing parameter"),
        (ONE, float("nan"), "parameters['prx']['QB2'] = nan is not a depolarizing parameter"),
        (ONE, None, "error is missing (r(1))"),
        (ONE, True, "parameters['prx']['QB2'] = True is not a depolarizing parameter"),
        (("error_profile", "t1s", "QB1"), -5, "t1s['QB1'] = -5 is not a time"),
        (("error_profile", "t1s", "QB1"), 0.0, "t1 = 0.0 is not a relaxation time"),
        (("error_profile", "readout_errors", "QB1"), {"0": 0.1}, "readout_errors['QB1']['1'] is missing"),
        (("error_profile", "readout_errors", "QB1", "0"), 7, "readout_errors['QB1']['0'] = 7 is not a probability"),
        ((*ONE[:1], "two_qubit_gate_depolarizing_error_parameters", "cz"), {"QB1-QB9": 0.1}, "['QB1-QB9'] names"),
        (("error_profile", "single_qubit_gate_durations", "prx"), "40", "['prx'] = '40' is not a time"),
        (("error_profile", "t2s"), None, "t2s is missing"),
        (("architecture", "computational_resonators"), ["CR1"], "computational resonator 'CR1'"),
        (("calibrated_at",), "yesterday", "calibrated_at = 'yesterday' is not a date"),
    ],
)  # fmt: skip
def test_iqm_dirt_is_refused_by_name(path, value, named):
    with pytest.raises(CalibrationError) as caught:
        iqm.from_profile(edited(IQM, path, value), name="iqm_toy")
    assert named in str(caught.value)
    assert "xpected" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ((*FIDELITY, 1, "fidelity"), 1.01, "['7'].oneQubitFidelity.fidelity = 1.01 is not a fidelity"),
        ((*FIDELITY, 1, "fidelity"), float("nan"), "fidelity = nan is not a fidelity"),
        ((*FIDELITY, 1), 3, "['7'].oneQubitFidelity = '3' is no fidelity"),
        ((*FIDELITY[:-1], "T1", "unit"), "fortnight", "['7'].T1 = 28.9 has the unknown unit 'fortnight'"),
        ((*FIDELITY[:-1], "T1", "value"), -3.0, "['7'].T1 = -3.0 is not a time"),
        ((*FIDELITY[:-1], "T1", "value"), float("inf"), "['7'].T1 = inf is not a time"),
        ((ST, "twoQubitProperties"), {"7-99": {}}, "twoQubitProperties['7-99'] names no pair"),
        (("service", "updatedAt"), "whenever", "service.updatedAt = 'whenever' is no date"),
        (("paradigm",), None, "paradigm = 'None' is no object"),
    ],
)  # fmt: skip
def test_braket_dirt_is_refused_by_name(path, value, named):
    with pytest.raises(CalibrationError) as caught:
        braket.from_properties(edited(RIGETTI, path, value), name="rigetti_toy")
    assert named in str(caught.value)
    assert "Expected" in str(caught.value)


def test_missing_errors_can_be_left_unused():
    device = iqm.from_profile(edited(IQM, ONE, None), name="iqm_toy", allow_missing=True)
    assert not device.qubits[1].usable
    assert "r(1): no error published, not used" in device.notes


# --- backends and packages ---


class _Profile(SimpleNamespace):
    pass


def test_fake_iqm_backend_is_read_from_its_error_profile():
    profile = copy.deepcopy(IQM["error_profile"])
    pairs = profile["two_qubit_gate_depolarizing_error_parameters"]["cz"]
    profile["two_qubit_gate_depolarizing_error_parameters"]["cz"] = {tuple(k.split("-")): v for k, v in pairs.items()}
    backend = _Profile(
        name="IQMFakeToyBackend",
        error_profile=SimpleNamespace(**profile),
        architecture=SimpleNamespace(qubits=["QB1", "QB2", "QB10"], computational_resonators=[]),
    )
    _Profile.__module__ = "iqm.qiskit_iqm.fake_backends.iqm_fake_backend"
    device = Device.from_backend(backend)
    assert device.name == "iqm_toy"
    assert device.sha256 == iqm.from_file(FILES / "iqm_toy.json").sha256


class _AwsDevice:
    name, provider_name, arn = "Toy 1", "Rigetti", "arn:aws:braket:::device/qpu/rigetti/Toy-1"
    properties = SimpleNamespace(json=lambda: json.dumps(RIGETTI))


def test_aws_device_is_read_from_its_properties():
    _AwsDevice.__module__ = "braket.aws.aws_device"
    device = Device.from_backend(_AwsDevice())
    assert device.name == "rigetti_toy-1"
    assert device.sha256 == braket.from_file(FILES / "rigetti_toy.json").sha256


@pytest.mark.parametrize(
    ("build", "chip", "extra"), [("build_google", "weber", "google"), ("build_iqm", "adonis", "iqm")]
)
def test_missing_package_names_its_extra(build, chip, extra, monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    monkeypatch.setattr(packaged, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(MissingExtraError, match=rf"qonchip\[{extra}\]"):
        getattr(packaged, build)(chip)


@pytest.mark.parametrize("chip", sorted(packaged.GOOGLE))
def test_stored_google_chip_equals_its_rebuild(chip):
    pytest.importorskip("cirq_google")
    assert device_to_json(packaged.build_google(chip)) == device_to_json(load_device(f"google_{chip}"))


@pytest.mark.parametrize("chip", packaged.IQM)
def test_stored_iqm_chip_equals_its_rebuild(chip):
    pytest.importorskip("iqm.qiskit_iqm")
    assert device_to_json(packaged.build_iqm(chip)) == device_to_json(load_device(f"iqm_{chip}"))


STORED = {
    "google_rainbow": (23, 32), "google_weber": (53, 86), "google_willow": (105, 182), "iqm_adonis": (5, 4),
    "iqm_aphrodite": (54, 90), "iqm_apollo": (20, 30), "iqm_garnet": (20, 30),
}  # fmt: skip


@pytest.mark.parametrize("name", STORED)
def test_stored_chip_compiles_and_its_estimate_is_that_of_aer(name):
    device = load_device(name)
    assert (device.num_qubits, device.graph.number_of_edges()) == STORED[name]
    circuit = u3cu3(3, 1)
    circuit = circuit.assign_parameters(np.random.default_rng(1).uniform(-3, 3, circuit.num_parameters))
    compiled = compile(circuit, device, effort="fast")
    assert_executable(compiled.circuit, device)
    assert_equivalent(circuit, compiled)
    pulses = Counter(i.operation.name for i in compiled.circuit.data)
    assert set(pulses) <= {"r", "rz", "cz"} if name.startswith("iqm") else {"u", "rz", "cz"}
    assert compiled.estimate.method == "exact"
    assert compiled.estimate.state_fidelity == pytest.approx(exact_state_fidelity(compiled), abs=1e-8)


def test_readme_has_a_line_of_every_stored_file():
    readme = (Path(__file__).parents[2] / "devices" / "README.md").read_text(encoding="utf-8")
    assert all(f"| {stored.path.name} |" in readme for stored in list_devices() if stored.origin == "checkout")
    for vendor, chips in (("google", sorted(packaged.GOOGLE)), ("iqm", packaged.IQM)):
        shown = readme.partition(packaged.TABLE_STARTS.format(vendor))[2].partition(packaged.TABLE_ENDS.format(vendor))
        expected = packaged.table(load_device(f"{vendor}_{chip}") for chip in chips)
        assert shown[0].strip() == expected.strip()


def test_google_qubits_are_drawn_where_their_names_say():
    positions = coordinates(load_device("google_rainbow"))
    assert [positions[q] for q in (0, 1, 2)] == [(2.0, -3.0), (1.0, -4.0), (2.0, -4.0)]  # 3_2, 4_1, 4_2
