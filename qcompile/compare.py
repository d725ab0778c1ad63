"""compare: one circuit on one device, mapped in four ways and judged with the same yardstick.

- *ideal*: the circuit as written, on a perfect chip with every coupling.
- *trivial*: virtual qubit v on the v-th live qubit, SWAPs along shortest paths.
- *Qiskit O3*: `transpile(optimization_level=3)` on the device's live gates.
- *qcompile*: `qcompile.compile`.

Every mapped circuit is judged by `qcompile.estimate`, at the same parameter values. Qiskit is given bound circuits, one
for each parameter draw, and the mean is shown: that is where it does best (it merges numbers, not symbols).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit import QuantumCircuit, transpile

from qcompile.circuit import CircuitLike, check_device, check_width, read_circuit, written_out
from qcompile.compile import compile
from qcompile.compiled import CompiledCircuit, set_qiskit_layout
from qcompile.cost import Workload, execution_cost
from qcompile.device import Device
from qcompile.estimate import Estimate, estimate
from qcompile.fidelity import METHODS
from qcompile.layout import Layout
from qcompile.lowering import lower
from qcompile.summary import bill_notes, judged_by
from qcompile.values import Values, checked_seed, parameter_draws

if TYPE_CHECKING:
    from rich.table import Table

_ROUTING_PASSES = ("SabreLayout", "SabreSwap", "BasicSwap")


@dataclass(frozen=True)
class Row:
    """One way of mapping; means over the parameter draws. None: not known, or not there.

    Attributes:
        name: "ideal", "trivial", "Qiskit O3" or "qcompile".
        method, uncertainty: how the state fidelity was found, and how far off that may be; of several draws the least
            accurate. As in `Estimate`.
        state_fidelity, hellinger_fidelity, success_probability, breakdown, duration (s): as in `Estimate`.
        two_qubit_gates: native ones; of the ideal circuit as many CX as it decomposes into.
        swaps: inserted by the router.
        depth: of the native circuit.
        qpu_seconds, usd, credits: of one circuit with all shots, as in `Cost`.
        compile_seconds: wall time of one compilation, s.
        hellinger_uncertainty: standard error of the mean, where distributions are sampled.
        by_now: (low, high) of the state fidelity, errors having drifted since the calibration (68 %).
        assumptions: of the bill, the date of the price among them.
    """

    name: str
    state_fidelity: float
    hellinger_fidelity: float | None
    success_probability: float
    two_qubit_gates: float
    swaps: float
    depth: float
    duration: float | None = None
    qpu_seconds: float | None = None
    usd: float | None = None
    compile_seconds: float | None = None
    breakdown: Mapping[str, float] = field(default_factory=dict)
    method: str | None = None
    uncertainty: float | None = None
    hellinger_uncertainty: float | None = None
    credits: float | None = None
    by_now: tuple[float, float] | None = field(default=None, compare=False)
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Comparison:
    """Four ways to map a circuit; prints as a table, in a notebook as HTML.

    Attributes:
        circuit_name, device_name: what was mapped, and onto what.
        shots: of the cost.
        draws: parameter draws that every number is the mean of; 1 where values were given or nothing is symbolic.
        rows: ideal, trivial, Qiskit O3, qcompile.
        compiled: our result, symbolic.
        circuits: row name -> circuit on physical qubits (at the first draw for the two of Qiskit).
        seed, effort: as given to `compare`.
    """

    circuit_name: str
    device_name: str
    shots: int
    draws: int
    rows: tuple[Row, ...]
    compiled: CompiledCircuit
    circuits: Mapping[str, QuantumCircuit]
    seed: int = 0
    effort: str = "normal"

    def __getitem__(self, name: str) -> Row:
        """The row of that name. Raises: KeyError."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r}. Expected one of {[row.name for row in self.rows]}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and names, ready for JSON; times in s."""
        calibrated_at = self.compiled.device.calibrated_at
        return {
            "circuit": self.circuit_name,
            "device": self.device_name,
            "calibrated_at": calibrated_at.isoformat() if calibrated_at else None,
            "shots": self.shots,
            "draws": self.draws,
            "seed": self.seed,
            "effort": self.effort,
            "level": [row.name for row in self.level],
            "rows": [
                asdict(replace(row, breakdown=dict(row.breakdown)))
                | {
                    "by_now": None if row.by_now is None else dict(zip(("low", "high"), row.by_now)),
                    "assumptions": list(row.assumptions),
                }
                for row in self.rows
            ],
        }

    @property
    def level(self) -> tuple[Row, ...]:
        """The mapped rows whose state fidelity is within the uncertainty of the best one's, best first.

        The best one is among them. Drift does not count: every row is of the same chip at the same time.
        """
        mapped = sorted((row for row in self.rows if row.method is not None), key=lambda row: -row.state_fidelity)
        return tuple(
            row
            for row in mapped
            if mapped[0].state_fidelity - row.state_fidelity
            <= max(mapped[0].uncertainty or 0.0, row.uncertainty or 0.0)
        )

    def table(self) -> Table:
        """A rich table; print it with `rich.print`."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(
            title=self._title(), caption="\n".join(self._notes()), title_justify="left", caption_justify="left"
        )
        table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
        for column in _COLUMNS:
            table.add_column(column, justify="left" if column == "mapped by" else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*_cells(row), style="bold" if row.name == "qcompile" else None)
        return table

    def __repr__(self) -> str:
        from rich.console import Console

        console = Console(width=100, color_system=None)
        with console.capture() as text:
            console.print(self.table())
        return text.get()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(c)}</th>" for c in _COLUMNS)
        body = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in _cells(row))}</tr>" for row in self.rows)
        return (
            f"<table><caption>{escape(self._title())}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table><p><small>{'<br>'.join(map(escape, self._notes()))}</small></p>"
        )

    def _notes(self) -> list[str]:
        """What to know to read the table: methods, ties, drift, and what the bills assume."""
        mapped = [row for row in self.rows if row.method is not None]
        notes = [_CAPTION, *judged_by((row.name, row.method, row.uncertainty) for row in mapped)]
        if len(self.level) > 1:
            notes.append(f"Level, within the uncertainty of the method: {', '.join(row.name for row in self.level)}.")
        drifted = [f"{row.name} {row.by_now[0]:.2f}-{row.by_now[1]:.2f}" for row in mapped if row.by_now is not None]
        if drifted:
            since = f"{self.compiled.device.calibrated_at:%Y-%m-%d}"
            notes.append(f"State fidelity by now, after the drift since {since} (68 %): {', '.join(drifted)}.")
        credited = [f"{row.name} {row.credits:,.1f}" for row in mapped if row.credits is not None]
        if credited:
            notes.append(f"Credits: {', '.join(credited)}.")
        if why := self.compiled.estimate.hellinger_note:
            notes.append(f"No Hellinger fidelity: {why}.")
        return [*notes, *bill_notes((row.name, row.assumptions) for row in mapped)]

    def _title(self) -> str:
        mean = f", mean of {self.draws} parameter draws" if self.draws > 1 else ""
        return f"{self.circuit_name} on {self.device_name}, {self.shots} shots{mean}"


_COLUMNS = (
    "mapped by", "state\nfid.", "Hell.\nfid.", "ESP", "2q\ngates", "swap", "depth", "time\nµs", "QPU\ns", "USD",
    "comp.\ns",
)  # fmt: skip
_CAPTION = (
    "State and Hellinger fidelity, success probability (ESP), native two-qubit gates, SWAPs. "
    "Upper bounds: from calibration alone, without crosstalk and leakage."
)


def compare(
    circuit: CircuitLike,
    device: Device,
    *,
    seed: int = 0,
    values: Values = None,
    shots: int = 4096,
    effort: str = "normal",
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Maps a circuit in four ways and judges each by the same estimate.

    Args:
        circuit, seed, values, effort: as for `compile`.
        shots: of the cost.
        progress: called with the name of each row before it is made.
    Raises: as `compile` and `cost`.
    """
    original = written_out(read_circuit(circuit))
    check_device(device)
    check_width(original, device)
    execution_cost(device, 0.0, shots=shots)  # bad shots are refused before any work
    tell = progress or (lambda _: None)
    parameters = tuple(original.parameters)
    seed = checked_seed(seed)
    draws = parameter_draws(parameters, values, seed, original.name)
    bound = [original.assign_parameters(dict(zip(parameters, map(float, draw)))) for draw in draws]
    rows, circuits = [_ideal(original)], {}
    for name, options in (("trivial", _trivial_options(original)), ("Qiskit O3", {"optimization_level": 3})):
        tell(name)
        row, circuits[name] = _transpiled(name, bound, device, shots, seed, options)
        rows.append(row)
    tell("qcompile")
    begin = time.perf_counter()
    compiled = compile(original, device, seed=seed, effort=effort, values=values)
    rows.append(
        _row(
            "qcompile",
            [compiled.circuit],
            [compiled.estimate],
            [time.perf_counter() - begin],
            [compiled.estimate.swaps],
            device,
            shots,
        )
    )
    circuits["qcompile"] = compiled.circuit
    done = (original.name, device.name, shots, len(draws), tuple(rows), compiled, circuits)
    return Comparison(*done, seed=seed, effort=effort)


def _ideal(original: QuantumCircuit) -> Row:
    lowered = lower(original).circuit
    gates = sum(len(i.qubits) == 2 and i.operation.name != "barrier" for i in lowered.data)
    return Row("ideal", 1.0, 1.0, 1.0, gates, 0, original.depth())


def _trivial_options(original: QuantumCircuit) -> dict[str, Any]:
    """Qiskit's options for a mapping without thought: fixed layout, shortest paths, adjacent gates cleaned up."""
    return {"optimization_level": 1, "initial_layout": list(range(original.num_qubits)), "routing_method": "basic"}


def _transpiled(
    name: str, bound: list[QuantumCircuit], device: Device, shots: int, seed: int, options: Mapping[str, Any]
) -> tuple[Row, QuantumCircuit]:
    region = sorted(device.components[0])
    small = _live_region(device, region)
    target = small.target()
    estimates, seconds, swaps, mapped = [], [], [], []
    for circuit in bound:
        count = _SwapCount()
        begin = time.perf_counter()
        mapped.append(
            transpile(circuit, target=target, seed_transpiler=seed, num_processes=1, callback=count, **options)
        )
        seconds.append(time.perf_counter() - begin)
        swaps.append(count.inserted)
        estimates.append(estimate(mapped[-1], small))
    return _row(name, mapped, estimates, seconds, swaps, device, shots), _on_device(mapped[0], bound[0], region, device)


def _live_region(device: Device, region: list[int]) -> Device:
    """The device cut down to some qubits, renumbered, and to gates without a limited angle, as `compile` uses it.

    Qiskit places parts of a circuit on regions that nothing joins, fails on some disconnected targets, and emits
    fractional RZZ at angles that no chip takes.
    """
    position = {q: i for i, q in enumerate(region)}
    return replace(
        device,
        qubits=tuple(device.qubits[q] for q in region),
        gates={
            (name, tuple(position[q] for q in qubits)): gate
            for (name, qubits), gate in device.gates.items()
            if name not in device.native_gates.fractional and all(q in position for q in qubits)
        },
    )


def _on_device(mapped: QuantumCircuit, original: QuantumCircuit, region: list[int], device: Device) -> QuantumCircuit:
    """A circuit on the qubits of `_live_region`, put back onto the whole chip, with its layout."""
    circuit = QuantumCircuit(device.num_qubits, name=mapped.name)
    circuit.add_bits(mapped.clbits)
    for register in mapped.cregs:
        circuit.add_register(register)
    circuit.compose(mapped, qubits=region, clbits=mapped.clbits, inplace=True)
    start = [region[i] for i in mapped.layout.initial_index_layout(filter_ancillas=True)]
    end = [region[i] for i in mapped.layout.final_index_layout(filter_ancillas=True)]
    left, free = (sorted(set(range(device.num_qubits)) - set(taken)) for taken in (start, end))
    set_qiskit_layout(circuit, original, Layout(tuple(start)), dict(zip([*start, *left], [*end, *free])))
    return circuit


class _SwapCount:
    """A transpiler callback that counts the SWAPs that routing passes insert."""

    def __init__(self) -> None:
        self.inserted = 0
        self._before = 0

    def __call__(self, *, pass_: Any, dag: Any, **_: Any) -> None:
        now = dag.count_ops().get("swap", 0)
        if pass_.name() in _ROUTING_PASSES:
            self.inserted += max(now - self._before, 0)
        self._before = now


def _row(
    name: str,
    circuits: list[QuantumCircuit],
    estimates: list[Estimate],
    seconds: list[float],
    swaps: list[int],
    device: Device,
    shots: int,
) -> Row:
    hellinger = [e.hellinger_fidelity for e in estimates if e.hellinger_fidelity is not None]
    work = Workload.mean(Workload.of(c, device, duration=e.duration) for c, e in zip(circuits, estimates))
    bill = execution_cost(device, work, shots=shots)
    return Row(
        name=name,
        state_fidelity=float(np.mean([e.state_fidelity for e in estimates])),
        hellinger_fidelity=float(np.mean(hellinger)) if len(hellinger) == len(estimates) else None,
        success_probability=float(np.mean([e.success_probability for e in estimates])),
        two_qubit_gates=float(np.mean([e.two_qubit_gates for e in estimates])),
        swaps=float(np.mean(swaps)),
        depth=float(np.mean([e.depth for e in estimates])),
        duration=work.duration,
        qpu_seconds=bill.qpu_seconds,
        usd=bill.usd,
        compile_seconds=float(np.mean(seconds)),
        breakdown={k: float(np.mean([e.breakdown[k] for e in estimates])) for k in estimates[0].breakdown},
        method=min((e.method for e in estimates), key=METHODS.index),
        uncertainty=max(e.uncertainty for e in estimates),
        hellinger_uncertainty=math.hypot(*(e.hellinger_uncertainty for e in estimates)) / len(estimates)
        if len(hellinger) == len(estimates)
        else None,
        credits=bill.credits,
        by_now=tuple(np.mean([e.interval() for e in estimates], axis=0).tolist()),
        assumptions=bill.assumptions,
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.state_fidelity:.3f}",
        _shown(row.hellinger_fidelity, ".3f"),
        f"{row.success_probability:.3f}",
        _count(row.two_qubit_gates),
        _count(row.swaps),
        _count(row.depth),
        _shown(None if row.duration is None else row.duration * 1e6, ".1f"),
        _shown(row.qpu_seconds, ",.2f"),
        _shown(row.usd, ",.2f"),
        _shown(row.compile_seconds, ".2f"),
    )


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _count(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"
