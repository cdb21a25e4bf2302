"""A whole login: ``ssh host true`` over loopback, a jailed account beside an unjailed one."""

from __future__ import annotations

from tests.bench.figures import Row, timed_rows
from tests.bench.site import Site
from tests.bench.timing import Program, time_programs
from tests.harness.client import SshClient


def measure(site: Site, runs: int) -> list[Row]:
    """Return a row for each; ``plain`` is the unjailed account."""
    client = SshClient(site.host, "bench-client")
    client.authorize(site.plain.name)
    site.jailssh("adduser", site.jailed.name, "--jail", "bench", "--key", client.public_key_file, "--yes")
    programs = [
        Program(name, ["/usr/bin/ssh", *client.ssh_args(account.name, "true")[1:]], client.account, {})
        for name, account in (("plain", site.plain), ("jailssh", site.jailed))
    ]
    return timed_rows("ssh host true", time_programs(site.host, programs, max(10, runs // 6), warm_up=1))
