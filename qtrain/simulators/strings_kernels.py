"""numba kernels of Pauli strings: their expectations, and a weighted sum of them applied to a state.

States as in stages_kernels.py. Strings are rows of masks x, z; those without X and Y are diagonal, and read from
probabilities.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.rows_kernels import add_row, add_scaled, row_im, row_re, scaled, square
from qtrain.simulators.stages_kernels import odd, string_phase

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def expectations(re: Any, im: Any, columns: int, strings: Any, out: Any) -> None:
    """out[string, column] = <psi| P |psi>."""
    out[:] = 0
    probability = np.empty(columns, re.dtype)
    for i in range(re.size // columns):
        row = slice(i * columns, (i + 1) * columns)
        square(probability, re[row], im[row])
        for t in range(len(strings)):
            x, z = strings[t, 0], strings[t, 1]
            j = i ^ x
            if x == 0:
                add_row(out[t], probability, -1 if odd(i & z) else 1)
                continue
            if i > j:
                continue  # the pair (i, j) gives twice the real part
            imaginary, phase = string_phase(x, z)
            sign = 2 if (phase > 0) != odd(j & z) else -2
            other = slice(j * columns, (j + 1) * columns)
            if imaginary:
                row_im(out[t], re[row], im[row], re[other], im[other], -sign)
            else:
                row_re(out[t], re[row], im[row], re[other], im[other], sign)


@_jit
def weighted_observable(re: Any, im: Any, columns: int, strings: Any, weights: Any, lr: Any, li: Any) -> None:
    """lambda = sum over strings of weights[string, column] P |psi>."""
    diagonal = np.empty(columns, re.dtype)
    for i in range(re.size // columns):
        row = slice(i * columns, (i + 1) * columns)
        diagonal[:] = 0
        for t in range(len(strings)):
            if strings[t, 0] == 0:
                add_row(diagonal, weights[t], -1 if odd(i & strings[t, 1]) else 1)
        scaled(lr[row], diagonal, re[row])
        scaled(li[row], diagonal, im[row])
        for t in range(len(strings)):
            x, z = strings[t, 0], strings[t, 1]
            if x == 0:
                continue
            imaginary, phase = string_phase(x, z)
            j = i ^ x
            sign = 1 if (phase > 0) != odd(j & z) else -1
            other = slice(j * columns, (j + 1) * columns)
            if imaginary:
                add_scaled(lr[row], weights[t], im[other], -sign)
                add_scaled(li[row], weights[t], re[other], sign)
            else:
                add_scaled(lr[row], weights[t], re[other], sign)
                add_scaled(li[row], weights[t], im[other], sign)
