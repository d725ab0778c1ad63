"""Expectations of Pauli strings on a noisy circuit of any width, and their derivatives, by Pauli propagation.

Heisenberg picture: the measured string walks back through the circuit's blocks and becomes a sum of strings. Which ones
is settled once for all angles (propagation_structure.py); what is dropped is added up. A Pauli's expectation lies in
[-1, 1] in every state, so the sum of |coefficients| dropped bounds what a value lost. A derivative takes two walks.

Source: Rall et al., arXiv 1901.09070 (Pauli propagation); Fontana et al., arXiv 2306.05400 (under noise, a fixed tree);
Schuster et al., arXiv 2407.12768 (noise makes it converge on average); Angrisani et al., arXiv 2501.13101 (relaxation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.noise import NoisyCircuit
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk
from qtrain.simulators.propagation_blocks import fuse, matrices, mean_squares, slot_terms
from qtrain.simulators.propagation_kernels import differentiate, evaluate
from qtrain.simulators.propagation_order import String, joint_order, plan
from qtrain.simulators.propagation_structure import Structure, build

Array = NDArray[np.float64]

_ROWS = 8  # of angles that a task takes: the indices of a structure serve all of them
_TASK = 1 << 20  # string-steps of a task, at least
_OPERATIONS = 100.0  # arithmetic operations of a string-step


class Limits(NamedTuple):
    """What is dropped: strings whose root mean square coefficient over random angles is up to `threshold`, and what is
    beyond the `max_terms` largest.
    """

    threshold: float
    max_terms: int


class Values(NamedTuple):
    """Expectations and the sums of |coefficients| dropped on the way, both [batch, string]."""

    expectations: Array
    lost: Array


class Shifts(NamedTuple):
    """Every shifted expectation of the wanted slots: E + cosine (cos d - 1) + sine sin d; [batch, slot, string]."""

    values: Values
    cosine: Array
    sine: Array

    def at(self, shifts: Array) -> Array:
        """[batch, slot, shift, string] for shifts in rad."""
        values: Array = (
            self.values.expectations[:, None, None, :]
            + self.cosine[:, :, None, :] * (np.cos(shifts) - 1)[:, None]
            + self.sine[:, :, None, :] * np.sin(shifts)[:, None]
        )
        return values


class Propagation:
    """The propagation of some Z strings through one noisy circuit, prepared for any angles.

    Structures are kept while they fit half the memory limit; the others are made again for each use.
    """

    def __init__(self, circuit: NoisyCircuit, strings: Sequence[String], limits: Limits) -> None:
        self.blocks = fuse(circuit)
        self.limits = limits
        squares = mean_squares(self.blocks)
        order = joint_order(self.blocks, strings)
        ways = [plan(self.blocks, string, order) for string in strings]

        def made(number: int) -> Structure:
            return build(self.blocks, squares, ways[number], threshold=limits.threshold, max_terms=limits.max_terms)

        self._made = made
        self._kept: dict[int, Structure] = {}
        self._room = MEMORY_LIMIT // 2
        self.sizes = np.empty(len(strings), np.int64)
        self.mean_squares = np.empty(len(strings))
        self.terms = np.empty(len(strings), np.int64)

        def survey(part: slice) -> None:
            for number in range(part.start, part.stop):
                structure = made(number)
                self.sizes[number] = len(structure.code)
                self.mean_squares[number] = structure.mean_square
                self.terms[number] = structure.terms
                if self._room >= structure.nbytes:  # which ones are kept changes no result
                    self._room -= structure.nbytes
                    self._kept[number] = structure

        for_each_chunk(survey, len(strings), 1, np.inf)

    def structure(self, number: int) -> Structure:
        """That of one string."""
        kept = self._kept.get(number)
        return self._made(number) if kept is None else kept

    @cached_property
    def tasks(self) -> list[range]:
        """The strings, consecutive ones together: the same tasks whatever the number of threads."""
        ends, size = [0], 0
        for number, steps in enumerate(self.sizes.tolist(), start=1):
            size += steps
            if size >= _TASK or number == len(self.sizes):
                ends.append(number)
                size = 0
        return [range(first, last) for first, last in pairwise(ends)]

    def values(self, angles: Array) -> Values:
        """For angles [batch, slot], rad."""
        out = Values(*np.empty((2, len(angles), len(self.sizes))))

        def work(rows: slice, task: int) -> None:
            ready = [matrices(self.blocks, row) for row in angles[rows]]
            for number in self.tasks[task]:
                structure = self.structure(number)
                for row, matrix in enumerate(ready, start=rows.start):
                    out.expectations[row, number], out.lost[row, number] = evaluate(structure, matrix)

        self._each(work, len(angles), 1.0)
        return out

    def gradient(self, angles: Array, cotangent: Array) -> Array:
        """[batch, slot]: derivative of sum(cotangent * E), cotangent [batch, string]."""
        parts = np.zeros((len(self.tasks), *angles.shape))

        def work(rows: slice, task: int) -> None:
            ready = [matrices(self.blocks, row) for row in angles[rows]]
            slopes = [np.zeros_like(matrix) for matrix in ready]
            for number in self.tasks[task]:
                if not cotangent[rows, number].any():
                    continue
                structure = self.structure(number)
                for weight, matrix, slope in zip(cotangent[rows, number].tolist(), ready, slopes):
                    differentiate(structure, matrix, weight, slope)
            for row, slope in enumerate(slopes, start=rows.start):
                _, parts[task, row] = slot_terms(self.blocks, angles[row], slope)

        self._each(work, len(angles), 3.0)
        total: Array = parts.sum(axis=0)
        return total

    def shifts(self, angles: Array, slots: NDArray[np.intp]) -> Shifts:
        """All that shifting any one of `slots` can do to each string."""
        shape = (len(angles), len(slots), len(self.sizes))
        out = Shifts(Values(*np.empty((2, len(angles), len(self.sizes)))), np.empty(shape), np.empty(shape))

        def work(rows: slice, task: int) -> None:
            ready = [matrices(self.blocks, row) for row in angles[rows]]
            for number in self.tasks[task]:
                structure = self.structure(number)
                for row, matrix in enumerate(ready, start=rows.start):
                    slope = np.zeros_like(matrix)
                    value, lost = differentiate(structure, matrix, 1.0, slope)
                    cosine, sine = slot_terms(self.blocks, angles[row], slope)
                    out.values.expectations[row, number], out.values.lost[row, number] = value, lost
                    out.cosine[row, :, number], out.sine[row, :, number] = cosine[slots], sine[slots]

        self._each(work, len(angles), 4.0)
        return out

    def _each(self, work: Callable[[slice, int], None], batch: int, effort: float) -> None:
        """Runs work(rows, task) for all rows and tasks."""
        if batch == 0 or not self.tasks:
            return
        groups = [slice(first, min(first + _ROWS, batch)) for first in range(0, batch, _ROWS)]

        def one(pairs: slice) -> None:
            for pair in range(pairs.start, pairs.stop):
                work(groups[pair // len(self.tasks)], pair % len(self.tasks))

        operations = _OPERATIONS * effort * batch * float(self.sizes.sum())
        memory = 24.0 * float(self.sizes.max())
        for_each_chunk(one, len(groups) * len(self.tasks), 1, operations, memory)


_known: WeakKeyDictionary[NoisyCircuit, dict[tuple[tuple[String, ...], Limits], Propagation]] = WeakKeyDictionary()


def propagation(circuit: NoisyCircuit, strings: Sequence[String], limits: Limits) -> Propagation:
    """The propagation of these strings; kept for the next call."""
    known = _known.setdefault(circuit, {})
    key = (tuple(strings), limits)
    if key not in known:
        known[key] = Propagation(circuit, strings, limits)
    return known[key]
