"""A small circuit, its points, and a job of them through the client-side Sampler."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

POINTS = np.random.default_rng(0).uniform(-np.pi, np.pi, (6, 4))
QUICK = {"poll_interval": 0.1, "timeout": 20}


def circuit(qubits: int = 2) -> QuantumCircuit:
    """Native gates of ibm_manila, two angles a qubit, measured into the register c."""
    angles = ParameterVector("angle", 2 * qubits)
    built = QuantumCircuit(5, qubits)
    for qubit in range(qubits):
        built.sx(qubit)
        built.rz(angles[2 * qubit] * 0.5 + 0.25, qubit)
        built.sx(qubit)
    for qubit in range(qubits - 1):
        built.cx(qubit, qubit + 1)
    for qubit in range(qubits):
        built.rz(angles[2 * qubit + 1], qubit)
        built.sx(qubit)
    built.measure(range(qubits), range(qubits))
    return built


def submit(
    client: Any,
    points: NDArray[np.float64] = POINTS,
    *,
    tag: str = "run:0:a",
    shots: int = 64,
    backend: str = "ibm_manila",
    mode: Any = None,
) -> Any:
    """The job; `mode` is a session, a batch, or a backend that one has already."""
    from qiskit_ibm_runtime.executor_sampler import Sampler

    sampler = Sampler(mode or client.backend(backend))
    sampler.options.environment.job_tags = [tag]
    return sampler.run([(circuit(), points)], shots=shots)
