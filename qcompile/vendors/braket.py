"""Amazon Braket: the device properties of a QPU as JSON -> Device. Fidelities and units end here.

What is read: `paradigm` (connectivity, native gates), `service` (shots, time of the last update) and `standardized`
(versions 1 to 3: T1, T2 with units, fidelities a qubit and a pair, or averages of the whole chip), for IonQ's older
form `provider` (averages). Qubit labels may have gaps; they are kept, qubits are numbered by them in ascending order.

Native gates: r (prx) with a software frame on IQM; rz and sx elsewhere (Rigetti's rx(pi/2), IonQ's gpi2). CX and CZ are
kept; an ISWAP chip gets cz, made of two of them, an MS or ZZ chip (IonQ, all-to-all) cx, made of one.

Errors: 1 - fidelity, by the first of the kinds in `_KINDS` that is there; a fidelity whose type is called a process
fidelity is converted. A fidelity of exactly 0 marks a dead gate. Readout fidelity is symmetric.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from qcompile.device import Device, Source
from qcompile.errors import CalibrationError
from qcompile.repairs import device_from_document, grouped
from qcompile.schema import SCHEMA, Json
from qcompile.vendors.error_kinds import DEAD, from_process, repeated_pauli
from qcompile.vendors.units import POWERS, is_number, shifted

Raw = Mapping[str, Any]

_KINDS = ("RANDOMIZED_BENCHMARKING", "INTERLEAVED_RANDOMIZED_BENCHMARKING", "SIMULTANEOUS_RANDOMIZED_BENCHMARKING")
_TWO_QUBIT = {"cnot": ("cx", 1), "cx": ("cx", 1), "cz": ("cz", 1), "ecr": ("ecr", 1), "iswap": ("cz", 2),
              "ms": ("cx", 1), "zz": ("cx", 1)}  # fmt: skip
"""Vendor's gate -> the one that circuits are built from, and how many uses it takes."""
_SYMMETRIC = ("cz", "iswap", "ms", "zz")


def recognizes(document: Any) -> bool:
    """Whether it is the properties of a gate-based QPU on Braket."""
    return isinstance(document, Mapping) and isinstance(document.get("paradigm"), Mapping) and "service" in document


def is_device(backend: Any) -> bool:
    """Whether it is an AwsDevice."""
    return type(backend).__module__.startswith("braket.") and hasattr(backend, "properties")


def from_backend(backend: Any) -> Device:
    """Snapshot of an AwsDevice, as far as it has fetched its properties. Raises: CalibrationError."""
    document = json.loads(backend.properties.json())
    provider = str(getattr(backend, "provider_name", "braket")).split()[0].lower()
    name = f"{provider}_{str(backend.name).lower().replace(' ', '-')}"
    return from_properties(document, name=name, source=Source("backend", str(getattr(backend, "arn", name))))


def from_file(path: Path, *, name: str | None = None, allow_missing: bool = False) -> Device:
    """Snapshot of a file of device properties; the chip's name comes from that of the file, they have none.

    Raises: CalibrationError: no JSON, or a value breaks a rule.
    """
    try:
        raw = path.read_bytes()
        document = json.loads(raw)
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{path.name}: cannot be read as JSON ({error}). Expected device properties.") from None
    vendor, stem = _vendor(document), path.stem.lower()
    return from_properties(
        document,
        name=name or (stem if stem.startswith(f"{vendor}_") else f"{vendor}_{stem}"),
        source=Source("files", path.name, sha256=hashlib.sha256(raw).hexdigest()),
        allow_missing=allow_missing,
    )


def from_properties(
    document: Raw,
    *,
    name: str,
    calibrated_at: datetime | None = None,
    source: Source | None = None,
    allow_missing: bool = False,
) -> Device:
    """Snapshot of the device properties of a QPU.

    Args:
        document: the JSON object.
        calibrated_at: used where the document has no date.
        allow_missing: leave a gate without an error unused, and note it, instead of refusing the file.
    Raises: CalibrationError: names field, qubit, value and rule; a chip whose gates circuits are not built from.
    """
    place = f"{name} properties"
    paradigm, service = (_object(document, field, place) for field in ("paradigm", "service"))
    known = document.get("standardized") or {}
    provider = document.get("provider") or {}
    connectivity = _object(paradigm, "connectivity", f"{place}: paradigm")
    notes: list[str] = []
    labels = _labels(paradigm, connectivity, known)
    index = {label: i for i, label in enumerate(labels)}
    natives = [str(gate).lower() for gate in paradigm.get("nativeGateSet", ())]
    pulse = "r" if "prx" in natives else "sx"
    averages = _averages(known, provider, place)
    rows = [{"g": "rz", "q": [i], "error": 0.0, "duration": 0.0} for i in index.values()]
    qubits: list[Json] = []
    for label, i in index.items():
        at = f"{place}: standardized.oneQubitProperties[{label!r}]"
        found = (known.get("oneQubitProperties") or {}).get(label) or {}
        fidelities = found.get("oneQubitFidelity") or ()
        row = {"i": i, "label": label} | {
            field: _seconds(found.get(key), f"{at}.{key}") if key in found else averages.get(field)
            for field, key in (("t1", "T1"), ("t2", "T2"))
        }
        readout = _error(fidelities, ("READOUT",), f"{at}.oneQubitFidelity", 1, averages.get("readout"))
        if readout is not None:
            row["readout"] = {"p1_given_0": readout, "p0_given_1": readout, "duration": averages.get("readout_time")}
        qubits.append(row)
        error = _error(fidelities, _KINDS, f"{at}.oneQubitFidelity", 1, averages.get("one_qubit"))
        rows.append({"g": pulse, "q": [i], "error": error, "duration": averages.get("one_qubit_time")})
    rows += _two_qubit_gates(known, connectivity, index, natives, averages, place, notes)
    if any("readout" in row for row in qubits):
        notes.append("Braket publishes one readout fidelity a qubit: taken for both sides")
    if averages.get("two_qubit_time") is None:
        notes.append("gate durations unknown: what qubits lose while they wait is not estimated")
    return device_from_document(
        {
            "schema": SCHEMA,
            "name": name,
            "vendor": _vendor(document),
            "calibrated_at": _date(service.get("updatedAt") or known.get("updatedAt"), calibrated_at, place, notes),
            "num_qubits": len(labels),
            "error_kind": "average_infidelity",
            "source": asdict(source or Source("properties", name)),
            "native_gates": {
                "1q": [pulse, "rz"],
                "2q": sorted({str(row["g"]) for row in rows} - {pulse, "rz"}),
                "virtual": ["rz"],
            },
            "timing": {"reset": averages.get("reset_time")},
            "limits": {"max_shots": (service.get("shotsRange") or [None, None])[1], "mid_circuit": False},
            "notes": notes,
            "qubits": qubits,
            "gates": rows,
        },
        name,
        allow_missing=allow_missing,
    )


def _vendor(document: Any) -> str:
    """ "iqm" of a header braket.device_schema.iqm.iqm_device_capabilities."""
    header = document.get("braketSchemaHeader") or {} if isinstance(document, Mapping) else {}
    parts = str(header.get("name", "")).split(".")
    return parts[2] if len(parts) > 3 else "braket"


def _object(document: Raw, field: str, place: str) -> Raw:
    value = document.get(field)
    if not isinstance(value, Mapping):
        raise CalibrationError(
            f"{place}: {field} = {str(value)[:60]!r} is no object. Expected the properties of a QPU."
        )
    return value


def _labels(paradigm: Raw, connectivity: Raw, known: Raw) -> list[str]:
    graph = connectivity.get("connectivityGraph") or {}
    named = {str(q) for q in graph} | {str(q) for near in graph.values() for q in near}
    named |= {str(q) for q in known.get("oneQubitProperties") or ()}
    if not named:
        return [str(i) for i in range(paradigm.get("qubitCount", 0))]
    return sorted(named, key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label))


def _averages(known: Raw, provider: Raw, place: str) -> dict[str, float | None]:
    """What is published for the whole chip: version 3 of the standardized properties, or IonQ's own."""
    found: dict[str, float | None] = {}
    for name, field in (("t1", "T1"), ("t2", "T2"), ("readout_time", "readoutDuration"),
                        ("one_qubit_time", "singleQubitGateDuration"), ("two_qubit_time", "twoQubitGateDuration"),
                        ("reset_time", "activeResetDuration")):  # fmt: skip
        found[name] = _seconds(known[field], f"{place}: standardized.{field}") if known.get(field) else None
    for name, field, width in (("readout", "readoutFidelity", 1), ("one_qubit", "singleQubitFidelity", 1),
                               ("two_qubit", "twoQubitGateFidelity", 2)):  # fmt: skip
        found[name] = _error(known.get(field) or (), (), f"{place}: standardized.{field}", width, None)
    timing, fidelity = provider.get("timing") or {}, provider.get("fidelity") or {}
    for name, field in (("t1", "T1"), ("t2", "T2"), ("readout_time", "readout"), ("one_qubit_time", "1Q"),
                        ("two_qubit_time", "2Q"), ("reset_time", "reset")):  # fmt: skip
        if found[name] is None and field in timing:
            found[name] = _seconds({"value": timing[field], "unit": "s"}, f"{place}: provider.timing[{field!r}]")
    for name, field, width in (("readout", "spam", 1), ("one_qubit", "1Q", 1), ("two_qubit", "2Q", 2)):
        if found[name] is None and field in fidelity:
            row = {"fidelity": fidelity[field].get("mean", fidelity[field].get("median"))}
            found[name] = _error([row], (), f"{place}: provider.fidelity[{field!r}]", width, None)
    return found


def _seconds(row: Any, at: str) -> float | None:
    value, unit = (row.get("value"), row.get("unit")) if isinstance(row, Mapping) else (row, None)
    if value is None:
        return None
    power = POWERS.get(str(unit).lower())
    if power is None:
        raise CalibrationError(
            f"{at} = {value!r} has the unknown unit {unit!r}. Expected one of {', '.join(POWERS)}; convert it first."
        )
    if not (is_number(value) and math.isfinite(value) and value >= 0):
        raise CalibrationError(f"{at} = {value!r} is not a time. Expected a finite number, 0 or more.")
    seconds: float | None = shifted(value, power)
    return seconds


def _kind(row: Raw) -> str:
    return str((row.get("fidelityType") or {}).get("name", "")).upper()


def _error(rows: Sequence[Any], kinds: tuple[str, ...], at: str, width: int, otherwise: float | None) -> float | None:
    """Average gate infidelity of the first row of the kinds, in their order (no kinds: any row)."""
    for kind in kinds or ("",):
        for row in rows:
            if not isinstance(row, Mapping):
                raise CalibrationError(f"{at} = {str(row)[:60]!r} is no fidelity. Expected fidelity and fidelityType.")
            if kinds and kind != _kind(row):
                continue
            value = row.get("fidelity")
            if value is None:
                continue
            if not (is_number(value) and 0 <= value <= 1):
                raise CalibrationError(
                    f"{at}.fidelity = {value!r} is not a fidelity. Expected 0 <= value <= 1; 0 marks a dead gate."
                )
            error = 1.0 - value
            return from_process(error, width) if "PROCESS" in _kind(row) else error
    return otherwise


def _two_qubit_gates(
    known: Raw,
    connectivity: Raw,
    index: Mapping[str, int],
    natives: Sequence[str],
    averages: Mapping[str, float | None],
    place: str,
    notes: list[str],
) -> list[Json]:
    rows: list[Json] = []
    calibrated: set[frozenset[str]] = set()
    length = averages.get("two_qubit_time")
    for key, found in (known.get("twoQubitProperties") or {}).items():
        at = f"{place}: standardized.twoQubitProperties[{key!r}]"
        pair = str(key).split("-")
        if len(pair) != 2 or any(label not in index for label in pair):
            raise CalibrationError(f"{at} names no pair of qubits. Expected two labels of the chip, such as '0-1'.")
        calibrated.add(frozenset(pair))
        by_gate: dict[str, list[Raw]] = {}
        for row in found.get("twoQubitGateFidelity") or ():
            by_gate.setdefault(str(row.get("gateName", "")).lower(), []).append(row)
        for gate, measured in by_gate.items():
            if gate in _TWO_QUBIT:
                rows += _written(gate, pair, measured, index, length, at)
            else:
                notes.append(f"{gate}({', '.join(pair)}): no gate that circuits are built from, left out")
    gate = next((g for g in natives if g in _TWO_QUBIT), "ms")
    if connectivity.get("fullyConnected"):
        rest = [list(pair) for pair in combinations(index, 2) if frozenset(pair) not in calibrated]
        average = averages.get("two_qubit")
        measured = [] if average is None else [{"fidelity": 1.0 - average}]
        for pair in rest:
            rows += _written(gate, pair, measured, index, length, place)
    else:
        graph = connectivity.get("connectivityGraph") or {}
        silent = sorted({tuple(sorted((str(a), str(b)), key=index.__getitem__)) for a in graph for b in graph[a]}
                        - {tuple(sorted(pair, key=index.__getitem__)) for pair in calibrated})  # fmt: skip
        notes += grouped("couplers", [f"coupler({a}, {b})" for a, b in silent], "no calibrated gate, not an edge")
    if any(_TWO_QUBIT[g][1] > 1 for g in natives if g in _TWO_QUBIT):
        notes.append("cz is two iswap with one-qubit gates in between; no error of its own is published")
    unique = {(row["g"], tuple(row["q"])): row for row in reversed(rows)}
    return list(unique.values())[::-1]


def _written(
    gate: str, pair: Sequence[str], measured: Sequence[Raw], index: Mapping[str, int], length: float | None, at: str
) -> list[Json]:
    name, uses = _TWO_QUBIT[gate]
    error = _error(measured, _KINDS, at, 2, None)
    if error is None:
        error = _error(measured, (), at, 2, None)
    if error is not None and error != DEAD and uses > 1:
        error = from_process(repeated_pauli(error * 5 / 4, 2, uses), 2)
    ways = [[index[label] for label in pair]]
    direction = next((row["direction"] for row in measured if row.get("direction")), None)
    if direction is not None and gate not in _SYMMETRIC:
        ways = [[index[str(direction["control"])], index[str(direction["target"])]]]
    elif gate != "ecr":
        ways.append(ways[0][::-1])
    duration = None if length is None else uses * length
    return [{"g": name, "q": way, "error": error, "duration": duration} for way in ways]


def _date(value: Any, otherwise: datetime | None, place: str, notes: list[str]) -> datetime:
    if value is None and otherwise is not None:
        return otherwise
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise CalibrationError(f"{place}: service.updatedAt = {value!r} is no date. Expected ISO 8601.") from None
    if moment.tzinfo is None:
        notes.append("the date has no time zone: taken as UTC")
        moment = moment.replace(tzinfo=UTC)
    return moment
