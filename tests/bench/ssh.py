"""``ssh host true`` over loopback, and many small files by sftp: a jailed account beside an unjailed one."""

from __future__ import annotations

from tests.bench.figures import Row, timed_rows
from tests.bench.site import Site
from tests.bench.timing import TURN, Program, time_programs
from tests.harness.client import SshClient

LOGIN_LIMIT, FILES_LIMIT = 1.02, 1.2
FILES = 10_000
_SFTP = "bench-sftp"
_BATCH = "bench.batch"


def measure(site: Site, runs: int) -> list[Row]:
    """Return a row for each; ``plain`` is the unjailed account."""
    client = SshClient(site.host, "bench-client")
    client.authorize(site.plain.name)
    site.jailssh("adduser", site.jailed.name, "--jail", "bench", "--key", client.public_key_file, "--yes")
    programs = [
        Program(name, ["/usr/bin/ssh", *client.ssh_args(account.name, "true")[1:]], client.account, {})
        for name, account in (("plain", site.plain), ("jailssh", site.jailed))
    ]
    spent = time_programs(site.host, programs, max(10, runs // 6), warm_up=1)
    rows = timed_rows("ssh host true", spent, {"jailssh": {"plain": LOGIN_LIMIT}})
    return [*rows, *_files(site, client)]


def _files(site: Site, client: SshClient) -> list[Row]:
    """Return the rows of small files that are put, each of of which the journal tells for the jailed account."""
    site.host.write(f"/etc/jailssh/jails/{_SFTP}.conf", "plugins = sftp\n")
    site.jailssh("adduser", _SFTP, "--jail", _SFTP, "--key", client.public_key_file, "--yes")
    script = f"mkdir many && cd many && seq {FILES} | split -l 1 -a 4 -"
    client.run(["sh", "-c", script], check=True)
    client.write(_BATCH, f"put -r {client.home}/many\n")
    programs = [
        Program(
            name,
            ["/usr/bin/sftp", "-q", "-b", f"{client.home}/{_BATCH}", f"{account}@scratch"],
            client.account,
            {"HOME": client.home},
        )
        for name, account in (("plain", site.plain.name), ("jailssh", _SFTP))
    ]
    spent = time_programs(site.host, programs, TURN, warm_up=0)
    said = site.host.run(["find", f"/home/{_SFTP}/many", f"{site.plain.home}/many", "-type", "f"], check=True).stdout
    assert len(said.splitlines()) == 2 * FILES
    return timed_rows(f"sftp: {FILES} small files put", spent, {"jailssh": {"plain": FILES_LIMIT}})
