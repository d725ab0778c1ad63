"""The queue: one thread that runs what is due, and ends what has run for long enough."""

from __future__ import annotations

import json
import threading
import traceback
from typing import Any

from .backends import Backends
from .programs import run
from .store import LIGHT, Store

STEP = 0.02  # s between two looks at the queue
SYSTEM_FAILURE = 9999  # the range that IBM keeps for its own failures
RAN_TOO_LONG = 1305


class Worker:
    """Jobs that ran when the process was killed are run again: the same content gives the same counts."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.awake = threading.Event()

    def wake(self) -> None:
        self.awake.set()

    def start(self, backends: Backends) -> None:
        self.store.write("UPDATE jobs SET state = 'Queued' WHERE state = 'Running' AND outcome IS NULL")
        threading.Thread(target=self.loop, args=(backends,), daemon=True).start()

    def loop(self, backends: Backends) -> None:
        from . import sampling  # noqa: F401  qiskit and Aer take seconds to load: now, not at the first job

        while True:
            self.awake.clear()
            try:
                busy = self.turn(backends)
            except Exception:  # a defect of the emulator must not stop its queue silently
                traceback.print_exc()
                busy = False
            if not busy:
                self.awake.wait(STEP)

    def turn(self, backends: Backends) -> bool:
        """Whether there was anything to run."""
        now = self.store.now()
        for job in self.store.rows(f"SELECT {LIGHT} FROM jobs WHERE state = 'Running' AND outcome IS NOT NULL"):
            if now >= job["started"] + self.setting(job, "run_seconds"):
                self.end(job)
        if self.store.limit_reached():
            return False
        for job in self.store.rows(f"SELECT {LIGHT} FROM jobs WHERE state = 'Queued' ORDER BY number"):
            if now >= job["created"] + self.setting(job, "queue_seconds") and backends.runs_jobs(job["backend"]):
                self.run(job, backends)
                return True
        return False

    def setting(self, job: dict[str, Any], name: str) -> float:
        return float(json.loads(job["script"]).get(name, self.store.get(name)))

    def run(self, job: dict[str, Any], backends: Backends) -> None:
        started = self.store.now()
        begun = self.store.write(
            "UPDATE jobs SET state = 'Running', started = ? WHERE id = ? AND state = 'Queued'", started, job["id"]
        )
        if not begun:
            return  # cancelled in between
        outcome, result = self.outcome(job, backends)
        self.store.update("jobs", job["id"], outcome=json.dumps(outcome), result=result)
        if not self.setting(job, "run_seconds"):
            self.end({**job, "outcome": json.dumps(outcome)})

    def outcome(self, job: dict[str, Any], backends: Backends) -> tuple[dict[str, Any], str | None]:
        """How it ends: state, reason, code, charge; and the result's text.

        A failure of the system's is free; the user's, and what ran too long, is charged.
        """
        from .chip import Chip, JobRefused

        script = json.loads(job["script"])
        seconds = job["seconds"]
        if script.get("cancel"):
            return {"state": "Cancelled", "charged": 0.0}, None
        if kind := script.get("fail"):
            code = script.get("reason_code", 3211 if kind == "user" else SYSTEM_FAILURE)
            reason = script.get("reason", "Job not valid." if kind == "user" else "Internal error.")
            charged = seconds if kind == "user" or code == RAN_TOO_LONG else 0.0
            return {"state": "Failed", "reason": reason, "reason_code": code, "charged": charged}, None
        limits = [self.store.get("job_limit_seconds")]
        limits += [job["cost"]] if self.store.get("enforce_cost") else []
        for limit in limits:
            if limit is not None and seconds > limit:
                reason = f"Job ran longer than maximum execution time of {limit} s."
                return {
                    "state": "Cancelled",
                    "reason": reason,
                    "reason_code": RAN_TOO_LONG,
                    "charged": float(limit),
                }, None
        name = job["backend"]
        noise, drift = self.store.get("noise"), self.store.get("drift")
        [params] = self.store.rows("SELECT params FROM jobs WHERE id = ?", job["id"])
        try:
            chip = Chip.read(backends.configuration(name), backends.properties(name), noise=noise, drift=drift)
            return {"state": "Completed", "charged": seconds}, run(
                job["program"], params["params"], chip, script.get("shots_granted")
            )
        except JobRefused as refusal:
            failure = {"state": "Failed", "reason": str(refusal), "reason_code": refusal.reason_code}
            return {**failure, "charged": seconds}, None
        except Exception as error:  # the real service answers a defect with a failed job as well
            traceback.print_exc()
            reason = f"Unknown error: {type(error).__name__} {error}"
            return {"state": "Failed", "reason": reason, "reason_code": SYSTEM_FAILURE, "charged": 0.0}, None

    def end(self, job: dict[str, Any]) -> None:
        """Once: a job that was cancelled meanwhile stays so."""
        outcome = json.loads(job["outcome"])
        self.store.write(
            "UPDATE jobs SET state = ?, reason = ?, reason_code = ?, charged = ?, finished = ? "
            "WHERE id = ? AND state = 'Running'",
            outcome["state"],
            outcome.get("reason"),
            outcome.get("reason_code"),
            outcome["charged"],
            self.store.now(),
            job["id"],
        )
