"""What a mapped circuit does under calibrated noise, exactly: Aer's density matrix of the scheduled circuit.

All active qubits are simulated, then every one but the virtual qubits at their last places is traced out. Readout is
the stored two-sided confusion of each qubit. Nothing here goes through an estimate.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Pauli, Statevector
from qiskit_aer import AerSimulator
from rich.console import Console
from rich.progress import track

import qcompile
from qcompile.compiled import compact
from qcompile.schedule import pad, with_delays_in_seconds
from tests.aer_reference import noise_model, without_measurements
from tests.benchmarks.estimate_circuits import Case

WIDEST = 9
"""Most active qubits whose density matrix is simulated."""

WORKERS = 2
_VERSION = 1
_RANDOM_PAULIS = 6

Distribution = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Exact figures of one mapped circuit; virtual qubit v is bit v.

    Attributes:
        state: <psi| rho |psi> on the virtual qubits at the end, readout excluded.
        hellinger: (sum_x sqrt(p_x q_x))^2 of the measured bits, readout included; everything else traced out.
        measured: virtual qubits that are measured, in the order of their clbits; all where none is.
        clean, noisy: distribution of the measured bits without noise, and with noise before the readout.
        paulis: Qiskit labels on the virtual qubits: each Z_v, each Z_v Z_v+1, then random ones of weight 1 to 3.
        ideal, damped: their expectation values in the final state without and with noise; no readout.
        z_read: of each Z_v, readout included.
        active: qubits that were simulated.
    """

    state: float
    hellinger: float
    measured: list[int]
    clean: list[float]
    noisy: list[float]
    paulis: list[str]
    ideal: list[float]
    damped: list[float]
    z_read: list[float]
    active: int


def final_places(circuit: QuantumCircuit) -> list[int]:
    """Physical qubit of each virtual one at the end."""
    return list(circuit.layout.final_index_layout(filter_ancillas=True))


def active_qubits(circuit: QuantumCircuit) -> tuple[int, ...]:
    """Physical qubits that do anything or hold a virtual qubit, ascending."""
    touched = {
        circuit.find_bit(q).index
        for i in circuit.data
        if i.operation.name not in ("barrier", "delay")
        for q in i.qubits
    }
    start = circuit.layout.initial_index_layout(filter_ancillas=True)
    return tuple(sorted(touched.union(start, final_places(circuit))))


def measured_virtual(circuit: QuantumCircuit) -> list[int]:
    """Virtual qubits that are measured, in the order of their clbits; all of them where none is."""
    virtual = {p: v for v, p in enumerate(final_places(circuit))}
    bits = {
        circuit.find_bit(i.clbits[0]).index: virtual[circuit.find_bit(i.qubits[0]).index]
        for i in circuit.data
        if i.operation.name == "measure"
    }
    return [bits[c] for c in sorted(bits)] or list(range(len(virtual)))


def padded(circuit: QuantumCircuit, device: qcompile.Device) -> QuantumCircuit:
    """The active qubits alone, a delay in seconds in every idle window, no measurement: what Aer runs."""
    return without_measurements(compact(pad(with_delays_in_seconds(circuit, device), device), active_qubits(circuit)))


def density_matrix(circuit: QuantumCircuit, device: qcompile.Device) -> NDArray[np.complex128]:
    """Noisy state of the active qubits before the measurement, on one thread."""
    simulated = padded(circuit, device)
    simulated.save_density_matrix()
    model = noise_model(device, active_qubits(circuit))
    simulator = AerSimulator(method="density_matrix", noise_model=model, max_parallel_threads=1)
    return np.asarray(simulator.run(simulated, shots=1).result().data(0)["density_matrix"])


def observables(num_qubits: int, seed: int) -> list[str]:
    """Labels of each Z_v, each Z_v Z_v+1, and random Paulis of weight 1 to 3."""
    rng = np.random.default_rng(seed)
    found = [{v: "Z"} for v in range(num_qubits)] + [{v: "Z", v + 1: "Z"} for v in range(num_qubits - 1)]
    for _ in range(_RANDOM_PAULIS):
        weight = int(rng.integers(1, min(3, num_qubits) + 1))
        on = rng.choice(num_qubits, weight, replace=False)
        found.append({int(v): str(rng.choice(list("XYZ"))) for v in on})
    return ["".join(p.get(v, "I") for v in reversed(range(num_qubits))) for p in found]


def confused(probabilities: Distribution, physical: Sequence[int], device: qcompile.Device) -> Distribution:
    """Distribution of what is read of bits on the given physical qubits, bit 0 least significant."""
    tensor = probabilities.reshape([2] * len(physical))
    for bit, qubit in enumerate(physical):
        axis = len(physical) - 1 - bit
        zero, one = tensor.take(0, axis), tensor.take(1, axis)
        readout = device.qubits[qubit].readout
        up, down = (readout.p1_given_0, readout.p0_given_1) if readout is not None else (0.0, 0.0)
        tensor = np.stack([(1 - up) * zero + down * one, up * zero + (1 - down) * one], axis=axis)
    return np.asarray(tensor.reshape(-1))


def hellinger(p: Distribution, q: Distribution) -> float:
    """Hellinger fidelity (sum sqrt(p q))^2."""
    return float(np.sqrt(np.clip(p, 0, None) * np.clip(q, 0, None)).sum() ** 2)


def truth(circuit: QuantumCircuit, device: qcompile.Device) -> Truth:
    """Exact figures of a mapped circuit that carries Qiskit's layout."""
    active, places = active_qubits(circuit), final_places(circuit)
    assert len(active) <= WIDEST, f"{len(active)} active qubits; a density matrix is simulated up to {WIDEST}"
    wires = [active.index(p) for p in places]
    n, count = len(wires), len(active)
    plain = padded(circuit, device)
    plain.data = [i for i in plain.data if i.operation.name != "delay"]
    psi = _without_spare(Statevector(plain).data, wires, count)
    rho = _reduced(density_matrix(circuit, device), wires, count)
    measured = measured_virtual(circuit)
    read_at = [places[v] for v in measured]
    clean, noisy = (_marginal(p, measured, n) for p in (np.abs(psi) ** 2, np.real(np.diag(rho))))
    labels = observables(n, seed=int(_fingerprint(circuit, device)[:8], 16))
    matrices = [Pauli(label).to_matrix() for label in labels]
    z_read = []
    for v, p in enumerate(places):
        zero, one = confused(_marginal(np.real(np.diag(rho)), [v], n), [p], device)
        z_read.append(float(zero - one))
    return Truth(
        state=float(np.real(psi.conj() @ rho @ psi)),
        hellinger=hellinger(clean, confused(noisy, read_at, device)),
        measured=measured,
        clean=clean.tolist(),
        noisy=noisy.tolist(),
        paulis=labels,
        ideal=[float(np.real(psi.conj() @ m @ psi)) for m in matrices],
        damped=[float(np.real(np.einsum("ij,ji->", m, rho))) for m in matrices],
        z_read=z_read,
        active=count,
    )


def _axes(wires: Sequence[int], count: int) -> tuple[list[int], list[int]]:
    kept = [count - 1 - w for w in reversed(wires)]
    return kept, [a for a in range(count) if a not in kept]


def _without_spare(psi: NDArray[np.complex128], wires: Sequence[int], count: int) -> NDArray[np.complex128]:
    kept, rest = _axes(wires, count)
    vector = np.transpose(psi.reshape([2] * count), (*kept, *rest)).reshape(2 ** len(kept), -1)
    left, singular, _ = np.linalg.svd(vector, full_matrices=False)
    assert singular[0] > 1 - 1e-9, "the spare qubits do not factor out of the noise-free state"
    return np.asarray(left[:, 0])


def _reduced(rho: NDArray[np.complex128], wires: Sequence[int], count: int) -> NDArray[np.complex128]:
    kept, rest = _axes(wires, count)
    axes, shape = (*kept, *rest), (2 ** len(kept), 2 ** len(rest))
    tensor = np.transpose(rho.reshape([2] * (2 * count)), (*axes, *(count + a for a in axes)))
    return np.einsum("arbr->ab", tensor.reshape(*shape, *shape))


def _marginal(probabilities: Distribution, bits: Sequence[int], count: int) -> Distribution:
    kept, rest = _axes(bits, count)
    return np.transpose(probabilities.reshape([2] * count), (*kept, *rest)).reshape(2 ** len(kept), -1).sum(axis=1)


def _fingerprint(circuit: QuantumCircuit, device: qcompile.Device) -> str:
    steps = [
        [
            i.operation.name,
            [repr(p) for p in i.operation.params],
            [circuit.find_bit(b).index for b in (*i.qubits, *i.clbits)],
            str(i.operation.unit) if i.operation.name == "delay" else "",
        ]
        for i in circuit.data
    ]
    payload = [_VERSION, device.sha256, final_places(circuit), list(active_qubits(circuit)), steps]
    return hashlib.sha256(json.dumps(payload).encode()).hexdigest()


def _work(task: tuple[QuantumCircuit, str]) -> dict[str, Any]:
    return asdict(truth(task[0], qcompile.load_device(task[1])))


def _single_threaded() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def truths(cases: Sequence[Case], cache: Path | None, workers: int = WORKERS, title: str = "truth") -> list[Truth]:
    """The truth of each case, from the cache where it is known (by circuit and calibration), else simulated."""
    devices = {c.chip: qcompile.load_device(c.chip) for c in cases}
    keys = [_fingerprint(c.circuit, devices[c.chip]) for c in cases]
    known: dict[str, dict[str, Any]] = {}
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        for key in dict.fromkeys(keys):
            if (cache / f"{key}.json").exists():
                known[key] = json.loads((cache / f"{key}.json").read_text(encoding="utf-8"))
    tasks = {k: (c.circuit, c.chip) for k, c in zip(keys, cases) if k not in known}
    if tasks:
        for key, found in track(_simulated(tasks, workers), title, len(tasks), console=Console(stderr=True)):
            known[key] = found
            if cache is not None:
                (cache / f"{key}.json").write_text(json.dumps(found), encoding="utf-8")
    return [Truth(**known[key]) for key in keys]


def _simulated(tasks: dict[str, tuple[QuantumCircuit, str]], workers: int) -> Iterator[tuple[str, dict[str, Any]]]:
    _single_threaded()  # the workers inherit it
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=min(workers, WORKERS), mp_context=context) as pool:
        yield from zip(tasks, pool.map(_work, tasks.values(), chunksize=2))
