"""The sshd tests share one scratch host with jailssh installed; each makes accounts of its own on it."""

from tests.harness.fixtures import client, installed_host, probe, staged_prefix

__all__ = ["client", "installed_host", "probe", "staged_prefix"]
