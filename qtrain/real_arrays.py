"""Numbers that a caller passes, as an array: exactly what was meant, or an error that says what else it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtrain.errors import ConfigError


def real_array(what: str, values: Any) -> NDArray[Any]:
    """`values` as a numpy array of real numbers, of the type that they have.

    Args:
        what: their name, plural, for the message.
    Raises: ConfigError: a masked array (its mask would be ignored), a ragged list, a tensor that requires grad or is
        not in main memory, or values that are no real numbers.
    """
    if is_masked(values):
        raise ConfigError(
            f"{what} are a masked array, whose masked values would be used as if they were not masked. "
            "Expected plain numbers: leave those rows out, or fill them in with .filled(value)."
        )
    try:
        array = np.asarray(values)
    except ValueError:
        raise ConfigError(f"{what} are a ragged list. Expected rows of one length.") from None
    except (RuntimeError, TypeError) as error:  # torch: it requires grad, or is on a GPU
        raise ConfigError(
            f"{what}: a {type(values).__name__} that is no array ({str(error).splitlines()[0]}). "
            "Expected numpy numbers: tensor.detach().cpu().numpy()."
        ) from None
    if array.dtype.kind not in "fiu":
        raise ConfigError(f"{what} have dtype {array.dtype}. Expected real numbers.")
    return array


def is_masked(values: Any) -> bool:
    """Whether a masked array, or a list of such, is given."""
    if isinstance(values, list | tuple):
        return any(isinstance(row, np.ma.MaskedArray) for row in values)
    return isinstance(values, np.ma.MaskedArray)
