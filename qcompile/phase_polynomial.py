"""Parity networks on a line: every sum of two bits appears on some wire, with CX between neighbours only.

A layer of ZZ rotations on all pairs of n qubits (ZZ feature maps, IQP, dense QAOA) needs each parity x_i + x_j on a
wire once. As a network of SWAPs that melt into their rotations, a line takes 3 CX a pair. Written as parities it takes
2: wires hold the edges of a tree over the n bits and a ground, x_i being the edge from i to the ground; CX slides an
edge along its neighbour, (i, j) + (j, k) = (i, k). A path of n edges walks through an odd-even transposition of its
vertices with two CX a transposition (Klaver et al., "SWAP-less implementation of quantum algorithms", arXiv
2408.10907). Searched networks take fewer still: 43 CX for 8 qubits, where the SWAPs took 84 and CX between all pairs
take 56.
"""

from __future__ import annotations

_SEARCHED = {
    3: "abBba",
    4: "abcbBbcba",
    5: "EDCBCcEdcCBcCDE",
    6: "FEDCBCEcdFeDdDCDdBbCDEF",
    7: "GFEDCDBdDCDdGedfFedDCDdBDCDEGFG",
    8: "HGFEDCDdFfedBDdCDEefegGfeEDECcDEeEBDCDEFHGH",
    9: "abcdefgFfFEcCDFdhEFfgFfeEDCBdDdbCDEefgeGfeEDEheHgfeEdCcba",
    10: "abcdeEfeEDghEefiHhgGefeEDCEeEDEaBbFcCdDEFfgfFhfagbfcedcIbBiHhGgfbcdedcba",
}
"""Networks found by beam search over trees, by number of wires. A letter is one CX: its place in the alphabet is the
target's wire, a small letter has its control on the wire after the target, a capital one on the wire before."""


def line_network(n: int, *, reversing: bool = False) -> list[tuple[int, int]]:
    """CX (control, target) between neighbours of a line of n wires that make every parity of two bits.

    In the end each wire holds one bit again: another one than before.

    Args:
        reversing: the bits end in reverse order, for a few CX more; otherwise in any order (`final_bits`).
    >>> line_network(3)
    [(1, 0), (2, 1), (0, 1), (2, 1), (1, 0)]
    """
    if n in _SEARCHED and not reversing:
        return [
            (t + 1 if letter.islower() else t - 1, t) for letter in _SEARCHED[n] for t in [ord(letter.lower()) - 97]
        ]
    # vertices in a row: the ground, bits 0 to n - 1; wire w holds the edge between places w and w + 1
    network = [(w - 1, w) for w in range(n - 1, 0, -1)]
    for layer in range(n if reversing else n - 2):
        for w in range(1 + layer % 2, n, 2):  # exchanges the vertices at both ends of the edge on wire w
            network += [(w, w - 1), (w, w + 1)] if w + 1 < n else [(w, w - 1)]
    return network + [(w - 1, w) for w in range(1, n)]


def parities(network: list[tuple[int, int]], n: int) -> list[int]:
    """The parity that each CX makes, as a bit mask of the bits that n wires began with."""
    rows = [1 << w for w in range(n)]
    found = []
    for control, target in network:
        rows[target] ^= rows[control]
        found.append(rows[target])
    return found


def final_bits(network: list[tuple[int, int]], n: int) -> list[int]:
    """[wire] the bit that each wire holds after a network that leaves one bit on each."""
    rows = [1 << w for w in range(n)]
    for control, target in network:
        rows[target] ^= rows[control]
    return [row.bit_length() - 1 for row in rows]
