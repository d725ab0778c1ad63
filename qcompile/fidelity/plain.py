"""The kernels of this folder in plain numpy, one line an idea: what the tests hold them to."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qcompile import ideal
from qcompile.channels import gate_unitary, pauli_basis, survival_form
from qcompile.fidelity.program import DEPHASE, IDLE, ONE, RESET, RZ, TWO, NoisyProgram
from qcompile.fidelity.recovery import start_with_z, uniform

Matrix = NDArray[np.float64]


def noise_ptm(program: NoisyProgram, op: int) -> Matrix | None:
    """PTM of the noise of one operation; None where it has none."""
    if program.kind[op] in (ONE, TWO):
        return program.noises[program.kind[op] - ONE][program.noise[op]]
    if program.kind[op] in (IDLE, RESET):
        decay, dephase = float(program.decay[op]), float(program.dephase[op])
        ptm = np.diag([1.0, dephase, dephase, decay])
        ptm[3, 0] = 1 - decay
        return ptm
    return None


def unitary(program: NoisyProgram, draw: int, op: int) -> Matrix | None:
    """PTM of the noise-free part of one operation; None where it has none."""
    if program.kind[op] == RZ:
        return gate_unitary("rz", (float(program.angle[draw, op]),))
    if program.kind[op] in (ONE, TWO):
        return program.unitaries[program.kind[op] - ONE][program.matrix[draw, op]]
    if program.kind[op] == DEPHASE:
        return np.diag([1.0, 0.0, 0.0, 1.0])
    if program.kind[op] == RESET:
        return np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=np.float64)
    return None


def log_survival_of(ptm: Matrix | None, r: Matrix) -> float:
    """log sum_k |tr(K_k rho)|^2 of a channel for the Pauli vector of rho."""
    return 0.0 if ptm is None else math.log(r @ survival_form(ptm) @ r)


def product_log_survival(program: NoisyProgram) -> Matrix:
    """`product.log_survival`."""
    logs = np.zeros(program.angle.shape)
    for d in range(program.draws):
        bloch = np.tile([1.0, 0.0, 0.0, 1.0], (max(program.num_qubits, 1), 1))
        for i, what in enumerate(program.kind):
            a, b, turn = program.first[i], program.second[i], unitary(program, d, i)
            r = np.kron(bloch[a], bloch[b]) if what == TWO else bloch[a]
            r = r if turn is None else turn @ r
            r[0] = 1.0
            noise = noise_ptm(program, i) if what != RESET else None
            logs[d, i] = log_survival_of(noise, r)
            if what == TWO:
                bloch[a], bloch[b] = r.reshape(4, 4)[:, 0], r.reshape(4, 4)[0]
            else:
                bloch[a] = r
    return logs


def marginals_log_survival(program: NoisyProgram, draw: int) -> tuple[Matrix, ideal.State]:
    """`marginals.log_survival`: the state is kept whole, every gate is applied to it by itself."""
    n = program.num_qubits
    logs, state = np.zeros(len(program.kind)), ideal.zero_state(n)
    for i, what in enumerate(program.kind):
        held = [int(program.first[i]), int(program.second[i])][: 2 if what == TWO else 1]
        if what == RZ:
            state = ideal.apply(state, ideal.gate_matrix("rz", (float(program.angle[draw, i]),)), held, n)
        elif what in (ONE, TWO):
            state = ideal.apply(state, program.matrices[what - ONE][program.matrix[draw, i]], held, n)
        logs[i] = log_survival_of(noise_ptm(program, i), reduced_paulis(state, held, n))
    return logs, state


def reduced_paulis(state: ideal.State, held: list[int], n: int) -> Matrix:
    """Pauli vector of one or two qubits of a pure state, index 4 * first + second."""
    axes = [n - 1 - q for q in reversed(held)]
    rows = np.moveaxis(state.reshape([2] * n), axes, range(len(held))).reshape(2 ** len(held), -1)
    rho = rows @ rows.conj().T
    return np.real(np.einsum("pij,ji->p", pauli_basis(len(held)), rho))


def noisy_state(program: NoisyProgram, draw: int) -> Matrix:
    """`exact.noisy_state`: every channel applied to the whole Pauli vector by itself."""
    n = program.num_qubits
    state: Matrix = np.ones(1)
    for _ in range(n):
        state = np.asarray(np.kron([1.0, 0.0, 0.0, 1.0], state), dtype=np.float64)
    for i, what in enumerate(program.kind):
        held = [int(program.first[i]), int(program.second[i])][: 2 if what == TWO else 1]
        for ptm in (unitary(program, draw, i), noise_ptm(program, i)):
            if ptm is not None:
                state = _on_digits(state, ptm, held, n)
    return state


def _on_digits(state: Matrix, ptm: Matrix, held: list[int], n: int) -> Matrix:
    """A PTM on some digits of a Pauli vector; index 4 * first + second."""
    count = len(held)
    axes = [n - 1 - q for q in held]
    tensor = np.tensordot(ptm.reshape([4] * (2 * count)), state.reshape([4] * n), axes=(range(count, 2 * count), axes))
    return np.asarray(np.moveaxis(tensor, range(count), axes).reshape(-1), dtype=np.float64)


def path_losses(program: NoisyProgram, draw: int, paths: int) -> tuple[Matrix, float]:
    """`recovery.path_losses`: the same draws, one path after the other."""
    n, last = program.num_qubits, len(program.kind)
    channels: list[list[float]] = []  # what each leaves of each path's operator
    for k in range(paths):
        carried = [3 if start_with_z(draw, q, k) else 0 for q in range(n)]
        turns, losses, turned = [np.eye(4) for _ in range(n)], [np.zeros(4) for _ in range(n)], [False] * n
        event, seen = n, []
        for i in range(last + n):
            what = program.kind[i] if i < last else IDLE
            ends = [int(program.first[i])] if i < last else [i - last]
            ends += [int(program.second[i])] if what == TWO else []
            noise, turn = (noise_ptm(program, i), unitary(program, draw, i)) if i < last else (None, None)
            left = np.zeros(16) if noise is None else -np.log(np.maximum(np.diag(noise), 1e-300))
            if what in (RZ, ONE) and turn is not None:
                turns[ends[0]] = turn @ turns[ends[0]]
                losses[ends[0]] = losses[ends[0]] + (left if what == ONE else 0.0)
                turned[ends[0]] = True
                continue
            for q in ends:
                if turned[q]:
                    if carried[q]:
                        carried[q] = _drawn(turns[q][:, carried[q]], uniform(draw, event, k))
                    seen.append(losses[q][carried[q]])
                    turns[q], losses[q], turned[q] = np.eye(4), np.zeros(4), False
                    event += 1
            if what == TWO and turn is not None:
                pair = 4 * carried[ends[0]] + carried[ends[1]]
                pair = _drawn(turn[:, pair], uniform(draw, event, k)) if pair else 0
                carried[ends[0]], carried[ends[1]] = divmod(pair, 4)
                event += 1
                seen.append(left[pair])
            elif noise is not None:
                seen.append(left[carried[ends[0]]])
        channels.append(seen)
    each = np.array(channels)
    return each.sum(axis=1), float(-np.log(np.exp(-each).mean(axis=0)).sum())


def _drawn(column: Matrix, number: float) -> int:
    """The term that a number in [0, 1) picks, by squared coefficients."""
    bounds = np.cumsum(column**2)
    return int(np.searchsorted(bounds, number * bounds[-1], side="right"))
