"""Jobs: taken, listed, shown, cancelled, billed."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .backends import Backends
from .messages import Refusal, Reply, Request, iso, reply_json, reply_text
from .programs import count
from .sessions import Sessions
from .store import FINAL, LIGHT, Store

MAX_BODY = 64 * 1024 * 1024
PROGRAMS = ("executor", "sampler")


def quantum_seconds(executions: int) -> float:
    """IBM's quick formula: 2 s a job and 0.35 ms an execution."""
    return 2.0 + 0.00035 * executions


class Jobs:
    """Every accepted POST is one job, as at the real service: it gives no idempotency."""

    def __init__(self, store: Store, backends: Backends, sessions: Sessions, wake: Callable[[], None]) -> None:
        self.store = store
        self.backends = backends
        self.sessions = sessions
        self.wake = wake

    def row(self, job_id: str, columns: str = LIGHT) -> dict[str, Any]:
        found = self.store.row(f"SELECT {columns} FROM jobs WHERE id = ? AND deleted = 0", job_id)
        if found is None:
            raise Refusal(404, 1291, f"Job not found. Job ID: {job_id}")
        return found

    def submit(self, request: Request) -> Reply:
        """POST /jobs."""
        if len(request.body) > MAX_BODY:
            raise Refusal(413, 413, "the payload is above 64 MB")
        body = request.json()
        backend, program = body.get("backend", ""), body.get("program_id", "")
        if program not in PROGRAMS:
            raise Refusal(404, 1212, f"Program not found. Program ID: {program}")
        if not self.backends.exists(backend):
            raise Refusal(400, 1216, f"The backend {backend} was not found or is retired.")
        session_id = body.get("session_id")
        if session_id is not None and not self.sessions.accepts(self.sessions.row(session_id)):
            raise Refusal(400, 1217, f"The session {session_id} is closed and accepts no more jobs.")
        params = json.dumps(body["params"])
        circuits, executions = count(program, body["params"])
        limit = self.store.get("max_executions")
        if executions > limit:
            raise Refusal(400, 8050, f"The job has {executions} executions, more than the limit of {limit}.")
        tags = body.get("tags", [])
        script = self.store.strike("next_job", lambda spec: any(re.search(spec.get("tag", ""), t) for t in [*tags, ""]))
        job_id = secrets.token_hex(10)
        self.store.insert(
            "jobs",
            id=job_id,
            backend=backend,
            program=program,
            tags=json.dumps(tags),
            session_id=session_id,
            state="Queued",
            created=self.store.now(),
            circuits=circuits,
            executions=executions,
            seconds=quantum_seconds(executions),
            cost=body.get("cost"),
            private=int(body.get("private", False)),
            script=json.dumps(script or {}),
            params=params,
        )
        self.wake()
        reply = reply_json({"id": job_id, "backend": backend, "session_id": session_id, "messages": []})
        reply.job = job_id
        return reply

    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        state = {"status": row["state"]}
        if row["reason"]:
            state["reason"] = row["reason"]
        if row["reason_code"] is not None:
            state["reason_code"] = row["reason_code"]
        content = {
            "id": row["id"],
            "backend": row["backend"],
            "state": state,
            "status": row["state"],
            "program": {"id": row["program"]},
            "created": iso(row["created"]),
            "tags": json.loads(row["tags"]),
            "runtime": "",
            "private": bool(row["private"]),
            "estimated_running_time_seconds": row["seconds"],
        }
        if row["cost"] is not None:
            content["cost"] = row["cost"]
        if row["session_id"] is not None:
            content["session_id"] = row["session_id"]
        return content

    def show(self, job_id: str, request: Request) -> Reply:
        """GET /jobs/{id}."""
        row = self.row(job_id)
        content = self.shown(row)
        if request.first("exclude_params") != "true":
            content["params"] = json.loads(self.row(job_id, "params")["params"])
        return reply_json(content)

    def listing(self, request: Request) -> Reply:
        """GET /jobs, the newest first."""
        rows = self.store.rows(f"SELECT {LIGHT} FROM jobs WHERE deleted = 0 ORDER BY number DESC")
        wanted = set(request.query.get("tags", []))
        rows = [row for row in rows if wanted <= set(json.loads(row["tags"]))]
        for name, column in (("backend", "backend"), ("session_id", "session_id"), ("program", "program")):
            if (value := request.first(name)) is not None:
                rows = [row for row in rows if row[column] == value]
        if (pending := request.first("pending")) is not None:
            rows = [row for row in rows if (row["state"] not in FINAL) == (pending == "true")]
        if (after := request.first("created_after")) is not None:
            rows = [row for row in rows if row["created"] >= datetime.fromisoformat(after).timestamp()]
        if (before := request.first("created_before")) is not None:
            rows = [row for row in rows if row["created"] <= datetime.fromisoformat(before).timestamp()]
        if request.first("sort") == "ASC":
            rows.reverse()
        limit, offset = int(request.first("limit") or 10), int(request.first("offset") or 0)
        page = [self.shown(row) for row in rows[offset : offset + limit]]
        return reply_json({"jobs": page, "count": len(rows), "limit": limit, "offset": offset})

    def results(self, job_id: str) -> Reply:
        """GET /jobs/{id}/results: of a failed job its traceback, of an unfinished one nothing."""
        row = self.row(job_id)
        if row["state"] == "Completed":
            return reply_text(self.row(job_id, "result")["result"])
        if row["state"] == "Failed":
            return reply_text(f"Traceback (most recent call last):\n  {row['reason']}")
        return Reply(204)

    def metrics(self, job_id: str) -> Reply:
        """GET /jobs/{id}/metrics: the charge is final some time after the end."""
        row = self.row(job_id)
        delay = json.loads(row["script"]).get("charge_delay", self.store.get("charge_delay"))
        final = row["finished"] is not None and self.store.now() >= row["finished"] + delay
        usage = {"qpu_charge_time_seconds": row["charged"] or 0.0, "status": "complete" if final else "pending"}
        times = {"created": iso(row["created"]), "running": iso(row["started"]), "finished": iso(row["finished"])}
        return reply_json({"timestamps": times, "usage": usage})

    def cancel(self, job_id: str) -> Reply:
        """POST /jobs/{id}/cancel: charged for what ran."""
        with self.store.lock:
            row = self.row(job_id)
            if row["state"] in FINAL:
                raise Refusal(409, 1200, f"Job {job_id} is in the final state {row['state']}.")
            now = self.store.now()
            charged = 0.0
            if row["started"] is not None:
                duration = json.loads(row["script"]).get("run_seconds", self.store.get("run_seconds"))
                charged = row["seconds"] * min(1.0, (now - row["started"]) / duration if duration else 1.0)
            self.store.update("jobs", job_id, state="Cancelled", finished=now, charged=charged)
        return Reply(204)

    def delete(self, job_id: str) -> Reply:
        """DELETE /jobs/{id}: no longer shown; what it cost stays on the bill."""
        if self.row(job_id)["state"] not in FINAL:
            raise Refusal(409, 1200, f"Job {job_id} has not ended yet.")
        self.store.update("jobs", job_id, deleted=1)
        return Reply(204)

    def tag(self, job_id: str, request: Request) -> Reply:
        """PUT /jobs/{id}/tags."""
        self.row(job_id)
        self.store.update("jobs", job_id, tags=json.dumps(request.json()["tags"]))
        return Reply(204)

    def billing(self) -> list[dict[str, Any]]:
        """Every accepted job once, deleted ones too, the oldest first."""
        names = ("id", "backend", "session_id", "state", "reason", "reason_code", "circuits", "executions")
        bill = []
        for row in self.store.rows(f"SELECT {LIGHT} FROM jobs ORDER BY number"):
            times = {name: row[name] for name in ("created", "started", "finished")}
            tags = json.loads(row["tags"])
            kept = {name: row[name] for name in names}
            bill.append({**kept, **times, "tags": tags, "predicted": row["seconds"], "charged": row["charged"]})
        return bill
