"""A step as jobs: every execution in exactly one of them, as few as the limits allow, cut the same way each time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from qcompile.device import Device
from qtrain.chip import split as module
from qtrain.chip.circuits import NativeCircuit
from qtrain.chip.split import capacity, control_instructions, halves, split
from qtrain.errors import ConfigError

DEVICE = Device.from_coupling([(0, 1)])


def native(parameters=3):
    circuit = QuantumCircuit(2, 2)
    circuit.rz(0.1, 0)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return NativeCircuit(circuit, np.zeros((parameters, 2)), np.zeros(parameters))


def executions(chunks):
    return [(basis, point) for chunk in chunks for basis, a, b in chunk.parts for point in range(a, b)]


@settings(deadline=None, max_examples=60)
@given(points=st.lists(st.integers(0, 40), min_size=1, max_size=4), shots=st.integers(1, 5), most=st.integers(5, 60))
def test_every_execution_is_in_one_job_and_no_job_is_too_large(points, shots, most):
    units = [[f"{basis}-{point}" for point in range(count)] for basis, count in enumerate(points)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_EXECUTIONS", most)
        chunks = split(units, [native()] * len(points), DEVICE, shots, [1e-6] * len(points))
    expected = [(basis, point) for basis, count in enumerate(points) for point in range(count)]
    assert executions(chunks) == expected
    assert [u for chunk in chunks for u in chunk.units] == [f"{b}-{p}" for b, p in expected]
    assert all(chunk.executions <= most for chunk in chunks)
    assert len(chunks) == -(-len(expected) // (most // shots))
    assert len({chunk.content for chunk in chunks}) == len(chunks)
    for chunk in chunks:
        if chunk.circuits > 1:
            first, second = halves(chunk, DEVICE, 1e-6)
            assert executions([first, second]) == executions([chunk])
            assert (*first.units, *second.units) == chunk.units


def test_one_gradient_of_36_parameters_and_16_rows_is_one_job():
    units = [[str(i) for i in range(16 * 73)]]
    assert len(split(units, [native(100)], DEVICE, 1024, [5e-6])) == 1
    assert len(split(units, [native(100)], DEVICE, 8192, [5e-6])) == 2  # 9.6 million executions


def test_control_instructions_are_counted_as_the_service_does():
    assert control_instructions(native().circuit) == 50 + 1 + 2 + 5 + 10


def test_a_circuit_that_no_job_can_hold_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_EXECUTIONS", 100)
    with pytest.raises(ConfigError, match=r"shots = 101: one circuit alone passes the limit of executions a job"):
        capacity([native()], DEVICE, 101, [1e-6])
    (chunk,) = split([["only"]], [native()], DEVICE, 100, [1e-6])
    with pytest.raises(ConfigError, match="one circuit of 100 shots"):
        halves(chunk, DEVICE, 1e-6)
