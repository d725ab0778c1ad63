"""Every error that qcompile raises on purpose.

    QonchipError
    ├── InputError (ValueError)        the caller can mend it: exit code 2
    │   ├── CircuitError               a circuit, QASM text or file that cannot be compiled
    │   ├── CalibrationError           a device file, backend or value that breaks a rule
    │   ├── UnknownDeviceError         no stored calibration of that name
    │   ├── UnroutableError            the circuit does not fit on the live part of the device
    │   ├── NotExecutableError         an instruction that the device cannot run
    │   └── NotEquivalentError         a mapped circuit that does something else than the original
    ├── VerificationError              nobody could tell whether two circuits are equivalent: exit code 1
    └── MissingExtraError (ImportError)  an optional dependency is not installed: exit code 1

A message names the place, the value, the rule and the way out.
"""

from __future__ import annotations


class QonchipError(Exception):
    """Base of every error raised on purpose by qcompile and qtrain."""

    exit_code = 1


class InputError(QonchipError, ValueError):
    """The input breaks a rule; nothing was done. Command lines exit with 2."""

    exit_code = 2


class CircuitError(InputError):
    """A circuit, QASM text or QASM file that cannot be read or compiled."""


class CalibrationError(InputError):
    """Calibration data that breaks a rule of the device schema."""


class UnknownDeviceError(InputError):
    """No stored calibration has that name, and no file is there."""


class UnroutableError(InputError):
    """The circuit needs more qubits than the largest live connected region has."""


class NotExecutableError(InputError):
    """A circuit holds an instruction that the device cannot run as it stands."""


class NotEquivalentError(InputError):
    """A mapped circuit does not do what the original does."""


class VerificationError(QonchipError):
    """Equivalence could neither be shown nor refuted."""


class MissingExtraError(QonchipError, ImportError):
    """An optional dependency is missing; the message names the extra to install."""
