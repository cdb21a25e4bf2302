"""What an account can reach beside its login: mail, jobs, su, its user manager, its shell, on a booted Debian.

Every way is tried twice: an account that is in no jail gets out by it, so the way works here; one that may only
transfer files, and was given the same, does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.system.booted import MAIL_SERVERS, BootedTree
from tests.system.people import OPEN, OTHER, PASSWORD, SHUT, SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

PEOPLE = (SHUT, OPEN)
UNIT = "[Service]\nType=oneshot\nExecStart=/usr/bin/touch {mark}\n"


@dataclass(frozen=True)
class Way:
    """Files that the account uploads, and what root or the account itself does then; MARK is the sign of its code."""

    name: str
    files: tuple[tuple[str, str], ...]
    then: str


MAIL = "echo hello | /usr/sbin/sendmail -i USER"
LOGIN = f"ssh {SSH} USER@localhost true </dev/null; true"
BY_MAIL = (
    Way("forward", ((".forward", '"|/usr/bin/touch {mark}"\n'),), MAIL),
    Way("procmail", ((".procmailrc", ":0\n| /usr/bin/touch {mark}\n"),), MAIL),
)
WAYS = (
    Way("user-unit", ((".config/systemd/user/x.service", UNIT),
                      (".config/systemd/user/default.target.wants/x.service", "-> ../x.service")), LOGIN),
    Way("start-file", ((".bashrc", "touch {mark}\n"),), LOGIN),
    Way("ssh-rc", ((".ssh/rc", "touch {mark}\n"),), LOGIN),
    Way("su", (), f"echo {PASSWORD} | runuser -u {OTHER} -- su -s /bin/sh -c 'touch MARK' USER"),
    Way("su-login", ((".profile", "touch {mark}\n"),), f"echo {PASSWORD} | runuser -u {OTHER} -- su - USER"),
    Way("at", (), "runuser -u USER -- sh -c 'cd /; echo touch MARK | at now'"),
)  # fmt: skip
CRON = Way("cron", (), "echo '* * * * * touch MARK' | crontab -u USER -")


@pytest.fixture(scope="module", autouse=True)
def armed(tree: BootedTree) -> Iterator[None]:
    """What cron does once a minute begins while others are tried."""
    for user in PEOPLE:
        begin(tree, CRON, user)
    yield
    for user in PEOPLE:
        tree.run(f"crontab -r -u {user}")


def upload(tree: BootedTree, user: str, path: str, text: str) -> None:
    """Put a file, or with "-> TARGET" a link, into the home as the account does; that it is refused is fine."""
    folders = [path[:at] for at, char in enumerate(path) if char == "/"]
    script = "".join(f"-mkdir {folder}\n" for folder in folders)
    script += f"ln -s {text[3:]} {path}\n" if text.startswith("-> ") else f"put /root/up {path}\n"
    tree.run("cat >/root/up", input=text, check=True)
    tree.run(f"sftp -q -b - {SSH} {user}@localhost", input=script)


def mark_of(way: Way, user: str) -> str:
    return f"/var/tmp/ran-{way.name}-{user}"


def begin(tree: BootedTree, way: Way, user: str) -> None:
    tree.run(way.then.replace("USER", user).replace("MARK", mark_of(way, user)))


def has_run(tree: BootedTree, way: Way, user: str) -> bool:
    return tree.run(f"test -e {mark_of(way, user)}").returncode == 0


def try_way(tree: BootedTree, way: Way) -> None:
    """Give both accounts the same and let it work: first the jailed one, so that it has at least as much time."""
    tree.sh("rm -f /var/tmp/ran-[!c]*")
    try:
        let_work(tree, way)
        tree.wait(lambda: has_run(tree, way, OPEN), "the way out")
        assert not has_run(tree, way, SHUT), tree.sh("journalctl -n 30 --no-pager")
    finally:
        clean(tree)


def let_work(tree: BootedTree, way: Way) -> None:
    for user in PEOPLE:
        for path, text in way.files:
            upload(tree, user, path, text.format(mark=mark_of(way, user)))
    tree.run("systemctl stop 'user@*'")
    tree.wait(lambda: not tree.sh("loginctl list-sessions --no-legend"), "the end of the sessions")
    for user in PEOPLE:
        begin(tree, way, user)
    if "sendmail" in way.then:
        tree.wait_for_mail()


def clean(tree: BootedTree) -> None:
    for user in PEOPLE:
        tree.run(f"cd /home/{user} && rm -rf .forward* .procmailrc .bashrc .profile .config .ssh/rc")


@pytest.mark.parametrize("server", MAIL_SERVERS)
@pytest.mark.parametrize("way", BY_MAIL, ids=lambda way: str(way.name))
def test_mail_runs_nothing_of_a_jailed_account(tree: BootedTree, server: str, way: Way) -> None:
    tree.use_mail_server(server)
    try_way(tree, way)


def test_what_postfix_reads_besides_is_told_with_a_cure_that_holds(tree: BootedTree) -> None:
    way = Way("forward-plus", ((".forward+x", '"|/usr/bin/touch {mark}"\n'),), f"{MAIL}+x")
    tree.use_mail_server("postfix")
    cure = "postconf -e 'forward_path = $home/.forward'"
    try:
        told = tree.run("jailssh config check")
        assert told.returncode == 1
        assert cure in told.stderr
        let_work(tree, way)
        # No profile covers names that are the administrator's choice, so it is as it was told.
        assert {user for user in PEOPLE if has_run(tree, way, user)} == set(PEOPLE)
        tree.sh(f"rm /var/tmp/ran-forward-plus-*; {cure}; systemctl restart postfix")
        assert tree.run("jailssh config check").returncode == 0
        let_work(tree, way)
        assert not [user for user in PEOPLE if has_run(tree, way, user)]
    finally:
        tree.run("postconf -X forward_path; systemctl restart postfix; rm -f /var/tmp/ran-forward-plus-*")
        clean(tree)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.name))
def test_nothing_of_a_jailed_account_runs_outside(tree: BootedTree, way: Way) -> None:
    try_way(tree, way)


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
    tree.run(f"systemctl stop user@{uid}.service; pkill -KILL -U leaver; userdel leaver")
    left = (f"/var/lib/jailssh/plan.v1/{uid}", "/etc/jailssh/keys/leaver", "/var/lib/jailssh/owners/leaver")
    gone = " && ".join(f"! test -e {path}" for path in left)
    tree.wait(lambda: tree.run(gone).returncode == 0, "the plan and the keys", 30)
    tree.wait(lambda: tree.run("systemctl is-active jailssh-gone.service").stdout != "activating\n", "its end", 30)
    assert tree.sh("systemctl show -P Result jailssh-gone.service") == "success\n"
    assert tree.sh(f"ls /var/lib/jailssh/gone/leaver-{uid}-*").split() == ["keys", "undo-account.json", "users.conf"]
    said = tree.sh("journalctl --sync; journalctl --no-pager -o cat JAILSSH_EVENT=account-gone JAILSSH_USER=leaver")
    assert f"account leaver (uid {uid}) is gone: the plan; keys, undo-account.json, users.conf: set aside in" in said
    tree.sh("systemctl disable --now jailssh-gone.path jailssh-gone.timer; rm -rf /var/lib/jailssh/gone /home/leaver")
    # Whoever is there still keeps all.
    assert tree.run(f"echo pwd | sftp -q -b - {SSH} shut@localhost").returncode == 0


def test_cron_runs_nothing_of_a_jailed_account(tree: BootedTree) -> None:
    tree.wait(lambda: has_run(tree, CRON, OPEN), "cron", 150)
    refused = "journalctl --no-pager -o cat JAILSSH_EVENT=refused JAILSSH_USER=shut"
    tree.wait(lambda: "refused by PAM for cron" in tree.sh(refused), "cron's try for the other one")
    assert not has_run(tree, CRON, SHUT)
