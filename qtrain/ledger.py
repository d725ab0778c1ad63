"""Ledger: what a training has spent so far. A frozen value; ledgers add."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ledger:
    """Circuits run, shots taken and QPU time used (or, on a simulator, what a chip would have used).

    Attributes:
        circuits: distinct bound circuits executed, one a batch entry, shift and measurement basis.
        shots: executions of those circuits; 0 where expectations are exact.
        qpu_seconds: billed time by the vendor's formula, s.
        jobs: submissions, which a vendor may bill on top.
    """

    circuits: int = 0
    shots: int = 0
    qpu_seconds: float = 0.0
    jobs: int = 0

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(
            self.circuits + other.circuits,
            self.shots + other.shots,
            self.qpu_seconds + other.qpu_seconds,
            self.jobs + other.jobs,
        )

    def __sub__(self, other: Ledger) -> Ledger:
        return Ledger(
            self.circuits - other.circuits,
            self.shots - other.shots,
            self.qpu_seconds - other.qpu_seconds,
            self.jobs - other.jobs,
        )
