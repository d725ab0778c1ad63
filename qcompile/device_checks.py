"""What no chip can be, whichever way its Device was made, and which of its qubits no circuit can use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from qcompile.errors import CalibrationError
from qcompile.native_form import native_form

if TYPE_CHECKING:
    from qcompile.device import Device, Gate, GateKey, NativeGates, Qubit


def lacking(gates: Mapping[GateKey, Gate], native: NativeGates, qubit: int) -> list[str]:
    """The gates of the chip's native form that are dead or missing on a qubit, which then is of no use."""
    form = native_form(native)
    essential = [name for name in ("rz", "sx", "x") if name in native.one_qubit] if form is None else form.gates
    found = []
    for name in essential:
        gate = gates.get((name, (qubit,)))
        if gate is None or not gate.usable or gate.error == 1:
            found.append(name)
    return found


def judged_qubits(device: Device) -> tuple[Qubit, ...]:
    """The device's qubits; one that lacks an essential gate, or whose readout error is 1, is not usable."""
    judged = []
    for i, qubit in enumerate(device.qubits):
        is_read = qubit.readout is None or qubit.readout.error != 1
        works = is_read and not lacking(device.gates, device.native_gates, i)
        judged.append(qubit if works or not qubit.usable else replace(qubit, usable=False))
    return tuple(judged)


def check(device: Device) -> None:
    """Raises CalibrationError where a value breaks a rule of the schema."""
    if device.calibrated_at.tzinfo is None:
        raise CalibrationError(
            f"{device.name}: calibrated_at = {device.calibrated_at} has no timezone. "
            "Expected an aware datetime; add tzinfo=UTC if it is in UTC."
        )
    for i, qubit in enumerate(device.qubits):
        for label, value in (("t1", qubit.t1), ("t2", qubit.t2)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise CalibrationError(
                    f"{device.name}: qubits[{i}].{label} = {value} is not a time. "
                    "Expected a finite number of seconds above 0, or null if it is unknown."
                )
        if qubit.readout is not None:
            for side in ("p1_given_0", "p0_given_1"):
                _check_probability(f"{device.name}: qubits[{i}].readout.{side}", getattr(qubit.readout, side))
            _check_duration(f"{device.name}: qubits[{i}].readout.duration", qubit.readout.duration)
    for (name, qubits), gate in device.gates.items():
        place = f"{device.name}: gate {name}{list(qubits)}"
        if any(not 0 <= q < len(device.qubits) for q in qubits):
            raise CalibrationError(
                f"{place} names a qubit that is not there. Expected indices from 0 to {len(device.qubits) - 1}."
            )
        native = device.native_gates
        arity = 2 if name in native.two_qubit else 1 if name in (*native.one_qubit, *native.virtual) else len(qubits)
        if len(qubits) != arity:
            raise CalibrationError(f"{place} does not fit {name}. Expected {arity} qubit(s).")
        if len(set(qubits)) != len(qubits):
            raise CalibrationError(f"{place} is a self loop. Expected distinct qubits; remove the entry.")
        if gate.error is not None:
            _check_probability(f"{place}: error", gate.error)
        elif gate.usable and name not in device.native_gates.virtual:
            raise CalibrationError(
                f"{place}: error is missing. Expected an average gate infidelity, or usable=False "
                "(load with allow_missing=True to do that for every gate without one)."
            )
        _check_duration(f"{place}: duration", gate.duration)


def _check_probability(place: str, value: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise CalibrationError(f"{place} = {value} is not a probability. Expected 0 <= value <= 1.")


def _check_duration(place: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise CalibrationError(f"{place} = {value} is not a duration. Expected a finite number of seconds, 0 or more.")
