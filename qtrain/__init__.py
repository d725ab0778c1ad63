"""qtrain: trains parameterized quantum circuits on a chip, on its noise model, or exactly."""

from qtrain import ansatze, datasets, encoders, gradients
from qtrain.datasets import Dataset
from qtrain.executors.aer import AerExecutor
from qtrain.executors.chip import ChipExecutor
from qtrain.executors.choice import simulator_for
from qtrain.executors.dry_run import DryRun
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.executors.propagation import PropagationSimulator
from qtrain.executors.replay import Replay
from qtrain.executors.torch_simulator import TorchSimulator
from qtrain.gradients import (
    adjoint,
    average,
    finite_difference,
    natural,
    parameter_shift,
    prune,
    rotosolve,
    spsa,
)
from qtrain.layer import QuantumLayer
from qtrain.ledger import Ledger
from qtrain.masked import masked
from qtrain.model import QuantumModel
from qtrain.result import TrainResult
from qtrain.resume import resume
from qtrain.train import evaluate, iter_train, train, train_step

__all__ = [
    "AerExecutor",
    "ChipExecutor",
    "Dataset",
    "DryRun",
    "ExactSimulator",
    "Ledger",
    "NoisySimulator",
    "PropagationSimulator",
    "QuantumLayer",
    "QuantumModel",
    "Replay",
    "TorchSimulator",
    "TrainResult",
    "adjoint",
    "ansatze",
    "average",
    "datasets",
    "encoders",
    "evaluate",
    "finite_difference",
    "gradients",
    "iter_train",
    "masked",
    "natural",
    "parameter_shift",
    "prune",
    "resume",
    "rotosolve",
    "simulator_for",
    "spsa",
    "train",
    "train_step",
]
