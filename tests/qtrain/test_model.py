import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qtrain import ansatze, encoders
from qtrain.errors import ModelError
from qtrain.model import QuantumModel


def small_model(**changes):
    encoder, features = encoders.angle_encoder(2)
    ansatz, weights = ansatze.rzz_ring(2, 1)
    options = {"features": features, "weights": weights, "observables": ["Z0", "X0 Z1"]} | changes
    return QuantumModel(encoder.compose(ansatz), **options)


def test_labels_strings_and_operators_name_the_same_observables():
    model = small_model(observables=["Z0", "ZI", "X0*Z1", SparsePauliOp("ZX"), "X0Z1"])
    assert [o.to_list() for o in model.observables] == [
        [("IZ", 1)], [("ZI", 1)], [("ZX", 1)], [("ZX", 1)], [("ZX", 1)]
    ]  # fmt: skip


def test_final_measurements_are_taken_off_and_the_callers_circuit_is_left_alone():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("w"), 0)
    circuit.measure_all()
    model = QuantumModel(circuit, weights=["w"], observables=["Z0"])
    assert "measure" not in model.circuit.count_ops()
    assert "measure" in circuit.count_ops()


def test_a_measurement_inside_the_circuit_is_refused():
    circuit = QuantumCircuit(1, 1)
    circuit.ry(Parameter("w"), 0)
    circuit.measure(0, 0)
    circuit.x(0)
    with pytest.raises(ModelError, match=r"holds measure on qubits \[0\] before its end"):
        QuantumModel(circuit, weights=["w"], observables=["Z0"])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"features": []}, "neither a feature nor a weight"),
        ({"features": ["x[0]", "x[0]", "x[1]"]}, "named twice"),
        ({"features": ["x[0]", "x[1]", "w[0]"]}, "named twice"),
        ({"features": ["nothing"]}, r"features\[0\] = 'nothing' is no parameter"),
        ({"features": [Parameter("x[0]")]}, "not in the circuit"),
        ({"features": "x[0]"}, "Expected a list"),
        ({"weights": []}, "neither|nothing to train"),
        ({"observables": []}, "observables is empty"),
        ({"observables": "Z0"}, "Expected a list"),
        ({"observables": ["Z7"]}, r"names qubit 7. The circuit has qubits 0 to 1"),
        ({"observables": ["Z0 X0"]}, "names qubit 0 twice"),
        ({"observables": ["ZZZ"]}, "3 qubits"),
        ({"observables": ["Q0"]}, "cannot be read"),
        ({"observables": [""]}, "cannot be read"),
        ({"observables": ["Z" + "9" * 5000]}, "cannot be read"),
        ({"observables": [3]}, 'Expected "Z0"'),
        ({"observables": [SparsePauliOp("ZZ", 1j)]}, "real"),
        ({"observables": [SparsePauliOp("ZZ", np.nan)]}, "finite"),
        ({"observables": [SparsePauliOp("ZZZ")]}, "3 qubits"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused(changes, match):
    with pytest.raises(ModelError, match=match):
        small_model(**changes)


def test_a_text_is_no_circuit():
    with pytest.raises(ModelError, match="Expected a QuantumCircuit"):
        QuantumModel("OPENQASM 2.0;", weights=["w"], observables=["Z0"])


def test_parameter_vectors_may_be_passed_whole():
    w = ParameterVector("w", 2)
    circuit = QuantumCircuit(1)
    circuit.ry(w[0], 0)
    circuit.rz(w[1], 0)
    assert len(QuantumModel(circuit, weights=w, observables=["X0"]).weights) == 2
