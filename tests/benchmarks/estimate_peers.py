"""What formulas of other tools predict of a mapped circuit, next to which our estimates are judged.

The peers: ESP, the product of (1 - error); Qiskit's QuantumCircuit.estimate_fidelity, called; mapomatic's score, which
is ESP with readout; MQT Predictor's estimated_success_probability, written anew from its source (ESP with readout times
exp(-idle / min(T1, T2)), idle of an ASAP schedule), readout left out of the state fidelity; the same with ALAP idle
times; the noise-free distribution mixed with the uniform one by ESP, then read out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit

import qcompile
from qcompile.schedule import instruction_durations, schedule
from tests.benchmarks.estimate_circuits import Case
from tests.benchmarks.estimate_truth import Truth, confused, final_places, hellinger


@dataclass(frozen=True)
class Prediction:
    """What one method says of one circuit; None where it says nothing.

    Attributes:
        expectations: of `z_type` of its truth, without readout error.
        read: <Z> of each of the truth's measured qubits, readout error included.
    """

    state: float | None
    hellinger: float | None
    uncertainty: float | None = None
    expectations: list[float] | None = None
    seconds: float = 0.0
    read: list[float] | None = None


Method = Callable[[Case, qcompile.Device, Truth], Prediction]
"""The truth is for what a peer takes as given: the noise-free distribution and expectation values."""


def z_type(exact: Truth) -> list[int]:
    """Which of the truth's Paulis hold no X or Y and stand on measured qubits.

    The truth is the state at the end of the circuit, as it is scheduled. A qubit that the circuit measures is measured
    there whatever else is; another one waits meanwhile in the truth, and would not if it were measured.
    """
    measured = set(exact.measured)
    return [
        k
        for k, label in enumerate(exact.paulis)
        if set(label) <= {"I", "Z"} and measured.issuperset(v for v, p in enumerate(reversed(label)) if p == "Z")
    ]


def ideal_expectations(exact: Truth) -> list[float]:
    """Noise-free, of `z_type`."""
    return [exact.ideal[k] for k in z_type(exact)]


def esp(circuit: QuantumCircuit, device: qcompile.Device) -> tuple[float, float]:
    """Products of (1 - error) over the gates, and over the measurements."""
    gates = readout = 1.0
    for i in circuit.data:
        on = tuple(circuit.find_bit(q).index for q in i.qubits)
        if i.operation.name == "measure":
            known_readout = device.qubits[on[0]].readout
            readout *= 1 - (known_readout.error if known_readout is not None else 0.0)
        elif i.operation.name not in ("barrier", "delay"):
            gates *= 1 - (device.gates[i.operation.name, on].error or 0.0)
    return gates, readout


def asap_idle(circuit: QuantumCircuit, device: qcompile.Device) -> dict[int, float]:
    """Seconds that each active qubit waits when everything starts as early as it can, until its measurement or the end.

    MQT Predictor counts from time 0, in the ground state too.
    """
    free: dict[int, float] = {}
    busy: dict[int, float] = {}
    read: set[int] = set()
    for i, duration in zip(circuit.data, instruction_durations(circuit, device)):
        on = [circuit.find_bit(q).index for q in i.qubits]
        end = max(free.get(q, 0.0) for q in on) + duration
        for q in on:
            free[q] = end
            if i.operation.name not in ("barrier", "delay"):
                busy[q] = busy.get(q, 0.0) + duration
            if i.operation.name == "measure":
                read.add(q)
    total = max(free.values(), default=0.0)
    return {q: max((free[q] if q in read else total) - b, 0.0) for q, b in busy.items()}


def alap_idle(circuit: QuantumCircuit, device: qcompile.Device) -> dict[int, float]:
    """Seconds that each qubit waits when everything starts as late as it can, explicit delays included."""
    timing = schedule(circuit, device)
    idle: dict[int, float] = {}
    for window in timing.idle:
        idle[window.qubit] = idle.get(window.qubit, 0.0) + window.duration
    for i, duration in zip(circuit.data, timing.durations):
        if i.operation.name == "delay":
            q = circuit.find_bit(i.qubits[0]).index
            idle[q] = idle.get(q, 0.0) + duration
    return idle


def _kept(idle: dict[int, float], device: qcompile.Device) -> float:
    return math.exp(-sum(t / min(device.qubits[q].relaxation) for q, t in idle.items()))


def _without_readout(circuit: QuantumCircuit) -> QuantumCircuit:
    plain = circuit.copy_empty_like()
    plain.data = [i for i in circuit.data if i.operation.name != "measure"]
    return plain


def peer_esp(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
    gates, readout = esp(case.circuit, device)
    return Prediction(gates, gates * readout, expectations=[gates * z for z in ideal_expectations(exact)])


def peer_qiskit(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
    target = device.target()
    plain = _without_readout(case.circuit)
    begun = time.process_time()
    state = plain.estimate_fidelity(target)
    seconds = time.process_time() - begun
    return Prediction(state, case.circuit.estimate_fidelity(target), seconds=seconds)


def peer_mapomatic(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
    gates, readout = esp(case.circuit, device)
    return Prediction(gates * readout, gates * readout)


def peer_mqt(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
    gates, readout = esp(case.circuit, device)
    kept = gates * _kept(asap_idle(case.circuit, device), device)
    return Prediction(kept, kept * readout)


def peer_alap(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
    gates, readout = esp(case.circuit, device)
    kept = gates * _kept(alap_idle(case.circuit, device), device)
    return Prediction(kept, kept * readout, expectations=[kept * z for z in ideal_expectations(exact)])


def peer_mix(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
    gates, _ = esp(case.circuit, device)
    places = final_places(case.circuit)
    clean = np.array(exact.clean)
    mixed = gates * clean + (1 - gates) / len(clean)
    read = confused(mixed, [places[v] for v in exact.measured], device)
    return Prediction(gates + (1 - gates) / 2 ** len(places), hellinger(clean, read))


def peer_ideal(case: Case, device: qcompile.Device, exact: Truth) -> Prediction:
    read = [exact.ideal[v] for v in exact.measured]
    return Prediction(1.0, 1.0, expectations=ideal_expectations(exact), read=read)


PEERS: dict[str, Method] = {
    "ESP": peer_esp,
    "Qiskit estimate_fidelity": peer_qiskit,
    "mapomatic (ESP x readout)": peer_mapomatic,
    "MQT Predictor (ASAP idle)": peer_mqt,
    "ESP x ALAP idle": peer_alap,
    "ESP mixed with uniform": peer_mix,
    "no noise": peer_ideal,
}
