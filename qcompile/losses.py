"""What is lost where: each gate on its qubits, each waiting qubit, each readout, as shares of -log fidelity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from qcompile.device import Device
from qcompile.fidelity.program import CAUSES, Element
from qcompile.fidelity.tiers import Survival

_ROUNDING = 1e-12  # loss of an element below which it is a rounding of sums: relaxation in |0>, which harms nothing


class Loss(NamedTuple):
    """One element's part of what is lost.

    Attributes:
        cause: "one_qubit", "two_qubit", "idle" or "readout".
        name: native gate, "idle" or "measure".
        qubits: physical ones, ascending: both directions of a coupler are one place.
        loss: -log of the survival, natural; all of them add up to that of the whole. inf for a dead element.
    """

    cause: str
    name: str
    qubits: tuple[int, ...]
    loss: float

    @property
    def where(self) -> str:
        """In words, e.g. "cx(0, 1)"."""
        return f"{self.name}({', '.join(map(str, self.qubits))})"


def gathered(elements: Sequence[Element], survival: Survival, element: NDArray[np.int64]) -> list[Loss]:
    """Losses of gates and waiting; they add up to -log of the mean state fidelity.

    What the operations lose by themselves adds up to a little more: some of it comes back (the floor of an estimate, or
    what only the exact method sees). Each is therefore scaled by the same factor.
    """
    sums = np.bincount(element, survival.losses, len(elements))
    whole = float(sums[sums > _ROUNDING].sum())
    total = -math.log(max(float(survival.fidelity.mean()), 1e-300))
    if total <= _ROUNDING:
        return []
    scale = total / whole if whole > 0 else 0.0
    found: dict[Element, float] = {}
    for (cause, name, qubits), value in zip(elements, sums.tolist()):
        if value > _ROUNDING:
            place = Element(cause, name, tuple(sorted(qubits)))  # both directions of a coupler are one place
            found[place] = found.get(place, 0.0) + value * scale
    return [Loss(*place, loss=value) for place, value in found.items()]


def readout_losses(device: Device, measured: Iterable[int]) -> list[Loss]:
    """-log (1 - error) of each measured physical qubit that has a readout error."""
    found = []
    for q in measured:
        readout = device.qubits[q].readout
        if readout is not None and readout.error > 0:
            found.append(Loss("readout", "measure", (q,), -math.log(max(1 - readout.error, 1e-300))))
    return found


def ordered(losses: Iterable[Loss]) -> list[Loss]:
    """Largest first; of equals by name and qubits, so that the order is the same on every run."""
    return sorted(losses, key=lambda x: (-x.loss, x.name, x.qubits))


def by_cause(losses: Iterable[Loss]) -> dict[str, float]:
    """Sum of the losses of each cause."""
    sums = dict.fromkeys(CAUSES, 0.0)
    for loss in losses:
        sums[loss.cause] += loss.loss
    return sums


_Key = TypeVar("_Key", int, tuple[int, int])


def grouped(losses: Iterable[tuple[_Key, float]]) -> dict[_Key, float]:
    """Sum for each key, largest first, of equals the lower key first."""
    sums: dict[_Key, float] = {}
    for key, loss in losses:
        sums[key] = sums.get(key, 0.0) + loss
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))
