"""The file format `qcompile.device/1`: one calibration snapshot as strict JSON.

Times are in seconds, errors are average gate infidelities, every gate row is directed as written. This module knows
what a single value may be; `repairs.py` knows what values mean together.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from qcompile.errors import CalibrationError

SCHEMA = "qcompile.device/1"

Json = dict[str, Any]


def _number(rule: str, accepts: Callable[[float], bool]) -> BeforeValidator:
    """A finite number (no bool, no text) that `accepts` takes; `rule` ends the sentence "<field> = <value> ..."."""

    def check(value: object) -> float | None:
        if value is None:
            return None
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                number = float(value)
                if math.isfinite(number) and accepts(number):
                    return number
        except OverflowError:
            pass  # an integer of hundreds of digits
        raise PydanticCustomError("rule", "{rule}", {"rule": rule})

    return BeforeValidator(check)


def _instant(value: object) -> datetime | None:
    """An aware datetime in UTC from ISO 8601 text (or from an aware datetime)."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("rule", "is not a date with a time zone. Expected ISO 8601 such as 2024-05-27T18:27:23Z.")


def _known_schema(value: object) -> object:
    if value != SCHEMA:
        raise PydanticCustomError(
            "rule",
            "is a format that this version does not read. Expected {schema}; update qonchip, or convert the file.",
            {"schema": repr(SCHEMA)},
        )
    return value


def _known_error_kind(value: object) -> object:
    if value != "average_infidelity":
        raise PydanticCustomError(
            "rule",
            "is not stored. Expected 'average_infidelity'; convert first: "
            "average = pauli * d / (d + 1) = depolarizing * (d - 1) / d, with d = 2 ** qubits.",
        )
    return value


def _named(value: str) -> str:
    if not value.strip() or len(value) > 200 or not value.isprintable():
        raise PydanticCustomError("rule", "is not a name. Expected 1 to 200 printable characters.")
    return value


GateError = Annotated[
    float,
    _number(
        "is not a probability. Expected 0 <= error <= 1 (average gate infidelity); exactly 1 marks a dead gate.",
        lambda x: 0 <= x <= 1,
    ),
]
Probability = Annotated[float, _number("is not a probability. Expected 0 <= value <= 1.", lambda x: 0 <= x <= 1)]
Lifetime = Annotated[
    float,
    _number(
        "is not a relaxation time. Expected a finite number of seconds above 0, or null if it is unknown.",
        lambda x: x > 0,
    ),
]
Duration = Annotated[
    float,
    _number(
        "is not a duration. Expected seconds, 0 <= value < 1; convert nanoseconds and microseconds first.",
        lambda x: 0 <= x < 1,
    ),
]
ClockPeriod = Annotated[
    float,
    _number("is not a clock period. Expected seconds, 0 < dt < 1e-3; 0.222 ns is 2.22e-10.", lambda x: 0 < x < 1e-3),
]
Delay = Annotated[
    float,
    _number("is not a delay. Expected seconds, 0 <= value < 10; convert microseconds first.", lambda x: 0 <= x < 10),
]
Price = Annotated[float, _number("is not a price. Expected a finite number, 0 or more.", lambda x: x >= 0)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Name = Annotated[str, AfterValidator(_named)]
Positive = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


class ReadoutRow(_Strict):
    """Two-sided readout error; duration in s."""

    p1_given_0: Probability
    p0_given_1: Probability
    duration: Duration | None = None


class QubitRow(_Strict):
    """One line of `qubits`: i is the position, label the vendor's own name (default: i as text); t1, t2 in s."""

    i: int
    label: Name | None = None
    usable: bool = True
    t1: Lifetime | None = None
    t2: Lifetime | None = None
    readout: ReadoutRow | None = None
    date: Instant | None = None


class GateRow(_Strict):
    """One line of `gates`: g is the gate's name, q its qubits in gate order; duration in s."""

    g: Name
    q: Annotated[list[int], Field(min_length=1, max_length=8)]
    error: GateError | None = None
    duration: Duration | None = None
    usable: bool = True
    date: Instant | None = None


class NativeGatesRow(_Strict):
    """Names of native gates; see `qcompile.device.NativeGates`."""

    one_qubit: list[Name] = Field(alias="1q")
    two_qubit: list[Name] = Field(alias="2q")
    virtual: list[Name] = []
    fractional: list[Name] = []


class TimingRow(_Strict):
    """The chip's clock; see `qcompile.device.Timing`."""

    dt: ClockPeriod | None = None
    granularity: Positive = 1
    min_length: Positive = 1
    pulse_alignment: Positive = 1
    acquire_alignment: Positive = 1
    rep_delay: Delay | None = None
    rep_delay_range: Annotated[list[Delay], Field(min_length=2, max_length=2)] | None = None
    reset: Duration | None = None


class LimitsRow(_Strict):
    """What the service accepts; see `qcompile.device.Limits`."""

    max_shots: Positive | None = None
    max_executions_per_job: Positive | None = None
    max_2q_gates_per_job: Positive | None = None
    max_payload_bytes: Positive | None = None
    mid_circuit: bool = True
    control_flow: list[Name] = []


class PricingRow(_Strict):
    """A price list entry; see `qcompile.device.Pricing`. A number that the model does not use is refused."""

    model: Literal["qpu_seconds", "task_shot", "gate_shot", "hqc", "none"]
    usd_per_second: Price | None = None
    usd_per_task: Price | None = None
    usd_per_shot: Price | None = None
    job_overhead_s: Price = 0.0
    as_of: str = ""
    source: str = ""
    usd_minimum: Price | None = None
    usd_per_1q: Price | None = None
    usd_per_2q: Price | None = None
    usd_per_credit: Price | None = None
    circuits_per_task: Positive | None = None

    @model_validator(mode="after")
    def _numbers_are_those_of_the_model(self) -> Self:
        used = PRICES_OF_MODEL[self.model]
        for name in (name for names in PRICES_OF_MODEL.values() for name in names):
            if name not in used and getattr(self, name) is not None:
                raise PydanticCustomError(
                    "rule",
                    "holds {name}, which no price by {model} has. Expected {used}.",
                    {"name": name, "model": self.model, "used": ", ".join(used) or "no number"},
                )
        return self


PRICES_OF_MODEL: dict[str, tuple[str, ...]] = {
    "qpu_seconds": ("usd_per_second",),
    "task_shot": ("usd_per_task", "usd_per_shot", "circuits_per_task"),
    "gate_shot": ("usd_minimum", "usd_per_1q", "usd_per_2q"),
    "hqc": ("usd_per_credit",),
    "none": (),
}
"""Model -> the numbers that a price by it may have."""


class SourceRow(_Strict):
    """Where the numbers came from; see `qcompile.device.Source`."""

    kind: Name
    ref: str
    license: str = ""
    url: str = ""
    sha256: str = ""


class DeviceFile(_Strict):
    """A whole file. Key order here is the order on disk."""

    schema_: Annotated[str, BeforeValidator(_known_schema)] = Field(alias="schema")
    name: Name
    vendor: Name
    calibrated_at: Instant
    num_qubits: Positive
    error_kind: Annotated[str, BeforeValidator(_known_error_kind)]
    source: SourceRow
    native_gates: NativeGatesRow
    timing: TimingRow = TimingRow()
    limits: LimitsRow = LimitsRow()
    pricing: PricingRow | None = None
    notes: list[str] = []
    qubits: Annotated[list[QubitRow], Field(min_length=1)]
    gates: list[GateRow]


def read_document(document: Mapping[str, Any], source_name: str) -> DeviceFile:
    """Every value checked on its own.

    Args:
        document: the JSON object; a vendor's converter hands over the same.
        source_name: file or backend, for the message.
    Raises: CalibrationError: names source, field, value, rule and way out; the first of several, with their number.
    """
    try:
        return DeviceFile.model_validate(dict(document))
    except ValidationError as error:
        found = error.errors(include_url=False)
        more = f" ({len(found) - 1} more.)" if len(found) > 1 else ""
        raise CalibrationError(f"{source_name}: {_sentence(found[0])}{more}") from None


def _sentence(detail: ErrorDetails) -> str:
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in detail["loc"]).lstrip(".") or "the file"
    value = repr(detail["input"])
    shown = value if len(value) <= 80 else f"{value[:77]}..."
    match detail["type"]:
        case "missing":
            return f"{place} is missing. Expected it in every {SCHEMA} file; devices/README.md lists the fields."
        case "extra_forbidden":
            known = difflib.get_close_matches(str(detail["loc"][-1]), _field_names(), n=1)
            hint = f"did you mean {known[0]!r}?" if known else "remove it."
            return f"{place} = {shown} is not a field of {SCHEMA}. Expected only known fields; {hint}"
        case "rule":
            return f"{place} = {shown} {detail['msg']}"
        case _:
            return f"{place} = {shown} breaks the format. {detail['msg']}; devices/README.md lists the fields."


def _field_names() -> list[str]:
    rows: tuple[type[BaseModel], ...] = (
        DeviceFile, QubitRow, GateRow, ReadoutRow, NativeGatesRow, TimingRow, LimitsRow, PricingRow, SourceRow,
    )  # fmt: skip
    return [field.alias or name for row in rows for name, field in row.model_fields.items()]
