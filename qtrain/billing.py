"""Billing: what a training will spend, before it runs, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtrain.executors.base import bill
from qtrain.ledger import Ledger
from qtrain.task import Task

if TYPE_CHECKING:
    from qcompile.device import Device
    from qtrain.program import Program


def step_bill(task: Task, program: Program, step: int) -> tuple[Ledger, Ledger]:
    """(least, most) that step 0, 1, ... spends, evaluations of the test set included; equal unless pruned unevenly."""
    shots: int | None = getattr(task.executor, "shots", None)
    settings, batch = task.settings, task.settings.batch_size
    forward = bill(program, batch, shots)
    if task.test_set is not None and settings.evaluates_after(step + 1):
        forward += bill(program, len(task.test_set), shots)
    fewest, most = (circuits // max(1, program.num_bases) for circuits in task.gradient.circuits(program, batch, step))
    return (
        forward + bill(program, fewest, shots),
        forward + bill(program, most, shots),
    )


def total_bill(task: Task, program: Program) -> tuple[Ledger, Ledger]:
    """(least, most) that the whole training spends."""
    bills = [step_bill(task, program, step) for step in range(task.settings.steps)]
    return sum((b[0] for b in bills), Ledger()), sum((b[1] for b in bills), Ledger())


def price(spent: Ledger, device: Device | None) -> float | None:
    """USD by the device's price list; None where it has none. A list per task counts every circuit as a task."""
    pricing = None if device is None else device.pricing
    if pricing is None:
        return None
    if pricing.model == "qpu_seconds" and pricing.usd_per_second is not None:
        return spent.qpu_seconds * pricing.usd_per_second
    if pricing.model == "task_shot" and pricing.usd_per_task is not None and pricing.usd_per_shot is not None:
        return spent.circuits * pricing.usd_per_task + spent.shots * pricing.usd_per_shot
    return None
