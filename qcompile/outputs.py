"""Files that commands write: refused before the work is done, and written whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from qcompile.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from qiskit import QuantumCircuit

PICTURES = (".png", ".svg", ".pdf")
CIRCUITS = (".qasm", ".qpy")


def check_target(path: Path | None, suffixes: tuple[str, ...]) -> None:
    """Refuses before any work what could not be written after it. Raises: InputError."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: unknown kind of file. Expected a name that ends in {' or '.join(suffixes)}.")
    if path.is_dir():
        raise InputError(f"{path} is a folder. Expected the name of a file.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}. Make it first.")


def encoded(circuit: QuantumCircuit, path: Path) -> bytes:
    """A circuit as the file's ending asks: OpenQASM 3, or QPY."""
    from qiskit import qasm3, qpy

    if path.suffix.lower() == ".qasm":
        return (qasm3.dumps(circuit) + "\n").encode()
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return buffer.getvalue()


def rendered(figure: Figure, path: Path) -> bytes:
    """A picture as the file's ending asks."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:])
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    """Writes so that a reader sees the old file or the whole new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
