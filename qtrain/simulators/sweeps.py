"""Large state vectors by cache-blocked sweeps: expectations, amplitudes, and every derivative.

A program is rewritten into layers first (layers.py). Memory: six real vectors of 2^n a thread, and psi of each row
until its derivatives are taken; rows beyond `KEPT_BYTES` are run forward again instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtrain.simulators import product_kernels, sweep_rows, sweep_threads
from qtrain.simulators.batches import MEMORY_LIMIT
from qtrain.simulators.sweep_job import PLANES, Job, job_of, sloped_steps

if TYPE_CHECKING:
    from qtrain.program import Program

Array = NDArray[np.float64]
FROM_QUBITS = 9  # from here on faster than the kernels whose inner loop runs over the batch
FEW_ROWS = {7: 1, 8: 4}  # qubits below that -> rows up to which they are faster, too
KEPT_BYTES = MEMORY_LIMIT  # states of a batch that wait for their derivatives


def _forward(job: Job, kept: NDArray[Any], steps: int) -> Array:
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
            job.workspace(PLANES // 2),
            job.parts,
            made.observables,
            kept[rows],
            values[rows],
        )

    if job.shared:
        for b in range(len(job.half)):
            sweep_threads.forward(job, b, steps, kept, values[b])
    else:
        job.each_chunk(work)
    found: Array = values.sum(axis=1)
    return found


def _backward(job: Job, kept: NDArray[Any], weights: Array) -> Array:
    """[batch, slot] from the states after the body and weights [batch, string]."""
    made, batch = job.made, len(job.half)
    sloped = sloped_steps(job)
    needed = int(np.argmax(sloped)) if sloped.any() else made.body
    low = 1 << job.bits // 2
    strings = np.zeros((batch, job.parts, len(made.columns.strings)))
    turns = np.zeros((batch, job.parts, made.columns.places))
    over_high = np.zeros((batch, job.parts, low), dtype=np.complex128)
    over_low = np.empty((batch, job.size // low), dtype=np.complex128)

    slopes_of = strings, turns, over_high, over_low

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
            job.workspace(PLANES),
            job.parts,
            made.observables,
            kept[rows],
            weights[rows],
            tuple(array[rows] for array in slopes_of),
        )

    if job.shared:
        for b in range(batch):
            found = tuple(array[b] for array in slopes_of)
            sweep_threads.backward(job, b, sloped, needed, kept[b], weights[b], found)
    else:
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
        self._job = job_of(program, angles, precision)
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
    job = job_of(program, angles, precision)
    return _forward(job, job.rows(slice(0, 0)).states(), job.made.body)


def amplitudes(program: Program, angles: Array, precision: str = "double") -> NDArray[Any]:
    """[batch, 2^n] amplitudes; qubit 0 is the least significant bit. Raises: as `BatchPullback`."""
    job = job_of(program, angles, precision)
    states = job.states()
    _forward(job, states, len(job.made.tables.steps))
    # a Python number, so that complex64 stays
    turned: NDArray[Any] = (states[:, 0] + 1j * states[:, 1]) * complex(np.exp(1j * job.made.phase))
    return turned


def adjoint(program: Program, angles: Array, cotangent: Array, precision: str = "double") -> Array:
    """[batch, slot]: derivative of sum over observables of cotangent * E, cotangent [batch, observable]; exact.

    Raises: as `BatchPullback`.
    """
    return BatchPullback(program, angles, precision).slopes(cotangent @ program.measurement.coefficients)
