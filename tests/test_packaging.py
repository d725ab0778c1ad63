"""The wheel holds what it must, and what is installed from it works where the checkout is not."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import qcompile
from qcompile.examples import PQC6

ROOT = Path(__file__).resolve().parents[1]
TRACKED = ("pyproject.toml", "README.md", "LICENSE", "qcompile", "qtrain", "devices")


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the tree, without network and without touching the checkout."""
    folder = tmp_path_factory.mktemp("build")
    for name in TRACKED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", ".", cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory) -> str:
    """The interpreter of a new environment that has the wheel, and borrows its dependencies from this one."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"), cwd=folder)
    interpreter = folder / "venv" / "bin" / "python"
    place = run(str(interpreter), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    site = Path(place.stdout.strip())
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel),
        cwd=folder)  # fmt: skip
    borrowed = folder / "borrowed"
    borrowed.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "qonchip" not in entry.name and entry.suffix != ".pth":  # not the checkout
            (borrowed / entry.name).symlink_to(entry)
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    return str(interpreter)


def test_wheel_holds_devices_types_licence_and_examples(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    stored = {s.path.name for s in qcompile.list_devices() if s.origin != "user"}
    assert stored
    assert {Path(n).name for n in names if n.startswith("qcompile/devices/") and n.endswith(".json")} == {
        *stored,
        "pricing.json",
    }
    assert {
        "qcompile/py.typed",
        "qtrain/py.typed",
        "qcompile/examples/pqc6.qasm",
        "qcompile/devices/README.md",
    } <= names
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)
    assert {n.split("/")[0] for n in names} == {"qcompile", "qtrain", wheel.name.split("-py3")[0] + ".dist-info"}
    assert not [n for n in names if "__pycache__" in n or n.endswith((".nbc", ".nbi"))]


def test_wheel_says_what_it_needs(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))).decode()
    entries = archive.read(next(n for n in archive.namelist() if n.endswith("entry_points.txt"))).decode()
    assert {"qcompile = qcompile.cli:main", "qtrain = qtrain.cli:main"} <= set(entries.splitlines())
    for line in ("Name: qonchip", "License-Expression: Apache-2.0", "Requires-Python: >=3.11"):
        assert line in metadata.splitlines()
    assert "Requires-Dist: torch" in metadata


def test_installed_commands_work_where_the_checkout_is_not(python: str, tmp_path) -> None:
    variables = {"PYTHONPATH": "", "QONCHIP_DEVICES": str(tmp_path / "own"), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    variables["NUMBA_OPT"] = "0"  # every kernel is compiled anew here, and none is timed
    where = run(
        python, "-c", "import qcompile, qtrain; print(qcompile.__file__, qtrain.__file__)", cwd=tmp_path, **variables
    )
    assert str(ROOT) not in where.stdout
    qcompile_command = (python, "-m", "qcompile.cli")
    listed = json.loads(run(*qcompile_command, "devices", "--json", cwd=tmp_path, **variables).stdout)
    assert {row["origin"] for row in listed["devices"]} == {"package"}
    shutil.copy(PQC6, tmp_path / "circuit.qasm")
    arguments = ["compile", "circuit.qasm", "--device", "guadalupe", "--effort", "fast", "-o", "mapped.qasm", "--json"]
    said = json.loads(run(*qcompile_command, *arguments, cwd=tmp_path, **variables).stdout)
    assert 0 < said["estimate"]["state_fidelity"] < 1
    assert (tmp_path / "mapped.qasm").read_text().startswith("OPENQASM 3.0;")


def test_version_is_the_same_everywhere() -> None:
    from importlib.metadata import version

    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {version('qonchip')}" in changes


def test_constraints_pin_every_dependency_exactly() -> None:
    import re
    import tomllib

    pinned = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, separator, number = line.partition("==")
            assert separator, f"{line}: no exact version"
            assert re.fullmatch(r"[0-9][0-9A-Za-z.]*", number), f"{line}: no version that an index has"
            pinned[re.sub(r"[-_.]+", "-", name).lower()] = number
    assert pinned["torch"] == "2.13.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    own = next(d for d in extras["dev"] if d.startswith("qonchip["))
    installed = ["dev", *re.findall(r"[a-z]+", own.removeprefix("qonchip"))]  # other vendors' clients are not
    assert set(extras) - {*installed} == {"braket", "google", "iqm"}
    wanted = [*project["dependencies"], *(d for extra in installed for d in extras[extra])]
    wanted += tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~;, ]", w, maxsplit=1)[0]).lower() for w in wanted}
    assert names - {"qonchip"} <= pinned.keys()
