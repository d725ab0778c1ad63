"""Circuits in: a QuantumCircuit, or OpenQASM 2 or 3 from a file or as text, checked before any work is done.

What the compiler can take: gates of Qiskit's library or with a definition, measurements, resets, delays, barriers,
symbolic parameters. What it refuses, by name and place: control flow, opaque gates, angles that are not finite.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.circuit import (
    Barrier,
    CircuitInstruction,
    ControlFlowOp,
    Delay,
    Instruction,
    Measure,
    Operation,
    ParameterExpression,
    Reset,
)
from qiskit.circuit.exceptions import CircuitError as QiskitCircuitError

from qcompile.device import Device
from qcompile.errors import CircuitError, InputError, NotExecutableError, UnroutableError
from qcompile.ideal import standard_gates

CircuitLike: TypeAlias = Any
"""A QuantumCircuit, a path (str or PathLike) of a .qasm file, or QASM text."""

_NOT_GATES = (Barrier, Delay, Measure, Reset)
_LIBRARY = ("qiskit.circuit.library", "qiskit.circuit.measure", "qiskit.circuit.reset", "qiskit.circuit.delay")
_INCLUDE = re.compile(r"//[^\n]*|/\*.*?\*/|\binclude\s+[\"']([^\"'\n]*)[\"']\s*;", re.DOTALL)  # or a comment
_SHIPPED_INCLUDES = ("qelib1.inc", "stdgates.inc")
_VERSION = re.compile(r"^\s*OPENQASM\s+([0-9]+)", re.MULTILINE)


def read_circuit(source: CircuitLike) -> QuantumCircuit:
    """The circuit behind `source`, checked.

    Args:
        source: a QuantumCircuit, the path of a .qasm file, or QASM text (recognized by a line break, a semicolon or
            the word OPENQASM).
    Returns: the same circuit object, or the parsed one.
    Raises: CircuitError: what cannot be read or compiled, with file, line and column where they are known.
    """
    if isinstance(source, QuantumCircuit):
        check_circuit(source)
        return source
    if isinstance(source, os.PathLike):
        circuit = _read_file(Path(source))
    elif isinstance(source, str):
        is_text = "\n" in source or ";" in source or "OPENQASM" in source or not source.strip()
        circuit = parse_qasm(source) if is_text else _read_file(Path(source))
    else:
        raise CircuitError(
            f"circuit is a {type(source).__name__}. Expected a QuantumCircuit, the path of a .qasm file, or QASM text."
        )
    check_circuit(circuit)
    return circuit


def _read_file(path: Path) -> QuantumCircuit:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CircuitError(
            f"{path}: cannot be read ({error.strerror}). Expected the path of an OpenQASM 2 or 3 file."
        ) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CircuitError(
            f"{path}: byte {error.start} is no UTF-8 text. Expected an OpenQASM 2 or 3 program; "
            "QPY files are loaded with qiskit.qpy.load."
        ) from error
    circuit = parse_qasm(text, place=str(path), folder=path.parent)
    if not circuit.name or circuit.name.startswith("circuit-"):
        circuit.name = path.stem
    return circuit


def parse_qasm(text: str, *, place: str = "QASM text", folder: Path | None = None) -> QuantumCircuit:
    """Parses OpenQASM 2 or 3, by its version line; includes are looked up in `folder` only.

    Raises: CircuitError: with the parser's line and column.
    """
    text = text.removeprefix("\ufeff")  # the mark that some editors put before the first character
    if not text.strip():
        raise CircuitError(f"{place}: empty. Expected a program that begins with OPENQASM 2.0; or OPENQASM 3.0;")
    text = _inline_includes(text, place, folder)
    version = _VERSION.search(text)
    if version is None:
        raise CircuitError(
            f"{place}: no version line. Expected a program that begins with OPENQASM 2.0; or OPENQASM 3.0; "
            f"found {text.strip().splitlines()[0][:60]!r}."
        )
    if version.group(1) == "2":
        try:
            return qasm2.loads(text, include_path=(), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
        except (qasm2.QASM2ParseError, QiskitCircuitError, ValueError, RecursionError) as error:
            raise CircuitError(f"{place}: not valid OpenQASM 2: {_first_line(error)}") from error
    if version.group(1) == "3":
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):  # its parser prints line and column instead of raising them
                return qasm3.loads(text)
        except Exception as error:  # the importer lets errors of its ANTLR parser and of Python itself through
            reason = _first_line(said.getvalue() or error)
            raise CircuitError(f"{place}: not valid OpenQASM 3, or beyond its importer: {reason}") from error
    raise CircuitError(f"{place}: OPENQASM {version.group(1)} is not known. Expected version 2.0 or 3.x.")


def _inline_includes(text: str, place: str, folder: Path | None, depth: int = 0) -> str:
    """The program with the files beside it written in; Qiskit's parser trips over expressions in included files.

    Raises: CircuitError: an include that is not there, leaves the folder, or includes itself.
    """

    def content(found: re.Match[str]) -> str:
        name = found.group(1)
        if name is None or name in _SHIPPED_INCLUDES:
            return found.group(0)
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise CircuitError(f"{place}: include {name!r} leaves the folder of the program. Put it there.")
        if folder is None or not (folder / name).is_file() or depth > 16:
            raise CircuitError(
                f"{place}: unable to find {name!r}. Expected one of {_SHIPPED_INCLUDES}, or a file beside the program."
            )
        return _inline_includes((folder / name).read_text("utf-8"), f"{place}: {name}", folder, depth + 1)

    return _INCLUDE.sub(content, text)


def _first_line(error: object) -> str:
    text = str(error).strip().strip("'\"")
    return text.splitlines()[0] if text else type(error).__name__


def check_circuit(circuit: QuantumCircuit) -> None:
    """Refuses what cannot be compiled, before any work is done.

    Raises: CircuitError: no qubits, control flow, a gate without definition, an angle that is not finite and real.
    """
    if circuit.num_qubits == 0:
        raise CircuitError(f"{circuit.name}: has no qubits. Expected at least one.")
    known = standard_gates()
    for index, instruction in enumerate(circuit.data):
        operation = instruction.operation
        place = f"{circuit.name}: instruction {index} ({operation.name})"
        if isinstance(operation, ControlFlowOp):
            raise CircuitError(
                f"{place} is control flow. A circuit is compiled once for all its executions, without branches: "
                "unroll the loop, or replace a conditional gate by a controlled one and measure at the end."
            )
        for value in getattr(operation, "params", ()):  # a Clifford has none
            _check_value(place, value, is_angle=operation.name in known)
        if (operation.name not in known or is_homemade(operation)) and not isinstance(operation, _NOT_GATES):
            _check_definition(place, operation)


def _check_value(place: str, value: object, *, is_angle: bool) -> None:
    """Parameters of other than standard gates may be amplitudes (initialize, diagonal), complex but finite."""
    if isinstance(value, ParameterExpression) and value.parameters:
        return
    if isinstance(value, (int, float, complex, ParameterExpression)):
        try:
            number = complex(value)
        except (TypeError, ValueError) as error:
            raise CircuitError(f"{place}: angle {value} is not a number.") from error
        if not (math.isfinite(number.real) and math.isfinite(number.imag)):
            raise CircuitError(f"{place}: angle {value} is not finite. Expected a real number of radians.")
        if number.imag != 0 and is_angle:
            raise CircuitError(f"{place}: angle {value} is complex. Expected a real number of radians.")


def _check_definition(place: str, operation: Instruction, depth: int = 0) -> None:
    """An instruction can be lowered if it has a matrix or a definition whose parts can; depth bounds recursion."""
    if not isinstance(operation, Instruction):
        return  # Clifford, AnnotatedOperation and the like: Qiskit synthesizes them
    definition = operation.definition
    if definition is None:
        if _matrix(operation) is None:
            raise CircuitError(
                f"{place}: gate {operation.name!r} on {operation.num_qubits} qubits is opaque: it has no definition. "
                "Expected a gate of Qiskit's library, or one with a body (QASM: gate name(...) a, b { ... })."
            )
        return
    if depth > 64:
        raise CircuitError(f"{place} is defined in terms of itself. Expected a definition that ends in known gates.")
    known = standard_gates()
    for part in definition.data:
        inner = part.operation
        if isinstance(inner, ControlFlowOp):
            raise CircuitError(f"{place} holds control flow ({inner.name}). Expected gates only.")
        if (inner.name not in known or is_homemade(inner)) and not isinstance(inner, _NOT_GATES):
            _check_definition(place, inner, depth + 1)


def _matrix(operation: Instruction) -> object | None:
    try:
        return operation.to_matrix()
    except (QiskitCircuitError, AttributeError, TypeError):
        return None


def is_homemade(operation: Operation) -> bool:
    """Whether it has the name of a library gate, but is somebody's own, with a definition of its own."""
    if operation.name not in standard_gates() or not isinstance(operation, Instruction):
        return False
    return not operation.base_class.__module__.startswith(_LIBRARY) and operation.definition is not None


def holds_homemade(operation: Operation) -> bool:
    """Whether it is homemade, or has a definition with something homemade in it."""
    if operation.name in standard_gates() or not isinstance(operation, Instruction) or operation.definition is None:
        return is_homemade(operation)
    return any(holds_homemade(part.operation) for part in operation.definition.data)


def written_out(circuit: QuantumCircuit, is_composite: Callable[[Operation], bool] = holds_homemade) -> QuantumCircuit:
    """The circuit with the definitions of some instructions in their place, until none is left.

    By default of those that Qiskit, which goes by names, would take for a gate of its library. The circuit itself
    where there are none.
    """
    while not all(i.is_standard_gate() or not is_composite(i.operation) for i in circuit.data):
        flat = circuit.copy_empty_like()
        for instruction in circuit.data:
            operation = instruction.operation
            if is_composite(operation):
                flat.compose(operation.definition, instruction.qubits, instruction.clbits, inplace=True)
            else:
                flat.append(instruction)
        circuit = flat
    return circuit


def final_measurements(circuit: QuantumCircuit) -> dict[int, int]:
    """Clbit index -> qubit index of the measurements that nothing follows on their qubit or clbit.

    A clbit that is written twice belongs to its last measurement.
    """
    last_on_qubit: dict[int, int] = {}
    writes: dict[int, tuple[int, int]] = {}
    index_of = {q: i for i, q in enumerate(circuit.qubits)}
    for index, instruction in enumerate(circuit.data):
        name = instruction.name
        if name == "barrier":
            continue
        for qubit in instruction.qubits:
            last_on_qubit[index_of[qubit]] = index
        if name == "measure":
            writes[circuit.find_bit(instruction.clbits[0]).index] = (index, index_of[instruction.qubits[0]])
    return {clbit: qubit for clbit, (index, qubit) in writes.items() if last_on_qubit[qubit] == index}


def without_final_measurements(circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[tuple[int, CircuitInstruction]]]:
    """The circuit without them, and (qubit, instruction) of each, by classical bit: a router puts them back last."""
    final = final_measurements(circuit)
    if not final:
        return circuit, []
    last = {c: i for i, item in enumerate(circuit.data) if item.name == "measure" for c in item.clbits}
    dropped = {last[circuit.clbits[clbit]]: qubit for clbit, qubit in sorted(final.items())}
    body = circuit.copy_empty_like()
    for i, item in enumerate(circuit.data):
        if i not in dropped:
            body._append(item)
    return body, [(qubit, circuit.data[i]) for i, qubit in dropped.items()]


def has_mid_circuit_operations(circuit: QuantumCircuit) -> bool:
    """Whether it holds a reset, or a measurement that is not the last operation on its qubit and clbit."""
    names = [i.operation.name for i in circuit.data]
    return "reset" in names or names.count("measure") != len(final_measurements(circuit))


def check_device(device: object) -> None:
    """Raises InputError where a name or a Qiskit backend is given instead of a Device."""
    if not isinstance(device, Device):
        raise InputError(
            f"device is a {type(device).__name__}. Expected a Device: qcompile.load_device(name or path), "
            "or Device.from_backend(backend)."
        )


def check_mid_circuit(circuit: QuantumCircuit, device: Device) -> None:
    """Refuses resets and measurements in the middle of a circuit where the chip takes none.

    Raises: NotExecutableError.
    """
    if not device.limits.mid_circuit and has_mid_circuit_operations(circuit):
        raise NotExecutableError(
            f"{circuit.name}: holds a reset, or a measurement that something follows; {device.name} takes measurements "
            "at the end only. Move them there, or use another device."
        )


def check_width(circuit: QuantumCircuit, device: Device) -> None:
    """Refuses a circuit that does not fit on the live part of a device.

    Raises: UnroutableError: with the circuit's width and the size of the largest live region.
    """
    largest = len(device.components[0]) if device.components else 0
    if circuit.num_qubits > largest:
        raise UnroutableError(
            f"{circuit.name}: has {circuit.num_qubits} qubits; the largest connected live region of {device.name} has "
            f"{largest} of {device.num_qubits} ({device.graph.number_of_edges()} live couplers, calibrated "
            f"{device.calibrated_at:%Y-%m-%d}). Use a narrower circuit, another device or a newer calibration."
        )
