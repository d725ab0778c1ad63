"""A service that records what it is asked, for tests of what comes before a job."""

from qtrain.chip.types import Health


class RecordingService:
    """One backend in memory, every answer an attribute; `sent` counts submissions, and a test expects none.

    Args:
        device: the calibration that it reports.
    """

    def __init__(self, device, *, name="ibm_somewhere", local=False, paid=True, plan="premium", remaining=None):
        self.name, self.is_local, self.paid, self.account_plan = name, local, paid, plan
        self.now, self.state, self.remaining, self.sent = device, Health(True, "active", 0), remaining, 0

    def is_paid(self):
        return self.paid

    def plan(self):
        return self.account_plan

    def device(self):
        return self.now

    def calibration_id(self):
        return self.now.sha256

    def health(self):
        return self.state

    def remaining_seconds(self):
        return self.remaining

    def submit(self, pubs, *, shots, tag, max_seconds):
        del pubs, shots, tag, max_seconds
        self.sent += 1
        return f"job{self.sent}"
