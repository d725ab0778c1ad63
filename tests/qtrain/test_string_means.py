"""Means of Pauli strings from bits, against counting by hand, and unbiased once misreadings are undone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qcompile.device import Device
from qtrain.chip.means import readings, string_means
from qtrain.chip.types import Bits
from qtrain.errors import ConfigError
from qtrain.noise import lower_for_device


def packed(outcomes, num_bits):
    width = -(-num_bits // 8)
    wide = np.ascontiguousarray(outcomes, dtype=">u8").view(np.uint8).reshape(*outcomes.shape, 8)
    return Bits(np.ascontiguousarray(wide[..., -width:]), num_bits)


@settings(deadline=None, max_examples=60)
@given(num_bits=st.integers(1, 20), shots=st.integers(1, 40), points=st.integers(1, 4), seed=st.integers(0, 99))
def test_parities_equal_those_counted_by_hand(num_bits, shots, points, seed):
    rng = np.random.default_rng(seed)
    outcomes = rng.integers(0, 2**num_bits, (points, shots))
    strings = [rng.choice(num_bits, rng.integers(1, num_bits + 1), replace=False).tolist() for _ in range(3)]
    found = string_means(packed(outcomes, num_bits), [tuple((b, 1.0, -1.0) for b in s) for s in strings])
    for column, string in enumerate(strings):
        signs = np.prod([1 - 2 * (outcomes >> bit & 1) for bit in string], axis=0)
        assert np.abs(found[:, column] - signs.mean(axis=1)).max() < 1e-15
    weighted = tuple((b, rng.normal(), rng.normal()) for b in strings[0])
    values = np.prod([np.where(outcomes >> b & 1, one, zero) for b, zero, one in weighted], axis=0)
    assert np.allclose(string_means(packed(outcomes, num_bits), [weighted])[:, 0], values.mean(axis=1), atol=1e-12)


def test_mitigated_readings_have_the_mean_of_what_was_prepared():
    device = Device.from_coupling([(0, 1)], readout_error=0.1)
    circuit = QuantumCircuit(2)
    circuit.x(0)
    program = lower_for_device(circuit, [SparsePauliOp("ZZ"), SparsePauliOp("IZ")], device, effort="fast")
    (basis,) = program.measurement.bases
    for string in readings(program, basis, mitigated=True):
        for prepared in range(2 ** len(string)):  # every bit pattern, and its misreadings by their probabilities
            mean = 0.0
            for read in range(2 ** len(string)):
                flips = [(prepared ^ read) >> i & 1 for i in range(len(string))]
                chance = np.prod([0.1 if flip else 0.9 for flip in flips])
                mean += chance * np.prod([one if read >> i & 1 else zero for i, (_, zero, one) in enumerate(string)])
            assert mean == pytest.approx((-1) ** bin(prepared).count("1"), abs=1e-12)


def test_a_qubit_that_reads_at_random_cannot_be_mitigated():
    device = Device.from_coupling([(0, 1)], readout_error=0.5)
    program = lower_for_device(QuantumCircuit(1), [SparsePauliOp("Z")], device, effort="fast")
    with pytest.raises(ConfigError, match="tells nothing"):
        readings(program, program.measurement.bases[0], mitigated=True)
