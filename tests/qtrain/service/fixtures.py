"""Fixtures: `loopback`, a service as on its first day; `client`, the real client connected to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .driver import LoopbackService


@pytest.fixture(scope="module")
def loopback_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackService]:
    """One process for all tests of a module."""
    with LoopbackService(tmp_path_factory.mktemp("loopback")) as service:
        yield service


@pytest.fixture
def loopback(loopback_server: LoopbackService) -> LoopbackService:
    """The module's service without jobs, faults or settings; started again if the test before killed it."""
    if loopback_server.process is None:
        loopback_server.start()
    loopback_server.reset()
    return loopback_server


@pytest.fixture
def client(loopback: LoopbackService, monkeypatch: pytest.MonkeyPatch) -> Any:
    """QiskitRuntimeService() of this process, configured by environment variables only."""
    pytest.importorskip("qiskit_ibm_runtime")
    from qiskit_ibm_runtime import QiskitRuntimeService

    for name, value in loopback.variables().items():
        monkeypatch.setenv(name, value)
    return QiskitRuntimeService()
