"""What a calibration allows, and how noisy it is.

The noise model is simple, and stands apart from qtrain's: after every native gate of error e (average gate
infidelity) a depolarizing channel of the same infidelity on its qubits, p = e d / (d - 1) with d = 2^k; rz is free; a
measurement flips by prob_meas1_prep0 and prob_meas0_prep1. No relaxation, also not in delays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

FREE = ("barrier", "delay", "measure", "reset", "if_else", "for_loop", "switch_case", "while_loop")
ANGLE_SLACK = 1e-9  # rad, by which an rzz angle may leave its range


class JobRefused(Exception):
    """What the device cannot run: the user's fault. 3211 is the code that the service was seen to give it."""

    reason_code = 3211


@dataclass(frozen=True)
class Chip:
    """One backend as it is now.

    Attributes:
        gates: (name, qubits) -> error; dead ones are absent.
        readout: qubit -> (probability of 1 for |0>, of 0 for |1>).
        num_qubits: of the device.
        noisy: False for ideal gates and readout.
    """

    gates: Mapping[tuple[str, tuple[int, ...]], float]
    readout: Mapping[int, tuple[float, float]]
    num_qubits: int
    noisy: bool = True

    @classmethod
    def read(
        cls, configuration: dict[str, Any], properties: dict[str, Any], *, noise: str, drift: dict[str, Any] | None
    ) -> Chip:
        """`drift` {sigma, seed} multiplies every error by its own lognormal factor, unknown to the calibration."""
        drifts = _drifts(drift)
        reported = {}
        for gate in properties["gates"]:
            parameters = {parameter["name"]: parameter["value"] for parameter in gate["parameters"]}
            reported[gate["gate"], tuple(gate["qubits"])] = parameters.get("gate_error", 0.0)
        native = set(configuration["basis_gates"])  # rx and rzz may be listed there and in the properties only
        keys = {key for key in reported if key[0] in native}
        for gate in configuration["gates"]:
            if gate["name"] in native:
                keys |= {(gate["name"], tuple(qubits)) for qubits in gate.get("coupling_map", [])}
        alive = {key: reported.get(key, 0.0) for key in keys if reported.get(key, 0.0) < 1.0}
        gates = {key: min(error * drifts(*key), 0.5) for key, error in alive.items()}
        readout = {}
        for number, parameters in enumerate(properties["qubits"]):
            values = {parameter["name"]: parameter["value"] for parameter in parameters}
            error = values.get("readout_error", 0.0)
            factor = drifts("measure", (number,))
            pair = (values.get("prob_meas1_prep0", error), values.get("prob_meas0_prep1", error))
            if error < 1.0:
                readout[number] = (min(pair[0] * factor, 0.5), min(pair[1] * factor, 0.5))
        return cls(gates, readout, configuration["n_qubits"], noise != "ideal")

    def check(self, circuit: QuantumCircuit) -> None:
        """Raises JobRefused for an instruction that is not native here, or on a dead qubit or coupling."""
        if circuit.num_qubits > self.num_qubits:
            raise JobRefused(f"Job not valid. {circuit.num_qubits} qubits on a device of {self.num_qubits}.")
        for instruction in circuit.data:
            name = instruction.operation.name
            qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
            native = (name, qubits) in self.gates
            if name == "measure":
                native = qubits[0] in self.readout
            elif name in FREE:
                native = True
            if not native:
                raise JobRefused(
                    f"Job not valid. The instruction {name} on qubits {qubits} is not supported by the target system."
                )

    def check_angles(self, name: str, angles: Any) -> None:
        """Raises JobRefused for an rzz angle outside [0, pi/2]."""
        angles = np.asarray(angles)
        if name == "rzz" and bool(((angles < -ANGLE_SLACK) | (angles > math.pi / 2 + ANGLE_SLACK)).any()):
            raise JobRefused("Job not valid. An angle of rzz is outside [0, pi/2].")

    def depolarizing(self, name: str, qubits: tuple[int, ...]) -> float:
        """The channel's parameter after that gate."""
        if not self.noisy:
            return 0.0
        dimension = 2 ** len(qubits)
        return float(min(self.gates.get((name, qubits), 0.0) * dimension / (dimension - 1), 1.0))

    def flips(self, qubit: int) -> tuple[float, float]:
        """(probability of 1 for |0>, of 0 for |1>)."""
        return self.readout[qubit] if self.noisy else (0.0, 0.0)


def _drifts(drift: dict[str, Any] | None) -> Any:
    if drift is None:
        return lambda name, qubits: 1.0

    def factor(name: str, qubits: tuple[int, ...]) -> float:
        seed = [int(drift["seed"]), *name.encode(), *qubits]
        return float(np.random.default_rng(seed).lognormal(0.0, drift["sigma"]))

    return factor
