"""Credentials stay out of configurations and messages, and so out of run directories, reports and logs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from qtrain.errors import ConfigError

_SECRET = re.compile("token|apikey|secret|passw|credential|authorization|bearer")
_VARIABLES = ("QISKIT_IBM_TOKEN", "IQM_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "IONQ_API_KEY")
_SHAPES = (
    re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*"),  # JSON web tokens
    re.compile(r"(?i)(bearer|apikey|api_key|token|password|authorization)([\"']?\s*[:=]?\s*[\"']?)[\w\-.~+/]{12,}"),
)
_USED: dict[str, str] = {}  # value -> what it is, of credentials that came from elsewhere than the environment
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


def remember(value: Any, name: str) -> None:
    """A credential that is in use, e.g. of an account saved on disk, is left out of every text from now on."""
    if isinstance(value, str) and len(value) >= _SHORTEST:
        _USED[value] = name


def redacted(text: str) -> str:
    """The text without the credentials in use, and what looks like one: another package's message may quote them."""
    named = {os.environ[name]: name for name in _VARIABLES if len(os.environ.get(name, "")) >= _SHORTEST}
    for value, name in (_USED | named).items():
        text = text.replace(value, f"<{name}>")
    for pattern in _SHAPES:
        text = pattern.sub(lambda m: f"{m[1]}{m[2]}***" if m.re.groups else "***", text)
    return text
