"""Units of jailssh on a booted Debian that no login needs: what uploads were, and numbers on a socket."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from tests.system.booted import BootedTree
from tests.system.people import OTHER, SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

DROP = "drops"
JAIL = "plugins = sftp scp rsync\ntransfers = yes\n[rsync]\nwrite = ~\n"
UPLOADS = f"""
echo by hand >/root/up
echo put /root/up by-sftp | sftp -q -b - {SSH} {DROP}@localhost
scp -q -O {SSH} /root/up {DROP}@localhost:by-scp
rsync -e 'ssh {SSH}' /root/up {DROP}@localhost:by-rsync
"""


@pytest.fixture(scope="module")
def drops(tree: BootedTree) -> Iterator[None]:
    """An account whose uploads are recorded, and the timer that does it."""
    tree.run(f"cat >/etc/jailssh/jails/{DROP}.conf", input=JAIL, check=True)
    tree.sh(f"jailssh adduser {DROP} --jail {DROP} --key /root/key.pub --yes")
    tree.sh("systemctl enable --now jailssh-transfers.timer")
    yield
    tree.sh(f"systemctl disable --now jailssh-transfers.timer; jailssh deluser {DROP} --remove-home --now --yes")
    tree.sh(f"rm /etc/jailssh/jails/{DROP}.conf")


def test_uploads_by_three_protocols_are_recorded_by_the_timer(tree: BootedTree, drops: None) -> None:
    tree.sh(f"set -e; {UPLOADS}")
    assert tree.sh("systemctl is-active jailssh-transfers.timer") == "active\n"
    digest = hashlib.sha256(b"by hand\n").hexdigest()
    wanted = {(f"/home/{DROP}/by-{name}", digest) for name in ("sftp", "scp", "rsync")}

    ends = f"journalctl --sync; journalctl -o cat JAILSSH_EVENT=session-end JAILSSH_USER={DROP} | wc -l"
    tree.wait(lambda: tree.sh(ends) == "3\n", "the ends of the sessions")
    # The timer would, within a minute.
    tree.sh("systemctl start jailssh-transfers.service; journalctl --sync")
    rows = [json.loads(line) for line in tree.sh(f"jailssh transfers {DROP} --json").splitlines()]
    assert {(row["file"], row["sha256"]) for row in rows} >= wanted
    assert not [row["file"] for row in rows if "forward" in row["file"]], "what the jail hides"
    assert tree.sh("systemctl show -P Result jailssh-transfers.service") == "success\n"


def test_numbers_on_a_socket_of_root_alone(tree: BootedTree) -> None:
    folder = "/usr/local/share/jailssh/metrics/jailssh-metrics"
    units = f"{folder}.socket {folder}@.service"
    tree.sh(f"cp {units} /etc/systemd/system; systemctl daemon-reload; systemctl enable --now jailssh-metrics.socket")
    ask = "curl -s -m 30 --unix-socket /run/jailssh-metrics.socket http://localhost/metrics"
    try:
        said = tree.sh(ask)
        assert "jailssh_no_new_logins 0\n" in said
        assert 'jailssh_sessions_started_total{jail="shell"}' in said
        assert tree.run(f"runuser -u {OTHER} -- {ask}").stdout == ""
        # One answer each, and no more of it.
        assert tree.sh(ask).count("# TYPE jailssh_sessions gauge") == 1
        assert tree.sh("systemctl list-units --failed --plain --no-legend 'jailssh*'") == ""
    finally:
        tree.sh("systemctl disable --now jailssh-metrics.socket; rm /etc/systemd/system/jailssh-metrics*")
        tree.sh("systemctl daemon-reload")


def test_the_user_of_a_running_service_is_nobody_new(tree: BootedTree) -> None:
    """systemd has it (DynamicUser=), and no file: a list of new accounts must neither take its name nor its number."""
    tree.sh("systemd-run -q --unit dynamic -p DynamicUser=yes -p User=dynamic-person sleep 600")
    try:
        uid = tree.sh("id -u dynamic-person").strip()
        rows = f"name,uid\nlisted-one,\ndynamic-person,\nlisted-two,{uid}\n"
        done = tree.run("jailssh adduser --from - --jail sftp-only --yes", input=rows)
        assert done.returncode != 0
        assert "standard input:3: account dynamic-person" in done.stderr
        assert f"standard input:4: uid {uid} of listed-two: is the uid of dynamic-person" in done.stderr
        assert "listed-one" not in done.stderr and not tree.run("getent passwd listed-one listed-two").stdout
    finally:
        tree.sh("systemctl stop dynamic")
