"""Expectations of a batch, then the derivatives of any loss of them, without going forward a second time.

Nothing is kept for a row that only a sum over the batch needs; what the rows share is done once for all of them
(segments_kernels.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from qtrain.simulators import segments_kernels as kernels
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk, row_width
from qtrain.simulators.stages import Stages, stages
from qtrain.simulators.strings import measured_masks

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]


class _Prepared(NamedTuple):
    """What calls for a program have in common: its stages, the strings, and segments [segment, 2] with their costs."""

    stages: Stages
    masks: NDArray[np.int64]
    bounds: NDArray[np.int64]
    costs: Array

    def segments(self, dimension: int, batch: int) -> NDArray[np.int64]:
        """[segment, 3]: first, end, and whether one unitary for all rows is cheaper than the passes over them."""
        out = np.zeros((len(self.bounds), 3), dtype=np.int64)
        out[:, :2] = self.bounds
        if batch > dimension:
            out[:, 2] = self.costs * (batch - dimension) > 8.0 * dimension * batch
        return out


_prepared: WeakKeyDictionary[Program, dict[str, _Prepared]] = WeakKeyDictionary()


def _preparation(program: Program, dtype: np.dtype[Any]) -> _Prepared:
    known = _prepared.setdefault(program, {})
    if dtype.char not in known:
        made = stages(program, program.feature_slots, (program.A != 0).any(axis=1), dtype)
        bounds = np.array([(s.first, s.end) for s in made.segments], dtype=np.int64).reshape(-1, 2)
        costs = np.array([s.cost if s.shared else 0.0 for s in made.segments])
        known[dtype.char] = _Prepared(made, measured_masks(program.measurement), bounds, costs)
    return known[dtype.char]


class WeightPullback:
    """A batch after its forward pass.

    Args:
        shared: [slot] rad, of the slots that no feature enters; anything elsewhere.
        varying: [feature slot, batch] rad, of those that one does.
        dtype: float64 or float32: of states and of the results' precision.

    Attributes:
        strings: [batch, string] expectations.
    """

    def __init__(self, program: Program, shared: Array, varying: Array, dtype: Any = np.float64) -> None:
        dtype = np.dtype(dtype)
        self._prepared = _preparation(program, dtype)
        self._batch, dimension = varying.shape[1], 2**program.num_qubits
        self._segments = self._prepared.segments(dimension, self._batch)
        self._cosines = [np.cos(half).astype(dtype, copy=False) for half in (shared / 2, varying / 2)]
        self._sines = [np.sin(half).astype(dtype, copy=False) for half in (shared / 2, varying / 2)]
        self._unitaries = np.empty((len(self._segments), 2, dimension, dimension), dtype)
        if self._segments[:, 2].any():
            turns = self._turns(slice(0, self._batch))
            kernels.shared_unitaries(self._prepared.stages.code, turns, self._segments, self._unitaries)
        self._effort = float(self._prepared.costs.sum()) * self._batch * dimension
        self._width = row_width(program.num_qubits, self._batch, 3 * dtype.itemsize * 2)
        kept = 2 * dtype.itemsize * dimension * self._batch
        self._states: dict[int, NDArray[Any]] | None = {} if kept <= MEMORY_LIMIT else None
        self.strings: Array = np.empty((self._batch, len(self._prepared.masks)))
        for_each_chunk(self._forward, self._batch, self._width, self._effort)

    def gradient(self, cotangent: Array) -> Array:
        """[slot]: derivatives of the sum of cotangent * strings, summed over the batch; 0 where no weight enters.

        Args:
            cotangent: [batch, string].
        """
        parts: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}

        def work(rows: slice) -> None:
            parts[rows.start] = self._backward(rows, cotangent)

        for_each_chunk(work, self._batch, self._width, 3 * self._effort)
        overlaps, total = (sum(parts[start][k] for start in sorted(parts)) for k in range(2))
        if self._segments[:, 2].any():
            code, needed = self._prepared.stages.code, self._prepared.stages.needed
            turns = self._turns(slice(0, self._batch))
            kernels.shared_gradient(code, turns, self._segments, needed, self._unitaries.copy(), overlaps, total)
        slots: Array = np.asarray(total, dtype=np.float64)[:, 0]
        return slots

    def _turns(self, rows: slice) -> tuple[NDArray[Any], ...]:
        cos, sin = self._cosines[1], self._sines[1]
        if rows.stop - rows.start < self._batch:
            cos, sin = np.ascontiguousarray(cos[:, rows]), np.ascontiguousarray(sin[:, rows])
        return self._cosines[0], self._sines[0], self._prepared.stages.row_of, cos, sin

    def _state(self, rows: slice) -> tuple[NDArray[Any], NDArray[Any]]:
        """The chunk's state behind the circuit, and its expectations [string, column]."""
        made, masks = self._prepared.stages, self._prepared.masks
        columns = rows.stop - rows.start
        state = np.empty((2, self._unitaries.shape[2] * columns), self._unitaries.dtype)
        values = np.empty((len(masks), columns), state.dtype)
        kernels.forward(
            state, columns, made.code, self._turns(rows), made.starts, self._segments, self._unitaries, masks, values
        )
        return state, values

    def _forward(self, rows: slice) -> None:
        state, values = self._state(rows)
        self.strings[rows] = values.T
        if self._states is not None:
            self._states[rows.start] = state

    def _backward(self, rows: slice, cotangent: Array) -> tuple[NDArray[Any], NDArray[Any]]:
        made = self._prepared.stages
        state = self._state(rows)[0] if self._states is None else self._states[rows.start].copy()
        overlaps = np.zeros_like(self._unitaries)
        gradient = np.zeros((len(made.row_of), 1), state.dtype)
        kernels.backward(
            state,
            rows.stop - rows.start,
            made.code,
            self._turns(rows),
            self._segments,
            made.needed,
            self._unitaries,
            self._prepared.masks,
            np.ascontiguousarray(cotangent[rows].T, dtype=state.dtype),
            overlaps,
            gradient,
        )
        return overlaps, gradient
