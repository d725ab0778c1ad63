"""The test's side of the service: starts it, kills it, gives it faults, reads its bill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .accounts import CRN

ROOT = Path(__file__).resolve().parents[3]
STARTUP = 20.0  # s after which a server that says nothing is given up
CLIENT_VARIABLES = ("QISKIT_IBM", "QISKIT_RUNTIME", "IAM_", "GLOBAL_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class LoopbackService:
    """IBM's service on 127.0.0.1, in a process of its own that keeps its state in a folder.

    Use it as a context manager, or with start() and stop(). The process ends with this one, and after `lifetime`.

        with LoopbackService(tmp_path) as service:
            service.fault("POST", "/jobs$", code=502, phase="after")     # accepted, and the client is told otherwise
            subprocess.run([...], env=service.environment())             # the real client, unpatched
            assert [job["state"] for job in service.billing()] == ["Completed", "Cancelled"]

    Backends are `ibm_<snapshot>`: ibm_manila and ibm_athens (5 qubits, cx), ibm_mumbai (27 qubits) by default; any name
    of qiskit_ibm_runtime/fake_provider/backends may be given, "fractional" for rzz and rx. The same circuit at the same
    point with the same shots gives the same counts, bit for bit, in whatever job, order or split it comes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        snapshots: Sequence[str] = ("manila", "athens", "mumbai"),
        port: int = 0,
        lifetime: float = 900.0,
        token: str = "loopback-key",
    ) -> None:
        """Port 0 is chosen at the first start and kept; `token` is the API key that environment() hands out."""
        self.folder = folder
        self.snapshots = snapshots
        self.port = port
        self.lifetime = lifetime
        self.token = token
        self.process: subprocess.Popen[str] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "home").mkdir(exist_ok=True)

    # the process

    def start(self) -> LoopbackService:
        """Returns when it listens; what the folder holds from before is there again."""
        command = [sys.executable, "-m", "tests.qtrain.service.server", "--folder", str(self.folder)]
        command += ["--port", str(self.port), "--parent", str(os.getpid()), "--lifetime", str(self.lifetime)]
        command += ["--snapshots", ",".join(self.snapshots)]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "QISKIT_PARALLEL": "FALSE", "PYTHONPATH": str(ROOT)}
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        giving_up = threading.Timer(STARTUP, self.process.kill)
        giving_up.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        giving_up.cancel()
        if not line:
            self.kill()
            raise RuntimeError(f"the service did not start: {(self.folder / 'server.log').read_text()[-2000:]}")
        self.port = int(line)
        return self

    def kill(self) -> None:
        """kill -9. Start it again with start() or restart(); environment() stays valid, the port is the same."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    stop = kill  # nothing is lost by it, so there is no gentler way

    def restart(self) -> LoopbackService:
        """kill() and start()."""
        self.kill()
        return self.start()

    def __enter__(self) -> LoopbackService:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT"""
        return f"http://127.0.0.1:{self.port}"

    # what the client needs

    def variables(self) -> dict[str, str]:
        """Only what the client needs, for monkeypatch.setenv in this process."""
        return {
            "IAM_URL": self.url,
            "GLOBAL_SEARCH_URL": self.url,
            "GLOBAL_CATALOG_URL": self.url,
            "QISKIT_IBM_TOKEN": self.token,
            "QISKIT_IBM_INSTANCE": CRN,
            "QISKIT_IBM_URL": f"{self.url}/experimental/api/v1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "HOME": str(self.folder / "home"),
            # else the client walks through the call stack at each request, which takes long under pytest
            "USAGE_DATA_OPT_OUT": "True",
        }

    def environment(self) -> dict[str, str]:
        """A whole environment for a child process: this one's without accounts or proxies, and variables()."""
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(CLIENT_VARIABLES)}
        kept.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))  # a font cache takes seconds to make anew
        path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
        return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "QISKIT_PARALLEL": "FALSE", **self.variables()}

    # the switches

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to /__admin__/PATH; raises RuntimeError with the service's words where it refuses."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/__admin__/{path}", data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as reply:
                text = reply.read()
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text else None

    def fault(
        self,
        method: str = ".*",
        path: str = "",
        *,
        action: str = "status",
        code: int = 503,
        times: int | None = 1,
        skip: int = 0,
        phase: str = "before",
        headers: dict[str, str] | None = None,
        body: str | None = None,
        delay: float = 0.0,
    ) -> None:
        """From now on, requests of that method (whole match) and path (a search; "/jobs$", "/jobs/[^/]+/results") fail.

        `skip` of them pass, the next `times` (None: all) are struck; of several faults the first that matches strikes.
        Phase "before": the request is not carried out. "after": it is, and only the reply is lost. Paths have no
        prefix: /identity/token, /backends/X/status, /instances/usage, /jobs, /jobs/ID, /jobs/ID/results, /sessions, ...

        Actions:
            status: the reply is an error of that `code`, with `headers` ({"Retry-After": "1"}) and `body`.
            body: the reply has that `body`, and `code` 200 unless another is given.
            truncate: the first half of the real body, under a matching length. cut: the same, but the header promises
            all. empty: 200 without a body. wrong_type: a JSON list. wrong_shape: of a result, one point less.
            reset: the connection is reset. hang: so after `delay` s (5) of silence.
            unreachable: nobody listens for `delay` s (1); open connections are reset.
        """
        spec: dict[str, Any] = {"method": method, "path": path, "action": action, "times": times, "skip": skip}
        spec |= {"phase": phase, "code": 200 if action == "body" and code == 503 else code}
        spec |= {} if headers is None else {"headers": headers}
        spec |= {} if body is None else {"body": body}
        spec |= {"delay": delay} if delay else {}
        self.ask("POST", "faults", spec)

    def faults(self) -> list[dict[str, Any]]:
        """Those that were set, with `seen` and `used`: how often they matched and struck."""
        return list(self.ask("GET", "faults"))

    def clear_faults(self) -> None:
        """No fault any more."""
        self.ask("DELETE", "faults")

    def next_job(self, **script: Any) -> None:
        """What happens to the next job that is accepted; several calls queue up, one job each.

        Args: fail ("system": not charged, or "user": charged), reason, reason_code (1305: ran too long), cancel
        (True: as if from the dashboard, when its turn comes), queue_seconds, run_seconds, shots_granted, charge_delay
        (s from its end until the charge is final), skip and times (of jobs), tag (a regex: only jobs with such a tag).
        """
        self.ask("POST", "next_job", script)

    def settings(self, **values: Any) -> None:
        """Lasting behaviour.

        Args: plan ("open" refuses sessions; "pay-as-you-go", "flex", "premium"); token_ttl s; reject_key (IAM knows the
        key no more); usage_limit, usage_consumed s and usage_reached (True: jobs stay queued); noise ("calibration" or
        "ideal"); drift ({"sigma": 0.3, "seed": 1}: true errors are lognormal about the calibration's; None);
        queue_seconds, run_seconds and charge_delay of every job; clock_skew s of the service's clock; max_executions
        of a job (5,000,000); job_limit_seconds (predicted QPU time above it: 1305); enforce_cost (the same for
        max_execution_time).
        """
        self.ask("POST", "settings", values)

    def usage(self, *, limit: float | None = None, consumed: float = 0.0, reached: bool | None = None) -> None:
        """What GET /instances/usage says; `reached` None: by comparison of what was consumed with the limit."""
        self.settings(usage_limit=limit, usage_consumed=consumed, usage_reached=reached)

    def backend(self, name: str, **changes: Any) -> None:
        """Changes a backend: state (False: offline), status ("paused"), queue (others' jobs), retired.

        A new calibration: dead_edges ([[0, 1]]), dead_qubits ([2]), errors ({"cx0_1": 0.02}, by IBM's gate names),
        last_update_date (ISO), or properties (all of them, IBM's form). Jobs wait while it is offline or not active.
        """
        self.ask("POST", f"backends/{name}", changes)

    def recalibrate(self, name: str, **changes: Any) -> None:
        """backend() with today's date in the properties."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        self.backend(name, last_update_date=now, **changes)

    def revoke_tokens(self) -> None:
        """Tokens handed out so far are no longer valid (401); with settings(reject_key=True) there are no new ones."""
        self.ask("POST", "revoke", {})

    def close_sessions(self, session_id: str | None = None, *, cancel: bool = False) -> None:
        """From the service's side; jobs that wait go on, or are cancelled."""
        self.ask("POST", "sessions", {"cancel": cancel, **({} if session_id is None else {"id": session_id})})

    def cancel(self, job_id: str) -> None:
        """From the dashboard."""
        self.ask("POST", f"cancel/{job_id}", {})

    def unreachable(self, seconds: float) -> None:
        """Nobody listens for that long, these calls included; jobs go on meanwhile. Returns at once."""
        self.ask("POST", "unreachable", {"seconds": seconds})

    def reset(self) -> None:
        """No jobs, sessions, faults, log; settings and backends as at first."""
        self.ask("POST", "reset", {})

    # what happened

    def billing(self) -> list[dict[str, Any]]:
        """Every job that was ever accepted, once, the oldest first.

        Keys: id, backend, session_id, state (Queued, Running, Completed, Failed, Cancelled), reason, reason_code,
        circuits (after broadcasting) and executions (circuits times shots) as counted from the payload, created,
        started, finished (s since 1970), tags, predicted and charged (QPU seconds; None until it has ended).
        """
        return list(self.ask("GET", "billing"))

    def jobs(self, *, tag: str | None = None, state: str | None = None) -> list[dict[str, Any]]:
        """billing(), only of jobs with a tag that the regex finds, in that state."""
        return [
            job
            for job in self.billing()
            if (tag is None or any(re.search(tag, name) for name in job["tags"])) and state in (None, job["state"])
        ]

    def sessions(self) -> list[dict[str, Any]]:
        """As GET /sessions/ID shows them, the oldest first."""
        return list(self.ask("GET", "sessions"))

    def log(self, method: str = ".*", path: str = "") -> list[dict[str, Any]]:
        """Requests as they came: time, method, path, query (JSON), status (None: no reply), fault, job (that it
        made).
        """
        return [
            entry
            for entry in self.ask("GET", "log")
            if re.fullmatch(method, entry["method"]) and re.search(path, entry["path"])
        ]

    def clear_log(self) -> None:
        """Forgets the requests so far."""
        self.ask("DELETE", "log")

    def wait_for_request(self, method: str, path: str, *, count: int = 1, timeout: float = 30.0) -> None:
        """Until that many such requests have come (their replies may be under way); raises TimeoutError.

        With a fault(action="hang", phase="after", delay=30) this stops a client at that very point, to be killed there.
        """
        end = time.monotonic() + timeout
        while len(found := self.log(method, path)) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(found)} of {count} requests {method} {path} after {timeout} s")
            time.sleep(0.02)

    def wait(self, state: str = "Completed", *, jobs: int = 1, timeout: float = 30.0) -> list[dict[str, Any]]:
        """Until that many jobs are in that state; raises TimeoutError."""
        end = time.monotonic() + timeout
        while len(found := self.jobs(state=state)) < jobs:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(found)} of {jobs} jobs {state} after {timeout} s: {self.billing()}")
            time.sleep(0.02)
        return found
