"""Fixtures for on-chip execution: the loopback service and the real client."""

from tests.qtrain.service.fixtures import client, loopback, loopback_server

__all__ = ["client", "loopback", "loopback_server"]
