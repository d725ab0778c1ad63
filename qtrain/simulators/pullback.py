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
KEPT_BYTES = MEMORY_LIMIT  # states of a batch that wait for their derivatives; beyond, they are made again
DTYPES = {"double": np.float64, "single": np.float32}


_PASSES_OVER_PRODUCTS = 16.0
"""Multiplications of passes that take as long as a row's products with one column of a unitary, there and back."""


class _Prepared(NamedTuple):
    """What calls for a program have in common.

    Attributes:
        stages: of the program; `masks` [string, 2] of what it measures.
        segments: [segment, 3] first, end, 0.
        pays_from: [segment] rows from which one unitary for all rows is cheaper than passes over them.
        least: of `pays_from`; infinite where there is no segment.
        cost: multiplications an amplitude and row.
    """

    stages: Stages
    masks: NDArray[np.int64]
    segments: NDArray[np.int64]
    pays_from: Array
    least: float
    cost: float

    def chosen(self, batch: int) -> tuple[NDArray[np.int64], bool]:
        """[segment, 3]: first, end, whether to multiply by its unitary; and whether any is."""
        if batch <= self.least:
            return self.segments, False
        chosen = self.segments.copy()
        chosen[:, 2] = self.pays_from < batch
        return chosen, True


_prepared: WeakKeyDictionary[Program, dict[str, _Prepared]] = WeakKeyDictionary()


def _preparation(program: Program, dtype: np.dtype[Any]) -> _Prepared:
    known = _prepared.setdefault(program, {})
    if dtype.char not in known:
        made = stages(program, program.feature_slots, (program.A != 0).any(axis=1), dtype)
        segments = np.array([(s.first, s.end, 0) for s in made.segments], dtype=np.int64).reshape(-1, 3)
        dimension = 2.0**program.num_qubits
        pays_from = np.full(len(segments), np.inf)
        for i, segment in enumerate(made.segments):
            saved = segment.cost - _PASSES_OVER_PRODUCTS * dimension  # a row, less what the basis states cost once
            if segment.shared and saved > 0:
                pays_from[i] = segment.cost * dimension / saved
        cost = sum(segment.cost for segment in made.segments)
        known[dtype.char] = _Prepared(
            made, measured_masks(program.measurement), segments, pays_from, pays_from.min(initial=np.inf), cost
        )
    return known[dtype.char]


class WeightPullback:
    """A batch after its forward pass.

    Args:
        shared: [slot] rad, of the slots that no feature enters; anything elsewhere.
        varying: [feature slot, batch] rad, of those that one does.
        precision: "double" or "single": of the states.

    Attributes:
        strings: [batch, string] expectations.
        multiplies: whether a segment was turned into one unitary for the whole batch.
    """

    def __init__(self, program: Program, shared: Array, varying: Array, precision: str = "double") -> None:
        dtype = np.dtype(DTYPES[precision])
        self._prepared = _preparation(program, dtype)
        self._batch, dimension = varying.shape[1], 2**program.num_qubits
        self._segments, self.multiplies = self._prepared.chosen(self._batch)
        half = np.concatenate([shared, varying.reshape(-1)]) * 0.5
        self._trigonometry = [
            (values[: len(shared)], values[len(shared) :].reshape(varying.shape))
            for values in (np.cos(half).astype(dtype, copy=False), np.sin(half).astype(dtype, copy=False))
        ]
        self._unitaries = np.empty((len(self._segments) if self.multiplies else 0, 2, dimension, dimension), dtype)
        self._whole = self._turns(slice(0, self._batch))
        if self.multiplies:
            kernels.shared_unitaries(self._prepared.stages.code, self._whole, self._segments, self._unitaries)
        self._effort = self._prepared.cost * self._batch * dimension
        self._width = row_width(program.num_qubits, self._batch, 3 * dtype.itemsize * 2)
        kept = 2 * dtype.itemsize * dimension * self._batch
        self._states: dict[int, NDArray[Any]] | None = {} if kept <= KEPT_BYTES else None
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
        made = self._prepared.stages
        if not parts:
            return np.zeros(len(made.row_of))
        first, *others = sorted(parts)
        overlaps, total = parts[first]
        for start in others:
            overlaps += parts[start][0]
            total += parts[start][1]
        if self.multiplies:
            kernels.shared_gradient(
                made.code, self._whole, self._segments, made.needed, self._unitaries.copy(), overlaps, total
            )
        slots: Array = total[:, 0].astype(np.float64)
        return slots

    def _turns(self, rows: slice) -> tuple[NDArray[Any], ...]:
        (shared_cos, cos), (shared_sin, sin) = self._trigonometry
        if rows.stop - rows.start < self._batch:
            cos, sin = np.ascontiguousarray(cos[:, rows]), np.ascontiguousarray(sin[:, rows])
        return shared_cos, shared_sin, self._prepared.stages.row_of, cos, sin

    def _state(self, rows: slice) -> tuple[NDArray[Any], NDArray[Any]]:
        """The chunk's state behind the circuit, and its expectations [string, column]."""
        made, masks = self._prepared.stages, self._prepared.masks
        columns = rows.stop - rows.start
        state = np.empty((2, self._unitaries.shape[2] * columns), self._unitaries.dtype)
        values = np.empty((len(masks), columns), state.dtype)
        kernels.forward(
            state,
            columns,
            made.code,
            self._turns(rows),
            made.num_qubits,
            self._segments,
            self._unitaries,
            masks,
            values,
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
        overlaps = np.zeros(self._unitaries.shape, state.dtype)
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
