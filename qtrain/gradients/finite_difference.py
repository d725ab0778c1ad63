"""Finite differences: the derivative of an angle from two nearby points, exact only in the limit.

Facts: "central" 2 circuits a slot, data row and measurement basis, "forward" 1 and the unmoved circuit once. Bias of
central O(h^2): it reads sin(h) / h times the derivative, because a slot's E is A + B cos + C sin; of forward O(h):
-h/2 times the second derivative more. The variance grows as 1 / h^2 with shots, which parameter_shift(shift=h) has too,
but without the bias. It is here to be compared with, and for expectations that are no such curve.
Source: Press et al., Numerical Recipes, 5.7.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain.errors import ConfigError
from qtrain.executors.base import Executor, Key
from qtrain.gradients.base import Array, Gradient, GradientMethod, Mask, all_weights, check_finite, wanted_slots

if TYPE_CHECKING:
    from qtrain.program import Program

KINDS = ("central", "forward")


def finite_difference(*, step: float = 0.1, kind: str = "central") -> GradientMethod:
    """The method of this file; it has no state.

    Args:
        step: h, rad; small enough for the bias, large enough against shot noise / h.
        kind: "central", (E(t + h) - E(t - h)) / 2h, or "forward", (E(t + h) - E(t)) / h.
    Raises: ConfigError: step is not a positive finite number, another kind.
    """
    if not isinstance(step, int | float | np.floating) or not (math.isfinite(step) and step > 0):
        raise ConfigError(f"finite_difference: step = {step!r}. Expected a finite step above 0 rad.")
    if kind not in KINDS:
        raise ConfigError(f"finite_difference: kind = {kind!r}. Expected one of {', '.join(KINDS)}.")
    step, is_central = float(step), kind == "central"
    shifts = np.array([step, -step] if is_central else [step])

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
        values = np.zeros_like(angles)
        if len(slots):
            shifted = executor.shifted_expectations(program, angles, slots, shifts, key=key)
            if is_central:
                derivatives = (shifted[:, :, 0] - shifted[:, :, 1]) / (2 * step)
            else:
                derivatives = (shifted[:, :, 0] - executor.expectations(program, angles, key=key)[:, None]) / step
            values[:, slots] = np.einsum("bko,bo->bk", derivatives, cotangent)
        check_finite("finite_difference: dL/d angle", values)
        return Gradient(values, all_weights(program, weights)), state

    def circuits(program: Program, batch: int, step: int, slots: int | None = None) -> tuple[int, int]:
        moved = len(wanted_slots(program)) if slots is None else slots
        points = 2 * moved if is_central else moved + (moved > 0)
        count = points * batch * program.num_bases
        return count, count

    return GradientMethod(init, estimate, circuits, f"finite_difference(step={step!r}, kind={kind!r})")
