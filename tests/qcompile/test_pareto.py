"""The Pareto front: against its definition, spelled out for each pair, and what it means for chips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcompile.pareto import dominates, pareto_front
from qcompile.rank import RankedChip, _point

NUMBER = st.sampled_from([0.0, 0.1, 0.5, 0.501, 0.504, 0.509, 1.0]) | st.floats(0, 1, allow_nan=False)
POINTS = st.lists(st.none() | st.tuples(NUMBER, NUMBER, st.none() | NUMBER), max_size=12)


@given(POINTS)
def test_front_is_what_nothing_dominates(points: list) -> None:
    """By the words of the definition, spelled out for each pair."""

    def beaten(b: tuple) -> bool:
        for a in (p for p in points if p is not None):
            if (a[2] is None) != (b[2] is None):
                continue
            costs = [(a[1], b[1])] if a[2] is None else [(a[1], b[1]), (a[2], b[2])]
            if a[0] > b[0] and all(x <= 1.01 * y for x, y in costs):
                return True
            if a[0] == b[0] and all(x <= y for x, y in costs) and any(x < y for x, y in costs):
                return True
        return False

    assert pareto_front(points) == tuple(p is not None and not beaten(p) for p in points)
    if any(p is not None for p in points):
        assert any(pareto_front(points))


@given(st.tuples(NUMBER, NUMBER, st.none() | NUMBER), st.tuples(NUMBER, NUMBER, st.none() | NUMBER))
def test_domination_is_never_mutual_nor_of_itself(a: tuple, b: tuple) -> None:
    assert not dominates(a, a)
    assert not (dominates(a, b) and dominates(b, a))


def test_an_unknown_price_is_neither_low_nor_high() -> None:
    good, bad = (0.9, 1.0), (0.1, 9.0)
    assert not dominates((*good, None), (*bad, 5.0))
    assert not dominates((*good, 0.0), (*bad, None))
    assert dominates((*good, None), (*bad, None))
    assert pareto_front([(*good, 1.0), (*bad, None), (*bad, 1.0), None]) == (True, True, False, False)


@pytest.mark.parametrize(
    ("seconds", "usd", "on_front"),
    [(3.05, 4.88, False), (3.03, 4.85, False), (2.5, 4.0, True), (3.05, 4.0, True), (2.5, 4.88, True)],
)
def test_nobody_gives_fidelity_up_for_a_cent(seconds: float, usd: float, on_front: bool) -> None:
    """A chip of lower fidelity is on the front only if it is more than 1 % faster or cheaper."""
    ahead = RankedChip("ahead", state_fidelity=0.9, qpu_seconds=3.0512, usd=4.8819)
    other = RankedChip("other", state_fidelity=0.8, qpu_seconds=seconds, usd=usd)
    assert pareto_front([_point(ahead), _point(other)]) == (True, on_front)


def test_numbers_are_compared_as_they_are_shown() -> None:
    first = RankedChip("first", state_fidelity=0.9004, qpu_seconds=3.05, usd=4.88)
    second = RankedChip("second", state_fidelity=0.8996, qpu_seconds=3.05, usd=4.88)
    assert pareto_front([_point(first), _point(second)]) == (True, True), "both are .900"
