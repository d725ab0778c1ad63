"""The loader's rules: a checked file becomes a Device, and whatever was repaired or dropped is noted in words.

Error exactly 1 is a dead gate; a qubit is unusable if its measurement, or a gate of its native form (rz, sx, x; or r;
or u), is dead (others are judged alone); T2 above 2*T1 stays as published and is clamped in simulation. What
contradicts itself is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from qcompile.device import Device, Gate, GateKey, Limits, NativeGates, Pricing, Qubit, Readout, Source, Timing
from qcompile.device_checks import lacking
from qcompile.errors import CalibrationError
from qcompile.schema import DeviceFile, GateRow, QubitRow, read_document

_LISTED_SINGLY = 8  # up to so many repairs of one kind get a note each; more share one that names them all
_CLOCK_SKEW = timedelta(hours=1)
_SUSPICIOUS_T1 = 2e7  # t1 / longest gate; microseconds taken for seconds give 1e8 and more, trapped ions stay below 1e7


def device_from_document(
    document: Mapping[str, Any], source_name: str, *, allow_missing: bool = False, now: datetime | None = None
) -> Device:
    """Device from the JSON object of a `qcompile.device/1` file.

    Args:
        document: the object; vendors' converters hand over the same.
        source_name: file or backend, for messages.
        allow_missing: make a gate without an error unusable, and note it, instead of refusing the file.
        now: timezone-aware present, against which a calibration from the future is refused; default: the clock.
    Raises: CalibrationError: names source, field, value, rule and way out.
    """
    file = read_document(document, source_name)
    place = f"{source_name}: "
    _check_dates(file, place, now or datetime.now(UTC))
    _check_qubits(file, place)
    _check_gates(file, place)
    notes = _Notes()
    if not allow_missing:
        _refuse_missing_errors(file, place)
    gates = {(row.g, tuple(row.q)): _gate(row, file.native_gates.virtual, notes) for row in file.gates}
    native = NativeGates(**{k: tuple(v) for k, v in file.native_gates.model_dump().items()})
    qubits = tuple(_qubit(row, native, gates, notes) for row in file.qubits)
    _note_suspicious_units(qubits, gates, notes)
    timing = file.timing.model_dump()
    if timing["rep_delay_range"] is not None:
        timing["rep_delay_range"] = tuple(timing["rep_delay_range"])
    return Device(
        name=file.name,
        vendor=file.vendor,
        calibrated_at=file.calibrated_at,
        qubits=qubits,
        gates=gates,
        native_gates=native,
        timing=Timing(**timing),
        limits=Limits(**{**file.limits.model_dump(), "control_flow": tuple(file.limits.control_flow)}),
        pricing=Pricing(**file.pricing.model_dump()) if file.pricing else None,
        source=Source(**file.source.model_dump()),
        notes=tuple(dict.fromkeys([*file.notes, *notes.lines()])),
    )


def spelled(name: str, qubits: Iterable[int]) -> str:
    """How notes write a gate: "cz(3, 5)"."""
    return f"{name}({', '.join(map(str, qubits))})"


def grouped(kind: str, entries: list[str], text: str) -> list[str]:
    """One note for each entry while they are few, else one note that names them all.

    >>> grouped("cz gates", ["cz(3, 5)"], "error 1, not used")
    ['cz(3, 5): error 1, not used']
    """
    if len(entries) <= _LISTED_SINGLY:
        return [f"{entry}: {text}" for entry in entries]
    return [f"{len(entries)} {kind}: {text}: {', '.join(entries)}"]


class _Notes:
    """Repairs collected by kind, in the order in which the kinds first occurred."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)

    def add(self, kind: str, entry: str, text: str, detail: str | None = None) -> None:
        """`detail` is the text of a note of its own, where it says more than the text of the group."""
        self._groups[kind, text].append((entry, detail or text))

    def lines(self) -> list[str]:
        out: list[str] = []
        for (kind, text), found in self._groups.items():
            if len(found) <= _LISTED_SINGLY:
                out += [f"{entry}: {detail}" for entry, detail in found]
            else:
                out += grouped(kind, [entry for entry, _ in found], text)
        return out


def _check_dates(file: DeviceFile, place: str, now: datetime) -> None:
    dated = [("calibrated_at", file.calibrated_at)]
    dated += [(f"qubits[{n}].date", row.date) for n, row in enumerate(file.qubits) if row.date]
    dated += [(f"gates[{n}].date", row.date) for n, row in enumerate(file.gates) if row.date]
    for field, moment in dated:
        if moment > now + _CLOCK_SKEW:
            raise CalibrationError(
                f"{place}{field} = {moment.isoformat()} lies in the future. Expected a date up to now "
                f"({now.isoformat(timespec='seconds')}); correct the file, or this machine's clock."
            )


def _check_qubits(file: DeviceFile, place: str) -> None:
    if file.num_qubits != len(file.qubits):
        raise CalibrationError(
            f"{place}num_qubits = {file.num_qubits} is not the number of rows in qubits. "
            f"Expected {len(file.qubits)}; add the missing rows or correct the number."
        )
    labels: dict[str, int] = {}
    for n, row in enumerate(file.qubits):
        if row.i != n:
            raise CalibrationError(
                f"{place}qubits[{n}].i = {row.i} is out of order. Expected {n}: indices count from 0 without gaps; "
                "a vendor's own number goes into label."
            )
        first = labels.setdefault(_label(row), n)
        if first != n:
            raise CalibrationError(
                f"{place}qubits[{n}].label = {_label(row)!r} repeats qubits[{first}]. Expected different labels."
            )


def _check_gates(file: DeviceFile, place: str) -> None:
    native = file.native_gates
    arity = dict.fromkeys(native.two_qubit, 2) | dict.fromkeys((*native.one_qubit, *native.virtual), 1)
    both = sorted(set(native.two_qubit) & {*native.one_qubit, *native.virtual})
    if both:
        raise CalibrationError(
            f"{place}native_gates = {both[0]!r} is listed under 1q and 2q. Expected one of them; remove the other."
        )
    known = {*arity, *native.fractional}
    seen: dict[GateKey, int] = {}
    for n, row in enumerate(file.gates):
        qubits = tuple(row.q)
        if row.g not in known:
            raise CalibrationError(
                f"{place}gates[{n}].g = {row.g!r} is not in native_gates. "
                f"Expected one of {', '.join(sorted(known))}; add it there or remove the row."
            )
        for q in qubits:
            if not 0 <= q < file.num_qubits:
                raise CalibrationError(
                    f"{place}gates[{n}].q = {row.q} names a qubit that is not there. "
                    f"Expected indices from 0 to {file.num_qubits - 1}."
                )
        if len(set(qubits)) != len(qubits):
            raise CalibrationError(
                f"{place}gates[{n}].q = {row.q} is a self loop. Expected distinct qubits; remove the row."
            )
        if len(qubits) != arity.get(row.g, len(qubits)):
            raise CalibrationError(
                f"{place}gates[{n}].q = {row.q} does not fit {row.g}. Expected {arity[row.g]} qubit(s)."
            )
        first = seen.setdefault((row.g, qubits), n)
        if first != n:
            raise CalibrationError(
                f"{place}gates[{n}] = {spelled(row.g, qubits)} repeats gates[{first}]. "
                "Expected one row for a gate on the same qubits in the same order; remove one."
            )


def _refuse_missing_errors(file: DeviceFile, place: str) -> None:
    for n, row in enumerate(file.gates):
        if row.error is None and row.usable and row.g not in file.native_gates.virtual:
            raise CalibrationError(
                f"{place}gates[{n}].error is missing ({spelled(row.g, row.q)}). Expected 0 <= error <= 1 "
                "(average gate infidelity); load with allow_missing=True to leave such gates unused."
            )


def _gate(row: GateRow, virtual: list[str], notes: _Notes) -> Gate:
    usable = row.usable
    if row.error == 1:
        notes.add(f"{row.g} gates", spelled(row.g, row.q), "error 1, not used")
        usable = False
    elif row.error is None and usable and row.g not in virtual:
        notes.add(f"{row.g} gates", spelled(row.g, row.q), "no error published, not used")
        usable = False
    return Gate(row.error, row.duration, usable, row.date)


def _qubit(row: QubitRow, native: NativeGates, gates: Mapping[GateKey, Gate], notes: _Notes) -> Qubit:
    entry = f"qubit {row.i}"
    missing_gates = lacking(gates, native, row.i)
    if missing_gates:
        notes.add("qubits", entry, f"its {' and '.join(missing_gates)} cannot be used, nor can the qubit")
    readout = Readout(**row.readout.model_dump()) if row.readout else None
    if readout is None:
        notes.add("qubits", entry, "readout error unknown")
    elif readout.error == 1:
        notes.add("qubits", entry, "its measurement is dead, not used")
    elif readout.p1_given_0 + readout.p0_given_1 >= 1:
        notes.add(
            "qubits",
            entry,
            "readout tells nothing, p(1|0) + p(0|1) >= 1",
            f"readout tells nothing, p(1|0) {readout.p1_given_0:.4g} + p(0|1) {readout.p0_given_1:.4g} >= 1",
        )
    if row.t1 is None or row.t2 is None:
        missing = " and ".join(name for name, value in (("t1", row.t1), ("t2", row.t2)) if value is None)
        notes.add("qubits", entry, f"{missing} unknown, infinite in simulation")
    elif row.t2 > 2 * row.t1:
        notes.add(
            "qubits",
            entry,
            "t2 above 2*t1, clamped in simulation",
            f"t2 {row.t2 * 1e6:.1f} us above 2*t1 = {2 * row.t1 * 1e6:.1f} us, clamped in simulation",
        )
    return Qubit(_label(row), row.t1, row.t2, readout, row.usable, row.date)


def _note_suspicious_units(qubits: Iterable[Qubit], gates: Mapping[GateKey, Gate], notes: _Notes) -> None:
    longest = max((gate.duration or 0.0 for gate in gates.values()), default=0.0)
    for i, qubit in enumerate(qubits):
        if longest and qubit.t1 and qubit.t1 > _SUSPICIOUS_T1 * longest:
            notes.add(
                "qubits",
                f"qubit {i}",
                "t1 is more than 2e7 times the longest gate; is it in seconds?",
                f"t1 {qubit.t1:g} s is more than 2e7 times the longest gate; is it in seconds?",
            )


def _label(row: QubitRow) -> str:
    return str(row.i) if row.label is None else row.label
