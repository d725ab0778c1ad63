"""The Pareto front of state fidelity, QPU seconds and money: which chips nothing beats.

Fidelity comes first. A chip is beaten by one of at least its fidelity that takes at most 1 % more QPU seconds and 1 %
more USD: nobody gives fidelity up for a millisecond or a cent. (Among chips of equal fidelity the costs decide as they
are.) An unknown price is not a low one and not a high one: a chip without a price neither beats a priced chip nor is
beaten by one; two chips without a price are compared in the other two numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

ALIKE = 0.01
"""Seconds, and USD, that are within this share of each other are no reason to prefer the lower fidelity."""

Point: TypeAlias = tuple[float, float, float | None]
"""(state fidelity, QPU seconds, USD or None)."""


def dominates(a: Point, b: Point) -> bool:
    """Whether a beats b: never mutual, never in a circle, never where one price alone is known."""
    (fidelity, seconds, usd), (other_fidelity, other_seconds, other_usd) = a, b
    if (usd is None) != (other_usd is None) or fidelity < other_fidelity:
        return False
    slack = 1.0 + ALIKE if fidelity > other_fidelity else 1.0
    costs, other_costs = (seconds, usd or 0.0), (other_seconds, other_usd or 0.0)
    return a != b and all(x <= slack * y for x, y in zip(costs, other_costs))


def pareto_front(points: Sequence[Point | None]) -> tuple[bool, ...]:
    """Which points no other beats; None is never on the front."""
    there = [point for point in points if point is not None]
    return tuple(point is not None and not any(dominates(other, point) for other in there) for point in points)
