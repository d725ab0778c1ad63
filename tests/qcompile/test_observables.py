"""What observables and options `expectation_errors` takes, and what it says of those that it does not."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator, Pauli, PauliList, SparsePauliOp

import qcompile
from qcompile import CircuitError, InputError, NotExecutableError, expectation_errors
from tests.circuits import bound, u3cu3
from tests.qcompile.test_expectation import LINE, MANILA, line_circuit


def test_mapped_circuits_of_others_and_all_ways_to_name_an_observable() -> None:
    compiled = qcompile.compile(bound(u3cu3(3, 1), 2), MANILA, effort="fast")
    ways = ["Z0Z2", "Z0 Z2", "Z2*Z0", "ZIZ", Pauli("ZIZ"), SparsePauliOp("ZIZ"), SparsePauliOp(["ZIZ"], [1.0])]
    found = expectation_errors(compiled, ways)
    assert len({(e.noisy, e.ideal) for e in found}) == 1
    assert found[4].observable == "Z0Z2"
    bare = expectation_errors(compiled.circuit, ways, device=MANILA)
    assert bare == found
    (minus,) = expectation_errors(compiled, [Pauli("-ZIZ")])
    assert minus.noisy == -found[0].noisy
    assert minus.observable == "-1 Z0Z2"
    assert "<table>" in found[0]._repr_html_()
    assert expectation_errors(compiled, ways, device=qcompile.load_device("ibm_manila")) == found


BAD = [
    (["Z3"], "names qubit 3. The circuit has virtual qubits 0 to 2"),
    (["Z0 X0"], "names qubit 0 twice"),
    ([""], "cannot be read"),
    (["Q1"], "cannot be read"),
    (["ZZ"], "2 qubits wide. Expected the circuit's 3"),
    ([], "observables is empty"),
    ("Z0", "Expected a list"),
    ([3], "Expected \"Z0\""),
    (None, "Expected a list"),
    (3, "Expected a list"),
    (Operator(np.eye(8)), "Expected a list"),
    (["Z" + "9" * 5000], "cannot be read"),
    (["Z0,Z1"], "cannot be read"),
    (["z0"], "cannot be read"),
    ([SparsePauliOp(["ZII", "IIZ"], [1e308, 1e308])], "add up to less than 1e+100"),
    ([SparsePauliOp(["ZII"], [1j])], "finite real numbers"),
    ([SparsePauliOp(["ZII"], [np.nan])], "finite real numbers"),
    ([Pauli("iZII")], "finite real numbers"),
    ([SparsePauliOp(["ZII"], np.array([Parameter("a")], dtype=object))], "symbolic coefficients"),
    ([Operator(np.eye(8))], "Expected \"Z0\""),
]  # fmt: skip


@pytest.mark.parametrize(("observables", "message"), BAD, ids=[m[:20] for _, m in BAD])
def test_bad_observables_are_named(observables: list[object], message: str) -> None:
    with pytest.raises(InputError, match="observables") as caught:
        expectation_errors(QuantumCircuit(3), observables, device=MANILA)
    assert message in str(caught.value)


def test_lists_of_every_kind_and_numbers_of_numpy() -> None:
    circuit = line_circuit(3, 2, 1)
    expected = expectation_errors(circuit, ["Z0", "X1"], device=LINE)
    for observables in (("Z0", "X1"), (o for o in ("Z0", "X1")), np.array(["Z0", "X1"]), PauliList(["IIZ", "IXI"])):
        found = expectation_errors(circuit, observables, device=LINE)
        assert [e.noisy for e in found] == [e.noisy for e in expected]
        assert all(type(e.observable) is str for e in found)
    for options in (
        {"max_terms": np.int64(1 << 18)}, {"max_terms": 1 << 80}, {"threshold": np.float32(0)}, {"seed": np.int64(0)},
    ):  # fmt: skip
        assert expectation_errors(circuit, ["Z0", "X1"], device=LINE, **options) == expected


def test_terms_are_added_up_and_large_coefficients_stay_numbers() -> None:
    circuit = line_circuit(12, 6, 1)
    z, repeated, none, large = expectation_errors(
        circuit,
        [
            "Z5",
            SparsePauliOp.from_sparse_list([("Z", [5], 1.0), ("", [], 3.0), ("Z", [5], 1.0), ("X", [0], 0.0)], 12),
            SparsePauliOp.from_sparse_list([("Z", [5], 1j), ("Z", [5], -1j)], 12),
            SparsePauliOp.from_sparse_list([("Z", [5], 1e99)], 12),
        ],
        device=LINE,
        max_terms=100,
    )
    assert z.truncation > 0
    assert repeated.noisy == pytest.approx(3 + 2 * z.noisy, abs=1e-12)
    assert repeated.typical_truncation == pytest.approx(2 * z.typical_truncation, rel=1e-12)
    assert (none.observable, none.noisy, none.truncation) == ("0", 0, 0)
    assert large.typical_truncation == pytest.approx(1e99 * z.typical_truncation, rel=1e-12)


def test_results_can_be_stored_and_hashed() -> None:
    (found,) = expectation_errors(line_circuit(2, 1, 1), ["Z0"], device=LINE)
    assert pickle.loads(pickle.dumps(found)) == found
    assert hash(found) == hash(replace(found))


def test_a_measurement_that_only_barriers_follow_is_final() -> None:
    plain, measured = QuantumCircuit(2, 2), QuantumCircuit(2, 2)
    for circuit in (plain, measured):
        circuit.sx(0)
        if circuit is measured:
            circuit.measure(0, 0)
        circuit.barrier()
        circuit.x(1)
        if circuit is measured:
            circuit.barrier(0)
            circuit.measure(1, 1)
    found = expectation_errors(measured, ["Y0", "Z0", "Z1"], device=MANILA)
    assert found[0].ideal == pytest.approx(-1, abs=1e-12)
    assert found == expectation_errors(plain, ["Y0", "Z0", "Z1"], device=MANILA)


def test_other_bad_input_is_named() -> None:
    circuit = QuantumCircuit(2)
    circuit.rz(Parameter("a"), 0)
    with pytest.raises(InputError, match="device is missing"):
        expectation_errors(circuit, ["Z0"])
    with pytest.raises(InputError, match="compiled is a str"):
        expectation_errors("circuit", ["Z0"], device=MANILA)
    with pytest.raises(InputError, match="Expected a Device"):
        expectation_errors(circuit, ["Z0"], device="ibm_manila")
    for threshold in (-1.0, float("nan"), "1", True):
        with pytest.raises(InputError, match="threshold = "):
            expectation_errors(circuit, ["Z0"], device=MANILA, threshold=threshold)
    for most in (0, 1.5, False):
        with pytest.raises(InputError, match="max_terms = "):
            expectation_errors(circuit, ["Z0"], device=MANILA, max_terms=most)
    with pytest.raises(CircuitError, match="values"):
        expectation_errors(circuit, ["Z0"], [np.nan], device=MANILA)
    with pytest.raises(NotExecutableError, match="has 9 qubits"):
        expectation_errors(QuantumCircuit(9), ["Z0"], device=MANILA)
    far = QuantumCircuit(5)
    far.cx(0, 4)
    with pytest.raises(NotExecutableError, match=r"no calibration of cx\(0, 4\)"):
        expectation_errors(far, ["Z0"], device=MANILA)
