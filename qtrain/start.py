"""Start: the weights of another run's last checkpoint, for a training that begins where that one stands."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import RunError
from qtrain.model import QuantumModel
from qtrain.result import weights_sha256
from qtrain.run import differences, latest, read_config


@dataclass(frozen=True, eq=False)
class Start:
    """Where a training begins.

    Attributes:
        weights: [weight] rad.
        run: the directory that they come from.
        step: steps that had been done there.
    """

    weights: NDArray[np.float64]
    run: str
    step: int

    @property
    def sha256(self) -> str:
        """Hash of the weights, bit for bit."""
        return weights_sha256(self.weights)

    def recorded(self) -> dict[str, Any]:
        """What the new run's config.json says."""
        return {"run": self.run, "step": self.step, "weights_sha256": self.sha256}

    def data(self) -> bytes:
        """The weights as the new run keeps them, so that it does not depend on the other directory."""
        file = io.BytesIO()
        np.save(file, self.weights, allow_pickle=False)
        return file.getvalue()


def read_start(data: bytes, recorded: dict[str, Any]) -> Start:
    """What `data` and `recorded` gave. Raises: ValueError: they do not belong together."""
    start = Start(np.load(io.BytesIO(data), allow_pickle=False), recorded["run"], recorded["step"])
    if start.sha256 != recorded["weights_sha256"]:
        raise ValueError("its sha256 is not the one of config.json")
    return start


def start_from(run_dir: str | Path, model: QuantumModel) -> Start:
    """The weights of a run's last whole checkpoint, for the same circuit; executor and gradient method may differ.

    Raises: RunError: no run is there, no checkpoint of it is whole, or its features, weights, observables or circuit
        are others; lists what differs.
    """
    from qtrain.record import read_model

    path = Path(run_dir)
    config = read_config(path)
    other = read_model(path, config)
    changed = differences(_meaning(other), _meaning(model))
    if changed:
        raise RunError(
            f"{path}: its weights belong to another model:\n  "
            + "\n  ".join(changed)
            + "\nExpected the same features, weights, observables and circuit; give the same model options."
        )
    found = latest(path)
    if found is None:
        raise RunError(f"{path} has no checkpoint yet. Resume it first: qtrain resume {path}.")
    step, state = found
    return Start(np.array(state["layer"]["weights"].numpy(), dtype=np.float64), str(path), step)


def _meaning(model: QuantumModel) -> dict[str, Any]:
    return {
        "features": [p.name for p in model.features],
        "weights": [p.name for p in model.weights],
        "observables": [[(label, c.real) for label, c in o.to_list()] for o in model.observables],
        "circuit": model.sha256,
    }
