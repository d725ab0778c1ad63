"""Stored calibrations as backends: the whole way to a chip, walked here and free of charge."""

from __future__ import annotations

import re
from typing import Any

from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target

from qcompile.calibration import load_device
from qcompile.device import Device
from qcompile.errors import MissingExtraError

_DATED = re.compile(r".+_\d{4}-\d{2}-\d{2}|.+\.json", re.IGNORECASE)


def is_stored(name: str) -> bool:
    """Whether a name means a stored calibration: with its date, or a file. The bare name is the chip itself."""
    return _DATED.fullmatch(name) is not None


def stored_backend(name: str) -> Any:
    """An AerSimulator with the noise of a stored calibration, which it carries as `calibration`.

    Its noise is Qiskit Aer's `NoiseModel.from_backend`: gates, relaxation, readout error alike on both sides.

    Raises: UnknownDeviceError, CalibrationError; MissingExtraError: qiskit-aer is not installed.
    """
    device = load_device(name)
    try:
        from qiskit_aer import AerSimulator
    except ImportError as error:
        raise MissingExtraError(f'backend {name!r} needs qiskit-aer: pip install "qonchip[aer]".') from error
    simulator = AerSimulator.from_backend(_Stored(device))
    simulator.name = name  # by which a run directory finds it again
    simulator.calibration = device
    return simulator


class _Stored(BackendV2):
    """As much of a backend as a noise model is made from."""

    def __init__(self, device: Device) -> None:
        super().__init__(name=device.name)
        self._device_target = device.target()

    @property
    def target(self) -> Target:
        return self._device_target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        raise NotImplementedError("it only describes a chip")
