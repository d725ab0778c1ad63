"""numba kernels that meet states with pulled-back observables at the runs whose slots are wanted.

With r the state before a run and o the observables behind it, all that the run's angles can do to the expectations is
in C[a, b] = sum of o_a r_b over the other qubits: E(angle + d) = E + cosine (cos d - 1) + sine sin d, where cosine and
sine are sums of C with a response of the run's own, 4 x 4 numbers. So one meeting serves every slot of a run.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.pauli_kernels import U, passes

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def run_maps(
    start: Any,
    fixed: Any,
    slot: Any,
    ones: Any,
    cos: Any,
    sin: Any,
    map_at: Any,
    map_width: Any,
    response_at: Any,
    maps: Any,
    responses: Any,
) -> None:
    """Each run's map, and the responses of the wanted slots.

    cos, sin [slot, row]. maps[map_at[run] :]: [4, 4, map_width[run]]. responses[response_at[slot] :]:
    [2, 4, 4, width of its run], of cosine and sine; -1 where a slot is not wanted.
    """
    widest = 1
    for run in range(map_width.size):
        widest = max(widest, map_width[run])
    spare = np.empty((4, 4, widest))
    for run in range(map_width.size):
        width = map_width[run]
        m = maps[map_at[run] : map_at[run] + 16 * width].reshape(4, 4, width)
        m[:] = 0.0
        for i in range(4):
            m[i, i, :] = 1.0
        wanted = False
        for item in range(start[run], start[run + 1]):
            at = slot[item]
            if at < 0:
                _from_left(ones[fixed[item]], m, spare)
                continue
            for j in range(4):
                for k in range(width):
                    x, y = m[1, j, k], m[2, j, k]
                    m[1, j, k] = cos[at, k] * x - sin[at, k] * y
                    m[2, j, k] = sin[at, k] * x + cos[at, k] * y
            if response_at[at] >= 0:
                wanted = True
                there = responses[response_at[at] : response_at[at] + 32 * width].reshape(2, 4, 4, width)
                there[0, 1:3] = m[1:3]
        if wanted:
            _respond_backwards(start[run], start[run + 1], width, fixed, slot, ones, cos, sin, response_at, responses)


@_jit
def _from_left(one: Any, m: Any, spare: Any) -> None:
    """m = one @ m."""
    width = m.shape[2]
    for i in range(4):
        for j in range(4):
            for k in range(width):
                spare[i, j, k] = (
                    one[i, 0] * m[0, j, k] + one[i, 1] * m[1, j, k] + one[i, 2] * m[2, j, k] + one[i, 3] * m[3, j, k]
                )
    m[:] = spare[:, :, :width]


@_jit
def _respond_backwards(
    first: int,
    stop: int,
    width: int,
    fixed: Any,
    slot: Any,
    ones: Any,
    cos: Any,
    sin: Any,
    response_at: Any,
    responses: Any,
) -> None:
    """Responses of one run; rows X and Y of the map up to each rotation are in its place already."""
    rest = np.zeros((4, 4, width))  # the map of all items behind
    spare = np.empty(4)
    for i in range(4):
        rest[i, i, :] = 1.0
    for item in range(stop - 1, first - 1, -1):
        at = slot[item]
        if at >= 0 and response_at[at] >= 0:
            there = responses[response_at[at] : response_at[at] + 32 * width].reshape(2, 4, 4, width)
            rows = there[0, 1:3].copy()
            for a in range(4):
                for b in range(4):
                    for k in range(width):
                        there[0, a, b, k] = rest[a, 1, k] * rows[0, b, k] + rest[a, 2, k] * rows[1, b, k]
                        there[1, a, b, k] = rest[a, 2, k] * rows[0, b, k] - rest[a, 1, k] * rows[1, b, k]
        for a in range(4):
            for k in range(width):
                if at >= 0:
                    x, y = rest[a, 1, k], rest[a, 2, k]
                    rest[a, 1, k] = cos[at, k] * x + sin[at, k] * y
                    rest[a, 2, k] = cos[at, k] * y - sin[at, k] * x
                else:
                    one = ones[fixed[item]]
                    for b in range(4):
                        spare[b] = (
                            rest[a, 0, k] * one[0, b]
                            + rest[a, 1, k] * one[1, b]
                            + rest[a, 2, k] * one[2, b]
                            + rest[a, 3, k] * one[3, b]
                        )
                    rest[a, :, k] = spare


@_jit
def _gathered(state: Any, outer: Any, inner: Any, present: Any, skipped: Any, width: Any, out: Any, to: Any) -> None:
    """A state [outer, digit, inner, width], but its first digits, as out [other qubits, digit, width] from `to` on."""
    at = U(to)
    for h in range(U(outer)):
        for i in range(U(inner)):
            for d in range(U(skipped), U(present)):
                start = ((h * U(present) + d) * U(inner) + i) * U(width)
                for k in range(U(width)):
                    out[at + k] = state[start + k]
                at += U(width)


@_jit
def _answered(
    meeting: Any, before: Any, num_before: Any, after: Any, num_after: Any, response: Any, cosine: Any, sine: Any
) -> None:
    """One slot's cosine and sine [copy, row] from the meeting [digit behind but I, copy, digit before, row].

    response: [2, 4, 4, row], or one for all rows.
    """
    copies, rows, width = U(cosine.shape[0]), U(cosine.shape[1]), response.shape[3]
    cosine[:] = 0.0
    sine[:] = 0.0
    for a in range(U(1), U(num_after)):
        for b in range(U(num_before)):
            p, q = after[a], before[b]
            c, s = response[0, p, q, 0], response[1, p, q, 0]
            if width == 1 and c == 0.0 and s == 0.0:
                continue
            for m in range(copies):
                if width == 1:
                    for k in range(rows):
                        met = meeting[a - U(1), m, b, k]
                        cosine[m, k] += c * met
                        sine[m, k] += s * met
                else:
                    for k in range(rows):
                        met = meeting[a - U(1), m, b, k]
                        cosine[m, k] += response[0, p, q, k] * met
                        sine[m, k] += response[1, p, q, k] * met


@_jit
def _meet_rows(observables: Any, state: Any, at: Any, outer: Any, inner: Any, meeting: Any) -> None:
    """meeting [digit behind but I, copy, digit before, row] of natural arrays, observables differing from row to row.

    The state begins at place `at`.
    """
    behind, copies = U(meeting.shape[0]), U(meeting.shape[1])
    before, rows = U(meeting.shape[2]), U(meeting.shape[3])
    meeting[:] = 0.0
    for h in range(U(outer)):
        for i in range(U(inner)):
            for a in range(behind):
                for m in range(copies):
                    o = (((h * (behind + U(1)) + a + U(1)) * U(inner) + i) * copies + m) * rows
                    for b in range(before):
                        r = U(at) + ((h * before + b) * U(inner) + i) * rows
                        for k in range(rows):
                            meeting[a, m, b, k] += observables[o + k] * state[r + k]


@_jit
def forward(
    source: Any,
    target: Any,
    copies: int,
    columns: int,
    through: int,
    kind: Any,
    number: Any,
    shape: Any,
    sizes: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    before: Any,
    after: Any,
    map_at: Any,
    map_width: Any,
    maps: Any,
    response_at: Any,
    responses: Any,
    event_op: Any,
    event_at: Any,
    slot_start: Any,
    slots: Any,
    meet: bool,
    left: Any,
    cosine: Any,
    sine: Any,
) -> bool:
    """The operations before `through` on `columns` rows.

    At each event, a wanted run, the state meets the observables that are left there, or is left there itself.
    event_op [event] ascending operations, event_at where theirs begins in `left`; slots[slot_start[event] :] are the
    wanted slots there; cosine, sine [wanted slot, copy, row] in this order.
    Returns: whether the final state is in `target`.
    """
    moved = False
    at = 0
    largest = 0
    for op in event_op:
        largest = max(largest, sizes[op])
    gathered = np.empty(largest * columns if meet else 0, dtype=source.dtype)
    for event in range(event_op.size + 1):
        stop = event_op[event] if event < event_op.size else through
        # fmt: off
        if passes(source, target, 1, columns, at, stop, kind, number, shape, indptr, indices, values,
                  before, after, map_at, map_width, maps):
            source, target = target, source
            moved = not moved
        # fmt: on
        at = stop
        if event == event_op.size:
            break
        size = sizes[stop] * columns
        if not meet:
            left[event_at[event] : event_at[event] + size] = source[:size]
            continue
        present, behind = shape[stop, 4], shape[stop, 6]
        rest = shape[stop, 0] * shape[stop, 2]
        _gathered(source, shape[stop, 0], shape[stop, 2], present, 0, columns, gathered, 0)
        observables = left[event_at[event] : event_at[event] + rest * (behind - 1) * copies].reshape(rest, -1)
        met = np.dot(observables.T, gathered[:size].reshape(rest, present * columns))
        meeting = met.reshape(behind - 1, copies, present, columns)
        for k in range(slot_start[event], slot_start[event + 1]):
            width = map_width[number[stop]]
            response = responses[response_at[slots[k]] : response_at[slots[k]] + 32 * width].reshape(2, 4, 4, width)
            own = k - slot_start[0]
            run = number[stop]
            _answered(meeting, before[run], present, after[run], behind, response, cosine[own], sine[own])
    return moved


@_jit
def backward(
    source: Any,
    target: Any,
    copies: int,
    columns: int,
    start: int,
    stop: int,
    kind: Any,
    number: Any,
    shape: Any,
    sizes: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    before: Any,
    after: Any,
    map_at: Any,
    map_width: Any,
    maps: Any,
    response_at: Any,
    responses: Any,
    event_op: Any,
    event_at: Any,
    slot_start: Any,
    slots: Any,
    write: bool,
    left: Any,
    cosine: Any,
    sine: Any,
) -> bool:
    """Pulls observables back from the cut before operation `start` to that before `stop`.

    At each event on the way the observables behind it are left, or they meet the states that are left there; the rest
    as in `forward`. Returns: whether the pulled-back observables are in `target`.
    """
    moved = False
    at = start
    for event in range(event_op.size - 1, -2, -1):
        to = event_op[event] + 1 if event >= 0 else stop
        # fmt: off
        if to < at and passes(source, target, copies, columns, at, to, kind, number, shape, indptr, indices, values,
                              before, after, map_at, map_width, maps):
            source, target = target, source
            moved = not moved
        # fmt: on
        at = to
        if event < 0:
            break
        op = event_op[event]
        run = number[op]
        outer, inner, present, behind = shape[op, 0], shape[op, 2], shape[op, 4], shape[op, 6]
        if write:
            _gathered(source, outer, inner, behind, 1, copies * columns, left, event_at[event])
            continue
        if columns == 1:
            rest = outer * inner
            observables = np.empty(rest * (behind - 1) * copies, dtype=source.dtype)
            states = np.empty(rest * present, dtype=source.dtype)
            _gathered(source, outer, inner, behind, 1, copies, observables, 0)
            _gathered(left[event_at[event] :], outer, inner, present, 0, 1, states, 0)
            met = np.dot(observables.reshape(rest, -1).T, states.reshape(rest, present))
            meeting = met.reshape(behind - 1, copies, present, 1)
        else:
            meeting = np.empty((behind - 1, copies, present, columns), dtype=source.dtype)
            _meet_rows(source, left, event_at[event], outer, inner, meeting)
        for k in range(slot_start[event], slot_start[event + 1]):
            width = map_width[run]
            response = responses[response_at[slots[k]] : response_at[slots[k]] + 32 * width].reshape(2, 4, 4, width)
            own = k - slot_start[0]
            _answered(meeting, before[run], present, after[run], behind, response, cosine[own], sine[own])
    return moved
