"""Who answers which request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from .accounts import Accounts
from .admin import Admin
from .backends import Backends
from .jobs import Jobs
from .messages import Refusal, Reply, Request, refuse, reply_json
from .sessions import Sessions
from .store import Store

Endpoint = Callable[..., Reply]


class Routes:
    """The endpoints that the client calls; all but IAM, search and catalog ask for a valid token."""

    def __init__(self, store: Store, snapshots: Sequence[str], wake: Callable[[], None]) -> None:
        self.store = store
        self.accounts = Accounts(store)
        self.backends = Backends(store, snapshots)
        self.sessions = Sessions(store, self.backends)
        self.jobs = Jobs(store, self.backends, self.sessions, wake)
        self.admin = Admin(store, self.backends, self.sessions, self.jobs)
        jobs, sessions, backends = self.jobs, self.sessions, self.backends
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", r"/backends", lambda r: reply_json({"devices": backends.listing()})),
            ("GET", r"/backends/([^/]+)/configuration", lambda r, n: reply_json(backends.configuration(self.known(n)))),
            ("GET", r"/backends/([^/]+)/properties", lambda r, n: reply_json(backends.properties(self.known(n)))),
            ("GET", r"/backends/([^/]+)/status", lambda r, n: reply_json(backends.status(self.known(n)))),
            ("GET", r"/instances/usage", lambda r: self.accounts.usage()),
            ("POST", r"/jobs", jobs.submit),
            ("GET", r"/jobs", jobs.listing),
            ("GET", r"/jobs/([^/]+)", lambda r, i: jobs.show(i, r)),
            ("GET", r"/jobs/([^/]+)/results", lambda r, i: jobs.results(i)),
            ("GET", r"/jobs/([^/]+)/metrics", lambda r, i: jobs.metrics(i)),
            ("GET", r"/jobs/([^/]+)/logs", lambda r, i: Reply(204)),
            ("POST", r"/jobs/([^/]+)/cancel", lambda r, i: jobs.cancel(i)),
            ("DELETE", r"/jobs/([^/]+)", lambda r, i: jobs.delete(i)),
            ("PUT", r"/jobs/([^/]+)/tags", lambda r, i: jobs.tag(i, r)),
            ("POST", r"/sessions", sessions.create),
            ("GET", r"/sessions/([^/]+)", lambda r, i: reply_json(sessions.details(i))),
            ("PATCH", r"/sessions/([^/]+)", lambda r, i: sessions.close(i)),
            ("DELETE", r"/sessions/([^/]+)/close", lambda r, i: sessions.close(i, cancel=True)),
        ]
        self.table = [(method, re.compile(pattern), endpoint) for method, pattern, endpoint in table]

    def known(self, name: str) -> str:
        if not self.backends.exists(name):
            raise Refusal(404, 1216, f"Backend not found: {name}")
        return name

    def answer(self, request: Request) -> Reply:
        try:
            return self.dispatch(request)
        except Refusal as refusal:
            return refusal.reply
        except ValueError as error:  # a body that cannot be read
            return refuse(400, 1000, str(error))

    def dispatch(self, request: Request) -> Reply:
        if request.path.startswith("/__admin__/"):
            return self.admin.answer(request)
        if (request.method, request.path) == ("POST", "/identity/token"):
            return self.accounts.token(request)
        if (request.method, request.path) == ("POST", "/v3/resources/search"):
            return self.accounts.search()
        if request.method == "GET" and re.fullmatch(r"/plan-[a-z]+", request.path):
            return self.accounts.plan(Path(request.path).name)
        self.accounts.check(request)
        for method, pattern, endpoint in self.table:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                return endpoint(request, *found.groups())
        raise Refusal(404, 404, f"no {request.method} {request.path}")
