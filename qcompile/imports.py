"""Calibrations from elsewhere into the user's own folder, where `load_device` finds them by name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qcompile.calibration import file_name, list_devices, load_device, save_device, user_folder
from qcompile.device import Device
from qcompile.errors import CalibrationError, InputError, UnknownDeviceError
from qcompile.vendors import braket, google, ibm, ibm_stored, iqm

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*_[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Imported:
    """A calibration that was kept.

    Attributes:
        device: what it holds.
        path: the file.
        shadowed_by: a file of the same name and date that is found before it; None as a rule.
    """

    device: Device
    path: Path
    shadowed_by: str | None


def import_device(
    sources: Sequence[str], *, name: str | None = None, allow_missing: bool = False, overwrite: bool = False
) -> Imported:
    """Reads a calibration and keeps it in the user's folder.

    Args:
        sources: a device's JSON file; a calibration of cirq-google, an IQM error profile or the properties of a Braket
            device as JSON; IBM's files props_X.json and conf_X.json in any order (one finds the other
            beside it); or the name of a fake backend of qiskit-ibm-runtime ("FakeTorino", "torino").
        name: name to keep it under, `<vendor>_<device>`; default: its own.
        allow_missing: make a gate without an error unusable, and note it, instead of refusing the file.
        overwrite: replace a different calibration of the same name and date.
    Raises: CalibrationError: a value breaks a rule, or its name is no file name. InputError: too many files, or
        another calibration of that name and date is there. UnknownDeviceError: nothing of that name.
        MissingExtraError: a fake backend without qiskit-ibm-runtime. OSError: the folder cannot be written to.
    """
    device = _read(list(sources), allow_missing)
    if name is not None:
        device = replace(device, name=name)
    if not _NAME.fullmatch(device.name):
        raise CalibrationError(
            f"{device.name!r} is no name to keep a calibration under. "
            "Expected <vendor>_<device> of letters, digits, dots, dashes; give one with --name."
        )
    path = user_folder() / file_name(device)
    if path.exists() and not overwrite and load_device(path) != device:
        raise InputError(f"{path} is there and holds another calibration. Use --force to replace it, or --name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_device(device, path)
    found = next(s.path for s in list_devices() if s.path.name == path.name)
    return Imported(device, path, None if found == path else str(found))


def _read(sources: list[str], allow_missing: bool) -> Device:
    paths = [Path(source) for source in sources]
    if len(sources) == 1 and not paths[0].is_file():
        return _fake_backend(sources[0])
    kinds = {_kind(path): path for path in paths}
    if len(sources) == 1 and "device" in kinds:
        return load_device(paths[0], allow_missing=allow_missing)
    reader = _READERS.get(next(iter(kinds)))
    if len(sources) == 1 and reader is not None:
        return reader(paths[0], allow_missing=allow_missing)
    if len(sources) == 1:
        kinds |= _beside(paths[0], next(iter(kinds)))
    if set(kinds) != {"properties", "configuration"}:
        raise InputError(
            f"{', '.join(sources)}: holds {', '.join(sorted(kinds))}. "
            "Expected one device file of any vendor, or the two files that IBM returns: properties and configuration."
        )
    return ibm.from_files(kinds["properties"], kinds["configuration"], allow_missing=allow_missing)


_READERS = {"google": google.from_file, "iqm": iqm.from_file, "braket": braket.from_file}


def _kind(path: Path) -> str:
    """What a JSON file is, by its keys: "device", "google", "iqm", "braket", "properties" or "configuration"."""
    try:
        document: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CalibrationError(f"{path}: cannot be read as JSON ({error}). Expected a calibration.") from None
    if isinstance(document, dict) and "schema" not in document:
        for kind, vendor in (("google", google), ("iqm", iqm), ("braket", braket)):
            if vendor.recognizes(document):
                return kind
        if "last_update_date" in document and "gates" in document:
            return "properties"
        if "basis_gates" in document:
            return "configuration"
    return "device"


def _beside(path: Path, kind: str) -> dict[str, Path]:
    """The other file of a pair props_X.json, conf_X.json, if it stands beside the given one."""
    here, there = ("props", "conf") if kind == "properties" else ("conf", "props")
    other = path.with_name(path.name.replace(here, there, 1))
    return {_kind(other): other} if other != path and other.is_file() else {}


def _fake_backend(name: str) -> Device:
    snapshot = re.sub(r"^(fake|ibmq?)_?|_?v2$", "", name.lower())
    snapshot = re.sub(r"^_|_$", "", snapshot)
    if "/" in name or "\\" in name or name.lower().endswith(".json") or not snapshot.isidentifier():
        raise UnknownDeviceError(f"{name}: no such file. Expected a calibration file or the name of a fake backend.")
    try:
        return ibm_stored.build(snapshot)
    except CalibrationError as error:
        if "No such file" not in str(error):
            raise
        raise UnknownDeviceError(
            f"{name} is neither a file nor a fake backend of the installed qiskit-ibm-runtime. "
            "Expected a calibration file, or a name like FakeTorino."
        ) from None
