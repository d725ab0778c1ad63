"""One request in, one reply out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Request:
    """Path without the API's prefix; query values as lists."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def first(self, name: str) -> str | None:
        """The query's value of that name."""
        values = self.query.get(name)
        return values[0] if values else None


@dataclass
class Reply:
    """What goes back; `job` is for the log."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    job: str | None = None


class Refusal(Exception):
    """An error that the service answers with."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.reply = refuse(status, code, message)


def reply_json(content: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


def reply_text(text: str) -> Reply:
    return Reply(200, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


def refuse(status: int, code: int, message: str) -> Reply:
    """In the form in which the client looks for the message."""
    return reply_json({"error": {"code": code, "message": message, "solution": "", "more_info": ""}}, status)


def iso(seconds: float | None) -> str | None:
    """UTC, as the service writes times."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
