"""One evaluation of a noisy circuit: which passes it takes, in which chunks, and what they leave for each other.

A wanted run is *late* where one backward pass of the whole batch reaches it: nothing behind it differs from row to row.
The backward pass leaves the observables there and the forward pass of every chunk of rows meets them. At an *early* run
it is the other way round: the forward pass leaves its states and each row's own backward pass meets them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.simulators import pauli_slots as kernels
from qtrain.simulators.batches import for_each_chunk
from qtrain.simulators.pauli_code import PauliCode, Sparse

Array = NDArray[np.float64]
Real = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_CACHE_BYTES = 128 * 1024  # a chunk's states should stay in the second-level cache
_FEWEST = 8  # rows of a chunk: one vector register


class Events(NamedTuple):
    """Wanted runs in time order.

    Attributes:
        op: [event] the run's place among the operations.
        size: [event] elements that are left there: of the shared observables, or of one row's state.
        slot_start: [event + 1] into `slots`: its wanted slots.
        slots: [wanted] slots by event.
    """

    op: Integers
    size: Integers
    slot_start: Integers
    slots: Integers


class Maps(NamedTuple):
    """Maps of all runs and responses of the wanted slots for some rows, see pauli_slots.run_maps."""

    map_at: Integers
    map_width: Integers
    maps: Real
    response_at: Integers
    responses: Real


class Evaluation:
    """Expectations, and what shifting the wanted slots does to them.

    Args:
        angles: [batch, slot] rad.
        slots: [k] wanted.
        observables: [digits at the circuit's end, observable].
        precision: "double" or "single": of the coefficients.
        memory_limit: bytes; passes are made again where they would take more.
        weights: [batch, observable]: each row's weighted sum of the observables is its only one, and expectations are
            left out.
    """

    def __init__(
        self,
        code: PauliCode,
        angles: Array,
        slots: NDArray[np.intp],
        observables: Array,
        precision: str,
        memory_limit: int,
        weights: Array | None = None,
    ) -> None:
        self.code, self.angles, self.slots = code, angles, slots
        self.dtype = np.dtype(np.float64 if precision == "double" else np.float32)
        self.observables = np.ascontiguousarray(observables)
        self.memory_limit = memory_limit
        self.copies = 1 if weights is not None else observables.shape[1]
        self.num_ops = len(code.kind)
        self.largest = int(code.sizes.max())
        self.twos = _cast(code.twos, self.dtype)
        self.transposed = _cast(code.transposed, self.dtype)
        differs = np.any(angles != angles[:1], axis=0)
        runs = code.run_of[differs & (code.run_of >= 0)]
        self.varies = np.zeros(len(code.runs.op), dtype=np.bool_)
        self.varies[runs] = True
        # the cut down to which one backward pass serves all rows; behind the end if none does
        self.shared_to = int(code.runs.op[runs].max()) + 1 if len(runs) else 0
        self.wants_values = weights is None
        self.weights = weights
        if weights is not None and len(angles) == 1:
            self.observables, self.weights = self.observables @ weights[0][:, None], None
        elif weights is not None:
            self.shared_to = self.num_ops + 1
        self.order, self.events = self._events()
        if len(angles) == 1 and self.events.size.sum() * self.dtype.itemsize > memory_limit // 4:
            self.shared_to = self.num_ops + 1  # states take less than observables
            self.order, self.events = self._events()
        self.early = int(np.searchsorted(self.events.op, self.shared_to - 1))

    def _events(self) -> tuple[NDArray[np.intp], Events]:
        """The order of the wanted slots, by event, and the events."""
        code = self.code
        runs = code.run_of[self.slots]
        ops = np.where(runs >= 0, code.runs.op[runs], 0)
        answers = (runs >= 0) & (code.shape[ops, 6] > 1)  # a qubit that is traced out right behind does not answer
        order = np.argsort(ops, kind="stable")
        order = order[answers[order]]
        op, first = np.unique(ops[order], return_index=True)
        shape = code.shape[op]
        observables = shape[:, 0] * shape[:, 2] * (shape[:, 6] - 1) * self.copies
        size = np.where(op + 1 >= self.shared_to, observables, code.sizes[op]).astype(np.int64)
        slot_start = np.append(first, len(order)).astype(np.int64)
        return order, Events(op.astype(np.int64), size, slot_start, self.slots[order].astype(np.int64))

    def run(self) -> tuple[Array, Array, Array]:
        """Expectations [batch, observable], cosine and sine [batch, wanted slot, observable], as in pauli.Shifts."""
        batch, k, m = len(self.angles), len(self.slots), self.copies
        values = np.zeros((batch, m))
        cosine, sine = np.zeros((batch, k, m)), np.zeros((batch, k, m))
        if self.early and batch > 1 and self._row_bytes(early=True) > self.memory_limit // 4:
            for row in range(batch):  # alone, no row differs from another
                weights = None if self.weights is None else self.weights[row : row + 1]
                single = Evaluation(
                    self.code,
                    self.angles[row : row + 1],
                    self.slots,
                    self.observables,
                    "double" if self.dtype == np.float64 else "single",
                    self.memory_limit,
                    weights,
                )
                for whole, part in zip((values, cosine, sine), single.run()):
                    whole[row] = part[0]
            return values, cosine, sine
        pulled = self._late(values, cosine, sine)
        if self.early:
            self._early(pulled, cosine, sine)
        return values, cosine, sine

    def _row_bytes(self, *, early: bool) -> int:
        """Of one row in a chunk: states going forward; its observables and, of one event at least, states kept."""
        states = 3 * self.largest
        if early:
            states += 2 * self.copies * self.largest + int(self.events.size[: self.early].max())
        return states * self.dtype.itemsize

    def _for_each_chunk(self, work: Any, *, early: bool) -> None:
        row = self._row_bytes(early=early)
        width = max(_FEWEST, _CACHE_BYTES // (self.dtype.itemsize * self.largest))
        width = max(1, min(len(self.angles), width, self.memory_limit // 4 // row))
        operations = 2.0 * len(self.angles) * float(self.code.sizes.sum())
        for_each_chunk(work, len(self.angles), width, operations, memory=width * row)

    def _late(self, values: Array, cosine: Array, sine: Array) -> Real:
        """All late events and the expectations. Returns the shared observables at the cut down to which they are."""
        events, m = self.events, self.copies
        shared = self._maps(slice(0, 1), np.zeros_like(self.varies))
        cut, pulled = self.num_ops, self.observables.astype(self.dtype).reshape(-1)
        if self.weights is not None:
            return pulled
        wants_values = self.wants_values
        for first, last in self._groups(self.early, len(events.op), 1) or [(self.early, self.early)]:
            size = events.size[first:last]
            history = np.empty(int(size.sum()), dtype=self.dtype)
            at = np.cumsum(size) - size
            stop = int(events.op[first]) + 1 if last > first else self.num_ops
            if first == self.early and self.early:
                stop = min(self.shared_to, self.num_ops)
            pulled = self._backward(pulled, m, 1, cut, stop, (first, last), at, shared, history, write=True)
            cut = stop
            through = self.num_ops if wants_values else int(events.op[last - 1])

            def work(rows: slice, first: int = first, last: int = last, at: Integers = at, through: int = through,
                     history: Real = history, wants_values: bool = wants_values) -> None:  # fmt: skip
                maps = self._maps(rows, self.varies)
                state, (c, s) = self._forward(rows, through, (first, last), at, maps, history, meet=True)
                if wants_values:
                    values[rows] = state.reshape(-1, rows.stop - rows.start).T @ self.observables
                self._put(rows, first, last, c, s, cosine, sine)

            if last > first or wants_values:
                self._for_each_chunk(work, early=False)
            wants_values = False
        return pulled

    def _early(self, pulled: Real, cosine: Array, sine: Array) -> None:
        """All early events, by backward passes of each row's own from the cut where the shared observables end."""
        m = self.copies

        def work(rows: slice) -> None:
            columns = rows.stop - rows.start
            maps = self._maps(rows, self.varies)
            if self.weights is not None:
                own = (self.observables @ self.weights[rows].T).astype(self.dtype).reshape(-1)
            else:
                own = np.repeat(pulled, columns)
            cut = min(self.shared_to, self.num_ops)
            for first, last in self._groups(0, self.early, columns):
                size = self.events.size[first:last] * columns
                kept = np.empty(int(size.sum()), dtype=self.dtype)
                at = np.cumsum(size) - size
                self._forward(rows, int(self.events.op[last - 1]), (first, last), at, maps, kept, meet=False)
                stop = int(self.events.op[first]) + 1
                slots = slice(self.events.slot_start[first], self.events.slot_start[last])
                c = np.zeros((slots.stop - slots.start, m, columns), dtype=self.dtype)
                s = np.zeros_like(c)
                own = self._backward(own, m, columns, cut, stop, (first, last), at, maps, kept, c, s, write=False)
                self._put(rows, first, last, c, s, cosine, sine)
                cut = stop

        self._for_each_chunk(work, early=True)

    def _groups(self, first: int, last: int, columns: int) -> list[tuple[int, int]]:
        """Events first ... last - 1, split from the last to the first so that what they leave fits a quarter."""
        limit = self.memory_limit // 4 // self.dtype.itemsize // columns
        groups: list[tuple[int, int]] = []
        stop = last
        total = 0
        for event in range(last - 1, first - 1, -1):
            total += int(self.events.size[event])
            if total > limit and event + 1 < stop:
                groups.append((event + 1, stop))
                stop, total = event + 1, int(self.events.size[event])
        return [*groups, (first, stop)] if last > first else groups

    def _forward(
        self, rows: slice, through: int, events: tuple[int, int], at: Integers, maps: Maps, left: Real, *, meet: bool
    ) -> tuple[Real, tuple[Real, Real]]:
        """Operations up to `through`. Returns the state [digit, row], flat, and cosine and sine [slot, copy, row]."""
        code, (first, last) = self.code, events
        columns = rows.stop - rows.start
        slots = slice(self.events.slot_start[first], self.events.slot_start[last])
        cosine = np.zeros((slots.stop - slots.start if meet else 0, self.copies, columns), dtype=self.dtype)
        sine = np.zeros_like(cosine)
        size = int(code.sizes[: through + 1].max()) * columns
        source, target = np.empty(size, dtype=self.dtype), np.empty(size, dtype=self.dtype)
        source[:columns] = 1.0
        moved = kernels.forward(
            source,
            target,
            self.copies,
            columns,
            through,
            *(code.kind, code.number, code.shape, code.sizes, *self.twos, code.runs.before, code.runs.after),
            *maps,
            *(self.events.op[first:last], at, self.events.slot_start[first : last + 1], self.events.slots),
            meet,
            left,
            cosine,
            sine,
        )
        return (target if moved else source)[: int(code.sizes[through]) * columns], (cosine, sine)

    def _backward(
        self,
        observables: Real,
        copies: int,
        columns: int,
        start: int,
        stop: int,
        events: tuple[int, int],
        at: Integers,
        maps: Maps,
        left: Real,
        cosine: Real | None = None,
        sine: Real | None = None,
        *,
        write: bool,
    ) -> Real:
        """Observables at the cut `start` pulled back to the cut `stop`, flat."""
        code, (first, last) = self.code, events
        size = int(code.sizes[stop : start + 1].max()) * copies * columns
        source, target = np.empty(size, dtype=self.dtype), np.empty(size, dtype=self.dtype)
        source[: observables.size] = observables
        nothing = np.empty((0, 0, 0), dtype=self.dtype)
        moved = kernels.backward(
            source,
            target,
            copies,
            columns,
            start,
            stop,
            *(code.kind, code.number, code.shape, code.sizes, *self.transposed, code.runs.before, code.runs.after),
            *maps,
            *(self.events.op[first:last], at, self.events.slot_start[first : last + 1], self.events.slots),
            write,
            left,
            nothing if cosine is None else cosine,
            nothing if sine is None else sine,
        )
        return (target if moved else source)[: int(code.sizes[stop]) * copies * columns]

    def _put(self, rows: slice, first: int, last: int, c: Real, s: Real, cosine: Array, sine: Array) -> None:
        """Results [slot, copy, row] of some events into [row, slot, copy]."""
        own = self.order[self.events.slot_start[first] : self.events.slot_start[last]]
        cosine[rows, own] = c.transpose(2, 0, 1)
        sine[rows, own] = s.transpose(2, 0, 1)

    def _maps(self, rows: slice, varies: Mask) -> Maps:
        code, wanted = self.code, self.events.slots
        turned = np.ascontiguousarray(self.angles[rows].T)
        width = np.where(varies, turned.shape[1], 1).astype(np.int64)
        map_at = 16 * (np.cumsum(width) - width)
        own = width[code.run_of[wanted]]
        response_at = np.full(len(turned), -1, dtype=np.int64)
        response_at[wanted] = 32 * (np.cumsum(own) - own)
        maps, responses = np.empty(16 * int(width.sum())), np.empty(32 * int(own.sum()))
        runs = code.runs
        kernels.run_maps(
            *(runs.start, runs.fixed, runs.slot, runs.ones, np.cos(turned), np.sin(turned)),
            *(map_at, width, response_at, maps, responses),
        )
        cast = (array.astype(self.dtype, copy=False) for array in (maps, responses))
        return Maps(map_at, width, next(cast), response_at, next(cast))


def _cast(sparse: Sparse, dtype: np.dtype[Any]) -> tuple[Integers, Integers, Real]:
    return sparse.indptr, sparse.indices, sparse.values.astype(dtype, copy=False)
