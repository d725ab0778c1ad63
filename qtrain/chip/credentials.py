"""Credentials stay out of configurations, and so out of run directories, reports and logs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from qtrain.errors import ConfigError

_SECRET = re.compile("token|apikey|secret|passw|credential|authorization|bearer")
_VARIABLES = ("QISKIT_IBM_TOKEN", "IQM_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "IONQ_API_KEY")
_SHORTEST = 6  # characters of a value that is worth hiding; shorter ones stand in many words


def refuse_credentials(values: Any, place: str) -> None:
    """Looks at every key, however deep. The message never holds the value.

    Raises: ConfigError: a key that names a credential.
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            if _SECRET.search(re.sub("[-_ ]", "", str(key).lower())):
                raise ConfigError(
                    f"{place}: {key!r} is a credential, and would be copied into files. Expected it in the environment "
                    "(export QISKIT_IBM_TOKEN=...), or in an account saved once with "
                    "QiskitRuntimeService.save_account(...). Take it out of the file, and revoke it if others read it."
                )
            refuse_credentials(value, f"{place}.{key}" if place else str(key))
    elif isinstance(values, list | tuple):
        for number, value in enumerate(values):
            refuse_credentials(value, f"{place}[{number}]")


def without_credentials(text: str) -> str:
    """The text without the credentials of the environment: another package's message may quote them."""
    for name in _VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"<{name}>")
    return text
