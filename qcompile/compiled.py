"""CompiledCircuit: a circuit on a device's physical qubits, ready to be bound and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import ParameterExpression
from qiskit.transpiler import Layout as QiskitLayout
from qiskit.transpiler import TranspileLayout

from qcompile.device import Device
from qcompile.estimate import Estimate
from qcompile.layout import Layout
from qcompile.schedule import Schedule, pad, schedule
from qcompile.summary import estimate_lines, html

__all__ = ["CompiledCircuit", "Estimate"]


@dataclass(frozen=True)
class CompiledCircuit:
    """A compiled circuit.

    Attributes:
        circuit: on `device.num_qubits` physical qubits, native gates, parameters symbolic, Qiskit's `.layout` set.
        initial_layout: where each virtual qubit starts.
        final_layout: where each virtual qubit ends, after the SWAPs.
        estimate: from the device's calibration.
        device: the snapshot that it was compiled for.
        frames: (physical qubit, k, Z rotation in rad, maybe symbolic) that was dropped in front of the k-th measurement
            or reset of that qubit, where nothing can see it; only chips that keep Z rotations in software have any.
    """

    circuit: QuantumCircuit
    initial_layout: Layout
    final_layout: Layout
    estimate: Estimate
    device: Device
    frames: tuple[tuple[int, int, float | ParameterExpression], ...] = ()

    @cached_property
    def active_qubits(self) -> tuple[int, ...]:
        """Physical qubits that do anything or hold a virtual qubit, ascending."""
        index_of = {q: i for i, q in enumerate(self.circuit.qubits)}
        touched = {
            index_of[q] for i in self.circuit.data if i.operation.name not in ("barrier", "delay") for q in i.qubits
        }
        return tuple(sorted(touched | set(self.initial_layout.physical) | set(self.final_layout.physical)))

    @cached_property
    def schedule(self) -> Schedule:
        """ALAP start times and idle windows."""
        return schedule(self.circuit, self.device)

    def compact(self) -> QuantumCircuit:
        """The same circuit on the active qubits only, ascending; `active_qubits[i]` is its qubit i."""
        return compact(self.circuit, self.active_qubits)

    def _repr_html_(self) -> str:
        places = {
            "placed at": ", ".join(f"q{v}→{p}" for v, p in enumerate(self.initial_layout.physical)),
            "at the end": ", ".join(f"q{v}→{p}" for v, p in enumerate(self.final_layout.physical)),
        }
        return html(f"{self.circuit.name} on {self.device.name}", [*places.items(), *estimate_lines(self.estimate)])

    def padded(self) -> QuantumCircuit:
        """The compact circuit with an explicit delay in every idle window: what a noise simulation runs."""
        return compact(pad(self.circuit, self.device), self.active_qubits)


def compact(circuit: QuantumCircuit, active: tuple[int, ...]) -> QuantumCircuit:
    """A circuit cut down to some of its qubits; barriers and delays on the others are dropped with them."""
    position = {circuit.qubits[p]: i for i, p in enumerate(active)}
    small = QuantumCircuit(len(active), name=circuit.name)
    small.add_bits(circuit.clbits)
    for register in circuit.cregs:
        small.add_register(register)
    for instruction in circuit.data:
        qubits = [position[q] for q in instruction.qubits if q in position]
        if instruction.operation.name == "barrier":
            if qubits:
                small.barrier(qubits)
        elif len(qubits) == len(instruction.qubits):
            small.append(instruction.operation, qubits, instruction.clbits)
    return small


def set_qiskit_layout(
    circuit: QuantumCircuit, original: QuantumCircuit, initial: Layout, moves: Mapping[int, int]
) -> None:
    """Gives a circuit the `.layout` that Qiskit's own tools read.

    Args:
        original: the virtual circuit, whose qubits and registers the layout names.
        moves: physical qubit -> where its content is at the end; unnamed ones stay.
    """
    width = circuit.num_qubits
    taken = set(initial.physical)
    spare = [p for p in range(width) if p not in taken]
    ancillas = QuantumRegister(len(spare), "ancilla") if spare else []
    virtual = [*original.qubits, *ancillas]
    initial_layout = QiskitLayout(dict(zip(virtual, [*initial.physical, *spare])))
    for register in original.qregs:
        initial_layout.add_register(register)
    circuit._layout = TranspileLayout(  # Qiskit has no public setter; its passes do the same
        initial_layout=initial_layout,
        input_qubit_mapping={bit: i for i, bit in enumerate(virtual)},
        final_layout=QiskitLayout({circuit.qubits[p]: moves.get(p, p) for p in range(width)}),
        _input_qubit_count=len(original.qubits),
        _output_qubit_list=list(circuit.qubits),
    )
