"""The bill of a training, before it runs: a step is one submission, split only where a job may not be larger."""

from dataclasses import replace

import numpy as np
import pytest

import qtrain
from qcompile.calibration import load_device
from qcompile.cost import execution_cost
from qtrain.billing import price, step_bill, total_bill
from qtrain.chip.rehearsal import stored_backend
from qtrain.datasets import Dataset
from qtrain.executors.base import bill
from qtrain.settings import Settings
from qtrain.task import Task
from qtrain.train import Trainer

MANILA = load_device("ibm_manila")
SHIFT = qtrain.parameter_shift()
OVERHEAD = 2.0  # s a job


def blobs(count, name="rows"):
    rng = np.random.default_rng(0)
    y = np.arange(count) % 2
    return Dataset(rng.normal(0, 0.3, (count, 2)) + np.where(y[:, None] == 1, 2.2, 0.7), y, name, ("a", "b"))


def task(gradient=SHIFT, *, device=MANILA, shots=100, steps=5, batch=4, test=True, ansatz=None):
    encoding, features = qtrain.encoders.angle_encoder(2)
    layers, weights = (ansatz or qtrain.ansatze.rzz_ry)(2, 1)
    circuit = encoding.compose(layers)
    model = qtrain.QuantumModel(circuit, features=features, weights=weights, observables=["Z0", "Z1"])
    settings = Settings(steps=steps, batch_size=batch, evaluate_every=2)
    tested = blobs(10, "test") if test else None
    return Task(model, blobs(40), tested, qtrain.DryRun(device, shots=shots, effort="fast"), gradient, settings)


def test_a_step_is_one_job_and_the_evaluation_of_the_test_set_another():
    trainer = Trainer(task())
    program = trainer.layer.program
    points = 4 + 2 * 4 * len(np.flatnonzero((program.A != 0).any(axis=1)))
    duration = float(np.mean(program.durations))
    first, _ = step_bill(trainer.task, program, 0)
    assert (first.circuits, first.shots, first.jobs) == (points, 100 * points, 1)
    whole = execution_cost(MANILA, duration, shots=100, circuits=points)
    assert first.qpu_seconds == pytest.approx(whole.qpu_seconds, rel=1e-12)
    assert whole.overhead_seconds == OVERHEAD
    second, _ = step_bill(trainer.task, program, 1)
    assert (second.circuits, second.jobs) == (points + 10, 2)
    assert second.qpu_seconds > first.qpu_seconds + OVERHEAD


@pytest.mark.parametrize("gradient", [SHIFT, qtrain.spsa(), qtrain.average(qtrain.spsa(), 3)], ids=lambda g: g.name)
def test_a_dry_run_spends_its_own_bill(gradient):
    trainer = Trainer(task(gradient))
    least, most = total_bill(trainer.task, trainer.layer.program)
    done = trainer.run(None, progress=False).ledger
    assert least == most
    assert (done.circuits, done.shots, done.jobs) == (most.circuits, most.shots, 5 + 3)
    assert most.jobs == done.jobs
    assert done.qpu_seconds == pytest.approx(most.qpu_seconds, rel=1e-12)


def test_a_step_larger_than_a_job_is_as_few_jobs_as_hold_it():
    limited = replace(MANILA, limits=replace(MANILA.limits, max_executions_per_job=16 * 100))
    trainer = Trainer(task(device=limited, test=False))
    circuits = step_bill(trainer.task, trainer.layer.program, 0)[0].circuits
    _, most = total_bill(trainer.task, trainer.layer.program)
    done = trainer.run(None, progress=False).ledger
    assert circuits > 16
    assert done.jobs == most.jobs == 5 * -(-circuits // 16)
    assert done.qpu_seconds == pytest.approx(most.qpu_seconds, rel=1e-12)


def test_a_job_holds_whole_circuits():
    program = Trainer(task(test=False)).layer.program
    limited = replace(MANILA, limits=replace(MANILA.limits, max_executions_per_job=250))
    cost = execution_cost(limited, 1e-6, shots=100, circuits=5)
    assert cost.jobs == 3, "two circuits of 100 shots fit into 250 executions"
    assert bill(program, 5, 100, capacity=2).jobs == 3
    assert bill(program, 5, 100, capacity=2).qpu_seconds == pytest.approx(bill(program, 5, 100).qpu_seconds + 4.0)


@pytest.mark.parametrize("ansatz", [qtrain.ansatze.rzz_ry, qtrain.ansatze.u3cu3], ids=lambda a: a.__name__)
def test_a_pruned_bill_is_exact_or_bounds_what_is_spent(ansatz):
    pruned = qtrain.prune(SHIFT, ratio=0.5)
    trainer = Trainer(task(pruned, ansatz=ansatz, steps=6))
    program = trainer.layer.program
    least, most = total_bill(trainer.task, program)
    done = trainer.run(None, progress=False).ledger
    for name in ("circuits", "shots", "jobs", "qpu_seconds"):
        assert getattr(least, name) <= getattr(done, name) * (1 + 1e-12)
        assert getattr(done, name) <= getattr(most, name) * (1 + 1e-12)
    even = len(set((program.A != 0).sum(axis=0).tolist())) == 1 and (program.A != 0).sum(axis=1).max() == 1
    assert (least == most) == even


def test_the_price_of_one_gradient_on_a_heron():
    """36 weights, 1 row, 1024 shots: 73 circuits, 28 s by IBM's quick formula, 45 USD."""
    device = load_device("ibm_torino")
    cost = execution_cost(device, 100e-6, shots=1024, circuits=73)
    assert cost.executions == 74_752
    assert cost.qpu_seconds == pytest.approx(28.2, abs=0.1)
    program = Trainer(task(test=False)).layer.program
    assert price(bill(program, 73, 1024), MANILA, program) == pytest.approx(
        1.6 * bill(program, 73, 1024).qpu_seconds, rel=1e-12
    )


GRADIENTS = [
    SHIFT,
    qtrain.prune(SHIFT, ratio=0.5),
    qtrain.spsa(),
    qtrain.finite_difference(kind="forward"),
    qtrain.average(qtrain.spsa(), 2),
]


@pytest.mark.parametrize("gradient", GRADIENTS, ids=lambda g: g.name)
def test_a_chip_executes_its_bill_and_no_point_twice(gradient):
    """On a circuit whose angles are sums of several weights, in two measurement bases."""
    encoding, features = qtrain.encoders.angle_encoder(2)
    layers, weights = qtrain.ansatze.u3cu3(2, 1)
    model = qtrain.QuantumModel(
        encoding.compose(layers), features=features, weights=weights, observables=["Z0 X1", "Y0"]
    )
    chip = qtrain.ChipExecutor(stored_backend("ibm_manila_2024-05-27"), shots=20, effort="fast")
    settings = Settings(steps=3, batch_size=3, evaluate_every=2)
    planned = Task(model, blobs(12), blobs(5, "test"), chip, gradient, settings)
    trainer = Trainer(planned)
    least, most = total_bill(planned, trainer.layer.program)
    done = trainer.run(None, progress=False).ledger
    spent = chip.jobs.spent()
    assert (spent.executions, spent.jobs) == (done.shots, 3 + 2)
    assert least.shots <= done.shots <= most.shots
    assert least.jobs == most.jobs == done.jobs == 5
    assert least.qpu_seconds * (1 - 1e-12) <= done.qpu_seconds <= most.qpu_seconds * (1 + 1e-12)
    if "prune" not in gradient.name:
        assert least == most
