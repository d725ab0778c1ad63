"""The progress line of a training: loss, accuracy, circuits, shots and QPU seconds so far, on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

WIDE = 110  # columns from which there is room for a bar beside the numbers


class TrainingProgress:
    """A context manager; `show` takes a line of metrics. Draws nothing unless asked, or on a terminal."""

    def __init__(self, steps: int, *, done: int = 0, show: bool | None = None) -> None:
        """show: None draws on a terminal only."""
        console = Console(stderr=True)
        columns: list[ProgressColumn] = [MofNCompleteColumn(), TextColumn("{task.fields[facts]}")]
        if console.width >= WIDE:
            columns = [columns[0], BarColumn(bar_width=20), columns[1], TimeRemainingColumn()]
        self._bar = Progress(*columns, console=console, disable=not (sys.stderr.isatty() if show is None else show))
        self._task = self._bar.add_task("train", total=steps, completed=done, facts="")

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, metrics: dict[str, Any]) -> None:
        """One step done."""
        facts = (
            f"loss {metrics['loss']:.3f}  accuracy {metrics['accuracy']:.2f}  {_short(metrics['circuits'])} circuits  "
            f"{_short(metrics['shots'])} shots  {_short(metrics['qpu_seconds'])} QPU s"
        )
        self._bar.update(self._task, completed=metrics["step"], facts=facts)


def _short(value: float) -> str:
    """Three or four digits: 999, 42.4k, 43.4M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}"
