"""Noise trajectories: the kernel against its plain twin, and both against closed forms and the exact noisy state."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile

from qcompile import Device, ideal, load_device
from qcompile.channels import confusion_matrix
from qcompile.fidelity import exact, marginals, trajectories
from qcompile.fidelity.program import IDLE, ONE, RZ, TWO, NativeStep, NoisyProgram, noisy_program
from qcompile.fidelity.trajectories import GROUPS, Sampled, measured_distribution, samples_within, strengths
from qcompile.schedule import instruction_durations
from tests.circuits import bound, esu2, qaoa, qoc, u3cu3

PAULIS = [np.eye(2), *(ideal.gate_matrix(name) for name in "xyz")]


def program_of(circuit: QuantumCircuit, device: Device, level: int = 1) -> NoisyProgram:
    """A bound circuit without measurements, mapped by Qiskit."""
    mapped = transpile(circuit, target=device.target(), optimization_level=level, seed_transpiler=1)
    steps = [
        NativeStep(
            instruction.operation.name,
            tuple(mapped.find_bit(q).index for q in instruction.qubits),
            tuple(np.array([float(p)]) for p in instruction.operation.params),
            seconds,
        )
        for instruction, seconds in zip(mapped.data, instruction_durations(mapped, device))
    ]
    return noisy_program(steps, device, mapped.layout.final_index_layout(filter_ancillas=True))


def clean(circuit: QuantumCircuit, seed: int) -> QuantumCircuit:
    plain = bound(circuit, seed)
    plain.remove_final_measurements()
    return plain


def plain_squares(program: NoisyProgram, samples: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the kernel sums, in plain numpy: squares of the branch without errors, [group] of the trajectories."""
    n, count = program.num_qubits, len(program.kind)
    flip, gamma, phase = strengths(program)

    def run(numbers: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Squares of the final state, chance of no event by operation."""
        state, quiet = ideal.zero_state(n), np.ones(count)
        bloch = np.tile([1.0, 0.0, 0.0, 1.0], (n, 1))
        gathered = np.tile(np.eye(2, dtype=np.complex128), (n, 1, 1))
        for i, what in enumerate(program.kind):
            qubits = [int(q) for q in (program.first[i], program.second[i]) if q >= 0]
            if what == RZ:
                matrix = ideal.gate_matrix("rz", (float(program.angle[0, i]),))
            elif what in (ONE, TWO):
                matrix = program.matrices[len(qubits) - 1][program.matrix[0, i]]
            else:
                matrix = np.eye(2, dtype=np.complex128)
            if what == TWO:
                for q in qubits:
                    state = ideal.apply(state, gathered[q], [q], n)
                    gathered[q] = np.eye(2)
                state = ideal.apply(state, matrix, qubits, n)
            for q in qubits:
                if what == TWO:
                    norm = np.vdot(state, state).real
                    bloch[q] = [np.vdot(state, ideal.apply(state, p, [q], n)).real / norm for p in PAULIS]
                else:
                    turned = [[np.trace(p @ matrix @ r @ matrix.conj().T).real / 2 for r in PAULIS] for p in PAULIS]
                    bloch[q] = turned @ bloch[q]
                    gathered[q] = matrix @ gathered[q]
            if what == RZ:
                continue
            r = numbers[i]

            def choose(chances: Sequence[float]) -> tuple[int, float]:
                nonlocal r
                steps = np.cumsum(chances)
                picked = int(np.searchsorted(steps, r, side="right"))
                r = (r - (steps[picked] - chances[picked])) / chances[picked]
                return picked, chances[picked]

            def act(operator: NDArray[np.complex128], q: int) -> None:
                """On what is gathered, and on the Bloch vector, which stays normal."""
                gathered[q] = operator @ gathered[q]
                rho = sum(v * p for v, p in zip(bloch[q], PAULIS))
                after = operator @ rho @ operator.conj().T
                bloch[q] = [np.trace(p @ after).real / np.trace(after).real for p in PAULIS]

            others = 4 ** len(qubits) - 1
            pauli, _ = choose([1 - flip[i], *[flip[i] / others] * others])
            quiet[i] = 1 - flip[i]
            for side, q in enumerate(qubits):
                act(PAULIS[pauli >> 2 * (len(qubits) - 1 - side) & 3], q)
                g = gamma[i, side]
                excited = min(max((1 - bloch[q, 3]) / 2, 0.0), 1.0)
                jump = g * (0.98 * excited + 0.01)
                decayed, chance = choose([1 - jump, jump])
                kraus = np.array([[0, np.sqrt(g)], [0, 0]]) if decayed else np.diag([1, np.sqrt(1 - g)])
                gathered[q] /= np.sqrt(chance)
                if not decayed or excited > 1e-12:
                    act(kraus, q)
                else:
                    gathered[q], bloch[q] = kraus @ gathered[q], [1.0, 0.0, 0.0, 1.0]
                flipped, _ = choose([1 - phase[i, side], phase[i, side]])
                act(PAULIS[3 * flipped], q)
                quiet[i] *= (1 - jump) * (1 - phase[i, side])
        for q in range(n):
            state = ideal.apply(state, gathered[q], [q], n)
        return np.abs(state) ** 2, quiet

    certain, quiet = run(np.zeros(count))
    place, kick, later = trajectories._random_numbers(quiet, samples, np.random.default_rng((seed, 0)))
    sums = np.zeros((GROUPS, 2**n))
    for k in range(samples):
        numbers = np.where(np.arange(count) < place[k], 0.0, later[k])
        numbers[place[k]] = kick[k]
        sums[k % GROUPS] += run(numbers)[0]
    return certain * quiet.prod(), sums


@pytest.mark.parametrize("chip", ["ibm_manila", "ibm_torino"])
def test_kernel_equals_its_plain_twin(chip: str) -> None:
    program = program_of(clean(u3cu3(3, 1), 1), load_device(chip))
    squares = plain_squares(program, 24, seed=5)
    wires = program.virtual_at
    slow = trajectories._sampled(*squares, wires, program.num_qubits)
    fast = measured_distribution(program, 0, wires, samples=24, seed=5)
    np.testing.assert_allclose(fast.probabilities, slow.probabilities, atol=1e-11)
    np.testing.assert_allclose(fast.without, slow.without, atol=1e-11)
    assert fast.certain == pytest.approx(slow.certain, abs=1e-11)


def test_channels_are_taken_apart_into_what_they_are_made_of() -> None:
    program = program_of(clean(qoc(4, 1), 1), load_device("ibm_brisbane"))
    flip, gamma, phase = strengths(program)
    for i in np.flatnonzero(program.kind != RZ):
        width = 2 if program.kind[i] == TWO else 1
        whole = np.eye(1)
        for q in range(width):
            decay = 1 - gamma[i, q]
            dephase = np.sqrt(decay) * (1 - 2 * phase[i, q])
            one = np.diag([1, dephase, dephase, decay])
            one[3, 0] = gamma[i, q]
            whole = np.kron(whole, one)
        size = 4**width
        whole = whole @ np.diag([1.0] + [1 - flip[i] * size / (size - 1)] * (size - 1))
        if program.kind[i] == IDLE:
            expected = np.diag([1, program.dephase[i], program.dephase[i], program.decay[i]])
            expected[3, 0] = 1 - program.decay[i]
        else:
            expected = program.noises[width - 1][program.noise[i]]
        np.testing.assert_allclose(whole, expected, atol=1e-12)


def test_decay_of_a_waiting_qubit_is_its_closed_form() -> None:
    device = load_device("ibm_manila")
    wait = 40e-6
    steps = [NativeStep("x", (0,), (), device.duration("x", (0,))), NativeStep("delay", (0,), (), wait)]
    program = noisy_program(steps, device, [0])
    truth = exact.probabilities(exact.noisy_state(program, 0), (0,), 1)
    found = measured_distribution(program, 0, (0,), samples=4096)
    np.testing.assert_allclose(found.probabilities, truth, atol=1e-4)
    assert truth[0] > 0.1  # the T1 bias


def test_mean_of_many_trajectories_is_the_exact_distribution() -> None:
    for chip in ("ibm_jakarta", "ibm_fez"):
        program = program_of(clean(qoc(4, 3), 3), load_device(chip))
        truth = exact.probabilities(exact.noisy_state(program, 0), program.virtual_at, program.num_qubits)
        found = measured_distribution(program, 0, program.virtual_at, samples=16384)
        assert found.certain < 0.9
        np.testing.assert_allclose(found.probabilities, truth, atol=2.5e-3)


def _fidelity(program: NoisyProgram, device: Device, found: Sampled | None) -> tuple[float, float]:
    """Hellinger fidelity and its error, two-sided readout included; of the exact distribution for None."""
    wires, n = program.virtual_at, program.num_qubits
    wanted = ideal.marginal(np.abs(marginals.log_survival(program, 0)[1]) ** 2, wires, n)
    confusion = [confusion_matrix(device, program.physical[w]) for w in wires]

    def score(probabilities: NDArray[np.float64]) -> float:
        return float(np.sqrt(wanted * np.clip(ideal.confuse(probabilities, confusion), 0, None)).sum() ** 2)

    if found is None:
        return score(exact.probabilities(exact.noisy_state(program, 0), wires, n)), 0.0
    return found.jackknife(score)


def test_hellinger_fidelity_agrees_with_the_exact_one_within_its_error() -> None:
    rng = np.random.default_rng(1)
    off, error = [], []
    for chip in ("ibm_guadalupe", "ibm_torino", "ibm_brisbane", "ibm_hanoi"):
        device = load_device(chip)
        for make in (lambda n: u3cu3(n, 2), lambda n: esu2(n, 3, rng), lambda n: qaoa(n, 4, rng), lambda n: qoc(n, 2)):
            program = program_of(clean(make(int(rng.integers(3, 8))), 2), device)
            found, uncertain = _fidelity(program, device, measured_distribution(program, 0, program.virtual_at))
            off.append(found - _fidelity(program, device, None)[0])
            error.append(uncertain)
    assert np.abs(off).mean() < 0.0025
    assert np.sqrt(np.mean(np.square(off))) < 1.5 * np.sqrt(np.mean(np.square(error)))


def test_without_noise_the_distribution_is_the_ideal_one() -> None:
    program = program_of(clean(qoc(4, 2), 1), load_device("ibm_manila"))
    count = len(program.kind)
    quiet = replace(
        program,
        noises=(
            np.tile(np.eye(4), (len(program.noises[0]), 1, 1)),
            np.tile(np.eye(16), (len(program.noises[1]), 1, 1)),
        ),
        decay=np.ones(count),
        dephase=np.ones(count),
    )
    found = measured_distribution(quiet, 0, program.virtual_at)
    state = marginals.log_survival(program, 0)[1]
    wanted = ideal.marginal(np.abs(state) ** 2, program.virtual_at, program.num_qubits)
    np.testing.assert_allclose(found.probabilities, wanted, atol=1e-12)
    assert found.certain == pytest.approx(1, abs=1e-12)
    assert found.jackknife(lambda p: float(p[0]))[1] == pytest.approx(0, abs=1e-12)


def test_wires_are_the_bits_and_the_rest_is_traced_out() -> None:
    program = program_of(clean(u3cu3(3, 1), 4), load_device("ibm_manila"))
    n = program.num_qubits
    whole = measured_distribution(program, 0, range(n), samples=64).probabilities
    for wires in ((0,), (2, 0), (1, 2, 0)):
        part = measured_distribution(program, 0, wires, samples=64).probabilities
        np.testing.assert_allclose(part, ideal.marginal(whole, wires, n), atol=1e-12)
        assert part.sum() == pytest.approx(1)
        assert part.min() >= 0


def test_seed_and_draw_fix_the_result_whatever_the_threads() -> None:
    program = program_of(clean(esu2(4, 2, np.random.default_rng(0)), 1), load_device("ibm_jakarta"))
    two = replace(program, angle=np.tile(program.angle, (2, 1)), matrix=np.tile(program.matrix, (2, 1)))

    def run(key: tuple[int, int]) -> bytes:
        return measured_distribution(two, key[0], two.virtual_at, samples=64, seed=key[1]).probabilities.tobytes()

    keys = [(0, 0), (1, 0), (0, 1), (1, 1)]
    alone = [run(key) for key in keys]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, keys)) == alone
    assert len(set(alone)) == 4


def test_affordable_samples_shrink_with_size_and_vanish_where_nothing_can_be_sampled() -> None:
    program = program_of(clean(qoc(5, 2), 1), load_device("ibm_guadalupe"))
    assert samples_within(program) == trajectories.SAMPLES
    one = program.two_qubit_gates * 2**program.num_qubits
    assert samples_within(program, 67 * one) == 64
    assert samples_within(program, 20 * one) == 0
    reset = replace(program, kind=np.full_like(program.kind, 5))
    assert samples_within(reset) == 0
    with pytest.raises(ValueError, match="measurement or reset"):
        measured_distribution(reset, 0, (0,))


def test_bad_numbers_of_samples_and_other_channels_are_refused() -> None:
    program = program_of(clean(qoc(2, 1), 1), load_device("ibm_manila"))
    for samples in (0, 4, 65):
        with pytest.raises(ValueError, match="multiple of 8"):
            measured_distribution(program, 0, (0,), samples=samples)
    odd = program.noises[1].copy()
    odd[:, 5, 5] *= 0.9
    with pytest.raises(ValueError, match="depolarizing, then relaxation"):
        measured_distribution(replace(program, noises=(program.noises[0], odd)), 0, (0,))


def test_extreme_channels_stay_finite_and_exact() -> None:
    """Complete depolarization, complete relaxation, and the largest depolarizing probability."""
    program = program_of(clean(qoc(2, 2), 1), load_device("ibm_manila"))
    nothing = np.diag([1.0] + [0.0] * 15)
    beyond = np.diag([1.0] + [-1 / 15] * 15)
    ground = np.zeros((16, 16))
    ground[[0, 3, 12, 15], 0] = 1.0
    for channel in (nothing, beyond, ground):
        hard = replace(program, noises=(program.noises[0], np.tile(channel, (len(program.noises[1]), 1, 1))))
        truth = exact.probabilities(exact.noisy_state(hard, 0), hard.virtual_at, hard.num_qubits)
        found = measured_distribution(hard, 0, hard.virtual_at, samples=4096)
        np.testing.assert_allclose(found.probabilities, truth, atol=0.02)
