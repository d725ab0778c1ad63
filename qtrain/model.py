"""QuantumModel: a circuit with its parameters sorted into features and weights, and what is measured, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp, Parameter
from qiskit.quantum_info import Pauli, SparsePauliOp

from qtrain.errors import ModelError
from qtrain.measurement import checked_observables, measurement
from qtrain.program import Program, lower_ops, split_parameters
from qtrain.slots import angle_map

MAX_LISTED = 5
_FACTOR = re.compile("([XYZ])([0-9]{1,9})")
_LABEL = re.compile(r"[XYZ][0-9]{1,9}(?:\s*[XYZ][0-9]{1,9})*")


@dataclass(frozen=True, eq=False, init=False)
class QuantumModel:
    """What is trained.

    Attributes:
        circuit: the circuit without its final measurements; parameters symbolic.
        features: parameters that a data row fills, in the order of its columns.
        weights: parameters that training moves, in the order of `layer.weights`.
        observables: Hermitian operators on the circuit's own qubits, one an output.
    """

    circuit: QuantumCircuit
    features: tuple[Parameter, ...]
    weights: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]

    def __init__(
        self,
        circuit: QuantumCircuit,
        *,
        features: Iterable[Parameter | str] = (),
        weights: Iterable[Parameter | str],
        observables: Sequence[str | Pauli | SparsePauliOp],
    ) -> None:
        """Checks everything.

        Args:
            circuit: final measurements are taken off, since the observables say what is measured.
            features, weights: the circuit's parameters or their names; each of them in one of the two.
            observables: "Z0" is Z on qubit 0, "X0 Z2" or "X0Z2" a product; a Pauli string of the full width in
                Qiskit's order ("ZIII" is Z on qubit 3 of 4); a Pauli or SparsePauliOp.
        Raises: ModelError: a parameter in neither list, in both, twice, or not in the circuit; no weight; a
            measurement before the end, or control flow; an observable that is unreadable, complex or of another width.
        """
        bare = _without_final_measurements(circuit)
        known = {p.name: p for p in circuit.parameters}
        chosen, trained = split_parameters(
            circuit, _parameters("features", features, known), _parameters("weights", weights, known)
        )
        if not trained:
            raise ModelError("weights is empty: nothing to train. Name the parameters that training may move.")
        if isinstance(observables, str | Pauli | SparsePauliOp):
            raise ModelError(f"observables = {observables!r}. Expected a list, one entry an output.")
        operators = [_operator(i, o, circuit.num_qubits) for i, o in enumerate(observables)]
        object.__setattr__(self, "circuit", bare)
        object.__setattr__(self, "features", chosen)
        object.__setattr__(self, "weights", trained)
        object.__setattr__(self, "observables", checked_observables(operators, circuit.num_qubits))

    def __repr__(self) -> str:
        return (
            f"QuantumModel({self.circuit.num_qubits} qubits, {len(self.features)} features, "
            f"{len(self.weights)} weights, {len(self.observables)} observables)"
        )

    @cached_property
    def sha256(self) -> str:
        """Hash of what the circuit, its parameters and observables mean, whatever it is compiled to.

        Raises: ModelError: a gate that cannot be trained.
        """
        ops, expressions = lower_ops(self.circuit)
        angles = angle_map(expressions, self.features, self.weights)
        program = Program(self.circuit.num_qubits, tuple(ops), angles, self.observables, measurement(self.observables))
        return program.sha256


def _without_final_measurements(circuit: QuantumCircuit) -> QuantumCircuit:
    if not isinstance(circuit, QuantumCircuit):
        raise ModelError(
            f"circuit is a {type(circuit).__name__}. Expected a QuantumCircuit; "
            "read QASM with qiskit.qasm2.load or qiskit.qasm3.load."
        )
    if circuit.num_qubits == 0:
        raise ModelError("circuit has no qubits. Expected at least one.")
    bare = circuit.remove_final_measurements(inplace=False)
    for instruction in bare.data:
        operation = instruction.operation
        if operation.name == "measure" or isinstance(operation, ControlFlowOp):
            place = [bare.find_bit(q).index for q in instruction.qubits]
            raise ModelError(
                f"circuit holds {operation.name} on qubits {place} before its end. Expected gates only, since "
                "derivatives need them; only measurements at the end are taken off."
            )
    return bare


def _parameters(what: str, given: Iterable[Parameter | str], known: dict[str, Parameter]) -> list[Parameter]:
    if isinstance(given, str | Parameter):
        raise ModelError(f"{what} = {given!r}. Expected a list of parameters.")
    found = []
    for i, entry in enumerate(given):
        if isinstance(entry, str) and entry not in known:
            some = ", ".join(list(known)[:MAX_LISTED]) or "none"
            raise ModelError(f"{what}[{i}] = {entry!r} is no parameter of the circuit. It has: {some}.")
        found.append(known[entry] if isinstance(entry, str) else entry)
    return found


def _operator(position: int, given: str | Pauli | SparsePauliOp, num_qubits: int) -> SparsePauliOp:
    place = f"observables[{position}]"
    if isinstance(given, str):
        return _labelled(place, given, num_qubits)
    if isinstance(given, Pauli | SparsePauliOp):
        return SparsePauliOp(given)
    raise ModelError(f'{place} = {given!r}. Expected "Z0", "X0 Z2", a Pauli string or a SparsePauliOp.')


def _labelled(place: str, label: str, num_qubits: int) -> SparsePauliOp:
    if re.fullmatch("[IXYZ]+", label):
        return SparsePauliOp(label)
    text = label.replace("*", " ").strip()
    if not _LABEL.fullmatch(text):
        raise ModelError(f'{place} = {label!r} cannot be read. Expected e.g. "Z0", "X0 Z2", "Z0Z1" or "ZIIZ".')
    letters = ["I"] * num_qubits
    for pauli, digits in _FACTOR.findall(text):
        qubit = int(digits)
        if qubit >= num_qubits:
            raise ModelError(f"{place} = {label!r} names qubit {qubit}. The circuit has qubits 0 to {num_qubits - 1}.")
        if letters[qubit] != "I":
            raise ModelError(f"{place} = {label!r} names qubit {qubit} twice. Expected each once.")
        letters[qubit] = pauli
    return SparsePauliOp("".join(reversed(letters)))
