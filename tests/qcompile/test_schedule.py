"""ALAP schedules: nothing overlaps, nothing could start later, idle windows are exactly the gaps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from qiskit import QuantumCircuit, transpile
from qiskit.transpiler import InstructionDurations, PassManager
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay

from qcompile import Device, compile, load_device
from qcompile.schedule import pad, schedule
from tests.circuits import bound, qoc
from tests.qcompile.strategies import circuits

LINE = Device.from_coupling([(0, 1), (1, 2), (2, 3)])


@settings(max_examples=40, deadline=None)
@given(circuit=circuits())
def test_schedule_is_tight_and_idle_windows_are_the_gaps(circuit: QuantumCircuit) -> None:
    mapped = compile(circuit, LINE, effort="fast").circuit
    timing = schedule(mapped, LINE)
    lines: dict[int, list[tuple[float, float, str]]] = {}
    for i, instruction in enumerate(mapped.data):
        for q in (mapped.find_bit(b).index for b in instruction.qubits):
            if instruction.operation.name != "barrier":
                lines.setdefault(q, []).append((timing.start[i], timing.durations[i], instruction.operation.name))
    gaps = []
    for q, line in lines.items():
        for (start, duration, _), (following, _, _) in itertools.pairwise(line):
            assert following >= start + duration - 1e-15
            if following - start - duration > 1e-15:
                gaps.append((q, start + duration, following - start - duration))
        start, duration, name = line[-1]
        assert start + duration <= timing.duration + 1e-15
        if name != "measure" and timing.duration - start - duration > 1e-15:
            gaps.append((q, start + duration, timing.duration - start - duration))
    found = sorted((w.qubit, w.start, w.duration) for w in timing.idle)
    np.testing.assert_allclose(np.array(found).reshape(-1, 3), np.array(sorted(gaps)).reshape(-1, 3), rtol=1e-9)


def test_delays_agree_with_qiskit_alap_behind_the_first_gate() -> None:
    device = load_device("ibm_manila")
    compiled = compile(bound(qoc(4, 1), 3), device)
    durations = InstructionDurations(
        [
            (name, list(qubits), device.duration(name, qubits), "s")
            for name, qubits in ((i.operation.name, tuple(compiled.circuit.find_bit(q).index for q in i.qubits))
                                 for i in compiled.circuit.data if i.operation.name != "barrier")
        ],
        dt=None,
    )  # fmt: skip
    plain = transpile(compiled.circuit, optimization_level=0)
    target = device.target()
    padded = PassManager([ALAPScheduleAnalysis(durations, target), PadDelay(durations, target)]).run(plain)
    theirs: dict[int, float] = {}
    begun: set[int] = set()
    for instruction in padded.data:
        q = padded.find_bit(instruction.qubits[0]).index
        if instruction.operation.name == "delay":
            unit = {"s": 1.0, "dt": device.timing.dt}[instruction.operation.unit]
            if q in begun:
                theirs[q] = theirs.get(q, 0.0) + instruction.operation.duration * unit
        elif instruction.operation.name != "barrier":
            begun.update(padded.find_bit(b).index for b in instruction.qubits)
    ours: dict[int, float] = {}
    for window in compiled.schedule.idle:
        ours[window.qubit] = ours.get(window.qubit, 0.0) + window.duration
    assert ours == pytest.approx({q: t for q, t in theirs.items() if t > 0}, abs=2e-9)


def test_pad_fills_every_window_and_changes_nothing_else() -> None:
    compiled = compile(bound(qoc(4, 1), 3), load_device("ibm_manila"))
    padded = pad(compiled.circuit, compiled.device)
    delays = [i for i in padded.data if i.operation.name == "delay"]
    assert sum(d.operation.duration for d in delays) == pytest.approx(sum(w.duration for w in compiled.schedule.idle))
    assert [i for i in padded.data if i.operation.name != "delay"] == list(compiled.circuit.data)
    assert schedule(padded, compiled.device).idle == ()
    assert schedule(padded, compiled.device).duration == pytest.approx(compiled.schedule.duration)


def test_explicit_delay_is_waiting_time_and_no_window() -> None:
    circuit = QuantumCircuit(1)
    circuit.sx(0)
    circuit.delay(2, 0, unit="us")
    circuit.sx(0)
    timing = schedule(circuit, LINE)
    assert timing.duration == pytest.approx(2e-6 + 2 * 3.5e-8)
    assert timing.idle == ()
