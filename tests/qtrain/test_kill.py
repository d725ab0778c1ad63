"""kill -9 at any moment of a run, and a plain resume: the undisturbed weights, bit for bit, each job billed once."""

import json
import threading
import time

import numpy as np
import pytest

pytest.importorskip("qiskit_ibm_runtime")

import qtrain
from qtrain.run import checkpoints
from tests.qtrain.killed_trainer import MOMENTS, Life
from tests.qtrain.loopback_training import CIRCUITS, SHOTS, X, Y

STEPS = 12
EXPECTED = ("Completed", CIRCUITS * SHOTS)
CALLS = {"while the result is kept": 6 * CIRCUITS + 10, "while the checkpoint is written": 30}
"""Of a function that is not called once a step; else it is the seventh."""


def finished_as_undisturbed(training, expected):
    if (training.folder / "run" / "config.json").exists():
        result = training.resume()
    else:  # killed before it began
        assert not training.service.billing()
        result = training.train(steps=STEPS)
    assert np.array_equal(result.weights, expected)
    assert [(job["state"], job["executions"]) for job in training.service.billing()] == [EXPECTED] * STEPS
    lines = (training.folder / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, STEPS + 1))
    with training.ledger() as jobs:
        spent, open_jobs = jobs.spent(), jobs.open_jobs()
    assert not open_jobs
    assert (spent.jobs, spent.duplicates, spent.executions) == (STEPS, 0, STEPS * CIRCUITS * SHOTS)
    assert spent.seconds == pytest.approx(sum(job["charged"] for job in training.service.billing()))


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_named_moment(training, moment):
    expected = training.undisturbed(steps=STEPS)
    life = Life(training, {"steps": STEPS}, moment, CALLS.get(moment, 7))
    assert life.end() == -9
    assert checkpoints(training.folder / "run")
    assert len(training.service.billing()) < STEPS
    finished_as_undisturbed(training, expected)


def test_killed_while_its_job_queues(training):
    expected = training.undisturbed(steps=STEPS)
    training.service.next_job(tag=":6:", queue_seconds=1.5)
    life = Life(training, {"steps": STEPS})
    training.service.wait("Queued")
    assert life.end(after=0.2) == -9
    finished_as_undisturbed(training, expected)


def lives_of(training, options, seed, kills):
    """A run whose every process is killed after a short while, so many times; how often it was."""
    rng = np.random.default_rng(seed)
    for done in range(kills):
        life = Life(training, options)
        life.started.wait(30)
        if life.end(after=float(rng.uniform(0.0, 0.5))) == 0:
            return done
    return kills


def test_killed_again_and_again(training):
    expected = training.undisturbed(steps=STEPS)
    lives_of(training, {"steps": STEPS}, seed=0, kills=3)
    finished_as_undisturbed(training, expected)


@pytest.mark.slow
def test_killed_at_50_random_moments(training):
    """Each of a new run: uniform over its time, the beginning included."""
    expected, folder, killed = training.undisturbed(steps=STEPS), training.folder, 0
    whole = 0.0
    for name in ("first", "whole"):  # the first one also starts what the processes are forked from
        training.folder, begun = folder / name, time.monotonic()
        assert Life(training, {"steps": STEPS}).end() == 0
        whole = time.monotonic() - begun
    rng = np.random.default_rng(50)
    for number in range(100):
        training.service.reset()
        training.folder = folder / str(number)
        killed += Life(training, {"steps": STEPS}).end(after=float(rng.uniform(0.0, whole))) == -9
        finished_as_undisturbed(training, expected)
        if killed == 50:
            return
    raise AssertionError(f"only {killed} of 100 processes were killed before they ended")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_killed_until_it_is_done_with_a_test_set_and_pruning(training, seed):
    options = {"steps": STEPS, "test_set": (X[:5], Y[:5]), "evaluate_every": 3}
    pruned = qtrain.prune(qtrain.parameter_shift(), ratio=0.5)
    expected = training.train(gradient=pruned, run_dir=None, **options)
    bill = sorted(job["executions"] for job in training.service.billing())
    training.service.reset()
    lives_of(training, options | {"gradient": pruned.name}, seed=seed, kills=30)
    result = training.resume()
    assert np.array_equal(result.weights, expected.weights)
    assert (result.test_loss, result.test_accuracy) == (expected.test_loss, expected.test_accuracy)
    assert training.states() == ["Completed"] * len(bill)
    assert sorted(job["executions"] for job in training.service.billing()) == bill


def test_the_service_is_killed_and_comes_back(training):
    expected = training.undisturbed(steps=STEPS)
    training.service.next_job(tag=":4:", run_seconds=0.5)

    def killer():
        training.service.wait(jobs=4)
        training.service.kill()
        time.sleep(0.3)
        training.service.start()

    thread = threading.Thread(target=killer)
    thread.start()
    result = training.train(steps=STEPS)
    thread.join()
    assert np.array_equal(result.weights, expected)
    finished_as_undisturbed(training, expected)
