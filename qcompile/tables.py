"""What the command lines print: devices, estimates and costs as rich tables, and the same as plain values for JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from qcompile.calibration import StoredDevice
from qcompile.compiled import CompiledCircuit
from qcompile.cost import Cost, price_for
from qcompile.device import Device
from qcompile.estimate import Estimate
from qcompile.native_form import native_form
from qcompile.staleness import LEVEL
from qcompile.summary import CAPTION, CAUSES, bill_notes, estimate_lines

if TYPE_CHECKING:
    from qcompile.compare import Comparison
    from qcompile.expectation import ExpectationError


def device_values(device: Device) -> dict[str, Any]:
    """What is worth knowing of a calibration; times in s, errors as average gate infidelities."""
    two_qubit = [device.graph.edges[edge]["error"] for edge in device.graph.edges]
    form = native_form(device.native_gates)
    pulses = ("sx", "x") if form is None else form.pulses
    one_qubit = [
        gate.error
        for (name, qubits), gate in device.gates.items()
        if name in pulses and gate.error is not None and device.is_live(name, qubits)
    ]
    return {
        "name": device.name,
        "vendor": device.vendor,
        "calibrated_at": device.calibrated_at.isoformat(),
        "age_days": device.age().days,
        "qubits": device.num_qubits,
        "usable_qubits": sum(q.usable for q in device.qubits),
        "live_couplers": device.graph.number_of_edges(),
        "largest_live_region": len(device.components[0]) if device.components else 0,
        "native_gates": asdict(device.native_gates),
        "median": {
            "t1": _median(q.t1 for q in device.qubits),
            "t2": _median(q.t2 for q in device.qubits),
            "readout_error": _median(q.readout.error if q.readout else None for q in device.qubits),
            "one_qubit_error": _median(one_qubit),
            "two_qubit_error": _median(two_qubit),
        },
        "timing": asdict(device.timing),
        "limits": asdict(device.limits),
        "pricing": asdict(device.pricing) if device.pricing else None,
        "source": asdict(device.source),
        "sha256": device.sha256,
        "notes": list(device.notes),
    }


def device_table(device: Device) -> Table:
    """One calibration, line by line."""
    values = device_values(device)
    median = values["median"]
    table = Table(title=device.name, show_header=False, title_justify="left", box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    lines = {
        "calibrated": f"{device.calibrated_at:%Y-%m-%d %H:%M %Z}, {values['age_days']} days ago",
        "qubits": f"{values['qubits']}, {values['usable_qubits']} usable",
        "couplers": f"{values['live_couplers']} live; largest live region {values['largest_live_region']} qubits",
        "native gates": ", ".join((*device.native_gates.one_qubit, *device.native_gates.two_qubit)),
        "virtual": ", ".join(device.native_gates.virtual),
        "fractional": ", ".join(device.native_gates.fractional),
        "median T1, T2": f"{_micro(median['t1'])}, {_micro(median['t2'])}",
        "median errors": f"readout {_error(median['readout_error'])}, one-qubit {_error(median['one_qubit_error'])}, "
        f"two-qubit {_error(median['two_qubit_error'])}",
        "repetition delay": _micro(device.timing.rep_delay),
        "price": _price(device),
        "source": " ".join(filter(None, (device.source.ref, device.source.license))),
        "sha256": device.sha256,
    }
    for name, text in lines.items():
        if text:
            table.add_row(name, text)
    for i, note in enumerate(device.notes):
        table.add_row("notes" if i == 0 else "", note)
    return table


def stored_values(stored: StoredDevice, device: Device) -> dict[str, Any]:
    """One line of the list of devices."""
    return {
        "name": stored.name,
        "date": stored.date.isoformat(),
        "vendor": stored.vendor,
        "origin": stored.origin,
        "qubits": device.num_qubits,
        "two_qubit_gates": list(device.native_gates.two_qubit),
        "live_couplers": device.graph.number_of_edges(),
        "largest_live_region": len(device.components[0]) if device.components else 0,
        "file": stored.path.name,
    }


def stored_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """The list of devices."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("device", "date", "qubits", "gates", "live\ncouplers", "largest\nlive region", "from"):
        is_number = column == "qubits" or "\n" in column
        table.add_column(column, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        gates = ", ".join(row["two_qubit_gates"])
        numbers = (str(row["qubits"]), gates, str(row["live_couplers"]), str(row["largest_live_region"]))
        table.add_row(row["name"], row["date"], *numbers, row["origin"])
    return table


def estimate_values(estimate: Estimate, now: datetime | None = None) -> dict[str, Any]:
    """An estimate as plain values; the loss of a dead element is None. `now` as in `Estimate.interval`."""
    low, high = estimate.interval(now)
    losses = [
        {**loss._asdict(), "qubits": list(loss.qubits), "loss": None if math.isinf(loss.loss) else loss.loss}
        for loss in estimate.losses
    ]
    return {
        **{f.name: getattr(estimate, f.name) for f in fields(estimate) if f.name != "distribution"},
        "hellinger_fidelity": estimate.hellinger_fidelity,
        "hellinger_uncertainty": estimate.hellinger_uncertainty,
        "hellinger_note": estimate.hellinger_note,
        "breakdown": dict(estimate.breakdown),
        "dead_gates": list(estimate.dead_gates),
        "losses": losses,
        "calibrated_at": None if estimate.calibrated_at is None else estimate.calibrated_at.isoformat(),
        "age_days": round(estimate.age(now).total_seconds() / 86400, 2),
        "interval": {"low": low, "high": high, "level": LEVEL},
    }


def estimate_table(estimate: Estimate, bill: Cost, title: str) -> Table:
    """An estimate and its bill: fidelities, what they are lost to, gates, time and money."""
    caption = "\n".join((CAPTION, *bill_notes([("", bill.assumptions)])))
    table = Table(title=title, caption=caption, show_header=False, title_justify="left", caption_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, text in estimate_lines(estimate):
        table.add_row(name, text, style="bold red" if name.startswith("dead") else None)
    table.add_row(f"QPU time of {bill.executions:,} executions", f"{bill.qpu_seconds:,.2f} s")
    if bill.credits is not None:
        table.add_row("credits", f"{bill.credits:,.2f}")
    table.add_row("price", "unknown" if bill.usd is None else f"{bill.usd:,.2f} USD")
    return table


def expectation_values(found: Iterable[ExpectationError]) -> list[dict[str, Any]]:
    """Expectations of observables as plain values, one entry an observable; what they mean: `ExpectationError`."""
    names = (
        "observable", "ideal", "noisy", "error", "truncation", "typical_truncation", "method", "draws", "spread",
    )  # fmt: skip
    return [{name: getattr(row, name) for name in names} for row in found]


def expectation_table(found: Sequence[ExpectationError]) -> Table:
    """Expectations of observables with and without noise, and how far the cut-off may have moved them."""
    is_cut = any(row.truncation >= 5e-5 for row in found)  # what four digits show
    caption = "error: noisy - ideal; truncation: what it is typically off by, and at most" if is_cut else None
    table = Table(title="Expectations", title_justify="left", caption=caption, caption_justify="left")
    table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
    table.add_column("observable", overflow="fold")
    for name in ("ideal", "noisy", "error", *(("truncation",) if is_cut else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found:
        error = f"{row.error:+.4f}" + (f" ± {row.spread:.4f} over {row.draws} draws" if row.draws > 1 else "")
        cells = [row.observable, f"{row.ideal:+.4f}", f"{row.noisy:+.4f}", error]
        table.add_row(*cells, *([f"{row.typical_truncation:.2g}, {row.truncation:.2g}"] if is_cut else []))
    return table


def bill_parts(compiled: CompiledCircuit, bill: Cost) -> dict[str, float]:
    """Where the QPU seconds of a bill go, s: the service's overhead, delays between shots, the circuit itself."""
    running = compiled.estimate.duration * bill.executions
    return {
        "service overhead": bill.overhead_seconds,
        "delay between shots": bill.qpu_seconds - bill.overhead_seconds - running,
        "circuit": running,
    }


def loss_table(comparison: Comparison) -> Table:
    """What each way of mapping loses to each cause: shares of -log fidelity, readout included."""
    table = Table(title="What is lost to what: shares of -log fidelity", title_justify="left")
    table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 1, 0, 0), False
    table.add_column("mapped by")
    for words in CAUSES.values():
        table.add_column(words, justify="right")
    for row in comparison.rows:
        if row.breakdown:
            shares = [f"{100 * row.breakdown[cause]:.1f} %" for cause in CAUSES]
            table.add_row(row.name, *shares, style="bold" if row.name == "qcompile" else None)
    return table


def compiled_values(compiled: CompiledCircuit) -> dict[str, Any]:
    """A compiled circuit's layouts and estimate as plain values."""
    return {
        "circuit": compiled.circuit.name,
        "device": compiled.device.name,
        "calibrated_at": compiled.device.calibrated_at.isoformat(),
        "parameters": [p.name for p in compiled.circuit.parameters],
        "initial_layout": list(compiled.initial_layout.physical),
        "final_layout": list(compiled.final_layout.physical),
        "active_qubits": list(compiled.active_qubits),
        "estimate": estimate_values(compiled.estimate),
    }


_UNITS = {
    "usd_per_second": "a QPU second", "usd_per_task": "a task", "usd_per_shot": "a shot", "usd_minimum": "at least",
    "usd_per_1q": "a one-qubit gate and shot", "usd_per_2q": "a two-qubit gate and shot", "usd_per_credit": "a credit",
}  # fmt: skip


def _price(device: Device) -> str:
    """The numbers of a device's price, its own or the first of the table that matches its name."""
    pricing, notes = price_for(device)
    if pricing is None:
        return "unknown"
    numbers = asdict(pricing)
    amounts = [f"{numbers[name]} USD {unit}" for name, unit in _UNITS.items() if numbers.get(name) is not None]
    where = "" if device.pricing is not None else f" ({'; '.join(notes)})"
    return (", ".join(amounts) or f"by {pricing.model}, amounts unknown") + where


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def _error(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2g}"


def _micro(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1e6:.4g} µs"
