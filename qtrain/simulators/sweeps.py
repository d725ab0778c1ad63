"""Large state vectors by cache-blocked sweeps: expectations, amplitudes, and every derivative.

A program is rewritten into layers first (layers.py). Memory: six real vectors of 2^n a thread, and psi of each row
until its derivatives are taken; rows beyond `KEPT_BYTES` are run forward again instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.simulators import product_kernels, sweep_rows
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk
from qtrain.simulators.sweep_code import FEWEST_QUBITS, Code, code
from qtrain.simulators.sweep_steps import DIAGONAL, FAR_TURNS, OVERLAP, TURNS

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
FROM_QUBITS = 9  # from here on faster than the kernels whose inner loop runs over the batch
KEPT_BYTES = MEMORY_LIMIT  # states of a batch that wait for their derivatives
_MOST_BYTES = 8 * MEMORY_LIMIT  # vectors of one row
_DTYPE = {"double": np.float64, "single": np.float32}
_PADDING = 272  # elements between vectors, so that equal indices do not share a cache set
_PLANES = 6
_PART_BITS = 17  # from here on a step is cut into parts
_TILE = 2**13  # numbers of a copied tile


class _Job(NamedTuple):
    """What a call needs to sweep rows.

    Attributes:
        half: [batch, slot] half the angles, fixed gates' included.
        angles: half the strings' angles, cos and sin of the turns' [batch, ...].
        fresh: [step] whether it is a diagonal whose phases differ between rows.
        singles: [batch, qubit, 2] states to begin with.
    """

    made: Code
    bits: int
    slots: int
    dtype: Any
    half: Array
    angles: tuple[Array, Array, Array]
    fresh: NDArray[np.bool_]
    singles: NDArray[np.complex128]

    @property
    def size(self) -> int:
        return 1 << self.bits

    @property
    def row(self) -> int:
        """Amplitudes of a row."""
        return 1 << self.made.row_bits

    @property
    def parts(self) -> int:
        """Parts that a step is cut into; never a matter of threads."""
        return 1 << min(max(self.bits - _PART_BITS, 0), 4)

    @property
    def state_bytes(self) -> int:
        return int(2 * np.dtype(self.dtype).itemsize) << self.bits

    def rows(self, rows: slice) -> _Job:
        """The same for some rows."""
        half, cos, sin = self.angles
        return self._replace(
            half=self.half[rows], angles=(half[rows], cos[rows], sin[rows]), singles=self.singles[rows]
        )

    def states(self) -> NDArray[Any]:
        """Room for a state of each row."""
        return np.empty((len(self.half), 2, self.size), dtype=self.dtype)

    def workspace(self, planes: int) -> tuple[NDArray[Any], ...]:
        """Planes, their order, phase tables, scratch memory and the trees of product states, for one thread."""
        low = 1 << self.bits // 2
        return (
            _aligned(planes, self.size + _PADDING, self.dtype),
            np.arange(planes),
            _aligned(2, self.made.phases, self.dtype),
            _aligned(2, max(self.row, _TILE), self.dtype),
            np.empty(2 * low + 2 * self.size // low, dtype=np.complex128),
        )

    def each_chunk(self, work: Callable[[slice], None]) -> None:
        """Rows in chunks, on threads where that pays."""
        batch = len(self.half)
        width = max(1, min(-(-batch // 8), 2**14 >> self.bits))
        effort = 20.0 * (self.bits + len(self.made.columns.turns)) * batch * self.size
        for_each_chunk(work, batch, width, effort, _PLANES / 2 * self.state_bytes)


def _aligned(rows: int, columns: int, dtype: Any) -> NDArray[Any]:
    """[rows, columns], every row at a cache line."""
    size = np.dtype(dtype).itemsize
    width = -(-columns * size // 64) * 64
    raw = np.empty(rows * width + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + rows * width].view(dtype).reshape(rows, -1)


def _job(program: Program, angles: Array, precision: str) -> _Job:
    n = program.num_qubits
    dtype = _DTYPE[precision]
    needed = 1.0 * _PLANES * np.dtype(dtype).itemsize * 2.0**n
    if n < FEWEST_QUBITS or needed > _MOST_BYTES:
        raise ModelError(
            f"derivatives of a state vector of {n} qubits take {needed:.3g} bytes. "
            f"Expected {FEWEST_QUBITS} qubits or more, and at most {_MOST_BYTES:.3g} bytes; use fewer qubits."
        )
    made = code(program)
    constants = np.broadcast_to(made.constants, (len(angles), made.constants.size))
    half = np.hstack([angles, constants]) / 2
    columns = made.columns
    places = np.zeros((len(angles), columns.places))
    np.add.at(places.T, columns.turns[:, 1], half.T[columns.turns[:, 0]])
    varies = np.any(half != half[:1], axis=0)[columns.strings]
    steps = made.tables.steps
    fresh = np.array([s[0] == DIAGONAL and bool(varies[s[1] : s[4]].any()) for s in steps], dtype=np.bool_)
    singles = np.empty((len(angles), n, 2), dtype=np.complex128)
    product_kernels.single_states(*made.starts, half, singles)
    mine = half[:, columns.strings] * columns.signs, np.cos(places), np.sin(places)
    return _Job(made, n, program.num_slots, dtype, half, mine, fresh, singles)


def _forward(job: _Job, kept: NDArray[Any], steps: int) -> Array:
    """[batch, string]; kept takes the states after `steps` steps, where it has rows."""
    made = job.made
    values = np.zeros((len(job.half), job.parts, len(made.observables)))

    def work(rows: slice) -> None:
        part = job.rows(rows)
        sweep_rows.forward_rows(
            made.tables,
            steps,
            part.angles,
            job.fresh,
            part.singles,
            job.row,
            job.size,
            job.workspace(_PLANES // 2),
            job.parts,
            made.observables,
            kept[rows],
            values[rows],
        )

    job.each_chunk(work)
    found: Array = values.sum(axis=1)
    return found


def _sloped(job: _Job) -> NDArray[np.bool_]:
    """[step] whether derivatives are wanted of it."""
    made = job.made
    turned = np.zeros(made.columns.places + 1, dtype=np.bool_)
    turned[made.columns.turns[made.columns.turns[:, 0] < job.slots, 1]] = True
    strings = made.columns.strings < job.slots
    out = np.zeros(len(made.tables.steps), dtype=np.bool_)
    for number, step in enumerate(made.tables.steps[: made.body]):
        if step[0] == DIAGONAL:
            out[number] = strings[step[1] : step[4]].any()
        elif step[0] in (TURNS, FAR_TURNS):
            out[number] = turned[step[2] : step[2] + int(step[3]).bit_length()].any()
        else:
            out[number] = step[0] == OVERLAP
    return out


def _backward(job: _Job, kept: NDArray[Any], weights: Array) -> Array:
    """[batch, slot] from the states after the body and weights [batch, string]."""
    made, batch = job.made, len(job.half)
    sloped = _sloped(job)
    needed = int(np.argmax(sloped)) if sloped.any() else made.body
    low = 1 << job.bits // 2
    strings = np.zeros((batch, job.parts, len(made.columns.strings)))
    turns = np.zeros((batch, job.parts, made.columns.places))
    over_high = np.zeros((batch, job.parts, low), dtype=np.complex128)
    over_low = np.empty((batch, job.size // low), dtype=np.complex128)

    def work(rows: slice) -> None:
        part = job.rows(rows)
        sweep_rows.backward_rows(
            made.tables,
            made.body,
            sloped,
            needed,
            part.angles,
            job.fresh,
            part.singles,
            job.row,
            job.size,
            job.workspace(_PLANES),
            job.parts,
            made.observables,
            kept[rows],
            weights[rows],
            (strings[rows], turns[rows], over_high[rows], over_low[rows]),
        )

    job.each_chunk(work)
    slopes = np.zeros(job.half.shape)
    product_kernels.start_slopes(over_high.sum(axis=1), over_low, job.singles, *made.starts, job.half, slopes)
    np.add.at(slopes.T, made.columns.strings, (strings.sum(axis=1) * made.columns.signs).T)
    np.add.at(slopes.T, made.columns.turns[:, 0], turns.sum(axis=1).T[made.columns.turns[:, 1]])
    return slopes[:, : job.slots]


class BatchPullback:
    """A batch after its forward pass, and the way back.

    The forward pass is not run again where the batch's states fit `KEPT_BYTES`.

    Args:
        angles: [batch, slot] rad.
        precision: "double" or "single".

    Attributes:
        strings: [batch, string] expectations of the strings of `program.measurement`.

    Raises: ModelError: fewer or more qubits than sweeps hold; a reset behind other gates.
    """

    def __init__(self, program: Program, angles: Array, precision: str = "double") -> None:
        self._job = _job(program, angles, precision)
        self._held = len(angles) * self._job.state_bytes <= KEPT_BYTES
        self._kept = (self._job if self._held else self._job.rows(slice(0, 0))).states()
        self.strings = _forward(self._job, self._kept, self._job.made.body)

    def slopes(self, weights: Array) -> Array:
        """[batch, slot]: derivatives of the sum over strings of weights * strings, weights [batch, string]."""
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        if self._held:
            return _backward(self._job, self._kept, weights)
        out = []
        at_once = max(1, KEPT_BYTES // self._job.state_bytes)
        for start in range(0, len(weights), at_once):
            rows = slice(start, start + at_once)
            part = self._job.rows(rows)
            states = part.states()
            _forward(part, states, part.made.body)
            out.append(_backward(part, states, weights[rows]))
        return np.concatenate(out)

    def gradient(self, weights: Array) -> Array:
        """[slot]: the same, summed over the batch."""
        total: Array = self.slopes(weights).sum(axis=0)
        return total


def string_expectations(program: Program, angles: Array, precision: str = "double") -> Array:
    """[batch, string]: noise-free expectations of the strings of `program.measurement`. Raises: as `BatchPullback`."""
    job = _job(program, angles, precision)
    return _forward(job, job.rows(slice(0, 0)).states(), job.made.body)


def amplitudes(program: Program, angles: Array, precision: str = "double") -> NDArray[Any]:
    """[batch, 2^n] amplitudes; qubit 0 is the least significant bit. Raises: as `BatchPullback`."""
    job = _job(program, angles, precision)
    states = job.states()
    _forward(job, states, len(job.made.tables.steps))
    turned: NDArray[Any] = (states[:, 0] + 1j * states[:, 1]) * np.exp(1j * job.made.phase)
    return turned


def adjoint(program: Program, angles: Array, cotangent: Array, precision: str = "double") -> Array:
    """[batch, slot]: derivative of sum over observables of cotangent * E, cotangent [batch, observable]; exact.

    Raises: as `BatchPullback`.
    """
    return BatchPullback(program, angles, precision).slopes(cotangent @ program.measurement.coefficients)
