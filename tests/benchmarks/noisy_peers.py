"""Density-matrix simulators with gradients, as processes of the peers' interpreter: noisy_peers.py PEER PROBLEM.

Each computes the exact loss and the gradient of every weight; nothing that is independent of the weights is counted.

- *tensorcircuit*: TensorCircuit-NG's DMCircuit on jax, channels as superoperators; value_and_grad, vmap over the batch,
  jit; complex64 or complex128.
- *default.mixed*: PennyLane's, channels as QubitChannel, torch backpropagation with the batch broadcast; complex128.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tests.benchmarks.benchmark_worker import Run, serve

Problem = dict[str, Any]


def operators(op: dict[str, Any], dtype: str) -> list[np.ndarray]:
    """Kraus operators of one channel."""
    real, imaginary = (np.array(part) for part in op["kraus"])
    return list((real + 1j * imaginary).astype(dtype))


def tensorcircuit(problem: Problem, dtype: str = "complex64") -> Run:
    import jax
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype(dtype)
    real = jnp.float32 if dtype == "complex64" else jnp.float64
    n = problem["qubits"]
    slopes, w = jnp.array(problem["slopes"], dtype=real), jnp.array(problem["w"], dtype=real)
    angles = jnp.array(problem["angles"], dtype=real)
    channels = [[jnp.array(k) for k in operators(op, dtype)] if "kraus" in op else None for op in problem["ops"]]

    def values(row: Any) -> Any:
        circuit = tc.DMCircuit(n)
        for op, channel in zip(problem["ops"], channels):
            if channel is None:
                circuit.rz(*op["qubits"], theta=row[op["slot"]])
            else:
                circuit.general_kraus(channel, *op["qubits"])
        weights = jnp.real(jnp.diagonal(circuit.densitymatrix())).reshape([2] * n)
        each = []
        for observable in problem["observables"]:
            one = weights.sum(axis=tuple(a for a in range(n) if a != observable["qubit"]))
            each.append(one[0] * observable["zero"] + one[1] * observable["one"])
        return jnp.stack(each)

    def loss(w: Any, angles: Any) -> Any:
        return jnp.mean(jnp.sum(jax.vmap(values)(angles + slopes @ w) ** 2, axis=1))

    both = jax.jit(jax.value_and_grad(loss))

    def run() -> dict[str, Any]:
        value, gradient = both(w, angles)
        return {"loss": float(value), "gradient": np.asarray(gradient)}

    return run


def default_mixed(problem: Problem) -> Run:
    import pennylane as qml
    import torch

    n = problem["qubits"]
    start, slopes = torch.tensor(problem["w"], dtype=torch.float64), torch.tensor(problem["slopes"])
    slopes, angles = slopes.to(torch.float64), torch.tensor(problem["angles"], dtype=torch.float64)
    channels = [operators(op, "complex128") if "kraus" in op else None for op in problem["ops"]]
    zero = torch.tensor([[o["zero"]] for o in problem["observables"]], dtype=torch.float64)
    one = torch.tensor([[o["one"]] for o in problem["observables"]], dtype=torch.float64)

    @qml.qnode(qml.device("default.mixed", wires=n), interface="torch", diff_method="backprop")
    def circuit(rows: Any) -> Any:
        for op, channel in zip(problem["ops"], channels):
            if channel is None:
                qml.RZ(rows[:, op["slot"]], wires=op["qubits"])
            else:
                qml.QubitChannel(channel, wires=op["qubits"])
        return [qml.expval(qml.PauliZ(o["qubit"])) for o in problem["observables"]]

    def run() -> dict[str, Any]:
        w = start.clone().requires_grad_()
        z = torch.stack(list(circuit(angles + slopes @ w)))
        loss = (((1 + z) / 2 * zero + (1 - z) / 2 * one) ** 2).sum(dim=0).mean()
        loss.backward()
        assert w.grad is not None
        return {"loss": loss.item(), "gradient": w.grad.numpy()}

    return run


PEERS: dict[str, tuple[tuple[str, ...], Callable[[Problem], Run]]] = {
    "tensorcircuit": (("jax", "tensorcircuit"), tensorcircuit),
    "tensorcircuit-c128": (("jax", "tensorcircuit"), lambda p: tensorcircuit(p, "complex128")),
    "default.mixed": (("pennylane", "torch"), default_mixed),
}
"""What each imports before the clock and the memory count begin, and what makes its run."""


def main() -> None:
    modules, build = PEERS[sys.argv[1]]
    serve(lambda: [__import__(m) for m in modules] and None, build)


if __name__ == "__main__":
    main()
