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
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Parameter

from qcompile.block_kernels import Z, block_unitaries, commuting_axes, prices
from qcompile.lowering import Angle
from qcompile.pulses import Matrix, as_matrix, gate_parts, rz_matrix

Part: TypeAlias = Matrix | Angle
"""A one-qubit unitary, row by row, or a rotation about Z by a symbolic angle."""

CX, XC = -1, -2
"""Codes of a CX inside a block: control on its first wire, or on its second."""

_FENCES = ("measure", "reset", "delay", "barrier")


class Node(NamedTuple):
    """A two-qubit block, or a fence (measurement, reset, delay, barrier).

    Attributes:
        wires: two of a block; any number of a fence.
        codes: in time order: CX or XC, or part * len(wires) + side for a one-qubit part on wires[side]. Those of a
            fence, and of a block before its first CX, come from the chains in front of it.
        fence: the instruction; None for a block.
    """

    wires: tuple[int, ...]
    codes: tuple[int, ...]
    fence: CircuitInstruction | None = None

    @property
    def written(self) -> int:
        """CX that it holds as written."""
        return sum(code < 0 for code in self.codes)


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
    def two_qubit_price(self) -> int:
        """CX that all blocks need where no SWAP is needed."""
        return int(self.price.sum())

    @cached_property
    def one_qubit_only(self) -> bool:
        """Whether there is nothing to route."""
        return all(node.fence is not None for node in self.nodes)


class _Parts:
    """Distinct one-qubit parts, numbered in the order of their first use."""

    def __init__(self, slots: Mapping[Parameter, int]) -> None:
        self.slots = slots
        self.table: list[Part] = []
        self._number: dict[Part, int] = {}
        self._gates: dict[Any, tuple[int, ...]] = {}

    def add(self, part: Part) -> int:
        """Number of a part."""
        number = self._number.get(part)
        if number is None:
            self._number[part] = number = len(self.table)
            self.table.append(part)
        return number

    def of_gate(self, name: str, params: Sequence[Any]) -> tuple[int, ...]:
        """Parts that a one-qubit gate of the lowered basis consists of, first one first."""
        key = (name, *params)
        found = self._gates.get(key)
        if found is None:
            found = tuple(self.add(part) for part in gate_parts(name, params, self.slots))
            self._gates[key] = found
        return found

    def matrices(self) -> NDArray[np.complex128]:
        """[part, 2, 2]; symbolic rotations at a generic point, the same in every process."""
        slots = max([s for p in self.table if isinstance(p, Angle) for s, _ in p.terms], default=-1) + 1
        point = np.random.default_rng(20_220).uniform(0.3, 6.0, (1, slots))
        known = [rz_matrix(part.values(point)[0]) if isinstance(part, Angle) else part for part in self.table]
        return np.array(known or [rz_matrix(0.0)], np.complex128).reshape(-1, 2, 2)


def read_blocks(circuit: QuantumCircuit, slots: Mapping[Parameter, int], *, relabel: bool = True) -> BlockCircuit:
    """Blocks of a lowered circuit (see `lowering`).

    Args:
        circuit: one-qubit gates, cx, swap, measure, reset, delay, barrier; measurements here are fences.
        slots: placeholder parameter -> slot number.
        relabel: a written SWAP exchanges the names of its wires; otherwise it is a block of three CX.
    """
    parts = _Parts(slots)
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
    circuit: QuantumCircuit, parts: _Parts, relabel: bool
) -> tuple[list[Node], list[list[int]], tuple[int, ...]]:
    """(nodes in program order, chains behind the last node of each wire, wire that each virtual qubit ends on)."""
    wire_of = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    chains: list[list[int]] = [[] for _ in circuit.qubits]
    open_at: list[int] = [-1] * circuit.num_qubits  # the block that a CX on the same pair would join
    wires: list[tuple[int, ...]] = []
    codes: list[list[int]] = []
    fences: list[CircuitInstruction | None] = []
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
            _append_cx(codes[k], CX if control == 0 else XC, parts.table)
    nodes = [Node(w, tuple(c), f) for w, c, f in zip(wires, codes, fences)]
    return nodes, chains, tuple(wire_of[q] for q in circuit.qubits)


def _append_cx(codes: list[int], code: int, table: Sequence[Part]) -> None:
    """Adds a CX to a block; one that undoes an earlier CX, with only what commutes in between, cancels it."""
    control = 0 if code == CX else 1
    for i in range(len(codes) - 1, -1, -1):
        if codes[i] < 0:
            if codes[i] == code:
                del codes[i]
                return
            break
        part, side = divmod(codes[i], 2)
        if not _commutes(table[part], side == control):
            break
    codes.append(code)


def _commutes(part: Part, on_control: bool) -> bool:
    """Whether a one-qubit part passes a CX on its control (if diagonal) or on its target (if like a rotation of X)."""
    if isinstance(part, Angle):
        return on_control
    if on_control:
        return abs(part[2]) < 1e-12
    return abs(part[0] - part[3]) < 1e-12 and abs(part[1] - part[2]) < 1e-12


def _core(node: Node) -> int:
    """Index of the first CX of a block's codes."""
    return next((i for i, code in enumerate(node.codes) if code < 0), len(node.codes))


def _unitaries(nodes: Sequence[Node], matrices: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """[node, 4, 4] of what stands from the first CX on."""
    cores = [node.codes[_core(node) :] if node.fence is None else () for node in nodes]
    offsets = np.zeros(len(nodes) + 1, np.int64)
    np.cumsum([len(c) for c in cores], out=offsets[1:])
    flat = np.array([code for core in cores for code in core], np.int64)
    return np.asarray(block_unitaries(offsets, flat, matrices), np.complex128)


def _is_numeric(node: Node, table: Sequence[Part]) -> bool:
    core = node.codes[_core(node) :]
    return node.fence is None and not any(c >= 0 and isinstance(table[c // 2], Angle) for c in core)


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


def _staged(width: int, written: Sequence[Node], parts: _Parts) -> _Staged:
    """Stages of every wire; blocks of one stage on the same pair merge, those without interaction become parts."""
    unitaries = _unitaries(written, parts.matrices())
    alone = prices(unitaries, False)
    own = commuting_axes(unitaries)
    local: dict[int, Node] = {}
    for k, node in enumerate(written):
        if node.fence is None and alone[k] == 0 and _is_numeric(node, parts.table):
            first, second = (parts.add(as_matrix(factor)) for factor in _factors(unitaries[k]))
            local[k] = Node(node.wires, (*node.codes[: _core(node)], 2 * first, 2 * second + 1))
    matrices = parts.matrices()
    wires = [_Wire() for _ in range(width)]
    nodes: list[Node] = []
    stages: list[tuple[int, ...]] = []
    merged: set[int] = set()
    source: list[int] = []  # written node that a node comes from
    for k, node in enumerate(written):
        if k in local:
            for side, w in enumerate(node.wires):
                wires[w].chain += [c // 2 for c in local[k].codes if c % 2 == side]
            continue
        count = len(node.wires)
        leading = [part * count + side for side, w in enumerate(node.wires) for part in wires[w].chain]
        codes = [*leading, *node.codes]
        core = len(codes) - len(node.codes) + _core(node)
        joined = []
        for side, w in enumerate(node.wires):
            axes = 0
            if node.fence is None:
                axes = wires[w].axes & int(own[k, side])
                for code in codes[:core]:
                    if axes and code % 2 == side:
                        axes &= _axes_of(matrices[code // 2])
            joined.append(axes)
        if node.fence is None and all(joined):
            partner = wires[node.wires[0]].blocks.get(node.wires[1])
            if partner is not None and wires[node.wires[1]].blocks.get(node.wires[0]) == partner:
                nodes[partner] = _joined(nodes[partner], Node(node.wires, tuple(codes)), parts.table)
                merged.add(partner)
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
    if merged:
        numbers = sorted(merged)
        final[numbers] = _unitaries([nodes[k] for k in numbers], matrices)
    numeric = np.array([_is_numeric(node, parts.table) for node in nodes], np.bool_)
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
        side, core = node.wires.index(place[0]), _core(node)
        parts = tuple(code // 2 for code in node.codes[:core] if code % 2 == side)
        if parts:
            openings[place] = parts
            nodes[numbers[0]] = node._replace(
                codes=(*(code for code in node.codes[:core] if code % 2 != side), *node.codes[core:])
            )
    return nodes, openings


def _axes_of(matrix: NDArray[np.complex128]) -> int:
    """Paulis that a one-qubit unitary commutes with: bit 0 X, bit 1 Y, bit 2 Z."""
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    x = abs(a - d) < 1e-12 and abs(b - c) < 1e-12
    y = abs(a - d) < 1e-12 and abs(b + c) < 1e-12
    return int(x) + 2 * int(y) + Z * int(abs(b) < 1e-12 and abs(c) < 1e-12)


def _joined(earlier: Node, later: Node, table: Sequence[Part]) -> Node:
    """Two blocks on the same pair as one."""
    codes = list(earlier.codes)
    same = earlier.wires == later.wires
    for code in later.codes:
        if code < 0:
            _append_cx(codes, code if same else CX + XC - code, table)
        else:
            codes.append(code if same else code ^ 1)
    return Node(earlier.wires, tuple(codes))
