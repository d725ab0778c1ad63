"""An estimate in words and numbers, line by line: the same for the terminal and the notebook."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

from qcompile.staleness import LEVEL

if TYPE_CHECKING:
    from qcompile.estimate import Estimate

CAPTION = "Upper bounds: from calibration alone, without crosstalk and leakage."

CAUSES = {
    "one_qubit": "one-qubit gates",
    "two_qubit": "two-qubit gates",
    "idle": "waiting",
    "readout": "readout",
}

METHODS = {
    "product": "product-state marginals",
    "cluster": "two-qubit cluster marginals",
    "marginals": "exact marginals of one ideal simulation",
    "exact": "exact simulation of the calibrated noise",
}

WORST = 5
"""Losses that are named."""

Lines = list[tuple[str, str]]


def estimate_lines(estimate: Estimate, now: datetime | None = None) -> Lines:
    """(what, how much) of an estimate; `now` (timezone-aware, default the present) decides how stale it is."""
    spread = f", spread {estimate.spread:.4f} over {estimate.draws} parameter draws" if estimate.draws > 1 else ""
    unsure = f" ± {estimate.uncertainty:.4f}" if estimate.uncertainty else ""
    lines = [("state fidelity", f"{estimate.state_fidelity:.4f}{unsure}{spread}")]
    lines.append(("  found by", METHODS.get(estimate.method, estimate.method)))
    if estimate.calibrated_at is not None and not estimate.dead_gates:
        low, high = estimate.interval(now)
        days = max(estimate.age(now).total_seconds() / 86400, 0.0)
        lines.append((f"  with the drift of {days:,.0f} days", f"{low:.4f} to {high:.4f} ({100 * LEVEL:.0f} %)"))
    hellinger = estimate.hellinger_fidelity
    sampled = f" ± {estimate.hellinger_uncertainty:.4f}" if estimate.hellinger_uncertainty else ""
    found = f"{hellinger:.4f}{sampled}" if hellinger is not None else f"none: {estimate.hellinger_note}"
    lines.append(("Hellinger fidelity (with readout)", found))
    lines.append(("success probability (ESP)", f"{estimate.success_probability:.4f}"))
    lines += [(f"  lost to {CAUSES[cause]}", f"{100 * share:.1f} %") for cause, share in estimate.breakdown.items()]
    whole = sum(loss.loss for loss in estimate.losses)
    if not estimate.dead_gates:
        for loss in estimate.worst(WORST):
            lines.append((f"  of that {loss.where}", f"{100 * loss.loss / whole:.1f} %"))
    lines.append(("two-qubit gates", str(estimate.two_qubit_gates)))
    lines.append(("SWAPs inserted", str(estimate.swaps)))
    lines.append(("depth", str(estimate.depth)))
    lines.append(("duration", f"{estimate.duration * 1e6:.4g} µs"))
    if estimate.dead_gates:
        lines.append(("dead gates used", ", ".join(estimate.dead_gates)))
    return lines


def judged_by(found: Iterable[tuple[str, str | None, float | None]]) -> list[str]:
    """One sentence (none for nothing): how state fidelities were found and how far off they may be.

    Args:
        found: (name, method, uncertainty) of each; those without a method are left out.
    """
    groups: dict[str, list[tuple[str, float]]] = {}
    for name, method, uncertainty in found:
        if method is not None:
            groups.setdefault(method, []).append((name, uncertainty or 0.0))
    parts = []
    for method, members in groups.items():
        most = max(unsure for _, unsure in members)
        within = f" (9 of 10 within ± {most:.3f})" if most else ""
        names = f"{', '.join(name for name, _ in members)} " if len(groups) > 1 else ""
        parts.append(f"{names}by {METHODS.get(method, method)}{within}")
    return [f"State fidelity: {'; '.join(parts)}."] if parts else []


def bill_notes(bills: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """What bills assume, each thing once, with the names (three at most) of the bills where it is not true of all.

    Args:
        bills: (name, assumptions) of each.
    """
    listed = [(name, tuple(assumptions)) for name, assumptions in bills]
    said: dict[str, list[str]] = {}
    for name, assumptions in listed:
        for note in assumptions:
            said.setdefault(note, []).append(name)
    lines = []
    for note, names in said.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        whose = "" if len(names) == len(listed) else f" of {', '.join(names[:3])}{more}"
        lines.append(f"Bill{whose}: {note}.")
    return lines


def html(title: str, lines: Iterable[tuple[str, str]]) -> str:
    """A table of two columns, with the caption."""
    rows = "".join(
        f"<tr><td style='text-align:left;padding-left:{len(name) - len(name.lstrip())}em'>{escape(name.strip())}</td>"
        f"<td>{escape(text)}</td></tr>"
        for name, text in lines
    )
    return f"<table><caption>{escape(title)}</caption>{rows}</table><p><small>{escape(CAPTION)}</small></p>"
