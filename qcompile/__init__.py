"""qcompile: maps parameterized quantum circuits onto real chips, and says what that costs.

>>> import qcompile
>>> device = qcompile.load_device("ibm_guadalupe")
>>> device.num_qubits
16
"""

from qcompile.calibration import list_devices, load_device, save_device
from qcompile.compare import Comparison, compare
from qcompile.compile import compile
from qcompile.compiled import CompiledCircuit
from qcompile.cost import Cost, Workload, cost
from qcompile.device import Device, Gate, NativeGates, Qubit, Readout
from qcompile.draw import draw_comparison, draw_device, draw_schedule
from qcompile.draw_ranking import draw_ranking
from qcompile.errors import (
    CalibrationError,
    CircuitError,
    InputError,
    MissingExtraError,
    NotEquivalentError,
    NotExecutableError,
    QonchipError,
    UnknownDeviceError,
    UnroutableError,
    VerificationError,
)
from qcompile.estimate import Estimate, estimate
from qcompile.expectation import ExpectationError, expectation_errors
from qcompile.layout import Layout
from qcompile.prices import PriceEntry, price, prices
from qcompile.pricing import Pricing
from qcompile.rank import RankedChip, Ranking, rank
from qcompile.verify import assert_equivalent, assert_executable

__all__ = [
    "CalibrationError",
    "CircuitError",
    "Comparison",
    "CompiledCircuit",
    "Cost",
    "Device",
    "Estimate",
    "ExpectationError",
    "Gate",
    "InputError",
    "Layout",
    "MissingExtraError",
    "NativeGates",
    "NotEquivalentError",
    "NotExecutableError",
    "PriceEntry",
    "Pricing",
    "QonchipError",
    "Qubit",
    "RankedChip",
    "Ranking",
    "Readout",
    "UnknownDeviceError",
    "UnroutableError",
    "VerificationError",
    "Workload",
    "assert_equivalent",
    "assert_executable",
    "compare",
    "compile",
    "cost",
    "draw_comparison",
    "draw_device",
    "draw_ranking",
    "draw_schedule",
    "estimate",
    "expectation_errors",
    "list_devices",
    "load_device",
    "price",
    "prices",
    "rank",
    "save_device",
]
