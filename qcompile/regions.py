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
from qcompile.phase_polynomial import Network, all_pairs_reversing, final_bits, parities, some_pairs

LEAST_SAVED = 0.15
"""Share of the CX that a rewriting must save to be worth another candidate."""

_LINEAR = {"cx": 1, "swap": 3}  # CX that each is worth
_DIAGONAL = {"rz", "p", "z", "s", "sdg", "t", "tdg", "id", "u1"}


@dataclass
class Region:
    """Gates on wires that share CX, with no other gate between them.

    Attributes:
        wires: the qubits, ascending; `pairs` and `phases` count positions in it.
        pairs: CX (control, target) in order of time; a SWAP is three.
        phases: (parity of the bits that enter, as a bit mask; instruction) of each Z rotation.
        rows: the parities that leave, one a wire.
    """

    wires: tuple[int, ...]
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
    found = {key: Region(tuple(wires)) for key, wires in members.items()}
    local = {wire: i for wires in members.values() for i, wire in enumerate(wires)}
    for region in found.values():
        region.rows = [1 << i for i in range(len(region.wires))]
    for instruction, wires in placed:
        region = found[root(wires[0])]
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


def with_fewer_cx(region: Region) -> list[tuple[int, int]] | None:
    """CX (control, target) that do what a region's do and meet its parities, but are fewer; None if none were found."""
    if len(region.pairs) - (len(region.wires) - 1) < LEAST_SAVED * len(region.pairs):
        return None  # a tree of CX is needed to connect its wires, so little can be saved
    if region.inner_parities():
        return None
    rows = linear_map(region.pairs, len(region.wires))
    return synthesize_linear(rows, region.pairs, fewer_than=len(region.pairs))


_CX_A_PARITY = 4.5
"""Most CX that a network may take for each parity: a ZZ rotation takes 2, with a SWAP 3, and SWAPs alone 3 more."""


def on_a_line(region: Region, reversing: bool, before: Network | None, tries: int) -> Network | None:
    """CX between neighbours along a line of a region's wires that make its parities and permute its wires.

    Args:
        region: None is returned unless all its inner parities are of two bits and its CX do nothing in the end.
        reversing: whether the line must be the wires in their order, its bits reversed in the end.
        before: the network that the same wires had in the region before: backwards it makes the same parities, takes
            them along the same line, and leaves the wires as they were.
        tries: of `walk`.
    Returns: None, too, if it takes more than `_CX_A_PARITY` CX a parity.
    """
    n, wanted = len(region.wires), region.inner_parities()
    if n < 3 or region.rows != [1 << i for i in range(n)] or any(parity.bit_count() != 2 for parity in wanted):
        return None
    if len(wanted) <= n and n > 3:
        return None  # trees and rings: with few SWAPs, a line or a tree of couplers takes 2 CX a parity
    if before is not None and set(parities(before[::-1], n)).issuperset(wanted):
        network = before[::-1]
    elif reversing:
        network = all_pairs_reversing(n)
    else:
        pairs = [(parity.bit_length() - 1, (parity & -parity).bit_length() - 1) for parity in wanted]
        network = some_pairs(n, pairs, tries)
    return network if len(network) <= _CX_A_PARITY * len(wanted) else None


@dataclass(frozen=True)
class Rewriting:
    """A circuit that does the same as another one.

    Attributes:
        circuit: on the same qubits and clbits.
        ends: ends[v]: the qubit of `circuit` that is in the end what qubit v of the other circuit is.
    """

    circuit: QuantumCircuit
    ends: tuple[int, ...]


def alternatives(circuit: QuantumCircuit, tries: int = 4) -> list[Rewriting]:
    """Other circuits that do the same, for a caller who routes all of them and keeps the best.

    Linear regions with at least `LEAST_SAVED` fewer CX: they save gates, not SWAPs, and a CX between qubits that never
    met before may cost more than it saves. Regions with ZZ rotations on most pairs as networks along a line, which
    need no SWAPs on any chip with a path of so many qubits: in a short form, and where that leaves the wires in
    disorder, in one that reverses the line.

    Args:
        circuit: one-qubit gates, cx, swap, measure, reset, delay, barrier; parameters may be symbolic.
        tries: orders of the line that are looked for where only some pairs have ZZ rotations; about 0.6 ms each for 16
            qubits. 16 save about 3 % of the CX more than 4, 64 another 3 %.
    Returns: circuits, the same unitary up to a global phase and `ends` between measurements.
    """
    gathered = layers(circuit)
    short, before, after, laid = _rewritten(circuit, gathered, False, tries)
    fewer = short
    if laid:
        fewer, before, after, _ = _rewritten(circuit, gathered, None, tries)
    found = [fewer] if before - after >= LEAST_SAVED * before > 0 else []
    if laid:
        found.append(short)
    if short.ends != tuple(range(circuit.num_qubits)):
        reversing, *_, laid = _rewritten(circuit, gathered, True, tries)
        found += [reversing] if laid else []
    return found


def _rewritten(
    circuit: QuantumCircuit, gathered: list[Layer], reversing: bool | None, tries: int
) -> tuple[Rewriting, int, int, bool]:
    """(rewriting, CX before, CX after, whether some region is laid on a line); `reversing` None: none is."""
    qubits = circuit.qubits
    wire = {q: i for i, q in enumerate(qubits)}  # where each qubit is by now
    out = circuit.copy_empty_like()
    before = after = 0
    laid = permuted = False
    networks: dict[tuple[int, ...], Network] = {}
    for others, linear in gathered:
        for i in others:
            out._append(i.replace(qubits=[qubits[wire[q]] for q in i.qubits]) if permuted else i)
        moved: dict[int, int] = {}
        for region in regions(linear, wire):
            before += len(region.pairs)
            pairs = None
            if reversing is not None:
                pairs = on_a_line(region, reversing, networks.get(region.wires), tries)
            if pairs is None:
                pairs = with_fewer_cx(region)
            else:
                laid = True
                networks[region.wires] = pairs
                moved.update(zip((region.wires[b] for b in final_bits(pairs, len(region.wires))), region.wires))
            after += len(region.pairs if pairs is None else pairs)
            _write(out, region, pairs)
        if moved:
            wire = {q: moved.get(w, w) for q, w in wire.items()}
            permuted = True
    return Rewriting(out, tuple(wire[q] for q in qubits)), before, after, laid


def _write(out: QuantumCircuit, region: Region, pairs: list[tuple[int, int]] | None) -> None:
    """Appends CX, and each phase of a region where its parity is first met; None: the region's own gates."""
    qubits = [out.qubits[w] for w in region.wires]
    waiting: dict[int, list[CircuitInstruction]] = {}
    for parity, instruction in region.phases:
        waiting.setdefault(parity, []).append(instruction)
    rows = [1 << i for i in range(len(qubits))]

    def turn(wire: int) -> None:
        for instruction in waiting.pop(rows[wire], ()):
            out._append(instruction.replace(qubits=(qubits[wire],)))

    for wire in range(len(rows)):
        turn(wire)
    gate = CXGate()
    for control, target in region.pairs if pairs is None else pairs:
        out._append(CircuitInstruction(gate, (qubits[control], qubits[target])))
        rows[target] ^= rows[control]
        turn(target)
    if waiting:
        raise AssertionError(f"{out.name}: a rewriting never meets the parities {sorted(waiting)}.")
