"""The noise model's closed form against Qiskit Aer, gate by gate, on real calibrations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import PTM, Kraus, Operator, SuperOp, random_density_matrix, random_unitary

from qcompile import Device, load_device
from qcompile.channels import (
    average_fidelity,
    depolarizing_probability,
    gate_noise,
    idle_channel,
    relaxation_ptm,
    survival_form,
    unitary_ptm,
)
from tests.aer_reference import noise_model

ORDER = [4 * (i % 4) + i // 4 for i in range(16)]  # Qiskit's PTM has the first qubit as the less significant index


def _aer_ptm(device: Device, name: str, qubits: tuple[int, ...]) -> np.ndarray:
    local = tuple(sorted(qubits))
    model = noise_model(device, local)
    error = model._local_quantum_errors[name][tuple(local.index(q) for q in qubits)]
    matrix = np.real(PTM(SuperOp(error)).data)
    return matrix if len(qubits) == 1 else matrix[np.ix_(ORDER, ORDER)]


@pytest.mark.parametrize("name", ["ibm_manila", "ibm_guadalupe", "ibm_torino", "ibm_brisbane", "ibm_hanoi"])
def test_gate_noise_equals_aer(name: str) -> None:
    device = load_device(name)
    live = [k for k in sorted(device.gates) if device.is_live(*k) and device.gates[k].error]
    pairs = [k for k in live if k[0] in device.native_gates.two_qubit]
    singles = [k for k in live if k[0] == "sx"]
    for gate, qubits in pairs[:: max(1, len(pairs) // 12)] + singles[:: max(1, len(singles) // 6)]:
        ours, _ = gate_noise(device, gate, qubits)
        np.testing.assert_allclose(ours, _aer_ptm(device, gate, qubits), atol=1e-12)


def test_gate_error_is_the_calibrated_one_unless_relaxation_alone_exceeds_it() -> None:
    device = load_device("ibm_manila")
    exceeded = 0
    for (name, qubits), gate in device.gates.items():
        if name != "cx" or gate.error is None:
            continue
        noise, p = gate_noise(device, name, qubits)
        if p == 0:
            exceeded += 1
            assert 1 - average_fidelity(noise) >= gate.error
        else:
            assert 1 - average_fidelity(noise) == pytest.approx(gate.error, abs=1e-12)
    assert exceeded == 2  # of 8, as counted on the calibration


def test_virtual_gates_are_free_and_id_is_not() -> None:
    device = load_device("ibm_manila")
    assert np.array_equal(gate_noise(device, "rz", (0,))[0], np.eye(4))
    assert average_fidelity(gate_noise(device, "id", (0,))[0]) < 1


@given(
    t1=st.floats(1e-6, 1e-3), ratio=st.floats(0.01, 2.0), duration=st.floats(0, 1e-4), split=st.floats(0, 1)
)  # fmt: skip
def test_waiting_twice_is_waiting_once_as_long(t1: float, ratio: float, duration: float, split: float) -> None:
    whole = relaxation_ptm(t1, ratio * t1, duration)
    parts = relaxation_ptm(t1, ratio * t1, duration * split) @ relaxation_ptm(t1, ratio * t1, duration * (1 - split))
    np.testing.assert_allclose(parts, whole, atol=1e-12)


def test_unphysical_relaxation_is_refused_and_unknown_times_do_not_decay() -> None:
    with pytest.raises(ValueError, match=r"t2 <= 2\*t1"):
        relaxation_ptm(1e-5, 3e-5, 1e-6)
    assert np.array_equal(relaxation_ptm(math.inf, math.inf, 1.0), np.eye(4))


def test_t2_above_twice_t1_is_clamped_in_simulation() -> None:
    hanoi = load_device("ibm_hanoi")
    q = next(i for i, x in enumerate(hanoi.qubits) if x.t1 and x.t2 and x.t2 > 2 * x.t1)
    t1 = hanoi.qubits[q].t1 or 0.0
    np.testing.assert_allclose(idle_channel(hanoi, q, 1e-6), relaxation_ptm(t1, 2 * t1, 1e-6))


@given(error=st.floats(0, 1), fidelity=st.floats(0.9, 1))
def test_depolarizing_probability_is_a_probability(error: float, fidelity: float) -> None:
    for qubits in (1, 2):
        p = depolarizing_probability(error, fidelity, qubits)
        assert 0 <= p <= 4**qubits / (4**qubits - 1)
        assert p == 0 or error > 1 - fidelity


@pytest.mark.parametrize("seed", range(3))
def test_survival_form_is_the_kraus_sum(seed: int) -> None:
    device = load_device("ibm_guadalupe")
    pair = sorted(k for k in device.gates if k[0] == "cx")[seed]
    ptm, _ = gate_noise(device, *pair)
    kraus = Kraus(PTM(ptm[np.ix_(ORDER, ORDER)])).data
    operators = kraus[0] if isinstance(kraus, tuple) else kraus
    rho = random_density_matrix(4, seed=seed).data
    paulis = [Operator.from_label(b + a).data for a in "IXYZ" for b in "IXYZ"]
    vector = np.array([np.trace(p @ rho).real for p in paulis])
    expected = sum(abs(np.trace(k @ rho)) ** 2 for k in operators)
    assert vector @ survival_form(ptm) @ vector == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("dimension", [2, 4])
def test_unitary_ptm_equals_qiskit(dimension: int) -> None:
    unitary = random_unitary(dimension, seed=1)
    expected = np.real(PTM(unitary).data)
    order = list(range(4)) if dimension == 2 else ORDER
    np.testing.assert_allclose(unitary_ptm(unitary.data), expected[np.ix_(order, order)], atol=1e-12)
