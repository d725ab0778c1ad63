"""Reads a circuit on physical qubits as native steps: names, qubits, angles at each draw, durations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, Qubit

from qcompile.device import Device
from qcompile.errors import CircuitError, NotExecutableError
from qcompile.fidelity.program import NativeStep
from qcompile.schedule import delay_seconds
from qcompile.values import expression_values


def native_steps(
    circuit: QuantumCircuit, device: Device, parameters: Sequence[Parameter], table: NDArray[np.float64]
) -> list[NativeStep]:
    """The circuit's instructions with their numbers.

    Args:
        table: [draw, parameter] values of `parameters`, rad.
    Raises: NotExecutableError: a gate that the device has no calibration of. CircuitError: a delay that is no waiting
        time; an angle without a finite real value.
    """
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    known: dict[tuple[str, tuple[Qubit, ...]], tuple[NativeStep, bool]] = {}  # without its angles, whether it has any
    columns = iter(expression_values(symbolic_angles(circuit), parameters, table).T)
    steps = []
    for index, instruction in enumerate(circuit.data):
        name = instruction.name
        key = (name, instruction.qubits)
        if key not in known:
            place = f"{circuit.name}: instruction {index}"
            qubits = tuple([index_of[q] for q in instruction.qubits])
            duration = 0.0 if name in ("barrier", "delay") else _duration(name, qubits, device, place)
            has_numbers = name == "delay" or (name != "barrier" and bool(instruction.params))
            known[key] = NativeStep(name, qubits, (), duration), has_numbers
        step, has_numbers = known[key]
        if has_numbers:
            place = f"{circuit.name}: instruction {index}"
            if name == "delay":
                step = step._replace(duration=delay_seconds(instruction.operation, device, place))
            else:
                params = tuple([_number(v, place) if not is_symbolic(v) else next(columns) for v in instruction.params])
                step = NativeStep(name, step.qubits, params, step.duration)
        steps.append(step)
    return steps


def _duration(name: str, qubits: tuple[int, ...], device: Device, place: str) -> float:
    """s. Raises: NotExecutableError: a gate that the device has no calibration of."""
    if name not in ("measure", "reset") and (len(qubits) > 2 or (name, qubits) not in device.gates):
        raise NotExecutableError(
            f"{place}: {device.name} has no calibration of {name}{qubits}. "
            "Expected a circuit in native gates on calibrated couplers; map it with qcompile.compile first."
        )
    return device.duration(name, qubits)


def is_symbolic(value: object) -> bool:
    """Whether a gate's parameter waits for a number."""
    return isinstance(value, ParameterExpression) and bool(value.parameters)


def symbolic_angles(circuit: QuantumCircuit) -> list[ParameterExpression]:
    """Every symbolic angle in program order; delays, which must be numbers, are left out."""
    return [
        value
        for instruction in circuit.data
        if instruction.name not in ("delay", "barrier")
        for value in instruction.params
        if is_symbolic(value)
    ]


def _number(value: object, place: str) -> float:
    """An angle in rad. Raises: CircuitError: it is not finite and real."""
    number = float(value)  # type: ignore[arg-type]  # a number, or an expression that is bound
    if not math.isfinite(number):
        raise CircuitError(f"{place}: angle {number} is not finite. Expected a real number of radians.")
    return number
