"""Configuration: a TOML file and command-line options -> a Task. Unknown keys and wrong types are refused by name.

[data]      source = "digits" | "rows.csv" | "rows.npz"   label   scale = "none" | "minmax"   test_fraction
[model]     encoder   ansatz   qubits   blocks
[executor]  kind = "exact" | "noisy" | "propagation" | "aer" | "torch" | "auto" | "chip"   device   shots   effort
            torch: torch_device   chip: backend   instance   mode   accept_seconds   mitigate_readout   options
[gradient]  method   ratio   accumulation_window   pruning_window
[train]     optimizer lr steps batch_size seed schedule checkpoint_every evaluate_every budget start run_dir
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from qiskit import QuantumCircuit

from qcompile.calibration import load_device
from qtrain import ansatze, datasets, encoders, gradients
from qtrain.chip.budget import Budget
from qtrain.chip.credentials import refuse_credentials
from qtrain.datasets import Dataset
from qtrain.encoders import Built
from qtrain.errors import ConfigError, DataError
from qtrain.executors.base import Executor
from qtrain.gradients.base import GradientMethod
from qtrain.model import QuantumModel
from qtrain.record import make_executor
from qtrain.settings import Settings
from qtrain.start import start_from
from qtrain.task import Task

if TYPE_CHECKING:
    from qcompile.device import Device

ENCODERS = ("angle", "ry_rz_rx_ry", "zz_feature_map")
ANSATZE = ("rzz_ring", "rzz_ry", "u3cu3", "efficient_su2")
DEFAULT_SHOTS = 1024
SAMPLED = ("noisy", "aer", "chip")
"""Executors that take shots unless told otherwise."""
DEFAULT_BLOCKS = 3


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DataSection(_Section):
    """Where the rows come from. `scale` "minmax" maps columns to [0, pi]; "none" takes values as angles, rad."""

    source: str = "digits"
    label: str | None = None
    scale: Literal["none", "minmax"] = "none"
    test_fraction: float = 0.25


class ModelSection(_Section):
    """The circuit. Left out: an encoder that fits the data, and as many qubits as it and the classes need."""

    encoder: Literal["angle", "ry_rz_rx_ry", "zz_feature_map"] | None = None
    ansatz: Literal["rzz_ring", "rzz_ry", "u3cu3", "efficient_su2"] = "rzz_ring"
    qubits: int | None = Field(default=None, ge=1)
    blocks: int = Field(default=DEFAULT_BLOCKS, ge=1)


class ExecutorSection(_Section):
    """Who evaluates. Left out: chip where a backend is named, noisy where a device is, else exact.

    Shots: 1024 if noisy, aer or chip, else none. "auto" is what `qtrain.simulator_for` chooses for the circuit, the
    device and the shots. A chip is a `backend` by name; `device` serves its bill alone, without the network. Its
    `options` go to the service's sampler as they are: [executor.options.dynamical_decoupling] enable = true.
    """

    kind: Literal["exact", "noisy", "propagation", "aer", "torch", "auto", "chip"] | None = None
    device: str | None = None
    shots: int | None = None
    effort: Literal["fast", "normal", "best"] = "normal"
    torch_device: str | None = None
    backend: str | None = None
    instance: str | None = None
    mode: Literal["batch", "job", "session"] | None = None
    accept_seconds: float | None = None
    mitigate_readout: bool | None = None
    options: dict[str, Any] | None = None


class GradientSection(_Section):
    """A method as it names itself; a ratio wraps it in `prune`. Left out: adjoint where nothing is sampled."""

    method: str | None = None
    ratio: float | None = None
    accumulation_window: int | None = None
    pruning_window: int | None = None


class TrainSection(_Section):
    """`qtrain.settings.Settings`, which checks the values, and where the run is kept."""

    optimizer: str = "adam"
    lr: float = 0.05
    steps: int = 200
    batch_size: int = 32
    seed: int = 0
    schedule: str = "cosine"
    checkpoint_every: int | None = None
    evaluate_every: int | None = None
    budget: float | str | None = None
    start: str | None = None
    run_dir: str | None = None


class Config(_Section):
    """A whole configuration, checked for keys and types."""

    data: DataSection = DataSection()
    model: ModelSection = ModelSection()
    executor: ExecutorSection = ExecutorSection()
    gradient: GradientSection = GradientSection()
    train: TrainSection = TrainSection()

    @property
    def kind(self) -> str:
        """exact, noisy, propagation, aer, torch, auto or chip."""
        section = self.executor
        return section.kind or ("chip" if section.backend else "noisy" if section.device else "exact")

    @property
    def shots(self) -> int | None:
        """Of each circuit; None: exact expectations."""
        return DEFAULT_SHOTS if self.executor.shots is None and self.kind in SAMPLED else self.executor.shots


def read_config_file(path: str | Path | None, overrides: Mapping[tuple[str, str], Any]) -> Config:
    """The file's values, or defaults, with (section, key) overrides on top.

    Files that the configuration names (data.source, a device's .json) are relative to it; run_dir is made where the
    command runs.

    Raises: ConfigError: no such file, no TOML, an unknown key, a wrong type, a credential; names file and key.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _toml(Path(path))
        for section, key in (("data", "source"), ("executor", "device")):
            table = values.get(section)
            named = table.get(key) if isinstance(table, dict) else None
            if isinstance(named, str) and Path(named).suffix.lower() in (".csv", ".npz", ".json"):
                values[section][key] = str(Path(path).parent / named)
    for (section, key), value in overrides.items():
        if not isinstance(values.setdefault(section, {}), dict):
            raise ConfigError(f"{path}: {section} = {values[section]!r}. Expected a table: [{section}].")
        values[section][key] = value
    refuse_credentials(values, str(path or "options"))
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        rule = "is no known key" if first["type"] == "extra_forbidden" else f"= {first['input']!r}: {first['msg']}"
        raise ConfigError(
            f"{path or 'options'}: {place} {rule}. See `qtrain train --help` for keys and their values."
        ) from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Expected a TOML configuration.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}). Expected a TOML configuration.") from None


def build(config: Config, *, dry: bool = False) -> Task:
    """The task that a configuration describes; `dry`: on an executor that only counts.

    Raises: ConfigError, DataError, ModelError, UnknownDeviceError. On a chip also MissingExtraError, ExecutorError: its
        backend cannot be reached.
    """
    _refuse_strangers(config)
    chosen = {f.name: getattr(config.train, f.name) for f in fields(Settings)}
    settings = Settings(**chosen | {"budget": _seconds(config)})
    gradient = make_gradient(config)
    train_set, test_set = make_data(config)
    model = make_model(config, train_set)
    start = None if config.train.start is None else start_from(config.train.start, model)
    return Task(model, train_set, test_set, make_named_executor(config, model, dry), gradient, settings, start=start)


def make_named_executor(config: Config, model: QuantumModel, dry: bool) -> Executor:
    """The executor of a configuration. An exact one leaves a device aside, "auto" and "torch" may go without."""
    if config.kind == "chip" and not dry:
        return _chip(config)
    device = None
    if config.kind == "chip":
        device = _chip_device(config)
    elif config.kind != "exact" and not (config.kind in ("auto", "torch") and config.executor.device is None):
        if config.executor.device is None:
            raise ConfigError(f"executor {config.kind!r} needs a device. Add --device, e.g. --device ibm_manila.")
        device = load_device(config.executor.device)
    if dry:
        from qtrain.executors.dry_run import DryRun

        return DryRun(device, shots=config.shots, seed=config.train.seed, effort=config.executor.effort)
    if config.kind == "auto":
        from qtrain.executors.choice import simulator_for

        seed, effort = config.train.seed, config.executor.effort
        return simulator_for(model, device, shots=config.shots, seed=seed, effort=effort)
    if config.kind == "torch":
        place = config.executor.torch_device or "cpu"
        seed, effort = config.train.seed, config.executor.effort
        return make_executor("TorchSimulator", device, torch_device=place, shots=config.shots, seed=seed, effort=effort)
    if device is None:
        return make_executor("ExactSimulator", None, shots=config.shots)
    kind = {"noisy": "NoisySimulator", "propagation": "PropagationSimulator", "aer": "AerExecutor"}[config.kind]
    return make_executor(kind, device, shots=config.shots, seed=config.train.seed, effort=config.executor.effort)


def _refuse_strangers(config: Config) -> None:
    """Keys of one kind of executor on another would do nothing. Raises: ConfigError."""
    section = config.executor
    of_a_chip = ("backend", "instance", "mode", "accept_seconds", "mitigate_readout", "options")
    for kind, keys in (("chip", of_a_chip), ("torch", ("torch_device",))):
        named = [key for key in keys if getattr(section, key) is not None]
        if config.kind != kind and named:
            raise ConfigError(
                f"executor.{named[0]} is for executor {kind!r}, this is {config.kind!r}. "
                f"Leave it out, or choose --executor {kind}."
            )


def _chip(config: Config) -> Executor:
    """A backend by its name, with all that is passed on to it."""
    from qtrain.executors.chip import ChipExecutor

    section = config.executor
    if not section.backend:
        raise ConfigError(
            "executor 'chip' needs a backend. Add --backend: a name of your IBM account (ibm_fez), or fake_manila or "
            "aer to rehearse here, free of charge. --device serves `qtrain cost` alone."
        )
    if section.device is not None:
        raise ConfigError(
            f"executor.device = {section.device!r} beside backend {section.backend!r}: a chip has its own calibration. "
            "Leave it out; give it to `qtrain cost` as --device for a bill without the network."
        )
    arguments = {key: getattr(section, key) for key in ("instance", "mode", "mitigate_readout", "options")}
    executor = ChipExecutor.from_name(
        section.backend,
        shots=config.shots,
        seed=config.train.seed,
        effort=section.effort,
        budget=config.train.budget,
        accept_seconds=section.accept_seconds,
        **{key: value for key, value in arguments.items() if value is not None},
    )
    if not config.train.run_dir and not executor.service.is_local:
        raise ConfigError(
            f"train.run_dir is left out, and {section.backend} runs elsewhere: what is paid for there would be lost "
            "with this process. Add --run-dir runs/chip."
        )
    return executor


def _chip_device(config: Config) -> Device:
    """Whose bill it is: a stored calibration, or that of the backend as it is now."""
    from qtrain.chip.primitives import backend_by_name, service_of
    from qtrain.chip.sampler_options import check_options

    section = config.executor
    if section.device is None and not section.backend:
        raise ConfigError(
            "executor 'chip' needs a device or a backend for its bill. Add --device ibm_fez (a stored calibration), or "
            "--backend for the calibration of now."
        )
    if section.device is not None:
        device = load_device(section.device)
    else:
        device = service_of(backend_by_name(str(section.backend), section.instance)).device()
    check_options(section.options or {}, config.shots or 0, device)
    return device


def _seconds(config: Config) -> float | None:
    """The limit of the settings, QPU seconds. A chip's executor keeps the budget itself: it knows what was charged."""
    budget = config.train.budget
    cap = None if budget is None else Budget.parse(budget)
    if cap is None or config.kind == "chip":
        return None
    if cap.seconds is None:
        raise ConfigError(f"budget = {budget!r}: executor {config.kind!r} counts QPU seconds. Expected 60, or '2 min'.")
    return cap.seconds


def make_gradient(config: Config) -> GradientMethod:
    """The gradient method of a configuration; windows without a ratio are refused, since they would do nothing."""
    section = config.gradient
    exact = config.kind not in SAMPLED and config.shots is None
    default = "adjoint()" if exact else "parameter_shift()"
    method = gradients.from_name(section.method or default)
    windows = {k: v for k in ("accumulation_window", "pruning_window") if (v := getattr(section, k)) is not None}
    if section.ratio is None:
        if windows:
            raise ConfigError(f"gradient.{next(iter(windows))} without gradient.ratio prunes nothing. Add --ratio.")
        return method
    return gradients.prune(method, ratio=section.ratio, **windows)


def make_data(config: Config) -> tuple[Dataset, Dataset]:
    """(training, test) rows. Raises: DataError: also where unscaled values cannot be meant as angles."""
    section = config.data
    if section.source == "digits":
        if section.label is not None or section.scale != "none":
            raise ConfigError("data.label and data.scale are for files. digits is labelled, and scaled to [0, pi].")
        return datasets.digits(config.train.seed)
    rows = datasets.load(section.source, label=section.label)
    train, test = datasets.split(rows, test_fraction=section.test_fraction, seed=config.train.seed)
    if section.scale == "minmax":
        train, test = datasets.scaled(train, test)
    elif np.abs(rows.x).max() > 2 * np.pi:
        row, column = np.unravel_index(np.abs(rows.x).argmax(), rows.x.shape)
        raise DataError(
            f"{rows.name}: feature {column} of row {row} is {rows.x[row, column]}, as an angle more than a full turn. "
            'Scale the columns to [0, pi] with scale = "minmax" (--scale minmax), or bring them to radians.'
        )
    return train, test


def make_model(config: Config, data: Dataset) -> QuantumModel:
    """Encoder and ansatz, Z of qubit k for class k."""
    section, count, classes = config.model, data.num_features, data.num_classes
    encoder = section.encoder
    if encoder is None:
        encoder = "ry_rz_rx_ry" if count % 4 == 0 and count // 4 >= classes else "angle"
    encoding, features = _encoder(encoder, count)
    num_qubits = section.qubits or max(encoding.num_qubits, classes)
    if num_qubits < max(encoding.num_qubits, classes):
        raise ConfigError(
            f"model.qubits = {num_qubits}. {data.name} needs {encoding.num_qubits} for {count} features with "
            f"encoder {encoder!r}, and {classes} for its classes. Expected the larger of the two at least."
        )
    ansatz, weights = _ansatz(section.ansatz, num_qubits, section.blocks)
    circuit = QuantumCircuit(num_qubits)
    circuit.compose(encoding, range(encoding.num_qubits), inplace=True)
    circuit.compose(ansatz, inplace=True)
    return QuantumModel(
        circuit, features=features, weights=weights, observables=[f"Z{qubit}" for qubit in range(classes)]
    )


def _encoder(name: str, num_features: int) -> Built:
    if name == "ry_rz_rx_ry":
        if num_features % 4:
            raise ConfigError(
                f"encoder 'ry_rz_rx_ry' takes 4 features a qubit; the data has {num_features}. "
                "Expected a multiple of 4, or encoder 'angle'."
            )
        return encoders.ry_rz_rx_ry(num_features // 4)
    return encoders.angle_encoder(num_features) if name == "angle" else encoders.zz_feature_map(num_features)


def _ansatz(name: str, num_qubits: int, blocks: int) -> Built:
    if name == "efficient_su2":
        return ansatze.efficient_su2(num_qubits, reps=blocks)
    return {"rzz_ring": ansatze.rzz_ring, "rzz_ry": ansatze.rzz_ry, "u3cu3": ansatze.u3cu3}[name](num_qubits, blocks)
