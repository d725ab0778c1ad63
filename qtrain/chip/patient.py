"""A service whose questions are asked until they are answered: an outage between two jobs is not the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from qcompile.device import Device
from qtrain.chip.faults import Patience, Say, patiently
from qtrain.chip.types import Health, JobStatus, Pub, Service

T = TypeVar("T")


class PatientService:
    """A service, and patience with what is asked about the backend and the account.

    What concerns a job is passed on as it is: `Submission` has its own way with each of these.

    Attributes:
        inner: the service itself.

    Raises: from a question: JobError: no answer for too long, or the service denied or refused it.
    """

    def __init__(self, service: Service, patience: Patience, say: Say) -> None:
        self.inner, self._patience, self._say = service, patience, say
        self.name, self.is_local, self.finds_jobs = service.name, service.is_local, service.finds_jobs

    def is_paid(self) -> bool:
        """Whether running costs money."""
        return self._ask(self.inner.is_paid, "what the plan is")

    def plan(self) -> str:
        """The account's plan."""
        return self._ask(self.inner.plan, "what the plan is")

    def device(self) -> Device:
        """The calibration as it is now."""
        return self._ask(self.inner.device, "for the calibration")

    def calibration_id(self) -> str:
        """Something cheap that changes with every calibration."""
        return self._ask(self.inner.calibration_id, "for the calibration")

    def health(self) -> Health:
        """Whether jobs are taken."""
        return self._ask(self.inner.health, "whether jobs are taken")

    def remaining_seconds(self) -> float | None:
        """QPU seconds that the account may still use."""
        return self._ask(self.inner.remaining_seconds, "what is left of the account")

    def _ask(self, question: Callable[[], T], what: str) -> T:
        return patiently(question, f"asking {self.name} {what}", self._patience, self._say)

    def cancel_patiently(self, job_id: str) -> None:
        """Stops a job, however often it takes."""
        patiently(lambda: self.inner.cancel(job_id), f"cancelling {job_id}", self._patience, self._say)

    # --- jobs, as they are

    def submit(self, pubs: Sequence[Pub], *, shots: int, tag: str, seed: int, max_seconds: int | None) -> str:
        """Sends one job."""
        return self.inner.submit(pubs, shots=shots, tag=tag, seed=seed, max_seconds=max_seconds)

    def find(self, tag: str, since: datetime) -> list[str]:
        """Ids of the jobs that carry a tag, the oldest first."""
        return self.inner.find(tag, since)

    def status(self, job_id: str) -> JobStatus:
        """Asked anew."""
        return self.inner.status(job_id)

    def result(self, job_id: str) -> Any:
        """What the client makes of the result."""
        return self.inner.result(job_id)

    def cancel(self, job_id: str) -> None:
        """Stops a job."""
        self.inner.cancel(job_id)

    def charged(self, job_id: str) -> float | None:
        """QPU seconds billed."""
        return self.inner.charged(job_id)

    def reopen(self) -> None:
        """Forgets a session that the service has closed."""
        self.inner.reopen()

    def close(self) -> None:
        """No more jobs will come."""
        self.inner.close()
