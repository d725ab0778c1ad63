"""NoisyProgram: a scheduled native circuit as arrays, every gate with its channel, every idle window in its place.

All methods of this folder work on it. Operations outside the backward light cone of the virtual qubits are left out:
nothing that happens there can be seen at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.channels import gate_noise, gate_survival, gate_unitary, unitary_ptms
from qcompile.device import Device
from qcompile.ideal import gate_matrices, gate_matrix
from qcompile.native_form import is_frame
from qcompile.schedule import Held, find_windows, start_times

CAUSES = ("one_qubit", "two_qubit", "idle", "readout")

RZ, ONE, TWO, IDLE, DEPHASE, RESET = range(6)
"""Kinds of operations: virtual rz, other gates by width, waiting, a measurement before the end, reset."""

_NOTHING = -1  # kind of a step that is no operation: a barrier, a final measurement, a reset of a qubit in |0>


class NativeStep(NamedTuple):
    """One instruction on physical qubits with its numbers: params[k] in rad, [draw] or one for all; duration in s."""

    name: str
    qubits: tuple[int, ...]
    params: tuple[NDArray[np.float64] | float, ...]
    duration: float


class Element(NamedTuple):
    """Where something is lost: a gate on its qubits, a waiting qubit (name "idle"), a readout (name "measure")."""

    cause: str
    name: str
    qubits: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NoisyProgram:
    """Operations in time order. Arrays over [op] unless said; matrices are stacked, each distinct one once.

    Attributes:
        physical: compact qubit -> physical qubit; numbered in the order of their first two-qubit gate, so that a
            simulation starts small and grows.
        virtual_at: compact qubits of the virtual ones at the end.
        kind: RZ, ONE, TWO, IDLE, DEPHASE or RESET.
        first, second: compact qubits; second is -1 where there is none.
        angle: [draw, op] of RZ, rad.
        matrix: [draw, op] index into `matrices` of ONE or TWO.
        noise: index into `noises` of ONE or TWO.
        decay, dephase: exp(-t/T1), exp(-t/T2) of IDLE and RESET.
        matrices: by width 1, 2: unitaries in Qiskit's order (the first qubit is the least significant bit).
        unitaries: the same as PTMs (index 4 * first + second).
        noises: by width: PTM of the noise behind the gate.
        forms: by width: survival forms of `noises`.
        element: index into `elements`.
        elements: what the operations belong to.
        duration: of the whole circuit, s.
    """

    physical: tuple[int, ...]
    virtual_at: tuple[int, ...]
    kind: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    angle: NDArray[np.float64]
    matrix: NDArray[np.int64]
    noise: NDArray[np.int64]
    decay: NDArray[np.float64]
    dephase: NDArray[np.float64]
    matrices: tuple[NDArray[np.complex128], NDArray[np.complex128]]
    unitaries: tuple[NDArray[np.float64], NDArray[np.float64]]
    noises: tuple[NDArray[np.float64], NDArray[np.float64]]
    forms: tuple[NDArray[np.float64], NDArray[np.float64]]
    element: NDArray[np.int64]
    elements: tuple[Element, ...]
    duration: float

    @property
    def draws(self) -> int:
        """Parameter draws."""
        return len(self.angle)

    @property
    def num_qubits(self) -> int:
        """Qubits that can matter."""
        return len(self.physical)

    @cached_property
    def is_unitary(self) -> bool:
        """Whether the noise-free circuit is one: neither measurement nor reset before the end."""
        return not np.any(self.kind >= DEPHASE)

    @cached_property
    def polarization(self) -> float:
        """Product over all channels of the mean shrinking of a Pauli, (tr R - 1) / (d^2 - 1) of a PTM R."""
        shrinking = np.ones(len(self.kind))
        for kind, stack in zip((ONE, TWO), self.noises):
            size = 4 if kind == ONE else 16
            at = self.kind == kind
            shrinking[at] = (np.trace(stack, axis1=1, axis2=2)[self.noise[at]] - 1) / (size - 1)
        idle = self.kind == IDLE
        shrinking[idle] = (self.decay[idle] + 2 * self.dephase[idle]) / 3
        return float(np.prod(shrinking))

    @cached_property
    def two_qubit_gates(self) -> int:
        """How many operations are passes over a state."""
        return int(np.count_nonzero(self.kind == TWO))

    @cached_property
    def where(self) -> dict[int, int]:
        """Physical qubit -> compact qubit, of those that matter."""
        return {p: i for i, p in enumerate(self.physical)}


class _Numbers(dict[Any, int]):
    """Keys numbered in the order of their first use."""

    def __missing__(self, key: Any) -> int:
        self[key] = number = len(self)
        return number


def noisy_program(
    steps: Sequence[NativeStep], device: Device, virtual_at: Sequence[int], held: Held | None = None
) -> NoisyProgram:
    """Schedules native steps as late as possible and gives each its channel.

    Args:
        steps: in an order that respects their qubits; gates must be calibrated and live.
        virtual_at: physical qubits of the virtual ones at the end.
        held: `held_by(steps)` where it is known.
    Raises: KeyError: a gate without calibration.
    """
    held = held_by(steps) if held is None else held
    durations = np.array([s.duration for s in steps], np.float64)
    start, total = start_times(held, durations)
    windows = find_windows(held, durations, start, total)
    draws = draws_of(steps)

    count = len(steps)
    last = last_instruction(held)
    elements, gates, touched = _Numbers(), (_Numbers(), _Numbers()), set[int]()
    resets = any(s.name == "reset" for s in steps)
    kinds, element = [_NOTHING] * count, np.zeros(count, np.int64)
    turns: tuple[list[int], list[Any]] = ([], [])  # where, and by how much
    matrices: tuple[list[int], list[Any]] = ([], [])
    for i, (name, qubits, params, _) in enumerate(steps):
        if held.barrier[i] or (name == "measure" and last[qubits[0]] == i):
            continue
        if is_frame(name, device.native_gates):
            kinds[i] = RZ
            turns[0].append(i)
            turns[1].append(params[0])
            continue  # it loses nothing, so it needs no element
        if name == "delay":
            kinds[i], element[i] = IDLE, elements["idle", qubits]
            continue
        if name == "measure":
            kinds[i] = DEPHASE
        elif name == "reset":
            if qubits[0] not in touched:
                continue  # still in |0>
            kinds[i] = RESET
        else:
            kinds[i] = ONE if len(qubits) == 1 else TWO
            if resets:
                touched.update(qubits)
            numbers = gates[len(qubits) - 1]
            matrices[0].append(i)
            if params:
                rows = zip(*(np.broadcast_to(p, draws).tolist() for p in params))
                matrices[1].append([numbers[name, angles] for angles in rows])
            else:
                matrices[1].append(numbers[name, ()])
        element[i] = elements[name, qubits]
    kind = np.array(kinds, np.int64)
    angle = _spread(turns, (draws, count), np.float64)
    matrix = _spread(matrices, (draws, count), np.int64)

    real = np.flatnonzero(kind != _NOTHING)
    second = np.full(count, -1)
    two = np.flatnonzero(kind == TWO)
    second[two] = held.qubits[held.offsets[two] + 1]
    waiting_at = np.zeros(held.width, np.int64)
    for q in dict.fromkeys(windows.qubit.tolist()):
        waiting_at[q] = elements["idle", (q,)]
    waits = waiting_at[windows.qubit]
    none = np.zeros(len(waits), np.int64)
    order = np.argsort(np.concatenate((2 * real, 2 * windows.after + 1)), kind="stable")  # windows behind their step
    first = np.concatenate((held.qubits[held.offsets[real]], windows.qubit))[order]
    second = np.concatenate((second[real], none - 1))[order]
    kind = np.concatenate((kind[real], none + IDLE))[order]
    width = max(held.width, max(virtual_at, default=-1) + 1)
    reach = np.zeros(width, np.bool_)
    reach[list(virtual_at)] = True
    seen = _light_cone(kind, first, second, reach)
    order, first, second, kind = order[seen], first[seen], second[seen], kind[seen]
    element = np.concatenate((element[real], waits))[order]
    length = np.concatenate((durations[real], windows.duration))[order]
    blank = np.zeros((draws, len(none)), np.int64)
    physical = _growing_order(kind, first, second, virtual_at)
    where = np.full(width, -1)
    where[physical] = np.arange(len(physical))
    t1, t2 = np.array([device.qubits[q].relaxation for q in range(width)]).reshape(-1, 2).T
    waiting = (kind == IDLE) | (kind == RESET)
    decay, dephase = np.ones(len(kind)), np.ones(len(kind))
    decay[waiting] = np.exp(-length[waiting] / t1[first[waiting]])
    dephase[waiting] = np.exp(-length[waiting] / t2[first[waiting]])
    noises, forms, noise_of = _noises(list(elements), device)
    unitaries, transfers = zip(*(_stacked(list(numbers), size) for numbers, size in zip(gates, (2, 4))))
    return NoisyProgram(
        physical=tuple(physical),
        virtual_at=tuple(where[list(virtual_at)].tolist()),
        kind=kind,
        first=where[first],
        second=np.where(second >= 0, where[second], -1),
        angle=np.concatenate((angle[:, real], blank.astype(np.float64)), axis=1)[:, order],
        matrix=np.concatenate((matrix[:, real], blank), axis=1)[:, order],
        noise=noise_of[element],
        decay=decay,
        dephase=dephase,
        matrices=unitaries,
        unitaries=transfers,
        noises=(noises[0], noises[1]),
        forms=(forms[0], forms[1]),
        element=element,
        elements=tuple(Element(_cause(name, qubits), name, qubits) for name, qubits in elements),
        duration=total,
    )


def _spread(found: tuple[list[int], list[Any]], shape: tuple[int, int], kind: type) -> NDArray[Any]:
    """[draw, op] of values at some operations, each one number or one a draw; zero elsewhere."""
    whole: NDArray[Any] = np.zeros(shape, kind)
    if all(not isinstance(value, np.ndarray | list) for value in found[1]):
        whole[:, found[0]] = np.array(found[1], kind)
    else:
        whole[:, found[0]] = np.array([np.broadcast_to(value, shape[0]) for value in found[1]], kind).T
    return whole


def draws_of(steps: Sequence[NativeStep]) -> int:
    """Parameter draws that the steps hold numbers of."""
    return max([len(p) for s in steps for p in s.params if isinstance(p, np.ndarray)], default=1)


def held_by(steps: Sequence[NativeStep]) -> Held:
    """Which qubits the steps hold. A delay behind a qubit's last measurement is a barrier: it takes its time, but there
    is nothing left that could decay.
    """
    names = [s.name for s in steps]
    if "delay" in names and "measure" in names:
        waits: dict[int, list[int]] = {}  # qubit -> the delays that end it
        done: set[int] = set()
        for i in range(len(names) - 1, -1, -1):
            qubits = steps[i].qubits
            if names[i] == "delay" and qubits[0] not in done:
                waits.setdefault(qubits[0], []).append(i)
            elif names[i] not in ("delay", "barrier"):
                if names[i] == "measure" and qubits[0] not in done:
                    for k in waits.get(qubits[0], ()):
                        names[k] = "barrier"
                done.update(qubits)
    return Held.of([s.qubits for s in steps], names)


def last_instruction(held: Held) -> NDArray[np.int64]:
    """[qubit] index of the last instruction that is no barrier; -1 where there is none."""
    last = np.full(held.width, -1)
    holder = np.repeat(np.arange(len(held.barrier)), np.diff(held.offsets))
    counts = ~held.barrier[holder]
    last[held.qubits[counts]] = holder[counts]  # of several the latest is written last
    return last


def _noises(
    elements: Sequence[tuple[str, tuple[int, ...]]], device: Device
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]], NDArray[np.int64]]:
    """By width stacked PTMs and survival forms of the noise, and [element] its index there (-1: no gate)."""
    gates: tuple[list[tuple[str, tuple[int, ...]]], ...] = ([], [])
    index = np.full(max(len(elements), 1), -1)  # at least one: rz alone has no element, and points at the first
    for e, (name, qubits) in enumerate(elements):
        if name not in ("idle", "measure", "reset"):
            index[e] = len(gates[len(qubits) - 1])
            gates[len(qubits) - 1].append((name, qubits))
    noises = [np.array([gate_noise(device, *g)[0] for g in keys]).reshape(-1, d, d) for keys, d in zip(gates, (4, 16))]
    forms = [np.array([gate_survival(device, *g) for g in keys]).reshape(-1, d, d) for keys, d in zip(gates, (4, 16))]
    return noises, forms, index


def _stacked(
    keys: Sequence[tuple[str, tuple[float, ...]]], size: int
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Unitaries and their PTMs, gates of one name at once."""
    matrices = np.empty((len(keys), size, size), np.complex128)
    transfers = np.empty((len(keys), size**2, size**2))
    named: dict[str, list[int]] = {}
    for i, (name, angles) in enumerate(keys):
        if angles:
            named.setdefault(name, []).append(i)
        else:
            matrices[i], transfers[i] = gate_matrix(name), gate_unitary(name)
    for name, at in named.items():
        matrices[at] = gate_matrices(name, np.array([keys[i][1] for i in at]))
        transfers[at] = unitary_ptms(matrices[at])
    return matrices, transfers


def _cause(name: str, qubits: tuple[int, ...]) -> str:
    return "idle" if name == "idle" else "two_qubit" if len(qubits) == 2 else "one_qubit"


def _growing_order(
    kind: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64], virtual_at: Sequence[int]
) -> list[int]:
    """Physical qubits that matter, in the order of their first two-qubit gate, then ascending."""
    two = kind == TWO
    paired = np.stack((first[two], second[two]), axis=1).ravel().tolist()
    return list(dict.fromkeys((*paired, *sorted({*virtual_at, *first.tolist()}))))


@numba.njit(cache=True, nogil=True)
def _light_cone(kind, first, second, reach):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Which operations can reach the qubits in `reach` at the end; overwrites it."""
    seen = np.zeros(len(kind), np.bool_)
    for i in range(len(kind) - 1, -1, -1):
        a, b = first[i], second[i]
        if reach[a] or (b >= 0 and reach[b]):
            seen[i] = True
            reach[a] = True
            if b >= 0:
                reach[b] = True
            if kind[i] == RESET:
                reach[a] = False
    return seen
