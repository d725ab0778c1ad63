"""Splitting a batch into chunks that fit the cache and a memory limit, and running them on threads.

Chunks never depend on the number of threads, and no value of one row enters another's, so results do not either.
Kernels release the interpreter lock; threads live for one call only, so a process may fork between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from numba import config

from qtrain.errors import ModelError

MEMORY_LIMIT = 2 * 1024**3  # bytes that the states of one call may take
THREADING_PAYS = 2e7  # operations of a call from which threads are faster


CACHE_BYTES = 512 * 1024  # a chunk's states should stay in the second-level cache


def row_width(num_qubits: int, batch: int, amplitude: int) -> int:
    """Rows a chunk: what fits the cache, at least 8 where memory allows.

    Args:
        amplitude: bytes that one amplitude of a row takes, all states together.
    Raises: ModelError: one row is too big.
    """
    row = amplitude * 2**num_qubits
    if row > 8 * MEMORY_LIMIT:
        raise ModelError(
            f"a state vector of {num_qubits} qubits takes {row:.3g} bytes. "
            f"Expected at most {8 * MEMORY_LIMIT:.3g}; use fewer qubits."
        )
    return max(1, min(batch, max(8, CACHE_BYTES // row), MEMORY_LIMIT // row))


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
