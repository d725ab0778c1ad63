"""numba kernels of Pauli strings: their expectations, and a weighted sum of them applied to a state.

States as in stages_kernels.py. Strings are rows of masks x, z; those without X and Y are diagonal, and read from
probabilities.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.masks_kernels import odd, parity, string_phase
from qtrain.simulators.rows_kernels import add_scaled, row_im, row_re

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def expectations(re: Any, im: Any, columns: int, strings: Any, out: Any) -> None:
    """out[string, column] = <psi| P |psi>."""
    real, imaginary = re.reshape(-1, columns), im.reshape(-1, columns)
    probability = np.empty(columns, re.dtype)
    out[:] = 0
    for i in range(len(real)):
        for k in range(columns):
            probability[k] = real[i, k] * real[i, k] + imaginary[i, k] * imaginary[i, k]
        for t in range(len(strings)):
            x, z = strings[t, 0], strings[t, 1]
            row, j = out[t], i ^ x
            if x == 0:
                if parity(i & z):
                    for k in range(columns):
                        row[k] -= probability[k]
                else:
                    for k in range(columns):
                        row[k] += probability[k]
            elif i < j:  # the pair (i, j) gives twice the real part
                turned, phase = string_phase(x, z)
                sign = 2 if (phase > 0) != odd(j & z) else -2
                if turned:
                    row_im(row, real[i], imaginary[i], real[j], imaginary[j], -sign)
                else:
                    row_re(row, real[i], imaginary[i], real[j], imaginary[j], sign)


@_jit
def weighted_observable(re: Any, im: Any, columns: int, strings: Any, weights: Any, lr: Any, li: Any) -> None:
    """lambda = sum over strings of weights[string, column] P |psi>."""
    a, b = re.reshape(-1, columns), im.reshape(-1, columns)
    p, q = lr.reshape(-1, columns), li.reshape(-1, columns)
    diagonal = np.empty(columns, re.dtype)
    for i in range(len(a)):
        diagonal[:] = 0
        for t in range(len(strings)):
            if strings[t, 0] == 0:
                row = weights[t]
                if parity(i & strings[t, 1]):
                    for k in range(columns):
                        diagonal[k] -= row[k]
                else:
                    for k in range(columns):
                        diagonal[k] += row[k]
        for k in range(columns):
            p[i, k] = diagonal[k] * a[i, k]
        for k in range(columns):
            q[i, k] = diagonal[k] * b[i, k]
        for t in range(len(strings)):
            x, z = strings[t, 0], strings[t, 1]
            if x != 0:
                turned, phase = string_phase(x, z)
                j = i ^ x
                sign = 1 if (phase > 0) != odd(j & z) else -1
                if turned:
                    add_scaled(p[i], weights[t], b[j], -sign)
                    add_scaled(q[i], weights[t], a[j], sign)
                else:
                    add_scaled(p[i], weights[t], a[j], sign)
                    add_scaled(q[i], weights[t], b[j], sign)
