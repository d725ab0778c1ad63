"""TrainResult: what a training came to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtrain.ledger import Ledger

if TYPE_CHECKING:
    from qcompile.compiled import CompiledCircuit


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
        reason: why it stopped, in words; empty where it is finished.
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
    reason: str
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
