"""Binding: angles for batches and bound circuits equal Qiskit's assign_parameters; the estimate is made when asked."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import zz_feature_map

from qcompile import (
    CircuitError,
    CompiledCircuit,
    Device,
    Gate,
    Layout,
    NativeGates,
    assert_equivalent,
    compile,
    estimate,
    load_device,
)
from qcompile.compiled import on_demand
from qcompile.expressions import AngleTable
from qcompile.native import is_symbolic
from tests.circuits import u3cu3
from tests.qcompile.strategies import circuits, devices

LINE = Device.from_coupling([(0, 1), (1, 2), (2, 3)])


def _numbers(circuit: QuantumCircuit) -> list[float]:
    return [float(p) for i in circuit.data if i.operation.name != "delay" for p in i.operation.params]


@pytest.fixture(scope="module")
def feature_map() -> CompiledCircuit:
    circuit = zz_feature_map(4)
    circuit.measure_all()
    return compile(circuit, load_device("ibm_manila"), effort="fast")


@settings(max_examples=40, deadline=None)
@given(circuit=circuits(), seed=st.integers(0, 2**31))
def test_a_bound_circuit_is_qiskits(circuit: QuantumCircuit, seed: int) -> None:
    compiled = compile(circuit, LINE, effort="fast")
    values = np.random.default_rng(seed).uniform(-7, 7, circuit.num_parameters)
    ours = compiled.bind(values)
    theirs = compiled.circuit.assign_parameters(
        {p: v for p, v in zip(circuit.parameters, values) if p in compiled.circuit.parameters}
    )
    assert not ours.parameters
    assert [(i.operation.name, i.qubits, i.clbits) for i in ours.data] == [
        (i.operation.name, i.qubits, i.clbits) for i in theirs.data
    ]
    assert (ours.cregs, ours.layout) == (theirs.cregs, theirs.layout)
    np.testing.assert_allclose(_numbers(ours), _numbers(theirs), rtol=0, atol=1e-12)
    angles = compiled.angles(values)
    assert angles.shape == (1, len(compiled.slots))
    for slot, angle in zip(compiled.slots, angles[0]):
        instruction = ours.data[slot.instruction]
        assert instruction.operation.name == slot.gate
        assert tuple(ours.find_bit(q).index for q in instruction.qubits) == slot.qubits
        assert float(instruction.operation.params[slot.param]) == pytest.approx(angle, abs=1e-15)


def test_angles_of_a_feature_map_for_a_batch(feature_map: CompiledCircuit) -> None:
    batch = np.random.default_rng(0).uniform(-3, 3, (5, 4))
    angles = feature_map.angles(batch)
    assert angles.shape == (5, len(feature_map.slots))
    assert angles.dtype == np.float64
    for row, values in zip(angles, batch):
        bound = feature_map.circuit.assign_parameters(values)
        expected = [float(bound.data[s.instruction].operation.params[s.param]) for s in feature_map.slots]
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(row, feature_map.angles(values)[0])


def test_values_by_parameter_name_vector_or_sequence_are_the_same(feature_map: CompiledCircuit) -> None:
    x = feature_map.circuit.parameters
    values = [0.1, -0.2, 0.3, 2.0]
    vector = x[0].vector
    ways = [
        values, tuple(values), np.array(values), np.array([values]), dict(zip(x, values)),
        {p.name: v for p, v in zip(x, values)}, {vector: values},
    ]  # fmt: skip
    for way in ways:
        np.testing.assert_array_equal(feature_map.angles(way), feature_map.angles(values))
        assert feature_map.bind(way) == feature_map.bind(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (None, "no values"),
        ([0.1, 0.2, 0.3], "values of shape"),
        (np.zeros((2, 3)), r"Expected real numbers, \(4,\) or \(batch, 4\)"),
        (np.zeros((1, 4), dtype=complex), "complex"),
        (np.zeros((1, 1, 4)), "shape"),
        (np.array([["a"] * 4]), "real numbers"),
        ({"x[0]": 1.0}, "lack"),
        ({**{f"x[{i}]": 1.0 for i in range(4)}, "y": 0.0}, "unknown"),
        ([0.1, 0.2, np.nan, 0.3], "finite"),
        (np.array([[0.1, 0.2, 0.3, np.inf]]), r"values\[0, 3\] = inf for x\[3\]"),
        (0.5, "shape"),
    ],
)
def test_values_that_do_not_fit_are_refused(feature_map: CompiledCircuit, values: object, words: str) -> None:
    for way in (feature_map.angles, feature_map.bind):
        with pytest.raises(CircuitError, match=words):
            way(values)


def test_a_parameter_given_twice_and_a_vector_of_wrong_length_are_refused(feature_map: CompiledCircuit) -> None:
    x = feature_map.circuit.parameters
    twice = {**dict.fromkeys(x, 0.0), "x[0]": 1.0}
    with pytest.raises(CircuitError, match=r"x\[0\] twice"):
        feature_map.bind(twice)
    with pytest.raises(CircuitError, match="5 values for vector x"):
        feature_map.bind({x[0].vector: [1.0] * 5})


def test_a_batch_binds_no_circuit(feature_map: CompiledCircuit) -> None:
    with pytest.raises(CircuitError, match="2 circuits"):
        feature_map.bind(np.zeros((2, 4)))


def test_a_cancelled_parameter_keeps_its_place() -> None:
    first, gone, last = Parameter("a"), Parameter("b"), Parameter("c")
    circuit = QuantumCircuit(2)
    circuit.rx(first, 0)
    circuit.rzz(gone, 0, 1)
    circuit.rzz(-gone, 0, 1)
    circuit.ry(last, 1)
    compiled = compile(circuit, LINE)
    assert compiled.parameters == (first, gone, last)
    assert compiled.bind([0.1, 0.2, 0.3]) == compiled.bind({first: 0.1, gone: 9.0, last: 0.3})
    assert_equivalent(circuit.assign_parameters([0.1, 0.2, 0.3]), _with(compiled, [0.1, 0.2, 0.3]))


def _with(compiled: CompiledCircuit, values: Sequence[float]) -> CompiledCircuit:
    """Circuit and dropped Z rotations with numbers: without the latter, a chip that drops any differs in unitaries."""
    table = AngleTable([a for _, _, a in compiled.frames if is_symbolic(a)], compiled.parameters)
    numbers = iter(table(np.array([values], dtype=float).reshape(1, -1))[0])
    frames = tuple((q, k, next(numbers) if is_symbolic(a) else a) for q, k, a in compiled.frames)
    return dataclasses.replace(compiled, circuit=compiled.bind(values), parameters=None, frames=frames)


def test_a_circuit_without_parameters_binds_to_itself() -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    compiled = compile(circuit, LINE)
    assert compiled.bind([]) == compiled.bind({}) == compiled.circuit
    assert compiled.slots == ()
    assert compiled.angles([]).shape == (1, 0)


def test_a_symbolic_global_phase_and_foreign_parameters_are_refused(feature_map: CompiledCircuit) -> None:
    phased = feature_map.circuit.copy()
    phased.global_phase = phased.parameters[0]
    with pytest.raises(CircuitError, match="global phase"):
        _ = dataclasses.replace(feature_map, circuit=phased).slots
    with pytest.raises(CircuitError, match=r"x\[0\]"):
        _ = dataclasses.replace(feature_map, parameters=tuple(ParameterVector("y", 4))).slots


def _symbolic_frames() -> tuple[QuantumCircuit, Device]:
    """A measured qubit whose last rotation a chip with r gates never plays, and angles whose symbols vanish."""
    chip = Device.from_coupling([(0, 1)])
    gates = {place: gate for place, gate in chip.gates.items() if place[0] == "cx"}
    gates |= {("r", (q,)): Gate(1e-3, 3e-8) for q in range(2)}
    a = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.cu(0.3, 2 * a, 2 * a, 0.1, 0, 1)
    circuit.rx(0 * a + 0.4, 0)
    circuit.rz(a, 0)
    circuit.measure_all()
    return circuit, dataclasses.replace(chip, gates=gates, native_gates=NativeGates(("r",), ("cx",), ()))


@settings(max_examples=15, deadline=None)
@example(*_symbolic_frames())
@given(circuit=circuits(), device=devices())
def test_bound_circuits_are_equivalent_on_random_devices(circuit: QuantumCircuit, device: Device) -> None:
    if circuit.num_qubits > len(device.components[0]):
        return
    compiled = compile(circuit, device, effort="fast")
    values = np.random.default_rng(0).uniform(-3, 3, circuit.num_parameters)
    assert_equivalent(circuit.assign_parameters(values), _with(compiled, values))


def test_the_estimate_is_made_once_when_it_is_asked_for() -> None:
    source = compile(u3cu3(3, 1), LINE, effort="fast")
    made = []

    def make() -> object:
        made.append(1)
        return estimate(source.circuit, LINE)

    fresh = CompiledCircuit(source.circuit, source.initial_layout, source.final_layout, on_demand(make), LINE)
    assert fresh.active_qubits
    assert fresh.compact().num_qubits == 3
    assert not made
    assert fresh.estimate is fresh.estimate
    assert made == [1]
    assert fresh.estimate.state_fidelity == pytest.approx(source.estimate.state_fidelity)


def test_a_compiled_circuit_is_a_value_before_and_after_its_estimate() -> None:
    compiled = compile(u3cu3(3, 1), LINE, effort="fast")
    assert callable(compiled.__dict__["estimate"])  # compile did not wait for it
    unread = pickle.loads(pickle.dumps(compiled)), copy.copy(compiled), copy.deepcopy(compiled)
    assert all(callable(c.__dict__["estimate"]) for c in unread)
    found = compiled.estimate
    assert compiled == pickle.loads(pickle.dumps(compiled)) == copy.copy(compiled)
    for other in unread:
        assert other.estimate == found
        assert other == compiled
    assert "Estimate(state_fidelity=" in repr(compiled)
    assert dataclasses.replace(compiled, device=LINE).estimate is found
    with pytest.raises(dataclasses.FrozenInstanceError):
        compiled.estimate = found  # type: ignore[misc]
    assert [f.name for f in dataclasses.fields(compiled)] == [
        "circuit", "initial_layout", "final_layout", "estimate", "device", "parameters", "frames",
    ]  # fmt: skip
    with pytest.raises(TypeError, match="estimate"):
        CompiledCircuit(compiled.circuit, Layout((0, 1, 2)), Layout((0, 1, 2)), device=LINE)  # type: ignore[call-arg]


def test_editing_the_circuit_later_does_not_change_its_estimate() -> None:
    one, two = (compile(u3cu3(3, 1), LINE, effort="fast") for _ in range(2))
    one.circuit.measure_all()
    assert one.estimate.success_probability == two.estimate.success_probability
