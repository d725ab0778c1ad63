"""Density matrices in the Pauli basis: a state of n qubits is a real vector of 4^n coefficients r_P = tr(P rho).

All shifts in two passes: with r the state before a rotation and o the observable pulled back to behind it, the
expectation is E + cosine (cos d - 1) + sine sin d when its angle moves by d (pauli_slots.py). The backward (Heisenberg)
pass is shared by the whole batch down to the last operation that data enters, below it each row has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ModelError
from qtrain.noise import NoisyCircuit
from qtrain.simulators.batches import MEMORY_LIMIT
from qtrain.simulators.pauli_code import Digits, PauliCode, encode
from qtrain.simulators.pauli_evaluation import Evaluation

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MAX_QUBITS = 12


class Readout(NamedTuple):
    """Diagonal observables as a noisy readout shows them.

    Attributes:
        digits: of each qubit: (0,) where no observable reads it, (0, 3), that is I and Z, where one does.
        values: [product of the digits, observable]; the last qubit's digit comes first.
    """

    digits: tuple[Digits, ...]
    values: Array


class Numbers(TypedDict):
    """Options of every evaluation: "double" or "single" coefficients, and the bytes that they may take."""

    precision: str
    memory_limit: int


class Shifts(NamedTuple):
    """Every shifted expectation of the wanted slots: E + cosine (cos d - 1) + sine sin d.

    Attributes:
        expectations: [batch, observable] without a shift.
        cosine, sine: [batch, slot, observable]; sine is the derivative by the slot's angle.
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


def check_width(num_qubits: int) -> None:
    """Raises ModelError where a density matrix of that many qubits is out of reach."""
    if num_qubits > MAX_QUBITS:
        raise ModelError(
            f"a density matrix of {num_qubits} qubits takes {8 * 4**num_qubits:,} bytes, several of them are needed. "
            f"Expected at most {MAX_QUBITS} active qubits ({8 * 4**MAX_QUBITS:,} bytes); "
            "use PropagationSimulator (truncated Pauli propagation) or AerExecutor (trajectories) for its noise, "
            "ExactSimulator without noise, or a smaller circuit; simulator_for(program, device) picks one."
        )


def read_strings(circuit: NoisyCircuit, strings: Sequence[Sequence[int]]) -> Readout:
    """The product of Z over each string's measured qubits, as the noisy readout shows it.

    A qubit whose readout is right with probability 1 - p(1|0) for 0 and 1 - p(0|1) for 1 shows
    ((e0 + e1) / 2) I + ((e0 - e1) / 2) Z, with e0 and e1 the means of what is read.
    """
    position = {q: i for i, q in enumerate(circuit.measured)}
    read = set().union(*strings)
    values = np.ones((1, len(strings)))
    for qubit in reversed(range(circuit.num_qubits)):
        if qubit not in read:
            continue
        (zero_0, zero_1), (one_0, one_1) = circuit.confusion[position[qubit]]
        shown_0, shown_1 = zero_0 - zero_1, one_0 - one_1
        holds = np.array([qubit in string for string in strings])
        factors = np.where(holds, [[(shown_0 + shown_1) / 2], [(shown_0 - shown_1) / 2]], [[1.0], [0.0]])
        values = (values[:, None, :] * factors).reshape(-1, len(strings))
    return Readout(tuple((0, 3) if q in read else (0,) for q in range(circuit.num_qubits)), values)


def expectations(
    circuit: NoisyCircuit,
    angles: Array,
    readout: Readout,
    *,
    precision: str = "double",
    memory_limit: int = MEMORY_LIMIT,
) -> Array:
    """[batch, observable] for angles [batch, slot] in rad; as `shifts`."""
    nothing = np.empty(0, dtype=np.intp)
    return shifts(circuit, angles, nothing, readout, precision=precision, memory_limit=memory_limit).expectations


def shifts(
    circuit: NoisyCircuit,
    angles: Array,
    slots: Indices,
    readout: Readout,
    *,
    precision: str = "double",
    memory_limit: int = MEMORY_LIMIT,
) -> Shifts:
    """All that shifting any one of `slots` can do to the observables.

    Args:
        angles: [batch, slot] rad.
        slots: [k] indices, each at most once.
        precision: "double" or "single": of the coefficients.
        memory_limit: bytes that they may take; passes are made again where they would take more.
    """
    code = encode(circuit, readout.digits)
    observables = _restricted(readout, code)
    parts = []
    for part in _columns(code, observables.shape[1], precision, memory_limit):
        parts.append(Evaluation(code, angles, slots, observables[:, part], precision, memory_limit).run())
    if len(parts) == 1:
        return Shifts(*parts[0])
    return Shifts(*(np.concatenate(arrays, axis=-1) for arrays in zip(*parts)))


def adjoint(
    circuit: NoisyCircuit,
    angles: Array,
    slots: Indices,
    readout: Readout,
    cotangent: Array,
    *,
    precision: str = "double",
    memory_limit: int = MEMORY_LIMIT,
) -> Array:
    """[batch, slot]: derivative of sum(cotangent * E) by one backward pass with each row's weighted observable.

    Args:
        slots: [k] indices, each at most once.
        cotangent: [batch, observable].
    """
    code = encode(circuit, readout.digits)
    evaluation = Evaluation(code, angles, slots, _restricted(readout, code), precision, memory_limit, cotangent)
    return evaluation.run()[2][:, :, 0]


def _restricted(readout: Readout, code: PauliCode) -> Array:
    """[digits at the circuit's end, observable]: without digits that no state has there."""
    sizes = [len(own) for own in reversed(readout.digits)]
    kept = [np.searchsorted(own, left) for own, left in zip(reversed(readout.digits), reversed(code.digits))]
    values = readout.values.reshape(*sizes, -1)[np.ix_(*kept, np.arange(readout.values.shape[1]))]
    return np.ascontiguousarray(values.reshape(-1, readout.values.shape[1]))


def _columns(code: PauliCode, count: int, precision: str, memory_limit: int) -> list[slice]:
    """Observables that fit half of the memory limit together, going backward."""
    bytes_each = 2 * int(code.sizes.max()) * (8 if precision == "double" else 4)
    size = max(1, memory_limit // 2 // bytes_each)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)] or [slice(0, 0)]
