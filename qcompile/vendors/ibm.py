"""IBM Quantum: backend properties and configuration -> Device. Microseconds and nanoseconds end here.

Two-qubit gates are cx, ecr, cz (one chip has two of them); rz is virtual; rx and rzz are fractional. The readout error
is kept two-sided. `reset` becomes the chip's reset time; `measure_2`, `reset_2` and frequencies are left out. A chip
that lists no `reset` instruction (Nighthawk in 2026) takes no measurement in the middle of a circuit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qcompile.device import Device, Source
from qcompile.errors import CalibrationError
from qcompile.repairs import device_from_document, grouped, spelled
from qcompile.schema import SCHEMA, Json
from qcompile.vendors.units import POWERS, is_number, shifted

Raw = Mapping[str, Any]

_TWO_QUBIT = ("cx", "ecr", "cz")
_VIRTUAL = ("rz", "u1")
_FRACTIONAL = ("rx", "rzz")
_NOT_GATES = ("measure", "reset", "delay")
_CONTROL_FLOW = ("if_else", "for_loop", "while_loop", "switch_case")
_ALIGNMENTS = ("granularity", "min_length", "pulse_alignment", "acquire_alignment")
_PREFIXES = ("ibmq_", "ibm_", "fake_", "alt_")
_ROUNDING = 1e-9  # two readout errors and their mean agree to this
_LONGEST_TICK = 1e-6  # ns; no chip is sampled a million times in a nanosecond: a smaller dt is in seconds already

# Facts of the service, not of a chip (IBM's documentation of job limits and of cost, 2026).
_LIMITS = {"max_executions_per_job": 5_000_000, "max_2q_gates_per_job": 10_000, "max_payload_bytes": 64 * 2**20}
_PRICING = {
    "model": "qpu_seconds",
    "usd_per_second": 1.60,
    "job_overhead_s": 2.0,
    "as_of": "2026-05-25",
    "source": "IBM Quantum pay-as-you-go, 1.60 USD a second (IBM Cloud documentation, 2024-02-29; seen unchanged by a "
    "third party on the date above); 2 s a sub-job plus (rep_delay + circuit) an execution",
}


def recognizes(backend: Any) -> bool:
    """Whether it is an IBM backend (live or fake) that has calibrated properties."""
    if not all(callable(getattr(backend, name, None)) for name in ("properties", "configuration")):
        return False
    properties = backend.properties()  # a simulator has none, or some without a date
    dated = isinstance(getattr(properties, "last_update_date", None), datetime)
    return dated and all(hasattr(properties, name) for name in ("qubits", "gates", "to_dict"))


def from_backend(backend: Any) -> Device:
    """Snapshot of a fake or live IBM backend.

    A fake backend is read from its own files; a live one from what it has fetched. Neither is refreshed.
    Raises: CalibrationError: a value breaks a rule, or a unit is unknown.
    """
    if all(isinstance(getattr(backend, name, None), str) for name in ("dirname", "conf_filename", "props_filename")):
        # a fake backend refreshed for this process alone keeps its newer files in a folder of its own
        refreshed = getattr(backend, "_tmp_data_dir", None)
        if refreshed is None and type(backend).__module__.startswith("qiskit_ibm_runtime."):
            return from_package(Path(backend.dirname))
        folder = Path(refreshed.name if refreshed else backend.dirname)
        return from_files(folder / backend.props_filename, folder / backend.conf_filename)
    properties, configuration = backend.properties().to_dict(), backend.configuration().to_dict()
    digest = hashlib.sha256(json.dumps([properties, configuration], default=str, sort_keys=True).encode()).hexdigest()
    ref = f"{backend.name} {properties.get('backend_version', '')}".strip()
    return from_properties(properties, configuration, source=Source("backend", ref, sha256=digest))


def from_package(folder: Path) -> Device:
    """Snapshot of a folder that the installed qiskit-ibm-runtime package ships (fake_provider/backends/<snapshot>).

    Raises: CalibrationError: no snapshot there, or a value in it breaks a rule.
    """
    snapshot = folder.name
    source = Source(
        kind="package",
        ref=f"qiskit-ibm-runtime=={version('qiskit-ibm-runtime')} fake_provider/{snapshot}",
        license="Apache-2.0",
        url="https://github.com/Qiskit/qiskit-ibm-runtime",
    )
    return from_files(folder / f"props_{snapshot}.json", folder / f"conf_{snapshot}.json", source=source)


def from_files(
    properties: Path, configuration: Path, *, source: Source | None = None, allow_missing: bool = False
) -> Device:
    """Snapshot of a pair of files props_X.json and conf_X.json, as the service returns them.

    Args:
        properties, configuration: the files.
        source: where they came from; its sha256 is filled in: that of the two files' bytes, properties first.
        allow_missing: make a gate without an error unusable, and note it, instead of refusing the pair.
    Raises: CalibrationError: a file is missing or no JSON, a value breaks a rule, or a unit is unknown.
    """
    digest = hashlib.sha256()
    documents = []
    for path in (properties, configuration):
        try:
            raw = path.read_bytes()
            documents.append(json.loads(raw))
        except (OSError, ValueError) as error:
            raise CalibrationError(
                f"{path.name}: cannot be read ({error}). Expected the JSON of a backend's properties or configuration."
            ) from None
        if not isinstance(documents[-1], dict):
            raise CalibrationError(
                f"{path.name}: holds no JSON object. Expected a backend's properties, configuration."
            )
        digest.update(raw)
    found = source or Source("files", f"{properties.name} {configuration.name}")
    known = Source(**{**asdict(found), "sha256": digest.hexdigest()})
    return from_properties(*documents, source=known, allow_missing=allow_missing)


def from_properties(
    properties: Raw,
    configuration: Raw,
    *,
    name: str | None = None,
    source: Source | None = None,
    allow_missing: bool = False,
) -> Device:
    """Snapshot of a pair of dictionaries, as the service returns them.

    Args:
        properties: last_update_date, qubits, gates; each value with a unit of its own.
        configuration: n_qubits, basis_gates, dt in ns, default_rep_delay and rep_delay_range in us, ...
        name: default: backend_name, written "ibm_<device>".
        source: where the pair came from.
        allow_missing: make a gate without an error unusable, and note it, instead of refusing the pair.
    Raises: CalibrationError: a value breaks a rule, a field is missing, or a unit is unknown.
    """
    name = name or _device_name(str(configuration.get("backend_name") or properties.get("backend_name") or "unnamed"))
    place = f"{name} properties"
    qubit_rows, gate_rows = (_list(properties, field, place) for field in ("qubits", "gates"))
    for n, row in enumerate(gate_rows):
        if not isinstance(row, Mapping):
            raise CalibrationError(
                f"{place}: gates[{n}] = {row!r} is not an object. Expected gate, qubits, parameters."
            )
    native = _native_gates(configuration, [str(row.get("gate")) for row in gate_rows])
    notes: list[str] = []
    gates: list[Json] = []
    left_out: Counter[str] = Counter()
    resets: list[float] = []
    dead_measurements: set[int] = set()
    for n, row in enumerate(gate_rows):
        at = f"{place}: gates[{n}]"
        gate, qubits, values = str(row.get("gate")), list(row.get("qubits", ())), _values(row.get("parameters", ()), at)
        error, length = _probability(values, "gate_error", at), _seconds(values, "gate_length", at)
        if gate == "reset":
            resets += [length] if length is not None else []
        elif gate == "measure":
            dead_measurements |= {*qubits} if error == 1 else set()
        elif any(gate in names for names in native.values()):
            gates.append({"g": gate, "q": qubits, "error": error, "duration": length})
            if _stopped(values):
                gates[-1]["usable"] = False
                notes.append(f"{spelled(gate, qubits)}: not operational, not used")
            if gate not in _VIRTUAL and (date := _oldest(values, ("gate_error", "gate_length"), at)):
                gates[-1]["date"] = date
        else:
            left_out[gate] += 1
    qubits = [
        _qubit(n, _values(row, f"{place}: qubits[{n}]"), n in dead_measurements, place, notes)
        for n, row in enumerate(qubit_rows)
    ]
    silent = [f"qubit {q['i']}" for q in qubits if q["readout"] and q["readout"]["duration"] is None]
    if silent and len(silent) == len(qubits):
        notes.append(f"all {len(qubits)} qubits: readout length unknown, taken as 0")
    else:
        notes += grouped("qubits", silent, "readout length unknown, taken as 0")
    coupled = {tuple(row["q"]) for row in gates if row["g"] in native["2q"]}
    silent = [spelled("coupler", p) for p in configuration.get("coupling_map") or () if tuple(p) not in coupled]
    notes += grouped("couplers", silent, "no calibrated gate, not an edge")
    notes += [f"{count} {gate} entries: no native gate, left out" for gate, count in left_out.items()]
    instructions = configuration.get("supported_instructions") or ()
    return device_from_document(
        {
            "schema": SCHEMA,
            "name": name,
            "vendor": "ibm",
            "calibrated_at": _date(properties.get("last_update_date"), f"{place}: last_update_date"),
            "num_qubits": configuration.get("n_qubits", len(qubits)),
            "error_kind": "average_infidelity",
            "source": asdict(source or Source("properties", name)),
            "native_gates": native,
            "timing": _timing(configuration, resets, notes),
            "limits": {
                "max_shots": configuration.get("max_shots"),
                **_LIMITS,
                "mid_circuit": "reset" in instructions,
                "control_flow": [name for name in _CONTROL_FLOW if name in instructions],
            },
            "pricing": _PRICING,
            "notes": notes,
            "qubits": qubits,
            "gates": gates,
        },
        name,
        allow_missing=allow_missing,
    )


def _device_name(backend_name: str) -> str:
    for prefix in _PREFIXES:
        backend_name = backend_name.removeprefix(prefix)
    return f"ibm_{backend_name}"


def _native_gates(configuration: Raw, calibrated: Sequence[str]) -> dict[str, list[str]]:
    """By kind, in the configuration's order. New chips calibrate rx and rzz without listing them in the basis."""
    basis = [g for g in configuration.get("basis_gates") or dict.fromkeys(calibrated) if g not in _NOT_GATES]
    return {
        "1q": [g for g in basis if g not in (*_TWO_QUBIT, *_FRACTIONAL)],
        "2q": [g for g in basis if g in _TWO_QUBIT],
        "virtual": [g for g in basis if g in _VIRTUAL],
        "fractional": [g for g in _FRACTIONAL if g in (*calibrated, *basis)],
    }


def _list(properties: Raw, field: str, place: str) -> list[Any]:
    rows = properties.get(field)
    if not isinstance(rows, list):
        raise CalibrationError(f"{place}: {field} = {rows!r} is not a list. Expected one entry for each of them.")
    return rows


def _values(parameters: Iterable[Raw], place: str) -> dict[str, Raw]:
    """The named values of a qubit or gate; each keeps its unit and date."""
    try:
        return {str(p["name"]): p for p in parameters if p.get("value") is not None}
    except (KeyError, TypeError, AttributeError):
        raise CalibrationError(
            f"{place} = {parameters!r} is not a list of named values. Expected name, value, unit and date in each."
        ) from None


def _seconds(values: Mapping[str, Raw], field: str, place: str) -> float | None:
    if field not in values:
        return None
    value, unit = values[field]["value"], values[field].get("unit")
    if unit not in POWERS:
        raise CalibrationError(
            f"{place}.{field} = {value!r} has the unknown unit {unit!r}. "
            f"Expected one of {', '.join(POWERS)}; convert the value first."
        )
    if not (is_number(value) and math.isfinite(value) and value >= 0):
        raise CalibrationError(f"{place}.{field} = {value!r} is not a time. Expected a finite number, 0 or more.")
    return float(shifted(value, POWERS[unit]))


def _probability(values: Mapping[str, Raw], field: str, place: str) -> float | None:
    if field not in values:
        return None
    value, unit = values[field]["value"], values[field].get("unit")
    if unit:
        raise CalibrationError(
            f"{place}.{field} = {value!r} has the unit {unit!r}. Expected a probability without one."
        )
    if not (is_number(value) and 0 <= value <= 1):
        raise CalibrationError(
            f"{place}.{field} = {value!r} is not a probability. Expected 0 <= value <= 1; exactly 1 marks a dead gate."
        )
    return float(value)


def _stopped(values: Mapping[str, Raw]) -> bool:
    return "operational" in values and not values["operational"]["value"]


def _oldest(values: Mapping[str, Raw], names: Iterable[str], place: str) -> datetime | None:
    dates = [_date(values[n]["date"], f"{place}.{n}.date") for n in names if n in values and values[n].get("date")]
    return min(dates, default=None)


def _date(value: Any, place: str) -> datetime:
    """A file has ISO text, the service's client a datetime."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, AttributeError, OverflowError):
        pass
    raise CalibrationError(f"{place} = {value!r} is not a date with a time zone. Expected ISO 8601.")


def _qubit(i: int, values: Mapping[str, Raw], dead_measurement: bool, place: str, notes: list[str]) -> Json:
    at = f"{place}: qubits[{i}]"
    row: Json = {"i": i, "t1": _seconds(values, "T1", at), "t2": _seconds(values, "T2", at)}
    row["readout"] = _readout(i, values, at, notes)
    if _stopped(values) or dead_measurement:
        row["usable"] = False
        reason = "its measurement is dead" if dead_measurement else "not operational"
        notes.append(f"qubit {i}: {reason}, not used")
    if date := _oldest(values, ("T1", "T2", "readout_error", "prob_meas1_prep0", "prob_meas0_prep1"), at):
        row["date"] = date
    return row


def _readout(i: int, values: Mapping[str, Raw], at: str, notes: list[str]) -> Json | None:
    p1, p0 = _probability(values, "prob_meas1_prep0", at), _probability(values, "prob_meas0_prep1", at)
    mean = _probability(values, "readout_error", at)
    if p1 is None or p0 is None:
        if mean is None:
            return None
        p1 = p0 = mean
        notes.append(f"qubit {i}: two-sided readout error unknown, readout_error taken for both sides")
    elif mean is not None and abs((p1 + p0) / 2 - mean) > _ROUNDING:
        notes.append(
            f"qubit {i}: readout_error {mean:.4g} is not the mean of {p1:.4g} and {p0:.4g}; these two are used"
        )
    return {"p1_given_0": p1, "p0_given_1": p0, "duration": _seconds(values, "readout_length", at)}


def _timing(configuration: Raw, resets: list[float], notes: list[str]) -> Json:
    constraints = configuration.get("timing_constraints") or {}
    timing: Json = {key: constraints[key] for key in _ALIGNMENTS if key in constraints}
    dt = configuration.get("dt")
    if is_number(dt) and 0 < dt < _LONGEST_TICK:
        notes.append(f"dt {dt:g} read as seconds; nanoseconds were expected")
        timing["dt"] = dt
    else:
        timing["dt"] = shifted(dt, -9)
    timing["rep_delay"] = shifted(configuration.get("default_rep_delay"), -6)
    if allowed := configuration.get("rep_delay_range"):
        timing["rep_delay_range"] = [shifted(delay, -6) for delay in allowed]
    timing["reset"] = max(resets, default=None)
    if len(set(resets)) > 1:
        notes.append(
            f"reset takes {min(resets) * 1e9:g} to {max(resets) * 1e9:g} ns; the longest is used for all qubits"
        )
    return timing
