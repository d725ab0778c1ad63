"""What is paid for once stays so beside the common road: split jobs, several passes, budgets, loops by hand."""

from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest
import torch

import qtrain
from qcompile.calibration import load_device
from qtrain import cli
from qtrain.chip.budget import Budget
from qtrain.chip.primitives import RuntimeService
from qtrain.chip.types import JobState
from qtrain.errors import BudgetError, ConfigError, JobError, MovedError
from qtrain.jobs import JobLedger
from qtrain.run import read_config
from qtrain.status import status
from qtrain.train import Trainer
from tests.qtrain.chip_stand_in import PowerCut
from tests.qtrain.fake_service import FakeService
from tests.qtrain.test_submission import KEY, TOO_LONG, executor_on, problem
from tests.qtrain.test_train import blobs, small_model

MANILA = load_device("ibm_manila")
SHIFT = qtrain.parameter_shift()


def circuits(job):
    return sum(len(pub.values) for pub in job.pubs)


class SmallJobs(FakeService):
    """Three circuits of 64 shots a job; nobody learns how any job but the first is doing, while `cuts`."""

    cuts = True

    def device(self):
        return replace(MANILA, limits=replace(MANILA.limits, max_executions_per_job=3 * 64))

    def status(self, job_id):
        if self.cuts and job_id != "job0":
            raise PowerCut
        return super().status(job_id)


def test_a_job_under_way_is_waited_for_although_one_like_it_took_too_long(monkeypatch, tmp_path, undisturbed):
    service = SmallJobs(fates=deque([TOO_LONG]))
    first = executor_on(service, monkeypatch, tmp_path)
    with pytest.raises(PowerCut):
        first.expectations(*problem(first), key=KEY)
    service.cuts = False
    again = executor_on(service, monkeypatch, tmp_path)
    assert np.array_equal(again.expectations(*problem(again), key=KEY), undisturbed)
    assert [circuits(job) for job in service.jobs.values() if job.state is JobState.DONE] == [3, 1, 2]


def test_a_step_whose_job_was_split_is_finished_on_the_calibration_that_it_was_begun_on(monkeypatch, tmp_path):
    class Dies(FakeService):
        cut = True

        def status(self, job_id):
            if self.cut and job_id == "job2":
                raise PowerCut
            return super().status(job_id)

    service = Dies(fates=deque([TOO_LONG]))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_keep", lambda *_: None)
        with pytest.raises(PowerCut):
            training(patch, service, tmp_path / "run", steps=1)
    service.cut, service.now = False, load_device("ibm_lagos")
    again = qtrain.resume(tmp_path / "run", executor=executor_on(service, monkeypatch))
    done = [circuits(job) for job in service.jobs.values() if job.state is JobState.DONE]
    assert (again.stopped, sum(done)) == ("finished", again.ledger.circuits)


def test_what_is_done_of_a_step_stays_when_another_job_of_it_failed_and_the_calibration_moved(monkeypatch, tmp_path):
    class Small(SmallJobs):
        cuts, moved = False, 1.0

        def device(self):
            first, *others = super().device().qubits
            return replace(super().device(), qubits=(replace(first, t1=first.t1 * self.moved), *others))

    fine = (JobState.DONE, "", None)
    service = Small(fates=deque([fine, (JobState.CANCELLED, "from the dashboard", None)]))
    with pytest.raises(JobError, match="cancelled"):
        training(monkeypatch, service, tmp_path / "run", steps=1)
    service.moved = 1.0001
    again = qtrain.resume(tmp_path / "run", executor=executor_on(service, monkeypatch))
    done = [circuits(job) for job in service.jobs.values() if job.state is JobState.DONE]
    assert (again.stopped, sum(done)) == ("finished", again.ledger.circuits)


@pytest.fixture
def undisturbed(monkeypatch):
    executor = executor_on(FakeService(), monkeypatch)
    return executor.expectations(*problem(executor), key=KEY)


def test_a_duplicate_is_cancelled_although_the_list_of_jobs_lags_behind_the_reply(monkeypatch):
    class Lagging(FakeService):
        def find(self, tag, since):
            return super().find(tag, since)[:1]  # not yet the job whose id was replied

    service = Lagging(faults={"submit": deque(["twice"])})
    executor = executor_on(service, monkeypatch)
    executor.expectations(*problem(executor), key=KEY)
    assert [job.state for job in service.jobs.values()] == [JobState.DONE, JobState.CANCELLED]
    assert executor.jobs.spent().duplicates == 1


def test_a_loop_by_hand_gets_away_from_a_coupler_that_died_by_what_the_message_says(monkeypatch):
    class Dying(FakeService):
        dead = None

        def submit(self, pubs, **options):
            used = {i.qubits for pub in pubs for i in pub.circuit.data if len(i.qubits) == 2}
            places = [{pub.circuit.find_bit(q).index for q in pair} for pub in pubs for pair in used]
            if self.dead in places:
                self.fates.append((JobState.FAILED, "no such gate", 1002))
            return super().submit(pubs, **options)

    service = Dying()
    layer = qtrain.QuantumLayer(small_model(), executor_on(service, monkeypatch), SHIFT)
    x = torch.tensor(blobs().x[:2])
    layer(x).sum().backward()
    service.dead = set(layer.compiled.active_qubits)
    gates = {k: replace(g, usable=set(k[1]) != service.dead) for k, g in MANILA.gates.items()}
    service.now = replace(MANILA, gates=gates)
    with pytest.raises(MovedError, match=r"layer\.recompile\(\)"):
        layer(x)
    layer.recompile()
    assert set(layer.compiled.active_qubits) != service.dead
    layer(x).sum().backward()


@pytest.mark.parametrize("method", [SHIFT, qtrain.spsa(), qtrain.prune(SHIFT, ratio=0.5)], ids=lambda m: m.name)
def test_the_ledger_of_a_layer_used_twice_in_a_step_is_what_the_service_counts(monkeypatch, method):
    service = FakeService()
    executor = executor_on(service, monkeypatch)
    layer, x = qtrain.QuantumLayer(small_model(), executor, method), torch.tensor(blobs().x[:2])
    for _ in range(3):
        layer.weights.grad = None
        (layer(x).sum() + (layer(x / 2) ** 2).sum()).backward()
    assert executor.ledger.circuits == sum(circuits(job) for job in service.jobs.values())


def training(monkeypatch, service, run_dir, **options):
    executor = executor_on(service, monkeypatch, budget=options.pop("cap", 1e6))
    options = {"gradient": SHIFT, "steps": 4, "batch_size": 2} | options
    return qtrain.train(small_model(), blobs(), executor=executor, run_dir=run_dir, **options)


@dataclass
class DyingCoupler(FakeService):
    """A coupler dies behind job2, and circuits that use it fail; the power is cut at one result."""

    cut_at: str | None = None
    dying: set | None = None
    dead: set | None = None

    def submit(self, pubs, **options):
        for pub in pubs:
            places = [{pub.circuit.find_bit(q).index for q in step.qubits} for step in pub.circuit.data]
            if self.dead in places:
                self.fates.append((JobState.FAILED, "a dead coupler", 1002))
                break
        return super().submit(pubs, **options)

    def result(self, job_id):
        if job_id == self.cut_at:
            self.cut_at = None
            raise PowerCut
        found = super().result(job_id)
        if job_id == "job2":
            self.dead = self.dying
            gates = {key: replace(gate, usable=set(key[1]) != self.dead) for key, gate in MANILA.gates.items()}
            self.now = replace(MANILA, gates=gates, calibrated_at=MANILA.calibrated_at + timedelta(hours=1))
        return found


@pytest.mark.parametrize("cut_at", ["job2", "job4"])
def test_a_step_is_not_paid_again_because_its_evaluation_had_to_move_on(monkeypatch, tmp_path, cut_at):
    compiled = qtrain.QuantumLayer(small_model(), executor_on(FakeService(), monkeypatch), SHIFT).compiled
    options = {"steps": 3, "test_set": blobs(1), "evaluate_every": 1}
    undisturbed = DyingCoupler(dying=set(compiled.active_qubits[:2]))
    expected = training(monkeypatch, undisturbed, tmp_path / "undisturbed", **options)
    service = DyingCoupler(dying=undisturbed.dying, cut_at=cut_at)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_keep", lambda *_: None)
        with pytest.raises(PowerCut):
            training(patch, service, tmp_path / "run", **options)
    result = qtrain.resume(tmp_path / "run", executor=executor_on(service, monkeypatch))
    assert result.weights_sha256 == expected.weights_sha256
    assert [(circuits(job), job.state) for job in service.jobs.values()] == [
        (circuits(job), job.state) for job in undisturbed.jobs.values()
    ]


def test_a_step_that_is_paid_for_is_finished_within_the_budget_whatever_the_last_checkpoint(monkeypatch, tmp_path):
    whole = training(monkeypatch, FakeService(), None)
    cap = whole.ledger.qpu_seconds * 1.01

    class Dies(FakeService):
        cut = True

        def result(self, job_id):
            if self.cut and job_id == "job3":
                raise PowerCut
            return super().result(job_id)

    service = Dies()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_keep", lambda *_: None)
        with pytest.raises(PowerCut):
            training(patch, service, tmp_path / "run", cap=cap, checkpoint_every=4)
    service.cut = False
    again = qtrain.resume(tmp_path / "run", executor=executor_on(service, monkeypatch, budget=cap))
    assert (again.stopped, len(service.jobs)) == ("finished", 4)
    assert again.weights_sha256 == whole.weights_sha256


def test_a_budget_given_to_train_is_raised_by_resume(monkeypatch, tmp_path):
    service = FakeService()
    stopped = training(monkeypatch, service, tmp_path / "run", budget=5.0)
    assert stopped.stopped == "budget"
    again = qtrain.resume(tmp_path / "run", executor=executor_on(service, monkeypatch), budget=100)
    assert again.stopped == "finished"
    assert read_config(tmp_path / "run")["settings"]["budget"] == 100, "it stays, whatever ends the next process"


def test_a_budget_that_was_raised_stays_raised(monkeypatch, tmp_path):
    service = FakeService()
    assert training(monkeypatch, service, tmp_path / "run", cap=1).stopped == "budget"
    qtrain.resume(tmp_path / "run", executor=executor_on(service, monkeypatch, budget="100 min"))
    assert status(tmp_path / "run")["jobs"]["budget"] == "6000 s"


def test_a_method_that_needs_a_simulator_is_refused_by_the_name_of_the_executor(monkeypatch):
    layer = qtrain.QuantumLayer(small_model(), executor_on(FakeService(), monkeypatch), qtrain.adjoint())
    with pytest.raises(ConfigError, match="ChipExecutor has none"):
        layer(torch.tensor(blobs().x[:2]))


def test_what_is_left_of_a_step_is_held_against_a_budget_in_money_and_not_the_whole_step(monkeypatch):
    """By the shot, as Amazon Braket bills: two jobs of a step are no dearer than one."""
    service = SmallJobs()
    service.cuts = False
    monkeypatch.setattr("qtrain.chip.spending.price", lambda bill, *_: bill.shots * 0.01)
    monkeypatch.setattr("qtrain.executors.chip.check_budget", lambda *_, **__: Budget(usd=3.9))
    executor = executor_on(service, monkeypatch)
    executor.expectations(*problem(executor), key=KEY)  # 6 circuits of 64 shots: 3.84 USD
    assert len(service.jobs) == 2
    with pytest.raises(BudgetError):
        executor.expectations(*problem(executor), key=(0, 5, 0))


def test_evaluating_a_run_closes_its_session(monkeypatch, tmp_path):
    service = FakeService()
    training(monkeypatch, service, tmp_path / "run")
    made = executor_on(service, monkeypatch)
    monkeypatch.setattr("qtrain.record._executor", lambda *_: made)
    service.calls.clear()
    assert cli.main(["evaluate", "--rows", "train", str(tmp_path / "run")]) == 0
    assert service.calls[-1] == "close"
    with JobLedger.read(tmp_path / "run" / "jobs.sqlite3") as jobs:
        assert jobs.spent().jobs == 5


def test_a_job_that_ends_just_before_it_is_cancelled_is_no_failure(monkeypatch):
    class Job:
        def __init__(self, *states):
            self.states = list(states)

        def status(self):
            return self.states.pop(0)

        def cancel(self):
            raise RuntimeError("RuntimeInvalidStateError: job is in a final state")

    service = RuntimeService.__new__(RuntimeService)
    service._jobs = {"job": Job("RUNNING", "DONE")}
    service.cancel("job")
    service._jobs = {"job": Job("RUNNING", "RUNNING")}
    with pytest.raises(RuntimeError):
        service.cancel("job")
