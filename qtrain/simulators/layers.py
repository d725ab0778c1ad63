"""A program rewritten into layers that a large state vector is swept with.

Every gate comes apart into three things that cost little a pass: Z-strings (one phase an amplitude, however many there
are), permutations of basis states (CX, X, SWAP: affine over GF(2), any sequence is one map) and RY, which is real, so
that real and imaginary parts are turned apart from each other. RX = RZ(-pi/2) RY RZ(pi/2); any fixed one-qubit gate is
RZ RY RZ. What is left, rotations by strings with X or Y on several qubits and dense two-qubit gates, keeps a pass of
its own. Layer k is a shuffle (Z-strings and permutations) and then turns on disjoint qubits; a gate goes to the first
layer that its qubits allow. The last permutation is never applied: observables are pulled back through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.gates import Fixed, Reset
from qtrain.program import Program, SlotRotation
from qtrain.simulators.affine import AffineMap

Matrix = NDArray[np.complex128]


class ZString(NamedTuple):
    """exp(-i sign angle / 2 (-1)^parity(mask & j)) on amplitude j, the angle read from a slot."""

    mask: int
    slot: int
    sign: float


class Turn(NamedTuple):
    """RY by the sum of the angles of some slots."""

    qubit: int
    slots: list[int]


class String(NamedTuple):
    """exp(-i angle P / 2) with P of masks x and z; x is not 0."""

    x: int
    z: int
    slot: int


class Dense(NamedTuple):
    """A fixed unitary on two qubits, the first one the more significant index."""

    qubits: tuple[int, int]
    matrix: Matrix


@dataclass
class Shuffle:
    """Z-strings and permutations: `strings` first (they are pulled back through the map), then the map."""

    map: AffineMap
    strings: list[ZString] = field(default_factory=list)

    def sides(self) -> tuple[list[ZString], list[ZString]]:
        """The strings before and after the map: each where fewer qubits take part."""
        back = self.map.inverse()
        before, after = [], []
        for string in self.strings:
            mask, flips = back.pulled(string.mask)
            if mask.bit_count() < string.mask.bit_count():
                after.append(ZString(mask, string.slot, -string.sign if flips else string.sign))
            else:
                before.append(string)
        return before, after


@dataclass
class Layer:
    """A shuffle, then operations on disjoint qubits."""

    shuffle: Shuffle
    turns: dict[int, Turn] = field(default_factory=dict)
    strings: list[String] = field(default_factory=list)
    dense: list[Dense] = field(default_factory=list)


@dataclass
class Layers:
    """A program's layers.

    Attributes:
        starts: the first one-qubit operations of each qubit: they make a product state.
        layers: the last one has a shuffle alone.
        constants: angles of the slots from `program.num_slots` on, rad: fixed gates are turns, too.
        phase: the global phase that taking fixed gates apart leaves, rad.
    """

    starts: list[list[Fixed | SlotRotation]]
    layers: list[Layer]
    constants: list[float]
    phase: float


_PAULI_MASKS = {"X": (1, 0), "Y": (1, 1), "Z": (0, 1)}


def string_masks(qubits: Sequence[int], paulis: str) -> tuple[int, int]:
    """Bit masks (x, z) of a Pauli string: P |j> = i^(number of Y) (-1)^parity(j & z) |j ^ x>."""
    x = z = 0
    for qubit, pauli in zip(qubits, paulis):
        flips, signs = _PAULI_MASKS[pauli]
        x |= flips << qubit
        z |= signs << qubit
    return x, z


def euler_angles(matrix: Matrix) -> tuple[float, float, float, float]:
    """(alpha, phi, theta, lambda) with matrix = exp(i alpha) RZ(phi) RY(theta) RZ(lambda); any 2 x 2 unitary."""
    c, s = abs(matrix[0, 0]), abs(matrix[1, 0])
    theta = 2 * float(np.arctan2(s, c))
    if c >= s:  # the diagonal fixes phi + lambda, and what is not there has no phase
        total = float(np.angle(matrix[1, 1] * matrix[0, 0].conj()))
        phi = float(np.angle(matrix[1, 0] * matrix[0, 0].conj())) if s > 0 else total
        return float(np.angle(matrix[0, 0])) + total / 2, phi, theta, total - phi
    difference = float(np.angle(-matrix[1, 0] * matrix[0, 1].conj()))
    phi = float(np.angle(matrix[1, 0] * matrix[0, 0].conj())) if c > 0 else difference
    return float(np.angle(matrix[1, 0])) - difference / 2, phi, theta, phi - difference


def _images(matrix: Matrix) -> list[int] | None:
    """Where each basis state goes, if each goes to one."""
    if not np.all(np.count_nonzero(matrix, axis=0) == 1):
        return None
    return [int(i) for i in np.argmax(matrix != 0, axis=0)]


class _Builder:
    """Puts one operation after the other into the first layer that its qubits allow."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.found = Layers([[] for _ in range(program.num_qubits)], [], [], 0.0)
        self.started = [False] * program.num_qubits
        self.fixed: dict[int, Matrix] = {}  # one-qubit maps that wait for what comes next on their qubit
        self.layer = [0] * program.num_qubits
        self.turned = [False] * program.num_qubits  # whether the qubit's newest operation is a turn of its layer

    def add(self, op: Fixed | SlotRotation | Reset) -> None:
        if isinstance(op, Reset):
            raise ModelError(
                f"the circuit resets qubit {op.qubits[0]} behind other gates, which a state vector cannot hold. "
                "Use NoisySimulator."
            )
        if len(op.qubits) == 1 and not self.started[op.qubits[0]]:
            self.found.starts[op.qubits[0]].append(op)
            return
        for q in op.qubits:
            self.started[q] = True
        if isinstance(op, Fixed) and len(op.qubits) == 1:
            q = op.qubits[0]
            self.fixed[q] = op.matrix @ self.fixed[q] if q in self.fixed else op.matrix
            return
        for q in op.qubits:
            self.flush(q)
        if isinstance(op, SlotRotation):
            self.rotate(op)
        else:
            self.unitary(op.qubits, op.matrix)

    def flush(self, qubit: int) -> None:
        if qubit in self.fixed:
            self.unitary((qubit,), self.fixed.pop(qubit))

    def rotate(self, op: SlotRotation) -> None:
        x, z = string_masks(op.qubits, op.paulis)
        if x == 0:
            self.z_string(op.qubits, op.slot)
        elif op.paulis == "Y":
            self.turn(op.qubits[0], op.slot)
        elif op.paulis == "X":
            self.z_string(op.qubits, self.constant(np.pi / 2))
            self.turn(op.qubits[0], op.slot)
            self.z_string(op.qubits, self.constant(-np.pi / 2))
        else:
            self.turning_layer(op.qubits).strings.append(String(x, z, op.slot))

    def unitary(self, qubits: tuple[int, ...], matrix: Matrix) -> None:
        images = _images(matrix)
        if images is not None:
            self.monomial(qubits, matrix, images)
        elif len(qubits) == 1:
            alpha, phi, theta, lam = euler_angles(matrix)
            self.found.phase += alpha
            self.z_string(qubits, self.constant(lam))
            self.turn(qubits[0], self.constant(theta))
            self.z_string(qubits, self.constant(phi))
        else:
            self.turning_layer(qubits).dense.append(Dense((qubits[0], qubits[1]), matrix))

    def monomial(self, qubits: tuple[int, ...], matrix: Matrix, images: list[int]) -> None:
        """Phases, which are Z-strings, and then a permutation."""
        phases = np.array([np.angle(matrix[to, k]) for k, to in enumerate(images)])
        self.found.phase += float(phases.mean())
        size = len(images)
        for subset in range(1, size):
            signs = np.array([(-1) ** (k & subset).bit_count() for k in range(size)])
            angle = -2 * float(np.mean(phases * signs))
            if angle != 0:
                chosen = tuple(q for i, q in enumerate(reversed(qubits)) if subset >> i & 1)
                self.z_string(chosen, self.constant(angle))
        if images != list(range(size)):
            self.shuffle(qubits).map.then(qubits, images)

    def constant(self, angle: float) -> int:
        self.found.constants.append(angle)
        return self.program.num_slots + len(self.found.constants) - 1

    def z_string(self, qubits: tuple[int, ...], slot: int) -> None:
        shuffle = self.shuffle(qubits)
        mask, flips = shuffle.map.pulled(sum(1 << q for q in qubits))
        shuffle.strings.append(ZString(mask, slot, -1.0 if flips else 1.0))

    def turn(self, qubit: int, slot: int) -> None:
        turns = self.at(self.layer[qubit]).turns
        if self.turned[qubit] and qubit in turns:
            turns[qubit].slots.append(slot)
        else:
            self.turning_layer((qubit,)).turns[qubit] = Turn(qubit, [slot])

    def at(self, number: int) -> Layer:
        while len(self.found.layers) <= number:
            self.found.layers.append(Layer(Shuffle(AffineMap(self.program.num_qubits))))
        return self.found.layers[number]

    def shuffle(self, qubits: tuple[int, ...]) -> Shuffle:
        """The first shuffle that operations of these qubits may still join."""
        number = max(self.layer[q] + self.turned[q] for q in qubits)
        for q in qubits:
            self.layer[q], self.turned[q] = number, False
        return self.at(number).shuffle

    def turning_layer(self, qubits: tuple[int, ...]) -> Layer:
        """The first layer in which these qubits may still be turned."""
        number = max(self.layer[q] + self.turned[q] for q in qubits)
        for q in qubits:
            self.layer[q], self.turned[q] = number, True
        return self.at(number)


def layers(program: Program) -> Layers:
    """The layers of a program's operations. Raises: ModelError: a reset behind other gates."""
    builder = _Builder(program)
    for op in program.ops:
        builder.add(op)
    for qubit in range(program.num_qubits):
        builder.flush(qubit)
    found = builder.found
    builder.at(0)
    last = found.layers[-1]
    if last.turns or last.strings or last.dense:
        builder.at(len(found.layers))
    return found


def pulled_observable(x: int, z: int, through: AffineMap, back: AffineMap) -> tuple[int, int, int]:
    """(x, z, sign) of F^-1 P F, where F permutes basis states and `back` is its inverse."""
    pulled, flips = through.pulled(z)
    moved = back.image(x)
    turns = ((x & z).bit_count() - (moved & pulled).bit_count()) % 4  # i^turns is 1 or -1: both are Hermitian
    return moved, pulled, (-1 if flips else 1) * (1 if turns == 0 else -1)
