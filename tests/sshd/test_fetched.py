"""Names of a shared account from a directory: people come, change and go as SSSD tells, and by logins."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.sshd.people import People
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program")

USER, GROUP, PROGRAM = "fetching", "ldapdevs", "/usr/local/bin/sss_ssh_authorizedkeys"
ANN, BOB, HAND = "fetch-ann", "fetch-bob", "fetch-hand"
# As SSSD's own: status 1 for whom it cannot say anything of, and keys as they stand in the entry.
SSSD = '#!/bin/sh\necho "$1" >>/run/asked\ntest ! -e "/run/directory/$1.away" || exit 1\ncat "/run/directory/$1"\n'


@pytest.fixture(scope="module")
def people(world: World) -> Iterator[People]:
    """The shared account, two people of a directory in a group, and one whom the administrator has named."""
    people = People(world, USER)
    world.host.write(PROGRAM, SSSD, 0o755)
    world.host.run(["sh", "-ec", f"mkdir /run/directory; groupadd {GROUP}; useradd -M {ANN}; useradd -M {BOB}"])
    world.host.run(["gpasswd", "-M", f"{ANN},{BOB}", GROUP], check=True)
    world.jailssh("adduser", USER, "--jail", "sftp-only")
    world.jailssh("keys", "add", USER, HAND, people.make(HAND))
    for name in (ANN, BOB):
        has(people, name, world.host.read(people.make(name)).decode())
    yield people
    world.jailssh("deluser", USER, "--now", "--yes", "--remove-home")
    world.host.run(["sh", "-c", f"userdel {ANN}; userdel {BOB}; groupdel {GROUP}; rm -r {PROGRAM} /run/directory"])


def has(people: People, name: str, keys: str) -> None:
    """Give the entry these lines."""
    people.world.host.write(f"/run/directory/{name}", keys)


def fetch(people: People, *who: str, code: int = 0) -> str:
    done = people.world.jailssh("keys", "fetch", USER, *who, check=False)
    assert done.code == code, done
    return done.stdout + done.stderr


def lets_in(people: People, name: str) -> bool:
    done = people.world.client.sftp(USER, "pwd\n", options=["-F", f".ssh/of-{name}.config"])
    return done.code == 0


def names(people: People) -> dict[str, list[str]]:
    rows = json.loads(people.world.jailssh("keys", "list", USER, "--json").stdout)
    return {row["name"]: row["groups"] for row in rows}


def test_members_come_with_their_keys_and_group_and_go(people: People) -> None:
    world = people.world
    said = fetch(people, f"@{GROUP}")
    assert f"{USER}: key {ANN}: 1 key of the directory" in said
    assert names(people) == {ANN: [GROUP], BOB: [GROUP], HAND: []}
    assert lets_in(people, ANN)
    assert set(world.host.read("/run/asked").decode().split()) == {ANN, BOB}, "nobody else is asked about"
    assert fetch(people, f"@{GROUP}") == f"{USER}: no changes\n"
    world.host.run(["gpasswd", "-d", BOB, GROUP], check=True)
    # Still named, but for the group.
    fetch(people, f"@{GROUP}", BOB)
    assert names(people)[BOB] == []
    assert lets_in(people, BOB)
    assert f"{USER}: key {BOB} removed" in fetch(people, f"@{GROUP}")
    assert names(people) == {ANN: [GROUP], HAND: []}
    assert not lets_in(people, BOB)
    assert lets_in(people, HAND)


def test_keys_change_as_the_entry_does(people: People) -> None:
    world = people.world
    first, second = (world.host.read(people.make(f"{ANN}{n}")).decode() for n in (1, 2))
    has(people, ANN, first)
    fetch(people, ANN)
    assert (lets_in(people, ANN), lets_in(people, f"{ANN}1")) == (False, True)
    has(people, ANN, first + second)
    fetch(people, ANN)
    assert lets_in(people, f"{ANN}2")
    # One that is not a bare key is refused with the reason; the others count.
    has(people, ANN, f'from="192.0.2.1" {first}cert-authority {second}{second}')
    said = fetch(people, ANN, code=1)
    assert said.count("options before a key are not allowed") == 2
    assert (lets_in(people, f"{ANN}1"), lets_in(people, f"{ANN}2")) == (False, True)
    # What somebody else has is not to be had by writing it into one's own entry.
    has(people, BOB, second + world.host.read(f"{world.client.home}/.ssh/of-{HAND}.pub").decode())
    said = fetch(people, ANN, BOB, code=1)
    assert said.count("is also a key of") == 2
    assert BOB not in names(people)
    assert lets_in(people, HAND)
    # A name that somebody gave by hand stays that one's.
    assert "did not come from the directory" in fetch(people, HAND, ANN, code=1)
    assert lets_in(people, HAND)


def test_what_cannot_be_said_changes_nothing(people: People) -> None:
    world = people.world
    has(people, ANN, world.host.read(f"{world.client.home}/.ssh/of-{ANN}.pub").decode())
    fetch(people, f"@{GROUP}")
    world.host.write(f"/run/directory/{ANN}.away", "")
    assert "SSSD does not give them" in fetch(people, f"@{GROUP}", code=1)
    assert lets_in(people, ANN)
    world.host.run(["mv", PROGRAM, f"{PROGRAM}.away"], check=True)
    assert fetch(people, f"@{GROUP}", code=1)
    assert "no-such-group: does not exist, or the directory is away" in fetch(people, "@no-such-group", ANN, code=1)
    world.host.run(["mv", f"{PROGRAM}.away", PROGRAM], check=True)
    assert names(people) == {ANN: [GROUP], HAND: []}
    assert lets_in(people, ANN)
    world.host.run(["rm", f"/run/directory/{ANN}.away"], check=True)
    # Whom nobody knows any more has no keys, also while the program still answers for the name.
    world.host.run(["userdel", ANN], check=True)
    assert f"{USER}: key {ANN} removed, also from {GROUP}" in fetch(people, ANN)
    assert not lets_in(people, ANN)
    world.host.run(["useradd", "-M", ANN], check=True)
