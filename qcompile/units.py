"""Units: what a routed circuit does on each coupler, blocks and SWAPs joined, in as few CX as they need.

A SWAP melts into the block beside it: CX with SWAP takes two CX, any block of numbers with a SWAP at most three (KAK
decomposition), a symbolic block one CX more than alone, because three CX of which one cancels exchange the wires.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction
from qiskit.circuit.library import CXGate
from qiskit.synthesis import TwoQubitBasisDecomposer, TwoQubitWeylDecomposition

from qcompile.block_codes import CX, XC, Part
from qcompile.block_kernels import block_unitaries, prices, rotations
from qcompile.blocks import BlockCircuit
from qcompile.lowering import Angle
from qcompile.pulses import Matrix, as_matrix

SWAP = -1
"""Entry of a unit that exchanges its qubits."""

TURNED, OPENS = 1, 2
"""Bits of an entry."""

RZZ = -3
"""Code of the rotation in a `Rotation`."""

_H = np.array([[1, 1], [1, -1]], np.complex128) / np.sqrt(2)
_X_H = (np.array([[0, 1], [1, 0]]) @ _H, _H)

_ONE: Matrix = (1 + 0j, 0j, 0j, 1 + 0j)


class Unit(NamedTuple):
    """Neighbouring blocks and SWAPs on one coupler, or a fence.

    Attributes:
        entries: in time order: SWAP, or 8 * node, and in it TURNED where the node's first wire is on the second qubit,
            OPENS << side where the node is the first of its stage on wire `side` and brings what stands in front.
        qubits: physical.
    """

    entries: tuple[int, ...]
    qubits: tuple[int, ...]


def read_units(circuit: BlockCircuit, items: NDArray[np.int64], layout: Sequence[int]) -> tuple[list[Unit], list[int]]:
    """(units in time order, where each wire ends) of a router's items.

    SWAPs that nothing follows are left out, but for those that make the block in front of them cheaper.
    """
    holder = {p: w for w, p in enumerate(layout)}
    listed: list[tuple[int, tuple[int, ...]]] = []
    for node, p, q in items.tolist():
        if node == SWAP:
            a, b = holder.pop(p, None), holder.pop(q, None)
            if a is not None:
                holder[q] = a
            if b is not None:
                holder[p] = b
            listed.append((SWAP, (p, q)))
        elif circuit.nodes[node].fence is None:
            listed.append((node, (p, q)))
        else:
            where = {w: p for p, w in holder.items()}
            listed.append((node, tuple(where[w] for w in circuit.nodes[node].wires)))
    followed: set[int] = set()
    kept = []
    saving = _saving_swaps(circuit, listed)
    for k in range(len(listed) - 1, -1, -1):
        node, qubits = listed[k]
        if node == SWAP and k not in saving and followed.isdisjoint(qubits):
            p, q = qubits
            a, b = holder.pop(p, None), holder.pop(q, None)
            if a is not None:
                holder[q] = a
            if b is not None:
                holder[p] = b
            continue
        followed.update(qubits)
        kept.append((node, qubits))
    closed = set(circuit.openings)
    entries: list[list[int]] = []
    places: list[tuple[int, ...]] = []
    last: dict[int, int] = {}
    for node, qubits in reversed(kept):
        u = last.get(qubits[0], -1)
        joins = (node == SWAP or circuit.nodes[node].fence is None) and u >= 0 and u == last.get(qubits[1])
        if joins and entries[u][0] != SWAP:
            joins = circuit.nodes[entries[u][0] // 8].fence is None
        if not joins:
            u = len(entries)
            entries.append([])
            places.append(qubits)
            last.update(dict.fromkeys(qubits, u))
        if node == SWAP:
            entries[u].append(SWAP)
            continue
        entry = 8 * node + TURNED * (places[u] != qubits)
        for side, place in enumerate(zip(circuit.nodes[node].wires, circuit.stages[node])):
            if place in closed:
                closed.remove(place)
                entry += OPENS << side
        entries[u].append(entry)
    ends = [0] * circuit.num_qubits
    for p, w in holder.items():
        ends[w] = p
    return [Unit(tuple(e), q) for e, q in zip(entries, places)], ends


def _saving_swaps(circuit: BlockCircuit, listed: Sequence[tuple[int, tuple[int, ...]]]) -> set[int]:
    """SWAPs right behind a block that takes fewer CX with one than without."""
    found = set()
    last: dict[int, int] = {}  # qubit -> what was there last
    for k, (node, qubits) in enumerate(listed):
        before = last.get(qubits[0], SWAP)
        is_behind = node == SWAP != before == last.get(qubits[1])
        if is_behind and circuit.swapped_price[before] < circuit.price[before]:
            found.add(k)
        last.update(dict.fromkeys(qubits, node))
    return found


def fence_of(circuit: BlockCircuit, unit: Unit) -> CircuitInstruction | None:
    """The measurement, reset, delay or barrier that a unit is; None of blocks and SWAPs."""
    return None if unit.entries[0] == SWAP else circuit.nodes[unit.entries[0] // 8].fence


class Rotation(NamedTuple):
    """A unit as one RZZ: codes with RZZ in them, and its angle, 0 to pi/2 rad."""

    codes: tuple[int, ...]
    angle: float


class Templates:
    """How units are written in CX and one-qubit parts; each distinct one is worked out once.

    Attributes:
        parts: those of the circuit, and the unitaries that decompositions brought.
    """

    def __init__(self, circuit: BlockCircuit) -> None:
        self.circuit = circuit
        self.parts: list[Part] = list(circuit.parts)
        self._known: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._rotations: dict[tuple[int, ...], Rotation | None] = {}

    def rotation(self, entries: tuple[int, ...]) -> Rotation | None:
        """The unit as one RZZ, for chips that have it; None where it is more, less, or symbolic."""
        if entries not in self._rotations:
            self._rotations[entries] = self._rotation(self.codes(entries))
        return self._rotations[entries]

    def _rotation(self, codes: tuple[int, ...]) -> Rotation | None:
        core, unitary = self._unitary(list(codes))
        if unitary is None or sum(code < 0 for code in codes) != 2 or not rotations(unitary[None])[0]:
            return None
        weyl = TwoQubitWeylDecomposition(unitary)
        # exp(i a XX) = (H H) RZZ(-2a) (H H), and X on one qubit turns the angle into 0 .. pi/2
        written = list(codes[:core])
        for side, outer in ((0, weyl.K2r), (1, weyl.K2l)):
            written.append(2 * self._added(_X_H[side] @ outer) + side)
        written.append(RZZ)
        for side, outer in ((0, weyl.K1r), (1, weyl.K1l)):
            written.append(2 * self._added(outer @ _X_H[side].conj().T) + side)
        return Rotation(tuple(written), 2 * weyl.a)

    def _added(self, matrix: NDArray[np.complex128]) -> int:
        self.parts.append(as_matrix(matrix))
        return len(self.parts) - 1

    def codes(self, entries: tuple[int, ...]) -> tuple[int, ...]:
        """CX, XC, or 2 * part + side, in time order; side 1 is the unit's second qubit."""
        found = self._known.get(entries)
        if found is None:
            self._known[entries] = found = self._write(entries)
        return found

    def _write(self, entries: tuple[int, ...]) -> tuple[int, ...]:
        circuit = self.circuit
        runs: list[tuple[bool, list[int]]] = []  # (whether it is a number from its first CX on, codes)
        exchange = False  # a SWAP that still waits for a CX to melt into
        for entry in entries:
            if entry == SWAP:
                exchange = not (runs and _swap_behind(runs[-1][1])) and not exchange
                continue
            k, added = entry // 8, self._entry(entry)
            if exchange:
                exchange = not _swap_before(added)
            if runs and runs[-1][0] and circuit.mergeable[k]:
                runs[-1][1].extend(added)
            else:
                runs.append((bool(circuit.numeric[k]), added))
        if exchange:
            runs.append((False, [CX, XC, CX]))
        codes: list[int] = []
        for numeric, run in runs:
            codes += self._shorter(run) if numeric else run
        return tuple(codes)

    def _entry(self, entry: int) -> list[int]:
        """Codes of one node, and of what it opens."""
        circuit, k = self.circuit, entry // 8
        codes: list[int] = []
        for side, place in enumerate(zip(circuit.nodes[k].wires, circuit.stages[k])):
            if entry & OPENS << side:
                codes += [2 * part + side for part in circuit.openings[place]]
        codes += circuit.nodes[k].codes
        return [_turned(code) for code in codes] if entry & TURNED else codes

    def _unitary(self, codes: list[int]) -> tuple[int, NDArray[np.complex128] | None]:
        """(codes in front of the first CX, [4, 4] of the rest; None if that is symbolic)."""
        core = next((i for i, code in enumerate(codes) if code < 0), len(codes))
        rest = codes[core:]
        if any(code >= 0 and isinstance(self.parts[code // 2], Angle) for code in rest):
            return core, None
        used = sorted({code // 2 for code in rest if code >= 0})
        number = {part: i for i, part in enumerate(used)}
        matrices = np.array([self.parts[part] for part in used] or [_ONE], np.complex128).reshape(-1, 2, 2)
        local = [code if code < 0 else 2 * number[code // 2] + code % 2 for code in rest]
        return core, block_unitaries(np.array([0, len(rest)]), np.array(local, np.int64), matrices)[0]

    def _shorter(self, codes: list[int]) -> list[int]:
        """The same unitary in as few CX as it needs; what waits in front stays apart as it may be symbolic."""
        written = sum(code < 0 for code in codes)
        if written <= 1:
            return codes
        core, unitary = self._unitary(codes)
        if unitary is None:
            return codes
        needed = int(prices(unitary[None], False)[0])
        if needed >= written:
            return codes
        front = codes[:core]
        for side_or_cx in _decomposed(unitary, needed):
            if isinstance(side_or_cx, int):
                front.append(side_or_cx)
            else:
                side, matrix = side_or_cx
                front.append(2 * len(self.parts) + side)
                self.parts.append(matrix)
        return front


def _turned(code: int) -> int:
    return CX + XC - code if code < 0 else code ^ 1


def _swap_behind(codes: list[int]) -> bool:
    """Puts a SWAP behind codes, melted into their last CX; False if there is none."""
    at = next((i for i in range(len(codes) - 1, -1, -1) if codes[i] < 0), -1)
    if at < 0:
        return False
    behind = [_turned(code) for code in codes[at + 1 :]]
    codes[at:] = [_turned(codes[at]), codes[at], *behind]
    return True


def _swap_before(codes: list[int]) -> bool:
    """Puts a SWAP in front of codes, melted into their first CX; False if there is none."""
    at = next((i for i, code in enumerate(codes) if code < 0), -1)
    if at < 0:
        return False
    codes[: at + 1] = [*(_turned(code) for code in codes[:at]), codes[at], _turned(codes[at])]
    return True


@cache
def _decomposer() -> TwoQubitBasisDecomposer:
    return TwoQubitBasisDecomposer(CXGate(), euler_basis="U")


def _decomposed(unitary: NDArray[np.complex128], needed: int) -> list[int | tuple[int, Matrix]]:
    """CX codes and (side, one-qubit unitary), by the KAK decomposition."""
    circuit = _decomposer()(unitary, approximate=False, _num_basis_uses=needed)
    position = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    out: list[int | tuple[int, Matrix]] = []
    for instruction in circuit.data:
        side = position[instruction.qubits[0]]
        if len(instruction.qubits) == 2:
            out.append(CX if side == 0 else XC)
        else:
            out.append((side, as_matrix(instruction.operation.to_matrix())))
    return out
