"""report: what a run came to so far, as a table and as a picture (matplotlib alone)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtrain.errors import RunError
from qtrain.result import weights_sha256
from qtrain.run import latest, read_config, read_metrics

TABLE_ROWS = 10


def status(run_dir: str | Path) -> dict[str, Any]:
    """Where a run stands: plain values, read without its lock. `weights_sha256` is that of the last checkpoint."""
    path = Path(run_dir)
    config, metrics, found = read_config(path), read_metrics(path), latest(path)
    last = metrics[-1] if metrics else {}
    steps = config["settings"]["steps"]
    step, state = found or (0, None)
    return {
        "run_dir": str(path),
        "steps": steps,
        "step": last.get("step", 0),
        "checkpoint_step": step,
        "finished": step == steps,
        "loss": last.get("loss"),
        "accuracy": last.get("accuracy"),
        "test_accuracy": next((m["test_accuracy"] for m in reversed(metrics) if "test_accuracy" in m), None),
        "circuits": last.get("circuits", 0),
        "shots": last.get("shots", 0),
        "qpu_seconds": last.get("qpu_seconds", 0.0),
        "device": config["device"],
        "executor": config["executor"],
        "gradient": config["gradient"],
        "weights_sha256": None if state is None else weights_sha256(state["layer"]["weights"].numpy()),
    }


def table(run_dir: str | Path) -> str:
    """About ten lines of the metrics, evenly spread, the last one included."""
    metrics = _metrics(run_dir)
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
    """Loss and accuracy against steps and against circuits, as an image file; its ending says which kind.

    Raises: RunError: no step is done yet, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    metrics, target = _metrics(run_dir), Path(output)
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    tested = [m for m in metrics if "test_accuracy" in m]
    for column, (key, label) in enumerate((("step", "steps"), ("circuits", "circuits run"))):
        for row, name in enumerate(("loss", "accuracy")):
            ax = axes[row][column]
            ax.plot([m[key] for m in metrics], [m[name] for m in metrics], lw=1, label=f"batch {name}")
            if tested:
                ax.plot([m[key] for m in tested], [m[f"test_{name}"] for m in tested], "o", label=f"test {name}")
            ax.grid(alpha=0.3)
        axes[1][column].set_xlabel(label)
        axes[1][column].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel("loss")
    axes[1][0].set_ylabel("accuracy")
    axes[0][0].legend()
    axes[1][0].legend()
    figure.suptitle(Path(run_dir).name)
    try:
        figure.savefig(target, dpi=150)
    except (OSError, ValueError) as error:
        raise RunError(f"{target}: cannot be written ({error}). Choose another file with -o.") from None
    return target


def _metrics(run_dir: str | Path) -> list[dict[str, Any]]:
    read_config(run_dir)
    metrics = read_metrics(run_dir)
    if not metrics:
        raise RunError(f"{run_dir}: no step is done yet. Resume it first: qtrain resume {run_dir}.")
    return metrics
