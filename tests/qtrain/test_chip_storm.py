"""Everything goes wrong at once, at random; the run ends as the undisturbed one, and every job is accounted for."""

import numpy as np
import pytest

from qtrain.errors import JobError
from tests.qtrain.loopback_training import CIRCUITS, SHOTS

pytest.importorskip("qiskit_ibm_runtime")

STEPS = 8
REQUESTS = [
    ("POST", "/jobs$"),
    ("GET", "/jobs$"),
    ("GET", "/jobs/[^/]+$"),
    ("GET", "/results$"),
    ("GET", "/metrics$"),
    ("GET", "/status$"),
    ("GET", "/properties$"),
    ("GET", "/instances/usage$"),
]


def strike(service, rng):
    """A dozen faults, and the fates of a few jobs."""
    for _ in range(12):
        method, path = REQUESTS[rng.integers(len(REQUESTS))]
        when = {"skip": int(rng.integers(12)), "times": int(rng.integers(1, 3))}
        phase = str(rng.choice(["before", "after"]))
        kind = rng.integers(5)
        if kind == 0:
            service.fault(method, path, action="reset", phase=phase, **when)
        elif kind == 1:
            service.fault(method, path, code=int(rng.choice([429, 500, 502, 503])), phase=phase, **when)
        elif kind == 2:
            service.fault(method, path, code=429, headers={"Retry-After": "1"}, **when)
        elif kind == 3:
            action = str(rng.choice(["truncate", "empty", "wrong_type", "wrong_shape", "cut"]))
            service.fault("GET", "/results$", action=action, **when)
        else:
            service.fault(method, path, action="unreachable", delay=float(rng.uniform(0.1, 1.0)), **when)
    for _ in range(2):
        service.next_job(skip=int(rng.integers(STEPS)), fail="system", reason_code=1000)
        service.next_job(skip=int(rng.integers(STEPS)), queue_seconds=float(rng.uniform(0.0, 1.0)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_faults_ends_with_the_undisturbed_weights(training, seed):
    expected = training.undisturbed(steps=STEPS)
    strike(training.service, np.random.default_rng(seed))
    stops = []
    try:
        weights = training.train(steps=STEPS).weights
    except JobError as error:
        stops.append(error)
    while stops and len(stops) < 5:
        try:
            weights = training.resume().weights
            break
        except JobError as error:
            stops.append(error)
    assert np.array_equal(weights, expected)
    bill = training.service.billing()
    with training.ledger() as jobs:
        spent, twins = jobs.spent(), {twin.job_id for twin in jobs.duplicates()}
    kept = [job for job in bill if job["state"] == "Completed" and job["id"] not in twins]
    assert [job["executions"] for job in kept] == [CIRCUITS * SHOTS] * STEPS
    assert spent.seconds == pytest.approx(sum(job["charged"] for job in bill))
