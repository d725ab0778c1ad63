"""Gradient methods, one a file. The contract is in base.py."""
