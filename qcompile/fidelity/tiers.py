"""State fidelity by four methods, from any size to exact, and which of them a circuit's size allows.

To first order in the noise, fidelity is the product over all channels of their chance to leave the state alone. What
was harmed is not all lost: errors cancel, and even a state without memory of itself overlaps by 2^-n. `recovery.py`
samples which share of -log F that returns; the rest of it is reported. Where it cannot, F + (1 - F)(1 - lambda) / 2^n
is, lambda the product over all channels of how much they shrink a Pauli on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qcompile.errors import InputError
from qcompile.fidelity import cluster, exact, marginals, product
from qcompile.fidelity.program import ONE, TWO, NoisyProgram
from qcompile.fidelity.recovery import excess

METHODS = ("product", "cluster", "marginals", "exact")
"""From the cheapest to the truth of the noise model."""

UNCERTAINTY = {"product": 0.37, "cluster": 0.072, "marginals": 0.033, "exact": 0.0}
"""Times (1 - F) sqrt(F): 9 of 10 unseen mapped circuits were within it (tests/benchmarks/estimate_accuracy.py)."""

_EXACT_WORK = 2**25  # entries x two-qubit gates x draws: about 0.3 s
_HOPELESS = 1e-4  # survival below which what comes back is not worth sampling, nor can it be: too few paths count
_HARMLESS = 1e-12  # loss of a channel below which it is a rounding
_STATE_WORK = 2**27  # amplitudes x two-qubit gates x draws: about 1 s


def affordable(program: NoisyProgram) -> str:
    """The most accurate method that takes about a second at most."""
    passes = max(program.two_qubit_gates * program.draws, 1)
    if program.is_unitary and program.num_qubits <= exact.QUBITS and 4**program.num_qubits * passes <= _EXACT_WORK:
        return "exact"
    if program.is_unitary and program.num_qubits <= marginals.QUBITS and 2**program.num_qubits * passes <= _STATE_WORK:
        return "marginals"
    return "cluster"


def check_name(method: str | None) -> None:
    """Raises: InputError: no method of that name."""
    if method is not None and method not in METHODS:
        raise InputError(f"method = {method!r}. Expected one of {', '.join(METHODS)}, or None to have it chosen.")


def check_size(method: str, program: NoisyProgram, place: str) -> None:
    """Raises: InputError: a method that the circuit is too wide for, or that has nothing to compare with."""
    limit = {"marginals": marginals.QUBITS, "exact": exact.QUBITS}.get(method)
    if limit is not None and program.num_qubits > limit:
        raise InputError(
            f"{place}: method {method!r} keeps a state of {program.num_qubits} active qubits, {limit} at most. "
            "Use 'cluster', which takes any size."
        )
    if limit is not None and not program.is_unitary:
        raise InputError(
            f"{place}: measures or resets before its end, where method {method!r} has no pure state to compare with. "
            "Use 'cluster'."
        )


@dataclass(frozen=True, eq=False)
class Survival:
    """Result of one method.

    Attributes:
        method: which one.
        fidelity: [draw] state fidelity on the virtual qubits at the end.
        losses: [op] mean over the draws of each channel's -log survival.
        ideal, noisy: [draw, 2^n] distributions of the compact qubits' bits before readout, noise-free and noisy,
            where the method has them.
    """

    method: str
    fidelity: NDArray[np.float64]
    losses: NDArray[np.float64]
    ideal: NDArray[np.float64] | None = None
    noisy: NDArray[np.float64] | None = None

    @property
    def uncertainty(self) -> float:
        """Of the mean fidelity, by UNCERTAINTY."""
        mean = float(self.fidelity.mean())
        return UNCERTAINTY[self.method] * (1 - mean) * mean**0.5


def _with_recovery(logs: NDArray[np.float64], program: NoisyProgram, draw: int, sampled: bool) -> float:
    """Fidelity of one draw from [op] log of each channel's survival."""
    survived = math.exp(float(logs.sum()))
    found = None
    if sampled and program.is_unitary and survived > _HOPELESS:
        found = excess(_without_harmless(program, logs), draw)
    if found is not None:
        along_paths, ratio = found
        returned = math.log(ratio) / -math.log(along_paths) if along_paths < 1 else 0.0  # share of the loss, at most 1
        return float(survived ** (1 - returned))
    floor = (1 - program.polarization) / 2.0 ** len(program.virtual_at)
    return survived + (1 - survived) * floor


def _without_harmless(program: NoisyProgram, logs: NDArray[np.float64]) -> NoisyProgram:
    """The program without the noise that loses nothing: paths do not see that a qubit is in |0>, where none decays."""
    harmless = logs > -_HARMLESS
    noise = program.noise.copy()
    for kind, stack in zip((ONE, TWO), program.noises):
        noise[harmless & (program.kind == kind)] = len(stack)  # the identity, put behind the others
    one, two = (np.concatenate((stack, np.eye(d)[None])) for stack, d in zip(program.noises, (4, 16)))
    decay, dephase = (np.where(harmless, 1.0, kept) for kept in (program.decay, program.dephase))
    return replace(program, noise=noise, noises=(one, two), decay=decay, dephase=dephase)


def state_fidelity(program: NoisyProgram, method: str, *, sampled: bool = True) -> Survival:
    """Estimated state fidelity on the virtual qubits, all others traced out, readout excluded.

    Args:
        sampled: whether "cluster" and "marginals" sample what comes back of harmed states. It makes the number right;
            without it circuits are ranked as well (`tests/benchmarks/estimate_ranking.py`: .9991 against .9996).
    """
    if method == "exact":
        return _exact(program)
    if method == "product":
        logs = product.log_survival(program)
    elif method == "cluster":
        logs = cluster.log_survival(program)
    else:
        logs = np.array([marginals.log_survival(program, d)[0] for d in range(program.draws)])
    sampled = sampled and method != "product"
    fidelity = np.array([_with_recovery(logs[d], program, d, sampled) for d in range(program.draws)])
    return Survival(method, np.clip(fidelity, 0.0, 1.0), _mean_losses(logs))


def _exact(program: NoisyProgram) -> Survival:
    """One draw after the other, so that one state is kept at a time."""
    n, everything = program.num_qubits, range(program.num_qubits)
    logs, fidelity = np.empty(program.angle.shape), np.empty(program.draws)
    clean, noisy = np.empty((program.draws, 2**n)), np.empty((program.draws, 2**n))
    for d in range(program.draws):
        logs[d], psi = marginals.log_survival(program, d)
        rho = exact.noisy_state(program, d)
        fidelity[d] = exact.overlap(rho, psi, program.virtual_at, n)
        clean[d], noisy[d] = np.abs(psi) ** 2, exact.probabilities(rho, everything, n)
    return Survival("exact", np.clip(fidelity, 0.0, 1.0), _mean_losses(logs), clean, noisy)  # rounding passes the ends


def _mean_losses(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """[op] from [draw, op]; rounding may leave a log above 0."""
    return np.maximum(-logs.mean(axis=0), 0.0)
