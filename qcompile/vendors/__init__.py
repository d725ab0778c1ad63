"""Vendors' own formats in, Device out; units and error kinds end here."""

from __future__ import annotations

from typing import Any

from qcompile.device import Device
from qcompile.vendors import braket, google, ibm, iqm, target
from qcompile.vendors.target import from_target

__all__ = ["from_backend", "from_target"]


def from_backend(backend: Any) -> Device:
    """Snapshot of a vendor's backend.

    Args:
        backend: an IBM backend, live or fake, is read from its properties and configuration, so that two-sided readout
            and dates survive; a fake IQM backend from its error profile, an AwsDevice from its properties, a processor
            or Calibration of cirq_google from its metrics; any other BackendV2 from its Target. The backend is not
            changed, nor refreshed.
    Raises: CalibrationError: a value breaks a rule, or the object is no backend.
    """
    if braket.is_device(backend):
        return braket.from_backend(backend)
    if type(backend).__module__.startswith("cirq_google."):
        return google.from_backend(backend)
    if iqm.is_fake(backend):
        return iqm.from_backend(backend)
    return ibm.from_backend(backend) if ibm.recognizes(backend) else target.from_backend(backend)
