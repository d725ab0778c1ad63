"""The loopback service's numbers: against Aer's density matrix, and the same bits for the same content."""

import json

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping

pytest.importorskip("qiskit_ibm_runtime")
pytest.importorskip("qiskit_aer")

from qiskit_aer import AerSimulator

from tests.qtrain.service.backends import snapshot
from tests.qtrain.service.chip import Chip, JobRefused
from tests.qtrain.service.lowering import evaluate, lower
from tests.qtrain.service.programs import count
from tests.qtrain.service.propagation import probabilities
from tests.qtrain.service.sampling import by_aer, noise_model, sample

QUICK = {"poll_interval": 0.1, "timeout": 20}


def chip(name="manila", noise="calibration", drift=None):
    return Chip.read(snapshot(name, "conf"), snapshot(name, "props"), noise=noise, drift=drift)


def entangled(gate="cx", qubits=5):
    angles = ParameterVector("angle", 6)
    built = QuantumCircuit(QuantumRegister(qubits), ClassicalRegister(2, "first"), ClassicalRegister(1, "second"))
    for qubit in (1, 2, 3):
        built.sx(qubit)
        built.rz(angles[qubit - 1] - 0.5 * angles[3], qubit)
        built.sx(qubit)
    for low, high in ((1, 2), (2, 3)):
        built.append(get_standard_gate_name_mapping()[gate], [low, high])
        built.x(high)
        built.rz(angles[5] * angles[0] + angles[4], high)
        built.sx(high)
    built.barrier()
    built.measure([3, 1], [0, 1])
    built.measure(2, 2)
    return built


def directed(device):
    """On a pair of qubits far into a device whose gates are directed."""
    low, high = next(pair for kind, pair in sorted(device.gates) if kind == "ecr")
    built = QuantumCircuit(device.num_qubits, 2)
    built.sx(low)
    built.ecr(low, high)
    built.rz(Parameter("a"), high)
    built.sx(high)
    built.measure([high, low], [0, 1])
    return built


def fractional(device):
    angles = ParameterVector("angle", 3)
    built = QuantumCircuit(device.num_qubits, 2)
    built.rx(angles[0], 0)
    built.rzz(angles[1], 0, 1)
    built.rx(angles[2], 1)
    built.rx(0.3, 0)
    built.measure([0, 1], [1, 0])
    return built


@pytest.mark.parametrize(
    ("name", "make", "noise"),
    [
        ("manila", lambda device: entangled(), "calibration"),
        ("manila", lambda device: entangled(), "ideal"),
        ("torino", lambda device: entangled("cz", 133), "calibration"),
        ("sherbrooke", directed, "calibration"),
        ("fractional", fractional, "calibration"),
    ],
)
def test_probabilities_are_those_of_aer(name, make, noise):
    device = chip(name, noise)
    built = make(device)
    values = np.random.default_rng(1).uniform(0, 1.5, (3, built.num_parameters))
    found = probabilities(lower(built, values, device), device)
    assert found.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-12)
    measured = lower(built, values, device).measured
    simulator = AerSimulator(method="density_matrix", noise_model=noise_model(device))
    for row, wanted in zip(values, found):
        bound = built.assign_parameters(row)
        compact = bound.remove_final_measurements(inplace=False)
        compact.save_probabilities(list(measured))
        exact = simulator.run(compact, shots=1).result().data()["probabilities"]
        for position, qubit in enumerate(measured):  # readout, which Aer applies to shots only
            up, down = device.flips(qubit)
            table = np.moveaxis(np.asarray(exact).reshape((2,) * len(measured)), len(measured) - 1 - position, 0)
            table = np.stack([table[0] * (1 - up) + table[1] * down, table[0] * up + table[1] * (1 - down)])
            exact = np.moveaxis(table, 0, len(measured) - 1 - position).reshape(-1)
        assert wanted == pytest.approx(exact, abs=1e-9)


def test_a_point_is_drawn_alike_in_every_company():
    device, built = chip(), entangled()
    values = np.random.default_rng(2).uniform(-3, 3, (40, 6))
    together = sample(built, values, 50, device)
    assert {name: array.shape for name, array in together.items()} == {"first": (40, 50, 2), "second": (40, 50, 1)}
    order = np.random.default_rng(3).permutation(40)
    shuffled = sample(built.copy(name="another name"), values[order], 50, device)
    alone = sample(built, values[:1], 50, device)
    for name, array in together.items():
        assert np.array_equal(shuffled[name], array[order])
        assert np.array_equal(alone[name], array[:1])
    frequencies = sample(built, values[:1], 20000, device)["first"][0].mean(axis=0)
    exact = probabilities(lower(built, values[:1], device), device)[0].reshape(2, 2, 2)
    assert frequencies == pytest.approx([exact[:, :, 1].sum(), exact[:, 1].sum()], abs=0.02)


def test_what_aer_runs_agrees_in_distribution():
    device, built = chip(), entangled()
    values = np.random.default_rng(4).uniform(-3, 3, (2, 6))
    bits = by_aer(built, values, lower(built, values, device), 4000, device)
    drawn = sample(built, values, 4000, device)
    for name, array in drawn.items():
        assert bits[name].mean(axis=1) == pytest.approx(array.mean(axis=1), abs=0.04)


def test_wide_and_dynamic_circuits():
    device = chip("mumbai")
    wide = QuantumCircuit(27, 10)
    for bit in range(10):
        wide.x(bit)
        wide.measure(bit, bit)
    assert sample(wide, np.zeros((1, 0)), 200, device)["c"].mean() > 0.9
    dynamic = QuantumCircuit(QuantumRegister(27), ClassicalRegister(2, "c"))
    dynamic.x(0)
    dynamic.measure(0, 0)
    with dynamic.if_test((dynamic.clbits[0], 1)):
        dynamic.x(1)
    dynamic.measure(1, 1)
    bits = sample(dynamic, np.zeros((1, 0)), 200, device)["c"]
    assert bits.mean() > 0.85
    assert np.array_equal(bits, sample(dynamic, np.zeros((1, 0)), 200, device)["c"])


def test_drift_is_of_the_chip_and_not_of_its_calibration():
    reported, drifted = chip(), chip(drift={"sigma": 0.5, "seed": 1})
    ratios = np.array([drifted.gates[key] / error for key, error in reported.gates.items() if error])
    assert ratios.std() > 0.1
    assert np.exp(np.log(ratios).mean()) == pytest.approx(1, rel=0.5)
    assert chip(drift={"sigma": 0.5, "seed": 1}).gates == drifted.gates


def test_refusals():
    built = QuantumCircuit(5, 1)
    built.cx(0, 2)
    with pytest.raises(JobRefused, match=r"cx on qubits \(0, 2\)"):
        lower(built, np.zeros((1, 0)), chip())
    angle = Parameter("a")
    folded = QuantumCircuit(5)
    folded.rzz(angle, 0, 1)
    lower(folded, np.array([[1.5]]), chip("fractional"))
    with pytest.raises(JobRefused, match="rzz is outside"):
        lower(folded, np.array([[1.5], [1.6]]), chip("fractional"))


def test_expressions_at_all_points():
    a, b = Parameter("a"), Parameter("b")
    columns = {"a": np.array([0.1, 0.2]), "b": np.array([3.0, -1.0])}
    assert evaluate(2 * a - b / 4 + 1, columns) == pytest.approx([0.45, 1.65])
    assert evaluate((np.pi - a) * (np.pi - b), columns) == pytest.approx(
        (np.pi - columns["a"]) * (np.pi - columns["b"])
    )


def test_twirled_jobs_are_counted_and_drawn_alike(loopback, client):
    from qiskit_ibm_runtime.executor_sampler import Sampler

    built = entangled()
    values = np.random.default_rng(5).uniform(-3, 3, (2, 6))
    sampler = Sampler(client.backend("ibm_manila"))
    plain = sampler.run([(built, values)], shots=4000).result(**QUICK)[0].data
    sampler.options.twirling.enable_gates = True
    sampler.options.twirling.enable_measure = True
    sampler.options.twirling.num_randomizations = 8
    jobs = [sampler.run([(built, values)], shots=4000).result(**QUICK)[0].data for _ in range(2)]
    assert [job["executions"] for job in loopback.billing()] == [8000] * 3
    assert np.array_equal(jobs[0].first.array, jobs[1].first.array)
    difference = [data.first.to_bool_array().mean(axis=1) for data in (plain, jobs[0])]
    assert difference[0] == pytest.approx(difference[1], abs=0.05)


def test_payloads_are_counted():
    item = {"item_type": "circuit", "shape": [], "circuit_arguments": {"shape": [73, 16, 36]}}
    twirled = {"item_type": "samplex", "shape": [32, 5]}
    assert count("executor", {"quantum_program": {"shots": 10, "items": [item, twirled]}}) == (1328, 13280)
    assert count("sampler", {"pubs": [["circuit", [], 100], ["circuit", [], None]], "options": {}}) == (2, 4196)
    with pytest.raises(ValueError, match="params of executor are not understood"):
        count("executor", json.loads("{}"))


def test_unknown_snapshots():
    with pytest.raises(FileNotFoundError):
        snapshot("nowhere", "conf")
