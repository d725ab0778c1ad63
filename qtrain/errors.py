"""Every error that qtrain raises on purpose, below the tree of qcompile.errors.

InputError (exit code 2)
├── ModelError      a circuit, parameter list or observable that cannot be trained
├── DataError       a data set that cannot be used as it is
├── ConfigError     an option or configuration file out of its range
└── RunError        a run directory that is locked, damaged, or belongs to something else
QonchipError (exit code 1)
├── ExecutorError   an executor could not deliver what it was asked for
│   ├── PreflightError   the chip, its calibration or the account does not allow the next step now
│   ├── BudgetError      the next step would cost more than is left of the budget; nothing was sent
│   ├── MovedError       the calibration moved under a step; compiled anew, it can be done
│   └── JobError         a job at the service failed, was cancelled, or cannot be read
│       └── FailedJobError   a job failed, and not by the service's fault
└── StorageError    the disk did not take, or did not give back, a run's files
"""

from __future__ import annotations

from qcompile.errors import InputError, QonchipError


class ModelError(InputError):
    """A circuit, parameter list or observable that cannot be trained."""


class DataError(InputError):
    """A data set that cannot be used as it is."""


class ConfigError(InputError):
    """An option or a configuration file that is out of its range."""


class RunError(InputError):
    """A run directory that is locked, damaged, or belongs to another training."""


class ExecutorError(QonchipError):
    """An executor could not deliver what it was asked for."""


class PreflightError(ExecutorError):
    """The chip, its calibration or the account does not allow the next step now; nothing was sent."""


class BudgetError(ExecutorError):
    """The next step would cost more than is left of the budget; nothing was sent."""


class MovedError(ExecutorError):
    """The calibration moved under a step, so that its circuit does not run any more; compiled anew, it can be done."""


class JobError(ExecutorError):
    """A job at the service failed, was cancelled, or returned what cannot be read."""


class FailedJobError(JobError):
    """A job failed, and not by the service's fault: it would fail again."""


class StorageError(QonchipError):
    """The disk did not take, or did not give back, the files of a run."""
