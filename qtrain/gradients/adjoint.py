"""Adjoint differentiation: every derivative from one forward and one backward pass over the simulated state.

Facts: no circuit at all, so nothing that a chip could run; exact; time of about three simulations, whatever the number
of slots. Needs a simulator without shots: one that has `adjoint(program, angles, cotangent)`.
Source: Jones and Gacon, arXiv 2009.02823.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain.errors import ConfigError
from qtrain.executors.base import Executor, Key
from qtrain.gradients.base import Array, Gradient, GradientMethod, Mask, all_weights, check_finite, wanted_slots

if TYPE_CHECKING:
    from qtrain.program import Program


def adjoint() -> GradientMethod:
    """The method of this file; it has no options and no state.

    `estimate` raises ConfigError if the executor has no `adjoint(program, angles, cotangent)`.
    """

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
        backward = getattr(executor, "adjoint", None)
        if backward is None:
            asked = getattr(executor, "stands_for", executor)
            raise ConfigError(
                f"adjoint() needs a simulator that can go backward; {type(asked).__name__} has none. "
                "Use qtrain.parameter_shift(), or qtrain.ExactSimulator()."
            )
        values = np.zeros_like(angles)
        slots = wanted_slots(program, weights, features=features)
        values[:, slots] = backward(program, angles, cotangent)[:, slots]
        check_finite("adjoint: dL/d angle", values)
        return Gradient(values, all_weights(program, weights)), state

    def circuits(program: Program, batch: int, step: int, slots: int | None = None) -> tuple[int, int]:
        return 0, 0

    return GradientMethod(init, estimate, circuits, "adjoint()")
