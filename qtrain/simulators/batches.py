"""Splitting a batch into chunks that fit the cache and a memory limit, and running them on threads.

Chunks never depend on the number of threads, and no value of one row enters another's, so results do not either.
Kernels release the interpreter lock; threads live for one call only, so a process may fork between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from numba import config

MEMORY_LIMIT = 2 * 1024**3  # bytes that the states of one call may take
THREADING_PAYS = 2e7  # operations of a call from which threads are faster


def _threads() -> int:
    threads: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # read from the environment at run time
    return threads


def for_each_chunk(
    work: Callable[[slice], None], batch: int, width: int, operations: float, memory: float = 0.0
) -> None:
    """Calls work(rows) for consecutive slices of at most `width` rows.

    Args:
        operations: rough count of arithmetic operations of the whole call; threads start only where they pay.
        memory: bytes that a chunk takes; as many threads run at once as fit the limit.
    """
    chunks = [slice(start, min(start + width, batch)) for start in range(0, batch, width)]
    threads = min(_threads(), len(chunks), int(MEMORY_LIMIT // max(memory, 1.0)))
    if threads <= 1 or operations < THREADING_PAYS:
        for rows in chunks:
            work(rows)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, rows) for rows in chunks]:
            done.result()
