"""What a run directory says of a task, and the task back from it. No pickle: QPY, NPZ, JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit import qpy
from qiskit.quantum_info import SparsePauliOp
from torch.nn.functional import cross_entropy

from qcompile.calibration import device_from_json, device_to_json
from qcompile.errors import InputError
from qtrain import gradients
from qtrain.chip.budget import Budget
from qtrain.datasets import Dataset
from qtrain.errors import ConfigError, RunError
from qtrain.executors.base import Executor
from qtrain.gradients.base import GradientMethod
from qtrain.model import QuantumModel
from qtrain.paid import paid
from qtrain.run import FORMAT
from qtrain.settings import Settings
from qtrain.start import Start, read_start
from qtrain.task import Loss, Task, describe, loss_name

START_FILE = "start.npy"

if TYPE_CHECKING:
    from qcompile.device import Device


def inputs(task: Task, identity: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(config.json, the other files) of a new run."""
    model, device = task.model, getattr(task.executor, "device", None)
    circuit, data = io.BytesIO(), io.BytesIO()
    qpy.dump(model.circuit, circuit)
    arrays = {"train_x": task.train_set.x, "train_y": task.train_set.y}
    if task.test_set is not None:
        arrays |= {"test_x": task.test_set.x, "test_y": task.test_set.y}
    np.savez(data, allow_pickle=False, **arrays)
    files = {"circuit.qpy": circuit.getvalue(), "data.npz": data.getvalue()}
    if device is not None:
        files["device.json"] = device_to_json(device).encode()
    chip = paid(task.executor)
    more = {} if chip is None else {"budget": chip.budget and str(chip.budget), **chip.reached_by}
    if task.start is not None:
        files[START_FILE] = task.start.data()
    config = {
        "format": FORMAT,
        "settings": asdict(task.settings),
        "executor": describe(task.executor) | more,
        "device": None if device is None else device.name,
        "gradient": task.gradient.name,
        "loss": loss_name(task.loss),
        "model": {
            "features": [p.name for p in model.features],
            "weights": [p.name for p in model.weights],
            "observables": [[[label, float(c.real)] for label, c in o.to_list()] for o in model.observables],
        },
        "data": {
            "classes": list(task.train_set.classes),
            "train": task.train_set.name,
            "test": None if task.test_set is None else task.test_set.name,
        },
        "start": None if task.start is None else task.start.recorded(),
        "identity": identity,
    }
    return config, files


def read_task(
    path: Path,
    config: dict[str, Any],
    *,
    model: QuantumModel | None = None,
    train_set: Dataset | None = None,
    test_set: Dataset | None = None,
    executor: Executor | None = None,
    gradient: GradientMethod | None = None,
    loss: Loss | None = None,
    budget: float | str | None = None,
) -> Task:
    """The task of a run directory; what is passed is taken instead of what is stored.

    Args:
        budget: instead of the recorded one: that of a chip if it is trained on one, else that of the settings.

    Raises: RunError: a file is missing or damaged, or an executor, gradient method or loss of somebody's own was used
        and is not passed. ConfigError: a budget that cannot be read, or beside a chip's executor, which has its own.
    """
    stored_train, stored_test = _read(path / "data.npz", lambda data: _datasets(data, config["data"]))
    on_chip = "budget" in config["executor"]
    settings = _settings(path, config["settings"])
    of_settings = settings.budget is not None  # on a chip too, where `train(budget=)` was given
    if on_chip and budget is not None:
        if executor is None:
            config = config | {"executor": config["executor"] | {"budget": str(Budget.parse(budget))}}
        elif not of_settings:
            raise ConfigError(f"budget = {budget!r} beside an executor. Expected the budget in the executor itself.")
    if budget is not None and (of_settings or not on_chip):
        settings = replace(settings, budget=_seconds(budget))
    return Task(
        # `or` would take an executor or data set that is empty (a new Replay) for none
        model=read_model(path, config) if model is None else model,
        train_set=stored_train if train_set is None else train_set,
        test_set=stored_test if test_set is None else test_set,
        executor=_executor(path, config) if executor is None else executor,
        gradient=_gradient(config["gradient"]) if gradient is None else gradient,
        settings=settings,
        loss=_loss(config["loss"]) if loss is None else loss,
        start=_start(path, config),
    )


def read_model(path: Path, config: dict[str, Any]) -> QuantumModel:
    """The model of a run directory. Raises: RunError: its file is missing or damaged."""
    model: QuantumModel = _read(path / "circuit.qpy", lambda data: _model(data, config["model"]))
    return model


def _start(path: Path, config: dict[str, Any]) -> Start | None:
    recorded = config.get("start")
    return None if recorded is None else _read(path / START_FILE, lambda data: read_start(data, recorded))


def _read(file: Path, reader: Callable[[bytes], Any]) -> Any:
    try:
        return reader(file.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{file} is missing. Restore it from a backup; the run cannot go on without it.") from None
    except Exception as error:
        raise RunError(f"{file}: cannot be read ({error}). Restore it from a backup.") from None


def _model(data: bytes, config: dict[str, Any]) -> QuantumModel:
    (circuit,) = qpy.load(io.BytesIO(data))
    observables = [SparsePauliOp.from_list([(label, c) for label, c in terms]) for terms in config["observables"]]
    return QuantumModel(circuit, features=config["features"], weights=config["weights"], observables=observables)


def _datasets(data: bytes, config: dict[str, Any]) -> tuple[Dataset, Dataset | None]:
    classes = tuple(config["classes"])
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        train = Dataset(stored["train_x"], stored["train_y"], config["train"], classes)
        if config["test"] is None:
            return train, None
        return train, Dataset(stored["test_x"], stored["test_y"], config["test"], classes)


def _seconds(budget: float | str) -> float:
    seconds = Budget.parse(budget).seconds
    if seconds is None:
        raise ConfigError(f"budget = {budget!r}. Expected QPU seconds; only a run on a chip has a budget in money.")
    return seconds


def _settings(path: Path, stored: dict[str, Any]) -> Settings:
    unknown = sorted(set(stored) - {f.name for f in fields(Settings)})
    if unknown:
        raise RunError(f"{path / 'config.json'}: settings.{unknown[0]} is unknown. Expected what this version wrote.")
    return Settings(**stored)


def _executor(path: Path, config: dict[str, Any]) -> Executor:
    device = None
    if config["device"] is not None:
        device = _read(path / "device.json", lambda data: device_from_json(data.decode(), str(path / "device.json")))
    options = dict(config["executor"])
    try:
        return make_executor(options.pop("kind"), device, **options)
    except ConfigError as error:
        raise RunError(
            f"{path} was trained with {json.dumps(config['executor'])}, which cannot be made from a file. "
            f"Pass it: qtrain.resume(run_dir, executor=...). ({error})"
        ) from None


def _gradient(name: str) -> GradientMethod:
    try:
        return gradients.from_name(name)
    except InputError:
        raise RunError(
            f"the gradient method {name!r} is not one of qtrain's. Pass it: resume(..., gradient=)."
        ) from None


def _loss(name: str) -> Loss:
    if name != "cross_entropy":
        raise RunError(f"the loss {name!r} is not one of qtrain's. Pass it: qtrain.resume(run_dir, loss=...).")
    return cross_entropy


def make_executor(kind: str, device: Device | None, **options: Any) -> Executor:
    """An executor by the name of its class. Raises: ConfigError: an unknown one, or one that lacks its device."""
    if kind == "ExactSimulator" and device is None:
        from qtrain.executors.exact import ExactSimulator

        return ExactSimulator(**options)
    if kind == "NoisySimulator" and device is not None:
        from qtrain.executors.noisy import NoisySimulator

        return NoisySimulator(device, **options)
    if kind == "TorchSimulator":
        from qtrain.executors.torch_simulator import TorchSimulator

        return TorchSimulator(device, device=options.pop("torch_device", "cpu"), **options)
    if kind == "PropagationSimulator" and device is not None:
        from qtrain.executors.propagation import PropagationSimulator

        return PropagationSimulator(device, **options)
    if kind == "AerExecutor" and device is not None:
        from qtrain.executors.aer import AerExecutor

        return AerExecutor(device, **options)
    if kind == "ChipExecutor":  # its device is what the service says now
        from qtrain.executors.chip import ChipExecutor

        name, backend = options.pop("name"), options.pop("backend")
        if name is None:
            raise ConfigError(f"{backend} was given as an object, which no name leads to.")
        return ChipExecutor.from_name(name, **options)
    raise ConfigError(f"executor {kind!r} {'without a' if device is None else 'on a'} device is unknown.")
