"""Pauli strings on batched state vectors in torch: matrix elements, and weighted sums applied to states.

A string flips the bits of a mask x and multiplies by signs and a power of i: strings that flip the same bits share one
pass over the state and one matrix product with their signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from qtrain.simulators.strings import string_masks

Tensor = torch.Tensor
_TABLE_BYTES = 256 * 1024**2  # of sign tables that are kept, and of one that is made anew each time


class _Flips(NamedTuple):
    """Strings that flip the bits of `x` and have an even or an odd number of Y."""

    x: int
    odd: bool
    columns: list[int]
    z: list[int]
    signs: list[float]


class PauliStrings:
    """Strings given as (qubit, Pauli) pairs, on states whose last axis is [2^n], qubit 0 the least significant bit."""

    def __init__(
        self,
        strings: Sequence[tuple[tuple[int, str], ...]],
        num_qubits: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.size = 2**num_qubits
        self.device, self.real = device, dtype.to_real()
        row = self.size * self.real.itemsize
        most = max(1, _TABLE_BYTES // row)
        groups: list[_Flips] = []
        newest: dict[tuple[int, bool], _Flips] = {}
        for column, string in enumerate(strings):
            x, z = string_masks(string)
            ys = sum(pauli == "Y" for _, pauli in string)
            group = newest.get((x, ys % 2 == 1))
            if group is None or len(group.columns) == most:
                group = newest[x, ys % 2 == 1] = _Flips(x, ys % 2 == 1, [], [], [])
                groups.append(group)
            group.columns.append(column)
            group.z.append(z)
            group.signs.append((1.0, -1.0, -1.0, 1.0)[ys % 4])
        self._groups = groups
        self._columns = [torch.tensor(g.columns).to(device) for g in groups]
        self._z = [torch.tensor(g.z).to(device)[:, None] for g in groups]
        self._signs = [torch.tensor(g.signs, dtype=self.real).to(device)[:, None] for g in groups]
        self._back = torch.argsort(torch.cat([*self._columns, torch.zeros(0, dtype=torch.int64, device=device)]))
        self._kept = [self._table(i) for i in range(len(groups))] if len(strings) * row <= _TABLE_BYTES else None

    def elements(self, bra: Tensor, ket: Tensor) -> Tensor:
        """[..., string]: real parts of <bra| string |ket>."""
        found = [self.real_zeros(ket)]
        for i, group in enumerate(self._groups):
            product = self._flipped(bra, group.x).conj() * ket
            found.append((product.imag if group.odd else product.real) @ self.table(i).mT)
        return torch.cat(found, dim=-1).index_select(-1, self._back)

    def weighted(self, weights: Tensor, states: Tensor) -> Tensor:
        """Sums over the strings of weight [..., string] times the string applied to states [..., 2^n]."""
        total = torch.zeros_like(states)
        for i, group in enumerate(self._groups):
            term = (weights.index_select(-1, self._columns[i]) @ self.table(i)) * states
            total = total + self._flipped(-1j * term if group.odd else term, group.x)
        return total

    def real_zeros(self, states: Tensor) -> Tensor:
        """No values yet, [..., 0]."""
        return torch.zeros((*states.shape[:-1], 0), dtype=self.real, device=self.device)

    def table(self, group: int) -> Tensor:
        """[string of the group, 2^n] signs."""
        return self._table(group) if self._kept is None else self._kept[group]

    def _table(self, group: int) -> Tensor:
        bits = torch.arange(self.size, device=self.device) & self._z[group]
        for shift in (32, 16, 8, 4, 2, 1):
            bits = bits ^ (bits >> shift)
        return (1 - 2 * (bits & 1)).to(self.real) * self._signs[group]

    def _flipped(self, states: Tensor, x: int) -> Tensor:
        if x == 0:
            return states
        return states.index_select(-1, torch.arange(self.size, device=self.device) ^ x)
