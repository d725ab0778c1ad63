"""Lowering keeps what a circuit says: the order of its bits, and numbers that are written with symbols."""

from __future__ import annotations

import copy

from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Parameter, Qubit

from qcompile import assert_equivalent, compile, load_device
from qcompile.native import is_symbolic


def test_bits_keep_their_order_where_loose_ones_stand_before_registers() -> None:
    circuit = QuantumCircuit([Qubit()], QuantumRegister(2, "q"), [Clbit()], ClassicalRegister(2, "c"))
    circuit.x(0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.measure([0, 1, 2], [0, 2, 1])
    compiled = compile(circuit, load_device("ibm_manila"), effort="fast")
    assert compiled.circuit.clbits == circuit.clbits
    assert_equivalent(circuit, compiled)
    named = QuantumCircuit(list(circuit.qubits))
    named.add_register(QuantumRegister(name="reversed", bits=circuit.qubits[::-1]))
    named.x(0)
    named.cx(0, 1)
    assert_equivalent(named, compile(named, load_device("ibm_manila"), effort="fast"))


def test_an_angle_whose_symbols_vanish_is_a_number() -> None:
    a = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.ry(a - a - 0.7, 0)  # Qiskit keeps the parameter, and cannot hash the expression
    circuit.rz(a - a + 0.7, 0)
    circuit.ry(0 * a + 0.2, 0)
    compiled = compile(circuit, load_device("ibm_manila"), effort="fast")
    assert_equivalent(circuit, compiled)
    assert compiled.parameters == (a,)
    assert compiled.bind([0.3]).num_parameters == 0


def test_symbols_that_vanish_on_the_way_leave_a_number_too() -> None:
    a = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.rx(a, 0)
    circuit.cu(0.3, 2 * a, 2 * a, 0.1, 0, 1)  # holds (lam - phi) / 2
    circuit.ry(2 * a, 1)
    circuit.ry(-(a + a), 1)  # the same angle, written otherwise
    compiled = compile(circuit, load_device("ibm_manila"), effort="fast")
    copy.deepcopy(compiled.circuit)
    for instruction in compiled.circuit.data:
        for value in instruction.params:
            assert not is_symbolic(value) or abs(value.gradient(a)) > 0
    assert_equivalent(circuit, compiled)
