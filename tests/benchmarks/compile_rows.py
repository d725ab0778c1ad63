"""Rows of compile_quality.py: what they hold, their geometric means and losses, and how they are printed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console


@dataclass(frozen=True)
class Row:
    """One compiler on one pair; None: not known. Fields as the columns of the module's docstring."""

    tool: str
    esp: float | None = None
    two_qubit: float | None = None
    depth: float | None = None
    state: float | None = None
    exact: float | None = None
    cpu: float | None = None
    build: float | None = None
    note: str = ""


@dataclass
class Pair:
    """One circuit on one chip. routed: whether the circuit does not fit as it is."""

    circuit: str
    chip: str
    qubits: int
    routed: bool
    rows: list[Row] = field(default_factory=list)

    def __getitem__(self, tool: str) -> Row | None:
        return next((r for r in self.rows if r.tool == tool and r.esp is not None), None)

    @property
    def counts(self) -> bool:
        """Whether it belongs to the geometric means."""
        return self.routed and 8 <= self.qubits <= 16


def _mean(values: Sequence[float]) -> float | None:
    positive = [v for v in values if v > 0]
    return math.exp(sum(map(math.log, positive)) / len(positive)) if positive else None


ALL_TO_ALL = ("su2full", "rafull", "zzfull", "qft")
"""Families in which every pair of qubits meets: to write these anew on a line saves most, so they get means without."""


def ratios(pairs: Sequence[Pair], tool: str, peer: str, of: str) -> list[float]:
    """`of` of one tool over that of another, on the pairs that count and have both."""
    found = []
    for pair in pairs:
        a, b = pair[tool], pair[peer]
        if pair.counts and a is not None and b is not None and getattr(b, of):
            found.append(getattr(a, of) / getattr(b, of))
    return found


JUDGED = (
    ("ESP over O3 median", "O3 median", "esp"),
    ("ESP over O3 best", "O3 best", "esp"),
    ("ESP over O3 best in region", "O3 in region best", "esp"),
    ("ESP over O2 median", "O2 median", "esp"),
    ("ESP over pytket", "pytket", "esp"),
    ("ESP over QMAP", "QMAP", "esp"),
    ("2q gates over O3 median", "O3 median", "two_qubit"),
    ("2q depth over O3 median", "O3 median", "depth"),
    ("state fidelity over O3 median", "O3 median", "state"),
    ("CPU in O3 runs", "O3 median", "cpu"),
)


SPARSE = ", not all-to-all"


def summary(pairs: Sequence[Pair], efforts: Sequence[str]) -> dict[str, Any]:
    """Geometric means by effort, how many pairs each is over, and the losses."""
    means: dict[str, dict[str, float | None]] = {}
    for effort in efforts:
        means[effort] = {t: _mean(ratios(pairs, f"ours {effort}", peer, of)) for t, peer, of in JUDGED}
        sparse = [p for p in pairs if p.circuit.split("-")[0] not in ALL_TO_ALL]
        for title, peer, of in JUDGED[:2]:
            means[effort][title + SPARSE] = _mean(ratios(sparse, f"ours {effort}", peer, of))
    losses = {
        effort: [
            {"pair": f"{p.circuit}@{p.chip}", "ratio": a.esp / b.esp, "counts": p.counts}
            for p in pairs
            if (a := p[f"ours {effort}"]) and (b := p["O3 median"]) and a.esp < b.esp * (1 - 1e-9)
        ]
        for effort in efforts
    }
    return {"pairs": sum(p.counts for p in pairs), "means": means, "losses": losses}


def _cell(value: float | None, form: str = ".4g") -> str:
    return "" if value is None else format(value, form)


def print_pair(console: Console, pair: Pair) -> None:
    why = "" if pair.counts else ("  (fits as it is)" if not pair.routed else "  (not of 8 to 16 qubits)")
    console.print(f"[bold]{pair.circuit} @ {pair.chip}[/bold]{why}", highlight=False)
    for r in pair.rows:
        print_row(console, r)


def print_row(console: Console, r: Row) -> None:
    cells = [
        f"{r.tool:20}", f"{_cell(r.two_qubit):>7}", f"{_cell(r.depth):>7}", f"{_cell(r.esp):>10}",
        f"{_cell(r.state, '.4f'):>8}", f"{_cell(r.exact, '.4f'):>8}", f"{_cell(r.cpu, '.3f'):>8}",
        f"{_cell(r.build, '.3f'):>7}", r.note,
    ]  # fmt: skip
    console.print("  " + " ".join(cells), highlight=False, markup=False, soft_wrap=True)


def print_header(console: Console) -> None:
    names = (f"{'':20}", "     2q", "  depth", "       ESP", "   state", "   exact", "   CPU s", "  build")
    console.print("  " + " ".join(names), style="bold")


def print_summary(console: Console, found: dict[str, Any]) -> None:
    console.print(f"\n[bold]Geometric means over {found['pairs']} pairs of 8 to 16 qubits that need routing[/bold]")
    console.print(f"  {'ours':36}" + "".join(f"{e:>10}" for e in found["means"]))
    for title in dict.fromkeys(title for means in found["means"].values() for title in means):
        cells = [found["means"][e][title] for e in found["means"]]
        if any(c is not None for c in cells):
            console.print(f"  {title:36}" + "".join(f"{_cell(c, '.3f'):>10}" for c in cells), highlight=False)
    for effort, lost in found["losses"].items():
        text = ", ".join(f"{x['pair']} {x['ratio']:.3f}" for x in sorted(lost, key=lambda x: x["ratio"])) or "none"
        console.print(f"  below O3's median, {effort}: {text}", highlight=False, soft_wrap=True)
