"""Training, top to bottom: a step, the loop over steps, and the loop with its run directory.

`train_step` and `iter_train` are all that a training is; `train` adds what lasts: checkpoints, metrics, a budget, a
clean end on Ctrl-C. A batch is a function of (seed, step) and so is every other draw, so a resumed run equals an
uninterrupted one bit for bit (same machine and versions).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from qtrain.billing import step_bill
from qtrain.datasets import Dataset, as_dataset
from qtrain.errors import ExecutorError
from qtrain.executors.base import BATCH, Executor, generator
from qtrain.gradients.base import GradientMethod
from qtrain.layer import QuantumLayer
from qtrain.ledger import Ledger
from qtrain.model import QuantumModel
from qtrain.progress import TrainingProgress
from qtrain.record import inputs
from qtrain.run import RunDirectory, read_metrics
from qtrain.settings import Settings
from qtrain.task import Loss, Task

if TYPE_CHECKING:
    from qcompile.compiled import CompiledCircuit

Rows = Dataset | tuple[Any, Any] | list[Any] | torch.utils.data.Dataset[Any]


class Step(NamedTuple):
    """One gradient step: how many are done with it, and the batch's loss and accuracy before the weights moved."""

    step: int
    loss: float
    accuracy: float
    learning_rate: float
    evaluated: int


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training came to.

    Attributes:
        weights: [weight] rad, read-only.
        losses, accuracies: of the batch of each step, before its weights moved.
        test_accuracy, test_loss: after the last step; None if the test set was not evaluated then.
        ledger: everything spent, evaluations of the test set included.
        steps: steps done.
        stopped: "finished" or "budget".
        run_dir: None where none was asked for.
        metrics: the lines of metrics.jsonl.
        compiled: the circuit as compiled for the device, if there is one.
    """

    weights: NDArray[np.float64]
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    test_accuracy: float | None
    test_loss: float | None
    ledger: Ledger
    steps: int
    stopped: str
    run_dir: Path | None
    metrics: tuple[dict[str, Any], ...] = field(repr=False)
    compiled: CompiledCircuit | None = field(repr=False)

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights, bit for bit."""
        return weights_sha256(self.weights)


def weights_sha256(weights: NDArray[np.float64]) -> str:
    """Hash of weights, bit for bit; the same on every machine."""
    return hashlib.sha256(np.ascontiguousarray(weights, "<f8").tobytes()).hexdigest()


def train_step(
    layer: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, loss: Loss
) -> tuple[float, float]:
    """One step on one batch: forward, loss, backward, move.

    Returns: loss and accuracy (share of rows whose largest output is the label's) before the weights moved.
    Raises: ExecutorError: the loss is not finite; nothing moved.
    """
    optimizer.zero_grad()
    outputs = layer(x)
    value = loss(outputs, y)
    if not math.isfinite(value.item()):
        raise ExecutorError(f"the loss is {value.item()}. Expected a finite number; no weight was moved.")
    value.backward()
    optimizer.step()
    return value.item(), float((outputs.argmax(dim=1) == y).double().mean())


def batch_rows(num_rows: int, batch_size: int, seed: int, step: int) -> NDArray[np.int64]:
    """The rows of a step: drawn without replacement by (seed, step), so any step's batch is known at any time."""
    return generator((seed, step, BATCH)).choice(num_rows, batch_size, replace=False)


def iter_train(
    layer: QuantumLayer,
    optimizer: torch.optim.Optimizer,
    data: Dataset,
    settings: Settings,
    *,
    loss: Loss = cross_entropy,
    start: int = 0,
) -> Iterator[Step]:
    """Trains, one step a turn, from step `start` to `settings.steps`."""
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    for step in range(start, settings.steps):
        rows = torch.from_numpy(batch_rows(len(data), settings.batch_size, settings.seed, step))
        rate = settings.learning_rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        value, accuracy = train_step(layer, optimizer, x[rows], y[rows], loss)
        evaluated = len(layer.weights) if layer.evaluated is None else int(layer.evaluated.sum())
        yield Step(step + 1, value, accuracy, rate, evaluated)


def evaluate(layer: QuantumLayer, data: Dataset, *, loss: Loss = cross_entropy) -> tuple[float, float]:
    """(loss, accuracy) of the layer on all rows, without a gradient."""
    y = torch.tensor(data.y)
    with torch.no_grad():
        outputs = layer(torch.tensor(data.x))
        return float(loss(outputs, y)), float((outputs.argmax(dim=1) == y).double().mean())


def train(
    model: QuantumModel,
    train_set: Rows,
    *,
    executor: Executor,
    gradient: GradientMethod,
    optimizer: str = "adam",
    lr: float = 0.05,
    steps: int = 200,
    batch_size: int = 32,
    seed: int = 0,
    schedule: str = "cosine",
    test_set: Rows | None = None,
    loss: Loss = cross_entropy,
    run_dir: str | Path | None = None,
    checkpoint_every: int = 10,
    evaluate_every: int | None = None,
    budget: float | None = None,
    progress: bool | None = None,
) -> TrainResult:
    """Trains a classifier: softmax cross-entropy over the observables, one a class, unless `loss` says otherwise.

    Args:
        model, executor, gradient: see their types.
        train_set, test_set: `Dataset`s, pairs (x, y), or torch data sets of such pairs; features are angles, rad. The
            test set is evaluated at the end.
        optimizer ... budget: see `Settings`. Weights start uniform in [-pi, pi] from the seed.
        run_dir: keeps metrics and checkpoints, so that `qtrain.resume(run_dir)` can go on after any interruption.
        progress: draw a progress bar on standard error; None: on a terminal only.

    Raises: InputError before anything ran: data, settings, circuit or run directory break a rule. ExecutorError,
        StorageError: something failed on the way; the last whole step is in the checkpoint. KeyboardInterrupt,
        likewise.
    """
    settings = Settings(optimizer, lr, steps, batch_size, seed, schedule, checkpoint_every, evaluate_every, budget)
    rows = as_dataset(train_set, "train_set")
    test_rows = None if test_set is None else as_dataset(test_set, "test_set")
    return train_task(
        Task(model, rows, test_rows, executor, gradient, settings, loss), run_dir=run_dir, progress=progress
    )


def train_task(task: Task, *, run_dir: str | Path | None = None, progress: bool | None = None) -> TrainResult:
    """`train`, for a task that is made already."""
    trainer = Trainer(task)
    if run_dir is None:
        return trainer.run(None, progress=progress)
    config, files = inputs(task, trainer.identity)
    with RunDirectory.create(run_dir, config, files) as run:
        run.save(0, trainer.state())
        return trainer.run(run, progress=progress)


class Trainer:
    """A task under way: layer, optimizer, steps done, and what they cost.

    Attributes:
        task, layer, optimizer: what trains.
        identity: what the numbers depend on; a checkpoint carries it.
        done: steps done.
        spent: what they cost, before an interruption too.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.layer = QuantumLayer(task.model, task.executor, task.gradient, seed=task.settings.seed)
        self.optimizer = task.settings.make_optimizer(self.layer)
        self.identity = task.identity(self.layer.program)
        self.done = 0
        self.spent = Ledger()

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds; a copy."""
        spent = self.spent
        return {
            "step": self.done,
            "layer": _copied(dict(self.layer.state_dict())),
            "optimizer": _copied(self.optimizer.state_dict()),
            "ledger": [spent.circuits, spent.shots, spent.qpu_seconds, spent.jobs],
            "identity": self.identity,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state."""
        self.layer.load_state_dict(state["layer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = state["step"]
        self.spent = Ledger(*state["ledger"])

    def run(self, run: RunDirectory | None, *, progress: bool | None) -> TrainResult:
        """The rest of the steps, with checkpoints where there is a run directory."""
        settings, test_set, executor = self.task.settings, self.task.test_set, self.task.executor
        lines = [] if run is None else read_metrics(run.path)
        boundary, stopped = self.state(), "finished"
        # the ledger counts one step at a time, so that sums round the same way after an interruption
        spent_elsewhere, executor.ledger = executor.ledger, Ledger()
        spent_before = self.spent
        try:
            steps = iter_train(
                self.layer, self.optimizer, self.task.train_set, settings, loss=self.task.loss, start=self.done
            )
            with _one_torch_thread(), TrainingProgress(settings.steps, done=self.done, show=progress) as bar:
                while self.done < settings.steps:
                    if self._exceeds_budget():
                        stopped = "budget"
                        break
                    line: dict[str, Any] = next(steps)._asdict()
                    if test_set is not None and settings.evaluates_after(line["step"]):
                        test_loss, test_accuracy = evaluate(self.layer, test_set, loss=self.task.loss)
                        line |= {"test_loss": test_loss, "test_accuracy": test_accuracy}
                    self.done = line["step"]
                    self.spent, executor.ledger = self.spent + executor.ledger, Ledger()
                    line |= {name: getattr(self.spent, name) for name in ("circuits", "shots", "qpu_seconds")}
                    lines.append(line)
                    if run is not None:
                        run.append(line)  # first: a line too many is dropped on resume, one too few is lost
                    boundary = self.state()
                    if run is not None and settings.checkpoints_after(self.done):
                        run.save(self.done, boundary)
                    bar.show(line)
        except BaseException as error:
            # the step under way may have moved half of the state: what is kept is the last whole step
            if run is None:
                raise
            run.save(boundary["step"], boundary)
            kept = f"{boundary['step']} of {settings.steps} steps are kept in {run.path}; go on with qtrain resume."
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"stopped. {kept}") from None
            error.add_note(kept)
            raise
        finally:
            executor.ledger = spent_elsewhere + (self.spent - spent_before) + executor.ledger
        if run is not None and stopped == "budget":
            run.save(self.done, boundary)
        return self._result(lines, stopped, None if run is None else run.path)

    def _exceeds_budget(self) -> bool:
        """Whether the next step, at its dearest, would spend more than the budget allows."""
        budget = self.task.settings.budget
        if budget is None:
            return False
        return self.spent.qpu_seconds + step_bill(self.task, self.layer.program, self.done)[1].qpu_seconds > budget

    def _result(self, lines: list[dict[str, Any]], stopped: str, run_dir: Path | None) -> TrainResult:
        weights = self.layer.weights.detach().numpy().copy()
        weights.setflags(write=False)
        last = lines[-1] if lines else {}
        return TrainResult(
            weights=weights,
            losses=tuple(line["loss"] for line in lines),
            accuracies=tuple(line["accuracy"] for line in lines),
            test_accuracy=last.get("test_accuracy"),
            test_loss=last.get("test_loss"),
            ledger=self.spent,
            steps=self.done,
            stopped=stopped,
            run_dir=run_dir,
            metrics=tuple(lines),
            compiled=self.layer.compiled,
        )


def _copied(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copied(value) for value in state]
    return state.clone() if isinstance(state, torch.Tensor) else state


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Torch has only small tensors here; its second thread pool would wait for the executor's, at 5 times the cost."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
