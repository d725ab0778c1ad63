"""Task: a model, data, executor, gradient method and settings, checked against each other; and their fingerprints."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from qtrain.datasets import Dataset, check_trainable
from qtrain.errors import ConfigError, DataError
from qtrain.executors.base import Executor
from qtrain.gradients.base import GradientMethod
from qtrain.layer import check_parts
from qtrain.model import QuantumModel
from qtrain.paid import paid
from qtrain.settings import Settings
from qtrain.start import Start

if TYPE_CHECKING:
    from qtrain.program import Program

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(outputs [batch, observable], labels [batch]) -> scalar."""

PACKAGES = ("numba", "numpy", "qiskit", "qonchip", "scipy", "sympy", "torch")
NUMBERS_DO_NOT_DEPEND_ON = ("checkpoint_every", "budget")


@dataclass(frozen=True)
class Task:
    """One training, before it begins.

    Attributes:
        model, executor, gradient, settings: as in `train`.
        train_set, test_set: rows; the test set may be None.
        loss: default softmax cross-entropy over the observables.
        start: the weights to begin with; None: drawn from the seed.

    Raises: DataError: another number of features than the model has, one class, a gap in the labels, more classes than
        observables, or a test set that does not fit the training set. ConfigError: a batch larger than the data, an
        optimizer that does not make a move as it is (rotosolve), or a part of another type.
    """

    model: QuantumModel
    train_set: Dataset
    test_set: Dataset | None
    executor: Executor
    gradient: GradientMethod
    settings: Settings
    loss: Loss = cross_entropy
    start: Start | None = None

    def __post_init__(self) -> None:
        check_parts(self.model, self.executor, self.gradient)
        if not callable(self.loss):
            raise ConfigError(
                f"loss = {self.loss!r}. Expected a function: (outputs [batch, observable], labels [batch]) -> scalar. "
                "Leave it out for softmax cross-entropy."
            )
        check_trainable(self.train_set)
        expected = len(self.model.features)
        for data in (self.train_set, self.test_set):
            if data is not None and data.num_features != expected:
                raise DataError(
                    f"{data.name} has {data.num_features} features, the encoder takes {expected}. "
                    "Expected the same; choose columns, or an encoder of that size."
                )
        for data in (self.train_set, self.test_set):
            if data is not None and self.loss is cross_entropy and data.num_classes > len(self.model.observables):
                raise DataError(
                    f"{data.name} has {data.num_classes} classes, the model {len(self.model.observables)} "
                    "observables. Expected an observable a class; add observables."
                )
        if self.test_set is not None and self.test_set.num_classes > self.train_set.num_classes:
            raise DataError(
                f"{self.test_set.name} has class {self.test_set.num_classes - 1}, which no training row has. "
                "Expected the same classes; split the rows anew."
            )
        descent = (self.settings.optimizer, self.settings.lr, self.settings.schedule)
        if self.gradient.is_move and descent != ("sgd", 1.0, "constant"):
            raise ConfigError(
                f"gradient {self.gradient.name} says how far a weight moves; optimizer = {descent[0]!r}, "
                f"lr = {descent[1]}, schedule = {descent[2]!r} would change that. "
                "Expected optimizer = 'sgd', lr = 1, schedule = 'constant', which make the move."
            )
        if self.start is not None and len(self.start.weights) != len(self.model.weights):
            raise ConfigError(
                f"{self.start.run} has {len(self.start.weights)} weights to start from, the model "
                f"{len(self.model.weights)}. Expected the same model."
            )
        if self.settings.batch_size > len(self.train_set):
            raise ConfigError(
                f"batch_size = {self.settings.batch_size}, but {self.train_set.name} has {len(self.train_set)} rows. "
                "Expected a batch no larger than the data: rows are drawn without replacement."
            )

    def identity(self, program: Program) -> dict[str, Any]:
        """Everything that the numbers of this training depend on: plain values, and hashes of what is large."""
        # a chip's calibration moves while a run goes on: its circuit is the one before compilation
        device = None if paid(self.executor) else getattr(self.executor, "device", None)
        settings = {k: v for k, v in asdict(self.settings).items() if k not in NUMBERS_DO_NOT_DEPEND_ON}
        return {
            "circuit": self.model.sha256 if paid(self.executor) else program.sha256,
            "device": None if device is None else device.sha256,
            "train_set": self.train_set.sha256,
            "test_set": None if self.test_set is None else self.test_set.sha256,
            "executor": describe(self.executor),
            "gradient": self.gradient.name,
            "loss": loss_name(self.loss),
            "start": None if self.start is None else self.start.sha256,
            **{f"settings.{name}": value for name, value in settings.items()},
            **{f"environment.{name}": value for name, value in environment().items()},
        }


def describe(executor: Executor) -> dict[str, Any]:
    """Kind and constructor arguments of an executor, as far as plain values can say them."""
    options = {
        name: getattr(executor, name)
        for name in (
            "shots",
            "seed",
            "effort",
            "readout_error",
            "torch_device",
            "precision",
            "memory_limit",
            "threshold",
            "max_terms",
            "method",
            "backend",
            "mode",
            "options",
            "mitigate_readout",
        )
        if hasattr(executor, name)
    }
    return {"kind": type(executor).__name__, **options}


def loss_name(loss: Loss) -> str:
    """What a run directory records of a loss."""
    return "cross_entropy" if loss is cross_entropy else str(getattr(loss, "__qualname__", type(loss).__qualname__))


def environment() -> dict[str, str]:
    """Versions and the kind of machine: equal ones give equal bits, whatever the number of threads."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{package: version(package) for package in PACKAGES},
    }
