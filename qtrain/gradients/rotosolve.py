"""Rotosolve: one weight a step, straight to the minimum of the loss along it; no learning rate, no derivative.

Facts: 3 circuits a data row and measurement basis for a weight that enters one slot: its loss is A + B cos + C sin of
the weight, and three points on that curve tell A, B and C. A weight that enters several slots, or with other slopes,
makes a trigonometric polynomial: with slopes a_k that are whole multiples of a common divisor g, its degree is
R = sum |a_k| / g, and 2R + 1 points tell all of it. Weights take turns, so all have moved after as many steps as there
are weights. The minimum is exact for a loss that is linear in the expectations (an energy: fixed weights of the
observables), and on all rows at once; of any other loss, cross-entropy for one, it is the minimum of the loss
linearized at the present point, and the loss may grow. Shot noise moves the minimum, but adds up over no steps.
Source: Ostaszewski, Grant and Benedetti, Quantum 5, 391 (2021); several slots: Vidal and Theis, arXiv 1812.06323;
Wierichs et al., Quantum 6, 677 (2022).

The estimate is no derivative but minus the move, so that plain gradient descent at learning rate 1 makes it:
`train(..., gradient=rotosolve(), optimizer="sgd", lr=1.0, schedule="constant")`. Only that weight counts as evaluated;
`masked` keeps all others.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ConfigError
from qtrain.executors.base import Executor, Key
from qtrain.gradients.base import Array, Gradient, GradientMethod, Mask, all_weights, check_finite

if TYPE_CHECKING:
    from qtrain.program import Program

_LARGEST_DENOMINATOR = 16  # of a ratio of two slopes of one weight
_POINTS_A_WAVE = 32  # of the search for the minimum of a known curve: no circuits


def rotosolve() -> GradientMethod:
    """The method of this file; its state is which weight's turn it is.

    With `weights` given (pruning) the turn goes to the next one among them. `init` raises ConfigError for a weight
    whose slopes have no common divisor, `estimate` where features are to get a gradient.
    """

    def init(program: Program) -> dict[str, Any]:
        for weight in _turns(program):
            degree(program, weight)
        return {"position": 0}

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
        if features:
            raise ConfigError(
                "rotosolve: features were asked for a gradient, and it estimates none. "
                "Use parameter_shift() below a trained classical layer, or detach its output."
            )
        values, evaluated = np.zeros_like(angles), np.zeros(program.num_weights, dtype=bool)
        position = int(state["position"])
        candidates = [i for i in _turns(program) if all_weights(program, weights)[i]]
        if not candidates:
            return Gradient(values, evaluated), state
        weight = next((i for i in candidates if i >= position), candidates[0])
        slopes, (divisor, highest) = program.A[:, weight], degree(program, weight)
        steps = 2 * np.pi / divisor * np.arange(2 * highest + 1) / (2 * highest + 1)
        points = (angles + (steps[:, None] * slopes)[:, None]).reshape(-1, program.num_slots)
        expectations = executor.expectations(program, points, key=key).reshape(len(steps), *cotangent.shape)
        losses = (expectations * cotangent).sum(axis=(1, 2))
        check_finite("rotosolve: loss at point", losses)
        move = lowest(losses) / divisor
        values[:] = -move * slopes / (slopes @ slopes) / len(angles)
        evaluated[weight] = True
        return Gradient(values, evaluated), {"position": (weight + 1) % program.num_weights}

    def circuits(program: Program, batch: int, step: int, slots: int | None = None) -> tuple[int, int]:
        turns = _turns(program)
        if not turns:
            return 0, 0
        at = [turns[step % len(turns)]] if slots is None else turns
        counts = [(2 * degree(program, weight)[1] + 1) * batch * program.num_bases for weight in at]
        return min(counts), max(counts)

    return GradientMethod(init, estimate, circuits, "rotosolve()", is_move=True)


def _turns(program: Program) -> list[int]:
    """Weights that enter any slot, ascending."""
    found: list[int] = np.flatnonzero((program.A != 0).any(axis=0)).tolist()
    return found


def degree(program: Program, weight: int) -> tuple[float, int]:
    """(g, R): expectations are a trigonometric polynomial of degree R in g * weight.

    Raises: ConfigError: the slopes with which the weight enters its slots have no common divisor.
    """
    slopes = np.abs(program.A[program.slots_of(weight), weight])
    smallest = slopes.min()
    ratios = [Fraction(slope / smallest).limit_denominator(_LARGEST_DENOMINATOR) for slope in slopes.tolist()]
    if not np.allclose([float(r) for r in ratios], slopes / smallest, rtol=1e-9, atol=0):
        raise ConfigError(
            f"rotosolve: weight {weight} enters its slots with slopes {sorted(set(slopes.tolist()))}, which are no "
            f"multiples of one number (ratios of whole numbers up to {_LARGEST_DENOMINATOR}). "
            "Use parameter_shift(), or a weight of its own for each slope."
        )
    parts = math.lcm(*(ratio.denominator for ratio in ratios))
    return float(smallest) / parts, int(sum(ratio * parts for ratio in ratios))


def lowest(values: NDArray[np.float64]) -> float:
    """Where a trigonometric polynomial of degree R is lowest, rad in [-pi, pi]; 0 if it is flat.

    Args:
        values: [2R + 1] at 0, 1, ... times 2 pi / (2R + 1).
    >>> lowest(np.array([1.0, -0.5, -0.5])) == np.pi  # cos
    True
    """
    count = len(values)
    highest = count // 2
    spectrum = np.fft.rfft(values) / count
    orders, waves = np.arange(1, highest + 1), 2 * spectrum[1:]
    if np.abs(waves).sum() <= 1e-14 * np.abs(values).max(initial=0.0):
        return 0.0
    if highest == 1:
        return _wrapped(np.pi - float(np.angle(waves[0])))

    def curve(angle: Any, order: int) -> Any:
        """The derivative of that order, without the mean."""
        return ((1j * orders) ** order * waves * np.exp(1j * np.multiply.outer(angle, orders))).real.sum(axis=-1)

    grid = 2 * np.pi * np.arange(_POINTS_A_WAVE * highest) / (_POINTS_A_WAVE * highest)
    best = float(grid[np.argmin(curve(grid, 0))])
    low, high = best - grid[1], best + grid[1]  # the derivative changes its sign in between
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if curve(middle, 1) < 0 else (low, middle)
    return _wrapped((low + high) / 2)


def _wrapped(angle: float) -> float:
    return math.remainder(angle, 2 * np.pi)
