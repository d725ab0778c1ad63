"""comparison: what runs came to for what they cost, accuracy against QPU seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtrain.errors import RunError
from qtrain.run import read_config, read_metrics
from qtrain.status import job_status


def comparison(run_dirs: Sequence[str | Path]) -> list[dict[str, Any]]:
    """One entry a run: how it trained, what it reached, what it cost.

    `accuracy_reached` is that of the test set, or of the last batch where no test set was evaluated; `qpu_seconds` are
    by the vendor's formula, on a simulator what a chip would have been billed; `accuracy_per_qpu_second` is the one
    over the other, None where nothing was spent. `charged_seconds` are the service's own figure, or the formula as long
    as it has none.

    Raises: RunError: no run is there, or no step of it is done.
    """
    return [_entry(Path(run_dir)) for run_dir in run_dirs]


def comparison_text(entries: Sequence[dict[str, Any]]) -> str:
    """A table of `comparison`, one line a run."""
    width = max(len("run"), *(len(entry["run_dir"]) for entry in entries))
    rows = [
        f"{'run':<{width}} {'executor':<20} {'start':<5} {'steps':>6} {'jobs':>6} {'duplicates':>10} "
        f"{'QPU s':>10} {'charged s':>10} {'accuracy':>8} {'accuracy/QPU s':>14}  gradient"
    ]
    for entry in entries:
        ratio = entry["accuracy_per_qpu_second"]
        per_second = "-" if ratio is None else f"{ratio:.3g}"
        rows.append(
            f"{entry['run_dir']:<{width}} {entry['kind']:<20} {'cold' if entry['start'] is None else 'warm':<5} "
            f"{entry['step']:>6} {_or_dash(entry['num_jobs']):>6} {_or_dash(entry['num_duplicates']):>10} "
            f"{entry['qpu_seconds']:>10,.1f} {_or_dash(entry['charged_seconds']):>10} "
            f"{entry['accuracy_reached']:>8.3f} {per_second:>14}  {entry['gradient']}"
        )
    return "\n".join(rows)


def comparison_picture(run_dirs: Sequence[str | Path], output: str | Path) -> Path:
    """Accuracy against QPU seconds, one colour a run: of the batches as a thin line, of the test set as dots.

    Raises: RunError: as `comparison`, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure, target = Figure(figsize=(9, 5), layout="constrained"), Path(output)
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    for number, (run_dir, entry) in enumerate(zip(run_dirs, comparison(run_dirs))):
        metrics, colour = read_metrics(run_dir), f"C{number % 10}"
        tested = [m for m in metrics if "test_accuracy" in m]
        label = f"{entry['run_dir']}{'' if entry['start'] is None else ', warm start'}"
        seconds = [m["qpu_seconds"] for m in metrics]
        batches = [m["accuracy"] for m in metrics]
        if tested:
            reached = [m["test_accuracy"] for m in tested]
            ax.plot([m["qpu_seconds"] for m in tested], reached, "o-", color=colour, label=label)
            ax.plot(seconds, batches, lw=1, alpha=0.4, color=colour)
        else:
            ax.plot(seconds, batches, lw=1, color=colour, label=label)
    ax.set_xlabel("QPU seconds")
    ax.set_ylabel("accuracy (dots: test set; thin lines: batches)")
    ax.grid(alpha=0.3)
    ax.legend()
    save(figure, target)
    return target


def save(figure: Any, target: Path) -> None:
    """Writes a figure; the ending says which kind. Raises: RunError: it cannot be written."""
    try:
        figure.savefig(target, dpi=150)
    except (OSError, ValueError) as error:
        raise RunError(f"{target}: cannot be written ({error}). Choose another file with -o.") from None


def metrics_of(run_dir: str | Path) -> list[dict[str, Any]]:
    """The metrics of a run that has some. Raises: RunError: no run is there, or no step of it is done."""
    read_config(run_dir)
    metrics = read_metrics(run_dir)
    if not metrics:
        raise RunError(f"{run_dir}: no step is done yet. Resume it first: qtrain resume {run_dir}.")
    return metrics


def _entry(path: Path) -> dict[str, Any]:
    metrics, config, jobs = metrics_of(path), read_config(path), job_status(path)
    tested = [m["test_accuracy"] for m in metrics if "test_accuracy" in m]
    reached, seconds = (tested or [metrics[-1]["accuracy"]])[-1], metrics[-1]["qpu_seconds"]
    return {
        "run_dir": str(path),
        "kind": config["executor"]["kind"],
        "gradient": config["gradient"],
        "start": config.get("start"),
        "step": metrics[-1]["step"],
        "num_jobs": None if jobs is None else jobs["jobs"],
        "num_duplicates": None if jobs is None else len(jobs["duplicates"]),
        "charged_seconds": None if jobs is None else jobs["seconds"],
        "qpu_seconds": seconds,
        "accuracy_reached": reached,
        "accuracy_per_qpu_second": reached / seconds if seconds > 0 else None,
    }


def _or_dash(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
