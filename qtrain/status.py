"""status: where a run stands, read from any process while another one trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtrain.jobs import OPEN, JobLedger
from qtrain.result import weights_sha256
from qtrain.run import JOBS_FILE, holder, latest, read_config, read_metrics

LAST_EVENTS = 5


def status(run_dir: str | Path) -> dict[str, Any]:
    """Plain values. `weights_sha256` is that of the last checkpoint, `jobs` what `job_status` says.

    Raises: RunError: no run is there, or it is damaged.
    """
    path = Path(run_dir)
    config, metrics, found = read_config(path), read_metrics(path), latest(path)
    last = metrics[-1] if metrics else {}
    steps = config["settings"]["steps"]
    step, state = found or (0, None)
    pid = holder(path)
    return {
        "run_dir": str(path),
        "state": "running" if pid is not None else "finished" if step == steps else "stopped",
        "pid": pid,
        "steps": steps,
        "step": last.get("step", 0),
        "checkpoint_step": step,
        "finished": step == steps,
        "loss": last.get("loss"),
        "accuracy": last.get("accuracy"),
        "test_accuracy": next((m["test_accuracy"] for m in reversed(metrics) if "test_accuracy" in m), None),
        "circuits": last.get("circuits", 0),
        "shots": last.get("shots", 0),
        "qpu_seconds": last.get("qpu_seconds", 0.0),
        "device": config["device"],
        "executor": config["executor"],
        "gradient": config["gradient"],
        "start": config.get("start"),
        "weights_sha256": None if state is None else weights_sha256(state["layer"]["weights"].numpy()),
        "jobs": job_status(path),
    }


def job_status(run_dir: Path) -> dict[str, Any] | None:
    """What a chip run has at the service; None where nothing is paid for.

    `open` lists what the service may still hold, as it was last seen there; `seconds` are as charged where that is
    known, else as predicted; `events` are the last ones.

    Raises: RunError: the list of jobs is damaged.
    """
    if not (run_dir / JOBS_FILE).exists():
        return None
    budget = read_config(run_dir)["executor"].get("budget")
    with JobLedger.read(run_dir / JOBS_FILE) as ledger:
        jobs, seen, spent = ledger.jobs(), ledger.last_seen(), ledger.spent()
        states: dict[str, int] = {}
        for job in jobs:
            states[job.state] = states.get(job.state, 0) + 1
        waiting = []
        for job in jobs:
            if job.state not in OPEN:
                continue
            at, found = seen.get(job.tag, (None, None))
            waiting.append(
                {
                    "job_id": job.job_id or None,
                    "tag": job.tag,
                    "step": job.step,
                    "attempt": job.attempt,
                    "circuits": job.circuits,
                    "executions": job.executions,
                    "predicted_seconds": job.predicted,
                    "sent_at": job.created_at,
                    "state": job.state if found is None else found.state.value,
                    "queue_position": None if found is None else found.queue_position,
                    "seen_at": at,
                }
            )
        return {
            "backend": jobs[-1].backend if jobs else None,
            "states": states,
            "open": waiting,
            "jobs": spent.jobs,
            "executions": spent.executions,
            "seconds": spent.seconds,
            "budget": budget,
            "duplicates": [{"job_id": d.job_id, "tag": d.tag, "message": d.message} for d in ledger.duplicates()],
            "events": [list(event) for event in ledger.events()[-LAST_EVENTS:]],
        }


def status_text(values: dict[str, Any]) -> str:
    """`status` for people."""
    jobs = values["jobs"]
    pid = f" (pid {values['pid']})" if values["pid"] is not None else ""
    lines = [f"state: {values['state']}{pid}"]
    for name, value in values.items():
        if name not in ("state", "pid", "jobs", "finished"):
            lines.append(f"{name}: {'-' if value is None else value}")
    return "\n".join([*lines, *([] if jobs is None else jobs_text(jobs))])


def jobs_text(jobs: dict[str, Any]) -> list[str]:
    """`job_status` for people: a line a fact, one a job that is open, one an event."""
    states = ", ".join(f"{count} {state}" for state, count in jobs["states"].items()) or "none"
    lines = [
        f"jobs: {states}",
        f"spent: {jobs['seconds']:,.2f} QPU seconds, {jobs['executions']:,} executions; budget {jobs['budget'] or '-'}",
        f"duplicates: {len(jobs['duplicates'])}" + "".join(f", {d['job_id']}" for d in jobs["duplicates"]),
    ]
    for job in jobs["open"]:
        place = "" if job["queue_position"] is None else f", place {job['queue_position']} in the queue"
        when = "" if job["seen_at"] is None else f", seen {job['seen_at']}"
        name = job["job_id"] or f"tagged {job['tag']}"
        lines.append(f"open: job {name} of step {job['step'] + 1}: {job['state']}{place}, sent {job['sent_at']}{when}")
    return lines + [f"event: {at} {kind}: {text}" for at, kind, text in jobs["events"]]
