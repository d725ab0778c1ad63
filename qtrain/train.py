"""Training, top to bottom: a step, the loop over steps, and the loop with its run directory.

`train_step` and `iter_train` are all that a training is; `train` adds what lasts: checkpoints, metrics, a budget, a
clean end on Ctrl-C. A batch is a function of (seed, step) and so is every other draw, so a resumed run equals an
uninterrupted one bit for bit (same machine and versions).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from qtrain.billing import step_bill
from qtrain.datasets import Dataset, as_dataset
from qtrain.errors import BudgetError, ExecutorError, MovedError, StorageError
from qtrain.executors.base import BATCH, Executor, generator
from qtrain.gradients.base import GradientMethod
from qtrain.layer import QuantumLayer
from qtrain.ledger import Ledger
from qtrain.model import QuantumModel
from qtrain.paid import bind_jobs, close, left_open, left_to_pay, paid
from qtrain.progress import TrainingProgress
from qtrain.record import inputs
from qtrain.result import TrainResult
from qtrain.run import RunDirectory, checkpoints, read_metrics
from qtrain.settings import Settings
from qtrain.start import start_from
from qtrain.task import Loss, Task

Rows = Dataset | tuple[Any, Any] | list[Any] | torch.utils.data.Dataset[Any]


class Step(NamedTuple):
    """One gradient step: how many are done with it, and the batch's loss and accuracy before the weights moved."""

    step: int
    loss: float
    accuracy: float
    learning_rate: float
    evaluated: int


def train_step(
    layer: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, loss: Loss
) -> tuple[float, float]:
    """One step on one batch: forward, loss, backward, move.

    Returns: loss and accuracy (share of rows whose largest output is the label's) before the weights moved.
    Raises: ExecutorError: the loss or a derivative of it is not finite; nothing moved.
    """
    optimizer.zero_grad()
    outputs = layer(x)
    value = loss(outputs, y)
    if not math.isfinite(value.item()):
        raise ExecutorError(f"the loss is {value.item()}. Expected a finite number; no weight was moved.")
    value.backward()
    for name, parameter in layer.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            raise ExecutorError(f"the gradient by {name} is not finite. Expected finite numbers; no weight was moved.")
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
    checkpoint_every: int | None = None,
    evaluate_every: int | None = None,
    budget: float | None = None,
    start: str | Path | None = None,
    progress: bool | None = None,
) -> TrainResult:
    """Trains a classifier: softmax cross-entropy over the observables, one a class, unless `loss` says otherwise.

    Args:
        model, executor, gradient: see their types.
        train_set, test_set: `Dataset`s, pairs (x, y), or torch data sets of such pairs; features are angles, rad. The
            test set is evaluated at the end.
        optimizer ... budget: see `Settings`. Weights start uniform in [-pi, pi] from the seed.
        run_dir: keeps metrics and checkpoints, so that `qtrain.resume(run_dir)` can go on after any interruption.
        start: run directory whose last weights to begin with, in place of random ones: train on a noise model, then
            fine-tune on the chip. The optimizer begins anew.
        progress: draw a progress bar on standard error; None: on a terminal only.

    Raises: InputError before anything ran: data, settings, circuit or run directory break a rule. ExecutorError,
        StorageError: something failed on the way; the last whole step is in the checkpoint. KeyboardInterrupt,
        likewise.
    """
    settings = Settings(optimizer, lr, steps, batch_size, seed, schedule, checkpoint_every, evaluate_every, budget)
    rows = as_dataset(train_set, "train_set")
    test_rows = None if test_set is None else as_dataset(test_set, "test_set")
    begin = None if start is None else start_from(start, model)
    task = Task(model, rows, test_rows, executor, gradient, settings, loss, begin)
    return train_task(task, run_dir=run_dir, progress=progress)


def train_task(task: Task, *, run_dir: str | Path | None = None, progress: bool | None = None) -> TrainResult:
    """`train`, for a task that is made already."""
    trainer = Trainer(task)
    if run_dir is None:
        return trainer.run(None, progress=progress)
    config, files = inputs(task, trainer.identity)
    with RunDirectory.create(run_dir, config, files) as run:
        return trainer.run(run, progress=progress)


class Trainer:
    """A task under way: layer, optimizer, steps done, and what they cost.

    Attributes:
        task, layer, optimizer: what trains.
        identity: what the numbers depend on; a checkpoint carries it.
        done: steps done.
        spent: what they cost, before an interruption too.
        chip: the executor where it pays for its jobs; None: nothing is paid for.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.layer = QuantumLayer(task.model, task.executor, task.gradient, seed=task.settings.seed)
        if task.start is not None:
            with torch.no_grad():
                self.layer.weights.copy_(torch.from_numpy(task.start.weights))
        self.optimizer = task.settings.make_optimizer(self.layer)
        self.identity = task.identity(self.layer.program)
        self.done = 0
        self.spent = Ledger()
        self.chip = paid(task.executor)
        self._run_id: str | None = None  # of a chip's jobs, if a checkpoint says so
        self._calibration: str | None = None  # that the last step ran on

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds; a copy."""
        spent = self.spent
        state = {
            "step": self.done,
            "layer": _copied(dict(self.layer.state_dict())),
            "optimizer": _copied(self.optimizer.state_dict()),
            "ledger": [spent.circuits, spent.shots, spent.qpu_seconds, spent.jobs],
            "identity": self.identity,
        }
        if self.chip is not None:
            state["chip"] = {"run_id": self.chip.jobs.run_id, "calibration": self._calibration}
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state."""
        self.layer.load_state_dict(state["layer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = state["step"]
        self.spent = Ledger(*state["ledger"])
        if "chip" in state:
            self._run_id, self._calibration = state["chip"]["run_id"], state["chip"]["calibration"]

    def bind(self, run_dir: Path | None) -> None:
        """Takes the jobs of a run directory, if the executor has any. Raises: RunError: they are not the run's."""
        if self.chip is not None:
            bind_jobs(self.chip, run_dir, self._run_id)

    def run(self, run: RunDirectory | None, *, progress: bool | None) -> TrainResult:
        """The rest of the steps, with checkpoints where there is a run directory."""
        path = None if run is None else run.path
        self.bind(path)
        if run is not None and not checkpoints(run.path):
            run.save(0, self.state())
        settings, executor = self.task.settings, self.task.executor
        lines = [] if run is None else read_metrics(run.path)
        boundary, kept, reason = self.state(), self.done, ""
        # the ledger counts one step at a time, so that sums round the same way after an interruption
        spent_elsewhere, executor.ledger = executor.ledger, Ledger()
        spent_before = self.spent
        try:
            steps = self._steps()
            with _one_torch_thread(), TrainingProgress(settings.steps, done=self.done, show=progress) as bar:
                while self.done < settings.steps:
                    try:
                        line = self._next(steps)
                    except BudgetError as error:
                        reason = str(error)
                        if self.chip is not None:
                            reason = f"{reason} {left_open(self.chip)}".strip()
                            self.chip.jobs.event("budget", reason)
                        self.load(boundary)  # an evaluation may have been refused after the weights moved
                        break
                    except MovedError as error:
                        assert self.chip is not None
                        self.chip.jobs.event("recompilation", str(error))
                        self.load(boundary)
                        steps = self._steps()
                        continue
                    lines.append(line)
                    if run is not None:
                        run.append(line)  # first: a line too many is dropped on resume, one too few is lost
                    boundary = self.state()
                    if run is not None and settings.checkpoints_after(self.done, paid=self.chip is not None):
                        run.save(self.done, boundary)
                        kept = self.done
                    bar.show(line)
            if run is not None and kept != self.done:
                run.save(self.done, boundary)
        except BaseException as error:
            # the step under way may have moved half of the state: what is kept is the last whole step
            self._keep(run, boundary, kept, error)
            raise
        finally:
            executor.ledger = spent_elsewhere + (self.spent - spent_before) + executor.ledger
            if self.chip is not None:
                close(self.chip)
        return self._result(lines, reason, path)

    def _steps(self) -> Iterator[Step]:
        """Those that are left."""
        task = self.task
        return iter_train(self.layer, self.optimizer, task.train_set, task.settings, loss=task.loss, start=self.done)

    def _next(self, steps: Iterator[Step]) -> dict[str, Any]:
        """One step: its line of metrics. Raises: BudgetError: the budget does not allow it; nothing was sent."""
        settings, test_set, executor = self.task.settings, self.task.test_set, self.task.executor
        line: dict[str, Any] = {}
        self._check_budget()
        if self.chip is not None:
            moved = self._recompiled()
            line = {"calibration": moved} if moved else {}
            bill = step_bill(self.task, self.layer.program, self.done)[1]
            self.chip.preflight(self.layer.program, left_to_pay(self.chip, bill, self.done, self._calibration))
        line = next(steps)._asdict() | line
        if test_set is not None and settings.evaluates_after(line["step"]):
            test_loss, test_accuracy = self._evaluated(test_set)
            line |= {"test_loss": test_loss, "test_accuracy": test_accuracy}
        self.done = line["step"]
        self.spent, executor.ledger = self.spent + executor.ledger, Ledger()
        return line | {name: getattr(self.spent, name) for name in ("circuits", "shots", "qpu_seconds")}

    def _evaluated(self, rows: Dataset) -> tuple[float, float]:
        """Loss and accuracy on rows, compiled anew as often as a chip's calibration moves under it."""
        while True:
            try:
                return evaluate(self.layer, rows, loss=self.task.loss)
            except MovedError as error:
                assert self.chip is not None
                self.chip.jobs.event("recompilation", str(error))
                self.chip.refresh(self.layer.program)
                self.layer.recompile()

    def _recompiled(self) -> str | None:
        """What moved where the chip's calibration has, since the last step or since the run stopped."""
        assert self.chip is not None
        moved = self.chip.refresh(self.layer.program, self.done)
        if moved is not None:
            self.layer.recompile()
        before, now = self._calibration, _calibration(self.layer)
        self._calibration = now
        if before == now:
            return None  # back on what the step was begun on
        if moved is None and before not in (None, now):
            moved = f"calibration {before} -> {now}: it moved while the run stood still"
            self.chip.jobs.event("recompilation", moved)
        return moved

    def _check_budget(self) -> None:
        """Raises: BudgetError: the next step, at its dearest, would spend more than the settings allow."""
        budget = self.task.settings.budget
        if budget is None:
            return
        cost = step_bill(self.task, self.layer.program, self.done)[1].qpu_seconds
        if self.spent.qpu_seconds + cost > budget:
            raise BudgetError(
                f"the next step may cost {cost:,.2f} QPU seconds; {self.spent.qpu_seconds:,.2f} of the budget of "
                f"{budget:,.2f} are spent. A larger budget goes on: qtrain resume RUN --budget SECONDS."
            )

    def _keep(self, run: RunDirectory | None, boundary: dict[str, Any], kept: int, error: BaseException) -> None:
        """The last whole step to the disk, and where to find it into the error's message.

        Raises: KeyboardInterrupt, with that message. StorageError: it could not be kept.
        """
        said = "" if self.chip is None else left_open(self.chip)
        if run is not None:
            if kept != boundary["step"]:
                try:
                    run.save(boundary["step"], boundary)
                except StorageError as failure:
                    failure.add_note(f"Before that: {type(error).__name__}: {error}".rstrip(": "))
                    raise
            steps = f"{boundary['step']} of {self.task.settings.steps} steps"
            said = f"{said} {steps} are kept in {run.path}; go on with qtrain resume {run.path}.".strip()
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"stopped. {said}".strip()) from None
        if said:
            error.add_note(said)

    def _result(self, lines: list[dict[str, Any]], reason: str, run_dir: Path | None) -> TrainResult:
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
            stopped="budget" if reason else "finished",
            reason=reason,
            run_dir=run_dir,
            metrics=tuple(lines),
            compiled=self.layer.compiled,
        )


def _calibration(layer: QuantumLayer) -> str | None:
    device = layer.program.device
    return None if device is None else device.sha256


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
