"""Shots: finite samples of exact probabilities, joint over a basis's bits or one Pauli string at a time.

A basis that measures up to 5 qubits has its bits drawn jointly, as a chip returns them, so its observables are
correlated. Above, every Pauli string is drawn by itself: means and variances of strings are those of a chip,
correlations between strings are not there. All numbers of a call come from one generator, in the order of its rows,
however the work was split.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtrain.executors.sampling_kernels import multinomials
from qtrain.measurement import Basis, Measurement

Array = NDArray[np.float64]
JOINT_QUBITS = 5
_MOST_BY_BITS = 8192  # shots up to which drawing bits is faster than numpy's multinomial


def is_joint(basis: Basis) -> bool:
    """Whether the bits of a basis are drawn jointly."""
    return len(basis.qubits) <= JOINT_QUBITS


def parity_signs(basis: Basis, measurement: Measurement) -> Array:
    """[outcome, string]: value (+1 or -1) of each of the basis's strings for each outcome of its bits."""
    position = {q: i for i, q in enumerate(basis.qubits)}
    outcomes = np.arange(2 ** len(position))
    signs = np.ones((len(outcomes), len(basis.terms)))
    for column, term in enumerate(basis.terms):
        for qubit, _ in measurement.strings[term]:
            signs[:, column] *= 1 - 2 * ((outcomes >> position[qubit]) & 1)
    return signs


def sample_outcomes(probabilities: Array, shots: int, rng: np.random.Generator) -> Array:
    """Relative frequencies [..., outcome] of `shots` draws from each row of probabilities, 2^bits outcomes."""
    if shots > _MOST_BY_BITS:
        clipped = np.clip(probabilities, 0.0, None)
        clipped /= clipped.sum(axis=-1, keepdims=True)
        return rng.multinomial(shots, clipped) / shots
    frequencies = np.empty(probabilities.shape)
    outcomes = probabilities.shape[-1]
    rows = np.ascontiguousarray(probabilities, dtype=np.float64).reshape(-1, outcomes)
    seed = rng.integers(2**64 - 1, dtype=np.uint64, endpoint=True)
    multinomials(rows, shots, seed, frequencies.reshape(-1, outcomes))
    return frequencies


def sample_strings(expectations: Array, shots: int, rng: np.random.Generator) -> Array:
    """Means of `shots` draws of +1 and -1 with the given expectations; same shape."""
    probability = np.clip((1 + expectations) / 2, 0.0, 1.0)
    means: Array = 2 * rng.binomial(shots, probability) / shots - 1
    return means
