"""Routing of circuits that nearly fit the chip: layouts of the longest prefix, then a beam of SWAPs.

Worked from both ends, as either may hold the span that says most about the layout, and again from the last layout of what
was found. It ends when there are no more SWAPs than the spans of the circuit call for, when attempts are used up, or at
once if the first two show no such structure.
"""

from __future__ import annotations

import numpy as np

from qcompile.placement.couplings import Couplings, Ints
from qcompile.placement.prefix import ATTEMPTS, prefix_layouts, spans
from qcompile.routing.beam import WIDTH, Route, View, final_layout, replay, route

FEWEST_BLOCKS = 4
"""Blocks a SWAP below which a circuit does not nearly fit."""

_FULL_SPAN = 0.5  # blocks of a span for each qubit from which the failure of an attempt says little
_TOLERANCE = 4  # times the SWAPs that long spans call for: more are not worth a search
_GIVE_UP = 2  # attempts without any routing, where spans are shorter or there is but one


def route_nearly_fitting(
    view: View,
    chip: Couplings,
    *,
    seed: int = 0,
    limit: int | None = None,
    attempts: int = 2 * len(ATTEMPTS),
    width: int = WIDTH,
) -> Route | None:
    """A routing of few SWAPs, or None where the circuit does not nearly fit.

    Args:
        chip: connected, of at least as many vertices as the circuit has qubits.
        limit: SWAPs at most, say those of another router less one; default: a quarter of the blocks.
        attempts: layouts are grown at most so often.
    """
    blocks = len(view.first)
    most = blocks // FEWEST_BLOCKS if limit is None else min(limit, blocks // FEWEST_BLOCKS)
    views = (view, view.backward())
    called = [len(spans(v.first, v.second, chip)) - 1 for v in views]
    if max(called) > most:
        return None
    met = len(np.unique(np.concatenate([view.first, view.second])))
    patient = max(called) > 0 and blocks >= _FULL_SPAN * met * (max(called) + 1)
    if patient:
        most = min(most, _TOLERANCE * max(called))
    best: Route | None = None
    for attempt in range(attempts):
        end = attempt % 2
        here = views[end]
        layouts = prefix_layouts(
            view.num_qubits, here.first, here.second, chip, attempt=attempt // 2, seed=seed + 1000 * end
        )
        best = _better(views, chip, end, layouts, best, most, width)
        if best is not None:
            for again in (1, 0):  # from its own end, and back
                if best.swaps > max(called):
                    start = final_layout(best) if again else best.layout
                    best = _better(views, chip, again, start[None, :], best, most, width)
            if best.swaps <= max(called):
                break
        elif not patient and attempt + 1 >= _GIVE_UP:
            break
    return best


def _better(
    views: tuple[View, View], chip: Couplings, end: int, layouts: Ints, best: Route | None, most: int, width: int
) -> Route | None:
    """What the beam finds from one end of the circuit, if it has fewer SWAPs than the best so far; else the best."""
    limit = most if best is None else best.swaps - 1
    if limit < 0:
        return best
    found = route(views[end], chip, layouts, limit=limit, width=width)
    if found is None:
        return best
    if end:
        swaps = found.items[found.items[:, 0] < 0, 1:][::-1]
        found = replay(views[0], chip, final_layout(found), np.ascontiguousarray(swaps))
    return found
