"""Expressions read once are what Qiskit evaluates, in bulk."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.exceptions import QiskitError

from qcompile import CircuitError, expressions
from qcompile.expressions import AngleTable, Form, Reader, affine, affine_plain

PARAMETERS = tuple(Parameter(name) for name in ("a", "b[1]", "lambda"))
UNARY = ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "exp", "log", "abs", "sign", "conjugate", "minus")
BINARY = ("plus", "minus", "times", "over", "power", "reverse minus", "reverse over", "reverse power")
NUMBERS = st.integers(-3, 3) | st.floats(-4, 4).filter(lambda v: v == 0 or abs(v) > 1e-3)


@st.composite
def angles(draw: st.DrawFn, depth: int = 4) -> ParameterExpression:
    """Any expression that Qiskit can build."""
    if depth == 0:
        return draw(st.sampled_from(PARAMETERS))
    left = draw(angles(depth=draw(st.integers(0, depth - 1))))
    if draw(st.booleans()):
        name = draw(st.sampled_from(UNARY))
        return -left if name == "minus" else getattr(left, name)()
    right = draw(NUMBERS) if draw(st.booleans()) else draw(angles(depth=draw(st.integers(0, depth - 1))))
    name = draw(st.sampled_from(BINARY))
    if name.startswith("reverse"):
        left, right = right, left
    try:
        if name.endswith("power"):
            return left**right
        if name.endswith("over"):
            return left / right
    except (ArithmeticError, RuntimeError, ValueError):  # a constant part that has no value
        reject()
    return left + right if name == "plus" else left * right if name == "times" else left - right


def _by_qiskit(expression: ParameterExpression, row: list[float]) -> float:
    try:
        value = float(expression.bind(dict(zip(PARAMETERS, row)), allow_unknown_parameters=True).numeric())
    except (ArithmeticError, RuntimeError, ValueError, TypeError, QiskitError):
        return math.nan
    return value if math.isfinite(value) else math.nan


@settings(max_examples=300, deadline=None)
@given(expression=angles(), seed=st.integers(0, 2**31))
def test_an_expression_has_qiskits_values(expression: ParameterExpression, seed: int) -> None:
    table = np.random.default_rng(seed).uniform(-3, 3, (4, 3))
    expected = np.array([_by_qiskit(expression, row) for row in table.tolist()])
    real = np.isfinite(expected) & (np.abs(expected) < 1e6)
    ours = AngleTable([expression], PARAMETERS)
    for row, value in zip(table[real], expected[real]):
        found = float(ours(row[None])[0, 0])
        assert abs(found - value) < 1e-9 * (1 + abs(value)) or _is_steep(expression, row)
    if real.all():
        assert np.isfinite(ours(table)).all()


def _is_steep(expression: ParameterExpression, row: np.ndarray) -> bool:
    """Whether rounding of the arguments alone changes the value by more than what is allowed."""
    near = [_by_qiskit(expression, (row * (1 + k * 1e-14)).tolist()) for k in (-2, -1, 1, 2)]
    here = _by_qiskit(expression, row.tolist())
    return not all(abs(v - here) < 1e-10 * (1 + abs(here)) for v in near)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_affine_kernel_equals_its_plain_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slots, width, batch = rng.integers(0, 9), rng.integers(1, 6), rng.integers(0, 7)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 4, slots))]).astype(np.int64)
    index = rng.integers(0, width, offsets[-1])
    factors, constants, columns = rng.normal(size=offsets[-1]), rng.normal(size=slots), rng.normal(size=(batch, width))
    ours, plain = np.empty((batch, slots)), np.empty((batch, slots))
    affine(offsets, index, factors, constants, columns, ours)
    affine_plain(offsets, index, factors, constants, columns, plain)
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-12)


def test_affine_expressions_have_no_atoms_and_equal_products_share_one() -> None:
    a, b, _ = PARAMETERS
    table = AngleTable([a, 2 * a - b / 4 + 1, 2 * (a - 1) * (b - 3), 0.5 - (a - 1) * (b - 3), -(a + b)], PARAMETERS)
    assert table.forms[:2] == (Form(0.0, ((0, 1.0),)), Form(1.0, ((0, 2.0), (1, -0.25))))
    assert table.forms[4] == Form(0.0, ((0, -1.0), (1, -1.0)))
    assert len(table.reader.atoms) <= 2  # the factor 2 may be held by either side of the product


def test_what_cancels_is_gone() -> None:
    a, b, _ = PARAMETERS
    assert Reader(PARAMETERS).read((a + b) - a) == Form(0.0, ((1, 1.0),))


def test_a_value_outside_the_domain_is_named() -> None:
    a = PARAMETERS[0]
    with pytest.raises(CircuitError, match=r"log\(a\) at a = -1: .*Expected a finite real number"):
        AngleTable([a, a.log()], PARAMETERS)(np.array([[2.0, 0, 0], [-1.0, 0, 0]]))


def test_complex_numbers_in_between_are_as_in_qiskit() -> None:
    a = PARAMETERS[0]
    found = AngleTable([a.log().exp(), (a * 1j) * (a * 1j)], PARAMETERS)(np.array([[-2.0, 0, 0], [3.0, 0, 0]]))
    np.testing.assert_allclose(found, [[-2.0, -4.0], [3.0, -9.0]], rtol=1e-12)


def test_a_record_that_cannot_be_read_is_left_to_qiskit(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, _ = PARAMETERS
    expression, values = a * b + a.sin(), np.array([[1.0, 2.0, 0.0], [0.3, -1.0, 0.0]])
    expected = AngleTable([expression], PARAMETERS)(values)
    wrong = {"SIN": "cos", "COS": "sin"}
    for table in ({}, wrong):  # an operation of a later Qiskit; one whose meaning has changed
        monkeypatch.setattr(expressions, "_FUNCTIONS", table)
        read = AngleTable([expression, 2 * a], PARAMETERS)
        assert [atom.operation for atom in read.reader.atoms] == ["bind"]
        np.testing.assert_allclose(read(values)[:, 0], expected[:, 0], rtol=1e-15)
        np.testing.assert_array_equal(read(values)[:, 1], 2 * values[:, 0])
        with pytest.raises(CircuitError, match="Expected a finite real number"):
            AngleTable([a.log() + b.sin()], PARAMETERS)(np.array([[-1.0, 0.0, 0.0]]))


def test_a_stranger_is_refused() -> None:
    with pytest.raises(KeyError, match="stranger"):
        AngleTable([2 * Parameter("stranger")], PARAMETERS)


def test_substituted_parameters_are_read_as_what_they_stand_for() -> None:
    """Qiskit 2.1 records a substitution as a step of its own, later versions rewrite the steps before it."""
    a, b, c = PARAMETERS
    inner = (2 * a + 1).subs({a: b * c})
    for expression in (
        inner,
        inner.subs({b: a + 0.5}),
        (inner.subs({b: a + 0.5}) * inner.subs({b: a + 0.5})).subs({a: c}),
        (a * b + a).bind({a: 2.0}),
        (a + 2 * b).subs({a: b, b: a}),
        ((a - b).subs({a: 2 * b, b: 3 * a}) / 2).subs({a: c + 1}),
        (b + a.subs({a: c.sin()})).subs({c: 1 - a}),
    ):
        reader = Reader(PARAMETERS)
        form = reader.read(expression)
        assert not [atom for atom in reader.atoms if atom.opaque is not None], "it was left to Qiskit"
        table = np.random.default_rng(0).uniform(0.2, 1, (3, 3))
        expected = [_by_qiskit(expression, row) for row in table.tolist()]
        np.testing.assert_allclose(form.at(reader.columns(table)), expected, atol=1e-12)
