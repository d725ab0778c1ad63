"""Test processes on a machine without compiled kernels: none compiles what another one is compiling.

numba writes a kernel to disk when it is compiled, and looks there first. Two processes that start together would both
compile it, and the second to write its index may drop what the first has written. So each kernel is compiled under a
lock of its own; who had to wait finds it on disk. Files of the two packages, whose kernels differ, come in turn.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import tempfile
from pathlib import Path
from typing import Any

from numba.core.dispatcher import Dispatcher

_LOCKS = Path(tempfile.gettempdir()) / f"qonchip-kernels-{hashlib.sha256(__file__.encode()).hexdigest()[:12]}"
_compile = Dispatcher.compile


def _compile_alone(self: Any, signature: Any) -> Any:
    name = f"{self.py_func.__module__}.{self.py_func.__qualname__}"
    if not name.startswith(("qcompile", "qtrain")):
        return _compile(self, signature)
    _LOCKS.mkdir(exist_ok=True)
    # a kernel waits for those that it calls, never the other way round, so locks cannot wait for each other in a ring
    with (_LOCKS / hashlib.sha256(name.encode()).hexdigest()[:24]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _compile(self, signature)


Dispatcher.compile = _compile_alone


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Files in turn from each folder of tests; tests of a file stay together."""
    folders: dict[str, dict[str, list[Any]]] = {}
    for item in items:
        path = Path(item.fspath)
        folders.setdefault(path.parent.name, {}).setdefault(path.name, []).append(item)
    turns = itertools.zip_longest(*(files.values() for files in folders.values()), fillvalue=[])
    items[:] = [item for turn in turns for group in turn for item in group]
