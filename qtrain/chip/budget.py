"""Budget: the cap of a run on a chip, in QPU seconds or in money, and what it takes to go without one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qcompile.cost import Usage, Workload, charge, price_for
from qtrain.errors import ConfigError

if TYPE_CHECKING:
    from qcompile.device import Device
    from qtrain.chip.types import Service

_UNITS = {
    "": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
}  # fmt: skip
_WRITTEN = re.compile(
    r"\s*(?P<dollar>\$?)\s*(?P<number>[+-]?[\d.]+(?:[eE][+-]?\d+)?|[+-]?nan|[+-]?inf)\s*(?P<unit>\S*)\s*"
)
_EXPECTED = 'Expected QPU seconds or money above 0: 60, "60 s", "2 min", "25 USD" or "$25".'
_SLACK = 1e-9  # relative: a sum of steps may round above a cap that it meets exactly


class Amount(NamedTuple):
    """What is or would be spent: QPU seconds, and USD (None where the device has no price)."""

    seconds: float
    usd: float | None = None


@dataclass(frozen=True)
class Budget:
    """What a run may spend in all: either QPU seconds or USD, the other one None.

    Raises: ConfigError: both, neither, or a number that is not finite and above 0.
    """

    seconds: float | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        caps = [cap for cap in (self.seconds, self.usd) if cap is not None]
        if len(caps) != 1 or not math.isfinite(caps[0]) or caps[0] <= 0:
            raise ConfigError(f"budget = {self.seconds!r} s, {self.usd!r} USD. {_EXPECTED}")

    def __str__(self) -> str:
        return f"{self.usd:.12g} USD" if self.seconds is None else f"{self.seconds:.12g} s"

    @classmethod
    def parse(cls, value: Any) -> Budget:
        """A budget as people write it; a number alone is seconds.

        Raises: ConfigError: another unit, or a number that is not finite and above 0.
        >>> Budget.parse("2 min").seconds, Budget.parse("$25").usd
        (120.0, 25.0)
        """
        if isinstance(value, Budget):
            return value
        if isinstance(value, str):
            number, factor, money = _read(value)
        elif isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
            number, factor, money = float(value), 1.0, False
        else:
            raise ConfigError(f"budget = {value!r}. {_EXPECTED}")
        if not math.isfinite(number) or number <= 0:
            raise ConfigError(f"budget = {value!r}. {_EXPECTED}")
        return cls(usd=number) if money else cls(seconds=number * factor)

    def refuses(self, spent: Amount, following: Amount) -> str | None:
        """Why the next step may not be sent, with its figures; None where the budget allows it.

        Args:
            spent: so far.
            following: the next step, at its dearest.
        Raises: ConfigError: the budget is money, and the device has no price.
        """
        if self.seconds is not None:
            if spent.seconds + following.seconds <= self.seconds * (1 + _SLACK):
                return None
            used, needed, cap = (f"{s:,.2f}" for s in (spent.seconds, following.seconds, self.seconds))
            unit = "QPU seconds"
        else:
            assert self.usd is not None
            if spent.usd is None or following.usd is None:
                raise ConfigError(f"budget = {self}, but the device has no price. Give QPU seconds: budget=60.")
            if spent.usd + following.usd <= self.usd * (1 + _SLACK):
                return None
            used, needed, cap = (f"{usd:,.2f}" for usd in (spent.usd, following.usd, self.usd))
            unit = "USD"
        return (
            f"the next step may cost {needed} {unit}; {used} of the budget of {cap} {unit} are spent. "
            "Nothing was sent. A larger budget goes on: qtrain resume RUN --budget ..."
        )


def check_budget(
    service: Service, budget: Any = None, accepted_seconds: float | None = None, *, device: Device | None = None
) -> Budget | None:
    """The cap of a run on that service: the budget, or the seconds that the user accepts; None on a free backend.

    Args:
        budget: anything that `Budget.parse` reads.
        accepted_seconds: QPU seconds that the user has agreed to pay for; a cap likewise.
        device: its calibration, where it is at hand; only a budget in money needs it.
    Raises: ConfigError: no cap on a paid backend, both caps, one out of its range, or money where nothing has a price.
    """
    if budget is not None and accepted_seconds is not None:
        raise ConfigError(
            f"budget = {budget!r} and accepted seconds = {accepted_seconds!r} are both caps. Expected one of the two."
        )
    if accepted_seconds is not None:
        return Budget(seconds=_accepted(accepted_seconds))
    if budget is None:
        if service.is_paid():
            raise ConfigError(
                f"{service.name} is a paid backend, and no cap is given. Expected one of two: a budget "
                '(budget=60, "2 min" or "25 USD"; --budget), at which the training stops by itself, or the QPU seconds '
                "that you accept to pay (accept_seconds=60; --yes-i-accept SECONDS). `qtrain cost` says the bill."
            )
        return None
    cap = Budget.parse(budget)
    if cap.usd is not None:
        check_price(device or service.device(), cap)
    return cap


def check_price(device: Device, budget: Budget) -> None:
    """Raises: ConfigError: a budget in money on a device without a price."""
    pricing = price_for(device)[0]
    one = Workload(duration=1.0, one_qubit_gates=1, two_qubit_gates=1, measurements=1, preparations=1)
    priced = pricing is not None and charge(pricing, Usage(1, 1, 1.0, 1), one).usd is not None
    if budget.usd is not None and not priced:
        raise ConfigError(f'budget = {budget}, but {device.name} has no price. Give QPU seconds: 60 or "2 min".')


def _accepted(value: Any) -> float:
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value <= 0:
        raise ConfigError(f"accepted seconds = {value!r}. Expected QPU seconds above 0 (--yes-i-accept 60).")
    return float(value)


def _read(text: str) -> tuple[float, float, bool]:
    """(number, seconds a unit, whether it is money)."""
    found = _WRITTEN.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        number, unit = float(found["number"]), found["unit"].lower()
    except ValueError:
        raise ConfigError(f"budget = {text!r}. {_EXPECTED}") from None
    if (found["dollar"] and unit in ("", "usd")) or unit == "usd":
        return number, 1.0, True
    if found["dollar"] or unit not in _UNITS:
        raise ConfigError(f"budget = {text!r} has an unknown unit. {_EXPECTED}")
    return number, _UNITS[unit], False
