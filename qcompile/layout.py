"""Layout: which physical qubit each virtual qubit sits on. Direction is always virtual -> physical."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qiskit import QuantumCircuit

from qcompile.errors import InputError


@dataclass(frozen=True)
class Layout:
    """physical[v] == p: virtual qubit v sits on physical qubit p.

    Raises: InputError: a physical qubit named twice, or a negative one.
    """

    physical: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "physical", tuple(int(p) for p in self.physical))
        if len(set(self.physical)) != len(self.physical) or any(p < 0 for p in self.physical):
            raise InputError(
                f"Layout {self.physical} is not one physical qubit (0 or more) for each virtual one. "
                "Expected distinct indices."
            )

    @classmethod
    def trivial(cls, num_qubits: int) -> Layout:
        """Virtual qubit v on physical qubit v."""
        return cls(tuple(range(num_qubits)))

    def __len__(self) -> int:
        return len(self.physical)

    @property
    def virtual(self) -> dict[int, int]:
        """The inverse: physical qubit -> virtual qubit, where one sits on it."""
        return {p: v for v, p in enumerate(self.physical)}

    def then(self, moves: Mapping[int, int]) -> Layout:
        """The layout after each physical qubit's content moved to `moves[p]` (unnamed ones stay)."""
        return Layout(tuple(moves.get(p, p) for p in self.physical))

    def swapped(self, a: int, b: int) -> Layout:
        """The layout after a SWAP of physical qubits a and b."""
        return self.then({a: b, b: a})

    def restricted(self, active: Iterable[int]) -> Layout:
        """The same layout with physical qubits renumbered by their position in ascending `active`."""
        position = {p: i for i, p in enumerate(sorted(active))}
        return Layout(tuple(position[p] for p in self.physical))


def virtual_places(circuit: QuantumCircuit) -> list[int] | None:
    """Where the virtual qubits of a mapped circuit are at the end, by its Qiskit layout; None if that names none.

    A circuit read from OpenQASM 3 with physical qubits has a layout, too: every qubit on itself, no register, no
    routing. It says nothing of virtual qubits. Qiskit's own may lack registers where a circuit is as wide as its chip.
    """
    layout = circuit.layout
    if layout is None:
        return None
    stays = layout.final_layout is None and layout.initial_index_layout() == list(range(circuit.num_qubits))
    if stays and not layout.initial_layout.get_registers():
        return None
    return list(layout.final_index_layout(filter_ancillas=True))
