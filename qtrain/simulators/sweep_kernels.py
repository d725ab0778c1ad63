"""numba kernels that sweep a large state vector step by step, forward and back.

A step is cut into parts that touch different amplitudes, so that threads may share it; sums are kept a part, and added
in their order, so that nothing depends on who worked. planes [5, 2^n + padding] are psi (re, im), lambda (re, im) and
one spare that a permutation writes to; where [5] says which plane is which now.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.diagonal_kernels import (
    apply_phases,
    imaginary_overlap,
    odd,
    permute,
    phase_table,
    scaled,
    squared_norms,
    transform,
)
from qtrain.simulators.string_kernels import add_string, overlap, phase_of, rotate, two_qubit
from qtrain.simulators.turn_kernels import turn, turn_back

DIAGONAL, PERMUTE, TURNS, FAR_TURNS, STRING, DENSE = range(6)
_TILE_BITS = 13  # a tile of psi and one of lambda stay in the first two cache levels

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def _share(count: int, part: int, parts: int) -> tuple[int, int]:
    return count * part // parts, count * (part + 1) // parts


@_jit
def phases(diagonal: Any, tables: Any, half: Any, row: int, size: int, re: Any, im: Any) -> None:
    """Phase tables of one diagonal: low bits, a table a group, high bits. row: amplitudes of a row, size: all."""
    first, middle, high, last, group, groups = diagonal
    shift = 0
    while 1 << shift < row:
        shift += 1
    phase_table(re[:row], im[:row], tables.zstrings[first:middle], tables.zsigns[first:middle], 0, half)
    at = row
    for g in range(group, groups):
        a, b = tables.groups[g, 1], tables.groups[g, 2]
        phase_table(re[at : at + row], im[at : at + row], tables.zstrings[a:b], tables.zsigns[a:b], 0, half)
        at += row
    end = at + size // row
    phase_table(re[at:end], im[at:end], tables.zstrings[high:last], tables.zsigns[high:last], shift, half)


@_jit
def _sines(step: Any, tables: Any, half: Any, qubits: int) -> tuple[Any, Any, Any]:
    """cos, sin of half of each qubit's turn in a step, and which qubits turn."""
    cos, sin, active = np.ones(qubits), np.zeros(qubits), np.zeros(qubits, np.bool_)
    for k in range(step[1], step[2]):
        angle = 0.0
        for j in range(tables.turns[k, 1], tables.turns[k, 2]):
            angle += half[tables.turn_slots[j]]
        q = tables.turns[k, 0]
        cos[q], sin[q], active[q] = np.cos(angle), np.sin(angle), True
    return cos, sin, active


@_jit
def _block_bits(size: int, bits: int) -> int:
    """Qubits of a block that is turned while it is in the cache."""
    return bits if bits <= 16 else 15


@_jit
def _tile_base(number: int, run: int, turns: Any) -> int:
    """Index of a tile's first amplitude: its number's bits, with zeros where the tile itself runs."""
    base = number << run
    for k in range(len(turns)):
        q = turns[k, 0]
        base = ((base >> q) << (q + 1)) | (base & ((1 << q) - 1))
    return base


@_jit
def _copy_tile(x: Any, tile: Any, base: int, run: int, turns: Any, back: bool) -> None:
    width = 1 << run
    for r in range(1 << len(turns)):
        at = base
        for k in range(len(turns)):
            if r >> k & 1:
                at += 1 << turns[k, 0]
        if back:
            for i in range(width):
                x[at + i] = tile[r * width + i]
        else:
            for i in range(width):
                tile[r * width + i] = x[at + i]


@_jit
def _far(cos: Any, sin: Any, turns: Any, run: int) -> tuple[Any, Any, Any]:
    """The sines of a tile's own index bits: its lowest `run` do not turn."""
    bits = run + len(turns)
    c, s, active = np.ones(bits), np.zeros(bits), np.zeros(bits, np.bool_)
    for k in range(len(turns)):
        q = turns[k, 0]
        c[run + k], s[run + k], active[run + k] = cos[q], sin[q], True
    return c, s, active


@_jit
def forward_part(
    step: Any, tables: Any, half: Any, table: Any, row: int, bits: int, re: Any, im: Any, part: int, parts: int
) -> None:
    """One part of a step that is no permutation, on psi. table: (re, im) phase tables of a diagonal."""
    kind, at = step[0], step[1]
    size = 1 << bits
    if kind == DIAGONAL:
        masks = tables.groups[tables.diagonals[at, 4] : tables.diagonals[at, 5], 0]
        first, last = _share(size // row, part, parts)
        for h in range(first, last):
            apply_phases(re, im, h * row, h, table, masks, row, 1.0)
    elif kind == TURNS:
        cos, sin, active = _sines(step, tables, half, bits)
        block = _block_bits(size, bits)
        first, last = _share(size >> block, part, parts)
        for b in range(first, last):
            turn(re, b << block, (b + 1) << block, block, cos, sin, active)
            turn(im, b << block, (b + 1) << block, block, cos, sin, active)
    elif kind == FAR_TURNS:
        turns = tables.turns[step[1] : step[2]]
        run = max(6, _TILE_BITS - len(turns))
        cos, sin, _ = _sines(step, tables, half, bits)
        c, s, active = _far(cos, sin, turns, run)
        tile = np.empty(1 << c.size, re.dtype)
        first, last = _share(size >> c.size, part, parts)
        for number in range(first, last):
            base = _tile_base(number, run, turns)
            for x in (re, im):
                _copy_tile(x, tile, base, run, turns, False)
                turn(tile, 0, tile.size, c.size, c, s, active)
                _copy_tile(x, tile, base, run, turns, True)
    elif kind == STRING:
        x, z, slot = tables.strings[at]
        first, last = _share(size // 8, part, parts)
        rotate(re, im, 8 * first, 8 * last, x, z, np.cos(half[slot]), np.sin(half[slot]))
    elif part == 0:
        a, b = tables.dense_qubits[at]
        two_qubit(re[:size], im[:size], 1 << a, 1 << b, tables.dense[at])


@_jit
def permute_part(step: Any, tables: Any, back: int, source: Any, target: Any, part: int, parts: int) -> None:
    """One part of a permutation, back = 0, or its inverse, back = 1."""
    lows, highs = tables.lows[step[1], back], tables.highs[step[1], back]
    first, last = _share(highs.size, part, parts)
    for h in range(first, last):
        permute(source, target, h * lows.size, highs[h], lows)


@_jit
def backward_part(
    step: Any,
    tables: Any,
    half: Any,
    table: Any,
    row: int,
    bits: int,
    state: Any,
    slots: int,
    keeps_psi: bool,
    slopes: Any,
    part: int,
    parts: int,
) -> None:
    """Takes one part of a step that is no permutation off psi and lambda; derivatives are added to slopes [slot].

    state: (re, im) of psi and of lambda. slots: those from here on are constants. keeps_psi: psi need not change any
    more, since no step before this one has derivatives.
    """
    kind, at = step[0], step[1]
    pr, pi, gr, gi = state
    size = 1 << bits
    if kind == DIAGONAL:
        diagonal = tables.diagonals[at]
        masks = tables.groups[diagonal[4] : diagonal[5], 0]
        sums = np.empty(row, pr.dtype)
        wanted = False
        for k in range(diagonal[0], diagonal[3]):
            wanted = wanted or tables.zstrings[k, 1] < slots
        shift = 0
        while 1 << shift < row:
            shift += 1
        first, last = _share(size // row, part, parts)
        for h in range(first, last):
            if wanted:
                imaginary_overlap(pr, pi, gr, gi, h * row, sums)
                transform(sums)
                for k in range(diagonal[0], diagonal[3]):
                    mask, slot = tables.zstrings[k, 0], tables.zstrings[k, 1]
                    if slot < slots:
                        value = tables.zsigns[k] * sums[mask & (row - 1)]
                        slopes[slot] += -value if odd(h & (mask >> shift)) else value
            if not keeps_psi:
                apply_phases(pr, pi, h * row, h, table, masks, row, -1.0)
            apply_phases(gr, gi, h * row, h, table, masks, row, -1.0)
    elif kind == TURNS:
        cos, sin, active = _sines(step, tables, half, bits)
        block = _block_bits(size, bits)
        found = np.zeros(bits)
        first, last = _share(size >> block, part, parts)
        for b in range(first, last):
            turn_back(pr, gr, b << block, (b + 1) << block, block, cos, sin, active, found)
            turn_back(pi, gi, b << block, (b + 1) << block, block, cos, sin, active, found)
        for k in range(step[1], step[2]):
            for j in range(tables.turns[k, 1], tables.turns[k, 2]):
                slopes[tables.turn_slots[j]] += found[tables.turns[k, 0]]
    elif kind == FAR_TURNS:
        turns = tables.turns[step[1] : step[2]]
        run = max(6, _TILE_BITS - len(turns))
        cos, sin, _ = _sines(step, tables, half, bits)
        c, s, active = _far(cos, sin, turns, run)
        found = np.zeros(c.size)
        p, g = np.empty(1 << c.size, pr.dtype), np.empty(1 << c.size, pr.dtype)
        first, last = _share(size >> c.size, part, parts)
        for number in range(first, last):
            base = _tile_base(number, run, turns)
            for x, y in ((pr, gr), (pi, gi)):
                _copy_tile(x, p, base, run, turns, False)
                _copy_tile(y, g, base, run, turns, False)
                turn_back(p, g, 0, p.size, c.size, c, s, active, found)
                _copy_tile(x, p, base, run, turns, True)
                _copy_tile(y, g, base, run, turns, True)
        for k in range(len(turns)):
            for j in range(turns[k, 1], turns[k, 2]):
                slopes[tables.turn_slots[j]] += found[run + k]
    elif kind == STRING:
        x, z, slot = tables.strings[at]
        first, last = _share(size // 8, part, parts)
        if slot < slots:
            slopes[slot] += overlap(gr, gi, pr, pi, 8 * first, 8 * last, x, z).imag
    elif part == 0:
        a, b = tables.dense_qubits[at]
        inverse = np.ascontiguousarray(tables.dense[at].conj().T)
        two_qubit(pr[:size], pi[:size], 1 << a, 1 << b, inverse)
        two_qubit(gr[:size], gi[:size], 1 << a, 1 << b, inverse)


@_jit
def string_back_part(
    step: Any, tables: Any, half: Any, bits: int, state: Any, part: int, parts: int
) -> None:
    """Takes one part of a string rotation off psi and lambda, once all parts have their derivatives."""
    x, z, slot = tables.strings[step[1]]
    pr, pi, gr, gi = state
    first, last = _share((1 << bits) // 8, part, parts)
    cos, sin = np.cos(half[slot]), -np.sin(half[slot])
    rotate(pr, pi, 8 * first, 8 * last, x, z, cos, sin)
    rotate(gr, gi, 8 * first, 8 * last, x, z, cos, sin)


@_jit
def expectations_part(
    observables: Any, signs: Any, row: int, bits: int, re: Any, im: Any, out: Any, part: int, parts: int
) -> None:
    """out [string] += one part of <psi| P |psi>; observables [string, 2] are masks x, z."""
    size = 1 << bits
    sums = np.empty(row, re.dtype)
    diagonal = False
    for t in range(len(observables)):
        diagonal = diagonal or observables[t, 0] == 0
    first, last = _share(size // row, part, parts)
    if diagonal:
        for h in range(first, last):
            squared_norms(re, im, h * row, sums)
            transform(sums)
            for t in range(len(observables)):
                if observables[t, 0] == 0:
                    z = observables[t, 1]
                    value = signs[t] * sums[z & (row - 1)]
                    out[t] += -value if odd(h & (z // row)) else value
    for t in range(len(observables)):
        x, z = observables[t]
        if x:
            out[t] += signs[t] * overlap(re, im, re, im, first * row, last * row, x, z).real


@_jit
def observable_part(
    observables: Any, signs: Any, weights: Any, row: int, bits: int, state: Any, part: int, parts: int
) -> None:
    """One part of lambda = sum over strings of weights[string] P |psi>."""
    pr, pi, gr, gi = state
    sums = np.empty(row, pr.dtype)
    first, last = _share((1 << bits) // row, part, parts)
    for h in range(first, last):
        sums[:] = 0.0
        for t in range(len(observables)):
            if observables[t, 0] == 0:
                z = observables[t, 1]
                weight = signs[t] * weights[t]
                sums[z & (row - 1)] += -weight if odd(h & (z // row)) else weight
        transform(sums)
        scaled(pr, pi, gr, gi, h * row, sums)
    for t in range(len(observables)):
        x, z = observables[t]
        if x:
            add_string(pr, pi, gr, gi, first * row, last * row, x, z, signs[t] * weights[t])
