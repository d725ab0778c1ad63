"""Every way to a noise-free derivative gives the same one, on random circuits.

Circuits hold what simplifiers stumble over: gates that multiply to the identity between features, weights that cancel,
features uploaded again.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qcompile.device import Device
from qtrain.executors.base import spelled_out_shifts
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.executors.torch_simulator import TorchSimulator

KEY = (0, 0, 0)
HALF_TURN = np.array([np.pi / 2, -np.pi / 2])


def random_circuit(seed, n, gates):
    """Features, weights, fixed gates, and pairs of gates that undo each other, in any order."""
    rng = np.random.default_rng(seed)
    x, w = ParameterVector("x", 2), ParameterVector("w", 3)
    circuit = QuantumCircuit(n)

    def one_qubit(name, angle=None):
        getattr(circuit, name)(*([] if angle is None else [angle]), int(rng.integers(n)))

    for _ in range(gates):
        kind = rng.integers(6)
        rotation = str(rng.choice(["rx", "ry", "rz", "p"]))
        if kind == 0:
            one_qubit(rotation, x[int(rng.integers(2))] * float(rng.choice([1.0, -2.0])))
        elif kind == 1:
            one_qubit(rotation, w[int(rng.integers(3))] * float(rng.choice([1.0, 0.5])) + 0.2)
        elif kind == 2:
            one_qubit(str(rng.choice(["h", "s", "sx", "t", "y"])))
        elif kind == 3:  # the identity
            name = str(rng.choice(["x", "y", "z", "h"]))
            qubit = int(rng.integers(n))
            for _ in range(2):
                getattr(circuit, name)(qubit)
        elif n > 1:
            a, b = (int(q) for q in rng.choice(n, 2, replace=False))
            if kind == 4:
                getattr(circuit, str(rng.choice(["cx", "cz", "swap", "iswap"])))(a, b)
            else:
                getattr(circuit, str(rng.choice(["rzz", "rxx", "crx", "cp"])))(w[int(rng.integers(3))], a, b)
            if rng.integers(3) == 0:  # taken back at once
                circuit.append(circuit.data[-1].operation.inverse(), [a, b])
    for k, parameter in enumerate([*x, *w]):
        circuit.ry(parameter, k % n)
    circuit.h(0)
    labels = ["".join(rng.choice(list("IXYZ"), n)) for _ in range(2)]
    return circuit, list(x), list(w), [SparsePauliOp(label) for label in [*labels, "Z" * n]]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 4), gates=st.integers(0, 18), batch=st.sampled_from([1, 3, 20]))
def test_all_derivatives_are_the_same(seed, n, gates, batch):
    check(seed, n, gates, batch)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), gates=st.integers(5, 30))
def test_all_derivatives_are_the_same_on_nine_qubits(seed, gates):
    check(seed, 9, gates, 2)


def check(seed, n, gates, batch):
    circuit, x, w, observables = random_circuit(seed, n, gates)
    executor = ExactSimulator()
    program = executor.prepare(circuit, observables, features=x, weights=w)
    rng = np.random.default_rng(seed + 1)
    features, weights = rng.uniform(-3, 3, (batch, 2)), rng.uniform(-3, 3, 3)
    cotangent = rng.normal(size=(batch, len(observables)))
    angles = program.angles(features, weights)
    slots = np.arange(program.num_slots)
    shifted = spelled_out_shifts(executor, program, angles, slots, HALF_TURN, key=KEY)
    jacobian = (shifted[:, :, 0] - shifted[:, :, 1]).transpose(0, 2, 1) / 2
    expected = np.einsum("bo,bos->bs", cotangent, jacobian)
    assert np.abs(executor.jacobian(program, angles) - jacobian).max() < 1e-12
    assert np.abs(executor.adjoint(program, angles, cotangent) - expected).max() < 1e-12
    both = executor.shifted_expectations(program, angles, slots, HALF_TURN, key=KEY)
    assert np.abs(both - shifted).max() < 1e-12
    torch = TorchSimulator()
    same = torch.prepare(circuit, observables, features=x, weights=w)
    assert np.abs(torch.adjoint(same, angles, cotangent) - expected).max() < 1e-12
    values = executor.expectations(program, angles, key=KEY)
    for simulator, made in ((executor, program), (torch, same)):
        loss, gradient, found = simulator.value_and_gradient(
            made, features, weights, lambda z: (float((z * cotangent).sum()), cotangent)
        )
        assert np.abs(found - values).max() < 1e-12
        assert abs(loss - (values * cotangent).sum()) < 1e-11
        assert np.abs(gradient - expected.sum(axis=0) @ program.A).max() < 1e-11


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 3), gates=st.integers(1, 12), batch=st.sampled_from([1, 3, 9]))
def test_some_slots_of_a_noisy_circuit_answer_as_if_each_shift_were_a_circuit(seed, n, gates, batch):
    circuit, x, w, observables = random_circuit(seed, n, gates)
    rng = np.random.default_rng(seed + 1)
    device = Device.from_coupling([(q, q + 1) for q in range(max(n - 1, 1))])
    executor = NoisySimulator(device, shots=None, effort="fast")
    program = executor.prepare(circuit, observables, features=x, weights=w)
    angles = program.angles(rng.uniform(-3, 3, (batch, 2)), rng.uniform(-3, 3, 3))
    slots = rng.permutation(program.num_slots)[: int(rng.integers(1, 4))]
    slots = np.append(slots, slots[0])
    shifts = np.array([0.3, *HALF_TURN])
    found = executor.shifted_expectations(program, angles, slots, shifts, key=KEY)
    expected = spelled_out_shifts(executor, program, angles, slots, shifts, key=KEY)
    assert np.abs(found - expected).max() < 1e-12
