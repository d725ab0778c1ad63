"""The gradient-method contract: a pair of pure functions, like an optax transformation.

A method sees angles and slots; the chain rule to weights, features and classical heads belongs to torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Gradient(NamedTuple):
    """Derivatives of one scalar loss.

    Attributes:
        values: [batch, slot] dL/d angle, already contracted with the cotangent.
        evaluated: [weight] bool. Not evaluated is not zero: such a weight does not move, nor does its optimizer state.
    """

    values: Array
    evaluated: NDArray[np.bool_]


class GradientMethod(NamedTuple):
    """How a gradient is estimated.

    Attributes:
        init: (program) -> state; the state is a dict of numpy arrays and ints, so that a checkpoint can hold it.
        estimate: (executor, program, angles, cotangent, state, *, key) -> (Gradient, state);
            angles [batch, slot] in rad, cotangent [batch, observable] = dL/dE.
        circuits: (program, batch, step) -> (fewest, most) circuits that the estimate of that step (0, 1, ...) runs;
            what a dry run bills.
        name: what a run directory records, e.g. "prune(parameter_shift, ratio=0.5)".
    """

    init: Callable[..., dict[str, Any]]
    estimate: Callable[..., tuple[Gradient, dict[str, Any]]]
    circuits: Callable[..., tuple[int, int]]
    name: str
