"""simulator_for: which simulator a circuit is for, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qtrain.errors import ConfigError
from qtrain.executors.aer import AerExecutor
from qtrain.executors.base import checked_device, checked_shots
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.executors.propagation import PropagationSimulator
from qtrain.model import QuantumModel
from qtrain.noise import lower_for_device, with_noise
from qtrain.program import Program
from qtrain.simulators.pauli import MAX_QUBITS
from qtrain.simulators.propagation import Limits, propagation

if TYPE_CHECKING:
    from qcompile.device import Device

Simulator = ExactSimulator | NoisySimulator | PropagationSimulator | AerExecutor

TOLERANCE = 0.01
"""Typical truncation of an expectation up to which propagation is taken: about the error of 10,000 shots."""

SURELY_NARROW = MAX_QUBITS - 2
"""Circuits up to this width need no compilation to know that a density matrix holds them: routing adds few qubits."""

_STATES = 4  # of the full size that a simulator holds at once
_SURVEY = Limits(1e-5, 1 << 14)  # coarser than the executor's own: it takes a second


def simulator_for(
    program_or_model: QuantumModel | QuantumCircuit | Program,
    device: Device | None = None,
    *,
    shots: int | None = None,
    seed: int = 0,
    effort: str = "normal",
    memory_limit: int = 2 * 1024**3,
) -> Simulator:
    """The simulator to use, in this order: without a device the exact state vector; a density matrix where it fits;
    Pauli propagation where what it drops is small; Aer's trajectories (with shots only).

    The executor's `reason` says in a sentence why. A wide circuit is compiled to find out.

    Args:
        program_or_model: a QuantumCircuit counts with Z on each qubit as its observables; a Program is one that a
            simulator prepared.
        device: whose noise; None: that of the program, or no noise.
        shots: executions of each circuit; None for exact expectations.
        seed, effort: of the simulator and the compiler.
        memory_limit: bytes that states may take.
    Raises: ConfigError: nothing fits, or an argument of the wrong kind. ModelError, CircuitError, UnroutableError: a
        circuit that cannot be lowered or compiled. MissingExtraError: Aer is needed and is not installed.
    """
    limit = _checked_limit(memory_limit)
    checked_shots(shots, None if device is None else checked_device(device))
    if isinstance(program_or_model, Program):
        device = _device_of(program_or_model, device)
    elif not isinstance(program_or_model, QuantumModel | QuantumCircuit):
        raise ConfigError(
            f"program_or_model is a {type(program_or_model).__name__}. "
            "Expected a QuantumModel, a QuantumCircuit or a prepared Program."
        )
    width = _width(program_or_model)
    chosen: Simulator
    if device is None:
        needed = _STATES * 16 * 2**width
        if needed > limit:
            raise ConfigError(
                f"a state vector of {width} qubits takes {_bytes(needed)}, more than memory_limit = {_bytes(limit)}. "
                "Raise memory_limit, or name a device: its noise makes wide circuits tractable."
            )
        chosen = ExactSimulator(shots=shots)
        chosen.reason = (
            f"ExactSimulator: no device, so no noise; a state vector of {width} qubits takes {_bytes(needed)}."
        )
        return chosen
    program = program_or_model if isinstance(program_or_model, Program) else None
    if program is None and width > SURELY_NARROW:
        program = _prepared(program_or_model, device, seed, effort)
        width = program.num_qubits
    needed = _STATES * 8 * 4**width
    if width <= MAX_QUBITS and needed <= limit:
        chosen = NoisySimulator(device, shots=shots, seed=seed, effort=effort)
        chosen.reason = (
            f"NoisySimulator: a density matrix of {width} qubits takes {_bytes(needed)} "
            f"with its derivatives, within {_bytes(limit)}."
        )
        return chosen
    if program is None:
        program = _prepared(program_or_model, device, seed, effort)
    typical = _typical_truncation(program)
    why = f"{program.num_qubits} qubits are too many for a density matrix ({_bytes(needed)}); Pauli propagation "
    if typical <= TOLERANCE or shots is None:
        chosen = PropagationSimulator(device, shots=shots, seed=seed, effort=effort)
        chosen.reason = f"PropagationSimulator: {why}" + (
            f"typically drops at most {typical:.1g} of an expectation."
            if typical <= TOLERANCE
            else f"may drop {typical:.1g} of an expectation, and nothing else goes without shots: watch its truncation."
        )
        return chosen
    pure = 16 * 2**program.num_qubits
    method = "statevector" if pure <= limit else "matrix_product_state"
    chosen = AerExecutor(device, shots=shots, seed=seed, effort=effort, method=method)
    chosen.reason = (
        f"AerExecutor: {why}may drop {typical:.1g} of an expectation; "
        f"trajectories by {method} (a state vector takes {_bytes(pure)})."
    )
    return chosen


def _width(given: QuantumModel | QuantumCircuit | Program) -> int:
    return int(given.circuit.num_qubits if isinstance(given, QuantumModel) else given.num_qubits)


def _device_of(program: Program, device: Device | None) -> Device | None:
    if device is None or device == program.device:
        return program.device
    made = "without a device" if program.device is None else f"for {program.device.name}"
    raise ConfigError(
        f"the program was made {made}, and device is {device.name}. "
        "Expected that of the program, or a QuantumModel, which can be compiled anew."
    )


def _prepared(given: Any, device: Device, seed: int, effort: str) -> Program:
    """Compiled with its noise, only to look at."""
    if isinstance(given, QuantumModel):
        return with_noise(
            lower_for_device(
                given.circuit,
                given.observables,
                device,
                seed=seed,
                effort=effort,
                features=given.features,
                weights=given.weights,
            )
        )
    width = given.num_qubits
    observables = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits=width) for q in range(width)]
    return with_noise(lower_for_device(given, observables, device, seed=seed, effort=effort))


def _typical_truncation(program: Program) -> float:
    """The largest of any observable."""
    measured = program.measurement
    noisy = program.noisy or with_noise(program).noisy
    root = np.zeros(len(measured.strings))
    for circuit, basis in zip(noisy, measured.bases):
        strings = [tuple(q for q, _ in measured.strings[t]) for t in basis.terms]
        root[list(basis.terms)] = np.sqrt(propagation(circuit, strings, _SURVEY).mean_squares)
    return float((np.abs(measured.coefficients) @ root).max(initial=0.0))


def _bytes(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _checked_limit(memory_limit: Any) -> int:
    if isinstance(memory_limit, bool) or not isinstance(memory_limit, int | np.integer) or memory_limit < 1:
        raise ConfigError(f"memory_limit = {memory_limit!r}. Expected a whole number of bytes, e.g. {2 * 1024**3}.")
    return int(memory_limit)
