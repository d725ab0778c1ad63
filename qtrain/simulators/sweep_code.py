"""Layers as flat arrays, in the form that the sweeping kernels take."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.gates import Fixed
from qtrain.program import Program, SlotRotation
from qtrain.simulators import product_kernels as product
from qtrain.simulators.layers import Layer, Layers, Shuffle, ZString, layers, pulled_observable, string_masks
from qtrain.simulators.sweep_steps import DENSE, DIAGONAL, FAR_TURNS, OVERLAP, PERMUTE, STRING, TURNS

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_QUBITS = 6  # a pass over 64 neighbours is the smallest
_ROW_BITS = 10  # a row's tables stay in the first-level cache
_BLOCK_BITS = 15  # psi and lambda, one part of both, stay in the second-level cache
_TILE_BITS = 13  # the same for tiles, which are copied
_FAR_AT_ONCE = 7  # high qubits that one sweep over tiles turns
_ELEMENT = {"X": product.X, "Y": product.Y, "Z": product.Z}


class Tables(NamedTuple):
    """What the kernels read; all of it fixed for a program.

    Attributes:
        steps: [step, 8] see sweep_steps.py.
        masks: [string] of Z-strings.
        groups: [group, 3] mask of high bits, first and last string.
        gathers: [permutation, 2, ...] low and high tables of each permutation and of its inverse.
        dense: [map, 4, 4].
    """

    steps: Ints
    masks: Ints
    groups: Ints
    gathers: Ints
    dense: NDArray[np.complex128]


class Starts(NamedTuple):
    """First operations of each qubit, see product_kernels: [qubit, 2], [element, 2], [matrix, 2, 2]."""

    rows: Ints
    elements: Ints
    matrices: NDArray[np.complex128]


class Columns(NamedTuple):
    """Where the kernels' own angles come from, and where their derivatives go.

    Attributes:
        strings, signs: [string] slot and sign of every Z-string and every other string.
        turns: [(slot, place)]: the angle at a place of the turns' tables is the sum of its slots.
        places: how many those tables have.
    """

    strings: Ints
    signs: Array
    turns: Ints
    places: int


class Code(NamedTuple):
    """A program for the sweeps.

    Attributes:
        body: how many steps come before the observables; the steps behind them make the whole circuit.
        row_bits: qubits that lie within a row of the diagonal kernels.
        phases: elements of the phase tables.
        constants: angles of the slots from `num_slots` on, rad.
        observables: [string, 3] masks x, z of the strings, pulled back through the last permutation, and their sign.
        phase: global phase of the whole circuit, rad.
    """

    tables: Tables
    starts: Starts
    columns: Columns
    body: int
    row_bits: int
    phases: int
    constants: Array
    observables: Ints
    phase: float


_codes: WeakKeyDictionary[Program, Code] = WeakKeyDictionary()


class _Writer:
    def __init__(self, program: Program, found: Layers) -> None:
        self.n = program.num_qubits
        self.num_slots = program.num_slots
        self.found = found
        self.row_bits = min(self.n, _ROW_BITS)
        self.block_bits = self.n if self.n <= _BLOCK_BITS + 1 else _BLOCK_BITS
        self.phases = self.places = 0
        self.steps: list[tuple[int, ...]] = []
        self.strings: list[ZString] = []
        self.groups: list[tuple[int, int, int]] = []
        self.gathers: list[list[Ints]] = []
        self.dense: list[NDArray[np.complex128]] = []
        self.turns: list[tuple[int, int]] = []
        self.starts: list[tuple[int, int]] = []
        self.elements: list[tuple[int, int]] = []
        self.matrices: list[NDArray[np.complex128]] = []

    def step(self, *row: int) -> None:
        self.steps.append((*row, *[0] * (8 - len(row))))

    def shuffle(self, shuffle: Shuffle) -> None:
        before, after = shuffle.sides()
        self.diagonal(before)
        self.permute(shuffle)
        self.diagonal(after)

    def permute(self, shuffle: Shuffle) -> None:
        if shuffle.map.is_identity:
            return
        for plane in range(2):
            self.step(PERMUTE, len(self.gathers), plane)
        both = shuffle.map.inverse(), shuffle.map
        self.gathers.append([np.concatenate(m.tables(self.row_bits)) for m in both])

    def diagonal(self, strings: list[ZString]) -> None:
        strings = self.merged(strings)
        if not strings:
            return
        low_bits = (1 << self.row_bits) - 1
        low = [s for s in strings if s.mask <= low_bits]
        high = [s for s in strings if not s.mask & low_bits]
        groups: dict[int, list[ZString]] = {}
        for s in strings:
            if s.mask > low_bits and s.mask & low_bits:
                groups.setdefault(s.mask & ~low_bits, []).append(s)
        at, first_group = len(self.strings), len(self.groups)
        edges = [at, at + len(low), at + len(strings) - len(high), at + len(strings)]
        self.strings.extend(_single_first(low, low_bits))
        for mask, members in groups.items():
            first = len(self.strings)
            self.strings.extend(_single_first(members, low_bits))
            self.groups.append((mask >> self.row_bits, first, len(self.strings)))
        self.strings.extend(_single_first(high, -1))
        self.step(DIAGONAL, *edges, first_group, len(self.groups), self.phases)
        self.phases += (1 + len(groups) << self.row_bits) + (1 << self.n - self.row_bits)

    def merged(self, strings: list[ZString]) -> list[ZString]:
        """Fixed strings of one mask as one, and none that cancel."""
        fixed: dict[int, float] = {}
        out = []
        for s in strings:
            if s.slot < self.num_slots:
                out.append(s)
            else:
                angle = self.found.constants[s.slot - self.num_slots]
                fixed[s.mask] = fixed.get(s.mask, 0.0) + s.sign * angle
        for mask, angle in fixed.items():
            if angle != 0:
                self.found.constants.append(angle)
                out.append(ZString(mask, self.num_slots + len(self.found.constants) - 1, 1.0))
        return out

    def layer(self, layer: Layer) -> None:
        self.shuffle(layer.shuffle)
        qubits = sorted(layer.turns)
        near = [q for q in qubits if q < self.block_bits]
        far = [q for q in qubits if q >= self.block_bits]
        if near:
            self.step(TURNS, self.block_bits, self.places, sum(1 << q for q in near))
            self.turn(layer, near, near, self.block_bits)
        for k in range(0, len(far), _FAR_AT_ONCE):
            members = far[k : k + _FAR_AT_ONCE]
            run = min(max(6, _TILE_BITS - len(members)), members[0])
            bits = [run + i for i in range(len(members))]
            self.step(FAR_TURNS, run, self.places, sum(1 << b for b in bits), sum(1 << q for q in members))
            self.turn(layer, members, bits, run + len(members))
        for string in layer.strings:
            self.step(STRING, string.x, string.z, len(self.strings))
            self.step(OVERLAP, string.x, string.z, len(self.strings))
            self.strings.append(ZString(string.z, string.slot, 1.0))
        for dense in layer.dense:
            self.step(DENSE, *dense.qubits, len(self.dense))
            self.dense.append(dense.matrix)

    def turn(self, layer: Layer, qubits: list[int], bits: list[int], width: int) -> None:
        for q, bit in zip(qubits, bits):
            self.turns.extend((slot, self.places + bit) for slot in layer.turns[q].slots)
        self.places += width

    def start(self, elements: list[Fixed | SlotRotation]) -> None:
        first = len(self.elements)
        for element in elements:
            if isinstance(element, Fixed):
                self.elements.append((product.FIXED, len(self.matrices)))
                self.matrices.append(element.matrix)
            else:
                self.elements.append((_ELEMENT[element.paulis], element.slot))
        self.starts.append((first, len(self.elements)))

    def tables(self) -> Tables:
        gathers = np.array(self.gathers, dtype=np.int64)
        width = (1 << self.row_bits) + (1 << self.n - self.row_bits)
        return Tables(
            _ints(self.steps, 8),
            np.array([s.mask for s in self.strings], dtype=np.int64),
            _ints(self.groups, 3),
            gathers.reshape(-1, 2, width),
            np.array(self.dense, dtype=np.complex128).reshape(-1, 4, 4),
        )

    def columns(self) -> Columns:
        return Columns(
            np.array([s.slot for s in self.strings], dtype=np.int64),
            np.array([s.sign for s in self.strings], dtype=np.float64),
            _ints(self.turns, 2),
            self.places,
        )


def _ints(rows: list[Any], width: int) -> Ints:
    return np.array(rows, dtype=np.int64).reshape(-1, width)


def _single_first(strings: list[ZString], keep: int) -> list[ZString]:
    """Strings that act on one of the kept qubits alone come first, lowest qubit first."""
    return sorted(strings, key=lambda s: ((s.mask & keep).bit_count() > 1, s.mask & keep))


def code(program: Program) -> Code:
    """A program of `FEWEST_QUBITS` or more, made once. Raises: ModelError: a reset behind other gates."""
    known = _codes.get(program)
    if known is not None:
        return known
    found = layers(program)
    writer = _Writer(program, found)
    for elements in found.starts:
        writer.start(elements)
    for layer in found.layers[:-1]:
        writer.layer(layer)
    last = found.layers[-1].shuffle
    back = last.map.inverse()
    pulled = [
        pulled_observable(*string_masks([q for q, _ in s], "".join(p for _, p in s)), last.map, back)
        for s in program.measurement.strings
    ]
    if any(x for x, _, _ in pulled):  # otherwise phases before the end do not matter
        writer.diagonal(last.strings)
        body = len(writer.steps)
        writer.permute(last)
    else:
        body = len(writer.steps)
        writer.shuffle(last)
    matrices = np.array(writer.matrices, dtype=np.complex128).reshape(-1, 2, 2)
    made = Code(
        tables=writer.tables(),
        starts=Starts(_ints(writer.starts, 2), _ints(writer.elements, 2), matrices),
        columns=writer.columns(),
        body=body,
        row_bits=writer.row_bits,
        phases=writer.phases,
        constants=np.array(found.constants, dtype=np.float64),
        observables=_ints(pulled, 3),
        phase=found.phase,
    )
    _codes[program] = made
    return made
