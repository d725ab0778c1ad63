"""The stored IBM calibrations, rebuilt from the snapshots inside the installed qiskit-ibm-runtime package.

python -m qcompile.vendors.ibm_stored --rebuild devices
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from qcompile.calibration import file_name, save_device
from qcompile.device import Device
from qcompile.errors import MissingExtraError
from qcompile.vendors.ibm import from_files

SNAPSHOTS = (
    "aachen", "boston", "brisbane", "cairo", "fez", "guadalupe", "hanoi", "jakarta", "kingston", "kolkata", "kyoto",
    "lagos", "manhattan", "manila", "marrakesh", "miami", "montreal", "nairobi", "oslo", "peekskill", "perth",
    "sherbrooke", "torino",
)  # fmt: skip


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
    folder = Path(found.submodule_search_locations[0]) / snapshot
    return from_files(folder / f"props_{snapshot}.json", folder / f"conf_{snapshot}.json")


def rebuild(folder: Path) -> list[Device]:
    """Writes every stored IBM calibration and the table of README.md into `folder`; the devices, by name."""
    devices = sorted((build(snapshot) for snapshot in SNAPSHOTS), key=lambda device: device.name)
    for device in devices:
        save_device(device, folder / file_name(device))
    return devices


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m qcompile.vendors.ibm_stored", description=__doc__)
    parser.add_argument("--rebuild", type=Path, required=True, metavar="FOLDER", help="where the files go")
    for device in rebuild(parser.parse_args(arguments).rebuild):
        print(f"{file_name(device)}: {device!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
