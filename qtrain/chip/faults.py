"""What an error of a service's client means, how long to be patient, and what of it may be said aloud.

Seen in the real client (qiskit-ibm-runtime 0.51): a POST answered by 5xx is repeated inside the client, so one
submission may leave two jobs; 429 is raised at once; a lost connection comes out of `result()` although the job is
fine. So an error says nothing about the job: only the service does, asked for its tag.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar, cast

from qcompile.errors import QonchipError
from qtrain.chip.credentials import redacted
from qtrain.chip.types import JobStatus
from qtrain.errors import ConfigError, JobError

T = TypeVar("T")
Say = Callable[[str, str], None]
"""(kind of event, what happened): to the console and into the ledger."""


class Kind(Enum):
    """Of a fault."""

    TRANSIENT = "transient"  # network, 5xx, 429: wait, ask again
    DENIED = "denied"  # credentials
    SESSION = "session"  # the session is closed: open another
    REFUSED = "refused"  # the request itself: 4xx, bad input


class Fault(NamedTuple):
    """What an exception of a client means."""

    kind: Kind
    text: str
    retry_after: float | None = None


@dataclass(frozen=True)
class Patience:
    """How long to wait for what. All in s, but for the counts.

    Attributes:
        first_poll, longest_poll: between two looks at a job; it grows from one to the other.
        first_pause, longest_pause: between two tries of a request that failed; doubled each time.
        outage: of the network or the service, until giving up. The job goes on at the service.
        answer: to one request; a client may wait for ever on a connection that has silently gone.
        report: that a job waits, until that is said; then again after twice as long.
        resubmissions: of a job that failed by the service's own fault.
        refetches: of a result that cannot be read.

    Raises: ConfigError: a number out of its range.
    """

    first_poll: float = 0.5
    longest_poll: float = 30.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    outage: float = 3600.0
    answer: float = 900.0
    report: float = 60.0
    resubmissions: int = 3
    refetches: int = 5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            whole = name in ("resubmissions", "refetches")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 <= value < 1e9:
                raise ConfigError(
                    f"patience.{name} = {value!r}. Expected {'a whole number' if whole else 's'}, 0 or more."
                )


_TRANSIENT_NAMES = {"ConnectionError", "Timeout", "ConnectTimeout", "ReadTimeout", "ChunkedEncodingError",
                    "MaxRetryError", "ProtocolError", "IncompleteRead"}  # fmt: skip
_DENIED_NAMES = {"IBMNotAuthorizedError", "InvalidAccountError", "AccountNotFoundError", "IBMAccountError"}
_STATUS = re.compile(r"\b([45]\d\d) (?:Client|Server) Error|status(?:[ _]code)?[ :=]+([45]\d\d)|\b(502|503|504)\b")
_RETRY_AFTER = re.compile(r"[Rr]etry-[Aa]fter\D{0,3}(\d+)")
_NETWORK = re.compile(
    r"Max retries exceeded|Connection(?: was)? (?:aborted|refused|reset)|Failed to establish|timed out"
    r"|Temporary failure|RemoteDisconnected|Connection broken|NameResolution"
)

SYSTEM_CODES = frozenset({1000, 1006, 1008, 1010, 1011, 5201, 5203})
"""Reason codes with which IBM's registry says to run the job again (quantum.cloud.ibm.com/docs/errors); 9xxx beside."""

TOO_LONG = 1305
"""Reason code of a job that passed its time limit."""

_SYSTEM_WORDS = re.compile(
    r"(?i)internal (?:server )?error|system error|backend maintenance|run the job again|try again"
)


def classify(error: BaseException) -> Fault:
    """What an exception of a client means, by its class's name, its status code and its words.

    Classes of a vendor's package are known by name, so that nothing is imported; an unknown error counts as refused.
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    text = redacted(f"{type(error).__name__}: {error}").rstrip(". ")
    status = _status(error)
    if names & _DENIED_NAMES or status == 401:
        return Fault(Kind.DENIED, text)
    if re.search(r"(?i)session.{0,40}(?:closed|expired|not (?:open|active|accept))|closed session", text):
        return Fault(Kind.SESSION, text)
    network = isinstance(error, ConnectionError | TimeoutError) or bool(names & _TRANSIENT_NAMES)
    if network or status == 429 or (status is not None and status >= 500) or _NETWORK.search(text):
        return Fault(Kind.TRANSIENT, text, _retry_after(error))
    return Fault(Kind.REFUSED, text)


def _retry_after(error: BaseException) -> float | None:
    """Seconds that the service asks for, of the reply that the client's error stems from; in words, of its message."""
    cause: BaseException | None = error
    while cause is not None:
        headers = getattr(getattr(cause, "response", None), "headers", None) or {}
        found = re.fullmatch(r"\d+", str(headers.get("Retry-After", ""))) or _RETRY_AFTER.search(str(cause))
        if found:
            return float(found[found.re.groups])
        cause = cause.__cause__ or cause.__context__
    return None


def rest(pause: float, fault: Fault, patience: Patience) -> None:
    """Sleeps before the next try; never shorter than the service asks for."""
    time.sleep(max(min(pause, patience.longest_pause), fault.retry_after or 0.0))


def _status(error: BaseException) -> int | None:
    code: Any = getattr(error, "status_code", None)
    if isinstance(code, int) and code > 0:
        return code
    found = _STATUS.search(str(error))
    return None if found is None else int(found[1] or found[2] or found[3])


def failed_by_the_system(status: JobStatus) -> bool:
    """Whether a job failed by the service's own fault, so that it is not charged and may be sent again."""
    if status.code is not None:
        return status.code in SYSTEM_CODES or 9000 <= status.code <= 9999
    return bool(_SYSTEM_WORDS.search(status.reason))


class NoAnswer(TimeoutError):
    """A request that has been given up."""


def answered(call: Callable[[], T], seconds: float) -> T:
    """The call's result, or its exception. Raises: NoAnswer: neither for so long; the call is left to itself."""
    answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:
            answers.put((None, error))

    Thread(target=ask, daemon=True).start()
    try:
        result, error = answers.get(timeout=seconds)
    except Empty:
        raise NoAnswer(f"no answer for {seconds:g} s") from None
    if error is not None:
        raise error
    return cast(T, result)


def patiently(call: Callable[[], T], what: str, patience: Patience, say: Say) -> T:
    """The call's result, however often the network fails on the way.

    Raises: JobError: the outage lasted longer than is to be waited for, or the service denied or refused the request.
        What is at the service stays there.
    """
    begun: float | None = None
    pause = patience.first_pause
    while True:
        try:
            result = answered(call, patience.answer)
        except QonchipError:  # our own: it says already what is wrong
            raise
        except Exception as error:
            fault = classify(error)
            if fault.kind is not Kind.TRANSIENT:
                raise JobError(f"{what}: {fault.text}. {way_out(fault)}") from None
            now = time.monotonic()
            if begun is None:
                begun = now
                say("outage", f"{what}: {fault.text}; waiting for up to {patience.outage:,.0f} s")
            if now - begun >= patience.outage:
                raise JobError(
                    f"{what}: no answer for {now - begun:,.0f} s ({fault.text}). Jobs at the service are not affected; "
                    "go on with qtrain resume when it can be reached again."
                ) from None
            rest(pause, fault, patience)
            pause = min(2 * pause, patience.longest_pause)
            continue
        if begun is not None:
            say("outage", f"{what}: answered again after {time.monotonic() - begun:,.0f} s")
        return result


def way_out(fault: Fault) -> str:
    """What to do about a fault that waiting does not mend."""
    if fault.kind is Kind.DENIED:
        return (
            "Set QISKIT_IBM_TOKEN to a valid API key (or save the account anew), then go on with qtrain resume; "
            "jobs at the service are not lost."
        )
    if fault.kind is Kind.SESSION:
        return 'Go on with qtrain resume, which opens another session, or use mode="batch".'
    return "Mend what it names, then go on with qtrain resume."
