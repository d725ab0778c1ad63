"""Whatever happens to a training, going on with it gives the same weights, bit for bit, or a clear refusal."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import qtrain
from qcompile.calibration import load_device
from qtrain import ansatze, encoders, run
from qtrain.cli import main
from qtrain.datasets import Dataset
from qtrain.errors import RunError, StorageError
from qtrain.run import RunDirectory, checkpoints, latest, read_metrics
from qtrain.task import environment

PRUNED = qtrain.prune(qtrain.parameter_shift(), ratio=0.5)


def blobs(seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(40) % 2
    return Dataset(rng.normal(0, 0.3, (40, 2)) + np.where(y[:, None] == 1, 2.2, 0.7), y, "blobs")


def small_model(blocks=1):
    encoder, features = encoders.angle_encoder(2)
    ansatz, weights = ansatze.rzz_ring(2, blocks)
    return qtrain.QuantumModel(encoder.compose(ansatz), features=features, weights=weights, observables=["Z0", "Z1"])


def small(run_dir, executor=None, **changes):
    options = {"gradient": PRUNED, "steps": 12, "batch_size": 8, "checkpoint_every": 3, "test_set": blobs(1)} | changes
    return qtrain.train(
        small_model(), blobs(), executor=qtrain.ExactSimulator(20) if executor is None else executor, run_dir=run_dir,
        **options,
    )  # fmt: skip


class Dies(qtrain.ExactSimulator):
    """Fails in the middle of a step, leaving metrics beyond the last checkpoint; recorded as an ExactSimulator."""

    def __init__(self, calls):
        super().__init__(20)
        self.calls = calls

    def shifted_expectations(self, *args, **kwargs):
        self.calls -= 1
        if self.calls < 0:
            raise OSError("power cut")
        return super().shifted_expectations(*args, **kwargs)


Dies.__name__ = "ExactSimulator"


def stopped(path, step):
    """A run directory as SIGKILL would leave it in the middle of that step."""
    saved = RunDirectory.save
    with pytest.MonkeyPatch.context() as patch:
        # nothing is written any more once the process is dead
        patch.setattr(RunDirectory, "save", lambda self, done, state: done % 3 == 0 and saved(self, done, state))
        with pytest.raises(OSError, match="power cut"):
            small(path, Dies(step))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return small(tmp_path_factory.mktemp("whole") / "run")


# --- the claim of the issue, on real processes


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_steps_and_resumed_gives_the_same_weights_bit_for_bit(tmp_path, seed, capsys):
    options = [
        "--executor", "exact", "--shots", "64", "--gradient", "parameter_shift", "--ratio", "0.5", "--steps", "40",
        "--checkpoint-every", "4", "--seed", str(seed),
    ]  # fmt: skip
    assert main(["train", *options, "--run-dir", str(tmp_path / "whole"), "--json", "--quiet"]) == 0
    uninterrupted = json.loads(capsys.readouterr().out)
    target, chance, command = tmp_path / "killed", random.Random(seed), ["train", *options, "--run-dir"]
    done = 0
    for _ in range(2):
        done += chance.randint(1, 12)
        process = subprocess.Popen(
            [sys.executable, "-m", "qtrain.cli", *command, str(target), "--quiet"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (target / "metrics.jsonl").exists() and len(read_metrics(target)) >= done:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed: nothing was tested"
        command = ["resume"]
    resumed = qtrain.resume(target)
    assert resumed.weights_sha256 == uninterrupted["weights_sha256"]
    assert (target / "metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


# --- the same in one process, at every step


@pytest.mark.parametrize("step", range(12))
def test_resume_equals_uninterrupted(tmp_path, whole, step):
    resumed = qtrain.resume(stopped(tmp_path / "run", step))
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics
    assert resumed.ledger == whole.ledger
    assert [m["step"] for m in read_metrics(tmp_path / "run")] == list(range(1, 13))


def test_resume_under_noise_equals_uninterrupted(tmp_path):
    device = load_device("ibm_manila")
    whole = small(None, qtrain.NoisySimulator(device, shots=50, seed=3), steps=5)
    run_dir = tmp_path / "run"
    small(
        run_dir, qtrain.NoisySimulator(device, shots=50, seed=3), steps=5, budget=whole.metrics[2]["qpu_seconds"] * 1.01
    )
    assert qtrain.resume(run_dir).stopped == "budget"
    resumed = qtrain.resume(run_dir, budget=1e9)
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics


def test_a_finished_run_is_returned_as_it_is(tmp_path):
    first = small(tmp_path / "run")
    before = sorted((p.name, p.read_bytes()) for p in (tmp_path / "run").rglob("*") if p.is_file())
    again = qtrain.resume(tmp_path / "run")
    assert again.weights_sha256 == first.weights_sha256
    assert again.metrics == first.metrics
    assert before == sorted((p.name, p.read_bytes()) for p in (tmp_path / "run").rglob("*") if p.is_file())


# --- damage


def test_a_damaged_newest_checkpoint_is_passed_over_loudly_and_nothing_is_lost(tmp_path, whole):
    path = stopped(tmp_path / "run", 8)
    newest = checkpoints(path)[0]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with pytest.warns(RuntimeWarning, match=f"{newest.name} is damaged"):
        resumed = qtrain.resume(path)
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics


def test_where_all_checkpoints_are_damaged_the_run_is_refused(tmp_path):
    path = stopped(tmp_path / "run", 8)
    for file in checkpoints(path):
        file.write_bytes(b"")
    with pytest.warns(RuntimeWarning), pytest.raises(RunError, match="all 2 checkpoints are damaged"):
        qtrain.resume(path)


def test_the_last_two_checkpoints_are_kept(tmp_path):
    small(tmp_path / "run")
    assert [int(p.name[:8]) for p in checkpoints(tmp_path / "run")] == [12, 9]


def test_a_torn_last_line_of_the_metrics_is_written_anew(tmp_path, whole):
    path = stopped(tmp_path / "run", 8)
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 9, "lo')
    assert qtrain.resume(path).metrics == whole.metrics


def test_lost_metrics_are_said_and_do_not_touch_the_weights(tmp_path, whole):
    path = stopped(tmp_path / "run", 8)
    lines = (path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (path / "metrics.jsonl").write_bytes(b"".join([b"not json\n", *lines[2:]]))
    with pytest.warns(RuntimeWarning) as caught:
        resumed = qtrain.resume(path)
    said = " ".join(str(w.message) for w in caught)
    assert "line 1 is damaged" in said
    assert "lacks 2 of the 6 steps" in said
    assert resumed.weights_sha256 == whole.weights_sha256


def test_a_full_disk_is_an_error_and_the_checkpoint_before_stays(tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def full(file):
        calls.append(file)
        if len(calls) > 13:  # while the checkpoint of step 6 is written
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(run.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        small(tmp_path / "run")
    monkeypatch.undo()
    kept = latest(tmp_path / "run")
    assert kept is not None
    assert kept[0] == 3
    assert qtrain.resume(tmp_path / "run").steps == 12


def test_a_disk_that_returns_other_bytes_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(run.Path, "read_bytes", lambda self: b"rotten")
    with pytest.raises(StorageError, match="returned other bytes"):
        run.write_file(tmp_path / "file", b"data")


def test_a_run_killed_before_its_first_checkpoint_begins_anew(tmp_path, whole):
    path = stopped(tmp_path / "run", 0)
    for file in checkpoints(path):
        file.unlink()
    assert qtrain.resume(path).weights_sha256 == whole.weights_sha256


# --- one trainer


def test_a_second_trainer_is_refused_by_name_of_the_first(tmp_path):
    path = stopped(tmp_path / "run", 4)
    with RunDirectory.open(path), pytest.raises(RunError, match=f"in use by another process \\(pid {os.getpid()}\\)"):
        qtrain.resume(path)
    assert qtrain.resume(path).steps == 12


def test_a_directory_that_holds_a_run_is_not_overwritten(tmp_path):
    stopped(tmp_path / "run", 7)
    with pytest.raises(RunError, match=r"holds a run already, 6 steps done. Resume it"):
        small(tmp_path / "run")


def test_a_directory_that_is_no_run_is_named(tmp_path):
    with pytest.raises(RunError, match=r"holds no run: config.json is missing"):
        qtrain.resume(tmp_path)


# --- changes


def changed(path, edit):
    config = json.loads((path / "config.json").read_text())
    edit(config)
    (path / "config.json").write_text(json.dumps(config))


def test_a_changed_seed_is_refused_with_a_diff(tmp_path):
    path = stopped(tmp_path / "run", 8)
    changed(path, lambda c: c["settings"].update(seed=5, lr=0.1))
    with pytest.raises(RunError, match=r"(?s)settings.lr: 0.05 -> 0.1.*settings.seed: 0 -> 5.*another run directory"):
        qtrain.resume(path)


def test_changed_data_are_refused_with_both_hashes(tmp_path):
    path = stopped(tmp_path / "run", 8)
    other = blobs(7)
    with pytest.raises(RunError, match=f"train_set: {blobs().sha256[:12]} -> {other.sha256[:12]}"):
        qtrain.resume(path, train_set=other)
    np.savez(path / "data.npz", train_x=other.x, train_y=other.y, test_x=other.x, test_y=other.y)
    with pytest.raises(RunError, match="train_set: "):
        qtrain.resume(path)


def test_a_changed_circuit_is_refused(tmp_path):
    path = stopped(tmp_path / "run", 8)
    model = small_model()
    model.circuit.z(0)
    model.circuit.h(1)
    with pytest.raises(RunError, match=r"circuit: [0-9a-f]{12} -> [0-9a-f]{12}"):
        qtrain.resume(path, model=model)


def test_another_device_executor_or_gradient_is_refused(tmp_path):
    manila, jakarta = load_device("ibm_manila"), load_device("ibm_jakarta")
    small(tmp_path / "run", qtrain.NoisySimulator(manila, shots=20), steps=3)
    with pytest.raises(RunError, match=f"device: {manila.sha256[:12]} -> {jakarta.sha256[:12]}"):
        qtrain.resume(tmp_path / "run", executor=qtrain.NoisySimulator(jakarta, shots=20))
    with pytest.raises(RunError, match=r"executor\.shots: 20 -> 21"):
        qtrain.resume(tmp_path / "run", executor=qtrain.NoisySimulator(manila, shots=21))
    with pytest.raises(RunError, match="gradient: "):
        qtrain.resume(tmp_path / "run", gradient=qtrain.parameter_shift())


def test_changed_versions_are_refused_unless_allowed(tmp_path, monkeypatch, whole):
    path = stopped(tmp_path / "run", 8)
    now = environment()
    monkeypatch.setattr("qtrain.task.environment", lambda: now | {"numpy": "9.9.9"})
    with pytest.raises(RunError, match=r"environment.numpy: .* -> 9.9.9\n.*allow_changed_environment=True"):
        qtrain.resume(path)
    assert qtrain.resume(path, allow_changed_environment=True).weights_sha256 == whole.weights_sha256


@pytest.mark.parametrize("name", ["circuit.qpy", "data.npz", "config.json"])
def test_a_damaged_input_file_is_named(tmp_path, name):
    path = stopped(tmp_path / "run", 4)
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(RunError, match=f"{name}: cannot be read"):
        qtrain.resume(path)
    (path / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing"):
        qtrain.resume(path)


def test_an_executor_of_ones_own_is_asked_for(tmp_path):
    class Mine(qtrain.ExactSimulator):
        pass

    whole = small(tmp_path / "run", Mine(20))
    with pytest.raises(RunError, match=r"cannot be made from a file. Pass it: qtrain.resume\(run_dir, executor=...\)"):
        qtrain.resume(tmp_path / "run")
    assert qtrain.resume(tmp_path / "run", executor=Mine(20)).weights_sha256 == whole.weights_sha256


def test_a_recorder_that_has_recorded_nothing_yet_is_an_executor_all_the_same(tmp_path):
    exact = qtrain.ExactSimulator(20)
    whole = small(tmp_path / "whole", qtrain.Replay(exact))
    small(tmp_path / "run", qtrain.Replay(exact))
    assert qtrain.resume(tmp_path / "run", executor=qtrain.Replay(exact)).weights_sha256 == whole.weights_sha256


def test_rows_may_be_a_pair_when_resuming_too(tmp_path):
    whole = small(tmp_path / "run")
    again = qtrain.resume(tmp_path / "run", train_set=(blobs().x, blobs().y), test_set=[blobs(1).x, blobs(1).y])
    assert again.weights_sha256 == whole.weights_sha256


def test_a_checkpoint_that_a_trainer_drops_while_it_is_read_is_passed_over(tmp_path, monkeypatch):
    small(tmp_path / "run")
    newest = checkpoints(tmp_path / "run")
    stale = newest[0].with_name(f"{99:08d}-{newest[0].name[9:]}")
    listed = iter([[stale, *newest], newest])
    monkeypatch.setattr(run, "checkpoints", lambda path: next(listed))
    assert latest(tmp_path / "run")[0] == 12


@pytest.mark.parametrize("text", ["{}", "[1]", "7", '{"format": 1}', '{"format": 2}'])
def test_a_configuration_that_lacks_something_is_named(tmp_path, text):
    small(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(text)
    for command in ("status", "resume", "evaluate", "report"):
        assert main([command, str(tmp_path / "run")]) == 2


def test_a_gradient_method_and_a_loss_of_ones_own_are_asked_for(tmp_path):
    mine = qtrain.parameter_shift()._replace(name="mine()")
    small(tmp_path / "run", gradient=mine, steps=3)
    with pytest.raises(RunError, match=r"'mine\(\)' is not one of qtrain's"):
        qtrain.resume(tmp_path / "run")
    assert qtrain.resume(tmp_path / "run", gradient=mine).steps == 3

    def squared(outputs, labels):
        return (outputs[:, 0] - labels).square().mean()

    small(tmp_path / "loss", loss=squared, steps=3)
    with pytest.raises(RunError, match="Pass it"):
        qtrain.resume(tmp_path / "loss")
    assert qtrain.resume(tmp_path / "loss", loss=squared).steps == 3


def test_a_run_directory_of_another_format_is_refused(tmp_path):
    path = stopped(tmp_path / "run", 4)
    changed(path, lambda c: c.update(format=99))
    with pytest.raises(RunError, match=r"format = 99. This version reads 1"):
        qtrain.resume(path)


def test_nothing_in_a_run_directory_is_a_pickle_of_code(tmp_path, whole):
    import torch

    path = stopped(tmp_path / "run", 4)
    for file in checkpoints(path):
        torch.load(file, weights_only=True)
    np.load(path / "data.npz", allow_pickle=False).close()
