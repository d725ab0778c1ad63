"""Scenarios of on-chip training: what goes wrong with a job once it is at the service, and with its result."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from qtrain.chip import split
from qtrain.chip.faults import Patience
from qtrain.errors import JobError
from qtrain.status import status
from tests.qtrain.loopback_training import CIRCUITS, SHOTS, STEPS, X, Y

SECONDS = 2 + 0.00035 * CIRCUITS * SHOTS  # of a step, as the service charges it


def finishes_as_undisturbed(training, expected):
    """By a plain resume."""
    assert np.array_equal(training.resume().weights, expected)


def test_a_result_is_waited_for_while_the_network_is_down(training):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", run_seconds=0.3)
    training.service.fault("GET", "/jobs/[^/]+$", action="unreachable", delay=1.0, skip=1)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    assert training.states() == ["Completed"] * STEPS


@pytest.mark.parametrize("path", ["/jobs/[^/]+$", "/results$", "/status$"])
def test_a_connection_that_has_silently_gone_does_not_hold_the_training_up(training, path):
    """The client itself would wait for ever."""
    expected = training.undisturbed()
    executor = training.executor(patience=Patience(0.02, 0.1, 0.05, 0.2, answer=1.0))
    training.service.fault("GET", path, action="hang", delay=60.0, skip=1)
    begun = time.monotonic()
    result = training.train(executor)
    assert time.monotonic() - begun < 30.0
    assert np.array_equal(result.weights, expected)
    assert training.states() == ["Completed"] * STEPS


@pytest.mark.slow  # the client itself asks for 15 s
def test_an_outage_longer_than_the_clients_own_patience_is_outlasted_and_said(training):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", run_seconds=0.5)
    training.service.fault("GET", "/jobs/[^/]+$", action="unreachable", delay=22.0, skip=1)
    result = training.train(training.executor(patience=Patience(first_poll=0.02, first_pause=0.5, outage=60)))
    assert np.array_equal(result.weights, expected)
    assert training.states() == ["Completed"] * STEPS
    assert [kind for kind, _ in training.said] == ["outage", "outage"]
    assert "answered again" in training.said[-1][1]


def test_an_outage_that_does_not_end_stops_and_loses_nothing(training):
    expected = training.undisturbed()
    training.service.fault("GET", "/results$", code=429, times=None, skip=1)
    with pytest.raises(JobError, match="Jobs at the service are not affected") as caught:
        training.train(training.executor(patience=Patience(0.02, 0.1, 0.05, 0.1, outage=0.5)))
    assert "1 of 3 steps are kept" in caught.value.__notes__[0]
    assert training.service.billing()[-1]["id"] in caught.value.__notes__[0]
    training.service.clear_faults()
    finishes_as_undisturbed(training, expected)
    assert training.states() == ["Completed"] * STEPS


def test_a_slow_queue_is_polled_ever_less_often(training):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", queue_seconds=2.0)
    result = training.train(training.executor(patience=Patience(first_poll=0.1, longest_poll=0.5)))
    assert np.array_equal(result.weights, expected)
    looks = [entry["time"] for entry in training.service.log("GET", "/jobs/[^/]+$")]
    gaps = np.diff(looks)
    assert 5 < len(looks) < 20
    assert 0.45 < max(gaps) < 1.5


def test_a_long_wait_is_said_ever_less_often(training):
    training.undisturbed()
    training.service.next_job(tag=":1:", queue_seconds=2.0)
    training.train(training.executor(patience=Patience(0.02, 0.1, report=0.3)))
    queued = training.service.billing()[1]["id"]
    reports = [text for kind, text in training.said if kind == "waiting" and f"{queued} is queued" in text]
    assert len(reports) in (2, 3)


def test_a_job_that_was_deleted_at_the_service_stops_the_training_once(training):
    expected = training.undisturbed()
    training.service.fault("GET", "/results$", code=429, times=None, skip=1)
    with pytest.raises(JobError):
        training.train(training.executor(patience=Patience(0.02, 0.1, 0.05, 0.1, outage=0.3)))
    training.service.clear_faults()
    from qiskit_ibm_runtime import QiskitRuntimeService

    QiskitRuntimeService().delete_job(training.service.billing()[-1]["id"])
    with pytest.raises(JobError, match="is not at the service any more"):
        training.resume()
    finishes_as_undisturbed(training, expected)


def interrupted_while_queued(training, look=lambda: None):
    """Ctrl-C, a while after the second job has come to the queue."""
    end = time.monotonic() + 30

    def interrupt():
        while not training.service.jobs(tag=":1:", state="Queued") and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.3)
        look()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()


def test_status_from_another_terminal_while_a_job_queues_then_ctrl_c_leaves_it_there(training):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", queue_seconds=2.0)
    seen = {}

    def look():
        seen.update(status(training.folder / "run"))

    interrupted_while_queued(training, look)
    with pytest.raises(KeyboardInterrupt, match="qtrain resume") as caught:
        training.train()
    assert training.states()[-1] == "Queued"
    assert training.service.billing()[-1]["id"] in str(caught.value)
    assert seen["step"] == 1
    assert [job["state"] for job in seen["jobs"]["open"]] == ["queued"]
    finishes_as_undisturbed(training, expected)
    assert training.states() == ["Completed"] * STEPS


def test_a_run_that_was_stopped_is_cancelled_by_command_and_resumed_later(training, capsys):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", queue_seconds=5.0)
    interrupted_while_queued(training)
    with pytest.raises(KeyboardInterrupt):
        training.train()
    assert training.command("cancel", training.folder / "run") == 0
    assert training.states() == ["Completed", "Cancelled"]
    assert training.service.billing()[1]["id"] in capsys.readouterr().out
    finishes_as_undisturbed(training, expected)
    assert training.states() == ["Completed", "Cancelled", "Completed", "Completed"]


def test_a_job_that_fails_by_the_users_fault_is_not_sent_again(training):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", fail="user", reason="Job not valid: rzz angle out of range")
    with pytest.raises(JobError, match=r"rzz angle out of range.*not sent again"):
        training.train()
    assert training.states() == ["Completed", "Failed"]
    finishes_as_undisturbed(training, expected)  # once the cause is mended
    assert training.states() == ["Completed", "Failed", "Completed", "Completed"]
    with training.ledger() as jobs:
        assert jobs.spent().seconds == pytest.approx(sum(job["charged"] for job in training.service.billing()))


def test_the_command_says_what_stopped_it_and_how_to_go_on(training, capsys):
    rows = training.folder / "rows.csv"
    rows.write_text("a,b,label\n" + "\n".join(f"{x[0]},{x[1]},{y}" for x, y in zip(X, Y)))
    options = ("--data", rows, "--backend", "ibm_manila", "--shots", 40, "--steps", 2, "--batch-size", 4, "--blocks", 1)
    training.service.next_job(skip=1, fail="user", reason="Job not valid")
    run = training.folder / "run"
    assert training.command("train", *options, "--budget", 100, "--run-dir", run, "--quiet") == 1
    said = capsys.readouterr().err
    assert "Job not valid" in said
    assert f"1 of 2 steps are kept in {run}; go on with qtrain resume {run}" in said
    assert training.command("resume", run, "--quiet") == 0
    assert "2 steps, finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    "failure", [{"reason_code": 1000}, {"reason_code": 9999, "reason": "Something unheard of"}, {}]
)
def test_a_job_that_fails_by_the_systems_fault_is_sent_again(training, failure):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", fail="system", times=2, **failure)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    assert training.states() == ["Completed", "Failed", "Failed", "Completed", "Completed"]
    assert [kind for kind, _ in training.said] == ["resubmission"] * 2
    with training.ledger() as jobs:
        assert jobs.spent().seconds == pytest.approx(STEPS * SECONDS)


def test_a_job_that_fails_by_the_systems_fault_for_ever_is_sent_so_often_and_no_more(training):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", fail="system", reason_code=1000, times=None)
    with pytest.raises(JobError, match="3 resubmissions"):
        training.train()
    assert training.states() == ["Completed"] + ["Failed"] * 4
    training.service.ask("DELETE", "next_job")
    finishes_as_undisturbed(training, expected)


def test_resubmission_keeps_to_the_budget(training):
    """A failure of the service's that is charged all the same."""
    training.undisturbed()
    training.service.next_job(tag=":1:", fail="system", reason_code=1000, times=None)
    training.service.fault("GET", "/metrics$", action="body", times=None, body='{"usage": {"qpu_charge_time_seconds": 3.0, "status": "complete"}}')  # fmt: skip # noqa: E501
    result = training.train(training.executor(budget=9.0))
    assert (result.stopped, result.steps) == ("budget", 1)
    assert training.states() == ["Completed", "Failed", "Failed"]


def test_a_job_that_is_cancelled_from_the_dashboard_stops_the_training(training):
    expected = training.undisturbed()
    training.service.next_job(tag=":1:", cancel=True)
    with pytest.raises(JobError, match="was cancelled") as caught:
        training.train()
    assert "1 of 3 steps are kept" in caught.value.__notes__[0]
    assert training.states() == ["Completed", "Cancelled"]
    finishes_as_undisturbed(training, expected)
    assert training.states() == ["Completed", "Cancelled", "Completed", "Completed"]


def test_a_job_that_takes_too_long_is_split(training):
    expected = training.undisturbed()
    limit = 2 + 0.00035 * SHOTS * 0.7 * CIRCUITS
    training.service.settings(job_limit_seconds=limit)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    bill = training.service.billing()
    done = [job["circuits"] for job in bill if job["state"] == "Completed"]
    assert sum(done) == STEPS * CIRCUITS
    assert max(done) <= 0.7 * CIRCUITS
    # the limit is met once: later steps are split before they are sent
    assert [job["circuits"] for job in bill if job["state"] != "Completed"] == [CIRCUITS]
    with training.ledger() as jobs:
        assert jobs.spent().seconds == pytest.approx(sum(job["charged"] for job in bill))


@pytest.mark.parametrize("action", ["truncate", "empty", "wrong_type", "wrong_shape"])
def test_a_result_that_is_none_is_read_again_and_never_taken_for_zeros(training, action):
    expected = training.undisturbed()
    training.service.fault("GET", "/results$", action=action, times=2, skip=1)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    assert training.states() == ["Completed"] * STEPS
    assert [kind for kind, _ in training.said] == ["result"] * 2


@pytest.mark.parametrize("action", ["truncate", "wrong_shape"])
def test_a_result_that_stays_unreadable_stops_the_training_and_is_not_paid_again(training, action):
    expected = training.undisturbed()
    training.service.fault("GET", "/results$", action=action, times=None, skip=1)
    with pytest.raises(JobError, match="nothing is taken for its values"):
        training.train()
    training.service.clear_faults()
    finishes_as_undisturbed(training, expected)
    assert training.states() == ["Completed"] * STEPS


def test_a_result_that_breaks_off_is_read_again(training):
    expected = training.undisturbed()
    training.service.fault("GET", "/results$", action="cut", times=3, skip=1)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    assert training.states() == ["Completed"] * STEPS


def three_jobs_a_step(monkeypatch):
    monkeypatch.setattr(split, "capacity", lambda *_: -(-CIRCUITS // 3))


def test_of_a_step_in_several_jobs_only_what_failed_is_sent_again(training, monkeypatch):
    expected = training.undisturbed()
    three_jobs_a_step(monkeypatch)
    training.service.next_job(skip=4, fail="system", reason_code=1000)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    assert training.states() == ["Completed"] * 4 + ["Failed"] + ["Completed"] * 5
    assert sum(job["executions"] for job in training.service.billing()) == (STEPS + 1 / 3) * CIRCUITS * SHOTS


def test_of_a_step_in_several_jobs_those_that_are_done_are_kept_where_one_stops_it(training, monkeypatch):
    expected = training.undisturbed()
    three_jobs_a_step(monkeypatch)
    training.service.next_job(skip=3, fail="user")
    with pytest.raises(JobError):
        training.train()
    finishes_as_undisturbed(training, expected)
    assert training.states() == ["Completed"] * 3 + ["Failed"] + ["Completed"] * 6


def test_results_that_come_out_of_order_are_told_apart_by_their_job(training, monkeypatch):
    expected = training.undisturbed()
    three_jobs_a_step(monkeypatch)
    for seconds in (1.4, 0.7, 0.0):
        training.service.next_job(run_seconds=seconds)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    bill = training.service.billing()
    assert [job["state"] for job in bill] == ["Completed"] * 3 * STEPS
    assert bill[0]["finished"] > bill[1]["finished"] > bill[2]["finished"]


def test_shots_that_were_granted_are_those_of_the_means(training):
    expected = training.undisturbed()
    weights = []
    for name in ("run", "again"):
        training.service.next_job(shots_granted=40, skip=1)
        weights.append(training.train(run_dir=training.folder / name).weights)
    assert np.array_equal(*weights)
    assert not np.array_equal(weights[0], expected)
    with training.ledger() as jobs:
        points = [point for (point,) in jobs._file.select("SELECT point FROM results")]
        known = jobs.known(points)
    assert sorted({shots for shots, _ in known.values()}) == [40, SHOTS]
    assert all(np.allclose(np.round(values * shots), values * shots, atol=1e-9) for shots, values in known.values())
    assert "64 shots were asked for, 40 granted" in dict(training.said)["shots"]
