"""Qiskit's transpiler finds Qonchip's layout and routing by name, and what it gives back does what was asked."""

from __future__ import annotations

import importlib.metadata
import math
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.library import RXXGate
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap, PassManager, Target, TranspilerError, generate_preset_pass_manager
from qiskit.transpiler.passes import CheckMap, GatesInBasis

from qcompile import CompiledCircuit, Device, Layout, assert_equivalent, assert_executable, load_device
from qcompile.plugin import device_of
from tests.circuits import bound, esu2, qaoa, u3cu3
from tests.qcompile.strategies import circuits

LINE = CouplingMap.from_line(5)
BOTH = {"layout_method": "qonchip", "routing_method": "qonchip"}
WAYS = [BOTH, {"layout_method": "qonchip"}, {"routing_method": "qonchip"}]
STAGES = ("qiskit.transpiler.layout", "qiskit.transpiler.routing")


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Entry points as pyproject.toml has them, also where the package was installed before it had any."""
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]
    known = {g: {e.name for e in importlib.metadata.entry_points(group=g)} for g in STAGES}
    if all("qonchip" in known[group] for group in STAGES):
        yield
        return
    folder = tmp_path_factory.mktemp("site")
    info = folder / "qonchip_entry_points-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: qonchip-entry-points\nVersion: 0\n")
    lines = [line for g in STAGES for line in (f"[{g}]", *(f"{k} = {v}" for k, v in declared[g].items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


def _as_compiled(original: QuantumCircuit, mapped: QuantumCircuit) -> CompiledCircuit:
    layout = mapped.layout
    if layout is None:
        start = end = tuple(range(original.num_qubits))
    else:
        start = tuple(layout.initial_index_layout(filter_ancillas=True))
        end = tuple(layout.final_index_layout(filter_ancillas=True))
    device = Device.from_coupling([(0, 1)], num_qubits=mapped.num_qubits)
    return CompiledCircuit(mapped, Layout(start), Layout(end), None, device)  # type: ignore[arg-type]


def _small() -> QuantumCircuit:
    circuit = u3cu3(4, 1)
    circuit.h(0)
    circuit.ccx(0, 1, 2)
    circuit.swap(0, 3)
    circuit.barrier()
    circuit.rzz(0.3, 1, 3)
    circuit.measure_all()
    return circuit


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("way", WAYS, ids="+".join)
@pytest.mark.parametrize("chip", ["a line", "ibm_jakarta", "a generic backend"])
def test_every_level_and_each_stage_alone(level: int, way: dict[str, str], chip: str) -> None:
    circuit = _small()
    given = {
        "a line": {"coupling_map": LINE, "basis_gates": ["u", "cx"]},
        "ibm_jakarta": {"target": load_device("ibm_jakarta").target()},
        "a generic backend": {"backend": GenericBackendV2(5, ["cz", "rz", "sx", "x"], coupling_map=LINE, seed=1)},
    }[chip]
    mapped = transpile(circuit, optimization_level=level, seed_transpiler=3, **given, **way)
    assert_equivalent(circuit, _as_compiled(circuit, mapped))
    target = given.get("target") or getattr(given.get("backend"), "target", None)
    if target is not None:
        assert all(
            target.instruction_supported(i.name, tuple(mapped.find_bit(q).index for q in i.qubits))
            for i in mapped.data
            if i.name != "barrier"
        )
        if chip == "ibm_jakarta":
            assert_executable(mapped, load_device("ibm_jakarta"))
    else:
        assert set(mapped.count_ops()) <= {"u", "cx", "measure", "barrier"}
        assert all(
            LINE.graph.has_edge(*(mapped.find_bit(q).index for q in i.qubits)) for i in mapped.data if i.name == "cx"
        )
    if way is BOTH and level < 2:
        assert transpile(circuit, optimization_level=level, seed_transpiler=3, **given, **way) == mapped


def _vanishing() -> QuantumCircuit:
    """Written in smaller gates, cu holds (2 * a - 2 * a) / 2."""
    circuit, a = QuantumCircuit(3), Parameter("a")
    circuit.cu(0.3, 2 * a, 2 * a, 0.1, 0, 1)
    return circuit


@settings(max_examples=15, deadline=None)
@example(_vanishing(), 3, BOTH, 0)
@example(_vanishing(), 3, {"layout_method": "qonchip"}, 0)
@given(circuit=circuits(), level=st.integers(0, 3), way=st.sampled_from(WAYS), seed=st.integers(0, 99))
def test_random_circuits(circuit: QuantumCircuit, level: int, way: dict[str, str], seed: int) -> None:
    chip = {"coupling_map": LINE, "basis_gates": ["rz", "sx", "cz"]}
    try:
        mapped = transpile(circuit, optimization_level=level, seed_transpiler=seed, **chip, **way)
    except TypeError:
        # Qiskit's level 3 copies circuits, and cannot copy an angle like a - a that its own translation made of a cu
        with pytest.raises(TypeError, match=r"unbound parameters \{\}"):
            transpile(circuit, optimization_level=3, seed_transpiler=seed, **chip)
        assert level == 3
        return
    assert_equivalent(circuit, _as_compiled(circuit, mapped))


def test_preset_pass_managers_take_it_by_name() -> None:
    device = load_device("ibm_guadalupe")
    manager = generate_preset_pass_manager(2, target=device.target(), seed_transpiler=1, **BOTH)
    circuit = bound(esu2(6, 2, np.random.default_rng(0)), 1)
    mapped = manager.run(circuit)
    assert_equivalent(circuit, _as_compiled(circuit, mapped))
    assert_executable(mapped, device)
    assert mapped.num_qubits == 16


def test_dead_couplers_are_never_used() -> None:
    device = load_device("ibm_manhattan")
    circuit = bound(qaoa(8, 2, np.random.default_rng(0)), 1)
    mapped = transpile(circuit, target=device.target(), optimization_level=1, seed_transpiler=0, **BOTH)
    assert_executable(mapped, device)
    assert_equivalent(circuit, _as_compiled(circuit, mapped))


def test_fewer_two_qubit_gates_than_sabre_on_a_ring() -> None:
    target = load_device("ibm_guadalupe").target()
    circuit = u3cu3(6, 1)
    ours, theirs = (
        transpile(circuit, target=target, optimization_level=1, seed_transpiler=0, **way).num_nonlocal_gates()
        for way in (BOTH, {})
    )
    assert ours < theirs


def test_mid_circuit_operations_delays_and_registers_survive() -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.measure(1, 0)
    circuit.reset(1)
    circuit.delay(100, 2, unit="dt")
    circuit.cx(1, 2)
    circuit.rx(Parameter("t"), 0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    target = load_device("ibm_jakarta").target()
    for level in range(4):
        for way in WAYS:
            mapped = transpile(circuit, target=target, optimization_level=level, seed_transpiler=0, **way)
            assert mapped.count_ops()["delay"] == 1
            assert next(i.operation for i in mapped.data if i.name == "delay").unit == "dt"
            assert mapped.cregs == circuit.cregs
            assert_equivalent(circuit, _as_compiled(circuit, mapped))


def test_a_layout_that_is_given_is_kept() -> None:
    circuit = _small()
    target = load_device("ibm_jakarta").target()
    places = [0, 6, 3, 2]
    mapped = transpile(circuit, target=target, initial_layout=places, optimization_level=1, seed_transpiler=0, **BOTH)
    assert mapped.layout.initial_index_layout(filter_ancillas=True) == places
    assert_equivalent(circuit, _as_compiled(circuit, mapped))


def test_control_flow_is_refused() -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.cx(1, 2)
    circuit.cx(0, 2)
    circuit.cx(0, 1)
    for way in WAYS:
        with pytest.raises(TranspilerError, match=r"control flow.*sabre"):
            transpile(circuit, coupling_map=LINE, basis_gates=["u", "cx", "if_else"], optimization_level=1, **way)


def test_what_does_not_fit_is_refused() -> None:
    chip = {"coupling_map": CouplingMap([(0, 1), (1, 0), (2, 3), (3, 2)]), "basis_gates": ["u", "cx"]}
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    with pytest.raises(TranspilerError, match=r"qonchip.*3 qubits"):
        transpile(circuit, **chip, **BOTH)
    with pytest.raises(TranspilerError, match="no couplers connect"):
        transpile(circuit, **chip, routing_method="qonchip", layout_method="trivial")
    with pytest.raises(TranspilerError, match="no target and no coupling map"):
        device_of(None, None)
    ions = Target(num_qubits=3)
    ions.add_instruction(RXXGate(Parameter("t")))
    with pytest.raises(TranspilerError, match="every qubit is coupled"):
        device_of(ions, None)


def test_a_target_s_errors_make_the_device_and_a_bare_map_a_uniform_one() -> None:
    device = load_device("ibm_manila")
    found = device_of(device.target(), None)
    assert found.gates["cx", (0, 1)].error == device.gates["cx", (0, 1)].error
    for bare in (device_of(None, LINE), device_of(Target.from_configuration(["cx", "u"], 5, LINE), None)):
        assert bare.name == "uniform"
        assert math.isclose(bare.graph.number_of_edges(), 4)


def test_passes_are_those_of_the_check() -> None:
    """The mapped circuit needs no routing and no translation any more."""
    device = load_device("ibm_guadalupe")
    mapped = transpile(_small(), target=device.target(), optimization_level=0, seed_transpiler=0, **BOTH)
    checks = PassManager([CheckMap(device.target()), GatesInBasis(target=device.target())])
    checks.run(mapped)
    assert checks.property_set["is_swap_mapped"]
    assert checks.property_set["all_gates_in_basis"]


def test_gates_that_circuits_are_not_built_from_here_are_left_to_qiskit_s_translation() -> None:
    circuit = bound(u3cu3(4, 1), 1)
    mapped = transpile(circuit, coupling_map=LINE, basis_gates=["rxx", "rx", "rz"], optimization_level=1, **BOTH)
    assert set(mapped.count_ops()) <= {"rxx", "rx", "rz", "measure", "barrier"}
    assert_equivalent(circuit, _as_compiled(circuit, mapped))
