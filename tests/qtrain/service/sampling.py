"""Shots: drawn point by point, each from its own seed. What is too wide or not straight is run by Aer."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from .chip import Chip
from .lowering import Lowered, lower
from .propagation import WIDEST, probabilities

Bits = dict[str, NDArray[np.bool_]]
"""Register -> [point, shot, bit], the register's bit 0 first."""


def sample(circuit: QuantumCircuit, values: NDArray[np.float64], shots: int, chip: Chip) -> Bits:
    """The same circuit, point and number of shots give the same bits, bit for bit, in whatever job they come."""
    lowered = lower(circuit, values, chip)
    if lowered.straight and len(lowered.active) <= WIDEST:
        return draw(lowered, shots, chip)
    return by_aer(circuit, values, lowered, shots, chip)


def generators(lowered: Lowered, shots: int) -> list[int]:
    """[point] seeds of 64 bits."""
    digests = (hashlib.blake2b(seed + str(shots).encode(), digest_size=8) for seed in lowered.seeds)
    return [int.from_bytes(digest.digest(), "big") for digest in digests]


def draw(lowered: Lowered, shots: int, chip: Chip) -> Bits:
    """From the exact probabilities."""
    table = probabilities(lowered, chip)
    steps = np.cumsum(np.clip(table, 0.0, None), axis=1)
    steps /= steps[:, -1:]
    outcomes = np.empty((lowered.points, shots), dtype=np.int64)
    for point, seed in enumerate(generators(lowered, shots)):
        outcomes[point] = np.searchsorted(steps[point], np.random.default_rng(seed).random(shots), side="right")
    bits = {name: np.zeros((lowered.points, shots, size), dtype=bool) for name, size in lowered.registers.items()}
    for position, places in enumerate(lowered.measured.values()):
        for name, bit in places:
            bits[name][:, :, bit] = (outcomes >> position) & 1
    return bits


def noise_model(chip: Chip) -> NoiseModel | None:
    """The same channels for Aer."""
    if not chip.noisy:
        return None
    model = NoiseModel()
    for name, qubits in chip.gates:
        parameter = chip.depolarizing(name, qubits)
        if parameter:
            model.add_quantum_error(depolarizing_error(parameter, len(qubits)), name, qubits)
    for qubit, (up, down) in chip.readout.items():
        model.add_readout_error(ReadoutError([[1 - up, up], [down, 1 - down]]), [qubit])
    return model


def by_aer(circuit: QuantumCircuit, values: NDArray[np.float64], lowered: Lowered, shots: int, chip: Chip) -> Bits:
    """Mid-circuit measurements, resets, control flow, and more qubits than a density matrix is quick for."""
    simulator = AerSimulator(noise_model=noise_model(chip), max_parallel_threads=1)
    bits = {name: np.zeros((lowered.points, shots, size), dtype=bool) for name, size in lowered.registers.items()}
    for point, seed in enumerate(generators(lowered, shots)):
        bound = circuit.assign_parameters(values[point]) if circuit.num_parameters else circuit
        done = simulator.run(bound, shots=shots, seed_simulator=seed >> 33, memory=True).result()
        for shot, memory in enumerate(done.get_memory()):
            for register, text in zip(reversed(bound.cregs), memory.split(" ")):
                bits[register.name][point, shot] = [letter == "1" for letter in reversed(text)]
    return bits
