"""Pauli strings as bit masks: P |j> = i^y (-1)^|j & z| |j ^ x>, y the number of Y, qubit q being bit q."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qtrain.measurement import Measurement

_PAULI_MASKS = {"X": (1, 0), "Y": (1, 1), "Z": (0, 1)}


def string_masks(string: tuple[tuple[int, str], ...]) -> tuple[int, int]:
    """Bit masks (x, z) of a Pauli string given as (qubit, Pauli) pairs."""
    x = z = 0
    for qubit, pauli in string:
        flips, signs = _PAULI_MASKS[pauli]
        x |= flips << qubit
        z |= signs << qubit
    return x, z


def measured_masks(measurement: Measurement) -> NDArray[np.int64]:
    """[string, 2]: masks x, z of every string that is measured."""
    return np.array([string_masks(s) for s in measurement.strings], dtype=np.int64).reshape(-1, 2)
