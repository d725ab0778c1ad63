"""How far a fidelity may have moved since the calibration: errors drift, and nobody measured them in between.

Model: each element's error (a gate on its qubits, a waiting qubit, a readout) is multiplied by a log-normal factor
exp(sigma z - sigma^2 / 2), z standard normal and independent, so that the calibrated value is the mean: a chip does not
get worse by being left alone. sigma^2 = FRESH^2 + DRIFT^2 x min(age, LONGEST days) in days. To first order an
element's share of -log fidelity scales with its error, so no circuit is estimated again; what that leaves out is a gate
whose error is all T1, and which a shorter T1 makes worse though its own error stays.

The three numbers are assumptions, not measurements of the chip at hand: they are of the size that published series of
T1 and of gate errors show over hours, days and weeks (Burnett et al., npj Quantum Information 5, 54, 2019; Klimov et
al., Phys. Rev. Lett. 121, 090502, 2018), and after LONGEST days an element is as far from its old value as the elements
of one chip are from each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np

FRESH = 0.1
"""Log-normal width of an error that was just measured."""

DRIFT = 0.2
"""What a day adds, in quadrature."""

LEVEL = 0.68
"""Probability of an interval unless said otherwise: one standard deviation of a normal one."""

LONGEST = 10.0
"""Days after which nothing more is added."""

_SAMPLES = 4000
_SEED = 0


class Interval(NamedTuple):
    """Where a fidelity lies with the given probability."""

    low: float
    high: float


def drift(age: timedelta) -> float:
    """Log-normal width of one error after `age`; an age below zero (clocks differ) counts as none."""
    days = min(max(age / timedelta(days=1), 0.0), LONGEST)
    return math.sqrt(FRESH**2 + DRIFT**2 * days)


def resampled(losses: Sequence[float], age: timedelta, level: float) -> Interval:
    """Interval of exp(-sum of losses) when every loss is drawn anew.

    Args:
        losses: of each element, -log fidelity, at the calibrated errors.
        level: probability that the interval holds, in (0, 1).
    Raises: ValueError: a level outside.
    """
    if not 0 < level < 1:
        raise ValueError(f"level = {level}. Expected a probability between 0 and 1, e.g. 0.68.")
    normal = np.random.default_rng(_SEED).standard_normal((_SAMPLES, len(losses)))
    sigma = drift(age)
    fidelity = np.exp(-(np.exp(sigma * normal - sigma**2 / 2) @ np.asarray(losses, dtype=np.float64)))
    low, high = np.quantile(fidelity, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
