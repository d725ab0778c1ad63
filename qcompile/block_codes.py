"""What blocks are written in: one-qubit parts, CX, and codes of both in time order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction, Parameter

from qcompile.block_kernels import X, Y, Z
from qcompile.lowering import Angle
from qcompile.pulses import Matrix, as_matrix, gate_parts, numeric_gate, rz_matrix

Part: TypeAlias = Matrix | Angle
"""A one-qubit unitary, row by row, or a rotation about Z by a symbolic angle."""

CX, XC = -1, -2
"""Codes of a CX inside a block: control on its first wire, or on its second."""


PAULIS = {
    X: np.array([[0, 1], [1, 0]], np.complex128),
    Y: np.array([[0, -1j], [1j, 0]], np.complex128),
    Z: np.array([[1, 0], [0, -1]], np.complex128),
}


class Node(NamedTuple):
    """A two-qubit block, or a fence (measurement, reset, delay, barrier).

    Attributes:
        wires: two of a block; any number of a fence, more than its instruction has where it waits for another wire.
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

    @property
    def front(self) -> tuple[int, ...]:
        """The codes before the first CX."""
        return self.codes[: len(self.codes) - len(self.core)]

    @property
    def core(self) -> tuple[int, ...]:
        """The codes from the first CX on."""
        first = next((i for i, code in enumerate(self.codes) if code < 0), len(self.codes))
        return self.codes[first:]


class Parts:
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


def append_cx(codes: list[int], code: int, table: Sequence[Part]) -> None:
    """Adds a CX to a block; one that undoes an earlier CX, with only what commutes in between, cancels it."""
    control = 0 if code == CX else 1
    for i in range(len(codes) - 1, -1, -1):
        if codes[i] < 0:
            if codes[i] == code:
                del codes[i]
                return
            break
        part, side = divmod(codes[i], 2)
        if not commutes(table[part], side == control):
            break
    codes.append(code)


def commutes(part: Part, on_control: bool) -> bool:
    """Whether a one-qubit part passes a CX on its control (if diagonal) or on its target (if like a rotation of X)."""
    if isinstance(part, Angle):
        return on_control
    if on_control:
        return abs(part[2]) < 1e-12
    return abs(part[0] - part[3]) < 1e-12 and abs(part[1] - part[2]) < 1e-12


def is_numeric(node: Node, table: Sequence[Part]) -> bool:
    """Whether the unitary of a block is a number, whatever stands in front of its first CX."""
    return node.fence is None and not any(c >= 0 and isinstance(table[c // 2], Angle) for c in node.core)


_GATES = [numeric_gate(name) for name in ("x", "z", "h", "s", "sdg", "sx", "sxdg")]
_X_GATE, _Z_GATE = (np.array(gate).reshape(2, 2) for gate in _GATES[:2])
_TURNS = [np.array(gate).reshape(2, 2) for gate in _GATES]
_TURNS += [_X_GATE @ _TURNS[2], _Z_GATE @ _TURNS[2]]


def _images(unitary: NDArray[np.complex128]) -> dict[int, tuple[int, int]]:
    """Pauli -> the Pauli that a one-qubit unitary turns it into, and its sign; (0, 0) if none."""
    found = {}
    for axis, pauli in PAULIS.items():
        image = unitary @ pauli @ unitary.conj().T
        overlaps = {other: float(np.trace(image @ matrix).real) for other, matrix in PAULIS.items()}
        found[axis] = next(
            ((other, 1 if overlap > 0 else -1) for other, overlap in overlaps.items() if abs(overlap) > 2 - 1e-12),
            (0, 0),
        )
    return found


_TURN_OF = {(axis, *image): turn for turn in _TURNS[::-1] for axis, image in _images(turn).items()}
"""(Pauli, Pauli that it becomes, sign) -> a unitary that does so."""

_ROTATED = {X: (0, 0), Y: (0, 0), Z: (Z, 1)}
"""The images under a Z rotation by any angle."""


class Frames:
    """What one-qubit parts make of the Pauli that the blocks of a stage are diagonal in.

    Parts that turn the Pauli P into Q (H: Z into X; X: Z into -Z) leave blocks that are diagonal in Q behind them in
    the stage: such a block commutes with the others once another part that does the same is undone behind it.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._images: dict[int, dict[int, tuple[int, int]]] = {}

    def joint(self, stage: int, chain: Sequence[int], block: int) -> tuple[int, tuple[int, int] | None]:
        """(Paulis that a stage keeps if a block joins it, 0 if it cannot; part that stays behind, and its inverse).

        Args:
            stage, block: Paulis that they are diagonal in, as bits X, Y, Z.
            chain: parts between them.
        """
        if not chain:
            return stage & block, None
        images = {axis: self._through(axis, chain) for axis in (X, Y, Z) if axis & stage}
        same = sum(axis for axis, image in images.items() if axis & block and image == (axis, 1))
        if same:
            return same, None
        for axis, image in images.items():
            if image[0] & block:
                turn = _TURN_OF[axis, *image]
                return axis, (self._parts.add(as_matrix(turn)), self._parts.add(as_matrix(turn.conj().T)))
        return 0, None

    def _through(self, axis: int, chain: Sequence[int]) -> tuple[int, int]:
        """What a chain turns a Pauli into, and the sign; (0, 0) where one of its parts makes no Pauli of it."""
        sign = 1
        for number in chain:
            images = self._images.get(number)
            if images is None:
                part = self._parts.table[number]
                images = _ROTATED if isinstance(part, Angle) else _images(np.array(part).reshape(2, 2))
                self._images[number] = images
            axis, change = images[axis]
            sign *= change
            if axis == 0:
                break
        return axis, sign


def merged(earlier: Node, later: Node, table: Sequence[Part]) -> Node:
    """Two blocks on the same pair as one."""
    codes = list(earlier.codes)
    same = earlier.wires == later.wires
    for code in later.codes:
        if code < 0:
            append_cx(codes, code if same else CX + XC - code, table)
        else:
            codes.append(code if same else code ^ 1)
    return Node(earlier.wires, tuple(codes))
