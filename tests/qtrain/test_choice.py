"""simulator_for: the right simulator, and a reason with numbers."""

import re

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qtrain
from qcompile import Device, load_device
from qtrain.errors import ConfigError
from tests.gradient_circuits import sel

MANILA = load_device("ibm_manila")
LINE = Device.from_coupling([(q, q + 1) for q in range(19)])


def model(built, observables=("Z0",)):
    circuit, features, weights = built
    return qtrain.QuantumModel(circuit, features=features, weights=weights, observables=list(observables))


def line(n, layers, *, scrambled=False):
    """RY layers with CX on a line, or all over the place."""
    w = ParameterVector("w", n * layers)
    circuit = QuantumCircuit(n)
    for layer in range(layers):
        for q in range(n):
            circuit.ry(w[layer * n + q], q)
            if scrambled:
                circuit.rz(0.3 + q, q)
                circuit.sx(q)
        for q in range(layer % 2, n - 1, 2):
            circuit.cx(q, q + 1)
    return circuit, [], list(w)


@pytest.mark.parametrize(
    ("built", "device", "options", "expected", "words"),
    [
        (sel(4, 1), None, {}, qtrain.ExactSimulator, "no noise"),
        (sel(4, 1), MANILA, {}, qtrain.NoisySimulator, "density matrix of 4 qubits"),
        (sel(4, 1), MANILA, {"shots": 100}, qtrain.NoisySimulator, "density matrix"),
        (line(20, 2), LINE, {}, qtrain.PropagationSimulator, "20 qubits"),
        (line(20, 2), LINE, {"shots": 100}, qtrain.PropagationSimulator, "typically drops"),
        (line(16, 14, scrambled=True), LINE, {"shots": 100}, qtrain.AerExecutor, "statevector"),
        (line(16, 14, scrambled=True), LINE, {}, qtrain.PropagationSimulator, "watch its truncation"),
        (
            line(16, 14, scrambled=True),
            LINE,
            {"shots": 9, "memory_limit": 1 << 18},
            qtrain.AerExecutor,
            "product_state",
        ),
        (sel(4, 1), MANILA, {"memory_limit": 1000}, qtrain.PropagationSimulator, "too many"),
    ],
)
def test_the_simulator_fits_and_the_reason_has_numbers(built, device, options, expected, words):
    chosen = qtrain.simulator_for(model(built, ["Z0", "Z3"]), device, **options)
    assert type(chosen) is expected
    assert words in chosen.reason
    assert chosen.reason.startswith(expected.__name__)
    assert re.search(r"\d", chosen.reason)
    assert chosen.shots == options.get("shots")


def test_circuits_and_programs_are_taken_too():
    circuit, features, weights = sel(4, 1)
    assert type(qtrain.simulator_for(circuit, MANILA)) is qtrain.NoisySimulator
    assert type(qtrain.simulator_for(circuit)) is qtrain.ExactSimulator
    some = model((circuit, features, weights))
    for executor in (qtrain.NoisySimulator(MANILA, effort="fast"), qtrain.ExactSimulator()):
        program = executor.prepare(some.circuit, some.observables, features=some.features, weights=some.weights)
        chosen = qtrain.simulator_for(program)
        assert type(chosen) is type(executor)
        if program.device is None:
            with pytest.raises(ConfigError, match="without a device"):
                qtrain.simulator_for(program, MANILA)
        else:
            assert chosen.device == MANILA
            with pytest.raises(ConfigError, match="ibm_manila"):
                qtrain.simulator_for(program, LINE)


def test_what_fits_nowhere_is_refused_with_the_numbers():
    with pytest.raises(ConfigError, match=r"40 qubits takes .* TB.*memory_limit"):
        qtrain.simulator_for(QuantumCircuit(40))


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2 GB"])
def test_a_memory_limit_is_a_number_of_bytes(limit):
    with pytest.raises(ConfigError, match="memory_limit"):
        qtrain.simulator_for(QuantumCircuit(2), memory_limit=limit)


def test_something_else_is_refused():
    with pytest.raises(ConfigError, match="QuantumModel"):
        qtrain.simulator_for("circuit.qasm")
    with pytest.raises(ConfigError, match="load_device"):
        qtrain.simulator_for(QuantumCircuit(2), "ibm_manila")
