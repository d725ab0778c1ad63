"""Where to draw each qubit of a chip: one unit apart, on the grid that the chip is built on where it has one.

Three ways, the first that draws every coupler as a straight line of length one wins: the known grids of IBM's 16- and
27-qubit chips; rows, read off the numbering (IBM numbers its larger chips row by row, and square grids are numbered
so too); else a spring layout (Kamada and Kawai 1989), which is deterministic.
"""

from __future__ import annotations

import re
from collections import deque

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from qcompile.device import Device

Position = tuple[float, float]

_FALCON_16 = (
    (0, 1), (1, 1), (2, 1), (3, 1), (1, 2), (3, 2), (0, 3), (1, 3), (3, 3), (4, 3), (1, 4), (3, 4), (1, 5), (2, 5),
    (3, 5), (1, 6),
)  # fmt: skip
_FALCON_27 = (
    (0, 3), (1, 3), (1, 2), (1, 1), (2, 3), (2, 1), (3, 4), (3, 3), (3, 1), (3, 0), (4, 3), (4, 1), (5, 3), (5, 2),
    (5, 1), (6, 3), (6, 1), (7, 4), (7, 3), (7, 1), (7, 0), (8, 3), (8, 1), (9, 3), (9, 2), (9, 1), (10, 1),
)  # fmt: skip
_KNOWN = {16: _FALCON_16, 27: _FALCON_27}
_ROW_AND_COLUMN = re.compile(r"(\d+)_(\d+)")
_ROUNDING = 1e-6
_CLOSEST = 0.75  # least distance of two qubits in a spring layout, in units of the mean coupler


def couplers(device: Device) -> tuple[tuple[int, int], ...]:
    """Every published coupler, dead ones included, lower qubit first."""
    two_qubit = device.native_gates.two_qubit
    return tuple(sorted({(min(pair), max(pair)) for name, pair in device.gates if name in two_qubit}))


def coordinates(device: Device) -> dict[int, Position]:
    """(x, y) of each qubit, y upwards; no two qubits coincide."""
    graph: nx.Graph[int] = nx.Graph(couplers(device))
    graph.add_nodes_from(range(device.num_qubits))
    known = _KNOWN.get(device.num_qubits)
    candidates = [_by_rows(graph, shortest) for shortest in (2, 3)]
    labelled = [_ROW_AND_COLUMN.fullmatch(qubit.label) for qubit in device.qubits]
    if all(labelled):  # Google names its qubits by their place
        candidates.insert(0, {q: (float(m[2]), -float(m[1])) for q, m in enumerate(labelled) if m})
    if known is not None:
        candidates.insert(0, {q: (float(x), -float(y)) for q, (x, y) in enumerate(known)})
    for positions in candidates:
        if _is_grid(positions, graph):
            return positions
    return _by_springs(graph)


def _is_grid(positions: dict[int, Position], graph: nx.Graph[int]) -> bool:
    """Whether everything is placed, apart, and every coupler is a horizontal or vertical line of length one."""
    if len(positions) < len(graph) or len(set(positions.values())) < len(positions):
        return False
    steps = (np.abs(np.subtract(positions[a], positions[b])) for a, b in graph.edges)
    return all(abs(step.sum() - 1) < _ROUNDING and abs(step.max() - 1) < _ROUNDING for step in steps)


def _by_rows(graph: nx.Graph[int], shortest: int) -> dict[int, Position]:
    """Rows are runs of at least `shortest` consecutive coupled numbers; whatever joins two rows stands between them."""
    row_of: dict[int, list[int]] = {}
    row: list[int] = []
    for q in range(len(graph)):
        if row and not graph.has_edge(q - 1, q):
            row = []
        row.append(q)
        row_of[q] = row
    rows = {q: row for q, row in row_of.items() if len(row) >= shortest}
    positions: dict[int, Position] = {}
    waiting: deque[int] = deque()

    def put(q: int, x: float, y: float) -> None:
        for member in rows.get(q, [q]):
            if member not in positions:
                positions[member] = (x + member - q, y)
                waiting.append(member)

    put(min(rows, default=0), 0.0, 0.0)
    while waiting:
        q = waiting.popleft()
        x, y = positions[q]
        for other in sorted(graph.adj[q]):
            if other not in positions:
                put(other, x, y - 1 if other > q else y + 1)
    return positions


def _by_springs(graph: nx.Graph[int]) -> dict[int, Position]:
    """Kamada-Kawai for each connected part, the parts side by side, couplers of length one on average."""
    positions: dict[int, Position] = {}
    left = 0.0
    for part in sorted(nx.connected_components(graph), key=lambda c: (-len(c), min(c))):
        nodes = sorted(part)
        piece: nx.Graph[int] = nx.Graph()
        piece.add_nodes_from(nodes)
        piece.add_edges_from(sorted(graph.subgraph(part).edges))
        start = nx.circular_layout(piece)
        raw = nx.kamada_kawai_layout(piece, pos=start)
        points = np.array([raw[q] for q in nodes])
        points = (points - points.mean(axis=0)) @ _principal_axes(points)
        points *= _scale(points, [(nodes.index(a), nodes.index(b)) for a, b in piece.edges])
        points -= points.min(axis=0)
        for q, (x, y) in zip(nodes, points):
            positions[q] = (float(x) + left, float(y))
        left += float(points[:, 0].max()) + 1.5
    return positions


def _principal_axes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation that lays the longest side of a cloud along x; signs fixed so that it is the same everywhere."""
    if len(points) < 3:
        return np.eye(2)
    _, _, axes = np.linalg.svd(points - points.mean(axis=0))
    signs = np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)
    return np.asarray((axes * signs[:, None]).T)


def _scale(points: NDArray[np.float64], edges: list[tuple[int, int]]) -> float:
    """Factor that makes the mean coupler 1, or more where qubits would come too close."""
    if not edges:
        return 1.0
    mean = float(np.mean([np.linalg.norm(points[a] - points[b]) for a, b in edges]))
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(len(points), 1)]
    return max(1 / mean, _CLOSEST / max(float(gaps.min()), _ROUNDING))
