"""The run directory: everything that one training needs to be continued exactly, on disk.

    config.json          settings, and the sha256 of everything that the numbers depend on
    circuit.qpy data.npz device.json     the inputs themselves (device.json only where there is a device)
    start.npy            the weights that it began with, where those are of another run
    metrics.jsonl        one line a step
    jobs.sqlite3         of a run on a chip: every job and every result that was paid for (jobs.py)
    checkpoints/         <step>-<sha256>.pt, the last two; torch files of tensors, numbers and strings only
    lock                 held (flock) by the process that trains

A file is written under another name, synced, renamed and read back; a checkpoint's name is its own hash. So whenever
the process dies, even by SIGKILL, the last good checkpoint is whole. Nothing that is read is unpickled.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from qtrain.errors import RunError, StorageError

FORMAT = 1  # of config.json
KEPT_CHECKPOINTS = 2
_PAUSE = 0.05  # s
JOBS_FILE = "jobs.sqlite3"
_SECTIONS = {"settings", "executor", "device", "gradient", "loss", "model", "data", "identity"}  # of config.json
_CHECKPOINT = re.compile(r"(\d{8})-([0-9a-f]{64})\.pt")


class RunDirectory:
    """A run directory that this process holds the lock of. Use as a context manager, or `close` it.

    Attributes:
        path: the directory.
        config: what config.json says.
    """

    def __init__(self, path: Path, config: dict[str, Any], lock: int) -> None:
        self.path, self.config, self._lock = path, config, lock
        self._metrics = (path / "metrics.jsonl").open("ab")

    @classmethod
    def create(cls, path: str | Path, config: dict[str, Any], files: Mapping[str, bytes]) -> RunDirectory:
        """A new run; config.json is written last, so a directory without it never began.

        Raises: RunError: the directory holds a run already, or another process is at it. StorageError.
        """
        path = Path(path)
        try:
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: cannot be made ({error}). Choose another run directory.") from None
        lock = _lock(path)
        try:
            if (path / "config.json").exists():
                raise RunError(
                    f"{path} holds a run already, {_progress(path)}. Resume it (qtrain resume {path}), or choose "
                    "another run directory."
                )
            if (path / JOBS_FILE).exists():
                raise RunError(
                    f"{path} holds {JOBS_FILE}, the jobs of a run whose config.json is missing. Restore that from a "
                    "backup, or choose another run directory."
                )
            for old in (path / "checkpoints").glob("*"):
                old.unlink()
            (path / "metrics.jsonl").unlink(missing_ok=True)
            for name, data in files.items():
                write_file(path / name, data)
            write_file(path / "config.json", json.dumps(config, indent=2, allow_nan=False).encode() + b"\n")
            return cls(path, config, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """An existing run, to go on with it. Raises: RunError: no run is there, or another process is at it."""
        path = Path(path)
        config = read_config(path)
        lock = _lock(path)
        try:
            for torn in (path / "checkpoints").glob(".*.partial"):  # of a process that was killed as it wrote
                torn.unlink()
            return cls(path, config, lock)
        except BaseException:
            os.close(lock)
            raise

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the lock."""
        self._metrics.close()
        os.close(self._lock)

    def record_budget(self, of_settings: float | None, of_chip: str | None) -> None:
        """A budget that has been changed is the run's from now on, whatever ends this process. Raises StorageError."""
        config = self.config | {"settings": self.config["settings"] | {"budget": of_settings}}
        if "budget" in config["executor"]:
            config["executor"] = config["executor"] | {"budget": of_chip}
        if config != self.config:
            write_file(self.path / "config.json", json.dumps(config, indent=2, allow_nan=False).encode() + b"\n")
            self.config = config

    def append(self, line: Mapping[str, Any]) -> None:
        """One more line of metrics.jsonl. Raises StorageError."""
        try:
            self._metrics.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            self._metrics.flush()
        except OSError as error:
            raise StorageError(f"{self.path / 'metrics.jsonl'}: cannot be written ({error}).") from None

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """A checkpoint after `step` steps; the metrics up to it reach the disk first. Keeps the last two.

        Raises: StorageError: the disk is full, read-only or returns other bytes; earlier checkpoints are untouched.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        target = self.path / "checkpoints" / f"{step:08d}-{hashlib.sha256(data).hexdigest()}.pt"
        try:
            os.fsync(self._metrics.fileno())
        except OSError as error:
            raise StorageError(f"{self.path / 'metrics.jsonl'}: cannot be written ({error}).") from None
        write_file(target, data)
        for old in checkpoints(self.path)[KEPT_CHECKPOINTS:]:
            old.unlink(missing_ok=True)
        return target

    def rewind(self, step: int) -> None:
        """Drops metrics beyond `step`, and a torn last line: these steps are about to be done again."""
        lines = {m["step"]: m for m in read_metrics(self.path) if m["step"] <= step}
        if len(lines) != step:
            warnings.warn(
                f"{self.path / 'metrics.jsonl'} lacks {step - len(lines)} of the {step} steps before the checkpoint; "
                "the weights are not affected.",
                RuntimeWarning,
                stacklevel=2,
            )
        self._metrics.close()
        kept = "".join(json.dumps(lines[k]) + "\n" for k in sorted(lines))
        write_file(self.path / "metrics.jsonl", kept.encode())
        self._metrics = (self.path / "metrics.jsonl").open("ab")


def checkpoints(path: str | Path) -> list[Path]:
    """Checkpoint files, newest first."""
    found = [p for p in (Path(path) / "checkpoints").glob("*.pt") if _CHECKPOINT.fullmatch(p.name)]
    return sorted(found, key=lambda p: p.name[:8], reverse=True)


def latest(path: str | Path) -> tuple[int, dict[str, Any]] | None:
    """(step, state) of the newest checkpoint that is whole; None where there is none yet.

    A damaged one is passed over with a RuntimeWarning. Raises: RunError: all of them are damaged.
    """
    found = checkpoints(path)
    for file in found:
        match = _CHECKPOINT.fullmatch(file.name)
        try:
            data = file.read_bytes()
        except FileNotFoundError:  # a trainer at work has saved newer ones and dropped this one
            return latest(path)
        if match and hashlib.sha256(data).hexdigest() == match[2]:
            state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
            return int(match[1]), state
        warnings.warn(
            f"{file} is damaged (its sha256 is not that of its name). Falling back to the checkpoint before it.",
            RuntimeWarning,
            stacklevel=2,
        )
    if found:
        raise RunError(
            f"{path}: all {len(found)} checkpoints are damaged. Restore checkpoints/ from a backup, or train anew in "
            "another run directory."
        )
    return None


def read_config(path: str | Path) -> dict[str, Any]:
    """config.json of a run. Raises: RunError: no run is there, or it is damaged."""
    file = Path(path) / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path} holds no run: {file.name} is missing. Expected the --run-dir of a training.") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: cannot be read ({error}). Restore it from a backup.") from None
    found = config.get("format") if isinstance(config, dict) else None
    if found != FORMAT:
        raise RunError(f"{file}: format = {found!r}. This version reads {FORMAT}.")
    missing = sorted(_SECTIONS - set(config))
    if missing:
        raise RunError(f"{file}: {', '.join(missing)} is missing. Restore it from a backup.")
    return config


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a torn last line, which a killed process may leave, is left out."""
    file = Path(path) / "metrics.jsonl"
    lines = file.read_bytes().split(b"\n") if file.exists() else []
    metrics = []
    for i, line in enumerate(lines[:-1]):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            metrics.append(entry)
        else:
            warnings.warn(f"{file}: line {i + 1} is damaged and is left out.", RuntimeWarning, stacklevel=2)
    return metrics


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """'name: recorded -> now' for every entry that differs, inside of entries too; a hash is cut to 12 characters."""

    def short(value: Any) -> str:
        return value[:12] if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) else str(value)

    found = []
    for name in sorted({*recorded, *now}):
        before, after = recorded.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += [f"{name}.{difference}" for difference in differences(before, after)]
        elif before != after:
            found.append(f"{name}: {short(before)} -> {short(after)}")
    return found


def write_file(path: Path, data: bytes) -> None:
    """Whole or not at all: another name, fsync, rename, fsync of the directory, read back. Raises StorageError."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        intact = path.read_bytes() == data
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error}). What was there before is untouched; free some space, then resume."
        ) from None
    if not intact:
        raise StorageError(f"{path}: the disk returned other bytes than were written. Use another disk.")


def holder(path: str | Path) -> int | None:
    """Process id of the trainer that is at a run; None where there is none. Any process may ask, at any time."""
    try:
        file = os.open(Path(path) / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return int(os.read(file, 32) or b"0")
    else:
        return None
    finally:
        os.close(file)  # and with it the lock, which `_lock` waits for


def _lock(path: Path) -> int:
    file = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        for again in (True, True, False):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not again:
                    raise
                time.sleep(_PAUSE)  # whoever asks for the holder has the lock for an instant
    except OSError:
        process = os.read(file, 32).decode(errors="replace").strip()
        os.close(file)
        raise RunError(
            f"{path} is in use by another process (pid {process}). Expected one trainer a run directory; "
            "wait for it, or choose another."
        ) from None
    os.ftruncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    return file


def _progress(path: Path) -> str:
    found = checkpoints(path)
    return f"{int(found[0].name[:8])} steps done" if found else "not a step done"
