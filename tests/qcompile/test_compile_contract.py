"""The contract of compile on random circuits and random calibrated chips, effort by effort."""

from __future__ import annotations

import importlib
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from qcompile import Device, assert_equivalent, assert_executable, compile
from qcompile.candidates import Candidate, Problem, Trial, candidate, planned
from qcompile.compiled import CompiledCircuit
from qcompile.routing.kernels import AHEAD, DECAY, FADE, KNOBS, TEMPERATURE, WINDOW
from tests.qcompile.rebuilt import layered
from tests.qcompile.strategies import circuits, devices

PROPERTY = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
MODULE = importlib.import_module("qcompile.compile")


def judged(circuit: QuantumCircuit, device: Device, seed: int, effort: str) -> tuple[CompiledCircuit, Candidate]:
    """What compile gives, and the candidate that it is."""
    real, chosen = MODULE.best_of, []

    def spy(candidates: list[Candidate]) -> Candidate:
        chosen.append(real(candidates))
        return chosen[-1]

    with mock.patch.object(MODULE, "best_of", spy):
        compiled = compile(circuit, device, seed=seed, effort=effort)
    return compiled, chosen[-1]


def assert_contract(circuit: QuantumCircuit, device: Device, compiled: CompiledCircuit) -> None:
    assert_executable(compiled.circuit, device)
    assert_equivalent(circuit, compiled)
    for instruction in compiled.circuit.data:
        qubits = tuple(compiled.circuit.find_bit(q).index for q in instruction.qubits)
        assert set(qubits) <= device.components[0]
        if len(qubits) == 2 and instruction.operation.name != "barrier":
            assert device.is_live(instruction.operation.name, qubits)
    for layout in (compiled.initial_layout, compiled.final_layout):
        assert len(set(layout.physical)) == circuit.num_qubits
        assert set(layout.physical) <= device.components[0]


@settings(PROPERTY, max_examples=60)
@given(circuit=layered(fences=False), device=devices(max_qubits=9), seed=st.integers(0, 99))
def test_commuting_circuits_are_executable_and_equivalent(circuit: QuantumCircuit, device: Device, seed: int) -> None:
    assume(device.components and len(device.components[0]) >= circuit.num_qubits)
    assert_contract(circuit, device, compile(circuit, device, seed=seed, effort="fast"))


@settings(PROPERTY, max_examples=40)
@given(circuit=layered(max_gates=20), device=devices(max_qubits=8), seed=st.integers(0, 99))
def test_circuits_with_fences_are_executable_and_equivalent(circuit: QuantumCircuit, device: Device, seed: int) -> None:
    assume(device.components and len(device.components[0]) >= circuit.num_qubits)
    assert_contract(circuit, device, compile(circuit, device, seed=seed, effort="fast"))


@settings(PROPERTY, max_examples=12)
@given(
    circuit=layered(max_gates=24, fences=False) | circuits(max_gates=20),
    device=devices(max_qubits=8),
    seed=st.integers(0, 99),
)
def test_normal_is_never_worse_than_fast_and_both_keep_the_contract(
    circuit: QuantumCircuit, device: Device, seed: int
) -> None:
    assume(device.components and len(device.components[0]) >= circuit.num_qubits)
    fast, normal = (judged(circuit, device, seed, effort) for effort in ("fast", "normal"))
    assert_contract(circuit, device, normal[0])
    assert normal[1].merit >= fast[1].merit
    again = compile(circuit, device, seed=seed, effort="normal")
    assert again.circuit == normal[0].circuit
    assert (again.initial_layout, again.final_layout) == (normal[0].initial_layout, normal[0].final_layout)


@settings(PROPERTY, max_examples=2)
@given(circuit=layered(max_gates=16, fences=False), device=devices(max_qubits=6), seed=st.integers(0, 9))
def test_best_is_never_worse_than_normal(circuit: QuantumCircuit, device: Device, seed: int) -> None:
    assume(device.components and len(device.components[0]) >= circuit.num_qubits)
    normal, best = (judged(circuit, device, seed, effort) for effort in ("normal", "best"))
    assert_contract(circuit, device, best[0])
    assert best[1].merit >= normal[1].merit


def trivially_routed(problem: Problem) -> float:
    """Merit of the circuit as it is written, routed from the trivial layout without any search."""
    variant = problem.variants[0]
    layout = np.array(sorted(problem.device.components[0])[: variant.circuit.num_qubits], np.int64)
    knobs = np.zeros(KNOBS)
    knobs[[WINDOW, AHEAD, DECAY, TEMPERATURE, FADE]] = 8, 0.5, 0.8, 0.1, 1
    return candidate(problem, planned(problem, Trial(0.0, variant, layout, knobs, np.uint64(1)))).merit


@pytest.mark.parametrize(("effort", "slack"), [("fast", 0.01), ("normal", 1e-9)])
@settings(PROPERTY, max_examples=15)
@given(circuit=layered(fences=False), device=devices(max_qubits=9), seed=st.integers(0, 99))
def test_no_effort_is_worse_than_the_trivial_layout_routed(
    effort: str, slack: float, circuit: QuantumCircuit, device: Device, seed: int
) -> None:
    """Effort fast compares by the router's prices, which do not know in which direction a gate is native."""
    assume(device.components and len(device.components[0]) >= circuit.num_qubits)
    found = judged(circuit, device, seed, effort)[1]
    assert found.merit >= trivially_routed(found.problem) - slack


def test_what_is_judged_is_what_is_given() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    for a, b in ((0, 1), (1, 2), (0, 2)):
        circuit.rzz(0.4, a, b)
    device = Device.from_coupling([(0, 1), (1, 2), (2, 3)])
    compiled, found = judged(circuit, device, 0, "fast")
    assert found.plan.initial_layout == compiled.initial_layout
    assert float(found.score.fidelity.mean()) == pytest.approx(compiled.estimate.state_fidelity, abs=0.02)
