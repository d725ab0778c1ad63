"""What DryRun and `qtrain cost` say is what the service counts: exactly if not pruned, else between the bounds."""

import json
import sys

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

import qtrain
from qtrain.billing import total_bill
from qtrain.chip import split
from qtrain.executors import dry_run
from qtrain.settings import Settings
from qtrain.task import Task
from tests.qtrain.loopback_training import BACKEND, CIRCUITS, SHOTS, STEPS, X, Y

SHIFT = qtrain.parameter_shift()


def uneven():
    """Weights with one, two and four slots, in three bases."""
    x, w = Parameter("x"), ParameterVector("w", 3)
    circuit = QuantumCircuit(2)
    circuit.ry(x, 0)
    circuit.ry(w[0], 1)
    circuit.crx(w[1], 0, 1)
    circuit.cry(w[2], 1, 0)
    circuit.ry(2 * w[2], 1)
    return qtrain.QuantumModel(circuit, features=[x], weights=list(w), observables=["Z0", "X1", "Y0"])


def trained(training, gradient, **settings):
    """(task on DryRun, what the service counted) of one training with a test set."""
    settings = {"steps": 4, "batch_size": 3, "evaluate_every": 2} | settings
    rows = qtrain.Dataset(X[:, :1], Y, "rows", ("a", "b"))
    test = qtrain.Dataset(X[:5, :1], Y[:5], "test", ("a", "b"))
    executor = training.executor()
    dry = qtrain.DryRun(executor.device, shots=SHOTS)
    task = Task(uneven(), rows, test, dry, gradient, Settings(**settings))
    qtrain.train(uneven(), rows, executor=executor, gradient=gradient, test_set=test, **settings)
    return task, training.service.billing()


def of_the_service(bill):
    return sum(job["circuits"] for job in bill), sum(job["executions"] for job in bill), len(bill)


@pytest.mark.parametrize(
    "gradient",
    [SHIFT, qtrain.spsa(), qtrain.average(qtrain.spsa(), 2), qtrain.finite_difference()],
    ids=lambda method: method.name,
)
def test_unpruned_the_service_counts_what_was_predicted(training, gradient):
    task, bill = trained(training, gradient)
    layer = qtrain.QuantumLayer(task.model, task.executor, gradient)
    least, most = total_bill(task, layer.program)
    assert least == most
    assert of_the_service(bill) == (most.circuits, most.shots, most.jobs)
    done = qtrain.train(task.model, task.train_set, executor=task.executor, gradient=gradient, test_set=task.test_set, steps=4, batch_size=3, evaluate_every=2)  # fmt: skip # noqa: E501
    assert (done.ledger.circuits, done.ledger.shots) == (most.circuits, most.shots)


def test_unpruned_and_split_into_jobs_likewise(training, monkeypatch):
    for module in (split, dry_run):
        monkeypatch.setattr(module, "capacity", lambda *_: 20)
    task, bill = trained(training, SHIFT)
    layer = qtrain.QuantumLayer(task.model, task.executor, SHIFT)
    _, most = total_bill(task, layer.program)
    assert most.jobs > 10
    assert of_the_service(bill) == (most.circuits, most.shots, most.jobs)


@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_pruned_the_service_counts_within_the_bounds(training, ratio):
    gradient = qtrain.prune(SHIFT, ratio=ratio)
    task, bill = trained(training, gradient, steps=6)
    layer = qtrain.QuantumLayer(task.model, task.executor, gradient)
    least, most = total_bill(task, layer.program)
    circuits, executions, jobs = of_the_service(bill)
    assert least.circuits < most.circuits
    assert least.circuits <= circuits <= most.circuits
    assert least.shots <= executions <= most.shots
    assert least.jobs <= jobs <= most.jobs


def test_the_command_says_it_before_and_the_training_spends_it(training, tmp_path, capsys):
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,label\n" + "\n".join(f"{x[0]},{x[1]},{y}" for x, y in zip(X, Y)))
    options = ("--data", rows, "--backend", BACKEND, "--shots", 40, "--steps", 3, "--batch-size", 4, "--blocks", 1)
    assert training.command("cost", *options, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert not training.service.billing()
    assert training.command("train", *options, "--budget", 100, "--run-dir", tmp_path / "run", "--quiet", "--json") == 0
    spent = json.loads(capsys.readouterr().out)
    bill = said["most"]
    assert said["exact"]
    assert of_the_service(training.service.billing()) == (bill["circuits"], bill["shots"], bill["jobs"])
    assert (spent["circuits"], spent["shots"]) == (bill["circuits"], bill["shots"])
    assert np.isclose(spent["qpu_seconds"], bill["qpu_seconds"])


def test_options_of_the_service_are_passed_on_and_change_no_bill(training):
    options = {"dynamical_decoupling": {"enable": True}, "twirling": {"enable_measure": True, "num_randomizations": 4}}
    plain = training.undisturbed()
    result = training.train(training.executor(options=options))
    assert not np.array_equal(result.weights, plain)
    assert sum(job["executions"] for job in training.service.billing()) == STEPS * CIRCUITS * SHOTS


def test_the_older_primitives_serve_as_well(training, monkeypatch):
    expected = training.undisturbed()
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime.executor_sampler", None)
    with pytest.warns(DeprecationWarning, match="SamplerV2"):
        result = training.train()
    from qiskit_ibm_runtime import QiskitRuntimeService

    assert {job.primitive_id for job in QiskitRuntimeService().jobs()} == {"sampler"}
    assert np.array_equal(result.weights, expected)


def test_one_gradient_of_36_parameters_and_16_images_is_one_job(training):
    w = ParameterVector("w", 36)
    x = ParameterVector("x", 4)
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.ry(x[qubit], qubit)
    for layer in range(9):
        for qubit in range(4):
            (circuit.rx if layer % 2 else circuit.ry)(w[4 * layer + qubit], qubit)
        for qubit in range(3):
            circuit.cx(qubit, qubit + 1)
    model = qtrain.QuantumModel(circuit, features=list(x), weights=list(w), observables=[f"Z{q}" for q in range(4)])
    rows = np.random.default_rng(0).uniform(0, np.pi, (16, 4)), np.arange(16) % 2
    qtrain.train(model, rows, executor=training.executor(shots=16), gradient=SHIFT, steps=1, batch_size=16)
    (job,) = training.service.billing()
    assert job["circuits"] == 16 * (1 + 2 * 36)
