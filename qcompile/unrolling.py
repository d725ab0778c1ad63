"""Two-qubit gates of Qiskit's library written in CX and one-qubit gates, without Qiskit's transpiler and its 3 ms.

Each is exact up to the global phase, and takes the fewest CX that gates of its kind need for all angles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from qiskit.circuit import CircuitInstruction, QuantumCircuit
from qiskit.circuit.library import (
    CXGate,
    HGate,
    PhaseGate,
    RXGate,
    RYGate,
    RZGate,
    SdgGate,
    SGate,
    SXdgGate,
    SXGate,
    UGate,
)  # fmt: skip

_CX, _H, _SX, _SXDG, _S, _SDG = CXGate(), HGate(), SXGate(), SXdgGate(), SGate(), SdgGate()
_RIGHT = math.pi / 2

Step = tuple[Any, tuple[int, ...]]
"""A gate, and which of the two qubits it acts on."""

_ENTANGLE: Step = (_CX, (0, 1))


def _cp(angle: Any) -> list[Step]:
    half = angle / 2
    return [(PhaseGate(half), (0,)), _ENTANGLE, (PhaseGate(-half), (1,)), _ENTANGLE, (PhaseGate(half), (1,))]


def _crz(angle: Any) -> list[Step]:
    return [(RZGate(angle / 2), (1,)), _ENTANGLE, (RZGate(-angle / 2), (1,)), _ENTANGLE]


def _cry(angle: Any) -> list[Step]:
    return [(RYGate(angle / 2), (1,)), _ENTANGLE, (RYGate(-angle / 2), (1,)), _ENTANGLE]


def _cu(theta: Any, phi: Any, lam: Any, gamma: Any) -> list[Step]:
    return [
        (PhaseGate((lam + phi) / 2 + gamma), (0,)),
        (PhaseGate((lam - phi) / 2), (1,)),
        _ENTANGLE,
        (UGate(-theta / 2, 0, -(phi + lam) / 2), (1,)),
        _ENTANGLE,
        (UGate(theta / 2, phi, 0), (1,)),
    ]


def _rzz(angle: Any) -> list[Step]:
    return [_ENTANGLE, (RZGate(angle), (1,)), _ENTANGLE]


def _between(gate: Any, inner: Sequence[Step], undo: Any, qubits: Sequence[int]) -> list[Step]:
    return [*((gate, (q,)) for q in qubits), *inner, *((undo, (q,)) for q in qubits)]


def _exchange(angles: dict[str, Any]) -> list[Step]:
    """exp(-i (a XX + b YY + c ZZ) / 2) in as many CX as there are terms, two at least; a, b, c by gate name.

    Source: Vatan, Williams, "Optimal quantum circuits for general two-qubit gates" (2004), for three terms; CX turns XX
    and ZZ into rotations of one qubit each, for two.
    """
    if len(angles) == 1:
        ((name, angle),) = angles.items()
        return _WRITTEN[name](angle)
    if len(angles) == 3:
        a, b, c = (angles[name] for name in ("rxx", "ryy", "rzz"))
        back: Step = (_CX, (1, 0))
        return [
            (RZGate(-_RIGHT), (1,)),
            back,
            (RZGate(c + _RIGHT), (0,)),
            (RYGate(-a - _RIGHT), (1,)),
            _ENTANGLE,
            (RYGate(b + _RIGHT), (1,)),
            back,
            (RZGate(_RIGHT), (0,)),
        ]
    if "ryy" not in angles:
        return [_ENTANGLE, (RXGate(angles["rxx"]), (0,)), (RZGate(angles["rzz"]), (1,)), _ENTANGLE]
    if "rxx" in angles:  # SX turns YY into ZZ
        return _between(_SX, _exchange({"rxx": angles["rxx"], "rzz": angles["ryy"]}), _SXDG, (0, 1))
    return _between(_SDG, _exchange({"rxx": angles["ryy"], "rzz": angles["rzz"]}), _S, (0, 1))


_WRITTEN: dict[str, Callable[..., list[Step]]] = {
    "cz": lambda: _between(_H, [_ENTANGLE], _H, (1,)),
    "cp": _cp,
    "cu1": _cp,
    "crz": _crz,
    "cry": _cry,
    "crx": lambda angle: _between(_H, _crz(angle), _H, (1,)),
    "cu": _cu,
    "cu3": lambda theta, phi, lam: _cu(theta, phi, lam, 0.0),
    "rzz": _rzz,
    "rxx": lambda angle: _between(_H, _rzz(angle), _H, (0, 1)),
    "ryy": lambda angle: _between(_SX, _rzz(angle), _SXDG, (0, 1)),
}


_SYMMETRIC = {"cz", "cp", "cu1", "rzz", "rxx", "ryy"}
_EXCHANGE = {"rxx", "ryy", "rzz"}  # they commute


def unrolled(circuit: QuantumCircuit, basis: Sequence[str]) -> list[CircuitInstruction] | None:
    """The instructions of a circuit in a basis that has cx and the gates used above; None: it holds other gates.

    RXX, RYY and RZZ that follow each other on the same two qubits, as in Heisenberg models, are written together.
    """
    out: list[CircuitInstruction] = []
    waiting: dict[tuple[Any, ...], dict[str, Any]] = {}  # pair -> angles of exchange gates
    pair_of: dict[Any, tuple[Any, ...]] = {}  # qubit -> the pair that waits there

    def write(qubits: tuple[Any, ...], steps: list[Step]) -> None:
        out.extend(CircuitInstruction(gate, [qubits[i] for i in at]) for gate, at in steps)

    def flush(qubit: Any) -> None:
        pair = pair_of.get(qubit)
        if pair is not None:
            write(pair, _exchange(waiting.pop(pair)))
            for q in pair:
                del pair_of[q]

    for instruction in circuit.data:
        name, qubits = instruction.name, instruction.qubits
        standard = instruction.is_standard_gate()
        if name in _SYMMETRIC and standard and circuit.find_bit(qubits[0]).index > circuit.find_bit(qubits[1]).index:
            qubits = qubits[::-1]  # written the same way round, neighbours on one pair merge
        if name in _EXCHANGE and standard:
            if pair_of.get(qubits[0]) != qubits or pair_of.get(qubits[1]) != qubits:
                for q in qubits:
                    flush(q)
                waiting[qubits] = {}
                pair_of.update(dict.fromkeys(qubits, qubits))
            known, angle = waiting[qubits], instruction.params[0]
            known[name] = known[name] + angle if name in known else angle
            continue
        for q in qubits:
            flush(q)
        if name in ("barrier", "delay") or (name in basis and (standard or not instruction.params)):
            out.append(instruction)
        elif name in _WRITTEN and standard:
            write(qubits, _WRITTEN[name](*instruction.params))
        else:
            return None
    for pair in list(waiting):
        flush(pair[0])
    return out
