"""A host whose file systems keep no quotas: a limit of disk or files lets nobody in, and takes nothing from others."""

from __future__ import annotations

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "login-program")

JAIL = "/etc/jailssh/jails/unkept.conf"


def test_no_account_is_made_that_could_not_be_held(world: World) -> None:
    host = world.host
    done = host.run(["jailssh", "adduser", "unkept", "--jail", "sftp-only", "--quota", "5G,1000"])
    assert done.code != 0 and "disk and files cannot be kept for unkept: " in done.stderr
    assert host.run(["getent", "passwd", "unkept"]).code != 0
    assert host.run(["ls", "/etc/jailssh/users/unkept.conf"]).code != 0
    for text, why in (("5X", "is not a size"), ("0", "allows nothing"), ("5G,many", "is not a number")):
        done = host.run(["jailssh", "adduser", "unkept", "--jail", "sftp-only", "--quota", text])
        assert done.code == 2 and why in done.stderr


def test_a_plan_that_is_there_stays(world: World) -> None:
    host = world.host
    host.write(JAIL, "plugins = sftp\n")
    world.jailssh("adduser", "unkept", "--jail", "unkept")
    try:
        before = world.jailssh("plan", "show", "unkept").stdout
        host.write(JAIL, "plugins = sftp\numask = 077\n[limits]\ndisk = 1G\n")
        for words in (("apply", "--dry-run"), ("apply",), ("config", "check")):
            done = host.run(["jailssh", *words])
            assert done.code != 0 and f"{JAIL}:4: disk cannot be kept for unkept: " in done.stderr
        assert world.jailssh("plan", "show", "unkept").stdout == before
    finally:
        host.run(["jailssh", "deluser", "unkept", "--yes", "--remove-home"])
        host.run(["rm", JAIL])
