"""What the routing kernels see: a circuit's blocks and a chip's couplers as flat arrays, prices as -log of survival."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qcompile.blocks import BlockCircuit
from qcompile.channels import gate_noise
from qcompile.device import Device
from qcompile.native_form import native_form
from qcompile.routing.distances import distances

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_PULSES = 1.0  # SX beside each CX on each of its qubits, on average over circuits and native gates


class Blocks(NamedTuple):
    """A circuit's nodes for the kernels; flat stage s of wire w is stage_offsets[w] + its number on the wire.

    Attributes:
        offsets, wires, stages: packed, of node k from offsets[k] to offsets[k + 1]; stages are flat.
        is_block: [node] a block of two wires; else a fence.
        price, swapped: [node] CX alone, and with a SWAP.
        numeric: [node] whether neighbours can be merged into at most three CX.
        stage_offsets: [wire + 1].
        member_offsets, members: nodes of each flat stage.
        near_offsets, near, weight: partners of each wire, and the CX between them.
        read: [wire] 1 where it is measured at the end, else 0.
    """

    offsets: Ints
    wires: Ints
    stages: Ints
    is_block: Bools
    price: Ints
    swapped: Ints
    numeric: Bools
    stage_offsets: Ints
    member_offsets: Ints
    members: Ints
    near_offsets: Ints
    near: Ints
    weight: Floats
    read: Floats


class Chip(NamedTuple):
    """One live region of a chip for the kernels.

    Attributes:
        edge: [qubit, qubit] number of the coupler, -1 where there is none.
        gate: [coupler] -log survival of one CX with the pulses around it.
        time: [coupler] s of one CX.
        ends: [coupler, 2] its qubits.
        distance: [qubit, qubit] price of bringing two qubits together and letting them interact once.
        hops: [qubit, qubit] couplers between two qubits.
        offsets, near: neighbours, packed.
        idle: [qubit] -log survival a second of waiting.
        readout: [qubit] -log survival of a measurement, at the weight that it has.
        unit: median price of a CX.
    """

    edge: Ints
    gate: Floats
    time: Floats
    ends: Ints
    distance: Floats
    hops: Ints
    offsets: Ints
    near: Ints
    idle: Floats
    readout: Floats
    unit: float


def block_arrays(
    circuit: BlockCircuit, measured: Iterable[int], *, backward: bool = False, rotating: bool = False
) -> Blocks:
    """The nodes of a circuit, or of the same circuit run backwards.

    Args:
        measured: wires that are read at the end of the circuit.
        rotating: the chip has RZZ: a rotation by a number is one gate of it.
    """
    width = circuit.num_qubits
    depth = [0] * width
    for node, at in zip(circuit.nodes, circuit.stages):
        for w, s in zip(node.wires, at):
            depth[w] = max(depth[w], s + 1)
    stage_offsets = np.zeros(width + 1, np.int64)
    np.cumsum(depth, out=stage_offsets[1:])
    order = range(len(circuit.nodes) - 1, -1, -1) if backward else range(len(circuit.nodes))
    nodes = [circuit.nodes[k] for k in order]
    wires = [w for node in nodes for w in node.wires]
    stages = [
        int(stage_offsets[w]) + (depth[w] - 1 - s if backward else s)
        for k in order
        for w, s in zip(circuit.nodes[k].wires, circuit.stages[k])
    ]
    offsets = np.zeros(len(nodes) + 1, np.int64)
    np.cumsum([len(node.wires) for node in nodes], out=offsets[1:])
    owner = np.repeat(np.arange(len(nodes)), np.diff(offsets))
    flat = np.array(stages, np.int64)
    by_stage = np.argsort(flat, kind="stable")
    member_offsets = np.zeros(int(stage_offsets[-1]) + 1, np.int64)
    np.cumsum(np.bincount(flat, minlength=int(stage_offsets[-1])), out=member_offsets[1:])
    partners: list[list[tuple[int, int]]] = [[] for _ in range(width)]
    for (a, b), count in sorted(circuit.interactions.items()):
        partners[a].append((b, count))
        partners[b].append((a, count))
    near_offsets = np.zeros(width + 1, np.int64)
    np.cumsum([len(p) for p in partners], out=near_offsets[1:])
    step = -1 if backward else 1
    price = np.where(circuit.rotation, 1, circuit.price) if rotating else circuit.price
    read = np.zeros(width)
    read[list(measured)] = 1.0
    return Blocks(
        offsets=offsets,
        wires=np.array(wires, np.int64),
        stages=flat,
        is_block=np.array([node.fence is None for node in nodes], np.bool_),
        price=np.ascontiguousarray(price[::step]),
        swapped=np.ascontiguousarray(circuit.swapped_price[::step]),
        numeric=np.ascontiguousarray(circuit.mergeable[::step]),
        stage_offsets=stage_offsets,
        member_offsets=member_offsets,
        members=owner[by_stage],
        near_offsets=near_offsets,
        near=np.array([b for p in partners for b, _ in p], np.int64),
        weight=np.array([c for p in partners for _, c in p], np.float64),
        read=read,
    )


@lru_cache(maxsize=64)
def chip_arrays(device: Device, region: frozenset[int], readout_weight: float, waiting_weight: float) -> Chip:
    """One connected live region; qubits outside have no couplers. Weights: of what readout and waiting lose."""
    graph = device.graph.subgraph(region)
    count = device.num_qubits
    edges = sorted((min(a, b), max(a, b)) for a, b in graph.edges)
    edge = np.full((count, count), -1, np.int64)
    gate, time = np.zeros(len(edges)), np.zeros(len(edges))
    form = native_form(device.native_gates)
    name_of_pulse = "sx" if form is None else form.pulse
    pulse = {q: _loss(device, name_of_pulse, (q,)) for q in sorted(region)}
    for e, (a, b) in enumerate(edges):
        edge[a, b] = edge[b, a] = e
        name, pair = graph.edges[a, b]["gate"]
        gate[e] = _loss(device, name, pair) + _PULSES * (pulse[a] + pulse[b])
        time[e] = graph.edges[a, b]["duration"] + _PULSES * max(device.duration(name_of_pulse, (q,)) for q in (a, b))
    near = [sorted(graph.adj[q]) if q in graph else [] for q in range(count)]
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum([len(n) for n in near], out=offsets[1:])
    flat = np.array([q for n in near for q in n], np.int64)
    t1, t2 = np.array([q.relaxation for q in device.qubits]).reshape(-1, 2).T
    readout = np.array([-math.log1p(-min(r.error, 0.999)) if (r := q.readout) else 0.0 for q in device.qubits])
    distance, hops = distances(edge, gate, offsets, flat)
    return Chip(
        edge=edge,
        gate=gate,
        time=time,
        ends=np.array(edges, np.int64).reshape(-1, 2),
        distance=distance,
        hops=hops,
        offsets=offsets,
        near=flat,
        idle=waiting_weight * (1 / t1 + 2 / t2) / 4,
        readout=readout_weight * readout,
        unit=float(np.median(gate)) if len(gate) else 0.0,
    )


def _loss(device: Device, name: str, qubits: tuple[int, ...]) -> float:
    """-log of a gate's mean survival, as a process: what entangled qubits lose."""
    if (name, qubits) not in device.gates:
        return 0.0
    noise = gate_noise(device, name, qubits)[0]
    return -math.log(max(float(np.trace(noise)) / len(noise), 1e-6))
