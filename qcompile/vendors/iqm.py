"""IQM: the error profile and architecture of a chip -> Device. Nanoseconds and depolarizing parameters end here.

Native gates: r, IQM's prx(theta, phi), and cz. A Z rotation is a change of frame that software keeps: rz is virtual
and only ever written behind the last pulse of a qubit that is not measured.

An error profile gives the parameter of a depolarizing channel that acts *beside* thermal relaxation over the gate's
duration; together they are the gate's average infidelity (`error_kinds.from_depolarizing`). The noise model then finds
the same parameter again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qcompile.device import Device, Source
from qcompile.errors import CalibrationError
from qcompile.repairs import device_from_document
from qcompile.schema import SCHEMA, Json
from qcompile.vendors.error_kinds import from_depolarizing, relaxation_fidelity
from qcompile.vendors.units import is_number, shifted

Raw = Mapping[str, Any]

_PROFILE = (
    "t1s", "t2s", "single_qubit_gate_depolarizing_error_parameters", "two_qubit_gate_depolarizing_error_parameters",
    "single_qubit_gate_durations", "two_qubit_gate_durations", "readout_errors",
)  # fmt: skip
_NAMES = {"prx": "r", "cz": "cz"}


def recognizes(document: Any) -> bool:
    """Whether it is an error profile, alone or beside its architecture."""
    profile = document.get("error_profile", document) if isinstance(document, Mapping) else None
    return isinstance(profile, Mapping) and all(field in profile for field in _PROFILE[:4])


def is_fake(backend: Any) -> bool:
    """Whether it is a fake backend of iqm-client, which has an error profile."""
    return type(backend).__module__.startswith("iqm.") and hasattr(backend, "error_profile")


def from_backend(backend: Any) -> Device:
    """Snapshot of a fake backend of iqm-client; its calibration has no date, the day of reading stands in.

    Raises: CalibrationError: a value breaks a rule.
    """
    short = str(backend.name).removeprefix("IQMFake").removesuffix("Backend").lower()
    return from_profile(document_of(backend), name=f"iqm_{short}", source=Source("backend", str(backend.name)))


def document_of(backend: Any) -> Json:
    """The JSON form of a fake backend: architecture and error profile, a pair of qubits as "QB1-QB2"."""
    profile = {field: getattr(backend.error_profile, field) for field in (*_PROFILE, "name")}
    pairs = profile["two_qubit_gate_depolarizing_error_parameters"]
    profile["two_qubit_gate_depolarizing_error_parameters"] = {
        gate: {"-".join(pair): value for pair, value in values.items()} for gate, values in pairs.items()
    }
    architecture = backend.architecture
    resonators = list(getattr(architecture, "computational_resonators", ()))
    return {
        "architecture": {"qubits": list(architecture.qubits), "computational_resonators": resonators},
        "error_profile": profile,
    }


def from_file(path: Path, *, name: str | None = None, allow_missing: bool = False) -> Device:
    """Snapshot of a JSON file as `document_of` makes it, or of an error profile alone.

    Raises: CalibrationError: no JSON, or a value breaks a rule.
    """
    try:
        raw = path.read_bytes()
        document = json.loads(raw)
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{path.name}: cannot be read as JSON ({error}). Expected an error profile.") from None
    short = path.stem.lower().removeprefix("iqm_")
    return from_profile(
        document,
        name=name or f"iqm_{short}",
        source=Source("files", path.name, sha256=hashlib.sha256(raw).hexdigest()),
        allow_missing=allow_missing,
    )


def from_profile(
    document: Raw,
    *,
    name: str,
    calibrated_at: datetime | None = None,
    source: Source | None = None,
    allow_missing: bool = False,
) -> Device:
    """Snapshot of an error profile.

    Args:
        document: {"architecture": {"qubits"}, "error_profile": {...}}, or the profile alone, with the fields of
            iqm-client's IQMErrorProfile: times in ns, depolarizing parameters, readout {"0": p(1|0), "1": p(0|1)}.
            `calibrated_at` (ISO 8601) may stand beside them.
        calibrated_at: used where the document has no date; default: now, noted.
        allow_missing: leave a gate without an error unused, and note it, instead of refusing the profile.
    Raises: CalibrationError: names field, qubit, value and rule; a chip with a computational resonator.
    """
    place = f"{name} error profile"
    profile = document.get("error_profile", document)
    missing = [field for field in _PROFILE if not isinstance(profile.get(field), Mapping)]
    if missing:
        raise CalibrationError(f"{place}: {missing[0]} is missing. Expected an object with one value a qubit or gate.")
    architecture = document.get("architecture") or {}
    resonators = architecture.get("computational_resonators") or ()
    if resonators:
        raise CalibrationError(
            f"{place}: computational resonator {resonators[0]!r}. Its move gates are not built here; expected a chip "
            "whose qubits are coupled directly."
        )
    labels = list(architecture.get("qubits") or profile["t1s"])
    index = {label: i for i, label in enumerate(labels)}
    notes: list[str] = []
    at = document.get("calibrated_at", calibrated_at)
    if at is None:
        at = datetime.now(UTC).replace(microsecond=0)
        notes.append("the error profile has no date: calibrated_at is the time of reading")
    lifetimes = {label: [_seconds(profile, field, label, place) for field in ("t1s", "t2s")] for label in labels}
    return device_from_document(
        {
            "schema": SCHEMA,
            "name": name,
            "vendor": "iqm",
            "calibrated_at": at,
            "num_qubits": len(labels),
            "error_kind": "average_infidelity",
            "source": asdict(source or Source("profile", str(profile.get("name") or name))),
            "native_gates": {"1q": ["r", "rz"], "2q": ["cz"], "virtual": ["rz"]},
            "limits": {"mid_circuit": False},
            "notes": notes,
            "qubits": [
                {"i": i, "label": label, "t1": lifetimes[label][0], "t2": lifetimes[label][1]}
                | _readout(profile, label, place)
                for label, i in index.items()
            ],
            "gates": _gates(profile, index, lifetimes, place, notes),
        },
        name,
        allow_missing=allow_missing,
    )


def _number(value: Any, at: str, rule: str, most: float) -> float | None:
    if value is None or (is_number(value) and 0 <= value <= most):
        return value
    raise CalibrationError(f"{at} = {value!r} {rule}.")


def _seconds(profile: Raw, field: str, key: str, place: str) -> float | None:
    """Of a value in ns; digits kept."""
    rule = "is not a time. Expected nanoseconds, 0 or more"
    value = _number(profile[field].get(key), f"{place}: {field}[{key!r}]", rule, 1e12)
    seconds: float | None = shifted(value, -9)
    return seconds


def _readout(profile: Raw, label: str, place: str) -> Json:
    sides = profile["readout_errors"].get(label)
    if sides is None:
        return {}
    rule = "is not a probability. Expected 0 <= value <= 1"
    found = []
    for side in ("0", "1"):
        at = f"{place}: readout_errors[{label!r}][{side!r}]"
        value = sides.get(side) if isinstance(sides, Mapping) else None
        if value is None:
            raise CalibrationError(f"{at} is missing. Expected the probabilities of misreading 0 and 1.")
        found.append(_number(value, at, rule, 1))
    return {"readout": {"p1_given_0": found[0], "p0_given_1": found[1]}}


def _gates(
    profile: Raw, index: Mapping[str, int], lifetimes: Mapping[str, list[float | None]], place: str, notes: list[str]
) -> list[Json]:
    rows: list[Json] = [{"g": "rz", "q": [i], "error": 0.0, "duration": 0.0} for i in index.values()]
    for kind, width in (("single_qubit", 1), ("two_qubit", 2)):
        field = f"{kind}_gate_depolarizing_error_parameters"
        for gate, values in profile[field].items():
            if gate not in _NAMES:
                notes.append(f"{gate}: {len(values)} entries, no native gate of a fixed circuit, left out")
                continue
            duration = _seconds(profile, f"{kind}_gate_durations", gate, place)
            for key, value in values.items():
                at = f"{place}: {field}[{gate!r}][{key!r}]"
                labels = [key] if width == 1 else list(key) if isinstance(key, tuple) else str(key).split("-")
                if len(labels) != width or any(label not in index for label in labels):
                    raise CalibrationError(f"{at} names no {width} qubit(s) of the chip. Expected labels of t1s.")
                rule = "is not a depolarizing parameter. Expected 0 <= value <= 1; exactly 1 marks a dead gate"
                parameter = _number(value, at, rule, 1)
                times = [(lifetimes[label][0] or math.inf, lifetimes[label][1] or math.inf) for label in labels]
                kept = relaxation_fidelity(times, duration or 0.0)
                error = None if parameter is None else from_depolarizing(parameter, width, kept)
                qubits = [index[label] for label in labels]
                for pair in [qubits] if width == 1 else [qubits, qubits[::-1]]:
                    rows.append({"g": _NAMES[gate], "q": pair, "error": error, "duration": duration})
    return rows
