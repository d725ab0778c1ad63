"""The routing view of a circuit: two-qubit blocks with their prices, and what must come before what.

Neighbouring gates on the same pair merge into one *block*. Blocks that commute on a wire (all diagonal in the same
Pauli there: RZZ, CP and CZ layers, CX that share a control) form one *stage* of that wire and are unordered among
themselves; any block waits for the earlier stages of both its wires. One-qubit gates travel with the block behind them,
those in front of a stage of several blocks with whichever of these runs first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, Parameter

from qcompile.block_codes import CX, XC, Node, Part, Parts, append_cx, axes_of, is_numeric, merged
from qcompile.block_kernels import block_unitaries, commuting_axes, prices, rotations
from qcompile.lowering import Angle
from qcompile.pulses import as_matrix

_FENCES = ("measure", "reset", "delay", "barrier")


@dataclass(frozen=True, eq=False)
class BlockCircuit:
    """A lowered circuit as blocks on wires. A wire carries one virtual qubit from the start.

    Attributes:
        num_qubits: wires.
        parts: the distinct one-qubit parts.
        nodes: in an order that respects the stages.
        stages: stages[k][side]: the stage of node k on its wire `side`, counted from 0 on each wire.
        openings: (wire, stage) -> parts that come before whichever block of a stage of several runs first.
        price: [node] CX that a block needs; 0 for a fence.
        swapped_price: [node] the same with a SWAP of its two wires behind it.
        numeric: [node] whether its unitary is a number.
        unitaries: [node, 4, 4] of the blocks without the one-qubit parts in front; at a generic point if symbolic.
        trailing: parts behind the last node of each wire.
        output_wire: wire that virtual qubit v ends on; written SWAPs that were taken as relabelling are in it.
    """

    num_qubits: int
    parts: tuple[Part, ...]
    nodes: tuple[Node, ...]
    stages: tuple[tuple[int, ...], ...]
    openings: Mapping[tuple[int, int], tuple[int, ...]]
    price: NDArray[np.int64]
    swapped_price: NDArray[np.int64]
    numeric: NDArray[np.bool_]
    unitaries: NDArray[np.complex128]
    trailing: tuple[tuple[int, ...], ...]
    output_wire: tuple[int, ...]

    @cached_property
    def interactions(self) -> dict[tuple[int, int], int]:
        """Pair of wires, lower first -> sum of the prices of its blocks."""
        sums: dict[tuple[int, int], int] = {}
        for node, price in zip(self.nodes, self.price.tolist()):
            if node.fence is None:
                a, b = sorted(node.wires)
                sums[a, b] = sums.get((a, b), 0) + price
        return sums

    @cached_property
    def mergeable(self) -> NDArray[np.bool_]:
        """[node] whether what stands in front of a block is a number too: neighbours take three CX at most."""
        found = self.numeric.copy()
        for k, (node, at) in enumerate(zip(self.nodes, self.stages)):
            openings = [part for place in zip(node.wires, at) for part in self.openings.get(place, ())]
            if found[k] and any(
                isinstance(self.parts[part], Angle) for part in (*openings, *(code // 2 for code in node.front))
            ):
                found[k] = False
        return found

    @cached_property
    def two_qubit_price(self) -> int:
        """CX that all blocks need where no SWAP is needed."""
        return int(self.price.sum())

    @cached_property
    def rotation(self) -> NDArray[np.bool_]:
        """[node] whether it is a number, and one rotation about ZZ up to one-qubit gates."""
        found = self.numeric & (self.price == 2)
        found[found] = rotations(self.unitaries[found])
        return found

    @cached_property
    def one_qubit_only(self) -> bool:
        """Whether there is nothing to route."""
        return all(node.fence is not None for node in self.nodes)


def read_blocks(circuit: QuantumCircuit, slots: Mapping[Parameter, int], *, relabel: bool = True) -> BlockCircuit:
    """Blocks of a lowered circuit (see `lowering`).

    Args:
        circuit: one-qubit gates, cx, swap, measure, reset, delay, barrier; measurements here are fences.
        slots: placeholder parameter -> slot number.
        relabel: a written SWAP exchanges the names of its wires; otherwise it is a block of three CX.
    """
    parts = Parts(slots)
    nodes, trailing, output_wire = _collect(circuit, parts, relabel)
    staged = _staged(circuit.num_qubits, nodes, parts)
    while any(staged.numeric & (staged.price == 0)):  # blocks that became nothing when they merged
        trailing = [[*front, *behind] for front, behind in zip(staged.chains, trailing)]
        staged = _staged(circuit.num_qubits, staged.nodes, parts)
    nodes, openings = _opened(staged)
    return BlockCircuit(
        num_qubits=circuit.num_qubits,
        parts=tuple(parts.table),
        nodes=tuple(nodes),
        stages=tuple(staged.stages),
        openings=openings,
        price=staged.price,
        swapped_price=staged.swapped_price,
        numeric=staged.numeric,
        unitaries=staged.unitaries,
        trailing=tuple((*front, *behind) for front, behind in zip(staged.chains, trailing)),
        output_wire=output_wire,
    )


def _collect(
    circuit: QuantumCircuit, parts: Parts, relabel: bool
) -> tuple[list[Node], list[list[int]], tuple[int, ...]]:
    """(nodes in program order, chains behind the last node of each wire, wire that each virtual qubit ends on)."""
    wire_of = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    chains: list[list[int]] = [[] for _ in circuit.qubits]
    open_at: list[int] = [-1] * circuit.num_qubits  # the block that a CX on the same pair would join
    wires: list[tuple[int, ...]] = []
    codes: list[list[int]] = []
    fences: list[CircuitInstruction | None] = []
    writer: dict[Clbit, int] = {}  # wire that a classical bit was written from
    for instruction in circuit.data:
        name, qubits = instruction.name, instruction.qubits
        if len(qubits) == 1 and name not in _FENCES:
            chains[wire_of[qubits[0]]] += parts.of_gate(name, instruction.params)
            continue
        at = tuple(wire_of[q] for q in qubits)
        if name == "swap" and relabel:
            wire_of[qubits[0]], wire_of[qubits[1]] = at[1], at[0]
            continue
        if name not in ("cx", "swap"):
            for clbit in instruction.clbits:
                if (before := writer.get(clbit, at[0])) != at[0]:
                    at = (*at, before)
                writer[clbit] = at[0]
            fences.append(instruction)
            wires.append(at)
            codes.append([len(at) * part + side for side, w in enumerate(at) for part in chains[w]])
            for w in at:
                chains[w] = []
                open_at[w] = -1
            continue
        a, b = at
        k = open_at[a]
        if k < 0 or k != open_at[b]:
            k = len(wires)
            wires.append(at)
            codes.append([])
            fences.append(None)
            open_at[a] = open_at[b] = k
        side = 0 if wires[k][0] == a else 1
        codes[k] += [2 * part + side for part in chains[a]]
        codes[k] += [2 * part + 1 - side for part in chains[b]]
        chains[a], chains[b] = [], []
        for control in (side,) if name == "cx" else (side, 1 - side, side):
            append_cx(codes[k], CX if control == 0 else XC, parts.table)
    nodes = [Node(w, tuple(c), f) for w, c, f in zip(wires, codes, fences)]
    return nodes, chains, tuple(wire_of[q] for q in circuit.qubits)


def _unitaries(nodes: Sequence[Node], matrices: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """[node, 4, 4] of what stands from the first CX on."""
    cores = [node.core if node.fence is None else () for node in nodes]
    offsets = np.zeros(len(nodes) + 1, np.int64)
    np.cumsum([len(c) for c in cores], out=offsets[1:])
    flat = np.array([code for core in cores for code in core], np.int64)
    return np.asarray(block_unitaries(offsets, flat, matrices), np.complex128)


def _factors(unitary: NDArray[np.complex128]) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """One-qubit unitaries of the first and the second wire, of their product."""
    tensor = unitary.reshape(2, 2, 2, 2)  # [second, first, second', first']
    at = np.unravel_index(np.argmax(np.abs(tensor)), tensor.shape)
    first = tensor[at[0], :, at[2], :].copy()
    first /= np.sqrt(np.linalg.det(first) + 0j)
    second = np.einsum("aibj,ij->ab", tensor, first.conj()) / 2
    return first, second


class _Wire:
    """The current stage of one wire while the stages are made."""

    def __init__(self) -> None:
        self.chain: list[int] = []  # parts in front of the next node
        self.stage = -1
        self.axes = 0  # in which every block of the stage is diagonal
        self.blocks: dict[int, int] = {}  # partner wire -> block of the stage


class _Staged(NamedTuple):
    """Nodes with their stages and prices; what stands in front of a stage is in its first node still."""

    nodes: list[Node]
    stages: list[tuple[int, ...]]
    price: NDArray[np.int64]
    swapped_price: NDArray[np.int64]
    numeric: NDArray[np.bool_]
    unitaries: NDArray[np.complex128]
    chains: list[list[int]]  # behind the last node of each wire


def _staged(width: int, written: Sequence[Node], parts: Parts) -> _Staged:
    """Stages of every wire; blocks of one stage on the same pair merge, those without interaction become parts."""
    unitaries = _unitaries(written, parts.matrices())
    alone = prices(unitaries, False)
    own = commuting_axes(unitaries)
    local: dict[int, Node] = {}
    for k, node in enumerate(written):
        if node.fence is None and alone[k] == 0 and is_numeric(node, parts.table):
            first, second = (parts.add(as_matrix(factor)) for factor in _factors(unitaries[k]))
            local[k] = Node(node.wires, (*node.front, 2 * first, 2 * second + 1))
    matrices = parts.matrices()
    wires = [_Wire() for _ in range(width)]
    nodes: list[Node] = []
    stages: list[tuple[int, ...]] = []
    grown: set[int] = set()
    source: list[int] = []  # written node that a node comes from
    for k, node in enumerate(written):
        if k in local:
            for side, w in enumerate(node.wires):
                wires[w].chain += [c // 2 for c in local[k].codes if c % 2 == side]
            continue
        count = len(node.wires)
        leading = [part * count + side for side, w in enumerate(node.wires) for part in wires[w].chain]
        codes = [*leading, *node.codes]
        front = codes[: len(codes) - len(node.core)]
        joined = []
        for side, w in enumerate(node.wires):
            axes = 0
            if node.fence is None:
                axes = wires[w].axes & int(own[k, side])
                for code in front:
                    if axes and code % 2 == side:
                        axes &= axes_of(matrices[code // 2])
            joined.append(axes)
        if node.fence is None and all(joined):
            partner = wires[node.wires[0]].blocks.get(node.wires[1])
            if partner is not None and wires[node.wires[1]].blocks.get(node.wires[0]) == partner:
                nodes[partner] = merged(nodes[partner], Node(node.wires, tuple(codes)), parts.table)
                grown.add(partner)
                for side, w in enumerate(node.wires):
                    wires[w].axes = joined[side]
                    wires[w].chain = []
                continue
        at = []
        for side, w in enumerate(node.wires):
            wire = wires[w]
            if joined[side]:
                wire.axes = joined[side]
            else:
                wire.stage += 1
                wire.axes = int(own[k, side]) if node.fence is None else 0
                wire.blocks = {}
            if node.fence is None:
                wire.blocks[node.wires[1 - side]] = len(nodes)
            wire.chain = []
            at.append(wire.stage)
        nodes.append(Node(node.wires, tuple(codes), node.fence))
        source.append(k)
        stages.append(tuple(at))
    final = unitaries[source] if source else np.empty((0, 4, 4), np.complex128)
    if grown:
        numbers = sorted(grown)
        final[numbers] = _unitaries([nodes[k] for k in numbers], matrices)
    numeric = np.array([is_numeric(node, parts.table) for node in nodes], np.bool_)
    is_block = np.array([node.fence is None for node in nodes], np.bool_)
    written_price = np.array([node.written for node in nodes], np.int64)
    price = np.where(numeric, prices(final, False), written_price)
    swapped = np.where(numeric, prices(final, True), written_price + 1)
    chains = [wire.chain for wire in wires]
    return _Staged(nodes, stages, np.where(is_block, price, 0), np.where(is_block, swapped, 0), numeric, final, chains)


def _opened(staged: _Staged) -> tuple[list[Node], dict[tuple[int, int], tuple[int, ...]]]:
    """(nodes without the parts in front of stages of several blocks, those parts by wire and stage)."""
    members: dict[tuple[int, int], list[int]] = {}
    for k, (node, at) in enumerate(zip(staged.nodes, staged.stages)):
        for place in zip(node.wires, at):
            members.setdefault(place, []).append(k)
    nodes = list(staged.nodes)
    openings = {}
    for place, numbers in members.items():
        if len(numbers) == 1:
            continue
        node = nodes[numbers[0]]
        side = node.wires.index(place[0])
        parts = tuple(code // 2 for code in node.front if code % 2 == side)
        if parts:
            openings[place] = parts
            rest = (code for code in node.front if code % 2 != side)
            nodes[numbers[0]] = node._replace(codes=(*rest, *node.core))
    return nodes, openings
