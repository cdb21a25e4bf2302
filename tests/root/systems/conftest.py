"""Fixtures of the tests of systems: the host that they are made on, one that is made, and one that runs."""

from tests.root.systems_lab import host, made, runs

__all__ = ["host", "made", "runs"]
