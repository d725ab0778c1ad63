"""A process that computes one problem again and again when asked: the side that is measured.

Needs numpy alone, so that it runs in any peer's interpreter. Standard input brings JSON lines, standard output takes
them: {"do": "first"} builds everything and computes once (compilation included), {"do": "round", "seconds": s}
repeats for about s CPU seconds. Times are CPU seconds of all threads. Memory is the peak over what stood behind the
imports, of this process alone (VmHWM; the peak of getrusage is inherited from whoever started it).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], dict[str, Any]]
"""Computes once; whatever it returns is compared between tools, as lists."""

_BLOCK = 0.02  # s


def _memory(what: str) -> float:
    """MB of VmHWM (peak) or VmRSS (now)."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(what):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    scale = 1 / 2**20 if sys.platform == "darwin" else 1 / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _forget_peak() -> None:
    """Lets VmHWM begin again from now, where Linux allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def timed(run: Run, seconds: float) -> dict[str, Any]:
    """CPU seconds a call, the least and the median of blocks of calls; at least 2 calls, about `seconds` in all.

    A block takes at least 20 ms: what another thread of a tool did last is charged to the process only once that thread
    sleeps, so the clock may miss up to a call.
    """
    started = time.process_time()
    run()
    once = time.process_time() - started
    calls = max(1, int(_BLOCK / max(once, 1e-6)) + 1)
    taken: list[float] = []
    while len(taken) < 2 or sum(taken) * calls < seconds:
        started = time.process_time()
        for _ in range(calls):
            run()
        taken.append((time.process_time() - started) / calls)
    return {"least": min(taken), "median": float(np.median(taken)), "calls": 1 + calls * len(taken)}


def serve(imports: Callable[[], None], build: Callable[[dict[str, Any]], Run]) -> None:
    """Answers until standard input ends. The problem is the JSON file that the last argument names."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a tool prints must not mix with the answers
    imports()
    problem = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
    _forget_peak()
    baseline = _memory("VmRSS")
    run: Run | None = None
    print(json.dumps({"ready": True, "baseline_mb": baseline}), file=channel, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        answer: dict[str, Any]
        if task["do"] == "first":
            started, wall = time.process_time(), time.perf_counter()
            run = build(problem)
            values = run()
            answer = {"first": time.process_time() - started, "first_wall": time.perf_counter() - wall}
            answer["values"] = {k: np.asarray(v).tolist() for k, v in values.items()}
        else:
            assert run is not None
            answer = timed(run, task["seconds"])
        answer["peak_mb"] = _memory("VmHWM") - baseline
        print(json.dumps(answer), file=channel, flush=True)
