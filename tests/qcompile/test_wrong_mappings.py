"""Every seeded wrong mapping is rejected: of narrow and wide circuits, with and without measurements on the way."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, ParameterExpression
from qiskit.circuit.library import efficient_su2

from qcompile import CompiledCircuit, Layout, NotEquivalentError, assert_equivalent, compile, load_device
from qcompile.ideal import operation_matrix
from tests.circuits import qaoa, qoc, u3cu3

Wrong = CompiledCircuit | None
Mutation = Callable[[CompiledCircuit, np.random.Generator], Wrong]
TWO_QUBIT = ("cx", "cz", "ecr")


def _with(compiled: CompiledCircuit, data: list[CircuitInstruction]) -> CompiledCircuit:
    edited = compiled.circuit.copy_empty_like()
    for instruction in data:
        edited.append(instruction)
    return dataclasses.replace(compiled, circuit=edited)


def _pick(compiled: CompiledCircuit, rng: np.random.Generator, suits: Callable[[int, CircuitInstruction], bool]) -> int:
    """A place in the circuit; -1 where nothing suits."""
    places = [i for i, instruction in enumerate(compiled.circuit.data) if suits(i, instruction)]
    return int(rng.choice(places)) if places else -1


def _replaced(compiled: CompiledCircuit, at: int, *new: CircuitInstruction) -> Wrong:
    data = list(compiled.circuit.data)
    return None if at < 0 else _with(compiled, [*data[:at], *new, *data[at + 1 :]])


def _exchanged(layout: Layout, rng: np.random.Generator) -> Layout:
    places = list(layout.physical)
    a, b = (int(k) for k in rng.choice(len(places), 2, replace=False))
    places[a], places[b] = places[b], places[a]
    return Layout(tuple(places))


def wrong_final_layout(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    return dataclasses.replace(compiled, final_layout=_exchanged(compiled.final_layout, rng))


def wrong_initial_layout(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    return dataclasses.replace(compiled, initial_layout=_exchanged(compiled.initial_layout, rng))


def dropped_swap(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    """Three two-qubit gates in a row on one pair, as a SWAP has them; or else one of them."""
    data = list(compiled.circuit.data)
    line = [i for i, instruction in enumerate(data) if instruction.name in TWO_QUBIT]
    rows = [
        k
        for k in zip(line, line[1:], line[2:])
        if len({frozenset(data[i].qubits) for i in k}) == 1 and data[k[0]].qubits
    ]
    dropped = set(rows[int(rng.integers(len(rows)))]) if rows else {int(rng.choice(line))}
    return _with(compiled, [instruction for i, instruction in enumerate(data) if i not in dropped])


def dropped_two_qubit_gate(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    return _replaced(compiled, _pick(compiled, rng, lambda _, i: i.name in TWO_QUBIT))


def reversed_two_qubit_gate(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    at = _pick(compiled, rng, lambda _, i: i.name in ("cx", "ecr"))
    old = compiled.circuit.data[at]
    return _replaced(compiled, at, old.replace(qubits=old.qubits[::-1]))


def dropped_one_qubit_gate(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    return _replaced(compiled, _pick(compiled, rng, lambda _, i: i.name in ("sx", "x", "rz")))


def _with_angle(
    compiled: CompiledCircuit, rng: np.random.Generator, change: Callable[..., object], *, symbolic: bool = False
) -> Wrong:
    def suits(_: int, instruction: CircuitInstruction) -> bool:
        if instruction.name != "rz":
            return False
        angle = instruction.operation.params[0]
        if isinstance(angle, ParameterExpression) and angle.parameters:
            return True
        return not symbolic and abs(np.sin(float(angle))) > 1e-3  # 0 and pi are their own opposites

    at = _pick(compiled, rng, suits)
    if at < 0:
        return None
    operation = compiled.circuit.data[at].operation.to_mutable()
    operation.params = [change(operation.params[0])]
    return _replaced(compiled, at, compiled.circuit.data[at].replace(operation=operation, params=operation.params))


def opposite_angle(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    return _with_angle(compiled, rng, lambda angle: -angle)


def angle_off_by_a_thousandth(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    return _with_angle(compiled, rng, lambda angle: angle + 1e-3)


def wrong_parameter(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    parameters = list(compiled.circuit.parameters)

    def change(angle: ParameterExpression) -> ParameterExpression:
        own = sorted(angle.parameters, key=lambda p: p.name)[0]
        others = [p for p in parameters if p not in angle.parameters]
        return angle.subs({own: others[int(rng.integers(len(others)))]})

    return _with_angle(compiled, rng, change, symbolic=True)


def measured_into_the_wrong_bit(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    data = list(compiled.circuit.data)
    places = [i for i, instruction in enumerate(data) if instruction.name == "measure"]
    if len(places) < 2:
        return None
    a, b = (int(k) for k in rng.choice(places, 2, replace=False))
    data[a], data[b] = data[a].replace(clbits=data[b].clbits), data[b].replace(clbits=data[a].clbits)
    return _with(compiled, data)


def reordered_gates(compiled: CompiledCircuit, rng: np.random.Generator) -> Wrong:
    """Two neighbours on a wire that do not commute."""
    data = list(compiled.circuit.data)
    numbers = compiled.circuit.assign_parameters(rng.uniform(0.5, 2.5, compiled.circuit.num_parameters)).data
    places = []
    for i, (first, second) in enumerate(itertools.pairwise(numbers)):
        if {first.name, second.name} & {"measure", "barrier", "reset", "delay"}:
            continue
        if {*first.qubits}.isdisjoint(second.qubits):
            continue
        wires = list(dict.fromkeys((*first.qubits, *second.qubits)))
        both = []
        for order in ((first, second), (second, first)):
            small = QuantumCircuit(wires)
            for instruction in order:
                small.append(instruction.operation, instruction.qubits)
            both.append(operation_matrix(small.to_gate()))
        overlap = abs(np.trace(both[0].conj().T @ both[1])) / len(both[0])
        if overlap < 1 - 1e-4:
            places.append(i)
    at = int(rng.choice(places))
    data[at], data[at + 1] = data[at + 1], data[at]
    return _with(compiled, data)


MUTATIONS: tuple[Mutation, ...] = (
    wrong_final_layout, wrong_initial_layout, dropped_swap, dropped_two_qubit_gate, reversed_two_qubit_gate,
    dropped_one_qubit_gate, opposite_angle, angle_off_by_a_thousandth, wrong_parameter, measured_into_the_wrong_bit,
    reordered_gates,
)  # fmt: skip


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    whole = circuit.copy()
    whole.measure_all()
    return whole


def _mid_circuit(width: int) -> QuantumCircuit:
    """A circuit that measures and resets a qubit on its way, twice."""
    circuit = QuantumCircuit(width, width)
    circuit.compose(u3cu3(width, 1), inplace=True)
    circuit.measure(1, 0)
    circuit.reset(1)
    circuit.compose(u3cu3(width, 1).assign_parameters(np.linspace(0.1, 3, 6 * width)), inplace=True)
    circuit.reset(0)
    circuit.cx(2, 0)
    circuit.ry(0.7, 0)
    circuit.measure(range(width), range(width))
    return circuit


NARROW = {
    "u3cu3 of 4": (_measured(u3cu3(4, 1)), "ibm_guadalupe"),
    "qaoa of 7": (_measured(qaoa(7, 2, np.random.default_rng(1))), "ibm_brisbane"),
    "qoc of 5, unmeasured": (qoc(5, 2), "ibm_manila"),
    "mid-circuit of 4": (_mid_circuit(4), "ibm_jakarta"),
}
WIDE = {
    "EfficientSU2 of 14": (_measured(efficient_su2(14, reps=1, entanglement="circular")), "ibm_guadalupe"),
    "mid-circuit of 12": (_mid_circuit(12), "ibm_guadalupe"),
}
WIDER = {
    "ring of 20": (_measured(qoc(20, 1)), "ibm_brisbane"),
    "EfficientSU2 of 24": (_measured(efficient_su2(24, reps=1, entanglement="linear")), "ibm_brisbane"),
    "ring of 30": (_measured(qoc(30, 1)), "ibm_brisbane"),
    "EfficientSU2 of 100": (_measured(efficient_su2(100, reps=1, entanglement="circular")), "ibm_brisbane"),
}
COMPILED: dict[str, CompiledCircuit] = {}


def _compiled(name: str, circuit: QuantumCircuit, chip: str) -> CompiledCircuit:
    if name not in COMPILED:
        COMPILED[name] = compile(circuit, load_device(chip), effort="fast")
    return COMPILED[name]


def _check(name: str, circuit: QuantumCircuit, chip: str, mutation: Mutation, seed: int) -> None:
    wrong = mutation(_compiled(name, circuit, chip), np.random.default_rng(seed))
    assert wrong is not None
    with pytest.raises(NotEquivalentError):
        assert_equivalent(circuit, wrong)


def _cases(circuits: dict[str, tuple[QuantumCircuit, str]]) -> list[object]:
    """Every mutation of every circuit that it can be done to."""
    return [
        pytest.param(name, mutation, id=f"{name}-{mutation.__name__}")
        for name, (circuit, _) in circuits.items()
        for mutation in MUTATIONS
        if mutation is not measured_into_the_wrong_bit or circuit.num_clbits
    ]


@pytest.mark.parametrize("name", [*NARROW, *WIDE])
def test_what_was_compiled_is_accepted(name: str) -> None:
    circuit, chip = {**NARROW, **WIDE}[name]
    assert_equivalent(circuit, _compiled(name, circuit, chip))


@pytest.mark.parametrize(("name", "mutation"), _cases(NARROW))
@pytest.mark.parametrize("seed", range(4))
def test_wrong_mappings_of_narrow_circuits(name: str, mutation: Mutation, seed: int) -> None:
    _check(name, *NARROW[name], mutation, seed)


@pytest.mark.parametrize(("name", "mutation"), _cases(WIDE))
def test_wrong_mappings_of_wide_circuits(name: str, mutation: Mutation) -> None:
    _check(name, *WIDE[name], mutation, 0)


@pytest.mark.parametrize("name", WIDER)
def test_what_was_compiled_wider_is_accepted(name: str) -> None:
    assert_equivalent(WIDER[name][0], _compiled(name, *WIDER[name]))


@pytest.mark.parametrize(("name", "mutation"), _cases(WIDER))
def test_wrong_mappings_of_wider_circuits(name: str, mutation: Mutation) -> None:
    _check(name, *WIDER[name], mutation, 0)
