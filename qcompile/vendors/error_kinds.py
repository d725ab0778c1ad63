"""Vendors' kinds of gate error -> average gate infidelity. d = 2^n throughout.

A channel with process (entanglement) fidelity F has the average gate fidelity (d F + 1) / (d + 1) (Horodecki 1999,
Nielsen 2002), so all kinds come down to the process fidelity. A published error of exactly 1 marks a dead gate in every
kind, and stays 1.
"""

from __future__ import annotations

import numpy as np

from qcompile.channels import Matrix, average_fidelity, relaxation_ptm

DEAD = 1.0


def from_process(infidelity: float, num_qubits: int) -> float:
    """Average gate infidelity of a process infidelity 1 - F: (1 - F) d / (d + 1).

    >>> from_process(0.0125, 2)
    0.01
    """
    d = 2**num_qubits
    return DEAD if infidelity == DEAD else infidelity * d / (d + 1)


def from_pauli(error: float, num_qubits: int) -> float:
    """Average gate infidelity of a Pauli error: the probability that any Pauli but the identity acts is 1 - F.

    Google's convention (Arute et al. 2019, supplement, section V); its files give both for the same pair, ratio 4/5.
    """
    return from_process(error, num_qubits)


def from_depolarizing(parameter: float, num_qubits: int, relaxation_fidelity: float = 1.0) -> float:
    """Average gate infidelity of rho -> (1 - p) rho + p I / d, followed or preceded by relaxation.

    Relaxation has the average fidelity F_r, a uniform state 1 / d: the infidelity is 1 - (1 - p) F_r - p / d, which
    is p (d - 1) / d without relaxation. The inverse of `channels.depolarizing_probability`.

    Args:
        parameter: p, 0 to 1.
        relaxation_fidelity: F_r over the gate's duration, see `relaxation_fidelity`.
    >>> from_depolarizing(0.02, 2)
    0.015
    """
    return DEAD if parameter == DEAD else 1 - (1 - parameter) * relaxation_fidelity - parameter / 2**num_qubits


def relaxation_fidelity(lifetimes: list[tuple[float, float]], duration: float) -> float:
    """Average gate fidelity of some qubits that only relax.

    Args:
        lifetimes: (t1, t2) of each qubit, s; t2 above 2 * t1 is clamped, as in simulation.
        duration: s.
    """
    ptm: Matrix = np.eye(1)
    for t1, t2 in lifetimes:
        ptm = np.asarray(np.kron(ptm, relaxation_ptm(t1, min(t2, 2 * t1), duration)), dtype=np.float64)
    return average_fidelity(ptm)


def repeated_pauli(error: float, num_qubits: int, times: int) -> float:
    """Pauli error of a gate applied several times with random gates in between: the polarizations multiply.

    The polarization of a channel is (d^2 F - 1) / (d^2 - 1): what a random sequence keeps of it (Emerson et al. 2005).
    """
    if error == DEAD:
        return DEAD
    square = 4**num_qubits
    polarization = ((square * (1 - error) - 1) / (square - 1)) ** times
    return 1 - ((square - 1) * polarization + 1) / square
