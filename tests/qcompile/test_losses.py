"""What is lost where: sums, places, dead elements, no noise; and how an estimate shows it."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qcompile import Device, Estimate, InputError, compile, estimate, load_device
from qcompile.device import Gate
from qcompile.losses import Loss, by_cause, grouped, ordered
from qcompile.tables import estimate_values
from tests.circuits import bound, esu2, qoc, u3cu3
from tests.qcompile.strategies import circuits, devices

METHODS = (None, "product", "cluster", "marginals")


def check_sums(found: Estimate, device: Device) -> None:
    """Everything that an estimate says about its losses, against everything else that it says."""
    gates = sum(x.loss for x in found.losses if x.cause != "readout")
    assert gates == pytest.approx(-math.log(found.state_fidelity), abs=1e-11, rel=1e-11)
    read = [x for x in found.losses if x.cause == "readout"]
    for loss in read:
        assert loss.loss == pytest.approx(-math.log(1 - device.qubits[loss.qubits[0]].readout.error), rel=1e-12)
    assert all(x.loss > 0 for x in found.losses)
    assert list(found.losses) == sorted(found.losses, key=lambda x: -x.loss)
    assert len({x[:3] for x in found.losses}) == len(found.losses)
    assert all(x.qubits == tuple(sorted(x.qubits)) for x in found.losses)
    one = sum(x.loss for x in found.losses if len(x.qubits) == 1)
    assert sum(found.per_qubit.values()) == pytest.approx(one)
    assert sum(found.per_coupler.values()) == pytest.approx(sum(x.loss for x in found.losses) - one)
    whole = sum(x.loss for x in found.losses)
    for cause, share in found.breakdown.items():
        assert share * whole == pytest.approx(by_cause(found.losses)[cause])
    assert sum(found.breakdown.values()) == pytest.approx(1 if found.losses else 0)


@pytest.mark.parametrize("method", METHODS)
def test_losses_add_up_to_what_is_lost(method: str | None) -> None:
    for chip, circuit in (("ibm_manila", bound(qoc(4, 2), 1)), ("ibm_torino", u3cu3(3, 1))):
        device = load_device(chip)
        check_sums(estimate(compile(circuit, device, effort="fast").circuit, device, method=method), device)


@given(devices(), st.data())
@settings(max_examples=25, deadline=None)
def test_losses_add_up_on_any_circuit_and_chip(device: Device, data: st.DataObject) -> None:
    found = compile(data.draw(circuits(min(3, len(device.components[0])))), device, effort="fast").estimate
    check_sums(found, device)
    assert found._repr_html_()
    json.dumps(estimate_values(found), allow_nan=False)


def test_worst_elements_come_first_and_a_bad_count_is_refused() -> None:
    found = compile(bound(esu2(5, 2, np.random.default_rng(0)), 3), load_device("ibm_guadalupe")).estimate
    assert found.worst(3) == found.losses[:3]
    assert found.worst(1)[0].loss == max(x.loss for x in found.losses)
    assert found.worst(10**6) == found.losses
    for count in (0, -1):
        with pytest.raises(ValueError, match="Expected 1 or more"):
            found.worst(count)


def test_both_directions_of_a_coupler_are_one_place() -> None:
    device = Device.from_coupling([(0, 1), (1, 2)])
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    for a, b in ((0, 1), (1, 0), (2, 1)):
        circuit.cx(a, b)
    found = estimate(circuit, device)
    assert [x.qubits for x in found.losses if x.name == "cx"] in ([(0, 1), (1, 2)], [(1, 2), (0, 1)])
    assert set(found.per_coupler) == {(0, 1), (1, 2)}
    check_sums(found, device)


def test_dead_elements_are_places_too_and_named_as_they_are_used() -> None:
    device = Device.from_coupling([(0, 1)])
    dead = replace(device, gates={**device.gates, **dict.fromkeys([("cx", (0, 1)), ("cx", (1, 0))], Gate(1.0, 3e-7))})
    circuit = QuantumCircuit(2)
    circuit.rz(Parameter("a"), 0)
    circuit.cx(1, 0)
    circuit.cx(0, 1)
    found = estimate(circuit, dead)
    assert found.losses == (Loss("two_qubit", "cx", (0, 1), math.inf),)
    assert found.dead_gates == ("cx(1, 0)", "cx(0, 1)")
    assert found.per_coupler == {(0, 1): math.inf}
    assert found.draws == 8
    assert found.interval() == (0, 0)
    assert json.loads(json.dumps(estimate_values(found), allow_nan=False))["losses"][0]["loss"] is None
    assert "cx(1, 0), cx(0, 1)" in found._repr_html_()
    with pytest.raises(InputError, match="method = 'magic'"):
        estimate(circuit, dead, method="magic")


@pytest.mark.parametrize("method", METHODS)
def test_what_harms_nothing_is_no_loss(method: str | None) -> None:
    """Relaxation in |0>: a rounding of 1e-16 is neither a place nor a share, and nothing is divided by it."""
    device = Device.from_coupling([(0, 1)], two_qubit_error=0, one_qubit_error=0, readout_error=0)
    circuit = QuantumCircuit(2)
    for _ in range(4):
        circuit.cx(0, 1)
        circuit.id(0)
        found = estimate(circuit, device, method=method)
        assert found.losses == ()
        assert set(found.breakdown.values()) == {0.0}
        assert "-0.0" not in found._repr_html_()
        assert found.interval() == pytest.approx((1, 1))


def test_an_estimate_is_a_value() -> None:
    device = load_device("ibm_manila")
    found = compile(bound(qoc(3, 1), 1), device).estimate
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert hash(again) == hash(found)
    assert again.hellinger_fidelity == found.hellinger_fidelity
    assert replace(found, depth=found.depth + 1) != found


def test_values_for_a_file_have_the_documented_keys_and_the_table_is_escaped() -> None:
    found = compile(bound(qoc(3, 1), 1), load_device("ibm_manila")).estimate
    values = json.loads(json.dumps(estimate_values(found), allow_nan=False))
    assert set(values) == {
        "state_fidelity", "success_probability", "breakdown", "duration", "two_qubit_gates", "swaps", "depth", "spread",
        "draws", "dead_gates", "method", "uncertainty", "losses", "calibrated_at", "hellinger_fidelity",
        "hellinger_uncertainty", "hellinger_note", "age_days", "interval",
    }  # fmt: skip
    assert set(values["losses"][0]) == {"cause", "name", "qubits", "loss"}
    odd = replace(found, losses=(Loss("idle", "<b>&", (0,), 1.0),))
    assert "<b>" not in odd._repr_html_()
    assert "&lt;b&gt;&amp;(0)" in odd._repr_html_()


def test_order_and_groups_are_the_same_on_every_run() -> None:
    losses = [Loss("idle", "idle", (q,), 1.0) for q in (3, 1, 2)] + [Loss("one_qubit", "sx", (1,), 2.0)]
    assert [x.qubits[0] for x in ordered(losses)] == [1, 1, 2, 3]
    assert list(grouped((x.qubits[0], x.loss) for x in losses).items()) == [(1, 3.0), (2, 1.0), (3, 1.0)]
