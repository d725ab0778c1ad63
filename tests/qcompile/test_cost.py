"""Cost: the vendors' formulas against published figures, what must hold for every bill, bad values refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

import qcompile
from qcompile import Device, InputError, compile, cost, load_device
from qcompile.cost import Charge, Usage, Workload, charge, execution_cost
from qcompile.device import Pricing, Timing
from qcompile.schema import PRICES_OF_MODEL
from qtrain.billing import price
from qtrain.ledger import Ledger
from qtrain.noise import lower_for_device, measured_circuit
from tests.circuits import bound, qoc

UNIFORM = Device.from_coupling([(0, 1), (1, 2)])
HERON, NIGHTHAWK = (replace(UNIFORM, timing=Timing(rep_delay=delay)) for delay in (250e-6, 4e-3))
FREE = Pricing("none")

GATES = Pricing("gate_shot", usd_minimum=12.4166, usd_per_1q=0.00022, usd_per_2q=0.000975)
PRICES = (
    Pricing("qpu_seconds", usd_per_second=1.6, job_overhead_s=2.0),
    Pricing("task_shot", usd_per_task=0.3, usd_per_shot=0.00145),
    Pricing("task_shot", usd_per_task=0.3, usd_per_shot=0.00145, circuits_per_task=100),
    GATES,
    Pricing("hqc", usd_per_credit=12.5),
)


# --- published figures ---


@pytest.mark.parametrize(
    ("device", "duration", "circuits", "seconds", "usd"),
    [(HERON, 1e-4, 73, 28.2, 45.06), (HERON, 1e-4, 16 * 73, 420.6, 673), (NIGHTHAWK, 5e-5, 73, 304.7, 488)],
)
def test_a_gradient_on_ibm(device: Device, duration: float, circuits: int, seconds: float, usd: float) -> None:
    """36 parameters, both shifts and the value: 73 circuits of 1024 shots."""
    bill = execution_cost(device, duration, shots=1024, circuits=circuits, pricing="ibm/pay-as-you-go")
    assert round(bill.qpu_seconds, 1) == seconds
    assert bill.usd == pytest.approx(usd, abs=0.5 if usd > 100 else 0.005)
    assert bill.executions == 1024 * circuits
    assert (bill.model, bill.as_of, bill.credits) == ("qpu_seconds", "2026-05-25", None)


@pytest.mark.parametrize(
    ("name", "usd", "in_a_set"),
    [
        ("braket/iqm-garnet", 130.29, 108.69),
        ("braket/rigetti-cepheus", 53.67, 32.07),
        ("braket/ionq-forte", 6002.06, 5980.46),
    ],
)
def test_a_gradient_on_braket_as_tasks_and_as_a_program_set(name: str, usd: float, in_a_set: float) -> None:
    bill = execution_cost(HERON, 1e-4, shots=1024, circuits=73, pricing=name)
    assert round(bill.usd, 2) == usd
    assert bill.jobs == 73
    assert "program sets" in bill.assumptions[-1]
    bill = execution_cost(HERON, 1e-4, shots=1024, circuits=73, pricing=name, program_sets=True)
    assert round(bill.usd, 2) == in_a_set
    assert bill.jobs == 1


@pytest.mark.parametrize(("circuits", "tasks"), [(1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_program_set_takes_a_hundred_circuits(circuits: int, tasks: int) -> None:
    bill = execution_cost(HERON, 0.0, shots=1, circuits=circuits, pricing="braket/iqm-garnet", program_sets=True)
    assert bill.usd == pytest.approx(0.3 * tasks + 0.00145 * circuits)
    assert bill.jobs == tasks


def test_gates_are_paid_by_the_shot_or_a_minimum_for_each_circuit() -> None:
    """Azure's page, Aria without error mitigation: 0.000220 and 0.000975 USD, at least 12.4166 USD a program."""
    work = Workload(1e-3, one_qubit_gates=200, two_qubit_gates=100, measurements=4)
    bill = execution_cost(HERON, work, shots=1000, circuits=3, pricing="azure/ionq-aria")
    assert bill.usd == pytest.approx(3 * (44.0 + 97.5))
    assert not any("minimum of" in note for note in bill.assumptions)
    bill = execution_cost(HERON, work, shots=10, circuits=3, pricing="azure/ionq-aria")
    assert bill.usd == pytest.approx(3 * 12.4166)
    assert bill.assumptions[-1] == "the minimum of 12.4166 USD a circuit applies, its gates alone cost 1.415 USD"


def test_credits_of_quantinuum() -> None:
    work = Workload(0.0, one_qubit_gates=200, two_qubit_gates=100, measurements=10)
    bill = execution_cost(HERON, work, shots=1000, pricing="quantinuum/hqc")
    assert bill.credits == pytest.approx(5 + 1000 * (200 + 1000 + 50) / 5000)
    assert bill.usd is None
    prepared = execution_cost(HERON, replace(work, preparations=10), shots=1000, pricing="quantinuum/hqc")
    assert prepared.credits == pytest.approx(bill.credits + 1000 * 50 / 5000)
    priced = execution_cost(HERON, work, shots=1000, circuits=2, pricing=PRICES[-1])
    assert priced.usd == pytest.approx(12.5 * 2 * bill.credits)


# --- what a circuit asks ---


def test_workload_counts_what_is_paid() -> None:
    circuit = QuantumCircuit(3, 1)
    for q in (0, 1):
        circuit.rz(0.3, q)
        circuit.sx(q)
    circuit.cx(0, 1)
    circuit.barrier()
    circuit.delay(100, 2, unit="ns")
    assert Workload.of(circuit, UNIFORM, duration=1.0) == Workload(1.0, 2, 1, 2, 2)
    circuit.measure(0, 0)
    circuit.reset(0)
    counted = Workload.of(circuit, UNIFORM)
    assert (counted.measurements, counted.preparations) == (1, 3)
    assert counted.duration == pytest.approx(3.5e-8 + 3e-7 + 1e-6)


def test_a_circuit_that_measures_nothing_is_read_at_every_virtual_qubit() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    compiled = compile(circuit, load_device("ibm_manila"), effort="fast")
    counted = Workload.of(compiled.circuit, compiled.device)
    assert (counted.measurements, counted.preparations) == (3, 3)


def test_mean_of_workloads() -> None:
    assert Workload.mean([Workload(1.0, 2, 3, 4, 5), Workload(2.0, 4, 5, 4, 6)]) == Workload(1.5, 3, 4, 4, 5.5)


# --- what holds for every bill ---

WORK = Workload(2e-5, 30, 12, 4, 4)
RUNS = st.integers(1, 10_000)


@given(st.sampled_from(PRICES), RUNS, RUNS, st.integers(1, 500))
def test_more_shots_never_cost_less(pricing: Pricing, shots: int, more: int, circuits: int) -> None:
    few, many = (
        execution_cost(UNIFORM, WORK, shots=n, circuits=circuits, pricing=pricing) for n in (shots, shots + more)
    )
    assert many.usd >= few.usd
    assert many.qpu_seconds > few.qpu_seconds
    assert (many.credits or 0) >= (few.credits or 0)


@given(st.sampled_from(PRICES), RUNS, st.integers(1, 300), st.integers(1, 300))
def test_two_submissions_cost_what_their_bills_add_up_to(pricing: Pricing, shots: int, a: int, b: int) -> None:
    """But for what a submission costs as such: a sub-job's overhead, a started program set."""
    one, other, both = (
        execution_cost(UNIFORM, WORK, shots=shots, circuits=n, pricing=pricing, program_sets=False)
        for n in (a, b, a + b)
    )
    once = pricing.job_overhead_s * (pricing.usd_per_second or 0.0)
    assert both.usd == pytest.approx(one.usd + other.usd - once)
    assert both.executions == one.executions + other.executions


@given(st.sampled_from(PRICES), RUNS, st.integers(1, 300))
def test_a_bill_is_paid_by_shots_alone_but_for_fees(pricing: Pricing, shots: int, circuits: int) -> None:
    """Above the minimum, twice the shots cost twice what the shots of one bill cost."""
    bills = [
        execution_cost(UNIFORM, WORK, shots=n * shots + 10_000, circuits=circuits, pricing=pricing) for n in (0, 1, 2)
    ]
    assert bills[2].usd - bills[1].usd == pytest.approx(bills[1].usd - bills[0].usd)


@given(st.integers(1, 400), RUNS)
def test_program_sets_are_never_dearer(circuits: int, shots: int) -> None:
    apart, together = (
        execution_cost(UNIFORM, WORK, shots=shots, circuits=circuits, pricing=PRICES[2], program_sets=sets)
        for sets in (False, True)
    )
    assert together.usd <= apart.usd
    assert together.qpu_seconds == apart.qpu_seconds


def test_every_model_of_the_schema_has_a_formula() -> None:
    for model in PRICES_OF_MODEL:
        assert isinstance(charge(Pricing(model), Usage(1, 1, 1.0, 1), WORK), Charge)
        assert charge(Pricing(model), Usage(1, 1, 1.0, 1), WORK).usd is None


# --- the public function ---


def test_qpu_seconds_follow_the_vendors_formula() -> None:
    compiled = compile(bound(qoc(4, 1), 0), load_device("ibm_guadalupe"))
    bill = cost(compiled, shots=4096, circuits=3)
    assert bill.executions == 3 * 4096
    assert bill.qpu_seconds == pytest.approx(2 + (250e-6 + compiled.estimate.duration) * 3 * 4096)
    assert bill.overhead_seconds == 2
    assert bill.usd == pytest.approx(1.6 * bill.qpu_seconds)
    assert bill == execution_cost(compiled.device, compiled.estimate.duration, shots=4096, circuits=3)
    slow = compile(bound(qoc(4, 1), 0), load_device("ibm_miami"), effort="fast")
    assert cost(slow, shots=4096, circuits=3).qpu_seconds > 49


def test_a_compiled_circuit_is_priced_by_its_gates() -> None:
    compiled = compile(bound(qoc(4, 1), 0), load_device("ibm_manila"), effort="fast")
    counts = compiled.circuit.count_ops()
    ones = sum(counts.get(name, 0) for name in ("sx", "x"))
    gates = 100_000 * (0.00022 * ones + 0.000975 * compiled.estimate.two_qubit_gates)
    assert gates > 12.4166
    assert cost(compiled, 100_000, pricing=GATES).usd == pytest.approx(gates)
    assert cost(compiled, 100_000, pricing="azure/ionq-aria").usd == pytest.approx(gates)


def test_large_jobs_are_split_and_each_pays_its_overhead() -> None:
    device = load_device("ibm_torino")
    bill = execution_cost(device, 1e-5, shots=10_000, circuits=1200)
    assert bill.jobs == 3
    assert bill.overhead_seconds == 6
    assert bill.qpu_seconds == pytest.approx(6 + (device.timing.rep_delay + 1e-5) * 12_000_000)


def test_task_and_shot_prices() -> None:
    priced = replace(UNIFORM, pricing=Pricing("task_shot", usd_per_task=0.3, usd_per_shot=0.00145))
    assert execution_cost(priced, 1e-5, shots=1000, circuits=2).usd == pytest.approx(0.6 + 2.9)
    assert execution_cost(UNIFORM, 1e-5, shots=1000).usd is None


def test_a_device_s_own_price_goes_before_the_table_s_and_the_caller_s_before_both() -> None:
    garnet = replace(UNIFORM, name="iqm_garnet")
    bill = execution_cost(garnet, 1e-5, shots=1000)
    assert bill.usd == pytest.approx(0.3 + 1.45)
    assert bill.assumptions[0] == "price braket/iqm-garnet as of 2026-11; also priced by iqm/resonance"
    assert garnet.pricing is None
    own = replace(garnet, pricing=Pricing("task_shot", usd_per_task=1.0, usd_per_shot=0.0, as_of="2020-01-01"))
    bill = execution_cost(own, 1e-5, shots=1000)
    assert (bill.usd, bill.as_of, bill.assumptions) == (1.0, "2020-01-01", ("price as of 2020-01-01",))
    assert execution_cost(own, 1e-5, shots=1000, pricing="iqm/resonance").usd == pytest.approx(0.3 * 0.26)
    free = execution_cost(own, 1e-5, shots=1000, pricing=FREE)
    assert (free.usd, free.model) == (None, "none")


def test_a_price_by_gates_needs_to_know_them() -> None:
    bill = execution_cost(UNIFORM, 1e-5, shots=1000, pricing=GATES)
    assert bill.usd is None
    assert "gates, which were not counted" in bill.assumptions[-1]


def test_what_is_assumed_is_said() -> None:
    unclocked = replace(UNIFORM, timing=Timing())
    bill = execution_cost(unclocked, 1e-5, shots=1000)
    assert bill.qpu_seconds == pytest.approx(0.26)
    assert bill.assumptions == ("uniform states no rep_delay: 250 us assumed",)
    assert "third-party" in execution_cost(UNIFORM, 1e-5, shots=1, pricing="ibm/flex").assumptions[0]


def test_html_of_a_bill_escapes_what_it_quotes() -> None:
    bill = qcompile.Cost(4096, 3.25, 1234.5, 1, ("price of <b>",), credits=17.5)
    html = bill._repr_html_()
    assert "1,234.50 USD" in html
    assert "17.50" in html
    assert "&lt;b&gt;" in html
    assert "unknown" in qcompile.Cost(1, 1.0, None, 1)._repr_html_()


# --- who asks ---


def test_compare_prices_every_row_by_its_own_gates() -> None:
    line = replace(Device.from_coupling([(0, 1), (1, 2), (2, 3)]), pricing=replace(GATES, usd_minimum=None))
    found = qcompile.compare(bound(qoc(4, 1), 0), line, shots=1000, effort="fast")
    for name, circuit in found.circuits.items():
        counts = circuit.count_ops()
        ones = counts.get("sx", 0) + counts.get("x", 0)
        assert found[name].usd == pytest.approx(1000 * (0.00022 * ones + 0.000975 * counts["cx"]))
    assert found["ideal"].usd is None


def test_a_training_is_priced_by_the_gates_of_its_program() -> None:
    device = replace(Device.from_coupling([(0, 1)]), pricing=GATES)
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("w"), 0)
    circuit.cx(0, 1)
    program = lower_for_device(circuit, [SparsePauliOp("ZI"), SparsePauliOp("IX")], device)
    work = Workload.mean(Workload.of(measured_circuit(program.compiled, b), device) for b in program.measurement.bases)
    assert work.two_qubit_gates == 1
    spent = Ledger(circuits=30, shots=30 * 50_000, qpu_seconds=1.0, jobs=1)
    assert price(spent, device) is None
    assert price(spent, device, program) == execution_cost(device, work, shots=50_000, circuits=30).usd
    garnet = replace(device, name="iqm_garnet", pricing=None)
    assert price(spent, garnet) == pytest.approx(30 * 0.3 + spent.shots * 0.00145)
    assert price(Ledger(), device, program) == 0


# --- refused ---


@pytest.mark.parametrize("shots", [0, -5, 1.5, True, 10**9, math.nan, "8", None])
def test_bad_shots_are_refused(shots: object) -> None:
    with pytest.raises(InputError, match="shots"):
        execution_cost(load_device("ibm_torino"), 1e-5, shots=shots)


@pytest.mark.parametrize("circuits", [0, -5, 1.5, True])
def test_bad_circuits_are_refused(circuits: object) -> None:
    with pytest.raises(InputError, match="circuits"):
        execution_cost(UNIFORM, 1e-5, shots=1, circuits=circuits)


@pytest.mark.parametrize(
    ("pricing", "part"),
    [("braket/iqm-granet", "braket/iqm-garnet"), (1.6, "Expected a Pricing"), (Pricing("free"), "Expected one of qpu")],
)
def test_bad_prices_are_refused_with_the_way_out(pricing: object, part: str) -> None:
    with pytest.raises(InputError, match=part):
        execution_cost(UNIFORM, 1e-5, shots=1, pricing=pricing)


@pytest.mark.parametrize("pricing", [None, GATES, PRICES[0], PRICES[1]])
def test_program_sets_need_a_price_that_has_them(pricing: Pricing | None) -> None:
    with pytest.raises(InputError, match="no program sets"):
        execution_cost(UNIFORM, WORK, shots=1, pricing=pricing, program_sets=True)
