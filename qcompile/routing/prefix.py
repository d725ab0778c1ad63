"""Routing of circuits that nearly fit the chip: layouts of a stretch that fits exactly, then a beam of SWAPs.

The stretch is the first span of the circuit (`placement.prefix`), the first one from its end, or the one inside that
meets most pairs: any of them may say most about the layout. From there the beam works to both ends, and what was found
is worked on once more from its last layout back. It ends when there are no more SWAPs than the spans call for, when
further attempts bring nothing, or at once if the first two show no such structure.
"""

from __future__ import annotations

import numpy as np

from qcompile.placement.couplings import Couplings, Ints
from qcompile.placement.prefix import prefix_layouts, span_pairs, spans
from qcompile.routing.beam import WIDTH, route
from qcompile.routing.replay import Route, final_layout, replay
from qcompile.routing.view import View

FEWEST_BLOCKS = 4
"""Blocks a SWAP below which a circuit does not nearly fit."""

ATTEMPTS = 18
"""Layouts are grown at most so often."""

_FULL_SPAN = 0.5  # blocks of a span for each qubit from which the failure of an attempt says little
_TOLERANCE = 4  # times the SWAPs that long spans call for, and as many besides: more are not worth a search
_GIVE_UP, _LOOK, _PATIENCE = 2, 4, 9  # attempts without a gain; the same with long spans; and where layouts fit, too
_CLOSE = 1.25  # times the SWAPs that spans call for: so few leave little to gain
_FITS = 0.8  # share of a span's pairs that a layout must have on couplers to be worth a beam


def route_nearly_fitting(
    view: View, chip: Couplings, *, seed: int = 0, limit: int | None = None, width: int = WIDTH
) -> Route | None:
    """A routing of few SWAPs, or None where the circuit does not nearly fit.

    Args:
        chip: connected, of at least as many vertices as the circuit has qubits.
        limit: SWAPs at most, say those of another router less one; default: a quarter of the blocks.
    """
    blocks = len(view.blocks)
    most = blocks // FEWEST_BLOCKS if limit is None else min(limit, blocks // FEWEST_BLOCKS)
    views = (view, view.backward())
    pairs = [(v.first[v.blocks], v.second[v.blocks]) for v in views]
    ends = [spans(*pair, chip) for pair in pairs]
    called = max(len(e) - 1 for e in ends)
    if called > most:
        return None
    met = len(np.unique(np.concatenate(pairs[0])))
    patient = called > 0 and blocks >= _FULL_SPAN * met * (called + 1)
    if patient:
        most = min(most, _TOLERANCE * (called + 1))
    best: Route | None = None
    idle = 0  # attempts since the last gain
    promising = False
    for attempt in range(ATTEMPTS):
        turn, here = divmod(attempt, 2)
        span = _span_of(*pairs[here], ends[here], turn)
        layouts = prefix_layouts(view.num_qubits, *pairs[here], chip, span=span, attempt=turn, seed=seed + 1000 * here)
        certain = span_pairs(*pairs[here], ends[here], span)
        idle += 1
        if not len(certain) or chip.adjacency[layouts[0, certain[:, 0]], layouts[0, certain[:, 1]]].mean() >= _FITS:
            promising = True
            cut = int(views[here].blocks[ends[here][span - 1]]) if span else 0
            found = _better(views, chip, here, cut, layouts, best, most, width)
            idle = idle if found is best else 0
            best = found
        for again in (1, 0) if idle == 0 else ():  # from its own last layout back, and forth
            if best is not None and best.swaps > called:
                start = final_layout(best) if again else best.layout
                best = _better(views, chip, again, 0, start[None, :], best, most, width)
        enough = best is not None and best.swaps <= called
        close = best is not None and best.swaps <= _CLOSE * called + 1
        bearing = (_PATIENCE if promising else _LOOK) if patient and not close else _GIVE_UP
        if enough or idle >= bearing:
            break
    return best


def _span_of(first: Ints, second: Ints, ends: Ints, turn: int) -> int:
    """The first span in every other turn; in between the others, those that meet most pairs first."""
    if turn % 2 == 0 or len(ends) == 1:
        return 0
    sizes = [-len(span_pairs(first, second, ends, k)) for k in range(1, len(ends))]
    return 1 + int(np.argsort(sizes, kind="stable")[(turn // 2) % len(sizes)])


def _better(
    views: tuple[View, View], chip: Couplings, end: int, cut: int, layouts: Ints, best: Route | None, most: int,
    width: int,
) -> Route | None:  # fmt: skip
    """What the beam finds from node `cut` of one of the views, to both sides, if it has fewer SWAPs than the best."""
    limit = most if best is None else best.swaps - 1
    if limit < 0:
        return best
    nodes = len(views[0].first)
    after = route(views[end].part(cut, nodes), chip, layouts, limit=limit, width=width)
    if after is None:
        return best
    rest = views[1 - end].part(nodes - cut, nodes)
    before = route(rest, chip, after.layout[None, :], limit=limit - after.swaps, width=width)
    if before is None:
        return best
    halves = (before, after) if end == 0 else (after, before)
    swaps = [half.items[half.items[:, 0] < 0, 1:] for half in halves]
    return replay(views[0], chip, final_layout(halves[0]), np.concatenate([swaps[0][::-1], swaps[1]]))
