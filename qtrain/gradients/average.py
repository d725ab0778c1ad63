"""Mean of several independent estimates: fewer variance for more circuits.

Facts: n times the inner method's circuits, 1/n of its variance, the same bias. For methods that draw: spsa, whose
directions differ between the estimates, or anything with shots. Where nothing is random it only repeats itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qtrain.errors import ConfigError
from qtrain.executors.base import Executor, Key
from qtrain.gradients.base import REPEAT, Array, Gradient, GradientMethod, Mask, checked_derivative

if TYPE_CHECKING:
    from qtrain.program import Program


def average(inner: GradientMethod, n: int) -> GradientMethod:
    """Wraps a method; its state is the inner method's, after the first of the n estimates.

    `average(prune(m), n)` repeats the estimate of one and the same choice of weights, and judges weights by the first
    of them; `prune(average(m, n))` costs the same and judges them by the mean, which is better.

    Args:
        inner: makes one estimate.
        n: estimates a step, 1 or more.
    Raises: ConfigError: a value out of its range; an inner method that moves weights by itself (rotosolve), since
        angles half a turn to the left and to the right have no useful mean.
    """
    inner = checked_derivative("average", inner)
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ConfigError(f"average: n = {n!r}. Expected a whole number of estimates, 1 or more.")
    count = int(n)

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
        seed, step, stream = key
        outer, own = divmod(stream, REPEAT)

        def once(k: int) -> tuple[Gradient, dict[str, Any]]:
            drawn = (seed, step, (outer * count + k) * REPEAT + own)
            return inner.estimate(
                executor, program, angles, cotangent, state, key=drawn, weights=weights, features=features
            )

        first, after = once(0)
        total = sum((once(k)[0].values for k in range(1, count)), first.values)
        return Gradient(total / count, first.evaluated), after

    def circuits(program: Program, batch: int, step: int, slots: int | None = None) -> tuple[int, int]:
        fewest, most = inner.circuits(program, batch, step, slots)
        return count * fewest, count * most

    return GradientMethod(inner.init, estimate, circuits, f"average({inner.name}, {count})")
