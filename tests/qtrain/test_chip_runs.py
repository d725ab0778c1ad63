"""Training with an executor that pays for its jobs: nothing is lost, a budget stops cleanly, changes are refused."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch

import qtrain
from qcompile.calibration import load_device
from qtrain import run
from qtrain.errors import BudgetError, ExecutorError, JobError, PreflightError, RunError, StorageError
from qtrain.jobs import JobLedger
from qtrain.resume import open_run
from qtrain.run import RunDirectory, checkpoints, latest, read_metrics
from tests.qtrain.chip_stand_in import PowerCut, StandIn, blobs, small_model, train

CALLS = 13  # of a whole run: forward and gradient of 5 steps, evaluations after 2, 4 and 5


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    executor, path = StandIn(), tmp_path_factory.mktemp("whole") / "run"
    return train(path, executor), executor, path


def resume(path, executor=None, **changes):
    return qtrain.resume(path, executor=executor or StandIn(), **changes)


@pytest.fixture
def dead(monkeypatch):
    """No checkpoint is written while a PowerCut passes."""
    saved = RunDirectory.save

    def save(self, step, state):
        if isinstance(sys.exception(), PowerCut):
            raise sys.exception()
        return saved(self, step, state)

    monkeypatch.setattr(RunDirectory, "save", save)


# --- what is paid for is kept


@pytest.mark.parametrize("call", [1, 2, 4, 5, 9, CALLS])
def test_a_run_cut_off_while_a_job_is_at_the_service_ends_the_same_and_sends_each_job_once(tmp_path, whole, dead, call):
    result, undisturbed, _ = whole
    first, second = StandIn(fails=(call, PowerCut())), StandIn()
    assert undisturbed.calls == CALLS
    with pytest.raises(PowerCut):
        train(tmp_path / "run", first)
    again = resume(tmp_path / "run", second)
    assert again.weights_sha256 == result.weights_sha256
    assert again.metrics == result.metrics
    assert again.ledger == result.ledger
    assert sorted(first.sent + second.sent) == sorted(undisturbed.sent)
    assert JobLedger.read(tmp_path / "run" / "jobs.sqlite3").spent() == undisturbed.jobs.spent()


def test_a_chip_run_keeps_every_step_unless_asked_otherwise(tmp_path, monkeypatch):
    steps, saved = [], RunDirectory.save

    def save(self, step, state):
        steps.append(step)
        return saved(self, step, state)

    monkeypatch.setattr(RunDirectory, "save", save)
    train(tmp_path / "each")
    train(tmp_path / "third", checkpoint_every=3)
    train(tmp_path / "free", qtrain.ExactSimulator())
    assert steps == [0, 1, 2, 3, 4, 5, 0, 3, 5, 0, 5]


KILLED = """
    import os, signal, sys
    from tests.qtrain.chip_stand_in import StandIn, train
    from qtrain import run
    left, real = int(sys.argv[2]), run.os.fsync
    def fsync(file):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        real(file)
    run.os.fsync = fsync
    train(sys.argv[1])
"""


@pytest.mark.parametrize("syncs", [14])
def test_killed_while_it_writes_a_checkpoint_the_run_ends_the_same(tmp_path, whole, syncs):
    path = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(path), str(syncs)],
        check=False,
        timeout=120,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert list((path / "checkpoints").glob(".*.partial"))
    (path / "checkpoints" / ".00000007-ab.pt.partial").write_bytes(b"half")
    second = StandIn()
    again = resume(path, second)
    assert again.weights_sha256 == whole[0].weights_sha256
    assert again.metrics == whole[0].metrics
    assert not list((path / "checkpoints").glob(".*"))
    with JobLedger.read(path / "jobs.sqlite3") as jobs:
        assert sorted(j.content for j in jobs.jobs()) == sorted(whole[1].sent)


def test_a_run_without_a_directory_pays_too(whole):
    executor = StandIn()
    assert train(None, executor).weights_sha256 == whole[0].weights_sha256
    assert executor.jobs.spent() == whole[1].jobs.spent()
    assert executor.closed == 1


# --- jobs and checkpoint belong together


def test_a_lost_replaced_or_damaged_list_of_jobs_is_refused_before_anything_is_sent(tmp_path):
    path = tmp_path / "run"
    train(path, StandIn(budget=3.0))
    file = path / "jobs.sqlite3"
    kept, executor = file.read_bytes(), StandIn()
    file.unlink()
    with pytest.raises(RunError, match=r"jobs.sqlite3 is missing.*Restore it from a backup"):
        resume(path, executor)
    JobLedger(file).close()
    with pytest.raises(RunError, match=r"belongs to run .* the checkpoint to run"):
        resume(path, executor)
    file.write_bytes(kept[:5000])
    with pytest.raises(RunError, match=r"jobs.sqlite3: damaged"):
        resume(path, executor)
    assert executor.sent == []
    file.write_bytes(kept)
    assert resume(path, executor).stopped == "finished"


def test_a_directory_with_jobs_but_no_configuration_is_not_taken_for_a_new_one(tmp_path):
    train(tmp_path / "run")
    (tmp_path / "run/config.json").unlink()
    with pytest.raises(RunError, match=r"holds jobs.sqlite3, the jobs of a run whose config.json is missing"):
        train(tmp_path / "run")


# --- budget


def test_a_budget_stops_before_the_step_that_would_pass_it_with_the_reason(tmp_path, whole):
    costs = [m["qpu_seconds"] for m in whole[0].metrics]
    result = train(tmp_path / "run", StandIn(budget=costs[3] - 1e-6))
    assert (result.stopped, result.steps) == ("budget", 3)
    assert "QPU seconds are spent" in result.reason
    assert result.losses == whole[0].losses[:3]
    assert latest(tmp_path / "run")[0] == 3
    again = resume(tmp_path / "run")
    assert (again.stopped, again.reason) == ("finished", "")
    assert again.weights_sha256 == whole[0].weights_sha256


@pytest.mark.parametrize("call", [6, 7])
def test_a_step_that_was_cut_off_is_not_counted_twice_against_the_budget(tmp_path, dead, call):
    """Its job is spent already, and it is the job that the step needs."""
    budget = train(None, StandIn()).metrics[2]["qpu_seconds"] + 1e-6
    whole = train(None, StandIn(budget=budget))
    with pytest.raises(PowerCut):
        train(tmp_path / "run", StandIn(budget=budget, fails=(call, PowerCut())))
    assert latest(tmp_path / "run")[0] == 2
    again = resume(tmp_path / "run", StandIn(budget=budget))
    assert (again.stopped, again.steps) == (whole.stopped, whole.steps) == ("budget", 3)
    assert again.weights_sha256 == whole.weights_sha256


@pytest.mark.parametrize("call", [2, 5, 6, CALLS])
def test_a_budget_that_ends_within_a_step_leaves_the_step_before_it(tmp_path, whole, call):
    result = train(tmp_path / "run", StandIn(fails=(call, BudgetError("a job would have to be sent again"))))
    assert result.stopped == "budget"
    assert result.reason.startswith("a job would have to be sent again 1 job left at stand_in")
    step, state = latest(tmp_path / "run")
    assert step == result.steps == len(result.metrics)
    assert torch.equal(state["layer"]["weights"], torch.tensor(result.weights))
    assert resume(tmp_path / "run").metrics == whole[0].metrics


# --- calibration


@pytest.fixture
def moved():
    device = load_device("ibm_manila")
    qubits = tuple(dataclasses.replace(q, t1=q.t1 * 0.9) for q in device.qubits)
    return dataclasses.replace(device, qubits=qubits)


def test_a_calibration_that_moves_is_compiled_for_and_recorded_with_both_ids(tmp_path, moved):
    executor = StandIn(moves={2: moved})
    before = executor.device.sha256
    result = train(tmp_path / "run", executor)
    assert ["calibration" in m for m in result.metrics] == [False, False, True, False, False]
    assert before in result.metrics[2]["calibration"]
    assert moved.sha256 in result.metrics[2]["calibration"]
    assert result.compiled.device.sha256 == moved.sha256
    assert [e[1:] for e in executor.jobs.events()] == [("recompilation", result.metrics[2]["calibration"])]


def test_a_calibration_that_moves_while_the_run_stands_still_is_recorded_too_and_not_refused(tmp_path, moved):
    train(tmp_path / "run", StandIn(budget=3.0))
    stopped_at = len(read_metrics(tmp_path / "run"))
    second = StandIn(moved)
    result = resume(tmp_path / "run", second)
    assert [m["step"] for m in result.metrics if "calibration" in m] == [stopped_at + 1]
    (_, first, _), (_, kind, text) = second.jobs.events()
    assert (first, kind) == ("budget", "recompilation")
    assert text.endswith(f"-> {moved.sha256}: it moved while the run stood still")


def test_another_backend_shots_options_circuit_or_data_is_refused_with_a_diff(tmp_path):
    path = tmp_path / "run"
    train(path, StandIn(budget=3.0))
    other = StandIn()
    other.backend = "elsewhere"
    for executor, said in (
        (other, "executor.backend: stand_in -> elsewhere"),
        (StandIn(shots=51), "executor.shots: 50 -> 51"),
        (StandIn(options={"a": 1}), "executor.options.a: None -> 1"),
    ):
        with pytest.raises(RunError, match=said):
            resume(path, executor)
    model = small_model()
    model.circuit.h(0)
    with pytest.raises(RunError, match=r"circuit: [0-9a-f]{12} -> "):
        resume(path, model=model)
    with pytest.raises(RunError, match="train_set: "):
        resume(path, train_set=blobs(9))
    assert json.loads((path / "config.json").read_text())["identity"]["device"] is None


# --- stops


def test_ctrl_c_leaves_the_job_running_and_names_it_and_the_way_back(tmp_path):
    executor = StandIn(fails=(4, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path / "run", executor)
    (job,) = executor.jobs.open_jobs()
    said = str(caught.value)
    assert f"1 job left at stand_in, running or queued: {job.job_id}." in said
    assert f"go on with qtrain resume {tmp_path / 'run'}" in said
    with pytest.raises(KeyboardInterrupt, match="1 job left at stand_in"):
        train(None, StandIn(fails=(4, KeyboardInterrupt())))


@pytest.mark.parametrize("error", [JobError("it failed"), PreflightError("it is paused"), StorageError("full")])
def test_an_error_keeps_the_last_whole_step_and_says_what_is_left_open(tmp_path, error):
    with pytest.raises(type(error)) as caught:
        train(tmp_path / "run", StandIn(fails=(6, error)))
    (note,) = caught.value.__notes__
    assert "1 job left" in note
    assert "2 of 5 steps are kept" in note
    assert latest(tmp_path / "run")[0] == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_checkpoint_keeps_the_one_before_and_loses_no_job(tmp_path, monkeypatch, whole, code):
    written, real = [], run.write_file

    def write_file(path, data):
        written.append(path)
        if len(written) > 7:
            raise StorageError(f"{path}: cannot be written ({os.strerror(code)}).")
        real(path, data)

    monkeypatch.setattr(run, "write_file", write_file)
    first, second = StandIn(), StandIn()
    with pytest.raises(StorageError, match=os.strerror(code)):
        train(tmp_path / "run", first)
    monkeypatch.undo()
    kept = latest(tmp_path / "run")[0]
    assert 0 < kept < 5
    assert resume(tmp_path / "run", second).weights_sha256 == whole[0].weights_sha256
    assert sorted(first.sent + second.sent) == sorted(whole[1].sent)


def test_where_neither_the_step_nor_the_disk_works_both_are_said(tmp_path, monkeypatch):
    def full(self, step, state):
        raise StorageError("the disk is full")

    train_until = StandIn(fails=(6, JobError("the job failed")))
    saved = RunDirectory.save
    monkeypatch.setattr(
        RunDirectory,
        "save",
        lambda self, step, state: saved(self, step, state) if step < 2 else full(self, step, state),
    )
    with pytest.raises(StorageError, match="the disk is full") as caught:
        train(tmp_path / "run", train_until, checkpoint_every=4)
    assert caught.value.__notes__ == ["Before that: JobError: the job failed"]


def test_a_damaged_newest_checkpoint_costs_no_second_job(tmp_path, whole):
    path, first = tmp_path / "run", StandIn(budget=whole[0].metrics[3]["qpu_seconds"] + 1e-6)
    train(path, first)
    newest = checkpoints(path)[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    second = StandIn()
    with pytest.warns(RuntimeWarning, match="is damaged"):
        again = resume(path, second)
    assert again.weights_sha256 == whole[0].weights_sha256
    assert again.metrics == whole[0].metrics
    assert sorted(first.sent + second.sent) == sorted(whole[1].sent)


def test_a_session_that_cannot_be_closed_is_a_warning_without_the_words_of_the_client(tmp_path):
    class Stuck(StandIn):
        def close(self):
            raise OSError("token abc")

    with pytest.warns(RuntimeWarning, match=r"session could not be closed \(OSError\)") as caught:
        assert train(tmp_path / "run", Stuck()).stopped == "finished"
    assert "abc" not in str(caught[0].message)


def test_a_gradient_that_is_not_finite_moves_nothing():
    layer = torch.nn.Linear(2, 2)
    layer.weight.register_hook(lambda gradient: gradient * float("inf"))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    before = layer.weight.detach().clone()
    with pytest.raises(ExecutorError, match="the gradient by weight is not finite"):
        qtrain.train_step(layer, optimizer, torch.ones(2, 2), torch.tensor([0, 1]), torch.nn.functional.cross_entropy)
    assert torch.equal(layer.weight, before)


def test_evaluating_a_run_pays_from_its_own_budget_and_for_nothing_twice(tmp_path, monkeypatch):
    train(tmp_path / "run")
    executor = StandIn()
    monkeypatch.setattr("qtrain.record.make_executor", lambda *_, **__: executor)
    trainer = open_run(tmp_path / "run")
    qtrain.evaluate(trainer.layer, trainer.task.test_set)
    assert executor.sent == []
    assert executor.jobs.path == tmp_path / "run/jobs.sqlite3"
