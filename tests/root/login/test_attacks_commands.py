"""Each attack of the table through the real login program, in jails that the product itself has set up.

Four things are checked of each: the exit code, the one line on standard error, the one record, and that no program was
executed but the login program itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from jailssh.core import journal_fields as fields
from jailssh.scratch.host import ScratchHost
from tests.harness.executed import Executed, can_watch
from tests.root import login_lab
from tests.root.attack_check import LOGIN, check_line, check_record, numbered
from tests.root.attack_rows import JAILS, PRESENT, PROFILES, Row
from tests.root.attack_rows_servers import ROWS
from tests.root.login_lab import Done, Lab

pytestmark = [login_lab.NEEDS, pytest.mark.needs("sftp", "scp", "rsync", "git")]

# Of /srv no more than what is made here: the machine's own may be large, and is copied where it is changed.
_DIRECTORIES = "mkdir -p /srv/git /srv/pub /srv/in && git init -q --bare /srv/git/x.git && chmod a+rwX /srv && " \
               "chmod -R a+rwX /srv/git /srv/pub /srv/in"  # fmt: skip
# In the home of each account lie programs under the names that rows use; one that ran would be seen.
_BAIT = "for name in scp sh evil git-upload-pack sftp-server; do install -m 755 -o $1 /bin/true /home/$1/$name; done"


class ProductLab(Lab):
    """A lab whose accounts, images and plans were made by the installed ``jailssh``."""

    def __init__(self, host: ScratchHost) -> None:
        self.host, self.uids = host, dict[str, int]()
        self._marks, self._cursor = 0, ""
        host.run(["sh", "-c", _DIRECTORIES], check=True)
        host.run(["mkdir", "-p", "/etc/jailssh/jails"], check=True)
        for name, text in JAILS.items():
            host.write(f"/etc/jailssh/jails/{name}.conf", text)
        self._jailssh("setup", "--yes")
        for name in (*JAILS, *PROFILES):
            self._jailssh("adduser", name, "--jail", name)
            self.uids[name] = int(host.run(["id", "-u", name], check=True).stdout)
            host.run(["sh", "-c", _BAIT, "sh", name], check=True)
        host.wait_until(lambda: any(self.path("/run/log/journal").glob("*/system.journal")), "journald writes")
        self.records()
        self._executed = Executed(threading.get_native_id())

    def _jailssh(self, *words: str) -> None:
        self.host.run(["/usr/local/bin/jailssh", *words], check=True)

    def close(self) -> None:
        """End the watch over what is executed, and fail when a login has left a process."""
        self._executed.close()
        self.assert_nothing_left(*self.uids.values())

    def ask(self, name: str, command: bytes, *, forced: bool) -> tuple[Done, list[str]]:
        """Log in as sshd does and return how it ended and which programs were executed."""
        self._executed.take()
        env = {"SSH_CONNECTION": "192.0.2.1 4000 192.0.2.2 22"}
        if forced:
            env["SSH_ORIGINAL_COMMAND"] = os.fsdecode(command)
        words = [LOGIN, "-c", LOGIN if forced else os.fsdecode(command)]
        process = self.host.popen(words, user=name, env=env)
        out, err = process.communicate(timeout=20)
        executed = self._executed.take()
        assert executed[:2] == ["/usr/bin/nsenter", "/usr/bin/setpriv"], "the way into the scratch host"
        return Done(process.returncode, out, err, self.records()), executed[2:]


@pytest.fixture(scope="module")
def lab(staged_prefix: str) -> Iterator[ProductLab]:
    if not can_watch():
        pytest.skip("the kernel's tracer cannot be used here, so nobody could tell what was executed")
    with ScratchHost(install={staged_prefix: "/usr/local"}) as host:
        host.start_journald()
        lab = ProductLab(host)
        yield lab
        lab.close()


@pytest.mark.parametrize("forced", [False, True], ids=["shell", "forced"])
@pytest.mark.parametrize("row", ROWS, ids=numbered(ROWS))
def test_attack(lab: ProductLab, row: Row, forced: bool) -> None:
    done, executed = lab.ask(row.jail, row.command, forced=forced)
    if row.rule:
        records = [record for record in done.records if record[fields.EVENT] != "file-operation"]
        assert [record[fields.EVENT] for record in records] == ["session-start", "session-end"], done
        assert (records[0][fields.RULE], executed) == (row.rule, [LOGIN, row.program] if row.program else [LOGIN])
        assert (done.code, records[1][fields.EXIT]) == (row.exit, str(row.exit)), done
        return
    assert (done.code, done.out) == (126, b""), done
    check_line(done.err.decode(), row)
    check_record(done.records, row)
    assert executed == [LOGIN]


def test_what_is_executed_is_seen(lab: ProductLab) -> None:
    """The proof that the fourth check can fail: programs of a shell, of its children, and of the home."""
    done, executed = lab.ask("shell", b"id -u; (ls / | cat >/dev/null); ./evil; exec env true", forced=True)
    assert (done.code, done.out) == (0, b"%d\n" % lab.uids["shell"])
    names = [path.rsplit("/", 1)[-1] for path in executed]
    assert names[:3] == ["jailssh-login", "bash", "id"]
    assert sorted(names[3:]) == ["cat", "env", "evil", "ls", "true"]


def test_what_rows_name_is_there_to_be_executed(lab: ProductLab) -> None:
    found = lab.host.run(["sh", "-c", "ls /var/lib/jailssh/images/armed/*/usr/bin"], check=True).stdout.split()
    assert set(PRESENT) - set(found) == set()
