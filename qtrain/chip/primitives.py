"""Services behind one adapter: qiskit-ibm-runtime's samplers, and Qiskit's BackendSamplerV2 for any other backend.

qiskit-ibm-runtime has two generations of samplers: client-side ones (`executor_sampler.Sampler`, 0.50 on) and the older
ones that they replace; both take the same circuits and options and return the same bits. The newer is used where it is.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from qiskit.primitives import BackendSamplerV2, BitArray, PrimitiveResult
from qiskit.providers import BackendV2

from qcompile.device import Device
from qcompile.errors import MissingExtraError
from qtrain.chip.counts import CountingBackend
from qtrain.chip.credentials import remember
from qtrain.chip.faults import Kind, classify
from qtrain.chip.preflight import MODES
from qtrain.chip.rehearsal import is_stored, stored_backend
from qtrain.chip.types import Bits, Health, JobState, JobStatus, Options, Pub, Service
from qtrain.errors import ConfigError, ExecutorError

REGISTER = "basis"  # the classical register of measured_circuit
_FREE_PLANS = ("open", "free", "trial", "lite", "internal")
_STATES = {
    "INITIALIZING": JobState.QUEUED,
    "QUEUED": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "DONE": JobState.DONE,
    "ERROR": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}
_CLOCKS_DIFFER = timedelta(days=30)  # between here and the service, at most; tags are unique, so more does no harm


class UnreadableResult(ExecutorError):
    """A result that is not what was asked for: truncated, empty, of another shape or type."""


def service_of(backend: Any, mode: str = "batch", options: Options | None = None) -> Service:
    """The service behind a backend object.

    Raises: ConfigError: no BackendV2, or an unknown mode. MissingExtraError: its client is not installed.
    """
    if mode not in MODES:
        raise ConfigError(f"mode = {mode!r}. Expected one of {', '.join(MODES)}.")
    if not isinstance(backend, BackendV2):
        raise ConfigError(
            f"backend is a {type(backend).__name__}. Expected a Qiskit BackendV2, e.g. "
            "QiskitRuntimeService().backend('ibm_fez'), AerSimulator() or another vendor's."
        )
    chosen = dict(options or {})
    if any(cls.__name__ == "IBMBackend" for cls in type(backend).__mro__):
        return RuntimeService(backend, mode, chosen)
    return BackendService(backend, chosen)


def backend_by_name(name: str, instance: str | None = None) -> Any:
    """A backend by its name: one of the IBM account in the environment or saved on disk, or, to rehearse here, "aer",
    "fake_<device>" or a stored calibration with its date ("ibm_fez_2025-02-26") or as a file.

    Raises: MissingExtraError; ConfigError: there is no such backend, or no account; ExecutorError: the service cannot
        be reached.
    """
    if is_stored(name):
        return stored_backend(name)
    if name == "aer":
        try:
            from qiskit_aer import AerSimulator
        except ImportError as error:
            raise MissingExtraError('backend "aer" needs qiskit-aer: pip install "qonchip[aer]".') from error
        return AerSimulator()
    try:
        import qiskit_ibm_runtime as runtime
        from qiskit_ibm_runtime import fake_provider
    except ImportError as error:
        raise MissingExtraError(f'backend {name!r} needs qiskit-ibm-runtime: pip install "qonchip[ibm]".') from error
    if name.startswith("fake_"):
        fakes = [cls for cls in vars(fake_provider).values() if isinstance(cls, type) and issubclass(cls, BackendV2)]
        known = {getattr(cls, "backend_name", ""): cls for cls in fakes}
        if name not in known:
            near = difflib.get_close_matches(name, known, n=5) or ["fake_manila", "fake_fez"]
            raise ConfigError(f"backend = {name!r} is unknown. Expected a fake one such as {', '.join(near)}.")
        return known[name]()
    try:
        service = runtime.QiskitRuntimeService(**({} if instance is None else {"instance": instance}))
        return service.backend(name)
    except Exception as error:  # whatever the client raises
        raise _unreachable(name, error) from None


def _unreachable(name: str, error: Exception) -> ConfigError | ExecutorError:
    fault = classify(error)
    rehearse = (
        'To rehearse here, free of charge: "aer", "fake_manila", or a stored calibration with its date '
        "(`qcompile devices`)."
    )
    if fault.kind is Kind.DENIED:
        return ConfigError(
            f"backend = {name!r}: {fault.text} Expected an API key in QISKIT_IBM_TOKEN, or an account saved with "
            f"QiskitRuntimeService.save_account(...). {rehearse}"
        )
    if fault.kind is Kind.REFUSED:
        return ConfigError(f"backend = {name!r}: {fault.text} Expected a backend of your account. {rehearse}")
    return ExecutorError(f"backend = {name!r}: the service cannot be reached ({fault.text}). Try again later.")


class RuntimeService:
    """A backend of IBM's service, through qiskit-ibm-runtime. Errors are the client's own."""

    is_local = False
    finds_jobs = True

    def __init__(self, backend: Any, mode: str, options: dict[str, Any]) -> None:
        self._backend, self._service = backend, backend.service
        self._mode_name, self._options = mode, options
        remember((self._service.active_account() or {}).get("token"), "token of the account")
        self._mode: Any = None  # a Batch or Session, once one is open
        self._jobs: dict[str, Any] = {}
        self.name: str = backend.name

    def plan(self) -> str:
        """Of the instance in use; empty where the account does not say."""
        instance = self._service.active_instance()
        plans = [str(i.get("plan", "")) for i in self._service.instances() if i.get("crn") == instance]
        return plans[0].lower() if plans else ""

    def is_paid(self) -> bool:
        """Whether the plan is none that is known to be free."""
        return self.plan() not in _FREE_PLANS

    def device(self) -> Device:
        """The calibration as it is now."""
        self._backend.refresh()
        return Device.from_backend(self._backend)

    def calibration_id(self) -> str:
        """Hash of the backend's properties, asked anew."""
        properties = self._backend.properties(refresh=True).to_dict()
        return hashlib.sha256(json.dumps(properties, default=str, sort_keys=True).encode()).hexdigest()

    def health(self) -> Health:
        """Whether jobs are taken, and processed."""
        status = self._backend.status()
        return Health(bool(status.operational), str(status.status_msg), int(status.pending_jobs))

    def remaining_seconds(self) -> float | None:
        """What the plan leaves; None without a limit."""
        usage = self._service.usage()
        if usage.get("usage_limit_reached"):
            return 0.0
        left = usage.get("usage_remaining_seconds")
        return None if left is None else float(left)

    def submit(self, pubs: Sequence[Pub], *, shots: int, tag: str, seed: int, max_seconds: int | None) -> str:
        """Sends one job."""
        del seed  # a chip draws its own
        options = {name: dict(v) if isinstance(v, dict) else v for name, v in self._options.items()}
        environment = options.setdefault("environment", {})
        environment["job_tags"] = [*environment.get("job_tags", ()), tag]
        if max_seconds is not None:
            options["max_execution_time"] = max_seconds
        job = _sampler(self._opened(), options).run([(pub.circuit, pub.values) for pub in pubs], shots=shots)
        self._jobs[job.job_id()] = job
        return str(job.job_id())

    def find(self, tag: str, since: datetime) -> list[str]:
        """By tag, the oldest first."""
        jobs = self._service.jobs(
            job_tags=[tag], created_after=since.astimezone() - _CLOCKS_DIFFER, limit=None, descending=False
        )
        self._jobs.update({job.job_id(): job for job in jobs})
        return [job.job_id() for job in jobs]

    def status(self, job_id: str) -> JobStatus:
        """Asked anew. One that was deleted counts as cancelled."""
        try:
            job = self._job(job_id)
        except Exception as error:
            if type(error).__name__ != "RuntimeJobNotFound":
                raise
            return JobStatus(JobState.CANCELLED, "it is not at the service any more")
        state = _STATES[str(job.status())]
        if state is not JobState.FAILED:
            return JobStatus(state)
        # the client keeps reason and code to itself, and raises them as words; no public name has the code
        code = getattr(job, "_reason_code", None)
        return JobStatus(state, str(getattr(job, "_reason", None) or job.error_message() or ""), code)

    def result(self, job_id: str) -> Any:
        """Asked anew: the client keeps none. Raises: UnreadableResult: the client cannot decode what it was sent."""
        job = self._job(job_id)
        try:
            return job.result()
        except (TypeError, ValueError, LookupError, AttributeError) as error:  # none of the client's own errors
            raise UnreadableResult(f"the result cannot be decoded ({type(error).__name__}: {error}).") from None

    def cancel(self, job_id: str) -> None:
        """Of a job that has ended nothing changes."""
        if self.status(job_id).state.is_final:
            return
        try:
            self._job(job_id).cancel()
        except Exception:  # the client's own
            if not self.status(job_id).state.is_final:  # else it ended in between
                raise

    def charged(self, job_id: str) -> float | None:
        """None while the charge is not final."""
        usage = self._job(job_id).metrics().get("usage", {})
        if usage.get("status", "pending") == "pending" or usage.get("qpu_charge_time_seconds") is None:
            return None
        return float(usage["qpu_charge_time_seconds"])

    def reopen(self) -> None:
        """Forgets a session or batch that was closed; the next job opens another."""
        self._mode = None

    def close(self) -> None:
        """Lets the session or batch end when its jobs have."""
        if self._mode is not None:
            self._mode.close()
            self._mode = None

    def _opened(self) -> Any:
        if self._mode_name == "job":
            return self._backend
        if self._mode is None:
            from qiskit_ibm_runtime import Batch, Session

            self._mode = (Session if self._mode_name == "session" else Batch)(backend=self._backend)
        return self._mode

    def _job(self, job_id: str) -> Any:
        if job_id not in self._jobs:
            self._jobs[job_id] = self._service.job(job_id)
        return self._jobs[job_id]


class BackendService:
    """Any other BackendV2, through Qiskit's BackendSamplerV2: a simulator here, or another vendor's chip.

    Jobs end with the process: they cannot be found again by their tag.

    Args:
        backend: its `run` gets the options, e.g. {"verbatim": True} on Amazon Braket.

    Raises: ConfigError: options on a simulator here, which would leave them aside.
    """

    finds_jobs = False

    def __init__(self, backend: BackendV2, options: Options | None = None) -> None:
        module = type(backend).__module__
        self.is_local = module.startswith(
            ("qiskit_aer.", "qiskit.providers.", "qiskit_ibm_runtime.fake_provider", "iqm.qiskit_iqm.fake_backends")
        )
        self.name = str(backend.name)
        if options and self.is_local:
            raise ConfigError(
                f"options = {sorted(options)}: {backend.name} takes none. Expected no options: error suppression and "
                "mitigation are offered by services, not by simulators."
            )
        self._given = backend
        asked = _with_cached_noise(backend) if module.startswith("qiskit_ibm_runtime.") else backend
        self._backend = CountingBackend(asked, options)
        self._seeded = type(asked).__module__.startswith(("qiskit_aer.", "qiskit.providers."))
        self._jobs: dict[str, Any] = {}

    def plan(self) -> str:
        """Has none."""
        return ""

    def is_paid(self) -> bool:
        """Unless it computes here."""
        return not self.is_local

    def device(self) -> Device:
        """The backend's target, or the stored calibration that it was made from."""
        stored = getattr(self._given, "calibration", None)
        return stored if isinstance(stored, Device) else Device.from_backend(self._given)

    def calibration_id(self) -> str:
        """Constant: such a backend is not asked anew."""
        return self.name

    def health(self) -> Health:
        """Not known before a job is sent."""
        return Health(True)

    def remaining_seconds(self) -> float | None:
        """Not known."""
        return None

    def submit(self, pubs: Sequence[Pub], *, shots: int, tag: str, seed: int, max_seconds: int | None) -> str:
        """Begins to run here, or at the vendor, in another thread."""
        del max_seconds
        sampler = BackendSamplerV2(backend=self._backend, options={"seed_simulator": seed if self._seeded else None})
        self._jobs[tag] = sampler.run([(pub.circuit, pub.values) for pub in pubs], shots=shots)
        return tag

    def find(self, tag: str, since: datetime) -> list[str]:
        """Of this process alone."""
        del since
        return [tag] if tag in self._jobs else []

    def status(self, job_id: str) -> JobStatus:
        """A job of another process counts as cancelled."""
        if job_id not in self._jobs:
            return JobStatus(JobState.CANCELLED, "it belongs to a process that has ended")
        state = _STATES[self._jobs[job_id].status().name]
        if state in (JobState.DONE, JobState.FAILED):
            try:
                self._jobs[job_id].result()
            except Exception as error:  # whatever the vendor's package raises
                return JobStatus(JobState.FAILED, f"{type(error).__name__}: {error}")
        return JobStatus(state)

    def result(self, job_id: str) -> Any:
        """Of a job of this process."""
        return self._jobs[job_id].result()

    def cancel(self, job_id: str) -> None:
        """If it has not begun."""
        if job_id in self._jobs:
            self._jobs[job_id].cancel()

    def charged(self, job_id: str) -> float | None:
        """Not known here. So a simulator's jobs count as predicted, and a budget can be rehearsed on one."""
        del job_id
        return None

    def reopen(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""


def read_bits(result: Any, pubs: Sequence[Pub]) -> list[Bits]:
    """The bits of each Pub, checked: a result of another type, length or shape is never taken for data.

    Raises: UnreadableResult.
    """
    if not isinstance(result, PrimitiveResult):
        raise UnreadableResult(f"the result is a {type(result).__name__}. Expected a PrimitiveResult.")
    if len(result) != len(pubs):
        raise UnreadableResult(f"the result has {len(result)} entries. Expected {len(pubs)}.")
    return [_bits(entry, pub, f"entry {i} of the result") for i, (entry, pub) in enumerate(zip(result, pubs))]


def _bits(entry: Any, pub: Pub, place: str) -> Bits:
    array = getattr(entry.data, REGISTER, None)
    if not isinstance(array, BitArray):
        raise UnreadableResult(f"{place} has no bits of the register {REGISTER!r}. Expected a BitArray.")
    points, (register,) = len(pub.values), pub.circuit.cregs[-1:]
    if array.shape != (points,) or array.num_bits != register.size or array.num_shots < 1:
        raise UnreadableResult(
            f"{place} has shape {array.shape}, {array.num_bits} bits, {array.num_shots} shots. "
            f"Expected ({points},), {register.size} bits, one shot at least."
        )
    return Bits(np.asarray(array.array, dtype=np.uint8), array.num_bits)


def _sampler(mode: Any, options: dict[str, Any]) -> Any:
    try:
        from qiskit_ibm_runtime.executor_sampler import Sampler
    except ImportError:  # before 0.50
        from qiskit_ibm_runtime import SamplerV2 as Sampler
    return Sampler(mode=mode, options=options)


def _with_cached_noise(backend: Any) -> Any:
    """A fake backend as an Aer simulator that keeps its noise model, which the fake one makes anew for each job."""
    try:
        from qiskit_aer import AerSimulator
    except ImportError as error:
        raise MissingExtraError('a fake backend needs qiskit-aer: pip install "qonchip[aer]".') from error
    return AerSimulator.from_backend(backend)
