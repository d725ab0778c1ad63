"""rank: one circuit on every stored chip, judged by what it keeps and what it costs.

Chips are compared in three numbers: state fidelity (more is better), QPU seconds and USD (less is better), as they are
shown (fidelity to three digits, time and price to two); `pareto` says when one chip beats another. A lead in fidelity
may be none by now: chips whose interval of fidelity, after the drift since the calibration and with the uncertainty of
the method, overlaps that of the best one are *level* with it.
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
from qcompile.pareto import Point, dominates, pareto_front
from qcompile.prices import prices
from qcompile.summary import bill_notes, judged_by
from qcompile.values import Values, checked_seed, parameter_draws

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from rich.table import Table

__all__ = ["ORDERS", "Order", "Point", "RankedChip", "Ranking", "dominates", "pareto_front", "rank"]

Order: TypeAlias = Literal["fidelity", "seconds", "usd"]
ORDERS: tuple[Order, ...] = ("fidelity", "seconds", "usd")

_DAY = 86_400  # s


@dataclass(frozen=True)
class RankedChip:
    """What one chip makes of the circuit; None: not known, or the chip did not take the circuit.

    Attributes:
        name: the device; with the date of its calibration where two snapshots of one device are ranked.
        refusal: why the chip did not take the circuit; None if it did.
        on_front: whether no other chip beats it (`qcompile.pareto`).
        calibrated_at: newest date of the calibration.
        age_days: since then; never part of a comparison of results.
        state_fidelity, hellinger_fidelity, success_probability, duration (s), two_qubit_gates: as in `Estimate`.
        method, uncertainty: how state_fidelity was found, and how far off that may be; as in `Estimate`.
        hellinger_uncertainty, hellinger_note: as in `Estimate`.
        by_now: (low, high) of the state fidelity, errors having drifted since the calibration; as age_days.
        breakdown: cause -> share of -log fidelity.
        qpu_seconds, usd, credits, jobs: of all executions, as in `Cost`.
        assumptions: of the bill, the date of the price among them.
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
    jobs: int | None = None
    hellinger_uncertainty: float | None = None
    hellinger_note: str = ""


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
        """The chips that no other beats, best fidelity first."""
        return tuple(chip for chip in self.sorted().chips if chip.on_front)

    @property
    def best(self) -> RankedChip | None:
        """The chip of the highest state fidelity, whatever the order; None where every chip refused."""
        return next((chip for chip in self.sorted().chips if chip.refusal is None), None)

    @property
    def level(self) -> tuple[RankedChip, ...]:
        """The chips whose state fidelity may be the best one's by now, best first: their intervals `by_now` overlap.

        The intervals hold with 68 %. The best one is among them. Empty where every chip refused.
        """
        best = self.best
        if best is None or best.by_now is None:
            return () if best is None else (best,)
        low = best.by_now[0]
        return tuple(chip for chip in self.sorted().chips if chip.by_now is not None and chip.by_now[1] >= low)

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
            "level": [chip.name for chip in self.level],
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

        refusals = [f"{chip.name}: {chip.refusal}" for chip in self.chips if chip.refusal]
        caption = "\n".join([*self._notes(), *refusals])
        table = Table(title=self._title(), caption=caption, title_justify="left", caption_justify="left")
        table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
        rows = {chip.name: self._cells(chip) for chip in self.chips}
        credited = any(chip.credits is not None for chip in self.chips)
        left_out = ("ESP", "Hell.\nfid.") if credited else ("ESP", "credits")  # a terminal has 80 columns
        shown = [i for i, column in enumerate(_COLUMNS) if column not in left_out]
        for i in shown:  # where it is narrow still, names are folded, but no digit is lost
            is_name = _COLUMNS[i] == "chip"
            table.add_column(_COLUMNS[i], justify="left" if i < 2 else "right", no_wrap=not is_name, overflow="fold")
        for chip in self.chips:
            style = "dim" if chip.refusal else "bold" if chip.on_front else None
            table.add_row(*(rows[chip.name][i] for i in shown), style=style)
        return table

    def __repr__(self) -> str:
        from rich.console import Console

        console = Console(width=110, color_system=None)
        with console.capture() as text:
            console.print(self.table())
        return text.get()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(c)}</th>" for c in (*_COLUMNS, "found by", "±", "why not"))
        lines = [
            (*self._cells(chip), chip.method or "-", _shown(chip.uncertainty, ".3f"), chip.refusal or "")
            for chip in self.chips
        ]
        body = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in line)}</tr>" for line in lines)
        return (
            f"<table><caption>{escape(self._title())}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table><p><small>{'<br>'.join(map(escape, self._notes()))}</small></p>"
        )

    def _notes(self) -> list[str]:
        """What to know to read the table: marks, methods, and what the bills assume, by chip where not by all."""
        taken = [chip for chip in self.chips if chip.refusal is None]
        why = [f"No Hellinger fidelity: {note}." for note in sorted({c.hellinger_note for c in taken} - {""})]
        methods = judged_by((chip.name, chip.method, chip.uncertainty) for chip in taken)
        return [_CAPTION, *methods, *why, *bill_notes((chip.name, chip.assumptions) for chip in taken)]

    def _cells(self, chip: RankedChip) -> tuple[str, ...]:
        level = {c.name for c in self.level} - {self.best.name if self.best else ""}
        return (
            ("*" if chip.on_front else "") + ("≈" if chip.name in level else ""),
            chip.name,
            _shown(chip.age_days, ".0f"),
            _shown(chip.state_fidelity, ".3f"),
            "-" if chip.by_now is None else "{:.2f}-{:.2f}".format(*chip.by_now),
            _shown(chip.hellinger_fidelity, ".3f"),
            _shown(chip.success_probability, ".3f"),
            _shown(chip.two_qubit_gates, "d"),
            _shown(None if chip.duration is None else chip.duration * 1e6, ".1f"),
            _shown(chip.qpu_seconds, ",.2f"),
            _shown(chip.usd, ",.2f"),
            _shown(chip.credits, ",.1f"),
        )

    def _title(self) -> str:
        runs = f"{self.shots} shots" + (f" of {self.circuits} circuits" if self.circuits > 1 else "")
        return f"{self.circuit_name}, {runs}, effort {self.effort}, seed {self.seed}"


_COLUMNS = (
    "", "chip", "age\ndays", "state\nfid.", "by now\n68 %", "Hell.\nfid.", "ESP", "2q\ngates", "time\nµs", "QPU\ns",
    "USD", "credits",
)  # fmt: skip
_CAPTION = (
    "* on the Pareto front: no chip of at least its state fidelity takes at most 1 % more QPU time and money. "
    "≈ state fidelity level with the best: it may be as high by now. "
    "By now: where it lies after the drift since the calibration (68 %). "
    "State fidelity leaves readout out, Hellinger fidelity has it in. A chip without a price is not compared with "
    "priced ones. Fidelities are upper bounds, from calibration alone."
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
        CalibrationError: a broken price file; before, too.
    """
    checked_runs(None, shots, circuits)
    if effort not in ROUNDS:
        raise InputError(f"effort = {effort!r}. Expected one of {', '.join(ROUNDS)}.")
    seed = checked_seed(seed)
    original = read_circuit(circuit)
    parameter_draws(tuple(original.parameters), values, seed, original.name)
    lower(written_out(original))
    prices()  # a broken price file is refused now, not when the first chip asks it
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
        jobs=bill.jobs,
        hellinger_uncertainty=None if found.hellinger_fidelity is None else found.hellinger_uncertainty,
        hellinger_note=found.hellinger_note,
    )


def _point(chip: RankedChip) -> Point | None:
    """A chip's numbers as they are shown."""
    if chip.state_fidelity is None or chip.qpu_seconds is None:
        return None
    usd = None if chip.usd is None else round(chip.usd, 2)
    return round(chip.state_fidelity, 3), round(chip.qpu_seconds, 2), usd


def _place(chip: RankedChip, by: Order) -> tuple[Any, ...]:
    point = _point(chip)
    if point is None:
        return (1, chip.name)
    fidelity, seconds, usd = -point[0], point[1], (point[2] is None, point[2] or 0.0)
    first = {"fidelity": fidelity, "seconds": seconds, "usd": usd}[by]
    return (0, first, fidelity, seconds, usd, chip.name)


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
