"""One battery for every executor."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from qcompile.cost import execution_cost
from qcompile.device import Device
from qtrain.errors import ConfigError, ExecutorError, ModelError
from qtrain.executors.aer import AerExecutor
from qtrain.executors.base import Executor, spelled_out_shifts
from qtrain.executors.chip import ChipExecutor
from qtrain.executors.dry_run import DryRun
from qtrain.executors.exact import ExactSimulator
from qtrain.executors.noisy import NoisySimulator
from qtrain.executors.propagation import PropagationSimulator
from qtrain.executors.replay import Replay
from qtrain.executors.torch_simulator import TorchSimulator
from qtrain.ledger import Ledger

DEVICE = Device.from_coupling([(0, 1), (1, 2), (2, 3)])
SIMULATED_CHIP = AerSimulator(n_qubits=4, basis_gates=["rz", "sx", "x", "cx"], coupling_map=[[0, 1], [1, 2], [2, 3]])
EXECUTORS = {
    "exact": ExactSimulator,
    "exact, shots": lambda: ExactSimulator(shots=200),
    "noisy": lambda: NoisySimulator(DEVICE, shots=None, effort="fast"),
    "noisy, shots": lambda: NoisySimulator(DEVICE, shots=200, effort="fast"),
    "propagation": lambda: PropagationSimulator(DEVICE, effort="fast", threshold=0.0),
    "propagation, shots": lambda: PropagationSimulator(DEVICE, shots=200, effort="fast"),
    "aer": lambda: AerExecutor(DEVICE, shots=None, effort="fast", method="density_matrix"),
    "aer, shots": lambda: AerExecutor(DEVICE, shots=200, effort="fast"),
    "chip, simulated": lambda: ChipExecutor(SIMULATED_CHIP, shots=200, effort="fast"),
    "dry run": lambda: DryRun(shots=200),
    "dry run, device": lambda: DryRun(DEVICE, shots=200, effort="fast"),
    "torch": TorchSimulator,
    "torch, shots": lambda: TorchSimulator(shots=200),
    "torch, noisy": lambda: TorchSimulator(DEVICE, effort="fast"),
    "torch, noisy, shots": lambda: TorchSimulator(DEVICE, shots=200, effort="fast"),
    "replay": lambda: Replay(ExactSimulator()),
    "replay, noisy": lambda: Replay(NoisySimulator(DEVICE, shots=200, effort="fast")),
}
WITHOUT_SHOTS = ("exact", "noisy", "propagation", "aer", "torch", "torch, noisy", "replay")
WITH_SHOTS = (
    "exact, shots",
    "noisy, shots",
    "propagation, shots",
    "aer, shots",
    "chip, simulated",
    "torch, shots",
    "torch, noisy, shots",
    "replay, noisy",
)
KEY = (3, 1, 0)
SHIFTS = np.array([np.pi / 2, -np.pi / 2, 0.3])

every_executor = pytest.mark.parametrize("name", EXECUTORS)


def model():
    x, w = ParameterVector("x", 2), ParameterVector("w", 3)
    circuit = QuantumCircuit(3)
    circuit.ry(x[0], 0)
    circuit.ry(x[1], 1)
    circuit.rzz(w[0], 0, 1)
    circuit.crx(w[1], 1, 2)
    circuit.ry(2 * w[2] + 0.1, 0)
    circuit.cx(0, 2)
    observables = [SparsePauliOp("IIZ"), SparsePauliOp(["ZZI", "XIX", "III"], [0.5, 1.5, 0.25])]
    return circuit, observables, list(x), list(w)


def prepared(name, batch=4):
    executor = EXECUTORS[name]()
    circuit, observables, x, w = model()
    program = executor.prepare(circuit, observables, features=x, weights=w)
    rng = np.random.default_rng(0)
    return executor, program, program.angles(rng.uniform(-2, 2, (batch, 2)), rng.uniform(-2, 2, 3))


def all_slots(program):
    return np.arange(program.num_slots)


@every_executor
def test_it_is_an_executor(name):
    assert isinstance(EXECUTORS[name](), Executor)
    assert EXECUTORS[name]().ledger == Ledger()


@every_executor
def test_shapes_and_types(name):
    executor, program, angles = prepared(name)
    values = executor.expectations(program, angles, key=KEY)
    assert values.shape == (4, 2)
    assert values.dtype == np.float64
    slots = all_slots(program)[::2]
    shifted = executor.shifted_expectations(program, angles, slots, SHIFTS, key=KEY)
    assert shifted.shape == (4, len(slots), 3, 2)
    assert shifted.dtype == np.float64
    assert np.all(np.isfinite(shifted))


@every_executor
def test_an_empty_batch_and_no_slots_cost_nothing(name):
    executor, program, angles = prepared(name)
    slots = all_slots(program)
    assert executor.expectations(program, angles[:0], key=KEY).shape == (0, 2)
    assert executor.shifted_expectations(program, angles[:0], slots, SHIFTS, key=KEY).shape == (0, len(slots), 3, 2)
    assert executor.shifted_expectations(program, angles, slots[:0], SHIFTS, key=KEY).shape == (4, 0, 3, 2)
    assert executor.ledger == Ledger()


@every_executor
def test_a_constant_observable_needs_no_circuit(name):
    executor = EXECUTORS[name]()
    circuit, _, x, w = model()
    program = executor.prepare(circuit, [SparsePauliOp(["III"], [0.25])], features=x, weights=w)
    angles = np.zeros((2, program.num_slots))
    expected = 0.0 if "dry" in name else 0.25
    assert np.array_equal(executor.expectations(program, angles, key=KEY), np.full((2, 1), expected))
    shifted = executor.shifted_expectations(program, angles, all_slots(program)[:2], SHIFTS, key=KEY)
    assert np.array_equal(shifted, np.full((2, 2, 3, 1), expected))
    assert executor.ledger.circuits == 0


@every_executor
def test_the_same_key_gives_the_same_numbers(name):
    first, program, angles = prepared(name)
    second, again, _ = prepared(name)
    assert program.sha256 == again.sha256
    for key in (KEY, (3, 2, 0)):
        assert np.array_equal(first.expectations(program, angles, key=key), second.expectations(again, angles, key=key))
    shifted = [
        executor.shifted_expectations(p, angles, all_slots(p), SHIFTS, key=KEY)
        for executor, p in ((first, program), (second, again))
    ]
    assert np.array_equal(*shifted)


@pytest.mark.parametrize("name", WITH_SHOTS)
def test_seed_step_and_stream_each_change_the_draws(name):
    executor, program, angles = prepared(name, batch=30)
    base = executor.expectations(program, angles, key=KEY)
    for other in ((4, 1, 0), (3, 0, 0), (3, 1, 1)):
        assert not np.array_equal(base, executor.expectations(program, angles, key=other))


@pytest.mark.parametrize("name", WITHOUT_SHOTS)
def test_shifts_equal_those_spelled_out(name):
    executor, program, angles = prepared(name)
    slots = all_slots(program)
    found = executor.shifted_expectations(program, angles, slots, SHIFTS, key=KEY)
    expected = spelled_out_shifts(executor, program, angles, slots, SHIFTS, key=KEY)
    assert np.abs(found - expected).max() < 1e-12


@pytest.mark.parametrize("name", WITHOUT_SHOTS)
def test_any_order_and_repetition_of_slots_is_served(name):
    executor, program, angles = prepared(name)
    slots = all_slots(program)
    whole = executor.shifted_expectations(program, angles, slots, SHIFTS, key=KEY)
    chosen = np.array([3, 0, 3, 1])
    some = executor.shifted_expectations(program, angles, chosen, SHIFTS, key=KEY)
    assert np.abs(some - whole[:, chosen]).max() < 1e-12


@pytest.mark.parametrize("name", WITHOUT_SHOTS)
def test_rows_do_not_touch_each_other(name):
    executor, program, angles = prepared(name, batch=20)
    whole = executor.expectations(program, angles, key=KEY)
    for row in (0, 7, 19):
        alone = executor.expectations(program, angles[row : row + 1], key=KEY)
        assert np.abs(whole[row] - alone[0]).max() < 1e-13


@pytest.mark.parametrize("name", [n for n in WITH_SHOTS if n != "chip, simulated"])  # see test_chip_executor.py
def test_shots_scatter_around_the_exact_values(name):
    executor, program, angles = prepared(name, batch=2)
    exact = EXECUTORS["exact" if name in ("exact, shots", "torch, shots") else "noisy"]()
    slots = all_slots(program)
    expected = exact.shifted_expectations(program, angles, slots, SHIFTS, key=KEY)
    draws = np.array([executor.shifted_expectations(program, angles, slots, SHIFTS, key=(0, i, 0)) for i in range(100)])
    # standard error of a mean of 100 x 200 shots: at most (0.5 + 1.5) / sqrt(20000) = 0.0142 for the wider observable
    assert np.abs(draws.mean(axis=0) - expected).max() < 5 * 0.0142
    assert draws.std(axis=0)[..., 1].max() > 0.01


@every_executor
def test_the_ledger_counts_circuits_shots_and_seconds(name):
    executor, program, angles = prepared(name)
    executor.expectations(program, angles, key=KEY)
    executor.shifted_expectations(program, angles, np.array([0, 2]), SHIFTS, key=KEY)
    circuits = (4 + 4 * 2 * 3) * program.num_bases
    shots = 0 if name in WITHOUT_SHOTS else 200 * circuits
    assert (executor.ledger.circuits, executor.ledger.shots, executor.ledger.jobs) == (circuits, shots, 2)
    on_a_chip = name in (
        "noisy, shots",
        "propagation, shots",
        "aer, shots",
        "chip, simulated",
        "dry run, device",
        "torch, noisy, shots",
        "replay, noisy",
    )
    expected = 0.0
    if on_a_chip:
        duration = float(np.mean(program.durations))
        expected = sum(
            execution_cost(executor.device, duration, shots=200, circuits=n * program.num_bases).qpu_seconds
            for n in (4, 24)
        )
    assert executor.ledger.qpu_seconds == pytest.approx(expected, rel=1e-12)


def test_bill_matches_dry_run():
    dry, program, angles = prepared("dry run, device")
    real, same, _ = prepared("noisy, shots")
    for executor, p in ((dry, program), (real, same)):
        executor.expectations(p, angles, key=KEY)
        executor.shifted_expectations(p, angles, all_slots(p), SHIFTS, key=KEY)
    assert dry.ledger == real.ledger
    assert dry.is_dry
    assert not dry.expectations(program, angles, key=KEY).any()


@every_executor
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"angles": np.zeros((2, 3))}, "shape"),
        ({"angles": np.zeros(3)}, "shape"),
        ({"angles": np.full((2, 99), np.nan)}, "angles"),
        ({"angles": None}, "dtype"),
        ({"slots": np.array([99])}, "slot 99"),
        ({"slots": np.array([-1])}, "slot -1"),
        ({"slots": np.array([0.5])}, "whole numbers"),
        ({"slots": np.array([[0]])}, "one-dimensional"),
        ({"shifts": np.array([np.nan])}, "finite"),
        ({"shifts": 0.5}, "one-dimensional"),
        ({"key": (1, 2)}, "key"),
        ({"key": (1, 2, -3)}, "key"),
        ({"key": 7}, "key"),
        ({"key": (1, 2, 0.5)}, "key"),
    ],
)
def test_bad_input_is_refused_and_costs_nothing(name, change, words):
    executor, program, angles = prepared(name)
    arguments = {"angles": angles, "slots": np.array([0]), "shifts": SHIFTS, "key": KEY, **change}
    with pytest.raises(ConfigError, match=words):
        executor.shifted_expectations(program, **arguments)
    if "angles" in change or "key" in change:
        with pytest.raises(ConfigError, match=words):
            executor.expectations(program, arguments["angles"], key=arguments["key"])
    assert executor.ledger == Ledger()


@every_executor
def test_nan_and_complex_angles_are_refused(name):
    executor, program, angles = prepared(name)
    broken = angles.copy()
    broken[1, 2] = np.nan
    with pytest.raises(ConfigError, match=r"angles\[1, 2\] = nan"):
        executor.expectations(program, broken, key=KEY)
    with pytest.raises(ConfigError, match="complex"):
        executor.expectations(program, angles + 0j, key=KEY)
    assert executor.ledger == Ledger()


@every_executor
def test_models_that_cannot_be_trained_are_refused(name):
    executor = EXECUTORS[name]()
    circuit, observables, x, w = model()
    with pytest.raises(ModelError):
        executor.prepare(circuit, [SparsePauliOp("Z")], features=x, weights=w)
    with pytest.raises(ModelError):
        executor.prepare(circuit, observables, features=x, weights=w[1:])
    squared = circuit.copy()
    squared.rx(w[0] * w[0], 0)
    with pytest.raises(ModelError, match="affinely"):
        executor.prepare(squared, observables, features=x, weights=w)


@pytest.mark.parametrize("shots", [0, -5, 1.5, True, float("nan"), "many", np.float64(3)])
@pytest.mark.parametrize(
    "build",
    [
        lambda shots: ExactSimulator(shots=shots),
        lambda shots: NoisySimulator(DEVICE, shots=shots),
        lambda shots: DryRun(DEVICE, shots=shots),
        lambda shots: PropagationSimulator(DEVICE, shots=shots),
        lambda shots: AerExecutor(DEVICE, shots=shots, method="density_matrix"),
    ],
)
def test_shots_are_whole_and_positive(build, shots):
    with pytest.raises(ConfigError, match="shots"):
        build(shots)


def test_a_device_is_a_device_and_a_seed_is_whole():
    with pytest.raises(ConfigError, match="load_device"):
        NoisySimulator("ibm_manila")
    with pytest.raises(ConfigError, match="seed"):
        NoisySimulator(DEVICE, seed=-1)


def test_a_program_of_another_executor_is_refused():
    noisy, _, angles = prepared("noisy")
    _, exact_program, _ = prepared("exact")
    with pytest.raises(ConfigError, match="prepare"):
        noisy.expectations(exact_program, angles, key=KEY)


def test_noise_free_device_equals_exact():
    clean = Device.from_coupling(
        [(0, 1), (1, 2)], two_qubit_error=0.0, one_qubit_error=0.0, readout_error=0.0, t1=1e12, t2=1e12
    )
    circuit, observables, x, w = model()
    rng = np.random.default_rng(5)
    features, weights = rng.uniform(-2, 2, (3, 2)), rng.uniform(-2, 2, 3)
    values = []
    for executor in (ExactSimulator(), NoisySimulator(clean, shots=None, effort="fast")):
        program = executor.prepare(circuit, observables, features=x, weights=w)
        values.append(executor.expectations(program, program.angles(features, weights), key=KEY))
    assert np.abs(values[0] - values[1]).max() < 1e-12


@pytest.mark.parametrize("name", ["exact", "noisy", "propagation", "torch", "torch, noisy"])
def test_adjoint_is_the_exact_derivative_and_needs_no_shots(name):
    executor, program, angles = prepared(name)
    cotangent = np.random.default_rng(1).normal(size=(4, 2))
    shifted = executor.shifted_expectations(program, angles, all_slots(program), SHIFTS[:2], key=KEY)
    expected = np.einsum("bko,bo->bk", (shifted[:, :, 0] - shifted[:, :, 1]) / 2, cotangent)
    before = executor.ledger
    assert np.abs(executor.adjoint(program, angles, cotangent) - expected).max() < 1e-12
    assert executor.ledger == before
    with pytest.raises(ConfigError, match="cotangent"):
        executor.adjoint(program, angles, cotangent[:1])
    sampled = EXECUTORS[f"{name}, shots"]()
    with pytest.raises(ConfigError, match="shots"):
        sampled.adjoint(program, angles, cotangent)


def test_replay_gives_back_what_was_recorded(tmp_path):
    recorder, program, angles = prepared("replay, noisy")
    slots = all_slots(program)
    values = recorder.expectations(program, angles, key=KEY)
    shifted = recorder.shifted_expectations(program, angles, slots, SHIFTS, key=KEY)
    spent = recorder.executor.ledger
    assert np.array_equal(recorder.expectations(program, angles, key=KEY), values)
    assert recorder.executor.ledger == spent
    path = tmp_path / "results.npz"
    recorder.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["results.npz"]

    replayed = Replay(NoisySimulator(DEVICE, shots=200, effort="fast"), path)
    again, _, _ = prepared("noisy, shots")
    circuit, observables, x, w = model()
    program = again.prepare(circuit, observables, features=x, weights=w)
    assert np.array_equal(replayed.expectations(program, angles, key=KEY), values)
    assert np.array_equal(replayed.shifted_expectations(program, angles, slots, SHIFTS, key=KEY), shifted)
    assert replayed.ledger == spent
    assert replayed.executor.ledger == Ledger()
    other_shots = Replay(NoisySimulator(DEVICE, shots=100, effort="fast"), path)
    for changed in (
        lambda: other_shots.expectations(program, angles, key=KEY),
        lambda: replayed.expectations(program, angles + 1e-9, key=KEY),
        lambda: replayed.expectations(program, angles, key=(3, 1, 1)),
        lambda: replayed.shifted_expectations(program, angles, slots[1:], SHIFTS, key=KEY),
        lambda: replayed.shifted_expectations(program, angles, slots, SHIFTS[:2], key=KEY),
    ):
        with pytest.raises(ExecutorError, match="not among the 2 recorded"):
            changed()


def test_a_file_that_is_no_record_is_refused(tmp_path):
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 nothing")
    other = tmp_path / "other.npz"
    np.savez(other, values=np.zeros(3))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, values=np.array([{}], dtype=object))
    for path in (damaged, other, pickled, tmp_path / "missing.npz"):
        with pytest.raises(ConfigError, match=r"Replay\.save"):
            Replay(ExactSimulator(), path)
