"""Layouts: one place a qubit, inverse and composition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3, transpile
from qiskit.circuit import Qubit

from qcompile import InputError, Layout, compile, load_device
from qcompile.layout import virtual_places


@given(st.permutations(range(8)), st.integers(1, 8), st.integers(0, 7), st.integers(0, 7))
def test_inverse_and_swaps(order: list[int], width: int, a: int, b: int) -> None:
    layout = Layout(tuple(order[:width]))
    assert [layout.virtual[p] for p in layout.physical] == list(range(width))
    assert layout.swapped(a, b).swapped(a, b) == layout
    moved = layout.swapped(a, b)
    for v, p in enumerate(layout.physical):
        assert moved.physical[v] == {a: b, b: a}.get(p, p)


def test_restriction_renumbers_by_ascending_active_qubits() -> None:
    assert Layout((7, 2, 11)).restricted([11, 2, 7, 4]).physical == (2, 0, 3)
    assert Layout.trivial(3).physical == (0, 1, 2)


@pytest.mark.parametrize("physical", [(0, 0), (-1, 2)])
def test_impossible_layout_is_refused(physical: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="distinct"):
        Layout(physical)


def test_virtual_qubits_are_where_qiskits_layout_says() -> None:
    """As wide as its chip, a circuit may come back without registers in its layout; from QASM, with one of no one."""
    device = load_device("ibm_perth")
    circuit = QuantumCircuit([Qubit() for _ in range(7)])
    circuit.h(0)
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 1)):
        circuit.cx(a, b)
    mapped = transpile(circuit, target=device.target(), optimization_level=1, seed_transpiler=3)
    assert virtual_places(mapped) == list(mapped.layout.final_index_layout(filter_ancillas=True))
    assert virtual_places(circuit) is None
    assert virtual_places(qasm3.loads(qasm3.dumps(mapped))) is None
    compiled = compile(circuit, device, effort="fast")
    assert virtual_places(compiled.circuit) == list(compiled.final_layout.physical)
