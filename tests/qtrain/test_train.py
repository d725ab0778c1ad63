import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qtrain
from qcompile.calibration import load_device
from qtrain import ansatze, datasets, encoders
from qtrain.billing import price, step_bill, total_bill
from qtrain.datasets import Dataset
from qtrain.errors import ConfigError, DataError, ExecutorError
from qtrain.ledger import Ledger
from qtrain.run import read_metrics
from qtrain.settings import Settings
from qtrain.task import Task
from qtrain.train import Trainer, batch_rows, iter_train

SHIFT = qtrain.parameter_shift()
PRUNED = qtrain.prune(SHIFT, ratio=0.5)


def digits_model():
    encoder, features = encoders.ry_rz_rx_ry(4)
    ansatz, weights = ansatze.rzz_ring(4, 3)
    return qtrain.QuantumModel(
        encoder.compose(ansatz), features=features, weights=weights, observables=["Z0", "Z1", "Z2", "Z3"]
    )


def small_model():
    encoder, features = encoders.angle_encoder(2)
    ansatz, weights = ansatze.rzz_ring(2, 1)
    return qtrain.QuantumModel(encoder.compose(ansatz), features=features, weights=weights, observables=["Z0", "Z1"])


def blobs(rows=40, seed=0, name="blobs"):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    return Dataset(rng.normal(0, 0.3, (rows, 2)) + np.where(y[:, None] == 1, 2.2, 0.7), y, name)


def small(**changes):
    options = {"executor": qtrain.ExactSimulator(), "gradient": SHIFT, "steps": 6, "batch_size": 8} | changes
    return qtrain.train(options.pop("model", small_model()), options.pop("train_set", blobs()), **options)


def test_training_learns_digits_without_noise():
    train_set, test_set = datasets.digits(0)
    result = qtrain.train(
        digits_model(), train_set, executor=qtrain.ExactSimulator(), gradient=qtrain.adjoint(), steps=60, lr=0.1,
        test_set=test_set,
    )  # fmt: skip
    assert np.mean(result.losses[-10:]) < np.mean(result.losses[:10]) - 0.15
    assert result.test_accuracy > 0.55


def test_training_learns_digits_under_noise_with_pruning():
    train_set, test_set = datasets.digits(1)
    executor = qtrain.NoisySimulator(load_device("ibm_manila"), shots=1024)
    result = qtrain.train(
        digits_model(), train_set, executor=executor, gradient=PRUNED, steps=60, lr=0.1, seed=1, test_set=test_set
    )
    assert result.test_accuracy > 0.45, "a guess is right in 0.25"
    assert np.mean(result.losses[-10:]) < np.mean(result.losses[:10]) - 0.1
    assert result.ledger.qpu_seconds > 0
    assert result.compiled is not None


@pytest.mark.parametrize("gradient", [SHIFT, PRUNED, qtrain.spsa(), qtrain.adjoint()], ids=lambda g: g.name)
@pytest.mark.parametrize("device", [None, "ibm_manila"])
def test_bill_matches_dry_run_and_what_was_spent(gradient, device):
    def task(executor):
        settings = Settings(steps=5, batch_size=4, evaluate_every=2)
        return Task(small_model(), blobs(), blobs(10, seed=1, name="test"), executor, gradient, settings)

    chip = None if device is None else load_device(device)
    shots = None if gradient.name == "adjoint()" else 100
    real = qtrain.ExactSimulator(shots) if chip is None else qtrain.NoisySimulator(chip, shots=shots)
    done = Trainer(task(real)).run(None, progress=False)
    dry = Trainer(task(qtrain.DryRun(chip, shots=shots)))
    least, most = total_bill(dry.task, dry.layer.program)
    for bill in (least, most):
        assert (bill.circuits, bill.shots, bill.jobs) == (done.ledger.circuits, done.ledger.shots, done.ledger.jobs)
        assert bill.qpu_seconds == pytest.approx(done.ledger.qpu_seconds, rel=1e-12)
    if gradient.name != "adjoint()":
        ran = dry.run(None, progress=False)
        assert ran.ledger.circuits == done.ledger.circuits


def test_the_price_follows_the_vendors_list():
    device = load_device("ibm_manila")
    spent = Ledger(circuits=3, shots=300, qpu_seconds=10.0)
    assert price(spent, None) is None
    if device.pricing is not None and device.pricing.usd_per_second is not None:
        assert price(spent, device) == pytest.approx(10 * device.pricing.usd_per_second)
    task_shot = dataclasses.replace(
        device, pricing=type(device.pricing or object)("task_shot", usd_per_task=0.3, usd_per_shot=0.01)
    )
    assert price(spent, task_shot) == pytest.approx(0.9 + 3.0)
    assert price(spent, dataclasses.replace(device, pricing=None)) is None


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    one, same, other = (small(seed=s, executor=qtrain.ExactSimulator(32), gradient=PRUNED) for s in (1, 1, 2))
    assert one.weights_sha256 == same.weights_sha256
    assert one.metrics == same.metrics
    assert one.weights_sha256 != other.weights_sha256


def test_the_number_of_torch_threads_changes_nothing_and_is_left_alone():
    before = torch.get_num_threads()
    one = small()
    torch.set_num_threads(2)
    two = small()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert one.weights_sha256 == two.weights_sha256


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(0, 2**40), st.integers(0, 10**6), st.data())
def test_a_batch_is_a_function_of_seed_and_step_without_repeated_rows(rows, seed, step, data):
    size = data.draw(st.integers(1, rows))
    batch = batch_rows(rows, size, seed, step)
    assert len(set(batch.tolist())) == size
    assert batch.min() >= 0
    assert batch.max() < rows
    np.testing.assert_array_equal(batch, batch_rows(rows, size, seed, step))


def test_every_row_is_seen_about_equally_often():
    counts = np.bincount(np.concatenate([batch_rows(20, 5, 0, s) for s in range(2000)]), minlength=20)
    assert abs(counts - 500).max() < 5 * np.sqrt(500 * 0.75)


def test_cosine_decay_starts_at_the_rate_and_ends_near_zero():
    rates = [Settings(lr=0.05, steps=180).learning_rate(s) for s in range(180)]
    assert rates[0] == 0.05
    assert rates[90] == pytest.approx(0.025)
    assert 0 < rates[-1] < 1e-5
    assert rates == sorted(rates, reverse=True)
    assert Settings(schedule="constant").learning_rate(100) == 0.05


def test_the_loop_without_a_run_directory_is_iter_train():
    settings = Settings(steps=6, batch_size=8)
    layer = qtrain.QuantumLayer(small_model(), qtrain.ExactSimulator(), SHIFT)
    steps = list(iter_train(layer, settings.make_optimizer(layer), blobs(), settings))
    result = small()
    assert [s.loss for s in steps] == list(result.losses)
    np.testing.assert_array_equal(layer.weights.detach().numpy(), result.weights)


def test_the_test_set_is_evaluated_when_due_and_at_the_end():
    result = small(test_set=blobs(seed=1), evaluate_every=4)
    assert [m["step"] for m in result.metrics if "test_accuracy" in m] == [4, 6]
    assert result.metrics[-1]["test_accuracy"] == result.test_accuracy
    assert small().test_accuracy is None


def test_a_pair_of_arrays_is_a_data_set():
    data = blobs()
    assert small(train_set=(data.x, data.y)).weights_sha256 == small().weights_sha256
    with pytest.raises(DataError, match=r"Expected a qtrain.Dataset, a pair"):
        small(train_set=[1, 2, 3])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"gradient": qtrain.parameter_shift}, "gradient = <function parameter_shift"),
        ({"executor": qtrain.ExactSimulator}, "executor = <class .*ExactSimulator"),
        ({"model": small_model().circuit}, "model is a QuantumCircuit"),
    ],
)
def test_a_part_that_is_named_and_not_made_is_refused(changes, match):
    with pytest.raises(ConfigError, match=match):
        small(**changes)


def test_numbers_of_numpy_are_numbers(tmp_path):
    gradient = qtrain.prune(SHIFT, ratio=np.float64(0.5), accumulation_window=np.int64(1), pruning_window=np.int32(2))
    assert gradient.name == PRUNED.name
    assert qtrain.spsa(c=np.float64(0.25)).name == "spsa(c=0.25)"
    result = small(
        gradient=gradient, lr=np.float32(0.25), steps=np.int64(4), batch_size=np.int16(8), seed=np.int64(0),
        run_dir=tmp_path / "run",
    )  # fmt: skip
    plain = small(gradient=PRUNED, lr=0.25, steps=4, run_dir=tmp_path / "plain")
    assert result.weights_sha256 == plain.weights_sha256 == qtrain.resume(tmp_path / "run").weights_sha256


def test_observables_that_need_no_circuit_cost_nothing():
    model = small_model()
    nothing = qtrain.QuantumModel(
        model.circuit, features=model.features, weights=model.weights, observables=["II", "II"]
    )
    executor = qtrain.NoisySimulator(load_device("ibm_manila"), shots=10)
    result = small(model=nothing, executor=executor, budget=1.0)
    assert result.steps == 6
    assert result.ledger == Ledger()


def test_the_ledger_of_a_run_is_its_own_and_the_executors_goes_on():
    executor = qtrain.ExactSimulator(10)
    first, second = small(executor=executor), small(executor=executor)
    assert first.ledger == second.ledger
    assert executor.ledger == first.ledger + second.ledger


def test_a_result_cannot_be_changed():
    result = small()
    with pytest.raises(ValueError, match="read-only"):
        result.weights[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.steps = 0


def nan_at(step):
    """A loss that is NaN at one step."""
    calls = []

    def loss(outputs, labels):
        calls.append(None)
        value = torch.nn.functional.cross_entropy(outputs, labels)
        return value * float("nan") if len(calls) == step + 1 else value

    return loss


def test_a_nan_loss_stops_with_a_checkpoint_before_the_step(tmp_path):
    with pytest.raises(ExecutorError, match="the loss is nan") as caught:
        small(loss=nan_at(4), run_dir=tmp_path / "run")
    assert "4 of 6 steps are kept" in caught.value.__notes__[0]
    from qtrain.run import latest

    step, state = latest(tmp_path / "run")
    assert step == 4
    assert len(read_metrics(tmp_path / "run")) == 4
    reference = Trainer(
        Task(small_model(), blobs(), None, qtrain.ExactSimulator(), SHIFT, Settings(steps=6, batch_size=8))
    )
    for _ in zip(
        range(4), iter_train(reference.layer, reference.optimizer, blobs(), reference.task.settings), strict=False
    ):
        pass
    assert torch.equal(state["layer"]["weights"], reference.layer.weights.detach())


class Interrupted(qtrain.ExactSimulator):
    """Ctrl-C in the middle of the gradient of a step."""

    left = 4

    def shifted_expectations(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().shifted_expectations(*args, **kwargs)


def test_ctrl_c_keeps_the_last_whole_step_and_says_so(tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"4 of 6 steps are kept in .*; go on with qtrain resume"):
        small(executor=Interrupted(), run_dir=tmp_path / "run", gradient=PRUNED)
    resumed = qtrain.resume(tmp_path / "run", executor=type("Interrupted", (qtrain.ExactSimulator,), {})())
    whole = small(gradient=PRUNED)
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics


def test_ctrl_c_between_the_metrics_and_the_state_of_a_step_loses_no_line(tmp_path, monkeypatch):
    whole = small(run_dir=tmp_path / "whole")
    state, calls = Trainer.state, itertools.count()

    def interrupted(self):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return state(self)

    monkeypatch.setattr(Trainer, "state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small(run_dir=tmp_path / "run")
    monkeypatch.undo()
    result = qtrain.resume(tmp_path / "run")
    assert result.losses == whole.losses
    assert result.weights_sha256 == whole.weights_sha256


def test_ctrl_c_without_a_run_directory_is_just_that():
    with pytest.raises(KeyboardInterrupt):
        small(executor=Interrupted())


def test_a_budget_is_never_exceeded_and_nearly_used():
    executor = qtrain.NoisySimulator(load_device("ibm_manila"), shots=100)
    free = small(executor=executor, gradient=PRUNED, steps=8)
    costs = np.diff([0.0, *(m["qpu_seconds"] for m in free.metrics)])
    budget = float(costs[:5].sum() + 0.5 * costs[5])
    result = small(executor=executor, gradient=PRUNED, steps=8, budget=budget)
    assert result.stopped == "budget"
    assert result.steps == 5
    assert result.ledger.qpu_seconds <= budget
    assert small(executor=executor, gradient=PRUNED, steps=8, budget=1e9).stopped == "finished"


def test_a_budget_holds_for_a_recorder_too():
    executor = qtrain.NoisySimulator(load_device("ibm_manila"), shots=50)
    plain = small(executor=executor, budget=20.0)
    recorded = small(executor=qtrain.Replay(executor), budget=20.0)
    assert plain.stopped == recorded.stopped == "budget"
    assert plain.ledger == recorded.ledger


def test_a_budget_too_small_for_one_step_runs_nothing(tmp_path):
    executor = qtrain.NoisySimulator(load_device("ibm_manila"), shots=100)
    result = small(executor=executor, budget=1e-3, run_dir=tmp_path / "run")
    assert (result.steps, result.ledger, result.losses) == (0, Ledger(), ())
    assert qtrain.resume(tmp_path / "run").steps == 0


def test_the_bill_of_the_last_step_includes_the_test_set():
    settings = Settings(steps=3, batch_size=4)
    task = Task(small_model(), blobs(), blobs(10, name="t"), qtrain.ExactSimulator(5), SHIFT, settings)
    program = qtrain.QuantumLayer(task.model, task.executor, SHIFT).program
    plain, last = step_bill(task, program, 1)[0], step_bill(task, program, 2)[0]
    assert last.circuits - plain.circuits == 10 * program.num_bases


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"lr": 0}, "lr = 0"),
        ({"lr": float("nan")}, "lr = nan"),
        ({"lr": -1.0}, "lr = -1.0"),
        ({"lr": "fast"}, "lr = 'fast'"),
        ({"steps": 0}, "steps = 0"),
        ({"steps": 1.5}, "steps = 1.5"),
        ({"steps": True}, "steps = True"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": 41}, "batch_size = 41, but blobs has 40 rows"),
        ({"seed": -1}, "seed = -1"),
        ({"optimizer": "lion"}, "optimizer = 'lion'. Expected one of adam"),
        ({"schedule": "linear"}, "schedule = 'linear'"),
        ({"checkpoint_every": 0}, "checkpoint_every = 0"),
        ({"evaluate_every": 0}, "evaluate_every = 0"),
        ({"budget": 0}, "budget = 0"),
        ({"budget": float("inf")}, "budget = inf"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_before_any_circuit(changes, match):
    executor = qtrain.ExactSimulator()
    with pytest.raises(ConfigError, match=match):
        small(executor=executor, **changes)
    assert executor.ledger == Ledger()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (Dataset(np.ones((9, 3)), np.arange(9) % 2, "wide"), "wide has 3 features, the encoder takes 2"),
        (Dataset(np.ones((9, 2)), np.zeros(9), "flat"), "flat: every row has class 0"),
        (Dataset(np.ones((9, 2)), np.arange(9) % 2 * 2, "gap"), "gap: no row has class 1"),
        (Dataset(np.ones((9, 2)), np.arange(9) % 3, "three"), "three has 3 classes, the model 2 observables"),
    ],
)
def test_data_that_does_not_fit_the_model_is_refused(data, match):
    with pytest.raises(DataError, match=match):
        small(train_set=data)


def test_a_test_set_of_other_features_or_classes_is_refused():
    with pytest.raises(DataError, match="features"):
        small(test_set=Dataset(np.ones((4, 3)), [0, 1, 0, 1]))
    with pytest.raises(DataError, match="classes"):
        small(test_set=Dataset(np.ones((3, 2)), [0, 1, 2], "more"))


def test_metrics_are_plain_json_with_the_spending_so_far(tmp_path):
    result = small(run_dir=tmp_path / "run", executor=qtrain.ExactSimulator(16))
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert tuple(lines) == result.metrics
    assert [m["step"] for m in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["circuits"] == result.ledger.circuits
    assert all(a["shots"] < b["shots"] for a, b in itertools.pairwise(lines))


def test_the_progress_line_shows_loss_accuracy_and_spending_on_standard_error(capsys):
    small(executor=qtrain.ExactSimulator(16), progress=True)
    out, error = capsys.readouterr()
    assert out == ""
    for word in ("6/6", "loss", "accuracy", "circuits", "shots", "QPU s"):
        assert word in error
    small()
    assert capsys.readouterr().err == "", "no terminal, not asked for"
