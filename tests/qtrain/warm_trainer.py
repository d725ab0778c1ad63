"""Imported by the server that trainers are forked from: one dry training, so that all that loads late is loaded."""

import torch

import qcompile
import qtrain
from tests.qtrain import killed_trainer  # noqa: F401
from tests.qtrain.loopback_training import X, Y, model

torch.set_num_threads(1)
qtrain.train(
    model(),
    (X, Y),
    executor=qtrain.DryRun(qcompile.load_device("ibm_manila")),
    gradient=qtrain.parameter_shift(),
    steps=1,
    batch_size=3,
)
