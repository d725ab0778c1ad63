"""README's Python runs as it stands, and its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import qcompile.cli
import qtrain.cli

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")


def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    program = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    assert program.count("steps=180") == 1
    (tmp_path / "qcompile").mkdir()
    (tmp_path / "qcompile" / "examples").symlink_to(ROOT / "qcompile" / "examples")
    script = tmp_path / "readme.py"
    script.write_text(
        "import sys\nsys.path.insert(0, sys.argv[1])\n" + program.replace("steps=180", "steps=3"), "utf-8"
    )
    # the folder named qcompile beside the script must not shadow the package
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(script), str(ROOT)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "digits").is_dir()


def test_every_command_of_the_readme_is_known(capsys) -> None:
    verbs = set(re.findall(r"^(qcompile|qtrain) ([a-z]+) ", TEXT, re.MULTILINE))
    assert len(verbs) >= 12
    for package, verb in sorted(verbs):
        command = {"qcompile": qcompile.cli.main, "qtrain": qtrain.cli.main}[package]
        with pytest.raises(SystemExit) as done:
            command([verb, "--help"])
        assert done.value.code == 0, f"{package} {verb}"
        assert f"{package} {verb}" in capsys.readouterr().out


def test_files_that_the_readme_names_are_there() -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / name).exists(), name
