"""A small training on the loopback service, through the real client: what the scenarios disturb."""

from __future__ import annotations

from functools import cache

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qtrain
from qtrain.chip.faults import Patience
from qtrain.cli import main
from qtrain.jobs import JobLedger

BACKEND = "ibm_manila"
SHOTS, STEPS, BATCH = 64, 3, 3
CIRCUITS = BATCH * (1 + 2 * 5)  # a step: the rows, and two shifts of each of the five slots
QUICK = Patience(first_poll=0.02, longest_poll=0.1, first_pause=0.05, longest_pause=0.2, outage=10.0)

X = np.random.default_rng(7).uniform(0, np.pi, (12, 2))
Y = (X[:, 0] > X[:, 1]).astype(int)


@cache
def model():
    x, w = ParameterVector("x", 2), ParameterVector("w", 5)
    circuit = QuantumCircuit(3)
    circuit.ry(x[0], 0)
    circuit.ry(x[1], 1)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    for qubit in range(3):
        circuit.ry(w[qubit], qubit)
    circuit.cx(2, 1)
    circuit.rx(w[3], 0)
    circuit.ry(w[4], 1)
    return qtrain.QuantumModel(circuit, features=list(x), weights=list(w), observables=["Z0", "Z1"])


class Disturbed(qtrain.ChipExecutor):
    """Something happens before a step, or between its check and its job.

    Attributes:
        event: (number of jobs there are, "before" or "after" the check or "asked" for values, what is called); once.
    """

    event = None

    def refresh(self, program, step=None):
        self._happens("before")
        return super().refresh(program, step)

    def preflight(self, program, most):
        super().preflight(program, most)
        self._happens("after")

    def expectations(self, program, angles, *, key):
        self._happens("asked")
        return super().expectations(program, angles, key=key)

    def _happens(self, when):
        if self.event is not None and self.event[:2] == (self.jobs.spent().jobs, when):
            _, _, happen = self.event
            self.event = None
            happen()


_UNDISTURBED = {}  # weights by the options of their training


class Training:
    """Trainings of one seed, on one service.

    Attributes:
        service: the loopback service.
        said: (kind, text) of what an executor said.
    """

    def __init__(self, service, folder):
        self.service, self.folder, self.said = service, folder, []

    def executor(self, backend=BACKEND, kind=qtrain.ChipExecutor, **options):
        options = {"shots": SHOTS, "budget": 1000, "patience": QUICK} | options
        return kind.from_name(backend, say=lambda *said: self.said.append(said), **options)

    def disturbed(self, jobs, when, event, **options):
        """An executor to which something happens."""
        executor = self.executor(kind=Disturbed, **options)
        executor.event = (jobs, when, event)
        return executor

    def train(self, executor=None, **options):
        options = {"gradient": qtrain.parameter_shift(), "steps": STEPS, "batch_size": BATCH} | options
        options = {"run_dir": self.folder / "run", **options}
        return qtrain.train(model(), (X, Y), executor=executor or self.executor(), **options)

    def resume(self, executor=None, **options):
        return qtrain.resume(self.folder / "run", executor=executor or self.executor(), **options)

    def undisturbed(self, **options):
        """The weights of a training that nothing happens to; the service forgets it afterwards."""
        name = repr(sorted(options.items()))
        if name not in _UNDISTURBED:
            _UNDISTURBED[name] = self.train(run_dir=None, **options).weights
            assert not self.said
            self.service.reset()
        return _UNDISTURBED[name]

    def ledger(self):
        """Of the run directory, as another process reads it."""
        return JobLedger.read(self.folder / "run" / "jobs.sqlite3")

    def states(self):
        """Of every job that the service accepted, the oldest first."""
        return [job["state"] for job in self.service.billing()]

    def command(self, *arguments):
        """`qtrain` in this process: its exit code."""
        return main([str(argument) for argument in arguments])
