"""Fixtures of the root tests: scratch hosts without and with jailssh, and the probe."""

from tests.harness.fixtures import client, installed_host, probe, scratch_host, staged_prefix

__all__ = ["client", "installed_host", "probe", "scratch_host", "staged_prefix"]
