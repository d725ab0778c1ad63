"""A run on a chip by the command line: begun from another run, watched while it queues, cancelled, reported."""

import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import qtrain
from qtrain.cancel import cancel
from qtrain.chip.types import JobState, JobStatus
from qtrain.cli import main
from qtrain.comparison import comparison
from qtrain.errors import ConfigError, ExecutorError, RunError
from qtrain.jobs import JobLedger
from qtrain.run import RunDirectory, holder, latest
from qtrain.start import start_from
from qtrain.status import status
from tests.qtrain.chip_stand_in import StandIn, small_model, train

SMALL = ["--batch-size", "4", "--blocks", "1", "--quiet", "--gradient", "parameter_shift", "--shots", "20", "--json"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    x = rng.normal(0, 0.3, (24, 2)) + np.where(y[:, None] == 1, 2.2, 0.7)
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    path.write_text("a,b,kind\n" + "".join(f"{p:.4f},{q:.4f},{k}\n" for (p, q), k in zip(x, y)))
    return path


def answer(capsys, *arguments, code=0):
    assert main([str(a) for a in arguments]) == code
    out, err = capsys.readouterr()
    return json.loads(out) if code == 0 and "--json" in arguments else out + err


@pytest.fixture(scope="module")
def noisy(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "noisy"
    assert (
        main(["train", "--data", str(table), *SMALL, "--device", "ibm_manila", "--steps", "6", "--run-dir", str(path)])
        == 0
    )
    return path


@pytest.fixture(scope="module")
def warm(table, noisy):
    path = noisy.with_name("warm")
    options = ["--backend", "fake_manila", "--steps", "2", "--from", str(noisy), "--run-dir", str(path)]
    assert main(["train", "--data", str(table), *SMALL, *options]) == 0
    return path


# --- warm start


def test_a_chip_run_begins_with_the_weights_of_a_noisy_one_and_says_so(capsys, warm, noisy):
    capsys.readouterr()
    found, source = answer(capsys, "status", warm, "--json"), answer(capsys, "status", noisy, "--json")
    assert found["start"] == {"run": str(noisy), "step": 6, "weights_sha256": source["weights_sha256"]}
    assert found["state"] == "finished"
    assert found["jobs"]["states"] == {"done": 3}
    weights = latest(noisy)[1]["layer"]["weights"].numpy()
    np.testing.assert_array_equal(np.load(warm / "start.npy"), weights)
    assert np.abs(latest(warm)[1]["layer"]["weights"].numpy() - weights).max() <= 2 * 0.05 + 1e-9, "two steps of Adam"


def test_a_warm_run_resumes_without_the_run_that_it_began_with(tmp_path):
    source, path = tmp_path / "source", tmp_path / "run"
    train(source, qtrain.ExactSimulator(), steps=3)
    whole = train(None, StandIn(), start=source)
    assert train(path, StandIn(budget=3.0), start=source).stopped == "budget"
    shutil.rmtree(source)
    for file in (path / "checkpoints").glob("*.pt"):  # killed before the first one was whole
        file.unlink()
    resumed = qtrain.resume(path, executor=StandIn())
    assert resumed.weights_sha256 == whole.weights_sha256
    assert whole.weights_sha256 != train(None).weights_sha256
    with pytest.raises(ConfigError, match="has 7 weights to start from"):
        qtrain.resume(path, executor=StandIn(), model=small_model(2))
    data = bytearray((path / "start.npy").read_bytes())
    data[-1] ^= 1
    (path / "start.npy").write_bytes(data)
    with pytest.raises(RunError, match=r"start.npy: cannot be read \(its sha256"):
        qtrain.resume(path, executor=StandIn())


def test_weights_of_another_circuit_observable_or_parameter_are_refused_with_a_diff(tmp_path):
    train(tmp_path / "run", qtrain.ExactSimulator(), steps=1)
    more = small_model(2)
    with pytest.raises(RunError, match=r"(?s)circuit: .* -> .*weights: \['w\[0\]'.*give the same model options"):
        start_from(tmp_path / "run", more)
    model = small_model()
    observed = qtrain.QuantumModel(
        model.circuit, features=model.features, weights=model.weights, observables=["Z0", "X1"]
    )
    with pytest.raises(RunError, match="observables: "):
        start_from(tmp_path / "run", observed)
    swapped = qtrain.QuantumModel(
        model.circuit, features=model.features, weights=model.weights[::-1], observables=["Z0", "Z1"]
    )
    with pytest.raises(RunError, match="weights: "):
        start_from(tmp_path / "run", swapped)
    with pytest.raises(RunError, match="holds no run"):
        start_from(tmp_path, model)
    assert start_from(tmp_path / "run", small_model()).step == 1


# --- status from another terminal

TRAINER = """
    import sys, time
    from qtrain.chip.types import JobRecord, JobState, JobStatus
    from qtrain.jobs import JobLedger
    from qtrain.run import RunDirectory
    with RunDirectory.open(sys.argv[1]) as run, JobLedger(run.path / "jobs.sqlite3") as jobs:
        jobs.intend(JobRecord("t1", "c1", "intent", 3, "stand_in", "sha", 7, 350, 4.5))
        jobs.submitted("t1", "job-1")
        jobs.seen("t1", JobStatus(JobState.QUEUED, queue_position=12))
        jobs.event("outage", "the service did not answer for 31 s")
        jobs.duplicate("t1", "job-2", "found beside job-1 and cancelled")
        print("queued", flush=True)
        time.sleep(60)
"""


def test_status_from_another_process_tells_what_queues_and_who_trains(tmp_path, capsys):
    path = tmp_path / "run"
    before = train(path, StandIn(budget=3.0)).steps
    assert (status(path)["state"], holder(path)) == ("stopped", None)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TRAINER), str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "queued\n"
        found = answer(capsys, "status", path, "--json")
        text = answer(capsys, "status", path)
    finally:
        process.kill()
        process.communicate(timeout=30)
    assert (found["state"], found["pid"], found["step"]) == ("running", process.pid, before)
    (waiting,) = found["jobs"]["open"]
    assert (waiting["job_id"], waiting["state"], waiting["queue_position"]) == ("job-1", "queued", 12)
    assert found["jobs"]["states"]["submitted"] == 1
    assert found["jobs"]["budget"] == "3.0"
    assert found["jobs"]["duplicates"][0]["job_id"] == "job-2"
    assert found["jobs"]["events"][-1][1:] == ["outage", "the service did not answer for 31 s"]
    assert found["jobs"]["events"][0][1] == "budget"
    assert f"state: running (pid {process.pid})" in text
    assert "open: job job-1 of step 4: queued, place 12 in the queue" in text
    assert (status(path)["state"], holder(path)) == ("stopped", None), "killed: nobody holds the lock"


def test_asking_who_trains_keeps_no_trainer_out(tmp_path):
    train(tmp_path / "run", qtrain.ExactSimulator(), steps=1)
    with RunDirectory.open(tmp_path / "run"):
        assert holder(tmp_path / "run") is not None
    assert holder(tmp_path / "run") is None
    assert holder(tmp_path) is None


# --- cancel


class Service:
    """Jobs by id: state, tag and charge."""

    name = "stand_in"

    def __init__(self, **jobs):
        self.jobs, self.cancelled = jobs, []

    def find(self, tag, since):
        assert since.tzinfo is not None
        return [name for name, (_, t, _) in self.jobs.items() if t == tag]

    def cancel(self, name):
        self.cancelled.append(name)
        state, tag, charge = self.jobs[name]
        if not state.is_final:
            self.jobs[name] = (JobState.CANCELLED, tag, charge)

    def status(self, name):
        return JobStatus(self.jobs[name][0])

    def charged(self, name):
        return self.jobs[name][2]


def interrupted(path):
    executor = StandIn(fails=(4, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        train(path, executor)
    (job,) = executor.jobs.open_jobs()
    executor.jobs.close()
    return job


def test_cancel_stops_the_open_job_and_its_twin_at_the_service_and_writes_it_down(tmp_path, capsys, monkeypatch):
    path = tmp_path / "run"
    job = interrupted(path)
    service = Service(**{job.job_id: (JobState.QUEUED, job.tag, None), "twin": (JobState.RUNNING, job.tag, 0.5)})
    monkeypatch.setattr("qtrain.cancel._service", lambda options: service)
    assert f"job {job.job_id} of step 2: cancelled" in answer(capsys, "cancel", path)
    assert service.cancelled == [job.job_id, "twin"]
    found = status(path)["jobs"]
    assert found["open"] == []
    assert found["states"] == {"done": 3, "cancelled": 1}
    assert [d["job_id"] for d in found["duplicates"]] == ["twin"]
    assert found["events"][-1][1] == "cancelled"
    assert "has no open job: there is nothing to cancel" in answer(capsys, "cancel", path, code=2)


def test_cancel_leaves_a_job_that_is_done_to_resume(tmp_path):
    job = interrupted(tmp_path / "run")
    found = cancel(tmp_path / "run", service=Service(**{job.job_id: (JobState.DONE, job.tag, 1.0)}))
    assert found["jobs"][0]["outcome"] == "done"
    second = StandIn()
    qtrain.resume(tmp_path / "run", executor=second)
    assert job.content not in second.sent


def test_cancel_finds_a_job_whose_id_was_never_written_and_gives_up_one_that_was_never_sent(tmp_path):
    path = tmp_path / "run"
    train(path, StandIn(budget=3.0))
    with JobLedger(path / "jobs.sqlite3") as jobs:
        for tag in ("sent", "lost"):
            jobs.intend(jobs.jobs()[0].__class__(tag, tag, "intent", 9, "stand_in", "sha", 1, 1, 1.0))
    service = Service(**{"job-9": (JobState.QUEUED, "sent", None)})
    with RunDirectory.open(path), pytest.raises(RunError, match="job lost is just being sent"):
        cancel(path, service=service)
    outcomes = {j["tag"]: j["outcome"] for j in cancel(path, service=service)["jobs"]}
    assert outcomes == {"lost": "abandoned"}
    with JobLedger.read(path / "jobs.sqlite3") as jobs:
        assert {j.tag: (j.state, j.job_id) for j in jobs.jobs()[-2:]} == {
            "sent": ("cancelled", "job-9"),
            "lost": ("abandoned", ""),
        }


def test_cancel_says_where_a_job_does_not_stop_at_once(tmp_path, monkeypatch):
    class Slow(Service):
        def cancel(self, name):
            pass

    job = interrupted(tmp_path / "run")
    monkeypatch.setattr("qtrain.cancel._PATIENCE", 0.0)
    found = cancel(tmp_path / "run", service=Slow(**{job.job_id: (JobState.RUNNING, job.tag, None)}))
    assert found["jobs"][0]["outcome"] == "running"
    assert len(status(tmp_path / "run")["jobs"]["open"]) == 1


def test_cancel_of_a_simulation_and_without_the_service_is_refused(tmp_path):
    train(tmp_path / "simulated", qtrain.ExactSimulator(), steps=1)
    with pytest.raises(RunError, match="has no jobs: ExactSimulator computes here"):
        cancel(tmp_path / "simulated")
    interrupted(tmp_path / "run")

    class Down(Service):
        def find(self, tag, since):
            raise ConnectionError("Bearer eyJabc.def.ghi")

    with pytest.raises(ExecutorError, match="goes on where it stopped") as caught:
        cancel(tmp_path / "run", service=Down())
    assert "eyJ" not in str(caught.value)


# --- report


def test_report_of_a_chip_run_tells_jobs_seconds_duplicates_and_accuracy_by_cost(capsys, warm):
    capsys.readouterr()
    text = answer(capsys, "report", warm)
    for word in ("jobs: 3 done", "duplicates: 0", "accuracy/QPU s", "warm", "QPU seconds"):
        assert word in text
    found = answer(capsys, "report", warm, "--json")
    assert found["num_jobs"] == 3
    assert found["accuracy_per_qpu_second"] == pytest.approx(found["test_accuracy"] / found["qpu_seconds"])
    assert (warm / "report.png").read_bytes().startswith(b"\x89PNG")


def test_report_of_several_runs_compares_them_in_one_picture(capsys, warm, noisy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    found = answer(capsys, "report", noisy, warm, "--json")
    assert [entry["kind"] for entry in found["runs"]] == ["NoisySimulator", "ChipExecutor"]
    assert [entry["start"] is None for entry in found["runs"]] == [True, False]
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    lines = answer(capsys, "report", noisy, warm, "-o", tmp_path / "both.svg").splitlines()
    assert len(lines) == 4
    assert "cold" in lines[1]
    assert (tmp_path / "both.svg").exists()
    with pytest.raises(RunError, match="holds no run"):
        comparison([noisy, tmp_path])


def test_a_chip_run_resumes_by_its_recorded_name_with_another_budget(capsys, warm, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(warm, path)
    assert answer(capsys, "resume", path, "--budget", "2 min", "--quiet", "--json")["stopped"] == "finished"
    assert "unknown unit" in answer(capsys, "resume", path, "--budget", "5 parsecs", "--quiet", code=2)
