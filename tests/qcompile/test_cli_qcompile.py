"""The command line: what it prints, where it writes, how it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import qiskit_ibm_runtime
from qiskit import qasm3, qpy
from rich.console import Console

import qcompile
from qcompile.cli import main
from qcompile.examples import PQC6
from qcompile.tables import expectation_table

BACKENDS = Path(qiskit_ibm_runtime.__file__).parent / "fake_provider" / "backends"
BELL = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; h q[0]; cx q[0], q[1]; measure q -> c;'


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "devices"
    monkeypatch.setenv("QONCHIP_DEVICES", str(folder))
    return folder


@pytest.fixture
def bell(tmp_path) -> str:
    path = tmp_path / "bell.qasm"
    path.write_text(BELL)
    return str(path)


def answer(capsys, *arguments: str) -> dict:
    """The JSON document of a command that succeeds and says nothing else."""
    code = main([*arguments, "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert printed.err == ""
    return json.loads(printed.out)


def failure(capsys, *arguments: str) -> tuple[int, str]:
    """(exit code, message) of a command that fails: one line on standard error, nothing on standard output."""
    code = main(list(arguments))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("qcompile: ")
    assert "Traceback" not in printed.err
    return code, printed.err


def test_devices_lists_every_stored_calibration(capsys) -> None:
    listed = answer(capsys, "devices")
    assert {row["name"] for row in listed["devices"]} == {s.name for s in qcompile.list_devices()}
    assert listed["unreadable"] == []
    guadalupe = next(row for row in listed["devices"] if row["name"] == "ibm_guadalupe")
    assert (guadalupe["qubits"], guadalupe["live_couplers"]) == (16, 16)


def test_a_broken_file_of_the_user_does_not_hide_the_others(capsys, own_folder) -> None:
    own_folder.mkdir()
    (own_folder / "ibm_broken_2024-01-01.json").write_text("{")
    listed = answer(capsys, "devices")
    assert len(listed["devices"]) >= 14
    assert "ibm_broken_2024-01-01.json" in listed["unreadable"][0]["file"]


def test_show_says_what_is_dead(capsys) -> None:
    shown = answer(capsys, "show", "kingston")
    assert (shown["qubits"], shown["usable_qubits"]) == (156, 151)
    assert shown["sha256"] == qcompile.load_device("kingston").sha256
    assert main(["show", "kingston"]) == 0
    assert "150 qubits" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".qasm", ".qpy"])
def test_compile_writes_a_circuit_that_keeps_its_parameters(capsys, tmp_path, suffix: str) -> None:
    out = tmp_path / f"mapped{suffix}"
    said = answer(capsys, "compile", str(PQC6), "--device", "guadalupe", "--effort", "fast", "-o", str(out))
    if suffix == ".qasm":
        text = out.read_text()
        assert text.count("input float[64]") == 42
        circuit = qasm3.loads(text)
    else:
        with out.open("rb") as file:
            (circuit,) = qpy.load(file)
    device = qcompile.load_device("guadalupe")
    qcompile.assert_executable(circuit, device)
    assert {p.name for p in circuit.parameters} == {p.name for p in qcompile.circuit.read_circuit(PQC6).parameters}
    assert said["estimate"]["two_qubit_gates"] == circuit.count_ops()["cx"]
    assert len(said["initial_layout"]) == 6
    assert said["cost"]["usd"] > 0
    assert [p.name for p in tmp_path.iterdir()] == [out.name], "nothing temporary is left"


def test_compiled_file_is_the_library_s_result(capsys, tmp_path, bell) -> None:
    out = tmp_path / "mapped.qasm"
    said = answer(capsys, "compile", bell, "--device", "manila", "--seed", "3", "-o", str(out))
    compiled = qcompile.compile(BELL, qcompile.load_device("manila"), seed=3)
    assert qasm3.loads(out.read_text()).count_ops() == compiled.circuit.count_ops()
    assert said["initial_layout"] == list(compiled.initial_layout.physical)
    assert said["estimate"]["state_fidelity"] == compiled.estimate.state_fidelity


def test_values_are_taken_by_name_by_order_and_from_a_file(capsys, tmp_path) -> None:
    circuit = tmp_path / "one.qasm"
    circuit.write_text("OPENQASM 3.0; input float[64] a; input float[64] b; qubit[1] q; U(a, b, 0.0) q[0];")
    file = tmp_path / "values.json"
    file.write_text('{"b": 0.25, "a": 0.5}')
    found = [
        answer(capsys, "compile", str(circuit), "--device", "manila", "--values", values)["estimate"]
        for values in ("b=0.25, a=0.5", "0.5,0.25", str(file))
    ]
    assert found[0] == found[1] == found[2]
    assert found[0]["draws"] == 1


def test_estimate_agrees_with_the_compiler(capsys, tmp_path, bell) -> None:
    out = tmp_path / "mapped.qasm"
    said = answer(capsys, "compile", bell, "--device", "lagos", "-o", str(out))
    again = answer(capsys, "estimate", str(out), "--device", "lagos")
    assert again["estimate"]["state_fidelity"] == pytest.approx(said["estimate"]["state_fidelity"], abs=1e-12)
    assert again["cost"] == said["cost"]


KEYS = ["observable", "ideal", "noisy", "error", "truncation", "typical_truncation", "method", "draws", "spread"]


def test_decoupling_pulses_are_written_and_read_again(capsys, tmp_path) -> None:
    out = tmp_path / "mapped.qasm"
    asked = ("compile", str(PQC6), "--device", "ibm_jakarta", "--effort", "fast", "-o", str(out))
    plain = answer(capsys, *asked)
    pulsed = answer(capsys, *asked, "--dynamical-decoupling", "xy4")
    assert (plain["dynamical_decoupling"], pulsed["dynamical_decoupling"]) == (None, "xy4")
    assert "delay" in out.read_text()
    assert pulsed["estimate"]["duration"] == pytest.approx(plain["estimate"]["duration"])
    again = answer(capsys, "estimate", str(out), "--device", "ibm_jakarta")
    assert again["estimate"]["state_fidelity"] == pytest.approx(pulsed["estimate"]["state_fidelity"], abs=1e-9)


def test_observables_are_those_of_the_library(capsys, bell) -> None:
    arguments = (bell, "--device", "manila", "--effort", "fast", "--observables", "Z0,Z0 Z1,X1")
    said = answer(capsys, "compile", *arguments)["expectations"]
    assert [list(row) for row in said] == [KEYS] * 3
    assert [row["observable"] for row in said] == ["Z0", "Z0 Z1", "X1"]
    device = qcompile.load_device("manila")
    compiled = qcompile.compile(BELL, device, effort="fast")
    found = qcompile.expectation_errors(compiled, ["Z0", "Z0 Z1", "X1"])
    assert said == [{key: getattr(row, key) for key in KEYS} for row in found]
    assert said[1]["ideal"] == pytest.approx(1, abs=1e-12)
    assert main(["compile", *arguments]) == 0
    printed = capsys.readouterr().out
    assert f"{found[1].noisy:+.4f}" in printed
    assert "truncation" not in printed, "nothing was cut off"


def test_observables_of_a_mapped_circuit_are_on_the_chip_s_qubits(capsys, tmp_path) -> None:
    circuit = tmp_path / "native.qasm"
    circuit.write_text(
        'OPENQASM 3.0; include "stdgates.inc"; input float[64] a; qubit[4] q; sx q[3]; rz(a) q[3]; sx q[3];'
    )
    arguments = (str(circuit), "--device", "manila", "--observables", "Z0,Z3", "--seed", "4")
    said = answer(capsys, "estimate", *arguments)["expectations"]
    assert said[0]["ideal"] == 1
    assert (said[1]["draws"], said[1]["method"]) == (8, "propagation")
    assert said[1]["spread"] > 0
    assert main(["estimate", *arguments]) == 0
    assert "over 8 draws" in capsys.readouterr().out
    assert answer(capsys, "estimate", *arguments[:3])["expectations"] == []


def test_truncation_is_printed_where_there_is_some() -> None:
    row = qcompile.ExpectationError("Z0", 0.5, 0.4, -0.1, 0.0, 4.0, 0.03, 9, 1, "propagation")
    console = Console(width=100)
    with console.capture() as captured:
        console.print(expectation_table([row]))
    assert "0.03, 4" in captured.get()


def test_compare_prints_a_row_for_each_way(capsys, tmp_path, bell) -> None:
    picture = tmp_path / "bars.png"
    said = answer(capsys, "compare", bell, "--device", "manila", "--effort", "fast", "--picture", str(picture))
    assert [row["name"] for row in said["rows"]] == ["ideal", "trivial", "Qiskit O3", "qcompile"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["compare", bell, "--device", "manila", "--effort", "fast"]) == 0
    assert "Qiskit O3" in capsys.readouterr().out


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_draw_writes_a_picture(capsys, tmp_path, suffix: str, magic: bytes) -> None:
    out = tmp_path / f"chip{suffix}"
    assert answer(capsys, "draw", "lagos", "-o", str(out)) == {"device": "ibm_lagos", "picture": str(out)}
    assert out.read_bytes().startswith(magic)


def test_circuit_is_read_from_standard_input(capsys, monkeypatch) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(BELL))
    assert answer(capsys, "compile", "-", "--device", "manila", "--effort", "fast")["estimate"]["two_qubit_gates"] == 1


# --- import ---


@pytest.mark.parametrize("order", [("props", "conf"), ("conf", "props"), ("props",), ("conf",)])
def test_import_of_ibm_s_two_files_is_the_stored_device(capsys, own_folder, order: tuple[str, ...]) -> None:
    files = [str(BACKENDS / "lagos" / f"{kind}_lagos.json") for kind in order]
    said = answer(capsys, "import", *files, "--name", "ibm_mine")
    kept = qcompile.load_device("ibm_mine")
    assert Path(said["file"]).parent == own_folder
    assert kept.sha256 == qcompile.load_device("ibm_lagos").sha256
    assert said["shadowed_by"] is None


def test_import_of_a_fake_backend_by_name(capsys) -> None:
    answer(capsys, "import", "FakeManilaV2", "--name", "my_manila")
    assert qcompile.load_device("my_manila").sha256 == qcompile.load_device("ibm_manila").sha256


def test_import_says_when_another_file_is_found_first(capsys) -> None:
    said = answer(capsys, "import", "fake_manila")
    assert said["shadowed_by"].endswith("ibm_manila_2024-05-27.json")


def test_import_of_a_device_file_and_again(capsys, tmp_path) -> None:
    device = qcompile.Device.from_coupling([(0, 1), (1, 2)], name="my_line")
    path = qcompile.save_device(device, tmp_path / "line.json")
    first = answer(capsys, "import", str(path))
    assert answer(capsys, "import", str(path)) == first
    other = qcompile.Device.from_coupling([(0, 1), (1, 2)], name="my_line", t1=5e-5)
    qcompile.save_device(other, path)
    code, message = failure(capsys, "import", str(path))
    assert code == 2
    assert "--force" in message
    answer(capsys, "import", str(path), "--force")
    assert qcompile.load_device("my_line") == other


def test_import_with_a_missing_error_needs_consent(capsys, tmp_path) -> None:
    path = tmp_path / "line.json"
    qcompile.save_device(qcompile.Device.from_coupling([(0, 1), (1, 2)], name="my_line"), path)
    path.write_text(
        path.read_text().replace('{"g": "cx", "q": [0, 1], "error": 0.01', '{"g": "cx", "q": [0, 1], "error": null')
    )
    code, message = failure(capsys, "import", str(path))
    assert code == 2
    assert "error" in message
    assert answer(capsys, "import", str(path), "--allow-missing")["notes"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nosuchbackend",), "nosuchbackend"),
        (("no/such/file.json",), "no such file"),
        (
            (str(BACKENDS / "lagos" / "props_lagos.json"), str(BACKENDS / "manila" / "props_manila.json")),
            "configuration",
        ),
        (("FakeManila", "--name", "../../escaped_x"), "--name"),
    ],
)
def test_import_refuses(capsys, own_folder, arguments: tuple[str, ...], part: str) -> None:
    code, message = failure(capsys, "import", *arguments)
    assert code == 2
    assert part in message
    assert not own_folder.exists()


# --- failures ---


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("show", "guadelupe"), "guadalupe"),
        (("compile", "{none}", "--device", "manila"), "cannot be read"),
        (("compile", "{bell}", "--device", "kyoto"), "largest connected live region"),
        (("compile", "{bell}", "--device", "manila", "--seed", "-1"), "seed"),
        (("compile", "{bell}", "--device", "manila", "--shots", "0"), "shots"),
        (("compile", "{bell}", "--device", "manila", "-o", "{folder}/out.txt"), ".qasm or .qpy"),
        (("compile", "{bell}", "--device", "manila", "-o", "{folder}/none/out.qasm"), "no folder"),
        (("compile", "{bell}", "--device", "manila", "--picture", "{folder}/out.bmp"), ".png or .svg or .pdf"),
        (("compile", "{bell}", "--device", "manila", "--values", "a=x"), "--values"),
        (("compile", "{bell}", "--device", "manila", "--values", "none.json"), "--values"),
        (("compile", "{bell}", "--device", "manila", "--values", "a=1"), "a"),
        (("estimate", "{bell}", "--device", "manila"), "no calibration of h"),
        (("compile", "{bell}", "--device", "manila", "--observables", "Z0,"), "observables[1] = ''"),
        (("compile", "{bell}", "--device", "manila", "--observables", "Z2"), "virtual qubits 0 to 1"),
        (("compare", "{bell}", "--device", "manila", "--shots", "0"), "shots"),
        (("draw", "manila", "-o", "{folder}/chip"), "unknown kind of file"),
    ],
)
def test_bad_input_exits_with_2_and_says_why(capsys, tmp_path, bell, arguments, part: str) -> None:
    filled = [a.format(bell=bell, none=tmp_path / "none.qasm", folder=tmp_path) for a in arguments]
    code, message = failure(capsys, *filled)
    assert code == 2
    assert part in message
    assert failure(capsys, *filled, "--json")[0] == 2


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("compile", "x.qasm"), ("compile", "x", "--effort", "huge")])
def test_wrong_usage_exits_with_2(capsys, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2
    assert "usage: qcompile" in capsys.readouterr().err


@pytest.mark.parametrize("command", [None, "devices", "show", "compile", "estimate", "compare", "import", "draw"])
def test_every_command_has_help(capsys, command: str | None) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*([command] if command else []), "--help"])
    assert stopped.value.code == 0
    assert ("--json" in capsys.readouterr().out) == (command is not None)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_folder_that_cannot_be_written_exits_with_1(capsys, tmp_path, bell) -> None:
    tmp_path.chmod(0o500)
    assert failure(capsys, "compile", bell, "--device", "manila", "-o", str(tmp_path / "out.qasm"))[0] == 1


def test_failing_disk_exits_with_1_and_leaves_nothing(capsys, tmp_path, bell, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "out.qasm")

    monkeypatch.setattr("qcompile.cli.os.replace", full)
    code, message = failure(capsys, "compile", bell, "--device", "manila", "-o", str(tmp_path / "out.qasm"))
    assert code == 1
    assert "No space left" in message
    assert [p.name for p in tmp_path.iterdir()] == ["bell.qasm"]


def test_ctrl_c_exits_with_130(capsys, bell, monkeypatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qcompile.cli.compile", stopped)
    assert failure(capsys, "compile", bell, "--device", "manila") == (130, "qcompile: stopped.\n")


def test_a_bug_is_one_line_and_exits_with_1(capsys, bell, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("qcompile.cli.compile", broken)
    code, message = failure(capsys, "compile", bell, "--device", "manila")
    assert code == 1
    assert "QCOMPILE_TRACEBACK" in message


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    command = f'"{sys.executable}" -m qcompile.cli show kingston | head -c 1 >/dev/null'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["compile", "compare"])
def test_a_seed_that_no_router_takes_is_bad_input(capsys, bell, command: str) -> None:
    for seed in (-1, 2**48 + 1, 10**30):
        assert main([command, bell, "--device", "manila", "--seed", str(seed)]) == 2
        assert "Expected a whole number, 0 or more" in capsys.readouterr().err
    assert main([command, bell, "--device", "manila", "--seed", str(2**48), "--json"]) == 0


def test_a_picture_cannot_be_a_folder_and_that_is_said_before_any_work(capsys, tmp_path, bell) -> None:
    (tmp_path / "a.png").mkdir()
    assert main(["compare", bell, "--device", "manila", "--picture", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr().err == f"qcompile: {tmp_path / 'a.png'} is a folder. Expected the name of a file.\n"


def test_a_value_given_twice_is_refused(capsys, bell) -> None:
    assert main(["compile", bell, "--device", "manila", "--values", "a=1, a=2"]) == 2
    assert "a name occurs twice" in capsys.readouterr().err


def test_a_price_is_shown_with_its_date(capsys, bell) -> None:
    assert main(["compile", bell, "--device", "manila"]) == 0
    assert "Bill: price as of 2026-05-25." in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_output_without_unicode_or_without_a_reader_is_no_bug(bell, more: list[str]) -> None:
    command = [sys.executable, "-m", "qcompile.cli", "rank", bell, "--devices", "manila", *more]
    plain = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False)
    assert (plain.returncode, plain.stderr) == (0, b"")
    assert b"ibm_manila" in plain.stdout
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], capture_output=True, check=False
    )  # no standard output at all
    assert closed.returncode == 0, closed.stderr
