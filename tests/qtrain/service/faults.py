"""Faults: what goes wrong between a request and its reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .messages import Reply, Request, refuse
from .programs import without_last_point
from .store import Store

ACTIONS = (
    "status",
    "reset",
    "body",
    "truncate",
    "cut",
    "empty",
    "wrong_type",
    "wrong_shape",
    "hang",
    "unreachable",
)
PHASES = ("before", "after")


@dataclass(frozen=True)
class Break:
    """The connection ends without a (whole) reply.

    Attributes:
        after: s, for which nothing is said before the end.
        down: s, for which nobody listens afterwards.
        reply: of which the first half is sent under a header that promises all of it; None for nothing at all.
    """

    after: float = 0.0
    down: float = 0.0
    reply: Reply | None = None


def check(spec: dict[str, Any]) -> None:
    """Raises ValueError for a fault that could never strike, or not as it was meant."""
    known = {"method", "path", "times", "skip", "phase", "action", "code", "headers", "body", "delay"}
    if spec.keys() - known:
        raise ValueError(f"a fault has no {sorted(spec.keys() - known)}; known: {sorted(known)}")
    if spec.get("action", "status") not in ACTIONS or spec.get("phase", "before") not in PHASES:
        raise ValueError(f"a fault's action is one of {ACTIONS}, its phase one of {PHASES}; not {spec}")
    re.compile(spec.get("path", ""))


def strike(store: Store, request: Request) -> dict[str, Any] | None:
    """The fault for this request, if there is one whose turn it is."""

    def matches(spec: dict[str, Any]) -> bool:
        method = re.fullmatch(spec.get("method", ".*"), request.method)
        return bool(method and re.search(spec.get("path", ""), request.path))

    return store.strike("fault", matches)


def apply(fault: dict[str, Any], answer: Callable[[], Reply]) -> Reply | Break:
    """In the phase "after" the request is answered first, and only its reply is lost or spoilt."""
    action = fault.get("action", "status")
    spoils = action in ("truncate", "cut", "wrong_shape")
    reply = answer() if spoils or fault.get("phase", "before") == "after" else Reply()
    if action == "status":
        code = fault.get("code", 503)
        spoilt = refuse(code, code, f"injected {code}")
        if "body" in fault:
            spoilt.body = fault["body"].encode()
    elif action == "body":
        spoilt = Reply(fault.get("code", 200), fault["body"].encode(), {"Content-Type": "application/json"})
    elif action == "truncate":
        spoilt = Reply(reply.status, reply.body[: len(reply.body) // 2], dict(reply.headers))
    elif action == "empty":
        spoilt = Reply(200, b"", {"Content-Type": "application/json"})
    elif action == "wrong_type":
        spoilt = Reply(200, json.dumps([1, 2, 3]).encode(), {"Content-Type": "application/json"})
    elif action == "wrong_shape":
        spoilt = Reply(reply.status, without_last_point(reply.body.decode()).encode(), dict(reply.headers))
    elif action == "cut":
        return Break(reply=reply)
    elif action == "hang":
        return Break(after=fault.get("delay", 5.0))
    elif action == "unreachable":
        return Break(down=fault.get("delay", 1.0))
    else:
        return Break()
    spoilt.headers.update(fault.get("headers", {}))
    spoilt.job = reply.job
    return spoilt
