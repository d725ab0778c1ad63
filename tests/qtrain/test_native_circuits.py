"""Circuits for a chip: every slot can be shifted by native angles, on chips with and without a gate for Z rotations."""

from dataclasses import replace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

import qcompile
from qtrain.chip.circuits import native_circuit
from qtrain.errors import ExecutorError
from qtrain.executors.base import shifted_points
from qtrain.executors.exact import ExactSimulator
from qtrain.noise import lower_for_device
from tests.gradient_circuits import everything, qoc, sel

CIRCUITS = {"qoc": qoc(1), "sel": sel(3, 2), "everything": everything(4)}
DEVICES = ("ibm_manila", "ibm_miami", "iqm_adonis", "iqm_garnet", "google_weber")


def lowered(circuit, features, weights, device):
    n = circuit.num_qubits
    observables = [
        SparsePauliOp.from_sparse_list([("Z", [0], 1.0), ("XY", [0, 1], 0.5)], num_qubits=n),
        SparsePauliOp.from_sparse_list([("YX", [0, 2], 1.0)], num_qubits=n),
    ]
    return lower_for_device(circuit, observables, device, features=features, weights=weights, effort="fast")


def sent_and_run(program, points):
    """[point, observable] of the circuits as they are sent, by Qiskit's state vector."""
    active = list(program.compiled.active_qubits)
    strings = np.zeros((len(points), len(program.measurement.strings)))
    for basis in program.measurement.bases:
        native = native_circuit(program, basis)
        assert [p.name for p in native.circuit.parameters] == [f"angle{i:05d}" for i in range(len(native.constant))]
        for row, values in enumerate(native.values(points)):
            small = QuantumCircuit(len(active))
            for step in native.circuit.assign_parameters(values).data:
                if step.operation.name not in ("measure", "barrier"):
                    places = [active.index(native.circuit.find_bit(q).index) for q in step.qubits]
                    small.append(step.operation, places)
            state = Statevector(small)
            for term in basis.terms:
                qubits = [q for q, _ in program.measurement.strings[term]]
                z = SparsePauliOp.from_sparse_list([("Z" * len(qubits), qubits, 1.0)], num_qubits=len(active))
                strings[row, term] = state.expectation_value(z).real
    return program.measurement.combine(strings)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CIRCUITS)
def test_shifted_circuits_as_sent_equal_the_shifted_program(name, device):
    circuit, features, weights = CIRCUITS[name]
    program = lowered(circuit, features, weights, qcompile.load_device(device))
    rng = np.random.default_rng(3)
    angles = program.angles(rng.uniform(0.1, 1, (1, len(features))), rng.uniform(-3, 3, len(weights)))
    slots = rng.choice(program.num_slots, min(6, program.num_slots), replace=False)
    points = shifted_points(angles, slots, np.array([0.0, 0.7, -1.9])).reshape(-1, program.num_slots)
    here = replace(program, compiled=None, device=None, durations=())
    expected = ExactSimulator().expectations(here, points, key=(0, 0, 0))
    assert np.abs(sent_and_run(program, points) - expected).max() < 1e-12


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_sent_is_native_and_on_live_couplers(device):
    circuit, features, weights = CIRCUITS["everything"]
    chip = qcompile.load_device(device)
    program = lowered(circuit, features, weights, chip)
    for basis in program.measurement.bases:
        native = native_circuit(program, basis)
        qcompile.assert_executable(native.circuit, chip)
        assert native.circuit.num_qubits == chip.num_qubits
        assert len(native.circuit.cregs[-1]) == len(basis.qubits)
        if device.startswith("iqm"):
            assert "rz" not in native.circuit.count_ops()  # no gate of these chips


def test_a_circuit_that_does_not_hold_its_slots_is_noticed(monkeypatch):
    circuit, features, weights = CIRCUITS["sel"]
    program = lowered(circuit, features, weights, qcompile.load_device("ibm_manila"))
    swapped = replace(program.angle_map, b=program.angle_map.b + np.linspace(0, 1, program.num_slots))
    calls = iter([program.angle_map] * program.num_slots)
    monkeypatch.setattr(type(program), "angles", lambda self, f, w: next(calls, swapped)(f, w))
    with pytest.raises(ExecutorError, match="rad by slots"):
        native_circuit(program, program.measurement.bases[0])
