"""numba kernels for one-qubit runs: what stands on a qubit between two-qubit gates, applied in one pass.

A run is rows of `elements` [element, 2]: (FIXED, number of its matrix) or (X, Y or Z, slot), first one first. 2 x 2
matrices are stored by entries 00, 01, 10, 11 along the first axis, real and imaginary parts apart. The derivatives of
all rotations of a run follow from the matrix of overlaps M[a, b] = sum over the other qubits of conj(lambda_a) psi_b,
since Im <lambda| P |psi> = Im sum P[a, b] M[a, b], and taking an element E off turns M into E^T M conj(E).
"""

from __future__ import annotations

from typing import Any

import numba

FIXED, X, Y, Z = 0, 1, 2, 3

_jit = numba.njit(cache=True, nogil=True, fastmath=True)


@_jit
def run_width(rows: Any, elements: Any, uniform: Any, columns: int) -> int:
    """1 where every column has the same matrix, else `columns`."""
    for e in range(rows[0], rows[1]):
        if elements[e, 0] != FIXED and not uniform[elements[e, 1]]:
            return columns
    return 1


@_jit
def run_matrix(rows: Any, elements: Any, matrices: Any, cos: Any, sin: Any, width: int, ur: Any, ui: Any) -> None:
    """ur, ui [4, width]: the product of the run's elements."""
    for k in range(width):
        ur[0, k], ur[1, k], ur[2, k], ur[3, k] = 1.0, 0.0, 0.0, 1.0
        ui[0, k], ui[1, k], ui[2, k], ui[3, k] = 0.0, 0.0, 0.0, 0.0
    for e in range(rows[0], rows[1]):
        kind, at = elements[e, 0], elements[e, 1]
        for column in range(2):
            ar, ai, br, bi = ur[column], ui[column], ur[2 + column], ui[2 + column]
            if kind == FIXED:
                m, n = matrices[0, at], matrices[1, at]
                for k in range(width):
                    p, q, r, s = ar[k], ai[k], br[k], bi[k]
                    ar[k] = m[0, 0] * p - n[0, 0] * q + m[0, 1] * r - n[0, 1] * s
                    ai[k] = m[0, 0] * q + n[0, 0] * p + m[0, 1] * s + n[0, 1] * r
                    br[k] = m[1, 0] * p - n[1, 0] * q + m[1, 1] * r - n[1, 1] * s
                    bi[k] = m[1, 0] * q + n[1, 0] * p + m[1, 1] * s + n[1, 1] * r
            elif kind == X:
                for k in range(width):
                    c, t = cos[at, k], sin[at, k]
                    p, q, r, s = ar[k], ai[k], br[k], bi[k]
                    ar[k], ai[k], br[k], bi[k] = c * p + t * s, c * q - t * r, c * r + t * q, c * s - t * p
            elif kind == Y:
                for k in range(width):
                    c, t = cos[at, k], sin[at, k]
                    p, q, r, s = ar[k], ai[k], br[k], bi[k]
                    ar[k], ai[k], br[k], bi[k] = c * p - t * r, c * q - t * s, c * r + t * p, c * s + t * q
            else:
                for k in range(width):
                    c, t = cos[at, k], sin[at, k]
                    p, q, r, s = ar[k], ai[k], br[k], bi[k]
                    ar[k], ai[k], br[k], bi[k] = c * p + t * q, c * q - t * p, c * r - t * s, c * s + t * r


@_jit
def apply_run(re: Any, im: Any, run: int, ur: Any, ui: Any) -> None:
    """A 2 x 2 matrix a column, or one for all, on the qubit whose two halves are `run` elements apart."""
    width = ur.shape[1]
    if width == 1:
        ar, br, cr, dr = ur[0, 0], ur[1, 0], ur[2, 0], ur[3, 0]
        ai, bi, ci, di = ui[0, 0], ui[1, 0], ui[2, 0], ui[3, 0]
        for base in range(0, re.size, 2 * run):
            for i in range(base, base + run):
                p, q, r, s = re[i], im[i], re[i + run], im[i + run]
                re[i] = ar * p - ai * q + br * r - bi * s
                im[i] = ar * q + ai * p + br * s + bi * r
                re[i + run] = cr * p - ci * q + dr * r - di * s
                im[i + run] = cr * q + ci * p + dr * s + di * r
        return
    for base in range(0, re.size, 2 * run):
        for row in range(base, base + run, width):
            for k in range(width):
                i = row + k
                p, q, r, s = re[i], im[i], re[i + run], im[i + run]
                re[i] = ur[0, k] * p - ui[0, k] * q + ur[1, k] * r - ui[1, k] * s
                im[i] = ur[0, k] * q + ui[0, k] * p + ur[1, k] * s + ui[1, k] * r
                re[i + run] = ur[2, k] * p - ui[2, k] * q + ur[3, k] * r - ui[3, k] * s
                im[i + run] = ur[2, k] * q + ui[2, k] * p + ur[3, k] * s + ui[3, k] * r


@_jit
def cross_run(lr: Any, li: Any, re: Any, im: Any, run: int, columns: int, mr: Any, mi: Any) -> None:
    """mr, mi [4, columns]: the overlaps M[a, b] of lambda and psi for one qubit."""
    mr[:] = 0.0
    mi[:] = 0.0
    for base in range(0, re.size, 2 * run):
        if columns == 1:
            _cross_row(lr, li, re, im, base, run, mr, mi)
            continue
        for a in range(2):
            for b in range(2):
                left, right = base + a * run, base + b * run
                out_r, out_i = mr[2 * a + b], mi[2 * a + b]
                for row in range(0, run, columns):
                    for k in range(columns):
                        p, q = lr[left + row + k], li[left + row + k]
                        r, s = re[right + row + k], im[right + row + k]
                        out_r[k] += p * r + q * s
                        out_i[k] += p * s - q * r


@_jit
def _cross_row(lr: Any, li: Any, re: Any, im: Any, base: int, run: int, mr: Any, mi: Any) -> None:
    """The overlaps of one column, all four in one reading."""
    r00, r01, r10, r11 = 0.0, 0.0, 0.0, 0.0
    i00, i01, i10, i11 = 0.0, 0.0, 0.0, 0.0
    for i in range(base, base + run):
        p, q, r, s = lr[i], li[i], lr[i + run], li[i + run]
        a, b, c, d = re[i], im[i], re[i + run], im[i + run]
        r00 += p * a + q * b
        i00 += p * b - q * a
        r01 += p * c + q * d
        i01 += p * d - q * c
        r10 += r * a + s * b
        i10 += r * b - s * a
        r11 += r * c + s * d
        i11 += r * d - s * c
    mr[0, 0] += r00
    mr[1, 0] += r01
    mr[2, 0] += r10
    mr[3, 0] += r11
    mi[0, 0] += i00
    mi[1, 0] += i01
    mi[2, 0] += i10
    mi[3, 0] += i11


@_jit
def gradient_run(rows: Any, elements: Any, matrices: Any, cos: Any, sin: Any, mr: Any, mi: Any, gradient: Any) -> None:
    """gradient[slot, column] of every rotation of a run from its overlaps, which are used up."""
    for e in range(rows[1] - 1, rows[0] - 1, -1):
        kind, at = elements[e, 0], elements[e, 1]
        for k in range(mr.shape[1]):
            if kind == FIXED:
                er, ei = matrices[0, at], matrices[1, at]
                a, b, c, d = (
                    complex(er[0, 0], ei[0, 0]),
                    complex(er[0, 1], ei[0, 1]),
                    complex(er[1, 0], ei[1, 0]),
                    complex(er[1, 1], ei[1, 1]),
                )
            elif kind == X:
                gradient[at, k] += mi[1, k] + mi[2, k]
                a, b = complex(cos[at, k], 0.0), complex(0.0, -sin[at, k])
                c, d = b, a
            elif kind == Y:
                gradient[at, k] += mr[2, k] - mr[1, k]
                a, b = complex(cos[at, k], 0.0), complex(-sin[at, k], 0.0)
                c, d = -b, a
            else:
                gradient[at, k] += mi[0, k] - mi[3, k]
                a, b = complex(cos[at, k], -sin[at, k]), complex(0.0, 0.0)
                c, d = b, a.conjugate()
            if e == rows[0]:
                continue  # nothing reads the overlaps any more
            m00, m01 = complex(mr[0, k], mi[0, k]), complex(mr[1, k], mi[1, k])
            m10, m11 = complex(mr[2, k], mi[2, k]), complex(mr[3, k], mi[3, k])
            n00, n01 = a * m00 + c * m10, a * m01 + c * m11
            n10, n11 = b * m00 + d * m10, b * m01 + d * m11
            a, b, c, d = a.conjugate(), b.conjugate(), c.conjugate(), d.conjugate()
            m00, m01 = n00 * a + n01 * c, n00 * b + n01 * d
            m10, m11 = n10 * a + n11 * c, n10 * b + n11 * d
            mr[0, k], mr[1, k], mr[2, k], mr[3, k] = m00.real, m01.real, m10.real, m11.real
            mi[0, k], mi[1, k], mi[2, k], mi[3, k] = m00.imag, m01.imag, m10.imag, m11.imag
