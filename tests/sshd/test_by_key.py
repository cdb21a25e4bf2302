"""One account for many machines, whose keys have settings of their own, through sshd: a table of what each may."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from jailssh.core import journal_fields as fields
from jailssh.scratch.host import Finished
from tests.sshd.people import People
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "rsync", "journald", "login-program")

NAME = "vault"
USERS = f"/etc/jailssh/users/{NAME}.conf"
JAIL = "plugins = rsync sftp\n[rsync]\nwrite = ~/%k\n"
SECTIONS = """
[groups]
offsite = paris, oslo
[key @all]
plugins = rsync
[rsync key @offsite]
overwrite = no
[rsync key portable]
write =
read = ~/portable
[key desk]
plugins = sftp
[sftp key desk]
read_only = yes
[limits key away]
addresses = 192.0.2.0/24
[limits key old]
expires = 2020-01-31
[limits key paris]
fsize = 100K
[rsync key nobody]
delete = no
"""
KEYS = ("paris", "oslo", "portable", "desk", "away", "old", "plain")


@pytest.fixture(scope="module")
def machines(world: World) -> Iterator[People]:
    people = People(world, NAME)
    world.host.write(f"/etc/jailssh/jails/{NAME}.conf", JAIL)
    world.jailssh("adduser", NAME, "--jail", NAME)
    for key in KEYS:
        world.jailssh("keys", "add", NAME, key, people.make(key))
    world.host.write(USERS, world.host.read(USERS).decode() + SECTIONS)
    said = world.jailssh("apply").stderr
    assert "section [rsync key nobody]: key 'nobody' does not exist" in said
    world.client.write("small", "of this machine\n")
    world.client.write("large", "x" * 200_000)
    world.host.run(["install", "-d", "-o", NAME, f"/home/{NAME}/portable"], check=True)
    world.put(f"/home/{NAME}/portable/theirs", "from the host\n", NAME)
    yield people
    world.jailssh("deluser", NAME, "--now", "--yes")
    world.host.run(["rm", f"/etc/jailssh/jails/{NAME}.conf"], check=True)


def rsync(people: People, key: str, *paths: str) -> Finished:
    shell = f"ssh -F {people.world.client.home}/.ssh/of-{key}.config"
    return people.world.client.run(["rsync", "-e", shell, *paths])


@pytest.mark.parametrize(
    ("key", "paths", "refused"),
    [
        ("plain", ("small", f"{NAME}@host:plain/"), ""),
        ("plain", ("small", f"{NAME}@host:portable/"), "command not allowed"),
        ("paris", ("small", f"{NAME}@host:paris/"), ""),
        ("paris", ("large", f"{NAME}@host:paris/"), None),
        ("portable", (f"{NAME}@host:portable/theirs", "got"), ""),
        ("portable", ("small", f"{NAME}@host:portable/"), "only downloads"),
        ("desk", ("small", f"{NAME}@host:desk/"), "this account allows: sftp"),
        ("away", ("small", f"{NAME}@host:away/"), "jailssh: "),
        ("old", ("small", f"{NAME}@host:old/"), "jailssh: "),
    ],
)
def test_what_each_key_may(machines: People, key: str, paths: tuple[str, ...], refused: str | None) -> None:
    done = rsync(machines, key, *paths)
    assert (done.code == 0) is (refused == ""), done
    assert (refused or "") in done.stderr
    assert {record.get(fields.KEY) for record in machines.last()} == {key}


def test_a_group_keeps_what_is_there_and_others_do_not(machines: People) -> None:
    for key, kept in (("oslo", True), ("plain", False)):
        machines.world.client.write("note", "first\n")
        assert rsync(machines, key, "note", f"{NAME}@host:{key}/").code == 0
        machines.world.client.write("note", "second and longer\n")
        rsync(machines, key, "note", f"{NAME}@host:{key}/")
        assert (machines.world.host.read(f"/home/{NAME}/{key}/note") == b"first\n") is kept


def test_a_key_with_another_plugin(machines: People) -> None:
    shell = ["sftp", "-F", ".ssh/of-desk.config", "-b", "-", f"{NAME}@host"]
    assert machines.world.client.run(shell, input="ls\n").code == 0
    denied = machines.world.client.run(shell, input="put small\n")
    assert denied.code != 0


def test_every_verb_knows_it(machines: People) -> None:
    world = machines.world
    limited = {record.get(fields.REASON) for record in world.records(NAME)}
    assert {"address", "expired"} <= limited
    rows = json.loads(world.jailssh("config", "show", NAME, "--key", "portable", "--json").stdout)
    shown = {(row["section"], row["name"]): (row["value"], row["origin"]) for row in rows}
    value, origin = shown["rsync", "read"]
    assert (value, origin.split(":")[0]) == ("~/portable", USERS)
    assert shown["", "plugins"][0] == "rsync"
    assert world.jailssh("config", "show", NAME, "--key", "nobody", check=False).code == 2
    assert world.jailssh("explain", NAME, "--key", "desk", "--", "rsync", "--server", ".", "x", check=False).code == 3
    told = world.jailssh("explain", NAME, "--key", "away", check=False).stdout
    assert "addresses: from 192.0.2.0/24 only" in told
    rows = json.loads(world.jailssh("keys", "list", NAME, "--json").stdout)
    sections = {row["name"]: [each["section"] for each in row["settings"]] for row in rows}
    assert sections["oslo"] == ["[key @all]", "[rsync key @offsite]"]
    assert sections["plain"] == ["[key @all]"]
    told = world.jailssh("doctor", NAME, check=False).stdout
    assert "key old" in told
    assert "[limits key old]" in told


def test_a_contradiction_changes_nothing_and_is_told_with_both_lines(machines: People) -> None:
    world = machines.world
    before = world.host.read(USERS)
    text = before.decode().replace("offsite = paris, oslo", "offsite = paris, oslo\nother = oslo")
    world.host.write(USERS, f"{text}[rsync key @other]\noverwrite = yes\n")
    try:
        done = world.jailssh("apply", check=False)
        assert done.code != 0
        for part in ("key oslo is in groups", "[rsync] overwrite", "[rsync key oslo]"):
            assert part in done.stderr
        assert done.stderr.count(f"{USERS}:") >= 2
        assert rsync(machines, "oslo", "small", f"{NAME}@host:oslo/").code == 0
    finally:
        world.host.write(USERS, before)
        world.jailssh("apply")


def test_a_key_that_goes_leaves_its_section_and_the_last_one_leaves_nobody(machines: People) -> None:
    world = machines.world
    listed = "\n[directories key portable]\nread = ~/portable\n"
    world.host.write(USERS, world.host.read(USERS).decode() + listed)
    assert "[directories key portable]" in world.jailssh("keys", "list", NAME).stdout
    said = world.jailssh("keys", "remove", NAME, "portable").stdout
    for section in ("[rsync key portable]", "[directories key portable]"):
        assert f"section {section} stays, for a key of that name that is added again" in said
    assert "section [directories key portable]: key 'portable' does not exist" in world.jailssh("apply").stderr
    world.host.write(USERS, world.host.read(USERS).decode().replace(listed, ""))
    assert rsync(machines, "portable", f"{NAME}@host:portable/theirs", "got").code != 0
    again = world.jailssh("keys", "add", NAME, "portable", f"{world.client.home}/.ssh/of-portable.pub").stdout
    assert f"with [rsync key portable] ({USERS}:" in again
    assert "only downloads" in rsync(machines, "portable", "small", f"{NAME}@host:portable/").stderr
    for key in KEYS:
        said = world.jailssh("keys", "remove", NAME, key).stdout
    assert f"nobody can log in as {NAME}" in said
    # Sections for keys alone keep it a shared one: no key of the account's own lets anybody in.
    world.host.run(["rm", "-f", f"/etc/jailssh/keys/{NAME}"], check=True)
    world.own_keys(NAME, world.host.read(f"{world.client.home}/.ssh/of-plain.pub"))
    world.jailssh("apply", check=False)
    assert rsync(machines, "plain", "small", f"{NAME}@host:plain/").code != 0
