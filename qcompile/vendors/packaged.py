"""The stored Google and IQM calibrations, rebuilt from the installed packages cirq-google and iqm-client.

python -m qcompile.vendors.packaged --rebuild devices [--vendor google|iqm]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from qcompile.calibration import file_name, save_device
from qcompile.device import Device, Source
from qcompile.errors import MissingExtraError
from qcompile.vendors import google, iqm
from qcompile.vendors.ibm_stored import table

GOOGLE = {
    "rainbow": "rainbow_2021_11_16_calibration",
    "weber": "weber_2021_11_03_calibration",
    "willow": "willow_pink_d7v1-2024_08_16_calibration",
}
"""Chip -> its file in cirq_google/devices/calibrations."""

IQM = ("adonis", "aphrodite", "apollo", "garnet")
"""Chips of iqm.qiskit_iqm.fake_backends; Deneb couples its qubits by a resonator."""

READ_ON = datetime(2026, 11, 21, tzinfo=UTC)
"""Stands in for the date that IQM's error profiles do not have."""

TABLE_STARTS = "<!-- table: python -m qcompile.vendors.packaged --rebuild devices, {} -->"
TABLE_ENDS = "<!-- end of table of {} -->"


def build_google(chip: str) -> Device:
    """The Device of one median calibration inside the cirq-google package ("rainbow").

    Raises: MissingExtraError: the package is not installed. CalibrationError: a value breaks a rule.
    """
    found = find_spec("cirq_google")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(
            'Google\'s calibrations come with cirq-google, which is not installed: pip install "qonchip[google]".'
        )
    path = Path(found.submodule_search_locations[0]) / "devices" / "calibrations" / f"{GOOGLE[chip]}.json"
    device = google.from_file(path, name=f"google_{chip}")
    source = Source(
        kind="package",
        ref=f"cirq-google=={version('cirq-google')} devices/calibrations/{path.name}",
        license="Apache-2.0",
        url="https://github.com/quantumlib/Cirq",
        sha256=device.source.sha256,
    )
    return replace(device, source=source)


def build_iqm(chip: str) -> Device:
    """The Device of one fake backend inside the iqm-client package ("adonis").

    Raises: MissingExtraError: the package is not installed. CalibrationError: a value breaks a rule.
    """
    try:
        module = import_module(f"iqm.qiskit_iqm.fake_backends.fake_{chip}")
    except ImportError as error:
        raise MissingExtraError(
            'IQM\'s fake backends come with iqm-client[qiskit], which is not installed: pip install "qonchip[iqm]".'
        ) from error
    document = iqm.document_of(getattr(module, f"IQMFake{chip.capitalize()}")())
    source = Source(
        kind="package",
        ref=f"iqm-client=={version('iqm-client')} qiskit_iqm/fake_backends/fake_{chip}",
        license="Apache-2.0",
        url="https://github.com/iqm-finland/sdk",
        sha256=hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest(),
    )
    device = iqm.from_profile(document, name=f"iqm_{chip}", calibrated_at=READ_ON, source=source)
    note = "the error profile has no date: calibrated_at is the day on which it was read"
    return replace(device, notes=(note, *device.notes))


def rebuild(folder: Path, vendor: str) -> list[Device]:
    """Writes the stored calibrations of a vendor, and their lines of README.md, into `folder`; the devices by name.

    Raises: MissingExtraError, CalibrationError: as `build_google`; OSError: the folder cannot be written to.
    """
    devices = [build_google(chip) for chip in sorted(GOOGLE)] if vendor == "google" else [build_iqm(c) for c in IQM]
    for device in devices:
        save_device(device, folder / file_name(device))
    starts, ends = TABLE_STARTS.format(vendor), TABLE_ENDS.format(vendor)
    readme = folder / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(starts)
    after = rest.partition(ends)[2]
    readme.write_text(f"{before}{starts}\n{table(devices)}{ends}{after}", encoding="utf-8")
    return devices


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m qcompile.vendors.packaged", description=__doc__)
    parser.add_argument("--rebuild", type=Path, required=True, metavar="FOLDER", help="where the files go")
    parser.add_argument("--vendor", choices=("google", "iqm"), action="append", help="default: both")
    options = parser.parse_args(arguments)
    for vendor in options.vendor or ("google", "iqm"):
        for device in rebuild(options.rebuild, vendor):
            print(f"{file_name(device)}: {device!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
