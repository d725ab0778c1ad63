"""What blocks are written in: one-qubit parts, CX, and codes of both in time order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction, Parameter

from qcompile.block_kernels import X, Y, Z
from qcompile.lowering import Angle
from qcompile.pulses import Matrix, gate_parts, rz_matrix

Part: TypeAlias = Matrix | Angle
"""A one-qubit unitary, row by row, or a rotation about Z by a symbolic angle."""

CX, XC = -1, -2
"""Codes of a CX inside a block: control on its first wire, or on its second."""


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


def axes_of(matrix: NDArray[np.complex128]) -> int:
    """Paulis that a one-qubit unitary commutes with, as bits X, Y, Z."""
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    x = abs(a - d) < 1e-12 and abs(b - c) < 1e-12
    y = abs(a - d) < 1e-12 and abs(b + c) < 1e-12
    return X * int(x) + Y * int(y) + Z * int(abs(b) < 1e-12 and abs(c) < 1e-12)


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
