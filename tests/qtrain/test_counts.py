"""Results of any backend: what BackendSamplerV2 would take for zeros is read from counts, or refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.primitives import BackendSamplerV2
from qiskit.providers import BackendV2, Options
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData
from qiskit.transpiler import Target

from qtrain.chip.counts import CountingBackend
from qtrain.errors import ExecutorError


class Vendor(BackendV2):
    """Returns what it is told to."""

    def __init__(self, *results, **data):
        super().__init__(name="vendor")
        self.results, self.data, self.asked = results, data, []

    target = Target(num_qubits=3)
    max_circuits = None

    @classmethod
    def _default_options(cls):
        return Options()

    def run(self, run_input, **options):
        self.asked.append(options)
        results = self.results
        if self.data:
            results = [ExperimentResult(10, True, ExperimentResultData(**self.data)) for _ in run_input]
        return SimpleNamespace(result=lambda: Result(results=list(results)))


def measured(bits):
    circuit = QuantumCircuit(bits)
    circuit.measure_all()
    return circuit


def counts_of(backend, circuit, shots=10):
    job = BackendSamplerV2(backend=backend).run([circuit], shots=shots)
    return job.result()[0].data.meas.get_counts()


@pytest.mark.parametrize(
    "data",
    [
        {"counts": {"0x5": 7, "0x2": 3}},
        {"counts": {"101": 7, "010": 3}},
        {"counts": {"101": np.int64(7), "010": 3, "111": 0}, "memory": None},
        {"counts": {"101": 7, "010": 3}, "memory": ["101"] * 7 + ["010"] * 3},
    ],
)
def test_counts_are_read_in_both_forms(data):
    assert counts_of(CountingBackend(Vendor(**data)), measured(3)) == {"101": 7, "010": 3}


def test_qiskit_alone_takes_absent_memory_for_zeros_and_bits_for_hexadecimal_digits():
    """Why this exists: once Qiskit does better, it may go."""
    assert counts_of(Vendor(counts={"101": 7, "010": 3}), measured(3)) == {"000": 10}
    assert counts_of(Vendor(memory=["11"] * 10), measured(2)) == {"01": 10}


def test_a_backend_is_asked_for_shots_and_a_seed_if_there_is_one_and_for_nothing_else():
    backend = Vendor(counts={"0x1": 10})
    counts_of(CountingBackend(backend), measured(1))
    job = BackendSamplerV2(backend=CountingBackend(backend), options={"seed_simulator": 4}).run([measured(1)], shots=10)
    job.result()
    assert backend.asked == [{"shots": 10}, {"shots": 10, "seed_simulator": 4}]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"memory": ["0x1"] * 10}, "circuit 0 of the result holds no counts"),
        ({"counts": {}, "memory": []}, "holds no counts"),
        ({"counts": {"0x8": 10}}, "outcome '0x8'. Expected 3 bits"),
        ({"counts": {"10": 10}}, "outcome '10'. Expected 3 bits"),
        ({"counts": {"1o1": 10}}, "outcome '1o1'"),
        ({"counts": {"1_1": 10}}, "outcome '1_1'"),
        ({"counts": {"-01": 10}}, "outcome '-01'"),
        ({"counts": {"0xq": 10}}, "outcome '0xq'"),
        ({"counts": {"101": 10.0}}, "came 10.0 times"),
        ({"counts": {"101": -1}}, "came -1 times"),
        ({"counts": {"101": True}}, "came True times"),
        ({"counts": {"101": 9}}, "has 9 shots. Expected the 10 asked for"),
    ],
)
def test_anything_else_is_refused_by_name(data, words):
    with pytest.raises(ExecutorError, match=words):
        counts_of(CountingBackend(Vendor(**data)), measured(3))


@pytest.mark.parametrize("number", [0, 2])
def test_a_result_of_other_circuits_is_refused(number):
    entry = ExperimentResult(10, True, ExperimentResultData(counts={"0x1": 10}))
    with pytest.raises(ExecutorError, match=f"the result holds {number} circuits. Expected 1"):
        counts_of(CountingBackend(Vendor(*[entry] * number)), measured(1))


def test_a_failed_circuit_is_named_with_its_status():
    entry = ExperimentResult(10, False, ExperimentResultData(), status="ERROR: out of memory")
    with pytest.raises(ExecutorError, match=r"holds no counts \(ERROR: out of memory\)"):
        counts_of(CountingBackend(Vendor(entry)), measured(1))


def test_a_backend_that_takes_few_circuits_at_once_is_asked_several_times_in_order():
    class Narrow(Vendor):
        max_circuits = 2

        def run(self, run_input, **options):
            self.asked.append(len(run_input))
            entries = [
                ExperimentResult(10, True, ExperimentResultData(counts={format(c.count_ops().get("x", 0), "03b"): 10}))
                for c in run_input
            ]
            return SimpleNamespace(result=lambda: Result(results=entries))

    backend, circuits = Narrow(), [measured(3) for _ in range(5)]
    for number, circuit in enumerate(circuits):
        for _ in range(number):  # by which it is told apart
            circuit.x(0)
    result = BackendSamplerV2(backend=CountingBackend(backend)).run(circuits, shots=10).result()
    assert [entry.data.meas.get_counts() for entry in result] == [{format(n, "03b"): 10} for n in range(5)]
    assert backend.asked == [2, 2, 1]
