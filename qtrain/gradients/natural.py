"""Quantum natural gradient: steepest descent where distance is that of states, not of weights.

Facts: the inner method's circuits and no more: the metric comes from the noise-free state of the program, simulated
(up to 20 qubits, so nothing for a larger chip) in 5 to 15 times the time of an adjoint gradient. The metric is
block-diagonal (`qtrain/metric.py`), the mean over the rows of the batch: G = A^T g A over the weights. dL/dw becomes
(G + regularization * I)^-1 dL/dw. Bias: that of the inner method, of noise (the chip's state is not the ideal one), and
of the blocks. A learning rate about a quarter of that of plain gradient descent takes steps of the same size, since
g <= 1/4.
Source: Stokes, Izaac, Killoran and Carleo, Quantum 4, 269 (2020).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain.errors import ConfigError
from qtrain.executors.base import Executor, Key
from qtrain.gradients.base import (
    Array,
    Gradient,
    GradientMethod,
    Mask,
    check_finite,
    checked_derivative,
    to_weights,
    wanted_slots,
)
from qtrain.metric import metric

if TYPE_CHECKING:
    from qtrain.program import Program


def natural(inner: GradientMethod, *, regularization: float = 0.01) -> GradientMethod:
    """Wraps a method; its state is the inner method's.

    Weights that the inner method does not evaluate (pruning) are left out of the metric. Derivatives of features stay
    what they are. The preconditioned gradient comes back as slot values whose chain rule gives it; one by one these
    are no derivatives of angles any more.

    Args:
        inner: estimates dL/dw.
        regularization: added to the metric's diagonal, which lies between 0 and about 1/4 for a weight with one slot.
            It bounds what noise in a direction that hardly moves the state can do. 0: the pseudoinverse.
    Raises: ConfigError: a value out of its range; an inner method that moves weights by itself (rotosolve). From
        `estimate`: more than 20 qubits; a reset; features that are to get a gradient where a weight enters
        only slots that a feature enters too.
    """
    inner = checked_derivative("natural", inner)
    if not isinstance(regularization, int | float | np.floating) or not (
        math.isfinite(regularization) and regularization >= 0
    ):
        raise ConfigError(f"natural: regularization = {regularization!r}. Expected a finite number, 0 or more.")
    regularization = float(regularization)

    def estimate(
        executor: Executor,
        program: Program,
        angles: Array,
        cotangent: Array,
        state: dict[str, Any],
        *,
        key: Key,
        weights: Mask | None = None,
        features: bool = False,
    ) -> tuple[Gradient, dict[str, Any]]:
        gradient, after = inner.estimate(
            executor, program, angles, cotangent, state, key=key, weights=weights, features=features
        )
        chosen = gradient.evaluated
        if not chosen.any():
            return gradient, after
        A = program.A[:, chosen]
        plain = to_weights(program, gradient.values)[chosen]
        slots = wanted_slots(program, chosen)
        wanted = _solved(A.T @ metric(program, angles, slots) @ A, plain, regularization)
        if features:
            slots = slots[~program.feature_slots[slots]]  # the others carry the derivatives of the features
        values = gradient.values.copy()
        values[:, slots] += _carried(A[slots], wanted - plain) / len(angles)
        check_finite("natural: dL/d angle", values)
        return Gradient(values, chosen), after

    name = f"natural({inner.name}, regularization={regularization!r})"
    return GradientMethod(inner.init, estimate, inner.circuits, name)


def _solved(matrix: Array, vector: Array, regularization: float) -> Array:
    if regularization == 0.0:
        inverse: Array = np.linalg.pinv(matrix, rcond=1e-10, hermitian=True).astype(np.float64)
        return inverse @ vector
    solution: Array = np.linalg.solve(matrix + regularization * np.eye(len(matrix)), vector).astype(np.float64)
    return solution


def _carried(A: Array, change: Array) -> Array:
    """[slot] whose chain rule gives the change of dL/dw; of all such the smallest."""
    carried: Array = np.linalg.lstsq(A.T, change, rcond=None)[0].astype(np.float64)
    if not np.allclose(carried @ A, change, rtol=1e-9, atol=1e-9 * np.abs(change).max(initial=0.0)):
        raise ConfigError(
            "natural: the features are to get a gradient, and a weight enters only angles that a feature enters too. "
            "Give it a rotation of its own, or use the inner method alone."
        )
    return carried
