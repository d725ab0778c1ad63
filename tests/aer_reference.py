"""Qiskit Aer as the reference: the noise model of design, on the active qubits, fed with our own delays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.providers import BackendV2, Options
from qiskit.quantum_info import Kraus, Statevector, SuperOp
from qiskit.transpiler import InstructionProperties, QubitProperties, Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, QuantumError

from qcompile import CompiledCircuit, Device


class _SubBackend(BackendV2):
    def __init__(self, target: Target) -> None:
        super().__init__(name="sub")
        self._target = target

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: object, **options: object) -> None:
        raise RuntimeError("only its target is of use")


def noise_model(device: Device, active: tuple[int, ...]) -> NoiseModel:
    """Aer's own NoiseModel.from_backend on a target cut down to the active qubits; no readout error."""
    where = {p: i for i, p in enumerate(active)}
    qubits = []
    for p in active:
        t1, t2 = device.qubits[p].relaxation
        qubits.append(QubitProperties(t1=t1, t2=t2, frequency=5e9))
    target = Target(num_qubits=len(active), qubit_properties=qubits)
    entries: dict[str, dict[tuple[int, ...], InstructionProperties]] = {}
    for (name, on), gate in device.gates.items():
        if all(q in where for q in on) and device.is_live(name, on):
            entries.setdefault(name, {})[tuple(where[q] for q in on)] = InstructionProperties(
                duration=gate.duration, error=gate.error
            )
    library = get_standard_gate_name_mapping()
    for name, props in entries.items():
        target.add_instruction(library[name], props)
    target.add_instruction(Delay(Parameter("t")), {(i,): InstructionProperties() for i in range(len(active))})
    return NoiseModel.from_backend(_SubBackend(target), readout_error=False, thermal_relaxation=True)


def in_one_piece(noise: NoiseModel) -> NoiseModel:
    """The same model with each error as one Kraus map: as it runs, Aer drops error terms of probability below 1e-10."""
    whole = NoiseModel(basis_gates=noise.basis_gates)
    for name, errors in noise._local_quantum_errors.items():
        for qubits, error in errors.items():
            whole.add_quantum_error(QuantumError(Kraus(SuperOp(error))), name, qubits)
    whole._custom_noise_passes = noise._custom_noise_passes
    return whole


def density_matrix(compiled: CompiledCircuit) -> NDArray[np.complex128]:
    """Noisy state of the active qubits just before the measurement."""
    circuit = without_measurements(compiled.padded())
    circuit.save_density_matrix()
    model = noise_model(compiled.device, compiled.active_qubits)
    simulator = AerSimulator(method="density_matrix", noise_model=model, max_parallel_threads=1)
    return np.asarray(simulator.run(circuit, shots=1).result().data(0)["density_matrix"])


def without_measurements(circuit: QuantumCircuit) -> QuantumCircuit:
    """The same without measurements and barriers."""
    plain = QuantumCircuit(circuit.num_qubits)
    for instruction in circuit.data:
        if instruction.operation.name not in ("measure", "barrier"):
            plain.append(instruction.operation, [circuit.find_bit(q).index for q in instruction.qubits])
    return plain


def exact_state_fidelity(compiled: CompiledCircuit) -> float:
    """<psi| rho |psi> on the virtual qubits at the final layout, all others traced out."""
    rho = density_matrix(compiled)
    ideal = QuantumCircuit(len(compiled.active_qubits))
    for instruction in without_measurements(compiled.compact()).data:
        if instruction.operation.name != "delay":
            ideal.append(instruction.operation, [q._index for q in instruction.qubits])
    psi = Statevector(ideal).data
    wires = compiled.final_layout.restricted(compiled.active_qubits).physical
    return float(np.real(_expect(psi, rho, wires, len(compiled.active_qubits))))


def _expect(psi: NDArray[np.complex128], rho: NDArray[np.complex128], wires: tuple[int, ...], n: int) -> complex:
    kept = [n - 1 - w for w in reversed(wires)]
    rest = [a for a in range(n) if a not in kept]
    shape = (2 ** len(kept), 2 ** len(rest))
    vector = np.transpose(psi.reshape([2] * n), (*kept, *rest)).reshape(shape)
    left, singular, _ = np.linalg.svd(vector, full_matrices=False)
    assert singular[0] > 1 - 1e-9, "the spare qubits do not factor out of the noise-free state"
    axes = (*kept, *rest)
    tensor = np.transpose(rho.reshape([2] * (2 * n)), (*axes, *(n + a for a in axes))).reshape(*shape, *shape)
    reduced = np.einsum("arbr->ab", tensor)
    return complex(left[:, 0].conj() @ reduced @ left[:, 0])
