"""Hellinger fidelity of what is read: of the exact noisy distribution where there is one, else of a sampled one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qcompile import ideal
from qcompile.channels import confusion_matrix
from qcompile.device import Device
from qcompile.fidelity import marginals
from qcompile.fidelity.program import NoisyProgram
from qcompile.fidelity.tiers import Survival
from qcompile.fidelity.trajectories import FEWEST, GROUPS, SAMPLES, measured_distribution, samples_within


class Hellinger(NamedTuple):
    """(sum sqrt(p q))^2 of the noise-free and the read distribution, mean over the draws.

    Attributes:
        fidelity: 0..1, or None where `note` says why.
        uncertainty: one standard error of the sampling; 0 where exact.
    """

    fidelity: float | None
    uncertainty: float = 0.0
    note: str = ""


@dataclass(frozen=True, eq=False)
class Sampling:
    """A Hellinger fidelity that is sampled when it is first asked for: it costs more than all else of an estimate.

    Attributes:
        measured: physical qubits whose bits are read.
        seed: of the trajectories.
    """

    program: NoisyProgram
    device: Device
    measured: tuple[int, ...]
    seed: int

    def run(self) -> Hellinger:
        """Samples, or says why not."""
        program = self.program
        samples = samples_within(program)
        if not samples:
            many = f"{program.num_qubits} active qubits, {program.two_qubit_gates} two-qubit gates"
            return Hellinger(None, note=f"{many}: too many to sample in a second")
        samples = min(samples, max(SAMPLES // program.draws, FEWEST) // GROUPS * GROUPS)  # the draws average, too
        wires = [program.where[q] for q in self.measured]
        values, errors = [], []
        for draw in range(program.draws):
            clean = np.abs(marginals.log_survival(program, draw)[1]) ** 2
            score = _score(ideal.marginal(clean, wires, program.num_qubits), self.device, self.measured)
            found = measured_distribution(program, draw, wires, samples=samples, seed=self.seed)
            value, error = found.jackknife(score)
            values.append(min(max(value, 0.0), 1.0))
            errors.append(error)
        return Hellinger(float(np.mean(values)), math.hypot(*errors) / len(errors))


def hellinger(
    program: NoisyProgram, survival: Survival, device: Device, measured: Sequence[int], seed: int
) -> Hellinger | Sampling:
    """Hellinger fidelity of the bits of some physical qubits, two-sided readout included."""
    if not program.is_unitary:
        return Hellinger(None, note="the circuit measures or resets before its end")
    elsewhere = [q for q in measured if q not in program.where]
    if elsewhere:
        return Hellinger(None, note=f"qubit {elsewhere[0]} is measured, but holds no virtual qubit")
    if survival.noisy is None or survival.ideal is None:
        return Sampling(program, device, tuple(measured), seed)
    wires, n = [program.where[q] for q in measured], program.num_qubits
    values = [
        _score(ideal.marginal(clean, wires, n), device, measured)(ideal.marginal(noisy, wires, n))
        for clean, noisy in zip(survival.ideal, survival.noisy)
    ]
    return Hellinger(min(float(np.mean(values)), 1.0))


def _score(
    clean: NDArray[np.float64], device: Device, measured: Sequence[int]
) -> Callable[[NDArray[np.float64]], float]:
    """Distribution before readout -> Hellinger fidelity of what is read with the noise-free distribution `clean`."""
    confusion = [confusion_matrix(device, q) for q in measured]

    def score(noisy: NDArray[np.float64]) -> float:
        read = ideal.confuse(noisy, confusion)
        return float(np.sqrt(clean * np.clip(read, 0, None)).sum() ** 2)  # rounding may leave -1e-18

    return score
