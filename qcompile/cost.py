"""What running a circuit costs: executions, QPU seconds by the vendor's own formula, money where a price is known.

IBM (qpu_seconds): 2 s for each sub-job + (rep_delay + circuit duration) x executions; a job of more executions than
the service takes at once is split. Amazon Braket (task_shot): a fee for each task (circuit) and for each shot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qcompile.device import Device
from qcompile.errors import InputError

if TYPE_CHECKING:
    from qcompile.compiled import CompiledCircuit

_DEFAULT_REP_DELAY = 250e-6  # s; what IBM uses on most of its chips (51 of 68 snapshots)


@dataclass(frozen=True)
class Cost:
    """The bill of a number of executions.

    Attributes:
        executions: circuits x shots.
        qpu_seconds: billed QPU time, s.
        usd: None where the device has no price.
        jobs: submissions after splitting at the service's limit.
        assumptions: what had to be assumed, in words; the date of the price list.
    """

    executions: int
    qpu_seconds: float
    usd: float | None
    jobs: int
    assumptions: tuple[str, ...] = ()


def cost(compiled: CompiledCircuit, shots: int = 4096, circuits: int = 1) -> Cost:
    """Bill for `circuits` bindings of a compiled circuit with `shots` each.

    Raises: InputError: shots or circuits below 1, not whole, or more shots than the device takes.
    """
    return execution_cost(compiled.device, compiled.estimate.duration, shots=shots, circuits=circuits)


def execution_cost(device: Device, duration: float, *, shots: int, circuits: int = 1) -> Cost:
    """Bill for circuits of a given duration (s, measurements included). Raises as `cost`."""
    for name, value in (("shots", shots), ("circuits", circuits)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{name} = {value!r}. Expected a whole number, 1 or more.")
    shots, circuits = int(shots), int(circuits)
    limit = device.limits.max_shots
    if limit is not None and shots > limit:
        raise InputError(
            f"shots = {shots} is more than {device.name} takes for one circuit ({limit}). "
            "Split them over several circuits (circuits=...)."
        )
    executions = shots * circuits
    per_job = device.limits.max_executions_per_job
    jobs = math.ceil(executions / per_job) if per_job else 1
    assumptions = []
    rep_delay = device.timing.rep_delay
    if rep_delay is None:
        rep_delay = _DEFAULT_REP_DELAY
        assumptions.append(f"{device.name} states no rep_delay: {rep_delay * 1e6:.0f} us assumed")
    pricing = device.pricing
    overhead = pricing.job_overhead_s if pricing else 0.0
    seconds = overhead * jobs + (rep_delay + duration) * executions
    usd = None
    if pricing is not None:
        if pricing.model == "qpu_seconds" and pricing.usd_per_second is not None:
            usd = seconds * pricing.usd_per_second
        elif pricing.model == "task_shot" and pricing.usd_per_task is not None and pricing.usd_per_shot is not None:
            usd = circuits * pricing.usd_per_task + executions * pricing.usd_per_shot
        if usd is not None and pricing.as_of:
            assumptions.append(f"price as of {pricing.as_of}")
    return Cost(executions, seconds, usd, jobs, tuple(assumptions))
