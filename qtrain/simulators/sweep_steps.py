"""numba kernels for one step of a sweep, or for one part of it.

A step is a row of eight numbers, the kind first. Parts of a step touch different amplitudes, so that threads may share
it; sums are kept a part, so that nothing depends on who worked. What follows the kind:

    DIAGONAL   first low, straddling, high, last string; first, last group; its place in the phase tables
    PERMUTE    which permutation, plane (0 real parts, 1 imaginary parts)
    TURNS      qubits of a block, place in the turns' tables, mask of the qubits that turn
    FAR_TURNS  lowest qubits of a tile that do not turn, place, mask of the tile's bits that turn, mask of their qubits
    STRING     masks x and z, which string
    OVERLAP    the same; its derivative, taken before the string is: a step of its own, as no part may be ahead
    DENSE      first and second qubit, which matrix
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.diagonal_kernels import apply_phases, imaginary_overlap, odd, permute, phase_table, transform
from qtrain.simulators.sweep_strings import overlap, rotate, two_qubit
from qtrain.simulators.turn_kernels import turn, turn_back

DIAGONAL, PERMUTE, TURNS, FAR_TURNS, STRING, OVERLAP, DENSE = range(7)

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def fill_phases(step: Any, masks: Any, groups: Any, half: Any, row: int, size: int, table: Any) -> None:
    """The phase tables [2, ...] of a diagonal: low bits [row], [row] a group, high bits."""
    re, im = table[0], table[1]
    at = step[7]
    phase_table(re[at : at + row], im[at : at + row], masks[step[1] : step[2]], half[step[1] : step[2]], 0)
    for g in range(step[5], step[6]):
        at += row
        a, b = groups[g, 1], groups[g, 2]
        phase_table(re[at : at + row], im[at : at + row], masks[a:b], half[a:b], 0)
    at += row
    shift = 0
    while 1 << shift < row:
        shift += 1
    end = at + size // row
    phase_table(re[at:end], im[at:end], masks[step[3] : step[4]], half[step[3] : step[4]], shift)


@_jit
def diagonal_step(
    step: Any, groups: Any, table: Any, row: int, size: int, re: Any, im: Any, direction: float, part: int, parts: int
) -> None:
    """Phases, direction 1, or their conjugates, direction -1."""
    mine = groups[step[5] : step[6]]
    rows = size // row
    for h in range(rows * part // parts, rows * (part + 1) // parts):
        apply_phases(re, im, h * row, h, table, step[7], mine, row, direction)


@_jit
def diagonal_slopes(
    step: Any,
    masks: Any,
    row: int,
    size: int,
    pr: Any,
    pi: Any,
    gr: Any,
    gi: Any,
    work: Any,
    slopes: Any,
    part: int,
    parts: int,
) -> None:
    """slopes [string] += Im <lambda| Z-string |psi>. work [row]."""
    rows = size // row
    for h in range(rows * part // parts, rows * (part + 1) // parts):
        imaginary_overlap(pr, pi, gr, gi, h * row, work, row)
        transform(work, row)
        for k in range(step[1], step[4]):
            value = work[masks[k] & (row - 1)]
            slopes[k] += -value if odd(h & (masks[k] // row)) else value


@_jit
def permute_step(
    step: Any, gathers: Any, back: int, row: int, size: int, source: Any, target: Any, part: int, parts: int
) -> None:
    """A permutation, back = 0, or its inverse, back = 1, of one plane into another."""
    table = gathers[step[1], back]
    rows = size // row
    for h in range(rows * part // parts, rows * (part + 1) // parts):
        permute(source, target, h * row, table[row + h], table, row)


@_jit
def turns_step(step: Any, cos: Any, sin: Any, size: int, re: Any, im: Any, part: int, parts: int) -> None:
    """Turns of low qubits, a block at a time. cos, sin: of half the angles, the whole tables."""
    bits, at = step[1], step[2]
    c, s = cos[at : at + bits], sin[at : at + bits]
    blocks = size >> bits
    for b in range(blocks * part // parts, blocks * (part + 1) // parts):
        turn(re, b << bits, (b + 1) << bits, step[3], c, s)
        turn(im, b << bits, (b + 1) << bits, step[3], c, s)


@_jit
def turns_step_back(
    step: Any, cos: Any, sin: Any, size: int, pr: Any, pi: Any, gr: Any, gi: Any, slopes: Any, part: int, parts: int
) -> None:
    """Takes them off psi and lambda; slopes: as cos."""
    bits, at = step[1], step[2]
    c, s, found = cos[at : at + bits], sin[at : at + bits], slopes[at : at + bits]
    blocks = size >> bits
    for b in range(blocks * part // parts, blocks * (part + 1) // parts):
        turn_back(pr, gr, b << bits, (b + 1) << bits, step[3], c, s, found)
        turn_back(pi, gi, b << bits, (b + 1) << bits, step[3], c, s, found)


@_jit
def _tile_base(number: int, run: int, qubits: int) -> int:
    """Index of a tile's first amplitude: its number's bits, with zeros where the tile itself runs."""
    base = number << run
    q = 0
    while qubits >> q:
        if qubits >> q & 1:
            base = ((base >> q) << (q + 1)) | (base & ((1 << q) - 1))
        q += 1
    return base


@_jit
def _copy_tile(x: Any, tile: Any, base: int, run: int, qubits: int, back: bool) -> None:
    """Runs of 2^run neighbours, one for each setting of the qubits of a mask, to or from a tile."""
    width = 1 << run
    above, at = 0, 0
    while True:
        start = base | above
        for i in range(width):
            if back:
                x[start + i] = tile[at + i]
            else:
                tile[at + i] = x[start + i]
        above = (above - qubits) & qubits  # the next subset of the mask
        at += width
        if above == 0:
            return


@_jit
def far_turns_step(
    step: Any, cos: Any, sin: Any, size: int, re: Any, im: Any, tile: Any, part: int, parts: int
) -> None:
    """Turns of high qubits, a tile at a time."""
    run, at, active, qubits = step[1], step[2], step[3], step[4]
    bits = run
    while active >> bits:
        bits += 1
    c, s = cos[at : at + bits], sin[at : at + bits]
    tiles = size >> bits
    for number in range(tiles * part // parts, tiles * (part + 1) // parts):
        base = _tile_base(number, run, qubits)
        for x in (re, im):
            _copy_tile(x, tile, base, run, qubits, False)
            turn(tile, 0, 1 << bits, active, c, s)
            _copy_tile(x, tile, base, run, qubits, True)


@_jit
def far_turns_step_back(
    step: Any,
    cos: Any,
    sin: Any,
    size: int,
    pr: Any,
    pi: Any,
    gr: Any,
    gi: Any,
    tile: Any,
    other: Any,
    slopes: Any,
    part: int,
    parts: int,
) -> None:
    """Takes them off psi and lambda; slopes: as cos."""
    run, at, active, qubits = step[1], step[2], step[3], step[4]
    bits = run
    while active >> bits:
        bits += 1
    c, s, found = cos[at : at + bits], sin[at : at + bits], slopes[at : at + bits]
    tiles = size >> bits
    for number in range(tiles * part // parts, tiles * (part + 1) // parts):
        base = _tile_base(number, run, qubits)
        for p, g in ((pr, gr), (pi, gi)):
            _copy_tile(p, tile, base, run, qubits, False)
            _copy_tile(g, other, base, run, qubits, False)
            turn_back(tile, other, 0, 1 << bits, active, c, s, found)
            _copy_tile(p, tile, base, run, qubits, True)
            _copy_tile(g, other, base, run, qubits, True)


@_jit
def string_step(step: Any, half: Any, size: int, re: Any, im: Any, direction: float, part: int, parts: int) -> None:
    """A rotation by a string, direction 1, or its inverse, direction -1. half [string]: half the angles."""
    vectors = size // 8
    first, last = 8 * (vectors * part // parts), 8 * (vectors * (part + 1) // parts)
    angle = half[step[3]]
    rotate(re, im, first, last, step[1], step[2], np.cos(angle), direction * np.sin(angle))


@_jit
def overlap_step(step: Any, size: int, pr: Any, pi: Any, gr: Any, gi: Any, slopes: Any, part: int, parts: int) -> None:
    """slopes [string] += Im <lambda| P |psi>."""
    vectors = size // 8
    first, last = 8 * (vectors * part // parts), 8 * (vectors * (part + 1) // parts)
    slopes[step[3]] += overlap(gr, gi, pr, pi, first, last, step[1], step[2]).imag


@_jit
def dense_step(step: Any, dense: Any, back: bool, size: int, re: Any, im: Any, part: int) -> None:
    """A two-qubit map or its inverse; one part does it all, such gates are few."""
    if part:
        return
    matrix = dense[step[3]]
    if back:
        inverse = np.empty((4, 4), np.complex128)
        for i in range(4):
            for j in range(4):
                inverse[i, j] = matrix[j, i].conjugate()
        two_qubit(re, im, size, 1 << step[1], 1 << step[2], inverse)
    else:
        two_qubit(re, im, size, 1 << step[1], 1 << step[2], matrix)
