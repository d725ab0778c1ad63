"""CompiledCircuit: a circuit on a device's physical qubits, ready to be bound and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.transpiler import Layout as QiskitLayout
from qiskit.transpiler import TranspileLayout

from qcompile.binding import Binding, Slot
from qcompile.device import Device
from qcompile.estimate import Estimate
from qcompile.layout import Layout
from qcompile.schedule import Schedule, pad, schedule
from qcompile.summary import estimate_lines, html
from qcompile.values import Values

__all__ = ["CompiledCircuit", "Estimate"]


class _OnDemand:
    """A field that holds a value, or a function that makes it when it is first read.

    Two threads that read it first may both make it; the function must give equal values.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            raise AttributeError(self.name)  # what tells dataclasses that the field has no default
        value = instance.__dict__[self.name]
        if callable(value):
            value = instance.__dict__[self.name] = value()
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = value


def on_demand(make: Callable[[], Estimate]) -> Estimate:
    """Stands for the estimate in a CompiledCircuit, which makes it when it is first read: hence the type.

    Pickling a circuit before that pickles the function.
    """
    return cast(Estimate, make)


@dataclass(frozen=True)
class CompiledCircuit:
    """A compiled circuit.

    A value: edit a copy of `circuit`, not the circuit itself.

    Attributes:
        circuit: on `device.num_qubits` physical qubits, native gates, parameters symbolic, Qiskit's `.layout` set.
        initial_layout: where each virtual qubit starts.
        final_layout: where each virtual qubit ends, after the SWAPs.
        estimate: from the device's calibration; `on_demand(function)` in its place is called when the estimate is first
            read (also by ==, repr and dataclasses.replace), so that compiling does not wait for it.
        device: the snapshot that it was compiled for.
        parameters: of the original circuit, in its order, those included that the compiler cancelled; by default those
            of `circuit`.
        frames: (physical qubit, k, Z rotation in rad, maybe symbolic) that was dropped in front of the k-th measurement
            or reset of that qubit, where nothing can see it; only chips that keep Z rotations in software have any.
    """

    circuit: QuantumCircuit
    initial_layout: Layout
    final_layout: Layout
    if TYPE_CHECKING:
        estimate: Estimate
    else:
        estimate: Estimate = _OnDemand()
    device: Device
    parameters: tuple[Parameter, ...] | None = None
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

    @cached_property
    def _binding(self) -> Binding:
        own = self.circuit.parameters if self.parameters is None else self.parameters
        return Binding(self.circuit, tuple(own))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The symbolic angles of the native gates, in program order: the columns of `angles`."""
        return self._binding.slots

    def angles(self, values: Values) -> NDArray[np.float64]:
        """[batch, slot] rad: every symbolic angle at values [batch, parameter], without symbolic arithmetic.

        Args:
            values: [batch, parameter] in the order of `parameters`; one vector, or one mapping by parameter, vector of
                parameters or name, is a batch of one.
        Raises: CircuitError: a wrong shape, a missing or unknown parameter, a value that is not finite and real, or an
            angle that has no finite real value there.
        """
        return self._binding.angles(values)

    def bind(self, values: Values) -> QuantumCircuit:
        """The circuit with a number at every angle: what `circuit.assign_parameters` gives, in a fraction of a ms.

        Args:
            values: by parameter, vector of parameters or name; or a sequence in the order of `parameters`.
        Raises: CircuitError: as `angles`; values for several circuits.
        """
        return self._binding.bind(values)

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
