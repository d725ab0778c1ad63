"""Dynamical decoupling: identities in idle windows, which change neither what a circuit does nor how long it takes."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from qcompile import CompiledCircuit, Device, InputError, assert_equivalent, assert_executable, compile, load_device
from qcompile.decoupling import METHODS, SEQUENCES, decouple
from qcompile.device import NativeGates, Timing
from qcompile.ideal import apply, operation_matrix, zero_state
from qcompile.native_form import FRAMES, NativeForm, half_turn
from qcompile.schedule import pad, schedule
from tests.circuits import bound, qaoa, qoc, u3cu3
from tests.qcompile.strategies import circuits, devices

MANILA = load_device("ibm_manila")


def _lines(circuit: QuantumCircuit, device: Device) -> dict[int, list[tuple[float, float, str]]]:
    """(start, duration, name) of what each qubit does, in time order; barriers left out."""
    timing = schedule(circuit, device)
    lines: dict[int, list[tuple[float, float, str]]] = {}
    for instruction, start, duration in zip(circuit.data, timing.start, timing.durations):
        if instruction.name != "barrier":
            for q in instruction.qubits:
                entry = (start, duration, instruction.name)
                lines.setdefault(circuit.find_bit(q).index, []).append(entry)
    return lines


@settings(max_examples=20, deadline=None)
@given(circuit=circuits(), device=devices(), method=st.sampled_from(METHODS), grid=st.sampled_from([None, 1, 16]))
def test_pulses_are_an_identity_inside_the_windows(
    circuit: QuantumCircuit, device: Device, method: str, grid: int | None
) -> None:
    if circuit.num_qubits > len(device.components[0]):
        return
    if grid is not None:
        device = dataclasses.replace(device, timing=Timing(dt=1e-9, pulse_alignment=grid))
    plain = compile(circuit, device, effort="fast")
    pulsed = compile(circuit, device, effort="fast", dynamical_decoupling=method)
    assert_equivalent(circuit, pulsed)
    assert_executable(pulsed.circuit, device)
    assert pulsed.schedule.duration == pytest.approx(plain.schedule.duration, abs=1e-15)
    assert pulsed.circuit.layout == plain.circuit.layout
    before, after = _lines(plain.circuit, device), _lines(pulsed.circuit, device)
    assert before.keys() == after.keys()
    for qubit, line in before.items():
        left = after[qubit].copy()
        for entry in line:  # what was there is there still, at its time
            at = next(i for i, e in enumerate(left) if e[2] == entry[2] and abs(e[0] - entry[0]) < 1e-15)
            del left[at]
        assert after[qubit][0][0] == pytest.approx(line[0][0], abs=1e-15)  # nothing in front of the first gate
        for (start, duration, _), (following, _, _) in itertools.pairwise(after[qubit]):
            assert following >= start + duration - 1e-15
        turns = sum(name not in ("delay", *FRAMES) for _, _, name in left)
        assert turns % (4 if method == "xy4" else 2) == 0


@pytest.mark.parametrize("method", ["xx", "xy4"])
def test_pulses_are_spaced_symmetrically_on_the_grid(method: str) -> None:
    device = dataclasses.replace(MANILA, timing=Timing(dt=1e-9, pulse_alignment=8))
    circuit = QuantumCircuit(5)
    circuit.sx(0)
    circuit.barrier(0, 1)
    circuit.delay(4007, 1, unit="ns")
    circuit.barrier(0, 1)
    circuit.sx(0)
    pulsed = decouple(circuit, device, method, (0, 1))
    line = _lines(pulsed, device)[0]
    length = device.duration("x", (0,))
    starts = [start - line[0][0] - line[0][1] for start, _, name in line if name == "x"]
    count = len(SEQUENCES[method])
    free = 4007e-9 - count * length
    ideal = [free * (2 * k + 1) / (2 * count) + k * length for k in range(count)]
    assert len(starts) == count
    np.testing.assert_allclose(starts, ideal, rtol=0, atol=4.001e-9)
    np.testing.assert_allclose(np.array(starts) / 8e-9, np.round(np.array(starts) / 8e-9), rtol=0, atol=1e-4)
    assert not any(name == "x" for _, _, name in _lines(pulsed, device)[1])  # a delay of one's own is no window


def test_a_window_that_is_too_short_or_sees_no_phase_stays_empty() -> None:
    length = MANILA.duration("x", (0,))

    def count(build: QuantumCircuit, kept: tuple[int, ...] = (0, 1)) -> int:
        return decouple(build, MANILA, "xx", kept).count_ops().get("x", 0)

    def waiting(delay: float, *, first: str | None, last: str | None) -> QuantumCircuit:
        circuit = QuantumCircuit(5, 1)
        if first == "measure":
            circuit.measure(0, 0)
        elif first is not None:
            getattr(circuit, first)(0)
        circuit.barrier(0, 1)
        circuit.delay(delay, 1, unit="s")
        circuit.barrier(0, 1)
        if last == "measure":
            circuit.measure(0, 0)
        elif last is not None:
            getattr(circuit, last)(0)
        return circuit

    assert count(waiting(4.1 * length, first="sx", last="sx")) == 2
    assert count(waiting(3.9 * length, first="sx", last="sx")) == 0
    for first, last in [("measure", "sx"), ("reset", "sx"), (None, "sx"), ("sx", "measure"), ("sx", "reset")]:
        assert count(waiting(50 * length, first=first, last=last)) == 0
    assert count(waiting(50 * length, first="sx", last=None)) == 2
    assert count(waiting(50 * length, first="sx", last=None), kept=(1,)) == 0


@pytest.mark.parametrize("method", ["xx", "xy4"])
def test_slow_detunings_are_refocused(method: str) -> None:
    """Every qubit drifts at a constant rate of its own while it waits: what a calibration does not show."""
    circuit = QuantumCircuit(5)
    circuit.h(range(5))
    circuit.barrier()
    for angle in (0.3, 0.5, 0.7):
        circuit.rzz(angle, 0, 1)
        circuit.ry(angle, 1)
    circuit.barrier()
    circuit.h(range(5))
    plain = compile(circuit, MANILA, effort="fast")
    pulsed = compile(circuit, MANILA, effort="fast", dynamical_decoupling=method)
    rates = np.array([1.0, -0.7, 0.8, -1.2, 0.9]) * 5e5  # rad/s

    def fidelity(compiled: CompiledCircuit) -> float:
        ideal, drifting = zero_state(5), zero_state(5)
        whole = pad(compiled.circuit, MANILA)
        for instruction in whole.data:
            qubits = [whole.find_bit(q).index for q in instruction.qubits]
            if instruction.name == "delay":
                angle = rates[qubits[0]] * instruction.operation.duration
                turned = np.diag([1.0, np.exp(1j * angle)])
                drifting = apply(drifting, turned, qubits, 5)
            elif instruction.name != "barrier":
                matrix = operation_matrix(instruction.operation)
                ideal, drifting = apply(ideal, matrix, qubits, 5), apply(drifting, matrix, qubits, 5)
        return float(abs(np.vdot(ideal, drifting)) ** 2)

    lost, left = 1 - fidelity(plain), 1 - fidelity(pulsed)
    assert lost > 0.05
    assert left < 0.2 * lost  # what remains is in windows too short for pulses


@pytest.mark.parametrize("name", ["ibm_guadalupe", "ibm_brisbane"])
def test_auto_inserts_only_what_raises_the_estimate(name: str) -> None:
    device = load_device(name)
    circuit = bound(qaoa(6, 2, np.random.default_rng(0)), 1)
    found = {
        m: compile(circuit, device, effort="fast", dynamical_decoupling=m).estimate.state_fidelity for m in METHODS
    }
    assert found["auto"] >= compile(circuit, device, effort="fast").estimate.state_fidelity - 1e-12
    assert found["auto"] >= max(found.values()) - 1e-3  # windows are judged one by one
    lossless = dataclasses.replace(
        device, qubits=tuple(dataclasses.replace(q, t1=1.0, t2=min(q.t2 or 1.0, 2.0)) for q in device.qubits)
    )
    untouched = compile(circuit, lossless, effort="fast", dynamical_decoupling="auto")  # echoed T2: nothing to refocus
    assert untouched.circuit.count_ops().get("delay", 0) == 0


def test_auto_keeps_a_qubit_out_of_its_decaying_state() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    circuit.barrier()
    circuit.x(1)
    circuit.delay(30, 1, unit="us")
    circuit.barrier()
    circuit.measure_all(add_bits=True)
    plain, auto = (compile(circuit, MANILA, effort="fast", dynamical_decoupling=m) for m in (None, "auto"))
    assert auto.estimate.state_fidelity > plain.estimate.state_fidelity + 0.01
    assert_equivalent(circuit, auto)


def test_symbolic_circuits_stay_symbolic_and_bind() -> None:
    circuit = u3cu3(4, 1)
    circuit.measure_all()
    pulsed = compile(circuit, MANILA, effort="fast", dynamical_decoupling="xy4")
    assert pulsed.circuit.num_parameters == circuit.num_parameters
    assert pulsed.circuit.count_ops()["delay"] > 0
    assert_equivalent(circuit, pulsed)
    values = np.random.default_rng(0).uniform(0, 6, circuit.num_parameters)
    bound_circuit = pulsed.bind(values)
    assert bound_circuit == pulsed.circuit.assign_parameters(values)
    assert schedule(bound_circuit, MANILA).duration == pytest.approx(pulsed.schedule.duration)


FORMS = [
    NativeForm("sx", "sx", "rz", "x"), NativeForm("sx", "sx", "rz"), NativeForm("r", "r", "rz"),
    NativeForm("u", "u", None), NativeForm("u", "u3", None, "u2"),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda f: "-".join(f.gates))
def test_half_turns_are_the_paulis(form: NativeForm) -> None:
    from qcompile.ideal import gate_matrix

    for axis in "XY":
        product = np.eye(2, dtype=complex)
        for name, angles in half_turn(form, axis):
            assert name in form.gates
            product = gate_matrix(name, angles) @ product
        assert abs(np.trace(gate_matrix(axis.lower()).conj().T @ product)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("native", "pulses"),
    [(NativeGates(("r",), ("cz",)), "r"), (NativeGates(("u", "rz"), ("cz",), ("rz",)), "u")],
)
def test_chips_of_other_pulses(native: NativeGates, pulses: str) -> None:
    model = load_device("ibm_manila")
    gates = {("cz", pair): gate for (name, pair), gate in model.gates.items() if name == "cx"}
    gates |= {(name, where): g for (one, where), g in model.gates.items() if one == "sx" for name in native.one_qubit}
    device = dataclasses.replace(model, name="other", gates=gates, native_gates=native)
    circuit = bound(qoc(4, 1), 3)
    for method in METHODS:
        pulsed = compile(circuit, device, effort="fast", dynamical_decoupling=method)
        assert_equivalent(circuit, pulsed)
        if method != "auto":
            assert pulsed.circuit.count_ops()["delay"] > 0
            assert pulses in pulsed.circuit.count_ops()


def test_an_unknown_method_is_refused() -> None:
    for method in ("XY4", "", "hahn"):
        with pytest.raises(InputError, match="Expected None, 'auto', 'xx', 'xy4'"):
            compile(QuantumCircuit(1), MANILA, dynamical_decoupling=method)


def test_delays_are_in_seconds_and_add_up() -> None:
    pulsed = compile(bound(qoc(4, 1), 3), MANILA, effort="fast", dynamical_decoupling="xy4")
    assert {i.operation.unit for i in pulsed.circuit.data if i.name == "delay"} == {"s"}
    assert all(i.operation.duration > 0 for i in pulsed.circuit.data if i.name == "delay")
    assert math.fsum(w.duration for w in pulsed.schedule.idle) >= 0
