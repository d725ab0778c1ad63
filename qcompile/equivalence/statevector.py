"""Equivalence by simulation: both circuits on the same random entangled input.

Two unitaries that agree on one random state, up to a global phase, agree everywhere, with probability one; how far the
final states are apart says how wrong the worse one is.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile import ideal
from qcompile.equivalence.pair import Pair, Step, Wired, fused
from qcompile.errors import NotEquivalentError

State = NDArray[np.complex128]

WIDEST = 24  # wires: 0.25 GB a state
QUICK, LONGEST = 2**27, 2**32
"""Work of a second, and of half a minute."""

_TOLERANCE = 1e-7  # distance of the two final states; rounding of 10^4 gates stays below 1e-9


def work(pair: Pair) -> float:
    """Amplitudes x unitaries of both simulations, 8 ns each; infinite where a state does not fit."""
    if pair.width > WIDEST:
        return math.inf
    return sum(2**w.width * len(fused(w.steps)) for w in (pair.ours, pair.theirs))


def compare(pair: Pair, rng: np.random.Generator) -> None:
    """Raises: NotEquivalentError: the final states differ, and by how much."""
    count = len(pair.inputs)
    state = rng.normal(size=2**count) + 1j * rng.normal(size=2**count)
    state /= np.linalg.norm(state)
    ours, theirs = (
        _outputs(circuit, _spread(state, [w[k] for w in pair.inputs], circuit.width), [w[k] for w in pair.outputs])
        for k, circuit in enumerate((pair.ours, pair.theirs))
    )
    difference = distance(ours, theirs)
    if difference > _TOLERANCE:
        raise NotEquivalentError(
            f"the compiled circuit does something else: on a random input the final states are {difference:.3g} apart; "
            f"expected less than {_TOLERANCE:g}. If it was edited after compiling, compile the edited original."
        )


def _spread(state: State, wires: list[int], width: int) -> State:
    """The state on some wires, the others in |0>."""
    full = np.zeros(2**width, dtype=np.complex128)
    if wires == list(range(len(wires))):
        full[: len(state)] = state
        return full
    index = np.zeros(len(state), dtype=np.int64)
    for i, wire in enumerate(wires):
        index |= ((np.arange(len(state)) >> i) & 1) << wire
    full[index] = state
    return full


def _outputs(circuit: Wired, state: State, outputs: list[int]) -> State:
    """[kept, rest] amplitudes at the end, the output wires as the row index."""
    evolve(state, fused(circuit.steps), circuit.width)
    kept = [circuit.width - 1 - w for w in reversed(outputs)]
    rest = [axis for axis in range(circuit.width) if axis not in kept]
    return np.transpose(state.reshape([2] * circuit.width), (*kept, *rest)).reshape(2 ** len(outputs), -1)


def distance(ours: State, theirs: State) -> float:
    """Distance of two [kept, rest] states up to what cannot be seen: a global phase, any unitary on the discarded."""
    left, _, right = np.linalg.svd(ours.conj().T @ theirs, full_matrices=False)
    return float(np.linalg.norm(ours @ (left @ right) - theirs))


def evolve(state: State, steps: list[Step], width: int) -> None:
    """Applies unitaries to a state, in place."""
    for step in steps:
        if len(step.wires) == 2:
            apply_two(state, np.ascontiguousarray(step.matrix), *step.wires)
        else:
            state[:] = ideal.apply(state, step.matrix, step.wires, width)


@numba.njit(cache=True, nogil=True)
def apply_two(state, matrix, first, second):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """A 4x4 unitary on two wires, in place, `first` the least significant bit: `ideal.apply` without its copies."""
    low, high = 1 << min(first, second), 1 << max(first, second)
    one, two = 1 << first, 1 << second
    for outer in range(0, len(state), 2 * high):
        for middle in range(outer, outer + high, 2 * low):
            for i in range(middle, middle + low):
                a, b, c, d = state[i], state[i + one], state[i + two], state[i + one + two]
                state[i] = matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + matrix[0, 3] * d
                state[i + one] = matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + matrix[1, 3] * d
                state[i + two] = matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + matrix[2, 3] * d
                state[i + one + two] = matrix[3, 0] * a + matrix[3, 1] * b + matrix[3, 2] * c + matrix[3, 3] * d
