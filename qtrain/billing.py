"""Billing: what a training will spend, before it runs, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcompile.cost import Usage, Workload, charge, price_for
from qtrain.executors.base import bill
from qtrain.ledger import Ledger
from qtrain.noise import measured_circuit
from qtrain.task import Task

if TYPE_CHECKING:
    from qcompile.device import Device
    from qtrain.program import Program


def step_bill(task: Task, program: Program, step: int) -> tuple[Ledger, Ledger]:
    """(least, most) that step 0, 1, ... spends, evaluations of the test set included; equal unless pruned unevenly.

    The rows of the batch and all points of the gradient are one submission, the test set is another; each is as few
    jobs as the limits of the service allow.
    """
    shots: int | None = getattr(task.executor, "shots", None)
    capacity_of = getattr(task.executor, "capacity", None)
    capacity = None if capacity_of is None else capacity_of(program)
    settings, batch = task.settings, task.settings.batch_size
    tested = Ledger()
    if task.test_set is not None and settings.evaluates_after(step + 1):
        tested = bill(program, len(task.test_set), shots, capacity=capacity)
    fewest, most = (circuits // max(1, program.num_bases) for circuits in task.gradient.circuits(program, batch, step))
    return (
        bill(program, batch + fewest, shots, capacity=capacity) + tested,
        bill(program, batch + most, shots, capacity=capacity) + tested,
    )


def total_bill(task: Task, program: Program) -> tuple[Ledger, Ledger]:
    """(least, most) that the whole training spends."""
    bills = [step_bill(task, program, step) for step in range(task.settings.steps)]
    return sum((b[0] for b in bills), Ledger()), sum((b[1] for b in bills), Ledger())


def price(spent: Ledger, device: Device | None, program: Program | None = None) -> float | None:
    """USD by the device's price list, or the stored price table's where it has none; None where neither has a price.

    A price by tasks counts every circuit as one; a price by gates needs the program, or is None.

    Args:
        program: what was run.
    """
    pricing = None if device is None else price_for(device)[0]
    if pricing is None:
        return None
    usage = Usage(spent.circuits, spent.shots, spent.qpu_seconds, spent.circuits)
    return charge(pricing, usage, None if program is None else _workload(program)).usd


def _workload(program: Program) -> Workload | None:
    """Mean over the circuits of the bases, as they are measured; None without a device or a measurement."""
    compiled, device = program.compiled, program.device
    if compiled is None or device is None or not program.measurement.bases:
        return None
    return Workload.mean(Workload.of(measured_circuit(compiled, b), device) for b in program.measurement.bases)
