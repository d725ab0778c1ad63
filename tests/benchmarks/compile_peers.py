"""The compilers that ours is measured against, each on the same calibration and at its best documented settings.

- *Qiskit O2*, *O3*: preset pass managers for a Target of live gates with their errors and durations. The pass manager
  is built, and has compiled another circuit for the same Target, before the clock starts.
- *pytket*: the default passes of pytket-qiskit's IBM backend at level 2, with NoiseAwarePlacement (all errors given)
  and CXMappingPass in between, which it had until it took Qiskit's router.
- *QMAP*: heuristic mapper, lookahead of 15 layers, dynamic layout: the best by ESP of its defaults, of 8 bidirectional
  passes, and of its distances summed; the CPU of all three. Its noise-aware heuristic (fidelity_best_location) gave
  longer circuits of lower ESP at 6 and 10 qubits, and no result within a minute on a chip of 156 qubits.

pytket and QMAP get the circuit as one-qubit gates and CX, and their result is finished by Qiskit's O3 on their own
placement (blocks resynthesized, directions, native gates), whose time is not counted: better for them than their own
translation. They run in a process of their own with a time limit, so that they can neither fail nor stall a benchmark.
"""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, generate_preset_pass_manager, transpile

import qcompile
from qcompile.compiled import set_qiskit_layout
from tests.benchmarks.estimate_peers import esp

LIMIT = 120.0
"""Seconds that a peer in its own process may take for one circuit."""


@dataclass(frozen=True)
class Mapped:
    """One compilation.

    Attributes:
        circuit: on `device`'s qubits, native gates, with Qiskit's `.layout`.
        device: as it was given to the compiler.
        cpu: CPU seconds of the compilation.
        build: CPU seconds of what is built once for a device (a pass manager).
    """

    circuit: QuantumCircuit
    device: qcompile.Device
    cpu: float
    build: float = 0.0


class PeerError(Exception):
    """Why a peer has no result, in words for its row."""


def qiskit_runs(circuit: QuantumCircuit, device: qcompile.Device, level: int, seeds: range) -> list[Mapped]:
    """Qiskit's result for each seed."""
    target = device.target()
    small = QuantumCircuit(3)
    small.h(0)
    small.cx([0, 1, 0], [1, 2, 2])
    small.measure_all()
    generate_preset_pass_manager(level, target=target, seed_transpiler=0).run(small)
    found = []
    for seed in seeds:
        begun = time.process_time()
        manager = generate_preset_pass_manager(level, target=target, seed_transpiler=seed)
        built = time.process_time()
        mapped = manager.run(circuit)
        found.append(Mapped(mapped, device, time.process_time() - built, built - begun))
    return found


def _lowered(circuit: QuantumCircuit) -> QuantumCircuit:
    """One-qubit gates and CX, which every tool reads; barriers dropped."""
    plain = transpile(circuit, basis_gates=["u3", "cx"], optimization_level=0)
    plain.data = [i for i in plain.data if i.operation.name != "barrier"]
    return plain


def _finished(mapped: QuantumCircuit, original: QuantumCircuit, device: qcompile.Device) -> QuantumCircuit:
    """Native gates for a circuit on physical qubits; virtual qubit v ends where bit v is measured."""
    wide = QuantumCircuit(device.num_qubits, original.num_clbits)
    for i in mapped.data:
        if i.operation.name != "barrier":
            on = [mapped.find_bit(q).index for q in i.qubits]
            wide.append(i.operation, on, [mapped.find_bit(c).index for c in i.clbits])
    places = list(range(device.num_qubits))
    manager = generate_preset_pass_manager(
        3, target=device.target(), initial_layout=places, routing_method="none", seed_transpiler=0
    )
    native = manager.run(wide)
    ends = {
        native.find_bit(i.clbits[0]).index: native.find_bit(i.qubits[0]).index
        for i in native.data
        if i.operation.name == "measure"
    }
    if sorted(ends) != list(range(original.num_qubits)):
        raise PeerError(f"measures bits {sorted(ends)} of {original.num_qubits}")
    native._layout = None
    set_qiskit_layout(native, original, qcompile.Layout(tuple(ends[v] for v in sorted(ends))), {})
    return native


def _pytket(circuit: QuantumCircuit, device: qcompile.Device) -> Mapped:
    from pytket.architecture import Architecture
    from pytket.circuit import Node
    from pytket.passes import (
        CliffordSimp,
        CXMappingPass,
        DecomposeBoxes,
        FullPeepholeOptimise,
        KAKDecomposition,
        NaivePlacementPass,
        SequencePass,
        SynthesiseTket,
    )
    from pytket.placement import NoiseAwarePlacement
    from pytket.qasm import circuit_from_qasm_str, circuit_to_qasm_str
    from qiskit import qasm2

    begun = time.process_time()
    edges = sorted((min(e), max(e)) for e in device.graph.edges)
    chip = Architecture([(Node(a), Node(b)) for a, b in edges])
    nodes, readouts = {}, {}
    for q, qubit in enumerate(device.qubits):
        errors = [g.error or 0.0 for (name, on), g in device.gates.items() if on == (q,) and name in ("sx", "x")]
        nodes[Node(q)] = float(np.mean(errors or [0.0]))
        readouts[Node(q)] = qubit.readout.error if qubit.readout is not None else 0.0
    links = {(Node(a), Node(b)): device.graph.edges[a, b]["error"] for a, b in edges}
    links |= {(b, a): error for (a, b), error in links.items()}
    passes = SequencePass(
        [
            DecomposeBoxes(),
            FullPeepholeOptimise(),
            CXMappingPass(chip, NoiseAwarePlacement(chip, nodes, links, readouts), directed_cx=False),
            NaivePlacementPass(chip),
            KAKDecomposition(allow_swaps=False),
            CliffordSimp(False),
            SynthesiseTket(),
        ]
    )
    work = circuit_from_qasm_str(qasm2.dumps(_lowered(circuit)))
    built = time.process_time()
    passes.apply(work)
    done = time.process_time()
    text = circuit_to_qasm_str(work, include_gate_defs=None)
    mapped = QuantumCircuit.from_qasm_str(text)
    return Mapped(_finished(mapped, circuit, device), device, done - built, built - begun)


def _qmap(circuit: QuantumCircuit, device: qcompile.Device) -> Mapped:
    from mqt.qmap.plugins.qiskit.sc import compile_  # first: it loads the libraries that mqt.qmap.sc links to
    from mqt.qmap.sc import Architecture, Heuristic, LookaheadHeuristic

    begun = time.process_time()
    couplings = {pair for a, b in device.graph.edges for pair in ((a, b), (b, a))}
    chip = Architecture(device.num_qubits, couplings)
    work = _lowered(circuit)
    built = time.process_time()
    by_sum = {
        "heuristic": Heuristic.gate_count_sum_distance,
        "lookahead_heuristic": LookaheadHeuristic.gate_count_sum_distance,
    }
    options: list[dict[str, Any]] = [{}, {"iterative_bidirectional_routing_passes": 8}, by_sum]
    mapped = [compile_(work, chip, **chosen)[0] for chosen in options]
    done = time.process_time()
    best = max((_finished(m, circuit, device) for m in mapped), key=lambda m: math.prod(esp(m, device)))
    return Mapped(best, device, done - built, built - begun)


_PEERS: dict[str, tuple[str, Callable[[QuantumCircuit, qcompile.Device], Mapped]]] = {
    "pytket": ("pytket", _pytket),
    "QMAP": ("mqt.qmap", _qmap),
}
NAMES = tuple(_PEERS)


def installed(name: str) -> bool:
    """Whether the package of a peer is there."""
    try:
        return importlib.util.find_spec(_PEERS[name][0]) is not None
    except ModuleNotFoundError:
        return False


def _serve(channel: Connection, name: str) -> None:
    while True:
        task = channel.recv()
        try:
            channel.send(_PEERS[name][1](*task))
        except Exception as error:
            channel.send(f"{type(error).__name__}: {error}".split("\n")[0])


class Peer:
    """A compiler in a process of its own, started when it is first needed and anew after it was stopped."""

    def __init__(self, name: str, limit: float = LIMIT) -> None:
        self.name, self.limit = name, limit
        self._process: Any = None
        self._channel: Any = None

    def map(self, circuit: QuantumCircuit, device: qcompile.Device) -> Mapped:
        """Raises: PeerError: not installed, too slow, or whatever the peer raised."""
        if not installed(self.name):
            raise PeerError(f"not installed (pip install {_PEERS[self.name][0]})")
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._channel, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other, self.name), daemon=True)
            self._process.start()
            other.close()
        self._channel.send((circuit, device))
        try:
            if not self._channel.poll(self.limit):
                raise PeerError(f"no result in {self.limit:.0f} s")
            answer = self._channel.recv()
        except (EOFError, PeerError, KeyboardInterrupt) as error:
            self.close()
            if isinstance(error, EOFError):
                raise PeerError("its process died") from error
            raise
        if isinstance(answer, str):
            raise PeerError(answer)
        return answer

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()
            self._process = None
