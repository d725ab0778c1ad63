"""Jobs from intent to result under every fault: nothing is lost, nothing is paid for twice, nothing is made up."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp

from qtrain.chip import faults
from qtrain.chip.budget import Budget
from qtrain.chip.faults import Patience
from qtrain.chip.types import JobState
from qtrain.errors import BudgetError, JobError
from qtrain.executors.base import shifted_points
from qtrain.executors.chip import ChipExecutor
from tests.gradient_circuits import sel
from tests.qtrain.fake_service import FakeService, ServerError

QUICK = Patience(first_poll=0, longest_poll=0, first_pause=0, longest_pause=0, outage=5, resubmissions=3, refetches=3)
KEY = (0, 4, 0)
SYSTEM = (JobState.FAILED, "internal error", 9999)
USER = (JobState.FAILED, "circuit is not valid", 1002)
TOO_LONG = (JobState.FAILED, "ran too long", 1305)


def executor_on(service, monkeypatch, run_dir=None, **options):
    monkeypatch.setattr("qtrain.executors.chip.service_of", lambda *_: service)
    said = []
    made = ChipExecutor(
        None, shots=64, effort="fast", patience=QUICK, say=lambda *a: said.append(a), **{"budget": 1e6, **options}
    )
    made.said = said
    made.open(run_dir)
    return made


def problem(executor):
    circuit, features, weights = sel(3, 1)
    observables = [SparsePauliOp("IIZ"), SparsePauliOp(["XXI", "ZII"], [0.5, 1.0])]
    program = executor.prepare(circuit, observables, features=features, weights=weights)
    rng = np.random.default_rng(0)
    return program, program.angles(rng.uniform(-1, 1, (3, 3)), rng.uniform(-1, 1, len(weights)))


@pytest.fixture(scope="module")
def undisturbed():
    with pytest.MonkeyPatch.context() as patch:
        executor = executor_on(FakeService(), patch)
        program, angles = problem(executor)
        return executor.expectations(program, angles, key=KEY)


ON_SUBMIT = st.sampled_from(["ok", "before", "after", "twice", "limited"])
ON_RESULT = st.sampled_from(["ok", "truncated", "empty", "before", "short"])


@settings(max_examples=60, deadline=None)
@given(
    submit=st.lists(ON_SUBMIT, max_size=4),
    find=st.lists(st.sampled_from(["ok", "before"]), max_size=3),
    status=st.lists(st.sampled_from(["ok", "reset"]), max_size=3),
    result=st.lists(ON_RESULT, max_size=3),
    fates=st.lists(st.sampled_from([(JobState.DONE, "", None), SYSTEM]), max_size=3),
)
def test_every_mixture_of_faults_ends_with_the_undisturbed_numbers(undisturbed, submit, find, status, result, fates):
    service = FakeService(fates=deque(fates))
    service.faults = {"submit": deque(submit), "find": deque(find), "status": deque(status), "result": deque(result)}
    with pytest.MonkeyPatch.context() as patch:
        executor = executor_on(service, patch)
        program, angles = problem(executor)
        assert np.array_equal(executor.expectations(program, angles, key=KEY), undisturbed)
    alive = [job for job in service.billed() if job.state is JobState.DONE]
    assert len(alive) == 1  # all others failed by the system's fault, or were duplicates and are cancelled
    spent = executor.jobs.spent()
    cancelled = sum(job.state is JobState.CANCELLED for job in service.jobs.values())
    assert spent.duplicates == cancelled
    assert spent.jobs + spent.duplicates == len(service.jobs)
    assert not executor.jobs.open_jobs()


def test_a_job_of_a_process_that_died_is_taken_up(monkeypatch, tmp_path, undisturbed):
    for moment in ("intend", "submit", "submitted", "result", "done"):
        folder = tmp_path / moment
        folder.mkdir()
        service = FakeService()
        executor = executor_on(service, monkeypatch, folder)
        program, angles = problem(executor)
        target = executor.jobs if moment in ("intend", "submitted", "done") else service
        original = getattr(target, moment)

        def dies(*a, original=original, moment=moment, **k):
            if moment in ("intend", "submit", "submitted"):
                original(*a, **k)  # dies right behind it
            raise SystemExit

        monkeypatch.setattr(target, moment, dies)
        with pytest.raises(SystemExit):
            executor.expectations(program, angles, key=KEY)
        executor.jobs.close()
        monkeypatch.undo()

        again = executor_on(service, monkeypatch, folder)
        program, angles = problem(again)
        assert np.array_equal(again.expectations(program, angles, key=KEY), undisturbed), moment
        assert len(service.jobs) == 1, moment
        assert again.jobs.spent().jobs == 1


def test_duplicates_are_found_by_whoever_takes_over(monkeypatch, tmp_path, undisturbed):
    service = FakeService(faults={"submit": deque(["twice"])})
    executor = executor_on(service, monkeypatch, tmp_path)

    def dies(job_id):
        raise SystemExit

    monkeypatch.setattr(service, "cancel", dies)
    with pytest.raises(SystemExit):
        executor.expectations(*problem(executor), key=KEY)
    executor.jobs.close()
    monkeypatch.undo()
    again = executor_on(service, monkeypatch, tmp_path)
    assert np.array_equal(again.expectations(*problem(again), key=KEY), undisturbed)
    assert len(service.jobs) == 2
    assert len(service.billed()) == 1
    assert again.jobs.spent().duplicates == 1


@pytest.mark.parametrize("moment", ["intend", "submitted"])
def test_a_paid_service_that_cannot_find_jobs_is_never_paid_twice(monkeypatch, tmp_path, moment):
    service = FakeService(finds_jobs=False)
    executor = executor_on(service, monkeypatch, tmp_path)
    original = getattr(executor.jobs, moment)

    def dies(*arguments):
        original(*arguments)
        raise SystemExit

    monkeypatch.setattr(executor.jobs, moment, dies)
    with pytest.raises(SystemExit):
        executor.expectations(*problem(executor), key=KEY)
    executor.jobs.close()
    monkeypatch.undo()
    sent = len(service.jobs)
    monkeypatch.setattr(service, "find", lambda tag, since: [])  # as of another process
    again = executor_on(service, monkeypatch, tmp_path)
    with pytest.raises(JobError, match="may have been billed"):
        again.expectations(*problem(again), key=KEY)
    assert len(service.jobs) == sent


def test_the_same_points_are_never_sent_again(monkeypatch, tmp_path):
    service = FakeService()
    executor = executor_on(service, monkeypatch, tmp_path)
    program, angles = problem(executor)
    first = executor.expectations(program, angles, key=KEY)
    assert np.array_equal(executor.expectations(program, angles, key=KEY), first)
    executor.jobs.close()
    again = executor_on(service, monkeypatch, tmp_path)
    assert np.array_equal(again.expectations(*problem(again), key=KEY), first)
    assert again.ledger == executor.ledger - again.ledger  # the bill is shown each time, and paid once
    assert len(service.jobs) == 1
    again.expectations(*problem(again), key=(0, 5, 0))
    assert len(service.jobs) == 2


def test_a_job_that_failed_by_its_own_fault_is_not_sent_again(monkeypatch):
    service = FakeService(fates=deque([USER]))
    executor = executor_on(service, monkeypatch)
    with pytest.raises(JobError, match=r"job0 failed: 1002 circuit is not valid.*not sent again.*resume"):
        executor.expectations(*problem(executor), key=KEY)
    assert len(service.jobs) == 1


def test_resubmissions_are_bounded(monkeypatch):
    service = FakeService(fates=deque([SYSTEM] * 10))
    executor = executor_on(service, monkeypatch)
    with pytest.raises(JobError, match="after 3 resubmissions"):
        executor.expectations(*problem(executor), key=KEY)
    assert len(service.jobs) == 4
    assert len({job.tag for job in service.jobs.values()}) == 4


def test_a_cancelled_job_stops_the_run(monkeypatch):
    service = FakeService(fates=deque([(JobState.CANCELLED, "by the user", None)]))
    executor = executor_on(service, monkeypatch)
    with pytest.raises(JobError, match="job0 was cancelled at the service"):
        executor.expectations(*problem(executor), key=KEY)
    assert len(service.jobs) == 1


def test_a_job_that_takes_too_long_is_sent_in_parts(monkeypatch, undisturbed):
    service = FakeService(fates=deque([TOO_LONG, TOO_LONG]))
    executor = executor_on(service, monkeypatch)
    assert np.array_equal(executor.expectations(*problem(executor), key=KEY), undisturbed)
    done = [sum(len(p.values) for p in job.pubs) for job in service.jobs.values() if job.state is JobState.DONE]
    assert sum(done) == 3 * 2  # points times bases, each once
    assert len(done) == 3


def test_an_unreadable_result_is_never_taken_for_numbers(monkeypatch, tmp_path, undisturbed):
    service = FakeService(faults={"result": deque(["truncated"] * 4)})
    executor = executor_on(service, monkeypatch, tmp_path)
    with pytest.raises(JobError, match=r"job0 is done, but the result is a str.*Read 4 times"):
        executor.expectations(*problem(executor), key=KEY)
    assert [job.state for job in executor.jobs.jobs()] == ["submitted"]
    executor.jobs.close()
    again = executor_on(service, monkeypatch, tmp_path)
    assert np.array_equal(again.expectations(*problem(again), key=KEY), undisturbed)
    assert len(service.jobs) == 1


def test_credentials_that_are_refused_stop_at_once_with_a_way_out(monkeypatch):
    class IBMNotAuthorizedError(Exception):
        pass

    secret = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtYXJrZXIifQ.marker-of-a-token"
    service = FakeService(faults={"submit": deque([IBMNotAuthorizedError(f"401: Bearer {secret}")])})
    executor = executor_on(service, monkeypatch)
    with pytest.raises(JobError, match="QISKIT_IBM_TOKEN") as caught:
        executor.expectations(*problem(executor), key=KEY)
    assert (
        "marker-of-a-token" not in f"{caught.value!r} {executor.said} {executor.jobs.jobs()} {executor.jobs.events()}"
    )
    assert service.calls.count("submit") == 1


def test_a_denied_submission_that_runs_all_the_same_is_found_by_resume(monkeypatch, tmp_path, undisturbed):
    service = FakeService(faults={"submit": deque(["denied"]), "find": deque(["late"])})
    executor = executor_on(service, monkeypatch, tmp_path)
    with pytest.raises(JobError, match="QISKIT_IBM_TOKEN"):
        executor.expectations(*problem(executor), key=KEY)
    executor.jobs.close()
    again = executor_on(service, monkeypatch, tmp_path)
    assert np.array_equal(again.expectations(*problem(again), key=KEY), undisturbed)
    assert len(service.jobs) == 1


def test_an_outage_is_waited_for_within_bounds(monkeypatch):
    service = FakeService(faults={"submit": deque([ServerError(503)] * 10**5)})
    executor = executor_on(service, monkeypatch)
    executor.patience = Patience(first_pause=0.01, longest_pause=0.01, outage=0.1)
    with pytest.raises(JobError, match="could not be sent for"):
        executor.expectations(*problem(executor), key=KEY)
    assert not service.jobs


def test_a_closed_session_is_opened_again_once(monkeypatch):
    closed = [RuntimeError("400: the session is closed")]
    service = FakeService(faults={"submit": deque(closed)})
    executor = executor_on(service, monkeypatch)
    executor.expectations(*problem(executor), key=KEY)
    assert service.calls.count("reopen") == 1
    service = FakeService(faults={"submit": deque(closed * 2)})
    executor = executor_on(service, monkeypatch)
    with pytest.raises(JobError, match="batch"):
        executor.expectations(*problem(executor), key=KEY)


def test_the_shots_that_were_granted_are_the_ones_used(monkeypatch):
    service = FakeService(granted=50)
    executor = executor_on(service, monkeypatch)
    values = executor.expectations(*problem(executor), key=KEY)
    assert np.all(np.abs(values[:, 0] * 50 / 2 - np.round(values[:, 0] * 50 / 2)) < 1e-9)  # means over 50
    assert any("64 shots were asked for, 50 granted" in text for _, text in executor.said)


def test_a_budget_is_looked_at_before_every_job(monkeypatch, tmp_path):
    service = FakeService()
    executor = executor_on(service, monkeypatch, tmp_path, budget=5)
    program, angles = problem(executor)
    executor.expectations(program, angles, key=KEY)
    with pytest.raises(BudgetError, match="Nothing was sent"):
        executor.shifted_expectations(program, angles, np.arange(program.num_slots), np.array([1.5, -1.5]), key=KEY)
    assert len(service.jobs) == 1
    service.fates = deque([SYSTEM] * 9)
    sent = len(service.jobs)
    with pytest.raises(BudgetError):  # the first one may be sent again, the second one would pass the cap
        executor.expectations(program, angles, key=(0, 10, 0))
    assert len(service.jobs) <= sent + 1


@pytest.mark.parametrize(("budget", "cap"), [(10, 10.0), ("16 USD", 10.0)])  # at 1.60 USD a second
def test_a_job_that_takes_longer_than_predicted_cannot_pass_the_budget(monkeypatch, budget, cap):
    service = FakeService()
    executor = executor_on(service, monkeypatch, budget=budget)
    program, angles = problem(executor)
    for step in range(3):
        executor.expectations(program, angles, key=(0, step, 0))
    predicted = executor.jobs.jobs()[0].predicted
    limits = [job.limit for job in service.jobs.values()]
    assert limits == [int(cap - n * predicted) for n in range(3)]
    assert all(limit >= predicted for limit in limits)
    service.fates = deque([TOO_LONG])
    with pytest.raises(BudgetError, match=r"stopped after 3 QPU seconds, where the budget ended.*--budget"):
        executor.expectations(program, angles, key=(0, 3, 0))
    executor.budget = Budget.parse(100)  # as resume raises it
    executor.expectations(program, angles, key=(0, 3, 0))
    assert len(service.jobs) == 5  # whole again: it did not take too long for the service
    unlimited = executor_on(FakeService(paid=False), monkeypatch, budget=None)
    unlimited.expectations(*problem(unlimited), key=KEY)
    assert [job.limit for job in unlimited.service.inner.jobs.values()] == [None]


def test_requests_that_were_prefetched_are_one_job(monkeypatch):
    service = FakeService()
    executor = executor_on(service, monkeypatch)
    program, angles = problem(executor)
    slots, shifts = np.arange(program.num_slots), np.array([np.pi / 2, -np.pi / 2])
    points = shifted_points(angles, slots, shifts).reshape(-1, program.num_slots)
    executor.prefetch(program, [(angles, KEY), (points, (0, 4, 1))])
    together = executor.ledger
    executor.expectations(program, angles, key=KEY)
    executor.shifted_expectations(program, angles, slots, shifts, key=(0, 4, 1))
    assert len(service.jobs) == 1
    assert executor.ledger == together
    assert together.circuits == (3 + 3 * len(slots) * 2) * program.num_bases


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServerError(500), faults.Kind.TRANSIENT),
        (ServerError(429), faults.Kind.TRANSIENT),
        (ServerError(400), faults.Kind.REFUSED),
        (ServerError(401), faults.Kind.DENIED),
        (ConnectionResetError("reset"), faults.Kind.TRANSIENT),
        (TimeoutError(), faults.Kind.TRANSIENT),
        (
            RuntimeError("Failed to run program: '503 Server Error: Service Unavailable for url: x'"),
            faults.Kind.TRANSIENT,
        ),
        (RuntimeError("HTTPSConnectionPool(host='x'): Max retries exceeded with url: /jobs"), faults.Kind.TRANSIENT),
        (RuntimeError("The session is closed."), faults.Kind.SESSION),
        (ValueError("shots must be positive"), faults.Kind.REFUSED),
    ],
)
def test_faults_are_told_apart(error, kind):
    assert faults.classify(error).kind is kind


@pytest.mark.parametrize("change", [{"outage": -1}, {"resubmissions": 1.5}, {"first_poll": float("nan")}])
def test_patience_is_checked(change):
    with pytest.raises(Exception, match="patience"):
        Patience(**change)
