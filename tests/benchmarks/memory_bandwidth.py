"""How fast this machine streams memory with one thread, for the floor below which no pass over a state can go."""

from __future__ import annotations

import time

import numpy as np

BYTES_A_PASS = 96
"""Times 2^n: an adjoint gradient reads and writes one complex128 state forwards, two backwards, for every gate."""


def stream_bandwidth(megabytes: int = 256, repeats: int = 5) -> float:
    """Bytes per CPU second, read and written, by one thread: the better of a copy and a scaling in place."""
    a = np.ones(megabytes * 2**20 // 8)
    b = np.zeros_like(a)
    least = np.inf
    for _ in range(repeats):
        for copy in (True, False):
            started = time.process_time()
            if copy:
                b[:] = a
            else:
                a *= 1.0
            least = min(least, time.process_time() - started)
    return float(2 * a.nbytes / least)


def floor_seconds(passes: int, qubits: int, bandwidth: float) -> float:
    """What streaming the states alone takes in an adjoint gradient, complex128."""
    return passes * BYTES_A_PASS * 2**qubits / bandwidth
