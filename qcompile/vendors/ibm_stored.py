"""The stored IBM calibrations, rebuilt from the snapshots inside the installed qiskit-ibm-runtime package.

python -m qcompile.vendors.ibm_stored --rebuild devices
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from qcompile.calibration import file_name, save_device
from qcompile.device import Device
from qcompile.errors import MissingExtraError
from qcompile.vendors.ibm import from_package

SNAPSHOTS = (
    "aachen", "boston", "brisbane", "cairo", "fez", "guadalupe", "hanoi", "jakarta", "kingston", "kolkata", "kyoto",
    "lagos", "manhattan", "manila", "marrakesh", "miami", "montreal", "nairobi", "oslo", "peekskill", "perth",
    "sherbrooke", "torino",
)  # fmt: skip

TABLE_STARTS = "<!-- table: python -m qcompile.vendors.ibm_stored --rebuild devices -->"
TABLE_ENDS = "<!-- end of table -->"


def build(snapshot: str) -> Device:
    """The Device of one snapshot inside the qiskit-ibm-runtime package ("manila").

    Raises:
        MissingExtraError: the package is not installed.
        CalibrationError: the package has no such snapshot, or a value in it breaks a rule.
    """
    try:
        found = find_spec("qiskit_ibm_runtime.fake_provider.backends")
    except ModuleNotFoundError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(
            'The IBM snapshots come with qiskit-ibm-runtime, which is not installed: pip install "qonchip[ibm]".'
        )
    return from_package(Path(found.submodule_search_locations[0]) / snapshot)


def rebuild(folder: Path) -> list[Device]:
    """Writes every stored IBM calibration, and its line of the table in README.md, into `folder`; the devices by name.

    Raises: MissingExtraError, CalibrationError: as `build`; OSError: the folder cannot be written to.
    """
    devices = sorted((build(snapshot) for snapshot in SNAPSHOTS), key=lambda device: device.name)
    for device in devices:
        save_device(device, folder / file_name(device))
    readme = folder / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(TABLE_STARTS)
    after = rest.partition(TABLE_ENDS)[2]
    readme.write_text(f"{before}{TABLE_STARTS}\n{table(devices)}{TABLE_ENDS}{after}", encoding="utf-8")
    return devices


def table(devices: Iterable[Device]) -> str:
    """The Markdown table of README.md: what each file holds, what is wrong in it, and where it came from."""
    lines = [
        "| file | qubits | gate | live couplers | largest live region | dirt found | source | licence | sha256 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for device in devices:
        cells = (
            file_name(device),
            device.num_qubits,
            ", ".join(device.native_gates.two_qubit) + (" (one-way)" if _one_way(device) else ""),
            device.graph.number_of_edges(),
            len(device.components[0]),
            dirt(device),
            device.source.ref,
            device.source.license,
            f"`{device.source.sha256}`",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def dirt(device: Device) -> str:
    """What is wrong in a calibration, counted: "dead cx: 44; t2 > 2 t1: 1"."""
    dead = Counter(name for (name, _), gate in device.gates.items() if not gate.usable)
    found = [f"dead {name}: {count}" for name, count in dead.items()]
    counts = {
        "unusable qubits": sum(not q.usable for q in device.qubits),
        "t1 or t2 missing": sum(q.t1 is None or q.t2 is None for q in device.qubits),
        "t2 > 2 t1": sum(q.t1 is not None and q.t2 is not None and q.t2 > 2 * q.t1 for q in device.qubits),
        "readouts that tell nothing": sum(
            q.readout is not None and q.readout.p1_given_0 + q.readout.p0_given_1 >= 1 for q in device.qubits
        ),
    }
    return "; ".join([*found, *(f"{what}: {count}" for what, count in counts.items() if count)]) or "none"


def _one_way(device: Device) -> bool:
    pairs = {qubits for name, qubits in device.gates if name in device.native_gates.two_qubit}
    return not any((b, a) in pairs for a, b in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m qcompile.vendors.ibm_stored", description=__doc__)
    parser.add_argument("--rebuild", type=Path, required=True, metavar="FOLDER", help="where the files go")
    for device in rebuild(parser.parse_args(arguments).rebuild):
        print(f"{file_name(device)}: {device!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
