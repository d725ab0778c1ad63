"""`qcompile`: devices, show, compile, estimate, compare, rank, import, draw.

Exit code 0: done; 1: failed by an outside cause; 2: bad input or usage; 130: stopped by Ctrl-C. With --json standard
output is one JSON document and nothing else; progress and errors go to standard error.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from qcompile import decoupling, tables
from qcompile.calibration import list_devices, load_device
from qcompile.circuit import read_circuit
from qcompile.compare import compare
from qcompile.compile import ROUNDS, compile
from qcompile.cost import Workload, checked_runs, cost, execution_cost
from qcompile.draw import draw_comparison, draw_device
from qcompile.draw_ranking import draw_ranking
from qcompile.errors import CalibrationError, InputError, QonchipError
from qcompile.estimate import estimate
from qcompile.expectation import expectation_errors
from qcompile.fidelity import METHODS
from qcompile.imports import import_device
from qcompile.observables import read_operators
from qcompile.outputs import CIRCUITS, PICTURES, check_target, encoded, rendered, write
from qcompile.rank import ORDERS, rank

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qcompile.compiled import CompiledCircuit
    from qcompile.device import Device
    from qcompile.values import Values

DONE, FAILED, STOPPED = 0, 1, 130
_WIDTH = 120  # columns, where standard output is no terminal

Answer = tuple[Any, list[Any]]
"""What a command answers: plain values for --json, and what is printed without it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        values, printed = options.command(options)
        _print(json.dumps(values, allow_nan=False) if options.json else printed)
    except BrokenPipeError:  # whoever read our output has gone
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except QonchipError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        return _fail(f"{error.filename or 'output'}: {error.strerror or error}.", FAILED)
    except KeyboardInterrupt:
        return _fail("stopped.", STOPPED)
    except Exception as error:
        if os.environ.get("QCOMPILE_TRACEBACK"):
            traceback.print_exc()
        return _fail(
            f"unexpected {type(error).__name__}: {error}. This is a bug; QCOMPILE_TRACEBACK=1 shows where it happened.",
            FAILED,
        )
    return DONE


def _print(answer: str | list[Any]) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal or file that has no "≈" gets a "?", not an error
    if isinstance(answer, str):
        print(answer)
    else:
        console = Console(
            width=None if sys.stdout is not None and sys.stdout.isatty() else _WIDTH, highlight=False, markup=False
        )
        for part in answer:
            console.print(part)
    if sys.stdout is not None:
        sys.stdout.flush()


def _fail(message: str, code: int) -> int:
    with suppress(OSError, ValueError):
        print(f"qcompile: {message}", file=sys.stderr)
    return code


@contextmanager
def _working(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner on standard error while something long runs, on a terminal only; call the value to change its text."""
    with Console(stderr=True).status(text) as status:
        yield lambda detail: status.update(f"{text}: {detail}")


@contextmanager
def _counting(text: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on standard error, on a terminal only; call the value with (done, in all, what is next)."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total, name: bar.update(
            task, completed=done, total=total, description=f"{text}: {name}", refresh=True
        )


def _devices(options: argparse.Namespace) -> Answer:
    del options
    rows, broken = [], []
    for stored in list_devices():
        try:
            rows.append(tables.stored_values(stored, load_device(stored.path)))
        except CalibrationError as error:
            broken.append({"file": str(stored.path), "error": str(error)})
    printed = [tables.stored_table(rows), *(f"not readable: {entry['error']}" for entry in broken)]
    return {"devices": rows, "unreadable": broken}, printed


def _show(options: argparse.Namespace) -> Answer:
    device = load_device(options.device)
    return tables.device_values(device), [tables.device_table(device)]


def _compile(options: argparse.Namespace) -> Answer:
    check_target(options.output, CIRCUITS)
    check_target(options.picture, PICTURES)
    device, circuit = load_device(options.device), _read(options.circuit)
    execution_cost(device, 0.0, shots=options.shots)  # bad shots and observables are refused before any work
    values = _values(options.values)
    if options.observables is not None:
        read_operators(options.observables, circuit.num_qubits)
    with _working(f"Compiling for {device.name}"):
        compiled = compile(
            circuit, device, seed=options.seed, effort=options.effort, values=values,
            dynamical_decoupling=options.dynamical_decoupling,
        )  # fmt: skip
    observed, shown = _observed(options, compiled, device, values)
    bill = cost(compiled, shots=options.shots)
    asked = {"seed": options.seed, "effort": options.effort, "dynamical_decoupling": options.dynamical_decoupling}
    said = tables.compiled_values(compiled) | asked | {"cost": asdict(bill)}
    places = ", ".join(f"q{v}→{p}" for v, p in enumerate(compiled.initial_layout.physical))
    moved = compiled.final_layout != compiled.initial_layout
    ends = ", ".join(f"q{v}→{p}" for v, p in enumerate(compiled.final_layout.physical)) if moved else "the same"
    printed: list[Any] = [
        tables.estimate_table(compiled.estimate, bill, f"{compiled.circuit.name} on {device.name}"),
        f"layout: {places}; at the end {ends}",
        *shown,
    ]
    if options.output:
        write(options.output, encoded(compiled.circuit, options.output))
    if options.picture:
        write(options.picture, rendered(draw_device(device, compiled), options.picture))
    return _with_files(said | observed, printed, output=options.output, picture=options.picture)


def _estimate(options: argparse.Namespace) -> Answer:
    device, circuit = load_device(options.device), _read(options.circuit)
    checked_runs(device, options.shots)
    values = _values(options.values)
    found = estimate(circuit, device, values, seed=options.seed, method=options.method)
    observed, shown = _observed(options, circuit, device, values)
    work = Workload.of(circuit, device, duration=found.duration)
    bill = execution_cost(device, work, shots=options.shots)
    said = {"circuit": circuit.name, "device": device.name}
    said |= {"estimate": tables.estimate_values(found), "cost": asdict(bill), **observed}
    return said, [tables.estimate_table(found, bill, f"{circuit.name} on {device.name}"), *shown]


def _observed(
    options: argparse.Namespace, mapped: CompiledCircuit | QuantumCircuit, device: Device, values: Values
) -> tuple[dict[str, Any], list[Any]]:
    """{"expectations": ...} of --observables and its table; without any an empty list and no table."""
    if options.observables is None:
        return {"expectations": []}, []
    with _working("Expectations"):
        found = expectation_errors(mapped, options.observables, values, device=device, seed=options.seed)
    return {"expectations": tables.expectation_values(found)}, [tables.expectation_table(found)]


def _compare(options: argparse.Namespace) -> Answer:
    check_target(options.picture, PICTURES)
    device, circuit = load_device(options.device), _read(options.circuit)
    with _working(f"Mapping onto {device.name}") as tell:
        comparison = compare(
            circuit, device, seed=options.seed, values=_values(options.values), shots=options.shots,
            effort=options.effort, progress=tell,
        )  # fmt: skip
    if options.picture:
        write(options.picture, rendered(draw_comparison(comparison), options.picture))
    return _with_files(
        comparison.to_dict(), [comparison.table(), tables.loss_table(comparison)], picture=options.picture
    )


def _rank(options: argparse.Namespace) -> Answer:
    check_target(options.picture, PICTURES)
    circuit = _read(options.circuit)
    devices = None if options.devices is None else [name.strip() for name in options.devices.split(",")]
    with _counting("Ranking") as tell:
        ranking = rank(
            circuit, devices, seed=options.seed, values=_values(options.values), effort=options.effort,
            shots=options.shots, circuits=options.circuits, progress=tell,
        ).sorted(options.sort)  # fmt: skip
    if options.picture:
        write(options.picture, rendered(draw_ranking(ranking), options.picture))
    return _with_files(ranking.to_dict(), [ranking.table()], picture=options.picture)


def _import(options: argparse.Namespace) -> Answer:
    found = import_device(
        options.source, name=options.name, allow_missing=options.allow_missing, overwrite=options.force
    )
    values = {
        "name": found.device.name,
        "file": str(found.path),
        "shadowed_by": found.shadowed_by,
        "sha256": found.device.sha256,
        "notes": list(found.device.notes),
    }
    printed: list[Any] = [tables.device_table(found.device), f"kept in {found.path}"]
    if found.shadowed_by:
        printed.append(f"Note: by its name {found.shadowed_by} is found first; load this one by its path.")
    return values, printed


def _draw(options: argparse.Namespace) -> Answer:
    check_target(options.output, PICTURES)
    device = load_device(options.device)
    write(options.output, rendered(draw_device(device, color_by=options.color_by), options.output))
    return _with_files({"device": device.name}, [], picture=options.output)


def _read(source: str) -> QuantumCircuit:
    return read_circuit(sys.stdin.read() if source == "-" else Path(source))


def _values(text: str | None) -> dict[str, float] | list[float] | None:
    """Parameter values from `name=value,...`, `value,...` or a JSON file that holds an object or a list."""
    if text is None:
        return None
    found: Any = text
    try:
        if text.endswith(".json"):
            found = json.loads(Path(text).read_text(encoding="utf-8"))
        elif "=" in text:
            pairs = [(name.strip(), value) for name, value in (pair.split("=", 1) for pair in text.split(","))]
            found = dict(pairs)
            if len(found) < len(pairs):
                raise ValueError("a name occurs twice")
        else:
            found = text.split(",")
        if isinstance(found, dict):
            return {str(name).strip(): float(value) for name, value in found.items()}
        return [float(value) for value in found]
    except (ValueError, TypeError, OSError) as error:
        raise InputError(
            f"--values {text[:80]}: {error}. Expected a=0.1,b=0.2 or 0.1,0.2 (radians), or a .json file of either."
        ) from None


def _with_files(values: dict[str, Any], printed: list[Any], **files: Path | None) -> Answer:
    for key, path in files.items():
        values[key] = None if path is None else str(path)
        if path is not None:
            printed.append(f"wrote {path}")
    return values, printed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qcompile", description="Map quantum circuits onto real chips, and say what that costs."
    )
    parser.add_argument("--version", action="version", version=f"qonchip {version('qonchip')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], Answer], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
        command.set_defaults(command=run)
        return command

    def add_circuit(command: argparse.ArgumentParser, one_device: bool = True) -> None:
        command.add_argument("circuit", metavar="CIRCUIT", help="OpenQASM 2 or 3 file; - reads standard input")
        if one_device:
            command.add_argument(
                "--device", required=True, metavar="D", help="stored calibration by name, or a JSON file"
            )
        command.add_argument("--seed", type=int, default=0, help="of every random choice; default 0")
        command.add_argument(
            "--values", metavar="V", help="parameter values: a=0.1,b=0.2 or 0.1,0.2, or a .json file; default 8 draws"
        )
        command.add_argument("--shots", type=int, default=4096, help="executions that the cost is for; default 4096")

    def add_observables(command: argparse.ArgumentParser, numbered: str) -> None:
        command.add_argument(
            "--observables", type=lambda text: text.split(","), metavar="O", help="also their expectations with and "
            f'without noise: products of X, Y, Z of numbered qubits ({numbered}), e.g. "Z0,Z0 Z1,X2"',
        )  # fmt: skip

    def add_effort(command: argparse.ArgumentParser, default: str = "normal") -> None:
        command.add_argument("--effort", choices=tuple(ROUNDS), default=default, help=f"default {default}")

    add("devices", _devices, "list the stored calibrations")
    add("show", _show, "show one calibration").add_argument("device", metavar="DEVICE", help="name, or a JSON file")

    command = add("compile", _compile, "map a circuit onto a device")
    add_circuit(command)
    add_effort(command)
    command.add_argument(
        "--dynamical-decoupling", choices=decoupling.METHODS,
        help="pulses in idle windows: xy4 or xx wherever they fit, auto where the estimate rises; default: none",
    )  # fmt: skip
    command.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="write the mapped circuit: .qasm (OpenQASM 3) or .qpy"
    )
    command.add_argument("--picture", type=Path, metavar="PNG", help="draw it on the chip: .png, .svg or .pdf")
    add_observables(command, "the circuit's own")

    command = add("estimate", _estimate, "estimate a circuit that is already on physical qubits and in native gates")
    add_circuit(command)
    command.add_argument("--method", choices=METHODS, help="default: the most accurate one that takes a second")
    add_observables(command, "the chip's")

    command = add("compare", _compare, "compare ideal, trivially mapped, Qiskit O3 and ours")
    add_circuit(command)
    add_effort(command)
    command.add_argument("--picture", type=Path, metavar="PNG", help="draw the comparison: .png, .svg or .pdf")

    command = add("rank", _rank, "rank the stored chips for a circuit by fidelity, QPU time and price")
    add_circuit(command, one_device=False)
    command.add_argument("--devices", metavar="A,B", help="names or JSON files; default: every stored chip, newest")
    add_effort(command, "fast")
    command.add_argument("--circuits", type=int, default=1, help="circuits of so many shots; default 1")
    command.add_argument("--sort", choices=ORDERS, default=ORDERS[0], help=f"default {ORDERS[0]}")
    command.add_argument("--picture", type=Path, metavar="PNG", help="draw fidelity against time: .png, .svg or .pdf")

    command = add("import", _import, "keep a calibration in your own folder, so that it is found by name")
    command.add_argument(
        "source",
        nargs="+",
        metavar="FILE",
        help="a device's JSON file; a calibration of cirq-google, an IQM error profile, the properties of a Braket "
        "device; IBM's two files props_X.json and conf_X.json (one finds the other beside it); "
        "or the name of a fake backend of qiskit-ibm-runtime (FakeTorino)",
    )
    command.add_argument("--name", help="name to keep it under, e.g. ibm_torino; default: its own")
    command.add_argument("--allow-missing", action="store_true", help="a gate without an error becomes unusable")
    command.add_argument("--force", action="store_true", help="replace a calibration of the same name and date")

    command = add("draw", _draw, "draw a device's coupling map")
    command.add_argument("device", metavar="DEVICE", help="name, or a JSON file")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="PNG", help=".png, .svg or .pdf")
    command.add_argument("--color-by", choices=("readout", "t1", "t2"), default="readout", help="default readout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
