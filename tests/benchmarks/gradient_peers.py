"""The simulators that ours is measured against, as processes of the peers' interpreter: gradient_peers.py PEER PROBLEM.

Each at the fastest settings that were found for it, all preparation that does not depend on the weights done before:

- *tensorcircuit*: TensorCircuit-NG on jax, complex64; value_and_grad, vmap over the batch, jit. The state comes first
  and <Z> from its probabilities: faster than expectation_ps, whose networks are contracted one by one.
- *torch*: a state tensor [batch, 2, ..., 2] in complex64, gates as batched matrix products in TorchQuantum's manner,
  backpropagated. (torchquantum 0.1.8 itself wants qiskit < 1 and tensorflow beside it, and cannot be installed here.)
- *qulacs*: `backprop` with the loss-weighted observable, complex128; one circuit a row with its features inside, made
  beforehand.
- *lightning*: PennyLane's lightning.qubit, complex128 or complex64: the device's `execute` and `compute_vjp`, one tape
  a row, without a QNode around them.
- *default.qubit*: PennyLane's, torch backpropagation with the batch broadcast; complex128.
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


def _angle(kind: str, index: int, x: Any, w: Any) -> Any:
    """Of one gate; features of a whole batch if x is [batch, feature]."""
    return x[..., index] if kind == "x" else w[index]


def tensorcircuit(problem: Problem) -> Run:
    import jax
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype("complex64")
    n = problem["qubits"]

    def values(x: Any, w: Any) -> Any:
        circuit = tc.Circuit(n)
        for name, qubits, kind, index in problem["gates"]:
            angle = {} if kind is None else {"theta": _angle(kind, index, x, w)}
            getattr(circuit, name)(*qubits, **angle)
        state = circuit.state().reshape([2] * n)
        weight = jnp.real(state) ** 2 + jnp.imag(state) ** 2
        each = []
        for q in range(n):
            one = weight.sum(axis=tuple(a for a in range(n) if a != q))
            each.append(one[0] - one[1])
        return jnp.stack(each)

    def loss(w: Any, x: Any) -> Any:
        return jnp.mean(jnp.sum(jax.vmap(values, in_axes=(0, None))(x, w) ** 2, axis=1))

    both = jax.jit(jax.value_and_grad(loss))
    x, w = jnp.array(problem["x"], dtype=jnp.float32), jnp.array(problem["w"], dtype=jnp.float32)

    def run() -> dict[str, Any]:
        value, gradient = both(w, x)
        return {"loss": float(value), "gradient": np.asarray(gradient)}

    return run


def torch_backprop(problem: Problem) -> Run:
    import torch

    n = problem["qubits"]
    x, start = torch.tensor(problem["x"], dtype=torch.float32), torch.tensor(problem["w"], dtype=torch.float32)
    batch = len(x)
    signs = torch.tensor([1.0, -1.0])
    cx = torch.eye(4, dtype=torch.complex64)[[0, 1, 3, 2]]

    def matrix(name: str, angle: Any) -> Any:
        """[..., d, d] with the batch in front where the angle has one."""
        if name == "cx":
            return cx
        c, s = torch.cos(angle / 2), torch.sin(angle / 2)
        if name == "ry":
            return torch.stack([c, -s, s, c], dim=-1).reshape(*angle.shape, 2, 2).to(torch.complex64)
        if name == "rx":
            diagonal, off = torch.complex(c, torch.zeros_like(c)), torch.complex(torch.zeros_like(s), -s)
            return torch.stack([diagonal, off, off, diagonal], dim=-1).reshape(*angle.shape, 2, 2)
        low, high = torch.complex(c, -s), torch.complex(c, s)
        return torch.diag_embed(torch.stack({"rz": [low, high], "rzz": [low, high, high, low]}[name], dim=-1))

    def apply(state: Any, gate: Any, qubits: list[int]) -> Any:
        axes = [1 + q for q in qubits]
        order = [0, *axes, *(a for a in range(1, n + 1) if a not in axes)]
        moved = state.permute(order)
        if gate.ndim == 2:
            gate = gate.expand(batch, *gate.shape)
        product = torch.bmm(gate, moved.reshape(batch, gate.shape[-1], -1)).reshape(moved.shape)
        return product.permute([order.index(a) for a in range(n + 1)])

    def run() -> dict[str, Any]:
        w = start.clone().requires_grad_()
        state = torch.zeros(batch, *[2] * n, dtype=torch.complex64)
        state[(slice(None), *[0] * n)] = 1
        for name, qubits, kind, index in problem["gates"]:
            angle = None if kind is None else _angle(kind, index, x, w)
            state = apply(state, matrix(name, angle), qubits)
        weight = state.real**2 + state.imag**2
        each = [weight.sum(dim=[1 + a for a in range(n) if a != q]) @ signs for q in range(n)]
        loss = (torch.stack(each, dim=1) ** 2).sum(dim=1).mean()
        loss.backward()
        assert w.grad is not None
        return {"loss": loss.item(), "gradient": w.grad.numpy()}

    return run


def qulacs_backprop(problem: Problem) -> Run:
    import qulacs

    n, batch = problem["qubits"], len(problem["x"])
    x, w = np.array(problem["x"]), np.array(problem["w"])
    number = {"rx": 1, "ry": 2, "rz": 3}
    trained: list[int] = []  # the weight of each parameter

    def circuit_of(row: int) -> Any:
        circuit = qulacs.ParametricQuantumCircuit(n)
        trained.clear()
        for name, qubits, kind, index in problem["gates"]:
            if kind is None:
                circuit.add_CNOT_gate(*qubits)
            elif kind == "x":  # its rotations turn the other way
                getattr(circuit, f"add_{name.upper()}_gate")(*qubits, -x[row, index])
            else:
                trained.append(index)
                if name == "rzz":
                    circuit.add_parametric_multi_Pauli_rotation_gate(qubits, [3, 3], 0.0)
                else:
                    circuit.add_parametric_multi_Pauli_rotation_gate(qubits, [number[name]], 0.0)
        return circuit

    circuits = [circuit_of(row) for row in range(batch)]
    state = qulacs.QuantumState(n)
    each = []
    for q in range(n):
        observable = qulacs.Observable(n)
        observable.add_operator(1.0, f"Z {q}")
        each.append(observable)

    def run() -> dict[str, Any]:
        gradient, loss = np.zeros(len(w)), 0.0
        for circuit in circuits:
            for i, k in enumerate(trained):
                circuit.set_parameter(i, -w[k])
            state.set_zero_state()
            circuit.update_quantum_state(state)
            values = np.array([o.get_expectation_value(state) for o in each])
            loss += float(values @ values) / batch
            weighted = qulacs.Observable(n)
            for q in range(n):
                weighted.add_operator(2 * values[q] / batch, f"Z {q}")
            np.add.at(gradient, trained, -np.array(circuit.backprop(weighted)))
        return {"loss": loss, "gradient": gradient}

    return run


def lightning(problem: Problem, dtype: type = np.complex128) -> Run:
    import pennylane as qml
    from pennylane.devices import ExecutionConfig

    n, batch = problem["qubits"], len(problem["x"])
    x, w = np.array(problem["x"]), np.array(problem["w"])
    device = qml.device("lightning.qubit", wires=n, c_dtype=dtype)
    gate = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "rzz": qml.IsingZZ}
    measured = [qml.expval(qml.PauliZ(q)) for q in range(n)]
    kinds = [(kind, index) for _, _, kind, index in problem["gates"] if kind is not None]
    trainable = [i for i, (kind, _) in enumerate(kinds) if kind == "w"]
    trained = [kinds[i][1] for i in trainable]
    config = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True)

    def tape(row: Any) -> Any:
        operations = [
            qml.CNOT(qubits) if kind is None else gate[name](_angle(kind, index, row, w), wires=qubits)
            for name, qubits, kind, index in problem["gates"]
        ]
        return qml.tape.QuantumScript(operations, measured, trainable_params=trainable)

    def run() -> dict[str, Any]:
        tapes = tuple(tape(row) for row in x)
        values = np.array(device.execute(tapes, config))
        cotangents = tuple(tuple(2 * v / batch) for v in values)
        gradient = np.zeros(len(w))
        np.add.at(gradient, trained, np.array(device.compute_vjp(tapes, cotangents, config)).sum(axis=0))
        return {"loss": float(np.mean(np.sum(values**2, axis=1))), "gradient": gradient}

    return run


def default_qubit(problem: Problem) -> Run:
    import pennylane as qml
    import torch

    n = problem["qubits"]
    x, start = torch.tensor(problem["x"], dtype=torch.float64), torch.tensor(problem["w"], dtype=torch.float64)
    gate = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "rzz": qml.IsingZZ}

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch", diff_method="backprop")
    def circuit(x: Any, w: Any) -> Any:
        for name, qubits, kind, index in problem["gates"]:
            if kind is None:
                qml.CNOT(qubits)
            else:
                gate[name](_angle(kind, index, x, w), wires=qubits)
        return [qml.expval(qml.PauliZ(q)) for q in range(n)]

    def run() -> dict[str, Any]:
        w = start.clone().requires_grad_()
        loss = (torch.stack(list(circuit(x, w))) ** 2).sum(dim=0).mean()
        loss.backward()
        assert w.grad is not None
        return {"loss": loss.item(), "gradient": w.grad.numpy()}

    return run


PEERS: dict[str, tuple[tuple[str, ...], Callable[[Problem], Run]]] = {
    "tensorcircuit": (("jax", "tensorcircuit"), tensorcircuit),
    "torch": (("torch",), torch_backprop),
    "qulacs": (("qulacs",), qulacs_backprop),
    "lightning": (("pennylane", "pennylane_lightning"), lightning),
    "lightning-c64": (("pennylane", "pennylane_lightning"), lambda p: lightning(p, np.complex64)),
    "default.qubit": (("pennylane", "torch"), default_qubit),
}
"""What each imports before the clock and the memory count begin, and what makes its run."""


def main() -> None:
    modules, build = PEERS[sys.argv[1]]
    serve(lambda: [__import__(m) for m in modules] and None, build)


if __name__ == "__main__":
    main()
