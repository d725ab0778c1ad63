"""Parameter shift: the derivative of an angle from two circuits, as a chip can run it.

Facts: 2 circuits a slot, data row and measurement basis. Unbiased, at any number of shots. Exact, because a slot is one
rotation exp(-i theta P / 2) or a phase, so E(theta) = A + B cos theta + C sin theta and
dE/dtheta = (E(theta + s) - E(theta - s)) / (2 sin s) for any shift s; shot noise is least at s = pi/2, and grows as
1 / sin(s)^2. A weight that enters k slots costs 2k circuits.
Source: Mitarai et al., Phys. Rev. A 98, 032309 (2018); Schuld et al., Phys. Rev. A 99, 032331 (2019); any shift: Mari,
Bromley and Killoran, Phys. Rev. A 103, 012405 (2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain.errors import ConfigError
from qtrain.executors.base import Executor, Key
from qtrain.gradients.base import Array, Gradient, GradientMethod, Mask, all_weights, check_finite, wanted_slots

if TYPE_CHECKING:
    from qtrain.program import Program


def parameter_shift(*, shift: float = np.pi / 2) -> GradientMethod:
    """The method of this file; it has no state.

    Args:
        shift: s, rad, 0 < s < pi; other than pi/2 where a chip has angles that it plays better.
    Raises: ConfigError: a shift out of its range.
    """
    if not isinstance(shift, int | float | np.floating) or not 0 < shift < np.pi:
        raise ConfigError(f"parameter_shift: shift = {shift!r}. Expected 0 < shift < pi, rad.")
    shift = float(shift)
    shifts, scale = np.array([shift, -shift]), 2 * np.sin(shift)

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
            derivatives = (shifted[:, :, 0] - shifted[:, :, 1]) / scale
            values[:, slots] = np.einsum("bko,bo->bk", derivatives, cotangent)
        check_finite("parameter_shift: dL/d angle", values)
        return Gradient(values, all_weights(program, weights)), state

    def circuits(program: Program, batch: int, step: int, slots: int | None = None) -> tuple[int, int]:
        shifted = len(wanted_slots(program)) if slots is None else slots
        count = 2 * shifted * batch * program.num_bases
        return count, count

    name = "parameter_shift()" if shift == np.pi / 2 else f"parameter_shift(shift={shift!r})"
    return GradientMethod(init, estimate, circuits, name)
