"""The warm-start benchmark, as small as it gets: its chip drifts as it says, and every case is billed and evaluated."""

import numpy as np
import pytest

from qcompile.calibration import load_device
from tests.benchmarks import warm_start

MANILA = load_device("ibm_manila")


def test_drift_moves_every_number_once_and_nothing_else():
    moved = warm_start.drifted(MANILA, 0.3, seed=1)
    assert moved == warm_start.drifted(MANILA, 0.3, seed=1)
    assert warm_start.drifted(MANILA, 0.0, seed=1) == MANILA
    ratios = [moved.gates[key].error / gate.error for key, gate in MANILA.gates.items() if gate.error]
    ratios += [b.t1 / a.t1 for a, b in zip(MANILA.qubits, moved.qubits)]
    ratios += [b.t2 / a.t2 for a, b in zip(MANILA.qubits, moved.qubits)]
    ratios += [b.readout.p0_given_1 / a.readout.p0_given_1 for a, b in zip(MANILA.qubits, moved.qubits)]
    assert 0.15 < np.std(np.log(ratios)) < 0.45
    assert {key: gate.duration for key, gate in moved.gates.items()} == {
        key: gate.duration for key, gate in MANILA.gates.items()
    }
    for a, b in moved.graph.edges:
        assert moved.gates["cx", (a, b)].error == moved.gates["cx", (b, a)].error


def test_every_case_has_its_curve_and_the_table_and_picture_are_made(tmp_path):
    rows = warm_start.measure([0, 1], 0.3, cases=(("cold", 4), ("warm", 4)), model_steps=4)
    assert [(row["start"], row["gradients"]) for row in rows] == [
        ("cold", "every gradient"), ("warm", "every gradient"), ("cold", "pruned"), ("warm", "pruned"),
    ]  # fmt: skip
    for row in rows:
        assert np.shape(row["accuracy"]) == (2, 2)
        assert row["qpu_seconds"][0] == 0
    every, pruned = rows[0]["qpu_seconds"][-1], rows[2]["qpu_seconds"][-1]
    assert every == rows[1]["qpu_seconds"][-1] > pruned > 0
    # IBM's quick form, 2 s a job and 0.35 ms an execution, with a shorter circuit
    assert every == pytest.approx(4 * 3104 * 1024 * 0.00026, rel=0.1)
    assert len(warm_start.table(rows).splitlines()) == 5
    warm_start.draw(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
