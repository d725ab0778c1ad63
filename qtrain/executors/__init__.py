"""Executors: who evaluates expectations of a program. The contract is in base.py."""
