"""Simulators: state vectors and density matrices in the Pauli basis, and their kernels."""
