"""Expectations by Pauli propagation: against the density matrix, Aer, NoisySimulator and a plain twin."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Pauli, SparsePauliOp

import qcompile
import qtrain
from qcompile import Device, Gate, NativeGates, expectation_errors
from qcompile.channels import confusion_matrix, gate_unitary
from qcompile.expectation import _exact_rows, _restricted
from qcompile.fidelity.blocks import fused
from qcompile.fidelity.program import DEPHASE, IDLE, ONE, RESET, RZ, TWO, NoisyProgram, noisy_program
from qcompile.fidelity.propagation import propagate, propagate_plain, route
from qcompile.native import native_steps
from tests.aer_reference import density_matrix
from tests.circuits import bound, qoc, u3cu3

MANILA = qcompile.load_device("ibm_manila")
LINE = Device.from_coupling([(i, i + 1) for i in range(139)], t1=8e-5, t2=5e-5, readout_error=0.02)


def line_circuit(n: int, layers: int, seed: int, *, middle: bool = False, scale: float = np.pi) -> QuantumCircuit:
    """Native gates in a brick wall on LINE; with `middle`, a measurement and a reset before the end."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(n, 1)
    for layer in range(layers):
        for q in range(n):
            circuit.rz(rng.uniform(-scale, scale), q)
            circuit.sx(q)
            circuit.rz(rng.uniform(-scale, scale), q)
        for q in range(layer % 2, n - 1, 2):
            circuit.cx(q, q + 1)
            circuit.rz(rng.uniform(-scale, scale), q + 1)
            circuit.cx(*((q, q + 1) if rng.random() < 0.7 else (q + 1, q)))
        if middle and layer == layers // 2:
            circuit.measure(0, 0)
            circuit.sx(0)
            circuit.reset(min(1, n - 1))
    return circuit


def program_of(circuit: QuantumCircuit, device: Device) -> NoisyProgram:
    """Of a bound circuit on physical qubits; every qubit counts."""
    steps = native_steps(circuit, device, (), np.empty((1, 0)))
    return noisy_program(steps, device, range(circuit.num_qubits))


def readout_maps(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    maps = np.tile(np.eye(4), (n, 1, 1))
    maps[:, 3, 3], maps[:, 3, 0] = rng.uniform(0.8, 1, n), rng.uniform(-0.1, 0.1, n)
    return maps


def one_by_one(program: NoisyProgram, string: tuple[int, ...], readout: np.ndarray, *, noisy: bool) -> float:
    """Heisenberg picture with a dictionary, one operation of the program at a time, nothing gathered."""
    strings = {tuple(3 if q in string else 0 for q in range(program.num_qubits)): 1.0}
    steps = []
    for i, what in enumerate(program.kind):
        m, k = program.matrix[0, i], program.noise[i]
        if what == RZ:
            ptm = gate_unitary("rz", (float(program.angle[0, i]),))
        elif what in (ONE, TWO):
            ptm = program.unitaries[int(what == TWO)][m]
            ptm = program.noises[int(what == TWO)][k] @ ptm if noisy else ptm
        elif what == DEPHASE:
            ptm = np.diag([1.0, 0, 0, 1])
        elif what == RESET:
            ptm = np.zeros((4, 4))
            ptm[0, 0] = ptm[3, 0] = 1.0
        else:
            assert what == IDLE
            d, z = (program.dephase[i], program.decay[i]) if noisy else (1.0, 1.0)
            ptm = np.diag([1.0, d, d, z])
            ptm[3, 0] = 1 - z
        steps.append((ptm, [q for q in (program.first[i], program.second[i]) if q >= 0]))
    if noisy:
        steps += [(readout[q], [q]) for q in string]
    for ptm, qubits in reversed(steps):
        before: dict[tuple[int, ...], float] = {}
        for letters, value in strings.items():
            row = ptm[int("".join(str(letters[q]) for q in qubits), 4)]
            for column in np.flatnonzero(row):
                new = list(letters)
                new[qubits[-1]] = column & 3
                if len(qubits) == 2:
                    new[qubits[0]] = column >> 2
                before[tuple(new)] = before.get(tuple(new), 0.0) + value * row[column]
        strings = before
    return sum(value for letters, value in strings.items() if set(letters) <= {0, 3})


def subsets(n: int, largest: int = 3) -> list[tuple[int, ...]]:
    return [s for k in range(1, min(n, largest) + 1) for s in itertools.combinations(range(n), k)]


@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 2**31), st.booleans())
@settings(max_examples=25, deadline=None)
def test_density_matrix_and_operation_by_operation_agree(n: int, layers: int, seed: int, middle: bool) -> None:
    program = program_of(line_circuit(n, layers, seed, middle=middle), LINE)
    readout = readout_maps(n, seed)
    blocks = fused(program, 0, readout)
    strings = subsets(n)
    rows = _exact_rows(program, [np.array(s) for s in strings], readout)
    for i, (string, row) in enumerate(zip(strings, rows)):
        found = propagate(blocks, route(blocks, np.array(string)))
        assert found.noisy == pytest.approx(row.values[0, 0], abs=1e-12)
        assert found.ideal == pytest.approx(row.values[0, 1], abs=1e-12)
        assert found.lost_noisy < 1e-11
        if i % 7 == 0 and layers <= 3:
            assert found.noisy == pytest.approx(one_by_one(program, string, readout, noisy=True), abs=1e-12)
            assert found.ideal == pytest.approx(one_by_one(program, string, readout, noisy=False), abs=1e-12)


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 2**31), st.integers(1, 300), st.floats(0, 1e-2))
@settings(max_examples=30, deadline=None)
def test_twin_drops_the_same_and_the_bound_holds(n: int, layers: int, seed: int, most: int, threshold: float) -> None:
    program = program_of(line_circuit(n, layers, seed), LINE)
    blocks = fused(program, 0, readout_maps(n, seed))
    way = route(blocks, np.array([seed % n]))
    found = propagate(blocks, way, threshold=threshold, max_terms=most)
    plain = propagate_plain(blocks, way, threshold=threshold, max_terms=most)
    truth = propagate(blocks, way)
    for name in ("noisy", "ideal", "lost_noisy", "lost_ideal", "lost_square", "terms"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name), abs=1e-12, rel=1e-12), name
    assert found.terms <= most
    assert abs(found.noisy - truth.noisy) <= found.lost_noisy + 1e-12
    assert abs(found.ideal - truth.ideal) <= found.lost_ideal + 1e-12


def test_strings_of_more_than_one_word() -> None:
    program = program_of(line_circuit(140, 2, 3, scale=0.1), LINE)
    blocks = fused(program, 0, readout_maps(140, 0))
    way = route(blocks, np.arange(0, 140, 2))
    assert way.plan is not None
    assert way.plan.slots > 64
    found, plain = (f(blocks, way, threshold=1e-4, max_terms=300) for f in (propagate, propagate_plain))
    assert found.terms == plain.terms > 10
    assert (found.noisy, found.ideal) == pytest.approx((plain.noisy, plain.ideal), abs=1e-12)


def test_native_gates_with_an_angle() -> None:
    a = Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.rx(a, 0)
    circuit.rzz(2 * a, 0, 1)
    circuit.rx(0.3, 0)
    gates = {**LINE.gates, ("rx", (0,)): Gate(1e-3, 4e-8), ("rzz", (0, 1)): Gate(5e-3, 2e-7)}
    native = NativeGates(("id", "rz", "sx", "x", "rx"), ("cx", "rzz"), ("rz",), ("rx", "rzz"))
    program = program_of(circuit.assign_parameters([0.7]), replace(LINE, gates=gates, native_gates=native))
    blocks = fused(program, 0, readout_maps(2, 0))
    found = propagate(blocks, route(blocks, np.array([0])))
    assert found.ideal == pytest.approx(np.cos(0.7) * np.cos(0.3) - np.sin(0.7) * np.sin(0.3) * np.cos(1.4), abs=1e-12)
    assert found.noisy == pytest.approx(one_by_one(program, (0,), readout_maps(2, 0), noisy=True), abs=1e-12)


def test_order_of_blocks_respects_every_qubit() -> None:
    blocks = fused(program_of(line_circuit(9, 6, 1), LINE), 0, np.tile(np.eye(4), (9, 1, 1)))
    plan = route(blocks, np.array([4])).plan
    assert plan is not None
    for q in range(9):
        own = [k for k in plan.block.tolist() if q in blocks.pair[k]]
        assert own == sorted(own, reverse=True)
    assert len(set(plan.block.tolist())) == len(plan.block)


def test_ties_are_broken_to_the_limit() -> None:
    circuit = QuantumCircuit(4)
    for a, b in ((0, 1), (1, 2), (2, 3)):
        circuit.sx([a, b])
        circuit.rz(np.pi / 4, [a, b])
        circuit.cx(a, b)
        circuit.sx([a, b])
        circuit.rz(np.pi / 4, [a, b])
        circuit.sx([a, b])
    plain = Device.from_coupling(
        [(0, 1), (1, 2), (2, 3)], t1=None, t2=None, two_qubit_error=0, one_qubit_error=0, readout_error=0
    )
    blocks = fused(program_of(circuit, plain), 0, np.tile(np.eye(4), (4, 1, 1)))
    assert propagate(blocks, route(blocks, np.arange(4)), max_terms=3).terms == 3


def observables_for(n: int) -> list[SparsePauliOp]:
    return [
        SparsePauliOp("I" * (n - 1) + "Z"),
        SparsePauliOp("X" + "I" * (n - 1)),
        SparsePauliOp.from_sparse_list([("XY", [0, 1], 0.5), ("Z", [1], -2.0), ("", [], 0.25)], n),
        SparsePauliOp("Z" * n),
    ]


@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize(
    ("chip", "circuit"), [("ibm_manila", qoc(4, 2)), ("ibm_torino", u3cu3(3, 2)), ("ibm_jakarta", qoc(5, 1))]
)
def test_same_physics_as_the_noisy_simulator(chip: str, circuit: QuantumCircuit, readout: bool) -> None:
    device = qcompile.load_device(chip)
    observables = observables_for(circuit.num_qubits)
    weights = np.random.default_rng(5).uniform(-3, 3, circuit.num_parameters)
    executor = qtrain.NoisySimulator(device, shots=None, seed=0, effort="fast", readout_error=readout)
    prepared = executor.prepare(circuit, observables)
    angles = prepared.angles(np.empty((1, 0)), weights)
    theirs = executor.expectations(prepared, angles, key=(0, 0, 0))[0]
    assert prepared.compiled is not None
    values = dict(zip(circuit.parameters, weights))
    ours = expectation_errors(prepared.compiled, observables, values, readout=readout)
    assert [o.noisy for o in ours] == pytest.approx(theirs, abs=1e-9)
    assert all(o.draws == 1 and o.spread == 0 and o.truncation < 1e-9 for o in ours)
    clean = qtrain.ExactSimulator()
    known = clean.prepare(circuit, observables)
    assert [o.ideal for o in ours] == pytest.approx(
        clean.expectations(known, known.angles(np.empty((1, 0)), weights), key=(0, 0, 0))[0], abs=1e-9
    )


def test_aer_agrees() -> None:
    device = qcompile.load_device("ibm_guadalupe")
    compiled = qcompile.compile(bound(u3cu3(5, 2), 7), device, effort="fast")
    rho = density_matrix(compiled)
    n = len(compiled.active_qubits)
    wires = compiled.final_layout.restricted(compiled.active_qubits).physical
    found = expectation_errors(compiled, [f"Z{v}" for v in range(5)])
    for v, wire in enumerate(wires):
        z = np.real(np.trace(rho @ Pauli("I" * (n - 1 - wire) + "Z" + "I" * wire).to_matrix()))
        confusion = confusion_matrix(device, compiled.final_layout.physical[v])
        read = np.array([(1 + z) / 2, (1 - z) / 2]) @ confusion
        assert found[v].noisy == pytest.approx(read[0] - read[1], abs=1e-7)  # Aer drops terms below 1e-10
        assert found[v].error == pytest.approx(found[v].noisy - found[v].ideal, abs=1e-15)


def test_a_cut_out_light_cone_is_the_whole_circuit() -> None:
    program = program_of(line_circuit(9, 2, 11), LINE)
    readout = readout_maps(9, 2)
    blocks = fused(program, 0, readout)
    string = np.array([program.where[4]])
    way = route(blocks, string)
    assert way.plan is not None
    cone = way.plan.cone
    assert len(cone) < 9
    (row,) = _exact_rows(_restricted(program, cone), [np.searchsorted(cone, string)], readout[cone])
    whole = propagate(blocks, way)
    assert row.values[0] == pytest.approx([whole.noisy, whole.ideal], abs=1e-12)


def test_light_cones_too_wide_for_max_terms_fall_back_to_the_density_matrix() -> None:
    circuit = line_circuit(8, 6, 4)
    exactly = expectation_errors(circuit, ["Z3", "Z0 Z7"], device=LINE)
    few = expectation_errors(circuit, ["Z3", "Z0 Z7"], device=LINE, max_terms=64)
    assert [e.method for e in few] == ["exact", "exact"]
    assert [e.noisy for e in few] == pytest.approx([e.noisy for e in exactly], abs=1e-9)
    assert [e.truncation for e in few] == [0.0, 0.0]


def test_truncation_is_reported() -> None:
    circuit = line_circuit(14, 8, 4)
    (cut,) = expectation_errors(circuit, ["Z6"], device=LINE, max_terms=2000)
    (more,) = expectation_errors(circuit, ["Z6"], device=LINE, max_terms=1 << 15)
    assert (cut.method, cut.terms) == ("propagation", 2000)
    assert 0 < more.truncation < cut.truncation
    assert abs(cut.error - more.error) <= cut.truncation + more.truncation
    assert abs(cut.error - more.error) <= 3 * cut.typical_truncation


def test_a_hundred_qubits_take_seconds() -> None:
    circuit = QuantumCircuit(100)
    rng = np.random.default_rng(0)
    for _ in range(4):  # Trotter steps of a transverse-field Ising chain
        for start in (0, 1):
            for q in range(start, 99, 2):
                circuit.cx(q, q + 1)
                circuit.rz(0.2, q + 1)
                circuit.cx(q, q + 1)
        circuit.sx(range(100))
        circuit.rz(rng.uniform(2.5, 3), range(100))
        circuit.sx(range(100))
    expectation_errors(circuit, ["Z0"], device=LINE)
    begun = time.process_time()
    found = expectation_errors(circuit, [f"Z{q}" for q in range(100)], device=LINE)
    assert time.process_time() - begun < 20
    assert max(e.truncation for e in found) < 0.05
    assert all(-1 <= e.noisy <= 1 for e in found)


def test_readout_shrinks_and_leans() -> None:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    (with_it,) = expectation_errors(circuit, ["Z0"], device=MANILA)
    (without,) = expectation_errors(circuit, ["Z0"], device=MANILA, readout=False)
    readout = MANILA.qubits[0].readout
    assert readout is not None
    one = (1 - without.noisy) / 2
    read_one = one * (1 - readout.p0_given_1) + (1 - one) * readout.p1_given_0
    assert with_it.noisy == pytest.approx(1 - 2 * read_one, abs=1e-12)
    assert with_it.ideal == without.ideal == -1


def test_qubits_that_nothing_touches() -> None:
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    untouched, both, constant = expectation_errors(circuit, ["Z2", "Z0 Z2", "III"], device=MANILA, readout=False)
    assert (untouched.ideal, untouched.noisy) == (1, 1)
    assert both.ideal == pytest.approx(0, abs=1e-12)
    assert (constant.ideal, constant.noisy, constant.terms) == (1, 1, 0)


def test_t1_biases_towards_zero() -> None:
    circuit = QuantumCircuit(1)
    circuit.sx(0)
    circuit.delay(50, 0, unit="us")
    (found,) = expectation_errors(circuit, ["Z0"], device=MANILA, readout=False)
    assert found.ideal == pytest.approx(0, abs=1e-12)
    assert found.error > 0.2


def test_symbolic_circuits_are_drawn() -> None:
    compiled = qcompile.compile(qoc(3, 1), MANILA, effort="fast")
    (drawn,) = expectation_errors(compiled, ["Z0"], seed=3)
    assert (drawn.draws, drawn.spread > 0) == (8, True)
    assert expectation_errors(compiled, ["Z0"], seed=3) == (drawn,)
    assert expectation_errors(compiled, ["Z0"], seed=4) != (drawn,)
    assert "± " in drawn._repr_html_()
    table = np.random.default_rng(3).uniform(0, 2 * np.pi, (8, compiled.circuit.num_parameters))
    each = [expectation_errors(compiled, ["Z0"], row)[0] for row in table]
    assert drawn.error == pytest.approx(np.mean([e.error for e in each]), abs=1e-12)
    assert drawn.spread == pytest.approx(np.std([e.error for e in each]), abs=1e-12)
