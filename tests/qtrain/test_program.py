"""Program: circuits come apart into slots that obey A + B cos + C sin, and numbers bind exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import (
    HamiltonianGate,
    LinearFunction,
    PermutationGate,
    RYGate,
    UnitaryGate,
    get_standard_gate_name_mapping,
    zz_feature_map,
)
from qiskit.quantum_info import SparsePauliOp, Statevector, random_clifford

from qtrain.errors import ConfigError, ModelError
from qtrain.executors.exact import ExactSimulator
from qtrain.program import lower
from qtrain.simulators import statevector

KEY = (0, 0, 0)
SYMBOLIC = [
    name
    for name, gate in get_standard_gate_name_mapping().items()
    if gate.params and name not in ("delay", "global_phase")
]
FIXED = [
    name
    for name, gate in get_standard_gate_name_mapping().items()
    if not gate.params and name not in ("measure", "reset", "global_phase")
]


def surroundings(gate, seed):
    """A gate between fixed rotations that leave no amplitude out, and an observable that sees all of it."""
    rng = np.random.default_rng(seed)
    n = gate.num_qubits
    circuit = QuantumCircuit(n)
    for q in range(n):
        circuit.u(*rng.uniform(0.3, 2.5, 3), q)
    circuit.append(gate, range(n))
    for q in range(n):
        circuit.u(*rng.uniform(0.3, 2.5, 3), q)
    return circuit, [SparsePauliOp(["".join(rng.choice(list("XYZ"), n)) for _ in range(3)], [1.0, 0.5, -0.3])]


@pytest.mark.parametrize("name", SYMBOLIC)
def test_every_parameterized_library_gate_lowers_to_slots(name):
    gate = get_standard_gate_name_mapping()[name].copy()
    parameters = [Parameter(f"t{i}") for i in range(len(gate.params))]
    gate.params = list(parameters)
    circuit, observables = surroundings(gate, len(name))
    program = lower(circuit, observables, weights=parameters)
    values = np.random.default_rng(0).uniform(-3, 3, len(parameters))
    angles = program.angles(np.zeros((1, 0)), values)
    state = Statevector(circuit.assign_parameters(dict(zip(parameters, values))))
    found = program.measurement.combine(statevector.string_expectations(program, angles))[0, 0]
    assert found == pytest.approx(state.expectation_value(observables[0]).real, abs=1e-12)
    for slot in range(program.num_slots):
        at = []
        for shift in (0.0, np.pi / 2, np.pi, -np.pi / 2, 1.1):
            moved = angles.copy()
            moved[0, slot] += shift
            at.append(program.measurement.combine(statevector.string_expectations(program, moved))[0, 0])
        a, b, c = (at[0] + at[2]) / 2, (at[0] - at[2]) / 2, (at[1] - at[3]) / 2
        assert at[4] == pytest.approx(a + b * np.cos(1.1) + c * np.sin(1.1), abs=1e-12)


@pytest.mark.parametrize("name", FIXED)
def test_every_fixed_library_gate_lowers(name):
    gate = get_standard_gate_name_mapping()[name]
    circuit, observables = surroundings(gate, len(name))
    program = lower(circuit, observables)
    assert program.num_slots == 0
    found = program.measurement.combine(statevector.string_expectations(program, np.zeros((1, 0))))[0, 0]
    assert found == pytest.approx(Statevector(circuit).expectation_value(observables[0]).real, abs=1e-12)


def test_composite_controlled_annotated_and_matrix_gates_lower():
    t = Parameter("t")
    inner = QuantumCircuit(2, name="block")
    inner.ry(t, 0)
    inner.cx(0, 1)
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    circuit.append(inner.to_gate(), [2, 0])
    circuit.append(RYGate(2 * t).control(1, ctrl_state=0), [0, 1])
    circuit.append(RYGate(t).control(2, annotated=True), [0, 1, 2])
    circuit.append(UnitaryGate(np.eye(8)[[1, 0, 2, 3, 4, 5, 7, 6]]), [0, 2, 1])
    observables = [SparsePauliOp("XYZ"), SparsePauliOp("ZZI")]
    program = lower(circuit, observables)
    values = program.angles(np.zeros((1, 0)), np.array([0.7]))
    state = Statevector(circuit.decompose(reps=0).assign_parameters({t: 0.7}))
    found = program.measurement.combine(statevector.string_expectations(program, values))[0]
    assert np.abs(found - [state.expectation_value(o).real for o in observables]).max() < 1e-12


def test_operations_without_a_definition_are_synthesized():
    rng = np.random.default_rng(0)
    circuit = QuantumCircuit(3)
    for q in range(3):
        circuit.u(*rng.uniform(0.3, 2.5, 3), q)
    circuit.append(PermutationGate([2, 0, 1]), range(3))
    circuit.append(random_clifford(2, seed=1), [0, 2])
    circuit.append(LinearFunction([[1, 1], [0, 1]]), [1, 2])
    program = lower(circuit, [SparsePauliOp("XYZ"), SparsePauliOp("ZIY")])
    found = program.measurement.combine(statevector.string_expectations(program, np.zeros((1, 0))))[0]
    expected = [Statevector(circuit).expectation_value(o).real for o in program.observables]
    assert np.abs(found - expected).max() < 1e-12


def test_a_matrix_gate_with_a_symbol_names_its_place_and_the_way_out():
    circuit = QuantumCircuit(1)
    circuit.append(HamiltonianGate(np.array([[1, 0.2], [0.2, 0]]), Parameter("t")), [0])
    with pytest.raises(ModelError, match=r"gate 0 \(hamiltonian.*PauliEvolutionGate"):
        lower(circuit, [SparsePauliOp("Z")])


def test_affine_weights_shared_weights_and_constants():
    t, u = Parameter("t"), Parameter("u")
    circuit = QuantumCircuit(2)
    circuit.rx(2 * t + 1, 0)
    circuit.rzz(t - 3 * u, 0, 1)
    circuit.rz(0.4, 0)
    circuit.crx(u, 0, 1)
    program = lower(circuit, [SparsePauliOp("ZZ")], weights=[u, t])
    assert program.A.tolist() == [[0, 2], [-3, 1], [0.5, 0], [-0.5, 0]]
    assert program.b.tolist() == [1, 0, 0, 0]
    assert program.slots_of(0).tolist() == [1, 2, 3]
    assert program.slots_of(1).tolist() == [0, 1]
    assert program.angles(np.zeros((2, 0)), np.array([0.1, 0.2])).shape == (2, 4)


def test_zz_feature_map_and_mixed_slots():
    circuit = zz_feature_map(3, reps=1)
    x = list(circuit.parameters)
    t = Parameter("t")
    circuit = circuit.compose(QuantumCircuit(3))
    circuit.ry(2 * t + x[0] * x[1], 0)
    observables = [SparsePauliOp("XXX"), SparsePauliOp("ZYI")]
    program = lower(circuit, observables, features=x, weights=[t])
    assert program.feature_slots.all()
    assert not program.feature_only[-1]
    assert program.feature_only[:-1].all()
    features = np.random.default_rng(0).uniform(-2, 2, (3, 3))
    angles = program.angles(features, np.array([0.3]))
    found = program.measurement.combine(statevector.string_expectations(program, angles))
    for row in range(3):
        state = Statevector(circuit.assign_parameters({**dict(zip(x, features[row])), t: 0.3}))
        assert np.abs(found[row] - [state.expectation_value(o).real for o in observables]).max() < 1e-12


def test_torch_angles_equal_numpy_angles_and_differentiate():
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(x[0].sin() * x[1] + 2 * w[0], 0)
    circuit.rz((x[0] * x[1]).exp() / 3, 1)
    circuit.rx(np.pi * w[1] - x[1], 1)
    circuit.rx(0.5 * w[0], 0)
    program = lower(circuit, [SparsePauliOp("ZZ")], features=list(x), weights=list(w))
    rng = np.random.default_rng(0)
    features, weights = rng.uniform(-1, 1, (5, 2)), rng.uniform(-1, 1, 2)
    tensors = torch.tensor(features, requires_grad=True), torch.tensor(weights, requires_grad=True)
    angles = program.torch_angles(*tensors)
    assert np.abs(angles.detach().numpy() - program.angles(features, weights)).max() < 1e-14
    assert torch.autograd.gradcheck(program.torch_angles, tensors)
    with pytest.raises(ConfigError, match=r"Expected \(batch, 2\)"):
        program.torch_angles(torch.zeros(5, 3), tensors[1])


@settings(max_examples=30, deadline=None)
@given(
    slope=st.floats(-5, 5).filter(lambda v: abs(v) > 1e-3),
    constant=st.floats(-5, 5),
    weight=st.floats(-3, 3),
    feature=st.floats(-3, 3),
)
def test_angles_are_the_expressions_evaluated(slope, constant, weight, feature):
    t, x = Parameter("t"), Parameter("x")
    expressions = [slope * t + constant, slope * t + x.cos() - constant, slope * x - t, x * x + constant]
    circuit = QuantumCircuit(1)
    for expression in expressions:
        circuit.rx(expression, 0)
    program = lower(circuit, [SparsePauliOp("Z")], features=[x], weights=[t])
    found = program.angles(np.array([[feature]]), np.array([weight]))[0]
    expected = [float(e.bind({p: {t: weight, x: feature}[p] for p in e.parameters})) for e in expressions]
    assert np.abs(found - expected).max() < 1e-12


def test_what_cancels_is_no_feature_and_infinite_parts_inside_a_function_are_none():
    t, x = Parameter("t"), Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x * x - x * x + t, 0)
    circuit.rx((1 / x).arctan() + t, 0)  # finite at 0, where 1 / x is not
    program = lower(circuit, [SparsePauliOp("Z")], features=[x], weights=[t])
    assert program.feature_slots.tolist() == [False, True]
    found = program.angles(np.array([[0.0], [2.0]]), np.array([0.5]))
    assert np.abs(found - [[0.5, np.pi / 2 + 0.5], [0.5, np.arctan(0.5) + 0.5]]).max() < 1e-15
    alone = QuantumCircuit(1)
    alone.rx(x * x - x * x + t, 0)
    program = lower(alone, [SparsePauliOp("Z")], features=[x], weights=[t])
    assert program.angles(np.ones((2, 1)), np.array([0.5])).tolist() == [[0.5], [0.5]]
    assert program.torch_angles(torch.ones(2, 1), torch.ones(1)).tolist() == [[1.0], [1.0]]


def test_names_from_files_are_never_run(tmp_path):
    target = tmp_path / "touched"
    t = Parameter(f"__import__('pathlib').Path({str(target)!r}).touch()")
    x = Parameter("lambda: 0")
    circuit = QuantumCircuit(1)
    circuit.rx(2 * t + x * x, 0)
    program = lower(circuit, [SparsePauliOp("Z")], features=[x], weights=[t])
    assert program.angles(np.array([[3.0]]), np.array([0.5]))[0, 0] == 10.0
    program.torch_angles(torch.ones(1, 1), torch.ones(1))
    assert not target.exists()


@pytest.mark.parametrize(
    "build",
    [
        lambda c, t, x: c.rx(t * t, 0),
        lambda c, t, x: c.rx(t.sin(), 0),
        lambda c, t, x: c.rx(t * x, 0),
    ],
)
def test_a_weight_that_is_not_affine_names_its_gate(build):
    t, x = Parameter("theta"), Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.ry(x, 0)
    build(circuit, t, x)
    with pytest.raises(ModelError, match=r"gate 1 \(rx on qubits \[0\]\).*theta.*otherwise than affinely"):
        lower(circuit, [SparsePauliOp("Z")], features=[x], weights=[t])


def _measured():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.x(0)
    return circuit


def _conditional():
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    return circuit


def _opaque():
    circuit = QuantumCircuit(1)
    circuit.append(Gate("secret", 1, []), [0])
    return circuit


def _reset():
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.reset(0)
    return circuit


def _constant(value):
    circuit = QuantumCircuit(1)
    circuit.append(RYGate(value), [0])
    return circuit


@pytest.mark.parametrize(
    ("circuit", "words"),
    [
        (_measured(), r"gate 0 \(measure.*remove_final_measurements"),
        (_conditional(), "control flow"),
        (_opaque(), "secret.*neither a unitary nor a definition"),
        (_reset(), "NoisySimulator"),
        (_constant(float("nan")), r"gate 0 \(ry.*nan"),
        (_constant(float("inf")), r"gate 0 \(ry.*inf"),
        (QuantumCircuit(0), "no qubits"),
        ("not a circuit", "is a str"),
    ],
)
def test_circuits_that_cannot_be_trained_are_refused(circuit, words):
    with pytest.raises(ModelError, match=words):
        lower(circuit, [SparsePauliOp("Z")])


def test_a_reset_of_an_untouched_qubit_is_nothing():
    circuit = QuantumCircuit(1)
    circuit.reset(0)
    circuit.x(0)
    program = lower(circuit, [SparsePauliOp("Z")])
    assert statevector.string_expectations(program, np.zeros((1, 0)))[0, 0] == -1.0


def test_parameters_must_be_in_exactly_one_list():
    t, x, other = Parameter("t"), Parameter("x"), Parameter("other")
    circuit = QuantumCircuit(1)
    circuit.rx(t + x, 0)
    z = [SparsePauliOp("Z")]
    for features, weights, words in [
        ([x], [], "t is neither"),
        ([x], [t, other], "other is not in the circuit"),
        ([x, t], [t], "t is named twice"),
        (["x"], [t], "is a str"),
    ]:
        with pytest.raises(ModelError, match=words):
            lower(circuit, z, features=features, weights=weights)
    assert lower(circuit, z, features=[x]).num_weights == 1


@pytest.mark.parametrize(
    ("observables", "words"),
    [
        ([], "empty"),
        (["Z"], "is a str"),
        ([SparsePauliOp("ZZ")], "2 qubits wide, the circuit 1"),
        ([SparsePauliOp("Z", 1j)], "Hermitian"),
        ([SparsePauliOp("Z", np.nan)], "finite"),
        ([SparsePauliOp("Z", np.array([Parameter("c")]))], "symbolic"),
    ],
)
def test_observables_are_checked(observables, words):
    with pytest.raises(ModelError, match=words):
        lower(QuantumCircuit(1), observables)


def test_observables_share_bases_where_they_commute_qubit_by_qubit():
    observables = [
        SparsePauliOp(["ZII", "IZI", "III"], [1.0, 2.0, 0.5]),
        SparsePauliOp(["ZZI", "XIX"], [1.0, 1.0]),
        SparsePauliOp("IIX"),
    ]
    program = lower(QuantumCircuit(3), observables)
    assert program.measurement.offset.tolist() == [0.5, 0, 0]
    assert [b.paulis for b in program.measurement.bases] == [((0, "X"), (1, "Z"), (2, "Z")), ((0, "X"), (2, "X"))]
    assert program.num_bases == 2
    covered = sorted(t for b in program.measurement.bases for t in b.terms)
    assert covered == list(range(len(program.measurement.strings)))


@pytest.mark.parametrize(
    ("features", "weights", "words"),
    [
        (np.zeros((2, 3)), np.zeros(1), r"shape \(2, 3\). Expected \(batch, 2\)"),
        (np.zeros((2, 1)), np.zeros(1), r"shape \(2, 1\)"),
        (np.zeros(2), np.zeros(1), r"shape \(2,\)"),
        (np.zeros((2, 2)), np.zeros(3), r"Expected \(1,\)"),
        (np.zeros((2, 2)), np.zeros((1, 1)), r"Expected \(1,\)"),
        (np.zeros((2, 2)), np.array([np.nan]), r"weights\[0\] = nan"),
        (np.full((2, 2), np.inf), np.zeros(1), r"features\[0, 0\] = inf"),
        (np.zeros((2, 2), dtype=complex), np.zeros(1), "complex"),
        (np.zeros((2, 2)), np.array(["a"]), "real numbers"),
    ],
)
def test_values_are_never_broadcast(features, weights, words):
    x, t = ParameterVector("x", 2), Parameter("t")
    circuit = QuantumCircuit(1)
    circuit.rx(x[0] * x[1] + t, 0)
    program = lower(circuit, [SparsePauliOp("Z")], features=list(x), weights=[t])
    with pytest.raises(ConfigError, match=words):
        program.angles(features, weights)


def test_features_outside_their_expression_are_refused():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x.log(), 0)
    program = lower(circuit, [SparsePauliOp("Z")], features=[x])
    with pytest.raises(ConfigError, match="slot 0 is not finite"):
        program.angles(np.array([[-1.0]]), np.zeros(0))


def test_the_hash_knows_everything_that_changes_a_result_and_nothing_else():
    def program(gate="rx", factor=2.0, observable="Z", name="t"):
        t = Parameter(name)
        circuit = QuantumCircuit(1)
        getattr(circuit, gate)(factor * t, 0)
        return lower(circuit, [SparsePauliOp(observable)])

    same = program()
    assert same.sha256 == program(name="other").sha256 == program().sha256
    others = [program(gate="ry"), program(factor=3.0), program(observable="Y")]
    assert len({same.sha256, *(p.sha256 for p in others)}) == 4


def test_an_identity_observable_needs_no_circuit():
    executor = ExactSimulator(shots=10)
    program = executor.prepare(QuantumCircuit(2), [SparsePauliOp("II", 0.25)])
    assert program.num_bases == 0
    assert executor.expectations(program, np.zeros((3, 0)), key=KEY).tolist() == [[0.25]] * 3
    assert executor.ledger.circuits == 0
