"""Exact noisy state: the density matrix in the Pauli basis, 4^n real numbers.

Channels that touch one qubit are gathered, gate, noise and waiting alike, until the next two-qubit gate; that one
16 x 16 matrix is then the only pass over the state. The state starts as small as the qubits that two-qubit gates have
met.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.fidelity.product import transform
from qcompile.fidelity.program import DEPHASE, IDLE, ONE, RESET, RZ, TWO, NoisyProgram

QUBITS = 12
"""Largest density matrix: 128 MB."""


def noisy_state(program: NoisyProgram, draw: int) -> NDArray[np.float64]:
    """[4^n] tr(P rho) at the end; qubit 0 of the compact ones is the least significant digit, digits I, X, Y, Z."""
    state = np.zeros(4**program.num_qubits)
    _pass(
        state, program.kind, program.first, program.second, program.matrix[draw], program.noise, program.angle[draw],
        program.decay, program.dephase, *program.unitaries, *program.noises, program.num_qubits,
    )  # fmt: skip
    return state


def overlap(noisy: NDArray[np.float64], ideal: NDArray[np.complex128], kept: Sequence[int], n: int) -> float:
    """<psi| rho |psi> on the qubits in `kept`, the others traced out of both.

    Args:
        noisy: [4^n] Pauli vector. ideal: [2^n] state that is a product between `kept` and the rest.
    """
    paulis = state_paulis(ideal, n)
    rest = tuple(n - 1 - q for q in range(n) if q not in kept)
    index: list[int | slice] = [slice(None)] * n
    for axis in rest:
        index[axis] = 0
    a, b = (v.reshape([4] * n)[tuple(index)] for v in (noisy, paulis))
    return float(np.vdot(a, b)) / 2.0 ** len(kept)


def state_paulis(state: NDArray[np.complex128], n: int) -> NDArray[np.float64]:
    """[4^n] <psi| P |psi> of a pure state, digits as in `noisy_state`."""
    rho = np.outer(state, state.conj()).reshape([2] * (2 * n))
    interleaved = [axis for q in range(n) for axis in (q, n + q)]
    paulis = np.ascontiguousarray(rho.transpose(interleaved)).reshape(-1)
    for q in range(n):
        _to_paulis(paulis, 4**q)
    return np.ascontiguousarray(paulis.real)


def probabilities(noisy: NDArray[np.float64], qubits: Sequence[int], n: int) -> NDArray[np.float64]:
    """[2^k] distribution of some qubits' bits before readout; bit i of the index is qubits[i]."""
    index: list[int | slice] = [0] * n
    for q in qubits:
        index[n - 1 - q] = slice(None, None, 3)  # I and Z
    walsh = noisy.reshape([4] * n)[tuple(index)]
    ascending = sorted(qubits, reverse=True)  # the axes that are left, in order
    walsh = walsh.transpose([ascending.index(q) for q in reversed(qubits)])
    for axis in range(len(qubits)):
        first, second = np.take(walsh, 0, axis), np.take(walsh, 1, axis)
        walsh = np.stack((first + second, first - second), axis=axis) / 2
    return np.asarray(walsh.reshape(-1), dtype=np.float64)


@numba.njit(cache=True, nogil=True)
def _to_paulis(entries, step):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Digits 2 * ket bit + bra bit of one qubit to I, X, Y, Z, in place."""
    for high in range(0, len(entries), 4 * step):
        for k in range(high, high + step):
            x00, x01, x10, x11 = entries[k], entries[k + step], entries[k + 2 * step], entries[k + 3 * step]
            entries[k] = x00 + x11
            entries[k + step] = x01 + x10
            entries[k + 2 * step] = 1j * (x01 - x10)
            entries[k + 3 * step] = x00 - x11


@numba.njit(cache=True, nogil=True)
def _pass(  # type: ignore[no-untyped-def]
    state, kind, first, second, matrix, noise, angle, decay, dephase, u1, u2, n1, n2, n
):  # pragma: no cover - compiled
    state[0] = 1.0
    active = 0  # qubits below it are in the state; the others are |0> and what is pending
    pending = np.zeros((n, 4, 4))
    for q in range(n):
        for j in range(4):
            pending[q, j, j] = 1.0
    column = np.empty(4)
    room = np.empty(4)
    gate, whole = np.empty((16, 16)), np.empty((16, 16))
    for i in range(len(kind)):
        a = first[i]
        if kind[i] == TWO:
            b = second[i]
            while active < max(a, b) + 1:
                _grow(state, active)
                active += 1
            u, m = u2[matrix[i]], n2[noise[i]]
            for r in range(16):
                for c in range(16):
                    total = 0.0
                    for k in range(16):
                        total += m[r, k] * u[k, c]
                    gate[r, c] = total
            for r in range(16):
                for c in range(16):
                    total = 0.0
                    for k in range(16):
                        total += gate[r, k] * pending[a, k >> 2, c >> 2] * pending[b, k & 3, c & 3]
                    whole[r, c] = total
            for q in (a, b):
                for j in range(4):
                    for k in range(4):
                        pending[q, j, k] = 1.0 if j == k else 0.0
            _apply_two(state, whole, a, b, 1 << (2 * active))
            continue
        for k in range(4):
            for j in range(4):
                column[j] = pending[a, j, k]
            if kind[i] == RZ:
                cosine, sine = math.cos(angle[i]), math.sin(angle[i])
                x, y = column[1], column[2]
                column[1], column[2] = cosine * x - sine * y, sine * x + cosine * y
            elif kind[i] == ONE:
                transform(u1[matrix[i]], column, room)
                transform(n1[noise[i]], column, room)
            else:
                if kind[i] == DEPHASE or kind[i] == RESET:
                    column[1] = 0.0
                    column[2] = 0.0
                if kind[i] == RESET:
                    column[3] = column[0]
                if kind[i] == IDLE or kind[i] == RESET:
                    column[1] *= dephase[i]
                    column[2] *= dephase[i]
                    column[3] = (1 - decay[i]) * column[0] + decay[i] * column[3]
            for j in range(4):
                pending[a, j, k] = column[j]
    while active < n:
        _grow(state, active)
        active += 1
    for q in range(n):
        _apply_one(state, pending[q], q)


@numba.njit(cache=True, nogil=True)
def _grow(state, active):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """One more qubit, in |0>: I and Z are 1."""
    size = 1 << (2 * active)
    for k in range(size):
        state[k + size] = 0.0
        state[k + 2 * size] = 0.0
        state[k + 3 * size] = state[k]


@numba.njit(cache=True, nogil=True)
def _apply_one(state, ptm, qubit):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    step = 1 << (2 * qubit)
    for high in range(0, len(state), 4 * step):
        for k in range(high, high + step):
            w, x, y, z = state[k], state[k + step], state[k + 2 * step], state[k + 3 * step]
            for j in range(4):
                state[k + j * step] = ptm[j, 0] * w + ptm[j, 1] * x + ptm[j, 2] * y + ptm[j, 3] * z


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _apply_two(state, ptm, a, b, size):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """A 16 x 16 matrix, index 4 * digit of a + digit of b, on the first `size` entries."""
    low, high = (a, b) if a < b else (b, a)
    sa, sb = 1 << (2 * a), 1 << (2 * b)
    step, jump = 1 << (2 * low), 1 << (2 * high)
    width = min(step, 64)  # entries side by side: they fill the vector unit and stay in the first cache
    rows = np.empty((16, width))
    for top in range(0, size, 4 * jump):
        for mid in range(top, top + jump, 4 * step):
            for begin in range(mid, mid + step, width):
                for r in range(16):
                    at = begin + (r >> 2) * sa + (r & 3) * sb
                    for k in range(width):
                        rows[r, k] = state[at + k]
                for r in range(16):
                    at = begin + (r >> 2) * sa + (r & 3) * sb
                    for k in range(width):
                        state[at + k] = ptm[r, 0] * rows[0, k]
                    for c in range(1, 16):
                        value = ptm[r, c]
                        if value != 0.0:
                            for k in range(width):
                                state[at + k] += value * rows[c, k]
