"""Regions of a lowered circuit that CX and Z rotations alone make up, and the circuits that do the same with fewer CX.

Such a region is a phase polynomial and a linear map: every Z rotation turns the phase of a parity, a sum of the bits
that entered, and the CX change which parity a wire carries (Amy, Maslov, Mosca, "Polynomial-time T-depth optimization
of Clifford+T circuits via matroid partitioning", 2014). A region whose rotations all fall on parities that some wire
carries when it enters or leaves is CX only at heart: any other CX that do the same map will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Qubit
from qiskit.circuit.library import CXGate

from qcompile.linear import linear_map, synthesize_linear

LEAST_SAVED = 0.15
"""Share of the CX that a rewriting must save to be worth another candidate."""

_LINEAR = {"cx": 1, "swap": 3}  # CX that each is worth
_DIAGONAL = {"rz", "p", "z", "s", "sdg", "t", "tdg", "id", "u1"}


@dataclass
class Region:
    """Gates on wires that share CX, with no other gate between them.

    Attributes:
        wires: the qubits, ascending; `pairs` and `phases` count positions in it.
        gates: the instructions, in order of time.
        pairs: CX (control, target) in order of time; a SWAP is three.
        phases: (parity of the bits that enter, as a bit mask; instruction) of each Z rotation.
        rows: the parities that leave, one a wire.
    """

    wires: tuple[int, ...]
    gates: list[CircuitInstruction]
    pairs: list[tuple[int, int]] = field(default_factory=list)
    phases: list[tuple[int, CircuitInstruction]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def inner_parities(self) -> list[int]:
        """Parities with a phase that no wire carries at either end, each once, in order of time."""
        outer = {1 << i for i in range(len(self.wires))}.union(self.rows)
        return list(dict.fromkeys(parity for parity, _ in self.phases if parity not in outer))


Layer = tuple[list[CircuitInstruction], list[CircuitInstruction]]
"""Instructions of any kind, then CX, SWAP and Z rotations."""


def layers(circuit: QuantumCircuit) -> list[Layer]:
    """The circuit in another order that means the same, CX and Z rotations gathered as early and as many as may be.

    Measurements, resets, delays, barriers and gates of other kinds end what was gathered on their own qubits only.
    """
    found: list[Layer] = []
    level: dict[object, int] = {}  # bit -> layer that its next instruction may join
    touched: dict[object, bool] = {}  # whether a CX of that layer holds it
    for instruction in circuit.data:
        bits = (*instruction.qubits, *instruction.clbits) if instruction.clbits else instruction.qubits
        name = instruction.name
        if name in _LINEAR:
            at = max([level.get(b, 0) for b in bits])
            gathered = True
        elif name in _DIAGONAL:
            at, gathered = level.get(bits[0], 0), touched.get(bits[0], False)
        else:
            at, gathered = max([level.get(b, 0) + touched.get(b, False) for b in bits], default=0), False
        while len(found) <= at:
            found.append(([], []))
        found[at][gathered].append(instruction)
        if not (gathered and name in _DIAGONAL):
            for b in bits:
                level[b], touched[b] = at, gathered
    return found


def regions(gates: list[CircuitInstruction], position: dict[Qubit, int]) -> Iterator[Region]:
    """The parts of one layer that share no wire, each read as a phase polynomial."""
    parent: dict[int, int] = {}

    def root(wire: int) -> int:
        while parent.setdefault(wire, wire) != wire:
            parent[wire] = parent[parent[wire]]
            wire = parent[wire]
        return wire

    placed = [(instruction, [position[q] for q in instruction.qubits]) for instruction in gates]
    for _, wires in placed:
        if len(wires) == 2:
            parent[root(wires[1])] = root(wires[0])
    members: dict[int, list[int]] = {}
    for wire in sorted(parent):
        members.setdefault(root(wire), []).append(wire)
    found = {key: Region(tuple(wires), []) for key, wires in members.items()}
    local = {wire: i for wires in members.values() for i, wire in enumerate(wires)}
    for region in found.values():
        region.rows = [1 << i for i in range(len(region.wires))]
    for instruction, wires in placed:
        region = found[root(wires[0])]
        region.gates.append(instruction)
        rows, a = region.rows, local[wires[0]]
        if len(wires) == 1:
            region.phases.append((rows[a], instruction))
            continue
        b = local[wires[1]]
        region.pairs += [(a, b)] if instruction.name == "cx" else [(a, b), (b, a), (a, b)]
        if instruction.name == "cx":
            rows[b] ^= rows[a]
        else:
            rows[a], rows[b] = rows[b], rows[a]
    yield from found.values()


def with_fewer_cx(region: Region, circuit: QuantumCircuit) -> list[CircuitInstruction] | None:
    """Instructions that do what a region does, with fewer CX; None if no fewer were found."""
    if len(region.pairs) < len(region.wires):
        return None  # a tree of CX that are all different: each is needed to connect its wires
    if region.inner_parities():
        return None
    preferred = [(a, b) for a, b in region.pairs]
    found = synthesize_linear(linear_map(region.pairs, len(region.wires)), preferred, fewer_than=len(region.pairs))
    return None if found is None else _written(region, found, circuit)


def _written(region: Region, pairs: list[tuple[int, int]], circuit: QuantumCircuit) -> list[CircuitInstruction]:
    """CX pairs with each phase of the region where its parity is first met."""
    waiting: dict[int, list[CircuitInstruction]] = {}
    for parity, instruction in region.phases:
        waiting.setdefault(parity, []).append(instruction)
    rows = [1 << i for i in range(len(region.wires))]
    qubits = [circuit.qubits[w] for w in region.wires]
    out: list[CircuitInstruction] = []

    def turn(wire: int) -> None:
        out.extend(i.replace(qubits=(qubits[wire],)) for i in waiting.pop(rows[wire], ()))

    for wire in range(len(rows)):
        turn(wire)
    gate = CXGate()
    for control, target in pairs:
        out.append(CircuitInstruction(gate, (qubits[control], qubits[target])))
        rows[target] ^= rows[control]
        turn(target)
    if waiting:
        raise AssertionError(f"{circuit.name}: a rewriting never meets the parities {sorted(waiting)}.")
    return out


def alternatives(circuit: QuantumCircuit) -> list[QuantumCircuit]:
    """Circuits that do the same with at least `LEAST_SAVED` fewer CX: none, or one.

    They save gates, not SWAPs: a CX between qubits that never met before may cost more than it saves, so a caller
    routes both and keeps the better.

    Args:
        circuit: one-qubit gates, cx, swap, measure, reset, delay, barrier; parameters may be symbolic.
    Returns: circuits on the same qubits and clbits, the same unitary up to a global phase between measurements.
    """
    position = {q: i for i, q in enumerate(circuit.qubits)}
    before = saved = 0
    rewritten = circuit.copy_empty_like()
    for others, gathered in layers(circuit):
        for instruction in others:
            rewritten._append(instruction)
        for region in regions(gathered, position):
            before += len(region.pairs)
            found = with_fewer_cx(region, circuit)
            if found is not None:
                saved += len(region.pairs) - sum(len(i.qubits) == 2 for i in found)
            for instruction in region.gates if found is None else found:
                rewritten._append(instruction)
    return [rewritten] if saved and saved >= LEAST_SAVED * before else []
