"""The gradient benchmark: its figures, as `make bench` prints them, and that it would notice a wrong number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.benchmark_processes import PEERS_PYTHON, Tool, compared, missing
from tests.benchmarks.gradient_ours import by_call, by_layer
from tests.benchmarks.gradient_peers import torch_backprop
from tests.benchmarks.gradient_workloads import WORKLOADS, Workload, circuit_of, gates, loss_of, passes
from tests.benchmarks.gradients import PEERS, disagreement, verdicts
from tests.gradient_circuits import sel

SMALL = (Workload("qoc", "qoc", 4, 1, 3), Workload("sel", "sel", 5, 2, 2))


@pytest.mark.benchmark
def test_gradients_meet_their_targets():
    script = Path(__file__).with_name("gradients.py")
    done = subprocess.run([sys.executable, str(script), "--json"], capture_output=True, text=True, check=True)
    targets = [one for line in done.stdout.splitlines() for one in json.loads(line)["targets"]]
    print(json.dumps(targets, indent=2))
    assert not [one["target"] for one in targets if not one["met"]]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_workload_reads_back_as_the_circuit_that_it_was_written_from(workload):
    circuit, features, weights = workload.built()
    problem = json.loads(json.dumps(workload.problem()))
    again = circuit_of(problem)
    assert gates(*again) == gates(circuit, features, weights) == problem["gates"]
    assert np.shape(problem["x"]) == (workload.batch, len(features))
    assert len(problem["w"]) == len(weights)
    assert workload.problem() == problem


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_our_paths_and_torch_agree_with_central_differences(workload):
    problem = workload.problem()
    found = by_call(problem)()
    assert disagreement(by_layer(problem)(), found) < 1e-12
    assert disagreement(torch_backprop(problem)(), found) < 1e-5
    for k in (0, len(problem["w"]) - 1):
        around = []
        for step in (1e-5, -1e-5):
            moved = problem | {"w": [w + step * (i == k) for i, w in enumerate(problem["w"])]}
            around.append(by_call(moved)()["loss"])
        assert found["gradient"][k] == pytest.approx((around[0] - around[1]) / 2e-5, abs=1e-8)


def test_loss_is_the_mean_of_squares_and_its_derivative():
    values = np.array([[0.5, -1.0], [0.25, 0.0]])
    loss, cotangent = loss_of(values)
    assert loss == pytest.approx((0.25 + 1 + 0.0625) / 2)
    assert cotangent == pytest.approx(values)


def test_runs_of_one_qubit_gates_are_one_pass():
    assert passes(sel(20, 2)[0]) == 80
    assert passes(sel(3, 1)[0]) == 6


def test_a_wrong_number_is_reported():
    reference = {"loss": 0.5, "gradient": [1.0, 2.0]}
    assert disagreement({"loss": 0.5, "gradient": [1.0, 2.5]}, reference) == 0.5
    assert disagreement({"loss": 0.5}, reference) == float("inf")
    rows = {"ours": {"least": 1.0}, "peer": {"least": 4.0, "agrees": False, "disagreement": 0.5}}
    figures = {"rows": rows, "target": 5, "first_warm": 1.0, "first_cold": 31.0}
    words = dict(verdicts(figures))
    assert [met for target, met in words.items() if "DIFFER" in target] == [False]
    assert [met for target, met in words.items() if "best peer" in target] == [False]
    assert [met for target, met in words.items() if "first call" in target] == [True, False]


def test_processes_alternate_and_a_failing_one_has_its_words():
    ours = Tool("ours", "gradient_ours.py", ("call",))
    wrong = Tool("wrong", "gradient_ours.py", ("no_such_path",))
    torch = Tool("torch backprop c64", "gradient_peers.py", ("torch",))
    tools = [(tool, sys.executable) for tool in (ours, wrong, torch)]
    found = compared(tools, SMALL[0].problem(), rounds=2, seconds=0.01, limit=120)
    assert "KeyError" in found["wrong"]["error"]
    assert disagreement(found[torch.name]["values"], found["ours"]["values"]) < 1e-5
    for name in ("ours", torch.name):
        assert 0 < found[name]["least"] <= found[name]["median"]
        assert found[name]["first"] > 0
        assert len(found[name]["medians"]) == 2


def test_a_slow_process_is_stopped():
    ours, slow = Tool("ours", "gradient_ours.py", ("call",)), Tool("slow", "gradient_ours.py", ("call",))
    tools = [(ours, sys.executable), (slow, sys.executable)]
    found = compared(tools, SMALL[0].problem(), rounds=1, seconds=0.01, limit=0.01)
    assert found["slow"] == {"error": "no result in 0 s"}
    assert found["ours"]["least"] > 0


def test_missing_peers_are_named(tmp_path):
    assert missing(PEERS, str(tmp_path / "python")) == list(PEERS)
    assert missing((Tool("a", "", (), "numpy"), Tool("b", "", (), "no_such_package")), sys.executable) == [
        Tool("b", "", (), "no_such_package")
    ]
    assert PEERS_PYTHON.name == "python"


def test_growth_is_drawn_from_saved_figures(tmp_path):
    points = [{"at": 4, "seconds": {"ours": 1e-4, "peer": 1e-3}, "first": {}}, {"at": 6, "seconds": {"ours": 2e-4}}]
    saved, picture = tmp_path / "growth.json", tmp_path / "growth.png"
    saved.write_text(json.dumps({"qubits": points, "weights": points}), encoding="utf-8")
    script = Path(__file__).with_name("gradient_growth.py")
    command = [sys.executable, str(script), "--load", str(saved), "--picture", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "   4 qubits, CPU ms: ours 0.100   peer 1.000" in done.stdout
    assert picture.stat().st_size > 10_000
