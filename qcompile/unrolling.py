"""Two-qubit gates of Qiskit's library written in CX and one-qubit gates, without Qiskit's transpiler and its 3 ms.

Each is exact up to the global phase, and takes the fewest CX that gates of its kind need for all angles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qiskit.circuit import CircuitInstruction, QuantumCircuit
from qiskit.circuit.library import CXGate, HGate, PhaseGate, RYGate, RZGate, SXdgGate, SXGate, UGate

_CX, _H, _SX, _SXDG = CXGate(), HGate(), SXGate(), SXdgGate()

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


def unrolled(circuit: QuantumCircuit, basis: Sequence[str]) -> list[CircuitInstruction] | None:
    """The instructions of a circuit in a basis that has cx and the gates used above; None: it holds other gates."""
    out: list[CircuitInstruction] = []
    for instruction in circuit.data:
        name = instruction.name
        known = name in basis and (instruction.is_standard_gate() or not instruction.params)
        if known or name in ("barrier", "delay"):
            out.append(instruction)
        elif name in _WRITTEN and instruction.is_standard_gate():
            qubits = instruction.qubits
            if name in _SYMMETRIC and circuit.find_bit(qubits[0]).index > circuit.find_bit(qubits[1]).index:
                qubits = qubits[::-1]  # written the same way round, neighbours on one pair merge
            for gate, at in _WRITTEN[name](*instruction.params):
                out.append(CircuitInstruction(gate, [qubits[i] for i in at]))
        else:
            return None
    return out
