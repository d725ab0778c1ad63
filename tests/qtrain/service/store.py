"""The service's state, in one SQLite file: whatever was answered is there again after a kill -9."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, backend TEXT NOT NULL, program TEXT NOT NULL,
    tags TEXT NOT NULL, session_id TEXT, state TEXT NOT NULL, reason TEXT, reason_code INTEGER, created REAL NOT NULL,
    started REAL, finished REAL, circuits INTEGER NOT NULL, executions INTEGER NOT NULL, seconds REAL NOT NULL,
    charged REAL, cost INTEGER, private INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0, script TEXT NOT NULL,
    outcome TEXT, params TEXT NOT NULL, result TEXT);
CREATE TABLE IF NOT EXISTS sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, mode TEXT NOT NULL, backend TEXT NOT NULL,
    accepting INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0, max_ttl INTEGER NOT NULL, created REAL NOT NULL,
    closed REAL);
CREATE TABLE IF NOT EXISTS switches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, spec TEXT NOT NULL, seen INTEGER NOT NULL DEFAULT 0,
    used INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS log (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    query TEXT NOT NULL, status INTEGER, fault TEXT, job TEXT);
"""

DEFAULTS: dict[str, Any] = {
    "plan": "premium",
    "token_ttl": 3600,
    "reject_key": False,
    "tokens_valid_since": 0.0,
    "usage_limit": None,
    "usage_consumed": 0.0,
    "usage_reached": None,
    "noise": "calibration",
    "drift": None,
    "queue_seconds": 0.0,
    "run_seconds": 0.0,
    "charge_delay": 0.0,
    "clock_skew": 0.0,
    "max_executions": 5_000_000,
    "job_limit_seconds": None,
    "enforce_cost": False,
}
"""What `LoopbackService.settings` may change; meanings in its docstring."""

LIGHT = (
    "number, id, backend, program, tags, session_id, state, reason, reason_code, created, started, finished, circuits, "
    "executions, seconds, charged, cost, private, deleted, script, outcome"
)
"""A job's columns without its payload and result, which may be megabytes."""

FINAL = ("Completed", "Failed", "Cancelled")


class Store:
    """Rows in, rows out; every call is one transaction, so that a killed process leaves no half of one."""

    def __init__(self, folder: Path) -> None:
        self.lock = threading.RLock()
        self.connection = sqlite3.connect(folder / "service.sqlite3", check_same_thread=False, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        # the write-ahead log survives the death of the process; only the machine's would lose it, and that ends the
        # test
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=OFF")
        self.connection.executescript(SCHEMA)

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with self.lock:
            return [dict(row) for row in self.connection.execute(query, values).fetchall()]

    def row(self, query: str, *values: Any) -> dict[str, Any] | None:
        found = self.rows(query, *values)
        return found[0] if found else None

    def write(self, query: str, *values: Any) -> int:
        """The number of rows changed."""
        with self.lock:
            return self.connection.execute(query, values).rowcount

    def insert(self, table: str, **values: Any) -> int:
        """The new row's number."""
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        with self.lock:
            cursor = self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
            return int(cursor.lastrowid or 0)

    def update(self, table: str, key: str, **values: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        self.write(f"UPDATE {table} SET {names} WHERE id = ?", *values.values(), key)

    def get(self, key: str) -> Any:
        """A setting; its default where nobody has set it."""
        found = self.row("SELECT value FROM settings WHERE key = ?", key)
        return json.loads(found["value"]) if found else DEFAULTS.get(key)

    def set(self, key: str, value: Any) -> None:
        self.write("INSERT OR REPLACE INTO settings VALUES (?, ?)", key, json.dumps(value))

    def clear(self) -> None:
        """As on the first day."""
        with self.lock:
            for table in ("settings", "jobs", "sessions", "switches", "log"):
                self.connection.execute(f"DELETE FROM {table}")

    def add_switch(self, kind: str, spec: dict[str, Any]) -> int:
        return self.insert("switches", kind=kind, spec=json.dumps(spec))

    def switches(self, kind: str) -> list[dict[str, Any]]:
        """Specs with their number, how many requests matched (seen) and how many were struck (used)."""
        return [
            {**json.loads(row["spec"]), "number": row["number"], "seen": row["seen"], "used": row["used"]}
            for row in self.rows("SELECT * FROM switches WHERE kind = ? ORDER BY number", kind)
        ]

    def strike(self, kind: str, matches: Any) -> dict[str, Any] | None:
        """The first switch that matches and whose turn it is: `skip` matches pass, the next `times` are struck."""
        with self.lock:
            for switch in self.switches(kind):
                times = switch.get("times", 1)
                if (times is not None and switch["used"] >= times) or not matches(switch):
                    continue
                seen = switch["seen"] + 1
                used = switch["used"] + (seen > switch.get("skip", 0))
                self.write("UPDATE switches SET seen = ?, used = ? WHERE number = ?", seen, used, switch["number"])
                if used > switch["used"]:
                    return switch
        return None

    def consumed(self) -> float:
        """QPU seconds charged to the instance so far."""
        row = self.row("SELECT COALESCE(SUM(charged), 0) AS total FROM jobs") or {"total": 0.0}
        return float(row["total"]) + float(self.get("usage_consumed"))

    def limit_reached(self) -> bool:
        """Whether the instance may run no more jobs."""
        reached = self.get("usage_reached")
        if reached is not None:
            return bool(reached)
        limit = self.get("usage_limit")
        return limit is not None and self.consumed() >= limit

    def now(self) -> float:
        """The service's clock, which may differ from the client's; s since 1970."""
        return time.time() + float(self.get("clock_skew"))
