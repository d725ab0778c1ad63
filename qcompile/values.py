"""Numbers for symbolic parameters: the caller's, or draws from the seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector

from qcompile.errors import CircuitError, InputError
from qcompile.expressions import AngleTable

DRAWS = 8
"""Parameter draws of an estimate where the parameters are not bound: uniform in [0, 2 pi)."""

Values = Mapping[Any, float] | Sequence[float] | NDArray[np.float64] | None


_LARGEST_SEED = 2**48  # many seeds are made from one (x 1000 and more), and Qiskit's router takes 63 bits


def checked_seed(seed: object) -> int:
    """The seed as an int. Raises: InputError: not a whole number, negative, or above 2**48."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= _LARGEST_SEED:
        raise InputError(f"seed = {seed!r}. Expected a whole number, 0 or more (at most {_LARGEST_SEED}).")
    return int(seed)


def parameter_draws(parameters: Sequence[Parameter], values: Values, seed: int, place: str) -> NDArray[np.float64]:
    """[draw, parameter] numbers: `values` as one draw, or DRAWS draws uniform in [0, 2 pi) from the seed.

    Args:
        values: by parameter, vector of parameters or name, or a sequence in the order of `parameters`.
    Raises: CircuitError: a missing or unknown parameter, a wrong number of values, a value that is not finite.
        InputError: a seed that is none.
    """
    seed = checked_seed(seed)
    if values is None:
        if not parameters:
            return np.empty((1, 0))
        return np.random.default_rng(seed).uniform(0, 2 * math.pi, (DRAWS, len(parameters)))
    if isinstance(values, Mapping):
        by_name: dict[Any, Any] = {}
        for key, value in values.items():
            if isinstance(key, ParameterVector):
                given = np.ravel(value).tolist()
                if len(given) > len(key):
                    raise CircuitError(f"{place}: {len(given)} values for vector {key.name}. Expected {len(key)}.")
                named = {p.name: v for p, v in zip(key, given)}
            else:
                named = {getattr(key, "name", key): value}
            twice = sorted(map(str, named.keys() & by_name.keys()))
            if twice:
                raise CircuitError(f"{place}: values name {', '.join(twice)} twice. Expected each parameter once.")
            by_name |= named
        names = [p.name for p in parameters]
        missing, unknown = [n for n in names if n not in by_name], sorted(set(map(str, by_name)) - set(names))
        if missing or unknown:
            raise CircuitError(f"{place}: values lack {missing} and name unknown {unknown}. Expected exactly {names}.")
        row = [by_name[n] for n in names]
    else:
        row = list(np.asarray(values).ravel())
        if np.ndim(values) != 1 or len(row) != len(parameters):
            raise CircuitError(
                f"{place}: values of shape {np.shape(values)} for {len(parameters)} parameters. "
                f"Expected one number for each of {[p.name for p in parameters]}."
            )
    try:
        numbers = np.array([float(v) for v in row]).reshape(1, -1)
    except (TypeError, ValueError) as error:
        raise CircuitError(f"{place}: values {row} are not all real numbers.") from error
    if not np.isfinite(numbers).all():
        raise CircuitError(f"{place}: values {row} are not all finite. Expected radians.")
    return numbers


def expression_values(
    expressions: Sequence[ParameterExpression], parameters: Sequence[Parameter], table: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[draw, expression] numbers of symbolic angles at [draw, parameter] values.

    Raises: CircuitError: one has no finite real value there.
    """
    return AngleTable(expressions, parameters)(table)
