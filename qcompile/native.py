"""Reads a circuit on physical qubits as native steps: names, qubits, angles at each draw, durations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression

from qcompile.device import Device
from qcompile.errors import NotExecutableError
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
    durations: dict[tuple[str, tuple[int, ...]], float] = {}
    bare: set[str] = set()  # gates without angles: the list of them is not asked for again
    steps = []
    for index, instruction in enumerate(circuit.data):
        name = instruction.name
        qubits = tuple([index_of[q] for q in instruction.qubits])
        if name == "barrier":
            steps.append(NativeStep(name, qubits, (), 0.0))
            continue
        if name == "delay":
            waits = delay_seconds(instruction.operation, device, f"{circuit.name}: instruction {index}")
            steps.append(NativeStep(name, qubits, (), waits))
            continue
        duration = durations.get((name, qubits))
        if duration is None:
            if name not in ("measure", "reset") and (name, qubits) not in device.gates:
                raise NotExecutableError(
                    f"{circuit.name}: instruction {index}: {device.name} has no calibration of {name}{qubits}. "
                    "Expected a circuit in native gates on calibrated couplers; map it with qcompile.compile first."
                )
            duration = durations[name, qubits] = device.duration(name, qubits)
        if name in bare:
            steps.append(NativeStep(name, qubits, (), duration))
            continue
        params: list[NDArray[np.float64] | float] = []
        for value in instruction.params:
            is_symbolic = isinstance(value, ParameterExpression) and value.parameters
            params.append(expression_values(value, parameters, table) if is_symbolic else float(value))
        if not params:
            bare.add(name)
        steps.append(NativeStep(name, qubits, tuple(params), duration))
    return steps
