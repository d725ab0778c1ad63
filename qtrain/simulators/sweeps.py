"""Large state vectors by cache-blocked sweeps: expectations, amplitudes, and every derivative. From 6 qubits on.

A program is rewritten into layers first (layers.py). Memory: five real vectors of 2^n a thread, and psi of each row
until its derivatives are taken; rows beyond `KEPT_BYTES` are run forward again instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.simulators import sweep_rows
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk
from qtrain.simulators.sweep_code import FEWEST_QUBITS, Code, code

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
Pull = Callable[[Array], Array]
MOST_QUBITS = 26
KEPT_BYTES = MEMORY_LIMIT  # states of a batch that wait for their derivatives
_DTYPE = {"double": np.float64, "single": np.float32}
_PADDING = 272  # elements between vectors, so that equal indices do not share a cache set
_PLANES = 5


class _Job(NamedTuple):
    """What a call needs to sweep rows.

    Attributes:
        half: [batch, slot] half the angles, fixed gates' included.
        fresh: [diagonal] whether its phases differ between rows.
        offsets: [diagonal + 1] places of the phase tables.
    """

    program: Program
    made: Code
    half: Array
    fresh: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    dtype: Any

    @property
    def bits(self) -> int:
        return self.program.num_qubits

    @property
    def row(self) -> int:
        """Amplitudes of a row."""
        return 1 << self.made.row_bits

    @property
    def parts(self) -> int:
        """Parts that a step is cut into; never a matter of threads."""
        return 1 << min(max(self.bits - 17, 0), 4)

    @property
    def row_bytes(self) -> int:
        """Of one state."""
        return int(2 * np.dtype(self.dtype).itemsize) << self.bits

    def planes(self) -> NDArray[Any]:
        return _aligned(_PLANES * ((1 << self.bits) + _PADDING), self.dtype).reshape(_PLANES, -1)

    def table(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return _aligned(int(self.offsets[-1]), self.dtype), _aligned(int(self.offsets[-1]), self.dtype)

    def each_chunk(self, work: Callable[[slice], None]) -> None:
        """Rows in chunks, on threads where that pays."""
        batch = len(self.half)
        width = max(1, min(-(-batch // 8), 2**14 >> self.bits)) if self.bits < 14 else 1
        memory = _PLANES / 2 * self.row_bytes
        effort = 20.0 * (1 + len(self.made.tables.turns)) * batch * 2**self.bits
        for_each_chunk(work, batch, width, effort, memory)


def _aligned(count: int, dtype: Any) -> NDArray[Any]:
    """An array that begins at a cache line."""
    size = np.dtype(dtype).itemsize
    raw = np.empty(count * size + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * size].view(dtype)


def _job(program: Program, angles: Array, precision: str) -> _Job:
    n = program.num_qubits
    if not FEWEST_QUBITS <= n <= MOST_QUBITS:
        raise ModelError(
            f"a state vector of {n} qubits cannot be swept, it takes {16.0 * 2.0**n:.3g} bytes. "
            f"Expected {FEWEST_QUBITS} to {MOST_QUBITS} qubits; use fewer qubits."
        )
    made = code(program)
    constants = np.broadcast_to(made.constants, (len(angles), made.constants.size))
    half = np.ascontiguousarray(np.hstack([angles, constants])) / 2
    varies = np.any(half != half[:1], axis=0)
    tables = made.tables
    fresh = np.array([bool(varies[tables.zstrings[d[0] : d[3], 1]].any()) for d in tables.diagonals], dtype=np.bool_)
    row = 1 << made.row_bits
    lengths = [row * (1 + int(d[5] - d[4])) + (2**n // row) for d in tables.diagonals]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return _Job(program, made, half, fresh, offsets, _DTYPE[precision])


def _forward(job: _Job, kept: NDArray[Any], steps: int) -> Array:
    """[batch, string]; kept [batch or 0, 2, 2^n] takes the states after `steps` steps."""
    made = job.made
    values = np.zeros((len(job.half), len(made.signs)))

    def work(rows: slice) -> None:
        sweep_rows.forward_rows(
            made.tables,
            steps,
            job.half[rows],
            job.offsets,
            job.table(),
            job.fresh,
            job.row,
            job.bits,
            job.planes(),
            job.parts,
            made.observables,
            made.signs,
            kept[rows],
            values[rows],
        )

    job.each_chunk(work)
    return values


def _first_slope(made: Code, slots: int) -> int:
    """The first step with a derivative."""
    tables = made.tables
    for number, (kind, first, last) in enumerate(tables.steps[: made.body]):
        if kind == 0:
            d = tables.diagonals[first]
            if np.any(tables.zstrings[d[0] : d[3], 1] < slots):
                return number
        elif kind in (2, 3):
            turned = tables.turn_slots[tables.turns[first, 1] : tables.turns[last - 1, 2]]
            if np.any(turned < slots):
                return number
        elif kind == 4:
            return number
    return made.body


def _backward(job: _Job, kept: NDArray[Any], weights: Array) -> Array:
    """[batch, slot] from the states after the body and weights [batch, string]."""
    made, slots = job.made, job.program.num_slots
    first_slope = _first_slope(made, slots)
    slopes = np.zeros(job.half.shape)

    def work(rows: slice) -> None:
        sweep_rows.backward_rows(
            made.tables,
            made.body,
            first_slope,
            job.half[rows],
            job.offsets,
            job.table(),
            job.fresh,
            job.row,
            job.bits,
            job.planes(),
            job.parts,
            made.observables,
            made.signs,
            kept[rows],
            weights[rows],
            slots,
            slopes[rows],
        )

    job.each_chunk(work)
    return slopes[:, :slots]


def pullback(program: Program, angles: Array, precision: str = "double") -> tuple[Array, Pull]:
    """Expectations of the strings of `program.measurement`, and what pulls their weights back to the angles.

    Args:
        angles: [batch, slot] rad.
        precision: "double" or "single".
    Returns: [batch, string], and pull(weights [batch, string]) -> [batch, slot], the derivative of
        sum(weights * strings). The forward pass is not run again where the batch's states fit `KEPT_BYTES`.
    Raises: ModelError: fewer or more qubits than sweeps hold; a reset behind other gates.
    """
    job = _job(program, angles, precision)
    held = len(angles) * job.row_bytes <= KEPT_BYTES
    kept = np.empty((len(angles) if held else 0, 2, 2**job.bits), dtype=job.dtype)
    values = _forward(job, kept, job.made.body)

    def pull(weights: Array) -> Array:
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        if held:
            return _backward(job, kept, weights)
        out = np.empty((len(angles), program.num_slots))
        at_once = max(1, KEPT_BYTES // job.row_bytes)
        for start in range(0, len(angles), at_once):
            rows = slice(start, start + at_once)
            part = job._replace(half=job.half[rows])
            states = np.empty((len(part.half), 2, 2**job.bits), dtype=job.dtype)
            _forward(part, states, job.made.body)
            out[rows] = _backward(part, states, weights[rows])
        return out

    return values, pull


def string_expectations(program: Program, angles: Array, precision: str = "double") -> Array:
    """[batch, string]: noise-free expectations of the strings of `program.measurement`. Raises: as `pullback`."""
    job = _job(program, angles, precision)
    return _forward(job, np.empty((0, 2, 2**job.bits), dtype=job.dtype), job.made.body)


def amplitudes(program: Program, angles: Array, precision: str = "double") -> NDArray[Any]:
    """[batch, 2^n] amplitudes; qubit 0 is the least significant bit. Raises: as `pullback`."""
    job = _job(program, angles, precision)
    states = np.empty((len(angles), 2, 2**job.bits), dtype=job.dtype)
    _forward(job, states, len(job.made.tables.steps))
    return (states[:, 0] + 1j * states[:, 1]) * np.exp(1j * job.made.phase)
