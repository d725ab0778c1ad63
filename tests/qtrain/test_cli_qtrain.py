import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from qtrain.cli import COMMANDS, OPTIONS, main
from qtrain.config import Config, read_config_file

SMALL = ["--steps", "4", "--batch-size", "4", "--blocks", "1", "--quiet"]


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(30) % 2
    x = rng.normal(0, 0.3, (30, 2)) + np.where(y[:, None] == 1, 2.2, 0.7)
    path = tmp_path / "rows.csv"
    path.write_text("a,b,kind\n" + "".join(f"{p:.4f},{q:.4f},{k}\n" for (p, q), k in zip(x, y)))
    return path


def answer(capsys, arguments, code=0):
    assert main([str(a) for a in arguments]) == code
    out, err = capsys.readouterr()
    return (json.loads(out) if code == 0 else out), err


def trained(capsys, table, tmp_path, *more):
    return answer(capsys, ["train", "--data", table, *SMALL, "--run-dir", tmp_path / "run", "--json", *more])[0]


def test_train_status_resume_evaluate_and_report_tell_the_same_story(capsys, table, tmp_path):
    result = trained(capsys, table, tmp_path)
    run = tmp_path / "run"
    status, _ = answer(capsys, ["status", run, "--json"])
    resumed, _ = answer(capsys, ["resume", run, "--json"])
    evaluated, _ = answer(capsys, ["evaluate", run, "--json"])
    report, _ = answer(capsys, ["report", run, "--json"])
    assert result["steps"] == status["step"] == 4
    assert status["finished"]
    assert result["weights_sha256"] == status["weights_sha256"] == resumed["weights_sha256"]
    assert evaluated["accuracy"] == result["test_accuracy"] == status["test_accuracy"] == report["test_accuracy"]
    assert (run / "report.png").read_bytes().startswith(b"\x89PNG")


def test_text_output_says_accuracy_and_spending(capsys, table, tmp_path):
    assert main(["train", "--data", str(table), *SMALL, "--shots", "50", "--run-dir", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "test accuracy" in out
    assert "shots" in out
    for command in ("status", "report", "evaluate"):
        assert main([command, str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "weights_sha256: " in out
    assert "circuits" in out


def test_cost_is_what_training_then_spends(capsys, table, tmp_path):
    options = ["--data", table, *SMALL[:-1], "--device", "ibm_manila", "--shots", "100", "--ratio", "0.5"]
    cost, _ = answer(capsys, ["cost", *options, "--json"])
    result, _ = answer(capsys, ["train", *options, "--quiet", "--json"])
    assert cost["least"]["circuits"] <= result["circuits"] <= cost["most"]["circuits"]
    assert cost["most"]["qpu_seconds"] >= result["qpu_seconds"] > 0
    assert main(["cost", *map(str, options)]) == 0
    assert "on ibm_manila" in capsys.readouterr().out


def test_a_flag_overrides_the_file_and_paths_in_the_file_are_relative_to_it(capsys, table, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        '[data]\nsource = "rows.csv"\nlabel = "kind"\n[model]\nblocks = 1\n[train]\nsteps = 9\nbatch_size = 4\n'
        "[gradient]\nratio = 0.5\n[executor]\nshots = 10\n"
    )
    result, _ = answer(capsys, ["train", config, "--steps", "2", "--quiet", "--json"])
    assert result["steps"] == 2
    assert result["shots"] > 0


def test_a_device_file_is_relative_to_the_configuration_and_a_name_is_a_name(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('[executor]\ndevice = "chip.json"\n')
    assert read_config_file(config, {}).executor.device == str(tmp_path / "chip.json")
    config.write_text('[executor]\ndevice = "ibm_manila"\n')
    assert read_config_file(config, {}).executor.device == "ibm_manila"
    assert read_config_file(config, {("executor", "device"): "chip.json"}).executor.device == "chip.json"


def test_a_circuit_too_wide_to_simulate_is_bad_input(capsys):
    assert main(["train", "--encoder", "angle", "--device", "ibm_guadalupe", "--steps", "1"]) == 2
    assert "Expected at most 12 active qubits" in capsys.readouterr().err


def test_every_option_is_a_key_of_the_configuration():
    for _, section, key, *_ in OPTIONS:
        assert key in type(getattr(Config(), section)).model_fields


def test_adjoint_is_the_default_only_where_it_can_be(capsys, table):
    exact, _ = answer(capsys, ["train", "--data", table, *SMALL, "--json"])
    sampled, _ = answer(capsys, ["train", "--data", table, *SMALL, "--shots", "10", "--json"])
    assert exact["circuits"] < sampled["circuits"]


def test_npz_and_min_max_scaling(capsys, tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.random.default_rng(0).uniform(0, 255, (24, 2)), y=np.arange(24) % 2)
    _, error = answer(capsys, ["train", "--data", path, *SMALL, "--json"], code=2)
    assert "--scale minmax" in error
    assert answer(capsys, ["train", "--data", path, *SMALL, "--scale", "minmax", "--json"])[0]["steps"] == 4


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["train", "--executor", "chip"], "needs a backend"),
        (["train", "--executor", "noisy"], "needs a device"),
        (["train", "--device", "ibm_nowhere"], "ibm_nowhere"),
        (["train", "--data", "nothing.csv"], "nothing.csv: no such file"),
        (["train", "--data", "nothing.txt"], "Expected 'digits'"),
        (["train", "nothing.toml"], "nothing.toml: no such file"),
        (["train", "--steps", "0"], "steps = 0"),
        (["train", "--lr", "nan"], "lr = nan"),
        (["train", "--shots", "0"], "shots = 0"),
        (["train", "--shots", "-5"], "shots = -5"),
        (["train", "--device", "ibm_manila", "--shots", "10000000"], "shots = 10000000"),
        (["train", "--ratio", "1.0"], "ratio = 1.0"),
        (["train", "--ratio", "0.5", "--accumulation-window", "0"], "accumulation_window = 0"),
        (["train", "--pruning-window", "3"], "prunes nothing"),
        (["train", "--gradient", "magic"], "'magic' is unknown"),
        (["train", "--batch-size", "401"], "batch_size = 401"),
        (["train", "--seed", "-1"], "seed"),
        (["train", "--budget", "0"], "budget = 0"),
        (["train", "--qubits", "3"], "model.qubits = 3"),
        (["train", "--label", "a"], "for files"),
        (["cost", "--executor", "chip"], "needs a device"),
        (["resume", "nowhere"], "nowhere holds no run"),
        (["status", "nowhere"], "nowhere holds no run"),
        (["report", "nowhere"], "nowhere holds no run"),
        (["evaluate", "nowhere"], "nowhere holds no run"),
    ],
)
def test_bad_input_is_one_clear_message_and_exit_code_2(capsys, arguments, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, error = answer(capsys, [*arguments, "--json"], code=2)
    assert out == "", "standard output is for JSON only"
    assert match in error
    assert error.startswith("qtrain: ")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[train]\nstepz = 3\n", "train.stepz is no known key"),
        ("[training]\n", "training is no known key"),
        ('[train]\nsteps = "many"\n', "train.steps = 'many'"),
        ("[train]\nsteps = 1.5\n", "train.steps = 1.5"),
        ("train = 3\n", "train"),
        ('[executor]\nkind = "annealer"\n', "executor.kind = 'annealer'"),
        ("[train\n", "cannot be read"),
        ("\x00", "cannot be read"),
    ],
)
def test_a_configuration_that_breaks_a_rule_names_file_and_key(capsys, tmp_path, text, match):
    path = tmp_path / "c.toml"
    path.write_text(text)
    _, error = answer(capsys, ["train", path], code=2)
    assert str(path) in error
    assert match in error


def test_usage_errors_exit_with_2(capsys):
    for arguments in ([], ["fly"], ["train", "--steps", "x"], ["status"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_an_outside_cause_exits_with_1_and_keeps_its_notes(capsys, monkeypatch, table, tmp_path):
    from qtrain.errors import ExecutorError

    def broken(*_, **__):
        raise ExecutorError("the chip is on fire")

    monkeypatch.setattr(sys.modules["qtrain.train"], "train_step", broken)
    _, error = answer(capsys, ["train", "--data", table, *SMALL, "--run-dir", tmp_path / "run"], code=1)
    assert "the chip is on fire" in error
    assert "0 of 4 steps are kept" in error


def test_ctrl_c_and_sigterm_end_with_a_checkpoint_and_a_message(capsys, monkeypatch, table, tmp_path):
    train = sys.modules["qtrain.train"]  # qtrain.train is the function
    real, left = train.train_step, [2]

    def killed(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **kwargs)

    monkeypatch.setattr(train, "train_step", killed)
    _, error = answer(capsys, ["train", "--data", table, *SMALL, "--run-dir", tmp_path / "run"], code=130)
    assert "stopped. 2 of 4 steps are kept" in error
    monkeypatch.undo()
    resumed, _ = answer(capsys, ["resume", tmp_path / "run", "--json"])
    whole, _ = answer(capsys, ["train", "--data", table, *SMALL, "--json"])
    assert resumed["weights_sha256"] == whole["weights_sha256"]


def test_a_reader_that_has_gone_is_no_traceback(capsys, table, tmp_path):
    trained(capsys, table, tmp_path)
    code = "import sys; from qtrain.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, "status", str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode, error) == (1, b"")


def test_a_file_that_may_not_be_used_is_an_outside_cause(capsys, monkeypatch, table, tmp_path):
    def denied(*_):
        raise PermissionError(13, "Permission denied", "run/lock")

    monkeypatch.setattr("qtrain.run._lock", denied)
    _, error = answer(capsys, ["train", "--data", table, *SMALL, "--run-dir", tmp_path / "run"], code=1)
    assert error == "qtrain: run/lock: Permission denied.\n"


def test_a_bug_is_one_message_and_exit_code_1(capsys, monkeypatch):
    monkeypatch.setattr("qtrain.config.build", lambda *_, **__: 1 / 0)
    _, error = answer(capsys, ["train"], code=1)
    assert "unexpected ZeroDivisionError" in error
    assert "Traceback" not in error


def test_a_damaged_checkpoint_is_a_warning_on_standard_error(capsys, table, tmp_path):
    from qtrain.run import checkpoints

    trained(capsys, table, tmp_path, "--checkpoint-every", "2")
    checkpoints(tmp_path / "run")[0].write_bytes(b"")
    _, error = answer(capsys, ["status", tmp_path / "run", "--json"])
    assert error.startswith("qtrain: warning: ")
    assert "is damaged" in error


def test_a_picture_that_cannot_be_written_is_refused(capsys, table, tmp_path):
    trained(capsys, table, tmp_path)
    _, error = answer(capsys, ["report", tmp_path / "run", "-o", tmp_path / "no/where.png"], code=2)
    assert "Choose another file" in error


def test_a_run_without_a_test_set_can_be_evaluated_on_its_training_rows(capsys, table, tmp_path):
    trained(capsys, table, tmp_path)
    result, _ = answer(capsys, ["evaluate", tmp_path / "run", "--rows", "train", "--json"])
    assert result["rows"] == 22


def test_defaults_without_a_file_are_digits_exact():
    config = read_config_file(None, {})
    assert (config.data.source, config.kind, config.shots) == ("digits", "exact", None)
    assert read_config_file(None, {("executor", "device"): "ibm_manila"}).shots == 1024


def test_the_installed_command_answers_with_json_only(tmp_path, table):
    process = subprocess.run(
        [sys.executable, "-m", "qtrain.cli", "train", "--data", str(table), *SMALL[:-1], "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["steps"] == 4
    assert process.stderr == "", "no progress bar where standard error is no terminal"


@pytest.mark.parametrize("kind", ["propagation", "aer", "auto"])
def test_every_simulator_can_be_named_trained_with_and_resumed(capsys, table, tmp_path, kind):
    shots = ["--shots", "20"] if kind == "aer" else []
    options = ["--executor", kind, "--device", "ibm_manila", *shots, "--steps", "2"]
    result = trained(capsys, table, tmp_path, *options)
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["executor"]
    assert recorded["kind"] == {"propagation": "PropagationSimulator", "aer": "AerExecutor"}.get(kind, "NoisySimulator")
    assert recorded["shots"] == (20 if kind == "aer" else None)
    resumed, _ = answer(capsys, ["resume", tmp_path / "run", "--json"])
    assert result["weights_sha256"] == resumed["weights_sha256"]
    assert result["steps"] == 2
