"""State fidelity by four methods, from any size to exact, and which of them a circuit's size allows.

The product over all channels of their chance to leave the state alone is what is certain to be right. What was harmed
is not all lost: a state without memory of itself still overlaps by 2^-n, so F + (1 - F)(1 - lambda) / 2^n is reported,
lambda the product over all channels of how much they shrink a Pauli on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qcompile.fidelity import cluster, exact, marginals, product
from qcompile.fidelity.program import NoisyProgram

METHODS = ("product", "cluster", "marginals", "exact")
"""From the cheapest to the truth of the noise model."""


@dataclass(frozen=True, eq=False)
class Survival:
    """Result of one method.

    Attributes:
        method: which one.
        fidelity: [draw] state fidelity on the virtual qubits at the end.
        losses: [op] mean over the draws of each channel's -log survival.
        ideal: noise-free state of each draw over the compact qubits, where the method made one.
        noisy: Pauli vector of each draw, where the method made one.
    """

    method: str
    fidelity: NDArray[np.float64]
    losses: NDArray[np.float64]
    ideal: list[NDArray[np.complex128]] | None = None
    noisy: list[NDArray[np.float64]] | None = None


def state_fidelity(program: NoisyProgram, method: str) -> Survival:
    """Estimated state fidelity on the virtual qubits, all others traced out, readout excluded."""
    ideal = noisy = None
    if method == "product":
        logs = product.log_survival(program)
    elif method == "cluster":
        logs = cluster.log_survival(program)
    else:
        logs, ideal = marginals.log_survival(program)
    losses = np.maximum(-logs.mean(axis=0), 0.0)
    if method == "exact":
        noisy = [exact.noisy_state(program, d) for d in range(program.draws)]
        fidelity = np.array([
            exact.overlap(rho, psi, program.virtual_at, program.num_qubits) for rho, psi in zip(noisy, ideal)
        ])
    else:
        survived = np.exp(logs.sum(axis=1))
        floor = (1 - program.polarization) / 2.0 ** len(program.virtual_at)
        fidelity = survived + (1 - survived) * floor
    return Survival(method, np.minimum(fidelity, 1.0), losses, ideal, noisy)
