"""The list of jobs and results, against plain lists, and read by others while it is written."""

import dataclasses
import os
import shutil
import tempfile

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qtrain.chip.types import JobRecord, JobState, JobStatus
from qtrain.errors import JobError, RunError, StorageError
from qtrain.jobs import Duplicate, JobLedger, Spent


def job(tag="a", content="c", step=0, executions=100, predicted=2.0):
    return JobRecord(tag, content, "intent", step, "fake", "sha", 1, executions, predicted)


def results(*points, shots=64):
    return [(p, shots, np.full(2, float(len(p)) + 0.1)) for p in points]


class Against(RuleBasedStateMachine):
    """Every sequence of calls, with the file closed and opened in between, against plain lists."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.path = os.path.join(self.folder, "jobs.sqlite3")
        self.ledger = JobLedger(self.path)
        self.run_id = self.ledger.run_id
        self.jobs, self.results, self.events, self.twins = {}, {}, [], {}

    def teardown(self):
        self.ledger.close()
        shutil.rmtree(self.folder)

    tags = st.sampled_from("abcd")
    points = st.lists(st.sampled_from("pqrst"), max_size=4)

    def refused(self, call):
        with pytest.raises(RunError):
            call()

    @rule(tag=tags, content=st.sampled_from("xy"))
    def intend(self, tag, content):
        made = job(tag, content)
        if tag in self.jobs:
            self.refused(lambda: self.ledger.intend(made))
            return
        self.ledger.intend(made)
        self.jobs[tag] = made

    @rule(tag=tags)
    def submitted(self, tag):
        if tag not in self.jobs or self.jobs[tag].state not in ("intent", "submitted"):
            self.refused(lambda: self.ledger.submitted(tag, f"id-{tag}"))
            return
        self.ledger.submitted(tag, f"id-{tag}")
        self.jobs[tag] = dataclasses.replace(self.jobs[tag], state="submitted", job_id=f"id-{tag}")

    @rule(tag=tags, points=points, shots=st.integers(1, 9), charged=st.none() | st.floats(0, 9))
    def done(self, tag, points, shots, charged):
        values = results(*points, shots=shots)
        if tag not in self.jobs:
            self.refused(lambda: self.ledger.done(tag, values, charged))
            return
        self.ledger.done(tag, iter(values), charged)
        for point, number, array in values:
            self.results.setdefault(point, (number, array.tolist(), tag))
        before = self.jobs[tag]
        charged = before.charged if charged is None else charged
        self.jobs[tag] = dataclasses.replace(before, state="done", message="", charged=charged)

    @rule(tag=tags, state=st.sampled_from(["failed", "cancelled", "abandoned"]), charged=st.none() | st.floats(0, 9))
    def failed(self, tag, state, charged):
        if tag not in self.jobs or self.jobs[tag].state == "done":
            self.refused(lambda: self.ledger.failed(tag, state, "why", charged))
            return
        self.ledger.failed(tag, state, "why", charged)
        before = self.jobs[tag]
        charged = before.charged if charged is None else charged
        self.jobs[tag] = dataclasses.replace(before, state=state, message="why", charged=charged)

    @rule(tag=tags, charged=st.floats(0, 9), twin=st.booleans())
    def charged(self, tag, charged, twin):
        if tag in self.jobs:
            twin = twin and tag in self.twins
            self.ledger.charged(tag, charged, job_id=f"twin-{tag}" if twin else "")
            if twin:
                self.twins[tag] = charged
            else:
                self.jobs[tag] = dataclasses.replace(self.jobs[tag], charged=charged)

    @rule(tag=tags)
    def duplicate(self, tag):
        if tag in self.jobs:
            self.ledger.duplicate(tag, f"twin-{tag}", "cancelled")
            self.twins.setdefault(tag, None)

    @rule(text=st.text(max_size=5))
    def event(self, text):
        self.ledger.event("outage", text)
        self.events.append(("outage", text))

    @rule()
    def reopen(self):
        self.ledger.close()
        self.ledger = JobLedger(self.path)

    @invariant()
    def agrees(self):
        with JobLedger.read(self.path) as other:
            assert other.run_id == self.run_id
            self.compare(other)
        self.compare(self.ledger)

    def compare(self, ledger):
        assert [dataclasses.replace(j, created_at="") for j in ledger.jobs()] == list(self.jobs.values())
        assert [j.tag for j in ledger.open_jobs()] == [
            tag for tag, j in self.jobs.items() if j.state in ("intent", "submitted")
        ]
        known = ledger.known([*"pqrst", "p", "never"])
        assert {p: (n, v.tolist()) for p, (n, v) in known.items()} == {p: r[:2] for p, r in self.results.items()}
        for point, (_, _, tag) in self.results.items():
            assert [j.tag for j in ledger.paid_by([point])] == [tag]
        assert [e[1:] for e in ledger.events()] == self.events
        for content in "xy":
            ended = [j for j in self.jobs.values() if j.content == content and j.state[:4] in ("fail", "canc", "aban")]
            assert ledger.attempts(content) == len(ended)
        spent = ledger.spent()
        assert spent.duplicates == len(self.twins) == len(ledger.duplicates())
        sent = [
            j
            for j in self.jobs.values()
            if j.job_id or j.charged is not None or j.state not in ("failed", "cancelled", "abandoned")
        ]
        dues = [2.0 if c is None else c for c in [*(j.charged for j in sent), *self.twins.values()]]
        assert spent.seconds == pytest.approx(sum(dues))
        assert spent.jobs == len(sent)


Against.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestAgainstPlainLists = Against.TestCase


# --- what counts


def test_seconds_are_as_charged_where_known_else_as_predicted_and_nothing_that_never_reached_the_service():
    ledger = JobLedger()
    for tag in "abcde":
        ledger.intend(job(tag))
    ledger.submitted("a", "1")
    ledger.done("a", results("p"))
    ledger.submitted("b", "2")
    ledger.failed("b", "failed", "broken", charged=0.5)
    ledger.submitted("c", "3")
    ledger.failed("c", "cancelled", "by hand")
    ledger.failed("d", "abandoned", "the service does not know it")
    ledger.duplicate("a", "9", "found by tag")
    assert ledger.spent() == Spent(executions=200, seconds=2 + 0.5 + 2 + 2 + 2, jobs=4, duplicates=1)
    ledger.charged("a", 1.0)
    ledger.charged("a", 0.25, job_id="9")
    assert ledger.spent().seconds == 1 + 0.5 + 2 + 2 + 0.25
    assert ledger.duplicates() == [Duplicate("a", "9", 2.0, 0.25, "found by tag", ledger.duplicates()[0].created_at)]


def test_a_job_that_was_given_up_may_still_come_back_with_what_was_paid_for():
    ledger = JobLedger()
    ledger.intend(job())
    ledger.failed("a", "cancelled", "by qtrain cancel")
    ledger.done("a", results("p"))
    assert ledger.known(["p"])["p"][0] == 64
    with pytest.raises(RunError, match="job a is done"):
        ledger.failed("a", "cancelled", "too late")
    with pytest.raises(RunError, match="job a is done"):
        ledger.submitted("a", "2")


def test_a_point_keeps_its_first_result():
    ledger = JobLedger()
    for tag in "ab":
        ledger.intend(job(tag))
    ledger.done("a", results("p", shots=7))
    ledger.done("b", [("p", 9, np.zeros(2)), *results("q")])
    assert ledger.known(["p"])["p"][0] == 7
    assert ledger.known(["p"])["p"][1].tolist() == results("p")[0][2].tolist()
    assert [j.tag for j in ledger.paid_by(["p"])] == ["a"]
    assert sorted(ledger.known(["p", "q"])) == ["p", "q"]


def test_results_come_back_bit_for_bit_and_cannot_be_written_into():
    ledger, values = JobLedger(), np.random.default_rng(0).normal(size=1000) * 1e-300
    ledger.intend(job())
    ledger.done("a", [("p", 7, values)])
    shots, back = ledger.known(["p"])["p"]
    assert shots == 7
    assert back.tobytes() == values.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 0


def test_many_points_in_one_question():
    ledger = JobLedger()
    ledger.intend(job())
    ledger.done("a", results(*(f"p{i}" for i in range(2500))))
    assert len(ledger.known([f"p{i}" for i in range(3000)])) == 2500
    assert [j.tag for j in ledger.paid_by([f"p{i}" for i in range(3000)])] == ["a"]


@pytest.mark.parametrize(
    ("values", "shots"),
    [(np.zeros((2, 2)), 1), (np.array([np.nan]), 1), (np.array([np.inf]), 1), (np.zeros(2, int), 1), (np.zeros(2), 0)],
)
def test_what_is_no_result_is_refused_and_nothing_of_the_job_is_kept(values, shots):
    ledger = JobLedger()
    ledger.intend(job())
    with pytest.raises(JobError, match="the result of point bad"):
        ledger.done("a", [*results("good"), ("bad", shots, values)])
    assert ledger.known(["good", "bad"]) == {}
    assert ledger.jobs()[0].state == "intent"


def test_how_a_job_was_last_seen_is_written_only_where_it_changed(tmp_path):
    path = tmp_path / "jobs.sqlite3"
    ledger = JobLedger(path)
    ledger.intend(job())
    ledger.seen("a", JobStatus(JobState.QUEUED, queue_position=7))
    before = path.stat().st_mtime_ns
    ledger.seen("a", JobStatus(JobState.QUEUED, queue_position=7))
    assert path.stat().st_mtime_ns == before
    ledger.seen("a", JobStatus(JobState.RUNNING))
    with JobLedger.read(path) as other:
        at, status = other.last_seen()["a"]
    assert status == JobStatus(JobState.RUNNING)
    assert at.endswith("+00:00")


# --- other processes


def test_a_reader_sees_what_is_committed_while_a_transaction_is_open_and_cannot_write(tmp_path):
    path = tmp_path / "jobs.sqlite3"
    ledger = JobLedger(path)
    ledger.intend(job())
    with JobLedger.read(path) as other:

        def half():
            yield from results("p")
            assert other.known(["p"]) == {}
            assert other.jobs()[0].state == "intent"
            yield from results("q")

        ledger.done("a", half())
        assert sorted(other.known(["p", "q"])) == ["p", "q"]
        with pytest.raises(StorageError, match="readonly"):
            other.event("a", "b")
