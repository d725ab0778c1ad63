"""Estimates: the kernel against its plain twin, the pieces against closed forms, bad values refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

import qcompile
from qcompile import CircuitError, Device, NotExecutableError, Readout, compile, estimate, load_device
from qcompile.device import Gate
from tests.circuits import bound, esu2, qoc, u3cu3


def test_estimate_of_a_compiled_circuit_is_the_one_it_carries() -> None:
    device = load_device("ibm_jakarta")
    for circuit in (u3cu3(4, 1), bound(qoc(4, 1), 2)):
        compiled = compile(circuit, device)
        again = estimate(compiled.circuit, device)
        ours = compiled.estimate
        assert again.success_probability == pytest.approx(ours.success_probability, rel=1e-12)
        assert again.state_fidelity == pytest.approx(ours.state_fidelity, abs=1e-9)
        assert again.hellinger_fidelity == pytest.approx(ours.hellinger_fidelity, abs=1e-9)
        assert (again.duration, again.two_qubit_gates, again.depth) == (ours.duration, ours.two_qubit_gates, ours.depth)


def test_success_probability_is_the_plain_product() -> None:
    device = load_device("ibm_manila")
    circuit = QuantumCircuit(5, 2)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.rz(0.3, 1)
    circuit.measure([0, 1], [0, 1])
    readout = [device.qubits[q].readout for q in (0, 1)]
    expected = (
        (1 - device.gates["sx", (0,)].error) * (1 - device.gates["cx", (0, 1)].error)
        * math.prod(1 - (r.p1_given_0 + r.p0_given_1) / 2 for r in readout)
    )  # fmt: skip
    assert estimate(circuit, device).success_probability == pytest.approx(expected, rel=1e-12)


def test_breakdown_is_shares_that_sum_to_one_and_zero_without_noise() -> None:
    shares = compile(bound(u3cu3(4, 1), 0), load_device("ibm_manila")).estimate.breakdown
    assert set(shares) == {"one_qubit", "two_qubit", "idle", "readout"}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["two_qubit"] > shares["one_qubit"]
    perfect = Device.from_coupling([(0, 1)], two_qubit_error=0, one_qubit_error=0, readout_error=0, t1=1e6, t2=1e6)
    clean = compile(bound(u3cu3(2, 1), 0), perfect).estimate
    assert clean.state_fidelity == pytest.approx(1, abs=1e-9)
    assert clean.hellinger_fidelity == pytest.approx(1, abs=1e-9)


def test_idle_decay_lowers_the_estimate_but_not_esp() -> None:
    device = load_device("ibm_manila")
    for waits in (0.0, 20e-6):
        circuit = QuantumCircuit(5)
        circuit.sx(0)
        circuit.delay(waits, 0, unit="s")
        circuit.cx(0, 1)
        found = estimate(circuit, device)
        if waits == 0:
            first = found
    assert found.success_probability == first.success_probability
    assert found.state_fidelity < first.state_fidelity - 0.02
    assert found.breakdown["idle"] > 0.5


def test_waiting_in_the_ground_state_costs_nothing() -> None:
    circuit = QuantumCircuit(5)
    circuit.delay(1e-3, 0, unit="s")
    assert estimate(circuit, load_device("ibm_manila")).state_fidelity == pytest.approx(1)


def test_dead_gate_is_success_zero_and_named() -> None:
    device = load_device("ibm_manhattan")
    a, b = next(pair for (name, pair), g in sorted(device.gates.items()) if name == "cx" and g.error == 1)
    circuit = QuantumCircuit(65)
    circuit.cx(a, b)
    found = estimate(circuit, device)
    assert (found.success_probability, found.state_fidelity) == (0, 0)
    assert found.dead_gates == (f"cx({a}, {b})",)
    assert sum(found.breakdown.values()) == 1


def test_dead_measurement_and_dead_pulse_are_named() -> None:
    uniform = Device.from_coupling([(0, 1)])
    device = replace(uniform, qubits=(replace(uniform.qubits[0], readout=Readout(1.0, 1.0)), uniform.qubits[1]))
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    found = estimate(circuit, device)
    assert (found.success_probability, found.state_fidelity) == (0, 0)
    assert found.dead_gates == ("measure(0)",)
    assert found.breakdown["readout"] == 1
    dead_pulse = replace(uniform, gates={**uniform.gates, ("sx", (1,)): Gate(1.0, 3e-8)})
    pulsed = QuantumCircuit(2)
    pulsed.sx(1)
    assert estimate(pulsed, dead_pulse).dead_gates == ("sx(1)",)


def test_readout_counts_of_every_measured_qubit_and_of_no_other() -> None:
    device = Device.from_coupling([(0, 1), (1, 2)], one_qubit_error=0.0, readout_error=0.1)
    circuit = QuantumCircuit(3, 2)
    circuit.measure(0, 0)
    assert estimate(circuit, device).success_probability == pytest.approx(0.9)
    circuit.measure(1, 1)
    circuit.x(1)  # qubit 1 is measured, though not at the end
    assert estimate(circuit, device).success_probability == pytest.approx(0.81)
    assert estimate(circuit, device).hellinger_fidelity is None


def test_unmapped_circuit_is_refused_with_the_way_out() -> None:
    circuit = QuantumCircuit(5)
    circuit.h(0)
    with pytest.raises(NotExecutableError, match=r"no calibration of h\(0,\).*qcompile.compile"):
        estimate(circuit, load_device("ibm_manila"))
    with pytest.raises(NotExecutableError, match="has 6 qubits"):
        estimate(QuantumCircuit(6), load_device("ibm_manila"))


def test_unbound_parameters_are_drawn_eight_times_with_a_spread() -> None:
    compiled = compile(u3cu3(3, 1), load_device("ibm_manila"))
    assert compiled.estimate.draws == 8
    assert compiled.estimate.spread > 0
    point = np.random.default_rng(0).uniform(0, 2 * np.pi, len(compiled.circuit.parameters))
    single = estimate(compiled.circuit, compiled.device, point)
    assert (single.draws, single.spread) == (1, 0)
    by_name = dict(zip((p.name for p in compiled.circuit.parameters), point))
    assert estimate(compiled.circuit, compiled.device, by_name) == single


@pytest.mark.parametrize("values", [[1.0], {"nope": 1.0}, ["x"] * 18, [math.inf] * 18])
def test_bad_values_are_refused(values: object) -> None:
    compiled = compile(u3cu3(3, 1), load_device("ibm_manila"), effort="fast")
    with pytest.raises(CircuitError, match="values"):
        estimate(compiled.circuit, compiled.device, values)


def test_hellinger_sees_readout_and_is_none_beyond_its_size() -> None:
    device = load_device("ibm_manila")
    circuit = bound(qoc(3, 1), 1)
    qubits = tuple(
        qcompile.Qubit(q.label, q.t1, q.t2, Readout(0.3, 0.3, q.readout.duration if q.readout else None))
        for q in device.qubits
    )
    blurred = Device(
        device.name, device.vendor, device.calibrated_at, qubits, device.gates, device.native_gates, device.timing
    )
    sharp = compile(circuit, device).estimate
    assert compile(circuit, blurred).estimate.hellinger_fidelity < sharp.hellinger_fidelity - 0.05
    wide = compile(esu2(24, 1, np.random.default_rng(0)), load_device("ibm_kolkata"), effort="fast")
    assert wide.estimate.hellinger_fidelity is None
    assert "too many to sample" in wide.estimate.hellinger_note


def test_estimate_is_unchanged_by_gates_outside_the_light_cone() -> None:
    device = load_device("ibm_guadalupe")
    compiled = compile(bound(qoc(3, 1), 0), device)
    outside = next(q for q in range(16) if q not in compiled.active_qubits)
    extended = compiled.circuit.copy()
    extended._layout = compiled.circuit.layout
    extended.x(outside)
    assert estimate(extended, device).state_fidelity == pytest.approx(compiled.estimate.state_fidelity, abs=1e-12)


def test_parameter_named_like_another_is_no_trouble() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("slot0"), 0)
    circuit.rx(2 * Parameter("slot1") + 1, 0)
    compiled = compile(circuit, load_device("ibm_manila"))
    qcompile.assert_equivalent(circuit, compiled)


@pytest.mark.parametrize("seed", range(12))
def test_fidelity_of_gates_that_harm_nothing_does_not_round_above_one(seed: int) -> None:
    """Relaxation leaves |0> alone; sums of rounded products came out at 1 + 2e-16 here (seed 3)."""
    rng = np.random.default_rng(seed)
    t1 = float(rng.uniform(1e-5, 3e-4))
    t2 = t1 * float(rng.uniform(0.3, 2))
    pulse = float(rng.uniform(1e-8, 1e-7))
    device = Device.from_coupling(
        [(0, 1)], one_qubit_error=0, two_qubit_error=0, t1=t1, t2=t2, one_qubit_duration=pulse
    )
    circuit = QuantumCircuit(2)
    for _ in range(5):
        circuit.id(0)
    circuit.cx(0, 1)
    found = estimate(circuit, device).state_fidelity
    assert found <= 1
    assert found == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("angle", [math.nan, math.inf])
def test_an_angle_that_is_not_finite_is_refused_with_its_place(angle: float) -> None:
    circuit = QuantumCircuit(5, name="odd")
    circuit.sx(0)
    circuit.rz(angle, 0)
    with pytest.raises(CircuitError, match=r"odd: instruction 1: angle (nan|inf) is not finite"):
        estimate(circuit, load_device("ibm_manila"))


@pytest.mark.parametrize("wait", [math.inf, math.nan])
def test_a_delay_that_never_ends_is_refused(wait: float) -> None:
    circuit = QuantumCircuit(5)
    circuit.sx(0)
    circuit.delay(wait, 0, unit="s")
    with pytest.raises(CircuitError, match="not a waiting time"):
        estimate(circuit, load_device("ibm_manila"))


def test_a_bit_that_is_written_twice_holds_its_last_measurement() -> None:
    device = load_device("ibm_manila")
    circuit = QuantumCircuit(5, 2)
    circuit.sx(0)
    circuit.sx(1)
    circuit.measure([0, 1], [0, 1])
    apart = estimate(circuit, device)
    circuit.data[-1] = circuit.data[-1].replace(clbits=(circuit.clbits[0],))
    found = estimate(circuit, device)
    assert found.success_probability == apart.success_probability  # both are read
    alone = QuantumCircuit(5, 1)
    alone.sx(1)
    alone.measure(1, 0)
    assert found.hellinger_fidelity == pytest.approx(estimate(alone, device).hellinger_fidelity, abs=1e-12)
    assert found.hellinger_fidelity > apart.hellinger_fidelity


def test_waiting_behind_the_measurement_is_not_one_before_the_end() -> None:
    """Schedulers pad a qubit that is measured early up to the end."""
    device = load_device("ibm_manila")
    circuit = QuantumCircuit(5, 1)
    circuit.sx(0)
    circuit.measure(0, 0)
    plain = estimate(circuit, device)
    circuit.barrier()
    circuit.delay(3e-6, 0, unit="s")
    padded = estimate(circuit, device)
    assert padded.duration == pytest.approx(plain.duration + 3e-6)
    assert replace(padded, duration=plain.duration, depth=plain.depth) == plain
    assert padded.hellinger_fidelity == plain.hellinger_fidelity
    circuit.x(0)
    assert "before its end" in estimate(circuit, device).hellinger_note
