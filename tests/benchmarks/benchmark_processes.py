"""Starts the processes that a benchmark measures, asks them in turn, and stops those that are too slow."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
HOW_TO_INSTALL = "`make peers` installs them into .venv-peers, or name another interpreter with --peers-python"

PATIENCE = 900.0
"""Wall seconds that an answer of ours may take: it may compile kernels, on a machine that others use, too."""

_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "RAYON", "QULACS")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in _THREADS} | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "QISKIT_PARALLEL": "FALSE",
}
"""Set before a process imports anything: one thread a tool."""


class WorkerError(Exception):
    """Why a process has no answer, in words for its row."""


@dataclass(frozen=True)
class Tool:
    """Something that can be measured: a script and its arguments, run by one interpreter.

    Attributes:
        package: what it needs in that interpreter, if it is a peer.
    """

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    package: str | None = None


class Worker:
    """One process of `benchmark_worker.serve`."""

    def __init__(self, tool: Tool, problem: Path, python: str, environment: dict[str, str] | None = None) -> None:
        self.tool = tool
        command = [python, str(Path(__file__).with_name(tool.script)), *tool.arguments, str(problem)]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | ONE_THREAD | (environment or {}),
            cwd=ROOT,
        )

    def answer(self, limit: float) -> dict[str, Any]:
        """The next line of the process. Raises: WorkerError: none within `limit` wall seconds, or it died."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        if not ready:
            self.close()
            raise WorkerError(f"no result in {limit:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines() or ["nothing"]
            raise WorkerError(f"its process ended: {said[-1][:200]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, task: dict[str, Any], limit: float) -> dict[str, Any]:
        """Sends one task and waits. Raises: WorkerError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died: its last words are in the answer
        return self.answer(limit)

    def close(self) -> None:
        """Ends this process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()


def missing(peers: tuple[Tool, ...], python: str) -> list[Tool]:
    """Peers whose package the interpreter lacks; all of them where there is no such interpreter."""
    if not Path(python).exists():
        return list(peers)
    packages = sorted({p.package for p in peers if p.package})
    check = "import importlib.util, sys; print(*[p for p in sys.argv[1:] if importlib.util.find_spec(p) is None])"
    done = subprocess.run([python, "-c", check, *packages], capture_output=True, text=True, check=True)
    return [p for p in peers if p.package in done.stdout.split()]


def compared(
    tools: list[tuple[Tool, str]], problem: dict[str, Any], *, rounds: int, seconds: float, limit: float
) -> dict[str, dict[str, Any]]:
    """What each tool takes for one problem, by its name; {"error": words} of one that fails.

    The first tool is ours. Every other one is measured in rounds that alternate with ours, so that both meet the same
    disturbances of a shared machine. A peer is stopped where one answer takes more than `limit` wall seconds; ours
    failing fails the whole. Raises: WorkerError.

    Returns: first (CPU s of the first call, everything built and compiled), least, median (CPU s), peak_mb, values.
    """
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.json"
        path.write_text(json.dumps(problem), encoding="utf-8")
        ours, reference = _started(tools[0], path, PATIENCE)
        found[tools[0][0].name] = reference
        for tool in tools[1:]:
            began = time.monotonic()
            worker: Worker | None = None
            try:
                worker, result = _started(tool, path, limit)
                for _ in range(rounds):
                    _add(reference, ours.ask({"do": "round", "seconds": seconds}, PATIENCE))
                    _add(result, worker.ask({"do": "round", "seconds": seconds}, limit))
            except WorkerError as error:
                result = {"error": str(error)}
            if worker is not None:
                worker.close()
            found[tool[0].name] = result
            print(f"  {problem['name']}: {tool[0].name} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
        if "least" not in reference:
            _add(reference, ours.ask({"do": "round", "seconds": seconds}, PATIENCE))
        ours.close()
    return found


def _started(tool: tuple[Tool, str], problem: Path, limit: float) -> tuple[Worker, dict[str, Any]]:
    worker = Worker(tool[0], problem, tool[1])
    try:
        worker.answer(limit)
        return worker, worker.ask({"do": "first"}, limit)
    except WorkerError:
        worker.close()
        raise


def _add(total: dict[str, Any], one: dict[str, Any]) -> None:
    """Takes another round into account: the least of the leasts, the median of the medians."""
    medians = [*total.get("medians", []), one["median"]]
    total["least"] = min(total.get("least", float("inf")), one["least"])
    total["medians"], total["median"] = medians, sorted(medians)[len(medians) // 2]
    total["calls"] = total.get("calls", 0) + one["calls"]
    total["peak_mb"] = max(total["peak_mb"], one["peak_mb"])


def first_call(tool: Tool, problem: dict[str, Any], *, cold: bool) -> dict[str, Any]:
    """A first call of ours in a fresh process, with the kernels on disk or without any: first, first_wall, peak_mb."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.json"
        path.write_text(json.dumps(problem), encoding="utf-8")
        worker = Worker(tool, path, sys.executable, {"NUMBA_CACHE_DIR": folder} if cold else None)
        try:
            worker.answer(PATIENCE)
            return worker.ask({"do": "first"}, PATIENCE)
        finally:
            worker.close()
