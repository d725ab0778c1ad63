"""masked: an optimizer that leaves alone, state and all, the weights that the last gradient did not evaluate."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import LBFGS, Adafactor, Optimizer

from qtrain.errors import ConfigError
from qtrain.layer import QuantumLayer

AnyOptimizer = TypeVar("AnyOptimizer", bound=Optimizer)


def masked(optimizer: AnyOptimizer, layer: QuantumLayer) -> AnyOptimizer:
    """The same optimizer, which from now on treats every weight of the layer as a parameter of its own.

    A weight that was not evaluated is to torch a parameter without a gradient: it does not move, its moments stay, it
    does not decay, and its step count (Adam's bias correction) counts only steps at which it was evaluated. Right for
    every optimizer that works element by element: SGD with momentum, Adam, AdamW, RMSprop, Adagrad, NAdam and so on.
    Learning-rate schedulers, `zero_grad`, `state_dict` and other parameters in the optimizer work as ever.

    Args:
        optimizer: holds `layer.weights`; what it knows of them already is kept.
        layer: of any gradient method; where everything is evaluated the optimizer does what it always did.
    Raises: ConfigError: an optimizer that mixes elements (LBFGS, Adafactor), one that does not hold the weights or
        has stepped already; from `optimizer.step(closure)`, which would compute the gradient too late.
    """
    if isinstance(optimizer, LBFGS | Adafactor):
        raise ConfigError(
            f"masked: {type(optimizer).__name__} mixes the weights with each other. Expected an optimizer that works "
            "element by element, e.g. torch.optim.Adam."
        )
    group = next((g for g in optimizer.param_groups if any(p is layer.weights for p in g["params"])), None)
    if group is None:
        raise ConfigError("masked: the optimizer does not hold layer.weights. Make it from layer.parameters().")
    if any(isinstance(p, _OneWeight) and p.layer is layer for p in group["params"]):
        raise ConfigError("masked: this optimizer is masked for this layer already. Call it once.")
    weights = layer.weights
    singles = [_OneWeight(weights, i, layer) for i in range(len(weights))]
    group["params"] = [*group["params"], *singles]
    state = optimizer.state.pop(weights, {})  # Adagrad has one from the start, others once they have stepped
    for i, single in enumerate(singles):
        if state:
            optimizer.state[single] = {name: _part(value, i, weights) for name, value in state.items()}
    kept: list[torch.Tensor | None] = []

    def before(_: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if any(a is not None for a in (*args[1:], *kwargs.values())):  # args[0] is the optimizer
            raise ConfigError("masked: step(closure) is not supported. Call loss.backward() first, then step().")
        gradient = weights.grad
        kept[:] = [gradient]
        weights.grad = None
        if gradient is not None:
            evaluated = layer.evaluated
            for i, single in enumerate(singles):
                single.data = weights.detach()[i : i + 1]  # the weights may have moved in memory since (layer.to)
                single.grad = gradient[i : i + 1] if evaluated is None or evaluated[i] else None

    def after(*_: Any) -> None:
        weights.grad = kept.pop()
        for single in singles:
            single.grad = None

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    return optimizer


def _part(value: Any, index: int, weights: nn.Parameter) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return (value[index : index + 1] if value.shape == weights.shape else value).clone()


class _OneWeight(nn.Parameter):
    """One entry of layer.weights, in the same memory."""

    layer: QuantumLayer

    def __new__(cls, weights: nn.Parameter, index: int, layer: QuantumLayer) -> _OneWeight:
        single: _OneWeight = super().__new__(cls, weights.detach()[index : index + 1])
        single.layer = layer
        return single
