"""A picture of a ranking: state fidelity against QPU seconds, the Pareto front drawn, every chip named beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qcompile.errors import InputError
from qcompile.rank import RankedChip, Ranking, pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#1f2933"
_GREY = "#9aa0a6"
_LINE = "#c9ced6"
_FRONT = "#e8590c"
_CHIP = "#4c78a8"
_ROW = 0.19  # inches a label
_SPREAD = 3.0  # QPU seconds that differ more than so many times get a logarithmic axis


def draw_ranking(ranking: Ranking) -> Figure:
    """Chips as points, names and prices in a column beside them; up and left is better.

    Chips on the front are orange. Its line joins those that are on the front of fidelity and time alone; an orange
    point off the line is there for its price.

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
    figure = Figure(figsize=(9.5, max(3.6, _ROW * len(chips) + 1.2)), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.075, 0.55 / figure.get_figheight(), 0.485, 1 - 1.0 / figure.get_figheight()))
    xs, ys = [x for _, x, _ in chips], [y for *_, y in chips]
    _scale(axes, xs, [*ys, *(y for chip, *_ in chips for y in chip.by_now or ())])
    _draw_front(axes, [round(x, 2) for x in xs], [round(y, 4) for y in ys])
    whiskers = [(x, *chip.by_now) for chip, x, _ in chips if chip.by_now is not None]
    if whiskers:
        axes.vlines(*zip(*whiskers), color=_CHIP, linewidth=3, alpha=0.25, zorder=2, label="drift by now, 68 %")
    for on_front, color, size, label in ((False, _CHIP, 26, "chip"), (True, _FRONT, 44, "on the Pareto front")):
        shown = [(x, y) for chip, x, y in chips if chip.on_front == on_front]
        if shown:
            axes.scatter(
                [x for x, _ in shown],
                [y for _, y in shown],
                s=size,
                color=color,
                edgecolor="white",
                linewidth=0.7,
                zorder=3,
                label=label,
            )
    _name(axes, chips)
    axes.set_xlabel("QPU time, s", fontsize=9, color=_INK)
    axes.set_ylabel("estimated state fidelity (upper bound)", fontsize=9, color=_INK)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eceff3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2)
    runs = f"{ranking.shots:,} shots" + (f" of {ranking.circuits:,} circuits" if ranking.circuits > 1 else "")
    axes.text(
        1.05, 1.02, f"{ranking.circuit_name}, {runs}", va="bottom", fontsize=11, color=_INK, transform=axes.transAxes
    )
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
    best = sorted((x, y) for x, y, good in zip(xs, ys, pareto_front([(y, x, None) for x, y in zip(xs, ys)])) if good)
    if len(best) > 1:
        axes.step(*zip(*best), where="post", color=_FRONT, linewidth=1.4, alpha=0.6, zorder=2)


def _name(axes: Axes, chips: Sequence[tuple[RankedChip, float, float]]) -> None:
    """A column of names beside the axes, best fidelity on top, each joined with its point by a thin line."""
    count = len(chips)
    step = 1 / max(count, 12)
    low, high = axes.get_ylim()
    heights = _apart([(y - low) / (high - low) for *_, y in chips], step)
    for (chip, x, y), height in zip(chips, heights):
        axes.annotate(
            "",
            xy=(x, y),
            xytext=(1.04, height),
            textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "color": _GREY if chip.on_front else _LINE, "linewidth": 0.6, "shrinkB": 3},
            annotation_clip=False,
            zorder=1,
        )
        ink = _INK if chip.on_front else "#52606d"
        style: dict[str, Any] = {"fontsize": 8, "va": "center", "transform": axes.transAxes, "color": ink}
        axes.text(1.05, height, chip.name, fontweight="bold" if chip.on_front else "normal", **style)
        price = "no price" if chip.usd is None else f"{chip.usd:,.2f} USD"
        for right, text in ((1.5, f"{y:.3f}"), (1.67, f"{chip.qpu_seconds:,.2f} s"), (1.88, price)):
            axes.text(right, height, text, ha="right", **style)


def _apart(wanted: Sequence[float], step: float) -> list[float]:
    """Heights (0..1, descending) as near to the wanted ones as a distance of `step` allows; they fill at most 0..1."""
    heights: list[float] = []
    for i, height in enumerate(wanted):
        lowest_left = step * (len(wanted) - 1 - i)  # room for those that follow
        ceiling = heights[-1] - step if heights else 1.0
        heights.append(min(ceiling, max(height, lowest_left)))
    return heights
