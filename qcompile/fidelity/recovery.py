"""What comes back: how much more survives than the product of the channels says, from sampled Pauli paths.

A pure state's fidelity is a mean over its Pauli operators P, each drawn with probability <P>^2 / 2^n,

    F = sum_P <P>^2 / 2^n  x  <P>_noisy / <P>,

and the second factor, exp(-L), is what the channels leave of P. The product formula is exp(-mean L) to first order; but
some operators pass unharmed (the identity, a stabilizer that commutes with the errors), and the mean of exp(-L) is
above exp(-mean L). That is what two errors that cancel look like.

Operators are drawn by walking forwards: Z-strings of |0...0> at first, then each gate turns an operator into one of
those that it is a sum of, with the squared coefficient for a probability. That is exact for Clifford gates; elsewhere
interference between paths is dropped, so only the share of the loss that returns is taken from here, log ratio over
-log product, never the product itself.

Sources: importance sampling of Paulis as in direct fidelity estimation (Flammia and Liu, Phys. Rev. Lett. 106, 230501,
2011); one-qubit gates between two channels are one rotation, so that the paths inside it do interfere.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.fidelity.program import IDLE, ONE, RZ, TWO, NoisyProgram

PATHS = 1024
"""Paths of one estimate; a long circuit gets fewer, so that none takes longer than the pass over its channels."""

_COUNTED = 10  # 2^10 = PATHS
_FEWEST = 128
_WORK = 2**21  # operations x paths: about 5 ms

_WORST = 0.1  # relative standard error above which a mean of exp(-L) is no estimate


def excess(program: NoisyProgram, draw: int) -> tuple[float, float] | None:
    """(product of the channels, mean of exp(-L) over it) of the paths; None where too few of them count to know.

    The product is of each channel's mean over the paths: what the product formula says of them.
    """
    count = len(program.kind)
    paths = max(min(PATHS, _WORK // max(count, 1)), _FEWEST)
    lost, product = path_losses(program, draw, paths)
    if product > 600:  # exp would be 0
        return None
    kept = np.exp(product - lost)
    ratio = float(kept.mean())
    if float(kept.std()) > _WORST * ratio * math.sqrt(paths):
        return None
    return math.exp(-product), ratio


def path_losses(program: NoisyProgram, draw: int, paths: int) -> tuple[NDArray[np.float64], float]:
    """-log of what the channels leave of the operator that each path carries, and of each channel's mean, multiplied.

    A function of the arguments alone. Returns: [path] losses, sum over the channels of -log mean exp(-loss).
    Raises: ValueError: a measurement or reset before the end.
    """
    if not program.is_unitary:
        raise ValueError("measurement or reset before the end: there is no pure state")
    lost = np.zeros(paths)
    product = _walk(
        lost, program.kind, program.first, program.second, program.matrix[draw], program.noise, program.angle[draw],
        program.decay, program.dephase, *program.unitaries, *_log_diagonals(program), program.num_qubits, draw,
    )  # fmt: skip
    return lost, float(product)


def _log_diagonals(program: NoisyProgram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By width: -log of what each noise leaves of each Pauli."""
    one, two = (-np.log(np.maximum(np.einsum("kii->ki", m), 1e-300)) for m in program.noises)
    return one, two


@numba.njit(cache=True, nogil=True, inline="always")
def uniform(seed, event, path):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """A number in [0, 1) that is a function of its three counters (SplitMix64's finalizer; Steele et al., 2014)."""
    z = (
        np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(event) * np.uint64(0xBF58476D1CE4E5B9)
        + np.uint64(path) * np.uint64(0x94D049BB133111EB)
        + np.uint64(0x2545F4914F6CDD1D)
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@numba.njit(cache=True, nogil=True)
def start_with_z(seed, qubit, path):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Whether a path starts with Z on a qubit: a coin, but the first qubits take every combination equally often."""
    if qubit < _COUNTED:
        return ((path >> qubit) & 1) == 1
    return uniform(seed, qubit, path) < 0.5


@numba.njit(cache=True, nogil=True)
def _walk(  # type: ignore[no-untyped-def]
    lost, kind, first, second, matrix, noise, angle, decay, dephase, u1, u2, l1, l2, n, seed
):  # pragma: no cover - compiled
    paths = len(lost)
    carried = np.zeros((n, paths), np.uint8)
    turn = np.zeros((n, 4, 4))  # rotation that waits for the next channel, and what its gates lose
    waiting = np.zeros((n, 4))
    turned = np.zeros(n, np.bool_)
    for q in range(n):
        for j in range(4):
            turn[q, j, j] = 1.0
        for k in range(paths):
            if start_with_z(seed, q, k):
                carried[q, k] = 3
    column, room = np.empty(4), np.empty(4)
    event = n
    product = 0.0
    for i in range(len(kind) + n):  # in the end every qubit's last rotation
        a = first[i] if i < len(kind) else i - len(kind)
        if i < len(kind) and (kind[i] == RZ or kind[i] == ONE):
            for k in range(1, 4):
                for j in range(4):
                    column[j] = turn[a, j, k]
                if kind[i] == RZ:
                    c, s = math.cos(angle[i]), math.sin(angle[i])
                    column[1], column[2] = c * column[1] - s * column[2], s * column[1] + c * column[2]
                else:
                    for j in range(4):
                        room[j] = 0.0
                        for m in range(4):
                            room[j] += u1[matrix[i], j, m] * column[m]
                    column[:] = room
                for j in range(4):
                    turn[a, j, k] = column[j]
            if kind[i] == ONE:
                for j in range(4):
                    waiting[a, j] += l1[noise[i], j]
            turned[a] = True
            continue
        ends = 2 if i < len(kind) and kind[i] == TWO else 1
        for e in range(ends):
            q = a if e == 0 else second[i]
            if turned[q]:
                product -= math.log(_turn(carried[q], lost, turn[q], waiting[q], seed, event))
                event += 1
                turned[q] = False
                for j in range(4):
                    waiting[q, j] = 0.0
                    for k in range(4):
                        turn[q, j, k] = 1.0 if j == k else 0.0
        if i >= len(kind):
            continue
        if kind[i] == IDLE:
            z, x = -math.log(max(decay[i], 1e-300)), -math.log(max(dephase[i], 1e-300))
            along = across = 0
            for k in range(paths):
                p = carried[a, k]
                if p == 3:
                    lost[k] += z
                    along += 1
                elif p != 0:
                    lost[k] += x
                    across += 1
            product -= math.log1p((along * math.expm1(-z) + across * math.expm1(-x)) / paths)
        else:
            kept = _join(carried[a], carried[second[i]], lost, u2[matrix[i]], l2[noise[i]], seed, event)
            product -= math.log(kept)
            event += 1
    return product


@numba.njit(cache=True, nogil=True)
def _turn(carried, lost, ptm, losses, seed, event):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """A rotation of one qubit: each Pauli becomes one of three. Returns the mean of what is left."""
    count = np.zeros(4)
    below = np.zeros((4, 4))  # [Pauli, new Pauli] probability of a lower one
    for p in range(1, 4):
        for j in range(2, 4):
            below[p, j] = below[p, j - 1] + ptm[j - 1, p] ** 2
    for k in range(len(lost)):
        p = carried[k]
        if p != 0:
            u = uniform(seed, event, k)
            new = 1 + (u >= below[p, 2]) + (u >= below[p, 3])
            carried[k] = new
            lost[k] += losses[new]
            count[new] += 1
    mean = 1.0
    for j in range(1, 4):
        mean += count[j] * math.expm1(-losses[j]) / len(lost)
    return mean


@numba.njit(cache=True, nogil=True)
def _join(one, other, lost, ptm, losses, seed, event):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """A gate on two qubits: a Clifford gate takes a Pauli to one other, a different one to any of its terms.

    Returns the mean of what is left.
    """
    count = np.zeros(16)
    below = np.zeros((16, 17))
    target = np.full(16, -1)
    for p in range(16):
        for j in range(16):
            below[p, j + 1] = below[p, j] + ptm[j, p] ** 2
            if ptm[j, p] ** 2 > 1 - 1e-9:
                target[p] = j
    for k in range(len(lost)):
        p = 4 * one[k] + other[k]
        if p != 0:
            new = target[p]
            if new < 0:
                u = uniform(seed, event, k) * below[p, 16]
                new = 1
                while new < 15 and u >= below[p, new + 1]:
                    new += 1
            one[k] = new >> 2
            other[k] = new & 3
            lost[k] += losses[new]
            count[new] += 1
    mean = 1.0
    for j in range(1, 16):
        mean += count[j] * math.expm1(-losses[j]) / len(lost)
    return mean
