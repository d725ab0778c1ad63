"""ChipExecutor's numbers against NoisySimulator's, and what of a training becomes a job."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from qiskit.providers import BackendV2, Options
from qiskit_aer import AerSimulator

import qtrain
from qcompile.calibration import device_to_json, load_device
from qcompile.device import Device
from qtrain.chip import primitives
from qtrain.chip.faults import Patience
from qtrain.errors import ConfigError, RunError
from qtrain.executors.base import shifted_points
from qtrain.executors.chip import ChipExecutor
from tests.gradient_circuits import everything, qoc, sel
from tests.qtrain.simulated_chip import SimulatedChip
from tests.qtrain.test_train import blobs, small_model

MANILA = load_device("ibm_manila")
KEY = (2, 1, 0)
PLAIN_CHIP = Device.from_coupling([(0, 1), (1, 2)], t1=None, t2=None, readout_error=0.03, name="plain")
SHIFT = qtrain.parameter_shift()
QUICK = Patience(first_poll=0.002, longest_poll=0.02)


def on(device, shots=4000, **options):
    return ChipExecutor(
        SimulatedChip(device), shots=shots, effort="fast", accept_seconds=1e9, patience=QUICK, **options
    )


def problem(built, observables, rows=3, seed=0):
    circuit, features, weights = built
    model = qtrain.QuantumModel(circuit, features=features, weights=weights, observables=observables)
    rng = np.random.default_rng(seed)
    return model, rng.uniform(-np.pi, np.pi, (rows, len(features))), rng.uniform(-np.pi, np.pi, len(weights))


def prepared(executor, model, x, w):
    program = executor.prepare(model.circuit, model.observables, features=model.features, weights=model.weights)
    return program, program.angles(x, w)


def sigmas(found, expected, shots):
    """How many standard errors values of single Pauli strings are away."""
    return np.abs(found - expected) / np.sqrt((1 - expected**2) / shots + 1 / shots**2)


@pytest.mark.parametrize(
    ("built", "observables"),
    [
        (qoc(1), ["Z0", "Z1", "Z2", "Z3"]),
        (sel(3, 2), ["Z0", "X1", "Y2", "X0 Y1", "Z0 Z1 Z2"]),
        (everything(3), ["X0", "Y0 Y1", "Z1 X2", "Z0 Z2"]),
    ],
    ids=["qoc", "sel", "everything"],
)
@pytest.mark.parametrize("name", ["ibm_manila", "iqm_adonis"])
def test_values_and_shifted_values_are_those_of_the_noise_model(name, built, observables):
    device = load_device(name)
    model, x, w = problem(built, observables)
    chip, reference = on(device), qtrain.NoisySimulator(device, shots=None, effort="fast")
    program, angles = prepared(chip, model, x, w)
    noisy, same = prepared(reference, model, x, w)
    assert np.array_equal(angles, same)
    assert sigmas(
        chip.expectations(program, angles, key=KEY), reference.expectations(noisy, angles, key=KEY), chip.shots
    ).max() < 5  # fmt: skip
    slots, shifts = np.arange(program.num_slots)[::7], np.array([np.pi / 2, -1.1])
    found = chip.shifted_expectations(program, angles, slots, shifts, key=KEY)
    expected = reference.shifted_expectations(noisy, angles, slots, shifts, key=KEY)
    assert sigmas(found, expected, chip.shots).max() < 5
    assert len(chip.jobs.jobs()) == 2


def test_a_stored_calibration_as_a_file_is_a_backend_with_its_noise(tmp_path):
    (tmp_path / "plain.json").write_text(device_to_json(PLAIN_CHIP))
    chip = ChipExecutor.from_name(str(tmp_path / "plain.json"), shots=4000, effort="fast")
    reference = qtrain.NoisySimulator(PLAIN_CHIP, shots=None, effort="fast")
    model, x, w = problem(sel(3, 2), ["Z0", "X1 Z2", "Y0 Y2"])
    found = chip.expectations(*prepared(chip, model, x, w), key=KEY)
    expected = reference.expectations(*prepared(reference, model, x, w), key=KEY)
    assert sigmas(found, expected, 4000).max() < 5
    assert chip.budget is None, "it computes here, so it needs no cap"


def test_an_observable_of_several_strings_and_bases_is_put_together():
    built = sel(3, 1)
    observable = qtrain.QuantumModel(
        built[0], features=built[1], weights=built[2], observables=["Z0", "X0", "Z1 Z2"]
    ).observables
    combined = (2 * observable[0] - 0.5 * observable[1] + 0.25 * observable[2]).simplify()
    _, x, w = problem(built, ["Z0"])
    model = qtrain.QuantumModel(built[0], features=built[1], weights=built[2], observables=[combined])
    chip, reference = on(MANILA), qtrain.NoisySimulator(MANILA, shots=None, effort="fast")
    found = chip.expectations(*prepared(chip, model, x, w), key=KEY)
    expected = reference.expectations(*prepared(reference, model, x, w), key=KEY)
    assert np.abs(found - expected).max() < 5 * (2 + 0.5 + 0.25) / np.sqrt(4000)
    assert chip.ledger.circuits == 2 * len(x), "Z0 and Z1 Z2 share a basis"


def test_mitigation_takes_the_readout_error_out_and_without_it_the_bias_is_there():
    qubits = tuple(
        replace(q, readout=replace(q.readout, p1_given_0=0.04 + 0.01 * i, p0_given_1=0.12 - 0.01 * i))
        for i, q in enumerate(MANILA.qubits)
    )
    device = replace(MANILA, qubits=qubits)
    model, x, w = problem(sel(3, 2), ["Z0", "X1", "Z0 Y2", "Z0 Z1 Z2"], rows=4)
    reference = qtrain.NoisySimulator(device, shots=None, effort="fast", readout_error=False)
    expected = reference.expectations(*prepared(reference, model, x, w), key=KEY)
    shots = 8000
    plain, mended = on(device, shots), on(device, shots, mitigate_readout=True)
    contrast = 1 - max(q.readout.p1_given_0 + q.readout.p0_given_1 for q in qubits)
    weights = np.array([1, 1, 2, 3])  # qubits of each string: each divides by its contrast
    allowed = 5 / np.sqrt(shots) / contrast**weights
    found = mended.expectations(*prepared(mended, model, x, w), key=KEY)
    assert (np.abs(found - expected) < allowed).all()
    biased = plain.expectations(*prepared(plain, model, x, w), key=KEY)
    assert (np.abs(biased - expected) > allowed).any(), "this test could not fail"


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_mitigation_is_on_or_off(value):
    with pytest.raises(ConfigError, match="mitigate_readout"):
        on(MANILA, mitigate_readout=value)


class IBMBackend(BackendV2):
    """By its class's name a backend of IBM's service."""

    service = SimpleNamespace(active_account=lambda: None)

    def __init__(self):
        super().__init__(name="ibm_somewhere")
        self.sent = []

    @property
    def target(self):
        return MANILA.target()

    @property
    def max_circuits(self):
        return None

    @classmethod
    def _default_options(cls):
        return Options()

    def run(self, run_input, **options):
        raise AssertionError("IBM's backends run primitives alone")

    def job_id(self):
        return "job0"


def test_options_are_passed_on_with_the_tag_and_are_not_written_into(monkeypatch):
    made = []

    class Sampler:
        def __init__(self, mode, options):
            made.append((mode, options))

        def run(self, pubs, shots):
            made.append((pubs, shots))
            return backend

    backend = IBMBackend()
    monkeypatch.setattr(primitives, "_sampler", Sampler)
    options = {
        "dynamical_decoupling": {"enable": True, "sequence_type": "XY4"},
        "twirling": {"enable_measure": True},
        "environment": {"job_tags": ["mine"]},
    }
    service = primitives.service_of(backend, "job", options)
    model, x, w = problem(sel(2, 1), ["Z0"])
    chip = on(MANILA)
    program, angles = prepared(chip, model, x, w)
    native = chip._native(program)[0]
    pub = primitives.Pub(native.circuit, native.values(angles))
    assert service.submit([pub], shots=77, tag="qtrain:a:0:b-0", seed=1, max_seconds=60) == "job0"
    (mode, passed), (pubs, shots) = made
    assert mode is backend
    assert shots == 77
    assert passed == options | {"environment": {"job_tags": ["mine", "qtrain:a:0:b-0"]}, "max_execution_time": 60}
    assert options["environment"] == {"job_tags": ["mine"]}
    assert pubs[0][1].shape == (3, native.circuit.num_parameters), "a point is a row, so nothing is broadcast"


def test_options_of_another_vendor_go_to_its_run():
    backend, options = SimulatedChip(MANILA), {"verbatim": True}
    chip = ChipExecutor(backend, shots=50, effort="fast", accept_seconds=1e9, patience=QUICK, options=options)
    model, x, w = problem(sel(2, 1), ["Z0"])
    chip.expectations(*prepared(chip, model, x, w), key=KEY)
    assert backend.options_given == options


@pytest.mark.parametrize("name", ["aer", "ibm_manila_2024-05-27"])
def test_simulators_take_no_options(name):
    with pytest.raises(ConfigError, match=r"twirling.*takes none"):
        ChipExecutor.from_name(name, options={"twirling": {"enable_gates": True}})


def rehearsal(seed=0, shots=100, name=None, **options):
    if name is not None:
        return ChipExecutor.from_name(name, shots=shots, seed=seed, effort="fast", **options)
    pair = AerSimulator(n_qubits=2, basis_gates=["rz", "sx", "x", "cx"], coupling_map=[[0, 1]])
    return ChipExecutor(pair, shots=shots, seed=seed, effort="fast", **options)


def trained(executor, gradient=SHIFT, **options):
    chosen = {"steps": 3, "batch_size": 4, "executor": executor, "gradient": gradient} | options
    return qtrain.train(small_model(), blobs(), **chosen)


def test_a_step_is_one_job_and_an_evaluation_another():
    chip = rehearsal()
    result = trained(chip, test_set=blobs(10, seed=1))
    jobs = chip.jobs.jobs()
    assert [job.step for job in jobs] == [0, 1, 2, 2], "an evaluation belongs to the step before it"
    assert {job.state for job in jobs} == {"done"}
    model = small_model()
    program, _ = prepared(chip, model, np.zeros((1, 2)), np.zeros(len(model.weights)))
    circuits = 4 * program.num_bases + SHIFT.circuits(program, 4, 0)[1]
    assert [job.circuits for job in jobs] == [circuits, circuits, circuits, 10 * program.num_bases]
    assert (result.ledger.circuits, result.ledger.jobs) == (sum(job.circuits for job in jobs), 4)
    assert chip.jobs.spent().executions == result.ledger.shots == 100 * result.ledger.circuits


def test_pruned_steps_run_fewer_circuits():
    full, pruned = rehearsal(), rehearsal()
    trained(full)
    result = trained(pruned, qtrain.prune(SHIFT, ratio=0.5, accumulation_window=1, pruning_window=2))
    every, some = ([job.circuits for job in chip.jobs.jobs()] for chip in (full, pruned))
    assert some[0] == every[0], "the first step accumulates"
    assert all(few < many for few, many in zip(some[1:], every[1:], strict=True))
    assert result.ledger.circuits == sum(some)


def test_each_estimate_of_a_mean_is_a_new_sample_in_the_same_job():
    once, twice = rehearsal(), rehearsal()
    trained(once, steps=1)
    trained(twice, qtrain.average(SHIFT, 2), steps=1)
    ((single,), (double,)) = (chip.jobs.jobs() for chip in (once, twice))
    model = small_model()
    rng = np.random.default_rng(0)
    program, angles = prepared(twice, model, rng.uniform(0, 1, (3, 2)), rng.uniform(0, 1, len(model.weights)))
    forward = 4 * program.num_bases
    assert double.circuits - forward == 2 * (single.circuits - forward)
    draws = [twice.expectations(program, angles, key=(0, 0, stream)) for stream in (1, 2, 1)]
    assert not np.array_equal(draws[0], draws[1])
    assert np.array_equal(draws[0], draws[2]), "the same key asks for the same sample"


def test_a_layer_serves_any_torch_model_without_train():
    torch.manual_seed(0)
    chip = rehearsal()
    layer = qtrain.QuantumLayer(small_model(), chip, SHIFT)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), layer, torch.nn.Linear(2, 2)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.linspace(0, 1, 12, dtype=torch.float64).reshape(4, 3)
    before = [p.detach().clone() for p in model.parameters()]
    for step in range(2):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
        assert len(chip.jobs.jobs()) == step + 1
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["aer", "fake_manila", "ibm_manila_2024-05-27"])
def test_simulated_backends_repeat_themselves_by_the_seed(name):
    weights = [trained(rehearsal(seed, name=name), steps=1).weights for seed in (0, 0, 1)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_a_budget_can_be_rehearsed_where_nothing_is_charged():
    first = rehearsal(name="fake_manila")
    seconds = trained(first, steps=1).ledger.qpu_seconds
    assert seconds > 2
    chip = rehearsal(name="fake_manila", budget=2.5 * seconds)
    result = trained(chip, steps=5)
    assert (result.stopped, result.steps, len(chip.jobs.jobs())) == ("budget", 2, 2)
    assert f"{2 * seconds:,.2f} of the budget of {2.5 * seconds:,.2f} QPU seconds are spent" in result.reason


def test_shots_that_are_granted_are_those_of_the_mean():
    chip = on(MANILA, shots=123)
    model, x, w = problem(sel(2, 1), ["Z0"])
    values = chip.expectations(*prepared(chip, model, x, w), key=KEY)
    assert np.allclose((values + 1) / 2 * 123, np.round((values + 1) / 2 * 123)), "these are no means of 123 shots"
    assert chip.backend == "simulated_ibm_manila"


def test_shifted_points_are_the_order_of_the_executions():
    model, x, w = problem(sel(2, 1), ["Z0"])
    chip = on(MANILA, shots=20)
    program, angles = prepared(chip, model, x, w)
    slots, shifts = np.array([1, 0]), np.array([0.3, -0.3, 1.0])
    values = chip.shifted_expectations(program, angles, slots, shifts, key=KEY)
    flat = shifted_points(angles, slots, shifts).reshape(-1, program.num_slots)
    assert np.array_equal(values.reshape(-1, 1), chip.expectations(program, flat, key=KEY))
    assert len(chip.jobs.jobs()) == 1, "the second request is the same as the first"


def test_a_run_on_another_vendors_backend_is_resumed_with_the_backend_passed(tmp_path):
    device = MANILA

    def chip(seconds):
        return ChipExecutor(SimulatedChip(device), shots=50, effort="fast", accept_seconds=seconds, patience=QUICK)

    first = trained(chip(1e-3 + 2 * trained(chip(1e6), steps=1).ledger.qpu_seconds), run_dir=tmp_path / "run")
    assert (first.stopped, first.steps) == ("budget", 2)
    with pytest.raises(RunError, match=r"Pass it: qtrain.resume\(run_dir, executor=.*given as an object"):
        qtrain.resume(tmp_path / "run")
    rest = chip(1e6)
    result = qtrain.resume(tmp_path / "run", executor=rest)
    assert (result.stopped, result.steps) == ("finished", 3)
    assert [job.step for job in rest.jobs.jobs()] == [0, 1, 2]
