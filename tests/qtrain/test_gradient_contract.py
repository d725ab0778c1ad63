"""One battery for every gradient method. A new method is one more line in METHODS."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from qtrain import gradients
from qtrain.errors import ConfigError, ExecutorError
from qtrain.executors.base import BACKWARD
from qtrain.executors.exact import ExactSimulator
from qtrain.gradients.base import to_weights, wanted_slots

METHODS = {
    "parameter_shift": gradients.parameter_shift(),
    "adjoint": gradients.adjoint(),
    "spsa": gradients.spsa(c=0.05),
    "prune": gradients.prune(gradients.parameter_shift(), ratio=0.5),
    "prune(spsa)": gradients.prune(gradients.spsa(), ratio=0.3, accumulation_window=2, pruning_window=1),
}
EXACT = ("parameter_shift", "adjoint")
KEY = (7, 3, BACKWARD)

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def small_program(executor, *, shared=False):
    """2 features and 4 weights on 3 qubits; `shared`: the last weight enters three slots, one next to a feature."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 4)
    circuit = QuantumCircuit(3)
    circuit.ry(x[0], 0)
    circuit.rx(x[1] + w[3] if shared else x[1], 1)
    circuit.rzz(w[0], 0, 1)
    circuit.ry(w[1], 1)
    circuit.crx(w[3] if shared else 0.3, 1, 2)
    circuit.u(w[2], 0.2, 0.1, 2)
    circuit.ry(w[3], 0)
    observables = [SparsePauliOp(p) for p in ("IIZ", "ZZI", "XIX")]
    return executor.prepare(circuit, observables, features=list(x), weights=list(w))


def point(program, batch=3, seed=0):
    rng = np.random.default_rng(seed)
    angles = program.angles(
        rng.uniform(-np.pi, np.pi, (batch, program.num_features)), rng.uniform(-np.pi, np.pi, program.num_weights)
    )
    return angles, rng.normal(size=(batch, program.num_observables))


def by_differences(executor, program, angles, cotangent, step=1e-6):
    values = np.zeros_like(angles)
    for slot in range(program.num_slots):
        moved = np.zeros(program.num_slots)
        moved[slot] = step
        up, down = (executor.expectations(program, angles + s * moved, key=KEY) for s in (1, -1))
        values[:, slot] = ((up - down) / (2 * step) * cotangent).sum(axis=1)
    return values


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", EXACT)
def test_exact_methods_equal_numerical_differences(name, shared):
    executor = ExactSimulator()
    program = small_program(executor, shared=shared)
    angles, cotangent = point(program)
    method = METHODS[name]
    gradient, _ = method.estimate(executor, program, angles, cotangent, method.init(program), key=KEY, features=True)
    np.testing.assert_allclose(gradient.values, by_differences(executor, program, angles, cotangent), atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_parameter_shift_equals_adjoint_on_random_circuits(data):
    n, gates = 3, data.draw(st.integers(1, 8))
    w = ParameterVector("w", 4)
    circuit = QuantumCircuit(n)
    for _ in range(gates):
        name = data.draw(st.sampled_from(["rx", "ry", "rz", "p", "rxx", "rzz", "crx", "cp", "h", "cx"]))
        qubits = data.draw(st.permutations(range(n)))[: 1 if len(name) <= 2 and name not in ("cp", "cx") else 2]
        factor, weight = data.draw(st.sampled_from([1, -2, 0.5])), w[data.draw(st.integers(0, 3))]
        getattr(circuit, name)(*([] if name in ("h", "cx") else [factor * weight]), *qubits)
    for q in range(n):
        circuit.ry(w[q], q)
    circuit.rx(w[3], 0)
    executor = ExactSimulator()
    program = executor.prepare(circuit, [SparsePauliOp("ZXI"), SparsePauliOp("IIY")], weights=list(w))
    angles, cotangent = point(program, batch=2, seed=data.draw(st.integers(0, 99)))
    one, other = (METHODS[m].estimate(executor, program, angles, cotangent, {}, key=KEY)[0].values for m in EXACT)
    np.testing.assert_allclose(one, other, atol=1e-9)


@every_method
def test_shapes_and_evaluated_are_as_stated(method):
    executor = ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program)
    gradient, _ = method.estimate(executor, program, angles, cotangent, method.init(program), key=KEY)
    assert gradient.values.shape == angles.shape
    assert gradient.evaluated.shape == (4,)
    assert gradient.evaluated.dtype == bool


@every_method
def test_only_slots_of_wanted_weights_are_evaluated(method):
    executor = ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program)
    weights = np.array([True, False, True, False])
    gradient, _ = method.estimate(executor, program, angles, cotangent, method.init(program), key=KEY, weights=weights)
    assert not np.any(gradient.evaluated & ~weights)
    outside = np.setdiff1d(np.arange(program.num_slots), wanted_slots(program, weights))
    assert np.all(gradient.values[:, outside] == 0)


@every_method
def test_feature_slots_are_evaluated_only_when_asked_for(method):
    executor = ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program)
    state = method.init(program)
    without, _ = method.estimate(executor, program, angles, cotangent, state, key=KEY)
    assert np.all(without.values[:, program.feature_slots] == 0)
    nothing = np.zeros(program.num_weights, dtype=bool)
    only, _ = method.estimate(executor, program, angles, cotangent, state, key=KEY, weights=nothing, features=True)
    assert np.all(only.values[:, program.feature_slots] != 0)
    assert not only.evaluated.any()


@every_method
def test_estimates_depend_on_the_key_and_the_state_alone(method):
    executor = ExactSimulator(shots=None if method is METHODS["adjoint"] else 50)
    program = small_program(executor)
    angles, cotangent = point(program)
    state = method.init(program)
    before = copy.deepcopy(state)
    first, after = method.estimate(executor, program, angles, cotangent, state, key=KEY)
    method.estimate(executor, program, angles, cotangent, after, key=(0, 0, BACKWARD))
    again, _ = method.estimate(executor, program, angles, cotangent, before, key=KEY)
    np.testing.assert_array_equal(first.values, again.values)
    assert str(state) == str(before), "the state that went in was changed"


@pytest.mark.parametrize("shared", [False, True])
@every_method
def test_the_bill_of_every_step_is_within_what_the_method_announces(method, shared):
    executor = ExactSimulator()
    program = small_program(executor, shared=shared)
    angles, cotangent = point(program)
    state = method.init(program)
    for step in range(7):
        spent = executor.ledger.circuits
        _, state = method.estimate(executor, program, angles, cotangent, state, key=(1, step, BACKWARD))
        fewest, most = method.circuits(program, len(angles), step)
        assert fewest <= executor.ledger.circuits - spent <= most
        if not shared:
            assert fewest == most


@every_method
def test_a_method_is_read_back_from_its_name(method):
    assert gradients.from_name(method.name).name == method.name


class Broken(ExactSimulator):
    """Returns one NaN."""

    def expectations(self, program, angles, *, key):
        values = super().expectations(program, angles, key=key)
        values[0, 0] = np.nan
        return values

    def shifted_expectations(self, program, angles, slots, shifts, *, key):
        values = super().shifted_expectations(program, angles, slots, shifts, key=key)
        values[0, 0, 0, 0] = np.nan
        return values

    def adjoint(self, program, angles, cotangent):
        return super().adjoint(program, angles, cotangent) * np.nan


@every_method
def test_a_nan_from_the_executor_is_never_passed_on(method):
    executor = Broken()
    program = small_program(executor)
    angles, cotangent = point(program)
    with pytest.raises(ExecutorError, match="no weight was moved"):
        method.estimate(executor, program, angles, cotangent, method.init(program), key=KEY)


def test_adjoint_on_an_executor_without_a_state_vector_names_the_way_out():
    class Sampler:
        pass

    program = small_program(ExactSimulator())
    angles, cotangent = point(program)
    with pytest.raises(ConfigError, match=r"Sampler has none. Use qtrain.parameter_shift"):
        METHODS["adjoint"].estimate(Sampler(), program, angles, cotangent, {}, key=KEY)


def test_spsa_is_right_on_average_and_costs_two_circuits():
    executor = ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program, batch=1)
    exact = to_weights(program, by_differences(executor, program, angles, cotangent))
    estimates = np.array(
        [
            to_weights(
                program,
                METHODS["spsa"].estimate(executor, program, angles, cotangent, {}, key=(k, 0, 1))[0].values,
            )
            for k in range(2000)
        ]
    )
    error = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(axis=0) - exact) < 4 * error + 0.01)


@pytest.mark.parametrize("c", [0, -1.0, float("nan"), float("inf")])
def test_a_perturbation_that_is_no_positive_number_is_refused(c):
    with pytest.raises(ConfigError, match="spsa: c"):
        gradients.spsa(c=c)


@pytest.mark.parametrize(
    "name",
    ["", "magic()", "prune(1)", "parameter_shift", "1.0", "prune(__import__('os'))", "spsa(c='a')", "spsa(", "x.y()"],
)
def test_a_name_is_a_method_or_a_clear_error_and_runs_nothing(name):
    if name == "parameter_shift":
        assert gradients.from_name(name).name == "parameter_shift()"
        return
    with pytest.raises(ConfigError, match="gradient"):
        gradients.from_name(name)
