"""Bad circuits are refused with a message that says where and why, before any work; odd ones compile right."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import DiagonalGate, PauliEvolutionGate
from qiskit.quantum_info import Operator, SparsePauliOp

from qcompile import (
    CalibrationError,
    CircuitError,
    Device,
    InputError,
    NotEquivalentError,
    NotExecutableError,
    UnroutableError,
    assert_equivalent,
    assert_executable,
    compare,
    compile,
    cost,
    estimate,
    load_device,
)
from qcompile.circuit import read_circuit
from qcompile.device import Limits

HEAD = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\n'
LINE = Device.from_coupling([(0, 1), (1, 2), (2, 3)])

BAD_TEXTS = {
    "unterminated": (HEAD + "h q[0]", "5,0"),
    "missing include": ('OPENQASM 2.0;\ninclude "nope.inc";\nqreg q[1];', "nope.inc"),
    "index out of range": (HEAD + "h q[5];", "5,4: index 5"),
    "duplicate qubits": (HEAD + "cx q[0], q[0];", "duplicate"),
    "undefined gate": (HEAD + "foo q[0];", "'foo' is not defined"),
    "opaque gate": (HEAD + "opaque foo a;\nfoo q[0];", "'foo' on 1 qubits is opaque"),
    "recursive gate": (HEAD + "gate g a { g a; }\ng q[0];", "'g'"),
    "empty": ("", "empty"),
    "blank": ("  \n\n", "empty"),
    "no version": ("qreg q[2];", "no version line"),
    "pi/0": (HEAD + "rz(pi/0) q[0];", "divide by zero"),
    "classical control": (HEAD + "if (c == 1) x q[0];", "control flow"),
    "while loop": ("OPENQASM 3.0;\nbit c;\nqubit q;\nwhile (c) { c = measure q; }", "control flow|importer"),
    "unknown version": ("OPENQASM 4.0;", "version 2.0 or 3.x"),
    "QASM 3 syntax": ("OPENQASM 3.0;\nnonsense", "line 2"),
    "absolute include": ('OPENQASM 2.0;\ninclude "/etc/hostname";\nqreg q[1];', "leaves the folder"),
    "include above": ('OPENQASM 2.0;\ninclude "../x.inc";\nqreg q[1];', "leaves the folder"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_bad_qasm_is_refused_with_place_and_reason(name: str) -> None:
    text, reason = BAD_TEXTS[name]
    with pytest.raises(CircuitError, match=reason):
        compile(text, LINE)


def test_binary_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bad.qasm"
    path.write_bytes(b"\xff\xfe\x00garbage")
    with pytest.raises(CircuitError, match=r"bad\.qasm: byte 0 is no UTF-8"):
        compile(path, LINE)


def test_missing_file_is_refused_by_name() -> None:
    with pytest.raises(CircuitError, match=r"nowhere\.qasm: cannot be read"):
        compile("nowhere.qasm", LINE)


def test_file_with_an_include_beside_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.inc").write_text("gate flip a { U(pi,0,pi) a; }\n")
    path = tmp_path / "good.qasm"
    path.write_text('OPENQASM 2.0;\ninclude "mine.inc";\nqreg q[1];\nflip q[0];\n')
    assert read_circuit(path).count_ops() == {"flip": 1}
    assert compile(str(path), LINE).circuit.count_ops()["x"] == 1


def test_qasm3_input_parameter_stays_symbolic() -> None:
    text = (
        'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] theta;\nqubit[2] q;\nrx(theta) q[0];\ncx q[0], q[1];\n'
    )
    compiled = compile(text, LINE)
    assert [p.name for p in compiled.circuit.parameters] == ["theta"]
    assert_equivalent(text, compiled)


def test_opaque_gate_object_is_refused() -> None:
    circuit = QuantumCircuit(2)
    circuit.append(Gate("mystery", 2, []), [0, 1])
    with pytest.raises(CircuitError, match=r"instruction 0 .mystery.*opaque"):
        compile(circuit, LINE)


@pytest.mark.parametrize("angle", [math.nan, math.inf, -math.inf])
def test_angle_that_is_not_finite_is_refused(angle: float) -> None:
    circuit = QuantumCircuit(1)
    circuit.rz(angle, 0)
    with pytest.raises(CircuitError, match="not finite"):
        compile(circuit, LINE)


def test_no_qubits_is_refused() -> None:
    with pytest.raises(CircuitError, match="has no qubits"):
        compile(QuantumCircuit(0), LINE)


def test_something_else_is_refused() -> None:
    with pytest.raises(CircuitError, match="is a int"):
        compile(3, LINE)


def test_wider_than_the_device_names_both_numbers() -> None:
    with pytest.raises(UnroutableError, match=r"has 5 qubits.*has 4 of 4"):
        compile(QuantumCircuit(5), LINE)


def test_kyoto_without_a_live_coupler_is_refused() -> None:
    with pytest.raises(UnroutableError, match=r"has 2 qubits.*ibm_kyoto has 1 of 127 \(0 live couplers"):
        compile(QuantumCircuit(2), load_device("ibm_kyoto"))


def test_wider_than_the_largest_live_region_of_manhattan_is_refused() -> None:
    device = load_device("ibm_manhattan")
    largest = len(device.components[0])
    assert largest < device.num_qubits
    with pytest.raises(UnroutableError, match=f"has {largest + 1} qubits.*has {largest} of 65"):
        compile(QuantumCircuit(largest + 1), device)


@pytest.mark.parametrize(("edges", "reason"), [([(0, 0)], "self loop"), ([(-1, 0)], "not there")])
def test_impossible_coupling_is_refused(edges: list[tuple[int, int]], reason: str) -> None:
    with pytest.raises(CalibrationError, match=reason):
        Device.from_coupling(edges)


@pytest.mark.parametrize("error", [math.nan, -0.1, 1.5, math.inf])
def test_impossible_error_is_refused(error: float) -> None:
    with pytest.raises(CalibrationError, match="not a probability"):
        Device.from_coupling([(0, 1)], two_qubit_error=error)


@pytest.mark.parametrize("effort", ["", "BEST", "slow"])
def test_unknown_effort_is_refused(effort: str) -> None:
    with pytest.raises(InputError, match="Expected one of fast, normal, best"):
        compile(QuantumCircuit(1), LINE, effort=effort)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True, None])
def test_odd_seed_is_refused(seed: object) -> None:
    with pytest.raises(InputError, match="whole number"):
        compile(QuantumCircuit(1), LINE, seed=seed)


def test_wrong_number_of_values_is_refused_not_broadcast() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("a"), 0)
    circuit.rz(Parameter("b"), 0)
    for values in ([1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], {"a": 1.0}, {"a": 1.0, "b": 2.0, "c": 3.0}, [1.0, math.nan]):
        with pytest.raises(CircuitError, match="values"):
            compile(circuit, LINE, values=values)


def test_symbolic_delay_is_refused_and_unaligned_delay_is_kept() -> None:
    device = load_device("ibm_manila")
    symbolic = QuantumCircuit(1)
    symbolic.delay(Parameter("tau"), 0, unit="s")
    with pytest.raises(CircuitError, match="symbolic"):
        compile(symbolic, device)
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.delay(1234567, 0, unit="ps")
    circuit.barrier()
    circuit.delay(17, 1, unit="dt")
    circuit.cx(0, 1)
    compiled = compile(circuit, device)
    assert compiled.circuit.count_ops()["delay"] == 2
    assert_equivalent(circuit, compiled)


def test_delay_in_dt_needs_a_device_that_states_dt() -> None:
    circuit = QuantumCircuit(1)
    circuit.delay(16, 0, unit="dt")
    with pytest.raises(CircuitError, match="states no dt"):
        compile(circuit, LINE)


def test_gate_free_and_phase_only_circuits_compile() -> None:
    assert compile(QuantumCircuit(3), LINE).circuit.size() == 0
    phase = QuantumCircuit(1, global_phase=Parameter("g") + 1.0)
    phase.x(0)
    compiled = compile(phase, LINE)
    assert compiled.circuit.global_phase == 0
    assert compiled.circuit.count_ops() == {"x": 1}
    for circuit in (QuantumCircuit(2), phase.assign_parameters([0.3])):
        assert_equivalent(circuit, compile(circuit, LINE))


def test_unicode_names_many_registers_and_loose_bits_compile() -> None:
    registers = [QuantumRegister(1, f"größe{i}") for i in range(4)]
    circuit = QuantumCircuit(*registers)
    circuit.ry(Parameter("θ→φ"), 0)
    circuit.cx(0, 3)
    circuit.measure_all()
    compiled = compile(circuit, LINE)
    assert [p.name for p in compiled.circuit.parameters] == ["θ→φ"]
    assert_equivalent(circuit, compiled)


def test_same_classical_bit_written_twice_keeps_its_last_writer() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    compiled = compile(circuit, LINE)
    writers = [
        compiled.circuit.find_bit(i.qubits[0]).index for i in compiled.circuit.data if i.operation.name == "measure"
    ]
    assert writers == [compiled.final_layout.physical[0], compiled.final_layout.physical[1]]
    assert_equivalent(circuit, compiled)


def test_reset_and_mid_circuit_measurement_compile_right() -> None:
    circuit = QuantumCircuit(4, 3)
    circuit.h(0)
    circuit.cx(0, 3)
    circuit.measure(0, 0)
    circuit.reset(0)
    circuit.ry(0.7, 0)
    circuit.cx(0, 2)
    circuit.cx(3, 1)
    circuit.measure(0, 1)
    circuit.measure(2, 2)
    compiled = compile(circuit, LINE)
    assert_equivalent(circuit, compiled)
    assert 0 < compiled.estimate.state_fidelity < 1
    assert compiled.estimate.hellinger_fidelity is None


def test_gates_of_every_kind_compile_right() -> None:
    circuit = QuantumCircuit(4)
    circuit.ccx(0, 1, 2)
    circuit.mcp(0.3, [0, 1], 3)
    circuit.iswap(0, 2)
    circuit.rxx(Parameter("a"), 0, 3)
    circuit.crx(Parameter("b"), 3, 1)
    circuit.unitary(np.eye(4)[[0, 1, 3, 2]], [1, 2])
    circuit.swap(0, 3)
    assert_equivalent(circuit, compile(circuit, LINE))


OWN_ECR = "include {lib};\ngate ecr a, b {{ cx a, b; }}\ngate twice a, b {{ ecr a, b; h a; ecr b, a; }}\n"


@pytest.mark.parametrize(
    "text",
    [
        "OPENQASM 2.0;\n" + OWN_ECR.format(lib='"qelib1.inc"') + "qreg q[2];\necr q[0], q[1];\ntwice q[1], q[0];",
        "OPENQASM 3.0;\n" + OWN_ECR.format(lib='"stdgates.inc"') + "qubit[2] q;\necr q[0], q[1];\ntwice q[1], q[0];",
    ],
)
def test_own_gate_with_the_name_of_a_library_gate_keeps_its_meaning(text: str) -> None:
    expected = QuantumCircuit(2)
    for a, b in ((0, 1), (1, 0)):
        expected.cx(a, b)
    expected.h(1)
    expected.cx(0, 1)
    compiled = compile(text, Device.from_coupling([(0, 1)]))
    assert Operator.from_circuit(compiled.circuit).equiv(Operator(expected))
    assert_equivalent(text, compiled)
    assert_equivalent(expected, compiled)


def test_byte_order_mark_and_includes_in_comments_are_no_trouble() -> None:
    text = "\ufeff" + HEAD + '// include "mine.inc";\nh q[0];'
    assert read_circuit(text).count_ops() == {"h": 1}


@pytest.mark.parametrize("controls", [3, 4])
def test_idle_qubits_are_no_clean_ancillas(controls: int) -> None:
    circuit = QuantumCircuit(controls + 3)
    circuit.h(controls + 2)
    circuit.mcx(list(range(controls)), controls)
    assert_equivalent(circuit, compile(circuit, Device.from_coupling([(q, q + 1) for q in range(7)]), effort="fast"))


def test_complex_amplitudes_are_no_angles() -> None:
    circuit = QuantumCircuit(2)
    circuit.append(DiagonalGate([1, 1j, -1, -1j]), [1, 0])
    assert_equivalent(circuit, compile(circuit, LINE))


def test_instructions_that_hold_resets_and_measurements_are_verified() -> None:
    part = QuantumCircuit(2, 1, name="part")
    part.cx(0, 1)
    part.measure(1, 0)
    part.x(1)
    circuit = QuantumCircuit(3, 2)
    circuit.h(2)
    circuit.initialize([0.5, 0.5j, -0.5, 0.5], [0, 1])
    circuit.cx(0, 2)
    circuit.append(part.to_instruction(), [2, 0], [1])
    circuit.measure(0, 0)
    assert_equivalent(circuit, compile(circuit, LINE))
    wrong = circuit.copy()
    wrong.data.pop(1)
    with pytest.raises(NotEquivalentError):
        assert_equivalent(wrong, compile(circuit, LINE))


def test_a_time_evolution_is_verified_as_the_product_formula_that_it_compiles_to() -> None:
    circuit = QuantumCircuit(3)
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XXI", "IZZ", "IYI"]), Parameter("t")), [2, 0, 1])
    assert_equivalent(circuit, compile(circuit, LINE))


def test_values_by_vector_are_those_of_its_elements() -> None:
    angles, single = ParameterVector("v", 2), Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.ry(angles[0] * single, 0)
    circuit.rx(angles[1], 1)
    by_vector = compile(circuit, LINE, values={angles: [0.1, 0.2], single: 0.3})
    assert by_vector.estimate == compile(circuit, LINE, values={"v[0]": 0.1, "v[1]": 0.2, "a": 0.3}).estimate
    with pytest.raises(CircuitError, match=r"lack \['v\[1\]'\]"):
        compile(circuit, LINE, values={angles: [0.1], single: 0.3})


def test_angle_without_a_value_at_the_given_point_is_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(1 / Parameter("a"), 0)
    with pytest.raises(CircuitError, match="a = 0"):
        compile(circuit, LINE, values=[0.0])


@pytest.mark.parametrize("device", ["ibm_manila", None])
def test_what_is_no_device_is_refused_with_the_way_out(device: Any) -> None:
    with pytest.raises(InputError, match="load_device"):
        compile(QuantumCircuit(1), device)
    with pytest.raises(InputError, match="load_device"):
        estimate(QuantumCircuit(1), device)
    with pytest.raises(InputError, match="load_device"):
        compare(QuantumCircuit(1), device)


def test_numpy_integers_are_whole_numbers() -> None:
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    assert compile(circuit, LINE, seed=np.int64(3)).circuit == compile(circuit, LINE, seed=3).circuit
    assert cost(compile(circuit, LINE), shots=np.int64(100)).executions == 100


def test_mid_circuit_measurement_is_refused_where_the_chip_takes_none() -> None:
    device = dataclasses.replace(LINE, limits=Limits(mid_circuit=False))
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.measure(1, 1)
    compile(circuit, device)
    circuit.x(0)
    with pytest.raises(NotExecutableError, match="at the end only"):
        compile(circuit, device)
    with pytest.raises(NotExecutableError, match="at the end only"):
        assert_executable(circuit, device)


@pytest.mark.slow
def test_a_circuit_of_100000_gates_compiles() -> None:
    circuit = QuantumCircuit(4)
    for k in range(25_000):
        circuit.ry(0.1 + k, k % 4)
        circuit.cx(k % 4, (k + 1) % 4)
        circuit.rz(0.2, (k + 1) % 4)
        circuit.sx(k % 4)
    compiled = compile(circuit, LINE, effort="fast")
    assert compiled.estimate.two_qubit_gates > 20_000
    assert_equivalent(circuit, compiled)
