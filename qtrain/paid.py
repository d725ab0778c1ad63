"""What an executor that pays for its jobs is asked around every step of a training; a simulator has none of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from qtrain.errors import RunError
from qtrain.executors.base import Executor
from qtrain.jobs import FAILED, JobLedger
from qtrain.ledger import Ledger
from qtrain.program import Program
from qtrain.run import JOBS_FILE


class PaidExecutor(Executor, Protocol):
    """An executor whose circuits are jobs at a service, which cost money and outlive the process.

    Attributes:
        jobs: every job and result of the run; in memory until `open`.
        budget: what the run may spend, as text what its constructor takes; None: no limit.
        backend: its name at the service.
        reached_by: arguments, as plain values, with which another process finds the backend again.
    """

    jobs: JobLedger
    backend: str
    reached_by: Mapping[str, Any]
    budget: Any

    def open(self, run_dir: Path | None) -> None:
        """Takes the jobs of that run directory as `jobs`; None: new ones in memory. Raises: RunError, StorageError."""
        ...

    def refresh(self, program: Program, step: int | None = None) -> str | None:
        """Looks at the calibration of now: "old -> new: why", and an event, where the program must be compiled anew.

        Args:
            step: about to be done; one that has jobs already is finished on the calibration that they were made for.
        """
        ...

    def preflight(self, program: Program, bill: Ledger) -> None:
        """Checks the next step, which spends `bill` at most, before anything of it is sent.

        Raises: PreflightError: the chip or the account does not allow it now. BudgetError: the budget does not.
        """
        ...

    def close(self) -> None:
        """No more jobs will come; those at the service run on."""
        ...


def paid(executor: Executor) -> PaidExecutor | None:
    """The executor itself where it pays for its jobs, None where it computes."""
    # by one attribute: an executor that lacks one of the others must fail, not train without preflight and budget
    return cast(PaidExecutor, executor) if hasattr(executor, "jobs") else None


def bind_jobs(executor: PaidExecutor, run_dir: Path | None, run_id: str | None) -> None:
    """Opens the jobs of a run directory, which must be those that its checkpoint belongs to.

    Args:
        run_id: of the jobs, as the checkpoint has it; None: it has none yet.
    Raises: RunError: the file is missing, damaged, or that of another run: what was paid for would be paid again.
    """
    if run_dir is not None and run_id is not None and not (run_dir / JOBS_FILE).exists():
        raise RunError(
            f"{run_dir / JOBS_FILE} is missing, but its checkpoint belongs to a run that has jobs. Restore it from a "
            "backup, or train anew in another run directory with --from this one."
        )
    executor.open(run_dir)
    if run_id not in (None, executor.jobs.run_id):
        raise RunError(
            f"{run_dir}: {JOBS_FILE} belongs to run {executor.jobs.run_id}, the checkpoint to run {run_id}. "
            "Restore both from the same backup."
        )


def left_to_pay(executor: PaidExecutor, bill: Ledger, step: int, calibration: str | None) -> Ledger:
    """The bill of a step (0, 1, ...) without what has been sent for it on that calibration, before an interruption."""
    for job in executor.jobs.jobs():
        if job.step == step and job.calibration == calibration and job.state not in FAILED:
            bill -= Ledger(job.circuits, job.executions, job.predicted, 1)
    return Ledger(max(bill.circuits, 0), max(bill.shots, 0), max(bill.qpu_seconds, 0.0), max(bill.jobs, 0))


def left_open(executor: PaidExecutor) -> str:
    """Which jobs the service may still hold, for a message; empty where there are none."""
    jobs = executor.jobs.open_jobs()
    if not jobs:
        return ""
    names = ", ".join(job.job_id or f"tagged {job.tag}" for job in jobs)
    return f"{len(jobs)} job{'s' if len(jobs) > 1 else ''} left at {jobs[0].backend}, running or queued: {names}."


def close(executor: PaidExecutor) -> None:
    """Lets a session end at the service. A failure there is a warning: it ends by itself, the run's work is done."""
    try:
        executor.close()
    except (Exception, KeyboardInterrupt) as error:  # of the vendor's client; its text may quote a request
        warnings.warn(
            f"{executor.backend}: its session could not be closed ({type(error).__name__}). It ends by itself.",
            RuntimeWarning,
            stacklevel=2,
        )
