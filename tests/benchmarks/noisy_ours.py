"""Our exact noisy gradient, as a process: noisy_ours.py exact PROBLEM; of the workload that the problem names.

"first" holds the first call alone: the circuit is compiled for the device before, with its parameters symbolic.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import qtrain
from tests.benchmarks.benchmark_worker import Run, serve
from tests.benchmarks.noisy_workloads import KEY, SHOTS, WORKLOADS, Problem


def exact(problem: Problem) -> Run:
    """Loss and gradient of every weight, without shots."""
    executor = qtrain.NoisySimulator(problem.device, shots=None)
    program = problem.program

    def run() -> dict[str, Any]:
        loss, gradient, _ = executor.value_and_gradient(program, problem.x, problem.w, problem.loss)
        return {"loss": loss, "gradient": gradient}

    def in_two_calls() -> dict[str, Any]:
        angles = program.angles(problem.x, problem.w)
        loss, cotangent = problem.loss(executor.expectations(program, angles, key=KEY))
        return {"loss": loss, "gradient": executor.adjoint(program, angles, cotangent).sum(axis=0) @ program.A}

    return run if hasattr(executor, "value_and_gradient") else in_two_calls


def sampled(problem: Problem) -> Run:
    """Every shifted expectation with shots."""
    return lambda: {"shifted": problem.shifted(SHOTS)}


def main() -> None:
    path = sys.argv[1]
    made: list[Problem] = []

    def imports() -> None:
        names = {w.name: w for w in WORKLOADS}
        made.append(Problem(names[sys.argv[2]]))

    serve(imports, lambda _: {"exact": exact, "sampled": sampled}[path](made[0]))


if __name__ == "__main__":
    main()
