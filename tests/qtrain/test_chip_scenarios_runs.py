"""Scenarios of on-chip training: the run directory, the chip's calibration, and what is wrong on this side."""

import errno
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import qtrain
from qtrain import run, task
from qtrain.chip.faults import Patience
from qtrain.errors import ConfigError, ExecutorError, JobError, PreflightError, RunError, StorageError
from tests.qtrain.loopback_training import CIRCUITS, SHOTS, STEPS, X, Y, model


def finishes_as_undisturbed(training, expected, **options):
    """By a plain resume, and every job was paid for once."""
    assert np.array_equal(training.resume(**options).weights, expected)
    bill = training.service.billing()
    assert [(job["state"], job["executions"]) for job in bill] == [("Completed", CIRCUITS * SHOTS)] * STEPS


# 16: the disk


def test_a_full_disk_keeps_the_checkpoint_before_and_what_was_paid(training, monkeypatch):
    expected = training.undisturbed()
    fsync, files = run.os.fsync, []

    def full(file):
        files.append(file)
        if len(files) > 16:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(run.os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            training.train()
    kept, _ = run.latest(training.folder / "run")
    assert kept < STEPS
    finishes_as_undisturbed(training, expected)


def test_nothing_is_sent_where_the_intent_cannot_be_written(training):
    expected = training.undisturbed()
    executor = training.executor()
    binding = executor.open

    def full_after(run_dir):
        binding(run_dir)
        ((pages,),) = executor.jobs._file.select("PRAGMA page_count")
        executor.jobs._file.select(f"PRAGMA max_page_count = {pages}")

    executor.open = full_after
    with pytest.raises(StorageError, match="full"):
        training.train(executor)
    assert len(training.service.billing()) <= 1
    finishes_as_undisturbed(training, expected)


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_pays_nothing_again(training):
    expected = training.undisturbed()
    training.train(training.executor(budget=6.0))
    newest, _ = run.checkpoints(training.folder / "run")
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with pytest.warns(RuntimeWarning, match="damaged"):
        finishes_as_undisturbed(training, expected)


# 17: two trainers


def test_a_second_trainer_on_a_run_directory_is_refused(training):
    training.undisturbed()
    refused = []

    class Watched(qtrain.ChipExecutor):
        def preflight(self, program, most):
            super().preflight(program, most)
            with pytest.raises(RunError, match="in use by another process") as caught:
                training.resume()
            refused.append(caught.value)

    training.train(training.executor(kind=Watched))
    assert len(refused) == STEPS
    assert training.states() == ["Completed"] * STEPS


# 18: the calibration moves


def test_a_new_calibration_compiles_anew_and_both_are_recorded(training):
    training.undisturbed()
    recalibrate = partial(training.service.recalibrate, "ibm_manila")
    weights = []
    for name in ("run", "again"):
        training.service.reset()
        executor = training.disturbed(1, "before", lambda: recalibrate(errors={"cx0_1": 0.03}))
        before = executor.device.sha256
        result = training.train(executor, run_dir=training.folder / name)
        assert training.states() == ["Completed"] * STEPS
        moved = [line.get("calibration") for line in result.metrics]
        assert moved[0] is None
        assert before[:12] in moved[1]
        assert executor.device.sha256[:12] in moved[1]
        weights.append(result.weights)
    assert np.array_equal(*weights)
    with training.ledger() as jobs:
        assert [kind for _, kind, _ in jobs.events()] == ["recompilation"]
        assert len({job.calibration for job in jobs.jobs()}) == 2


def dead_coupling(compiled):
    """The first that the circuit uses."""
    pairs = [[q._index for q in i.qubits] for i in compiled.circuit.data if i.operation.num_qubits == 2]
    return pairs[0]


def test_a_coupling_that_died_is_not_used_any_more(training):
    training.undisturbed()
    first = training.train(training.executor(budget=3.0))
    dead = dead_coupling(first.compiled)
    training.service.recalibrate("ibm_manila", dead_edges=[dead])
    result = training.resume()
    assert result.steps == STEPS
    assert training.states() == ["Completed"] * STEPS
    pairs = {frozenset(q._index for q in i.qubits) for i in result.compiled.circuit.data if i.operation.num_qubits == 2}
    assert frozenset(dead) not in pairs
    assert "calibration" in result.metrics[1]


def test_a_coupling_that_dies_while_the_job_queues_is_compiled_around(training):
    training.undisturbed()
    recalibrate = partial(training.service.recalibrate, "ibm_manila")
    executor = training.disturbed(1, "after", lambda: recalibrate(dead_edges=[dead]))
    layer = qtrain.QuantumLayer(model(), executor, qtrain.parameter_shift())
    dead = dead_coupling(layer.compiled)
    result = training.train(executor)
    assert result.steps == STEPS
    assert training.states() == ["Completed", "Failed", "Completed", "Completed"]
    assert "calibration" in result.metrics[1]


def test_a_coupling_that_dies_before_the_evaluation_costs_no_step(training):
    expected = training.undisturbed()
    recalibrate = partial(training.service.recalibrate, "ibm_manila")
    executor = training.disturbed(STEPS, "asked", lambda: recalibrate(dead_edges=[dead]))
    dead = dead_coupling(qtrain.QuantumLayer(model(), executor, qtrain.parameter_shift()).compiled)
    result = training.train(executor, test_set=(X[:4], Y[:4]))
    assert np.array_equal(result.weights, expected)
    assert result.test_loss is not None
    assert training.states() == ["Completed"] * STEPS + ["Failed", "Completed"]


def test_a_job_that_was_sent_before_the_calibration_moved_is_not_lost(training):
    """Friday evening's job, resumed on Saturday."""
    training.undisturbed()
    training.service.fault("GET", "/results$", code=429, times=None, skip=1)
    with pytest.raises(JobError):
        training.train(training.executor(patience=Patience(0.02, 0.1, 0.05, 0.1, outage=0.3)))
    training.service.clear_faults()
    training.service.recalibrate("ibm_manila", errors={"cx0_1": 0.03})
    result = training.resume()
    assert training.states() == ["Completed"] * STEPS
    assert "calibration" not in result.metrics[1]
    assert "calibration" in result.metrics[2]


# 19: the backend


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"state": False}, PreflightError, "offline"),
        ({"status": "paused"}, PreflightError, "paused"),
        ({"status": "internal"}, PreflightError, "internal use"),
        ({"retired": True}, JobError, "Backend not found"),
    ],
)
def test_a_backend_that_takes_no_jobs_is_seen_before_anything_is_sent(training, changes, error, words):
    expected = training.undisturbed()
    executor = training.executor()
    training.service.backend("ibm_manila", **changes)
    with pytest.raises(error, match=words):
        training.train(executor)
    assert not training.service.billing()
    assert not training.service.log("POST", "/jobs$")
    training.service.backend("ibm_manila", state=True, status="active", retired=False)
    finishes_as_undisturbed(training, expected)


def test_a_backend_that_is_not_there_is_bad_input(training, capsys):
    training.service.backend("ibm_manila", retired=True)
    with pytest.raises(ConfigError, match="ibm_manila"):
        training.executor()
    assert training.command("train", "--backend", "ibm_manila", "--budget", "60") == 2
    assert "Expected a backend of your account" in capsys.readouterr().err


def test_a_command_that_would_keep_nothing_of_what_it_pays_for_is_refused(training, capsys):
    assert training.command("train", "--backend", "ibm_manila", "--budget", "60") == 2
    assert "Add --run-dir" in capsys.readouterr().err
    assert training.service.billing() == []


# 21: packages


def test_an_upgraded_package_is_refused_with_a_diff_and_may_be_accepted(training, monkeypatch):
    expected = training.undisturbed()
    training.train(training.executor(budget=6.0))
    monkeypatch.setattr(task, "version", lambda package: "99.0" if package == "qiskit" else "1.0")
    with pytest.raises(RunError, match=r"environment.qiskit: .* -> 99.0"):
        training.resume()
    finishes_as_undisturbed(training, expected, allow_changed_environment=True)


def test_a_circuit_file_of_a_newer_version_is_refused(training):
    training.undisturbed()
    training.train(training.executor(budget=6.0))
    path = training.folder / "run" / "circuit.qpy"
    data = bytearray(path.read_bytes())
    data[6] = 99  # the format's version follows the magic bytes "QISKIT"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RunError, match=r"circuit.qpy: cannot be read"):
            training.resume()
    assert len(training.service.billing()) == 2


# 24: NaN


def nan_loss(outputs, labels):
    value = cross_entropy(outputs, labels)
    return value * float("nan") if nan_loss.seen() else value


def nan_gradient(outputs, labels):
    value = cross_entropy(outputs, labels)
    return value + (torch.sqrt((outputs - outputs).sum()) if nan_loss.seen() else 0.0)


@pytest.mark.parametrize("loss", [nan_loss, nan_gradient])
def test_what_is_not_a_number_stops_before_the_weights_move(training, loss):
    expected = training.undisturbed()
    nan_loss.seen = lambda: len(training.service.billing()) == 2
    with pytest.raises(ExecutorError, match="finite") as caught:
        training.train(loss=loss)
    assert "1 of 3 steps are kept" in caught.value.__notes__[0]
    nan_loss.seen = lambda: False
    finishes_as_undisturbed(training, expected, loss=loss)
