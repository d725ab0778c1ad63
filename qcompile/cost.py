"""What running a circuit costs: executions, QPU seconds, credits by the vendor's own formula, money where it is known.

One function a price model:

- *qpu_seconds* (IBM): job_overhead_s (2 s) for each sub-job + (rep_delay + circuit duration) x executions; a job of
  more executions than the service takes at once is split.
- *task_shot* (Amazon Braket): a fee for each task and for each shot. A circuit is a task; up to 100 circuits may share
  one as a program set.
- *gate_shot* (IonQ on Azure): for each program max(minimum, shots x (N1q x per_1q + N2q x per_2q)). Azure's page lists
  m as "minimum price per program execution" but adds it in its formula; taken here is the maximum, as in Microsoft's
  own azure-quantum client (`IonQ.estimate_cost`) and IonQ's API (`job_cost_minimum`); 97.50 USD are 100,000 two-qubit
  gate-shots, too. (learn.microsoft.com/azure/quantum/pricing, docs.ionq.com/api-reference/v0.4/jobs/get-job-estimate)
- *hqc* (Quantinuum): 5 + shots x (N1q + 10 N2q + 5 Nm) / 5000 credits for each circuit, where Nm counts preparations,
  the implicit ones at the start too, measurements and resets. (learn.microsoft.com/azure/quantum/pricing)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qiskit import QuantumCircuit

from qcompile.device import Device
from qcompile.errors import InputError
from qcompile.layout import virtual_places
from qcompile.prices import PriceEntry, price, prices_of
from qcompile.pricing import Pricing
from qcompile.schedule import schedule

if TYPE_CHECKING:
    from qcompile.compiled import CompiledCircuit

_MOST = 10**12  # shots, and circuits, that are taken for meant
_DEFAULT_REP_DELAY = 250e-6  # s; what IBM uses on most of its chips (51 of 68 snapshots)


@dataclass(frozen=True)
class Workload:
    """What one execution of a circuit asks of a chip; a mean over circuits need not be whole.

    Attributes:
        duration: s, measurements included.
        one_qubit_gates, two_qubit_gates: native ones that are no change of frame (virtual).
        measurements: in the middle and at the end.
        preparations: qubits set to |0>, at the start or by a reset.
    """

    duration: float
    one_qubit_gates: float
    two_qubit_gates: float
    measurements: float
    preparations: float = 0.0

    @classmethod
    def of(cls, circuit: QuantumCircuit, device: Device, *, duration: float | None = None) -> Workload:
        """Counts of a circuit on physical qubits in native gates.

        A circuit without a measurement is counted with one for each virtual qubit, because something will be read;
        without a Qiskit layout the qubits that it touches are the virtual ones.

        Args:
            duration: s, where the schedule is known already; a final reading that is not in the circuit has no time.
        """
        ones = twos = measurements = resets = 0
        touched = set()
        for instruction in circuit.data:
            name, width = instruction.operation.name, len(instruction.qubits)
            if name in ("barrier", "delay"):
                continue
            touched.update(instruction.qubits)
            measurements += name == "measure"
            resets += name == "reset"
            if name not in ("measure", "reset", *device.native_gates.virtual):
                ones += width == 1
                twos += width == 2
        places = virtual_places(circuit)
        virtual = len(touched) if places is None else len(places)
        if duration is None:
            duration = schedule(circuit, device).duration
        return cls(duration, ones, twos, measurements or virtual, max(len(touched), virtual) + resets)

    @classmethod
    def mean(cls, workloads: Iterable[Workload]) -> Workload:
        """The mean of some, number by number."""
        return cls(*np.mean([astuple(workload) for workload in workloads], axis=0).tolist())


@dataclass(frozen=True)
class Cost:
    """The bill of a number of executions.

    Attributes:
        executions: circuits x shots.
        qpu_seconds: QPU time, s; what is billed where the model is "qpu_seconds", else an estimate beside the bill.
        usd: None where the device has no price.
        jobs: submissions: sub-jobs after splitting at the service's limit, or tasks.
        assumptions: what had to be assumed, in words; name and date of a price of the table.
        credits: the vendor's own units ("hqc"); None where it has none.
        model: of the price, "none" where there is none.
        as_of: when the price was read.
        overhead_seconds: the part of qpu_seconds that the service adds to the executions.
    """

    executions: int
    qpu_seconds: float
    usd: float | None
    jobs: int
    assumptions: tuple[str, ...] = ()
    credits: float | None = None
    model: str = "none"
    as_of: str = ""
    overhead_seconds: float = 0.0

    def _repr_html_(self) -> str:
        lines = {
            "executions": f"{self.executions:,}",
            "jobs": f"{self.jobs:,}",
            "QPU time": f"{self.qpu_seconds:,.2f} s",
            "credits": None if self.credits is None else f"{self.credits:,.2f}",
            "price": "unknown" if self.usd is None else f"{self.usd:,.2f} USD",
        }
        rows = "".join(f"<tr><td>{n}</td><td>{escape(text)}</td></tr>" for n, text in lines.items() if text is not None)
        notes = "".join(f"<li>{escape(text)}</li>" for text in self.assumptions)
        return f"<table>{rows}</table>" + (f"<ul>{notes}</ul>" if notes else "")


class Usage(NamedTuple):
    """What is billed: circuits (programs), executions of all of them, QPU time in s, and tasks that pay a fee."""

    circuits: int
    executions: int
    seconds: float
    tasks: int


class Charge(NamedTuple):
    """USD and credits, None where unknown, and what applied, in words."""

    usd: float | None
    credits: float | None = None
    notes: tuple[str, ...] = ()


def cost(
    compiled: CompiledCircuit,
    shots: int = 4096,
    circuits: int = 1,
    *,
    pricing: Pricing | str | None = None,
    program_sets: bool = False,
) -> Cost:
    """Bill for `circuits` bindings of a compiled circuit with `shots` each.

    Args:
        pricing: a price, or the name of an entry of the price table (`qcompile.prices()`); None: the device's own,
            else the first entry that matches the device's name.
        program_sets: let circuits share a task fee where the price says how many may.
    Raises: InputError: shots or circuits below 1, not whole, or more shots than the device takes; an unknown price;
        program sets where the price has none.
    """
    return execution_cost(
        compiled.device,
        Workload.of(compiled.circuit, compiled.device, duration=compiled.estimate.duration),
        shots=shots,
        circuits=circuits,
        pricing=pricing,
        program_sets=program_sets,
    )


def execution_cost(
    device: Device,
    workload: Workload | float,
    *,
    shots: int,
    circuits: int = 1,
    pricing: Pricing | str | None = None,
    program_sets: bool = False,
) -> Cost:
    """Bill for circuits of a given workload; a number is a duration (s) alone, with which gates have no price.

    Other arguments, and Raises: as `cost`.
    """
    shots, circuits = checked_runs(device, shots, circuits)
    found, notes = price_for(device, pricing)
    duration = workload.duration if isinstance(workload, Workload) else workload
    executions = shots * circuits
    together = _circuits_per_task(found, program_sets)
    tasks = math.ceil(circuits / together)
    if found is not None and found.model == "task_shot":
        jobs = tasks
        if together == 1 and circuits > 1 and found.circuits_per_task:
            notes.append(f"each circuit is a task; program sets of up to {found.circuits_per_task} cost less")
    else:
        per_job = device.limits.max_executions_per_job
        jobs = math.ceil(circuits / max(1, per_job // shots)) if per_job else 1  # a circuit stays in one job
    rep_delay = device.timing.rep_delay
    if rep_delay is None:
        rep_delay = _DEFAULT_REP_DELAY
        notes.append(f"{device.name} states no rep_delay: {rep_delay * 1e6:.0f} us assumed")
    overhead = found.job_overhead_s * jobs if found else 0.0
    seconds = overhead + (rep_delay + duration) * executions
    if found is None:
        return Cost(executions, seconds, None, jobs, tuple(notes))
    billed = charge(
        found, Usage(circuits, executions, seconds, tasks), workload if isinstance(workload, Workload) else None
    )
    return Cost(
        executions,
        seconds,
        billed.usd,
        jobs,
        (*notes, *billed.notes),
        billed.credits,
        found.model,
        found.as_of,
        overhead,
    )


def checked_runs(device: Device | None, shots: Any, circuits: Any = 1) -> tuple[int, int]:
    """(shots, circuits) as ints.

    Raises: InputError: below 1, not whole, above 10**12, or more shots than the device takes for one circuit.
    """
    for name, value in (("shots", shots), ("circuits", circuits)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= _MOST:
            raise InputError(f"{name} = {value!r}. Expected a whole number, 1 or more (at most {_MOST}).")
    limit = None if device is None else device.limits.max_shots
    if device is not None and limit is not None and shots > limit:
        raise InputError(
            f"shots = {shots} is more than {device.name} takes for one circuit ({limit}). "
            "Split them over several circuits (circuits=...)."
        )
    return int(shots), int(circuits)


def price_for(device: Device, pricing: Pricing | str | None = None) -> tuple[Pricing | None, list[str]]:
    """(price, where it is from and what else there is, in words) of a device; the table is asked where it has none.

    Raises: InputError: an unknown entry, or a model that is not known.
    """
    if isinstance(pricing, str):
        entry = price(pricing)
        return _checked(entry.pricing), [entry.words()]
    if pricing is None and device.pricing is None:
        matching = prices_of(device.name)
        return (_checked(matching[0].pricing), _words(matching)) if matching else (None, [])
    found = device.pricing if pricing is None else pricing
    if not isinstance(found, Pricing):
        raise InputError(
            f"pricing is a {type(found).__name__}. Expected a Pricing or the name of an entry of the table."
        )
    return _checked(found), [f"price as of {found.as_of}"] if found.as_of else []


def charge(pricing: Pricing, usage: Usage, workload: Workload | None) -> Charge:
    """What a vendor charges by its own formula, for a mean workload; None: the counts are not known."""
    return _MODELS[pricing.model](pricing, usage, workload)


def _per_second(pricing: Pricing, usage: Usage, workload: Workload | None) -> Charge:
    del workload
    return Charge(None if pricing.usd_per_second is None else usage.seconds * pricing.usd_per_second)


def _per_task_and_shot(pricing: Pricing, usage: Usage, workload: Workload | None) -> Charge:
    del workload
    if pricing.usd_per_task is None or pricing.usd_per_shot is None:
        return Charge(None)
    return Charge(usage.tasks * pricing.usd_per_task + usage.executions * pricing.usd_per_shot)


def _per_gate_and_shot(pricing: Pricing, usage: Usage, workload: Workload | None) -> Charge:
    if pricing.usd_per_1q is None or pricing.usd_per_2q is None:
        return Charge(None)
    if workload is None:
        return Charge(None, notes=("priced by gates, which were not counted",))
    an_execution = workload.one_qubit_gates * pricing.usd_per_1q + workload.two_qubit_gates * pricing.usd_per_2q
    gates = an_execution * usage.executions
    least = (pricing.usd_minimum or 0.0) * usage.circuits
    if least > gates:
        a_program = gates / usage.circuits
        note = f"the minimum of {pricing.usd_minimum:g} USD a circuit applies, its gates alone cost {a_program:.4g} USD"
        return Charge(least, notes=(note,))
    return Charge(gates)


def _by_credits(pricing: Pricing, usage: Usage, workload: Workload | None) -> Charge:
    if workload is None:
        return Charge(None, notes=("priced by gates, which were not counted",))
    spam = workload.measurements + workload.preparations
    operations = workload.one_qubit_gates + 10 * workload.two_qubit_gates + 5 * spam
    credits = 5 * usage.circuits + usage.executions * operations / 5000
    per_credit = pricing.usd_per_credit
    return Charge(None if per_credit is None else credits * per_credit, credits)


def _nothing(pricing: Pricing, usage: Usage, workload: Workload | None) -> Charge:
    del pricing, usage, workload
    return Charge(None)


_MODELS: Mapping[str, Callable[[Pricing, Usage, Workload | None], Charge]] = {
    "qpu_seconds": _per_second,
    "task_shot": _per_task_and_shot,
    "gate_shot": _per_gate_and_shot,
    "hqc": _by_credits,
    "none": _nothing,
}


def _checked(pricing: Pricing) -> Pricing:
    if pricing.model not in _MODELS:
        raise InputError(f"pricing.model = {pricing.model!r}. Expected one of {', '.join(_MODELS)}.")
    return pricing


def _words(matching: tuple[PriceEntry, ...]) -> list[str]:
    others = ", ".join(entry.name for entry in matching[1:])
    return [matching[0].words() + (f"; also priced by {others}" if others else "")]


def _circuits_per_task(pricing: Pricing | None, program_sets: bool) -> int:
    if not program_sets:
        return 1
    together = None if pricing is None else pricing.circuits_per_task
    if together is None:
        raise InputError(
            "program_sets = True, but this price has no program sets. Leave it out, or choose another price."
        )
    return together
