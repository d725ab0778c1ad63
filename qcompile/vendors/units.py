"""Vendors' units of time -> seconds, digits kept."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeGuard

POWERS = {"s": 0, "ms": -3, "us": -6, "µs": -6, "μs": -6, "ns": -9, "ps": -12}
"""Unit -> power of ten; both spellings of mu occur."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shifted(value: Any, power: int) -> Any:
    """value * 10 ** power, digits kept: 131.5286444531517 us is 0.0001315286444531517 s. What is no number passes."""
    return float(Decimal(repr(value)).scaleb(power)) if is_number(value) else value
