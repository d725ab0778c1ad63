"""Circuits written out again from their routing view, to compare with what was read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import PermutationGate, UnitaryGate
from qiskit.quantum_info import Operator

from qcompile.block_codes import CX, Part
from qcompile.blocks import BlockCircuit
from qcompile.lowering import Angle, Lowered
from tests.qcompile.lowered import marked

_LAYERS = ["rzz"] * 5 + [
    "cz",
    "cp",
    "cp",
    "cx",
    "cx",
    "cx",
    "crx",
    "rxx",
    "swap",
    "h",
    "h",
    "rz",
    "rz",
    "rx",
    "barrier",
]


@st.composite
def layered(draw: st.DrawFn, max_qubits: int = 5, max_gates: int = 30, fences: bool = True) -> QuantumCircuit:
    """Gates most of which commute with their neighbours; angles bound, of no interaction, or symbolic."""
    n = draw(st.integers(2, max_qubits))
    circuit = QuantumCircuit(n, 2)
    symbols = [Parameter(name) for name in "abc"]
    names = [*_LAYERS, "measure", "reset", "delay"] if fences else _LAYERS[:-1]
    for _ in range(draw(st.integers(0, max_gates))):
        name = draw(st.sampled_from(names))
        a, b = draw(st.permutations(range(n)))[:2]
        angle = draw(st.sampled_from([0.4, 1.1, 2.3, np.pi / 2, np.pi, 2 * np.pi, *symbols, 2 * symbols[0] + 0.5]))
        match name:
            case "rzz" | "cp" | "crx" | "rxx":
                getattr(circuit, name)(angle, a, b)
            case "cz" | "cx" | "swap":
                getattr(circuit, name)(a, b)
            case "rz" | "rx":
                getattr(circuit, name)(angle, a)
            case "barrier":
                circuit.barrier(a, b)
            case "measure":
                circuit.measure(a, draw(st.integers(0, 1)))
            case "delay":
                circuit.delay(100, a, unit="ns")
            case _:
                getattr(circuit, name)(a)
    return circuit


def slot_point(lowered: Lowered) -> NDArray[np.float64]:
    """[1, slot] values at some values of the parameters."""
    return lowered.slot_values(np.linspace(0.7, 2.9, len(lowered.parameters))[None, :])


def random_order(blocks: BlockCircuit, rng: np.random.Generator) -> list[int]:
    """Some order of all nodes in which each comes after the earlier stages of its wires."""
    left: dict[tuple[int, int], int] = {}
    for node, at in zip(blocks.nodes, blocks.stages):
        for place in zip(node.wires, at):
            left[place] = left.get(place, 0) + 1
    order: list[int] = []
    waiting = set(range(len(blocks.nodes)))
    while waiting:
        ready = [
            k
            for k in sorted(waiting)
            if all(left.get((w, s - 1), 0) == 0 for w, s in zip(blocks.nodes[k].wires, blocks.stages[k]))
        ]
        k = ready[int(rng.integers(len(ready)))]
        waiting.remove(k)
        order.append(k)
        for place in zip(blocks.nodes[k].wires, blocks.stages[k]):
            left[place] -= 1
    return order


def append_part(circuit: QuantumCircuit, part: Part, qubit: int, point: NDArray[np.float64]) -> None:
    if isinstance(part, Angle):
        circuit.rz(float(part.values(point)[0]), qubit)
    else:
        circuit.append(UnitaryGate(np.array(part).reshape(2, 2)), [qubit])


def append_codes(
    circuit: QuantumCircuit,
    codes: Sequence[int],
    parts: Sequence[Part],
    qubits: Sequence[int],
    point: NDArray[np.float64],
) -> None:
    """Codes of a node or a unit on its qubits."""
    for code in codes:
        if code < 0:
            circuit.cx(*(qubits if code == CX else qubits[::-1]))
        else:
            part, side = divmod(code, len(qubits))
            append_part(circuit, parts[part], qubits[side], point)


def written(blocks: BlockCircuit, order: Sequence[int], point: NDArray[np.float64]) -> QuantumCircuit:
    """The nodes in an order, on their wires, and back from the wires where the virtual qubits end."""
    circuit = QuantumCircuit(blocks.num_qubits, 2)
    closed = dict(blocks.openings)
    for k in order:
        node = blocks.nodes[k]
        for place in zip(node.wires, blocks.stages[k]):
            for part in closed.pop(place, ()):
                append_part(circuit, blocks.parts[part], place[0], point)
        append_codes(circuit, node.codes, blocks.parts, node.wires, point)
        if node.fence is not None:
            clbits = [] if node.fence.name != "measure" else [_clbit_of(node.fence)]
            circuit.append(node.fence.operation, list(node.wires[: len(node.fence.qubits)]), clbits)
    for w, chain in enumerate(blocks.trailing):
        for part in chain:
            append_part(circuit, blocks.parts[part], w, point)
    return circuit


def _clbit_of(fence: object) -> int:
    return int(fence.clbits[0]._index)


def assert_same(lowered: Lowered, blocks: BlockCircuit, circuit: QuantumCircuit, point: NDArray[np.float64]) -> None:
    """A circuit on wires is the lowered one, virtual qubit v ending on wire output_wire[v]."""
    values = {placeholder: float(point[0, number]) for placeholder, number in lowered.slots.items()}
    used = {p: values[p] for p in lowered.circuit.parameters}
    found = marked(circuit, {})
    back = QuantumCircuit(blocks.num_qubits)
    back.append(PermutationGate(list(blocks.output_wire)), range(blocks.num_qubits))
    assert Operator(back).compose(found, front=True).equiv(marked(lowered.circuit, used))
