"""Estimates: what a circuit on physical qubits will lose on a device, and where, from calibration alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit

from qcompile import staleness
from qcompile.circuit import check_device
from qcompile.device import Device
from qcompile.errors import InputError, NotExecutableError
from qcompile.fidelity.program import CAUSES, NativeStep, draws_of, held_by, last_instruction, noisy_program
from qcompile.fidelity.tiers import affordable, check_name, check_size, state_fidelity
from qcompile.hellinger import Hellinger, Sampling, hellinger
from qcompile.layout import virtual_places
from qcompile.losses import Loss, by_cause, gathered, grouped, ordered, readout_losses
from qcompile.native import native_steps
from qcompile.schedule import depth, start_times
from qcompile.summary import estimate_lines, html
from qcompile.values import Values, parameter_draws


@dataclass(frozen=True)
class Estimate:
    """What a circuit is expected to do on a device. Upper bounds: drift, crosstalk and leakage are not in calibrations.

    Attributes:
        state_fidelity: 0..1, on the virtual qubits at the end, readout excluded; mean over the parameter draws.
        success_probability: ESP, the product of (1 - error) over gates and readout of the qubits that are measured,
            at the end or before (of all virtual ones if none is).
        breakdown: shares of -log fidelity by cause, "one_qubit", "two_qubit", "idle", "readout"; they sum to 1 (all 0
            on a perfect circuit).
        duration: s, measurements included.
        two_qubit_gates, depth: of the native circuit (barriers do not count; a step on qubits alone).
        swaps: inserted by the router, before merging; 0 for a circuit that someone else mapped.
        spread: standard deviation of state_fidelity over the draws; 0 where everything is bound.
        draws: parameter draws averaged over.
        dead_gates: gates that the calibration marks as dead; with any, success and fidelities are 0.
        method: how state_fidelity was found, see `qcompile.fidelity.METHODS`: "product", "cluster" (any size),
            "marginals" (to 20 active qubits), "exact" (to 12).
        uncertainty: of state_fidelity, from the method alone: 9 of 10 circuits were within it. 0 where exact.
        losses: every gate, waiting qubit and readout that loses something, largest first; they sum to
            -log state_fidelity and, of readout, -log of the probability that all is read right.
        calibrated_at: of the device.
        distribution: the Hellinger fidelity, or how to sample it when it is first asked for.
    """

    state_fidelity: float
    success_probability: float
    breakdown: Mapping[str, float] = field(hash=False)  # a dict
    duration: float
    two_qubit_gates: int
    swaps: int
    depth: int
    spread: float = 0.0
    draws: int = 1
    dead_gates: tuple[str, ...] = field(default=())
    method: str = "product"
    uncertainty: float = 0.0
    losses: tuple[Loss, ...] = field(default=(), repr=False)
    calibrated_at: datetime | None = None
    distribution: Hellinger | Sampling = field(default=Hellinger(None), repr=False, compare=False)

    @cached_property
    def _hellinger(self) -> Hellinger:
        return self.distribution.run() if isinstance(self.distribution, Sampling) else self.distribution

    @property
    def hellinger_fidelity(self) -> float | None:
        """0..1, of the measured distribution, readout included. None where `hellinger_note` says why."""
        return self._hellinger.fidelity

    @property
    def hellinger_uncertainty(self) -> float:
        """Standard error of the Hellinger fidelity where the distribution is sampled; 0 where exact."""
        return self._hellinger.uncertainty

    @property
    def hellinger_note(self) -> str:
        """Why there is no Hellinger fidelity; empty where there is one."""
        return self._hellinger.note

    def worst(self, count: int = 5) -> tuple[Loss, ...]:
        """The gates, waiting qubits and readouts that lose most. Raises: ValueError: count below 1."""
        if count < 1:
            raise ValueError(f"count = {count}. Expected 1 or more.")
        return self.losses[:count]

    @cached_property
    def per_qubit(self) -> dict[int, float]:
        """Physical qubit -> what its one-qubit gates, its waiting and its readout lose (-log), largest first."""
        return grouped((loss.qubits[0], loss.loss) for loss in self.losses if len(loss.qubits) == 1)

    @cached_property
    def per_coupler(self) -> dict[tuple[int, int], float]:
        """Pair of physical qubits, lower first -> what its two-qubit gates lose (-log), largest first."""
        return grouped(((min(x.qubits), max(x.qubits)), x.loss) for x in self.losses if len(x.qubits) == 2)

    def age(self, now: datetime | None = None) -> timedelta:
        """Time since the calibration; default of `now`: the present. Raises: InputError: `now` without a timezone."""
        if now is not None and now.utcoffset() is None:
            raise InputError(
                f"now = {now} has no timezone. Expected an aware datetime; add tzinfo=UTC if it is in UTC."
            )
        if self.calibrated_at is None:
            return timedelta(0)
        return (now or datetime.now(UTC)) - self.calibrated_at

    def interval(self, now: datetime | None = None, level: float = staleness.LEVEL) -> staleness.Interval:
        """Where state_fidelity lies by now, errors having drifted since the calibration (see `staleness`).

        The uncertainty of the method is added on both sides. Raises: ValueError: a level outside (0, 1).
        """
        if self.dead_gates:
            return staleness.Interval(0.0, 0.0)
        losses = [loss.loss for loss in self.losses if loss.cause != "readout"]
        low, high = staleness.resampled(losses, self.age(now), level)
        return staleness.Interval(max(low - self.uncertainty, 0.0), min(high + self.uncertainty, 1.0))

    def _repr_html_(self) -> str:
        return html("Estimate", estimate_lines(self))


@dataclass(frozen=True)
class Score:
    """The part of an estimate that candidates are compared by.

    Attributes:
        fidelity: [draw] state fidelity.
        readout_loss: -log of the probability that the measured qubits are read right.
    """

    fidelity: NDArray[np.float64]
    readout_loss: float


def score(
    steps: Sequence[NativeStep], device: Device, virtual_at: Sequence[int], measured: Iterable[int], method: str
) -> Score:
    """Fidelity of scheduled native steps, idle decay included.

    Args:
        virtual_at: physical qubits of the virtual ones at the end.
        measured: physical qubits whose readout counts.
        method: one of METHODS; "cluster" is taken where the circuit measures or resets before its end.
    """
    program = noisy_program(steps, device, virtual_at)
    survival = state_fidelity(program, method if program.is_unitary else "cluster", sampled=False)
    return Score(survival.fidelity, sum(loss.loss for loss in readout_losses(device, measured)))


def estimate(
    circuit: QuantumCircuit, device: Device, values: Values = None, *, seed: int = 0, method: str | None = None
) -> Estimate:
    """Estimate for a circuit that is already on physical qubits and in native gates, whoever mapped it.

    Args:
        circuit: qubit i is the device's qubit i. If it carries a Qiskit layout, its virtual qubits are judged,
            otherwise every qubit that it touches.
        values: of its parameters; None: 8 draws uniform in [0, 2 pi) from the seed.
        method: of `METHODS`; None: the most accurate one that takes about a second at most.
    Raises: NotExecutableError: a gate that the device has no calibration of. CircuitError: bad values.
        InputError: an unknown method, or one that the circuit is too wide for.
    """
    check_device(device)
    if circuit.num_qubits > device.num_qubits:
        raise NotExecutableError(
            f"{circuit.name}: has {circuit.num_qubits} qubits, {device.name} has {device.num_qubits}. "
            "Expected a circuit on physical qubits; map it with qcompile.compile first."
        )
    parameters = tuple(circuit.parameters)
    table = parameter_draws(parameters, values, seed, circuit.name)
    steps = native_steps(circuit, device, parameters, table)
    virtual_at = virtual_places(circuit)
    if virtual_at is None:
        virtual_at = sorted({q for s in steps if s.name not in ("barrier", "delay") for q in s.qubits})
    return complete(circuit, device, steps, virtual_at, swaps=0, seed=seed, method=method)


def complete(
    circuit: QuantumCircuit,
    device: Device,
    steps: Sequence[NativeStep],
    virtual_at: Sequence[int],
    *,
    swaps: int,
    seed: int = 0,
    method: str | None = None,
) -> Estimate:
    """The whole Estimate of native steps; `circuit` is the same thing as a QuantumCircuit."""
    check_name(method)
    uses = Counter((s.name, s.qubits) for s in steps)
    measured = [q[0] for name, q in uses if name == "measure"] or list(virtual_at)
    held = held_by(steps)
    two_qubit = sum(count for (name, q), count in uses.items() if len(q) == 2 and name != "barrier")
    dead = [(name, q) for name, q in uses if _is_dead(name, q, device)]
    if dead:
        losses = list(dict.fromkeys(Loss(_cause(name, q), name, tuple(sorted(q)), math.inf) for name, q in dead))
        share = {cause: sum(x.cause == cause for x in losses) / len(losses) for cause in CAUSES}
        total = start_times(held, np.array([s.duration for s in steps]))[1]
        return Estimate(
            0.0, 0.0, share, total, two_qubit, swaps, depth(held),
            draws=draws_of(steps), dead_gates=tuple(f"{name}({', '.join(map(str, q))})" for name, q in dead),
            method=method or "exact", losses=tuple(losses),
            calibrated_at=device.calibrated_at, distribution=Hellinger(0.0),
        )  # fmt: skip
    program = noisy_program(steps, device, virtual_at, held)
    if method is not None:
        check_size(method, program, circuit.name)
    survival = state_fidelity(program, method or affordable(program))
    losses = gathered(program.elements, survival, program.element) + readout_losses(device, measured)
    success = math.exp(-sum(x.loss for x in losses if x.cause == "readout"))
    for (name, q), count in uses.items():
        gate = device.gates.get((name, q))
        if gate is not None and name not in device.native_gates.virtual:
            success *= (1 - (gate.error or 0.0)) ** count
    found: Hellinger | Sampling = Hellinger(None, note="the circuit measures before its end")
    last, measurements = last_instruction(held), np.flatnonzero(held.measure).tolist()
    if all(last[steps[i].qubits[0]] == i for i in measurements):
        read = _read(circuit, len(measurements)) if measurements else measured
        found = hellinger(program, survival, device, read, seed)
    sums = by_cause(losses)
    whole = sum(sums.values())
    return Estimate(
        state_fidelity=float(survival.fidelity.mean()),
        success_probability=success,
        breakdown={k: v / whole if whole > 0 else 0.0 for k, v in sums.items()},
        duration=program.duration,
        two_qubit_gates=two_qubit,
        swaps=swaps,
        depth=depth(held),
        spread=float(survival.fidelity.std()),
        draws=program.draws,
        method=survival.method,
        uncertainty=survival.uncertainty,
        losses=tuple(ordered(losses)),
        calibrated_at=device.calibrated_at,
        distribution=found,
    )


def _read(circuit: QuantumCircuit, measurements: int) -> list[int]:
    """Qubits whose bit is there at the end; a classical bit that is written twice holds its last measurement."""
    written: dict[Clbit, int] = {}
    for instruction in reversed(circuit.data):
        if measurements == 0:
            break
        if instruction.name == "measure":
            measurements -= 1
            written.setdefault(instruction.clbits[0], circuit.find_bit(instruction.qubits[0]).index)
    return list(written.values())


def _is_dead(name: str, qubits: tuple[int, ...], device: Device) -> bool:
    """Whether the calibration marks a gate, or a qubit that is measured or reset, as dead."""
    if name in ("measure", "reset"):
        return not device.qubits[qubits[0]].usable
    return (name, qubits) in device.gates and not device.is_live(name, qubits)


def _cause(name: str, qubits: tuple[int, ...]) -> str:
    return "readout" if name == "measure" else "two_qubit" if len(qubits) == 2 else "one_qubit"
