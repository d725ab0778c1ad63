"""What a run has spent, against its budget: before a job is sent, and while it runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtrain.billing import price
from qtrain.chip.budget import Amount, Budget
from qtrain.chip.preflight import MAX_SECONDS
from qtrain.errors import BudgetError
from qtrain.jobs import JobLedger
from qtrain.ledger import Ledger

if TYPE_CHECKING:
    from qcompile.device import Device
    from qtrain.program import Program


class Spending:
    """The jobs of a run against its budget; None allows everything.

    Args:
        shots: of each circuit.
    """

    def __init__(self, budget: Budget | None, shots: int) -> None:
        self._budget, self._shots = budget, shots

    def allow(self, jobs: JobLedger, device: Device, program: Program, seconds: float, executions: int) -> None:
        """Raises: BudgetError: so many QPU seconds and executions more would pass the budget."""
        if self._budget is None:
            return
        spent = jobs.spent()
        refusal = self._budget.refuses(
            self._amount(spent.seconds, spent.executions, device, program),
            self._amount(seconds, executions, device, program),
        )
        if refusal is not None:
            raise BudgetError(refusal)

    def limit(self, jobs: JobLedger, device: Device, program: Program) -> int | None:
        """QPU seconds after which the service is to stop the next job, so that one that takes longer than predicted
        cannot pass the budget; None without such a limit.
        """
        if self._budget is None:
            return None
        spent, cap = jobs.spent(), self._budget.seconds
        if cap is None:
            used = self._amount(spent.seconds, spent.executions, device, program).usd
            later = self._amount(spent.seconds + 1.0, spent.executions, device, program).usd
            if used is None or later is None or later <= used:
                return None  # not priced by time
            assert self._budget.usd is not None
            cap = spent.seconds + (self._budget.usd - used) / (later - used)
        left = math.floor(cap - spent.seconds)
        return None if left >= MAX_SECONDS else max(1, left)

    def _amount(self, seconds: float, executions: int, device: Device, program: Program) -> Amount:
        bill = Ledger(executions // max(1, self._shots), executions, seconds, 1)
        in_money = self._budget is not None and self._budget.usd is not None
        return Amount(seconds, price(bill, device, program) if in_money else None)
