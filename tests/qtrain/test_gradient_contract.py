"""One battery for every gradient method. A new method is one more line in METHODS."""

import copy
import io

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

import qtrain
from qcompile.device import Device
from qtrain import gradients
from qtrain.errors import ConfigError, ExecutorError
from qtrain.executors.base import BACKWARD
from qtrain.executors.dry_run import DryRun
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.gradients.base import wanted_slots
from tests.gradient_circuits import everything

SHIFT = gradients.parameter_shift()
METHODS = {
    "parameter_shift": SHIFT,
    "parameter_shift, other shift": gradients.parameter_shift(shift=0.4),
    "adjoint": gradients.adjoint(),
    "finite_difference": gradients.finite_difference(step=1e-3),
    "finite_difference, forward": gradients.finite_difference(step=1e-6, kind="forward"),
    "spsa": gradients.spsa(c=0.05),
    "rotosolve": gradients.rotosolve(),
    "natural": gradients.natural(SHIFT),
    "natural(adjoint)": gradients.natural(gradients.adjoint(), regularization=0.0),
    "average(spsa)": gradients.average(gradients.spsa(), 3),
    "prune": gradients.prune(SHIFT, ratio=0.5),
    "prune(spsa)": gradients.prune(gradients.spsa(), ratio=0.3, accumulation_window=2, pruning_window=1),
    "prune(adjoint)": gradients.prune(gradients.adjoint(), ratio=0.5),
    "prune(finite_difference)": gradients.prune(gradients.finite_difference(kind="forward"), ratio=0.5),
    "prune(rotosolve)": gradients.prune(gradients.rotosolve(), ratio=0.5),
    "prune(natural)": gradients.prune(gradients.natural(SHIFT), ratio=0.5),
    "prune(average)": gradients.prune(gradients.average(SHIFT, 2), ratio=0.5),
    "average(prune)": gradients.average(gradients.prune(SHIFT, ratio=0.5), 2),
    "average(natural)": gradients.average(gradients.natural(SHIFT), 2),
    "average(average)": gradients.average(gradients.average(gradients.spsa(), 2), 2),
    "natural(prune(average))": gradients.natural(gradients.prune(gradients.average(gradients.spsa(), 2), ratio=0.5)),
}
EXACT = ("adjoint", "natural(adjoint)", "prune(adjoint)")
MOVES = ("rotosolve", "prune(rotosolve)")
KEY = (7, 3, BACKWARD)
CHIP = Device.from_coupling([(0, 1), (1, 2)])

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
every_derivative = pytest.mark.parametrize("name", [name for name in METHODS if name not in MOVES])


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


@every_method
def test_shapes_and_evaluated_are_as_stated(method):
    executor = ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program)
    gradient, _ = method.estimate(executor, program, angles, cotangent, method.init(program), key=KEY)
    assert gradient.values.shape == angles.shape
    assert gradient.values.dtype == np.float64
    assert gradient.evaluated.shape == (4,)
    assert gradient.evaluated.dtype == bool
    assert gradient.evaluated.any()


@pytest.mark.parametrize("shared", [False, True])
@every_method
def test_only_slots_of_wanted_weights_are_evaluated(method, shared):
    executor = ExactSimulator()
    program = small_program(executor, shared=shared)
    angles, cotangent = point(program)
    state = method.init(program)
    for step in range(4):
        weights = np.array([True, False, True, False])
        gradient, state = method.estimate(
            executor, program, angles, cotangent, state, key=(0, step, BACKWARD), weights=weights
        )
        assert not np.any(gradient.evaluated & ~weights)
        outside = np.setdiff1d(np.arange(program.num_slots), wanted_slots(program, gradient.evaluated))
        assert np.all(gradient.values[:, outside] == 0)


@every_derivative
def test_feature_slots_are_evaluated_only_when_asked_for(name):
    method, executor = METHODS[name], ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program)
    state = method.init(program)
    without, _ = method.estimate(executor, program, angles, cotangent, state, key=KEY)
    assert np.all(without.values[:, program.feature_slots] == 0)
    nothing = np.zeros(program.num_weights, dtype=bool)
    only, _ = method.estimate(executor, program, angles, cotangent, state, key=KEY, weights=nothing, features=True)
    assert np.all(only.values[:, program.feature_slots] != 0)
    assert not only.evaluated.any()


@pytest.mark.parametrize("name", MOVES)
def test_a_move_is_none_of_features_and_says_so(name):
    method, executor = METHODS[name], ExactSimulator()
    program = small_program(executor)
    angles, cotangent = point(program)
    with pytest.raises(ConfigError, match=r"features.*parameter_shift"):
        method.estimate(executor, program, angles, cotangent, method.init(program), key=KEY, features=True)
    assert executor.ledger.circuits == 0


@every_method
def test_estimates_depend_on_the_key_and_the_state_alone(method):
    executor = ExactSimulator(shots=None if "adjoint" in method.name else 50)
    program = small_program(executor)
    angles, cotangent = point(program)
    state = method.init(program)
    before = copy.deepcopy(state)
    first, after = method.estimate(executor, program, angles, cotangent, state, key=KEY)
    method.estimate(executor, program, angles, cotangent, after, key=(0, 0, BACKWARD))
    again, _ = method.estimate(executor, program, angles, cotangent, before, key=KEY)
    np.testing.assert_array_equal(first.values, again.values)
    assert str(state) == str(before), "the state that went in was changed"
    if executor.shots is not None:
        other, _ = method.estimate(executor, program, angles, cotangent, before, key=(7, 4, BACKWARD))
        assert np.any(other.values != first.values)


@pytest.mark.parametrize("kind", ["exact", "noisy", "dry run"])
@pytest.mark.parametrize("shared", [False, True])
@every_method
def test_the_bill_of_every_step_is_within_what_the_method_announces(method, shared, kind):
    executor = {
        "exact": ExactSimulator,
        "noisy": lambda: NoisySimulator(CHIP, shots=None, effort="fast"),
        "dry run": DryRun,
    }[kind]()
    if kind == "dry run" and "adjoint" in method.name:
        return  # it runs nothing, so it has no state to go backward from
    program = small_program(executor, shared=shared)
    angles, cotangent = point(program)
    state = method.init(program)
    for step in range(7):
        spent = executor.ledger.circuits
        _, state = method.estimate(executor, program, angles, cotangent, state, key=(1, step, BACKWARD))
        fewest, most = method.circuits(program, len(angles), step)
        assert fewest <= executor.ledger.circuits - spent <= most
        if not shared or "prune" not in method.name:
            assert fewest == most


@every_method
def test_a_method_is_read_back_from_its_name(method):
    again = gradients.from_name(method.name)
    assert again.name == method.name
    assert again.is_move == method.is_move


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


def _is_plain(state):
    return all(_is_plain(v) if isinstance(v, dict) else type(v) in (int, np.ndarray) for v in state.values())


@every_method
def test_a_checkpoint_holds_the_state_and_a_layer_goes_on_from_it_bit_for_bit(method):
    circuit, features, weights = everything(2)
    model = qtrain.QuantumModel(circuit, features=features, weights=weights, observables=["Z0", "Z1"])
    rows = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (3, len(features))))

    def made():
        return qtrain.QuantumLayer(model, ExactSimulator(None if "adjoint" in method.name else 20), method, seed=4)

    def steps(layer, count):
        optimizer = qtrain.masked(torch.optim.SGD(layer.parameters(), lr=0.1), layer)
        for _ in range(count):
            optimizer.zero_grad()
            (layer(rows) ** 2).sum().backward()
            optimizer.step()

    whole, first, second = made(), made(), made()
    steps(whole, 5)
    steps(first, 2)
    assert _is_plain(first.gradient_state)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    steps(second, 3)
    assert torch.equal(second.weights, whole.weights)
    assert not torch.equal(first.weights, whole.weights)


@every_method
def test_an_unevaluated_weight_does_not_move_in_a_layer(method):
    circuit, features, weights = everything(2)
    model = qtrain.QuantumModel(circuit, features=features, weights=weights, observables=["Z0", "Z1"])
    layer = qtrain.QuantumLayer(model, ExactSimulator(), method)
    optimizer = qtrain.masked(torch.optim.Adam(layer.parameters(), lr=0.1), layer)
    rows = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (3, len(features))))
    for _ in range(4):
        before = layer.weights.detach().clone()
        optimizer.zero_grad()
        (layer(rows) ** 2).sum().backward()
        optimizer.step()
        moved = (layer.weights.detach() != before).numpy()
        assert not np.any(moved & ~layer.evaluated)
        assert moved.any()


@pytest.mark.parametrize(
    "name",
    ["", "magic()", "prune(1)", "1.0", "'a'", "prune(__import__('os'))", "spsa(c='a')", "spsa(", "x.y()",
     "average(spsa(), 0)", "average(spsa(), 1.5)", "average(spsa(), True)", "average(3, 2)", "average(rotosolve(), 2)",
     "natural(rotosolve())", "natural(prune(rotosolve()))", "natural(spsa(), regularization=-1)", "natural(4)",
     "natural(spsa(), regularization=1e999)", "parameter_shift(shift=0)", "parameter_shift(shift=3.2)",
     "parameter_shift(0.1)", "finite_difference(step=0)", "finite_difference(kind='backward')", "rotosolve(1)",
     "finite_difference(step='a')"],
)  # fmt: skip
def test_a_name_is_a_method_or_a_clear_error_and_runs_nothing(name):
    with pytest.raises(ConfigError, match="gradient"):
        gradients.from_name(name)


def test_a_bare_name_is_the_method_with_its_defaults():
    assert gradients.from_name("parameter_shift").name == "parameter_shift()"
    assert gradients.from_name("parameter_shift(shift=0.5)").name == "parameter_shift(shift=0.5)"
    assert gradients.from_name("finite_difference").name == "finite_difference(step=0.1, kind='central')"


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_a_perturbation_that_is_no_positive_number_is_refused(value):
    with pytest.raises(ConfigError, match="spsa: c"):
        gradients.spsa(c=value)
    with pytest.raises(ConfigError, match="finite_difference: step"):
        gradients.finite_difference(step=value)


def test_adjoint_on_an_executor_without_a_state_vector_names_the_way_out():
    class Sampler:
        pass

    program = small_program(ExactSimulator())
    angles, cotangent = point(program)
    with pytest.raises(ConfigError, match=r"Sampler has none. Use qtrain.parameter_shift"):
        METHODS["adjoint"].estimate(Sampler(), program, angles, cotangent, {}, key=KEY)
