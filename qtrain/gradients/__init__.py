"""Gradient methods: one file a method, all instances of the contract in `base`."""

from __future__ import annotations

import ast
from typing import Any

from qtrain.errors import ConfigError
from qtrain.gradients.adjoint import adjoint
from qtrain.gradients.average import average
from qtrain.gradients.base import Gradient, GradientMethod
from qtrain.gradients.finite_difference import finite_difference
from qtrain.gradients.natural import natural
from qtrain.gradients.parameter_shift import parameter_shift
from qtrain.gradients.prune import prune
from qtrain.gradients.rotosolve import rotosolve
from qtrain.gradients.spsa import spsa

METHODS = {
    method.__name__: method
    for method in (adjoint, average, finite_difference, natural, parameter_shift, prune, rotosolve, spsa)
}

__all__ = [
    "METHODS",
    "Gradient",
    "GradientMethod",
    "adjoint",
    "average",
    "finite_difference",
    "from_name",
    "natural",
    "parameter_shift",
    "prune",
    "rotosolve",
    "spsa",
]


def from_name(name: str) -> GradientMethod:
    """The method that calls itself so: the inverse of `GradientMethod.name`. Reads calls of METHODS, runs nothing else.

    >>> from_name("prune(parameter_shift(), ratio=0.25)").name
    'prune(parameter_shift(), ratio=0.25, accumulation_window=1, pruning_window=2)'

    Raises: ConfigError: an unknown method, or something that is not a call with plain values.
    """

    def build(node: ast.expr) -> Any:
        match node:
            case ast.Call(func=ast.Name(id=method)) if method in METHODS:
                options = {k.arg: build(k.value) for k in node.keywords if k.arg is not None}
                return METHODS[method](*(build(a) for a in node.args), **options)
            case ast.Name(id=method) if method in METHODS:
                return build(ast.Call(node, [], []))
            case ast.Constant(value=int() | float() | str() as value):
                return value
        raise ConfigError(
            f"{ast.unparse(node)!r} is unknown. Expected {', '.join(sorted(METHODS))} with plain values, "
            "e.g. prune(parameter_shift(), ratio=0.5)."
        )

    try:
        method = build(ast.parse(name, mode="eval").body)
    except ConfigError as error:
        raise ConfigError(f"gradient {name!r}: {error}") from None
    except (SyntaxError, TypeError) as error:
        raise ConfigError(
            f"gradient {name!r} cannot be read ({error}). Expected e.g. prune(parameter_shift(), ratio=0.5)."
        ) from None
    if not isinstance(method, GradientMethod):
        raise ConfigError(f"gradient {name!r} is no method. Expected e.g. parameter_shift().")
    return method
