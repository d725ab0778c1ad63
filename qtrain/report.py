"""report: what a run came to so far, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path

from qtrain.comparison import comparison, comparison_text, metrics_of, save
from qtrain.status import job_status, jobs_text

TABLE_ROWS = 10


def report_text(run_dir: str | Path) -> str:
    """The table, accuracy by cost, and what became of the jobs if the run has any.

    Raises: RunError: no run is there, or no step of it is done.
    """
    jobs = job_status(Path(run_dir))
    parts = [table(run_dir), comparison_text(comparison([run_dir]))]
    return "\n\n".join(parts if jobs is None else [*parts, "\n".join(jobs_text(jobs))])


def table(run_dir: str | Path) -> str:
    """About ten lines of the metrics, evenly spread, the last one included."""
    metrics = metrics_of(run_dir)
    every = max(1, -(-len(metrics) // TABLE_ROWS))
    chosen = metrics[every - 1 :: every]
    if chosen[-1] is not metrics[-1]:
        chosen.append(metrics[-1])
    rows = [f"{'step':>6} {'loss':>8} {'accuracy':>8} {'test':>6} {'circuits':>12} {'shots':>14} {'QPU s':>10}"]
    for m in chosen:
        test = f"{m['test_accuracy']:.3f}" if "test_accuracy" in m else "-"
        rows.append(
            f"{m['step']:>6} {m['loss']:>8.4f} {m['accuracy']:>8.3f} {test:>6} {m['circuits']:>12,} "
            f"{m['shots']:>14,} {m['qpu_seconds']:>10,.1f}"
        )
    return "\n".join(rows)


def picture(run_dir: str | Path, output: str | Path) -> Path:
    """Loss and accuracy against steps, circuits and, where there are any, QPU seconds, as an image file.

    Raises: RunError: no step is done yet, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    metrics, target = metrics_of(run_dir), Path(output)
    columns = [("step", "steps"), ("circuits", "circuits run"), ("qpu_seconds", "QPU seconds")]
    columns = columns[: 3 if metrics[-1]["qpu_seconds"] > 0 else 2]
    figure = Figure(figsize=(5 * len(columns), 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(columns), sharex="col", sharey="row")
    tested = [m for m in metrics if "test_accuracy" in m]
    for column, (key, label) in enumerate(columns):
        for row, name in enumerate(("loss", "accuracy")):
            ax = axes[row][column]
            ax.plot([m[key] for m in metrics], [m[name] for m in metrics], lw=1, label=f"batch {name}")
            if tested:
                ax.plot([m[key] for m in tested], [m[f"test_{name}"] for m in tested], "o", label=f"test {name}")
            ax.grid(alpha=0.3)
        axes[1][column].set_xlabel(label)
        axes[1][column].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=key != "qpu_seconds"))
    axes[0][0].set_ylabel("loss")
    axes[1][0].set_ylabel("accuracy")
    axes[0][0].legend()
    axes[1][0].legend()
    figure.suptitle(Path(run_dir).name)
    save(figure, target)
    return target
