"""What would fail on a chip is refused before anything is sent: place, value, rule and way out in every message."""

from dataclasses import replace

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from qcompile.calibration import load_device
from qcompile.device import Gate
from qtrain.chip.preflight import PlannedJob, preflight
from qtrain.chip.split import control_instructions
from qtrain.chip.types import Health
from qtrain.errors import ConfigError, PreflightError
from tests.qtrain.chip_service import RecordingService

MANILA = load_device("ibm_manila")
FEZ = load_device("ibm_fez")


def circuit(num_parameters=2):
    angles = ParameterVector("a", num_parameters)
    made = QuantumCircuit(5)
    for k, angle in enumerate(angles):
        made.rz(angle, k % 2)
        made.sx(k % 2)
    made.cx(0, 1)
    bits = ClassicalRegister(2, "basis")
    made.add_register(bits)
    made.measure([0, 1], bits)
    return made


def checked(service=None, *, device=MANILA, circuits=None, values=None, shots=100, jobs=None, mode="batch"):
    service = service or RecordingService(device)
    circuits = [circuit()] if circuits is None else circuits
    values = [np.zeros((3, c.num_parameters)) for c in circuits] if values is None else values
    jobs = [PlannedJob(300, 10_000, 2.1)] if jobs is None else jobs
    preflight(service, device, circuits, values, shots, jobs, mode)
    assert service.sent == 0


def test_a_step_that_breaks_no_rule_passes():
    checked()
    checked(RecordingService(MANILA, remaining=2.2), mode="session")
    checked(RecordingService(MANILA, local=True, plan=""), mode="job")


BAD_VALUES = {
    "one axis": (np.zeros(2), r"values of circuit 0 have shape \(2,\).*\[point, parameter\] = \(points, 2\)"),
    "another width": (np.zeros((3, 1)), "nothing is broadcast"),
    "no point": (np.zeros((0, 2)), "hold no point"),
    "NaN": (np.array([[0.0, 1.0], [0.0, np.nan]]), r"\[1, 1\] \(a\[1\]\) is nan.*finite numbers, rad"),
    "infinity": (np.full((1, 2), np.inf), r"\[0, 0\] \(a\[0\]\) is inf"),
    "complex": (np.zeros((3, 2), complex), "dtype complex128. Expected real"),
    "boolean": (np.zeros((3, 2), bool), "dtype bool"),
    "masked": (np.ma.masked_equal(np.zeros((3, 2)), 0.0), "MaskedArray. Expected a numpy array, no value left out"),
    "list": ([[0.0, 0.0]], "are a list. Expected a numpy array"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_values_are_finite_and_of_exact_shape(name):
    values, match = BAD_VALUES[name]
    with pytest.raises(ConfigError, match=match):
        checked(values=[values])


def test_no_circuits_and_unequal_lists_are_refused():
    with pytest.raises(ConfigError, match="0 circuits and 0 arrays"):
        checked(circuits=[], values=[])
    with pytest.raises(ConfigError, match="1 circuits and 2 arrays"):
        checked(values=[np.zeros((1, 2)), np.zeros((1, 2))])


@pytest.mark.parametrize("shots", [0, -5, 1.5, True, None, "100"])
def test_shots_are_whole_and_above_0(shots):
    with pytest.raises(ConfigError, match=rf"shots = {shots!r}. Expected a whole number"):
        checked(shots=shots)


def test_more_shots_than_the_device_takes_are_refused():
    with pytest.raises(ConfigError, match="shots = 200000: ibm_manila takes at most 100000"):
        checked(shots=200_000)


def test_a_circuit_without_a_measurement_is_refused():
    with pytest.raises(ConfigError, match=r"circuit 0 has the classical registers \[\].*measure_all"):
        checked(circuits=[QuantumCircuit(5)])
    half = QuantumCircuit(5, 2)
    half.measure(0, 0)
    with pytest.raises(ConfigError, match=r"bit 1 of register 'c' is never measured, and would read 0"):
        checked(circuits=[half])


def test_a_gate_that_is_not_native_is_refused():
    bad = circuit()
    bad.h(3)
    with pytest.raises(
        PreflightError, match=r"circuit 0 does not run on the calibration of .*h\(3\): not a native gate"
    ):
        checked(circuits=[bad])


def test_a_coupler_that_is_dead_in_the_current_calibration_is_refused():
    dead = replace(MANILA, gates={**MANILA.gates, ("cx", (0, 1)): Gate(1.0, 3e-7, usable=False)})
    checked()
    with pytest.raises(
        PreflightError, match=r"ibm_somewhere: circuit 0 .*cx\(0, 1\).*dead.*qtrain resume RUN compiles"
    ):
        checked(device=dead)


def test_a_qubit_that_is_out_of_use_now_is_refused():
    gone = replace(MANILA, qubits=tuple(replace(q, usable=i != 1) for i, q in enumerate(MANILA.qubits)))
    with pytest.raises(PreflightError, match="qubit 1 of ibm_manila is not usable"):
        checked(device=gone)


PAIR = next(qubits for name, qubits in FEZ.gates if name == "rzz" and FEZ.is_live(name, qubits))


def fractional(angle):
    made = QuantumCircuit(FEZ.num_qubits, 1)
    made.rzz(angle, *PAIR)
    made.measure(PAIR[0], 0)
    return made


def test_the_angle_of_a_fractional_gate_is_checked_at_every_point():
    assert "rzz" in FEZ.native_gates.fractional
    theta = Parameter("theta")
    good = np.array([[0.0], [np.pi / 2], [1.0]])
    checked(device=FEZ, circuits=[fractional(theta)], values=[good])
    checked(device=FEZ, circuits=[fractional(2 * theta + 0.5)], values=[np.array([[0.0], [0.5]])])
    for angle, point in ((theta, -0.01), (theta, 1.6), (2 * theta + 0.5, 0.6)):
        values = np.vstack([good[:1] * 0, [[point]]])
        with pytest.raises(ConfigError, match=r"instruction 0, rzz: angle .* rad at point 1. Expected 0 to pi/2"):
            checked(device=FEZ, circuits=[fractional(angle)], values=[values])


@pytest.mark.parametrize(
    ("job", "match"),
    [
        (PlannedJob(5_000_001, 1, 1.0), "job 1 has 5,000,001 executions. Expected at most 5,000,000"),
        (PlannedJob(100, 68_000_000, 1.0), "job 1 has 68,000,000 bytes of inputs"),
        (PlannedJob(100, 1, 10_801.0), "job 1 has 10,801 predicted QPU seconds. Expected at most 10,800"),
    ],
)
def test_a_job_larger_than_the_service_takes_is_refused(job, match):
    with pytest.raises(ConfigError, match=f"ibm_somewhere: {match}.*--shots"):
        checked(jobs=[PlannedJob(100, 1, 1.0), job])


def test_control_instructions_are_counted_for_the_busiest_qubit():
    # init 50; on qubit 0 rz 1, sx 2, cx 5, measure 10
    assert control_instructions(circuit()) == 68
    with pytest.raises(ConfigError, match=r"32,000,052 control instructions a qubit. Expected at most 32,000,000"):
        checked(shots=1, jobs=[PlannedJob(-(-32_000_000 // 68), 1, 1.0)])


@pytest.mark.parametrize(
    ("health", "match"),
    [
        (Health(False, "active"), "is offline"),
        (Health(False, "unknown"), "is offline"),
        (Health(True, "paused"), "its queue is paused; jobs would wait"),
        (Health(False, "paused"), "its queue is paused"),
        (Health(True, "internal"), "in internal use"),
        (Health(True, "maintenance"), "under maintenance"),
        (Health(False, "retired"), r"is retired: it takes no jobs any more.*another backend"),
        (Health(True, "calibrating"), "status 'calibrating'. Expected active"),
    ],
)
def test_a_backend_that_takes_no_jobs_is_refused_in_its_own_words(health, match):
    service = RecordingService(MANILA)
    service.state = health
    with pytest.raises(PreflightError, match=f"ibm_somewhere.*{match}.*") as caught:
        checked(service)
    assert caught.value.exit_code == 1, "the chip is the cause"
    assert "Nothing was sent" in str(caught.value)


def test_the_open_plan_has_no_sessions():
    with pytest.raises(ConfigError, match=r'open plan refuses sessions. Use mode="batch"'):
        checked(RecordingService(MANILA, plan="open"), mode="session")
    checked(RecordingService(MANILA, plan="open"))
    with pytest.raises(ConfigError, match=r"mode = 'turbo'. Expected one of batch, job, session"):
        checked(mode="turbo")


def test_an_account_with_too_little_left_is_refused():
    with pytest.raises(PreflightError, match=r"usage limit is reached"):
        checked(RecordingService(MANILA, remaining=0.0))
    with pytest.raises(PreflightError, match=r"predicted to take 4.2 QPU seconds, the account has 4.1 left"):
        checked(RecordingService(MANILA, remaining=4.1), jobs=[PlannedJob(100, 1, 2.1)] * 2)


def test_a_local_backend_has_no_limits_but_those_of_its_device():
    checked(RecordingService(MANILA, local=True), jobs=[PlannedJob(10, 1, 1e6)])
    with pytest.raises(ConfigError, match="executions"):
        checked(RecordingService(MANILA, local=True), jobs=[PlannedJob(5_000_001, 1, 1.0)])
