"""What the noisy gradient benchmark computes, and the same for peers that know nothing of this project.

A peer gets the compiled circuit as JSON: `ops` is a list of {"qubits", "kraus"} (a channel; Kraus operators as [real,
imaginary] parts, the first qubit the more significant) and {"qubits": [q], "slot"} (exp(-i angle Z / 2)), neighbouring
channels already multiplied together, in favour of the peer. `angles` [row][slot] are those of weights 0, `slopes`
[slot][weight] what the weights add. An observable is one qubit: {"qubit", "zero", "one"}, what a 0 and a 1 count for
after readout error. Loss: mean over the batch of the sum of the observables' squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import qcompile
import qtrain
from qcompile.channels import pauli_basis
from qtrain.executors.sampling import is_joint
from qtrain.gates import Fixed
from qtrain.program import Program
from qtrain.simulators.fusion import fuse
from tests.gradient_circuits import Built, qoc, sel

KEY = (0, 0, 0)
SHIFTS = np.array([np.pi / 2, -np.pi / 2])
SHOTS = 1024
SEED = 7


@dataclass(frozen=True)
class NoisyWorkload:
    """One circuit on one chip.

    Attributes:
        target: times Aer that one parameter-shift gradient with shots is to be.
        aer: (weights, rows) of the shifted circuits that Aer runs, 2 a weight and row; scaled linearly to all.
        peers: whether density-matrix simulators with gradients are asked, too.
    """

    name: str
    family: str
    qubits: int
    layers: int
    device: str
    batch: int
    target: float
    aer: tuple[int, int]
    peers: bool = False

    def built(self) -> Built:
        """(circuit, features, weights)."""
        return qoc(self.layers) if self.family == "qoc" else sel(self.qubits, self.layers)


WORKLOADS = (
    NoisyWorkload("qoc on ibm_manila", "qoc", 4, 3, "ibm_manila", 32, 1000, aer=(48, 32), peers=True),
    NoisyWorkload("sel 7x3 on ibm_jakarta", "sel", 7, 3, "ibm_jakarta", 32, 1000, aer=(4, 16)),
    NoisyWorkload("sel 10x1 on ibm_guadalupe", "sel", 10, 1, "ibm_guadalupe", 1, 100, aer=(1, 1)),
)


class Problem:
    """A workload compiled for its device, with its data.

    Attributes:
        slots: [weight] the one slot that each weight enters, with `signs` [weight] as its slope.
    """

    def __init__(self, workload: NoisyWorkload) -> None:
        self.workload = workload
        circuit, self.features, self.weights = workload.built()
        observables = [f"Z{q}" for q in range(workload.qubits)]
        self.model = qtrain.QuantumModel(circuit, features=self.features, weights=self.weights, observables=observables)
        self.device = qcompile.load_device(workload.device)
        self.program = self._prepared(list(self.model.observables))
        rng = np.random.default_rng(SEED)
        self.x = rng.uniform(0, np.pi, (workload.batch, len(self.features)))
        self.w = rng.uniform(-np.pi, np.pi, len(self.weights))
        self.angles = self.program.angles(self.x, self.w)
        if not np.all(np.abs(self.program.A).sum(axis=0) == 1):
            raise SystemExit("a weight has not exactly one slot of slope 1; both sides would run different circuits")
        self.slots = np.array([int(self.program.slots_of(k)[0]) for k in range(len(self.w))])
        self.signs = self.program.A[self.slots, np.arange(len(self.w))]

    def _prepared(self, observables: list[Any]) -> Program:
        executor = qtrain.NoisySimulator(self.device, shots=None)
        return executor.prepare(self.model.circuit, observables, features=self.features, weights=self.weights)

    @property
    def circuits(self) -> int:
        """Of the whole parameter-shift gradient."""
        return 2 * len(self.w) * len(self.x)

    def shifted(self, shots: int | None, weights: int | None = None, rows: int | None = None) -> np.ndarray:
        """[row, weight, shift, observable] of the parameter-shift circuits; of the first weights and rows if given."""
        executor = qtrain.NoisySimulator(self.device, shots=shots)
        values = executor.shifted_expectations(self.program, self.angles[:rows], self.slots[:weights], SHIFTS, key=KEY)
        backwards = self.signs[:weights] < 0
        values[:, backwards] = values[:, backwards, ::-1]
        return values

    def loss(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss, and its derivative with respect to the values [batch, observable]."""
        return float(np.mean(np.sum(values**2, axis=1))), 2 * values / len(values)

    @cached_property
    def joint(self) -> Program | None:
        """The same circuit with every Z parity of its bits as an observable, where all bits are drawn jointly."""
        n = self.workload.qubits
        if not is_joint(self.program.measurement.bases[0]):
            return None
        subsets = [" ".join(f"Z{q}" for q in range(n) if s >> q & 1) for s in range(1, 2**n)]
        model = qtrain.QuantumModel(
            self.model.circuit, features=self.features, weights=self.weights, observables=subsets
        )
        return self._prepared(list(model.observables))


def kraus_operators(ptm: np.ndarray) -> np.ndarray:
    """[operator, d, d] of a Pauli transfer matrix whose first qubit is the more significant, by its Choi matrix."""
    size = int(np.sqrt(len(ptm)))
    paulis = pauli_basis(1)
    if size == 4:
        paulis = np.array([np.kron(first, second) for first in paulis for second in paulis])
    choi = np.einsum("ij,iab,jdc->acbd", ptm, paulis, paulis).reshape(size**2, size**2) / size
    values, vectors = np.linalg.eigh(choi)
    kept = values > 1e-13 * values.max()
    columns = vectors[:, kept] * np.sqrt(values[kept])
    operators: np.ndarray = columns.T.reshape(-1, size, size)
    return operators


def exported(problem: Problem) -> dict[str, Any]:
    """What a peer reads, see the head of this file."""
    program = problem.program
    (circuit,) = program.noisy
    ops: list[dict[str, Any]] = []
    for op in fuse(circuit.ops, lambda matrix: len(matrix) + 3.0):
        if isinstance(op, Fixed):
            operators = kraus_operators(op.matrix)
            ops.append({"qubits": list(op.qubits), "kraus": [operators.real.tolist(), operators.imag.tolist()]})
        else:
            ops.append({"qubits": list(op.qubits), "slot": op.slot})
    observables = []
    for row in program.measurement.coefficients:
        (place,) = np.flatnonzero(row)
        ((qubit, _),) = program.measurement.strings[place]
        read = circuit.confusion[circuit.measured.index(qubit)] @ [1.0, -1.0]
        observables.append({"qubit": qubit, "zero": read[0], "one": read[1]})
    return {
        "name": problem.workload.name,
        "workload": problem.workload.name,
        "qubits": program.num_qubits,
        "ops": ops,
        "observables": observables,
        "angles": program.angles(problem.x, np.zeros(len(problem.w))).tolist(),
        "slopes": program.A.tolist(),
        "w": problem.w.tolist(),
    }
