"""numba kernels of Pauli strings as two bit masks: P |j> = i^y (-1)^|j & z| |j ^ x>, y the number of Y."""

from __future__ import annotations

import numba

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def parity(value: int) -> int:
    """1 where an odd number of bits is set, else 0; without a branch, so that loops over it are vector loops."""
    value ^= value >> 32
    value ^= value >> 16
    value ^= value >> 8
    value ^= value >> 4
    value ^= value >> 2
    value ^= value >> 1
    return value & 1


@_jit
def odd(value: int) -> bool:
    """Whether an odd number of bits is set."""
    return parity(value) == 1


@_jit
def high_bit(value: int) -> int:
    """The highest bit that is set; 1 for 0."""
    bit = 1
    while value > 1:
        value >>= 1
        bit <<= 1
    return bit


@_jit
def string_phase(x: int, z: int) -> tuple[bool, float]:
    """i^(number of Y) as (is it imaginary, its sign)."""
    y = 0
    both = x & z
    while both:
        both &= both - 1
        y += 1
    return y % 2 == 1, 1.0 if y % 4 < 2 else -1.0
