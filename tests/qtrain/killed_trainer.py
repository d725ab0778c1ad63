"""A trainer in a process of its own that is killed at a named moment.

The process is forked by a server that has imported everything, so that a life costs a second instead of ten.
"""

import multiprocessing
import os
import signal

import qiskit_ibm_runtime.executor_sampler  # noqa: F401  here, before any child is forked
import torch

from qtrain import gradients, jobs, run
from qtrain.chip import primitives, submission
from qtrain.errors import RunError
from tests.qtrain.loopback_training import Training

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.qtrain.warm_trainer"])

MOMENTS = {  # name -> (owner, attribute, before or after it)
    "before the intent": (jobs.JobLedger, "intend", "before"),
    "after the intent": (jobs.JobLedger, "intend", "after"),
    "after the POST": (primitives.RuntimeService, "submit", "after"),
    "after the id": (jobs.JobLedger, "submitted", "after"),
    "before the result": (primitives.RuntimeService, "result", "before"),
    "after the result, before it is kept": (submission, "read_bits", "after"),
    "while the result is kept": (jobs, "_digest", "before"),
    "after the result is kept": (jobs.JobLedger, "done", "after"),
    "while the metrics are written": (run.RunDirectory, "append", "torn"),
    "before the checkpoint": (run.RunDirectory, "save", "before"),
    "while the checkpoint is written": (run.os, "fsync", "before"),
    "after the checkpoint": (run.RunDirectory, "save", "after"),
}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(moment, call):
    """This process ends at that call of what the moment names."""
    owner, name, when = MOMENTS[moment]
    original, calls = getattr(owner, name), []

    def wrapped(*arguments, **options):
        calls.append(name)
        mine = len(calls) == call
        if mine and when == "before":
            die()
        if mine and when == "torn":
            directory, _ = arguments
            directory._metrics.write(b'{"step": 7, "lo')
            directory._metrics.flush()
            die()
        made = original(*arguments, **options)
        if mine and when == "after":
            die()
        return made

    setattr(owner, name, wrapped)


def live(service, folder, options, moment=None, call=0, started=None):
    """Trains, or goes on where there is something to go on with; killed at the moment."""
    torch.set_num_threads(1)
    os.environ.update(service.variables())
    training = Training(service, folder)
    if "gradient" in options:  # by its name, for a method does not travel to another process
        options = options | {"gradient": gradients.from_name(options["gradient"])}
    if moment is not None:
        kill_at(moment, call)
    executor = training.executor()
    if started is not None:
        started.set()
    try:
        training.resume(executor)
    except RunError:  # it had not begun
        training.train(executor, **options)


class Life:
    """One such process. Its driver of the service is a copy, without the service's process."""

    def __init__(self, training, options, moment=None, call=0):
        self.started = FORKS.Event()
        service = type(training.service)(training.service.folder, port=training.service.port)
        arguments = (service, training.folder, options, moment, call, self.started)
        self.process = FORKS.Process(target=live, args=arguments, daemon=True)
        self.process.start()

    def end(self, after=None):
        """kill -9 after so many s; None: when it ends by itself. Its exit code."""
        self.process.join(60.0 if after is None else after)
        self.process.kill()
        self.process.join(10.0)
        return self.process.exitcode
