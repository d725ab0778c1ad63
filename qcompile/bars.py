"""A picture of a comparison: bars for each way of mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcompile.summary import bill_notes, judged_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qcompile.compare import Comparison, Row

_INK = "#1f2933"
_SHADES = ("#1f4e79", "#7fb3de", "#d5d9de")  # apart in lightness, too: in grey and to the colour-blind
_WIDTHS = (1.35, 0.8, 0.8, 1.05)


def draw_comparison(comparison: Comparison) -> Figure:
    """Bars for each way of mapping: fidelities and success probability, two-qubit gates, duration, QPU time and price.

    State and Hellinger fidelity carry the uncertainty of the method that found them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = comparison.rows
    figure = Figure(figsize=(12.0, 0.62 * len(rows) + 1.9), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    first, *others = figure.subplots(1, 4, width_ratios=_WIDTHS)
    _draw_fidelities(first, rows)
    gates, durations, bills = others
    _draw_bars(gates, rows, [row.two_qubit_gates for row in rows], [_short(row.two_qubit_gates) for row in rows])
    gates.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    gates.set_title("two-qubit gates", fontsize=10, color=_INK)
    micro = [None if row.duration is None else row.duration * 1e6 for row in rows]
    _draw_bars(durations, rows, micro, ["" if v is None else f"{v:.1f}" for v in micro])
    durations.set_title("duration, µs", fontsize=10, color=_INK)
    _draw_bars(bills, rows, [row.qpu_seconds for row in rows], [_bill(row) for row in rows], room=0.75)
    bills.set_title(f"QPU time of {comparison.shots:,} shots, s, and price", fontsize=10, color=_INK)
    for axes in (first, *others):
        axes.set_yticks(range(len(rows)), [row.name for row in rows] if axes is first else [])
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    mean = f", mean of {comparison.draws} parameter draws" if comparison.draws > 1 else ""
    when = comparison.compiled.device.calibrated_at
    since = f" (calibrated {when:%Y-%m-%d})" if when else ""
    figure.suptitle(f"{comparison.circuit_name} on {comparison.device_name}{since}{mean}", fontsize=11, color=_INK)
    mapped = [row for row in rows if row.method is not None]
    notes = ["Fidelities are upper bounds, from calibration alone."]
    notes += judged_by((row.name, row.method, row.uncertainty) for row in mapped)
    notes += bill_notes((row.name, row.assumptions) for row in mapped)
    figure.supxlabel("\n".join((" ".join(notes[:2]), *notes[2:4])), fontsize=8, color="#52606d", x=0.01, ha="left")
    return figure


def _draw_fidelities(axes: Axes, rows: tuple[Row, ...]) -> None:
    all_series: dict[str, tuple[list[float | None], list[float | None]]] = {
        "state": ([row.state_fidelity for row in rows], [row.uncertainty for row in rows]),
        "Hellinger": ([row.hellinger_fidelity for row in rows], [row.hellinger_uncertainty for row in rows]),
        "ESP": ([row.success_probability for row in rows], [None for _ in rows]),
    }
    series = {name: found for name, found in all_series.items() if any(value is not None for value in found[0])}
    height = 0.84 / len(series)
    for k, (name, (values, unsure)) in enumerate(series.items()):
        at = [i + (k - (len(series) - 1) / 2) * height for i in range(len(rows))]
        axes.barh(at, [v or 0.0 for v in values], height * 0.92, label=name, color=_SHADES[k])
        for y, value, off in zip(at, values, unsure):
            if value is None:
                axes.text(0.015, y, "not estimated", va="center", fontsize=8, color="#9aa0a6")
                continue
            if off:
                axes.errorbar([value], [y], xerr=[off], fmt="none", ecolor="#c92a2a", elinewidth=1.2, capsize=2)
            within = f" ± {off:.3f}" if off else ""
            axes.text(value + (off or 0.0) + 0.015, y, f"{value:.3f}{within}", va="center", fontsize=8, color=_INK)
    axes.set_xlim(0, 1.32)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_title("estimated fidelity", fontsize=10, color=_INK)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.45, -0.09), ncols=3)


def _draw_bars(
    axes: Axes, rows: tuple[Row, ...], values: list[float | None], texts: list[str], room: float = 0.25
) -> None:
    ends = [v or 0.0 for v in values]
    bars = axes.barh(range(len(rows)), ends, 0.6, color=_SHADES[0])
    axes.bar_label(bars, texts, padding=3, fontsize=8)
    axes.set_xlim(0, (max(ends) or 1.0) * (1 + room))


def _bill(row: Row) -> str:
    if row.qpu_seconds is None:
        return "not run"
    price = "no price" if row.usd is None else f"{row.usd:,.2f} USD"
    credits = "" if row.credits is None else f", {row.credits:,.1f} credits"
    return f"{row.qpu_seconds:,.2f} s, {price}{credits}"


def _short(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"
