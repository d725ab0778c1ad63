"""Observables as they are given, to Pauli strings, and strings to the measurement bases that they share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from qiskit.quantum_info import Pauli, SparsePauliOp

from qcompile.errors import InputError

String = tuple[tuple[int, str], ...]
"""Pauli string: (virtual qubit, "X", "Y" or "Z"), ascending, without identities."""

_FACTOR = re.compile("([XYZ])([0-9]{1,9})")
_LABEL = re.compile(r"[XYZ][0-9]{1,9}(?:\s*[XYZ][0-9]{1,9})*")
_LONGEST_TEXT = 60
_LARGEST = 1e100  # sum of |coefficients|: their squares are still numbers


class Operator(NamedTuple):
    """An observable as it is named, its constant, and (string, coefficient) of the rest."""

    text: str
    offset: float
    terms: tuple[tuple[String, float], ...]


def read_operators(observables: Iterable[str | Pauli | SparsePauliOp], width: int) -> list[Operator]:
    """Checked observables.

    Args:
        width: virtual qubits.
    Raises: InputError: none given, no list, unreadable, of another width, complex or not finite.
    """
    entries = None
    if not isinstance(observables, str | bytes | Pauli | SparsePauliOp):
        with suppress(TypeError):
            entries = iter(observables)
    if entries is None:
        raise InputError(f"observables = {observables!r}. Expected a list, one entry an observable.")
    found = [_operator(f"observables[{i}]", o, width) for i, o in enumerate(entries)]
    if not found:
        raise InputError('observables is empty. Expected at least one, e.g. ["Z0"].')
    return found


def _operator(place: str, given: Any, width: int) -> Operator:
    if isinstance(given, str):
        operator = _labelled(place, given, width)
    elif isinstance(given, Pauli | SparsePauliOp):
        operator = SparsePauliOp(given)
    else:
        raise InputError(f'{place} = {given!r}. Expected "Z0", "X0 Z2", a Pauli string, a Pauli or a SparsePauliOp.')
    if operator.num_qubits != width:
        raise InputError(
            f"{place} = {given!r} is {operator.num_qubits} qubits wide. Expected the circuit's {width} virtual qubits; "
            'name single ones like "Z0".'
        )
    if operator.coeffs.dtype == object:
        raise InputError(f"{place} = {given!r} has symbolic coefficients. Expected real numbers; bind them first.")
    operator = operator.simplify(atol=0.0, rtol=0.0)
    sizes = [abs(c) for c in operator.coeffs.tolist()]
    if not sum(sizes) < _LARGEST or np.any(operator.coeffs.imag != 0):
        raise InputError(
            f"{place} has coefficients {operator.coeffs.tolist()}. Expected finite real numbers (a Hermitian "
            f"operator) whose sizes add up to less than {_LARGEST:g}."
        )
    offset, terms = 0.0, []
    for paulis, qubits, coefficient in operator.to_sparse_list():
        string = tuple(sorted(zip((int(q) for q in qubits), paulis)))
        if string:
            terms.append((string, float(coefficient.real)))
        else:
            offset += float(coefficient.real)
    return Operator(str(given) if isinstance(given, str) else _text(offset, terms), offset, tuple(terms))


def _labelled(place: str, label: str, width: int) -> SparsePauliOp:
    if re.fullmatch("[IXYZ]+", label):
        return SparsePauliOp(label)
    text = label.replace("*", " ").strip()
    if not _LABEL.fullmatch(text):
        raise InputError(f'{place} = {label!r} cannot be read. Expected e.g. "Z0", "X0 Z2", "Z0Z1" or "ZII".')
    letters = ["I"] * width
    for pauli, digits in _FACTOR.findall(text):
        qubit = int(digits)
        if qubit >= width:
            raise InputError(
                f"{place} = {label!r} names qubit {qubit}. The circuit has virtual qubits 0 to {width - 1}."
            )
        if letters[qubit] != "I":
            raise InputError(f"{place} = {label!r} names qubit {qubit} twice. Expected each once.")
        letters[qubit] = pauli
    return SparsePauliOp("".join(reversed(letters)))


def _text(offset: float, terms: Sequence[tuple[String, float]]) -> str:
    parts = [f"{offset:g}"] if offset or not terms else []
    for string, coefficient in terms:
        name = "".join(f"{p}{q}" for q, p in string)
        parts.append(name if coefficient == 1 else f"{coefficient:g} {name}")
    text = " + ".join(parts)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."


def shared_bases(strings: Iterable[String]) -> list[tuple[dict[int, str], list[String]]]:
    """Strings that are equal or the identity on every qubit share a basis; filled in the order of appearance."""
    bases: list[tuple[dict[int, str], list[String]]] = []
    for string in strings:
        for paulis, members in bases:
            if all(paulis.get(q, p) == p for q, p in string):
                paulis.update(string)
                members.append(string)
                break
        else:
            bases.append((dict(string), [string]))
    return bases
