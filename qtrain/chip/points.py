"""Points that are asked for, each execution under the hash of all that defines it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from qtrain.chip.types import Array
from qtrain.executors.base import EVALUATE, NUM_STREAMS, Key

Points = tuple[Array, Key]
"""Angles [point, slot] and the key of their draw."""


class Asked(NamedTuple):
    """Points of one request, and the hashes of their executions, [basis][point]."""

    angles: Array
    units: list[list[str]]

    @property
    def flat(self) -> list[str]:
        """The hashes, all points of the first basis first."""
        return [unit for points in self.units for unit in points]


def asked(settings: str, num_bases: int, requests: Sequence[Points]) -> list[Asked]:
    """Requests with the hashes of their executions.

    Args:
        settings: circuit, calibration, backend, options, shots: what defines an execution beside angles and draw.
    """
    made = []
    for angles, key in requests:
        units = []
        for basis in range(num_bases):
            start = hashlib.sha256(f"{settings} {key} {basis} ".encode())
            units.append([_hash(start, number, row) for number, row in enumerate(angles)])
        made.append(Asked(angles, units))
    return made


def step_of(requests: Sequence[Points]) -> int:
    """Of the training. An evaluation belongs to the step before it."""
    step = requests[0][1][1]
    return step - 1 if is_evaluation(requests) and step else step


def is_evaluation(requests: Sequence[Points]) -> bool:
    """Whether they are of no step's gradient."""
    return requests[0][1][2] % NUM_STREAMS == EVALUATE


def _hash(start: Any, number: int, angles: Array) -> str:
    """Of one execution; its number in the request sets equal rows apart."""
    digest = start.copy()
    digest.update(f"{number} ".encode() + angles.tobytes())
    return str(digest.hexdigest())
