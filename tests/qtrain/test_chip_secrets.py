"""No credential in anything that a run leaves or says: tested with a marker in its place."""

import json
import logging
import traceback
import zipfile

import pytest

from qtrain.chip.credentials import redacted, remember
from qtrain.errors import JobError
from qtrain.executors import chip
from tests.qtrain.loopback_training import BACKEND

MARKER = "marker-0123456789-of-a-key"


@pytest.fixture
def secret(training, monkeypatch):
    """A training whose key is the marker, at a service that quotes what it was sent."""
    monkeypatch.setenv("QISKIT_IBM_TOKEN", MARKER)
    return training


def clean(text):
    assert MARKER not in text
    assert "eyJ" not in text  # what the key was exchanged for


def clean_files(folder):
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as parts:
                contents += [parts.read(name) for name in parts.namelist()]
        for content in contents:
            clean(content.decode("latin-1"))


def quoting(code):
    message = f"{code}: key {MARKER} and Authorization: Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJsb29wYmFjayJ9.e30"
    return json.dumps({"error": {"code": code, "message": message}})


@pytest.mark.parametrize("code", [400, 401, 429])
def test_a_service_that_quotes_the_key_makes_nobody_repeat_it(secret, capsys, caplog, code):
    caplog.set_level(logging.DEBUG, logger="qtrain")
    secret.service.fault("POST", "/jobs$", code=code, body=quoting(code), skip=1, times=2 if code == 429 else 1)
    try:
        secret.train()
    except JobError as error:
        clean("".join(traceback.format_exception(error)))
        clean(f"{error!r} {error.__cause__!r}")
    else:
        assert code == 429
    secret.service.next_job(fail="user", reason=quoting(3211))
    assert secret.command("resume", secret.folder / "run", "--quiet") in (0, 1)
    assert secret.command("resume", secret.folder / "run", "--quiet") == 0
    assert secret.command("status", secret.folder / "run", "--json") == 0
    assert secret.command("report", secret.folder / "run") == 0
    seen = capsys.readouterr()
    clean(seen.out + seen.err + caplog.text)
    clean(" ".join(f"{kind} {text}" for kind, text in secret.said))
    clean_files(secret.folder)


def test_neither_has_a_traceback(secret, capsys, monkeypatch):
    def broken(*arguments):
        raise AssertionError(f"{MARKER} {arguments}")

    monkeypatch.setenv("QTRAIN_TRACEBACK", "1")
    monkeypatch.setattr(chip, "split", broken)
    arguments = ("train", "--backend", BACKEND, "--budget", "9999", "--steps", "1", "--quiet")
    assert secret.command(*arguments, "--run-dir", secret.folder / "traced") == 1
    seen = capsys.readouterr()
    assert "AssertionError" in seen.err
    clean(seen.out + seen.err)


def test_a_key_of_an_account_on_disk_is_hidden_as_well():
    remember("kept-in-a-file-0001", "token of the account")
    assert redacted("it was kept-in-a-file-0001.") == "it was <token of the account>."
    remember("short", "no secret")
    assert redacted("short") == "short"
