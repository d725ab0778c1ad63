"""Parameter shift: the derivative of an angle from two circuits, as a chip can run it.

Facts: 2 circuits a slot, data row and measurement basis. Unbiased, at any number of shots. Exact, because a slot is one
rotation exp(-i theta P / 2) or a phase, so E(theta) = A + B cos theta + C sin theta and
dE/dtheta = (E(theta + pi/2) - E(theta - pi/2)) / 2. A weight that enters k slots costs 2k circuits.
Source: Mitarai et al., Phys. Rev. A 98, 032309 (2018); Schuld et al., Phys. Rev. A 99, 032331 (2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain.executors.base import Executor, Key
from qtrain.gradients.base import Array, Gradient, GradientMethod, Mask, all_weights, check_finite, wanted_slots

if TYPE_CHECKING:
    from qtrain.program import Program

SHIFTS = np.array([np.pi / 2, -np.pi / 2])


def parameter_shift() -> GradientMethod:
    """The method of this file; it has no options and no state."""

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
            shifted = executor.shifted_expectations(program, angles, slots, SHIFTS, key=key)
            derivatives = (shifted[:, :, 0] - shifted[:, :, 1]) / 2
            values[:, slots] = np.einsum("bko,bo->bk", derivatives, cotangent)
        check_finite("parameter_shift: dL/d angle", values)
        return Gradient(values, all_weights(program, weights)), state

    def circuits(program: Program, batch: int, step: int, slots: int | None = None) -> tuple[int, int]:
        shifted = len(wanted_slots(program)) if slots is None else slots
        count = 2 * shifted * batch * program.num_bases
        return count, count

    return GradientMethod(init, estimate, circuits, "parameter_shift()")
