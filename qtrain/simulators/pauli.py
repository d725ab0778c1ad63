"""Density matrices in the Pauli basis: a state of n qubits is a real vector of 4^n coefficients r_P = tr(P rho).

All shifts in two passes: with r the state right behind a rotation and o the observable pulled back to there,
E(angle + d) = E + c (cos d - 1) + s sin d with c = o_X r_X + o_Y r_Y and s = o_Y r_X - o_X r_Y, summed over the other
qubits. One forward pass keeps r behind every wanted slot, one backward (Heisenberg) pass meets it with o; the backward
pass is shared by the whole batch unless data enters behind a wanted slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.noise import NoisyCircuit
from qtrain.simulators import pauli_kernels as kernels
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk
from qtrain.simulators.pauli_code import PauliCode, encode

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MAX_QUBITS = 12
_CACHE_BYTES = 256 * 1024  # a chunk's states should stay in the second-level cache
_HISTORY_BYTES = 64 * 1024**2  # pulled-back observables that wait for their product with the states


class Shifts(NamedTuple):
    """Every shifted expectation of the wanted slots: E + cosine (cos d - 1) + sine sin d.

    Attributes:
        expectations: [batch, observable] without a shift.
        cosine, sine: [batch, slot, observable].
    """

    expectations: Array
    cosine: Array
    sine: Array

    def at(self, shifts: Array) -> Array:
        """[batch, slot, shift, observable] for shifts in rad."""
        values: Array = (
            self.expectations[:, None, None, :]
            + self.cosine[:, :, None, :] * (np.cos(shifts) - 1)[:, None]
            + self.sine[:, :, None, :] * np.sin(shifts)[:, None]
        )
        return values


class _Turns(NamedTuple):
    """cos and sin of the angles [slot, columns], and which slots have one angle for all columns."""

    cos: Array
    sin: Array
    uniform: NDArray[np.bool_]


def check_width(num_qubits: int) -> None:
    """Raises ModelError where a density matrix of that many qubits is out of reach."""
    if num_qubits > MAX_QUBITS:
        raise ModelError(
            f"a density matrix of {num_qubits} qubits takes {8 * 4**num_qubits:,} bytes, several of them are needed. "
            f"Expected at most {MAX_QUBITS} active qubits ({8 * 4**MAX_QUBITS:,} bytes); "
            "use ExactSimulator for a noise-free state vector, or a smaller circuit."
        )


def read_strings(circuit: NoisyCircuit, strings: Sequence[Sequence[int]]) -> Array:
    """[4^n, string] observables: the product of Z over each string's measured qubits, as the noisy readout shows it.

    A qubit whose readout is right with probability 1 - p(1|0) for 0 and 1 - p(0|1) for 1 shows
    ((e0 + e1) / 2) I + ((e0 - e1) / 2) Z, with e0 and e1 the means of what is read.
    """
    position = {q: i for i, q in enumerate(circuit.measured)}
    out = np.zeros((4**circuit.num_qubits, len(strings)))
    for column, string in enumerate(strings):
        entries = np.zeros(1, dtype=np.intp), np.ones(1)
        for qubit in string:
            (zero_0, zero_1), (one_0, one_1) = circuit.confusion[position[qubit]]
            shown_0, shown_1 = zero_0 - zero_1, one_0 - one_1
            where, value = entries
            entries = (
                np.concatenate([where, where + 3 * 4**qubit]),
                np.concatenate([value * (shown_0 + shown_1) / 2, value * (shown_0 - shown_1) / 2]),
            )
        out[entries[0], column] = entries[1]
    return out


def expectations(circuit: NoisyCircuit, angles: Array, observables: Array) -> Array:
    """[batch, observable] for angles [batch, slot] in rad and observables [4^n, observable]."""
    code = encode(circuit, np.ones(angles.shape[1], dtype=np.bool_))
    out = np.empty((len(angles), observables.shape[1]))

    def work(rows: slice) -> None:
        state, _ = _forward(code, angles[rows], np.empty(0, dtype=np.intp))
        out[rows] = state.T @ observables

    _for_each_chunk(work, code, len(angles), 1.0)
    return out


def shifts(circuit: NoisyCircuit, angles: Array, slots: Indices, observables: Array) -> Shifts:
    """All that shifting any one of `slots` can do to the observables.

    Args:
        angles: [batch, slot] rad.
        slots: [k] indices, each at most once.
        observables: [4^n, observable].
    """
    settled = circuit.feature_only
    code = encode(circuit, settled if not settled[slots].any() else np.zeros_like(settled))
    batch, m = len(angles), observables.shape[1]
    result = Shifts(np.empty((batch, m)), np.zeros((batch, len(slots), m)), np.zeros((batch, len(slots), m)))
    shared = code.is_uniform_behind(slots, angles)
    padded = np.zeros((len(observables), -4 * (-m // 4)))  # whole vector registers
    padded[:, :m] = observables
    for group in _groups(code, slots):
        # the backward pass meets the slots from last to first
        order = group[np.argsort(-code.position[slots[group]])]
        ordered = slots[order]

        def work(rows: slice, order: Indices = order, ordered: Indices = ordered) -> None:
            state, stored = _forward(code, angles[rows], ordered)
            result.expectations[rows] = state.T @ observables
            if shared:
                meet = _meet_shared(code, angles[rows.start : rows.start + 1], ordered, padded, stored)
            else:
                meet = _meet_rows(code, angles[rows], ordered, observables, stored)
            for part, cosine, sine in meet:
                result.cosine[rows, order[part]] = cosine[:, :m].transpose(2, 0, 1)
                result.sine[rows, order[part]] = sine[:, :m].transpose(2, 0, 1)

        _for_each_chunk(work, code, batch, 1.0 + len(group) / 2 + (0.0 if shared else 1.5 * m))
    return result


def adjoint(circuit: NoisyCircuit, angles: Array, observables: Array, cotangent: Array) -> Array:
    """[batch, slot]: derivative of sum(cotangent * E) by one backward pass with each row's weighted observable.

    Args:
        observables: [4^n, observable].
        cotangent: [batch, observable].
    """
    code = encode(circuit, np.zeros(angles.shape[1], dtype=np.bool_))
    slots = np.argsort(-code.position)
    out = np.zeros(angles.shape)
    for group in _groups(code, slots):

        def work(rows: slice, ordered: Indices = slots[group]) -> None:
            _, stored = _forward(code, angles[rows], ordered)
            weighted = np.ascontiguousarray(observables @ cotangent[rows].T)
            for part, _, sine in _meet_rows(code, angles[rows], ordered, weighted[:, None, :], stored):
                out[rows, ordered[part]] = sine[:, 0].T

        _for_each_chunk(work, code, len(angles), 3.0 + len(group) / 2)
    return out


def _groups(code: PauliCode, slots: Indices) -> list[Indices]:
    """Positions in `slots`, split so that the states stored for one row fit the memory limit; at least one group."""
    size = max(1, MEMORY_LIMIT // (4 * 4**code.num_qubits))
    return [np.arange(start, min(start + size, len(slots))) for start in range(0, max(len(slots), 1), size)]


def _for_each_chunk(work: Callable[[slice], None], code: PauliCode, batch: int, states: float) -> None:
    """Runs `work` on chunks of the batch; `states` is how many state vectors one row takes."""
    row = 8 * 4**code.num_qubits
    width = min(max(8, _CACHE_BYTES // row), int(MEMORY_LIMIT / 4 / (row * states)))
    width = max(1, min(batch, width))
    effort = 10.0 * (len(code.body.kind) + 1) * batch * 4**code.num_qubits
    for_each_chunk(work, batch, width, effort, memory=width * row * states)


def _turns(angles: Array) -> _Turns:
    transposed = np.ascontiguousarray(angles.T)
    return _Turns(np.cos(transposed), np.sin(transposed), np.all(transposed == transposed[:, :1], axis=1))


def _forward(code: PauliCode, angles: Array, ordered: Indices) -> tuple[Array, Array]:
    """The final state [4^n, rows], and the X and Y halves [slot, 2, 4^(n-1), rows] right behind the `ordered` slots."""
    turns = _turns(angles)
    rows = len(angles)
    stored = np.zeros((len(ordered), 2, 4 ** (code.num_qubits - 1) * rows))
    nowhere = np.full(angles.shape[1], -1, dtype=np.int64)
    bloch = np.zeros((code.num_qubits, 4, rows))
    bloch[:, [0, 3]] = 1.0
    for vector, ops in zip(bloch, code.starts):
        kernels.forward(vector.reshape(-1), rows, *ops, code.ones, *code.twos, *turns, nowhere, stored)
    state = np.empty((4**code.num_qubits, rows))
    kernels.product_state(bloch, state)
    store_at = nowhere.copy()
    store_at[ordered] = np.arange(len(ordered))
    kernels.forward(state.reshape(-1), rows, *code.body, code.ones, *code.twos, *turns, store_at, stored)
    return state, stored.reshape(len(ordered), 2, 4 ** (code.num_qubits - 1), rows)


def _pull_back(
    code: PauliCode, observables: Array, turns: _Turns, ordered: Indices
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Pulls observables [4^n, columns] back; yields slices of `ordered` with their halves [slot, 2, 4^(n-1), columns].

    The buffer of halves is used again for the next slice.
    """
    columns = observables.shape[1]
    present = int(np.count_nonzero(code.position[ordered] >= 0))  # the compiler may have dropped the others
    size = max(1, min(present, _HISTORY_BYTES // (observables.nbytes // 2)))
    halves = np.empty((size, 2, observables.size // 4))
    state = observables.reshape(-1).copy()
    start = len(code.body.kind)
    for first in range(0, present, size):
        part = slice(first, min(first + size, present))
        store_at = np.full(len(code.position), -1, dtype=np.int64)
        store_at[ordered[part]] = np.arange(part.stop - part.start)
        stop = int(code.position[ordered[part.stop - 1]])
        kernels.backward(state, columns, start, stop, *code.body, code.ones, *code.transposed, *turns, store_at, halves)
        start = stop
        yield part, halves[: part.stop - part.start].reshape(-1, 2, observables.shape[0] // 4, columns)


def _meet_shared(
    code: PauliCode, angles: Array, ordered: Indices, observables: Array, stored: Array
) -> Iterator[tuple[slice, Array, Array]]:
    """Slices of the slots with cosine and sine [slot, observable, row]; one backward pass serves every row."""
    for part, pulled in _pull_back(code, observables, _turns(angles), ordered):
        o_x, o_y = pulled[:, 0].transpose(0, 2, 1), pulled[:, 1].transpose(0, 2, 1)
        r_x, r_y = stored[part, 0], stored[part, 1]
        yield part, o_x @ r_x + o_y @ r_y, o_y @ r_x - o_x @ r_y


def _meet_rows(
    code: PauliCode, angles: Array, ordered: Indices, observables: Array, stored: Array
) -> Iterator[tuple[slice, Array, Array]]:
    """The same where each row has a backward pass of its own.

    observables: [4^n, observable], or [4^n, observable, row] where they differ from row to row.
    """
    rows = len(angles)
    if observables.ndim == 2:
        observables = np.repeat(observables[:, :, None], rows, axis=2)
    m = observables.shape[1]
    turns = _turns(angles)
    wide = _Turns(np.tile(turns.cos, m), np.tile(turns.sin, m), turns.uniform)
    for part, pulled in _pull_back(code, observables.reshape(len(observables), -1), wide, ordered):
        cosine, sine = np.empty((len(pulled), m, rows)), np.empty((len(pulled), m, rows))
        for i, halves in enumerate(pulled):
            kernels.combine_columns(halves, stored[part][i], rows, cosine[i], sine[i])
        yield part, cosine, sine
