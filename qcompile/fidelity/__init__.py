"""Fidelity from calibration, one method a module."""
