"""QuantumLayer: a QuantumModel on an executor, as a torch module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from qtrain.errors import ConfigError, ExecutorError, ModelError, RunError
from qtrain.executors.base import BACKWARD, EVALUATE, FORWARD, NUM_STREAMS, WEIGHTS, Executor, Key, generator
from qtrain.gradients.base import Array, GradientMethod, Mask, check_finite
from qtrain.model import QuantumModel
from qtrain.prefetch import gradient_requests

if TYPE_CHECKING:
    from qcompile.compiled import CompiledCircuit


def check_parts(model: Any, executor: Any, gradient: Any) -> None:
    """Raises ConfigError unless these are a model, an executor and a gradient method: made, not just named."""
    if not isinstance(model, QuantumModel):
        raise ConfigError(f"model is a {type(model).__name__}. Expected a qtrain.QuantumModel.")
    if isinstance(executor, type) or not isinstance(executor, Executor):
        raise ConfigError(f"executor = {executor!r}. Expected an executor, e.g. qtrain.ExactSimulator().")
    if not isinstance(gradient, GradientMethod):
        raise ConfigError(f"gradient = {gradient!r}. Expected a gradient method, e.g. qtrain.parameter_shift().")


class QuantumLayer(nn.Module):
    """`y = layer(x)`: x [batch, features] in rad -> y [batch, observables], in x's floating type and on its device.

    Usable in any torch model; x may require grad. Each forward pass in grad mode samples anew; without grad (`no_grad`,
    evaluation) the same weights at the same step give the same sample. Nothing is drawn from torch's generator.
    On a chip a forward pass in grad mode runs the circuits of its gradient too, all in one job: predict in `no_grad`.

    Attributes:
        weights: nn.Parameter [weights], float64, rad; uniform in [-pi, pi] from the seed.
        step: gradient estimates done so far; the key of every draw is (seed, step, stream).
        evaluated: [weight] bool, what the last backward pass evaluated; None before the first. Where gradients of
            several passes add up in `weights.grad`, only what all of them evaluated. `qtrain.masked` needs it.

    A weight that was not evaluated has gradient 0; a plain optimizer would still move it by momentum, hence `masked`.
    `state_dict` carries the weights, the step and the gradient method's state; the same code, executor and state
    continue exactly as if never interrupted.

    Raises: ConfigError: model, executor or gradient is something else. From a call: ModelError: a wrong shape, NaN, a
        complex or integer tensor; ExecutorError: a result or gradient that is not finite.
    """

    def __init__(self, model: QuantumModel, executor: Executor, gradient: GradientMethod, *, seed: int = 0) -> None:
        super().__init__()
        check_parts(model, executor, gradient)
        self.model = model
        self.executor = executor
        self.gradient = gradient
        self.seed = seed
        self.recompile()
        start = generator((seed, 0, WEIGHTS)).uniform(-np.pi, np.pi, len(model.weights))
        self.weights = nn.Parameter(torch.from_numpy(start))
        self.step = 0
        self.evaluated: Mask | None = None
        self.gradient_state = gradient.init(self.program)
        self._calls = (0, 0)  # (step, forward passes begun at that step)
        self._estimated_at = -1  # the step of the last estimate

    @property
    def compiled(self) -> CompiledCircuit | None:
        """The circuit as compiled for the executor's device; None on an exact simulator."""
        return self.program.compiled

    def extra_repr(self) -> str:
        """What `print(layer)` shows."""
        return f"{self.model!r}, {type(self.executor).__name__}, {self.gradient.name}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, observables] from x [batch, features]."""
        self._check(x)
        # executors take and give numpy arrays, wherever they compute: only angles and expectations travel
        rows = x.cpu().double()
        weights = self.weights.cpu().double()
        if not torch.is_grad_enabled() or not (weights.requires_grad or x.requires_grad):
            angles = self.program.angles(rows.detach().numpy(), weights.detach().numpy())
            return (
                torch.from_numpy(self._expectations(angles, (self.seed, self.step, EVALUATE))).to(x.dtype).to(x.device)
            )
        begun = self._calls[1] if self._calls[0] == self.step else 0
        self._calls = (self.step, begun + 1)
        one_pass = _Pass(self, self.step, begun, weights=weights.requires_grad, features=x.requires_grad)
        if weights.requires_grad:
            # a tensor of this pass alone, whose gradient can be masked before it is added to others
            weights = weights.view_as(weights)
            weights.register_hook(one_pass.masked)
        angles_of_pass = self.program.torch_angles(rows, weights)
        if hasattr(self.executor, "prefetch"):
            # bit for bit those that are asked for below: numpy sums in another order, and a job would be paid twice
            self._prefetch(angles_of_pass.detach().numpy(), one_pass)
        values: torch.Tensor = _Expectations.apply(angles_of_pass, one_pass)
        return values.to(x.dtype).to(x.device)

    def _expectations(self, angles: Array, key: Key) -> Array:
        values = self.executor.expectations(self.program, angles, key=key)
        expected = (len(angles), len(self.model.observables))
        if values.shape != expected:
            raise ExecutorError(f"{type(self.executor).__name__} returned shape {values.shape}. Expected {expected}.")
        check_finite(f"{type(self.executor).__name__}: expectation", values)
        return values

    def recompile(self) -> None:
        """Compiles anew for the executor's device as it is now; weights, step and the method's state stay."""
        model = self.model
        self.program = self.executor.prepare(
            model.circuit, list(model.observables), features=list(model.features), weights=list(model.weights)
        )

    def _prefetch(self, angles: Array, one_pass: _Pass) -> None:
        """Forward pass and gradient in one request, for an executor whose requests wait in a queue."""
        requests = gradient_requests(
            self.gradient,
            self.executor,
            self.program,
            angles,
            self.gradient_state,
            key=one_pass.key(BACKWARD),
            weights=one_pass.mask(self.program.num_weights),
            features=one_pass.features,
        )
        self.executor.prefetch(self.program, [(angles, one_pass.key(FORWARD)), *requests])  # type: ignore[attr-defined]

    def _estimate(self, angles: Array, cotangent: Array, one_pass: _Pass) -> Array:
        check_finite("dL/dE", cotangent)
        gradient, state = self.gradient.estimate(
            self.executor,
            self.program,
            angles,
            cotangent,
            self.gradient_state,
            key=one_pass.key(BACKWARD),
            weights=one_pass.mask(self.program.num_weights),
            features=one_pass.features,
        )
        check_finite("dL/d angle", gradient.values)
        self.gradient_state = state
        one_pass.evaluated = gradient.evaluated
        adds_up = one_pass.step == self._estimated_at or (self.weights.grad is not None and self.weights.grad.any())
        known = self.evaluated if adds_up else None
        self.evaluated = gradient.evaluated if known is None else known & gradient.evaluated
        self._estimated_at = one_pass.step
        self.step = max(self.step, one_pass.step + 1)
        return gradient.values

    def _check(self, x: torch.Tensor) -> None:
        count = len(self.model.features)
        if not isinstance(x, torch.Tensor):
            raise ModelError(f"x is a {type(x).__name__}. Expected a tensor: torch.as_tensor(x).")
        if x.ndim != 2 or x.shape[1] != count or x.shape[0] == 0:
            raise ModelError(
                f"x has shape {tuple(x.shape)}. Expected [batch, {count}] with one row at least: "
                "nothing is broadcast or cut."
            )
        if not x.is_floating_point():
            raise ModelError(f"x holds {x.dtype}. Expected a real floating type: x.double().")
        finite = torch.isfinite(x)
        if not bool(finite.all()):
            row, column = (int(i) for i in (~finite).nonzero()[0])
            raise ModelError(f"x[{row}, {column}] is {x[row, column].item()}. Expected finite angles, rad.")
        if not bool(torch.isfinite(self.weights).all()):
            place = int((~torch.isfinite(self.weights)).nonzero()[0])
            raise ModelError(
                f"weights[{place}] is {self.weights[place].item()}. Expected finite angles, rad; "
                "a step with a bad learning rate or gradient went before."
            )

    def get_extra_state(self) -> dict[str, Any]:
        """Step and gradient state, as ints, strings and tensors: `torch.load(weights_only=True)` reads them."""
        return {"step": self.step, "method": self.gradient.name, "gradient": _to_tensors(self.gradient_state)}

    def set_extra_state(self, state: Any) -> None:
        """Takes what `get_extra_state` gave. Raises RunError if it is another method's."""
        if state["method"] != self.gradient.name:
            raise RunError(
                f"the state belongs to {state['method']}, this layer uses {self.gradient.name}. "
                "Expected the same gradient method."
            )
        self.step = int(state["step"])
        self.gradient_state = _to_arrays(state["gradient"])
        self.evaluated = None
        self._calls = (0, 0)
        self._estimated_at = -1


class _Pass:
    """One forward pass and the backward pass that belongs to it."""

    def __init__(self, layer: QuantumLayer, step: int, call: int, *, weights: bool, features: bool) -> None:
        self.layer, self.step, self.call, self.weights, self.features = layer, step, call, weights, features
        self.evaluated: Mask | None = None

    def key(self, stream: int) -> Key:
        return self.layer.seed, self.step, stream + NUM_STREAMS * self.call

    def mask(self, num_weights: int) -> Mask | None:
        """[weight] which derivatives are wanted; None: all."""
        return None if self.weights else np.zeros(num_weights, dtype=bool)

    def masked(self, gradient: torch.Tensor) -> torch.Tensor:
        """A weight that was not drawn may share a slot with one that was: its part of a derivative is dropped."""
        return gradient * torch.from_numpy(self.evaluated)


class _Expectations(torch.autograd.Function):
    """angles [batch, slot] -> expectations [batch, observable]; backward by the layer's gradient method."""

    @staticmethod
    def forward(ctx: Any, angles: torch.Tensor, one_pass: _Pass) -> torch.Tensor:
        ctx.save_for_backward(angles)
        ctx.one_pass = one_pass
        return torch.from_numpy(one_pass.layer._expectations(angles.detach().numpy(), one_pass.key(FORWARD)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        (angles,) = ctx.saved_tensors
        values = ctx.one_pass.layer._estimate(
            angles.detach().numpy(), np.ascontiguousarray(cotangent.numpy()), ctx.one_pass
        )
        return torch.from_numpy(values), None


def _to_tensors(state: dict[str, Any]) -> dict[str, Any]:
    return {k: _to_tensors(v) if isinstance(v, dict) else _to_tensor(v) for k, v in state.items()}


def _to_tensor(value: Any) -> Any:
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def _to_arrays(state: dict[str, Any]) -> dict[str, Any]:
    return {k: _to_arrays(v) if isinstance(v, dict) else _to_array(v) for k, v in state.items()}


def _to_array(value: Any) -> Any:
    return value.cpu().numpy().copy() if isinstance(value, torch.Tensor) else value
