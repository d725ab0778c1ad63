"""What training on a chip costs this computer: CPU time a step and memory, through the real client.

The service runs in another process on this machine, so this process's CPU time is all but waiting. The chip is a
snapshot of ibm_fez, 156 qubits. A step is a forward pass of 16 rows and their gradient: 36 slots, 1,168 circuits; and
73 slots, 2,352 circuits; 1,024 shots each.

python -m tests.benchmarks.chip_overhead [--profile]
"""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import qiskit_ibm_runtime.executor_sampler  # noqa: F401  part of the imports
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qcompile
import qtrain
from qtrain.chip.faults import Patience
from tests.qtrain.service import LoopbackService

STEPS, BATCH, SHOTS = 5, 16, 1024
QUBITS = 4


def circuit(num_weights: int) -> qtrain.QuantumModel:
    """A chain of RX and RY layers, every angle a slot of its own."""
    x, w = ParameterVector("x", QUBITS), ParameterVector("w", num_weights)
    made = QuantumCircuit(QUBITS)
    for qubit in range(QUBITS):
        made.ry(x[qubit], qubit)
    for k in range(num_weights):
        (made.rx if k // QUBITS % 2 else made.ry)(w[k], k % QUBITS)
        if k % QUBITS == QUBITS - 1:
            for qubit in range(QUBITS - 1):
                made.cx(qubit, qubit + 1)
    return qtrain.QuantumModel(made, features=list(x), weights=list(w), observables=[f"Z{q}" for q in range(QUBITS)])


def memory(field: str) -> float:
    """MiB, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def measured(num_weights: int, backend: str, folder: str) -> tuple[float, float, int]:
    """(CPU s a step, MiB at most beyond what was there before, circuits a step)."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, np.pi, (2 * BATCH, QUBITS)), np.arange(2 * BATCH) % QUBITS
    executor = qtrain.ChipExecutor.from_name(
        backend, shots=SHOTS, budget=1e6, patience=Patience(first_poll=0.2), effort="fast"
    )
    # the first step pays for what loads late; it is left out
    clocks: list[float] = []
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew

    class Clocked(type(executor)):  # type: ignore[misc]
        def preflight(self, *arguments: object) -> None:
            clocks.append(time.process_time())
            super().preflight(*arguments)

    executor.__class__ = Clocked
    result = qtrain.train(
        circuit(num_weights),
        rows,
        executor=executor,
        gradient=qtrain.parameter_shift(),
        steps=STEPS,
        batch_size=BATCH,
        run_dir=Path(folder) / str(num_weights),
    )
    clocks.append(time.process_time())
    return float(np.median(np.diff(clocks)[1:])), memory("VmHWM") - before, result.ledger.circuits // STEPS


def main() -> None:
    rows = np.zeros((QUBITS, QUBITS)), np.arange(QUBITS)
    dry = qtrain.DryRun(qcompile.load_device("ibm_manila"))  # so that all is imported
    qtrain.train(circuit(4), rows, executor=dry, gradient=qtrain.parameter_shift(), steps=1, batch_size=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        LoopbackService(Path(folder) / "service", snapshots=["fez"]) as service,
    ):
        os.environ.update(service.variables())
        print("slots  circuits a step  CPU, s a step  memory, MiB beyond the imports")
        for number, num_weights in enumerate((36, 73)):
            profile = cProfile.Profile()
            if "--profile" in sys.argv:
                profile.enable()
            seconds, mebibytes, circuits = measured(num_weights, "ibm_fez", folder)
            profile.disable()
            print(f"{num_weights:5}  {circuits:15,}  {seconds:13.3f}  {mebibytes:29.0f}", flush=True)
            if "--profile" in sys.argv and number:
                pstats.Stats(profile).sort_stats("cumtime").print_stats(60)
                pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
