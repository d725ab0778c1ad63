"""Stored calibrations: find one by name, read it, write it.

A file is called `<vendor>_<device>_<YYYY-MM-DD>.json` and holds one snapshot (`schema.py` has the fields). Folders, in
the order in which they are searched: `devices/` inside the package, `devices/` of the checkout, the user's own folder
(environment variable QONCHIP_DEVICES, else ~/.local/share/qonchip/devices).
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

from qcompile.device import Device, Gate, GateKey, Qubit
from qcompile.errors import CalibrationError, UnknownDeviceError
from qcompile.repairs import device_from_document
from qcompile.schema import SCHEMA, Json

_PACKAGE = Path(__file__).resolve().parent
_FILE_NAME = re.compile(r"(?P<name>.+)_(?P<date>\d{4}-\d{2}-\d{2})\.json")
_LARGEST_FILE = 64 * 2**20  # bytes; the largest stored calibration has 0.3 MB


@dataclass(frozen=True)
class StoredDevice:
    """One stored calibration, known from its file name.

    Attributes:
        name: the device, e.g. "ibm_guadalupe".
        date: day of the calibration, UTC.
        path: the file.
        origin: "package", "checkout" or "user".
    """

    name: str
    date: date
    path: Path
    origin: str

    @property
    def vendor(self) -> str:
        """The part of the name before the first underscore."""
        return self.name.partition("_")[0]


def list_devices() -> tuple[StoredDevice, ...]:
    """Every stored calibration, sorted by name and date; of two with the same name and date the first folder's."""
    found: dict[tuple[str, date], StoredDevice] = {}
    for origin, folder in _folders():
        for path in sorted(folder.glob("*.json")):
            match = _FILE_NAME.fullmatch(path.name)
            try:
                day = date.fromisoformat(match["date"]) if match else None
            except ValueError:
                day = None
            if match and day:
                found.setdefault((match["name"], day), StoredDevice(match["name"], day, path, origin))
    return tuple(found[key] for key in sorted(found))


def load_device(name_or_path: str | Path, *, allow_missing: bool = False) -> Device:
    """One calibration snapshot, checked.

    Args:
        name_or_path: a stored name ("ibm_guadalupe": its newest date; "ibm_guadalupe_2021-04-20"; "guadalupe" where
            only one vendor has it), or the path of a file.
        allow_missing: make a gate without an error unusable, and note it, instead of refusing the file.
    Raises:
        UnknownDeviceError: no stored calibration and no file of that name; lists near matches.
        CalibrationError: the file breaks a rule; names file, field, value, rule and way out.
    """
    path = _find(name_or_path)
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise CalibrationError(
                f"{path.name}: {size} bytes is too large. Expected a calibration of at most {_LARGEST_FILE} bytes."
            )
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise CalibrationError(
            f"{path.name}: byte {error.start} is not text. Expected a JSON file in UTF-8; "
            f"`qcompile devices` lists the stored ones."
        ) from None
    except OSError as error:
        raise CalibrationError(f"{path.name}: cannot be read ({error.strerror}). Expected a readable file.") from None
    return device_from_json(text, path.name, allow_missing=allow_missing)


def device_from_json(text: str, source_name: str, *, allow_missing: bool = False) -> Device:
    """Device from the text of a `qcompile.device/1` file.

    Args:
        text: the JSON; duplicate keys, NaN and Infinity are refused.
        source_name: file name for messages.
        allow_missing: as for `load_device`.
    Raises: CalibrationError.
    """
    if not text.strip():
        raise CalibrationError(f"{source_name}: the file is empty. Expected a {SCHEMA} JSON object; fetch it again.")

    def unique(pairs: list[tuple[str, Any]]) -> Json:
        out: Json = {}
        for key, value in pairs:
            if key in out:
                raise CalibrationError(
                    f"{source_name}: the key {key!r} occurs twice in one object. Expected it once; remove one of them."
                )
            out[key] = value
        return out

    def refuse(literal: str) -> NoReturn:
        raise CalibrationError(
            f"{source_name}: {literal} is not JSON. Expected a finite number, or null where the value is unknown."
        )

    try:
        document = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise CalibrationError(
            f"{source_name}: line {error.lineno} column {error.colno}: {error.msg}. "
            f"Expected a whole {SCHEMA} JSON object; is the file truncated?"
        ) from None
    except CalibrationError:
        raise
    except (RecursionError, ValueError) as error:
        raise CalibrationError(
            f"{source_name}: cannot be parsed ({error}). Expected a {SCHEMA} JSON object of ordinary depth and numbers."
        ) from None
    if not isinstance(document, dict):
        raise CalibrationError(
            f"{source_name}: the file holds a JSON {type(document).__name__}. Expected a {SCHEMA} JSON object."
        )
    return device_from_document(document, source_name, allow_missing=allow_missing)


def device_to_json(device: Device) -> str:
    """The text of a `qcompile.device/1` file: one line for each qubit and each gate, every float exact."""
    document = {
        "schema": SCHEMA,
        "name": device.name,
        "vendor": device.vendor,
        "calibrated_at": _written(device.calibrated_at),
        "num_qubits": device.num_qubits,
        "error_kind": "average_infidelity",
        "source": asdict(device.source),
        "native_gates": {
            "1q": device.native_gates.one_qubit,
            "2q": device.native_gates.two_qubit,
            "virtual": device.native_gates.virtual,
            "fractional": device.native_gates.fractional,
        },
        "timing": asdict(device.timing),
        "limits": asdict(device.limits),
        "pricing": {k: v for k, v in asdict(device.pricing).items() if v is not None} if device.pricing else None,
        "notes": device.notes,
        "qubits": [_qubit_row(i, qubit) for i, qubit in enumerate(device.qubits)],
        "gates": [_gate_row(key, gate) for key, gate in device.gates.items()],
    }
    lines = []
    for key, value in document.items():
        if isinstance(value, list | tuple) and value:
            rows = ",\n".join(f"  {_dumps(row)}" for row in value)
            lines.append(f" {_dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {_dumps(key)}: {_dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def save_device(device: Device, path: str | Path) -> Path:
    """Writes a calibration so that a reader sees the old file or the whole new one, never a part.

    Args:
        path: the file; `file_name` gives the name under which `load_device` finds it in a searched folder.
    Returns: the path.
    Raises: OSError: the folder cannot be written to.
    """
    path = Path(path)
    text = device_to_json(device)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def file_name(device: Device) -> str:
    """`<vendor>_<device>_<YYYY-MM-DD>.json`; the day in UTC."""
    return f"{device.name}_{device.calibrated_at.astimezone(UTC):%Y-%m-%d}.json"


def _folders() -> Iterator[tuple[str, Path]]:
    yield "package", _PACKAGE / "devices"
    if (_PACKAGE.parent / "pyproject.toml").is_file():
        yield "checkout", _PACKAGE.parent / "devices"
    yield "user", user_folder()


def user_folder() -> Path:
    """The user's own folder of calibrations; it need not exist."""
    own = os.environ.get("QONCHIP_DEVICES")
    return Path(own).expanduser() if own else Path.home() / ".local/share/qonchip/devices"


def _find(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, Path):
        if os.path.isfile(name_or_path):  # unlike Path.is_file it answers False for names no file can have
            return name_or_path
        raise UnknownDeviceError(f"{name_or_path}: no such file. Expected a calibration file or a stored name.")
    stored = list_devices()
    wanted = name_or_path.strip().lower()
    for matches in (
        [s for s in stored if wanted in (s.name, f"{s.name}_{s.date}")],
        [s for s in stored if wanted in (_short(s.name), f"{_short(s.name)}_{s.date}")],
    ):
        if len({s.name for s in matches}) > 1:
            names = ", ".join(sorted({s.name for s in matches}))
            raise UnknownDeviceError(f"{name_or_path!r} is the name of several devices. Expected one of: {names}.")
        if matches:
            return max(matches, key=lambda s: s.date).path
    if os.path.isfile(name_or_path):
        return Path(name_or_path)
    known = sorted({s.name for s in stored})
    close = difflib.get_close_matches(wanted, [*known, *map(_short, known)], n=3)
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    raise UnknownDeviceError(
        f"{name_or_path[:100]!r} is neither a stored device nor a file. {hint}Stored: {', '.join(known) or 'none'}."
    )


def _short(name: str) -> str:
    return name.partition("_")[2]


def _qubit_row(i: int, qubit: Qubit) -> Json:
    row: Json = {"i": i}
    if qubit.label != str(i):
        row["label"] = qubit.label
    row |= {"t1": qubit.t1, "t2": qubit.t2, "readout": asdict(qubit.readout) if qubit.readout else None}
    return row | _row_end(qubit)


def _gate_row(key: GateKey, gate: Gate) -> Json:
    return {"g": key[0], "q": key[1], "error": gate.error, "duration": gate.duration} | _row_end(gate)


def _row_end(thing: Qubit | Gate) -> Json:
    end: Json = {} if thing.usable else {"usable": False}
    return end | ({"date": _written(thing.calibrated_at)} if thing.calibrated_at else {})


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
