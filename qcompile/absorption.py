"""Routed circuits read as plain operations: SWAPs joined to the two-qubit blocks beside them, CX pairs cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction


class RoutedOperation(NamedTuple):
    """One instruction of a routed circuit, read once so that it can be placed on many regions of the chip."""

    name: str
    qubits: tuple[int, ...]
    params: tuple[Any, ...]
    original: CircuitInstruction


def read_operations(circuit: QuantumCircuit) -> list[RoutedOperation]:
    """The instructions of a circuit, each SWAP joined to a two-qubit block beside it where there is one."""
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    operations = []
    for instruction in circuit.data:
        name = instruction.name  # of the instruction, not of its operation, which Qiskit would have to make first
        qubits = tuple(index_of[q] for q in instruction.qubits)
        params = (instruction.operation.to_matrix(),) if name == "unitary" else tuple(instruction.params)
        operations.append(RoutedOperation(name, qubits, params, instruction))
    operations = _absorb_swaps(operations)
    operations = _absorb_swaps(operations[::-1])[::-1]
    return _cancel_cx(_expand(operations))


def _absorb_swaps(operations: Sequence[RoutedOperation]) -> list[RoutedOperation]:
    """Moves each SWAP back to the CX before it on the same pair, past one-qubit gates, which change wires.

    There it is written as three CX of which the first cancels: any block with a SWAP costs one CX more, not three.
    A SWAP without such a neighbour stays; the same pass over the reversed list joins it to the block behind.
    """
    kept: list[RoutedOperation | None] = []
    last_block: dict[int, int] = {}
    behind: dict[int, list[int]] = {}
    for operation in operations:
        qubits = operation.qubits
        if operation.name == "swap":
            at = last_block.get(qubits[0])
            block = None if at is None or at != last_block.get(qubits[1]) else kept[at]
            moved = sorted(behind.get(qubits[0], []) + behind.get(qubits[1], []))
            if block is not None and block.name == "cx" and all(_is_unitary(kept[i]) for i in moved):
                other = {qubits[0]: qubits[1], qubits[1]: qubits[0]}
                gates = [kept[i] for i in moved]
                for i in moved:
                    kept[i] = None
                for pair in (block.qubits, block.qubits[::-1], block.qubits):
                    kept.append(RoutedOperation("cx", pair, (), operation.original))
                last_block.update(dict.fromkeys(qubits, len(kept) - 1))
                behind.update({q: [] for q in qubits})
                for gate in gates:
                    if gate is not None:
                        wire = other[gate.qubits[0]]
                        kept.append(gate._replace(qubits=(wire,)))
                        behind[wire].append(len(kept) - 1)
                continue
        kept.append(operation)
        for q in qubits:
            if operation.name in ("cx", "swap"):
                last_block[q] = len(kept) - 1
                behind[q] = []
            else:
                behind.setdefault(q, []).append(len(kept) - 1)
    return [operation for operation in kept if operation is not None]


def _is_unitary(operation: RoutedOperation | None) -> bool:
    return operation is not None and operation.name not in ("measure", "reset", "delay", "barrier")


def _expand(operations: Sequence[RoutedOperation]) -> list[RoutedOperation]:
    """Writes the SWAPs that are left as three CX."""
    expanded = []
    for operation in operations:
        if operation.name == "swap":
            a, b = operation.qubits
            expanded += [RoutedOperation("cx", pair, (), operation.original) for pair in ((a, b), (b, a), (a, b))]
        else:
            expanded.append(operation)
    return expanded


_ON_CONTROL = {"rz", "p", "z", "s", "sdg", "t", "tdg", "id"}
_ON_TARGET = {"rx", "x", "sx", "sxdg", "id"}


def _cancel_cx(operations: Sequence[RoutedOperation]) -> list[RoutedOperation]:
    """Drops pairs of equal CX with nothing but commuting gates in between (Z-like on control, X-like on target).

    Qiskit's own pass does not see through symbolic gates on routed circuits; chains cancel from the inside out.
    """
    kept: list[RoutedOperation | None] = []
    wires: dict[int, list[int]] = {}
    for operation in operations:
        if operation.name == "cx":
            control, target = operation.qubits
            at = _commutes_back_to(operation, kept, wires.get(control, []), _ON_CONTROL, 0)
            if at is not None and at == _commutes_back_to(operation, kept, wires.get(target, []), _ON_TARGET, 1):
                kept[at] = None
                continue
        kept.append(operation)
        for q in operation.qubits:
            wires.setdefault(q, []).append(len(kept) - 1)
    return [operation for operation in kept if operation is not None]


def _commutes_back_to(
    cx: RoutedOperation, kept: list[RoutedOperation | None], wire: list[int], passing: set[str], role: int
) -> int | None:
    """Index of the last equal CX on a wire, if everything behind it commutes with `cx` on that wire."""
    for at in reversed(wire):
        operation = kept[at]
        if operation is None or operation.name in passing:
            continue  # cancelled before, or commutes
        if operation.name != "cx" or operation.qubits[role] != cx.qubits[role]:
            return None
        if operation.qubits == cx.qubits:
            return at
    return None
