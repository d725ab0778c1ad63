"""assert_executable and assert_equivalent reject seeded errors of every kind, and accept what is right."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import CircuitInstruction, Parameter

from qcompile import (
    CompiledCircuit,
    Device,
    Layout,
    MissingExtraError,
    NotEquivalentError,
    NotExecutableError,
    VerificationError,
    assert_equivalent,
    assert_executable,
    compile,
    load_device,
)
from tests.circuits import bound, esu2, u3cu3

SMALL = u3cu3(4, 1)
SMALL.measure_all()
WIDE = esu2(14, 1, np.random.default_rng(0))

Edit = Callable[[QuantumCircuit, np.random.Generator], QuantumCircuit]


def _with_data(circuit: QuantumCircuit, data: list[CircuitInstruction]) -> QuantumCircuit:
    edited = circuit.copy_empty_like()
    for instruction in data:
        edited.append(instruction)
    return edited


def _places(circuit: QuantumCircuit, *names: str) -> list[int]:
    return [i for i, instruction in enumerate(circuit.data) if instruction.operation.name in names]


def _drop(*names: str) -> Edit:
    def edit(circuit: QuantumCircuit, rng: np.random.Generator) -> QuantumCircuit:
        data = list(circuit.data)
        del data[int(rng.choice(_places(circuit, *names)))]
        return _with_data(circuit, data)

    return edit


def _flip_cx(circuit: QuantumCircuit, rng: np.random.Generator) -> QuantumCircuit:
    data = list(circuit.data)
    at = int(rng.choice(_places(circuit, "cx", "ecr")))
    data[at] = data[at].replace(qubits=data[at].qubits[::-1])
    return _with_data(circuit, data)


def _nudge_angle(circuit: QuantumCircuit, rng: np.random.Generator) -> QuantumCircuit:
    data = list(circuit.data)
    at = int(rng.choice(_places(circuit, "rz")))
    operation = data[at].operation.to_mutable()
    operation.params = [operation.params[0] + 1e-4]
    data[at] = data[at].replace(operation=operation)
    return _with_data(circuit, data)


def _add_pulse(circuit: QuantumCircuit, rng: np.random.Generator) -> QuantumCircuit:
    data = list(circuit.data)
    at = int(rng.choice(_places(circuit, "cx", "ecr")))
    edited = circuit.copy_empty_like()
    for i, instruction in enumerate(data):
        edited.append(instruction)
        if i == at:
            edited.sx(instruction.qubits[0])
    return edited


def _exchange_parameters(circuit: QuantumCircuit, rng: np.random.Generator) -> QuantumCircuit:
    a, b = rng.choice(len(circuit.parameters), 2, replace=False)
    first, second = circuit.parameters[int(a)], circuit.parameters[int(b)]
    return circuit.assign_parameters({first: second, second: first})


EDITS: dict[str, Edit] = {
    "a dropped two-qubit gate": _drop("cx", "ecr"),
    "a dropped pulse": _drop("sx", "x"),
    "a dropped rotation": _drop("rz"),
    "a flipped two-qubit gate": _flip_cx,
    "an angle off by 1e-4": _nudge_angle,
    "an added pulse": _add_pulse,
    "two exchanged parameters": _exchange_parameters,
}


@pytest.fixture(scope="module")
def compiled() -> CompiledCircuit:
    return compile(SMALL, load_device("ibm_guadalupe"))


@pytest.fixture(scope="module")
def wide() -> CompiledCircuit:
    return compile(WIDE, load_device("ibm_guadalupe"), effort="fast")


def test_what_was_compiled_is_accepted(compiled: CompiledCircuit) -> None:
    assert_equivalent(SMALL, compiled)


@pytest.mark.parametrize("kind", EDITS)
@pytest.mark.parametrize("seed", range(3))
def test_seeded_error_is_rejected_by_simulation(compiled: CompiledCircuit, kind: str, seed: int) -> None:
    wrong = dataclasses.replace(compiled, circuit=EDITS[kind](compiled.circuit, np.random.default_rng(seed)))
    with pytest.raises(NotEquivalentError, match="apart"):
        assert_equivalent(SMALL, wrong)


@pytest.fixture
def nothing_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcompile.equivalence.statevector.WIDEST", 0)


@pytest.mark.usefixtures("nothing_simulated")
def test_wide_circuit_is_accepted_by_qcec(wide: CompiledCircuit) -> None:
    assert_equivalent(WIDE, wide)


@pytest.mark.usefixtures("nothing_simulated")
@pytest.mark.parametrize("kind", [k for k in EDITS if k != "an angle off by 1e-4"])
def test_seeded_error_is_rejected_by_qcec(wide: CompiledCircuit, kind: str) -> None:
    wrong = dataclasses.replace(wide, circuit=EDITS[kind](wide.circuit, np.random.default_rng(1)))
    with pytest.raises(NotEquivalentError, match="counterexample"):
        assert_equivalent(WIDE, wrong)


@pytest.mark.parametrize("which", ["initial_layout", "final_layout"])
def test_wrong_layout_is_rejected(compiled: CompiledCircuit, which: str) -> None:
    physical = list(getattr(compiled, which).physical)
    physical[0], physical[1] = physical[1], physical[0]
    with pytest.raises(NotEquivalentError):
        assert_equivalent(SMALL, dataclasses.replace(compiled, **{which: Layout(tuple(physical))}))


def test_wrong_layout_of_a_wide_circuit_is_rejected(wide: CompiledCircuit) -> None:
    physical = list(wide.final_layout.physical)
    physical[0], physical[1] = physical[1], physical[0]
    with pytest.raises(NotEquivalentError):
        assert_equivalent(WIDE, dataclasses.replace(wide, final_layout=Layout(tuple(physical))))


def test_exchanged_and_missing_measurements_are_rejected(compiled: CompiledCircuit) -> None:
    data = list(compiled.circuit.data)
    first, second = _places(compiled.circuit, "measure")[:2]
    data[first], data[second] = (
        data[first].replace(clbits=data[second].clbits),
        data[second].replace(clbits=data[first].clbits),
    )
    for wrong in (data, [d for i, d in enumerate(compiled.circuit.data) if i != first]):
        with pytest.raises(NotEquivalentError, match="classical bit"):
            assert_equivalent(SMALL, dataclasses.replace(compiled, circuit=_with_data(compiled.circuit, wrong)))


def test_foreign_parameter_is_rejected(compiled: CompiledCircuit) -> None:
    edited = compiled.circuit.copy()
    edited.rz(Parameter("foreign"), compiled.active_qubits[0])
    with pytest.raises(NotEquivalentError, match="foreign"):
        assert_equivalent(SMALL, dataclasses.replace(compiled, circuit=edited))


def test_dropped_reset_and_moved_measurement_are_rejected() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure(0, 0)
    circuit.reset(0)
    circuit.rx(0.4, 0)
    circuit.cx(1, 0)
    circuit.measure(0, 1)
    device = Device.from_coupling([(0, 1), (1, 2)])
    right = compile(circuit, device)
    assert_equivalent(circuit, right)
    for name in ("reset", "measure"):
        data = [d for i, d in enumerate(right.circuit.data) if i != _places(right.circuit, name)[0]]
        with pytest.raises(NotEquivalentError):
            assert_equivalent(circuit, dataclasses.replace(right, circuit=_with_data(right.circuit, data)))


def test_qiskit_mapping_is_accepted_too() -> None:
    device = load_device("ibm_jakarta")
    circuit = bound(u3cu3(5, 1), 3)
    mapped = transpile(circuit, target=device.target(), optimization_level=3, seed_transpiler=5)
    layout = mapped.layout
    theirs = CompiledCircuit(
        mapped, Layout(tuple(layout.initial_index_layout(filter_ancillas=True))),
        Layout(tuple(layout.final_index_layout(filter_ancillas=True))), compile(circuit, device).estimate, device,
    )  # fmt: skip
    assert_equivalent(circuit, theirs)


@pytest.mark.usefixtures("nothing_simulated")
def test_qcec_missing_names_the_extra(wide: CompiledCircuit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mqt.qcec.verify_hard_timeout", None)
    with pytest.raises(MissingExtraError, match=r"qonchip\[verify\]"):
        assert_equivalent(WIDE, wide)


@pytest.mark.usefixtures("nothing_simulated")
def test_no_verdict_is_an_error_of_its_own(wide: CompiledCircuit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcompile.equivalence.qcec.DEADLINE", 1e-3)
    with pytest.raises(VerificationError, match="no verdict"):
        assert_equivalent(WIDE, wide)


def _one(name: str, *qubits: int, params: tuple[float, ...] = (), width: int = 5) -> QuantumCircuit:
    circuit = QuantumCircuit(width, 1)
    getattr(circuit, name)(*params, *qubits)
    return circuit


MANILA = load_device("ibm_manila")


@pytest.mark.parametrize(
    ("circuit", "reason"),
    [
        (_one("h", 0), "not a native gate"),
        (_one("cx", 0, 2), "no such coupling"),
        (_one("cz", 0, 1), "not a native gate"),
        (_one("x", 5, width=6), "6 qubits"),
    ],
)
def test_instruction_that_the_device_cannot_run_is_named(circuit: QuantumCircuit, reason: str) -> None:
    with pytest.raises(NotExecutableError, match=reason):
        assert_executable(circuit, MANILA)


def test_dead_gate_dead_qubit_and_wrong_direction_are_named() -> None:
    manhattan, brisbane = load_device("ibm_manhattan"), load_device("ibm_brisbane")
    a, b = next(pair for (name, pair), g in sorted(manhattan.gates.items()) if name == "cx" and g.error == 1)
    if all(manhattan.qubits[q].usable for q in (a, b)):
        with pytest.raises(NotExecutableError, match="dead in the calibration"):
            assert_executable(_one("cx", a, b, width=65), manhattan)
    c, d = next(p for (n, p) in sorted(brisbane.gates) if n == "ecr" and ("ecr", p[::-1]) not in brisbane.gates)
    with pytest.raises(NotExecutableError, match="other direction only"):
        assert_executable(_one("ecr", d, c, width=127), brisbane)
    kingston = load_device("ibm_kingston")
    dead = next(q for q, qubit in enumerate(kingston.qubits) if not qubit.usable)
    with pytest.raises(NotExecutableError, match="not usable"):
        assert_executable(_one("measure", dead, 0, width=156), kingston)


@pytest.mark.parametrize("angle", [-0.1, math.pi / 2 + 0.01, Parameter("t")])
def test_fractional_angle_out_of_range_or_symbolic_is_refused(angle: object) -> None:
    fez = load_device("ibm_fez")
    pair = next(p for (n, p) in sorted(fez.gates) if n == "rzz" and fez.is_live(n, p))
    assert_executable(_one("rzz", *pair, params=(0.5,), width=156), fez)
    with pytest.raises(NotExecutableError, match="pi/2"):
        assert_executable(_one("rzz", *pair, params=(angle,), width=156), fez)


@pytest.mark.parametrize("written", ["swap", "twice x", "id"])
def test_a_measurement_that_nothing_is_left_behind_is_equivalent(written: str) -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    if written == "swap":
        circuit.swap(0, 1)
    for gate in {"twice x": ("x", "x"), "id": ("id",)}.get(written, ()):
        getattr(circuit, gate)(0)
    compiled = compile(circuit, load_device("ibm_manila"), effort="fast")
    assert_equivalent(circuit, compiled)
    other = circuit.copy_empty_like()
    other.measure(0, 0)
    other.h(0)
    with pytest.raises(NotEquivalentError):
        assert_equivalent(other, compiled)
