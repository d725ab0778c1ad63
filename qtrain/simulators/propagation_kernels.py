"""Coefficients of propagated Pauli strings for one set of angles, and the derivative by the blocks' matrices."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from qtrain.simulators.propagation_structure import Structure

Array = NDArray[np.float64]


def evaluate(structure: Structure, matrix: Array) -> tuple[float, float]:
    """(expectation, sum of |coefficients| dropped) for blocks' matrices [block, 16, 16]."""
    return _walked(structure, matrix, np.empty(0), 1.0, np.empty((0, 16, 16)))


def differentiate(structure: Structure, matrix: Array, weight: float, slopes: Array) -> tuple[float, float]:
    """The same; adds weight times the derivative by each matrix entry to slopes [block, 16, 16].

    The first pass goes from the start of the circuit to the measured string: how much each string's coefficient
    counts. The second is that of `evaluate`, and meets it.
    """
    s = structure
    counts = np.empty(len(s.code))
    _count(s.block, s.start, s.code, s.origin, s.groups, s.settled, matrix, _groups(s), counts)
    return _walked(s, matrix, counts, weight, slopes)


def _walked(s: Structure, matrix: Array, counts: Array, weight: float, slopes: Array) -> tuple[float, float]:
    total, lost = _walk(
        s.block, s.start, s.code, s.origin, s.groups, s.settled, matrix, np.empty((2, s.terms)), _groups(s),
        counts, weight, slopes,
    )  # fmt: skip
    return total, lost


def _groups(structure: Structure) -> Array:
    """Room for the 16 coefficients of each group."""
    return np.empty((int(structure.groups.max()), 16))


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _walk(  # type: ignore[no-untyped-def]
    block, start, code, origin, groups, settled, matrix, values, after, counts, weight, slopes
):  # pragma: no cover - compiled
    """From the measured string to the start; where `counts` are given, fills the derivatives."""
    now, then = values[0], values[1]
    now[0] = 1.0
    total, lost = 0.0, 0.0
    pulled = np.empty(after.shape) if len(counts) else after
    for step in range(len(block)):
        k = block[step]
        after[: groups[step]] = 0.0
        first, last = start[step], start[step + 1]
        for t in range(first, last):
            v, g, row = now[t - first], code[t] >> 4, code[t] & 15
            for q in range(16):
                after[g, q] += v * matrix[k, row, q]
        following = start[step + 2] if step + 2 < len(start) else last
        if len(counts):
            _scatter(last, following, origin, groups[step], settled[step], counts, pulled)
            for t in range(first, last):
                v, g, row = weight * now[t - first], code[t] >> 4, code[t] & 15
                for q in range(16):
                    slopes[k, row, q] += v * pulled[g, q]
        for t in range(last, following):
            g, q = origin[t] >> 4, origin[t] & 15
            then[t - last] = after[g, q]
            after[g, q] = 0.0
        if settled[step] >= 0:
            total += after[settled[step], 0]
            after[settled[step], 0] = 0.0
        for g in range(groups[step]):
            for q in range(16):
                lost += abs(after[g, q])
        now, then = then, now
    return total, lost


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _count(  # type: ignore[no-untyped-def]
    block, start, code, origin, groups, settled, matrix, pulled, counts
):  # pragma: no cover - compiled
    """Derivative of the expectation by each string's coefficient, from the last step to the first."""
    for step in range(len(block) - 1, -1, -1):
        k = block[step]
        first, last = start[step], start[step + 1]
        following = start[step + 2] if step + 2 < len(start) else last
        _scatter(last, following, origin, groups[step], settled[step], counts, pulled)
        for t in range(first, last):
            g, row = code[t] >> 4, code[t] & 15
            c = 0.0
            for q in range(16):
                c += matrix[k, row, q] * pulled[g, q]
            counts[t] = c


@numba.njit(cache=True, nogil=True)
def _scatter(first, last, origin, groups, settled, counts, pulled):  # type: ignore[no-untyped-def]  # pragma: no cover
    pulled[:groups] = 0.0
    for t in range(first, last):
        pulled[origin[t] >> 4, origin[t] & 15] = counts[t]
    if settled >= 0:
        pulled[settled, 0] = 1.0
