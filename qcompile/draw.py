"""Pictures, with matplotlib alone: the coupling map of a chip, a comparison as bars, a schedule over time.

Every function returns a matplotlib Figure that belongs to no window and no global state: save it with
`figure.savefig("chip.png")`, or make it the last line of a notebook cell (after `%matplotlib inline`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qiskit import QuantumCircuit

from qcompile.bars import draw_comparison
from qcompile.compiled import CompiledCircuit
from qcompile.coordinates import Position, coordinates, couplers
from qcompile.device import Device
from qcompile.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NodeColor", "draw_comparison", "draw_device", "draw_schedule"]

NodeColor: TypeAlias = Literal["readout", "t1", "t2"]

_RADIUS = 0.33  # of a qubit; neighbours are 1 apart
_USED = "#e8590c"
_DEAD = "#9aa0a6"
_CROSS = "#c92a2a"
_INK = "#1f2933"
_UNKNOWN = (1.0, 1.0, 1.0)
_CAUSES = {"one_qubit": "#4c78a8", "two_qubit": "#f58518", "measure": "#54a24b", "delay": "#bab0ac"}


def draw_device(
    device: Device,
    circuit: CompiledCircuit | QuantumCircuit | None = None,
    *,
    color_by: NodeColor = "readout",
    title: str | None = None,
) -> Figure:
    """The coupling map: qubits coloured by readout error (or T1, T2), couplers by two-qubit error; dark is bad.

    Dead couplers are dashed grey with a cross, unusable qubits hollow with a cross.

    Args:
        circuit: what runs there, on physical qubits. Its active qubits are ringed and carry the name of the virtual
            qubit that starts on them; couplers that it uses lie on a band, the wider the more gates.
        color_by: "readout" (error), "t1" or "t2".
        title: default: name, number of qubits, date of the calibration.
    Raises: InputError: an unknown color_by, or a circuit wider than the chip.
    """
    if color_by not in ("readout", "t1", "t2"):
        raise InputError(f"color_by = {color_by!r}. Expected readout, t1 or t2.")
    where = coordinates(device)
    virtual, active, used = _use(circuit, device)
    axes, figure = _map_axes(where)
    edges = _draw_couplers(axes, device, where, used, faded=circuit is not None)
    nodes = _draw_qubits(axes, device, where, color_by, virtual, active, faded=circuit is not None)
    _bars_of_colour(figure, axes, nodes, edges, color_by)
    _draw_legend(axes, device, circuit is not None)
    default = f"{device.name}, {device.num_qubits} qubits, calibrated {device.calibrated_at:%Y-%m-%d}"
    axes.set_title(title or default, fontsize=11, color=_INK)
    return figure


def draw_schedule(compiled: CompiledCircuit) -> Figure:
    """When each active qubit does what (as late as possible), and where it waits; time in µs."""
    from matplotlib.patches import Patch

    timing = compiled.schedule
    qubits = compiled.active_qubits
    line = {q: i for i, q in enumerate(qubits)}
    figure = _figure(10.0, 0.36 * len(qubits) + 1.3)
    axes = figure.add_subplot()
    for instruction, start, duration in zip(compiled.circuit.data, timing.start, timing.durations):
        name = instruction.operation.name
        held = [line[q] for bit in instruction.qubits if (q := compiled.circuit.find_bit(bit).index) in line]
        if duration <= 0 or name == "barrier":
            continue
        kind = name if name in _CAUSES else ("one_qubit", "two_qubit")[len(held) - 1]
        for at in held:
            axes.broken_barh([(start * 1e6, duration * 1e6)], (at - 0.35, 0.7), facecolors=_CAUSES[kind], linewidth=0)
        if len(held) == 2:
            middle = (start + duration / 2) * 1e6
            axes.plot([middle, middle], held, color=_CAUSES[kind], linewidth=1.2, zorder=0)
    for window in timing.idle:
        axes.broken_barh(
            [(window.start * 1e6, window.duration * 1e6)],
            (line[window.qubit] - 0.35, 0.7),
            facecolors="none",
            edgecolors="#c9ced6",
            hatch="////",
            linewidth=0,
        )
    virtual = compiled.initial_layout.virtual
    axes.set_yticks(range(len(qubits)), [f"{q} (q{virtual[q]})" if q in virtual else str(q) for q in qubits])
    axes.set_ylim(len(qubits) - 0.4, -0.6)
    axes.set_xlim(0, max(timing.duration * 1e6, 1e-3))
    axes.set_xlabel("time, µs", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    names = {"one_qubit": "one-qubit gate", "two_qubit": "two-qubit gate", "measure": "measurement"}
    handles = [Patch(facecolor=_CAUSES[kind], label=label) for kind, label in names.items()]
    handles.append(Patch(facecolor="white", edgecolor="#c9ced6", hatch="////", label="waiting"))
    axes.legend(handles=handles, fontsize=8, ncols=4, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0))
    axes.set_title(f"{compiled.circuit.name} on {compiled.device.name}", fontsize=11, loc="right", color=_INK)
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _use(
    circuit: CompiledCircuit | QuantumCircuit | None, device: Device
) -> tuple[dict[int, int], set[int], Counter[tuple[int, int]]]:
    """(physical -> virtual at the start, active physical qubits, gates on each coupler) of a circuit."""
    used: Counter[tuple[int, int]] = Counter()
    if circuit is None:
        return {}, set(), used
    physical = circuit.circuit if isinstance(circuit, CompiledCircuit) else circuit
    if physical.num_qubits > device.num_qubits:
        raise InputError(
            f"{physical.name}: {physical.num_qubits} qubits; {device.name} has {device.num_qubits}. "
            "Expected a circuit on physical qubits."
        )
    active: set[int] = set()
    for instruction in physical.data:
        if instruction.operation.name in ("barrier", "delay"):
            continue
        held = [physical.find_bit(q).index for q in instruction.qubits]
        active.update(held)
        if len(held) == 2:
            used[min(held), max(held)] += 1
    if isinstance(circuit, CompiledCircuit):
        virtual = circuit.initial_layout.virtual
    elif physical.layout is not None:
        virtual = {p: v for v, p in enumerate(physical.layout.initial_index_layout(filter_ancillas=True))}
    else:
        virtual = {}
    return virtual, active | set(virtual), used


def _map_axes(where: Mapping[int, Position]) -> tuple[Axes, Figure]:
    xs, ys = [x for x, _ in where.values()], [y for _, y in where.values()]
    width, height = max(xs) - min(xs) + 1.4, max(ys) - min(ys) + 1.4
    unit = min(1.0, max(0.55, 5.0 / width))  # inches a coupler
    figure = _figure(max(width * unit + 1.9, 5.2), max(height * unit + 0.9, 2.4))
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    axes.set_xlim(min(xs) - 0.7, max(xs) + 0.7)
    axes.set_ylim(min(ys) - 0.7, max(ys) + 0.7)
    axes.axis("off")
    return axes, figure


def _draw_couplers(
    axes: Axes, device: Device, where: Mapping[int, Position], used: Counter[tuple[int, int]], *, faded: bool
) -> Any:
    """Lines between qubits; returns what a colour bar needs, None where every coupler is dead."""
    from matplotlib.collections import LineCollection

    live = {(min(e), max(e)): device.graph.edges[e]["error"] for e in device.graph.edges}
    dead = [pair for pair in couplers(device) if pair not in live]
    axes.add_collection(
        LineCollection([(where[a], where[b]) for a, b in dead], colors=_DEAD, linestyles=(0, (2, 1.6)), linewidths=1.4)
    )
    middles = [((where[a][0] + where[b][0]) / 2, (where[a][1] + where[b][1]) / 2) for a, b in dead]
    if middles:
        axes.scatter(
            [x for x, _ in middles], [y for _, y in middles], marker="x", s=26, color=_CROSS, linewidths=1.4, zorder=3
        )
    if used:
        most = max(used.values())
        axes.add_collection(
            LineCollection(
                [(where[a], where[b]) for a, b in used],
                colors=_USED,
                linewidths=[9 + 9 * count / most for count in used.values()],
                alpha=0.45,
                capstyle="round",
                zorder=0.5,
            )
        )
    if not live:
        return None
    errors = list(live.values())
    lines = LineCollection(
        [(where[a], where[b]) for a, b in live],
        cmap=_shades("Blues"),
        norm=_logarithmic(errors),
        linewidths=[4.0 if not faded or pair in used else 2.2 for pair in live],
        alpha=[1.0 if not faded or pair in used else 0.5 for pair in live],
        capstyle="round",
        zorder=1,
    )
    lines.set_array(errors)
    axes.add_collection(lines)
    return lines


def _draw_qubits(
    axes: Axes,
    device: Device,
    where: Mapping[int, Position],
    color_by: NodeColor,
    virtual: Mapping[int, int],
    active: set[int],
    *,
    faded: bool,
) -> Any:
    """Discs with physical numbers and virtual names; returns what a colour bar needs, None if nothing is known."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Circle

    values = {q: v for q in where if (v := _node_value(device, q, color_by)) is not None}
    shades, norm = _shades("Oranges" if color_by == "readout" else "Oranges_r"), _logarithmic(list(values.values()))
    for q, (x, y) in where.items():
        usable = device.qubits[q].usable
        fill: tuple[float, ...] = _UNKNOWN
        if q in values and usable:
            fill = shades(norm(values[q]))
        ring = q in active
        if faded and not ring:
            fill = tuple(0.45 * part + 0.55 for part in fill[:3])
        axes.add_patch(
            Circle(
                (x, y),
                _RADIUS,
                facecolor=fill,
                edgecolor=_INK if ring else _DEAD,
                linewidth=2.4 if ring else 0.8,
                linestyle="-" if usable else (0, (2, 1.4)),
                zorder=4,
            )
        )
        if not usable:
            axes.scatter([x], [y], marker="x", s=150, color=_CROSS, linewidths=1.4, alpha=0.5, zorder=4.5)
        dark = sum(fill[:3]) < 1.6
        ink = "white" if dark else (_INK if ring or not faded else "#6b7280")
        axes.text(x, y, str(q), ha="center", va="center", fontsize=7.5, color=ink, zorder=5)
        if q in virtual:
            axes.text(
                x + 0.3,
                y + 0.34,
                f"q{virtual[q]}",
                ha="center",
                va="center",
                fontsize=7,
                fontweight="bold",
                color="white",
                zorder=6,
                bbox={"boxstyle": "round,pad=0.18", "facecolor": _USED, "edgecolor": "none"},
            )
    return ScalarMappable(norm, shades) if values else None


def _bars_of_colour(figure: Figure, axes: Axes, nodes: Any, edges: Any, color_by: NodeColor) -> None:
    label = {"readout": "readout\nerror", "t1": "T1, µs", "t2": "T2, µs"}[color_by]
    for palette, text, scale in (
        (nodes, label, 1.0 if color_by == "readout" else 1e6),
        (edges, "two-qubit\nerror", 1.0),
    ):
        if palette is None:
            continue
        bar = figure.colorbar(palette, ax=axes, fraction=0.03, pad=0.02, shrink=0.8, aspect=28)
        low, high = palette.norm.vmin, palette.norm.vmax
        steps = [low * (high / low) ** (k / 4) for k in range(5)]
        bar.set_ticks(steps, labels=[f"{value * scale:.2g}" for value in steps])
        bar.minorticks_off()
        bar.ax.set_title(text, fontsize=7.5, color=_INK, loc="left", pad=5)
        bar.ax.tick_params(labelsize=7, length=2)
        bar.outline.set_visible(False)


def _draw_legend(axes: Axes, device: Device, has_circuit: bool) -> None:
    from matplotlib.lines import Line2D

    handles = []
    if has_circuit:
        ring = Line2D([], [], marker="o", markersize=9, markerfacecolor="white", color="none", label="active qubit")
        ring.set(markeredgecolor=_INK, markeredgewidth=2)
        handles.append(ring)
        handles.append(Line2D([], [], color=_USED, linewidth=8, alpha=0.45, label="coupler in use"))
    if len(couplers(device)) > device.graph.number_of_edges():
        handles.append(
            Line2D([], [], color=_DEAD, linestyle="--", marker="x", markeredgecolor=_CROSS, label="dead coupler")
        )
    if not all(q.usable for q in device.qubits):
        cross = Line2D([], [], marker="x", markersize=8, color="none", label="unusable qubit")
        cross.set(markeredgecolor=_CROSS)
        handles.append(cross)
    if handles:
        axes.legend(
            handles=handles,
            fontsize=8,
            frameon=False,
            ncols=len(handles),
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
        )


def _node_value(device: Device, q: int, color_by: NodeColor) -> float | None:
    qubit = device.qubits[q]
    if color_by == "readout":
        return None if qubit.readout is None else qubit.readout.error
    return qubit.t1 if color_by == "t1" else qubit.t2


def _shades(name: str) -> Any:
    """The middle of a colour map: its ends are invisible on white, or hide what is written on them."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    low, high = (0.0, 0.78) if name.endswith("_r") else (0.22, 1.0)
    return ListedColormap(colormaps[name](np.linspace(low, high, 128)))


def _logarithmic(values: list[float]) -> Any:
    from matplotlib.colors import LogNorm

    positive = [v for v in values if v > 0] or [1e-3]
    low, high = min(positive), max(positive)
    return LogNorm(low, high if high > low * 1.01 else low * 1.5, clip=True)
