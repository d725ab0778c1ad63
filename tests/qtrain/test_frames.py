"""Training on chips that keep Z rotations in software: one rotation is one slot, gradients are those of the circuit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import Operator, SparsePauliOp

from qcompile import load_device
from qcompile.channels import gate_noise, unitary_ptm
from qtrain.executors.noisy import NoisySimulator
from qtrain.frames import Affine, affine, joined, keeps_frames
from qtrain.gates import Fixed, Reset, Rotation, rotation_matrix, steps
from tests.circuits import qoc, u3cu3

KEY = (0, 0, 0)
A, B = Parameter("a"), Parameter("b")


def gradient_and_differences(chip, circuit, observables, features, seed):
    executor = NoisySimulator(load_device(chip), shots=None, effort="fast")
    program = executor.prepare(circuit, observables, features=features)
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-2, 2, (2, program.num_features)), rng.uniform(-2, 2, program.num_weights)
    angles = program.angles(x, w)
    slots = np.arange(program.num_slots)
    shifted = executor.shifted_expectations(program, angles, slots, np.array([np.pi / 2, -np.pi / 2]), key=KEY)
    by_slot = (shifted[:, :, 0] - shifted[:, :, 1]) / 2  # [batch, slot, observable]
    ours = np.einsum("bso,sw->bwo", by_slot, program.A)
    step, columns = 1e-5, []
    for k in range(program.num_weights):
        move = step * np.eye(program.num_weights)[k]
        up, down = (executor.expectations(program, program.angles(x, w + d), key=KEY) for d in (move, -move))
        columns.append((up - down) / (2 * step))
    return program, ours, np.stack(columns, axis=1)


@pytest.mark.parametrize("chip", ["iqm_adonis", "google_rainbow"])
def test_parameter_shift_equals_finite_differences(chip):
    circuit = u3cu3(3, 1)
    features = list(circuit.parameters)[:3]
    observables = [SparsePauliOp("ZZI"), SparsePauliOp("IXY"), SparsePauliOp("IIZ")]
    _, ours, expected = gradient_and_differences(chip, circuit, observables, features, 4)
    np.testing.assert_allclose(ours, expected, atol=1e-8)
    assert np.abs(expected).max() > 0.05


def test_adjoint_equals_the_shifts():
    executor = NoisySimulator(load_device("iqm_apollo"), shots=None, effort="fast")
    program = executor.prepare(qoc(3, 1), [SparsePauliOp("ZIX")])
    angles = np.random.default_rng(0).uniform(-2, 2, (2, program.num_slots))
    shifted = executor.shifted_expectations(
        program, angles, np.arange(program.num_slots), np.array([np.pi / 2, -np.pi / 2]), key=KEY
    )
    expected = (shifted[:, :, 0, 0] - shifted[:, :, 1, 0]) / 2
    np.testing.assert_allclose(executor.adjoint(program, angles, np.ones((2, 1))), expected, atol=1e-12)


def test_frames_cost_no_slots_that_other_chips_do_not_have():
    counts = {}
    for chip in ("ibm_guadalupe", "iqm_adonis"):
        executor = NoisySimulator(load_device(chip), shots=None, effort="fast")
        counts[chip] = executor.prepare(u3cu3(4, 1), [SparsePauliOp("IIIZ")]).num_slots
    assert counts["iqm_adonis"] <= counts["ibm_guadalupe"]


# --- joining ---


def circuit_of(found, n):
    circuit = QuantumCircuit(n)
    for step in found:
        if isinstance(step, Fixed):
            circuit.unitary(Operator(step.matrix), step.qubits[::-1])
        else:
            getattr(circuit, f"r{step.paulis.lower()}")(step.angle, *step.qubits)
    return circuit


@st.composite
def circuits(draw):
    circuit = QuantumCircuit(2)
    angle = st.floats(-3, 3) | st.sampled_from([A, B, A + B, 2 * A - 0.5, -1.0 * B])
    for _ in range(draw(st.integers(1, 10))):
        q = draw(st.integers(0, 1))
        match draw(st.sampled_from(["r", "rz", "cz", "h", "t", "rzz", "cx", "rx"])):
            case "r":
                circuit.r(draw(angle), draw(angle), q)
            case "cz":
                circuit.cz(0, 1)
            case "cx":
                circuit.cx(q, 1 - q)
            case "rzz":
                circuit.rzz(draw(angle), 0, 1)
            case "rz" | "rx" as name:
                getattr(circuit, name)(draw(angle), q)
            case "h" | "t" as name:
                getattr(circuit, name)(q)
    return circuit


@settings(max_examples=60, deadline=None)
@given(circuits(), st.floats(-3, 3), st.floats(-3, 3))
def test_joined_operations_are_the_same_unitary(circuit, a, b):
    def operator(found):
        return Operator(found.assign_parameters({p: {A: a, B: b}[p] for p in found.parameters}))

    before, after = circuit_of(steps(circuit), 2), circuit_of(joined(steps(circuit)), 2)
    assert operator(before).equiv(operator(after), atol=1e-9)
    count = sum(isinstance(step, Rotation) for step in joined(steps(circuit)))
    assert count <= sum(isinstance(step, Rotation) for step in steps(circuit))


def test_what_two_phases_have_in_common_is_gone():
    circuit = QuantumCircuit(2)
    circuit.r(0.3, -1.0 * A, 0)
    circuit.cz(0, 1)
    circuit.r(0.4, -1.0 * A - B, 0)
    assert keeps_frames(circuit)
    left = [step for step in joined(steps(circuit)) if isinstance(step, Rotation)]
    assert [affine(step.angle) for step in left] == [
        Affine({A: 1.0}, 0.0), Affine({B: 1.0}, 0.0), Affine({A: -1.0, B: -1.0}, 0.0),
    ]  # fmt: skip


def test_a_product_of_parameters_is_left_where_it_is():
    x = ParameterVector("x", 2)
    assert affine(x[0] * x[1]) is None
    found = list(joined([Rotation((0,), "Z", x[0] * x[1], "here"), Rotation((0,), "Z", A + 0.0, "there")]))
    assert [step.place for step in found] == ["here", "there"]


def test_noise_waiting_and_resets_let_rotations_pass():
    device = load_device("iqm_adonis")
    noise = gate_noise(device, "r", (0,))[0]
    both = gate_noise(device, "cz", (0, 2))[0]
    turn = Rotation((0,), "Z", A + 0.0, "here")
    passing = [Fixed((0,), noise), Fixed((0, 1), both), Reset((0,))]
    for step in passing:
        assert next(joined([turn, step])) is step
    stopped = Fixed((0,), unitary_ptm(rotation_matrix("X", 0.3)))
    assert list(joined([turn, stopped]))[1] is stopped


def test_program_with_features_in_products_trains_on_an_r_chip():
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.p(x[0] * x[1], 0)
    circuit.ry(w[0], 0)
    circuit.cz(0, 1)
    circuit.rz(x[0] * x[0], 0)
    circuit.rx(w[1], 0)
    _, ours, expected = gradient_and_differences("iqm_adonis", circuit, [SparsePauliOp("IY")], list(x), 1)
    np.testing.assert_allclose(ours, expected, atol=1e-8)
