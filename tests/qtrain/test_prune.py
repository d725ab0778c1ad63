import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from scipy.stats import chi2, chisquare

from qtrain import gradients
from qtrain.errors import ConfigError, ExecutorError
from qtrain.executors.base import BACKWARD
from qtrain.executors.exact import ExactSimulator
from qtrain.gradients.base import to_weights
from qtrain.gradients.prune import draw, kept


def sequence_probability(order, magnitude):
    """Of drawing these indices in this order, one after another without replacement."""
    left, probability = magnitude.sum(), 1.0
    for index in order:
        probability *= magnitude[index] / left
        left -= magnitude[index]
    return probability


def chain(num_weights, features=0):
    """Every weight in one slot of its own, with gradients of very different size."""
    w, x = ParameterVector("w", num_weights), ParameterVector("x", max(features, 1))
    circuit = QuantumCircuit(2)
    for i in range(num_weights):
        if i < features:
            circuit.rx(x[i], i % 2)
        circuit.ry(w[i], i % 2)
        circuit.cx(0, 1)
    executor = ExactSimulator()
    used = list(x)[:features]
    program = executor.prepare(circuit, [SparsePauliOp("ZZ"), SparsePauliOp("IX")], features=used, weights=list(w))
    rng = np.random.default_rng(5)
    angles = program.angles(rng.uniform(0, 2, (2, features)), rng.uniform(-2, 2, num_weights))
    return executor, program, angles, rng.normal(size=(2, 2))


def run(method, steps, *, num_weights=6, seed=0, features=0, wanted=False):
    executor, program, angles, cotangent = chain(num_weights, features)
    state, history = method.init(program), []
    for step in range(steps):
        gradient, state = method.estimate(
            executor, program, angles, cotangent, state, key=(seed, step, BACKWARD), features=wanted
        )
        history.append((gradient, state))
    return program, history


def test_ordered_draws_follow_successive_sampling_exactly():
    magnitude, count, trials = np.array([4.0, 2.0, 1.0, 0.5, 0.1]), 3, 60_000
    rng = np.random.default_rng(2026)
    orders = list(itertools.permutations(range(5), count))
    seen = dict.fromkeys(orders, 0)
    for _ in range(trials):
        seen[tuple(int(i) for i in draw(magnitude, count, rng))] += 1
    expected = np.array([sequence_probability(o, magnitude) for o in orders]) * trials
    observed = np.array([seen[o] for o in orders])
    assert expected.min() > 5
    statistic = chisquare(observed, expected * observed.sum() / expected.sum())
    assert statistic.pvalue > 0.001


def test_the_method_includes_a_weight_as_often_as_successive_sampling_by_its_magnitude_does():
    """Through `estimate`: inclusion of each weight over seeds against the exact inclusion probabilities."""
    method = gradients.prune(gradients.adjoint(), ratio=0.5)
    executor, program, angles, cotangent = chain(6)
    _, state = method.estimate(executor, program, angles, cotangent, method.init(program), key=(0, 0, BACKWARD))
    magnitude, trials = state["magnitude"], 6000
    inclusion = np.zeros(6)
    for order in itertools.permutations(range(6), 3):
        inclusion[list(order)] += sequence_probability(order, magnitude)
    assert inclusion.max() - inclusion.min() > 0.3, "gradients of equal size would test nothing"
    seen = np.zeros(6)
    for seed in range(trials):
        gradient, _ = method.estimate(executor, program, angles, cotangent, state, key=(seed, 1, BACKWARD))
        assert gradient.evaluated.sum() == 3
        seen += gradient.evaluated
    z = (seen - trials * inclusion) / np.sqrt(trials * inclusion * (1 - inclusion))
    # sets of fixed size: the z are negatively correlated, so a sum of squares over chi2(6) errs on the strict side
    assert (z**2).sum() < chi2.ppf(0.999, 6)


def test_uniform_draws_would_fail_the_same_test():
    trials, magnitude = 6000, np.array([4.0, 2.0, 1.0, 0.5, 0.1])
    rng = np.random.default_rng(1)
    seen = np.zeros(5)
    for _ in range(trials):
        seen[draw(np.ones(5), 2, rng)] += 1
    inclusion = np.zeros(5)
    for order in itertools.permutations(range(5), 2):
        inclusion[list(order)] += sequence_probability(order, magnitude)
    assert (((seen - trials * inclusion) ** 2) / (trials * inclusion * (1 - inclusion))).sum() > chi2.ppf(0.999, 5)


def test_where_too_few_magnitudes_are_positive_the_rest_is_uniform():
    rng, trials = np.random.default_rng(3), 9000
    seen = np.zeros(5)
    for _ in range(trials):
        chosen = draw(np.array([0.0, 3.0, 0.0, 0.0, 1e-300]), 3, rng)
        assert {1, 4} <= set(chosen.tolist())
        seen[chosen] += 1
    assert chisquare(seen[[0, 2, 3]]).pvalue > 0.001


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 5e-324, 1e-300, 1e-9, 1.0, 1e300]), min_size=1, max_size=30),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_any_magnitudes_give_different_indices_positive_ones_first(values, seed, data):
    magnitude = np.array(values)
    count = data.draw(st.integers(1, len(values)))
    chosen = draw(magnitude, count, np.random.default_rng(seed))
    assert len(set(chosen.tolist())) == count
    positive = magnitude[chosen] > 0
    assert positive.sum() == min(count, (magnitude > 0).sum())


@settings(deadline=None)
@given(st.integers(1, 500), st.floats(0, 1, exclude_max=True))
def test_how_many_are_kept(num_weights, ratio):
    count = kept(num_weights, ratio)
    assert 1 <= count <= num_weights
    assert count == max(1, math.floor((1 - ratio) * num_weights + 1e-9))


def test_a_stage_is_full_steps_then_pruned_steps():
    method = gradients.prune(gradients.adjoint(), ratio=0.5, accumulation_window=2, pruning_window=3)
    _, history = run(method, 12)
    assert [int(g.evaluated.sum()) for g, _ in history] == [6, 6, 3, 3, 3] * 2 + [6, 6]


def test_magnitude_adds_up_over_the_full_steps_and_starts_at_zero_with_each_stage():
    method = gradients.prune(gradients.adjoint(), ratio=0.5, accumulation_window=2, pruning_window=1)
    program, history = run(method, 5)
    sizes = [np.abs(to_weights(program, g.values)) for g, _ in history]
    np.testing.assert_allclose(history[1][1]["magnitude"], sizes[0] + sizes[1])
    np.testing.assert_array_equal(history[2][1]["magnitude"], history[1][1]["magnitude"])
    np.testing.assert_allclose(history[3][1]["magnitude"], sizes[3])


def test_pruned_values_equal_the_full_ones_where_evaluated():
    pruned = gradients.prune(gradients.parameter_shift(), ratio=0.5)
    program, history = run(pruned, 2)
    (full, _), (part, _) = history
    for weight in range(program.num_weights):
        slots = program.slots_of(weight)
        expected = full.values[:, slots] if part.evaluated[weight] else 0
        np.testing.assert_allclose(part.values[:, slots], expected, atol=1e-12)


def test_different_steps_draw_differently_and_the_same_step_the_same():
    method = gradients.prune(gradients.adjoint(), ratio=0.5, pruning_window=20)
    _, history = run(method, 20, num_weights=8)
    _, again = run(method, 20, num_weights=8)
    drawn = [tuple(g.evaluated) for g, _ in history[1:]]
    assert len(set(drawn)) > 3
    assert drawn == [tuple(g.evaluated) for g, _ in again[1:]]


def test_feature_slots_are_never_pruned():
    method = gradients.prune(gradients.parameter_shift(), ratio=0.8, pruning_window=5)
    program, history = run(method, 6, features=2, wanted=True)
    for gradient, _ in history:
        assert np.all(gradient.values[:, program.feature_slots] != 0)


def test_circuits_saved_are_ratio_times_the_pruned_share_of_the_steps():
    method = gradients.prune(gradients.parameter_shift(), ratio=0.5, accumulation_window=1, pruning_window=2)
    _, program, _, _ = chain(6)
    pruned = sum(method.circuits(program, 32, step)[1] for step in range(6))
    full = sum(gradients.parameter_shift().circuits(program, 32, step)[1] for step in range(6))
    assert 1 - pruned / full == pytest.approx(0.5 * 2 / 3)


def test_ratio_zero_evaluates_everything():
    _, history = run(gradients.prune(gradients.adjoint(), ratio=0.0), 4)
    assert all(g.evaluated.all() for g, _ in history)


def test_an_infinite_gradient_is_not_added_to_the_magnitudes():
    inner = gradients.adjoint()

    def explode(*args, **kwargs):
        gradient, state = inner.estimate(*args, **kwargs)
        return gradient._replace(values=gradient.values + np.inf), state

    with pytest.raises(ExecutorError, match="prune: dL/d angle"):
        run(gradients.prune(inner._replace(estimate=explode)), 1)


@pytest.mark.parametrize("ratio", [1, 1.0, -0.1, float("nan"), float("inf")])
def test_a_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(ConfigError, match=r"prune: ratio = .* Expected 0 <= ratio < 1"):
        gradients.prune(gradients.adjoint(), ratio=ratio)


@pytest.mark.parametrize("name", ["accumulation_window", "pruning_window"])
@pytest.mark.parametrize("window", [0, -1, 1.5, True])
def test_a_window_below_one_step_is_refused(name, window):
    with pytest.raises(ConfigError, match=f"prune: {name}"):
        gradients.prune(gradients.adjoint(), **{name: window})
