"""An executor that pays for jobs like a chip does, computed here: what the training asks of it, without a service."""

import hashlib
from pathlib import Path

import numpy as np

import qtrain
from qcompile.calibration import load_device
from qtrain import ansatze, encoders
from qtrain.chip.types import JobRecord
from qtrain.datasets import Dataset
from qtrain.errors import BudgetError
from qtrain.executors.base import bill
from qtrain.jobs import JobLedger


class PowerCut(BaseException):
    """The process is dead: nothing is written any more."""


class StandIn(qtrain.NoisySimulator):
    """Every call is a job, which costs what the formula says; its result is taken from the ledger where it is known.

    Args:
        budget: QPU seconds.
        fails: (call, error): that error at that call, when the job has been sent and before its result is kept.
        moves: {look: device}: the calibration from that look on.
    """

    backend, mode, mitigate_readout = "stand_in", "job", False
    reached_by = {"name": "stand_in"}  # noqa: RUF012

    def __init__(self, device="ibm_manila", shots=50, *, budget=None, fails=(-1, None), moves=None, options=None):
        super().__init__(load_device(device) if isinstance(device, str) else device, shots=shots)
        self.budget, self.fails, self.moves, self.options = budget, fails, moves or {}, options or {}
        self.jobs = JobLedger()
        self.calls, self.looks, self.sent, self.closed = 0, 0, [], 0

    def open(self, run_dir):
        self.jobs = JobLedger(None if run_dir is None else Path(run_dir) / "jobs.sqlite3")

    def refresh(self, program, step=None):
        self.device, self.looks = self.moves.get(self.looks, self.device), self.looks + 1
        if program.device.sha256 == self.device.sha256:
            return None
        moved = f"calibration {program.device.sha256} -> {self.device.sha256}"
        self.jobs.event("recompilation", moved)
        return moved

    def preflight(self, program, bill):
        spent = self.jobs.spent().seconds
        if self.budget is not None and spent + bill.qpu_seconds > self.budget:
            raise BudgetError(f"{spent} of {self.budget} QPU seconds are spent")

    def close(self):
        self.closed += 1

    def expectations(self, program, angles, *, key):
        return self._paid(program, angles, key, super().expectations, lambda call: call(program, angles, key=key))

    def shifted_expectations(self, program, angles, slots, shifts, *, key):
        points = len(angles) * len(slots) * len(shifts)
        return self._paid(
            program, angles, key, super().shifted_expectations,
            lambda call: call(program, angles, slots, shifts, key=key), points,
        )  # fmt: skip

    def _paid(self, program, angles, key, method, run, points=None):
        name = f"{program.sha256} {key} {points} {self.shots}".encode() + angles.tobytes()
        content = hashlib.sha256(name).hexdigest()
        batch = len(angles)  # a gradient is billed as part of one submission with its forward pass
        cost = bill(program, points or batch, self.shots, together_with=batch if points else 0)
        self.calls += 1
        known = self.jobs.known([content])
        before, self.ledger = self.ledger, type(self.ledger)()
        values = run(method)
        self.ledger = before + cost
        if known:
            return known[content][1].reshape(values.shape).copy()
        tag = f"{self.jobs.run_id}:{content[:16]}"
        under_way = [job.tag for job in self.jobs.open_jobs()]
        if tag not in under_way:
            self.sent.append(content)
            self.jobs.intend(
                JobRecord(tag, content, "intent", key[1], self.backend, self.device.sha256, cost.circuits, cost.shots,
                          cost.qpu_seconds)
            )  # fmt: skip
            self.jobs.submitted(tag, f"job-{content[:8]}")
        if self.calls == self.fails[0]:
            raise self.fails[1]
        self.jobs.done(tag, [(content, self.shots, np.ascontiguousarray(values.ravel()))], cost.qpu_seconds)
        return values


def blobs(seed=0, rows=24):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    return Dataset(rng.normal(0, 0.3, (rows, 2)) + np.where(y[:, None] == 1, 2.2, 0.7), y, "blobs")


def small_model(blocks=1):
    encoder, features = encoders.angle_encoder(2)
    ansatz, weights = ansatze.rzz_ring(2, blocks)
    return qtrain.QuantumModel(encoder.compose(ansatz), features=features, weights=weights, observables=["Z0", "Z1"])


def train(run_dir, executor=None, **changes):
    options = {
        "gradient": qtrain.prune(qtrain.parameter_shift(), ratio=0.5),
        "steps": 5,
        "batch_size": 4,
        "test_set": blobs(1),
        "evaluate_every": 2,
    } | changes
    return qtrain.train(
        options.pop("model", small_model()), blobs(), executor=executor or StandIn(), run_dir=run_dir, **options
    )
