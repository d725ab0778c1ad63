"""IBM Quantum: backend properties and configuration -> Device. Microseconds and nanoseconds end here.

Two-qubit gates are cx, ecr, cz (one chip has two of them); rz is virtual; rx and rzz are fractional. The readout error
is kept two-sided. `reset` becomes the chip's reset time; `measure_2`, `reset_2` and frequencies are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qcompile.device import Device, Source
from qcompile.errors import CalibrationError
from qcompile.repairs import device_from_document, grouped, spelled
from qcompile.schema import SCHEMA, Json

Raw = Mapping[str, Any]

_TWO_QUBIT = ("cx", "ecr", "cz")
_VIRTUAL = ("rz", "u1")
_FRACTIONAL = ("rx", "rzz")
_NOT_GATES = ("measure", "reset", "delay")
_CONTROL_FLOW = ("if_else", "for_loop", "while_loop", "switch_case")
_POWERS = {"s": 0, "ms": -3, "us": -6, "µs": -6, "μs": -6, "ns": -9, "ps": -12}
_PREFIXES = ("ibmq_", "ibm_", "fake_", "alt_")

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
    """Whether it is an IBM backend (live or fake) that has properties."""
    if not all(callable(getattr(backend, name, None)) for name in ("properties", "configuration")):
        return False
    properties = backend.properties()
    return all(hasattr(properties, name) for name in ("qubits", "gates", "last_update_date", "to_dict"))


def from_backend(backend: Any) -> Device:
    """Snapshot of a fake or live IBM backend.

    A fake backend is read from its own files; a live one from what it has fetched. Neither is refreshed.
    Raises: CalibrationError: a value breaks a rule, or a unit is unknown.
    """
    if all(isinstance(getattr(backend, name, None), str) for name in ("dirname", "conf_filename", "props_filename")):
        # a fake backend refreshed for this process alone keeps its newer files in a folder of its own
        refreshed = getattr(backend, "_tmp_data_dir", None)
        folder = Path(refreshed.name if refreshed else backend.dirname)
        return from_files(folder / backend.props_filename, folder / backend.conf_filename)
    properties, configuration = backend.properties().to_dict(), backend.configuration().to_dict()
    digest = hashlib.sha256(json.dumps([properties, configuration], default=str, sort_keys=True).encode()).hexdigest()
    ref = f"{backend.name} {properties.get('backend_version', '')}".strip()
    return from_properties(properties, configuration, source=Source("backend", ref, sha256=digest))


def from_files(properties: Path, configuration: Path) -> Device:
    """Snapshot of a pair of files props_X.json and conf_X.json as qiskit-ibm-runtime ships them.

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
                f"{path.name}: cannot be read ({error}). Expected a JSON file of a backend."
            ) from None
        digest.update(raw)
    source = Source(
        kind="package",
        ref=f"qiskit-ibm-runtime=={version('qiskit-ibm-runtime')} fake_provider/{properties.parent.name}",
        license="Apache-2.0",
        url="https://github.com/Qiskit/qiskit-ibm-runtime",
        sha256=digest.hexdigest(),
    )
    return from_properties(*documents, source=source)


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
    notes: list[str] = []
    gate_values = [
        _values(row.get("parameters", ()), f"{place}: gates[{n}]") for n, row in _rows(properties, "gates", place)
    ]
    gate_rows = [row for _, row in _rows(properties, "gates", place)]
    names = list(dict.fromkeys(str(row.get("gate")) for row in gate_rows))
    basis = [g for g in configuration.get("basis_gates") or names if g not in _NOT_GATES]
    two_qubit = [g for g in basis if g in _TWO_QUBIT]
    fractional = [g for g in _FRACTIONAL if g in (*names, *basis)]
    one_qubit = [g for g in basis if g not in (*_TWO_QUBIT, *_FRACTIONAL)]
    native = {*one_qubit, *two_qubit, *fractional}

    gates: list[Json] = []
    dead_measurements: set[int] = set()
    resets: list[float] = []
    left_out: dict[str, int] = defaultdict(int)
    for n, (row, values) in enumerate(zip(gate_rows, gate_values)):
        gate, qubits = str(row.get("gate")), list(row.get("qubits", ()))
        length = _seconds(values.get("gate_length"), f"{place}: gates[{n}].gate_length")
        error = _plain(values.get("gate_error"), f"{place}: gates[{n}].gate_error")
        if gate == "reset":
            resets += [length] if length is not None else []
        elif gate == "measure":
            dead_measurements |= {*qubits} if error == 1 else set()
        elif gate not in native:
            left_out[gate] += 1
        else:
            out: Json = {"g": gate, "q": qubits, "error": error, "duration": length}
            if _stopped(values):
                out["usable"] = False
                notes.append(f"{spelled(gate, qubits)}: not operational, not used")
            if gate not in _VIRTUAL and (date := _oldest(values, ("gate_error", "gate_length"))):
                out["date"] = date
            gates.append(out)

    qubits = [
        _qubit(n, _values(row, f"{place}: qubits[{n}]"), n in dead_measurements, f"{place}: qubits[{n}]", notes)
        for n, row in _rows(properties, "qubits", place)
    ]
    silent = [str(q["i"]) for q in qubits if q["readout"] and q["readout"]["duration"] is None]
    notes += _shared("readout length unknown, taken as 0", silent, len(qubits))
    live = {tuple(row["q"]) for row in gates if row["g"] in two_qubit}
    unset = [tuple(pair) for pair in configuration.get("coupling_map") or () if tuple(pair) not in live]
    notes += grouped("couplers", [spelled("coupler", pair) for pair in unset], "no calibrated gate, not an edge")
    notes += [f"{count} {gate} entries: no native gate, left out" for gate, count in left_out.items()]
    return device_from_document(
        {
            "schema": SCHEMA,
            "name": name,
            "vendor": "ibm",
            "calibrated_at": _date(properties.get("last_update_date")),
            "num_qubits": configuration.get("n_qubits", len(qubits)),
            "error_kind": "average_infidelity",
            "source": vars(source or Source("properties", str(configuration.get("backend_version", "")))),
            "native_gates": {
                "1q": one_qubit,
                "2q": two_qubit,
                "virtual": [g for g in basis if g in _VIRTUAL],
                "fractional": fractional,
            },
            "timing": _timing(configuration, resets, f"{name} configuration", notes),
            "limits": _limits(configuration),
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


def _rows(properties: Raw, field: str, place: str) -> list[tuple[int, Any]]:
    rows = properties.get(field)
    if not isinstance(rows, list):
        raise CalibrationError(f"{place}: {field} = {rows!r} is not a list. Expected one entry for each of them.")
    return list(enumerate(rows))


def _values(parameters: Iterable[Raw], place: str) -> dict[str, Raw]:
    """The named values of a qubit or gate; each keeps its unit and date."""
    try:
        return {str(p["name"]): p for p in parameters if "value" in p}
    except (KeyError, TypeError):
        raise CalibrationError(
            f"{place} = {parameters!r} is not a list of named values. Expected name, value, unit and date in each."
        ) from None


def _shift(value: Any, power: int) -> Any:
    """value * 10 ** power, digits kept: 131.5286444531517 us is 0.0001315286444531517 s. Non-numbers pass through."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(Decimal(repr(value)).scaleb(power)) if power else float(value)


def _seconds(item: Raw | None, place: str) -> Any:
    if item is None or item["value"] is None:
        return None
    unit = item.get("unit")
    if unit not in _POWERS:
        raise CalibrationError(
            f"{place} = {item['value']!r} has the unknown unit {unit!r}. "
            f"Expected one of {', '.join(_POWERS)}; convert the value first."
        )
    return _shift(item["value"], _POWERS[unit])


def _plain(item: Raw | None, place: str) -> Any:
    if item is None:
        return None
    if item.get("unit"):
        raise CalibrationError(
            f"{place} = {item['value']!r} has the unit {item['unit']!r}. Expected a probability without a unit."
        )
    return _shift(item["value"], 0)


def _stopped(values: Mapping[str, Raw]) -> bool:
    return "operational" in values and not values["operational"]["value"]


def _oldest(values: Mapping[str, Raw], names: Iterable[str]) -> str | None:
    dates = [_date(values[n].get("date")) for n in names if n in values and values[n].get("date")]
    return min(dates, default=None)


def _date(value: Any) -> Any:
    """ISO text in UTC, so that texts sort like dates; what is no date passes through and is refused by the schema."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC).isoformat() if moment.tzinfo else value
    except (ValueError, AttributeError, OverflowError):
        return value


def _qubit(i: int, values: Mapping[str, Raw], dead_measurement: bool, place: str, notes: list[str]) -> Json:
    def probability(name: str) -> Any:
        return _plain(values.get(name), f"{place}.{name}")

    p1, p0, mean = (probability(n) for n in ("prob_meas1_prep0", "prob_meas0_prep1", "readout_error"))
    if (p1 is None or p0 is None) and mean is not None:
        p1 = p0 = mean
        notes.append(f"qubit {i}: two-sided readout error unknown, readout_error taken for both sides")
    row: Json = {
        "i": i,
        "t1": _seconds(values.get("T1"), f"{place}.T1"),
        "t2": _seconds(values.get("T2"), f"{place}.T2"),
        "readout": None,
    }
    if p1 is not None and p0 is not None:
        length = _seconds(values.get("readout_length"), f"{place}.readout_length")
        row["readout"] = {"p1_given_0": p1, "p0_given_1": p0, "duration": length}
    if _stopped(values) or dead_measurement:
        row["usable"] = False
        reason = "its measurement is dead" if dead_measurement else "not operational"
        notes.append(f"qubit {i}: {reason}, not used")
    if date := _oldest(values, ("T1", "T2", "readout_error", "prob_meas1_prep0", "prob_meas0_prep1")):
        row["date"] = date
    return row


def _shared(text: str, qubits: list[str], count: int) -> list[str]:
    if qubits and len(qubits) == count:
        return [f"all {count} qubits: {text}"]
    return grouped("qubits", [f"qubit {q}" for q in qubits], text)


def _timing(configuration: Raw, resets: list[float], place: str, notes: list[str]) -> Json:
    timing: Json = {
        key: configuration["timing_constraints"][key]
        for key in ("granularity", "min_length", "pulse_alignment", "acquire_alignment")
        if key in (configuration.get("timing_constraints") or {})
    }
    dt = configuration.get("dt")
    if isinstance(dt, float) and 0 < dt < 1e-6:  # no chip is sampled a million times in a nanosecond
        notes.append(f"dt {dt:g} read as seconds; nanoseconds were expected")
        timing["dt"] = dt
    else:
        timing["dt"] = _shift(dt, -9)
    timing["rep_delay"] = _shift(configuration.get("default_rep_delay"), -6)
    allowed = configuration.get("rep_delay_range")
    timing["rep_delay_range"] = [_shift(value, -6) for value in allowed] if allowed else None
    timing["reset"] = max(resets, default=None)
    if len(set(resets)) > 1:
        notes.append(
            f"reset takes {min(resets) * 1e9:g} to {max(resets) * 1e9:g} ns; the longest is used for all qubits"
        )
    return timing


def _limits(configuration: Raw) -> Json:
    instructions = configuration.get("supported_instructions") or ()
    return {
        "max_shots": configuration.get("max_shots"),
        **_LIMITS,
        "mid_circuit": "reset" in instructions,
        "control_flow": [name for name in _CONTROL_FLOW if name in instructions],
    }
