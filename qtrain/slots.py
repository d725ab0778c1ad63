"""Angles of a program's slots as a function of features and weights: angles = A @ weights + g(features).

Weights enter affinely, features by any smooth expression. Expressions are read into numbers and operations
(`qcompile/expressions.py`), never into code: names of parameters may come from a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression

from qcompile.expressions import Atom, Form, Reader, evaluated
from qtrain.errors import ConfigError, ModelError
from qtrain.real_arrays import real_array

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AngleMap:
    """How features and weights make angles: A @ weights + F @ features + G @ atoms + b.

    Attributes:
        A: [slot, weight] what a weight adds to an angle.
        F: [slot, feature] the linear part of the features.
        b: [slot] constants, rad.
        atoms: products and functions of features; their columns are the features, then earlier atoms.
        G: [slot, atom] what an atom adds to an angle.
    """

    A: Array
    F: Array
    b: Array
    atoms: tuple[Atom, ...]
    G: Array

    @property
    def num_slots(self) -> int:
        """Angle slots."""
        return len(self.b)

    @cached_property
    def feature_slots(self) -> NDArray[np.bool_]:
        """[slot] whether a feature enters."""
        entered: NDArray[np.bool_] = (self.F != 0).any(axis=1) | (self.G != 0).any(axis=1)
        return entered

    @cached_property
    def fingerprint(self) -> bytes:
        """What defines the map, as bytes that are the same in every process."""
        parts = [np.array(self.A.shape + self.F.shape).tobytes(), self.A.tobytes(), self.F.tobytes(), self.b.tobytes()]
        parts += [repr([(atom.operation, atom.operands) for atom in self.atoms]).encode(), self.G.tobytes()]
        return b"".join(parts)

    def __call__(self, features: Array, weights: Array) -> Array:
        """[batch, slot] from features [batch, feature] and weights [weight]. Shapes are exact, nothing broadcasts.

        Raises: ConfigError: too many or too few values, or one that is no finite real number.
        """
        x = _checked("features", features, (None, self.F.shape[1]))
        w = _checked("weights", weights, (self.A.shape[1],))
        angles = x @ self.F.T + (self.A @ w + self.b)
        if len(self._held):
            angles += self._atoms(x) @ self._G_used.T
        return angles

    def _atoms(self, x: Array) -> Array:
        """[batch, atom] values of the atoms that angles hold themselves. Raises: ConfigError: one is not finite."""
        with np.errstate(all="ignore"):
            extra: Array = np.stack(self._used(list(x.T), np), axis=1)
        if not np.isfinite(extra).all():
            row, atom = (int(i) for i in np.argwhere(~np.isfinite(extra))[0])
            slot = int(np.flatnonzero(self._G_used[:, atom])[0])
            raise ConfigError(
                f"features: the angle of slot {slot} is not finite for features[{row}] = {x[row].tolist()}. "
                "Expected features inside the domain of its expression."
            )
        return extra

    def apart(self, features: Array, weights: Array) -> tuple[Array, Array]:
        """Angles of the whole batch [slot], rad, and those of the slots that a feature enters [feature slot, batch].

        Entries of the first at feature slots lack what the features add. Raises: ConfigError: as a call.
        """
        x = _checked("features", features, (None, self.F.shape[1]))
        w = _checked("weights", weights, (self.A.shape[1],))
        shared = self.A @ w + self.b
        slots, linear = self._entered
        rows = linear @ x.T + shared[slots, None]
        if len(self._held):
            rows += self._G_used[slots] @ self._atoms(x).T
        return shared, rows

    def differentiable(self, features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The same for torch, differentiable in both; float64, on the CPU."""
        A, F, b, G = self._constants
        x, w = features.double(), weights.double()
        if x.ndim != 2 or x.shape[1] != F.shape[1] or w.shape != (A.shape[1],):
            raise ConfigError(
                f"features {tuple(x.shape)} and weights {tuple(w.shape)}. "
                f"Expected (batch, {F.shape[1]}) and ({A.shape[1]},)."
            )
        angles = x @ F.T + (A @ w + b)
        if len(self._held):
            angles = angles + torch.stack(self._used(list(x.unbind(1)), torch), dim=1) @ G.T
        return angles

    def _used(self, columns: list[Any], module: Any) -> list[Any]:
        """[batch] values of the atoms that angles hold themselves, from the features' columns."""
        for atom in self.atoms:
            columns.append(evaluated(atom, columns, module))
        return [columns[self.F.shape[1] + int(k)] for k in self._held]

    @cached_property
    def _held(self) -> NDArray[np.intp]:
        """Atoms that stand in an angle themselves; the others, inside atoms alone, may be infinite in between."""
        return np.flatnonzero((self.G != 0).any(axis=0))

    @cached_property
    def _entered(self) -> tuple[NDArray[np.intp], Array]:
        """Slots that a feature enters, and their rows of F."""
        slots = np.flatnonzero(self.feature_slots)
        return slots, self.F[slots]

    @cached_property
    def _G_used(self) -> Array:
        return np.ascontiguousarray(self.G[:, self._held])

    @cached_property
    def _constants(self) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(matrix) for matrix in (self.A, self.F, self.b, self._G_used))


def angle_map(
    expressions: Sequence[tuple[ParameterExpression, str]], features: Sequence[Parameter], weights: Sequence[Parameter]
) -> AngleMap:
    """The map behind a list of (symbolic angle, name of its gate for errors).

    Raises: ModelError: a parameter that is neither feature nor weight, a weight that enters otherwise than affinely, or
        an angle that is no real number.
    """
    position_w = {p: i for i, p in enumerate(weights)}
    position_x = {p: i for i, p in enumerate(features)}
    for expression, place in expressions:
        _refuse_strangers(expression, place, position_w, position_x)
    reader = Reader((*features, *weights))
    forms = [reader.read(expression) for expression, _ in expressions]
    first, behind = len(features), len(features) + len(weights)  # of the weights, of the atoms
    kept: dict[int, int] = {}  # column of an atom of features alone -> its column without the weights
    for column, atom in enumerate(reader.atoms, start=behind):
        within = {c for operand in atom.operands for c, _ in operand.terms}
        if atom.opaque is None and all(c < first or c in kept for c in within):
            kept[column] = first + len(kept)
    A, F = np.zeros((len(forms), len(weights))), np.zeros((len(forms), len(features)))
    G, b = np.zeros((len(forms), len(kept))), np.array([form.constant for form in forms], np.float64)
    for slot, (form, (expression, place)) in enumerate(zip(forms, expressions)):
        for column, factor in form.terms:
            if column < first:
                F[slot, column] = factor
            elif column < behind:
                A[slot, column - first] = factor
            elif column in kept:
                G[slot, kept[column] - first] = factor
            else:
                raise ModelError(_refusal(reader.atoms[column - behind], expression, place, set(weights)))
        if not np.isfinite([b[slot], *(factor for _, factor in form.terms)]).all():
            raise ModelError(f"{place}: its angle {expression} holds a constant that is not finite. Expected numbers.")
    place_of = {**dict(zip(range(first), range(first))), **kept}
    atoms = tuple(
        Atom(atom.operation, tuple(_moved(operand, place_of) for operand in atom.operands))
        for column, atom in enumerate(reader.atoms, start=behind)
        if column in kept
    )
    return AngleMap(A, F, b, atoms, G)


def _moved(form: Form, place_of: dict[int, int]) -> Form:
    return Form(form.constant, tuple((place_of[column], factor) for column, factor in form.terms))


def _refusal(atom: Atom, expression: ParameterExpression, place: str, weights: set[Parameter]) -> str:
    if atom.opaque is not None and not weights.intersection(atom.opaque.parameters):
        return f"{place}: its angle {expression} is not a finite real number. Expected radians."
    return (
        f"{place}: a weight enters the angle {expression} otherwise than affinely. "
        "Expected number * weight + function of features; "
        "use a weight of its own for the whole angle, or compute the product as a feature before the circuit."
    )


def _refuse_strangers(
    expression: ParameterExpression, place: str, weights: dict[Parameter, int], features: dict[Parameter, int]
) -> None:
    strangers = sorted(p.name for p in expression.parameters if p not in weights and p not in features)
    if strangers:
        raise ModelError(
            f"{place}: parameter {', '.join(strangers)} is neither a feature nor a weight. "
            "Name it in features or weights, or bind it to a number."
        )


def _checked(what: str, values: Any, shape: tuple[int | None, ...]) -> Array:
    array = real_array(what, values)
    if array.ndim != len(shape) or array.shape[-1] != shape[-1]:
        wanted = ", ".join("batch" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "")
        raise ConfigError(f"{what} have shape {array.shape}. Expected ({wanted}); values are never broadcast.")
    if not np.isfinite(array).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ConfigError(f"{what}[{', '.join(map(str, bad))}] = {array[bad]}. Expected finite numbers.")
    return array.astype(np.float64)
