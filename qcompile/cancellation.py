"""Cancels gates with their inverses where what stands between them commutes, in one pass over a lowered circuit.

On each wire, gates form runs that commute: diagonal gates and controls of CX; X rotations and targets of CX; Y
rotations; H. A gate cancels with its inverse if both belong to the last run of each of their wires. A run that becomes
empty is gone, so what it held apart meets. Time is linear in the number of gates, and symbolic angles cost nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, ParameterExpression

_AXIS = dict.fromkeys(("rz", "p", "u1", "z", "s", "sdg", "t", "tdg"), "z")
_AXIS |= dict.fromkeys(("rx", "x", "sx", "sxdg"), "x") | dict.fromkeys(("ry", "y"), "y") | {"h": "h"}
_INVERSE = {"s": "sdg", "sdg": "s", "t": "tdg", "tdg": "t", "sx": "sxdg", "sxdg": "sx"}
_ROTATIONS = {"rz", "p", "u1", "rx", "ry"}

_EPSILON = 1e-10  # rad; below it a rotation is none, nor is a whole turn

_Key = tuple[object, ...]


@dataclass
class _Run:
    """Gates on one wire that commute: how many, and where in the circuit those stand that may be cancelled."""

    axis: str | None
    size: int = 0
    places: dict[_Key, list[int]] = field(default_factory=dict)


def cancel_pairs(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit without pairs of inverse gates that meet by commutation, and without rotations by zero.

    Args:
        circuit: one-qubit gates, cx, and anything else, which ends the runs of its bits.
    Returns: a new circuit; what is left keeps its order.
    """
    kept: list[CircuitInstruction | None] = []
    wires: dict[object, list[_Run]] = {bit: [] for bit in (*circuit.qubits, *circuit.clbits)}
    for instruction in circuit.data:
        name, qubits = instruction.name, instruction.qubits
        if name == "cx":
            roles: tuple[tuple[object, str | None], ...] = ((qubits[0], "z"), (qubits[1], "x"))
            key: _Key | None = ("cx", *qubits)
            partner = key
        elif name == "id" and not instruction.clbits:
            kept.append(instruction)
            continue
        elif name in _AXIS:
            roles = ((qubits[0], _AXIS[name]),)
            key = partner = (name,)
            if name in _ROTATIONS:
                angle = instruction.params[0]
                if isinstance(angle, ParameterExpression):
                    key = partner = None
                elif abs(math.remainder(angle, 2 * math.pi)) < _EPSILON:
                    continue
                else:
                    key, partner = (name, float(angle)), (name, -float(angle))
            elif name in _INVERSE:
                partner = (_INVERSE[name],)
        else:
            roles, key, partner = tuple((b, None) for b in (*qubits, *instruction.clbits)), None, None
        runs = [_run(wires[bit], axis) for bit, axis in roles]
        places = [run.places.get(partner, []) for run in runs] if partner is not None else []
        if places and all(places) and len({p[-1] for p in places}) == 1:
            assert partner is not None
            kept[places[0][-1]] = None
            for run, (bit, _) in zip(runs, roles):
                run.places[partner].pop()
                run.size -= 1
                if not run.size:
                    wires[bit].pop()
            continue
        for run in runs:
            run.size += 1
            if key is not None:
                run.places.setdefault(key, []).append(len(kept))
        kept.append(instruction)
    cancelled = circuit.copy_empty_like()
    cancelled.global_phase = 0
    for survivor in kept:
        if survivor is not None:
            cancelled._append(survivor)
    return cancelled


def _run(runs: list[_Run], axis: str | None) -> _Run:
    """The last run of a wire if a gate of this axis belongs to it, else a new one."""
    if not runs or axis is None or runs[-1].axis != axis:
        runs.append(_Run(axis))
    return runs[-1]
