"""What the real client does when its service fails.

The fault policy of qtrain.chip is built on what is seen here: a new version of the client that behaves otherwise fails
these tests first.
"""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.providers.exceptions import QiskitBackendNotFoundError

pytest.importorskip("qiskit_ibm_runtime")

from qiskit_ibm_runtime import SamplerV2
from qiskit_ibm_runtime.accounts import InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobTimeoutError,
)
from qiskit_ibm_runtime.executor_sampler import Sampler

from tests.qtrain.service.samples import POINTS, QUICK, circuit, submit


def legacy(client, points=POINTS):
    with pytest.warns(DeprecationWarning, match="SamplerV2"):
        sampler = SamplerV2(client.backend("ibm_manila"))
    return sampler.run([(circuit(), points, 64)])


# submission


def test_a_refused_submission_is_repeated_by_the_client_itself(loopback, client):
    loopback.fault("POST", "/jobs$", code=500, times=2)
    submit(client)
    assert [entry["status"] for entry in loopback.log("POST", "/jobs$")] == [500, 500, 200]
    assert len(loopback.billing()) == 1


def test_an_accepted_submission_is_repeated_as_well_and_paid_twice(loopback, client):
    loopback.fault("POST", "/jobs$", code=502, phase="after")
    job = submit(client)
    bill = loopback.wait(jobs=2)
    assert job.job_id() == bill[1]["id"]
    assert [entry["tags"] for entry in bill] == [["run:0:a"]] * 2
    assert client.usage()["usage_consumed_seconds"] == pytest.approx(2 * bill[0]["charged"])


@pytest.mark.parametrize("action", ["reset", "hang", "cut"])
def test_a_job_whose_reply_was_lost_is_found_by_its_tag(loopback, client, action):
    loopback.fault("POST", "/jobs$", action=action, phase="after", delay=0.2)
    with pytest.raises(IBMRuntimeError, match="Failed to run program"):
        submit(client)
    [found] = client.jobs(job_tags=["run:0:a"], limit=None)
    assert found.result(**QUICK)[0].data.c.num_shots == 64


CLIENT = """
from qiskit_ibm_runtime import QiskitRuntimeService
from tests.qtrain.service.samples import submit
submit(QiskitRuntimeService(), tag="killed:0")
"""


def test_a_client_killed_between_its_submission_and_the_reply(loopback, client):
    loopback.fault("POST", "/jobs$", action="hang", phase="after", delay=30)
    process = subprocess.Popen([sys.executable, "-c", CLIENT], env=loopback.environment())
    loopback.wait_for_request("POST", "/jobs$")
    [job] = loopback.wait()
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    [found] = client.jobs(job_tags=["killed:0"], limit=None)
    assert found.job_id() == job["id"]
    assert found.result(**QUICK)[0].data.c.num_shots == 64


@pytest.mark.slow
def test_a_service_in_trouble_is_asked_six_times(loopback, client):
    loopback.fault("POST", "/jobs$", code=502, times=None)
    with pytest.raises(IBMRuntimeError, match="too many 502 error responses"):
        submit(client)
    assert len(loopback.log("POST", "/jobs$")) == 6
    loopback.clear_faults()
    loopback.fault("GET", "/status$", code=503, times=None)
    with pytest.raises(RequestsApiError, match="503"):
        submit(client)
    assert loopback.billing() == []
    loopback.clear_faults()
    job = submit(client)
    loopback.fault("GET", "/jobs/", action="reset", times=None)
    with pytest.raises(RequestsApiError, match="Connection aborted"):  # out of result(), although the job is fine
        job.result()
    loopback.clear_faults()
    assert job.result(**QUICK)[0].data.c.num_shots == 64


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}])
def test_429_on_submission_is_an_error_at_once(loopback, client, headers):
    loopback.fault("POST", "/jobs$", code=429, headers=headers)
    with pytest.raises(IBMRuntimeError, match="429"):
        submit(client)
    assert len(loopback.log("POST", "/jobs$")) == 1


def test_limits_of_a_job(loopback, client):
    loopback.settings(max_executions=300)
    with pytest.raises(IBMRuntimeError, match="384 executions"):
        submit(client)
    assert loopback.billing() == []


# waiting for the result


def test_429_while_polling_is_waited_for_only_with_retry_after(loopback, client):
    job = submit(client)
    loopback.fault("GET", "/jobs/[^/]+$", code=429, headers={"Retry-After": "1"})
    assert job.result(**QUICK)[0].data.c.num_shots == 64
    loopback.fault("GET", "/results$", code=429)
    with pytest.raises(RequestsApiError, match="429"):
        job.result(**QUICK)


def test_a_connection_that_is_reset_is_tried_again(loopback, client):
    job = submit(client)
    loopback.fault("GET", "/jobs/", action="reset", times=2)
    assert job.result(**QUICK)[0].data.c.num_shots == 64


@pytest.mark.parametrize(
    ("script", "error", "message", "charged"),
    [
        ({"fail": "system"}, RuntimeJobFailureError, "Error code 9999", False),
        ({"fail": "user", "reason": "Job not valid"}, RuntimeJobFailureError, "Error code 3211; Job not valid", True),
        ({"fail": "system", "reason_code": 1305}, RuntimeJobMaxTimeoutError, "1305", True),
        ({"cancel": True}, RuntimeInvalidStateError, "Job was cancelled", False),
    ],
)
def test_jobs_that_end_badly(loopback, client, script, error, message, charged):
    loopback.next_job(**script)
    job = submit(client)
    with pytest.raises(error, match=message):
        job.result(**QUICK)
    assert (loopback.billing()[0]["charged"] > 0) == charged
    submit(client).result(**QUICK)


def test_a_job_that_runs_too_long(loopback, client):
    loopback.settings(job_limit_seconds=2.05)
    with pytest.raises(RuntimeJobMaxTimeoutError, match="1305"):
        submit(client).result(**QUICK)
    submit(client, POINTS[:2]).result(**QUICK)
    assert loopback.billing()[0]["charged"] == 2.05


def test_waiting_ends_and_charges_come_later(loopback, client):
    loopback.next_job(queue_seconds=0.3, run_seconds=0.3, charge_delay=0.3)
    job = submit(client)
    with pytest.raises(RuntimeJobTimeoutError):
        job.result(timeout=0.1, poll_interval=0.1)
    loopback.wait("Running")
    job.result(**QUICK)
    assert job.usage() == 0
    time.sleep(0.35)
    assert job.usage() == loopback.billing()[0]["charged"]


def test_results_that_are_not_results(loopback, client):
    """The two programs differ: only the legacy one's truncated body comes back as a str without an exception."""
    new, old = submit(client), legacy(client)
    whole = new.result(**QUICK)[0].data.c.array
    old.result(**QUICK)
    loopback.fault("GET", "/results$", action="truncate", times=2)
    assert isinstance(old.result(), str)
    with pytest.raises(TypeError, match="string indices"):
        new.result()
    loopback.fault("GET", "/results$", action="empty", times=2)
    assert old.result() is None
    assert new.result() is None
    loopback.fault("GET", "/results$", action="wrong_type", times=2)
    assert old.result() == [1, 2, 3]
    with pytest.raises(TypeError, match="list indices"):
        new.result()
    loopback.fault("GET", "/results$", action="wrong_shape", times=2)
    assert old.result()[0].data.c.shape == (5,)
    assert np.array_equal(new.result()[0].data.c.array, whole[:-1])
    loopback.fault("GET", "/results$", action="cut", times=None)
    with pytest.raises(RequestsApiError, match="IncompleteRead"):
        new.result()
    loopback.clear_faults()
    assert np.array_equal(new.result()[0].data.c.array, whole)


def test_fewer_shots_than_asked_for(loopback, client):
    loopback.next_job(shots_granted=40)
    assert submit(client).result(**QUICK)[0].data.c.num_shots == 40


# accounts and backends


def test_keys_and_tokens(loopback, client):
    from qiskit_ibm_runtime import QiskitRuntimeService

    loopback.fault("POST", "/jobs$", code=401)
    with pytest.raises(IBMNotAuthorizedError):
        submit(client)
    loopback.settings(reject_key=True)
    with pytest.raises(InvalidAccountError, match="valid API token"):
        QiskitRuntimeService()
    backend = client.backend("ibm_manila")  # its token is still good
    loopback.revoke_tokens()
    with pytest.raises(IBMNotAuthorizedError):
        backend.status()
    # the client-side Sampler lists the backends before each submission, and the client keeps that error to itself
    with pytest.raises(QiskitBackendNotFoundError):
        submit(client, mode=backend)
    assert [entry["status"] for entry in loopback.log("GET", "/backends$")][-1] == 401


def test_a_token_that_expires_is_renewed(loopback, client):
    from qiskit_ibm_runtime import QiskitRuntimeService

    loopback.settings(token_ttl=1)
    short = QiskitRuntimeService()
    backend = short.backend("ibm_manila")
    loopback.clear_log()
    time.sleep(0.9)
    assert backend.status().operational
    assert len(loopback.log("POST", "/identity/token")) == 1
    loopback.fault("POST", "/identity/token", code=500, times=None)
    time.sleep(1.1)
    with pytest.warns(UserWarning, match="API Key will be used instead"), pytest.raises(IBMNotAuthorizedError):
        backend.status()


def test_backends_that_do_not_run(loopback, client):
    backend = client.backend("ibm_manila")
    loopback.backend("ibm_manila", status="paused")
    with pytest.warns(UserWarning, match="currently has a status of paused"):
        job = submit(client)
    loopback.backend("ibm_manila", status="active", state=False)
    submit(client)  # without a warning
    assert not backend.status().operational
    assert backend.status().pending_jobs == 2
    time.sleep(0.1)
    assert job.status() == "QUEUED"
    loopback.backend("ibm_manila", state=True)
    assert job.result(**QUICK)[0].data.c.num_shots == 64
    loopback.backend("ibm_manila", retired=True)
    with pytest.raises(QiskitBackendNotFoundError):
        submit(client, mode=backend)


def test_usage_that_is_used_up(loopback, client):
    loopback.usage(limit=600, consumed=590)
    assert client.usage()["usage_remaining_seconds"] == 10
    loopback.usage(limit=600, consumed=600)
    with pytest.warns(UserWarning, match="met its usage limit"):
        job = submit(client)
    time.sleep(0.1)
    assert job.status() == "QUEUED"
    loopback.usage(limit=700, consumed=600)
    job.result(**QUICK)


def test_a_new_calibration_is_seen_after_refresh(loopback, client):
    backend = client.backend("ibm_manila")
    edges = set(backend.target["cx"])
    old = backend.properties().last_update_date
    loopback.recalibrate("ibm_manila", dead_edges=[[0, 1]])
    assert backend.target["cx"][0, 1].error < 1
    assert backend.properties().last_update_date == old
    backend.refresh()
    assert backend.target["cx"][0, 1].error == backend.target["cx"][1, 0].error == 1
    assert backend.properties().last_update_date > old
    assert set(backend.target["cx"]) == edges
    with pytest.raises(RuntimeJobFailureError, match=r"The instruction cx on qubits \(0, 1\) is not supported"):
        submit(client).result(**QUICK)


def test_what_is_not_native_fails_at_the_service(loopback, client):
    wrong = QuantumCircuit(1, 1)
    wrong.h(0)
    wrong.measure(0, 0)
    with pytest.raises(RuntimeJobFailureError, match="The instruction h"):
        Sampler(client.backend("ibm_athens")).run([wrong]).result(**QUICK)
