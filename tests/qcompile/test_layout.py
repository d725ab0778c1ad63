"""Layouts: one place a qubit, inverse and composition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcompile import InputError, Layout


@given(st.permutations(range(8)), st.integers(1, 8), st.integers(0, 7), st.integers(0, 7))
def test_inverse_and_swaps(order: list[int], width: int, a: int, b: int) -> None:
    layout = Layout(tuple(order[:width]))
    assert [layout.virtual[p] for p in layout.physical] == list(range(width))
    assert layout.swapped(a, b).swapped(a, b) == layout
    moved = layout.swapped(a, b)
    for v, p in enumerate(layout.physical):
        assert moved.physical[v] == {a: b, b: a}.get(p, p)


def test_restriction_renumbers_by_ascending_active_qubits() -> None:
    assert Layout((7, 2, 11)).restricted([11, 2, 7, 4]).physical == (2, 0, 3)
    assert Layout.trivial(3).physical == (0, 1, 2)


@pytest.mark.parametrize("physical", [(0, 0), (-1, 2)])
def test_impossible_layout_is_refused(physical: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="distinct"):
        Layout(physical)
