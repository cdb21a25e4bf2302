"""What else on a host names the home of an account that is brought in."""

from __future__ import annotations

import pytest

from jailssh.migration.references import Reference, references
from jailssh.sources.found import Found, Person
from tests.unit.source_tools import AHost

ALICE = Person("alice", 1001, 1001, group="alice", home="/srv/j1/./home/al", shell="/usr/sbin/jk_chrootsh")


def found(files: dict[str, str], home: str = "/srv/j1/home/al") -> list[Reference]:
    return list(references(AHost([ALICE], files), [Found("alice", "jailkit", "/etc/passwd:9", home=home)]))


@pytest.mark.parametrize(("path", "line", "told"), [
    ("/etc/cron.d/backup", "0 3 * * * root tar cf /backup.tar /srv/j1/home/al", "/srv/j1/home/al"),
    ("/etc/vsftpd.conf", "local_root=/srv/j1/home/al/www", "/srv/j1/home/al/www"),
    ("/etc/nginx/sites-enabled/x", "root /srv/j1/./home/al//www;", "/srv/j1/./home/al//www"),
    ("/var/spool/cron/crontabs/alice", "SHELL='/usr/sbin/jk_chrootsh'", "/usr/sbin/jk_chrootsh"),
    ("/etc/fstab", "/dev/sdb1 /srv/j1/home/al ext4 usrquota 0 2", "/srv/j1/home/al"),
])  # fmt: skip
def test_named(path: str, line: str, told: str) -> None:
    assert [(each.where, each.path, each.account) for each in found({path: f"# x\n{line}\n"})] == [
        (f"{path}:2", told, "alice")
    ]


@pytest.mark.parametrize("line", ["/srv/j1/home/alice", "/srv/j1/home", "# /srv/j1/home/al", "x/srv/j1/home/a", "/"])
def test_not_named(line: str) -> None:
    assert not found({"/etc/crontab": f"{line}\n"})


def test_what_cannot_be_read_is_said() -> None:
    class Closed(AHost):
        def peek(self, path: str) -> str | None:
            from jailssh.core.errors import HostError

            raise HostError(path, "is writable by others")

    host = Closed([ALICE], {"/etc/crontab": ""})
    (told,) = references(host, [Found("alice", "jailkit", "/etc/passwd:9")])
    assert told.where == "/etc/crontab" and "writable by others" in told.path
