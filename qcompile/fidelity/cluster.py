"""Survival of each channel from two-qubit cluster marginals: any size, no simulation.

Beside each qubit's noise-free Bloch vector, the correlations of pairs are carried through the circuit: of all pairs
where the circuit is narrow, otherwise of those that a two-qubit gate ever joins. A gate on two qubits needs the joint
state of three, for every pair that one of them is in; that is closed by dropping the connected correlation of three,

    <PQR> = <PQ><R> + <PR><Q> + <QR><P> - 2 <P><Q><R>,

and a pair whose purity would then exceed 1 has its connected part shrunk to purity 1. Exact for two qubits.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.fidelity.product import log_idle, log_one, log_two, transform
from qcompile.fidelity.program import IDLE, ONE, RESET, RZ, TWO, NoisyProgram

_ALL_PAIRS = 16  # qubits up to which every pair is carried


def log_survival(program: NoisyProgram) -> NDArray[np.float64]:
    """[draw, op] log of each channel's chance to leave the state alone."""
    n = max(program.num_qubits, 1)
    if n <= _ALL_PAIRS:
        tracked = ~np.eye(n, dtype=np.bool_)
    else:
        two = program.kind == TWO
        tracked = np.zeros((n, n), np.bool_)
        tracked[program.first[two], program.second[two]] = True
        tracked |= tracked.T
    number = tracked.sum(axis=1)
    partners = np.argsort(~tracked, axis=1, kind="stable")[:, : max(int(number.max()), 1)]
    return _pass(
        program.kind, program.first, program.second, program.matrix, program.noise, program.angle,
        program.decay, program.dephase, *program.unitaries, *program.forms, tracked, partners, number,
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _pass(  # type: ignore[no-untyped-def]
    kind, first, second, matrix, noise, angle, decay, dephase, u1, u2, s1, s2, tracked, partners, number
):  # pragma: no cover - compiled
    n = len(tracked)
    draws, count = angle.shape
    logs = np.zeros((draws, count))
    bloch = np.empty((n, 4))
    joint = np.empty((n, n, 4, 4))  # of tracked pairs, both ways round: [a, b, P of a, P of b]
    pair, after = np.empty(16), np.empty(16)
    closed = np.empty((4, 16))
    local = np.empty((4, 4))
    around = np.empty(2 * n, np.int64)
    for d in range(draws):
        bloch[:] = 0.0
        bloch[:, 0] = 1.0
        bloch[:, 3] = 1.0
        for a in range(n):
            for t in range(number[a]):
                for j in range(4):
                    for k in range(4):
                        joint[a, partners[a, t], j, k] = bloch[a, j] * bloch[a, k]
        for i in range(count):
            a = first[i]
            if kind[i] == IDLE:
                logs[d, i] = log_idle(bloch[a], decay[i], dephase[i])
            elif kind[i] != TWO:
                local[:] = 0.0
                local[0, 0] = 1.0
                if kind[i] == RZ:
                    c, s = math.cos(angle[d, i]), math.sin(angle[d, i])
                    local[1, 1], local[1, 2], local[2, 1], local[2, 2] = c, -s, s, c
                    local[3, 3] = 1.0
                elif kind[i] == ONE:
                    local[:] = u1[matrix[d, i]]
                elif kind[i] == RESET:
                    local[3, 0] = 1.0
                else:
                    local[3, 3] = 1.0
                transform(local, bloch[a], after)
                if kind[i] == ONE:
                    logs[d, i] = log_one(s1[noise[i]], bloch[a])
                for t in range(number[a]):
                    turn(local, joint[a, partners[a, t]], joint[partners[a, t], a])
            else:
                b = second[i]
                u = u2[matrix[d, i]]
                for j in range(4):
                    for k in range(4):
                        pair[4 * j + k] = joint[a, b, j, k]
                neighbours = 0
                for t in range(number[a]):
                    if partners[a, t] != b:
                        around[neighbours] = partners[a, t]
                        neighbours += 1
                for t in range(number[b]):
                    c = partners[b, t]
                    if c != a and not tracked[a, c]:
                        around[neighbours] = c
                        neighbours += 1
                for t in range(neighbours):
                    c = around[t]
                    close(joint, tracked, bloch, c, a, b, pair, closed)
                    carry(joint, tracked, c, a, b, u, closed)
                transform(u, pair, after)
                pair[0] = 1.0  # a trace that is a rounding off 1 would double with every gate
                logs[d, i] = log_two(s2[noise[i]], pair)
                for j in range(4):
                    bloch[a, j] = pair[4 * j]
                    bloch[b, j] = pair[j]
                    for k in range(4):
                        joint[a, b, j, k] = pair[4 * j + k]
                        joint[b, a, k, j] = pair[4 * j + k]
                for t in range(neighbours):
                    c = around[t]
                    if tracked[a, c]:
                        settle(joint[c, a], joint[a, c], bloch[c], bloch[a])
                    if tracked[b, c]:
                        settle(joint[c, b], joint[b, c], bloch[c], bloch[b])
    return logs


@numba.njit(cache=True, nogil=True)
def turn(local, one_way, other_way):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """A one-qubit PTM on the first qubit of a pair."""
    for k in range(4):
        w, x, y, z = one_way[0, k], one_way[1, k], one_way[2, k], one_way[3, k]
        for j in range(4):
            value = local[j, 0] * w + local[j, 1] * x + local[j, 2] * y + local[j, 3] * z
            one_way[j, k] = value
            other_way[k, j] = value


@numba.njit(cache=True, nogil=True)
def close(joint, tracked, bloch, c, a, b, pair, closed):  # type: ignore[no-untyped-def]  # pragma: no cover
    """<P_c Q_a R_b> without the connected correlation of three; out at [P, 4 * Q + R]."""
    for p in range(4):
        for q in range(4):
            ca = joint[c, a, p, q] if tracked[c, a] else bloch[c, p] * bloch[a, q]
            for r in range(4):
                cb = joint[c, b, p, r] if tracked[c, b] else bloch[c, p] * bloch[b, r]
                product = bloch[c, p] * bloch[a, q] * bloch[b, r]
                closed[p, 4 * q + r] = (
                    ca * bloch[b, r] + cb * bloch[a, q] + pair[4 * q + r] * bloch[c, p] - 2.0 * product
                )


@numba.njit(cache=True, nogil=True)
def carry(joint, tracked, c, a, b, u, closed):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The gate on a and b, seen by the pairs (c, a) and (c, b)."""
    for q in range(4):
        for p in range(4):
            if tracked[c, a]:
                value = 0.0
                for k in range(16):
                    value += u[4 * q, k] * closed[p, k]
                joint[c, a, p, q] = value
                joint[a, c, q, p] = value
            if tracked[c, b]:
                value = 0.0
                for k in range(16):
                    value += u[q, k] * closed[p, k]
                joint[c, b, p, q] = value
                joint[b, c, q, p] = value


@numba.njit(cache=True, nogil=True)
def settle(one_way, other_way, first, second):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Makes a pair agree with its qubits, and shrinks a correlation that two qubits cannot have (purity above 1)."""
    for j in range(4):
        one_way[j, 0] = first[j]
        one_way[0, j] = second[j]
        other_way[0, j] = first[j]
        other_way[j, 0] = second[j]
    square = cross = fixed = 0.0
    for j in range(4):
        for k in range(4):
            product = first[j] * second[k]
            rest = one_way[j, k] - product
            fixed += product * product
            cross += product * rest
            square += rest * rest
    if fixed + 2 * cross + square > 4.0 and square > 0.0:
        root = cross * cross - square * (fixed - 4.0)
        part = min(max((-cross + math.sqrt(max(root, 0.0))) / square, 0.0), 1.0)
        for j in range(4):
            for k in range(4):
                product = first[j] * second[k]
                value = product + part * (one_way[j, k] - product)
                one_way[j, k] = value
                other_way[k, j] = value
