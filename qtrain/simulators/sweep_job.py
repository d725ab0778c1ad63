"""What one call of the sweeps works on: a program, the angles of a batch, and the memory that a thread needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.simulators import batches, product_kernels
from qtrain.simulators.batches import MEMORY_LIMIT, for_each_chunk
from qtrain.simulators.sweep_code import FEWEST_QUBITS, Code, code
from qtrain.simulators.sweep_steps import DIAGONAL, FAR_TURNS, OVERLAP, TURNS

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
PLANES = 6  # psi, lambda, and a spare of each: see sweep_kernels.py
_MOST_BYTES = 8 * MEMORY_LIMIT  # vectors of one row
_DTYPE = {"double": np.float64, "single": np.float32}
_PADDING = 272  # elements between vectors, so that equal indices do not share a cache set
_PART_BITS = 17  # from here on a step is cut into parts
_TILE = 2**13  # numbers of a copied tile


class Job(NamedTuple):
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
        """Amplitudes of a state."""
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
        """Of one state."""
        return int(2 * np.dtype(self.dtype).itemsize) << self.bits

    def rows(self, rows: slice) -> Job:
        """The same for some rows."""
        half, cos, sin = self.angles
        return self._replace(
            half=self.half[rows], angles=(half[rows], cos[rows], sin[rows]), singles=self.singles[rows]
        )

    @property
    def shared(self) -> bool:
        """Whether threads share a row, since there are fewer rows than threads."""
        return self.parts > 1 and len(self.half) < batches._threads()

    def states(self) -> NDArray[Any]:
        """Room for a state of each row."""
        return np.empty((len(self.half), 2, self.size), dtype=self.dtype)

    def workspace(self, planes: int) -> tuple[NDArray[Any], ...]:
        """Planes, their order, phase tables, scratch memory and the trees of product states, for one thread."""
        return (
            aligned(planes, self.size + _PADDING, self.dtype),
            np.arange(planes),
            aligned(2, self.made.phases, self.dtype),
            *self.scratch(),
        )

    def scratch(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Scratch memory and the trees of product states, for one thread."""
        low = 1 << self.bits // 2
        trees = np.empty(2 * low + 2 * self.size // low, dtype=np.complex128)
        return aligned(2, max(self.row, _TILE), self.dtype), trees

    def each_part(self, work: Callable[[int], None]) -> None:
        """Parts of one step, on threads."""
        for_each_chunk(lambda parts: work(parts.start), self.parts, 1, batches.THREADING_PAYS)

    def each_chunk(self, work: Callable[[slice], None]) -> None:
        """Rows in chunks, on threads where that pays."""
        batch = len(self.half)
        width = max(1, min(-(-batch // 8), 2**14 >> self.bits))
        effort = 20.0 * (self.bits + len(self.made.columns.turns)) * batch * self.size
        for_each_chunk(work, batch, width, effort, PLANES / 2 * self.state_bytes)


def aligned(rows: int, columns: int, dtype: Any) -> NDArray[Any]:
    """[rows, columns], every row at a cache line."""
    size = np.dtype(dtype).itemsize
    width = -(-columns * size // 64) * 64
    raw = np.empty(rows * width + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + rows * width].view(dtype).reshape(rows, -1)


def job_of(program: Program, angles: Array, precision: str) -> Job:
    """A call's job; angles [batch, slot] rad. Raises: ModelError: as `sweeps.BatchPullback`."""
    n = program.num_qubits
    dtype = _DTYPE[precision]
    needed = 1.0 * PLANES * np.dtype(dtype).itemsize * 2.0**n
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
    return Job(made, n, program.num_slots, dtype, half, mine, fresh, singles)


def sloped_steps(job: Job) -> NDArray[np.bool_]:
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
