"""Google: a calibration of cirq-google (metrics as JSON) -> Device. Microseconds, nanoseconds, Pauli errors end here.

Native gates: u, the phased XZ gate (any one-qubit unitary in one pulse), its Z rotation rz virtual, and cz. The metrics
that are read are those of Cirq's own noise model (`noise_properties_from_calibration`):

* `single_qubit_rb_pauli_error_per_gate` is a Pauli error: 2/3 of it is the average gate infidelity of u.
* `two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle`: 4/5 of it is the infidelity of cz. A cycle holds a layer of
  one-qubit gates too; as in Cirq's model all of it counts for cz, so an estimate errs on the safe side. Taking the
  one-qubit errors off would leave a negative rest on some couplers.
* Sycamore chips (Rainbow, Weber) publish no CZ error. There cz is two sqrt(iSWAP) cycles with gates in between, whose
  polarizations multiply.
* `single_qubit_idle_t1_micros` is T1; 1/T2 = 1/(2 T1) + 1/Tphi with t/(3 Tphi) = `rb_incoherent_error_per_gate` -
  t/(3 T1), t the length of a pulse. Where nothing is left for dephasing, T2 = 2 T1.
* p00 is the error of reading a 0, p11 that of reading a 1.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from qcompile.device import Device, Source
from qcompile.errors import CalibrationError, MissingExtraError
from qcompile.repairs import device_from_document, grouped
from qcompile.schema import SCHEMA, Json
from qcompile.vendors.error_kinds import from_pauli, repeated_pauli
from qcompile.vendors.units import is_number, shifted

Raw = Mapping[str, Any]
Pair = tuple[str, str]

_ONE_QUBIT = "single_qubit_rb_pauli_error_per_gate"
_INCOHERENT = "single_qubit_rb_incoherent_error_per_gate"
_T1 = "single_qubit_idle_t1_micros"
_P00, _P11 = "single_qubit_p00_error", "single_qubit_p11_error"
_CZ = "two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle"
_SQRT_ISWAP = "two_qubit_parallel_sqrt_iswap_gate_xeb_pauli_error_per_cycle"
_LABEL = re.compile(r"(\d+)_(\d+)")
_FILE = re.compile(r"(?P<chip>[A-Za-z]+(?:_pink)?)\w*?[-_](?P<day>20\d\d_\d\d_\d\d)_calibration")


class Durations(NamedTuple):
    """s; `reset` None where the chip's specification has no reset."""

    pulse: float
    entangler: float
    measurement: float
    reset: float | None


WILLOW = Durations(25e-9, 42e-9, 600e-9, 160e-9)
"""Of the package's device specification of Willow."""

SYCAMORE = Durations(25e-9, 32e-9, 4e-6, None)
"""Of the specifications of Rainbow and Weber, sqrt(iSWAP); their measurement of 4e9 ps is a slip for the 4000 ns of
`calibration_to_noise_properties.py`."""


def recognizes(document: Any) -> bool:
    """Whether it is a calibration as cirq-google writes it."""
    inner = document.get("metrics") if isinstance(document, Mapping) else None
    return inner is not None and (isinstance(inner, list) or document.get("cirq_type") == "Calibration")


def from_file(path: Path, *, name: str | None = None, allow_missing: bool = False) -> Device:
    """Snapshot of a file <chip>_<YYYY_MM_DD>_calibration.json; the day comes from its name where it holds no time.

    Raises: CalibrationError: no JSON, no date, or a value breaks a rule.
    """
    try:
        raw = path.read_bytes()
        document = json.loads(raw)
    except (OSError, ValueError) as error:
        raise CalibrationError(
            f"{path.name}: cannot be read as JSON ({error}). Expected a calibration of cirq-google."
        ) from None
    found = _FILE.match(path.stem)
    day = datetime.strptime(found["day"], "%Y_%m_%d").replace(tzinfo=UTC) if found else None
    return from_calibration(
        document,
        name=name or f"google_{(found['chip'] if found else path.stem).lower()}",
        calibrated_at=day,
        source=Source("files", path.name, sha256=hashlib.sha256(raw).hexdigest()),
        allow_missing=allow_missing,
    )


def from_backend(backend: Any) -> Device:
    """Snapshot of a cirq_google Calibration, or of an engine's processor, whose current calibration is fetched.

    Raises: MissingExtraError: cirq-google is not installed. CalibrationError: a value breaks a rule.
    """
    try:
        from google.protobuf.json_format import MessageToDict
    except ImportError as error:
        raise MissingExtraError('Google calibrations need cirq-google: pip install "qonchip[google]".') from error
    fetch = getattr(backend, "get_current_calibration", None)
    calibration = fetch() if fetch else backend
    name = str(getattr(backend, "processor_id", "processor"))
    return from_calibration(MessageToDict(calibration.to_proto()), name=f"google_{name}")


def from_calibration(
    document: Raw,
    *,
    name: str,
    calibrated_at: datetime | None = None,
    durations: Durations | None = None,
    source: Source | None = None,
    allow_missing: bool = False,
) -> Device:
    """Snapshot of a MetricsSnapshot as JSON, or of Cirq's {"cirq_type": "Calibration", "metrics": ...} around it.

    Args:
        document: `metrics`: rows of name, targets ("6_3") and values; `timestampMs` since 1970, if there.
        calibrated_at: used where it holds no time.
        durations: default: `WILLOW` where there are errors of cz, `SYCAMORE` otherwise.
        allow_missing: leave a gate without an error unused, and note it, instead of refusing the calibration.
    Raises: CalibrationError: names the metric, its qubits, the value and the rule.
    """
    place = f"{name} calibration"
    inner = document.get("metrics")
    snapshot = inner if isinstance(inner, Mapping) else document
    metrics = _metrics(snapshot.get("metrics"), place)
    notes: list[str] = []
    at = _date(snapshot.get("timestampMs"), calibrated_at, place, notes)
    has_cz = _CZ in metrics
    lengths = durations or (WILLOW if has_cz else SYCAMORE)
    labels = sorted(
        {key[0] for key in metrics.get(_T1, {})} | {key[0] for key in metrics.get(_ONE_QUBIT, {})}, key=_row
    )
    if not labels:
        raise CalibrationError(f"{place}: holds neither {_T1} nor {_ONE_QUBIT}. Expected one value a qubit.")
    index = {label: i for i, label in enumerate(labels)}
    gates = _one_qubit_gates(metrics, index, lengths, place)
    gates += _two_qubit_gates(metrics, index, lengths, has_cz, place, notes)
    return device_from_document(
        {
            "schema": SCHEMA,
            "name": name,
            "vendor": "google",
            "calibrated_at": at,
            "num_qubits": len(labels),
            "error_kind": "average_infidelity",
            "source": asdict(source or Source("calibration", name)),
            "native_gates": {"1q": ["rz", "u"], "2q": ["cz"], "virtual": ["rz"]},
            "timing": {"reset": lengths.reset},
            "limits": {"mid_circuit": lengths.reset is not None},
            "notes": notes,
            "qubits": _qubits(metrics, labels, lengths, place, notes),
            "gates": gates,
        },
        name,
        allow_missing=allow_missing,
    )


def _metrics(rows: Any, place: str) -> dict[str, dict[tuple[str, ...], Any]]:
    """By name and qubits the first value, as written."""
    if not isinstance(rows, list):
        raise CalibrationError(f"{place}: metrics = {str(rows)[:60]!r} is not a list. Expected one row a value.")
    found: dict[str, dict[tuple[str, ...], Any]] = {}
    for n, row in enumerate(rows):
        try:
            key = tuple(str(target).removeprefix("q") for target in row["targets"])
            value = next(iter(row["values"][0].values()))
            table = found.setdefault(str(row["name"]), {})
        except (KeyError, IndexError, TypeError, AttributeError, StopIteration):
            raise CalibrationError(
                f"{place}: metrics[{n}] = {str(row)[:80]!r} is no metric. Expected name, targets and values."
            ) from None
        if key in table:
            raise CalibrationError(
                f"{place}: metrics[{n}] repeats {row['name']} of {' '.join(key)}. Expected one row; remove one."
            )
        table[key] = value
    return found


def _date(stamp: Any, otherwise: datetime | None, place: str, notes: list[str]) -> datetime:
    if stamp is None:
        if otherwise is None:
            raise CalibrationError(
                f"{place}: holds no timestampMs. Expected one, or a file name <chip>_<YYYY_MM_DD>_calibration.json."
            )
        notes.append("the calibration holds no time: its day is that of the file's name")
        return otherwise
    try:
        return datetime.fromtimestamp(int(stamp) / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise CalibrationError(f"{place}: timestampMs = {stamp!r} is no time. Expected ms since 1970.") from None


def _row(label: str) -> tuple[int, int]:
    found = _LABEL.fullmatch(label)
    if found is None:
        raise CalibrationError(f"target {label!r} is no qubit of a grid. Expected <row>_<column>, such as 6_3.")
    return int(found[1]), int(found[2])


def _number(table: Mapping[tuple[str, ...], Any], key: tuple[str, ...], field: str, place: str, most: float) -> Any:
    """A value between 0 and `most`; None where there is none."""
    value = table.get(key)
    if value is None or (is_number(value) and 0 <= value <= most):
        return value
    rule = "is not a probability. Expected 0 <= value <= 1" if most == 1 else "is not a time. Expected 0 or more"
    raise CalibrationError(f"{place}: {field} of {' '.join(key)} = {value!r} {rule}.")


def _qubits(metrics: Raw, labels: list[str], lengths: Durations, place: str, notes: list[str]) -> list[Json]:
    rows: list[Json] = []
    unresolved, derived = [], 0
    for i, label in enumerate(labels):
        key = (label,)
        micros = _number(metrics.get(_T1, {}), key, _T1, place, math.inf)
        t1 = shifted(micros, -6)
        incoherent = _number(metrics.get(_INCOHERENT, {}), key, _INCOHERENT, place, 1)
        t2 = None
        if t1 and incoherent is not None:
            dephasing = 3 * incoherent / lengths.pulse - 1 / t1  # 1 / Tphi
            derived += 1
            if dephasing <= 0:
                unresolved.append(f"qubit {i}")
            t2 = 1 / (0.5 / t1 + max(dephasing, 0.0))
        row: Json = {"i": i, "label": label, "t1": t1, "t2": t2}
        p1, p0 = (_number(metrics.get(field, {}), key, field, place, 1) for field in (_P00, _P11))
        if p1 is not None and p0 is not None:
            row["readout"] = {"p1_given_0": p1, "p0_given_1": p0, "duration": lengths.measurement}
        rows.append(row)
    if derived:
        notes.append(f"{derived} qubits: t2 derived from t1 and the incoherent error of a pulse, as Cirq does")
    notes += grouped("qubits", unresolved, "t1 alone exceeds the incoherent error of a pulse, t2 taken as 2*t1")
    return rows


def _one_qubit_gates(metrics: Raw, index: Mapping[str, int], lengths: Durations, place: str) -> list[Json]:
    rows: list[Json] = []
    for label, i in index.items():
        error = _number(metrics.get(_ONE_QUBIT, {}), (label,), _ONE_QUBIT, place, 1)
        rows.append({"g": "rz", "q": [i], "error": 0.0, "duration": 0.0})
        average = None if error is None else from_pauli(error, 1)
        rows.append({"g": "u", "q": [i], "error": average, "duration": lengths.pulse})
    return rows


def _two_qubit_gates(
    metrics: Raw, index: Mapping[str, int], lengths: Durations, has_cz: bool, place: str, notes: list[str]
) -> list[Json]:
    field, times = (_CZ, 1) if has_cz else (_SQRT_ISWAP, 2)
    duration = lengths.entangler if has_cz else 2 * lengths.entangler + lengths.pulse
    if not has_cz and field in metrics:
        notes.append("cz is two sqrt(iSWAP) cycles with one-qubit gates in between; no error of its own is published")
    rows: list[Json] = []
    for key in sorted(metrics.get(field, {}), key=lambda key: [_row(label) for label in key]):
        if len(key) != 2 or any(label not in index for label in key):
            raise CalibrationError(
                f"{place}: {field} of {' '.join(key)} names no pair of calibrated qubits. Expected two of them."
            )
        error = from_pauli(repeated_pauli(_number(metrics[field], key, field, place, 1), 2, times), 2)
        a, b = (index[label] for label in key)
        for pair in ([a, b], [b, a]):  # symmetric: one row serves both directions
            rows.append({"g": "cz", "q": pair, "error": error, "duration": duration})
    return rows
