"""A budget says what it means, stops before the step that would pass it, and is asked for where running costs money."""

from dataclasses import replace

import pytest

from qcompile.calibration import load_device
from qcompile.device import Device
from qcompile.pricing import Pricing
from qtrain.chip.budget import Amount, Budget, check_budget
from qtrain.errors import ConfigError

UNPRICED = Device.from_coupling([(0, 1)])


class Chip:
    """As much of a service as a budget looks at."""

    name = "ibm_somewhere"

    def __init__(self, paid=True, device=UNPRICED):
        self.paid, self.now = paid, device

    def is_paid(self):
        return self.paid

    def device(self):
        return self.now


@pytest.mark.parametrize(
    ("value", "seconds", "usd"),
    [
        (60, 60.0, None),
        (60.5, 60.5, None),
        ("60", 60.0, None),
        ("60 s", 60.0, None),
        ("2 min", 120.0, None),
        ("1.5 h", 5400.0, None),
        ("1e3s", 1000.0, None),
        ("25 USD", None, 25.0),
        ("25usd", None, 25.0),
        ("$25", None, 25.0),
        ("$ 25 USD", None, 25.0),
        ("1234567.89 USD", None, 1234567.89),
    ],
)
def test_a_budget_is_seconds_or_money(value, seconds, usd):
    assert Budget.parse(value) == Budget(seconds, usd)
    assert Budget.parse(str(Budget.parse(value))) == Budget.parse(value), "what it prints can be read"


@pytest.mark.parametrize(
    "value",
    [0, -1, float("nan"), float("inf"), "nan", "inf s", "0 USD", "-5 s", "", "sixty", ".", "1e400", "25 EUR", "€25",
     "$5 s", "1,000 USD", "60 seconds or so", True, None, [60]],
)  # fmt: skip
def test_anything_else_is_refused_with_the_forms_that_are_taken(value):
    with pytest.raises(ConfigError, match=r'budget = .*Expected QPU seconds or money above 0: 60, "60 s"'):
        Budget.parse(value)


def test_a_step_that_meets_the_cap_is_sent_and_one_that_would_pass_it_is_not():
    budget = Budget.parse("10 s")
    assert budget.refuses(Amount(6.0), Amount(4.0)) is None
    assert budget.refuses(Amount(0.1 + 0.2 + 9.4), Amount(0.3)) is None, "rounding of sums is forgiven"
    reason = budget.refuses(Amount(6.0), Amount(4.01))
    assert reason is not None
    for figure in ("4.01 QPU seconds", "6.00 of the budget of 10.00", "Nothing was sent", "--budget"):
        assert figure in reason


def test_a_budget_in_money_counts_money():
    budget = Budget.parse("$25")
    assert budget.refuses(Amount(1e6, 20.0), Amount(1e6, 5.0)) is None
    assert "5.01 USD; 20.00 of the budget of 25.00 USD" in budget.refuses(Amount(0.0, 20.0), Amount(0.0, 5.01))
    with pytest.raises(ConfigError, match=r"has no price. Give QPU seconds"):
        budget.refuses(Amount(1.0), Amount(1.0))


def test_a_paid_backend_asks_for_a_cap_and_names_both_ways():
    with pytest.raises(ConfigError, match=r"ibm_somewhere is a paid backend.*--budget.*--yes-i-accept SECONDS"):
        check_budget(Chip())
    assert check_budget(Chip(), "2 min") == Budget(seconds=120.0)
    assert check_budget(Chip(), None, 90) == Budget(seconds=90.0)
    assert check_budget(Chip(paid=False)) is None
    assert check_budget(Chip(paid=False), 60) == Budget(seconds=60.0)


def test_two_caps_and_accepted_seconds_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="both caps"):
        check_budget(Chip(), 60, 60)
    for seconds in (0, -1, float("nan"), "60", True):
        with pytest.raises(ConfigError, match=r"accepted seconds = .*above 0"):
            check_budget(Chip(), None, seconds)


def test_money_needs_a_price():
    assert check_budget(Chip(device=load_device("ibm_manila")), "25 USD") == Budget(usd=25.0)
    unknown_credit = replace(UNPRICED, pricing=Pricing("hqc"))
    for device in (UNPRICED, unknown_credit):
        with pytest.raises(ConfigError, match=r"budget = 25 USD, but .* has no price. Give QPU seconds"):
            check_budget(Chip(device=device), "25 USD")
