"""The demo runs to its end, and what it prints is from its run."""

import qcompile
from qcompile.examples import PQC6
from qtrain.demo import main


def test_demo_prints_the_run_and_writes_its_pictures(capsys, tmp_path) -> None:
    assert main(["--out", str(tmp_path / "out"), "--steps", "3"]) == 0
    said = capsys.readouterr().out
    found = qcompile.compare(PQC6, qcompile.load_device("ibm_guadalupe"), shots=1024)
    for row in found.rows:
        assert f"{row.state_fidelity:.3f}" in said
    for name in ("pruned", "all"):
        assert f"│ {name} " in said
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        f"ibm_guadalupe_{kind}.png" for kind in ("comparison", "coupling_map", "schedule")
    }


def test_demo_names_a_folder_that_cannot_be_made(capsys, tmp_path) -> None:
    (tmp_path / "file").touch()
    assert main(["--out", str(tmp_path / "file" / "out")]) == 1
    assert capsys.readouterr().err.startswith("demo: ")
