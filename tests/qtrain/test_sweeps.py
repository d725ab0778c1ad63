"""Sweeps of large state vectors: their kernels against plain twins, whole programs against Qiskit and other kernels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary
from scipy.linalg import hadamard

from qtrain.errors import ModelError
from qtrain.executors.exact import ExactSimulator
from qtrain.gates import rotation_matrix
from qtrain.program import lower
from qtrain.simulators import batches, diagonal_kernels, plain, sweep_code, sweep_job, sweeps, turn_kernels
from qtrain.simulators.affine import AffineMap
from qtrain.simulators.layers import euler_angles, layers, pulled_observable
from tests.gradient_circuits import everything, sel
from tests.qtrain.test_simulators import random_program_circuit

PI = np.pi


def single_z(n):
    return [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits=n) for q in range(n)]


def prepared(built, observables, batch=2, seed=0):
    circuit, x, w = built
    program = lower(circuit, observables, features=x, weights=w)
    rng = np.random.default_rng(seed)
    return program, program.angles(rng.uniform(-PI, PI, (batch, len(x))), rng.uniform(-PI, PI, len(w)))


def by_parameter_shift(values, program, angles, cotangent):
    """[batch, slot] from expectations at both shifts of every slot."""
    moves = PI / 2 * np.eye(program.num_slots)
    points = np.concatenate([angles[:, None] + moves, angles[:, None] - moves], axis=1)
    strings = values(program, points.reshape(-1, program.num_slots))
    found = program.measurement.combine(strings).reshape(len(angles), 2, program.num_slots, -1)
    return np.einsum("bko,bo->bk", (found[:, 0] - found[:, 1]) / 2, cotangent)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9))
def test_affine_maps_move_basis_states_as_their_gates_do(seed, n):
    rng = np.random.default_rng(seed)
    found, where = AffineMap(n), np.arange(2**n)
    for _ in range(12):
        qubits = [int(q) for q in rng.choice(n, min(n, int(rng.integers(1, 3))), replace=False)]
        images = [int(i) for i in rng.permutation(2 ** len(qubits))]
        found.then(qubits, images)
        bits = sum((where >> q & 1) << i for i, q in enumerate(reversed(qubits)))
        where = where & ~sum(1 << q for q in qubits)
        for i, q in enumerate(reversed(qubits)):
            where |= (np.array(images)[bits] >> i & 1) << q
    low = int(rng.integers(0, n + 1))
    for each, expected in ((found, where), (found.inverse(), np.argsort(where))):
        lows, highs = each.tables(low)
        assert np.array_equal((highs[:, None] ^ lows).reshape(-1), expected)
    mask = int(rng.integers(2**n))
    pulled, flips = found.pulled(mask)
    assert all((int(mask & where[j]).bit_count() + (pulled & j).bit_count()) % 2 == flips for j in range(2**n))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 4))
def test_an_observable_pulled_back_through_a_permutation_is_the_conjugated_matrix(seed, n):
    rng = np.random.default_rng(seed)
    through = AffineMap(n)
    for _ in range(5):
        qubits = [int(q) for q in rng.choice(n, min(n, 2), replace=False)]
        through.then(qubits, [int(i) for i in rng.permutation(2 ** len(qubits))])
    lows, highs = through.tables(n)
    matrix = np.eye(2**n)[:, lows ^ highs[0]]  # column j has its one at the image of j
    label = "".join(rng.choice(list("IXYZ"), n))
    x = sum(1 << q for q, p in enumerate(reversed(label)) if p in "XY")
    z = sum(1 << q for q, p in enumerate(reversed(label)) if p in "YZ")
    x, z, sign = pulled_observable(x, z, through, through.inverse())
    name = "".join("IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in reversed(range(n)))
    expected = matrix.T @ SparsePauliOp(label).to_matrix() @ matrix
    assert np.abs(sign * SparsePauliOp(name).to_matrix() - expected).max() < 1e-15


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), tilt=st.sampled_from([0.0, 1e-17, 1e-9, 0.3, PI / 2, PI - 1e-9, PI]))
def test_euler_angles_make_the_unitary_again(seed, tilt):
    rng = np.random.default_rng(seed)
    phases = [np.diag(np.exp(1j * rng.uniform(-PI, PI, 2))) for _ in range(2)]
    for matrix in (phases[0] @ rotation_matrix("Y", tilt) @ phases[1], random_unitary(2, seed=seed).data):
        alpha, phi, theta, lam = euler_angles(matrix)
        made = rotation_matrix("Z", phi) @ rotation_matrix("Y", theta) @ rotation_matrix("Z", lam)
        assert np.abs(np.exp(1j * alpha) * made - matrix).max() < 1e-14


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 11), single=st.booleans())
def test_turning_kernels_equal_the_plain_twin(seed, n, single):
    rng = np.random.default_rng(seed)
    active = int(rng.integers(1, 2**n))
    turned = np.array([active >> q & 1 == 1 for q in range(n)])
    angles = np.where(turned, rng.uniform(-PI, PI, n), 0.0)
    cos, sin = np.cos(angles / 2), np.sin(angles / 2)
    dtype, tolerance = (np.float32, 1e-5) if single else (np.float64, 1e-14)
    p, g = (rng.normal(size=2**n).astype(dtype) / 2 ** (n / 2) for _ in range(2))
    found, expected = p.copy(), p.astype(np.float64)
    turn_kernels.turn(found, 0, 2**n, active, cos, sin)
    slopes, wanted, back = np.zeros(n), np.zeros(n), g.astype(np.float64)
    for q in range(n):
        halves = expected.reshape(-1, 2, 2**q)
        pair = np.stack(
            [cos[q] * halves[:, 0] - sin[q] * halves[:, 1], sin[q] * halves[:, 0] + cos[q] * halves[:, 1]], 1
        )
        expected = pair.reshape(-1)
    for q in range(n):
        a, b = expected.reshape(-1, 2, 2**q), back.reshape(-1, 2, 2**q)
        wanted[q] = (b[:, 1] * a[:, 0] - b[:, 0] * a[:, 1]).sum()
    assert np.abs(found - expected).max() < tolerance
    turn_kernels.turn_back(found, g, 0, 2**n, active, cos, sin, slopes)
    assert np.abs(found - p).max() < tolerance
    assert np.abs(slopes - wanted)[turned].max() < 10 * tolerance


@pytest.mark.parametrize("bits", [3, 4, 6, 9, 10])
def test_the_transform_is_walsh_hadamard(bits):
    row = np.random.default_rng(bits).normal(size=2**bits)
    expected = hadamard(2**bits) @ row
    diagonal_kernels.transform(row, 2**bits)
    assert np.abs(row - expected).max() < 1e-12


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 8), batch=st.integers(1, 3))
def test_sweeps_equal_the_plain_twin(seed, n, batch):
    circuit, x, w, observables = random_program_circuit(seed, n, gates=25)
    program, angles = prepared((circuit, x, w), observables, batch, seed)
    assert np.abs(sweeps.amplitudes(program, angles) - plain.amplitudes(program, angles)).max() < 1e-13
    back = sweeps.BatchPullback(program, angles)
    assert np.abs(back.strings - plain.string_expectations(program, angles)).max() < 1e-13
    cotangent = np.random.default_rng(seed).normal(size=(batch, program.num_observables))
    found = back.slopes(cotangent @ program.measurement.coefficients)
    expected = by_parameter_shift(sweeps.string_expectations, program, angles, cotangent)
    assert np.abs(found - expected).max() < 1e-12
    assert np.array_equal(back.gradient(cotangent @ program.measurement.coefficients), found.sum(axis=0))


@pytest.mark.parametrize("n", [9, 10, 12])
@pytest.mark.parametrize("circuit", [everything, lambda n: sel(n, 3)], ids=["everything", "sel"])
@pytest.mark.parametrize("kind", ["single Z", "other strings"])
def test_sweeps_equal_qiskit_and_the_parameter_shift(n, circuit, kind):
    others = [
        SparsePauliOp(["XYZ" * (n // 3) + "I" * (n % 3), "Z" * n], [0.3, 0.7]),
        SparsePauliOp("Y" + "I" * (n - 1)),
    ]
    observables = single_z(n) if kind == "single Z" else others
    built = circuit(n)
    program, angles = prepared(built, observables)
    found = program.measurement.combine(sweeps.string_expectations(program, angles))
    rng = np.random.default_rng(0)
    features, weights = rng.uniform(-PI, PI, (2, len(built[1]))), rng.uniform(-PI, PI, len(built[2]))
    for row in range(2):
        state = Statevector(built[0].assign_parameters(dict(zip([*built[1], *built[2]], [*features[row], *weights]))))
        assert np.abs(found[row] - [state.expectation_value(o).real for o in observables]).max() < 1e-12
    cotangent = rng.normal(size=(2, len(observables)))
    expected = by_parameter_shift(sweeps.string_expectations, program, angles, cotangent)
    assert np.abs(sweeps.adjoint(program, angles, cotangent) - expected).max() < 1e-12


def results(seed=3, n=10, precision="double"):
    """Everything that sweeps say about a random program; made anew, so that changed limits count."""
    circuit, x, w, observables = random_program_circuit(seed, n, gates=40)
    program, angles = prepared((circuit, x, w), [*observables, *single_z(n)], 3, seed)
    cotangent = np.random.default_rng(seed).normal(size=(3, program.num_observables))
    strings = sweeps.string_expectations(program, angles, precision)
    return [
        strings,
        sweeps.adjoint(program, angles, cotangent, precision),
        sweeps.amplitudes(program, angles, precision),
    ]


LIMITS = {
    "short rows": [(sweep_code, "_ROW_BITS", 6)],
    "small blocks": [(sweep_code, "_BLOCK_BITS", 6), (sweep_code, "_FAR_AT_ONCE", 2), (sweep_code, "_TILE_BITS", 8)],
    "one tile": [(sweep_code, "_BLOCK_BITS", 6)],
    "parts": [(sweep_code, "_ROW_BITS", 6), (sweep_code, "_BLOCK_BITS", 7), (sweep_job, "_PART_BITS", 8)],
    "no state kept": [(sweeps, "KEPT_BYTES", 2**15)],
}


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("seed", [3, 4])
def test_results_do_not_depend_on_how_memory_is_cut(limits, seed, monkeypatch):
    expected = results(seed)
    for module, name, value in LIMITS[limits]:
        monkeypatch.setattr(module, name, value)
    for one, other in zip(expected, results(seed)):
        assert np.abs(one - other).max() < 1e-13


def test_results_do_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(sweep_job, "_PART_BITS", 8)
    monkeypatch.setattr(batches, "THREADING_PAYS", 0.0)
    found = []
    for threads in (1, 2, 3, 5):
        monkeypatch.setattr(batches, "_threads", lambda threads=threads: threads)
        found.append(results())
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other))


def test_single_precision_is_close_to_double():
    double, single = results(), results(precision="single")
    assert single[2].dtype == np.complex64
    for one, other, tolerance in zip(double, single, (1e-5, 1e-4, 1e-6)):
        assert 0 < np.abs(one - other).max() < tolerance


def test_layers_merge_what_commutes():
    """RZ RY RZ on each wire is one layer of turns between phases; RZZ written with CX is no permutation."""
    circuit, x, w = sel(5, 3)
    found = layers(lower(circuit, single_z(5), features=x, weights=w)).layers
    assert [len(layer.turns) for layer in found] == [5, 5, 0]
    assert [len(layer.shuffle.strings) for layer in found] == [5, 10, 5]
    circuit, x, w = everything(4)
    first = layers(lower(circuit, single_z(4), features=x, weights=w)).layers[0]
    assert first.shuffle.map.is_identity
    assert [s.mask for s in first.shuffle.strings if s.mask.bit_count() == 2] == [0b11, 0b110, 0b1100]


def test_the_executor_sweeps_from_nine_qubits_on():
    for n in (8, 9):
        circuit, x, w = sel(n, 2)
        executor = ExactSimulator()
        program = executor.prepare(circuit, single_z(n), features=x, weights=w)
        rng = np.random.default_rng(n)
        features, weights = rng.uniform(-PI, PI, (2, n)), rng.uniform(-PI, PI, len(w))
        loss, gradient, values = executor.value_and_gradient(
            program, features, weights, lambda z: (float((z**2).sum(axis=1).mean()), 2 * z / len(z))
        )
        angles = program.angles(features, weights)
        expected = by_parameter_shift(sweeps.string_expectations, program, angles, values) @ program.A
        assert loss == pytest.approx(float((values**2).sum(axis=1).mean()))
        assert np.abs(values - program.measurement.combine(sweeps.string_expectations(program, angles))).max() < 1e-13
        assert np.abs(gradient - expected.sum(axis=0)).max() < 1e-12


def test_a_state_beyond_the_memory_limit_is_refused():
    circuit, x, w = sel(30, 1)
    program = lower(circuit, single_z(30)[:1], features=x, weights=w)
    with pytest.raises(ModelError, match=r"30 qubits take 5\.15e\+10 bytes"):
        sweeps.string_expectations(program, np.zeros((1, program.num_slots)))


@pytest.mark.slow
def test_24_qubits_run():
    circuit, x, w = sel(24, 2)
    program, angles = prepared((circuit, x, w), single_z(24), batch=1)
    back = sweeps.BatchPullback(program, angles, "single")
    slopes = back.slopes(back.strings)
    for slot in (24, 24 + 3 * 24 + 1, 24 + 3 * 24 + 3 * 23 + 1):
        moved = np.repeat(angles, 2, axis=0)
        moved[:, slot] += [PI / 2, -PI / 2]
        first, second = sweeps.string_expectations(program, moved, "single")
        assert abs(((first - second) / 2 * back.strings[0]).sum() - slopes[0, slot]) < 1e-5


@pytest.mark.parametrize("qubits", [7, 8])
def test_few_rows_of_fewer_qubits_are_those_of_a_batch(qubits):
    circuit, features, weights = everything(qubits)
    observables = [SparsePauliOp.from_sparse_list([("ZX", [0, qubits - 1], 0.7), ("Z", [1], 1.0)], num_qubits=qubits)]
    executor = ExactSimulator()
    program = executor.prepare(circuit, observables, features=features, weights=weights)
    rng = np.random.default_rng(qubits)
    x, w = rng.uniform(-2, 2, (6, len(features))), rng.uniform(-2, 2, len(weights))
    angles, key = program.angles(x, w), (0, 0, 0)
    one = np.ones((1, 1))
    together = executor.expectations(program, angles, key=key), executor.jacobian(program, angles)
    slopes = executor.adjoint(program, angles, np.ones((6, 1)))
    total = executor.value_and_gradient(program, x, w, lambda z: (float(z.sum()), np.ones_like(z)))[1]
    parts = []
    for row in range(6):
        alone = angles[row : row + 1]
        assert np.abs(executor.expectations(program, alone, key=key) - together[0][row]).max() < 1e-12
        assert np.abs(executor.jacobian(program, alone) - together[1][row]).max() < 1e-12
        assert np.abs(executor.adjoint(program, alone, one) - slopes[row]).max() < 1e-12
        parts.append(
            executor.value_and_gradient(program, x[row : row + 1], w, lambda z: (float(z.sum()), np.ones_like(z)))[1]
        )
    assert np.abs(np.sum(parts, axis=0) - total).max() < 1e-11
