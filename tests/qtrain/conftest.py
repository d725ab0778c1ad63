"""Fixtures for on-chip execution: the loopback service, the real client, and trainings through both."""

import pytest

from tests.qtrain.service.fixtures import client, loopback, loopback_server

__all__ = ["client", "loopback", "loopback_server"]


@pytest.fixture
def training(loopback, monkeypatch, tmp_path):
    """Trainings on the loopback service; the client finds it by environment variables."""
    pytest.importorskip("qiskit_ibm_runtime")
    from tests.qtrain.loopback_training import Training

    for name, value in loopback.variables().items():
        monkeypatch.setenv(name, value)
    return Training(loopback, tmp_path)
