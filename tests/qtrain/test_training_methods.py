"""Training with every gradient method, exact and noisy, to the end and across an interruption."""

import numpy as np
import pytest

import qtrain
from qcompile.device import Device
from qtrain import gradients
from qtrain.billing import total_bill
from qtrain.cli import main
from qtrain.datasets import Dataset
from qtrain.errors import ConfigError
from qtrain.settings import Settings
from qtrain.task import Task
from qtrain.train import iter_train
from tests.gradient_circuits import everything

CHIP = Device.from_coupling([(0, 1)], two_qubit_error=1e-2, one_qubit_error=1e-3, readout_error=1e-2)
MAKING_MOVES = {"optimizer": "sgd", "lr": 1.0, "schedule": "constant"}
METHODS = {
    name: gradients.from_name(name)
    for name in (
        "parameter_shift(shift=1.0)",
        "adjoint()",
        "finite_difference(kind='forward')",
        "rotosolve()",
        "prune(rotosolve(), ratio=0.5)",
        "natural(parameter_shift(), regularization=0.1)",
        "prune(natural(parameter_shift()), ratio=0.5)",
        "natural(prune(adjoint(), ratio=0.5))",
        "average(spsa(), 3)",
        "average(prune(parameter_shift(), ratio=0.3), 2)",
    )
}
NOISY = ("finite_difference(kind='forward')", "rotosolve()", "prune(natural(parameter_shift()), ratio=0.5)")
every_method = pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in METHODS for kind in ("exact", "noisy") if kind == "exact" or name in NOISY],
)


def model():
    circuit, features, weights = everything(2)
    return qtrain.QuantumModel(circuit, features=features, weights=weights, observables=["Z0", "Z1"])


def rows(seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(24) % 2
    return Dataset(rng.normal(0, 0.3, (24, 2)) + np.where(y[:, None] == 1, 2.2, 0.7), y, "rows")


def executor(name, kind, made=None):
    shots = None if "adjoint" in name else 30
    base = qtrain.ExactSimulator if kind == "exact" else qtrain.NoisySimulator
    made = made or base
    return made(shots=shots) if kind == "exact" else made(CHIP, shots=shots, effort="fast")


def options(name):
    chosen = MAKING_MOVES if METHODS[name].is_move else {"optimizer": "adam", "lr": 0.1}
    return {"gradient": METHODS[name], "steps": 8, "batch_size": 6, "seed": 3, "checkpoint_every": 3, **chosen}


class PowerCut(Exception):
    pass


def dying(kind, calls):
    """An executor that is recorded as the kind itself and fails in the middle of a step."""
    base = qtrain.ExactSimulator if kind == "exact" else qtrain.NoisySimulator

    class Dies(base):
        left = calls

        def expectations(self, *args, **kwargs):
            Dies.left -= 1
            if Dies.left < 0:
                raise PowerCut
            return super().expectations(*args, **kwargs)

    Dies.__name__ = base.__name__
    return Dies


@every_method
def test_a_run_that_was_cut_goes_on_bit_for_bit(tmp_path, name, kind):
    whole = qtrain.train(model(), rows(), executor=executor(name, kind), **options(name))
    assert np.isfinite(whole.losses).all()
    assert whole.steps == 8
    with pytest.raises(PowerCut):
        qtrain.train(
            model(), rows(), executor=executor(name, kind, dying(kind, 5)), run_dir=tmp_path / "run", **options(name)
        )
    resumed = qtrain.resume(tmp_path / "run")
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.metrics == whole.metrics
    assert resumed.ledger == whole.ledger


@every_method
def test_the_bill_is_announced_and_weights_move_only_where_they_were_evaluated(name, kind):
    settings = Settings(**{k: v for k, v in options(name).items() if k != "gradient"})
    task = Task(model(), rows(), None, executor(name, kind), METHODS[name], settings)
    layer = qtrain.QuantumLayer(task.model, task.executor, task.gradient, seed=3)
    optimizer, before = settings.make_optimizer(layer), layer.weights.detach().clone()
    for _ in iter_train(layer, optimizer, task.train_set, settings):
        moved = (layer.weights.detach() != before).numpy()
        assert moved.any()
        assert not np.any(moved & ~layer.evaluated)
        before = layer.weights.detach().clone()
    least, most = total_bill(task, layer.program)
    assert least.circuits <= task.executor.ledger.circuits <= most.circuits
    if "prune" not in name:
        assert least == most


@pytest.mark.parametrize("changes", [{"optimizer": "adam"}, {"lr": 0.5}, {"schedule": "cosine"}, {}])
@pytest.mark.parametrize("name", ["rotosolve()", "prune(rotosolve(), ratio=0.5)"])
def test_a_move_is_taken_only_by_the_optimizer_that_makes_it(name, changes):
    settings = {"steps": 2, "batch_size": 4, **(MAKING_MOVES | changes if changes else {})}
    with pytest.raises(ConfigError, match="Expected optimizer = 'sgd', lr = 1, schedule = 'constant'"):
        qtrain.train(model(), rows(), executor=qtrain.ExactSimulator(), gradient=METHODS[name], **settings)


def test_a_configuration_names_methods_with_their_options(tmp_path, capsys):
    config = tmp_path / "config.toml"
    for method, more in (
        ("natural(adjoint(), regularization=0.1)", ""),
        ("finite_difference(kind='forward')", "ratio = 0.5"),
        ("rotosolve", ""),
    ):
        chosen = 'optimizer = "sgd"\nlr = 1.0\nschedule = "constant"' if method == "rotosolve" else ""
        config.write_text(f'[gradient]\nmethod = "{method}"\n{more}\n[train]\nsteps = 3\nbatch_size = 4\n{chosen}\n')
        assert main(["train", str(config), "--quiet", "--json"]) == 0, capsys.readouterr().err
        assert main(["cost", str(config), "--json"]) == 0, capsys.readouterr().err
    config.write_text('[gradient]\nmethod = "rotosolve(3)"\n')
    assert main(["train", str(config)]) == 2
    assert "rotosolve(3)" in capsys.readouterr().err
