"""The loopback service under the real, unpatched client: that it works, survives its own death, and ends with its
parent.
"""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

pytest.importorskip("qiskit_ibm_runtime")

from qiskit_ibm_runtime import Batch, SamplerV2, Session
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeInvalidStateError, RuntimeJobNotFound

from tests.qtrain.service.samples import POINTS, QUICK, circuit, submit


def legacy(client, points=POINTS):
    with pytest.warns(DeprecationWarning, match="SamplerV2"):
        sampler = SamplerV2(client.backend("ibm_manila"))
    return sampler.run([(circuit(), points, 64)])


SCRIPT = """
import json, sys
import numpy as np
from qiskit import qpy
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.executor_sampler import Sampler
with open(sys.argv[1], "rb") as file:
    circuit = qpy.load(file)[0]
service = QiskitRuntimeService()
backend = service.least_busy(min_num_qubits=20)
other = service.backend("ibm_manila")
sampler = Sampler(other)
sampler.options.environment.job_tags = ["from:outside"]
job = sampler.run([(circuit, np.load(sys.argv[2]))], shots=64)
array = job.result(poll_interval=0.1)[0].data.c.array
seen = {"least_busy": backend.name, "qubits": other.num_qubits, "operations": sorted(other.target.operation_names)}
seen |= {"edges": len(other.target["cx"]), "status": other.status().status_msg, "charged": job.usage()}
seen |= {"usage": service.usage()["usage_consumed_seconds"], "plan": service.instances()[0]["plan"]}
print(json.dumps({**seen, "array": array.tolist()}))
"""


def test_a_client_of_its_own_process_needs_environment_variables_only(loopback, client, tmp_path):
    from qiskit import qpy

    with (tmp_path / "circuit.qpy").open("wb") as file:
        qpy.dump(circuit(), file)
    np.save(tmp_path / "points.npy", POINTS)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "circuit.qpy"), str(tmp_path / "points.npy")]
    done = subprocess.run(command, env=loopback.environment(), capture_output=True, text=True, check=True, timeout=60)
    seen = json.loads(done.stdout)
    assert (seen["least_busy"], seen["qubits"], seen["edges"]) == ("ibm_mumbai", 5, 8)
    assert {"cx", "rz", "sx", "x", "measure"} <= set(seen["operations"])
    assert (seen["status"], seen["plan"]) == ("active", "premium")
    [job] = loopback.billing()
    assert (job["circuits"], job["executions"], job["tags"]) == (6, 6 * 64, ["from:outside"])
    assert seen["charged"] == seen["usage"] == job["charged"] == pytest.approx(2 + 0.00035 * 384)
    # the same content from another process, through the other program, and in two halves: the same bits
    assert np.array_equal(legacy(client).result(**QUICK)[0].data.c.array, seen["array"])
    halves = [submit(client, points).result(**QUICK)[0].data.c.array for points in (POINTS[:2], POINTS[2:])]
    assert np.array_equal(np.concatenate(halves), seen["array"])


def test_jobs_are_found_by_id_and_by_tag_and_time(loopback, client):
    loopback.settings(queue_seconds=30)
    start = datetime.now(UTC) - timedelta(seconds=5)
    ids = [submit(client, tag=f"run:{k}:a").job_id() for k in range(3)]
    assert client.job(ids[1]).job_id() == ids[1]
    assert client.job(ids[1]).status() == "QUEUED"
    assert [job.job_id() for job in client.jobs(job_tags=["run:1:a"], created_after=start, limit=None)] == [ids[1]]
    assert [job.job_id() for job in client.jobs(limit=None, descending=False)] == ids
    assert client.jobs(job_tags=["run:1:a"], created_after=start + timedelta(minutes=1), limit=None) == []
    assert len(client.jobs(pending=True, limit=2)) == 2
    client.job(ids[0]).cancel()
    assert [job["state"] for job in loopback.billing()] == ["Cancelled", "Queued", "Queued"]
    assert loopback.billing()[0]["charged"] == 0
    with pytest.raises(RuntimeInvalidStateError, match="cannot be cancelled"):
        client.job(ids[0]).cancel()
    assert client.job(ids[2]).update_tags(["run:2:b"]) == ["run:2:b"]
    client.delete_job(ids[0])
    with pytest.raises(RuntimeJobNotFound):
        client.job(ids[0])
    assert [job["tags"] for job in loopback.billing()] == [["run:0:a"], ["run:1:a"], ["run:2:b"]]


def test_the_clocks_may_differ(loopback, client):
    loopback.settings(clock_skew=-3600)
    job = submit(client)
    now = datetime.now(UTC)
    assert client.jobs(job_tags=["run:0:a"], created_after=now - timedelta(minutes=5), limit=None) == []
    [found] = client.jobs(job_tags=["run:0:a"], created_after=now - timedelta(hours=2), limit=None)
    assert found.job_id() == job.job_id()
    assert found.creation_date < now - timedelta(minutes=55)


def test_batch_and_session(loopback, client):
    backend = client.backend("ibm_manila")
    with Batch(backend) as batch:
        assert submit(client, mode=batch).result(**QUICK)[0].data.c.num_shots == 64
    with Session(backend) as session:
        assert submit(client, mode=session).result(**QUICK)[0].data.c.num_shots == 64
        assert session.status() == "In progress, accepting new jobs"
        loopback.close_sessions()
        with pytest.raises(IBMRuntimeError, match="is closed"):
            submit(client, mode=session)
    assert [shown["state"] for shown in loopback.sessions()] == ["closed", "closed"]
    loopback.settings(plan="open")
    with pytest.raises(RequestsApiError, match="not authorized to run a session when using the open plan"):
        Session(backend)
    with Batch(backend) as batch:
        submit(client, mode=batch)


def test_kill_and_restart(loopback, client):
    done = submit(client, POINTS[:2])
    before = done.result(**QUICK)[0].data.c.array
    loopback.next_job(run_seconds=0.3)
    running = submit(client, POINTS[2:4])
    loopback.next_job(queue_seconds=0.5)
    queued = submit(client, POINTS[4:])
    loopback.restart()
    arrays = [job.result(**QUICK)[0].data.c.array for job in (done, running, queued)]
    assert np.array_equal(arrays[0], before)
    assert np.array_equal(np.concatenate(arrays), submit(client).result(**QUICK)[0].data.c.array)
    assert [job["state"] for job in loopback.billing()] == ["Completed"] * 4
    assert sum(job["executions"] for job in loopback.billing()) == 2 * POINTS.shape[0] * 64


def test_unreachable_for_a_while(loopback, client):
    job = submit(client)
    loopback.unreachable(0.4)
    assert job.result(**QUICK)[0].data.c.num_shots == 64
    loopback.fault("GET", "/results", action="unreachable", delay=0.4)
    assert job.result(**QUICK)[0].data.c.num_shots == 64
    assert [entry["fault"] for entry in loopback.log("GET", "/results")] == [None, "unreachable", None]


PARENT = """
import sys
from pathlib import Path
from tests.qtrain.service import LoopbackService
service = LoopbackService(Path(sys.argv[1])).start()
print(service.process.pid, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_its_parent(loopback, tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    parent = subprocess.Popen(
        command, env=loopback.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_mistakes_in_a_switch_are_refused(loopback):
    with pytest.raises(RuntimeError, match="action is one of"):
        loopback.fault("POST", "/jobs$", action="explode")
    with pytest.raises(RuntimeError, match="no settings"):
        loopback.settings(nose="ideal")
    with pytest.raises(RuntimeError, match="no such backend"):
        loopback.backend("ibm_nowhere", state=False)
    with pytest.raises(RuntimeError, match="a job has no"):
        loopback.next_job(fails=True)
    assert loopback.faults() == []
