"""Qiskit's transpiler with Qonchip's placement and routing, by name:

    transpile(circuit, backend, layout_method="qonchip", routing_method="qonchip")

Each also works alone, and in `generate_preset_pass_manager`. The entry points are in pyproject.toml. The calibration is
the backend's Target; where it has no errors, all gates are taken alike. Where circuits cannot be built here from its
gates, a uniform chip with its couplings stands in, and Qiskit's translation, which comes behind, writes its gates.

Routing writes the circuit anew, in native gates: a SWAP melts into the gates beside it; the global phase is dropped.
Control flow is refused, with a TranspilerError that says so; "sabre" takes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.converters import dag_to_circuit
from qiskit.dagcircuit import DAGCircuit
from qiskit.passmanager import ConditionalController
from qiskit.transpiler import CouplingMap, PassManager, PassManagerConfig, Target, TranspilerError
from qiskit.transpiler import Layout as QiskitLayout
from qiskit.transpiler.basepasses import AnalysisPass, TransformationPass
from qiskit.transpiler.passes import CheckMap, FilterOpNodes, SetLayout
from qiskit.transpiler.preset_passmanagers import common
from qiskit.transpiler.preset_passmanagers.plugin import PassManagerStagePlugin

from qcompile.cancellation import cancel_pairs
from qcompile.candidates import Problem, Trial, candidate, fixed_trials, planned
from qcompile.circuit import without_final_measurements
from qcompile.compile import compile, moves_of, variants_of
from qcompile.device import ENTANGLING, Device
from qcompile.errors import CalibrationError, QonchipError
from qcompile.lowering import lower
from qcompile.native_form import native_form
from qcompile.synthesis import to_circuit
from qcompile.values import parameter_draws

EFFORTS = ("fast", "fast", "normal", "normal")
"""Effort of the placement by Qiskit's optimization level."""

_ROUTINGS = (16, 32, 128, 256)  # randomized trials by optimization level
_PROTECTION = "qiskit.transpiler.internal.routing.protection.barrier"  # Qiskit's, to keep measurements last


def device_of(target: Target | None, coupling_map: CouplingMap | None) -> Device:
    """The chip that a pass manager is made for.

    Raises: TranspilerError: no couplings, or a Target that breaks the rules of a calibration.
    """
    if target is None and coupling_map is None:
        raise TranspilerError('qonchip: no target and no coupling map. Give transpile a backend, or use "default".')
    if target is not None:
        try:
            device = Device.from_target(target)
        except CalibrationError as error:
            raise TranspilerError(f"qonchip: {error}") from error
        entangling = set(ENTANGLING).intersection(device.native_gates.two_qubit)
        if native_form(device.native_gates) is not None and (entangling or device.num_qubits == 1):
            perfect = not any(gate.error for (name, _), gate in device.gates.items() if name in entangling)
            return _evened(device) if perfect else device
    return uniform_device(target, coupling_map)


def _evened(device: Device) -> Device:
    """The same gates, all with the errors and durations of a uniform chip: without any, no place beats another."""
    alike = Device.from_coupling([(0, 1)])
    one, two = alike.gates["sx", (0,)], alike.gates["cx", (0, 1)]
    gates = {
        (name, qubits): gate if name in device.native_gates.virtual else one if len(qubits) == 1 else two
        for (name, qubits), gate in device.gates.items()
    }
    return replace(device, name="uniform", gates=gates)


def uniform_device(target: Target | None, coupling_map: CouplingMap | None) -> Device:
    """A chip with the couplings of a target, all alike. Raises: TranspilerError: it has none."""
    couplings = coupling_map if target is None else target.build_coupling_map()
    if couplings is None:
        raise TranspilerError('qonchip: every qubit is coupled to every other one; use the "default" method.')
    return Device.from_coupling(couplings.get_edges(), num_qubits=couplings.size(), name="uniform")


class QonchipLayout(AnalysisPass):
    """Sets `layout` to where Qonchip's compiler would start the circuit.

    Args:
        target, coupling_map: of the chip; the target wins.
        seed: of every random choice.
        effort: "fast", "normal" or "best".
    """

    def __init__(
        self, target: Target | None, coupling_map: CouplingMap | None = None, seed: int = 0, effort: str = "normal"
    ) -> None:
        super().__init__()
        self.target, self.coupling_map, self.seed, self.effort = target, coupling_map, seed, effort

    def run(self, dag: DAGCircuit) -> None:
        """Raises: TranspilerError: control flow, or a circuit that does not fit."""
        _refuse_control_flow(dag)
        circuit = _without_delays(dag_to_circuit(dag, copy_operations=False))
        try:
            found = compile(circuit, device_of(self.target, self.coupling_map), seed=self.seed, effort=self.effort)
        except QonchipError as error:
            raise TranspilerError(f"qonchip: {error}") from error
        layout = QiskitLayout(dict(zip(dag.qubits, found.initial_layout.physical)))
        for register in dag.qregs.values():
            layout.add_register(register)
        self.property_set["layout"] = layout


class QonchipRouting(TransformationPass):
    """Writes a circuit on physical qubits anew so that it runs on the couplers there are; sets `final_layout`.

    Args:
        target, coupling_map: of the chip; the target wins.
        seed: of every random choice.
        trials: randomized routings, of which the one of the lowest error is taken.
    """

    def __init__(
        self, target: Target | None, coupling_map: CouplingMap | None = None, seed: int = 0, trials: int = 64
    ) -> None:
        super().__init__()
        self.target, self.coupling_map, self.seed, self.trials = target, coupling_map, seed, trials

    def run(self, dag: DAGCircuit) -> DAGCircuit:
        """Raises: TranspilerError: control flow; two qubits that must meet and that no couplers connect."""
        _refuse_control_flow(dag)
        whole = dag_to_circuit(dag, copy_operations=False)
        index_of = {q: i for i, q in enumerate(whole.qubits)}
        used = sorted({index_of[q] for i in whole.data if i.name not in ("barrier", "delay") for q in i.qubits})
        if not used:
            return dag
        device = device_of(self.target, self.coupling_map)
        if not device.components or not device.components[0].issuperset(used):
            device = uniform_device(self.target, self.coupling_map)  # somebody chose a place that is dead
        if not device.components[0].issuperset(used):
            raise TranspilerError(f"qonchip: no couplers connect the qubits {used}. Give a layout in one region.")
        try:
            routed, moves = self._routed(_on(whole, used), used, device)
        except QonchipError as error:
            raise TranspilerError(f"qonchip: {error}") from error
        out = dag.copy_empty_like()
        if isinstance(out.global_phase, ParameterExpression):
            out.global_phase = 0
        for instruction in routed.data:
            qubits = [dag.qubits[routed.find_bit(q).index] for q in instruction.qubits]
            out.apply_operation_back(instruction.operation, qubits, instruction.clbits, check=False)
        final = {qubit: moves.get(i, i) for i, qubit in enumerate(dag.qubits)}
        before = self.property_set["final_layout"]
        if before is not None:
            final = {qubit: final[dag.qubits[p]] for qubit, p in before.get_virtual_bits().items()}
        self.property_set["final_layout"] = QiskitLayout(final)
        return out

    def _routed(
        self, circuit: QuantumCircuit, layout: list[int], device: Device
    ) -> tuple[QuantumCircuit, dict[int, int]]:
        lowered = lower(circuit)
        body, final = without_final_measurements(cancel_pairs(lowered.circuit))
        measured = tuple(v for v, _ in final) or tuple(range(body.num_qubits))
        variants = variants_of(body, lowered.slots, measured, device)
        draws = parameter_draws(lowered.parameters, None, self.seed, circuit.name)
        # without the measurements: no Z rotation in front of one is dropped, later passes may look at it
        problem = Problem(variants, (), lowered.slot_values(draws), device, measured, ())
        found: list[Trial] = []
        for k, variant in enumerate(variants):
            found += fixed_trials(problem, variant, layout, self.trials, self.seed + k)
        plan = planned(problem, min(found, key=lambda trial: trial.price))
        routed = to_circuit(candidate(problem, plan).native, lowered, device.num_qubits)
        for v, instruction in final:
            routed.append(instruction.operation, [plan.final_layout.physical[v]], instruction.clbits)
        return routed, moves_of(plan)


def _refuse_control_flow(dag: DAGCircuit) -> None:
    names = sorted({node.op.name for node in dag.op_nodes() if node.is_control_flow()})
    if names:
        raise TranspilerError(
            f"qonchip: the circuit has control flow ({', '.join(names)}), which is neither placed nor routed here. "
            'Use layout_method="sabre" and routing_method="sabre".'
        )


def _without_delays(circuit: QuantumCircuit) -> QuantumCircuit:
    kept = circuit.copy_empty_like()
    for instruction in circuit.data:
        if instruction.name != "delay":
            kept._append(instruction)
    return kept


def _on(circuit: QuantumCircuit, wires: list[int]) -> QuantumCircuit:
    """The circuit on some of its wires, renumbered in their order; barriers and delays elsewhere are dropped."""
    place = {circuit.qubits[wire]: i for i, wire in enumerate(wires)}
    small = QuantumCircuit(len(wires), name=circuit.name)
    small.add_bits(circuit.clbits)
    for register in circuit.cregs:
        small.add_register(register)
    for instruction in circuit.data:
        qubits = [place[q] for q in instruction.qubits if q in place]
        if instruction.name == "barrier" and qubits:
            small.barrier(qubits)
        elif instruction.name != "barrier" and len(qubits) == len(instruction.qubits):
            small.append(instruction.operation, qubits, instruction.clbits)
    return small


def _is_not_protection(node: Any) -> bool:
    return node.label != _PROTECTION


class QonchipLayoutPlugin(PassManagerStagePlugin):
    """Entry point `qonchip` of the layout stage; a layout that the caller gives is kept."""

    def pass_manager(
        self, pass_manager_config: PassManagerConfig, optimization_level: int | None = None
    ) -> PassManager:
        """The stage: set or find a layout, then put the circuit on it."""
        config, level = pass_manager_config, _level(optimization_level)
        place = QonchipLayout(config.target, config.coupling_map, _seed(config), EFFORTS[level])
        stage = PassManager(SetLayout(config.initial_layout))
        stage.append(ConditionalController(place, condition=_has_no_layout))
        stage += common.generate_embed_passmanager(config.coupling_map if config.target is None else config.target)
        return stage


class QonchipRoutingPlugin(PassManagerStagePlugin):
    """Entry point `qonchip` of the routing stage."""

    def pass_manager(
        self, pass_manager_config: PassManagerConfig, optimization_level: int | None = None
    ) -> PassManager:
        """The stage: route what does not run as it stands."""
        config, level = pass_manager_config, _level(optimization_level)
        couplings = config.coupling_map if config.target is None else config.target
        route = QonchipRouting(config.target, config.coupling_map, _seed(config), _ROUTINGS[level])
        stage = PassManager([FilterOpNodes(_is_not_protection), CheckMap(couplings, property_set_field="runs")])
        stage.append(ConditionalController(route, condition=_needs_routing))
        return stage


def _level(optimization_level: int | None) -> int:
    return 2 if optimization_level is None else optimization_level


def _seed(config: PassManagerConfig) -> int:
    """The transpiler's seed; where it has none, one from the operating system, as Qiskit's own methods do."""
    seed = config.seed_transpiler
    return int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)


def _has_no_layout(property_set: Any) -> bool:
    return not property_set["layout"]


def _needs_routing(property_set: Any) -> bool:
    return not property_set["runs"]
