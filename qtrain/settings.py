"""Settings: the numbers of one training, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from qtrain.errors import ConfigError
from qtrain.layer import QuantumLayer
from qtrain.masked import masked

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
CHECKPOINT_EVERY = 10  # steps, where nothing is paid for
SCHEDULES = ("cosine", "constant")


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    Attributes:
        optimizer: adam, adamw, rmsprop or sgd, each with torch's defaults.
        lr: learning rate of the first step.
        steps: gradient steps in all.
        batch_size: rows a step, drawn without replacement by (seed, step).
        seed: of the initial weights, the batches and every draw of the layer.
        schedule: "cosine", lr * (1 + cos(pi * step / steps)) / 2, or "constant".
        checkpoint_every: steps between checkpoints; None: 10, or 1 where a step is paid for.
        evaluate_every: steps between evaluations of the test set; None: at the end only.
        budget: QPU seconds that must not be exceeded; None: no limit.

    Raises: ConfigError: a value out of its range; names it.
    """

    optimizer: str = "adam"
    lr: float = 0.05
    steps: int = 200
    batch_size: int = 32
    seed: int = 0
    schedule: str = "cosine"
    checkpoint_every: int | None = None
    evaluate_every: int | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.integer | np.floating):  # plain numbers, which JSON can hold
                object.__setattr__(self, name, value.item())
        _one_of("optimizer", self.optimizer, tuple(OPTIMIZERS))
        _one_of("schedule", self.schedule, SCHEDULES)
        if not _real(self.lr) or self.lr <= 0:
            raise ConfigError(f"lr = {self.lr!r}. Expected a finite learning rate above 0.")
        for name in ("steps", "batch_size"):
            _whole(name, getattr(self, name), 1)
        _whole("seed", self.seed, 0)
        for name in ("checkpoint_every", "evaluate_every"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), 1)
        if self.budget is not None and (not _real(self.budget) or self.budget <= 0):
            raise ConfigError(f"budget = {self.budget!r}. Expected QPU seconds above 0, or None for no limit.")

    def learning_rate(self, step: int) -> float:
        """Of step 0, 1, ..."""
        if self.schedule == "constant":
            return self.lr
        return self.lr * (1 + math.cos(math.pi * step / self.steps)) / 2

    def evaluates_after(self, done: int) -> bool:
        """Whether the test set is evaluated after that many steps."""
        return done == self.steps or (self.evaluate_every is not None and done % self.evaluate_every == 0)

    def checkpoints_after(self, done: int, *, paid: bool = False) -> bool:
        """Whether a checkpoint is written after that many steps; `paid`: every step costs money."""
        every = self.checkpoint_every or (1 if paid else CHECKPOINT_EVERY)
        return done == self.steps or done % every == 0

    def make_optimizer(self, layer: QuantumLayer) -> torch.optim.Optimizer:
        """The masked optimizer of the layer's weights."""
        return masked(OPTIMIZERS[self.optimizer](layer.parameters(), lr=self.lr), layer)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} = {value!r}. Expected one of {', '.join(known)}.")


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} = {value!r}. Expected a whole number, {least} or more.")


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
