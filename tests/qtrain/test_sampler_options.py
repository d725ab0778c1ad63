"""No option of the sampler may make a run dearer than its bill."""

from dataclasses import replace

import pytest

from qcompile.calibration import load_device
from qtrain.chip.sampler_options import check_options, executed_shots
from qtrain.errors import ConfigError

FEZ = load_device("ibm_fez")


@pytest.mark.parametrize("shots", [1, 50, 64, 100, 1000, 1024, 4096, 10_001])
@pytest.mark.parametrize("randomizations", ["auto", 1, 7, 32])
@pytest.mark.parametrize("each", ["auto", 1, 64, 100])
def test_executed_shots_are_those_of_the_client(shots, randomizations, each):
    client = pytest.importorskip("qiskit_ibm_runtime.executor.calculate_twirling_shots")
    number, size = client.calculate_twirling_shots(shots, randomizations, each)
    twirling = {"enable_gates": True, "num_randomizations": randomizations, "shots_per_randomization": each}
    assert executed_shots(shots, twirling) == number * size
    assert executed_shots(shots, twirling | {"enable_gates": False}) == shots
    assert executed_shots(shots, {"enable_measure": True} | twirling | {"enable_gates": None}) == number * size


def test_twirling_that_runs_other_shots_than_those_asked_for_is_refused_with_their_number():
    check_options({"twirling": {"enable_gates": True}}, 1024, FEZ)
    check_options({"twirling": {"enable_gates": False, "num_randomizations": 7}}, 1000, FEZ)
    check_options({"dynamical_decoupling": {"enable": True}}, 1000, FEZ)
    with pytest.raises(ConfigError, match=r"shots = 1000, but options.twirling executes 1024 .*shots = 1024"):
        check_options({"twirling": {"enable_gates": True}}, 1000, FEZ)
    many = {"enable_measure": True, "num_randomizations": 32, "shots_per_randomization": 4096}
    with pytest.raises(ConfigError, match="executes 131072 of every circuit, and they are billed"):
        check_options({"twirling": many}, 1024, FEZ)


def test_a_longer_repetition_delay_than_the_bill_has_is_refused():
    usual = FEZ.timing.rep_delay
    check_options({"execution": {"rep_delay": usual}}, 100, FEZ)
    for delay in (2 * usual, -1.0, "slow", float("nan")):
        with pytest.raises(ConfigError, match=rf"rep_delay = {delay!r} s. Expected at most"):
            check_options({"execution": {"rep_delay": delay}}, 100, FEZ)
    silent = replace(FEZ, timing=replace(FEZ.timing, rep_delay=None))
    with pytest.raises(ConfigError, match=r"at most 0.00025 s"):
        check_options({"execution": {"rep_delay": 1e-3}}, 100, silent)


def test_options_of_another_kind_are_refused():
    with pytest.raises(ConfigError, match=r"num_randomizations = 0. Expected a whole number"):
        check_options({"twirling": {"enable_gates": True, "num_randomizations": 0}}, 100, FEZ)
    with pytest.raises(ConfigError, match="meas_type = 'kerneled' returns no bits"):
        check_options({"execution": {"meas_type": "kerneled"}}, 100, FEZ)
    with pytest.raises(ConfigError, match=r"options.twirling = True. Expected a table"):
        check_options({"twirling": True}, 100, FEZ)
