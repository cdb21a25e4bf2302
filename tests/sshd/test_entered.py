"""Accounts of the host that use jails by ``jailssh enter``: listed by name, by a group, not at all, not any more."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

JAILS = {
    "bench": "plugins = shell\nenter = carol, @builders\nlinger = yes\n[limits]\naddresses = 192.0.2.0/24\n",
    "files": "plugins = sftp\nenter = carol\n",
}
GONE = 126


@pytest.fixture(scope="module")
def host(world: World) -> Iterator[World]:
    """Carol by name, dave by a group, erin not at all; none of them is in a jail."""
    world.host.run(["groupadd", "builders"], check=True)
    for name, more in (("carol", []), ("dave", ["-G", "builders"]), ("erin", [])):
        world.host.run(["useradd", "-m", "-s", "/bin/bash", *more, name], check=True)
    for jail, text in JAILS.items():
        world.host.write(f"/etc/jailssh/jails/{jail}.conf", text)
    said = world.jailssh("apply").stdout
    assert "carol (uid" in said and "jail bench:\n  + may enter it" in said
    world.jailssh("setup", "--yes")
    yield world
    for jail in JAILS:
        world.host.run(["rm", "-f", f"/etc/jailssh/jails/{jail}.conf"], check=True)
    world.jailssh("apply")
    assert plans(world) == []
    for name in ("carol", "dave", "erin"):
        world.host.run(["userdel", "-r", name])
    world.host.run(["groupdel", "builders"])


def plans(world: World) -> list[str]:
    return world.host.run(["sh", "-c", "cd /var/lib/jailssh/plan.v1 && ls | grep @ || :"]).stdout.split()


def enter(world: World, name: str, *words: str, input: str | None = None) -> Finished:
    return world.host.run(["runuser", "-u", name, "--", "jailssh", "enter", *words], input=input)


def test_the_command_runs_in_the_jail_as_its_caller(host: World) -> None:
    done = enter(host, "carol", "bench", "--", "sh", "-c", "id -un; pwd; ls -A /home; cat; echo err >&2; exit 7",
                 input="typed\n")  # fmt: skip
    assert (done.stdout, done.stderr, done.code) == ("carol\n/home/carol\ncarol\ntyped\n", "err\n", 7)
    # Words stay words: nothing is split or expanded a second time by the way.
    done = enter(host, "carol", "bench", "--", "printf", "<%s>", "a b", "$HOME", "it's", "*", "")
    assert (done.stdout, done.code) == ("<a b><$HOME><it's><*><>", 0)


def test_who_is_listed_and_who_is_not(host: World) -> None:
    assert enter(host, "dave", "bench", "--", "true").code == 0
    for name, jail in (("erin", "bench"), ("dave", "files"), ("erin", "none")):
        done = enter(host, name, jail, "--", "true")
        assert (done.stderr, done.code) == ("jailssh: this account is not allowed to enter this jail\n", GONE)
    done = enter(host, "carol", "files")
    assert (done.stdout, done.code) == ("", GONE) and "jail has no shell" in done.stderr
    assert enter(host, "carol", "../files").code == enter(host, "carol", "-x").code == 2
    root = host.host.run(["jailssh", "enter", "bench"])
    assert root.code == 2 and "root is never jailed" in root.stderr


def test_a_group_that_is_left_lets_in_nobody_at_once(host: World) -> None:
    host.host.run(["gpasswd", "-d", "dave", "builders"], check=True)
    assert enter(host, "dave", "bench", "--", "true").code == GONE
    assert "dave (uid" in host.jailssh("apply").stdout
    assert len(plans(host)) == 2
    host.host.run(["gpasswd", "-a", "dave", "builders"], check=True)
    assert enter(host, "dave", "bench", "--", "true").code == GONE
    host.jailssh("apply")
    assert enter(host, "dave", "bench", "--", "true").code == 0


def test_what_is_taken_out_of_the_file_is_taken_away(host: World) -> None:
    host.host.write("/etc/jailssh/jails/files.conf", JAILS["files"].replace("carol", "nobody-there"))
    assert "- may enter it" in host.jailssh("apply", "--dry-run").stdout
    assert len(plans(host)) == 3
    found = json.loads(host.jailssh("check", "--json", check=False).stdout)["findings"]
    assert [each["object"] for each in found if each["id"] == "JSH-208"] == ["plan of carol"]
    host.jailssh("apply")
    assert len(plans(host)) == 2
    host.host.write("/etc/jailssh/jails/files.conf", JAILS["files"])
    host.jailssh("apply")
    assert host.jailssh("apply").stdout == "no changes\n"


def test_an_account_that_has_expired(host: World) -> None:
    host.host.run(["usermod", "-e", "1", "dave"], check=True)
    host.jailssh("apply")
    assert enter(host, "dave", "bench", "--", "true").code == GONE
    host.host.run(["usermod", "-e", "", "dave"], check=True)
    host.jailssh("apply")
    assert enter(host, "dave", "bench", "--", "true").code == 0


def test_where_jails_name_an_account_is_told_when_it_is_renamed(host: World) -> None:
    table = "[git]\nroots = /srv/git\nrights = write a fred, read b @all\n"
    jails = {
        "team": f"plugins = git\n{table}",
        "visit": "plugins = sftp\nenter = fred, @builders\n[directories fred]\nread = /srv/git\n",
        "else": f"plugins = git\n{table}",
        "wrong": "plugins = nosuch\nenter = fred\n",
    }
    host.host.run(["mkdir", "-p", "/srv/git"], check=True)
    for name, text in jails.items():
        host.host.write(f"/etc/jailssh/jails/{name}.conf", text)
    host.jailssh("adduser", "fred", "--jail", "team", "--yes")
    said = host.jailssh("rename", "fred", "freda").stdout
    at = "note: /etc/jailssh/jails"
    assert [line.partition(" names fred: ")[::2] for line in said.splitlines() if line.startswith(at)] == [
        (f"{at}/{place}", "write freda, then: jailssh apply")
        for place in ("team.conf:4: [git] rights", "visit.conf:2: enter", "visit.conf:4 [directories fred] read",
                      "wrong.conf:2: enter")
    ]  # fmt: skip
    assert "names freda" not in host.jailssh("rename", "freda", "frida").stdout
    host.jailssh("deluser", "frida", "--remove-home", "--yes")
    host.host.run(["rm", *(f"/etc/jailssh/jails/{name}.conf" for name in jails)], check=True)
    host.jailssh("apply")


def test_the_verbs_know_it(host: World) -> None:
    listed = json.loads(host.jailssh("list", "--json").stdout)
    assert {(row["name"], row["jail"]) for row in listed["enter"]} == {
        ("carol", "bench"), ("carol", "files"), ("dave", "bench"),
    }  # fmt: skip
    assert "carol, @builders; ready: carol, dave" in host.jailssh("list").stdout
    assert host.jailssh("explain", "carol", "--enter", "bench", "--", "ls", "a b").code == 0
    assert host.jailssh("explain", "carol", "--enter", "files", "--", "ls", check=False).code == 3
    plan = json.loads(host.jailssh("plan", "show", "dave", "--enter", "bench", "--json").stdout)
    verbs = {record[0] for record in plan["records"]}
    assert "member" in verbs and not verbs & {"linger", "address", "relay", "outsider"}


def test_a_session_is_seen_and_ended(host: World) -> None:
    process = host.host.popen(
        ["runuser", "-u", "carol", "--", "jailssh", "enter", "bench", "--", "sh", "-c", "echo ready; sleep 600"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == b"ready\n"
    (row,) = json.loads(host.jailssh("sessions", "carol", "--json").stdout)["sessions"]
    assert (row["jail"], row["entered"], row["command"]) == ("bench", True, "sh -c 'echo ready; sleep 600'")
    assert host.host.run(["jailssh", "exec", "carol", "--", "id", "-un"]).stdout == "carol\n"
    assert "ended 1 session" in host.jailssh("kick", "carol").stdout
    assert process.wait(30) != 0


def test_jk_uchroot_is_understood(host: World) -> None:
    tool = "/usr/local/libexec/jailssh/compat/jk_uchroot"
    for words in (["-j", "/srv/bench", "-x", "/bin/echo", "--", "a b"], ["-j", "/srv/bench/", "-x", "bin/echo", "a b"],
                  ["--jail=/srv/bench", "--executable=/bin/echo", "--", "a b"]):  # fmt: skip
        done = host.host.run(["runuser", "-u", "carol", "--", tool, *words])
        assert (done.stdout, done.code) == ("a b\n", 0), done
    probing = [host.host.run(["runuser", "-u", "erin", "--", tool, "-j", "/root/x", "-x", path])
               for path in ("/root/.profile", "/root/none")]  # fmt: skip
    assert len({(done.code, done.stderr.replace(".profile", "none")) for done in probing}) == 1
    assert host.host.run(["runuser", "-u", "carol", "--", tool, "-j", "/srv/bench"]).code == 1


def test_a_terminal(host: World) -> None:
    master, slave = pty.openpty()
    process = host.host.popen(
        ["runuser", "-u", "carol", "--", "jailssh", "enter", "bench"], stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    os.write(master, b"tty; stty size; exit 5\n")
    said = b""
    while b"/dev/pts/0" not in said:
        said += os.read(master, 4096)
    assert process.wait(30) == 5
    os.close(master)
