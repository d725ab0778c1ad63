"""numba kernels of runs: rotations and fixed gates of one qubit that follow each other (layout: stages_kernels.py)."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from qtrain.simulators.rows_kernels import mix_rows, turn, turn_rows

FIXED, X, Y, Z = 0, 1, 2, 3  # elements of a run
_SHORT = 8  # entries from which slices are worth their overhead
FORTH, BACK = np.array([1, -1])  # of type int64: a literal would make a specialization of its own

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def run_matrix(op: Any, elements: Any, matrices: Any, turns: Any, ur: Any, ui: Any) -> None:
    """ur, ui [4]: entries 00, 01, 10, 11 of the product of a run's elements."""
    cos, sin = turns[0], turns[1]
    a, b, c, d = 1.0 + 0.0j, 0.0j, 0.0j, 1.0 + 0.0j
    for e in range(op[3], op[4]):
        kind, at = elements[e, 0], elements[e, 1]
        if kind == FIXED:
            m, k = matrices[0, at], matrices[1, at]
            p, q = complex(m[0, 0], k[0, 0]), complex(m[0, 1], k[0, 1])
            r, s = complex(m[1, 0], k[1, 0]), complex(m[1, 1], k[1, 1])
        elif kind == X:
            p, q = complex(cos[at], 0.0), complex(0.0, -sin[at])
            r, s = q, p
        elif kind == Y:
            p, q = complex(cos[at], 0.0), complex(-sin[at], 0.0)
            r, s = -q, p
        else:
            p, q = complex(cos[at], -sin[at]), 0.0j
            r, s = q, complex(cos[at], sin[at])
        a, b, c, d = p * a + q * c, p * b + q * d, r * a + s * c, r * b + s * d
    ur[0], ur[1], ur[2], ur[3] = a.real, b.real, c.real, d.real
    ui[0], ui[1], ui[2], ui[3] = a.imag, b.imag, c.imag, d.imag


@_jit
def run_gradient(op: Any, elements: Any, blochs: Any, turns: Any, g: Any, gradient: Any) -> None:
    """Adds every rotation's derivative of a run. g [3, width] = Im <lambda|P|psi> behind it for P = X, Y, Z; used up.

    Taking an element E off turns P into E P E^-1, a rotation of the three.
    """
    cos, sin = turns[0], turns[1]
    for e in range(op[4] - 1, op[3] - 1, -1):
        kind, at = elements[e, 0], elements[e, 1]
        if kind == FIXED:
            m = blochs[at]
            for k in range(g.shape[1]):
                x, y, z = g[0, k], g[1, k], g[2, k]
                for row in range(3):
                    g[row, k] = m[row, 0] * x + m[row, 1] * y + m[row, 2] * z
            continue
        c, s = cos[at] * cos[at] - sin[at] * sin[at], 2 * cos[at] * sin[at]
        first, second = kind % 3, (kind + 1) % 3
        for k in range(g.shape[1]):
            gradient[at, k] += g[kind - 1, k]
            p, q = g[first, k], g[second, k]
            g[first, k] = c * p + s * q
            g[second, k] = c * q - s * p


@_jit
def apply_run(re: Any, im: Any, run: int, ur: Any, ui: Any) -> None:
    """A 2 x 2 matrix, entries 00, 01, 10, 11, on the qubit whose two halves are `run` entries apart."""
    if run < _SHORT:
        r0, r1, r2, r3 = ur[0], ur[1], ur[2], ur[3]
        i0, i1, i2, i3 = ui[0], ui[1], ui[2], ui[3]
        for base in range(0, re.size, 2 * run):
            for k in range(base, base + run):
                p, q, r, s = re[k], im[k], re[k + run], im[k + run]
                re[k] = r0 * p - i0 * q + r1 * r - i1 * s
                im[k] = r0 * q + i0 * p + r1 * s + i1 * r
                re[k + run] = r2 * p - i2 * q + r3 * r - i3 * s
                im[k + run] = r2 * q + i2 * p + r3 * s + i3 * r
        return
    for base in range(0, re.size, 2 * run):  # slices: the compiler would test all blocks for overlap at once, in vain
        middle, end = base + run, base + 2 * run
        mix_rows(re[base:middle], im[base:middle], re[middle:end], im[middle:end], ur, ui)


@_jit
def run_sums(lr: Any, li: Any, re: Any, im: Any, run: int, g: Any) -> None:
    """g [3, 1] = Im <lambda|P|psi> of one qubit's X, Y, Z, summed over the columns."""
    x, y, z = g.dtype.type(0), g.dtype.type(0), g.dtype.type(0)
    for base in range(0, re.size, 2 * run):
        middle, end = base + run, base + 2 * run
        p0, q0, p1, q1 = lr[base:middle], li[base:middle], lr[middle:end], li[middle:end]
        a0, b0, a1, b1 = re[base:middle], im[base:middle], re[middle:end], im[middle:end]
        for k in range(run):
            x += p0[k] * b1[k] - q0[k] * a1[k] + p1[k] * b0[k] - q1[k] * a0[k]
            y += p1[k] * a0[k] + q1[k] * b0[k] - p0[k] * a1[k] - q0[k] * b1[k]
            z += p0[k] * b0[k] - q0[k] * a0[k] - p1[k] * b1[k] + q1[k] * a1[k]
    g[0, 0], g[1, 0], g[2, 0] = x, y, z


@_jit
def run_rows(lr: Any, li: Any, re: Any, im: Any, bit: int, g: Any) -> None:
    """g [3, columns]: the same of every column; states [amplitude, columns]."""
    g[:] = 0
    for i in range(len(re)):
        if i & bit:
            continue
        p0, q0, p1, q1 = lr[i], li[i], lr[i | bit], li[i | bit]
        a0, b0, a1, b1 = re[i], im[i], re[i | bit], im[i | bit]
        for k in range(a0.size):
            g[0, k] += p0[k] * b1[k] - q0[k] * a1[k] + p1[k] * b0[k] - q1[k] * a0[k]
        for k in range(a0.size):
            g[1, k] += p1[k] * a0[k] + q1[k] * b0[k] - p0[k] * a1[k] - q0[k] * b1[k]
        for k in range(a0.size):
            g[2, k] += p0[k] * b0[k] - q0[k] * a0[k] - p1[k] * b1[k] + q1[k] * a1[k]


@_jit
def _start(op: Any, elements: Any, matrices: Any, turns: Any, r: Any, i: Any) -> None:
    """r, i [2, columns]: one qubit's state after the elements of `op`, from |0>."""
    cos, sin, row_of, cos_rows, sin_rows = turns
    r[0], r[1], i[0], i[1] = 1, 0, 0, 0
    ur, ui = np.empty(4, r.dtype), np.empty(4, r.dtype)
    for e in range(op[3], op[4]):
        kind, at = elements[e, 0], elements[e, 1]
        if kind == FIXED:
            for entry in range(4):
                ur[entry], ui[entry] = matrices[0, at, entry >> 1, entry & 1], matrices[1, at, entry >> 1, entry & 1]
            mix_rows(r[0], i[0], r[1], i[1], ur, ui)
            continue
        row = row_of[at]
        if row < 0:
            if kind == X:
                turn(r[0], i[1], cos[at], -sin[at])
                turn(r[1], i[0], cos[at], -sin[at])
            elif kind == Y:
                turn(r[0], r[1], cos[at], sin[at])
                turn(i[0], i[1], cos[at], sin[at])
            else:
                turn(r[0], i[0], cos[at], -sin[at])
                turn(r[1], i[1], cos[at], sin[at])
            continue
        c, s = cos_rows[row], sin_rows[row]
        if kind == X:
            turn_rows(r[0], i[1], c, s, BACK)
            turn_rows(r[1], i[0], c, s, BACK)
        elif kind == Y:
            turn_rows(r[0], r[1], c, s, FORTH)
            turn_rows(i[0], i[1], c, s, FORTH)
        else:
            turn_rows(r[0], i[0], c, s, BACK)
            turn_rows(r[1], i[1], c, s, FORTH)


@_jit
def product_state(re: Any, im: Any, columns: int, code: Any, turns: Any, qubits: int) -> None:
    """The product of one-qubit states: operation q makes qubit q's from |0>."""
    ops, elements, matrices = code[0], code[1], code[2]
    real, imaginary = re.reshape(-1, columns), im.reshape(-1, columns)
    real[0], imaginary[0] = 1, 0
    r, i = np.empty((2, columns), re.dtype), np.empty((2, columns), re.dtype)
    for q in range(qubits):
        rows = 1 << q
        if ops[q, 4] == ops[q, 3]:
            real[rows : 2 * rows], imaginary[rows : 2 * rows] = 0, 0
            continue
        _start(ops[q], elements, matrices, turns, r, i)
        for row in range(rows):
            for k in range(columns):
                real[rows + row, k] = r[1, k] * real[row, k] - i[1, k] * imaginary[row, k]
            for k in range(columns):
                imaginary[rows + row, k] = r[1, k] * imaginary[row, k] + i[1, k] * real[row, k]
            for k in range(columns):
                a, b = real[row, k], imaginary[row, k]
                real[row, k] = r[0, k] * a - i[0, k] * b
                imaginary[row, k] = r[0, k] * b + i[0, k] * a
