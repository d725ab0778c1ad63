"""ChipExecutor: the place of on-chip execution, which comes in a later release."""

from __future__ import annotations

from typing import Any

from qtrain.errors import ExecutorError


class ChipExecutor:
    """Runs programs on a vendor's backend: not in this release, so construction fails before any work is done.

    Args:
        backend: a vendor's backend object.
        shots: executions of each circuit.
        budget: QPU seconds that may be spent.
    Raises: ExecutorError: always; it says what to use instead.
    """

    def __init__(self, backend: Any, shots: int = 1024, budget: float | None = None) -> None:
        name = getattr(backend, "name", None) or type(backend).__name__
        raise ExecutorError(
            f"ChipExecutor({name}, shots={shots}, budget={budget}): execution on a chip comes in a later release. "
            "Until then take its calibration, device = qcompile.Device.from_backend(backend), and train on its noise "
            f"with NoisySimulator(device, shots={shots}), or get the bill with DryRun(device, shots={shots})."
        )
