"""Circuits to try things on; they come with the package."""

from pathlib import Path

PQC6 = Path(__file__).with_name("pqc6.qasm")
"""OpenQASM 3: 6 qubits, 6 features, 36 weights, two layers of RZZ on a ring and RY, RX."""
