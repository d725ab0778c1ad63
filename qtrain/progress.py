"""The progress line of a training: loss, accuracy, circuits, shots and QPU seconds so far, on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A context manager; `show` takes a line of metrics. Draws nothing unless asked, or on a terminal."""

    def __init__(self, steps: int, *, done: int = 0, show: bool | None = None) -> None:
        """show: None draws on a terminal only."""
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not (sys.stderr.isatty() if show is None else show),
        )
        self._task = self._bar.add_task("train", total=steps, completed=done, facts="")

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, metrics: dict[str, Any]) -> None:
        """One step done."""
        facts = (
            f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}  {metrics['circuits']:,} circuits  "
            f"{metrics['shots']:,} shots  {metrics['qpu_seconds']:,.1f} QPU s"
        )
        self._bar.update(self._task, completed=metrics["step"], facts=facts)
