"""Scenarios of on-chip training: what goes wrong before a job is at the service, and while it is handed over."""

import time

import numpy as np
import pytest

from qtrain.chip.faults import Patience
from qtrain.errors import ConfigError, JobError, PreflightError
from tests.qtrain.loopback_training import CIRCUITS, SHOTS, STEPS

SECONDS = 2 + 0.00035 * CIRCUITS * SHOTS  # of a step, as the service charges it


def undisturbed_bill(training):
    """Every job ran once, and nothing else."""
    bill = training.service.billing()
    assert [(job["state"], job["executions"]) for job in bill] == [("Completed", CIRCUITS * SHOTS)] * STEPS


def test_5xx_on_submission_is_one_job(training):
    expected = training.undisturbed()
    training.service.fault("POST", "/jobs$", code=500, times=2, skip=1)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    undisturbed_bill(training)


def test_a_duplicate_made_by_the_clients_own_retry_is_cancelled_and_reported(training):
    expected = training.undisturbed()
    training.service.settings(queue_seconds=1.0)
    training.service.fault("POST", "/jobs$", code=502, phase="after", skip=1)
    result = training.train(steps=STEPS)
    assert np.array_equal(result.weights, expected)
    bill = training.service.billing()
    assert [job["state"] for job in bill] == ["Completed", "Completed", "Cancelled", "Completed"]
    assert bill[1]["tags"] == bill[2]["tags"]
    assert sum(job["charged"] for job in bill) == pytest.approx(STEPS * SECONDS)
    with training.ledger() as jobs:
        spent, (twin,) = jobs.spent(), jobs.duplicates()
    assert (spent.jobs, spent.duplicates, spent.seconds) == (STEPS, 1, pytest.approx(STEPS * SECONDS))
    assert (twin.job_id, twin.charged) == (bill[2]["id"], 0.0)
    (text,) = [text for kind, text in training.said if kind == "duplicate"]
    assert twin.job_id in text


def test_a_duplicate_that_the_list_of_jobs_shows_late_is_found_as_well(training):
    expected = training.undisturbed()
    training.service.fault("POST", "/jobs$", action="reset", phase="after", skip=1)
    nothing = '{"jobs": [], "count": 0, "limit": 20, "offset": 0}'
    training.service.fault("GET", "/jobs$", action="body", body=nothing, times=3, skip=2)
    training.service.next_job(tag=":1:", queue_seconds=1.0, times=2)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    assert [job["state"] for job in training.service.billing()] in (
        ["Completed", "Cancelled", "Completed", "Completed"],
        ["Completed", "Completed", "Completed", "Completed"],
    )
    with training.ledger() as jobs:
        assert jobs.spent().duplicates == 1
        assert jobs.spent().seconds == pytest.approx(sum(job["charged"] for job in training.service.billing()))


@pytest.mark.slow  # the client itself asks for 15 s
def test_5xx_for_ever_stops_with_a_checkpoint(training):
    expected = training.undisturbed()
    training.service.fault("POST", "/jobs$", code=502, times=None, skip=2)
    with pytest.raises(JobError, match="could not be sent") as caught:
        training.train(training.executor(patience=Patience(first_poll=0.02, outage=1.0)))
    assert "2 of 3 steps are kept" in caught.value.__notes__[0]
    training.service.clear_faults()
    assert np.array_equal(training.resume().weights, expected)
    undisturbed_bill(training)


@pytest.mark.parametrize("action", ["reset", "hang", "cut"])
def test_a_job_whose_reply_was_lost_is_found_by_its_tag(training, action):
    expected = training.undisturbed()
    training.service.fault("POST", "/jobs$", action=action, phase="after", delay=0.2, skip=2)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    undisturbed_bill(training)
    assert "yet the job is at the service" in dict(training.said)["submission"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs$"),
        ("GET", "/jobs$"),
        ("GET", "/jobs/[^/]+$"),
        ("GET", "/results$"),
        ("GET", "/metrics$"),
        ("GET", "/properties$"),
        ("GET", "/status$"),
        ("GET", "/instances/usage$"),
        ("POST", "/sessions$"),
    ],
)
def test_429_is_waited_for_wherever_it_comes(training, method, path):
    expected = training.undisturbed()
    executor = training.executor()
    training.service.fault(method, path, code=429, times=2)
    result = training.train(executor)
    assert np.array_equal(result.weights, expected)
    undisturbed_bill(training)
    assert [fault["used"] for fault in training.service.faults()] == [2]


def test_the_service_is_not_asked_again_before_the_time_that_it_asks_for(training):
    expected = training.undisturbed()
    training.service.fault("POST", "/jobs$", code=429, headers={"Retry-After": "2"}, skip=1)
    training.service.fault("GET", "/results$", code=429, headers={"Retry-After": "1"}, skip=1)
    result = training.train()
    assert np.array_equal(result.weights, expected)
    undisturbed_bill(training)
    refused, accepted = [entry["time"] for entry in training.service.log("POST", "/jobs$")][1:3]
    assert accepted - refused >= 2.0


def test_a_key_that_is_no_longer_valid_stops_cleanly(training, capsys):
    expected = training.undisturbed()
    training.service.fault("GET", "/status$", code=401, skip=6, times=None)  # a step asks three times
    with pytest.raises(JobError, match="QISKIT_IBM_TOKEN") as caught:
        training.train()
    assert "2 of 3 steps are kept" in caught.value.__notes__[0]
    assert len(training.service.billing()) == 2
    training.service.settings(reject_key=True)
    assert training.command("resume", training.folder / "run", "--quiet") == 2
    assert "QISKIT_IBM_TOKEN" in capsys.readouterr().err
    training.service.settings(reject_key=False)
    training.service.clear_faults()
    assert np.array_equal(training.resume().weights, expected)
    undisturbed_bill(training)


@pytest.mark.parametrize(("mode", "name"), [("session", "dedicated"), ("batch", "batch")])
def test_a_closed_session_is_opened_anew(training, mode, name):
    expected = training.undisturbed()
    result = training.train(training.disturbed(1, "after", training.service.close_sessions, mode=mode))
    assert np.array_equal(result.weights, expected)
    undisturbed_bill(training)
    assert [session["mode"] for session in training.service.sessions()] == [name] * 2
    assert "session" in dict(training.said)


def test_the_open_plan_has_no_sessions(training):
    training.undisturbed()
    training.service.settings(plan="open")
    with pytest.raises(ConfigError, match="mode batch"):
        training.train(training.executor(mode="session"))
    assert not training.service.billing()
    assert not training.service.sessions()


@pytest.mark.parametrize("used", [600, 595])
def test_a_usage_limit_is_seen_before_anything_is_sent(training, used):
    """At 595 of 600 QPU seconds, one step fits and the second does not."""
    expected = training.undisturbed()
    training.service.usage(limit=600, consumed=used)
    with pytest.raises(PreflightError, match="QPU seconds"):
        training.train()
    assert len(training.service.billing()) == (0 if used == 600 else 1)
    training.service.usage(limit=1200, consumed=used)
    assert np.array_equal(training.resume().weights, expected)
    undisturbed_bill(training)


def test_a_step_over_the_budget_is_not_sent(training, capsys):
    expected = training.undisturbed()
    result = training.train(training.executor(budget=2.5 * SECONDS))
    assert (result.stopped, result.steps) == ("budget", 2)
    assert "of the budget of" in result.reason
    assert len(training.service.billing()) == 2
    assert training.command("status", training.folder / "run", "--json") == 0
    assert training.command("resume", training.folder / "run", "--quiet") == 0  # the same budget: nothing to do
    assert len(training.service.billing()) == 2
    assert training.command("resume", training.folder / "run", "--quiet", "--budget", "1000") == 0
    assert "3 steps, finished" in capsys.readouterr().out
    undisturbed_bill(training)
    assert np.array_equal(training.resume().weights, expected)


@pytest.mark.parametrize("hours", [-30, 5])
def test_clocks_that_differ_and_other_time_zones_lose_no_job(training, monkeypatch, hours):
    expected = training.undisturbed()
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    training.service.settings(clock_skew=3600.0 * hours)
    training.service.fault("POST", "/jobs$", action="reset", phase="after", skip=2)
    try:
        result = training.train()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert np.array_equal(result.weights, expected)
    undisturbed_bill(training)
