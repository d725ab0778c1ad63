"""Angles of a program's slots as a function of features and weights: angles = A @ weights + g(features).

Weights enter affinely, features by any smooth expression. Names of parameters may come from a file, so expressions are
rewritten over names of our own (w0, x0, ...) before anything is turned into code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy
import torch
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

from qtrain.errors import ConfigError, ModelError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AngleMap:
    """How features and weights make angles.

    Attributes:
        A: [slot, weight] what a weight adds to an angle.
        F: [slot, feature] the linear part of the features.
        b: [slot] constants, rad.
        smooth: (slot, expression over x0, x1, ...) for what the features add beyond F.
    """

    A: Array
    F: Array
    b: Array
    smooth: tuple[tuple[int, sympy.Expr], ...] = ()

    @property
    def num_slots(self) -> int:
        """Angle slots."""
        return len(self.b)

    @cached_property
    def feature_slots(self) -> NDArray[np.bool_]:
        """[slot] whether a feature enters."""
        entered: NDArray[np.bool_] = (self.F != 0).any(axis=1)
        for slot, _ in self.smooth:
            entered[slot] = True
        return entered

    @cached_property
    def fingerprint(self) -> bytes:
        """What defines the map, as bytes that are the same in every process."""
        parts = [np.array(self.A.shape + self.F.shape).tobytes(), self.A.tobytes(), self.F.tobytes(), self.b.tobytes()]
        parts += [f"{slot}:{sympy.sstr(expression, order='lex')};".encode() for slot, expression in self.smooth]
        return b"".join(parts)

    def __call__(self, features: Array, weights: Array) -> Array:
        """[batch, slot] from features [batch, feature] and weights [weight]. Shapes are exact, nothing broadcasts.

        Raises: ConfigError: too many or too few values, or one that is no finite real number.
        """
        x = _checked("features", features, (None, self.F.shape[1]))
        w = _checked("weights", weights, (self.A.shape[1],))
        angles = x @ self.F.T + (self.A @ w + self.b)
        if self.smooth:
            with np.errstate(all="ignore"):
                columns = self._smooth_numpy(*x.T)
            for (slot, expression), column in zip(self.smooth, columns):
                if not np.all(np.isfinite(column)):
                    raise ConfigError(
                        f"features: the angle {expression} of slot {slot} is not finite for this row. "
                        "Expected features inside the expression's domain (x0 is the first feature)."
                    )
                angles[:, slot] += column
        return angles

    def differentiable(self, features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The same for torch, differentiable in both; float64, on the CPU."""
        A, F, b = self._constants
        x, w = features.double(), weights.double()
        if x.ndim != 2 or x.shape[1] != F.shape[1] or w.shape != (A.shape[1],):
            raise ConfigError(
                f"features {tuple(x.shape)} and weights {tuple(w.shape)}. "
                f"Expected (batch, {F.shape[1]}) and ({A.shape[1]},)."
            )
        angles = x @ F.T + (A @ w + b)
        if not self.smooth:
            return angles
        values = self._smooth_torch(*x.unbind(1))
        extra = torch.stack([torch.as_tensor(v, dtype=torch.float64).expand(len(x)) for v in values], dim=1)
        return angles.index_add(1, self._smooth_slots, extra)

    @cached_property
    def _constants(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.A), torch.from_numpy(self.F), torch.from_numpy(self.b)

    @cached_property
    def _smooth_slots(self) -> torch.Tensor:
        return torch.tensor([slot for slot, _ in self.smooth])

    @cached_property
    def _smooth_numpy(self) -> Callable[..., list[Any]]:
        return self._lambdified("numpy")

    @cached_property
    def _smooth_torch(self) -> Callable[..., list[Any]]:
        return self._lambdified("torch")

    def _lambdified(self, module: str) -> Callable[..., list[Any]]:
        names = [sympy.Symbol(f"x{i}") for i in range(self.F.shape[1])]
        expressions = [sympy.N(expression, 17) for _, expression in self.smooth]
        function: Callable[..., list[Any]] = sympy.lambdify(names, expressions, modules=module, cse=True)
        return function


def angle_map(
    expressions: Sequence[tuple[ParameterExpression, str]], features: Sequence[Parameter], weights: Sequence[Parameter]
) -> AngleMap:
    """The map behind a list of (symbolic angle, name of its gate for errors).

    Raises: ModelError: a parameter that is neither feature nor weight, a weight that enters otherwise than affinely, or
        a constant that is not finite.
    """
    position_w = {p: i for i, p in enumerate(weights)}
    position_x = {p: i for i, p in enumerate(features)}
    A = np.zeros((len(expressions), len(weights)))
    F = np.zeros((len(expressions), len(features)))
    b = np.zeros(len(expressions))
    smooth: list[tuple[int, sympy.Expr]] = []
    for slot, (expression, place) in enumerate(expressions):
        _refuse_strangers(expression, place, position_w, position_x)
        slopes = {p: _number(expression.gradient(p)) for p in expression.parameters}
        if all(slope is not None for slope in slopes.values()):
            for parameter, slope in slopes.items():
                assert slope is not None
                if parameter in position_w:
                    A[slot, position_w[parameter]] = slope
                else:
                    F[slot, position_x[parameter]] = slope
            b[slot] = _number(expression.bind(dict.fromkeys(expression.parameters, 0.0))) or 0.0
        else:
            renamed = _renamed(expression, position_w, position_x)
            rest = _take_weights(renamed, expression, place, A[slot])
            smooth.append((slot, rest))
        if not (np.all(np.isfinite(A[slot])) and np.all(np.isfinite(F[slot])) and math.isfinite(b[slot])):
            raise ModelError(f"{place}: its angle {expression} holds a constant that is not finite. Expected numbers.")
    return AngleMap(A, F, b, tuple(smooth))


def _refuse_strangers(
    expression: ParameterExpression, place: str, weights: dict[Parameter, int], features: dict[Parameter, int]
) -> None:
    strangers = sorted(p.name for p in expression.parameters if p not in weights and p not in features)
    if strangers:
        raise ModelError(
            f"{place}: parameter {', '.join(strangers)} is neither a feature nor a weight. "
            "Name it in features or weights, or bind it to a number."
        )


def _number(value: Any) -> float | None:
    """A slope or constant as a float; None where it still depends on a parameter."""
    if isinstance(value, ParameterExpression):
        if value.parameters:
            return None
        value = value.numeric()
    number = complex(value)
    return number.real if number.imag == 0 else math.nan


def _renamed(
    expression: ParameterExpression, weights: dict[Parameter, int], features: dict[Parameter, int]
) -> sympy.Expr:
    """The same expression over w0, w1, ... and x0, x1, ..., whatever its parameters are called."""
    names = {p: f"w{weights[p]}" if p in weights else f"x{features[p]}" for p in expression.parameters}
    return expression.subs({p: Parameter(name) for p, name in names.items()}).sympify()


def _take_weights(renamed: sympy.Expr, original: ParameterExpression, place: str, row: Array) -> sympy.Expr:
    """Moves the slopes of the weights into `row`; returns what is left, over the features alone."""
    used = sorted((s for s in renamed.free_symbols if s.name.startswith("w")), key=lambda s: int(s.name[1:]))
    for symbol in used:
        slope = sympy.simplify(sympy.diff(renamed, symbol))
        if slope.free_symbols or not slope.is_real:
            raise ModelError(
                f"{place}: a weight enters the angle {original} otherwise than affinely (slope {slope}; "
                "w0 is the first weight, x0 the first feature). Expected number * weight + function of features; "
                "use a weight of its own for the whole angle, or compute the product as a feature before the circuit."
            )
        row[int(symbol.name[1:])] = float(slope)
    rest = renamed.subs(dict.fromkeys(used, 0))
    if rest.has(sympy.nan, sympy.oo, -sympy.oo, sympy.zoo, sympy.I):
        raise ModelError(f"{place}: its angle {original} is not a finite real number. Expected radians.")
    return rest


def _checked(what: str, values: Any, shape: tuple[int | None, ...]) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ConfigError(f"{what} have dtype {array.dtype}. Expected real numbers.")
    wanted = "(" + ", ".join("batch" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
    if array.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, array.shape)):
        raise ConfigError(f"{what} have shape {array.shape}. Expected {wanted}; values are never broadcast.")
    if not np.all(np.isfinite(array)):
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ConfigError(f"{what}[{', '.join(map(str, bad))}] = {array[bad]}. Expected finite numbers.")
    return array.astype(np.float64)
