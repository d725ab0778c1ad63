"""Vendors' own formats in, Device out; units and error kinds end here."""

from __future__ import annotations

from typing import Any

from qcompile.device import Device
from qcompile.vendors import ibm, target
from qcompile.vendors.target import from_target

__all__ = ["from_backend", "from_target"]


def from_backend(backend: Any) -> Device:
    """Snapshot of a Qiskit backend.

    Args:
        backend: an IBM backend, live or fake, is read from its properties and configuration, so that two-sided readout
            and dates survive; any other BackendV2 from its Target. The backend is not changed, nor refreshed.
    Raises: CalibrationError: a value breaks a rule, or the object is no backend.
    """
    return ibm.from_backend(backend) if ibm.recognizes(backend) else target.from_backend(backend)
