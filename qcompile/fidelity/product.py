"""Survival of each channel from product-state marginals: one pass over the circuit, any size.

Each qubit's noise-free Bloch vector is carried through the circuit one gate at a time, entanglement dropped. What a
two-qubit gate builds up and a later one takes down again (the two CX around an RZ) is not seen; `cluster.py` sees it.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.fidelity.program import DEPHASE, IDLE, ONE, RESET, RZ, TWO, NoisyProgram


def log_survival(program: NoisyProgram) -> NDArray[np.float64]:
    """[draw, op] log of each channel's chance to leave the state alone."""
    return _pass(
        program.kind, program.first, program.second, program.matrix, program.noise, program.angle,
        program.decay, program.dephase, *program.unitaries, *program.forms, max(program.num_qubits, 1),
    )  # fmt: skip


@numba.njit(cache=True, nogil=True, inline="always")
def log_one(form, r):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Log survival of a one-qubit Pauli vector."""
    total = 0.0
    for j in range(4):
        for k in range(4):
            total += form[j, k] * r[j] * r[k]
    return math.log(max(total, 1e-300))


@numba.njit(cache=True, nogil=True, inline="always")
def log_two(form, r):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Log survival of a two-qubit Pauli vector."""
    total = 0.0
    for j in range(16):
        row = 0.0
        for k in range(16):
            row += form[j, k] * r[k]
        total += r[j] * row
    return math.log(max(total, 1e-300))


@numba.njit(cache=True, nogil=True, inline="always")
def log_idle(r, decay, dephase):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Log survival of thermal relaxation for a Pauli vector (1, x, y, z); decay, dephase: exp(-t/T1), exp(-t/T2)."""
    mixed = (1 - decay) / 4
    keep, flip = (1 + 2 * dephase + decay) / 4, (1 - 2 * dephase + decay) / 4
    total = keep + flip * r[3] * r[3] + mixed * (r[1] * r[1] + r[2] * r[2]) + 2 * mixed * r[3]
    return math.log(max(total, 1e-300))


@numba.njit(cache=True, nogil=True, inline="always")
def rotate_z(r, angle):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """rz on a one-qubit Pauli vector, in place."""
    c, s = math.cos(angle), math.sin(angle)
    x, y = r[1], r[2]
    r[1] = c * x - s * y
    r[2] = s * x + c * y


@numba.njit(cache=True, nogil=True, inline="always")
def transform(ptm, r, after):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """r <- ptm r; `after` is room of the same length."""
    for j in range(len(r)):
        value = 0.0
        for k in range(len(r)):
            value += ptm[j, k] * r[k]
        after[j] = value
    for j in range(len(r)):
        r[j] = after[j]


@numba.njit(cache=True, nogil=True)
def _pass(  # type: ignore[no-untyped-def]  # numba infers the types, the twin below states them
    kind, first, second, matrix, noise, angle, decay, dephase, u1, u2, s1, s2, num_qubits
):  # pragma: no cover - compiled
    draws, count = angle.shape
    logs = np.zeros((draws, count))
    bloch = np.empty((num_qubits, 4))
    pair, after = np.empty(16), np.empty(16)
    for d in range(draws):
        bloch[:] = 0.0
        bloch[:, 0] = 1.0
        bloch[:, 3] = 1.0
        for i in range(count):
            a = first[i]
            if kind[i] == RZ:
                rotate_z(bloch[a], angle[d, i])
            elif kind[i] == ONE:
                transform(u1[matrix[d, i]], bloch[a], after)
                logs[d, i] = log_one(s1[noise[i]], bloch[a])
            elif kind[i] == TWO:
                b = second[i]
                for j in range(4):
                    for k in range(4):
                        pair[4 * j + k] = bloch[a, j] * bloch[b, k]
                transform(u2[matrix[d, i]], pair, after)
                pair[0] = 1.0  # a trace that is a rounding off 1 would double with every gate
                logs[d, i] = log_two(s2[noise[i]], pair)
                for j in range(4):
                    bloch[a, j] = pair[4 * j]
                    bloch[b, j] = pair[j]
            elif kind[i] == IDLE:
                logs[d, i] = log_idle(bloch[a], decay[i], dephase[i])
            elif kind[i] == DEPHASE:
                bloch[a, 1] = 0.0
                bloch[a, 2] = 0.0
            elif kind[i] == RESET:
                bloch[a, 1] = 0.0
                bloch[a, 2] = 0.0
                bloch[a, 3] = 1.0
    return logs
