"""Equivalence by MQT QCEC (extra `verify`): decision diagrams and ZX calculus, for what is too wide to simulate.

It decides where the circuits' difference stays simple while it is built up; wide deep circuits it may not decide.
"""

from __future__ import annotations

from qiskit import QuantumCircuit, transpile

from qcompile.circuit import has_mid_circuit_operations
from qcompile.errors import MissingExtraError, NotEquivalentError, VerificationError
from qcompile.lowering import ONE_QUBIT_BASIS

DEADLINE = 120.0  # s


def compare(a: QuantumCircuit, b: QuantumCircuit, start: list[int], ends: dict[int, int]) -> None:
    """Both on equally many wires, the routing undone by SWAPs: then they are one unitary, up to a global phase.

    Args:
        start: wire of `b` that virtual qubit v enters on.
        ends: wire of `b` that the content of each wire leaves on, spare qubits included.
    """
    try:
        from mqt.qcec.verify_hard_timeout import verify_with_hard_timeout
    except ImportError as error:
        raise MissingExtraError(
            f"{b.num_qubits} qubits are too many to simulate: such circuits are compared by mqt.qcec, which is not "
            'installed. Install it with: pip install "qonchip[verify]"'
        ) from error
    if has_mid_circuit_operations(a) or has_mid_circuit_operations(b):
        raise VerificationError(
            f"{b.num_qubits} qubits with mid-circuit measurement or reset: only what can be simulated can be checked. "
            "Verify the parts between them one by one."
        )
    enter = [*start, *(w for w in range(b.num_qubits) if w not in set(start))]
    wire_of = {w: i for i, w in enumerate(enter)}
    both = []
    for circuit, wires in ((a, list(range(a.num_qubits))), (b, [wire_of[w] for w in range(b.num_qubits)])):
        plain = QuantumCircuit(max(a.num_qubits, b.num_qubits))
        for instruction in circuit.data:
            if instruction.operation.name not in ("measure", "barrier", "delay"):
                plain.append(instruction.operation, [wires[circuit.find_bit(q).index] for q in instruction.qubits])
        basis = [*ONE_QUBIT_BASIS, "cx", "cz", "ecr", "swap"]
        both.append(transpile(plain, basis_gates=basis, optimization_level=0, qubits_initially_zero=False))
    at = {wire_of[w]: wire_of[end] for w, end in ends.items()}  # content of wire i is now on wire at[i]: carry it home
    for home in sorted(at):
        away = at[home]
        if away != home:
            both[1].swap(home, away)
            at = {k: away if v == home else v for k, v in at.items()}
            at[home] = home
    try:
        verdict = verify_with_hard_timeout(both[0], both[1], DEADLINE)["equivalence"]
    except (TimeoutError, RuntimeError) as error:
        raise VerificationError(
            f"mqt.qcec came to no verdict on {both[1].num_qubits} qubits: {error}. "
            "Verify fewer layers or a part of the circuit."
        ) from error
    if verdict in ("equivalent", "equivalent_up_to_global_phase", "equivalent_up_to_phase"):
        return
    if verdict == "not_equivalent":
        raise NotEquivalentError(
            "the compiled circuit does something else (mqt.qcec found a counterexample). "
            "If it was edited after compiling, compile the edited original."
        )
    raise VerificationError(
        f"mqt.qcec came to no verdict on {both[1].num_qubits} qubits ({verdict}). "
        "Verify fewer layers or a part of the circuit."
    )
