"""Says, before the first compilation on a machine, that kernels are made for it; numba keeps them on disk."""

from __future__ import annotations

import sys
from pathlib import Path

from qcompile.routing import search

_said = False


def announce() -> None:
    """One line on standard error where the kernels of this version are not on disk yet; once in a process."""
    global _said  # noqa: PLW0603 - whether a line was printed is a fact of the process
    if _said:
        return
    _said = True
    if not kernels_are_ready():
        print("qcompile: making its kernels for this machine, once; this takes about a minute.", file=sys.stderr)


def kernels_are_ready() -> bool:
    """Whether numba's files of the router are there, and not older than its source."""
    source = Path(search.__file__)
    folder = search.search.stats.cache_path
    made = [] if folder is None else Path(folder).glob(f"{source.stem}.search-*.nbi")
    return any(file.stat().st_mtime >= source.stat().st_mtime for file in made)
