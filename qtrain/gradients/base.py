"""The gradient-method contract: a pair of pure functions, like an optax transformation.

A method sees angles and slots; the chain rule to weights, features and classical heads belongs to torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ConfigError, ExecutorError

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

REPEAT = 2**20
"""The k-th further estimate of one step, for a mean, draws from stream + k * REPEAT; what is to be the same in all of
them is drawn by stream % REPEAT."""


class Gradient(NamedTuple):
    """Derivatives of one scalar loss.

    Attributes:
        values: [batch, slot] dL/d angle, already contracted with the cotangent; 0 in slots that were not evaluated.
        evaluated: [weight] bool. Not evaluated is not zero: such a weight does not move, nor does its optimizer state.
    """

    values: Array
    evaluated: Mask


class GradientMethod(NamedTuple):
    """How a gradient is estimated.

    Attributes:
        init: (program) -> state; the state is a dict of numpy arrays, ints and such dicts, so that a checkpoint can
            hold it.
        estimate: (executor, program, angles, cotangent, state, *, key, weights=None, features=False)
            -> (Gradient, state); angles [batch, slot] in rad, cotangent [batch, observable] = dL/dE.
            weights [weight] bool: evaluate these only (default all); features: also every slot that a feature enters.
            Raises ExecutorError if a value is not finite.
        circuits: (program, batch, step, slots=None) -> (fewest, most) circuits that the estimate of that step
            (0, 1, ...) runs; what a dry run bills. slots: how many are evaluated; default: every one that a weight
            enters, at every step so far.
        name: what a run directory records and `gradients.from_name` reads back, e.g.
            "prune(parameter_shift(), ratio=0.5, accumulation_window=1, pruning_window=2)".
        is_move: the estimate is no derivative but minus the move that a weight should make: one step of plain gradient
            descent at learning rate 1 makes it.
    """

    init: Callable[..., dict[str, Any]]
    estimate: Callable[..., tuple[Gradient, dict[str, Any]]]
    circuits: Callable[..., tuple[int, int]]
    name: str
    is_move: bool = False


def wanted_slots(program: Program, weights: Mask | None = None, *, features: bool = False) -> NDArray[np.intp]:
    """Indices, ascending, of the slots that a gradient needs: those that the weights enter, and the features if asked.

    Args:
        weights: [weight] bool; default: all.
    """
    entered = program.A != 0
    wanted = entered.any(axis=1) if weights is None else entered[:, weights].any(axis=1)
    if features:
        wanted = wanted | program.feature_slots
    return np.flatnonzero(wanted)


def all_weights(program: Program, weights: Mask | None) -> Mask:
    """The mask itself, or one that names every weight."""
    return np.ones(program.num_weights, dtype=bool) if weights is None else weights.copy()


def to_weights(program: Program, values: Array) -> Array:
    """[weight] dL/dw from [batch, slot] dL/d angle: the sum over the batch, through angles = A @ weights + b."""
    derivatives: Array = values.sum(axis=0) @ program.A
    return derivatives


def check_finite(what: str, values: Array) -> None:
    """Raises ExecutorError if a value is NaN or infinite: such a gradient must never move a weight."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = ", ".join(str(int(i)) for i in bad[0])
        raise ExecutorError(
            f"{what}[{place}] is {values[tuple(bad[0])]} ({len(bad)} such values). "
            "Expected finite numbers; no weight was moved."
        )


def checked_derivative(wrapper: str, inner: object) -> GradientMethod:
    """`inner` itself. Raises: ConfigError: no gradient method, or one whose estimate is a move, not a derivative."""
    if not isinstance(inner, GradientMethod):
        raise ConfigError(f"{wrapper}: inner = {inner!r}. Expected a gradient method, e.g. parameter_shift().")
    if inner.is_move:
        raise ConfigError(
            f"{wrapper}: {inner.name} says how far a weight moves, no derivative. "
            "Expected a method that estimates derivatives, e.g. parameter_shift()."
        )
    return inner
