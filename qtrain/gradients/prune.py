"""Probabilistic gradient pruning: some steps evaluate only some weights, drawn by how large their gradients were.

Facts: saves ratio * w_p / (w_a + w_p) of the inner method's circuits, where every weight has the same number of slots.
What is evaluated is as unbiased as the inner method; what is not evaluated does not move, and neither does its
optimizer state (`qtrain.masked`). A stage is `accumulation_window` steps that evaluate everything and add |dL/dw_i| to
M_i (M starts at zero with each stage), then `pruning_window` steps that draw max(1, floor((1 - ratio) P + 1e-9))
weights one after another without replacement, with probability proportional to M; where too few M are positive, the
rest uniformly. Slots that a feature enters are never pruned when the features' gradient is asked for.
Source: Wang et al., arXiv 2202.13239. Their published code resets M before it draws, hence draws uniformly, and sets
pruned gradients to zero, so that Adam moves them all the same; the paper's text is followed here instead.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ConfigError
from qtrain.executors.base import PRUNE, Executor, Key, generator
from qtrain.gradients.base import (
    REPEAT,
    Array,
    Gradient,
    GradientMethod,
    Mask,
    all_weights,
    check_finite,
    to_weights,
    wanted_slots,
)

if TYPE_CHECKING:
    from qtrain.program import Program


def kept(num_weights: int, ratio: float) -> int:
    """How many weights a pruned step evaluates; 1e-9 forgives the rounding of 1 - ratio.

    >>> kept(48, 0.5), kept(10, 0.7), kept(3, 0.9)
    (24, 3, 1)
    """
    return min(num_weights, max(1, math.floor((1 - ratio) * num_weights + 1e-9)))


def draw(magnitude: Array, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """`count` different indices in the order drawn, one after another with probability proportional to `magnitude`.

    Where fewer magnitudes are positive, those come first and the rest follow uniformly. An index whose exponential
    waiting time, of rate M_i, ends first is drawn first: that is successive sampling (Efraimidis and Spirakis 2006),
    and in logarithms it neither over- nor underflows.
    """
    positive = magnitude > 0
    rates = np.log(magnitude, out=np.zeros_like(magnitude), where=positive)
    waiting = np.log(rng.exponential(size=len(magnitude))) - rates
    return np.lexsort((waiting, ~positive))[:count]


def prune(
    inner: GradientMethod, *, ratio: float = 0.5, accumulation_window: int = 1, pruning_window: int = 2
) -> GradientMethod:
    """Wraps a method; its state is the position in the stage, M and the inner method's state.

    Args:
        inner: evaluates what was drawn.
        ratio: share of the weights that a pruned step leaves out, 0 <= ratio < 1; 0 prunes nothing.
        accumulation_window, pruning_window: steps of a stage that evaluate all and some of the weights; 1 or more.
    Raises: ConfigError: a value out of its range.
    """
    if not isinstance(inner, GradientMethod):
        raise ConfigError(f"prune: inner = {inner!r}. Expected a gradient method, e.g. prune(parameter_shift(), ...).")
    if not isinstance(ratio, int | float | np.floating) or not 0 <= ratio < 1:
        raise ConfigError(f"prune: ratio = {ratio!r}. Expected 0 <= ratio < 1: the share of the weights to leave out.")
    for name, window in (("accumulation_window", accumulation_window), ("pruning_window", pruning_window)):
        if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 1:
            raise ConfigError(f"prune: {name} = {window!r}. Expected a whole number of steps, 1 or more.")
    ratio, accumulation_window, pruning_window = float(ratio), int(accumulation_window), int(pruning_window)
    stage = accumulation_window + pruning_window

    def init(program: Program) -> dict[str, Any]:
        return {"position": 0, "magnitude": np.zeros(program.num_weights), "inner": inner.init(program)}

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
        position = int(state["position"])
        candidates = all_weights(program, weights)
        accumulates = position < accumulation_window
        if not accumulates:
            among = np.flatnonzero(candidates)
            seed, step, stream = key
            rng = generator((seed, step, PRUNE), stream % REPEAT)  # all estimates of one mean draw the same weights
            drawn = among[draw(state["magnitude"][among], kept(len(among), ratio), rng)]
            candidates = np.zeros_like(candidates)
            candidates[drawn] = True
        gradient, inner_state = inner.estimate(
            executor, program, angles, cotangent, state["inner"], key=key, weights=candidates, features=features
        )
        magnitude = state["magnitude"]
        if accumulates:
            check_finite("prune: dL/d angle", gradient.values)
            derivatives = np.abs(to_weights(program, gradient.values))
            magnitude = derivatives if position == 0 else magnitude + derivatives
        after = {"position": (position + 1) % stage, "magnitude": magnitude, "inner": inner_state}
        return gradient, after

    def circuits(program: Program, batch: int, step: int, slots: int | None = None) -> tuple[int, int]:
        if step % stage < accumulation_window:
            every = len(wanted_slots(program)) if slots is None else slots  # said, since turns are no longer by step
            return inner.circuits(program, batch, step, every)
        fewest, most = _slot_bounds(program, ratio)
        return inner.circuits(program, batch, step, fewest)[0], inner.circuits(program, batch, step, most)[1]

    name = (
        f"prune({inner.name}, ratio={ratio!r}, accumulation_window={accumulation_window}, "
        f"pruning_window={pruning_window})"
    )
    return GradientMethod(init, estimate, circuits, name, inner.is_move)


def _slot_bounds(program: Program, ratio: float) -> tuple[int, int]:
    """(fewest, most) slots that a pruned step evaluates; equal where each weight has the same number of its own.

    A slot that several weights enter is evaluated once, so the sum over the drawn weights counts it at most as often
    as its most crowded slot has weights.
    """
    entered = program.A != 0
    count = kept(program.num_weights, ratio)
    slots = np.sort(entered.sum(axis=0))
    crowd = max(1, int(entered.sum(axis=1).max(initial=0)))
    fewest = max(int(slots[count - 1]), math.ceil(int(slots[:count].sum()) / crowd))
    most = min(int(slots[len(slots) - count :].sum()), int(entered.any(axis=1).sum()))
    return fewest, most
