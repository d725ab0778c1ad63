"""Fidelity from calibration alone, without simulating the noise: any size, one pass over the circuit.

The chance that no channel harmed the state is a product over every gate and idle window of sum_k |tr(K_k rho)|^2, rho
the state that the channel acts on. Here rho comes from product-state marginals: each qubit's noise-free Bloch vector,
carried through the circuit one gate at a time, entanglement dropped. What was harmed is not all lost: a depolarized
state still overlaps by 2^-n, so F + (1 - F)(1 - lambda) / 2^n is reported, lambda the product of the depolarizing
channels' (1 - p).

Calibration-only numbers are upper bounds of what a chip does: drift, crosstalk and leakage are not in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qcompile.channels import gate_noise, gate_unitary, survival_form
from qcompile.device import Device

CAUSES = ("one_qubit", "two_qubit", "idle", "readout")

_RZ, _ONE, _TWO, _IDLE, _DEPHASE, _RESET = range(6)


class Operation(NamedTuple):
    """One timed operation on physical qubits.

    Attributes:
        name: native gate, "idle", "measure" (mid-circuit), "reset".
        params: angles, one row a draw: [draw] arrays in rad.
        duration: s; counts for "idle" alone, gates have it in their channel.
    """

    name: str
    qubits: tuple[int, ...]
    params: tuple[NDArray[np.float64], ...] = ()
    duration: float = 0.0


@dataclass(frozen=True)
class Survival:
    """Result of a pass.

    Attributes:
        fidelity: [draw] state fidelity, floor included.
        loss: cause -> mean over the draws of -log survival (readout not in it).
    """

    fidelity: NDArray[np.float64]
    loss: dict[str, float]


@lru_cache(maxsize=65536)
def _channel(device: Device, name: str, qubits: tuple[int, ...]) -> tuple[NDArray[np.float64], float]:
    noise, p = gate_noise(device, name, qubits)
    return survival_form(noise), p


def state_fidelity(operations: Sequence[Operation], device: Device, virtual_at: Sequence[int], draws: int) -> Survival:
    """Estimated state fidelity on the virtual qubits, all others traced out, readout excluded.

    Args:
        operations: in time order, idle windows included; gates must be calibrated and live.
        virtual_at: physical qubits of the virtual ones at the end.
        draws: rows of the operations' params.
    Raises: KeyError: a gate without calibration.
    """
    kept = _light_cone(operations, virtual_at)
    where = {q: i for i, q in enumerate(sorted({q for o in kept for q in o.qubits}))}
    count = len(kept)
    kind = np.zeros(count, np.int64)
    first, second = np.zeros(count, np.int64), np.zeros(count, np.int64)
    unitary, form = np.zeros((draws, count), np.int64), np.zeros(count, np.int64)
    angle = np.zeros((draws, count))
    decay, dephase = np.ones(count), np.ones(count)
    tables: dict[int, _Table] = {1: _Table(4), 2: _Table(16)}
    log_depolarizing = 0.0
    for i, operation in enumerate(kept):
        first[i] = where[operation.qubits[0]]
        if operation.name == "idle":
            kind[i] = _IDLE
            t1, t2 = device.qubits[operation.qubits[0]].relaxation
            decay[i], dephase[i] = math.exp(-operation.duration / t1), math.exp(-operation.duration / t2)
        elif operation.name == "measure":
            kind[i] = _DEPHASE
        elif operation.name == "reset":
            kind[i] = _RESET
        elif operation.name == "rz" and operation.name in device.native_gates.virtual:
            kind[i] = _RZ
            angle[:, i] = operation.params[0]
        else:
            width = len(operation.qubits)
            kind[i] = _ONE if width == 1 else _TWO
            second[i] = where[operation.qubits[-1]]
            table = tables[width]
            for d in range(draws):
                unitary[d, i] = table.unitary(operation.name, tuple(float(p[d]) for p in operation.params))
            form[i], p = table.form(device, operation.name, operation.qubits)
            log_depolarizing += math.log1p(-p) if p < 1 else -math.inf
    logs = _survival_pass(
        kind, first, second, unitary, form, angle, decay, dephase,
        tables[1].unitaries, tables[1].forms, tables[2].unitaries, tables[2].forms, max(len(where), 1),
    )  # fmt: skip
    survived = np.minimum(np.exp(logs.sum(axis=1)), 1.0)  # perfect channels may round to a little above 1
    floor = -math.expm1(log_depolarizing) / 2.0 ** len(virtual_at)
    mean = -logs.mean(axis=0)
    loss = dict.fromkeys(CAUSES, 0.0)
    for i in range(count):
        cause = "idle" if kind[i] == _IDLE else ("two_qubit" if kind[i] == _TWO else "one_qubit")
        loss[cause] += max(float(mean[i]), 0.0)
    return Survival(survived + (1 - survived) * floor, loss)


def _light_cone(operations: Sequence[Operation], virtual_at: Sequence[int]) -> list[Operation]:
    """What can reach the virtual qubits at the end, in order."""
    reach = set(virtual_at)
    kept: list[Operation] = []
    for operation in reversed(operations):
        if not reach.isdisjoint(operation.qubits):
            reach.update(operation.qubits)
            kept.append(operation)
            if operation.name == "reset":
                reach.discard(operation.qubits[0])
    kept.reverse()
    return kept


class _Table:
    """Stacked matrices of one width, each distinct one stored once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._unitary_index: dict[tuple[str, tuple[float, ...]], int] = {}
        self._form_index: dict[tuple[str, tuple[int, ...]], tuple[int, float]] = {}
        self._unitaries: list[NDArray[np.float64]] = []
        self._forms: list[NDArray[np.float64]] = []

    def unitary(self, name: str, params: tuple[float, ...]) -> int:
        key = (name, params)
        if key not in self._unitary_index:
            self._unitary_index[key] = len(self._unitaries)
            self._unitaries.append(gate_unitary(name, params))
        return self._unitary_index[key]

    def form(self, device: Device, name: str, qubits: tuple[int, ...]) -> tuple[int, float]:
        key = (name, qubits)
        if key not in self._form_index:
            form, p = _channel(device, name, qubits)
            self._form_index[key] = (len(self._forms), p)
            self._forms.append(form)
        return self._form_index[key]

    @property
    def unitaries(self) -> NDArray[np.float64]:
        return np.array(self._unitaries).reshape(-1, self._size, self._size)

    @property
    def forms(self) -> NDArray[np.float64]:
        return np.array(self._forms).reshape(-1, self._size, self._size)


def idle_survival(bloch: NDArray[np.float64], decay: float, dephase: float) -> float:
    """sum_k |tr(K_k rho)|^2 of thermal relaxation for a one-qubit Pauli vector (1, x, y, z).

    Args:
        decay, dephase: exp(-t/T1), exp(-t/T2).
    """
    _, x, y, z = bloch
    mixed = (1 - decay) / 4
    keep, flip = (1 + 2 * dephase + decay) / 4, (1 - 2 * dephase + decay) / 4
    return float(keep + flip * z * z + mixed * (x * x + y * y) + 2 * mixed * z)


@numba.njit(cache=True, nogil=True)
def _survival_pass(  # type: ignore[no-untyped-def]  # numba infers the types, the twin below states them
    kind, first, second, unitary, form, angle, decay, dephase, u1, s1, u2, s2, num_qubits
):  # pragma: no cover - compiled
    draws, count = angle.shape
    logs = np.zeros((draws, count))
    bloch = np.empty((num_qubits, 4))
    pair = np.empty(16)
    after = np.empty(16)
    for d in range(draws):
        bloch[:] = 0.0
        bloch[:, 0] = 1.0
        bloch[:, 3] = 1.0
        for i in range(count):
            a = first[i]
            if kind[i] == 0:
                c, s = math.cos(angle[d, i]), math.sin(angle[d, i])
                x, y = bloch[a, 1], bloch[a, 2]
                bloch[a, 1] = c * x - s * y
                bloch[a, 2] = s * x + c * y
            elif kind[i] == 1:
                u, f = u1[unitary[d, i]], s1[form[i]]
                for j in range(4):
                    after[j] = u[j, 0] + u[j, 1] * bloch[a, 1] + u[j, 2] * bloch[a, 2] + u[j, 3] * bloch[a, 3]
                total = 0.0
                for j in range(4):
                    bloch[a, j] = after[j]
                    for k in range(4):
                        total += f[j, k] * after[j] * after[k]
                logs[d, i] = math.log(max(total, 1e-300))
            elif kind[i] == 2:
                b = second[i]
                u, f = u2[unitary[d, i]], s2[form[i]]
                for j in range(4):
                    for k in range(4):
                        pair[4 * j + k] = bloch[a, j] * bloch[b, k]
                for j in range(16):
                    value = 0.0
                    for k in range(16):
                        value += u[j, k] * pair[k]
                    after[j] = value
                total = 0.0
                for j in range(16):
                    row = 0.0
                    for k in range(16):
                        row += f[j, k] * after[k]
                    total += after[j] * row
                logs[d, i] = math.log(max(total, 1e-300))
                for j in range(4):
                    bloch[a, j] = after[4 * j]
                    bloch[b, j] = after[j]
            elif kind[i] == 3:
                x, y, z = bloch[a, 1], bloch[a, 2], bloch[a, 3]
                mixed = (1 - decay[i]) / 4
                keep, flip = (1 + 2 * dephase[i] + decay[i]) / 4, (1 - 2 * dephase[i] + decay[i]) / 4
                total = keep + flip * z * z + mixed * (x * x + y * y) + 2 * mixed * z
                logs[d, i] = math.log(max(total, 1e-300))
            elif kind[i] == 4:
                bloch[a, 1] = 0.0
                bloch[a, 2] = 0.0
            else:
                bloch[a, 1] = 0.0
                bloch[a, 2] = 0.0
                bloch[a, 3] = 1.0
    return logs


def survival_pass_plain(
    kind: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64], unitary: NDArray[np.int64],
    form: NDArray[np.int64], angle: NDArray[np.float64], decay: NDArray[np.float64], dephase: NDArray[np.float64],
    u1: NDArray[np.float64], s1: NDArray[np.float64], u2: NDArray[np.float64], s2: NDArray[np.float64],
    num_qubits: int,
) -> NDArray[np.float64]:  # fmt: skip
    """The kernel in plain numpy, one line an idea; tests compare the two. Returns [draw, operation] log survivals."""
    logs = np.zeros(angle.shape)
    for d in range(len(angle)):
        bloch = np.tile([1.0, 0.0, 0.0, 1.0], (num_qubits, 1))
        for i, what in enumerate(kind):
            a, b = first[i], second[i]
            if what == _RZ:
                bloch[a] = gate_unitary("rz", (float(angle[d, i]),)) @ bloch[a]
            elif what == _ONE:
                bloch[a] = u1[unitary[d, i]] @ bloch[a]
                logs[d, i] = math.log(bloch[a] @ s1[form[i]] @ bloch[a])
            elif what == _TWO:
                pair = u2[unitary[d, i]] @ np.kron(bloch[a], bloch[b])
                logs[d, i] = math.log(pair @ s2[form[i]] @ pair)
                bloch[a], bloch[b] = pair.reshape(4, 4)[:, 0], pair.reshape(4, 4)[0]
            elif what == _IDLE:
                logs[d, i] = math.log(idle_survival(bloch[a], float(decay[i]), float(dephase[i])))
            else:
                bloch[a] = [1.0, 0.0, 0.0, bloch[a, 3] if what == _DEPHASE else 1.0]
    return logs
