"""Device: one calibration snapshot of one chip, never mutated.

Times are in seconds, errors are average gate infidelities. Qubits are numbered 0..n-1; a vendor's own label is
`Qubit.label`. What the vendor published is kept as it is (T2 above 2*T1 too); `relaxation` clamps for simulation.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any

import networkx as nx
from qiskit.circuit import Delay, Measure, Parameter, Reset
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

from qcompile.device_checks import check, judged_qubits
from qcompile.errors import CalibrationError
from qcompile.pricing import Pricing

__all__ = [
    "ENTANGLING", "Device", "Gate", "GateKey", "Limits", "NativeGates", "Pricing", "Qubit", "Readout", "Source",
    "Timing",
]  # fmt: skip

GateKey = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Readout:
    """Two-sided readout error of one qubit.

    Attributes:
        p1_given_0: probability of reading 1 when 0 was prepared.
        p0_given_1: probability of reading 0 when 1 was prepared.
        duration: length of a measurement, s; None if unknown.
    """

    p1_given_0: float
    p0_given_1: float
    duration: float | None = None

    @property
    def error(self) -> float:
        """Mean of the two sides."""
        return (self.p1_given_0 + self.p0_given_1) / 2


@dataclass(frozen=True)
class Qubit:
    """One qubit as calibrated.

    Attributes:
        label: the vendor's own name.
        t1, t2: relaxation and dephasing time, s, as published; None if unknown.
        readout: None where the vendor published no readout error.
        usable: False if its measurement, or a gate of its native form (rz, sx, x; or r; or u), is dead.
        calibrated_at: when its values were measured, where they have a date of their own.
    """

    label: str
    t1: float | None = None
    t2: float | None = None
    readout: Readout | None = None
    usable: bool = True
    calibrated_at: datetime | None = None

    @property
    def relaxation(self) -> tuple[float, float]:
        """(T1, T2) as a simulation uses them: T2 clamped to 2*T1, infinite where unknown; s."""
        t1 = math.inf if self.t1 is None else self.t1
        t2 = math.inf if self.t2 is None else self.t2
        return t1, min(t2, 2 * t1)


@dataclass(frozen=True)
class Gate:
    """One native gate on given qubits: average gate infidelity, duration in s, and whether it may be used."""

    error: float | None
    duration: float | None
    usable: bool = True
    calibrated_at: datetime | None = None


@dataclass(frozen=True)
class NativeGates:
    """Names of the gates a chip runs.

    Attributes:
        one_qubit: every one-qubit gate, virtual ones included.
        two_qubit: the entangling gates that a circuit is built from (cx, ecr, cz).
        virtual: those that are a change of frame: no error, no duration.
        fractional: gates with a continuous angle of limited range (rx, rzz); judged alone, never make an edge.
    """

    one_qubit: tuple[str, ...]
    two_qubit: tuple[str, ...]
    virtual: tuple[str, ...] = ()
    fractional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timing:
    """The chip's clock. dt, rep_delay, reset in s; granularity, min_length and the alignments in units of dt."""

    dt: float | None = None
    granularity: int = 1
    min_length: int = 1
    pulse_alignment: int = 1
    acquire_alignment: int = 1
    rep_delay: float | None = None
    rep_delay_range: tuple[float, float] | None = None
    reset: float | None = None


@dataclass(frozen=True)
class Limits:
    """What the service accepts in one job; None where it states no limit."""

    max_shots: int | None = None
    max_executions_per_job: int | None = None
    max_2q_gates_per_job: int | None = None
    max_payload_bytes: int | None = None
    mid_circuit: bool = True
    control_flow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where a snapshot came from: kind (package, backend, synthetic), reference, licence, sha256 of the raw files."""

    kind: str
    ref: str
    license: str = ""
    url: str = ""
    sha256: str = ""


ENTANGLING = ("cx", "cy", "cz", "ch", "ecr")
"""Two-qubit gates that are CX up to one-qubit gates: what circuits are built from."""

_UNKNOWN_DURATION = 0.0  # s; what a gate without a published duration counts in schedules


@dataclass(frozen=True, eq=False)
class Device:
    """One calibration snapshot of one chip.

    Attributes:
        name, vendor: e.g. "ibm_guadalupe", "ibm".
        calibrated_at: newest date in the snapshot; timezone-aware.
        qubits: position is the qubit's index. One whose measurement or native form is dead is made unusable.
        gates: (gate name, qubit indices in gate order) -> Gate. Directed as published.
        native_gates, timing, limits, pricing, source: see the types.
        notes: what the loader repaired or dropped, in words.

    Raises: CalibrationError on construction where a value breaks a rule of the schema.
    """

    name: str
    vendor: str
    calibrated_at: datetime
    qubits: tuple[Qubit, ...]
    gates: Mapping[GateKey, Gate]
    native_gates: NativeGates
    timing: Timing = field(default_factory=Timing)
    limits: Limits = field(default_factory=Limits)
    pricing: Pricing | None = None
    source: Source = field(default_factory=lambda: Source("unknown", ""))
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "gates", MappingProxyType(dict(self.gates)))
        check(self)
        object.__setattr__(self, "qubits", judged_qubits(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # a mappingproxy does not pickle; the cached graph need not travel
        values = [getattr(self, f.name) for f in fields(self)]
        values[4] = dict(self.gates)
        return Device, tuple(values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Device):
            return NotImplemented
        if self is other or hash(self) != hash(other):
            return self is other
        if self._fingerprint == other._fingerprint:
            return True
        return all(getattr(self, f.name) == getattr(other, f.name) for f in fields(self))  # 1 and 1.0 are equal

    @cached_property
    def _fingerprint(self) -> str:
        """Of every field. Caches are keyed by devices: two equal snapshots are compared at each of their lookups."""
        others = [getattr(self, f.name) for f in fields(self) if f.name != "gates"]
        text = repr((others, sorted(self.gates.items(), key=lambda item: item[0])))
        return hashlib.sha256(text.encode()).hexdigest()

    def __hash__(self) -> int:
        return hash((self.name, self.sha256))

    def __repr__(self) -> str:
        g = self.graph
        return (
            f"Device({self.name!r}, {self.num_qubits} qubits, {g.number_of_edges()} live couplers, "
            f"{'/'.join(self.native_gates.two_qubit) or 'no two-qubit gate'}, {self.calibrated_at:%Y-%m-%d})"
        )

    @property
    def num_qubits(self) -> int:
        """Qubits of the chip, dead ones included."""
        return len(self.qubits)

    @cached_property
    def graph(self) -> nx.Graph[int]:
        """Live couplings: usable qubits; an edge has `error`, `duration` (s) and `gate`, its best live gate's key.

        Where a chip has gates of the kind of CX and others (a native SWAP), the others make no edge.
        """
        native = self.native_gates.two_qubit
        makes_edges = set(ENTANGLING).intersection(native) or set(native)
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(q for q, qubit in enumerate(self.qubits) if qubit.usable)
        for key, gate in sorted(self.gates.items()):
            name, pair = key
            if name not in makes_edges or not self.is_live(name, pair) or gate.error is None:
                continue
            known = graph.edges.get(pair)
            if known is None or gate.error < known["error"]:
                graph.add_edge(*pair, error=gate.error, duration=gate.duration or _UNKNOWN_DURATION, gate=key)
        return nx.freeze(graph)

    @cached_property
    def components(self) -> tuple[frozenset[int], ...]:
        """Live connected regions, largest first."""
        found = sorted(nx.connected_components(self.graph), key=lambda c: (-len(c), min(c)))
        return tuple(frozenset(c) for c in found)

    def is_live(self, name: str, qubits: tuple[int, ...]) -> bool:
        """Whether a calibrated gate is there, not dead (error 1), and all of its qubits are usable."""
        gate = self.gates.get((name, qubits))
        return gate is not None and gate.usable and gate.error != 1 and all(self.qubits[q].usable for q in qubits)

    def duration(self, name: str, qubits: tuple[int, ...]) -> float:
        """Duration in s of a native gate, measurement or reset; 0 for a virtual gate and where none is published."""
        if name in self.native_gates.virtual:
            return 0.0
        if name == "measure":
            readout = self.qubits[qubits[0]].readout
            return (readout.duration if readout else None) or _UNKNOWN_DURATION
        if name == "reset" and ("reset", qubits) not in self.gates:
            return self.timing.reset or _UNKNOWN_DURATION
        gate = self.gates.get((name, qubits))
        return (gate.duration if gate else None) or _UNKNOWN_DURATION

    @cached_property
    def sha256(self) -> str:
        """Hash of the physics: qubits, gates, native gates, timing; not name, date, notes, source or price."""
        payload = {
            "qubits": [
                [q.label, _float(q.t1), _float(q.t2), q.usable]
                + ([float(r.p1_given_0), float(r.p0_given_1), _float(r.duration)] if (r := q.readout) else [])
                for q in self.qubits
            ],
            "gates": [
                [n, list(p), _float(g.error), _float(g.duration), g.usable] for (n, p), g in sorted(self.gates.items())
            ],
            "native_gates": [
                sorted(getattr(self.native_gates, k)) for k in ("one_qubit", "two_qubit", "virtual", "fractional")
            ],
            "timing": [
                [*map(float, value)] if isinstance(value, tuple) else _float(value)
                for value in (getattr(self.timing, f.name) for f in fields(self.timing))
            ],
        }
        return hashlib.sha256(json.dumps(payload, separators=(",", ":")).encode()).hexdigest()

    def age(self, now: datetime | None = None) -> timedelta:
        """Time since the calibration. `now` must be timezone-aware; default: the present."""
        return (now or datetime.now(UTC)) - self.calibrated_at

    def target(self) -> Target:
        """A Qiskit Target of live gates only, with T2 clamped to 2*T1.

        It has measure, delay and reset on every usable qubit; readout error is the mean of the two sides,
        which is all a Target can hold.
        """
        properties = []
        for qubit in self.qubits:
            t1, t2 = qubit.relaxation
            properties.append(QubitProperties(t1=None if math.isinf(t1) else t1, t2=None if math.isinf(t2) else t2))
        target = Target(num_qubits=self.num_qubits, dt=self.timing.dt, qubit_properties=properties)
        library = get_standard_gate_name_mapping()
        by_name: dict[str, dict[tuple[int, ...], InstructionProperties]] = {}
        for (name, qubits), gate in self.gates.items():
            if name in library and name not in ("measure", "reset", "delay") and self.is_live(name, qubits):
                by_name.setdefault(name, {})[qubits] = InstructionProperties(duration=gate.duration, error=gate.error)
        for name, entries in by_name.items():
            target.add_instruction(library[name], entries, name=name)
        usable = [q for q, qubit in enumerate(self.qubits) if qubit.usable]
        target.add_instruction(
            Measure(),
            {
                (q,): InstructionProperties(
                    duration=self.duration("measure", (q,)), error=r.error if (r := self.qubits[q].readout) else None
                )
                for q in usable
            },
        )
        target.add_instruction(
            Reset(), {(q,): InstructionProperties(duration=self.duration("reset", (q,))) for q in usable}
        )
        target.add_instruction(Delay(Parameter("t")), {(q,): InstructionProperties() for q in usable})
        return target

    @staticmethod
    def from_backend(backend: Any) -> Device:
        """Snapshot of a Qiskit backend: an IBM backend (live or fake) with its properties, any other by its Target."""
        from qcompile import vendors

        return vendors.from_backend(backend)

    @staticmethod
    def from_target(target: Target, *, name: str = "target", vendor: str = "custom") -> Device:
        """Snapshot of a Qiskit Target. A Target holds one symmetric readout error a qubit and no dates: noted."""
        from qcompile import vendors

        return vendors.from_target(target, name=name, vendor=vendor)

    @classmethod
    def from_coupling(
        cls,
        edges: Iterable[tuple[int, int]],
        *,
        native_gate: str = "cx",
        two_qubit_error: float = 1e-2,
        one_qubit_error: float = 1e-4,
        readout_error: float = 1e-2,
        t1: float | None = 1e-4,
        t2: float | None = 1e-4,
        two_qubit_duration: float = 3e-7,
        one_qubit_duration: float = 3.5e-8,
        readout_duration: float = 1e-6,
        rep_delay: float = 2.5e-4,
        num_qubits: int | None = None,
        name: str = "uniform",
    ) -> Device:
        """A uniform chip: the same numbers on every qubit and on every coupler, in both directions.

        Args:
            edges: couplers; (0, 1) and (1, 0) are the same one.
            native_gate: "cx", "cz", "ecr", or another of `ENTANGLING`.
            t1, t2: s; None for a chip that does not decay.
            num_qubits: default: the largest index in `edges` plus one.
        Raises: CalibrationError: a self loop, a negative index, an unknown gate, or a value out of its range.
        """
        if native_gate not in ENTANGLING:
            raise CalibrationError(f"{name}: native_gate = {native_gate!r}. Expected one of {', '.join(ENTANGLING)}.")
        pairs = sorted({(min(a, b), max(a, b)) for a, b in edges})
        count = max((b + 1 for _, b in pairs), default=0) if num_qubits is None else num_qubits
        gates: dict[GateKey, Gate] = {}
        for q in range(count):
            gates["rz", (q,)] = Gate(0.0, 0.0)
            for one in ("id", "sx", "x"):
                gates[one, (q,)] = Gate(one_qubit_error, one_qubit_duration)
        for a, b in pairs:
            gates[native_gate, (a, b)] = gates[native_gate, (b, a)] = Gate(two_qubit_error, two_qubit_duration)
        readout = Readout(readout_error, readout_error, readout_duration)
        return cls(
            name=name,
            vendor="synthetic",
            calibrated_at=datetime(2000, 1, 1, tzinfo=UTC),
            qubits=tuple(Qubit(str(q), t1, t2, readout) for q in range(count)),
            gates=gates,
            native_gates=NativeGates(("id", "rz", "sx", "x"), (native_gate,), ("rz",)),
            timing=Timing(rep_delay=rep_delay),
            source=Source("synthetic", "Device.from_coupling"),
        )


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)  # 0 and 0.0 are the same physics
