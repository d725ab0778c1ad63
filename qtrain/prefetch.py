"""What a training step will ask an executor for, known before its forward pass.

Where every request is a job that waits in a queue, the forward pass and the gradient are asked for together. A gradient
method is a pure function, and what it asks for seldom depends on what it is told: so it is called once with an executor
that only writes down its requests, and answers 0. A request that was not foreseen is a job of its own. A foreseen one
that is never made is paid for in vain: where no backward pass follows a forward pass in grad mode, and where a method
with a state (pruning) serves several passes of one step, for the first estimate changes what the others ask for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtrain.executors.base import (
    Array,
    Key,
    Slots,
    checked_key,
    checked_shifts,
    shifted_points,
)
from qtrain.gradients.base import GradientMethod, Mask
from qtrain.ledger import Ledger
from qtrain.program import Program

Request = tuple[Array, Key]
"""Angles [point, slot] and the key of their draw."""


class Recorder:
    """An executor that runs nothing: it keeps the points that it is asked for, and answers 0.

    Attributes:
        stands_for: the executor that will be asked.
    """

    def __init__(self, executor: Any) -> None:
        self.ledger = Ledger()
        self.requests: list[Request] = []
        self.stands_for = executor

    def prepare(self, *arguments: Any, **options: Any) -> Program:
        """As the executor prepares it."""
        made: Program = self.stands_for.prepare(*arguments, **options)
        return made

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable] zeros."""
        points = program.checked_angles(angles)
        self.requests.append((points, checked_key(key)))
        return np.zeros((len(points), program.num_observables))

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable] zeros."""
        indices, moves = checked_shifts(program, slots, shifts)
        points = shifted_points(program.checked_angles(angles), indices, moves)
        self.requests.append((points.reshape(-1, program.num_slots), checked_key(key)))
        return np.zeros((*points.shape[:3], program.num_observables))


def gradient_requests(
    gradient: GradientMethod,
    executor: Any,
    program: Program,
    angles: Array,
    state: dict[str, Any],
    *,
    key: Key,
    weights: Mask | None,
    features: bool,
) -> list[Request]:
    """The points that a gradient estimate will ask for; other arguments as `GradientMethod.estimate`."""
    recorder = Recorder(executor)
    cotangent = np.ones((len(angles), program.num_observables))
    gradient.estimate(recorder, program, angles, cotangent, state, key=key, weights=weights, features=features)
    return recorder.requests
