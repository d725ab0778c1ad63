"""SPSA: simultaneous perturbation stochastic approximation.

Facts: 2 circuits an estimate, data row and measurement basis, whatever the number of angles. Bias O(c^2). The variance
of one component grows with the sum of the squares of all the others, so a small step is needed with many angles.
Source: Spall, IEEE Trans. Automatic Control 37, 332 (1992).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain.errors import ConfigError
from qtrain.executors.base import Executor, Key, generator
from qtrain.gradients.base import Array, Gradient, GradientMethod, Mask, all_weights, check_finite, wanted_slots

if TYPE_CHECKING:
    from qtrain.program import Program


def spsa(*, c: float = 0.1) -> GradientMethod:
    """Every wanted slot moves by +c or -c at once, the same sign over the batch; the loss difference serves all.

    Args:
        c: size of the perturbation, rad; small enough for the O(c^2) bias, large enough against shot noise / c.
    Raises: ConfigError: c is not a positive finite number.
    """
    if not isinstance(c, int | float | np.floating) or not (math.isfinite(c) and c > 0):
        raise ConfigError(f"spsa: c = {c!r}. Expected a finite perturbation above 0 rad.")
    c = float(c)

    def init(program: Program) -> dict[str, Any]:
        return {}

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
        slots = wanted_slots(program, weights, features=features)
        signs = generator(key, *b"spsa").choice([-1.0, 1.0], size=len(slots))
        moved = np.zeros(angles.shape[1])
        moved[slots] = c * signs
        both = executor.expectations(program, np.concatenate([angles + moved, angles - moved]), key=key)
        difference = ((both[: len(angles)] - both[len(angles) :]) * cotangent).sum(axis=1)
        values = np.zeros_like(angles)
        values[:, slots] = difference[:, None] / (2 * c * signs)
        check_finite("spsa: dL/d angle", values)
        return Gradient(values, all_weights(program, weights)), state

    def circuits(program: Program, batch: int, step: int, slots: int | None = None) -> tuple[int, int]:
        count = 2 * batch * program.num_bases
        return count, count

    return GradientMethod(init, estimate, circuits, f"spsa(c={c!r})")
