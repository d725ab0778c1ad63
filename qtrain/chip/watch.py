"""The calibration of a chip as it moves: which one a step is compiled for.

It moves once a day or more often, and a run lasts longer. Each step is compiled for the newest one, but a step whose
jobs were sent before an interruption is finished on the one that they were compiled for: they are paid for.
"""

from __future__ import annotations

from qcompile.calibration import device_from_json
from qcompile.device import Device
from qtrain.chip.faults import Say
from qtrain.chip.patient import PatientService
from qtrain.errors import MovedError
from qtrain.jobs import JobLedger
from qtrain.program import Program


class CalibrationWatch:
    """Looks at a service's calibration.

    Attributes:
        newest: as of the last look.
        chosen: what the step of the last look is compiled for.
    """

    def __init__(self, service: PatientService, say: Say) -> None:
        self._service, self._say = service, say
        self.newest = self.chosen = service.device()
        self._id = service.calibration_id()
        self._given_up: set[int] = set()  # steps that cannot be finished on the calibration that they were begun on

    def look(self, program: Program, step: int | None, jobs: JobLedger) -> str | None:
        """What has changed, in words, if the program must be compiled anew before that step."""
        assert program.device is not None
        current = self._service.calibration_id()
        if current != self._id:
            self.newest = self._service.device()
            self._id = current
        self.chosen = self.newest
        begun = None if step is None or step in self._given_up else jobs.begun_on(step)
        if begun is not None and begun[0] != self.newest.sha256:
            self.chosen = device_from_json(begun[1], f"{jobs.path}, calibration {begun[0][:12]}")
        before, now = program.device.sha256, self.chosen.sha256
        if before == now:
            return None
        if self.chosen is not self.newest:
            text = f"step {step} was begun on calibration {now[:12]}, and is finished on it"
            self._say("calibration", text)
            return text
        text = (
            f"calibration {before[:12]} ({program.device.calibrated_at:%Y-%m-%d %H:%M}) -> {now[:12]} "
            f"({self.newest.calibrated_at:%Y-%m-%d %H:%M}): the circuit is compiled anew"
        )
        self._say("recompilation", text)
        return text

    def is_newest(self, device: Device, *, ask: bool = False) -> bool:
        """Whether a program for that device is up to date, as of the last look or, if asked, of now."""
        return device.sha256 == self.newest.sha256 and not (ask and self._service.calibration_id() != self._id)

    def moved(self, step: int, device: Device, jobs: JobLedger, why: str) -> MovedError:
        """The error of a step that cannot be finished as it was compiled; what still queues of it is cancelled."""
        self._given_up.add(step)
        self._id, self.newest = self._service.calibration_id(), self._service.device()
        self.chosen = self.newest  # what `layer.recompile()`, which the message advises, compiles for
        for job in jobs.open_jobs():
            if job.step == step and job.calibration == device.sha256 and job.job_id:
                self._service.cancel_patiently(job.job_id)
                jobs.failed(job.tag, "abandoned", "the calibration moved")
        return MovedError(f"the calibration moved under step {step}: {why} Compile anew: layer.recompile().")
