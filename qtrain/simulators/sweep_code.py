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

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

DIAGONAL, PERMUTE, TURNS, FAR_TURNS, STRING, DENSE = range(6)
FEWEST_QUBITS = 6  # a pass over 64 neighbours is the smallest
_ROW_BITS = 10  # a row's tables stay in the first-level cache
_BLOCK_BITS = 15  # psi and lambda, one part of both, stay in the second-level cache
_FAR_AT_ONCE = 7  # high qubits that one sweep over tiles turns
_ELEMENT = {"X": product.X, "Y": product.Y, "Z": product.Z}


class Tables(NamedTuple):
    """What the kernels read; all of it fixed for a program.

    Attributes:
        steps: [step, 3] kind and what it is about: a diagonal, a map, first and last turn, a string, a dense map.
        turns: [turn, 3] qubit, first and last of `turn_slots`; ascending within a step.
        turn_slots: slots whose angles a turn adds up.
        zstrings, zsigns: [string, 2] mask and slot; signs.
        diagonals: [diagonal, 6] first low, first straddling, first high, last string; first and last group.
        groups: [group, 3] mask of high bits, first and last string.
        lows, highs: [map, 2, ...] gather tables of each permutation and of its inverse.
        strings: [string, 3] x, z, slot.
        dense_qubits, dense: [map, 2], [map, 4, 4].
        starts, elements, matrices: first operations of each qubit, see product_kernels.
    """

    steps: Ints
    turns: Ints
    turn_slots: Ints
    zstrings: Ints
    zsigns: Array
    diagonals: Ints
    groups: Ints
    lows: Ints
    highs: Ints
    strings: Ints
    dense_qubits: Ints
    dense: NDArray[np.complex128]
    starts: Ints
    elements: Ints
    matrices: NDArray[np.complex128]


class Code(NamedTuple):
    """A program for the sweeps.

    Attributes:
        tables: for the kernels.
        body: how many steps come before the observables; the steps behind them make the whole circuit.
        row_bits: qubits that lie within a row of the diagonal kernels.
        constants: angles of the slots from `num_slots` on, rad.
        observables: [string, 2] masks x, z of the strings, pulled back through the last permutation.
        signs: [string] of the pulled strings.
        phase: global phase of the whole circuit, rad.
    """

    tables: Tables
    body: int
    row_bits: int
    constants: Array
    observables: Ints
    signs: Array
    phase: float


_codes: WeakKeyDictionary[Program, Code] = WeakKeyDictionary()


class _Writer:
    def __init__(self, program: Program, found: Layers) -> None:
        self.n = program.num_qubits
        self.num_slots = program.num_slots
        self.found = found
        self.row_bits = min(self.n, _ROW_BITS)
        self.block_bits = self.n if self.n <= _BLOCK_BITS + 1 else _BLOCK_BITS
        self.rows: dict[str, list[Any]] = {name: [] for name in Tables._fields}

    def step(self, kind: int, first: int, last: int = 0) -> None:
        self.rows["steps"].append((kind, first, last))

    def shuffle(self, shuffle: Shuffle) -> None:
        before, after = shuffle.sides()
        self.diagonal(before)
        self.permute(shuffle)
        self.diagonal(after)

    def permute(self, shuffle: Shuffle) -> None:
        if shuffle.map.is_identity:
            return
        self.step(PERMUTE, len(self.rows["lows"]))
        pairs = [m.tables(self.row_bits) for m in (shuffle.map.inverse(), shuffle.map)]
        self.rows["lows"].append([low for low, _ in pairs])
        self.rows["highs"].append([high for _, high in pairs])

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
        at, first_group = len(self.rows["zstrings"]), len(self.rows["groups"])
        edges = [at, at + len(low), at + len(strings) - len(high), at + len(strings)]
        self.step(DIAGONAL, len(self.rows["diagonals"]))
        for string in sorted(low, key=_single_first):
            self.z_string(string)
        for mask, members in groups.items():
            first = len(self.rows["zstrings"])
            for string in sorted(members, key=lambda s: _single_first(s, low_bits)):
                self.z_string(string)
            self.rows["groups"].append((mask >> self.row_bits, first, len(self.rows["zstrings"])))
        for string in sorted(high, key=_single_first):
            self.z_string(string)
        self.rows["diagonals"].append((*edges, first_group, len(self.rows["groups"])))

    def z_string(self, string: ZString) -> None:
        self.rows["zstrings"].append((string.mask, string.slot))
        self.rows["zsigns"].append(string.sign)

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
        parts = [(TURNS, near)] if near else []
        parts += [(FAR_TURNS, far[k : k + _FAR_AT_ONCE]) for k in range(0, len(far), _FAR_AT_ONCE)]
        for kind, members in parts:
            first = len(self.rows["turns"])
            for q in members:
                at = len(self.rows["turn_slots"])
                self.rows["turn_slots"].extend(layer.turns[q].slots)
                self.rows["turns"].append((q, at, len(self.rows["turn_slots"])))
            self.step(kind, first, len(self.rows["turns"]))
        for string in layer.strings:
            self.step(STRING, len(self.rows["strings"]))
            self.rows["strings"].append(string)
        for dense in layer.dense:
            self.step(DENSE, len(self.rows["dense"]))
            self.rows["dense_qubits"].append(dense.qubits)
            self.rows["dense"].append(dense.matrix)

    def start(self, elements: list[Fixed | SlotRotation]) -> None:
        first = len(self.rows["elements"])
        for element in elements:
            if isinstance(element, Fixed):
                self.rows["elements"].append((product.FIXED, len(self.rows["matrices"])))
                self.rows["matrices"].append(element.matrix)
            else:
                self.rows["elements"].append((_ELEMENT[element.paulis], element.slot))
        self.rows["starts"].append((first, len(self.rows["elements"])))

    def tables(self) -> Tables:
        width = {"steps": 3, "turns": 3, "zstrings": 2, "diagonals": 6, "groups": 3, "strings": 3, "elements": 2}
        width |= {"dense_qubits": 2, "starts": 2}
        shape: dict[str, tuple[int, ...]] = {name: (-1, columns) for name, columns in width.items()}
        shape |= {"turn_slots": (-1,), "zsigns": (-1,), "dense": (-1, 4, 4), "matrices": (-1, 2, 2)}
        shape |= {"lows": (-1, 2, 2**self.row_bits), "highs": (-1, 2, 2 ** (self.n - self.row_bits))}
        kinds: dict[str, Any] = {"zsigns": np.float64, "dense": np.complex128, "matrices": np.complex128}
        arrays = {
            name: np.array(rows, dtype=kinds.get(name, np.int64)).reshape(shape[name])
            for name, rows in self.rows.items()
        }
        return Tables(**arrays)


def _single_first(string: ZString, keep: int = -1) -> tuple[bool, int]:
    """Sorts strings that act on one qubit of a table first, lowest qubit first."""
    mask = string.mask & keep
    return mask.bit_count() > 1, mask


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
        body = len(writer.rows["steps"])
        writer.permute(last)
    else:
        body = len(writer.rows["steps"])
        writer.shuffle(last)
    made = Code(
        writer.tables(),
        body,
        writer.row_bits,
        np.array(found.constants, dtype=np.float64),
        np.array([(x, z) for x, z, _ in pulled], dtype=np.int64).reshape(-1, 2),
        np.array([sign for _, _, sign in pulled], dtype=np.float64),
        found.phase,
    )
    _codes[program] = made
    return made
