"""Any Qiskit Target -> Device. A Target is in seconds, has one symmetric readout error a qubit and no dates: noted.

A gate without an error is left unused where other gates have one; where no gate has one, all are taken as perfect.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import InstructionProperties, Target

from qcompile.device import Device, GateKey
from qcompile.errors import CalibrationError
from qcompile.repairs import device_from_document
from qcompile.schema import SCHEMA, Json

_NOT_GATES = ("measure", "reset", "delay", "barrier")
_FRAMES = ("rz", "p", "u1")  # virtual where they take no time and make no error
_LARGEST_GATE = 2  # qubits

Entries = dict[tuple[int, ...], InstructionProperties | None]


def from_backend(backend: Any) -> Device:
    """Snapshot of a BackendV2 by its Target.

    Raises: CalibrationError: no Target, or a value in it breaks a rule.
    """
    target = getattr(backend, "target", None)
    if not isinstance(target, Target):
        raise CalibrationError(
            f"{type(backend).__name__} object: target = {target!r} is no Target. Expected a Qiskit BackendV2; "
            "use Device.from_target or Device.from_coupling for anything else."
        )
    name = str(getattr(backend, "name", None) or type(backend).__name__)
    return from_target(target, name=name, vendor=type(backend).__module__.partition(".")[0])


def from_target(target: Target, *, name: str = "target", vendor: str = "custom") -> Device:
    """Snapshot of a Qiskit Target.

    Args:
        target: num_qubits must be set; a gate for all qubits (qargs None) is spelled out pair by pair.
        name, vendor: what to call it.
    Raises: CalibrationError: no number of qubits, or a value breaks a rule.
    """
    count = target.num_qubits
    if not count:
        raise CalibrationError(
            f"{name}: num_qubits = {count} leaves nothing to compile for. Expected a Target with at least one qubit; "
            "pass num_qubits= to Target()."
        )
    notes = ["a Target has no dates: calibrated_at is the time of reading"]
    library = get_standard_gate_name_mapping()
    gates: dict[GateKey, InstructionProperties | None] = {}
    control_flow: list[str] = []
    one_qubit: list[str] = []
    two_qubit: list[str] = []
    for gate in target.operation_names:
        operation = target.operation_from_name(gate)
        if inspect.isclass(operation):
            control_flow.append(gate)
        elif gate in _NOT_GATES:
            continue
        elif gate not in library or not 1 <= operation.num_qubits <= _LARGEST_GATE:
            notes.append(f"{gate}: not a one- or two-qubit gate of Qiskit's library, left out")
        else:
            (one_qubit if operation.num_qubits == 1 else two_qubit).append(gate)
            entries = _spelled_out(target[gate], operation.num_qubits, count)
            gates |= {(gate, qubits): properties for qubits, properties in entries.items()}
    fractional = [g for g in ("rx",) if g in one_qubit and {"sx", "rz"} <= {*one_qubit}]
    fractional += [g for g in ("rzz",) if g in two_qubit and len(two_qubit) > 1]
    virtual = [
        gate
        for gate in one_qubit
        if gate in _FRAMES and all(p is None or not (p.error or p.duration) for (g, _), p in gates.items() if g == gate)
    ]
    if perfect := all(p is None or p.error is None for (gate, _), p in gates.items() if gate not in virtual):
        notes.append("the Target has no errors: every gate is taken as perfect")
    return device_from_document(
        {
            "schema": SCHEMA,
            "name": name,
            "vendor": vendor,
            "calibrated_at": datetime.now(UTC).replace(microsecond=0),
            "num_qubits": count,
            "error_kind": "average_infidelity",
            "source": {"kind": "target", "ref": name},
            "native_gates": {
                "1q": [g for g in one_qubit if g not in fractional],
                "2q": [g for g in two_qubit if g not in fractional],
                "virtual": virtual,
                "fractional": fractional,
            },
            "timing": _timing(target, count),
            "limits": {"control_flow": control_flow},
            "notes": notes,
            "qubits": _qubits(target, count, notes),
            "gates": [
                {
                    "g": gate,
                    "q": list(qubits),
                    "error": 0.0 if perfect else p.error if p else None,
                    "duration": p.duration if p else None,
                }
                for (gate, qubits), p in gates.items()
            ],
        },
        name,
        allow_missing=True,
    )


def _spelled_out(entries: dict[Any, InstructionProperties | None], width: int, count: int) -> Entries:
    if entries and None not in entries:
        return dict(entries)
    return dict.fromkeys(itertools.permutations(range(count), width))


def _qubits(target: Target, count: int, notes: list[str]) -> list[Json]:
    entries = target["measure"] if "measure" in target.operation_names else {}
    measured = _spelled_out(entries, 1, count)  # a Target without any measurement says nothing about it
    lifetimes = target.qubit_properties or [None] * count
    rows: list[Json] = []
    for i, life in enumerate(lifetimes):
        row: Json = {"i": i}
        for field in ("t1", "t2"):
            value = getattr(life, field, None)
            row[field] = None if value is None or value == math.inf else value
        if (i,) not in measured:
            row["usable"] = False
            notes.append(f"qubit {i}: cannot be measured, not used")
        elif (found := measured[i,]) is not None and found.error is not None:
            row["readout"] = {"p1_given_0": found.error, "p0_given_1": found.error, "duration": found.duration}
        rows.append(row)
    if any("readout" in row for row in rows):
        notes.append("a Target has one readout error a qubit: taken for both sides")
    return rows


def _timing(target: Target, count: int) -> Json:
    resets: Iterable[InstructionProperties | None] = ()
    if "reset" in target.operation_names:
        resets = _spelled_out(target["reset"], 1, count).values()
    return {
        "dt": target.dt,
        "granularity": target.granularity,
        "min_length": target.min_length,
        "pulse_alignment": target.pulse_alignment,
        "acquire_alignment": target.acquire_alignment,
        "reset": max((p.duration for p in resets if p and p.duration is not None), default=None),
    }
