"""The first compilation on a machine says that it makes kernels; later ones say nothing."""

from __future__ import annotations

import pytest

from qcompile import warmup


def test_it_is_said_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(warmup, "_said", False)
    monkeypatch.setattr(warmup, "kernels_are_ready", lambda: False)
    warmup.announce()
    warmup.announce()
    said = capsys.readouterr()
    assert said.err.count("kernels") == 1
    assert said.out == ""


def test_nothing_is_said_where_they_are_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warmup, "_said", False)
    monkeypatch.setattr(warmup, "kernels_are_ready", lambda: True)
    warmup.announce()
    assert capsys.readouterr().err == ""
