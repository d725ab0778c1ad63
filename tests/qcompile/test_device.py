"""Device: a frozen snapshot; its live graph, its Target, its hash."""

import copy
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta

import networkx as nx
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import IfElseOp, Measure
from qiskit.circuit.library import CCXGate, CXGate, SXGate, iSwapGate
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

import qcompile
from qcompile.calibration import device_from_json, device_to_json, list_devices, load_device
from qcompile.device import Device, Gate, NativeGates, Qubit, Readout
from qcompile.errors import CalibrationError

STORED = [stored.name for stored in list_devices() if stored.origin != "user"]


@pytest.fixture(scope="module")
def stored() -> dict[str, Device]:
    return {name: load_device(name) for name in STORED}


def small(**changes: object) -> Device:
    """Three qubits in a line; cx(0, 1) one-way, cx(1, 2) both ways with different errors, qubit 2 with T2 > 2*T1."""
    qubits = tuple(Qubit(str(q), 1e-4, 3e-4 if q == 2 else 1e-4, Readout(0.01, 0.03, 1e-6)) for q in range(3))
    gates = {("sx", (q,)): Gate(1e-4, 3e-8) for q in range(3)} | {("rz", (q,)): Gate(0.0, 0.0) for q in range(3)}
    gates |= {("cx", (0, 1)): Gate(0.01, 3e-7), ("cx", (1, 2)): Gate(0.03, 3e-7), ("cx", (2, 1)): Gate(0.02, 4e-7)}
    device = Device(
        "toy", "toy", datetime(2025, 1, 2, tzinfo=UTC), qubits, gates, NativeGates(("rz", "sx"), ("cx",), ("rz",))
    )
    return replace(device, **changes)


def test_edge_carries_its_best_live_gate() -> None:
    graph = small().graph
    assert graph.edges[1, 2] == {"error": 0.02, "duration": 4e-7, "gate": ("cx", (2, 1))}
    assert graph.edges[0, 1]["gate"] == ("cx", (0, 1))


@pytest.mark.parametrize("dead", [Gate(1.0, 3e-7, usable=False), Gate(1.0, 3e-7), Gate(0.01, 3e-7, usable=False)])
def test_dead_gate_is_neither_live_nor_an_edge_nor_in_the_target(dead: Gate) -> None:
    device = small(gates={**small().gates, ("cx", (0, 1)): dead})
    assert not device.is_live("cx", (0, 1))
    assert sorted(device.graph.edges) == [(1, 2)]
    assert (0, 1) not in device.target()["cx"]
    assert device.components == (frozenset({1, 2}), frozenset({0}))


@pytest.mark.parametrize("gate", ["sx", "rz"])
def test_qubit_whose_pulse_died_after_loading_is_no_longer_used(gate: str) -> None:
    device = small(gates={**small().gates, (gate, (1,)): Gate(1.0, 3e-8)})
    assert [q.usable for q in device.qubits] == [True, False, True]
    assert not device.graph.edges
    assert not device.is_live("cx", (1, 2))


def test_qubit_whose_measurement_died_after_loading_is_no_longer_used() -> None:
    qubits = list(small().qubits)
    qubits[0] = replace(qubits[0], readout=Readout(1.0, 1.0))
    assert sorted(small(qubits=tuple(qubits)).graph.edges) == [(1, 2)]


def test_gate_on_an_unusable_qubit_is_not_live() -> None:
    qubits = list(small().qubits)
    qubits[1] = replace(qubits[1], usable=False)
    device = small(qubits=tuple(qubits))
    assert sorted(device.graph.nodes) == [0, 2]
    assert not device.graph.edges
    assert not device.is_live("sx", (1,))
    assert (1,) not in device.target()["measure"]


def test_graph_and_gates_are_frozen() -> None:
    device = small()
    with pytest.raises(nx.NetworkXError, match=r"[Ff]rozen"):
        device.graph.remove_node(0)
    with pytest.raises(TypeError):
        device.gates["cx", (0, 2)] = Gate(0.0, 0.0)
    with pytest.raises(FrozenInstanceError):
        device.name = "other"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda d: pickle.loads(pickle.dumps(d))])
def test_copies_are_equal_and_still_frozen(duplicate) -> None:
    device = small()
    assert device.graph.edges  # a filled cache must not get in the way
    again = duplicate(device)
    assert again == device
    assert hash(again) == hash(device)
    assert again.sha256 == device.sha256
    with pytest.raises(TypeError):
        again.gates["cx", (0, 2)] = Gate(0.0, 0.0)


def test_hash_sees_physics_and_nothing_else() -> None:
    device = small()
    assert (
        replace(device, name="x", notes=("y",), calibrated_at=datetime(2020, 1, 1, tzinfo=UTC)).sha256 == device.sha256
    )
    for change in (
        {"gates": {**device.gates, ("cx", (0, 1)): Gate(math.nextafter(0.01, 1), 3e-7)}},
        {"gates": {k: g for k, g in device.gates.items() if k != ("cx", (0, 1))}},
        {"qubits": (replace(device.qubits[0], t1=2e-4), *device.qubits[1:])},
        {"qubits": (replace(device.qubits[0], usable=False), *device.qubits[1:])},
        {"qubits": (replace(device.qubits[0], readout=Readout(0.03, 0.01, 1e-6)), *device.qubits[1:])},
        {"native_gates": replace(device.native_gates, virtual=())},
        {"timing": replace(device.timing, rep_delay=1e-3)},
    ):
        assert replace(device, **change).sha256 != device.sha256


def test_integer_and_float_zero_are_the_same_physics() -> None:
    zero, integer = (small(gates={**small().gates, ("rz", (0,)): Gate(error, error)}) for error in (0.0, 0))
    assert zero.sha256 == integer.sha256


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"calibrated_at": datetime(2025, 1, 1)}, "no timezone"),
        ({"gates": {("cx", (0, 1)): Gate(1.5, 0.0)}}, "is not a probability"),
        ({"gates": {("cx", (0, 1)): Gate(math.nan, 0.0)}}, "is not a probability"),
        ({"gates": {("cx", (0, 1)): Gate(None, 0.0)}}, "error is missing"),
        ({"gates": {("cx", (0, 1)): Gate(0.1, -1.0)}}, "is not a duration"),
        ({"gates": {("cx", (0, 3)): Gate(0.1, 0.0)}}, "names a qubit that is not there"),
        ({"gates": {("cx", (1, 1)): Gate(0.1, 0.0)}}, "self loop"),
        ({"qubits": (Qubit("0", math.inf), Qubit("1"), Qubit("2"))}, "is not a time"),
        ({"qubits": (Qubit("0", 1.0, 1.0, Readout(0.5, 1.5)), Qubit("1"), Qubit("2"))}, "is not a probability"),
    ],
)
def test_impossible_device_is_refused_however_it_is_made(change: dict, rule: str) -> None:
    with pytest.raises(CalibrationError, match=rule):
        small(**change)


@pytest.mark.parametrize("key", [("cx", (0,)), ("sx", (0, 1))])
def test_gate_on_the_wrong_number_of_qubits_is_refused(key: tuple) -> None:
    with pytest.raises(CalibrationError, match="does not fit"):
        small(gates={**small().gates, key: Gate(0.01, 1e-7)})


def test_age_is_counted_from_the_calibration() -> None:
    assert small().age(datetime(2025, 1, 3, tzinfo=UTC)) == timedelta(days=1)


# --- to a Target ---


def test_target_clamps_t2_and_averages_readout() -> None:
    device = small()
    target = device.target()
    assert target.qubit_properties[2].t2 == 2e-4
    assert device.qubits[2].t2 == 3e-4
    assert target["measure"][0,].error == 0.02
    assert target["cx"][2, 1].error == 0.02


@pytest.mark.parametrize("name", STORED)
def test_target_holds_no_dead_gate(stored, name: str) -> None:
    device = stored[name]
    target = device.target()
    for gate in target.operation_names:
        for qubits, properties in target[gate].items():
            assert all(device.qubits[q].usable for q in qubits)
            assert properties.error != 1
            if gate not in ("measure", "reset", "delay"):
                assert device.gates[gate, qubits].usable
    coupled = {frozenset(q) for g in device.native_gates.two_qubit if g in target.operation_names for q in target[g]}
    assert coupled == {frozenset(edge) for edge in device.graph.edges}


@pytest.mark.parametrize("name", [n for n in STORED if n != "ibm_kyoto"])
def test_transpiled_circuit_uses_live_gates_only(stored, name: str) -> None:
    device = stored[name]
    ghz = QuantumCircuit(5)
    ghz.h(0)
    for q in range(4):
        ghz.cx(0, q + 1)
    ghz.measure_all()
    mapped = transpile(ghz, target=device.target(), optimization_level=1, seed_transpiler=1)
    used = [(i.operation.name, tuple(mapped.find_bit(q).index for q in i.qubits)) for i in mapped.data]
    gates = [(n, q) for n, q in used if n not in ("measure", "barrier")]
    assert any(len(q) == 2 for _, q in gates)
    assert all(device.is_live(n, q) for n, q in gates)


# --- from a coupling list, a Target, a backend ---


def test_uniform_chip_is_the_same_both_ways() -> None:
    device = Device.from_coupling([(0, 1), (1, 0), (1, 2)], native_gate="cz", two_qubit_error=0.05)
    assert device.num_qubits == 3
    assert device.gates["cz", (0, 1)] == device.gates["cz", (1, 0)] == Gate(0.05, 3e-7)
    assert device.graph.number_of_edges() == 2


@pytest.mark.parametrize("edges", [[(0, 0)], [(-1, 0)]])
def test_impossible_coupling_is_refused(edges: list) -> None:
    with pytest.raises(CalibrationError):
        Device.from_coupling(edges)


@pytest.mark.parametrize("gate", ["iswap", "swap", "rzz", "csx", "nonsense"])
def test_uniform_chip_of_a_gate_that_no_circuit_is_built_from_is_refused(gate: str) -> None:
    with pytest.raises(CalibrationError, match="Expected one of cx, cy, cz, ch, ecr"):
        Device.from_coupling([(0, 1)], native_gate=gate)


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def test_native_swap_or_iswap_beside_cz_makes_no_edge() -> None:
    target = GenericBackendV2(3, basis_gates=["rz", "sx", "x", "cz"], coupling_map=[[0, 1], [1, 2]], seed=1).target
    target.add_instruction(iSwapGate(), {(0, 1): InstructionProperties(error=1e-6, duration=1e-8)})
    device = Device.from_target(target)
    assert {data["gate"][0] for *_, data in device.graph.edges(data=True)} == {"cz"}
    qcompile.assert_equivalent(bell(), qcompile.compile(bell(), device))


def test_chip_of_iswap_alone_is_read_but_refused_by_the_compiler() -> None:
    target = GenericBackendV2(2, basis_gates=["rz", "sx", "x", "iswap"], coupling_map=[[0, 1]], seed=1).target
    device = Device.from_target(target)
    assert device.graph.number_of_edges() == 1
    with pytest.raises(CalibrationError, match=r"iswap.*Expected one of cx"):
        qcompile.compile(bell(), device)


def test_generic_backend_is_read_by_its_target() -> None:
    backend = GenericBackendV2(
        4, basis_gates=["id", "rz", "sx", "x", "cz"], coupling_map=[[0, 1], [1, 2], [3, 2]], seed=3
    )
    device = Device.from_backend(backend)
    assert device.native_gates == NativeGates(("id", "rz", "sx", "x"), ("cz",), ("rz",))
    assert {k for k in device.gates if k[0] == "cz"} == {("cz", (0, 1)), ("cz", (1, 2)), ("cz", (3, 2))}
    assert device.gates["cz", (3, 2)].error == backend.target["cz"][3, 2].error
    assert device.qubits[1].t1 == backend.target.qubit_properties[1].t1
    assert "a Target has one readout error a qubit: taken for both sides" in device.notes
    assert device_from_json(device_to_json(device), "x") == device


def test_backend_without_noise_is_taken_as_perfect() -> None:
    device = Device.from_backend(GenericBackendV2(3, noise_info=False, seed=1))
    assert device.graph.number_of_edges() == 3
    assert {gate.error for gate in device.gates.values()} == {0.0}
    assert "the Target has no errors: every gate is taken as perfect" in device.notes


def made(num_qubits: int | None = 2) -> Target:
    return Target(num_qubits=num_qubits, qubit_properties=[QubitProperties(1e-4, 1e-4)] * (num_qubits or 0) or None)


def test_target_for_all_qubits_is_spelled_out_pair_by_pair() -> None:
    target = made(3)
    target.add_instruction(CXGate(), None)
    device = Device.from_target(target)
    assert sorted(device.graph.edges) == [(0, 1), (0, 2), (1, 2)]
    assert set(device.gates) == {("cx", (a, b)) for a in range(3) for b in range(3) if a != b}
    assert "the Target has no errors: every gate is taken as perfect" in device.notes


def test_gate_without_an_error_among_others_is_left_unused() -> None:
    target = made()
    target.add_instruction(CXGate(), {(0, 1): InstructionProperties(error=0.01), (1, 0): None})
    target.add_instruction(SXGate(), {(q,): InstructionProperties(error=1e-4) for q in range(2)})
    device = Device.from_target(target)
    assert device.gates["cx", (0, 1)] == Gate(0.01, None)
    assert not device.gates["cx", (1, 0)].usable
    assert "cx(1, 0): no error published, not used" in device.notes


@pytest.mark.parametrize("error", [math.nan, math.inf, -0.1, 1.5])
def test_impossible_error_in_a_target_is_refused(error: float) -> None:
    target = made()
    target.add_instruction(CXGate(), {(0, 1): InstructionProperties(error=error)})
    with pytest.raises(CalibrationError, match=r"gates\[0\].error = .* is not a probability"):
        Device.from_target(target, name="mine")


def test_qubit_that_alone_cannot_be_measured_is_unusable() -> None:
    target = made()
    target.add_instruction(Measure(), {(0,): InstructionProperties(error=0.02, duration=1e-6)})
    device = Device.from_target(target)
    assert device.qubits[0].readout == Readout(0.02, 0.02, 1e-6)
    assert [q.usable for q in device.qubits] == [True, False]
    assert "qubit 1: cannot be measured, not used" in device.notes


def test_what_is_no_gate_of_the_library_is_left_out_by_name() -> None:
    target = made(3)
    target.add_instruction(CCXGate(), {(0, 1, 2): None})
    target.add_instruction(SXGate(), {(0,): InstructionProperties(error=1e-4)}, name="sx_12")
    target.add_instruction(IfElseOp, name="if_else")
    device = Device.from_target(target)
    assert not device.gates
    assert [n for n in device.notes if "left out" in n] == [
        f"{name}: not a one- or two-qubit gate of Qiskit's library, left out" for name in ("ccx", "sx_12")
    ]
    assert device.limits.control_flow == ("if_else",)


def test_target_without_a_number_of_qubits_is_refused() -> None:
    with pytest.raises(CalibrationError, match="num_qubits = 0"):
        Device.from_target(Target())


def test_object_that_is_no_backend_is_refused() -> None:
    with pytest.raises(CalibrationError, match="str object: target = None is no Target"):
        Device.from_backend("ibm_manila")
