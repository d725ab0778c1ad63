"""`qtrain` on a chip: backends by name, budgets, the bill beforehand, and what a configuration may not hold."""

import json

import numpy as np
import pytest

from qtrain.chip.credentials import redacted, refuse_credentials
from qtrain.cli import main
from qtrain.errors import ConfigError

CHIP = ["--backend", "ibm_manila_2024-05-27"]
SMALL = ["--steps", "2", "--batch-size", "2", "--blocks", "1", "--shots", "50"]
MARKER = "wEvQxTokenMarker0123456789"


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(16) % 2
    x = rng.normal(0, 0.3, (16, 2)) + np.where(y[:, None] == 1, 2.2, 0.7)
    path = tmp_path / "rows.csv"
    path.write_text("a,b,kind\n" + "".join(f"{p:.4f},{q:.4f},{k}\n" for (p, q), k in zip(x, y)))
    return ["--data", str(path)]


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    """Neither a token nor a saved account, and no network to look for one."""
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "a"))


def answer(capsys, arguments, code=0):
    assert main([str(a) for a in arguments]) == code
    out, err = capsys.readouterr()
    return (json.loads(out) if code == 0 else out), err


def test_a_chip_is_trained_on_by_name_and_costs_what_was_said_before(capsys, table):
    cost, _ = answer(capsys, ["cost", *table, *SMALL, *CHIP, "--json"])
    stored, _ = answer(capsys, ["cost", *table, *SMALL, "--executor", "chip", "--device", "ibm_manila", "--json"])
    result, _ = answer(capsys, ["train", *table, *SMALL, *CHIP, "--quiet", "--json"])
    assert cost["exact"]
    assert cost == stored, "from the stored calibration without asking anybody"
    assert cost["most"]["circuits"] == result["circuits"]
    assert cost["most"]["shots"] == result["shots"], "executions"
    assert cost["most"]["jobs"] == 2 + 1, "a job a step, and the test set"
    assert cost["most"]["qpu_seconds"] == pytest.approx(result["qpu_seconds"], rel=1e-12)
    assert cost["most"]["usd"] == pytest.approx(1.6 * result["qpu_seconds"])


def test_a_pruned_bill_says_whether_it_is_exact(capsys, table):
    pruned = ["cost", *table, "--executor", "chip", "--device", "ibm_manila", *SMALL, "--steps", "6", "--ratio", "0.5"]
    even, _ = answer(capsys, [*pruned, "--ansatz", "rzz_ring", "--json"])
    uneven, _ = answer(capsys, [*pruned, "--ansatz", "u3cu3", "--json"])
    assert even["exact"]
    assert not uneven["exact"]
    assert uneven["least"]["shots"] < uneven["most"]["shots"]
    assert main([*pruned, "--ansatz", "u3cu3"]) == 0
    text = capsys.readouterr().out
    assert "at least" in text
    assert "at most" in text
    assert "jobs" in text
    assert "USD" in text


@pytest.mark.parametrize("budget", ["0.5", "0.5 s", "0.01 min", "0.5 USD", "$0.5"])
def test_a_budget_in_any_form_stops_before_the_step_that_would_pass_it(capsys, table, budget):
    result, _ = answer(capsys, ["train", *table, *SMALL, *CHIP, "--budget", budget, "--quiet", "--json"])
    assert (result["steps"], result["stopped"], result["shots"]) == (0, "budget", 0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "executor 'chip' needs a backend. Add --backend"),
        (["--device", "ibm_manila"], "executor 'chip' needs a backend"),
        ([*CHIP, "--device", "ibm_manila"], "a chip has its own calibration"),
        ([*CHIP, "--budget", "25 EUR"], "'25 EUR' has an unknown unit"),
        ([*CHIP, "--budget", "0 USD"], "budget = '0 USD'"),
        ([*CHIP, "--budget", "nan"], "budget = nan"),
        ([*CHIP, "--yes-i-accept", "0"], "accepted seconds = 0.0"),
        ([*CHIP, "--yes-i-accept", "60", "--budget", "60"], "are both caps"),
        ([*CHIP, "--shots", "0"], "shots = 0"),
        ([*CHIP, "--shots", "100001"], "shots = 100001"),
        (["--backend", "fake_manilla"], "'fake_manilla' is unknown. Expected a fake one such as fake_manila"),
        (["--backend", "ibm_nowhere_2020-01-01"], "ibm_nowhere_2020-01-01"),
        (["--backend", "ibm_fez"], "Expected an API key in QISKIT_IBM_TOKEN"),
        (["--executor", "noisy", "--device", "ibm_manila", *CHIP], "executor.backend is for executor 'chip'"),
        (["--executor", "exact", "--mode", "batch"], "executor.mode is for executor 'chip'"),
        (["--executor", "exact", "--torch-device", "cpu"], "executor.torch_device is for executor 'torch'"),
        (["--executor", "exact", "--budget", "25 USD"], "executor 'exact' counts QPU seconds"),
        (["--executor", "torch", "--torch-device", "tpu"], "device = 'tpu'"),
    ],
)
def test_bad_options_are_one_clear_message_and_exit_code_2(capsys, table, arguments, match):
    chip = [] if "--executor" in arguments else ["--executor", "chip"]
    out, error = answer(capsys, ["train", *table, "--steps", "1", *chip, *arguments, "--json"], code=2)
    assert out == ""
    assert match in error
    assert error.startswith("qtrain: ")


def test_options_in_the_file_reach_the_sampler_or_are_refused(capsys, table, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        f'[executor]\nkind = "chip"\nbackend = "{CHIP[1]}"\n[executor.options.dynamical_decoupling]\nenable = true\n'
    )
    _, error = answer(capsys, ["train", config, *table, *SMALL], code=2)
    assert "options = ['dynamical_decoupling']" in error
    assert "takes none" in error


@pytest.mark.parametrize(
    "text",
    [
        f'[executor]\nkind = "chip"\nbackend = "ibm_fez"\ntoken = "{MARKER}"\n',
        f'[executor]\nkind = "chip"\nbackend = "ibm_fez"\napi_key = "{MARKER}"\n',
        f'[executor.options.environment]\n"IAM-API-Key" = "{MARKER}"\n',
        f'[account]\nsecret = "{MARKER}"\n',
        f'access_token = "{MARKER}"\n',
        f'[[executor.options.steps]]\npassword = "{MARKER}"\n',
    ],
)
@pytest.mark.parametrize("command", ["train", "cost"])
def test_a_credential_in_a_file_is_refused_and_never_repeated(capsys, tmp_path, text, command):
    config = tmp_path / "run.toml"
    config.write_text(text)
    out, error = answer(capsys, [command, config, "--json"], code=2)
    assert "is a credential" in error
    assert "QISKIT_IBM_TOKEN" in error
    assert MARKER not in out + error


def test_credentials_are_found_however_deep_and_hidden_in_texts(monkeypatch):
    with pytest.raises(ConfigError, match=r"here\.a\[1\]: 'Auth-Token' is a credential"):
        refuse_credentials({"a": [{}, {"Auth-Token": MARKER}]}, "here")
    refuse_credentials({"dynamical_decoupling": {"enable": True}, "environment": {"job_tags": ["a"]}}, "here")
    monkeypatch.setenv("QISKIT_IBM_TOKEN", MARKER)
    assert redacted(f"401 for {MARKER}") == "401 for <QISKIT_IBM_TOKEN>"


def test_torch_is_an_executor_by_name(capsys, table):
    result, _ = answer(capsys, ["train", *table, "--executor", "torch", *SMALL[:-2], "--quiet", "--json"])
    exact, _ = answer(capsys, ["train", *table, "--executor", "exact", *SMALL[:-2], "--quiet", "--json"])
    assert result["loss"] == pytest.approx(exact["loss"], rel=1e-9)
