"""A loopback emulator of IBM's REST endpoints, for the real and unpatched qiskit-ibm-runtime client.

`LoopbackService` (driver.py) starts, kills and restarts it, and gives it faults; the rest runs in the server's process:
server (sockets), routes (who answers), accounts, jobs, sessions, backends (the endpoints), faults, admin (the
switches), store (the state, on disk), worker (the queue), programs (payloads in, results out), chip (what a
calibration allows and how noisy it is), propagation and sampling (the numbers).
"""

from .driver import LoopbackService

__all__ = ["LoopbackService"]
