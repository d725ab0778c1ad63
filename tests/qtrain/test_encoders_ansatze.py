import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from qtrain import ansatze, encoders
from qtrain.errors import ModelError

BUILDERS = [
    (lambda: encoders.angle_encoder(3), 3),
    (lambda: encoders.ry_rz_rx_ry(4), 16),
    (lambda: encoders.ry_rz_rx_ry(2), 8),
    (lambda: encoders.zz_feature_map(3), 3),
    (lambda: ansatze.rzz_ring(4, 3), 48),
    (lambda: ansatze.rzz_ring(2, 1), 7),
    (lambda: ansatze.rzz_ring(1, 2), 6),
    (lambda: ansatze.rzz_ry(4, 2), 16),
    (lambda: ansatze.u3cu3(4, 2), 48),
    (lambda: ansatze.u3cu3(2, 1), 9),
    (lambda: ansatze.efficient_su2(4, reps=2), 24),
]


@pytest.mark.parametrize(("build", "count"), BUILDERS)
def test_every_listed_parameter_is_in_the_circuit_once_listed(build, count):
    circuit, parameters = build()
    assert len(parameters) == len(set(parameters)) == count
    assert set(parameters) == set(circuit.parameters)


def test_parameters_of_more_than_ten_are_listed_in_numerical_order():
    for circuit, parameters in (encoders.zz_feature_map(12, reps=1), ansatze.efficient_su2(4, reps=2)):
        assert [p.index for p in parameters] == list(range(len(circuit.parameters)))


def test_feature_k_of_the_image_encoder_sits_on_qubit_k_mod_n_in_layer_k_div_n():
    circuit, features = encoders.ry_rz_rx_ry(4)
    seen = [(i.operation.name, circuit.find_bit(i.qubits[0]).index, i.operation.params[0]) for i in circuit.data]
    expected = [(name, q, features[4 * k + q]) for k, name in enumerate(("ry", "rz", "rx", "ry")) for q in range(4)]
    assert seen == expected


def test_one_block_of_rzz_ring_is_rzz_ry_rx_rz_in_weight_order():
    circuit, weights = ansatze.rzz_ring(3, 1)
    names = [i.operation.name for i in circuit.data]
    assert names == ["rzz"] * 3 + ["ry"] * 3 + ["rx"] * 3 + ["rz"] * 3
    assert [i.operation.params[0] for i in circuit.data] == weights
    pairs = [tuple(circuit.find_bit(q).index for q in i.qubits) for i in circuit.data[:3]]
    assert pairs == [(0, 1), (1, 2), (2, 0)]


def test_rz_angle_encoder_changes_the_state():
    circuit, features = encoders.angle_encoder(1, rotation="rz")
    states = [Statevector(circuit.assign_parameters({features[0]: v})) for v in (0.0, 1.0)]
    assert abs(states[0].inner(states[1])) < 0.99


def test_u3cu3_gates_are_those_of_qiskit():
    circuit, weights = ansatze.u3cu3(3, 1)
    values = np.random.default_rng(0).uniform(-np.pi, np.pi, len(weights))
    bound = circuit.assign_parameters(dict(zip(weights, values)))
    assert [i.operation.name for i in bound.data] == ["u"] * 3 + ["cu"] * 3
    assert all(i.operation.params[3] == 0.0 for i in bound.data[3:])


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "3"])
@pytest.mark.parametrize(
    "builder", [encoders.angle_encoder, encoders.ry_rz_rx_ry, encoders.zz_feature_map, ansatze.rzz_ring, ansatze.u3cu3]
)
def test_a_size_that_is_no_positive_integer_is_refused(builder, bad):
    with pytest.raises(ModelError, match="Expected an integer of at least 1"):
        builder(bad)


def test_an_unknown_rotation_is_refused():
    with pytest.raises(ModelError, match="rx, ry, rz"):
        encoders.angle_encoder(2, rotation="rxx")
