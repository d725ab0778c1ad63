"""Distribution of measured bits by noise trajectories: the branch without any error exactly, all others sampled.

A channel is a sum of outcomes: nothing, a Pauli error, a decay |1> -> |0>, a phase flip. The branch in which nothing
ever happens is one statevector run and carries its exact weight; each trajectory has at least one event, is copied from
that branch at its first one, and costs what is left of the circuit from there.

An outcome is drawn with the chance that it has for its qubit's Bloch vector at the last two-qubit gate, and what the
trajectory's norm says against that is its weight: the mean is right, T1 included, and the weights differ little from 1
(Molmer, Castin and Dalibard 1993; the importance weights take the place of marginals after every operation). The
first events are drawn by systematic sampling, later ones by a Latin hypercube, so that a trajectory more or less on the
same event is not left to chance (McKay, Beckman and Conover 1979).

One-qubit matrices are gathered until the next two-qubit gate, which is the only pass over the state.
Up to about 9 qubits the exact noisy state (`exact.py`) costs less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile import ideal
from qcompile.fidelity.marginals import apply_one, apply_two, multiply_one, pauli_vector
from qcompile.fidelity.product import rotate_z, transform
from qcompile.fidelity.program import IDLE, ONE, RZ, TWO, NoisyProgram

QUBITS = 20
"""Largest state that is kept: 16 MB, and half as much for each group."""

SAMPLES = 512
"""Trajectories where they are cheap; a multiple of GROUPS."""

FEWEST = 32
"""Below so many a distribution is not worth having."""

WORK = 2**30
"""Amplitudes that all trajectories of all draws may pass over: 3 to 4 s."""

GROUPS = 8
"""Of trajectories, for the error of what is computed from them."""

_BLIND = 0.02  # share of a decay's chance that does not look at the state: what looks impossible may be a stale Bloch
_TOP = 1 - 2.0**-53  # largest number below 1


class Sampled(NamedTuple):
    """A sampled distribution.

    Attributes:
        probabilities: [2^k] of the measured bits before readout; not negative, sum 1.
        without: [group, 2^k] the same without one group of trajectories.
        certain: weight of the branch without errors, 0..1, which is not sampled.
    """

    probabilities: NDArray[np.float64]
    without: NDArray[np.float64]
    certain: float

    def jackknife(self, score: Callable[[NDArray[np.float64]], float]) -> tuple[float, float]:
        """A smooth function of the distribution with its bias of order 1 / samples removed, and its standard error.

        Source: Quenouille 1956, Tukey 1958, leaving out one group at a time. The groups share their strata, so the
        error is rather an upper estimate. The value is not clipped: near the end of a score's range it may pass it.
        """
        whole = score(self.probabilities)
        parts = np.array([score(p) for p in self.without])
        groups = len(parts)
        error = math.sqrt((groups - 1) / groups * float(((parts - parts.mean()) ** 2).sum()))
        return groups * whole - (groups - 1) * float(parts.mean()), error


def samples_within(program: NoisyProgram, work: int = WORK) -> int:
    """How many trajectories a draw may have: a multiple of GROUPS up to SAMPLES, or 0 where it would be too few."""
    if program.num_qubits > QUBITS or not program.is_unitary:
        return 0
    one = max(program.two_qubit_gates, 1) * 2**program.num_qubits * program.draws
    samples = min(work // one, SAMPLES) // GROUPS * GROUPS
    return samples if samples >= FEWEST else 0


def measured_distribution(
    program: NoisyProgram, draw: int, wires: Sequence[int], *, samples: int = SAMPLES, seed: int = 0
) -> Sampled:
    """Distribution of some qubits' bits at the end, before readout, all other qubits traced out.

    A function of program, draw, seed and samples alone. The trajectories are scaled to the weight that the branch
    without errors leaves, so nothing is negative and nothing is cut off.

    Args:
        wires: compact qubits; bit i of the index is wires[i].
        samples: trajectories, a positive multiple of GROUPS.
        seed: with `draw` it fixes every random number.
    Raises: ValueError: measurement or reset before the end; another number of samples; a channel that is not
        depolarizing, then relaxation.
    """
    args, size, rng = _prepared(program, draw, samples, seed)
    certain, quiet = np.zeros(size), np.ones(len(program.kind))
    sums = np.zeros((GROUPS, size))
    nowhere = np.zeros(0, np.int64)
    _run(certain, quiet, sums, nowhere, np.zeros(0), np.zeros((0, 0)), *args)
    if np.any(quiet < 1):
        place, kick, later = _random_numbers(quiet, samples, rng)
        _run(np.zeros(size), np.ones(len(quiet)), sums, place, kick, later, *args)
    return _sampled(certain, sums, wires, program.num_qubits)


def strengths(program: NoisyProgram) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What the channels are made of: chance of a Pauli error [op], of a decay and of a phase flip [op, qubit of it].

    A decay's chance is that of |1>; the phase flip follows it.

    Raises: ValueError: a channel that is not depolarizing, then relaxation.
    """
    count = len(program.kind)
    shrink, decay, dephase = np.ones(count), np.ones((count, 2)), np.ones((count, 2))
    idle = program.kind == IDLE
    decay[idle, 0], dephase[idle, 0] = program.decay[idle], program.dephase[idle]
    for kind, stack in zip((ONE, TWO), program.noises):
        at = program.kind == kind
        which = program.noise[at]
        parts = [_parts(ptm) for ptm in stack]
        for i, q in np.ndindex(len(stack), kind):
            chosen = np.flatnonzero(at)[which == i]
            shrink[chosen], decay[chosen, q], dephase[chosen, q] = parts[i][0], *parts[i][1][q]
    flip = (1 - shrink) * np.where(program.kind == TWO, 15 / 16, 3 / 4)
    phase = (1 - dephase / np.sqrt(np.maximum(decay, 1e-300))) / 2
    return np.clip(flip, 0, 1), np.clip(1 - decay, 0, 1), np.clip(phase, 0, 0.5)


def _parts(ptm: NDArray[np.float64]) -> tuple[float, tuple[tuple[float, float], ...]]:
    """(1 - depolarizing p, ((exp(-t/T1), exp(-t/T2)) of each qubit)) of a gate's noise."""
    steps = (1,) if len(ptm) == 4 else (4, 1)  # of the qubits' digits in the Pauli index
    decays = [1 - float(ptm[3 * s, 0]) for s in steps]
    best = max(range(len(steps)), key=decays.__getitem__)
    shrink = float(ptm[3 * steps[best], 3 * steps[best]]) / decays[best] if decays[best] > 0 else 0.0
    dephases = [float(ptm[s, s]) / shrink if abs(shrink) > 1e-12 else 0.0 for s in steps]
    again: NDArray[np.float64] = np.eye(1)
    for decay, dephase in zip(decays, dephases):
        one = np.diag([1.0, dephase, dephase, decay])
        one[3, 0] = 1 - decay
        again = np.asarray(np.kron(again, one), dtype=np.float64)
    if np.abs(again @ np.diag([1.0] + [shrink] * (len(ptm) - 1)) - ptm).max() > 1e-9:
        raise ValueError("expected a channel that is depolarizing, then relaxation of each qubit")
    return shrink, tuple(zip(decays, dephases))


def _prepared(
    program: NoisyProgram, draw: int, samples: int, seed: int
) -> tuple[tuple[Any, ...], int, np.random.Generator]:
    """Last arguments of a run, size of the state, random numbers."""
    if not program.is_unitary:
        raise ValueError("measurement or reset before the end has no trajectories here")
    if samples < GROUPS or samples % GROUPS:
        raise ValueError(f"{samples} samples: expected a positive multiple of {GROUPS}")
    args = (
        program.kind, program.first, program.second, program.matrix[draw], program.angle[draw],
        *program.matrices, *program.unitaries, *strengths(program), program.num_qubits,
    )  # fmt: skip
    return args, 2**program.num_qubits, np.random.default_rng((seed, draw))


def _random_numbers(
    quiet: NDArray[np.float64], samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """[sample] operation of the first event, ascending, and its uniform number; [sample, op] those of later ones."""
    count = len(quiet)
    reached = np.concatenate(([0.0], 1 - np.cumprod(quiet)))  # chance of an event so far
    points = (np.arange(samples) + rng.random()) / samples * reached[-1]
    points = np.minimum(points, np.nextafter(reached[-1], 0.0))  # so that each lies inside an operation's share
    place = np.searchsorted(reached, points, side="right") - 1
    inside = np.clip((points - reached[place]) / (reached[place + 1] - reached[place]), 0, 1)
    kick = np.minimum(quiet[place] + inside * (1 - quiet[place]), _TOP)
    later = np.zeros((count, samples))
    noisy = quiet < 1
    strata = rng.permuted(np.tile(np.arange(samples), (int(noisy.sum()), 1)), axis=1)
    later[noisy] = np.minimum((strata + rng.random(strata.shape)) / samples, _TOP)
    return place, kick, np.ascontiguousarray(later.T)


def _sampled(certain: NDArray[np.float64], sums: NDArray[np.float64], wires: Sequence[int], n: int) -> Sampled:
    known = ideal.marginal(certain, wires, n)
    parts = np.array([ideal.marginal(s, wires, n) for s in sums])
    weight = float(known.sum())

    def whole(part: NDArray[np.float64]) -> NDArray[np.float64]:
        total = float(part.sum())
        mixed = known + max(1 - weight, 0.0) * part / total if total > 0 else known
        return np.asarray(mixed / mixed.sum())

    everything = parts.sum(axis=0)
    return Sampled(whole(everything), np.array([whole(everything - p) for p in parts]), weight)


@numba.njit(cache=True, nogil=True)
def _run(  # type: ignore[no-untyped-def]
    certain, quiet, sums, place, kick, later, kind, first, second, matrix, angle, m1, m2, u1, u2, flip, gamma, phase, n
):  # pragma: no cover - compiled
    """Without samples: the branch without errors into `certain`, chances of no event into `quiet`.

    With them: each from that branch at its first event on, into the sum of its group.
    """
    base, state = np.zeros(1 << n, np.complex128), np.empty(1 << n, np.complex128)
    base[0] = 1.0
    gathered, own = np.zeros((n, 2, 2), np.complex128), np.empty((n, 2, 2), np.complex128)
    bloch, turned = np.zeros((n, 4)), np.empty((n, 4))
    for q in range(n):
        gathered[q, 0, 0] = 1.0
        gathered[q, 1, 1] = 1.0
        bloch[q, 0] = 1.0
        bloch[q, 3] = 1.0
    gate, both, rho = np.empty((4, 4), np.complex128), np.empty((4, 4), np.complex128), np.empty((4, 4), np.complex128)
    pair, after = np.empty(16), np.empty(16)
    active = 0  # qubits below it have met a two-qubit gate; the others are still |0> times what is gathered
    total = 1.0
    k = 0
    for i in range(len(kind)):
        while k < len(place) and place[k] == i:
            state[: 1 << active] = base[: 1 << active]
            state[1 << active :] = 0.0
            own[:] = gathered
            turned[:] = bloch
            met = active
            for j in range(i, len(kind)):
                if kind[j] == TWO:
                    met = max(met, first[j] + 1, second[j] + 1)
                _turn(
                    j, state, own, turned, met, gate, both, rho, pair, after,
                    kind, first, second, matrix, angle, m1, m2, u1, u2,
                )  # fmt: skip
                if kind[j] != RZ:
                    _suffer(j, kick[k] if j == i else later[k, j], own, turned, first, second, flip, gamma, phase)
            _add(state, own, met, n, 1.0, sums[k % len(sums)])
            k += 1
        if 0 < len(place) == k:
            return
        if kind[i] == TWO:
            active = max(active, first[i] + 1, second[i] + 1)
        _turn(
            i, base, gathered, bloch, active, gate, both, rho, pair, after,
            kind, first, second, matrix, angle, m1, m2, u1, u2,
        )  # fmt: skip
        if kind[i] != RZ:
            quiet[i] = _suffer(i, 0.0, gathered, bloch, first, second, flip, gamma, phase)
            total *= quiet[i]
    _add(base, gathered, active, n, total, certain)


@numba.njit(cache=True, nogil=True)
def _turn(  # type: ignore[no-untyped-def]
    i, state, gathered, bloch, active, gate, both, rho, pair, after,
    kind, first, second, matrix, angle, m1, m2, u1, u2,
):  # pragma: no cover - compiled  # fmt: skip
    """The unitary of an operation."""
    a, b = first[i], second[i]
    if kind[i] == RZ:
        half = 0.5 * angle[i]
        factor = complex(math.cos(half), math.sin(half))
        for k in range(2):
            gathered[a, 0, k] *= factor.conjugate()
            gathered[a, 1, k] *= factor
        rotate_z(bloch[a], angle[i])
    elif kind[i] == ONE:
        multiply_one(m1[matrix[i]], gathered[a])
        transform(u1[matrix[i]], bloch[a], after)
    elif kind[i] == TWO:
        for r in range(4):
            for c in range(4):
                both[r, c] = gathered[b, r >> 1, c >> 1] * gathered[a, r & 1, c & 1]
        u = m2[matrix[i]]
        for r in range(4):
            for c in range(4):
                gate[r, c] = u[r, 0] * both[0, c] + u[r, 1] * both[1, c] + u[r, 2] * both[2, c] + u[r, 3] * both[3, c]
        for q in (a, b):
            gathered[q, 0, 0] = 1.0
            gathered[q, 0, 1] = 0.0
            gathered[q, 1, 0] = 0.0
            gathered[q, 1, 1] = 1.0
        apply_two(state, gate, a, b, 1 << active, rho)
        pauli_vector(rho, pair)
        norm = max(pair[0], 1e-300)  # an impossible decay was drawn: the trajectory has no weight
        for j in range(4):
            bloch[a, j] = pair[4 * j] / norm
            bloch[b, j] = pair[j] / norm


@numba.njit(cache=True, nogil=True)
def _suffer(i, r, gathered, bloch, first, second, flip, gamma, phase):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The outcome of a channel that a number r in [0, 1) picks, divided by the root of its chance; 0 picks nothing.

    Each choice rescales r to the part of [0, 1) that led to it. Returns the chance of nothing.
    """
    a, b = first[i], second[i]
    quiet = 1.0 - flip[i]
    paulis = 0
    if flip[i] == 0.0 or r < quiet:
        r = min(r / quiet, _TOP)
    else:
        r = min((r - quiet) / flip[i], _TOP) * (3 if b < 0 else 15)
        paulis = int(r) + 1
        r -= int(r)
    for side in range(1 if b < 0 else 2):
        q = b if side == 1 else a
        m, v = gathered[q], bloch[q]
        pauli = paulis if b < 0 else paulis & 3 if side == 1 else paulis >> 2
        for c in range(2):
            if pauli == 1:
                m[0, c], m[1, c] = m[1, c], m[0, c]
            elif pauli == 2:
                m[0, c], m[1, c] = m[1, c], -m[0, c]
            elif pauli == 3:
                m[1, c] = -m[1, c]
        for j in range(1, 4):
            if pauli not in (0, j):
                v[j] = -v[j]
        g = gamma[i, side]
        excited = 0.5 * (1 - min(1.0, max(-1.0, v[3])))
        jump = g * ((1 - _BLIND) * excited + 0.5 * _BLIND)
        stay = 1 - jump
        quiet *= stay
        if jump == 0.0 or r < stay:
            r = min(r / stay, _TOP)
            root = math.sqrt(1 - g)
            left = max(1 - g * excited, 1e-300)
            for c in range(2):
                m[0, c] /= math.sqrt(stay)
                m[1, c] *= root / math.sqrt(stay)
            v[1] *= root / left
            v[2] *= root / left
            v[3] = (1 - excited - (1 - g) * excited) / left
        else:
            r = min((r - stay) / jump, _TOP)
            for c in range(2):
                m[0, c] = m[1, c] * math.sqrt(g / jump)
                m[1, c] = 0.0
            v[1], v[2], v[3] = 0.0, 0.0, 1.0
        stay = 1 - phase[i, side]
        quiet *= stay
        if phase[i, side] == 0.0 or r < stay:
            r = min(r / stay, _TOP)
        else:
            r = min((r - stay) / phase[i, side], _TOP)
            m[1, 0] = -m[1, 0]
            m[1, 1] = -m[1, 1]
            v[1], v[2] = -v[1], -v[2]
    return quiet


@numba.njit(cache=True, nogil=True)
def _add(state, gathered, active, n, weight, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Adds the squares of the finished state."""
    for q in range(n):
        apply_one(state, gathered[q], q, 1 << max(active, q + 1))
    for k in range(1 << n):
        out[k] += weight * (state[k].real * state[k].real + state[k].imag * state[k].imag)
