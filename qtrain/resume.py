"""Going on with a run: exactly as if it had never stopped, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtrain.datasets import as_dataset
from qtrain.errors import RunError
from qtrain.executors.base import Executor
from qtrain.gradients.base import GradientMethod
from qtrain.model import QuantumModel
from qtrain.record import read_task
from qtrain.result import TrainResult
from qtrain.run import RunDirectory, differences, latest, read_config
from qtrain.task import Loss
from qtrain.train import Rows, Trainer


def resume(
    run_dir: str | Path,
    *,
    model: QuantumModel | None = None,
    train_set: Rows | None = None,
    test_set: Rows | None = None,
    executor: Executor | None = None,
    gradient: GradientMethod | None = None,
    loss: Loss | None = None,
    budget: float | str | None = None,
    allow_changed_environment: bool = False,
    progress: bool | None = None,
) -> TrainResult:
    """Goes on with the training of a run directory, from its last whole checkpoint, to its last step.

    The result equals that of the uninterrupted run bit for bit. A run that is finished is returned as it is.

    Args:
        model, train_set, test_set, executor, gradient, loss: instead of what the directory holds; needed only for
            an executor, gradient method or loss of your own. They are compared with what was recorded.
        budget: QPU seconds in all (on a chip also "25 USD"), what is spent already included, instead of the recorded
            limit. An executor that is passed brings its own.
        allow_changed_environment: go on although versions or the machine changed; the last bits may differ.

    Raises: RunError: no run is there, another process is at it, its files are damaged, or something that the numbers
        depend on has changed: the message lists what, recorded -> now.
    """
    with RunDirectory.open(run_dir) as run:
        task = read_task(
            run.path,
            run.config,
            model=model,
            train_set=None if train_set is None else as_dataset(train_set, "train_set"),
            test_set=None if test_set is None else as_dataset(test_set, "test_set"),
            executor=executor,
            gradient=gradient,
            loss=loss,
            budget=budget,
        )
        trainer = Trainer(task)
        found = latest(run.path)
        recorded = run.config["identity"] if found is None else found[1]["identity"]
        check_same(run.path, recorded, trainer.identity, allow_changed_environment)
        if found is not None:
            trainer.load(found[1])
        chip = trainer.chip
        run.record_budget(task.settings.budget, str(chip.budget) if chip is not None and chip.budget else None)
        run.rewind(trainer.done)
        return trainer.run(run, progress=progress)


def open_run(run_dir: str | Path) -> Trainer:
    """The trainer of a run as it was at its last checkpoint, without its lock: to evaluate, not to train.

    On a chip, what it costs to evaluate counts in the run's jobs and its budget.

    Raises: RunError: as `resume`; versions may have changed.
    """
    path = Path(run_dir)
    config = read_config(path)
    trainer = Trainer(read_task(path, config))
    found = latest(path)
    if found is not None:
        check_same(path, found[1]["identity"], trainer.identity, True)
        trainer.load(found[1])
    trainer.bind(path)
    return trainer


def check_same(path: Path, recorded: dict[str, Any], now: dict[str, Any], allow_changed_environment: bool) -> None:
    """Raises RunError with a list of what changed."""
    changed = differences(recorded, now)
    environment = [c for c in changed if c.startswith("environment.")]
    if allow_changed_environment:
        changed = [c for c in changed if c not in environment]
    if changed:
        way_out = (
            "Restore it, or go on all the same with allow_changed_environment=True "
            "(qtrain resume --allow-changed-environment); the last bits may then differ."
            if changed == environment
            else "Restore it, or train anew in another run directory."
        )
        raise RunError(f"{path}: not what this run was started with:\n  " + "\n  ".join(changed) + f"\n{way_out}")
