"""Files: found by name, read whole, written whole."""

import os
import stat
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from qcompile.calibration import device_from_json, device_to_json, list_devices, load_device, save_device
from qcompile.device import Device
from qcompile.errors import CalibrationError, UnknownDeviceError

NAME = "toy_line_2025-01-02.json"
TOY = replace(
    Device.from_coupling([(0, 1), (1, 2)], two_qubit_error=0.03, name="toy_line"),
    calibrated_at=datetime(2025, 1, 2, tzinfo=UTC),
)
TEXT = device_to_json(TOY)


# --- files that are no calibration ---


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (TEXT.encode()[:700], "is the file truncated?"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "is not text"),
        (b'{"schema": NaN}', "NaN is not JSON"),
        (b'{"schema": -Infinity}', "-Infinity is not JSON"),
        (b'{"name": "a", "name": "b"}', "the key 'name' occurs twice"),
        (b"[]", "holds a JSON list"),
        (b"null", "holds a JSON NoneType"),
        (b"[" * 200_000, "cannot be parsed"),
        (b'{"num_qubits": ' + b"9" * 5000 + b"}", "cannot be parsed"),
        (TEXT.replace("0.03", "1e999").encode(), "is not a probability"),
        (TEXT.encode("utf-16"), "is not text"),
        (b"OPENQASM 2.0;", "line 1 column 1"),
    ],
    ids=range(14),
)
def test_file_that_is_no_calibration_is_refused_by_name(tmp_path, content: bytes, rule: str) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    with pytest.raises(CalibrationError) as caught:
        load_device(path)
    assert str(caught.value).startswith(f"{NAME}: ")
    assert rule in str(caught.value)
    assert "Expected" in str(caught.value)


def test_duplicate_key_in_a_gate_row_is_refused() -> None:
    text = TEXT.replace('"error": 0.03', '"error": 0.03, "error": 0.5')
    with pytest.raises(CalibrationError, match="the key 'error' occurs twice"):
        device_from_json(text, NAME)


# --- writing ---


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = save_device(TOY, tmp_path / NAME)
    before = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_device(Device.from_coupling([(0, 1)]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# --- finding ---


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("QONCHIP_DEVICES", str(tmp_path))
    return tmp_path


def test_name_picks_the_newest_date_and_a_date_picks_its_file(own_folder) -> None:
    for day in ("2024-12-31", "2025-01-02", "2024-11-30"):
        moment = datetime.fromisoformat(f"{day}T12:00:00Z")
        save_device(replace(TOY, calibrated_at=moment), own_folder / f"toy_line_{day}.json")
    assert load_device("toy_line").calibrated_at.date() == date(2025, 1, 2)
    assert load_device("toy_line_2024-12-31").calibrated_at.date() == date(2024, 12, 31)
    assert load_device("line").name == "toy_line"
    assert load_device(" Toy_Line ").name == "toy_line"
    stored = [s for s in list_devices() if s.name == "toy_line"]
    assert [s.date.day for s in stored] == [30, 31, 2]
    assert {(s.vendor, s.origin) for s in stored} == {("toy", "user")}


def test_stored_devices_win_over_the_users_folder(own_folder) -> None:
    stored = next(s for s in list_devices() if s.name == "ibm_manila")
    save_device(TOY, own_folder / stored.path.name)
    assert load_device("ibm_manila").num_qubits == 5


def test_short_name_of_two_vendors_is_refused(own_folder) -> None:
    save_device(TOY, own_folder / "toy_manila_2025-01-02.json")
    with pytest.raises(UnknownDeviceError, match="ibm_manila, toy_manila"):
        load_device("manila")


def test_path_is_loaded_as_text_and_as_path(tmp_path) -> None:
    path = save_device(TOY, tmp_path / "any name.json")
    assert load_device(path) == load_device(str(path)) == TOY


def test_unknown_name_lists_near_matches_and_the_stored_names() -> None:
    with pytest.raises(UnknownDeviceError) as caught:
        load_device("ibm_guadeloupe")
    message = str(caught.value)
    assert "Did you mean ibm_guadalupe" in message
    assert "ibm_manila" in message


@pytest.mark.parametrize("name", ["", " ", "\0", "ibm_manila_1999-01-01", "no/such.json", "x" * 5000, "ibm_manila\n"])
def test_odd_names_get_a_clear_answer(name: str) -> None:
    if name.strip() == "ibm_manila":
        assert load_device(name).name == "ibm_manila"
    else:
        with pytest.raises(UnknownDeviceError):
            load_device(name)


def test_missing_path_and_folder_are_refused(tmp_path) -> None:
    for path in (tmp_path / "none.json", tmp_path, str(tmp_path)):
        with pytest.raises(UnknownDeviceError):
            load_device(path)


def test_foreign_files_in_a_searched_folder_are_ignored(own_folder) -> None:
    for name in ("README.md", "toy_line.json", "toy_line_2025-13-45.json", "notes_2025-01-01.txt"):
        (own_folder / name).write_text("not a calibration")
    assert not [s for s in list_devices() if s.origin == "user"]
