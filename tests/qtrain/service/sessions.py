"""Sessions and batches."""

from __future__ import annotations

import secrets
from typing import Any

from .backends import Backends
from .messages import Refusal, Reply, Request, iso, reply_json
from .store import LIGHT, Store


class Sessions:
    """Refused by the open plan where the mode is dedicated; batches are not."""

    def __init__(self, store: Store, backends: Backends) -> None:
        self.store = store
        self.backends = backends

    def row(self, session_id: str) -> dict[str, Any]:
        found = self.store.row("SELECT * FROM sessions WHERE id = ?", session_id)
        if found is None:
            raise Refusal(404, 1101, f"Session not found. Session ID: {session_id}")
        return found

    def pending(self, session_id: str) -> list[dict[str, Any]]:
        return self.store.rows(
            f"SELECT {LIGHT} FROM jobs WHERE session_id = ? AND state IN ('Queued', 'Running')", session_id
        )

    def accepts(self, row: dict[str, Any]) -> bool:
        return bool(row["accepting"]) and self.store.now() < row["created"] + row["max_ttl"]

    def details(self, session_id: str) -> dict[str, Any]:
        row = self.row(session_id)
        jobs = self.store.rows(f"SELECT {LIGHT} FROM jobs WHERE session_id = ? ORDER BY number", session_id)
        started = [job["started"] for job in jobs if job["started"]]
        finished = [job["finished"] for job in jobs if job["finished"]]
        accepting = self.accepts(row)
        state = "active" if started else "open"
        if not accepting and not self.pending(session_id):
            state = "closed"
        if row["mode"] == "batch":
            elapsed = sum(job["charged"] or 0.0 for job in jobs)
        else:
            end = max(finished, default=None) if state == "closed" else self.store.now()
            elapsed = end - min(started) if started and end else 0.0
        return {
            "id": row["id"],
            "mode": row["mode"],
            "backend_name": row["backend"],
            "state": state,
            "accepting_jobs": accepting,
            "max_ttl": row["max_ttl"],
            "active_ttl": row["max_ttl"],
            "interactive_ttl": 60,
            "elapsed_time": elapsed,
            "started_at": iso(min(started, default=None)),
            "closed_at": iso(row["closed"]),
            "last_job_started": iso(max(started, default=None)),
            "last_job_completed": iso(max(finished, default=None)),
        }

    def create(self, request: Request) -> Reply:
        body = request.json()
        mode = body.get("mode", "dedicated")
        if mode == "dedicated" and self.store.get("plan") == "open":
            raise Refusal(400, 1352, "You are not authorized to run a session when using the open plan.")
        if not self.backends.exists(body.get("backend", "")):
            raise Refusal(404, 1216, f"Backend not found: {body.get('backend')}")
        session_id = secrets.token_hex(10)
        self.store.insert(
            "sessions",
            id=session_id,
            mode=mode,
            backend=body["backend"],
            accepting=1,
            max_ttl=int(body.get("max_ttl") or 28800),
            created=self.store.now(),
        )
        return reply_json(self.details(session_id))

    def close(self, session_id: str, *, cancel: bool = False) -> Reply:
        """No new jobs; those that wait go on, or are cancelled."""
        self.row(session_id)
        self.store.update("sessions", session_id, accepting=0, cancelled=int(cancel), closed=self.store.now())
        if cancel:
            for job in self.pending(session_id):
                self.store.update("jobs", job["id"], state="Cancelled", finished=self.store.now(), charged=0.0)
        return Reply(204)
