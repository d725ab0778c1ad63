"""Pricing: one entry of a vendor's price list; `cost.py` has the formulas, `prices.py` the stored table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast


@dataclass(frozen=True)
class Pricing:
    """A price by one of five models.

    `Pricing(...)` with any number of `DetailedPricing` makes one of those: a price that has none of them is stored
    without them.

    Attributes:
        model: "qpu_seconds" (job_overhead_s + rep_delay and circuit duration per execution), "task_shot"
            (per_task + per_shot), "gate_shot" (per gate and shot, or a minimum), "hqc" (Quantinuum's credits) or
            "none".
        usd_per_second, usd_per_task, usd_per_shot: prices; None where the model has none.
        job_overhead_s: seconds billed per sub-job on top of the executions.
        as_of, source: when and where the price was read.
    """

    model: str
    usd_per_second: float | None = None
    usd_per_task: float | None = None
    usd_per_shot: float | None = None
    job_overhead_s: float = 0.0
    as_of: str = ""
    source: str = ""

    def __new__(cls, *_: Any, **named: Any) -> Self:
        """The class that has all of the numbers."""
        own = DetailedPricing.__dataclass_fields__.keys() - Pricing.__dataclass_fields__.keys()
        detailed = cls is Pricing and not own.isdisjoint(named)
        return cast(Self, super().__new__(DetailedPricing if detailed else cls))


@dataclass(frozen=True)
class DetailedPricing(Pricing):
    """A price with numbers that only some models have; None where it has none.

    Attributes:
        usd_minimum: what one program (circuit with all its shots) costs at least.
        usd_per_1q, usd_per_2q: of a one- or two-qubit gate that is no change of frame, per shot.
        usd_per_credit: of a credit ("hqc").
        circuits_per_task: circuits that may share one task fee (a Braket program set); None: each pays its own.
    """

    usd_minimum: float | None = None
    usd_per_1q: float | None = None
    usd_per_2q: float | None = None
    usd_per_credit: float | None = None
    circuits_per_task: int | None = None
