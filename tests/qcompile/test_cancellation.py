"""Cancellation of inverse gates: the same circuit, nothing left that Qiskit's own pass would cancel, in linear time."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2, zz_feature_map
from qiskit.synthesis import synth_qft_full
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import CommutativeInverseCancellation

from qcompile.cancellation import cancel_pairs
from qcompile.lowering import lower
from tests.circuits import u3cu3
from tests.qcompile.lowered import lowered_circuits, marked


def by_qiskit(circuit: QuantumCircuit) -> QuantumCircuit:
    return PassManager([CommutativeInverseCancellation()]).run(circuit)


@given(lowered_circuits())
@settings(max_examples=200, deadline=None)
def test_the_circuit_stays_the_same(circuit: QuantumCircuit) -> None:
    rng = np.random.default_rng(0)
    values = {p: float(rng.uniform(-3, 3)) for p in circuit.parameters}
    cancelled = cancel_pairs(circuit)
    assert marked(cancelled, values).equiv(marked(circuit, values), atol=1e-7)
    assert cancelled.qregs == circuit.qregs
    assert cancelled.cregs == circuit.cregs
    assert cancel_pairs(cancelled) == cancelled


@given(lowered_circuits())
@settings(max_examples=100, deadline=None)
def test_qiskit_leaves_no_fewer_cx(circuit: QuantumCircuit) -> None:
    theirs = by_qiskit(circuit)
    assert cancel_pairs(circuit).count_ops().get("cx", 0) <= theirs.count_ops().get("cx", 0)


@pytest.mark.parametrize(
    "circuit",
    [u3cu3(6, 2), zz_feature_map(6, reps=2), synth_qft_full(6), efficient_su2(8, entanglement="full")],
    ids=["u3cu3", "zz", "qft", "esu2"],
)
def test_circuits_of_the_library_are_left_as_short_as_by_qiskit(circuit: QuantumCircuit) -> None:
    lowered = lower(circuit).circuit
    assert dict(cancel_pairs(lowered).count_ops()) == dict(by_qiskit(lowered).count_ops())


def test_what_cancels_uncovers_what_cancels() -> None:
    circuit = QuantumCircuit(3)
    a = Parameter("a")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.rz(a, 0)  # on the control: in nobody's way
    circuit.rx(0.3, 1)  # on the target, too
    circuit.cx(0, 2)
    circuit.t(2)
    circuit.tdg(2)
    circuit.cx(0, 2)
    circuit.cx(0, 1)
    circuit.rz(0.0, 0)
    assert [i.name for i in cancel_pairs(circuit).data] == ["h", "rz", "rx"]
    circuit.rz(-1.5, 1)
    circuit.cx(1, 2)
    circuit.rz(1.5, 1)
    assert [i.name for i in cancel_pairs(circuit).data] == ["h", "rz", "rx", "cx"]


@pytest.mark.parametrize("name", ["measure", "reset", "barrier", "delay"])
def test_nothing_cancels_across_what_is_no_gate(name: str) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.cx(0, 1)
    if name == "measure":
        circuit.measure(1, 0)
    elif name == "delay":
        circuit.delay(100, 1, unit="ns")
    else:
        getattr(circuit, name)(1)
    circuit.cx(0, 1)
    assert cancel_pairs(circuit) == circuit


def test_time_is_linear_in_the_number_of_gates() -> None:
    circuit = lower(efficient_su2(127, reps=1, entanglement="full")).circuit
    start = time.process_time()
    cancel_pairs(circuit)
    assert time.process_time() - start < 1.0  # 8,509 gates: 30 ms where nothing else runs
