"""Fidelity from calibration, one method a module, all on the same `NoisyProgram`.

- `product`: product-state marginals, any size.
- `cluster`: two-qubit cluster marginals, any size.
- `marginals`: exact marginals of one noise-free statevector, to 20 qubits.
- `exact`: the density matrix, to 12 qubits.

Calibration-only numbers are upper bounds of what a chip does: drift, crosstalk and leakage are not in them.
"""

from qcompile.fidelity.tiers import METHODS

__all__ = ["METHODS"]
