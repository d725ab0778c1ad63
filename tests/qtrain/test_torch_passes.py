"""What a GPU needs of the passes on torch, held without one; and what a GPU alone can show, where there is one."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from qtrain import ansatze, encoders, gradients
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.torch_simulator import TorchSimulator
from qtrain.layer import QuantumLayer
from qtrain.model import QuantumModel
from qtrain.simulators import torch_simulation
from qtrain.simulators.torch_axes import BATCH, Named
from qtrain.simulators.torch_blocks import state_vector_blocks
from qtrain.simulators.torch_graphs import Runner
from tests.qtrain.test_torch_simulator import KEY, MANILA, needs_gpu, point, prepared, squares


class Watch(TorchDispatchMode):
    """Notes every operation that brings a number to the host or a tensor to another device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in torch.utils._pytree.tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)]
        if len({t.device for t in tensors}) > 1 or "_local_scalar_dense" in str(func) or "nonzero" in str(func):
            self.found.append(str(func))
        return out


@pytest.mark.parametrize(("name", "noisy"), [("everything(3)", False), ("sel on 3 qubits", True)])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_work_for_a_graph_stays_on_its_device_and_never_waits(monkeypatch, noisy, name, precision):
    """On the device "meta", which holds no numbers: anything that is not there or must be read fails or is seen."""
    program = prepared(name, noisy=noisy)
    found, calls = [], []

    def watched(self, key, work, *inputs, small):
        work(*inputs)  # constants are made in the first call, before a capture
        with Watch() as watch:
            result = work(*inputs)
        calls.append(key[1])
        found.extend(watch.found)
        return result

    monkeypatch.setattr(Runner, "__call__", watched)
    monkeypatch.setattr(torch_simulation, "as_array", lambda tensor: np.zeros(tensor.shape))
    monkeypatch.setattr("qtrain.executors.torch_simulator._checked_torch_device", torch.device)
    executor = TorchSimulator(MANILA if noisy else None, device="meta", precision=precision)
    x, w, cotangent = point(program)
    executor.adjoint(program, program.angles(x, w), cotangent)
    executor.jacobian(program, program.angles(x, w))
    executor.value_and_gradient(program, x, w, squares)
    if noisy:
        executor.shifted_expectations(program, program.angles(x, w), np.arange(3), np.ones(2), key=KEY)
    assert {"forward", "backward", "summed"} <= set(calls)
    assert found == []


def test_a_block_is_no_wider_than_it_pays_and_holds_each_slot_once():
    circuit = state_vector_blocks(prepared("everything(5)"))
    blocks = (*circuit.starts, *circuit.body)
    assert sorted(slot for block in blocks for slot in block.slots) == list(range(circuit.num_slots))
    features = np.flatnonzero(prepared("everything(5)").feature_slots)
    for block in circuit.body:
        assert len(block.qubits) <= (2 if set(block.slots).intersection(features) else 4)
    assert len(circuit.body) < 15


def test_named_axes_move_as_numpy_moves_them():
    rng = np.random.default_rng(0)
    lengths = (3, 2, 2, 2, 2)
    numbers = rng.normal(size=lengths)
    named = Named(torch.from_numpy(numbers), (BATCH, 3, 0, 2, 1), lengths)
    tensor, order = named.arranged((1, 0), (BATCH, 3), (2,))
    assert order == (1, 0, BATCH, 3, 2)
    np.testing.assert_array_equal(tensor.numpy(), numbers.transpose(4, 2, 0, 1, 3).reshape(4, 6, 2))


def layer_on(executor, **options):
    encoder, features = encoders.angle_encoder(2)
    ansatz, weights = ansatze.rzz_ring(2, 1)
    model = QuantumModel(encoder.compose(ansatz), features=features, weights=weights, observables=["Z0", "X0 Z1"])
    return QuantumLayer(model, executor, gradients.adjoint(), **options)


def test_a_layer_trains_on_it_as_on_the_exact_simulator():
    x = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    found = []
    for executor in (TorchSimulator(), ExactSimulator()):
        layer = layer_on(executor)
        layer(x).square().sum().backward()
        found.append((layer.weights.grad, x.grad))
        x.grad = None
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@needs_gpu
@pytest.mark.parametrize("executor", [ExactSimulator, lambda: TorchSimulator(device="cuda")], ids=["exact", "torch"])
def test_rows_on_a_gpu_give_expectations_and_gradients_there(executor):
    layer, here = layer_on(executor()).cuda(), layer_on(ExactSimulator())
    x = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    there = x.detach().cuda().requires_grad_()
    for module, rows in ((layer, there), (here, x)):
        module(rows).square().sum().backward()
    assert there.grad.device.type == layer.weights.grad.device.type == layer(there).device.type == "cuda"
    torch.testing.assert_close(there.grad.cpu(), x.grad, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(layer.weights.grad.cpu(), here.weights.grad, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        assert layer(there).device.type == "cuda"


@needs_gpu
@pytest.mark.parametrize("noisy", [False, True], ids=["exact", "noisy"])
def test_a_graph_gives_the_same_numbers_each_time_and_those_of_plain_calls(monkeypatch, noisy):
    program = prepared("everything(3)", noisy=noisy)
    x, w, cotangent = point(program)
    chip = MANILA if noisy else None
    replayed = TorchSimulator(chip, device="cuda")
    first = replayed.adjoint(program, program.angles(x, w), cotangent)
    other = replayed.adjoint(program, program.angles(x, w + 1), cotangent)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(replayed.adjoint(program, program.angles(x, w), cotangent), first)
    loss, gradient, values = replayed.value_and_gradient(program, x, w, squares)
    replayed.value_and_gradient(program, x, w + 1, squares)
    again = replayed.value_and_gradient(program, x, w, squares)
    assert loss == again[0]
    np.testing.assert_array_equal(gradient, again[1])
    monkeypatch.setattr(torch_simulation, "GRAPH_BYTES", 0)
    plainly = TorchSimulator(chip, device="cuda")
    np.testing.assert_allclose(plainly.adjoint(program, program.angles(x, w), cotangent), first, atol=1e-13)
    np.testing.assert_allclose(plainly.value_and_gradient(program, x, w, squares)[2], values, atol=1e-13)


@needs_gpu
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(Exception, match=r"Expected 'cuda:0' to 'cuda:"):
        TorchSimulator(device=f"cuda:{torch.cuda.device_count()}")
