"""cancel: stops what a run still has at the service, and writes it down."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcompile.errors import QonchipError
from qtrain.chip.faults import classify
from qtrain.chip.types import JobRecord, JobState
from qtrain.errors import ExecutorError, RunError
from qtrain.jobs import JobLedger
from qtrain.run import JOBS_FILE, holder, read_config

if TYPE_CHECKING:
    from qtrain.chip.types import Service

_PATIENCE = 10.0  # s until a job that was asked to stop has stopped
_PAUSE = 0.5  # s between two looks


def cancel(run_dir: str | Path, *, service: Service | None = None) -> dict[str, Any]:
    """Cancels the open jobs of a run. What is done already stays, and `qtrain resume` takes its results.

    A trainer at work sees its job cancelled, and stops at its last step.

    Args:
        service: instead of the one that the run's backend belongs to.
    Returns: {"run_dir", "jobs": [{"job_id", "tag", "step", "outcome"}]}; an outcome is cancelled, failed, done (it had
        ended before), running (it was asked to stop and has not yet), or abandoned (it never reached the service).
    Raises: RunError: no run is there, or nothing of it is open. ExecutorError: the service does not answer; the same
        call goes on where it stopped. StorageError.
    """
    path = Path(run_dir)
    config = read_config(path)
    if not (path / JOBS_FILE).exists():
        raise RunError(f"{path} has no jobs: {config['executor']['kind']} computes here. Stop its process instead.")
    with JobLedger(path / JOBS_FILE) as ledger:
        jobs = ledger.open_jobs()
        if not jobs:
            raise RunError(f"{path} has no open job: there is nothing to cancel.")
        trained = holder(path) is not None
        try:
            at = _service(config["executor"]) if service is None else service
            outcomes = [(job, _stop(at, ledger, job, trained=trained)) for job in jobs]
        except QonchipError:
            raise
        except Exception as error:  # whatever the vendor's client raises
            raise ExecutorError(
                f"{config['executor'].get('backend')}: {classify(error).text}. Some jobs may still run; "
                f"qtrain cancel {path} goes on where it stopped."
            ) from None
    return {
        "run_dir": str(path),
        "jobs": [
            {"job_id": name or None, "tag": job.tag, "step": job.step, "outcome": outcome}
            for job, (name, outcome) in outcomes
        ],
    }


def cancel_text(values: dict[str, Any]) -> str:
    """`cancel` for people."""
    return "\n".join(
        f"job {job['job_id'] or 'tagged ' + job['tag']} of step {job['step'] + 1}: {job['outcome']}"
        for job in values["jobs"]
    )


def _service(options: dict[str, Any]) -> Service:
    from qtrain.chip.primitives import backend_by_name, service_of

    backend = backend_by_name(options["name"], options.get("instance"))
    return service_of(backend, options["mode"], options["options"])


def _stop(service: Service, ledger: JobLedger, job: JobRecord, *, trained: bool) -> tuple[str, str]:
    """(id, outcome) of one job, and of all others under its tag."""
    found = service.find(job.tag, datetime.fromisoformat(job.created_at))
    names = list(dict.fromkeys([*([job.job_id] if job.job_id else []), *found]))
    if not names:
        if trained:
            raise RunError(f"job {job.tag} is just being sent. Stop the trainer first (Ctrl-C), then cancel.")
        ledger.failed(job.tag, "abandoned", "cancelled by hand before it reached the service")
        ledger.event("cancelled", f"job {job.tag} had not reached {service.name}")
        return "", "abandoned"
    if not job.job_id:
        ledger.submitted(job.tag, names[0])
    for name in names:
        service.cancel(name)
    for twin in names[1:]:
        ledger.duplicate(job.tag, twin, f"found beside {names[0]} and cancelled by hand")
        charged = service.charged(twin)
        if charged is not None:
            ledger.charged(job.tag, charged, job_id=twin)
    outcome = _settled(service, names[0])
    if outcome in (JobState.CANCELLED, JobState.FAILED):
        ledger.failed(job.tag, outcome.value, "cancelled by hand", service.charged(names[0]))
    said = {JobState.DONE: "was done already; qtrain resume takes its results"}.get(outcome, outcome.value)
    ledger.event("cancelled", f"job {names[0]} of step {job.step + 1}: {said}")
    return names[0], outcome.value


def _settled(service: Service, job_id: str) -> JobState:
    """Where the job ends, if it does within some seconds."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        state = service.status(job_id).state
        if state.is_final or time.monotonic() > deadline:
            return state
        time.sleep(_PAUSE)
