"""Random numbers inside kernels: a function of their state alone, whatever thread draws them."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def uniform(state):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Next number in [0, 1) of a splitmix64 sequence (Steele, Lea, Flood 2014); advances `state`, uint64[1]."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * (1.0 / 9007199254740992.0)
