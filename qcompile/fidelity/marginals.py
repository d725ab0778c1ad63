"""Survival of each channel from exact one- and two-qubit marginals of one noise-free statevector.

A channel on one qubit needs that qubit's Bloch vector alone, and between two-qubit gates a Bloch vector only turns. So
one-qubit gates are gathered until the next two-qubit gate, which is the only pass over the state; the same pass sums
its two qubits' reduced density matrix. The state starts as small as the qubits that two-qubit gates have met.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.fidelity.product import log_idle, log_one, log_two, rotate_z, transform
from qcompile.fidelity.program import IDLE, ONE, RZ, TWO, NoisyProgram

QUBITS = 20
"""Largest state that is kept: 16 MB."""


def log_survival(program: NoisyProgram, draw: int) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """[op] log of each channel's chance to leave the state alone in one draw, and its noise-free state.

    The state is over the compact qubits, qubit 0 the least significant bit.

    Raises: ValueError: a measurement or reset before the end, which leaves no pure state.
    """
    if not program.is_unitary:
        raise ValueError("measurement or reset before the end: the noise-free state is not pure")
    n = program.num_qubits
    logs, state = np.zeros(len(program.kind)), np.zeros(2**n, np.complex128)
    _pass(
        state, logs, program.kind, program.first, program.second, program.matrix[draw], program.noise,
        program.angle[draw], program.decay, program.dephase, *program.matrices, *program.unitaries,
        *program.forms, n,
    )  # fmt: skip
    return logs, state


@numba.njit(cache=True, nogil=True)
def _pass(  # type: ignore[no-untyped-def]
    state, logs, kind, first, second, matrix, noise, angle, decay, dephase, m1, m2, u1, u2, s1, s2, n
):  # pragma: no cover - compiled
    state[0] = 1.0
    active = 0  # qubits below it have met a two-qubit gate; the others are still |0> times their pending matrix
    pending = np.zeros((n, 2, 2), np.complex128)
    bloch = np.zeros((n, 4))
    for q in range(n):
        pending[q, 0, 0] = 1.0
        pending[q, 1, 1] = 1.0
        bloch[q, 0] = 1.0
        bloch[q, 3] = 1.0
    gate = np.empty((4, 4), np.complex128)
    both = np.empty((4, 4), np.complex128)
    rho = np.empty((4, 4), np.complex128)
    pair, after = np.empty(16), np.empty(16)
    for i in range(len(kind)):
        a = first[i]
        if kind[i] == RZ:
            half = 0.5 * angle[i]
            phase = complex(math.cos(half), math.sin(half))
            for k in range(2):
                pending[a, 0, k] *= phase.conjugate()
                pending[a, 1, k] *= phase
            rotate_z(bloch[a], angle[i])
        elif kind[i] == ONE:
            multiply_one(m1[matrix[i]], pending[a])
            transform(u1[matrix[i]], bloch[a], after)
            logs[i] = log_one(s1[noise[i]], bloch[a])
        elif kind[i] == TWO:
            b = second[i]
            active = max(active, a + 1, b + 1)
            for r in range(4):
                for c in range(4):
                    both[r, c] = pending[b, r >> 1, c >> 1] * pending[a, r & 1, c & 1]
            u = m2[matrix[i]]
            for r in range(4):
                for c in range(4):
                    total = 0j
                    for k in range(4):
                        total += u[r, k] * both[k, c]
                    gate[r, c] = total
            for q in (a, b):
                pending[q, 0, 0] = 1.0
                pending[q, 0, 1] = 0.0
                pending[q, 1, 0] = 0.0
                pending[q, 1, 1] = 1.0
            apply_two(state, gate, a, b, 1 << active, rho)
            pauli_vector(rho, pair)
            logs[i] = log_two(s2[noise[i]], pair)
            for j in range(4):
                bloch[a, j] = pair[4 * j]
                bloch[b, j] = pair[j]
        elif kind[i] == IDLE:
            logs[i] = log_idle(bloch[a], decay[i], dephase[i])
    for q in range(n):
        apply_one(state, pending[q], q, 1 << max(active, q + 1))


@numba.njit(cache=True, nogil=True)
def multiply_one(left, right):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """right <- left right, two by two."""
    for c in range(2):
        x, y = right[0, c], right[1, c]
        right[0, c] = left[0, 0] * x + left[0, 1] * y
        right[1, c] = left[1, 0] * x + left[1, 1] * y


@numba.njit(cache=True, nogil=True)
def apply_one(state, gate, qubit, size):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """A one-qubit matrix on the first `size` amplitudes."""
    step = 1 << qubit
    for high in range(0, size, 2 * step):
        for k in range(high, high + step):
            x, y = state[k], state[k + step]
            state[k] = gate[0, 0] * x + gate[0, 1] * y
            state[k + step] = gate[1, 0] * x + gate[1, 1] * y


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def apply_two(state, gate, a, b, size, rho):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """A two-qubit matrix (row and column 2 * bit of b + bit of a), and the reduced density matrix behind it."""
    low, high = (a, b) if a < b else (b, a)
    sa, sb = 1 << a, 1 << b
    step, jump = 1 << low, 1 << high
    g00, g01, g02, g03 = gate[0, 0], gate[0, 1], gate[0, 2], gate[0, 3]
    g10, g11, g12, g13 = gate[1, 0], gate[1, 1], gate[1, 2], gate[1, 3]
    g20, g21, g22, g23 = gate[2, 0], gate[2, 1], gate[2, 2], gate[2, 3]
    g30, g31, g32, g33 = gate[3, 0], gate[3, 1], gate[3, 2], gate[3, 3]
    p0 = p1 = p2 = p3 = 0.0
    r10 = r20 = r30 = r21 = r31 = r32 = 0j
    for top in range(0, size, 2 * jump):
        for mid in range(top, top + jump, 2 * step):
            for k in range(mid, mid + step):
                w, x, y, z = state[k], state[k + sa], state[k + sb], state[k + sa + sb]
                v0 = g00 * w + g01 * x + g02 * y + g03 * z
                v1 = g10 * w + g11 * x + g12 * y + g13 * z
                v2 = g20 * w + g21 * x + g22 * y + g23 * z
                v3 = g30 * w + g31 * x + g32 * y + g33 * z
                state[k], state[k + sa], state[k + sb], state[k + sa + sb] = v0, v1, v2, v3
                p0 += v0.real * v0.real + v0.imag * v0.imag
                p1 += v1.real * v1.real + v1.imag * v1.imag
                p2 += v2.real * v2.real + v2.imag * v2.imag
                p3 += v3.real * v3.real + v3.imag * v3.imag
                c0, c1, c2 = v0.conjugate(), v1.conjugate(), v2.conjugate()
                r10 += v1 * c0
                r20 += v2 * c0
                r30 += v3 * c0
                r21 += v2 * c1
                r31 += v3 * c1
                r32 += v3 * c2
    rho[0, 0], rho[1, 1], rho[2, 2], rho[3, 3] = p0, p1, p2, p3
    rho[1, 0], rho[2, 0], rho[3, 0], rho[2, 1], rho[3, 1], rho[3, 2] = r10, r20, r30, r21, r31, r32
    for r in range(4):
        for c in range(r + 1, 4):
            rho[r, c] = rho[c, r].conjugate()


@numba.njit(cache=True, nogil=True)
def pauli_vector(rho, pair):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """tr(P_a P_b rho) of a reduced density matrix indexed by 2 * bit of b + bit of a; out at 4 * first + second."""
    half = np.empty((4, 2, 2), np.complex128)  # Pauli of a, bits of b
    for r in range(2):
        for c in range(2):
            x00, x01 = rho[2 * r, 2 * c], rho[2 * r, 2 * c + 1]
            x10, x11 = rho[2 * r + 1, 2 * c], rho[2 * r + 1, 2 * c + 1]
            half[0, r, c] = x00 + x11
            half[1, r, c] = x01 + x10
            half[2, r, c] = 1j * (x01 - x10)
            half[3, r, c] = x00 - x11
    for p in range(4):
        pair[4 * p] = (half[p, 0, 0] + half[p, 1, 1]).real
        pair[4 * p + 1] = (half[p, 0, 1] + half[p, 1, 0]).real
        pair[4 * p + 2] = (1j * (half[p, 0, 1] - half[p, 1, 0])).real
        pair[4 * p + 3] = (half[p, 0, 0] - half[p, 1, 1]).real
