"""Kernels of the routing view: unitaries of blocks, what they commute with, how many CX they need.

Each has a plain twin in `block_plain`, which the tests compare it to.
"""

from __future__ import annotations

import numba
import numpy as np

X, Y, Z = 1, 2, 4
"""Bits of a set of axes."""

_LOOSE = 1e-9  # of traces and matrices of unitaries of a few dozen gates


@numba.njit(cache=True, nogil=True)
def block_unitaries(offsets, codes, matrices):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """[block, 4, 4] products of the codes of each block; wire 0 is the less significant bit."""
    count = len(offsets) - 1
    out = np.zeros((count, 4, 4), np.complex128)
    row = np.empty(4, np.complex128)
    for k in range(count):
        u = out[k]
        for i in range(4):
            u[i, i] = 1.0
        for at in range(offsets[k], offsets[k + 1]):
            code = codes[at]
            if code == -1:  # control on wire 0: exchanges 01 and 11
                for j in range(4):
                    u[1, j], u[3, j] = u[3, j], u[1, j]
            elif code == -2:
                for j in range(4):
                    u[2, j], u[3, j] = u[3, j], u[2, j]
            else:
                m = matrices[code // 2]
                step = 1 + code % 2
                for j in range(4):
                    for i in range(4):
                        row[i] = u[i, j]
                    for low in range(2):
                        i0 = 2 * low if step == 1 else low
                        i1 = i0 + step
                        u[i0, j] = m[0, 0] * row[i0] + m[0, 1] * row[i1]
                        u[i1, j] = m[1, 0] * row[i0] + m[1, 1] * row[i1]
    return out


@numba.njit(cache=True, nogil=True)
def commuting_axes(unitaries):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """[block, side] Paulis on that wire that commute with the unitary, as bits X, Y, Z."""
    count = len(unitaries)
    out = np.zeros((count, 2), np.int64)
    left = np.empty((4, 4), np.complex128)
    for k in range(count):
        u = unitaries[k]
        for side in range(2):
            bit = 1 << side
            for axis in range(3):
                # (P U)[i, j] and (U P)[i, j] with P a Pauli on one bit
                for i in range(4):
                    for j in range(4):
                        if axis == 2:
                            left[i, j] = (1 - 2 * ((i & bit) != 0)) * u[i, j] - u[i, j] * (1 - 2 * ((j & bit) != 0))
                        elif axis == 0:
                            left[i, j] = u[i ^ bit, j] - u[i, j ^ bit]
                        else:
                            up = -1j if (i & bit) == 0 else 1j
                            down = 1j if (j & bit) == 0 else -1j
                            left[i, j] = up * u[i ^ bit, j] - u[i, j ^ bit] * down
                worst = 0.0
                for i in range(4):
                    for j in range(4):
                        worst = max(worst, abs(left[i, j]))
                if worst < _LOOSE:
                    out[k, side] |= 1 << axis
    return out


@numba.njit(cache=True, nogil=True)
def prices(unitaries, swapped):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """[block] CX that each unitary needs, or with a SWAP behind it.

    Source: Shende, Bullock, Markov, "Recognizing small-circuit structure in two-qubit operators" (2004): the spectrum
    of gamma = U YY U^T YY with U in SU(4).
    """
    count = len(unitaries)
    out = np.zeros(count, np.int64)
    for k in range(count):
        gamma = _gamma(unitaries[k], swapped)
        trace = gamma[0, 0] + gamma[1, 1] + gamma[2, 2] + gamma[3, 3]
        local, single = 0.0, abs(trace)
        for i in range(4):
            for j in range(4):
                local = max(local, abs(gamma[i, j] - (trace / 4 if i == j else 0)))
                square = 0j
                for m in range(4):
                    square += gamma[i, m] * gamma[m, j]
                single = max(single, abs(square + (1 if i == j else 0)))
        if local < _LOOSE and abs(abs(trace.real) - 4) < _LOOSE:
            out[k] = 0
        elif single < _LOOSE:
            out[k] = 1
        elif abs(trace.imag) < _LOOSE:
            out[k] = 2
        else:
            out[k] = 3
    return out


@numba.njit(cache=True, nogil=True)
def rotations(unitaries):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """[block] whether each is one rotation about ZZ, up to one-qubit gates: gamma has two eigenvalues, conjugate."""
    count = len(unitaries)
    out = np.zeros(count, np.bool_)
    for k in range(count):
        gamma = _gamma(unitaries[k], False)
        trace = gamma[0, 0] + gamma[1, 1] + gamma[2, 2] + gamma[3, 3]
        worst = abs(trace.imag)
        for i in range(4):
            for j in range(4):
                both = gamma[i, j] + gamma[j, i].conjugate()
                worst = max(worst, abs(both - (trace.real / 2 if i == j else 0)))
        out[k] = worst < _LOOSE
    return out


@numba.njit(cache=True, nogil=True)
def _gamma(unitary, swapped):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """U YY U^T YY of the unitary in SU(4), with a SWAP behind it or not; up to the sign."""
    u = np.empty((4, 4), np.complex128)
    for i in range(4):
        source = i
        if swapped and 0 < i < 3:
            source = 3 - i
        for j in range(4):
            u[i, j] = unitary[source, j]
    sign = np.array([-1.0, 1.0, 1.0, -1.0])  # YY is anti-diagonal
    gamma = np.zeros((4, 4), np.complex128)
    for i in range(4):
        for j in range(4):
            total = 0j
            for m in range(4):
                total += u[i, m] * sign[m] * u[3 - j, 3 - m]
            gamma[i, j] = total * sign[j]
    return gamma / np.sqrt(np.linalg.det(u))  # SU(4) but for a fourth root of one, so gamma but for the sign
