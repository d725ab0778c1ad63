"""Parity networks on a line: every sum of two bits appears on some wire, with CX between neighbours only.

A layer of ZZ rotations on all pairs of n qubits (ZZ feature maps, IQP, dense QAOA) needs each parity x_i + x_j on a
wire once. As a network of SWAPs that melt into their rotations, a line takes 3 CX a pair. Written as parities it takes
2: wires hold the edges of a tree over the n bits and a ground, x_i being the edge from i to the ground; CX slides an
edge along its neighbour, (i, j) + (j, k) = (i, k). A path of n edges walks through an odd-even transposition of its
vertices with two CX a transposition (Klaver et al., "SWAP-less implementation of quantum algorithms", arXiv
2408.10907); where only some pairs are wanted, `line_order` finds a short walk. Searched networks take fewer still: 49
CX in 23 layers for 8 qubits, where SWAPs took 84 and CX between all pairs take 56.
"""

from __future__ import annotations

from collections.abc import Sequence

from qcompile.line_order import walk

Network = list[tuple[int, int]]
"""CX (control, target) in order of time, after which each wire holds one bit again: another one than before."""

_SEARCHED = {
    3: "abBba",
    4: "abcbBbcba",
    5: "EDCBcCcdcCBCEDE",
    6: "FEDCBcCEDFdedDCDdBbCDEF",
    7: "abcCdcCBCcedcfFeEdcCBCcGFCfedcba",
    8: "HGFEGDdgGCcFGBEegCDFGadbCHceEfFDadgfEFfbBCcDFEFGH",
    9: "IHGFEDCgGBghcgCGFcdGIHceEfFCDIdgGhbCEecDfeEHgefeEaBbCDEeFfGIHI",
    10: "abcdeEfgebBbchbGdiDgCFfEecdIHGchFgafEbeBDCEJIHIGcgFdhDfeHEaBgbCefceDdJiIhHGgfdeDadcba",
}
"""All pairs, by number of wires: found by beam search over trees, the least sum of CX and depth. A letter is one CX:
its place in the alphabet is the target's wire; small: the control is the wire after, capital: the one before."""

_MOST_BITS = 32  # a walk is looked for up to here; a wider layer is met in the order in which it is written


def all_pairs(n: int) -> Network:
    """A network between neighbours of a line of n wires that makes every parity of two bits.

    >>> all_pairs(3)
    [(1, 0), (2, 1), (0, 1), (2, 1), (1, 0)]
    """
    if n in _SEARCHED:
        letters = [(letter, ord(letter.lower()) - ord("a")) for letter in _SEARCHED[n]]
        return [(target + 1 if letter.islower() else target - 1, target) for letter, target in letters]
    return _odd_even(n, n - 2)


def all_pairs_reversing(n: int) -> Network:
    """The same, for a few CX more, with the bits in reverse order in the end."""
    return _odd_even(n, n)


def _odd_even(n: int, layers: int) -> Network:
    return along(range(n), [w for layer in range(layers) for w in range(layer % 2, n - 1, 2)])


def along(order: Sequence[int], exchanges: Sequence[int]) -> Network:
    """The network of a walk: it makes the parity of all bits that are ever neighbours.

    Args:
        order: [place on the line] wire.
        exchanges: places whose bit changes places with the next one's, in time.
    """
    n = len(order)
    # vertices in a row: the ground, then the bits; the edge between places w - 1 and w stands on wire order[w]
    network = [(w - 1, w) for w in range(n - 1, 0, -1)]
    for w in exchanges:
        network.append((w + 1, w))
        if w + 2 < n:
            network.append((w + 1, w + 2))
    network += [(w - 1, w) for w in range(1, n)]
    return [(order[control], order[target]) for control, target in network]


def some_pairs(n: int, wanted: Sequence[tuple[int, int]], tries: int) -> Network:
    """A network between neighbours of some line of n wires that makes the parities of the wanted pairs of bits.

    Args:
        tries: of `walk`.
    """
    best = all_pairs(n)
    if n <= _MOST_BITS and len(wanted) < n * (n - 1) // 2:
        best = min(best, along(*walk(n, wanted, tries)), key=len)
    return best


def parities(network: Network, n: int) -> list[int]:
    """The parity that each CX makes, as a bit mask of the bits that n wires began with."""
    rows = [1 << w for w in range(n)]
    found = []
    for control, target in network:
        rows[target] ^= rows[control]
        found.append(rows[target])
    return found


def final_bits(network: Network, n: int) -> list[int]:
    """[wire] the bit that each wire holds after a network."""
    rows = [1 << w for w in range(n)]
    for control, target in network:
        rows[target] ^= rows[control]
    return [row.bit_length() - 1 for row in rows]
