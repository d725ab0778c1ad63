"""SABRE routing (Li, Ding, Xie 2019; LightSABRE, Zou et al. 2024) through Qiskit, on a live region only.

Lookahead over the front layer and an extended set with a decay on recently swapped qubits, ties broken by the seed. It
counts SWAPs and does not see errors, so one trial a seed: the caller routes many and lets the estimate choose.
"""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.converters import circuit_to_dag, dag_to_circuit
from qiskit.transpiler import CouplingMap
from qiskit.transpiler.passes import SabreSwap

from qcompile.circuit import final_measurements
from qcompile.device import Device
from qcompile.layout import Layout
from qcompile.routing.base import Routed


def local_coupling(device: Device, region: frozenset[int]) -> tuple[list[int], CouplingMap]:
    """The region's qubits, ascending, and its live couplings both ways between their positions."""
    nodes = sorted(region)
    position = {p: i for i, p in enumerate(nodes)}
    edges = []
    for a, b in device.graph.subgraph(nodes).edges:
        edges += [(position[a], position[b]), (position[b], position[a])]
    coupling = CouplingMap(sorted(edges))
    for i in range(len(nodes)):
        if i not in coupling.physical_qubits:
            coupling.add_physical_qubit(i)
    return nodes, coupling


def route(circuit: QuantumCircuit, device: Device, layout: Layout, region: frozenset[int], seed: int) -> Routed:
    """Routes with Qiskit's SabreSwap; see `Router`."""
    nodes, coupling = local_coupling(device, region)
    position = {p: i for i, p in enumerate(nodes)}
    body, measurements = _without_final_measurements(circuit)
    placed = _on_wires(body, len(nodes), [position[p] for p in layout.physical])
    moves: dict[int, int] = {}
    swaps = 0
    if any(len(i.qubits) == 2 and i.operation.name == "cx" for i in placed.data):
        router = SabreSwap(coupling, heuristic="decay", seed=seed, trials=1)
        dag = router.run(circuit_to_dag(placed))
        placed = dag_to_circuit(dag)
        final = router.property_set["final_layout"]
        if final is not None:
            ends = {i: final[qubit] for i, qubit in enumerate(dag.qubits)}
            moves = {nodes[i]: nodes[j] for i, j in ends.items() if i != j}
        swaps = placed.count_ops().get("swap", 0)
    routed = Routed(_on_wires(placed, device.num_qubits, nodes), layout, moves, swaps)
    for virtual, clbit in measurements:
        routed.circuit.measure(routed.final_layout.physical[virtual], clbit)
    return routed


def _without_final_measurements(circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[tuple[int, int]]]:
    """The circuit without them, and (qubit, clbit) of each: put back last, so that no SWAP passes a measured qubit."""
    final = final_measurements(circuit)
    if not final:
        return circuit, []
    last = {
        clbit: i for i, item in enumerate(circuit.data) if item.operation.name == "measure" for clbit in item.clbits
    }
    dropped = {last[circuit.clbits[clbit]] for clbit in final}
    body = circuit.copy()
    for i in sorted(dropped, reverse=True):
        del body.data[i]
    return body, [(qubit, clbit) for clbit, qubit in sorted(final.items())]


def _on_wires(circuit: QuantumCircuit, width: int, wires: list[int]) -> QuantumCircuit:
    """The circuit with its qubit i on wire `wires[i]` of `width`; classical bits and registers as they are."""
    placed = QuantumCircuit(width, name=circuit.name)
    placed.add_bits(circuit.clbits)
    for register in circuit.cregs:
        placed.add_register(register)
    placed.compose(circuit, qubits=wires, clbits=circuit.clbits, inplace=True)
    return placed
