"""A service in memory, with faults on demand: what a real one may do to a job, without a network."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult

import qcompile
from qtrain.chip.types import Health, JobState, JobStatus


class ServerError(Exception):
    """As the client's RequestsApiError."""

    def __init__(self, code):
        super().__init__(f"{code} Server Error: see https://example.invalid")
        self.status_code = code


@dataclass
class Job:
    job_id: str
    tag: str
    pubs: list
    shots: int
    state: JobState = JobState.DONE
    reason: str = ""
    code: int | None = None
    limit: int | None = None


@dataclass
class FakeService:
    """Faults are queued by method: "before" fails without effect, "after" fails with it, "twice" makes two jobs.

    "denied" is a 401 of a job that runs all the same; "late" a list that does not have a job yet.
    """

    name: str = "fake_chip"
    device_name: str = "ibm_manila"
    paid: bool = True
    is_local: bool = False
    finds_jobs: bool = True
    jobs: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    fates: deque = field(default_factory=deque)
    calls: list = field(default_factory=list)
    granted: int | None = None
    operational: bool = True
    remaining: float | None = None
    now: object = None

    def _fault(self, method):
        self.calls.append(method)
        queue = self.faults.get(method)
        return queue.popleft() if queue else "ok"

    def is_paid(self):
        return self.paid

    def plan(self):
        return "premium"

    def device(self):
        return self.now or qcompile.load_device(self.device_name)

    def calibration_id(self):
        return self.device().sha256

    def health(self):
        return Health(self.operational, "active" if self.operational else "offline")

    def remaining_seconds(self):
        return self.remaining

    def submit(self, pubs, *, shots, tag, seed, max_seconds):
        fault = self._fault("submit")
        if fault == "before":
            raise ServerError(503)
        if fault == "limited":
            raise ServerError(429)
        if isinstance(fault, Exception):
            raise fault
        for _ in range(2 if fault == "twice" else 1):
            job = Job(f"job{len(self.jobs)}", tag, list(pubs), shots, limit=max_seconds)
            if self.fates:
                job.state, job.reason, job.code = self.fates.popleft()
            self.jobs[job.job_id] = job
        if fault == "after":
            raise ConnectionError("Connection aborted")
        if fault == "denied":
            raise ServerError(401)
        return job.job_id

    def find(self, tag, since):
        fault = self._fault("find")
        if fault == "late":
            return []
        if fault != "ok":
            raise ServerError(502)
        return [job.job_id for job in self.jobs.values() if job.tag == tag]

    def status(self, job_id):
        if self._fault("status") != "ok":
            raise ConnectionError("Connection reset by peer")
        job = self.jobs[job_id]
        return JobStatus(job.state, job.reason, job.code)

    def result(self, job_id):
        fault = self._fault("result")
        if fault == "truncated":
            return '{"__type__": "PrimitiveRes'
        if fault == "empty":
            return None
        if fault == "before":
            raise ConnectionError("Connection reset by peer")
        job = self.jobs[job_id]
        entries = [SamplerPubResult(DataBin(basis=drawn(pub, self.granted or job.shots), shape=())) for pub in job.pubs]
        return PrimitiveResult(entries[:-1] if fault == "short" else entries)

    def cancel(self, job_id):
        self.calls.append("cancel")
        self.jobs[job_id].state = JobState.CANCELLED

    def charged(self, job_id):
        return None

    def reopen(self):
        self.calls.append("reopen")

    def close(self):
        self.calls.append("close")

    def billed(self):
        return [job for job in self.jobs.values() if job.state is not JobState.CANCELLED]


def drawn(pub, shots):
    """Bits that depend on each point and the shots alone."""
    bits = pub.circuit.cregs[-1].size
    rows = []
    for row in pub.values:
        rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(row).tobytes()))
        rows.append(rng.integers(0, 2**bits, shots))
    packed = np.array(rows, dtype=">u8").reshape(len(rows), shots).view(np.uint8).reshape(len(rows), shots, 8)
    width = -(-bits // 8)
    return BitArray(np.ascontiguousarray(packed[..., -width:]), bits)
