"""rank: one circuit on every stored chip, judged by what it keeps and what it costs.

Chips are compared in three numbers: state fidelity (more is better), QPU seconds and USD (less is better). A chip is on
the Pareto front if no other dominates it, i.e. is at least as good in all three and better in one. An unknown price is
not a low one and not a high one: a chip without a price neither dominates a priced chip nor is dominated by one; two
chips without a price are compared in the other two numbers. Numbers are compared as they are shown (fidelity to four
digits, time and price to two), so that no chip is on the front for a millisecond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qcompile.calibration import list_devices, load_device
from qcompile.circuit import CircuitLike, read_circuit, written_out
from qcompile.compile import ROUNDS, compile
from qcompile.compiled import CompiledCircuit
from qcompile.cost import checked_runs, cost
from qcompile.device import Device
from qcompile.errors import CalibrationError, CircuitError, InputError, NotExecutableError, UnroutableError
from qcompile.lowering import lower
from qcompile.values import Values, checked_seed, parameter_draws

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from rich.table import Table

Order: TypeAlias = Literal["fidelity", "seconds", "usd"]
ORDERS: tuple[Order, ...] = ("fidelity", "seconds", "usd")

_DAY = 86_400  # s


@dataclass(frozen=True)
class RankedChip:
    """What one chip makes of the circuit; None: not known, or the chip did not take the circuit.

    Attributes:
        name: the device; with the date of its calibration where two snapshots of one device are ranked.
        refusal: why the chip did not take the circuit; None if it did.
        on_front: whether no other chip dominates it.
        calibrated_at: newest date of the calibration.
        age_days: since then; never part of a comparison of results.
        state_fidelity, hellinger_fidelity, success_probability, duration (s), two_qubit_gates: as in `Estimate`.
        method, uncertainty: how state_fidelity was found, and how far off that may be; as in `Estimate`.
        by_now: (low, high) of the state fidelity, errors having drifted since the calibration; as age_days.
        breakdown: cause -> share of -log fidelity.
        qpu_seconds, usd, credits: of all executions, as in `Cost`.
        assumptions: of the bill.
    """

    name: str
    refusal: str | None = None
    on_front: bool = False
    calibrated_at: datetime | None = None
    age_days: float | None = field(default=None, compare=False)
    state_fidelity: float | None = None
    hellinger_fidelity: float | None = None
    success_probability: float | None = None
    two_qubit_gates: int | None = None
    duration: float | None = None
    method: str | None = None
    uncertainty: float | None = None
    by_now: tuple[float, float] | None = field(default=None, compare=False)
    breakdown: Mapping[str, float] = field(default_factory=dict, hash=False)
    qpu_seconds: float | None = None
    usd: float | None = None
    credits: float | None = None
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Ranking:
    """Chips for a circuit; prints as a table, in a notebook as HTML.

    Attributes:
        circuit_name: what was mapped.
        shots, circuits, seed, effort: as given to `rank`.
        chips: best fidelity first (ties: fewer QPU seconds, fewer USD, name), then by name those that refused.
        compiled: name -> the circuit on that chip; not part of a comparison.
    """

    circuit_name: str
    shots: int
    circuits: int
    seed: int
    effort: str
    chips: tuple[RankedChip, ...]
    compiled: Mapping[str, CompiledCircuit] = field(default_factory=dict, compare=False)

    def __getitem__(self, name: str) -> RankedChip:
        """The chip of that name. Raises: KeyError."""
        for chip in self.chips:
            if chip.name == name:
                return chip
        raise KeyError(f"{name!r}. Expected one of {[chip.name for chip in self.chips]}.")

    @property
    def front(self) -> tuple[RankedChip, ...]:
        """The chips that no other dominates, best fidelity first."""
        return tuple(chip for chip in self.chips if chip.on_front)

    @property
    def best(self) -> RankedChip | None:
        """The chip of the highest state fidelity; None where every chip refused."""
        return next((chip for chip in self.chips if chip.refusal is None), None)

    def sorted(self, by: Order = "fidelity") -> Ranking:
        """The same chips in another order; unknown prices after known ones, refusals last.

        Raises: InputError: another word than fidelity, seconds or usd.
        """
        if by not in ORDERS:
            raise InputError(f"order {by!r} is not known. Expected {', '.join(ORDERS)}.")
        return replace(self, chips=tuple(sorted(self.chips, key=lambda chip: _place(chip, by))))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and names, ready for JSON; times in s."""
        return {
            "circuit": self.circuit_name,
            "shots": self.shots,
            "circuits": self.circuits,
            "seed": self.seed,
            "effort": self.effort,
            "best": self.best.name if self.best else None,
            "front": [chip.name for chip in self.front],
            "chips": [
                asdict(replace(chip, breakdown=dict(chip.breakdown)))
                | {
                    "calibrated_at": chip.calibrated_at.isoformat() if chip.calibrated_at else None,
                    "assumptions": list(chip.assumptions),
                    "by_now": None if chip.by_now is None else dict(zip(("low", "high"), chip.by_now)),
                }
                for chip in self.chips
            ],
        }

    def table(self) -> Table:
        """A rich table; print it with `rich.print`."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        caption = "\n".join([_CAPTION, *(f"{chip.name}: {chip.refusal}" for chip in self.chips if chip.refusal)])
        table = Table(title=self._title(), caption=caption, title_justify="left", caption_justify="left")
        table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
        columns = _COLUMNS if any(chip.credits is not None for chip in self.chips) else _COLUMNS[:-1]
        for column in columns:
            table.add_column(column, justify="left" if column in ("", "chip") else "right", no_wrap=True)
        for chip in self.chips:
            style = "dim" if chip.refusal else "bold" if chip.on_front else None
            table.add_row(*_cells(chip)[: len(columns)], style=style)
        return table

    def __repr__(self) -> str:
        from rich.console import Console

        console = Console(width=110, color_system=None)
        with console.capture() as text:
            console.print(self.table())
        return text.get()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(c)}</th>" for c in (*_COLUMNS, "why not"))
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in (*_cells(chip), chip.refusal or ''))}</tr>"
            for chip in self.chips
        )
        return (
            f"<table><caption>{escape(self._title())}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table><p><small>{escape(_CAPTION)}</small></p>"
        )

    def _title(self) -> str:
        runs = f"{self.shots} shots" + (f" of {self.circuits} circuits" if self.circuits > 1 else "")
        return f"{self.circuit_name}, {runs}, effort {self.effort}, seed {self.seed}"


_COLUMNS = (
    "", "chip", "age\ndays", "state\nfid.", "by now\n68 %", "Hell.\nfid.", "ESP", "2q\ngates", "time\nµs", "QPU\ns",
    "USD", "credits",
)  # fmt: skip
_CAPTION = (
    "* on the Pareto front: no other chip is as good in state fidelity, QPU time and price, and better in one.\n"
    "By now: where the fidelity lies after the drift since the calibration. A chip without a price is not compared\n"
    "with priced ones. Fidelities are upper bounds, from calibration alone."
)


def rank(
    circuit: CircuitLike,
    devices: Sequence[Device | str | Path] | None = None,
    *,
    seed: int = 0,
    values: Values = None,
    effort: str = "fast",
    shots: int = 4096,
    circuits: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
    now: datetime | None = None,
) -> Ranking:
    """Compiles a circuit for chips, estimates and prices the results.

    A chip that cannot take the circuit (too few live qubits, an unreadable file, too many shots, an instruction that it
    does not run) stays in the ranking with the reason.

    Args:
        circuit, seed, values, effort: as for `compile`.
        devices: chips, names of stored ones or paths of files; None: the newest snapshot of every stored chip.
        shots, circuits: of the cost.
        progress: called before each chip with (chips done, chips in all, name).
        now: timezone-aware present, for the age of calibrations; default: the clock.
    Raises: CircuitError, UnknownDeviceError, InputError: what is wrong whatever the chip; before anything is compiled.
    """
    checked_runs(None, shots, circuits)
    if effort not in ROUNDS:
        raise InputError(f"effort = {effort!r}. Expected one of {', '.join(ROUNDS)}.")
    seed = checked_seed(seed)
    original = read_circuit(circuit)
    parameter_draws(tuple(original.parameters), values, seed, original.name)
    lower(written_out(original))
    chosen = _chosen(devices)
    chips: list[RankedChip] = []
    compiled: dict[str, CompiledCircuit] = {}
    for done, (name, device) in enumerate(chosen):
        if progress:
            progress(done, len(chosen), name)
        if isinstance(device, CalibrationError):
            chips.append(RankedChip(name, refusal=str(device)))
            continue
        blank = RankedChip(name, calibrated_at=device.calibrated_at, age_days=device.age(now).total_seconds() / _DAY)
        try:
            mapped = _mapped(original, device, seed, effort, values, shots)
        except (UnroutableError, NotExecutableError, CalibrationError, CircuitError, _TooManyShotsError) as error:
            chips.append(replace(blank, refusal=str(error)))
            continue
        compiled[name] = mapped
        chips.append(_judged(blank, mapped, shots, circuits, now))
    on_front = pareto_front([_point(chip) for chip in chips])
    marked = [replace(chip, on_front=good) for chip, good in zip(chips, on_front)]
    return Ranking(original.name, int(shots), int(circuits), int(seed), effort, tuple(marked), compiled).sorted()


Point: TypeAlias = tuple[float, float, float | None]
"""(state fidelity, QPU seconds, USD or None)."""


def dominates(a: Point, b: Point) -> bool:
    """Whether a is at least as good as b in every number and better in one; never where one price alone is known."""
    (fidelity, seconds, usd), (other_fidelity, other_seconds, other_usd) = a, b
    if (usd is None) != (other_usd is None):
        return False
    ours, theirs = (-fidelity, seconds, usd or 0.0), (-other_fidelity, other_seconds, other_usd or 0.0)
    return ours != theirs and all(x <= y for x, y in zip(ours, theirs))


def pareto_front(points: Sequence[Point | None]) -> tuple[bool, ...]:
    """Which points no other dominates; None is never on the front."""
    there = [point for point in points if point is not None]
    return tuple(point is not None and not any(dominates(other, point) for other in there) for point in points)


class _TooManyShotsError(InputError):
    """More shots than this chip takes: wrong for this chip only."""


def _chosen(devices: Sequence[Device | str | Path] | None) -> list[tuple[str, Device | CalibrationError]]:
    """(name, chip or why it cannot be read), names all different."""
    if isinstance(devices, str | Path | Device):
        raise InputError(
            f"devices is a {type(devices).__name__}. Expected a list of devices or names, or None for all."
        )
    sources: list[tuple[str, Device | str | Path]]
    if devices is None:
        newest = {stored.name: stored for stored in list_devices()}  # sorted by date: the last one stays
        sources = [(stored.name, stored.path) for stored in newest.values()]
    else:
        sources = [(d.name if isinstance(d, Device) else str(d), d) for d in devices]
    if not sources:
        raise InputError("devices is empty. Expected at least one device, or None for all stored ones.")
    read = [(name, _read(source)) for name, source in sources]
    names = [found.name if isinstance(found, Device) else name for name, found in read]
    often = Counter(names)
    chosen = []
    for name, (_, found) in zip(names, read):
        dated = f"_{found.calibrated_at:%Y-%m-%d}" if isinstance(found, Device) and often[name] > 1 else ""
        chosen.append((name + dated, found))
    twice = [name for name, count in Counter(name for name, _ in chosen).items() if count > 1]
    if twice:
        raise InputError(f"devices names {twice[0]} twice. Expected different chips or snapshots; remove one.")
    return chosen


def _read(source: Device | str | Path) -> Device | CalibrationError:
    if isinstance(source, Device):
        return source
    try:
        return load_device(source)
    except CalibrationError as error:
        return error


def _mapped(
    original: QuantumCircuit, device: Device, seed: int, effort: str, values: Values, shots: int
) -> CompiledCircuit:
    try:
        checked_runs(device, shots)
    except InputError as error:
        raise _TooManyShotsError(str(error)) from None
    return compile(original, device, seed=seed, effort=effort, values=values)


def _judged(chip: RankedChip, mapped: CompiledCircuit, shots: int, circuits: int, now: datetime | None) -> RankedChip:
    found, bill = mapped.estimate, cost(mapped, shots, circuits)
    return replace(
        chip,
        method=found.method,
        uncertainty=found.uncertainty,
        by_now=found.interval(now),
        state_fidelity=found.state_fidelity,
        hellinger_fidelity=found.hellinger_fidelity,
        success_probability=found.success_probability,
        two_qubit_gates=found.two_qubit_gates,
        duration=found.duration,
        breakdown=dict(found.breakdown),
        qpu_seconds=bill.qpu_seconds,
        usd=bill.usd,
        credits=bill.credits,
        assumptions=bill.assumptions,
    )


def _point(chip: RankedChip) -> Point | None:
    """A chip's numbers as they are shown."""
    if chip.state_fidelity is None or chip.qpu_seconds is None:
        return None
    usd = None if chip.usd is None else round(chip.usd, 2)
    return round(chip.state_fidelity, 4), round(chip.qpu_seconds, 2), usd


def _place(chip: RankedChip, by: Order) -> tuple[Any, ...]:
    point = _point(chip)
    if point is None:
        return (1, chip.name)
    fidelity, seconds, usd = -point[0], point[1], (point[2] is None, point[2] or 0.0)
    first = {"fidelity": fidelity, "seconds": seconds, "usd": usd}[by]
    return (0, first, fidelity, seconds, usd, chip.name)


def _cells(chip: RankedChip) -> tuple[str, ...]:
    return (
        "*" if chip.on_front else "",
        chip.name,
        _shown(chip.age_days, ".0f"),
        _shown(chip.state_fidelity, ".4f"),
        "-" if chip.by_now is None else "{:.2f}-{:.2f}".format(*chip.by_now),
        _shown(chip.hellinger_fidelity, ".4f"),
        _shown(chip.success_probability, ".4f"),
        _shown(chip.two_qubit_gates, "d"),
        _shown(None if chip.duration is None else chip.duration * 1e6, ".1f"),
        _shown(chip.qpu_seconds, ".2f"),
        _shown(chip.usd, ",.2f"),
        _shown(chip.credits, ",.1f"),
    )


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
