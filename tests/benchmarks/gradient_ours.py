"""Our side of the gradient benchmark, as a process: gradient_ours.py PATH PROBLEM.

Paths: "call", one call of the executor; "layer", a torch layer's forward and backward pass. PATH may carry the
precision: "call-single".
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

import qtrain
from tests.benchmarks.benchmark_worker import Run, serve
from tests.benchmarks.gradient_workloads import circuit_of, loss_of


def model_of(problem: dict[str, Any]) -> qtrain.QuantumModel:
    circuit, features, weights = circuit_of(problem)
    observables = [f"Z{q}" for q in range(problem["qubits"])]
    return qtrain.QuantumModel(circuit, features=features, weights=weights, observables=observables)


def executor_of(precision: str) -> qtrain.ExactSimulator:
    return qtrain.ExactSimulator() if precision == "double" else qtrain.ExactSimulator(precision=precision)  # type: ignore[call-arg]


def by_call(problem: dict[str, Any], precision: str = "double") -> Run:
    model, executor = model_of(problem), executor_of(precision)
    program = executor.prepare(
        model.circuit, list(model.observables), features=list(model.features), weights=list(model.weights)
    )
    x, w = np.array(problem["x"]), np.array(problem["w"])

    def run() -> dict[str, Any]:
        loss, gradient, _ = executor.value_and_gradient(program, x, w, loss_of)
        return {"loss": loss, "gradient": gradient}

    def in_two_calls() -> dict[str, Any]:
        angles = program.angles(x, w)
        loss, cotangent = loss_of(executor.expectations(program, angles, key=(0, 0, 0)))
        return {"loss": loss, "gradient": executor.adjoint(program, angles, cotangent).sum(axis=0) @ program.A}

    return run if hasattr(executor, "value_and_gradient") else in_two_calls


def by_layer(problem: dict[str, Any], precision: str = "double") -> Run:
    layer = qtrain.QuantumLayer(model_of(problem), executor_of(precision), qtrain.adjoint())
    x = torch.tensor(problem["x"], dtype=torch.float64)
    with torch.no_grad():
        layer.weights.copy_(torch.tensor(problem["w"], dtype=torch.float64))

    def run() -> dict[str, Any]:
        layer.weights.grad = None
        loss = (layer(x) ** 2).sum(dim=1).mean()
        loss.backward()
        assert layer.weights.grad is not None
        return {"loss": loss.item(), "gradient": layer.weights.grad.numpy()}

    return run


def main() -> None:
    path, _, precision = sys.argv[1].partition("-")
    build = {"call": by_call, "layer": by_layer}[path]
    serve(lambda: None, lambda problem: build(problem, precision or "double"))


if __name__ == "__main__":
    main()
