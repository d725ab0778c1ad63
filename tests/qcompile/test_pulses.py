"""Whatever waits on a wire comes out as the same unitary, in the chip's own pulses, as few of them as there can be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qcompile import CalibrationError, Device, assert_equivalent, assert_executable, compile, load_device
from qcompile.device import Gate, NativeGates
from qcompile.ideal import gate_matrices, gate_matrix
from qcompile.lowering import Angle
from qcompile.native_form import NativeForm, basis_change, checked_form, native_form
from qcompile.pulses import Wires, gate_parts
from tests.circuits import u3cu3

FORMS = {
    "rz sx x": NativeForm("sx", "sx", "rz", "x"),
    "rz sx": NativeForm("sx", "sx", "rz"),
    "r rz": NativeForm("r", "r", "rz"),
    "r": NativeForm("r", "r", None),
    "u rz": NativeForm("u", "u", "rz"),
    "u": NativeForm("u", "u", None),
    "u1 u2 u3": NativeForm("u", "u3", "u1", "u2"),
}
A, B = Parameter("a"), Parameter("b")
SLOTS = {A: 0, B: 1}
ANGLES = st.floats(-6.3, 6.3) | st.sampled_from([0.0, math.pi / 2, math.pi, -math.pi / 2, -math.pi, 1e-12])


@st.composite
def chains(draw, symbolic):
    """(gate, angles) in time order."""
    angle = ANGLES | st.sampled_from([A, B]) if symbolic else ANGLES
    found = []
    for _ in range(draw(st.integers(1, 6))):
        name = draw(st.sampled_from(["rx", "ry", "rz", "p", "u", "h", "x", "y", "z", "sx", "sdg", "t"]))
        count = {"rx": 1, "ry": 1, "rz": 1, "p": 1, "u": 3}.get(name, 0)
        found.append((name, tuple(draw(angle) for _ in range(count))))
    return found


def unitary(chain, values=(0.0, 0.0)):
    matrix = np.eye(2)
    for name, angles in chain:
        numbers = [
            values[SLOTS[x]] if isinstance(x, Parameter) else float(x.values(np.array([values]))[0])
            if isinstance(x, Angle) else x for x in angles
        ]  # fmt: skip
        matrix = gate_matrix(name, tuple(numbers)) @ matrix
    return matrix


def put(wires, name, angles):
    for part in gate_parts(name, angles, SLOTS):
        wires.add(0, part)


def pulses_of(form, chain, cut=None):
    wires, found = Wires(form), []
    for i, (name, angles) in enumerate(chain):
        if i == cut:
            found += wires.flush(0, diagonal=True)
        put(wires, name, angles)
    return [*found, *wires.flush(0)]


def distance(one, other):
    return 1 - abs(np.trace(one.conj().T @ other)) / 2


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(chain=chains(symbolic=False))
def test_numbers_become_two_sx_or_one_r_or_one_u(form, chain):
    pulses = pulses_of(form, chain)
    assert distance(unitary(chain), unitary(pulses)) < 1e-9
    most = 2 if form.kind == "sx" or (form.kind == "r" and form.frame is None) else 1
    assert sum(name in form.pulses for name, _ in pulses) <= most
    assert {name for name, _ in pulses} <= set(form.gates)
    assert all(-math.pi < x.constant <= math.pi for _, angles in pulses for x in angles)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(chain=chains(symbolic=True), values=st.tuples(ANGLES, ANGLES), cut=st.integers(0, 6))
def test_symbols_stay_affine_and_the_unitary_is_the_same_at_any_value(form, chain, values, cut):
    pulses = pulses_of(form, chain, cut)
    assert distance(unitary(chain, values), unitary(pulses, values)) < 1e-9


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ([("rx", (A,))], [("r", (Angle(0.0, ((0, 1.0),)), Angle(0.0)))]),
        ([("ry", (A,))], [("r", (Angle(0.0, ((0, 1.0),)), Angle(math.pi / 2)))]),
        ([("rx", (A,)), ("rx", (B,))], [("r", (Angle(0.0, ((0, 1.0), (1, 1.0))), Angle(0.0)))]),
        ([("rx", (A,)), ("rx", (0.25,))], [("r", (Angle(0.25, ((0, 1.0),)), Angle(0.0)))]),
        ([("rz", (B,)), ("ry", (A,))], [("r", (Angle(0.0, ((0, 1.0),)), Angle(math.pi / 2, ((1, -1.0),))))]),
        ([("x", ()), ("rz", (A,)), ("x", ()), ("rz", (A,))], []),
    ],
)
def test_a_symbolic_rotation_is_one_pulse_of_affine_angles(chain, expected):
    wires = Wires(FORMS["r rz"])
    for name, angles in chain:
        put(wires, name, angles)
    found = wires.flush(0, diagonal=True)
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (_, ours), (_, wanted) in zip(found, expected):
        assert [x.constant for x in ours] == pytest.approx([x.constant for x in wanted], abs=1e-12)
        assert [dict(x.terms) for x in ours] == [dict(x.terms) for x in wanted]


def test_a_frame_passes_diagonal_gates_and_is_dropped_in_front_of_a_measurement():
    wires = Wires(FORMS["r rz"])
    put(wires, "rz", (A,))
    assert list(wires.flush(0, diagonal=True)) == []
    pulses, frame = wires.drop(0)
    assert (list(pulses), frame) == ([], Angle(0.0, ((0, 1.0),)))
    assert list(wires.flush(0)) == []


def line(native, virtual=()):
    device = Device.from_coupling([(0, 1), (1, 2)], native_gate="cz", name="line")
    gates = {key: gate for key, gate in device.gates.items() if key[0] == "cz"}
    for q in range(3):
        gates |= {(name, (q,)): Gate(0.0, 0.0) if name in virtual else Gate(1e-3, 3e-8) for name in native}
    return Device(
        "line", "toy", device.calibrated_at, device.qubits, gates, NativeGates(native, ("cz",), virtual), device.timing
    )


@pytest.mark.parametrize(
    ("native", "virtual"), [(("r", "rz"), ("rz",)), (("r",), ()), (("u", "rz"), ("rz",)), (("u1", "u2", "u3"), ("u1",))]
)
def test_measured_circuits_hold_pulses_alone_and_are_verified_with_what_was_dropped(native, virtual):
    device, circuit = line(native, virtual), u3cu3(3, 1)
    circuit.measure_all()
    compiled = compile(circuit, device)
    assert_executable(compiled.circuit, device)
    assert_equivalent(circuit, compiled)
    names = set(compiled.circuit.count_ops())
    assert not names & {"rz", "u1"}
    if "r" in native:
        assert compiled.frames
        assert names == {"r", "cz", "measure", "barrier"}


def test_mid_circuit_measurement_and_reset_drop_the_frame_too():
    circuit = QuantumCircuit(2, 2)
    circuit.u(0.3, 0.4, 0.5, 0)
    circuit.measure(0, 0)
    circuit.u(A, B, 0.7, 0)
    circuit.cx(0, 1)
    circuit.reset(0)
    circuit.ry(B, 0)
    circuit.measure(0, 1)
    compiled = compile(circuit, line(("r", "rz"), ("rz",)))
    assert_equivalent(circuit, compiled)
    assert {number for _, number, _ in compiled.frames} >= {0, 1}


def test_verification_beyond_simulation_takes_dropped_frames_into_account():
    pytest.importorskip("mqt.qcec")
    circuit = QuantumCircuit(14)
    for q in range(14):
        circuit.u(0.1 * q, 0.2, 0.3 * q, q)
    for q in range(13):
        circuit.cz(q, q + 1)
        circuit.ry(0.4, q)
    circuit.measure_all()
    compiled = compile(circuit, load_device("iqm_apollo"), effort="fast")
    assert "rz" not in compiled.circuit.count_ops()
    assert_equivalent(circuit, compiled)


def test_chip_without_a_known_form_is_refused_and_named():
    with pytest.raises(CalibrationError, match=r"line: native one-qubit gates \('rz', 'h'\)\. Expected rz and sx"):
        checked_form(line(("rz", "h"), ("rz",)))
    assert native_form(NativeGates(("rz", "sx", "r"), ("cz",), ("rz",))).kind == "sx"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_basis_change_turns_each_pauli_into_z(form):
    paulis = {"X": gate_matrix("x"), "Y": gate_matrix("y"), "Z": gate_matrix("z")}
    for pauli, matrix in paulis.items():
        change = unitary(basis_change(form, pauli))
        np.testing.assert_allclose(change @ matrix @ change.conj().T, paulis["Z"], atol=1e-12)


@pytest.mark.parametrize(("name", "count"), [("r", 2), ("u", 3), ("u2", 2), ("u3", 3), ("rx", 1), ("rz", 1)])
def test_stacked_matrices_equal_those_of_the_library(name, count):
    angles = np.random.default_rng(0).uniform(-7, 7, (9, count))
    for found, row in zip(gate_matrices(name, angles), angles.tolist()):
        np.testing.assert_allclose(found, gate_matrix(name, tuple(row)), atol=1e-14)


def test_dead_pulse_makes_the_qubit_unusable():
    device = line(("r", "rz"), ("rz",))
    gates = {**device.gates, ("r", (1,)): Gate(1.0, 3e-8)}
    again = Device(device.name, "toy", device.calibrated_at, device.qubits, gates, device.native_gates, device.timing)
    assert [q.usable for q in again.qubits] == [True, False, True]
