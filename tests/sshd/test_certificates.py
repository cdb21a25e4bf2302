"""Certificates of an authority that sshd trusts, and revocation lists: who they let in, and into what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jailssh.core import journal_fields as fields
from jailssh.scratch.host import Finished
from tests.sshd.people import People, sshd_with
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program")

ONE, SHARED, REVOKED = "signed", "signed-shared", "/etc/ssh/revoked"
SSHD = f"TrustedUserCAKeys /etc/ssh/users-ca.pub\nRevokedKeys {REVOKED}\n"
JAILED = "this account allows: sftp"


@pytest.fixture(scope="module")
def people(world: World) -> Iterator[People]:
    """An account of one person and one of several, an authority, and a list that revokes nothing."""
    people = People(world, ONE)
    client = world.client
    client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ".ssh/users-ca"], check=True)
    world.host.write("/etc/ssh/users-ca.pub", world.host.read(f"{client.home}/.ssh/users-ca.pub"))
    world.host.run(["ssh-keygen", "-q", "-k", "-f", REVOKED], check=True)
    for name in (ONE, SHARED):
        world.jailssh("adduser", name, "--jail", "sftp-only")
    people.make("certified")
    with sshd_with(world, SSHD):
        yield people
    for name in (ONE, SHARED):
        world.jailssh("deluser", name, "--now", "--yes", "--remove-home")
    world.host.run(["rm", REVOKED, "/etc/ssh/users-ca.pub"], check=True)


def sign(people: People, principal: str, *options: str) -> None:
    """Have the authority sign the key anew."""
    argv = ["ssh-keygen", "-q", "-s", ".ssh/users-ca", "-I", "desk", "-n", principal, *options, ".ssh/of-certified.pub"]
    people.world.client.run(argv, check=True)


def revoke(people: People, what: str, *options: str) -> None:
    """Have the list revoke this and nothing else, as ssh-keygen(1) has it in a specification."""
    people.world.host.write("/root/spec", what)
    argv = ["ssh-keygen", "-q", "-k", "-f", REVOKED, "-s", "/etc/ssh/users-ca.pub", *options, "/root/spec"]
    people.world.host.run(argv, check=True)


def sftp(people: People, name: str) -> Finished:
    return people.world.client.sftp(name, "pwd\n", options=["-F", ".ssh/of-certified.config"])


def test_a_certificate_lets_into_the_jail_and_nowhere_else(people: People) -> None:
    assert sftp(people, ONE).code != 0, "no key, no certificate"
    sign(people, ONE)
    assert sftp(people, ONE).code == 0
    # What a certificate permits or commands is the authority's; where a session goes is this host's.
    sign(people, ONE, "-O", "force-command=/bin/sh", "-O", "permit-port-forwarding")
    done = people.ssh("certified", "id")
    assert (done.code, JAILED in done.stderr) == (126, True)
    assert sftp(people, ONE).code == 0
    assert people.ssh("certified", None, "-W", "127.0.0.1:22").code == 255


@pytest.mark.parametrize(
    ("principal", "options"),
    [("another", ()), (ONE, ("-O", "source-address=192.0.2.1")), (ONE, ("-V", "20200101:20200102")), (ONE, ("-h",))],
)
def test_a_certificate_that_is_not_for_this_login(people: People, principal: str, options: tuple[str, ...]) -> None:
    sign(people, principal, *options)
    assert sftp(people, ONE).code == 255


def test_a_list_revokes_certificates_and_named_keys(people: People) -> None:
    world = people.world
    sign(people, ONE, "-z", "7")
    assert sftp(people, ONE).code == 0
    revoke(people, "serial: 7\n")
    assert sftp(people, ONE).code == 255
    sign(people, ONE, "-z", "8")
    assert sftp(people, ONE).code == 0
    revoke(people, "id: desk\n")
    assert sftp(people, ONE).code == 255
    revoke(people, "")
    # Of several people the principal is the name, and the list holds for them too.
    world.jailssh("keys", "add", SHARED, "carol", "/etc/ssh/users-ca.pub", "--principal", "carol@example.org")
    sign(people, "carol@example.org", "-z", "9")
    assert sftp(people, SHARED).code == 0
    assert {record.get(fields.KEY) for record in world.last_login(SHARED)} == {"carol"}
    revoke(people, "serial: 9\n")
    assert sftp(people, SHARED).code == 255
    other = People(world, SHARED)
    public = other.make("pinned")
    world.jailssh("keys", "add", SHARED, "dora", public)
    options = ["-F", ".ssh/of-pinned.config"]
    assert world.client.sftp(SHARED, "pwd\n", options=options).code == 0
    revoke(people, f"hash: {world.client.run(['ssh-keygen', '-l', '-f', public]).stdout.split()[1]}\n")
    assert world.client.sftp(SHARED, "pwd\n", options=options).code == 255


def test_without_its_list_sshd_lets_nobody_in(people: People) -> None:
    world = people.world
    sign(people, ONE)
    revoke(people, "")
    assert sftp(people, ONE).code == 0
    world.host.run(["mv", REVOKED, f"{REVOKED}.away"], check=True)
    try:
        assert sftp(people, ONE).code == 255
        assert "sshd refuses every key" in world.jailssh("doctor", ONE, check=False).stdout
    finally:
        world.host.run(["mv", f"{REVOKED}.away", REVOKED], check=True)
    assert sftp(people, ONE).code == 0
