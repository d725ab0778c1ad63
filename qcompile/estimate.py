"""Estimates: what a circuit on physical qubits will lose on a device, split by cause, from calibration alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector
from qiskit.exceptions import QiskitError

from qcompile import ideal
from qcompile.channels import confusion_matrix
from qcompile.circuit import check_device, final_measurements
from qcompile.device import Device
from qcompile.errors import CircuitError, NotExecutableError
from qcompile.fidelity.program import CAUSES, NativeStep, noisy_program
from qcompile.fidelity.tiers import state_fidelity
from qcompile.schedule import Held, instruction_durations, start_times

DRAWS = 8
"""Parameter draws of an estimate where the parameters are not bound: uniform in [0, 2 pi)."""

HELLINGER_QUBITS = 12
"""Above this many active qubits no ideal distribution is computed."""

Values = Mapping[Any, float] | Sequence[float] | NDArray[np.float64] | None


@dataclass(frozen=True)
class Estimate:
    """What a circuit is expected to do on a device. Upper bounds: drift, crosstalk and leakage are not in calibrations.

    Attributes:
        state_fidelity: 0..1, on the virtual qubits at the end, readout excluded; mean over the parameter draws.
        success_probability: ESP, the product of (1 - error) over gates and readout of the qubits that are measured,
            at the end or before (of all virtual ones if none is).
        hellinger_fidelity: 0..1, of the measured distribution, readout included: the ideal distribution mixed with the
            uniform one by the state fidelity, then read out. None above 12 active qubits or with mid-circuit
            measurement or reset.
        breakdown: shares of -log fidelity by cause, "one_qubit", "two_qubit", "idle", "readout"; they sum to 1 (all 0
            on a perfect circuit).
        duration: s, measurements included.
        two_qubit_gates, depth: of the native circuit (barriers do not count).
        swaps: inserted by the router, before merging; 0 for a circuit that someone else mapped.
        spread: standard deviation of state_fidelity over the draws; 0 where everything is bound.
        draws: parameter draws averaged over.
        dead_gates: gates that the calibration marks as dead; with any, success and fidelities are 0.
    """

    state_fidelity: float
    success_probability: float
    hellinger_fidelity: float | None
    breakdown: Mapping[str, float]
    duration: float
    two_qubit_gates: int
    swaps: int
    depth: int
    spread: float = 0.0
    draws: int = 1
    dead_gates: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Score:
    """The part of an estimate that candidates are compared by.

    Attributes:
        fidelity: [draw] state fidelity.
        readout: probability that the measured qubits are read right.
        loss: cause -> -log survival.
        total: duration, s.
    """

    fidelity: NDArray[np.float64]
    readout: float
    loss: dict[str, float]
    total: float


def parameter_draws(parameters: Sequence[Parameter], values: Values, seed: int, place: str) -> NDArray[np.float64]:
    """[draw, parameter] numbers: `values` as one draw, or DRAWS draws uniform in [0, 2 pi) from the seed.

    Args:
        values: by parameter, vector of parameters or name, or a sequence in the order of `parameters`.
    Raises: CircuitError: a missing or unknown parameter, a wrong number of values, a value that is not finite.
    """
    if values is None:
        if not parameters:
            return np.empty((1, 0))
        return np.random.default_rng(seed).uniform(0, 2 * math.pi, (DRAWS, len(parameters)))
    if isinstance(values, Mapping):
        by_name: dict[Any, Any] = {}
        for key, value in values.items():
            if isinstance(key, ParameterVector):
                by_name |= {p.name: v for p, v in zip(key, np.ravel(value).tolist())}
            else:
                by_name[getattr(key, "name", key)] = value
        names = [p.name for p in parameters]
        missing, unknown = [n for n in names if n not in by_name], sorted(set(map(str, by_name)) - set(names))
        if missing or unknown:
            raise CircuitError(f"{place}: values lack {missing} and name unknown {unknown}. Expected exactly {names}.")
        row = [by_name[n] for n in names]
    else:
        row = list(np.asarray(values).ravel())
        if np.ndim(values) != 1 or len(row) != len(parameters):
            raise CircuitError(
                f"{place}: values of shape {np.shape(values)} for {len(parameters)} parameters. "
                f"Expected one number for each of {[p.name for p in parameters]}."
            )
    try:
        numbers = np.array([float(v) for v in row]).reshape(1, -1)
    except (TypeError, ValueError) as error:
        raise CircuitError(f"{place}: values {row} are not all real numbers.") from error
    if not np.isfinite(numbers).all():
        raise CircuitError(f"{place}: values {row} are not all finite. Expected radians.")
    return numbers


def score(steps: Sequence[NativeStep], device: Device, virtual_at: Sequence[int], measured: Iterable[int]) -> Score:
    """Fidelity of scheduled native steps, idle decay included.

    Args:
        virtual_at: physical qubits of the virtual ones at the end.
        measured: physical qubits whose readout counts.
    """
    program = noisy_program(steps, device, virtual_at)
    survived = state_fidelity(program, "product")
    readout = [device.qubits[q].readout for q in measured]
    success = math.prod(1 - r.error for r in readout if r is not None)
    loss = dict.fromkeys(CAUSES, 0.0)
    for e, v in zip(program.element.tolist(), survived.losses.tolist()):
        loss[program.elements[e].cause] += v
    loss["readout"] = -math.log(max(success, 1e-300))
    return Score(survived.fidelity, success, loss, program.duration)


def estimate(circuit: QuantumCircuit, device: Device, values: Values = None, *, seed: int = 0) -> Estimate:
    """Estimate for a circuit that is already on physical qubits and in native gates, whoever mapped it.

    Args:
        circuit: qubit i is the device's qubit i. If it carries a Qiskit layout, its virtual qubits are judged,
            otherwise every qubit that it touches.
        values: of its parameters; None: 8 draws uniform in [0, 2 pi) from the seed.
    Raises: NotExecutableError: a gate that the device has no calibration of. CircuitError: bad values.
    """
    check_device(device)
    if circuit.num_qubits > device.num_qubits:
        raise NotExecutableError(
            f"{circuit.name}: has {circuit.num_qubits} qubits, {device.name} has {device.num_qubits}. "
            "Expected a circuit on physical qubits; map it with qcompile.compile first."
        )
    parameters = tuple(circuit.parameters)
    table = parameter_draws(parameters, values, seed, circuit.name)
    steps = _steps(circuit, device, parameters, table)
    touched = sorted({q for s in steps if s.name not in ("barrier", "delay") for q in s.qubits})
    layout = circuit.layout
    if layout is None or not layout.initial_layout.get_registers():  # read from QASM, a layout names no virtual qubit
        virtual_at = touched
    else:
        virtual_at = list(layout.final_index_layout(filter_ancillas=True))
    return complete(circuit, device, steps, virtual_at, swaps=0)


def complete(
    circuit: QuantumCircuit, device: Device, steps: Sequence[NativeStep], virtual_at: Sequence[int], *, swaps: int
) -> Estimate:
    """The whole Estimate of native steps; `circuit` is the same thing as a QuantumCircuit (for depth and clbits)."""
    at_the_end = sum(s.name == "measure" for s in steps) == len(final_measurements(circuit))
    measured = list(dict.fromkeys(s.qubits[0] for s in steps if s.name == "measure")) or list(virtual_at)
    two_qubit = sum(len(s.qubits) == 2 and s.name != "barrier" for s in steps)
    dead_steps = [s for s in steps if _is_dead(s, device)]
    if dead_steps:
        dead = tuple(dict.fromkeys(f"{s.name}({', '.join(map(str, s.qubits))})" for s in dead_steps))
        share = dict.fromkeys(CAUSES, 0.0)
        first = dead_steps[0]
        share["readout" if first.name == "measure" else "two_qubit" if len(first.qubits) == 2 else "one_qubit"] = 1.0
        total = start_times(Held.of([s.qubits for s in steps]), np.array([s.duration for s in steps]))[1]
        return Estimate(0.0, 0.0, 0.0, share, total, two_qubit, swaps, circuit.depth(), dead_gates=dead)
    found = score(steps, device, virtual_at, measured)
    success = found.readout
    for step in steps:
        gate = device.gates.get((step.name, step.qubits))
        if gate is not None and step.name not in device.native_gates.virtual:
            success *= 1 - (gate.error or 0.0)
    whole = sum(found.loss.values())
    return Estimate(
        state_fidelity=float(found.fidelity.mean()),
        success_probability=success,
        hellinger_fidelity=_hellinger(steps, device, virtual_at, measured, found.fidelity) if at_the_end else None,
        breakdown={k: v / whole if whole > 0 else 0.0 for k, v in found.loss.items()},
        duration=found.total,
        two_qubit_gates=two_qubit,
        swaps=swaps,
        depth=circuit.depth(),
        spread=float(found.fidelity.std()),
        draws=len(found.fidelity),
    )


def _is_dead(step: NativeStep, device: Device) -> bool:
    """Whether the calibration marks a gate, or a qubit that is measured or reset, as dead."""
    if step.name in ("measure", "reset"):
        return not device.qubits[step.qubits[0]].usable
    return (step.name, step.qubits) in device.gates and not device.is_live(step.name, step.qubits)


def _steps(
    circuit: QuantumCircuit, device: Device, parameters: Sequence[Parameter], table: NDArray[np.float64]
) -> list[NativeStep]:
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    durations = instruction_durations(circuit, device)
    steps = []
    for index, instruction in enumerate(circuit.data):
        operation = instruction.operation
        qubits = tuple(index_of[q] for q in instruction.qubits)
        params: tuple[NDArray[np.float64], ...] = ()
        if operation.name not in ("measure", "reset", "delay", "barrier"):
            if (operation.name, qubits) not in device.gates:
                raise NotExecutableError(
                    f"{circuit.name}: instruction {index}: {device.name} has no calibration of "
                    f"{operation.name}{qubits}. "
                    "Expected a circuit in native gates on calibrated couplers; map it with qcompile.compile first."
                )
            params = tuple(_numbers(p, parameters, table) for p in operation.params)
        steps.append(NativeStep(operation.name, qubits, params, durations[index]))
    return steps


def _numbers(value: Any, parameters: Sequence[Parameter], table: NDArray[np.float64]) -> NDArray[np.float64]:
    if isinstance(value, ParameterExpression) and value.parameters:
        return expression_values(value, parameters, table)
    return np.full(len(table), float(value))


def expression_values(
    expression: ParameterExpression, parameters: Sequence[Parameter], table: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[draw] numbers of an expression at [draw, parameter] values.

    Raises: CircuitError: it has no finite real value there.
    """
    own = [(parameters.index(p), p) for p in expression.parameters]
    numbers = np.empty(len(table))
    for d, row in enumerate(table):
        point = {p: float(row[k]) for k, p in own}
        try:
            numbers[d] = float(expression.bind(point).numeric())
        except (ArithmeticError, ValueError, TypeError, QiskitError) as error:
            at = ", ".join(f"{p.name} = {v:g}" for p, v in point.items())
            raise CircuitError(f"angle {expression} at {at}: {error}. Expected a finite real number.") from error
    return numbers


def _hellinger(
    steps: Sequence[NativeStep],
    device: Device,
    virtual_at: Sequence[int],
    measured: Sequence[int],
    fidelity: NDArray[np.float64],
) -> float | None:
    active = sorted({q for s in steps if s.name not in ("barrier", "delay") for q in s.qubits} | set(virtual_at))
    if len(active) > HELLINGER_QUBITS or any(s.name == "reset" for s in steps):
        return None
    where = {q: i for i, q in enumerate(active)}
    wires = [where[q] for q in measured]
    confusion = [confusion_matrix(device, q) for q in measured]
    total = 0.0
    for d, survived in enumerate(fidelity):
        state = ideal.zero_state(len(active))
        for step in steps:
            if step.name not in ("measure", "delay", "barrier"):
                matrix = ideal.gate_matrix(step.name, tuple(float(p[d]) for p in step.params))
                state = ideal.apply(state, matrix, [where[q] for q in step.qubits], len(active))
        clean = ideal.marginal(np.abs(state) ** 2, wires, len(active))
        noisy = ideal.confuse(survived * clean + (1 - survived) / len(clean), confusion)
        total += float(np.sqrt(clean * np.clip(noisy, 0, None)).sum() ** 2)
    return min(total / len(fidelity), 1.0)
