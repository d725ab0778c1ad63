"""Staleness: the interval against devices whose errors are drawn anew, and what it must do at its limits."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qcompile import Device, InputError, compile, estimate, load_device
from qcompile.staleness import DRIFT, FRESH, LONGEST, drift, resampled
from tests.circuits import bound, esu2, qoc

DAY = timedelta(days=1)


def drifted(device: Device, sigma: float, rng: np.random.Generator) -> Device:
    """The chip with every gate error and decay rate multiplied by a factor of its own, log-normal."""

    def factor() -> float:
        return float(np.exp(sigma * rng.standard_normal() - sigma**2 / 2))

    gates, coupler = {}, {}
    for (name, qubits), gate in device.gates.items():
        # both directions of a coupler are one place, and drift together
        change = coupler.setdefault((name, tuple(sorted(qubits))), factor())
        gates[name, qubits] = gate if not gate.error else replace(gate, error=min(gate.error * change, 0.5))
    qubits = []
    for qubit in device.qubits:
        change = factor()
        t1, t2 = (None if t is None else t / change for t in (qubit.t1, qubit.t2))
        qubits.append(replace(qubit, t1=t1, t2=t2))
    return replace(device, gates=gates, qubits=tuple(qubits))


@pytest.mark.parametrize("days", [0, 1, 4])
def test_interval_is_that_of_devices_drawn_anew(days: int) -> None:
    device = load_device("ibm_fez")
    compiled = compile(bound(qoc(4, 1), 1), device, effort="fast")
    rng = np.random.default_rng(days)
    sigma = drift(days * DAY)
    truth = [estimate(compiled.circuit, drifted(device, sigma, rng)).state_fidelity for _ in range(150)]
    low, high = np.quantile(truth, [0.16, 0.84])
    found = compiled.estimate.interval(compiled.estimate.calibrated_at + days * DAY)
    assert found.low == pytest.approx(low, abs=0.25 * (high - low))
    assert found.high == pytest.approx(high, abs=0.25 * (high - low))


def test_interval_grows_with_age_until_nothing_is_known_any_more() -> None:
    found = compile(bound(esu2(5, 2, np.random.default_rng(0)), 3), load_device("ibm_guadalupe")).estimate
    start = found.calibrated_at
    widths = [(i := found.interval(start + d * DAY)).high - i.low for d in (0, 0.1, 1, 3, 10)]
    assert widths == sorted(widths)
    assert widths[0] > 0
    assert found.interval(start + 11 * DAY) == found.interval(start + 1000 * DAY) == found.interval(start + 10 * DAY)
    assert found.interval(start - 5 * DAY) == found.interval(start)
    assert drift(timedelta(0)) == FRESH
    assert drift(-DAY) == FRESH
    assert drift(10**5 * DAY) == math.sqrt(FRESH**2 + DRIFT**2 * LONGEST)


def test_interval_is_the_same_on_every_run_and_holds_its_median() -> None:
    found = compile(bound(qoc(4, 2), 1), load_device("ibm_manila")).estimate
    now = found.calibrated_at + 2 * DAY
    assert found.interval(now) == found.interval(now)
    middle = found.interval(now, 1e-9)
    for level in (0.1, 0.5, 0.68, 0.95):
        inside = found.interval(now, level)
        assert 0 <= inside.low <= middle.low <= middle.high <= inside.high <= 1


def test_interval_is_around_the_estimate_however_old_and_however_many_elements() -> None:
    for losses in ([0.1], [0.01] * 60, [0.002] * 500):
        low, high = resampled(losses, 1000 * DAY, 0.68)
        assert low < math.exp(-sum(losses)) < high


def test_uncertainty_of_the_method_is_added() -> None:
    compiled = compile(bound(qoc(4, 2), 1), load_device("ibm_manila"))
    rough = estimate(compiled.circuit, compiled.device, method="product")
    now = rough.calibrated_at
    wide, narrow = rough.interval(now), replace(rough, uncertainty=0.0).interval(now)
    assert (wide.high - narrow.high, narrow.low - wide.low) == pytest.approx((rough.uncertainty, rough.uncertainty))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 68, math.nan])
def test_a_level_that_is_no_probability_is_refused(level: float) -> None:
    found = estimate(QuantumCircuit(5), load_device("ibm_manila"))
    with pytest.raises(ValueError, match="Expected a probability between 0 and 1"):
        found.interval(level=level)


def test_a_time_without_zone_is_refused_and_one_before_the_calibration_is_no_age() -> None:
    found = compile(bound(qoc(3, 1), 1), load_device("ibm_manila")).estimate
    with pytest.raises(InputError, match="no timezone"):
        found.interval(datetime(2026, 1, 1))
    with pytest.raises(InputError, match="no timezone"):
        found.age(datetime(2026, 1, 1))
    assert found.age(found.calibrated_at - DAY) == -DAY
    assert replace(found, calibrated_at=None).age(datetime(2026, 1, 1, tzinfo=UTC)) == timedelta(0)


def test_nothing_lost_is_nothing_stale() -> None:
    found = estimate(QuantumCircuit(5), load_device("ibm_manila"))
    assert found.interval() == (1, 1)
