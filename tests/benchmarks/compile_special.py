"""What compile_quality.py measures beside its pairs: symbolic circuits, and single hard ones.

- Symbolic: ours with the parameters left open next to ours on the bound circuit.
- A 50-qubit ring on ibm_brisbane, which fits no couplers; 127-qubit EfficientSU2 circular there, every qubit of the
  chip; 3-regular QAOA on 50 qubits of ibm_fez; and U3+CU3 on 4 qubits with its 48 parameters symbolic.

Each time is the least of some compilations with different seeds, after one that is not counted. Qiskit's O3 runs once,
where it is asked for: it searches for a place of the 50-qubit ring for up to half a minute.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from qiskit import QuantumCircuit

import qcompile
from tests.benchmarks.compile_circuits import angles, bound, live_device, symbolic
from tests.benchmarks.compile_peers import Mapped, qiskit_runs

REPEATS = 3


@dataclass(frozen=True)
class Special:
    """One circuit on one chip. symbolic: for ours (Qiskit's is bound); limit: CPU seconds that it should take."""

    name: str
    chip: str
    symbolic: bool = False
    limit: float | None = None

    @property
    def title(self) -> str:
        """As the table names it."""
        return f"{self.name} @ {self.chip}" + (", symbolic" if self.symbolic else "")


SPECIALS = (
    Special("u3cu3-4-2", "ibm_guadalupe", symbolic=True, limit=0.1),
    Special("u3cu3-4-2", "ibm_brisbane", symbolic=True, limit=0.1),
    Special("rzzring-50-1", "ibm_brisbane", limit=1.0),
    Special("u3cu3-50-1", "ibm_brisbane", limit=1.0),
    Special("su2circ-127-1", "ibm_brisbane", limit=5.0),
    Special("su2circ-127-3", "ibm_brisbane", limit=5.0),
    Special("qaoa-50-1", "ibm_fez"),
)

SYMBOLIC = (
    "u3cu3-10-3@ibm_fez", "u3cu3-8-2@ibm_guadalupe", "su2circ-10-3@ibm_torino", "qaoa-16-1@ibm_torino",
    "rzzring-14-2@ibm_torino", "crx-10-2@ibm_brisbane", "heis-8-2@ibm_torino", "zzfull-8-1@ibm_guadalupe",
)  # fmt: skip


def fastest(circuit: QuantumCircuit, device: qcompile.Device, effort: str, repeats: int = REPEATS) -> Mapped:
    """Ours at seed 0, with the least CPU time of `repeats` seeds; one compilation before them is not counted."""
    qcompile.compile(circuit, device, seed=repeats, effort=effort)
    found, seconds = [], []
    for seed in range(repeats):
        begun = time.process_time()
        compiled = qcompile.compile(circuit, device, seed=seed, effort=effort)
        seconds.append(time.process_time() - begun)
        qcompile.assert_executable(compiled.circuit, device)
        found.append(compiled.circuit)
    return Mapped(_bound_like(found[0], circuit), device, min(seconds))


def _bound_like(mapped: QuantumCircuit, original: QuantumCircuit) -> QuantumCircuit:
    values = angles(original)
    return mapped.assign_parameters({p: values[p] for p in mapped.parameters})


def special_row(special: Special, effort: str, repeats: int = REPEATS) -> Mapped:
    """Ours on a special circuit, bound afterwards where it is symbolic."""
    circuit = symbolic(special.name) if special.symbolic else bound(special.name)
    return fastest(circuit, live_device(special.chip), effort, repeats)


def by_qiskit(special: Special) -> Mapped:
    """One run of O3 on the bound circuit: a symbolic one takes it 4 to 34 s."""
    return qiskit_runs(bound(special.name), live_device(special.chip), 3, range(1))[0]


def symbolic_and_bound(pair: str, effort: str) -> tuple[Mapped, Mapped]:
    """Ours with the parameters left open (bound afterwards), and ours on the bound circuit."""
    name, chip = pair.split("@")
    device = live_device(chip)
    return fastest(symbolic(name), device, effort, 1), fastest(bound(name), device, effort, 1)
