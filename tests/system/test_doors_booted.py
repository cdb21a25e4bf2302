"""What an account can reach beside its login: mail, jobs, its user manager, its shell, on a booted Debian.

Every way is tried twice: an account that is in no jail gets out by it, so the way works here; one that may only
transfer files, and was given the same, does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.fixtures import staged_prefix
from tests.system.booted import BootedTree

__all__ = ["staged_prefix"]
pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

SSH = "-o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR -i /root/key"
PEOPLE = ("open", "shut")
UNIT = "[Service]\nType=oneshot\nExecStart=/usr/bin/touch {mark}\n"


@dataclass(frozen=True)
class Way:
    """Files that the account uploads, and what root or the account itself does then; MARK is the sign of its code."""

    name: str
    files: tuple[tuple[str, str], ...]
    then: str
    patience: float = 15


MAIL = "echo hello | /usr/sbin/sendmail -i USER"
LOGIN = f"ssh {SSH} USER@localhost true </dev/null; true"
WAYS = (
    Way("forward", ((".forward", "|/usr/bin/touch {mark}\n"),), MAIL),
    Way("procmail", ((".procmailrc", ":0\n| /usr/bin/touch {mark}\n"),), MAIL),
    Way("user-unit", ((".config/systemd/user/x.service", UNIT),
                      (".config/systemd/user/default.target.wants/x.service", "-> ../x.service")), LOGIN),
    Way("start-file", ((".bashrc", "touch {mark}\n"),), LOGIN),
    Way("ssh-rc", ((".ssh/rc", "touch {mark}\n"),), LOGIN),
    Way("at", (), "runuser -u USER -- sh -c 'cd /; echo touch MARK | at now'"),
    Way("cron", (), "echo '* * * * * touch MARK' | crontab -u USER -", 70),
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(staged_prefix: str) -> Iterator[BootedTree]:
    tree = BootedTree(staged_prefix)
    try:
        tree.sh("ssh-keygen -q -t ed25519 -N '' -f /root/key; systemctl start ssh cron atd exim4")
        for name in PEOPLE:
            tree.sh(f"useradd -m -s /bin/bash {name} && install -d -o {name} -m 700 /home/{name}/.ssh")
            tree.sh(f"install -o {name} -m 600 /root/key.pub /home/{name}/.ssh/authorized_keys")
        tree.sh("jailssh setup --yes && jailssh adduser shut --jail sftp-only --yes --now")
        yield tree
    finally:
        tree.close()


def upload(tree: BootedTree, user: str, path: str, text: str) -> None:
    """Put a file, or with "-> TARGET" a link, into the home as the account does; that it is refused is fine."""
    folders = [path[:at] for at, char in enumerate(path) if char == "/"]
    script = "".join(f"-mkdir {folder}\n" for folder in folders)
    script += f"ln -s {text[3:]} {path}\n" if text.startswith("-> ") else f"put /root/up {path}\n"
    tree.run("cat >/root/up", input=text, check=True)
    tree.run(f"sftp -q -b - {SSH} {user}@localhost", input=script)


def mark_of(way: Way, user: str) -> str:
    return f"/var/tmp/ran-{way.name}-{user}"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.name))
def test_nothing_of_a_jailed_account_runs_outside(tree: BootedTree, way: Way) -> None:
    try:
        for user in PEOPLE:
            for path, text in way.files:
                upload(tree, user, path, text.format(mark=mark_of(way, user)))
        tree.run("systemctl stop 'user@*'; sleep 0.5")
        for user in ("shut", "open"):
            tree.run(way.then.replace("USER", user).replace("MARK", mark_of(way, user)))
        out = f"test -e {mark_of(way, 'open')}"
        tree.wait(lambda: tree.run(out).returncode == 0, "the way out", way.patience)
        # Asked first, so it had at least as much time.
        assert tree.run(f"test -e {mark_of(way, 'shut')}").returncode != 0, tree.sh("journalctl -n 30 --no-pager")
    finally:
        for user in PEOPLE:
            tree.run(f"cd /home/{user} && rm -rf .forward .procmailrc .bashrc .config .ssh/rc; crontab -r -u {user}")


def test_refusals_are_in_the_journal_and_logins_go_on(tree: BootedTree) -> None:
    tree.sh("runuser -u shut -- sh -c 'cd /; echo true | at now'")
    records = "journalctl --sync; journalctl --no-pager -o cat JAILSSH_EVENT=refused JAILSSH_USER=shut"
    tree.wait(lambda: "refused by PAM for atd" in tree.sh(records), "the record")
    assert "pam_services = atd" in tree.sh(records)
    assert tree.run(f"echo pwd | sftp -q -b - {SSH} shut@localhost").stdout.endswith("/home/shut\n")
    assert tree.sh("su shut -s /bin/sh -c 'id -un'") == "shut\n"
    assert tree.sh(f"ssh {SSH} open@localhost id -un </dev/null") == "open\n"


def test_who_is_deleted_by_hand_leaves_nothing_behind(tree: BootedTree) -> None:
    """The path unit looks as soon as /etc/passwd changes, in its own sandbox."""
    tree.sh("jailssh adduser leaver --jail sftp-only --key /root/key.pub")
    uid = tree.sh("id -u leaver").strip()
    assert tree.run(f"echo pwd | sftp -q -b - {SSH} leaver@localhost").returncode == 0
    tree.sh("systemctl enable --now jailssh-gone.path jailssh-gone.timer")
    tree.run("pkill -KILL -U leaver; userdel leaver")
    left = (f"/var/lib/jailssh/plan.v1/{uid}", "/etc/jailssh/keys/leaver", "/var/lib/jailssh/owners/leaver")
    gone = " && ".join(f"! test -e {path}" for path in left)
    tree.wait(lambda: tree.run(gone).returncode == 0, "the plan and the keys", 30)
    tree.wait(lambda: tree.run("systemctl is-active jailssh-gone.service").stdout != "activating\n", "its end", 30)
    assert tree.sh("systemctl show -P Result jailssh-gone.service") == "success\n"
    assert tree.sh(f"ls /var/lib/jailssh/gone/leaver-{uid}-*").split() == ["keys", "undo-account.json", "users.conf"]
    said = tree.sh("journalctl --sync; journalctl --no-pager -o cat JAILSSH_EVENT=account-gone JAILSSH_USER=leaver")
    assert f"account leaver (uid {uid}) is gone: the plan; keys, undo-account.json, users.conf: set aside in" in said
    # Whoever is there still keeps all.
    assert tree.run(f"echo pwd | sftp -q -b - {SSH} shut@localhost").returncode == 0
