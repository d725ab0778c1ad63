"""Equivalence: parts, fusing, the kernel and cancellation each say what plain simulation says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from qcompile import (
    CompiledCircuit,
    Device,
    Layout,
    NotEquivalentError,
    VerificationError,
    assert_equivalent,
    compile,
    ideal,
    load_device,
    verify,
)
from qcompile.equivalence import qcec, statevector
from qcompile.equivalence.cancellation import reduced
from qcompile.equivalence.pair import Pair, Step, Wired, fused, parts
from tests.circuits import bound, qoc, u3cu3
from tests.qcompile.strategies import circuits, devices


def _unitary(rng: np.random.Generator, width: int) -> np.ndarray:
    matrix = rng.normal(size=(2**width, 2**width)) + 1j * rng.normal(size=(2**width, 2**width))
    return np.linalg.qr(matrix)[0]


NAMED = ("h", "sx", "t", "cx", "cz", "swap")


def _steps(rng: np.random.Generator, width: int, count: int) -> list[Step]:
    """Random gates, many of which commute or cancel, and random unitaries."""
    steps = []
    for _ in range(count):
        kind = int(rng.integers(len(NAMED) + 3))
        size = (1, 1, 1, 2, 2, 2, 1, 2, 3)[kind]
        if size > width:
            continue
        wires = tuple(int(w) for w in rng.choice(width, size, replace=False))
        named = kind < len(NAMED)
        steps.append(Step(ideal.gate_matrix(NAMED[kind]) if named else _unitary(rng, size), wires))
    return steps


def _run(steps: list[Step], width: int, state: np.ndarray) -> np.ndarray:
    for step in steps:
        state = ideal.apply(state, step.matrix, step.wires, width)
    return state


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), width=st.integers(1, 5))
def test_fusing_and_the_kernel_change_nothing(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    steps = _steps(rng, width, 14)
    state = _unitary(rng, width)[0].copy()
    expected = _run(steps, width, state)
    ours = state.copy()
    statevector.evolve(ours, fused(steps), width)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    assert len(fused(steps)) <= max(len(steps), 0)


def _is_equal(pair: Pair) -> bool:
    try:
        statevector.compare(pair, np.random.default_rng(0))
    except NotEquivalentError:
        return False
    return True


def _mapped(steps: list[Step], width: int, rng: np.random.Generator) -> Pair:
    """The same steps relabelled by SWAPs on the way, split and dressed with cancelling gates, on one wire more."""
    place = [int(w) for w in rng.permutation(width + 1)]
    start = place[:width]
    theirs: list[Step] = []
    for step in steps:
        wires = tuple(place[w] for w in step.wires)
        if rng.random() < 0.4:
            turn = _unitary(rng, 1)
            theirs += [Step(turn, wires[:1]), Step(turn.conj().T, wires[:1])]
        theirs.append(Step(step.matrix, wires))
        if rng.random() < 0.3:
            a, b = (int(w) for w in rng.choice(width + 1, 2, replace=False))
            theirs.append(Step(ideal.gate_matrix("swap"), (place[a], place[b])))
            place[a], place[b] = place[b], place[a]
    return Pair(
        Wired(steps, width, {}), Wired(theirs, width + 1, {}), list(enumerate(start)), list(enumerate(place[:width]))
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), width=st.integers(1, 5), wrong=st.booleans())
def test_what_is_left_after_cancelling_is_equal_if_the_whole_is(seed: int, width: int, wrong: bool) -> None:
    rng = np.random.default_rng(seed)
    pair = _mapped(_steps(rng, width, 16), width, rng)
    if wrong and pair.theirs.steps:
        at = int(rng.integers(len(pair.theirs.steps)))
        if rng.random() < 0.5:
            del pair.theirs.steps[at]
        else:
            nudge = np.diag([1.0, np.exp(1e-3j)])
            pair.theirs.steps.insert(at, Step(nudge, pair.theirs.steps[at].wires[:1]))
    small = reduced(pair)
    assert all(_is_equal(part) for part in parts(small)) == _is_equal(pair)


@settings(max_examples=20, deadline=None)
@given(circuit=circuits(max_qubits=5), device=devices())
def test_compiled_circuits_are_accepted_by_cancellation(circuit: QuantumCircuit, device: Device) -> None:
    if circuit.num_qubits > len(device.components[0]):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statevector, "QUICK", 0)
        assert_equivalent(circuit, compile(circuit, device, effort="fast"))


def test_parts_that_nothing_connects_are_compared_one_by_one() -> None:
    circuit = QuantumCircuit(30)
    for first in range(0, 30, 5):
        circuit.compose(
            bound(u3cu3(5, 1), first).remove_final_measurements(inplace=False), range(first, first + 5), inplace=True
        )
    compiled = compile(circuit, load_device("ibm_brisbane"), effort="fast")
    assert_equivalent(circuit, compiled)
    wrong = compiled.circuit.copy()
    wrong.rz(1e-3, compiled.final_layout.physical[17])
    with pytest.raises(NotEquivalentError):
        assert_equivalent(circuit, _with(compiled, wrong))


def _with(compiled: CompiledCircuit, circuit: QuantumCircuit) -> CompiledCircuit:
    return CompiledCircuit(
        circuit,
        compiled.initial_layout,
        compiled.final_layout,
        None,
        compiled.device,  # type: ignore[arg-type]
    )


def test_a_chip_wide_circuit_is_decided_without_qcec(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("QCEC was asked")

    monkeypatch.setattr(qcec, "compare", refuse)
    circuit = qoc(60, 2)
    compiled = compile(circuit, load_device("ibm_brisbane"), effort="fast")
    assert_equivalent(circuit, compiled)
    rng = np.random.default_rng(0)
    for _ in range(3):
        wrong = compiled.circuit.copy()
        at = int(rng.choice([i for i, x in enumerate(wrong.data) if x.name == "ecr"]))
        del wrong.data[at]
        with pytest.raises(NotEquivalentError):
            assert_equivalent(circuit, _with(compiled, wrong))


def test_what_is_too_wide_to_simulate_and_does_not_cancel_is_left_to_qcec(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = bound(u3cu3(13, 1), 0)
    compiled = compile(circuit, load_device("ibm_guadalupe"), effort="fast")
    monkeypatch.setattr(verify, "reduced", lambda pair: pair)
    monkeypatch.setattr(statevector, "WIDEST", 12)
    monkeypatch.setattr(qcec, "DEADLINE", 1e-3)
    with pytest.raises(VerificationError, match="no verdict"):
        assert_equivalent(circuit, compiled)


def test_a_layout_of_another_circuit_is_refused() -> None:
    circuit = bound(u3cu3(3, 1), 0)
    compiled = compile(circuit, load_device("ibm_manila"), effort="fast")
    short = CompiledCircuit(
        compiled.circuit, Layout(compiled.initial_layout.physical[:2]), Layout(compiled.final_layout.physical[:2]),
        None, compiled.device,  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(NotEquivalentError, match="3 qubits, but the layout places 2"):
        assert_equivalent(circuit, short)
