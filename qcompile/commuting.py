"""Orders of a circuit that mean the same: diagonal gates (RZZ, CP, CZ, ... of QAOA, IQP, ZZ maps) commute.

A router takes gates in the order in which they are written; where that order is free, some orders need far fewer SWAPs:
a ring of RZZ on a line takes two SWAPs that melt into their blocks, in the right order.
"""

from __future__ import annotations

import heapq

import numpy as np
from qiskit import QuantumCircuit

_DIAGONAL = {"rz", "p", "z", "s", "sdg", "t", "tdg", "id", "u1", "rzz", "cz", "cp", "crz", "cu1", "cs", "csdg", "ccz"}


def has_freedom(circuit: QuantumCircuit) -> bool:
    """Whether some qubit has two diagonal many-qubit gates, with no other gate between them."""
    recent: dict[object, bool] = {}
    for instruction in circuit.data:
        diagonal = instruction.name in _DIAGONAL
        for qubit in instruction.qubits:
            if diagonal and len(instruction.qubits) > 1:
                if recent.get(qubit):
                    return True
                recent[qubit] = True
            elif not diagonal:
                recent[qubit] = False
    return False


def reordered(circuit: QuantumCircuit, seed: int) -> QuantumCircuit:
    """The same circuit with its commuting diagonal gates in a random order; everything else keeps its order.

    Any gate stays behind the gates before it on its qubits and clbits, unless both are diagonal.
    """
    rng = np.random.default_rng(seed)
    followers: list[list[int]] = [[] for _ in circuit.data]
    waits = [0] * len(circuit.data)
    barrier: dict[object, int] = {}  # bit -> its last instruction that is not diagonal
    free: dict[object, list[int]] = {}  # bit -> diagonal instructions since
    for i, instruction in enumerate(circuit.data):
        diagonal = instruction.name in _DIAGONAL
        before: set[int] = set()
        for bit in (*instruction.qubits, *instruction.clbits):
            if bit in barrier:
                before.add(barrier[bit])
            if diagonal:
                free.setdefault(bit, []).append(i)
            else:
                before.update(free.pop(bit, ()))
                barrier[bit] = i
        waits[i] = len(before)
        for j in before:
            followers[j].append(i)
    # a diagonal gate is drawn at random among those that may come; the rest keep their place as well as they can
    priority = [
        (float(rng.random()) if instruction.name in _DIAGONAL else 0.0, i) for i, instruction in enumerate(circuit.data)
    ]
    ready = [priority[i] for i, count in enumerate(waits) if count == 0]
    heapq.heapify(ready)
    order = circuit.copy_empty_like()
    while ready:
        _, i = heapq.heappop(ready)
        order.append(circuit.data[i])
        for j in followers[i]:
            waits[j] -= 1
            if waits[j] == 0:
                heapq.heappush(ready, priority[j])
    return order
