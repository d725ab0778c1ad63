"""Jobs from intent to result: each is paid for once, whatever happens to it, to the network or to this process.

A job's tag is on disk before it is sent. After every submission, whether it seemed to work or not, the service is asked
for the jobs of that tag: none means that it may be sent again, more than one that all but the oldest are cancelled.
Results go into the ledger together with the state "done", so they are kept once they have been read once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from qtrain.chip.credentials import redacted
from qtrain.chip.faults import (
    TOO_LONG,
    Kind,
    NoAnswer,
    Patience,
    Say,
    answered,
    classify,
    failed_by_the_system,
    patiently,
    rest,
    way_out,
)
from qtrain.chip.means import Reading, string_means
from qtrain.chip.primitives import UnreadableResult, read_bits
from qtrain.chip.split import Chunk
from qtrain.chip.types import Array, JobRecord, JobState, JobStatus, Pub, Service
from qtrain.errors import BudgetError, FailedJobError, JobError
from qtrain.jobs import JobLedger

GROWTH = 1.3  # of the time between two looks at a job
LONGEST_REQUEST = 900.0  # s that the client itself waits for the reply to a submission
_SIMULATED = 0.005  # s before the first look at a job that runs here


@dataclass
class Work:
    """What a step needs from the service.

    Attributes:
        step: of the training; `evaluation` behind it.
        chunks: one a job.
        pubs: of a chunk.
        readings: of a basis, one a Pauli string.
        halves: of a chunk that took too long.
        allowed: raises BudgetError where a chunk more would pass the budget.
        limit: QPU seconds after which the service is to stop the next job; None: no limit of ours.
    """

    step: int
    evaluation: bool
    backend: str
    calibration: str
    chunks: Sequence[Chunk]
    pubs: Callable[[Chunk], list[Pub]]
    readings: Callable[[int], list[Reading]]
    halves: Callable[[Chunk], list[Chunk]]
    allowed: Callable[[Chunk], None]
    limit: Callable[[], int | None]


@dataclass
class _Live:
    """A job at the service."""

    chunk: Chunk
    tag: str
    job_id: str
    attempt: int
    pubs: list[Pub] = field(repr=False)
    since: datetime
    time_limit: int | None
    last: JobStatus | None = None


class Submission:
    """Sends the jobs of one piece of work and waits for all of them.

    Args:
        service: the backend.
        jobs: the ledger; results are found there afterwards.
        patience: for how long.
        say: what the user should know.
    """

    def __init__(self, service: Service, jobs: JobLedger, patience: Patience, say: Say) -> None:
        self.service, self.jobs, self.patience, self.say = service, jobs, patience, say
        self._resubmitted = 0

    def run(self, work: Work) -> None:
        """Until every execution of the work has its result in the ledger.

        Raises: BudgetError: a job would pass the budget; it is not sent. JobError: a job failed by its own fault, was
            cancelled, or cannot be read; or the service could not be reached for too long. KeyboardInterrupt: jobs run
            on at the service.
        """
        waiting = list(work.chunks)
        live: list[_Live] = []
        while waiting or live:
            while waiting:
                first, *others = self.parts([waiting.pop(0)], work.halves)
                waiting[:0] = others
                if not self._is_known(first):
                    live.append(self._sent(work, first))
            if live:
                ended = self._next_final(live)
                live.remove(ended)
                waiting += self._settled(work, ended)

    def parts(self, chunks: Sequence[Chunk], halves: Callable[[Chunk], list[Chunk]]) -> list[Chunk]:
        """The chunks, in halves where one of that size took too long before, unless it is paid for as it is."""
        made = []
        for chunk in chunks:
            cut = self._took_too_long(chunk) and not self._is_open(chunk) and not self._is_known(chunk)
            made += self.parts(halves(chunk), halves) if cut else [chunk]
        return made

    def _took_too_long(self, chunk: Chunk) -> bool:
        """Whether a job of no more executions passed its time limit before: in this step or an earlier one."""
        return any(
            job.executions <= chunk.executions and job.message.startswith(str(TOO_LONG)) for job in self.jobs.jobs()
        )

    def _is_open(self, chunk: Chunk) -> bool:
        """Whether a job of that very content may be at the service."""
        return any(job.content == chunk.content for job in self.jobs.open_jobs())

    def _is_known(self, chunk: Chunk) -> bool:
        return len(self.jobs.known(chunk.units)) == len(set(chunk.units))

    # --- out

    def _sent(self, work: Work, chunk: Chunk) -> _Live:
        """The chunk as a job at the service: one that is there already, or a new one."""
        pubs = work.pubs(chunk)
        for job in self.jobs.open_jobs():
            if job.content == chunk.content:
                live = _Live(chunk, job.tag, job.job_id, job.attempt, pubs, _time(job.created_at), job.time_limit)
                if not self.service.finds_jobs and not self.service.find(job.tag, _time(job.created_at)):
                    self._give_up_unreachable(job)  # even an intent: it may have been sent before its id was known
                    break
                if not job.job_id:
                    live.job_id = self._submitted(live, asks_first=True)
                return live
        work.allowed(chunk)
        attempt = self.jobs.attempts(chunk.content)
        tag = f"qtrain:{self.jobs.run_id[:8]}:{work.step}:{chunk.content[:10]}-{attempt}"
        live = _Live(chunk, tag, "", attempt, pubs, datetime.now(UTC), work.limit())
        self.jobs.intend(
            JobRecord(
                tag=tag,
                content=chunk.content,
                state="intent",
                step=work.step,
                backend=work.backend,
                calibration=work.calibration,
                circuits=chunk.circuits,
                executions=chunk.executions,
                predicted=chunk.predicted,
                attempt=attempt,
                time_limit=live.time_limit,
                evaluation=work.evaluation,
            )
        )
        live.job_id = self._submitted(live, asks_first=False)
        return live

    def _give_up_unreachable(self, job: JobRecord) -> None:
        """A job of a process that has ended, at a service that cannot be asked for it."""
        if self.service.is_local:
            self.jobs.failed(job.tag, "abandoned", "the simulation ended with its process", charged=0.0)
            return
        raise JobError(
            f"job {job.tag} was or may have been sent to {self.service.name} by a process that has ended, and this "
            "backend's package cannot find it again; it may have been billed. Look at the vendor's console; to pay for "
            "it once more, train anew in another run directory with --from this one."
        )

    def _submitted(self, live: _Live, *, asks_first: bool) -> str:
        """The id of the one job of this tag, sent at most once as far as the service knows."""
        begun, pause, asks, reopened = time.monotonic(), self.patience.first_pause, asks_first, False
        while True:
            if asks and (found := self._found(live.tag, live.since)):
                return self._only(live, found)
            try:
                job_id = answered(lambda: self._submit(live), LONGEST_REQUEST + self.patience.answer)
            except NoAnswer as error:
                raise JobError(  # it may still go out, from this process
                    f"{live.tag}: {error} while it was sent. Go on with qtrain resume, which looks for it at "
                    f"{self.service.name} first."
                ) from None
            except Exception as error:
                fault = classify(error)
                if found := self._found(live.tag, live.since):  # the reply was lost, not the job
                    self.say("submission", f"{live.tag}: {fault.text}; yet the job is at the service")
                    return self._only(live, found)
                if fault.kind is Kind.SESSION and not reopened:
                    self.say("session", f"{live.tag}: {fault.text}; opening another")
                    self.service.reopen()
                    reopened = True
                elif fault.kind is not Kind.TRANSIENT:
                    if (
                        fault.kind is not Kind.DENIED
                    ):  # a denied one was seen to run all the same: it is looked for again
                        self.jobs.failed(live.tag, "failed", fault.text)
                    raise JobError(f"{live.tag} was not taken: {fault.text}. {way_out(fault)}") from None
                elif time.monotonic() - begun >= self.patience.outage:
                    raise JobError(
                        f"{live.tag}: could not be sent for {self.patience.outage:,.0f} s ({fault.text}). "
                        "Nothing of it is at the service; go on with qtrain resume."
                    ) from None
                else:
                    self.say("submission", f"{live.tag}: {fault.text}; trying again")
                    rest(pause, fault, self.patience)
                    pause = min(2 * pause, self.patience.longest_pause)
                asks = True  # a job may show up late
                continue
            found = self._found(live.tag, live.since) if self.service.finds_jobs else []
            return self._only(live, found if job_id in found else [*found, job_id])  # a list may lag behind

    def _submit(self, live: _Live) -> str:
        shots, tag, seed = live.chunk.shots, live.tag, _seed(live.chunk)
        return self.service.submit(live.pubs, shots=shots, tag=tag, seed=seed, max_seconds=live.time_limit)

    def _found(self, tag: str, since: datetime) -> list[str]:
        return patiently(lambda: self.service.find(tag, since), f"asking for {tag}", self.patience, self.say)

    def _only(self, live: _Live, found: list[str]) -> str:
        """The oldest job of a tag; the others are cancelled."""
        self._cancelled(live.tag, found[1:], found[0])
        self.jobs.submitted(live.tag, found[0])  # last: until then, a process that takes over looks for all of them
        return found[0]

    def _cancelled(self, tag: str, extras: Sequence[str], kept: str) -> None:
        for extra in extras:
            text = f"{tag}: {extra} is a duplicate of {kept}; cancelled"
            patiently(lambda extra=extra: self.service.cancel(extra), f"cancelling {extra}", self.patience, self.say)  # type: ignore[misc]
            self.jobs.duplicate(tag, extra, text)
            self.say("duplicate", text)

    def _look_for_late_ones(self, live: _Live) -> None:
        """A duplicate that the service's list did not show yet when the job was sent."""
        if not self.service.finds_jobs:
            return
        known = {live.job_id, *(twin.job_id for twin in self.jobs.duplicates())}
        extras = [job_id for job_id in self._found(live.tag, live.since) if job_id not in known]
        self._cancelled(live.tag, extras, live.job_id)

    # --- back

    def _next_final(self, live: Sequence[_Live]) -> _Live:
        """The first job that has ended, in whatever order they do."""
        begun, report = time.monotonic(), self.patience.report
        pause = _SIMULATED if self.service.is_local else self.patience.first_poll
        while True:
            for job in live:
                status = self._status(job)
                if status.state.is_final:
                    return job
            if time.monotonic() - begun >= report:
                report *= 2
                self._report(live, time.monotonic() - begun)
            time.sleep(pause)
            pause = min(GROWTH * pause, max(self.patience.first_poll, self.patience.longest_poll))

    def _report(self, live: Sequence[_Live], waited: float) -> None:
        for job in live:
            assert job.last is not None
            place = "" if job.last.queue_position is None else f", place {job.last.queue_position}"
            self.say("waiting", f"job {job.job_id} is {job.last.state.value}{place}; {waited:,.0f} s so far")

    def _status(self, job: _Live) -> JobStatus:
        status = patiently(
            lambda: self.service.status(job.job_id), f"asking how {job.job_id} is", self.patience, self.say
        )
        if status != job.last:
            self.jobs.seen(job.tag, status)
            job.last = status
        return status

    def _settled(self, work: Work, job: _Live) -> list[Chunk]:
        """What is left to do for a job that has ended."""
        status = job.last
        assert status is not None
        if status.state is JobState.DONE:
            self._kept(work, job)
            self._look_for_late_ones(job)
            return []
        self._look_for_late_ones(job)
        reason = redacted(status.reason) or "no reason given"
        if status.state is JobState.CANCELLED:
            self.jobs.failed(job.tag, "cancelled", reason, self._charged(job.job_id))
            raise JobError(
                f"job {job.job_id} was cancelled at the service ({reason}). Nothing is sent in its place; "
                "qtrain resume sends it again."
            )
        charged = self._charged(job.job_id)
        if status.code == TOO_LONG and job.time_limit is not None and (charged is None or charged > job.time_limit - 1):
            text = f"stopped after {job.time_limit} QPU seconds, where the budget ended ({reason})"
            self.jobs.failed(job.tag, "failed", text, charged)
            raise BudgetError(
                f"job {job.job_id} took longer than the {job.chunk.predicted:,.2f} QPU seconds that were predicted, "
                f"and was {text}. A larger budget goes on: qtrain resume RUN --budget ..."
            )
        if status.code == TOO_LONG:
            self.jobs.failed(job.tag, "failed", f"{TOO_LONG} {reason}", charged)
            self.say("split", f"job {job.job_id} passed its time limit ({reason}); sent again as two")
            return work.halves(job.chunk)
        code = "" if status.code is None else f"{status.code} "
        self.jobs.failed(job.tag, "failed", f"{code}{reason}", charged)
        if not failed_by_the_system(status):
            raise FailedJobError(
                f"job {job.job_id} failed: {code}{reason}. It is not sent again, for it would fail again and may be "
                "charged; mend what it names, then go on with qtrain resume."
            )
        if self._resubmitted >= self.patience.resubmissions:
            raise JobError(
                f"job {job.job_id} failed by the service's fault ({code}{reason}), after {self._resubmitted} "
                "resubmissions. Go on with qtrain resume when the backend has recovered."
            )
        self._resubmitted += 1
        self.say("resubmission", f"job {job.job_id} failed by the service's fault ({code}{reason}); sent again")
        return [job.chunk]

    def _kept(self, work: Work, job: _Live) -> None:
        """Reads a result, as often as it takes, and stores it."""
        pause = self.patience.first_pause
        for tries_left in range(self.patience.refetches, -1, -1):
            try:
                result = patiently(
                    lambda: self.service.result(job.job_id), f"reading {job.job_id}", self.patience, self.say
                )
                bits = read_bits(result, job.pubs)
                break
            except UnreadableResult as error:
                if not tries_left:
                    raise JobError(
                        f"job {job.job_id} is done, but {error} Read {self.patience.refetches + 1} times; nothing is "
                        "taken for its values. qtrain resume reads it again, without paying for it again."
                    ) from None
                self.say("result", f"job {job.job_id}: {error} Reading it again")
                time.sleep(pause)
                pause = min(2 * pause, self.patience.longest_pause)
        rows: list[tuple[str, int, Array]] = []
        for found, (basis, _, _) in zip(bits, job.chunk.parts):
            means = string_means(found, work.readings(basis))
            rows += [(job.chunk.units[len(rows) + i], found.shots, row) for i, row in enumerate(means)]
            if found.shots != job.chunk.shots:
                self.say("shots", f"job {job.job_id}: {job.chunk.shots} shots were asked for, {found.shots} granted")
        self.jobs.done(job.tag, rows, self._charged(job.job_id))

    def _charged(self, job_id: str) -> float | None:
        """The service's figure, if it has one yet; no reason to fail."""
        try:
            return answered(lambda: self.service.charged(job_id), self.patience.answer)
        except Exception as error:
            self.say("charge", f"job {job_id}: its charge is not known yet ({classify(error).text})")
            return None


def _seed(chunk: Chunk) -> int:
    return int(chunk.content[:8], 16) >> 1


def _time(iso: str) -> datetime:
    return datetime.fromisoformat(iso)
