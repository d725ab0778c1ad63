"""Bad input on the way to a chip: one clear error each, before any job is sent. Place, value, rule and way out.

What goes into a circuit is tried on every executor, a chip among them whose list of jobs must stay empty. Numbers are
those of a list of inputs that real clients were seen to accept, to broadcast, or to fail on late.
"""

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

import qtrain
from qcompile.calibration import load_device
from qtrain.chip.rehearsal import stored_backend
from qtrain.errors import ConfigError, ModelError

MANILA = load_device("ibm_manila")
KEY = (0, 0, 0)


def executors():
    return {
        "chip": qtrain.ChipExecutor(stored_backend("ibm_manila_2024-05-27"), shots=50, effort="fast"),
        "noisy": qtrain.NoisySimulator(MANILA, shots=50, effort="fast"),
        "dry run": qtrain.DryRun(MANILA, shots=50, effort="fast"),
        "exact": qtrain.ExactSimulator(50),
        "torch": qtrain.TorchSimulator(shots=50),
        "propagation": qtrain.PropagationSimulator(MANILA, shots=50, effort="fast"),
        "aer": qtrain.AerExecutor(MANILA, shots=50, effort="fast"),
        "replay": qtrain.Replay(qtrain.ExactSimulator(50)),
    }


ALL = tuple(executors())
every_executor = pytest.mark.parametrize("name", ALL)


@pytest.fixture(scope="module")
def made():
    """Each executor, with the program of a small model."""
    model = small_model()
    return {
        name: (
            executor,
            executor.prepare(
                model.circuit, list(model.observables), features=list(model.features), weights=list(model.weights)
            ),
        )
        for name, executor in executors().items()
    }


@pytest.fixture(autouse=True)
def nothing_is_sent(made):
    """No executor has spent anything when a test is over, and the chip has not even intended a job."""
    yield
    for executor, _ in made.values():
        assert executor.ledger == qtrain.Ledger()
    assert made["chip"][0].jobs.jobs() == []


def small_model(observables=("Z0", "Z1")):
    encoding, features = qtrain.encoders.angle_encoder(2)
    layers, weights = qtrain.ansatze.rzz_ry(2, 1)
    return qtrain.QuantumModel(
        encoding.compose(layers), features=features, weights=weights, observables=list(observables)
    )


def blobs(count=12, features=2, name="rows"):
    rng = np.random.default_rng(0)
    y = np.arange(count) % 2
    return qtrain.Dataset(rng.normal(0, 0.3, (count, features)) + y[:, None], y, name)


def train(executor, model=None, data=None, **options):
    return qtrain.train(
        model or small_model(),
        data or blobs(),
        executor=executor,
        gradient=options.pop("gradient", qtrain.parameter_shift()),
        **{"steps": 2, "batch_size": 4, "progress": False} | options,
    )


# --- 34 unbound parameters, 35 wrong numbers of values, 36 NaN, infinity, complex, and what only looks like numbers


def test_34_a_parameter_that_nobody_binds_is_named(made):
    model = small_model()
    with pytest.raises(ModelError, match=r"is neither a feature nor a weight. Name it in one of the lists, or bind it"):
        qtrain.QuantumModel(model.circuit, features=model.features, weights=model.weights[1:], observables=["Z0", "Z1"])
    executor, _ = made["chip"]
    with pytest.raises(ModelError, match="neither a feature nor a weight"):
        executor.prepare(model.circuit, list(model.observables), features=[], weights=list(model.weights))


BAD_ANGLES = {
    "35 one axis": (np.zeros, r"angles have shape \(\d+,\). Expected \(batch, \d+\)"),
    "35 one too few": (lambda n: np.zeros((2, n - 1)), r"angles have shape \(2, \d+\). Expected \(batch, \d+\)"),
    "35 one too many": (lambda n: np.zeros((2, n + 1)), "Expected"),
    "35 three axes": (lambda n: np.zeros((1, 2, n)), "Expected"),
    "35 ragged": (lambda n: [[0.0] * n, [0.0] * (n - 1)], "angles are a ragged list. Expected rows of one length"),
    "36 NaN": (lambda n: np.full((1, n), np.nan), r"angles\[0, 0\] = nan. Expected finite"),
    "36 infinity": (lambda n: np.full((1, n), -np.inf), r"angles\[0, 0\] = -inf"),
    "36 complex": (lambda n: np.zeros((1, n), complex), "angles have dtype complex128. Expected real"),
    "36 text": (lambda n: [["0"] * n], "angles have dtype <U1. Expected real"),
    "36 symbols": (lambda n: [[Parameter("t")] * n], "angles have dtype object. Expected real"),
    "36 nothing": (lambda n: None, "angles have dtype object. Expected real"),
    "36 masked": (lambda n: np.ma.masked_less(np.zeros((1, n)), 1.0), r"angles are a masked array.*\.filled"),
    "36 rows masked": (lambda n: [np.ma.masked_less(np.zeros(n), 1.0)], "angles are a masked array"),
    "36 requires grad": (lambda n: torch.zeros((1, n), requires_grad=True), r"angles: a Tensor.*detach\(\)"),
}


@every_executor
@pytest.mark.parametrize("case", BAD_ANGLES)
def test_35_36_angles_are_exact_in_shape_finite_and_real(made, name, case):
    executor, program = made[name]
    make, match = BAD_ANGLES[case]
    angles = make(program.num_slots)
    with pytest.raises(ConfigError, match=match):
        executor.expectations(program, angles, key=KEY)
    with pytest.raises(ConfigError, match=match):
        executor.shifted_expectations(program, angles, np.array([0]), np.array([0.1]), key=KEY)


@pytest.mark.parametrize("which", ["features", "weights"])
def test_35_36_features_and_weights_are_neither_broadcast_nor_guessed(made, which):
    _, program = made["chip"]
    good = {"features": np.zeros((3, 2)), "weights": np.zeros(program.num_weights)}
    first = good[which]
    bad = {
        "have shape": first[..., :-1],
        "never broadcast": np.zeros(()),
        "Expected finite numbers": np.full_like(first, np.nan),
        "dtype complex128": first.astype(complex),
        "are a masked array": np.ma.masked_invalid(np.full_like(first, np.nan)),
        "ragged list": [[0.0, 1.0], [0.0]],
        "Tensor that is no array": torch.tensor(first, requires_grad=True),
    }
    for match, values in bad.items():
        with pytest.raises(ConfigError, match=f"{which}.*{match}"):
            program.angles(**good | {which: values})


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (torch.zeros(2), r"x has shape \(2,\). Expected \[batch, 2\]"),
        (torch.zeros((3, 1)), "nothing is broadcast or cut"),
        (torch.zeros((0, 2)), "with one row at least"),
        (torch.full((1, 2), torch.nan), r"x\[0, 0\] is nan. Expected finite angles"),
        (torch.full((1, 2), torch.inf), r"x\[0, 0\] is inf"),
        (torch.zeros((1, 2), dtype=torch.complex64), "x holds torch.complex64. Expected a real floating type"),
        (torch.zeros((1, 2), dtype=torch.int64), "x holds torch.int64"),
        (np.zeros((1, 2)), "x is a ndarray. Expected a tensor: torch.as_tensor"),
        ([[0.0, 0.0]], "x is a list. Expected a tensor"),
    ],
)
def test_35_36_39_a_layer_takes_rows_of_finite_real_angles_and_one_at_least(made, x, match):
    layer = qtrain.QuantumLayer(small_model(), made["chip"][0], qtrain.parameter_shift())
    with pytest.raises(ModelError, match=match):
        layer(x)


def test_36_weights_that_are_not_finite_are_not_sent(made):
    layer = qtrain.QuantumLayer(small_model(), made["chip"][0], qtrain.parameter_shift())
    with torch.no_grad():
        layer.weights[1] = torch.nan
    with pytest.raises(ModelError, match=r"weights\[1\] is nan. Expected finite angles"):
        layer(torch.zeros((1, 2)))


# --- 37 shots


BAD_SHOTS = [(0, "shots = 0"), (-5, "shots = -5"), (1.5, "shots = 1.5"), (True, "shots = True"), ("9", "shots = '9'")]


@pytest.mark.parametrize(("shots", "match"), [*BAD_SHOTS, (200_000, "shots = 200000")])
def test_37_shots_are_whole_above_0_and_no_more_than_the_device_takes(shots, match):
    makers = {
        "chip": lambda: qtrain.ChipExecutor(stored_backend("ibm_manila_2024-05-27"), shots=shots),
        "noisy": lambda: qtrain.NoisySimulator(MANILA, shots=shots),
        "dry run": lambda: qtrain.DryRun(MANILA, shots=shots),
    }
    for make in makers.values():
        with pytest.raises(ConfigError, match=f"{match}.*Expected"):
            make()


def test_37_a_chip_always_takes_shots():
    with pytest.raises(ConfigError, match="shots = None: a chip always takes shots"):
        qtrain.ChipExecutor(stored_backend("ibm_manila_2024-05-27"), shots=None)


# --- 38 nothing measured, 39 nothing to run, 40 what is no circuit of this chip, 41 observables


def test_38_a_model_that_measures_nothing_is_refused():
    with pytest.raises(ModelError, match="observables"):
        small_model(observables=())


@every_executor
def test_39_no_rows_send_nothing(made, name):
    executor, program = made[name]
    assert executor.expectations(program, np.zeros((0, program.num_slots)), key=KEY).shape == (0, 2)


@every_executor
@pytest.mark.parametrize("program", [None, QuantumCircuit(2), "ghz.qasm"], ids=["none", "circuit", "text"])
def test_40_only_what_prepare_returned_is_run(made, name, program):
    executor, ready = made[name]
    with pytest.raises(ConfigError, match=r"program.*prepare\(circuit, observables\)"):
        executor.expectations(program, np.zeros((1, ready.num_slots)), key=KEY)
    with pytest.raises(ConfigError, match=r"program.*prepare\(circuit, observables\)"):
        executor.shifted_expectations(program, np.zeros((1, ready.num_slots)), np.array([0]), np.ones(1), key=KEY)


def test_40_a_program_of_another_executor_is_refused(made):
    exact = made["exact"][1]
    for name in ("chip", "noisy", "propagation", "aer"):
        with pytest.raises(ConfigError, match="the program was not made for"):
            made[name][0].expectations(exact, np.zeros((1, exact.num_slots)), key=KEY)


@pytest.mark.parametrize(
    ("observable", "match"),
    [
        ("Z2", "Z2"),
        ("ZZZ", r"observables\[0\] is 3 qubits wide, the circuit 2"),
        (SparsePauliOp("ZZZ"), "3"),
        (SparsePauliOp(["ZZ"], [1j]), "real|Hermitian"),
        (SparsePauliOp(["ZZ"], [np.nan]), "finite"),
        ("Q0", "Q0"),
        (None, "observables"),
    ],
)
def test_41_an_observable_is_hermitian_and_of_the_circuits_width(observable, match):
    with pytest.raises(ModelError, match=match):
        small_model(observables=[observable])


def test_41_an_observable_of_another_width_does_not_reach_the_compiler(made):
    model = small_model()
    with pytest.raises(ModelError, match=r"3 qubits|2 qubits"):
        made["chip"][0].prepare(
            model.circuit, [SparsePauliOp("ZZZ")], features=list(model.features), weights=list(model.weights)
        )


@pytest.mark.parametrize("name", ["exact", "noisy", "torch", "propagation"])
def test_a_loss_that_is_no_function_and_bad_cotangents_are_refused(made, name):
    executor = {
        "exact": qtrain.ExactSimulator(),
        "noisy": qtrain.NoisySimulator(MANILA, shots=None, effort="fast"),
        "torch": qtrain.TorchSimulator(),
        "propagation": qtrain.PropagationSimulator(MANILA, effort="fast"),
    }[name]
    program = made[name][1]
    features, weights, angles = np.zeros((2, 2)), np.zeros(program.num_weights), np.zeros((2, program.num_slots))
    with pytest.raises(ConfigError, match=r"loss = None. Expected a function"):
        executor.value_and_gradient(program, features, weights, None)
    with pytest.raises(ConfigError, match="program is a NoneType"):
        executor.value_and_gradient(None, features, weights, lambda z: (0.0, z))
    for match, cotangent in {
        "masked array": np.ma.masked_equal(np.zeros((2, 2)), 0.0),
        "ragged": [[1.0, 1.0], [1.0]],
        "Tensor": torch.zeros((2, 2), requires_grad=True),
        "shape": np.zeros((2, 1)),
        "NaN": np.full((2, 2), np.nan),
    }.items():
        with pytest.raises(ConfigError, match=f"cotangent.*{match}"):
            executor.adjoint(program, angles, cotangent)
    assert executor.ledger == qtrain.Ledger()
