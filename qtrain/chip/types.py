"""What the parts of on-chip execution say to each other: one service, its jobs, and what they return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qcompile.device import Device

Array = NDArray[np.float64]


class Pub(NamedTuple):
    """One circuit and the points to run it at.

    Attributes:
        circuit: on physical qubits, native gates, with its measurements into one register.
        values: [point, parameter] rad, in the order of `circuit.parameters`; always two axes, so nothing broadcasts.
    """

    circuit: QuantumCircuit
    values: Array


class Bits(NamedTuple):
    """What one Pub returned.

    Attributes:
        outcomes: [point, shot, byte] the register's bits as an unsigned integer, big-endian.
        num_bits: of the register.
    """

    outcomes: NDArray[np.uint8]
    num_bits: int

    @property
    def shots(self) -> int:
        """Executions that were really granted to each point."""
        return int(self.outcomes.shape[1])


class JobState(Enum):
    """Of a job at the service."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class JobStatus:
    """Where a job stands, and the service's own words and code where it failed."""

    state: JobState
    reason: str = ""
    code: int | None = None
    queue_position: int | None = None


@dataclass(frozen=True)
class Health:
    """A backend as its service reports it.

    Attributes:
        operational: whether jobs are taken.
        status: the service's own word: "active", "internal", "paused", ...
        pending: jobs that wait; None where it does not say.
    """

    operational: bool
    status: str = "active"
    pending: int | None = None


@dataclass(frozen=True)
class JobRecord:
    """A job as the ledger keeps it.

    Attributes:
        tag: unique at the service; `attempt` is in it.
        content: hash of circuits, points, shots and calibration: what the job is, whenever it is sent.
        state: intent, submitted, done, failed, cancelled or abandoned.
        step: of the training.
        backend, calibration: name, and the device's sha256.
        circuits, executions: what it runs; executions = circuits * shots.
        predicted: QPU seconds by the vendor's formula.
        charged: QPU seconds by the service's own figure; None where it is not known (yet).
        job_id: the service's; empty before the service has given one.
        attempt: 0, 1, ... submissions after a failure.
        message: why it failed.
        created_at: of the intent, UTC, ISO.
        time_limit: QPU seconds after which the service was asked to stop it, so that it stays within the budget.
        evaluation: whether it is of the test set behind the step, not of the step itself.
    """

    tag: str
    content: str
    state: str
    step: int
    backend: str
    calibration: str
    circuits: int
    executions: int
    predicted: float
    charged: float | None = None
    job_id: str = ""
    attempt: int = 0
    message: str = ""
    created_at: str = ""
    time_limit: int | None = None
    evaluation: bool = False


class Service(Protocol):
    """One backend of one vendor, behind its own client. Errors are the client's own; `faults.classify` reads them."""

    name: str
    is_local: bool
    """Whether it computes here, free of charge."""
    finds_jobs: bool
    """Whether another process finds a job by its tag; else jobs are forgotten with the process."""

    def is_paid(self) -> bool:
        """Whether running costs money; true where it is not known to be free."""
        ...

    def plan(self) -> str:
        """The account's plan, lower case ("open", "premium", ...); empty where there is none."""
        ...

    def device(self) -> Device:
        """The calibration as it is now, asked anew."""
        ...

    def calibration_id(self) -> str:
        """Something cheap that changes with every calibration, asked anew."""
        ...

    def health(self) -> Health:
        """Whether jobs are taken."""
        ...

    def remaining_seconds(self) -> float | None:
        """QPU seconds that the account may still use; None where there is no such limit."""
        ...

    def submit(self, pubs: Sequence[Pub], *, shots: int, tag: str, seed: int, max_seconds: int | None) -> str:
        """Sends one job, and returns the service's id of it. `seed` is for what simulates."""
        ...

    def find(self, tag: str, since: datetime) -> list[str]:
        """Ids of the jobs that carry a tag, the oldest first."""
        ...

    def status(self, job_id: str) -> JobStatus:
        """Asked anew."""
        ...

    def result(self, job_id: str) -> Any:
        """What the client makes of the result, asked anew; `primitives.read_bits` checks it."""
        ...

    def cancel(self, job_id: str) -> None:
        """Stops a job; one that has ended already stays as it is."""
        ...

    def charged(self, job_id: str) -> float | None:
        """QPU seconds billed; None while the service does not say."""
        ...

    def reopen(self) -> None:
        """Forgets a session that the service has closed; the next job opens another."""
        ...

    def close(self) -> None:
        """No more jobs will come; those that are there run on."""
        ...


Options = Mapping[str, Any]
"""Error suppression and mitigation passed on to the service: dynamical_decoupling, twirling, ..."""
