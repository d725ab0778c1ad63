"""A picture of a ranking: state fidelity against QPU seconds, the Pareto front drawn, every chip named beside it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from qcompile.errors import InputError
from qcompile.pareto import pareto_front
from qcompile.rank import RankedChip, Ranking
from qcompile.summary import judged_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#1f2933"
_GREY = "#9aa0a6"
_LINE = "#c9ced6"
_DIM = "#52606d"
_FRONT = "#e8590c"
_MARKS: dict[bool, dict[str, Any]] = {
    False: {"color": "#4c78a8", "s": 26, "marker": "o"},
    True: {"color": _FRONT, "s": 44, "marker": "D"},
}
"""On the front or not: told apart by shape as well as by colour."""

_FOOT = 0.03  # of the height, below the last label
_LINE_LENGTH = 190  # characters of the note below
_ROW = 0.19  # inches a label
_SPREAD = 3.0  # QPU seconds that differ more than so many times get a logarithmic axis


def draw_ranking(ranking: Ranking) -> Figure:
    """Chips as points, up and left is better; beside them a line each: name, drift, QPU time and price.

    Chips on the front are orange diamonds. The front's line joins those that are on it by fidelity and time alone; a
    diamond off the line is there for its price. In the column of intervals a bar is where the fidelity lies after the
    drift since the calibration (68 %), the mark is what the calibration says; a chip with `≈` is level with the best.

    Raises: InputError: no chip took the circuit.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chips = [
        (chip, x, y)
        for chip in ranking.sorted().chips
        if (x := chip.qpu_seconds) is not None and (y := chip.state_fidelity) is not None
    ]
    if not chips:
        why = next((f" {chip.name}: {chip.refusal}" for chip in ranking.chips if chip.refusal), "")
        raise InputError(f"{ranking.circuit_name}: no chip took the circuit, there is nothing to draw.{why}")
    figure = Figure(figsize=(11.0, max(4.0, _ROW * len(chips) + 1.6)), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    inch = 1 / figure.get_figheight()
    bottom, height = 0.75 * inch, 1 - 1.4 * inch
    axes = figure.add_axes((0.065, bottom, 0.355, height))
    xs, ys = [x for _, x, _ in chips], [y for *_, y in chips]
    _scale(axes, xs, ys)
    _draw_front(axes, xs, ys)
    for on_front, label in ((False, "chip"), (True, "on the Pareto front")):
        shown = [(x, y) for chip, x, y in chips if chip.on_front == on_front]
        if shown:
            axes.scatter(*zip(*shown), **_MARKS[on_front], edgecolor="white", linewidth=0.7, zorder=3, label=label)
    _list(figure, axes, chips, {chip.name for chip in ranking.level[1:]}, bottom, height)
    axes.set_xlabel("QPU time, s", fontsize=9, color=_INK)
    axes.set_ylabel("estimated state fidelity (upper bound)", fontsize=9, color=_INK)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eceff3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)
    runs = f"{ranking.shots:,} shots" + (f" of {ranking.circuits:,} circuits" if ranking.circuits > 1 else "")
    figure.text(0.065, 1 - 0.12 * inch, f"{ranking.circuit_name}, {runs}", va="top", fontsize=11, color=_INK)
    refused = sum(chip.refusal is not None for chip in ranking.chips)
    count = f"{refused} chip{'s' if refused > 1 else ''} did not take the circuit. " if refused else ""
    judged = " ".join(judged_by((chip.name, chip.method, chip.uncertainty) for chip, *_ in chips))
    note = f"≈ level with the best by now, readout left out. {count}{judged}"
    note = note if len(note) <= _LINE_LENGTH else f"{note[: _LINE_LENGTH - 3]}..."
    figure.text(0.01, 0.08 * inch, note, va="bottom", fontsize=8, color=_DIM)
    return figure


def _scale(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = min(xs), max(xs)
    if high > _SPREAD * low:
        axes.set_xscale("log")
        axes.set_xlim(low / (high / low) ** 0.08, high * (high / low) ** 0.08)
        decades = 1.0 if high < 50 * low else 0.0
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0) if decades else (1.0,)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.08 * (high - low) or 0.05 * high
        axes.set_xlim(low - margin, high + margin)
    margin = 0.06 * (max(ys) - min(ys)) or 0.02
    axes.set_ylim(max(min(ys) - margin, -0.02), min(max(ys) + margin, 1.02))


def _draw_front(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Steps through the points that no other beats in fidelity and time."""
    on_front = pareto_front([(round(y, 3), round(x, 2), None) for x, y in zip(xs, ys)])  # as shown
    best = sorted((x, y) for x, y, good in zip(xs, ys, on_front) if good)
    if len(best) > 1:
        axes.step(*zip(*best), where="post", color=_FRONT, linewidth=1.4, alpha=0.6, zorder=2)


def _list(
    figure: Figure,
    axes: Axes,
    chips: Sequence[tuple[RankedChip, float, float]],
    level: Set[str],
    bottom: float,
    height: float,
) -> None:
    """A line for each chip beside the axes, best fidelity on top, joined with its point by a thin line."""
    low, high = axes.get_ylim()
    apart = _apart([(y - low) / (high - low) for *_, y in chips], 1 / max(len(chips), 12))
    heights = [_FOOT + (1 - _FOOT) * at for at in apart]
    columns = figure.add_axes((0.44, bottom, 0.56, height))
    columns.set_axis_off()
    columns.set_xlim(0, 1)
    columns.set_ylim(0, 1)
    strip = figure.add_axes((0.605, bottom, 0.17, height))
    strip.set_ylim(0, 1)
    strip.patch.set_visible(False)
    strip.spines[["top", "left", "right"]].set_visible(False)
    strip.set_yticks([])
    strip.tick_params(labelsize=8)
    strip.grid(axis="x", color="#eceff3", linewidth=0.8)
    strip.set_axisbelow(True)
    strip.set_xlabel("state fidelity; bar: by now, 68 %", fontsize=9, color=_INK)
    for (chip, x, y), at in zip(chips, heights):
        axes.annotate(
            "",
            xy=(x, y),
            xytext=(1.04, at),
            textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "color": _GREY if chip.on_front else _LINE, "linewidth": 0.6, "shrinkB": 3},
            annotation_clip=False,
            zorder=1,
        )
        style: dict[str, Any] = {"fontsize": 8, "va": "center", "color": _INK if chip.on_front else _DIM}
        if chip.by_now is not None:
            strip.hlines(at, *chip.by_now, color=_MARKS[chip.on_front]["color"], linewidth=3.5, alpha=0.35)
        strip.scatter([y], [at], **_MARKS[chip.on_front], edgecolor="white", linewidth=0.7, zorder=3)
        columns.text(0.03, at, chip.name, fontweight="bold" if chip.on_front else "normal", **style)
        price = "no price" if chip.usd is None else f"{chip.usd:,.2f} USD"
        mark = "≈" if chip.name in level else ""
        for right, text in ((0.025, mark), (0.665, f"{y:.3f}"), (0.79, f"{x:,.2f} s"), (0.975, price)):
            columns.text(right, at, text, ha="right", **style)


def _apart(wanted: Sequence[float], step: float) -> list[float]:
    """Heights (0..1, descending) as near to the wanted ones as a distance of `step` allows; they fill at most 0..1."""
    heights: list[float] = []
    for i, height in enumerate(wanted):
        lowest_left = step * (len(wanted) - 1 - i)  # room for those that follow
        ceiling = heights[-1] - step if heights else 1.0
        heights.append(min(ceiling, max(height, lowest_left)))
    return heights
