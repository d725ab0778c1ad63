"""Pricing: one entry of a vendor's price list; `cost.py` has the formulas, `prices.py` the stored table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pricing:
    """A price by one of five models; numbers that the model has no use for are None.

    Attributes:
        model: "qpu_seconds" (job_overhead_s + rep_delay and circuit duration per execution), "task_shot"
            (per_task + per_shot), "gate_shot" (per gate and shot, or a minimum), "hqc" (Quantinuum's credits) or
            "none".
        usd_per_second, usd_per_task, usd_per_shot: prices.
        job_overhead_s: seconds billed per sub-job on top of the executions.
        as_of, source: when and where the price was read.
        usd_minimum: what one program (circuit with all its shots) costs at least.
        usd_per_1q, usd_per_2q: of a one- or two-qubit gate that is no change of frame, per shot.
        usd_per_credit: of a credit ("hqc").
        circuits_per_task: circuits that may share one task fee (a Braket program set); None: each pays its own.
    """

    model: str
    usd_per_second: float | None = None
    usd_per_task: float | None = None
    usd_per_shot: float | None = None
    job_overhead_s: float = 0.0
    as_of: str = ""
    source: str = ""
    usd_minimum: float | None = None
    usd_per_1q: float | None = None
    usd_per_2q: float | None = None
    usd_per_credit: float | None = None
    circuits_per_task: int | None = None
