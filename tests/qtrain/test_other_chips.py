"""Other vendors by the same seam: any Qiskit BackendV2 trains, and reads what its noise model says.

Fake IQM backends and Amazon Braket's local simulator come with packages that are not among the project's: iqm-client
pins an older Qiskit. Their tests run wherever those are installed, and are skipped by name elsewhere.
"""

import logging

import numpy as np
import pytest
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator

import qtrain
from qtrain.chip.faults import Patience
from qtrain.errors import JobError
from qtrain.executors.chip import ChipExecutor
from tests.gradient_circuits import sel
from tests.qtrain.test_train import blobs, small_model

KEY = (1, 0, 0)
SHOTS = 2000
LINE = [[0, 1], [1, 2], [1, 0], [2, 1]]


def fake_manila():
    fakes = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    return AerSimulator.from_backend(fakes.FakeManilaV2())


def fake_iqm(name):
    package = pytest.importorskip("iqm.qiskit_iqm.fake_backends", reason="iqm-client is not installed")
    return getattr(package, name)()


def braket_local():
    package = pytest.importorskip("qiskit_braket_provider", reason="qiskit-braket-provider is not installed")
    logging.getLogger("braket").setLevel(logging.ERROR)
    return package.BraketLocalBackend()


BACKENDS = {
    "aer, ideal": lambda: AerSimulator(n_qubits=3, basis_gates=["rz", "sx", "x", "cx"], coupling_map=LINE),
    "aer, every gate": AerSimulator,
    "aer, of a fake backend": fake_manila,
    "qiskit's generic backend": lambda: GenericBackendV2(3, coupling_map=LINE, seed=5),
    "qiskit's generic backend, cz": lambda: GenericBackendV2(
        4, basis_gates=["rz", "sx", "x", "cz"], coupling_map=[*LINE, [2, 3], [3, 2]], seed=7
    ),
    "iqm's fake adonis": lambda: fake_iqm("IQMFakeAdonis"),
    "iqm's fake apollo": lambda: fake_iqm("IQMFakeApollo"),
    "braket's local simulator": braket_local,
}
IDEAL = ("aer, ideal", "aer, every gate", "braket's local simulator")
PAID = ("braket's local simulator",)  # as far as can be known from here: it takes a cap

every_backend = pytest.mark.parametrize("name", BACKENDS)


def executor_on(name, shots=SHOTS):
    cap = {"accept_seconds": 1e6, "patience": Patience(first_poll=0.01, longest_poll=0.1)} if name in PAID else {}
    return ChipExecutor(BACKENDS[name](), shots=shots, effort="fast", **cap)


@every_backend
def test_values_are_those_of_the_backends_own_noise(name):
    circuit, features, weights = sel(3, 1)
    model = qtrain.QuantumModel(
        circuit, features=features, weights=weights, observables=["Z0", "X1", "Y2", "Z0 Z2", "X0 Y1"]
    )
    chip = executor_on(name)
    # simulated backends do not idle; on so few gates that is less than a tenth of what is allowed
    noisy = qtrain.NoisySimulator(chip.device, shots=None, effort="fast")
    reference = qtrain.ExactSimulator() if name in IDEAL else noisy
    rng = np.random.default_rng(4)
    x, w = rng.uniform(-2, 2, (3, len(features))), rng.uniform(-3, 3, len(weights))
    found, expected = (
        executor.expectations(program, program.angles(x, w), key=KEY)
        for executor in (chip, reference)
        for program in [executor.prepare(circuit, model.observables, features=features, weights=weights)]
    )
    assert np.abs(expected).max() > 0.3, "this test could not tell zeros from values"
    sigma = np.sqrt((1 - np.minimum(expected**2, 1)) / SHOTS + 1 / SHOTS**2)
    assert (np.abs(found - expected) / sigma).max() < 5


@every_backend
def test_a_training_is_one_job_a_step_and_moves_every_weight(name, tmp_path):
    chip = executor_on(name, shots=100)
    result = qtrain.train(
        small_model(), blobs(), executor=chip, gradient=qtrain.parameter_shift(), steps=2, batch_size=4,
        run_dir=tmp_path / "run",
    )  # fmt: skip
    start = qtrain.QuantumLayer(small_model(), qtrain.ExactSimulator(), qtrain.parameter_shift()).weights
    assert (np.abs(result.weights - start.detach().numpy()) > 1e-6).sum() >= 6  # one may stand before a measurement
    assert np.isfinite(result.losses).all()
    jobs = chip.jobs.jobs()
    assert [(job.step, job.state) for job in jobs] == [(0, "done"), (1, "done")]
    assert sum(job.circuits for job in jobs) == result.ledger.circuits
    assert chip.jobs.spent().executions == result.ledger.shots


def test_another_vendors_error_ends_the_run_with_its_words():
    class Broken(GenericBackendV2):
        def run(self, run_input, **options):
            raise RuntimeError("the vendor says no")

    chip = ChipExecutor(
        Broken(2, seed=1), shots=10, effort="fast", accept_seconds=1e6, patience=Patience(first_poll=0.01)
    )
    with pytest.raises(JobError, match="RuntimeError: the vendor says no"):
        qtrain.train(
            small_model(), blobs(), executor=chip, gradient=qtrain.parameter_shift(), steps=1, batch_size=2
        )  # fmt: skip
    (job,) = chip.jobs.jobs()
    assert job.state == "failed"
