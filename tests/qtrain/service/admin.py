"""The switches: /__admin__/..., for tests only; neither logged nor faulted."""

from __future__ import annotations

import json
import time
from typing import Any

from . import faults
from .backends import Backends
from .jobs import Jobs
from .messages import Refusal, Reply, Request, reply_json
from .sessions import Sessions
from .store import DEFAULTS, Store

SCRIPT = {
    "fail",
    "cancel",
    "reason",
    "reason_code",
    "queue_seconds",
    "run_seconds",
    "shots_granted",
    "charge_delay",
    "tag",
    "times",
    "skip",
}


class Admin:
    """Everything that a test may change or read."""

    def __init__(self, store: Store, backends: Backends, sessions: Sessions, jobs: Jobs) -> None:
        self.store = store
        self.backends = backends
        self.sessions = sessions
        self.jobs = jobs

    def answer(self, request: Request) -> Reply:
        """Raises ValueError for a switch that does not exist."""
        name, _, rest = request.path.removeprefix("/__admin__/").partition("/")
        if request.method == "GET":
            return reply_json(self.read(name))
        if request.method == "DELETE":
            self.delete(name)
            return Reply(204)
        return reply_json(self.change(name, rest, request.json()))

    def read(self, name: str) -> Any:
        if name == "faults":
            return self.store.switches("fault")
        if name == "next_job":
            return self.store.switches("next_job")
        if name == "log":
            return self.store.rows("SELECT * FROM log ORDER BY number")
        if name == "billing":
            return self.jobs.billing()
        if name == "sessions":
            rows = self.store.rows("SELECT id FROM sessions ORDER BY number")
            return [self.sessions.details(row["id"]) for row in rows]
        if name == "settings":
            return {key: self.store.get(key) for key in DEFAULTS}
        raise Refusal(404, 404, f"nothing to read at {name}")

    def delete(self, name: str) -> None:
        if name == "log":
            self.store.write("DELETE FROM log")
        else:
            kind = {"faults": "fault", "next_job": "next_job"}[name]
            self.store.write("DELETE FROM switches WHERE kind = ?", kind)

    def change(self, name: str, rest: str, body: Any) -> Any:
        if name == "faults":
            specs = body if isinstance(body, list) else [body]
            for spec in specs:
                faults.check(spec)
            return [self.store.add_switch("fault", spec) for spec in specs]
        if name == "next_job":
            specs = body if isinstance(body, list) else [body]
            for spec in specs:
                if spec.keys() - SCRIPT:
                    raise ValueError(f"a job has no {sorted(spec.keys() - SCRIPT)}; known: {sorted(SCRIPT)}")
            return [self.store.add_switch("next_job", spec) for spec in specs]
        if name == "settings":
            if body.keys() - DEFAULTS.keys():
                raise ValueError(f"no settings {sorted(body.keys() - DEFAULTS.keys())}; known: {sorted(DEFAULTS)}")
            for key, value in body.items():
                self.store.set(key, value)
        elif name == "backends":
            self.backends.change(rest, body)
        elif name == "revoke":
            self.store.set("tokens_valid_since", time.time())
        elif name == "sessions":
            rows = self.store.rows("SELECT id FROM sessions ORDER BY number")
            for row in rows:
                if body.get("id", row["id"]) == row["id"]:
                    self.sessions.close(row["id"], cancel=body.get("cancel", False))
        elif name == "cancel":
            self.jobs.cancel(rest)
        elif name == "reset":
            self.store.clear()
        else:
            raise Refusal(404, 404, f"no switch {name}")
        self.jobs.wake()
        return json.loads("{}")
