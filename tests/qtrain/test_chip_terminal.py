"""Two terminals and the real client: a run that queues is watched, interrupted, cancelled and resumed."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.qtrain.service import LoopbackService

pytest.importorskip("qiskit_ibm_runtime")
TRAIN = ["--steps", "2", "--batch-size", "2", "--blocks", "1", "--shots", "20", "--gradient", "parameter_shift",
         "--backend", "ibm_manila", "--yes-i-accept", "100", "--quiet"]  # fmt: skip


def qtrain(service, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "qtrain.cli", *map(str, arguments)],
        env=service.environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.slow
def test_a_queueing_run_is_watched_interrupted_cancelled_and_ends_as_if_nothing_had_happened(tmp_path):
    y = np.arange(12) % 2
    table, run = tmp_path / "rows.csv", tmp_path / "run"
    table.write_text("a,b,kind\n" + "".join(f"{0.3 + k + i / 20:.3f},{1.1 - k / 2:.3f},{k}\n" for i, k in enumerate(y)))
    with LoopbackService(tmp_path / "service") as service:
        whole = json.loads(qtrain(service, "train", "--data", table, *TRAIN, "--run-dir", tmp_path / "whole", "--json"))
        service.settings(queue_seconds=300)
        process = subprocess.Popen(
            [sys.executable, "-m", "qtrain.cli", "train", "--data", str(table), *TRAIN, "--run-dir", str(run)],
            env=service.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            deadline, found = time.monotonic() + 60, {}
            while time.monotonic() < deadline and process.poll() is None:
                if (run / "jobs.sqlite3").exists():
                    found = json.loads(qtrain(service, "status", run, "--json"))
                    if found["jobs"]["open"] and found["jobs"]["open"][0]["seen_at"]:
                        break
            (waiting,) = found["jobs"]["open"]
            assert (found["state"], found["pid"], found["step"]) == ("running", process.pid, 0)
            assert waiting["state"] == "queued"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 130
        assert f"1 job left at ibm_manila, running or queued: {waiting['job_id']}" in said
        assert f"qtrain resume {run}" in said
        assert f"job {waiting['job_id']} of step 1: cancelled" in qtrain(service, "cancel", run)
        assert "nothing to cancel" in qtrain(service, "cancel", run, code=2)
        assert [job["state"] for job in service.billing()][-1] == "Cancelled"
        service.settings(queue_seconds=0)
        resumed = json.loads(qtrain(service, "resume", run, "--quiet", "--json"))
        assert resumed["weights_sha256"] == whole["weights_sha256"]
        states = json.loads(qtrain(service, "status", run, "--json"))["jobs"]["states"]
        assert states == {"cancelled": 1, "done": 3}
        assert "cancelled" in qtrain(service, "report", run)
        for path in tmp_path.rglob("*"):
            if path.is_file() and (tmp_path / "service") not in path.parents:
                assert service.token.encode() not in path.read_bytes()
