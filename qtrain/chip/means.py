"""Bits -> means of Pauli strings, with each qubit's calibrated misreading undone where that is asked for.

A qubit that reads 1 for 0 with probability p, and 0 for 1 with q, has E[z read] = a z + b with a = 1 - p - q and
b = q - p; so (z read - b) / a is an unbiased reading of z, and a string's value in a shot is their product
(Bravyi et al., Phys. Rev. A 103, 042605, 2021, for uncorrelated errors).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qcompile.channels import confusion_matrix
from qtrain.chip.types import Array, Bits
from qtrain.errors import ConfigError
from qtrain.measurement import Basis
from qtrain.program import Program

Reading = tuple[tuple[int, float, float], ...]
"""One Pauli string: (bit, value where it reads 0, value where it reads 1) of each of its qubits."""


def readings(program: Program, basis: Basis, *, mitigated: bool) -> list[Reading]:
    """How the strings of a basis are read from its bits.

    Raises: ConfigError: a qubit whose readout tells nothing cannot be mitigated.
    """
    position = {qubit: bit for bit, qubit in enumerate(basis.qubits)}
    made = []
    for term in basis.terms:
        entries = []
        for qubit, _ in program.measurement.strings[term]:
            zero, one = _values(program, qubit) if mitigated else (1.0, -1.0)
            entries.append((position[qubit], zero, one))
        made.append(tuple(entries))
    return made


def string_means(bits: Bits, strings: Sequence[Reading]) -> Array:
    """[point, string] means over the shots."""
    width = bits.outcomes.shape[-1]
    means = np.empty((len(bits.outcomes), len(strings)))
    for column, string in enumerate(strings):
        if all((zero, one) == (1.0, -1.0) for _, zero, one in string):
            mask = sum(1 << bit for bit, _, _ in string)
            under = bits.outcomes & np.frombuffer(mask.to_bytes(width, "big"), np.uint8)
            odd = np.bitwise_count(under).sum(axis=-1, dtype=np.int64) & 1
            means[:, column] = 1.0 - 2.0 * odd.mean(axis=-1)
            continue
        values = np.ones(bits.outcomes.shape[:2])
        for bit, zero, one in string:
            is_one = bits.outcomes[..., width - 1 - bit // 8] >> (bit % 8) & 1
            values *= np.where(is_one, one, zero)
        means[:, column] = values.mean(axis=-1)
    return means


def _values(program: Program, qubit: int) -> tuple[float, float]:
    assert program.compiled is not None
    assert program.device is not None
    physical = program.compiled.active_qubits[qubit]
    confusion = confusion_matrix(program.device, physical)
    p, q = float(confusion[0, 1]), float(confusion[1, 0])
    contrast = 1.0 - p - q
    if abs(contrast) < 1e-3:
        raise ConfigError(
            f"mitigate_readout: physical qubit {physical} reads 1 for 0 with {p:.3g} and 0 for 1 with {q:.3g}, which "
            "tells nothing. Expected a better qubit; leave the option out."
        )
    return (1.0 - (q - p)) / contrast, (-1.0 - (q - p)) / contrast
