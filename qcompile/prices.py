"""The price table: what vendors charge for chips whose calibration states no price, and other plans for those that do.

Stored as `devices/pricing.json`; a file `pricing.json` in the user's own folder (environment variable QONCHIP_DEVICES,
else ~/.local/share/qonchip/devices) comes first, and replaces entries of the same name: prices change.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from qcompile.calibration import user_folder
from qcompile.errors import CalibrationError, InputError
from qcompile.pricing import Pricing
from qcompile.schema import PRICES_OF_MODEL, Name, PricingRow

SCHEMA = "qcompile.prices/1"
FILE_NAME = "pricing.json"

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
_FOLDERS = (_PACKAGE / "devices", *([_CHECKOUT / "devices"] if (_CHECKOUT / "pyproject.toml").is_file() else []))
_MAY_BE_UNKNOWN = ("usd_per_credit", "usd_minimum", "circuits_per_task")


@dataclass(frozen=True)
class PriceEntry:
    """One line of the price table.

    Attributes:
        name: "<who sells>/<what>", e.g. "braket/iqm-garnet".
        vendor: who sells.
        devices: names of devices, or patterns (`*`, `?`); none: the price is taken by its name only.
        pricing: the numbers, with date and source.
        third_party: the figure is not the vendor's own page's.
        note: what else to know, in words.
    """

    name: str
    vendor: str
    devices: tuple[str, ...]
    pricing: Pricing
    third_party: bool = False
    note: str = ""

    def matches(self, device_name: str) -> bool:
        """Whether this is a price of the device; case and `-` or `_` do not matter."""
        plain = _plain(device_name)
        return any(fnmatchcase(plain, _plain(pattern)) for pattern in self.devices)

    def words(self) -> str:
        """Name, date and what to know of it: "price braket/iqm-emerald as of 2026-09-11 (third-party figure)"."""
        doubt = " (third-party figure)" if self.third_party else ""
        return f"price {self.name} as of {self.pricing.as_of}{doubt}" + (f"; {self.note}" if self.note else "")


def prices() -> tuple[PriceEntry, ...]:
    """Every known price: the user's own, then the stored ones, in the order of their files.

    Raises: CalibrationError: a price file breaks a rule; names file, entry, field, value and rule.
    """
    found: dict[str, PriceEntry] = {}
    for folder in (user_folder(), *_FOLDERS):
        path = folder / FILE_NAME
        if path.is_file():
            changed = path.stat()
            for entry in _read(path, changed.st_mtime_ns, changed.st_size):
                found.setdefault(entry.name, entry)
    return tuple(found.values())


def price(name: str) -> PriceEntry:
    """The entry of that name.

    Raises: InputError: there is none; lists near matches. CalibrationError: as `prices`.
    """
    known = {entry.name: entry for entry in prices()}
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4) or sorted(known)
        raise InputError(f"pricing = {name!r} is no entry of the price table. Expected one such as {', '.join(near)}.")
    return known[name]


def prices_of(device_name: str) -> tuple[PriceEntry, ...]:
    """Entries whose patterns match a device, in the order of the table. Raises: as `prices`."""
    return tuple(entry for entry in prices() if entry.matches(device_name))


def read_prices(text: str, source_name: str) -> tuple[PriceEntry, ...]:
    """The entries of the text of a price file.

    Args:
        source_name: file name, for messages.
    Raises: CalibrationError: not JSON, a key twice, or a row that breaks a rule.
    """

    def refuse(literal: str) -> NoReturn:
        raise CalibrationError(f"{source_name}: {literal} is not JSON. Expected a finite number, or no such key.")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [key for key, _ in pairs]
        if twice := sorted({key for key in names if names.count(key) > 1}):
            raise CalibrationError(
                f"{source_name}: the key {twice[0]!r} occurs twice in one object. Remove one of them."
            )
        return dict(pairs)

    try:
        file = _PriceFile.model_validate(json.loads(text, object_pairs_hook=unique, parse_constant=refuse))
    except json.JSONDecodeError as error:
        raise CalibrationError(
            f"{source_name}: line {error.lineno} column {error.colno}: {error.msg}. Expected a {SCHEMA} JSON object."
        ) from None
    except CalibrationError:
        raise
    except ValidationError as error:
        raise CalibrationError(f"{source_name}: {_sentence(error.errors(include_url=False)[0])}") from None
    except (RecursionError, ValueError) as error:
        raise CalibrationError(
            f"{source_name}: cannot be parsed ({error}). Expected a {SCHEMA} JSON object of ordinary depth and numbers."
        ) from None
    _refuse_repeats((row.name for row in file.prices), source_name)
    return tuple(_entry(row) for row in file.prices)


@lru_cache(maxsize=8)
def _read(path: Path, changed_at: int, size: int) -> tuple[PriceEntry, ...]:
    """The file's entries; date of change and size are the cache's keys."""
    del changed_at, size
    try:
        return read_prices(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: cannot be read ({error}). Expected a {SCHEMA} JSON file in UTF-8.") from None


def _dated(value: str) -> str:
    """ISO 8601 day, or year and month."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", value):
            date.fromisoformat(value if len(value) == len("2026-09-11") else f"{value}-01")
            return value
    except ValueError:
        pass
    raise PydanticCustomError("rule", "is not a date. Expected the day or month when the price was read: 2026-09-11.")


def _sourced(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError(
            "rule", "says nothing. Expected where the price was read, with a URL if there is one."
        )
    return value


class _PriceRow(PricingRow):
    """One row: a price as in a calibration, but its date and source are due, and all numbers that the model needs."""

    name: Name
    vendor: Name
    devices: list[Name]
    as_of: Annotated[str, AfterValidator(_dated)]
    source: Annotated[str, AfterValidator(_sourced)]
    third_party: bool = False
    note: str = ""

    @model_validator(mode="after")
    def _numbers_are_there(self) -> Self:
        for name in PRICES_OF_MODEL[self.model]:
            if getattr(self, name) is None and name not in _MAY_BE_UNKNOWN:
                raise PydanticCustomError(
                    "rule",
                    "lacks {name}. Expected it in every price by {model}.",
                    {"name": name, "model": self.model},
                )
        return self


class _PriceFile(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    schema_: str = Field(alias="schema", pattern=f"^{SCHEMA}$")
    prices: list[_PriceRow]


def _entry(row: _PriceRow) -> PriceEntry:
    numbers = row.model_dump()
    for name in ("name", "vendor", "devices", "third_party", "note"):
        del numbers[name]
    return PriceEntry(row.name, row.vendor, tuple(row.devices), Pricing(**numbers), row.third_party, row.note)


def _refuse_repeats(names: Iterable[str], source_name: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CalibrationError(f"{source_name}: the entry {name!r} occurs twice. Expected different names.")
        seen.add(name)


def _sentence(detail: ErrorDetails) -> str:
    place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in detail["loc"]).lstrip(".") or "the file"
    value = repr(detail["input"])
    shown = value if len(value) <= 80 else f"{value[:77]}..."
    match detail["type"]:
        case "missing":
            return f"{place} is missing. Expected it in every entry; devices/README.md lists the fields."
        case "extra_forbidden":
            known = difflib.get_close_matches(str(detail["loc"][-1]), _PriceRow.model_fields, n=1)
            return f"{place} = {shown} is not a field. " + (f"Did you mean {known[0]!r}?" if known else "Remove it.")
        case "model_type":
            return f"{place} = {shown} is no JSON object. Expected one with the keys schema and prices."
        case "rule":
            return f"{place} = {shown} {detail['msg']}"
        case _:
            return f"{place} = {shown} breaks the format. {detail['msg']}; devices/README.md lists the fields."


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
