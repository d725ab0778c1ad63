import io

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector
from torch import nn

from qtrain import ansatze, encoders, gradients
from qtrain.errors import ConfigError, ExecutorError, ModelError, RunError
from qtrain.executors.exact import ExactSimulator
from qtrain.layer import QuantumLayer
from qtrain.masked import masked
from qtrain.model import QuantumModel

PRUNED = gradients.prune(gradients.parameter_shift(), ratio=0.5)


def small_model():
    encoder, features = encoders.angle_encoder(2)
    ansatz, weights = ansatze.rzz_ring(2, 1)
    return QuantumModel(encoder.compose(ansatz), features=features, weights=weights, observables=["Z0", "X0 Z1"])


def small_layer(gradient=None, seed=0, shots=None):
    return QuantumLayer(small_model(), ExactSimulator(shots), gradient or gradients.parameter_shift(), seed=seed)


def rows(batch=4, seed=0, dtype=torch.float64):
    return torch.rand(batch, 2, dtype=dtype, generator=torch.Generator().manual_seed(seed)) * 3


# --- the layer


def test_outputs_are_the_expectation_values():
    layer, x = small_layer(), rows()
    with torch.no_grad():
        y = layer(x)
    model, w = layer.model, layer.weights.detach().numpy()
    for row, value in zip(x.numpy(), y.numpy()):
        values = dict(zip(model.features, row)) | dict(zip(model.weights, w))
        state = Statevector(model.circuit.assign_parameters(values))
        np.testing.assert_allclose(value, [state.expectation_value(o).real for o in model.observables], atol=1e-12)


@pytest.mark.parametrize("method", [gradients.parameter_shift(), gradients.adjoint()], ids=["shift", "adjoint"])
def test_gradients_by_weights_and_features_pass_torchs_own_check(method):
    layer, x = small_layer(method), rows(2).requires_grad_()

    assert torch.autograd.gradcheck(layer, (x,), eps=1e-6, atol=1e-7)
    layer(x.detach()).square().sum().backward()
    got, step = layer.weights.grad.clone(), 1e-6
    for i in range(len(layer.weights)):
        with torch.no_grad():
            sums = []
            for sign in (1, -2):
                layer.weights[i] += sign * step
                sums.append(layer(x).square().sum().item())
            layer.weights[i] += step
        assert got[i].item() == pytest.approx((sums[0] - sums[1]) / (2 * step), abs=1e-7)


def test_the_layer_trains_between_classical_layers_of_single_precision():
    torch.manual_seed(0)
    layer = small_layer()
    net = nn.Sequential(nn.Linear(3, 2), layer, nn.Linear(2, 2))
    optimizer = masked(torch.optim.Adam(net.parameters(), lr=0.05), layer)
    x, y = torch.randn(16, 3), torch.randint(0, 2, (16,))
    before = [p.detach().clone() for p in net.parameters()]
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all((a != b).any() for a, b in zip(before, net.parameters()))
    assert layer.weights.dtype == torch.float64


def test_output_has_the_type_of_the_input():
    layer = small_layer()
    assert layer(rows(dtype=torch.float32)).dtype == torch.float32
    assert layer(rows()).dtype == torch.float64


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    assert torch.equal(small_layer(seed=1).weights, small_layer(seed=1).weights)
    assert not torch.equal(small_layer(seed=1).weights, small_layer(seed=2).weights)
    assert small_layer().weights.abs().max() <= np.pi


def test_training_passes_sample_anew_and_evaluation_at_one_step_does_not():
    layer, x = small_layer(shots=100), rows()
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    with torch.no_grad():
        assert torch.equal(layer(x), layer(x))
        assert not torch.equal(layer(x), first)


def test_torchs_generator_is_left_alone():
    state = torch.get_rng_state()
    layer = small_layer(PRUNED, shots=10)
    layer(rows()).sum().backward()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (torch.zeros(2), r"shape \(2,\)"),
        (torch.zeros(4, 1), r"shape \(4, 1\). Expected \[batch, 2\]"),
        (torch.zeros(4, 3), "nothing is broadcast or cut"),
        (torch.zeros(0, 2), "one row at least"),
        (torch.zeros(4, 2, dtype=torch.int64), "real floating type"),
        (torch.zeros(4, 2, dtype=torch.complex128), "real floating type"),
        (torch.tensor([[0.0, float("nan")]]), r"x\[0, 1\] is nan"),
        (torch.tensor([[float("inf"), 0.0]]), r"x\[0, 0\] is inf"),
        (np.zeros((4, 2)), "Expected a tensor"),
    ],
)
def test_an_input_of_the_wrong_kind_is_refused_never_broadcast(x, match):
    with pytest.raises(ModelError, match=match):
        small_layer()(x)


def test_nan_weights_are_refused_before_a_circuit_is_run():
    layer = small_layer()
    with torch.no_grad():
        layer.weights[3] = float("nan")
    with pytest.raises(ModelError, match=r"weights\[3\] is nan"):
        layer(rows())
    assert layer.executor.ledger.circuits == 0


def test_a_nan_loss_stops_before_gradient_circuits_are_run():
    layer = small_layer()
    loss = (layer(rows()) * float("nan")).sum()
    spent = layer.executor.ledger
    with pytest.raises(ExecutorError, match="dL/dE"):
        loss.backward()
    assert layer.executor.ledger == spent
    assert layer.weights.grad is None


def test_an_executor_that_returns_too_few_rows_is_caught():
    class Short(ExactSimulator):
        def expectations(self, program, angles, *, key):
            return super().expectations(program, angles, key=key)[:1]

    layer = QuantumLayer(small_model(), Short(), gradients.parameter_shift())
    with pytest.raises(ExecutorError, match=r"returned shape \(1, 2\). Expected \(4, 2\)"):
        layer(rows())


def test_frozen_weights_cost_feature_circuits_only():
    layer, x = small_layer(), rows(1).requires_grad_()
    layer.weights.requires_grad_(False)
    layer(x).sum().backward()
    per_point = layer.program.num_bases
    assert layer.executor.ledger.circuits == per_point + 2 * 2 * per_point
    assert x.grad.abs().sum() > 0


# --- pruning and the optimizer


def grown(layer, optimizer, steps, x=None):
    """Trains; yields weights and evaluated after each step."""
    x = rows() if x is None else x
    for _ in range(steps):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        gradient = layer.weights.grad.clone().numpy()
        optimizer.step()
        yield layer.weights.detach().clone().numpy(), layer.evaluated, gradient


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True),
    "adam foreach": lambda p: torch.optim.Adam(p, lr=0.05, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.05, momentum=0.5),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_unevaluated_weight_does_not_move(make):
    layer = small_layer(PRUNED)
    optimizer = masked(make(layer.parameters()), layer)
    before, pruned = layer.weights.detach().clone().numpy(), 0
    for weights, evaluated, gradient in grown(layer, optimizer, 9):
        assert np.array_equal(weights[~evaluated], before[~evaluated])
        moving = evaluated & (np.abs(gradient) > 1e-6)
        assert np.all(weights[moving] != before[moving])
        before, pruned = weights, pruned + (~evaluated).sum()
    assert pruned == 6 * 4


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_where_everything_is_evaluated_a_masked_optimizer_is_the_plain_one(make):
    plain, wrapped = small_layer(), small_layer()
    one = grown(plain, make(plain.parameters()), 6)
    other = grown(wrapped, masked(make(wrapped.parameters()), wrapped), 6)
    for (a, *_), (b, *_) in zip(one, other):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_adam_counts_only_the_steps_at_which_a_weight_was_evaluated():
    """The formula of Adam, weight by weight, with a step count of its own."""
    layer = small_layer(PRUNED)
    optimizer = masked(torch.optim.Adam(layer.parameters(), lr=0.05), layer)
    w = layer.weights.detach().clone().numpy()
    m, v, count = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for weights, e, g in grown(layer, optimizer, 12):
        count[e] += 1
        m[e] = 0.9 * m[e] + 0.1 * g[e]
        v[e] = 0.999 * v[e] + 0.001 * g[e] ** 2
        w[e] -= 0.05 * (m[e] / (1 - 0.9 ** count[e])) / (np.sqrt(v[e] / (1 - 0.999 ** count[e])) + 1e-8)
        np.testing.assert_allclose(weights, w, rtol=0, atol=1e-12)
    assert len(set(count)) > 1, "no weight was pruned more often than another: nothing was tested"


def test_a_plain_optimizer_would_move_unevaluated_weights():
    layer = small_layer(PRUNED)
    steps = list(grown(layer, torch.optim.Adam(layer.parameters(), lr=0.05), 2))
    (before, *_), (after, evaluated, _) = steps
    assert np.any(after[~evaluated] != before[~evaluated])


def test_a_weight_that_shares_a_slot_with_a_drawn_one_has_gradient_zero_unless_drawn():
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.ry(a + b, 0)
    model = QuantumModel(circuit, weights=[a, b], observables=["Z0"])
    layer = QuantumLayer(model, ExactSimulator(), PRUNED)
    for weights, evaluated, gradient in grown(
        layer, masked(torch.optim.SGD(layer.parameters(), lr=0.1), layer), 6, x=torch.zeros(1, 0, dtype=torch.float64)
    ):
        assert np.all(gradient[~evaluated] == 0)
        assert np.isfinite(weights).all()


def test_of_a_layer_used_twice_in_one_step_only_weights_evaluated_both_times_move():
    layer = small_layer(PRUNED)
    optimizer = masked(torch.optim.SGD(layer.parameters(), lr=0.05), layer)
    list(grown(layer, optimizer, 1))
    before = layer.weights.detach().clone()
    optimizer.zero_grad()
    (layer(rows(seed=1)).sum() + layer(rows(seed=2)).sum()).backward()
    evaluated = layer.evaluated.copy()
    assert evaluated.sum() <= 3
    optimizer.step()
    assert torch.equal(layer.weights[~evaluated], before[~evaluated])


def test_gradients_of_several_passes_add_up_and_zero_grad_starts_anew():
    layer, reference = small_layer(), small_layer()
    for seed in (1, 2):
        layer(rows(seed=seed)).sum().backward()
    (reference(rows(seed=1)).sum() + reference(rows(seed=2)).sum()).backward()
    torch.testing.assert_close(layer.weights.grad, reference.weights.grad)
    pruned = small_layer(PRUNED)
    optimizer = masked(torch.optim.SGD(pruned.parameters(), lr=0.05), pruned)
    for _ in range(4):
        outputs = pruned(rows())
        optimizer.zero_grad()
        outputs.sum().backward()
        optimizer.step()
    assert pruned.evaluated.all(), "step 4 begins a stage: everything is evaluated"


def test_a_scheduler_and_other_parameters_work_with_a_masked_optimizer():
    layer, head = small_layer(PRUNED), nn.Linear(2, 1).double()
    optimizer = masked(torch.optim.AdamW([*layer.parameters(), *head.parameters()], lr=0.05), layer)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    before = head.weight.detach().clone()
    optimizer.zero_grad()
    head(layer(rows())).sum().backward()
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    assert not torch.equal(head.weight, before)
    assert layer.weights.grad is not None
    optimizer.zero_grad()
    assert layer.weights.grad is None


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda layer: torch.optim.LBFGS(layer.parameters()), "mixes the weights"),
        (lambda layer: torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1), "does not hold layer.weights"),
        (lambda layer: masked(torch.optim.Adam(layer.parameters()), layer), "masked for this layer already"),
    ],
)
def test_an_optimizer_that_cannot_be_masked_is_refused(make, match):
    layer = small_layer()
    with pytest.raises(ConfigError, match=match):
        masked(make(layer), layer)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_masked_after_some_steps_keeps_its_moments(make):
    plain, wrapped = small_layer(), small_layer()
    one, other = make(plain.parameters()), make(wrapped.parameters())
    list(grown(plain, one, 3))
    list(grown(wrapped, other, 3))
    for (a, *_), (b, *_) in zip(grown(plain, one, 3), grown(wrapped, masked(other, wrapped), 3)):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_closure_is_refused():
    layer = small_layer()
    optimizer = masked(torch.optim.SGD(layer.parameters(), lr=0.1), layer)
    with pytest.raises(ConfigError, match="closure"):
        optimizer.step(lambda: 0.0)


# --- the state


def test_a_saved_layer_and_optimizer_continue_bit_for_bit():
    def fresh():
        layer = small_layer(PRUNED, shots=64)
        return layer, masked(torch.optim.Adam(layer.parameters(), lr=0.05), layer)

    layer, optimizer = fresh()
    expected = [w for w, *_ in grown(layer, optimizer, 9)]
    first, one = fresh()
    list(grown(first, one, 5))
    file = io.BytesIO()
    torch.save({"layer": first.state_dict(), "optimizer": one.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    second, other = fresh()
    second.load_state_dict(state["layer"])
    other.load_state_dict(state["optimizer"])
    assert second.step == 5
    for a, (b, *_) in zip(expected[5:], grown(second, other, 4), strict=True):
        assert np.array_equal(a, b)


def test_the_state_of_another_gradient_method_is_refused():
    with pytest.raises(RunError, match="same gradient method"):
        small_layer().load_state_dict(small_layer(PRUNED).state_dict())


def test_print_shows_model_executor_and_method():
    text = str(small_layer(PRUNED))
    assert "2 features, 7 weights, 2 observables" in text
    assert "ExactSimulator" in text
    assert "prune(" in text
