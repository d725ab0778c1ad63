"""`qtrain`: train, resume, evaluate, cost, status, cancel, report.

Exit code 0: done; 1: failed by an outside cause; 2: bad input or usage; 130: stopped by Ctrl-C or SIGTERM. With --json
standard output is one JSON object and nothing else; progress, warnings and errors go to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from qcompile.errors import QonchipError

DONE, FAILED, STOPPED = 0, 1, 130

EXECUTORS = ("exact", "noisy", "propagation", "aer", "torch", "auto", "chip")


def _number_or_text(text: str) -> float | str:
    """A budget: seconds, or words that `Budget.parse` reads."""
    try:
        return float(text)
    except ValueError:
        return text


# option, section, key, type, choices, help
OPTIONS: tuple[tuple[str, str, str, Callable[[str], Any], tuple[str, ...] | None, str], ...] = (
    ("--data", "data", "source", str, None, "digits, a .csv or a .npz file (x, y); default digits"),
    ("--label", "data", "label", str, None, "label column of a CSV file; default the last one"),
    ("--scale", "data", "scale", str, ("none", "minmax"), "minmax: columns to [0, pi]; default none: values are rad"),
    ("--test-fraction", "data", "test_fraction", float, None, "rows of a file kept for the test; default 0.25"),
    ("--encoder", "model", "encoder", str, ("angle", "ry_rz_rx_ry", "zz_feature_map"), "default: one that fits"),
    ("--ansatz", "model", "ansatz", str, ("rzz_ring", "rzz_ry", "u3cu3", "efficient_su2"), "default rzz_ring"),
    ("--qubits", "model", "qubits", int, None, "default: as many as encoder and classes need"),
    ("--blocks", "model", "blocks", int, None, "repetitions of the ansatz; default 3"),
    ("--executor", "executor", "kind", str, EXECUTORS, "default chip with a backend, noisy with a device, else exact"),
    ("--device", "executor", "device", str, None, "stored calibration by name, or a JSON file"),
    ("--shots", "executor", "shots", int, None, "executions of each circuit; default 1024 if noisy or aer, else none"),
    ("--torch-device", "executor", "torch_device", str, None, "torch: cpu, cuda, cuda:1; default cpu"),
    ("--backend", "executor", "backend", str, None,
     "chip: a name of your IBM account (QISKIT_IBM_TOKEN, or saved), or to rehearse here: fake_manila, aer"),
    ("--mode", "executor", "mode", str, ("batch", "job", "session"), "chip: how jobs are sent; default batch"),
    ("--yes-i-accept", "executor", "accept_seconds", float, None,
     "chip: QPU seconds that you agree to pay for, in place of a budget"),
    ("--gradient", "gradient", "method", str, None,
     "parameter_shift, adjoint, spsa, finite_difference, rotosolve (with --optimizer sgd --lr 1 --schedule constant), "
     "or a call: 'natural(adjoint(), regularization=0.1)', 'average(spsa(c=0.2), 4)'; default by the executor"),
    ("--ratio", "gradient", "ratio", float, None, "prune: share of the weights that a pruned step leaves out"),
    ("--accumulation-window", "gradient", "accumulation_window", int, None, "prune: full steps a stage; default 1"),
    ("--pruning-window", "gradient", "pruning_window", int, None, "prune: pruned steps a stage; default 2"),
    ("--optimizer", "train", "optimizer", str, ("adam", "adamw", "rmsprop", "sgd"), "default adam"),
    ("--lr", "train", "lr", float, None, "learning rate; default 0.05"),
    ("--steps", "train", "steps", int, None, "gradient steps; default 200"),
    ("--batch-size", "train", "batch_size", int, None, "rows a step; default 32"),
    ("--seed", "train", "seed", int, None, "of rows, weights, batches, shots and compiler; default 0"),
    ("--schedule", "train", "schedule", str, ("cosine", "constant"), "of the learning rate; default cosine"),
    ("--checkpoint-every", "train", "checkpoint_every", int, None, "steps; default 10, on a chip 1"),
    ("--evaluate-every", "train", "evaluate_every", int, None, "steps; default: the test set at the end only"),
    ("--budget", "train", "budget", _number_or_text, None,
     "what must not be exceeded: QPU seconds (60, '2 min'), on a chip money too ('25 USD')"),
    ("--from", "train", "start", str, None, "a run whose last weights to begin with; default: weights from the seed"),
    ("--run-dir", "train", "run_dir", str, None, "keeps metrics and checkpoints; default: nothing is kept"),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            result, text = COMMANDS[options.command](options)
        print(json.dumps(result, allow_nan=False) if options.json else text, flush=True)
    except QonchipError as error:
        return _fail("\n".join([str(error), *getattr(error, "__notes__", [])]), error.exit_code)
    except KeyboardInterrupt as error:
        return _fail(str(error) or "stopped.", STOPPED)
    except BrokenPipeError:  # whoever read our output has gone
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        notes = getattr(error, "__notes__", [])
        return _fail("\n".join([f"{error.filename or 'output'}: {error.strerror or error}.", *notes]), FAILED)
    except Exception as error:
        if os.environ.get("QTRAIN_TRACEBACK"):
            print(_redacted(traceback.format_exc()), file=sys.stderr)
        return _fail(
            f"unexpected {type(error).__name__}: {error}. This is a bug; set QTRAIN_TRACEBACK=1 for where it happened.",
            FAILED,
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    return DONE


def _train(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from qtrain.config import build
    from qtrain.train import train_task

    config = _config(options)
    result = train_task(build(config), run_dir=config.train.run_dir, progress=_progress(options))
    return _result(result)


def _resume(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from qtrain.resume import resume

    return _result(
        resume(
            options.run,
            budget=options.budget,
            allow_changed_environment=options.allow_changed_environment,
            progress=_progress(options),
        )
    )


def _result(result: Any) -> tuple[dict[str, Any], str]:
    spent = result.ledger
    values = {
        "steps": result.steps,
        "stopped": result.stopped,
        "reason": result.reason or None,
        "loss": result.losses[-1] if result.losses else None,
        "accuracy": result.accuracies[-1] if result.accuracies else None,
        "test_accuracy": result.test_accuracy,
        "circuits": spent.circuits,
        "shots": spent.shots,
        "qpu_seconds": spent.qpu_seconds,
        "run_dir": None if result.run_dir is None else str(result.run_dir),
        "weights_sha256": result.weights_sha256,
    }
    lines = [f"{result.steps} steps, {result.reason or result.stopped}"]
    if result.losses:
        lines.append(f"batch loss {result.losses[-1]:.4f}, batch accuracy {result.accuracies[-1]:.3f}")
    if result.test_accuracy is not None:
        lines.append(f"test accuracy {result.test_accuracy:.3f}")
    lines.append(_spent(spent.circuits, spent.shots, spent.qpu_seconds))
    if result.run_dir is not None:
        lines.append(f"kept in {result.run_dir}")
    return values, "\n".join(lines)


def _evaluate(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from qtrain.errors import ConfigError
    from qtrain.paid import close
    from qtrain.resume import open_run
    from qtrain.train import evaluate

    trainer = open_run(options.run)
    rows = trainer.task.train_set if options.rows == "train" else trainer.task.test_set
    if rows is None:
        raise ConfigError(f"{options.run} has no test set. Use --rows train.")
    try:
        loss, accuracy = evaluate(trainer.layer, rows, loss=trainer.task.loss)
    finally:
        if trainer.chip is not None:
            close(trainer.chip)  # a session that stays open is billed until it times out
    values = {"run_dir": options.run, "step": trainer.done, "rows": len(rows), "loss": loss, "accuracy": accuracy}
    return (
        values,
        f"{rows.name}, {len(rows)} rows, after {trainer.done} steps: accuracy {accuracy:.3f}, loss {loss:.4f}",
    )


def _cost(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from qtrain.billing import price, total_bill
    from qtrain.config import build
    from qtrain.layer import QuantumLayer

    task = build(_config(options), dry=True)
    layer = QuantumLayer(task.model, task.executor, task.gradient)
    device = getattr(task.executor, "device", None)
    least, most = total_bill(task, layer.program)
    values: dict[str, Any] = {"device": None if device is None else device.name, "steps": task.settings.steps}
    lines = []
    for name, bill in (("least", least), ("most", most)):
        usd = price(bill, device, layer.program)
        values[name] = {
            "circuits": bill.circuits,
            "shots": bill.shots,
            "jobs": bill.jobs,
            "qpu_seconds": bill.qpu_seconds,
            "usd": usd,
        }
        money = "" if usd is None else f", {usd:,.2f} USD"
        lines.append(f"{_spent(bill.circuits, bill.shots, bill.qpu_seconds)} in {bill.jobs:,} jobs{money}")
    exact = values["exact"] = least == most
    head = f"{task.settings.steps} steps" + ("" if device is None else f" on {device.name}")
    text = f"{head}: {lines[1]}" if exact else f"{head}, at least: {lines[0]}\n{head}, at most: {lines[1]}"
    return values, text


def _status(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from qtrain.status import status, status_text

    values = status(options.run)
    return values, status_text(values)


def _cancel(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from qtrain.cancel import cancel, cancel_text

    values = cancel(options.run)
    return values, cancel_text(values)


def _report(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from qtrain.comparison import comparison, comparison_picture, comparison_text
    from qtrain.report import picture, report_text
    from qtrain.status import status

    runs = options.run
    if len(runs) > 1:
        found = comparison(runs)
        target = comparison_picture(runs, options.output or "report.png")
        return {"runs": found, "picture": str(target)}, f"{comparison_text(found)}\npicture: {target}"
    target = picture(runs[0], options.output or Path(runs[0]) / "report.png")
    values = {**status(runs[0]), **comparison(runs)[0], "picture": str(target)}
    return values, f"{report_text(runs[0])}\npicture: {target}"


COMMANDS = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "cost": _cost,
    "status": _status,
    "cancel": _cancel,
    "report": _report,
}


def _config(options: argparse.Namespace) -> Any:
    from qtrain.config import read_config_file

    overrides = {}
    for flag, section, key, *_ in OPTIONS:
        value = getattr(options, flag[2:].replace("-", "_"))
        if value is not None:
            overrides[section, key] = value
    return read_config_file(options.config, overrides)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qtrain", description="Trains quantum circuits on a chip's noise model.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
        return added

    train = command("train", "Train a classifier; a flag overrides the configuration file.")
    cost = command("cost", "What a training would spend on the device; runs nothing.")
    train.add_argument("config", nargs="?", metavar="CONFIG.toml", help="options in a file; see qtrain/config.py")
    cost.add_argument("config", nargs="?", metavar="CONFIG.toml", help="as for train")
    for added in (train, cost):
        for flag, section, key, kind, choices, text in OPTIONS:
            metavar = None if choices else key.upper()
            added.add_argument(flag, type=kind, choices=choices, metavar=metavar, help=f"{text} [{section}.{key}]")
    resume = command("resume", "Go on with a run, exactly as if it had never stopped.")
    resume.add_argument(
        "--budget", type=_number_or_text, help="in all, instead of the recorded limit: QPU seconds, on a chip money too"
    )
    resume.add_argument(
        "--allow-changed-environment", action="store_true", help="although versions changed; last bits may differ"
    )
    for added in (train, resume):
        added.add_argument("--quiet", action="store_true", help="no progress bar")
    evaluate = command("evaluate", "Loss and accuracy of a run's last checkpoint.")
    evaluate.add_argument("--rows", choices=("test", "train"), default="test", help="which rows; default test")
    report = command("report", "Table and picture of loss and accuracy; of several runs: accuracy against QPU seconds.")
    report.add_argument("-o", "--output", metavar="FILE", help="picture; default RUN/report.png, of several report.png")
    report.add_argument("run", metavar="RUN", nargs="+", help="run directories")
    status = command("status", "Where a run stands and which jobs are open, while it trains or after.")
    cancel = command("cancel", "Cancel the jobs that a run still has at the service.")
    for added in (resume, evaluate, status, cancel):
        added.add_argument("run", metavar="RUN", help="a run directory")
    return parser


def _progress(options: argparse.Namespace) -> bool | None:
    return False if options.quiet else None


def _spent(circuits: int, shots: int, qpu_seconds: float) -> str:
    return f"{circuits:,} circuits, {shots:,} shots, {qpu_seconds:,.1f} QPU seconds"


def _fail(message: str, code: int) -> int:
    print(_redacted(f"qtrain: {message}"), file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(_redacted(f"qtrain: warning: {message}"), file=sys.stderr)


def _redacted(text: str) -> str:
    from qtrain.chip.credentials import redacted

    return redacted(text)


def _stop(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
