"""Symbolic angles as numbers in bulk: each expression is read once, then evaluated for whole batches of values.

An expression becomes a `Form`: a constant plus multiples of columns. A column is a parameter, or an `Atom`: a product,
quotient, power or function of forms (the products of a feature map). Equal atoms are shared, whatever expression they
stand in. What is affine is a matrix from then on, and no symbolic expression is touched again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.exceptions import QiskitError

from qcompile.errors import CircuitError

Array = NDArray[np.float64]


class Form(NamedTuple):
    """constant + sum of factor * column; columns ascending, each once, no factor 0."""

    constant: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()

    def plus(self, other: Form, factor: float = 1.0) -> Form:
        """self + factor * other."""
        sums = dict(self.terms)
        for column, value in other.terms:
            sums[column] = sums.get(column, 0.0) + factor * value
        return Form(self.constant + factor * other.constant, tuple(sorted((c, v) for c, v in sums.items() if v != 0.0)))

    def times(self, factor: float) -> Form:
        """factor * self."""
        return Form(factor * self.constant, tuple((c, factor * v) for c, v in self.terms if factor * v != 0.0))

    def at(self, columns: Sequence[Any]) -> Any:
        """Its value where column c has the values columns[c]: numbers, numpy arrays or torch tensors."""
        total: Any = self.constant
        for column, factor in self.terms:
            part = columns[column] if factor == 1.0 else factor * columns[column]
            total = part if isinstance(total, float) and total == 0.0 else total + part
        return total


class Atom(NamedTuple):
    """What is not affine: an operation on one or two forms; or an expression that only Qiskit can evaluate.

    Attributes:
        operation: one of "mul", "div", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "exp", "log",
            "abs", "sign"; or "bind", for `opaque`.
        operands: its arguments, over earlier columns.
        opaque: evaluated by Qiskit, one row at a time.
    """

    operation: str
    operands: tuple[Form, ...]
    opaque: ParameterExpression | None = None


_Meant = dict[Parameter, Form]
"""Parameters -> what they stand for."""

_FUNCTIONS = {"SIN": "sin", "COS": "cos", "TAN": "tan", "ASIN": "asin", "ACOS": "acos", "ATAN": "atan", "EXP": "exp",
              "LOG": "log", "ABS": "abs", "SIGN": "sign"}  # fmt: skip
_REVERSED = {"RSUB": "SUB", "RDIV": "DIV", "RPOW": "POW"}
_PROBES = (0.4, -1.0, 12.0)  # scales of the points where a reading is compared with Qiskit's own value

_NO_VALUE = (ArithmeticError, RuntimeError, TypeError, ValueError, QiskitError)  # what Qiskit raises outside a domain


class Reader:
    """Reads expressions over given parameters into forms, and collects their atoms.

    Attributes:
        parameters: columns 0, 1, ... of every form.
        atoms: the columns behind them, each over columns before its own.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.atoms: list[Atom] = []
        self._column = {p: i for i, p in enumerate(self.parameters)}
        self._atom_column: dict[Atom, int] = {}
        generic = 1 + (np.arange(len(self.parameters)) * 0.618033988749895) % 1.0
        self._probes: list[Any] = list(np.outer(generic, _PROBES))  # [point] values of each column

    def read(self, expression: ParameterExpression) -> Form:
        """The form of an expression. Raises: KeyError: a parameter that is not among `parameters`."""
        if isinstance(expression, Parameter):
            return Form(0.0, ((self._column[expression], 1.0),))
        strangers = sorted(p.name for p in expression.parameters if p not in self._column)
        if strangers:
            raise KeyError(strangers[0])
        known = len(self.atoms)
        try:
            form = self._replayed(expression)
            right = self._agrees(expression, form)
        except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError, _Unknown):
            right = False
        if right:
            return form
        first = len(self.parameters) + known
        self._atom_column = {atom: column for atom, column in self._atom_column.items() if column < first}
        del self.atoms[known:], self._probes[first:]
        self._probes.append(np.full(len(_PROBES), np.nan))
        return Form(0.0, ((self._append(Atom("bind", (), expression)), 1.0),))  # not hashed: Qiskit cannot hash some

    def _replayed(self, expression: ParameterExpression, meant: _Meant | None = None) -> Form:
        """Walks Qiskit's own record of how the expression was made: a stack machine, as in its QPY files.

        `meant` are parameters that stand for something else: Qiskit 2.1 records a substitution, too, as a step.
        """
        # there is no public reader of the record but sympy's, which takes 10 ms an expression
        steps = [(step, getattr(step.op, "name", str(step.op)).rpartition(".")[2]) for step in expression._qpy_replay]
        after = [meant or {}]  # what parameters stand for at each step, from the last one on
        for step, name in reversed(steps):
            now = after[-1]
            if name == "SUBSTITUTE":
                now = now | {old: self._operand(new, now) for old, new in step.binds.items()}
            after.append(now)
        stack: list[Form] = []
        for (step, name), known in zip(steps, after[-2::-1]):
            if name == "SUBSTITUTE":
                continue
            stack += [self._operand(operand, known) for operand in (step.lhs, step.rhs) if operand is not None]
            if name in _FUNCTIONS:
                stack.append(self._function(_FUNCTIONS[name], stack.pop()))
            elif name != "CONJ":  # of a real number: itself
                b, a = stack.pop(), stack.pop()
                stack.append(self._binary(_REVERSED[name], b, a) if name in _REVERSED else self._binary(name, a, b))
        (form,) = stack
        return form

    def _operand(self, operand: Any, meant: _Meant) -> Form:
        if isinstance(operand, Parameter):
            return meant[operand] if operand in meant else self.read(operand)
        if isinstance(operand, ParameterExpression) and operand.parameters:
            return self._replayed(operand, meant) if meant else self.read(operand)
        number = complex(operand.numeric() if isinstance(operand, ParameterExpression) else operand)
        if number.imag != 0 or not math.isfinite(number.real):
            raise _Unknown
        return Form(number.real)

    def _binary(self, name: str, a: Form, b: Form) -> Form:
        if name in ("ADD", "SUB"):
            return a.plus(b, 1.0 if name == "ADD" else -1.0)
        if name == "MUL" and not (a.terms and b.terms):
            return a.times(b.constant) if a.terms else b.times(a.constant)
        if name == "DIV" and not b.terms:
            return a.times(1 / b.constant)
        if name == "POW" and b == Form(1.0):
            return a
        if name not in ("MUL", "DIV", "POW"):
            raise _Unknown
        if not a.terms and not b.terms:
            return Form(float(a.constant**b.constant))
        return self._atom(Atom(name.lower(), (a, b)))

    def _function(self, name: str, argument: Form) -> Form:
        if not argument.terms:
            with np.errstate(all="ignore"):
                return Form(float(_call(np, name, argument.constant)))
        return self._atom(Atom(name, (argument,)))

    def _atom(self, atom: Atom) -> Form:
        column = self._atom_column.get(atom)
        if column is None:
            column = self._atom_column[atom] = self._append(atom)
            with np.errstate(all="ignore"):
                self._probes.append(evaluated(atom, self._probes, np))
        return Form(0.0, ((column, 1.0),))

    def _append(self, atom: Atom) -> int:
        self.atoms.append(atom)
        return len(self.parameters) + len(self.atoms) - 1

    def _agrees(self, expression: ParameterExpression, form: Form) -> bool:
        """Whether the reading has Qiskit's own value: the record that it was read from has no public contract.

        True where the expression has no real value at any of the points.
        """
        found = np.broadcast_to(form.at(self._probes), len(_PROBES))
        for i, number in enumerate(found.tolist()):
            try:
                point = {p: float(self._probes[self._column[p]][i]) for p in expression.parameters}
                expected = _bound(expression, point)
            except _NO_VALUE:
                continue  # outside its domain
            return math.isclose(number, expected, rel_tol=1e-9, abs_tol=1e-9)
        return True

    def columns(self, values: Array) -> list[Array]:
        """Every column's [batch] values from parameter values [batch, parameter]; NaN where it has no real value."""
        columns = [values[:, i] for i in range(len(self.parameters))]
        with np.errstate(all="ignore"):
            for atom in self.atoms:
                if atom.opaque is not None:
                    columns.append(_row_by_row(atom.opaque, self.parameters, values))
                else:
                    columns.append(np.asarray(evaluated(atom, columns, np)))
        return columns


class _Unknown(Exception):
    """A record that is not understood; the expression is left to Qiskit."""


def evaluated(atom: Atom, columns: Sequence[Any], module: Any) -> Any:
    """An atom that is not opaque, at columns that are arrays of `module`: numpy or torch."""
    operands = [operand.at(columns) for operand in atom.operands]
    if atom.operation == "mul":
        return operands[0] * operands[1]
    if atom.operation == "div":
        return operands[0] / operands[1]
    if atom.operation == "pow":
        return operands[0] ** operands[1]
    return _call(module, atom.operation, operands[0])


def _call(module: Any, name: str, argument: Any) -> Any:
    return getattr(module, name)(argument)


def _bound(expression: ParameterExpression, point: Mapping[Parameter, float]) -> float:
    return float(expression.bind(point).numeric())


def _row_by_row(expression: ParameterExpression, parameters: Sequence[Parameter], values: Array) -> Array:
    own, numbers = expression.parameters, np.full(len(values), np.nan)
    for i, row in enumerate(values.tolist()):
        try:
            numbers[i] = _bound(expression, {p: v for p, v in zip(parameters, row) if p in own})
        except _NO_VALUE:
            continue  # no real number there: stays NaN, which the caller refuses
    return numbers


class AngleTable:
    """Several expressions as one map from parameter values to numbers.

    Args:
        expressions: symbolic angles; the columns of what comes out.
        parameters: the columns of what goes in.
    Raises: KeyError: an expression with a parameter that is not among them.
    """

    def __init__(self, expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter]) -> None:
        self.reader = Reader(parameters)
        self.expressions = tuple(expressions)
        self.forms = tuple(self.reader.read(expression) for expression in self.expressions)

    def __call__(self, values: Array) -> Array:
        """[batch, expression] from values [batch, parameter], which are finite.

        Raises: CircuitError: an expression that has no finite real value there.
        """
        columns = np.column_stack(self.reader.columns(values)) if self.reader.atoms else values
        out = np.empty((len(values), len(self.forms)))
        affine(*self._packed, np.ascontiguousarray(columns, np.float64), out)
        if self.reader.atoms:
            for row, i in np.argwhere(~np.isfinite(out)).tolist():
                out[row, i] = self._complex_between(self.expressions[i], values[row].tolist())
        return out

    def _complex_between(self, expression: ParameterExpression, row: Sequence[float]) -> float:
        """Qiskit's own value, which may pass through complex numbers: exp(log(-1)). Raises: CircuitError."""
        point = {p: v for p, v in zip(self.reader.parameters, row) if p in expression.parameters}
        try:
            number, why = _bound(expression, point), "no finite real number"
        except _NO_VALUE as error:
            number, why = math.nan, str(error)
        if not math.isfinite(number):
            at = ", ".join(f"{p.name} = {v:g}" for p, v in point.items())
            raise CircuitError(f"angle {expression} at {at}: {why}. Expected a finite real number of radians.")
        return number

    @cached_property
    def _packed(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, Array]:
        """The matrix of all forms in compressed rows, and their constants."""
        offsets = np.zeros(len(self.forms) + 1, np.int64)
        np.cumsum([len(form.terms) for form in self.forms], out=offsets[1:])
        terms = [term for form in self.forms for term in form.terms]
        index = np.array([column for column, _ in terms], np.int64)
        factors = np.array([factor for _, factor in terms], np.float64)
        return offsets, index, factors, np.array([form.constant for form in self.forms], np.float64)


def affine_plain(
    offsets: NDArray[np.int64], index: NDArray[np.int64], factors: Array, constants: Array, columns: Array, out: Array
) -> None:
    """out[row, i] = constants[i] + sum of factors * columns[row, index] over the terms of i: plain twin of `affine`."""
    for i in range(len(constants)):
        terms = slice(offsets[i], offsets[i + 1])
        out[:, i] = constants[i] + columns[:, index[terms]] @ factors[terms]


@numba.njit(cache=True, nogil=True)
def affine(offsets, index, factors, constants, columns, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """See `affine_plain`."""
    for row in range(out.shape[0]):
        for i in range(out.shape[1]):
            total = constants[i]
            for k in range(offsets[i], offsets[i + 1]):
                total += factors[k] * columns[row, index[k]]
            out[row, i] = total
