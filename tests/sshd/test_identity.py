"""Accounts that go by another hand than ours, names and uids that are given again, a directory that does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.core import journal_fields as fields
from tests.root.nss_lab import Directory
from tests.sshd.people import by_group, daemon, lists_home, plan_of
from tests.sshd.world import GROUP, LOGIN, World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program", "gcc")

GONE = "/var/lib/jailssh/gone"
NEW_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr new@here\n"


def useradd(world: World, name: str, uid: int, *options: str) -> None:
    world.host.run(["useradd", "--create-home", "--uid", str(uid), *options, name], check=True)


def aside(world: World, name: str, uid: int) -> str:
    """Return the one directory with what an account had."""
    (found,) = world.host.run(["sh", "-c", f"ls -d {GONE}/{name}-{uid}-*"], check=True).stdout.split()
    return found


def gone_records(world: World, name: str) -> list[str]:
    return [str(row["MESSAGE"]) for row in world.host.journal(**{fields.EVENT: "account-gone", fields.USER: name})]


def test_an_account_deleted_by_hand(world: World) -> None:
    """Its plan, its keys and its files are nobody's; who gets the uid gets a jail of their own."""
    world.adduser("left", "shell")
    uid, keys = world.uid("left"), world.host.read("/etc/jailssh/keys/left")
    world.userdel("left")
    assert "no account is gone" not in world.jailssh("apply", "--gone", "--dry-run").stdout
    assert world.exists(f"/var/lib/jailssh/plan.v1/{uid}")
    said = world.jailssh("apply", "--gone").stdout
    place = aside(world, "left", uid)
    assert f"left (uid {uid})" in said
    assert place in said
    assert not world.exists(f"/var/lib/jailssh/plan.v1/{uid}")
    for path in ("keys/left", "users/left.conf", "keys.d/left"):
        assert not world.exists(f"/etc/jailssh/{path}")
    assert not world.exists("/var/lib/jailssh/owners/left")
    assert world.host.read(f"{place}/keys") == keys
    assert f"uid = {uid}" in world.host.read(f"{place}/users.conf").decode()
    assert world.host.run(["sh", "-c", f"stat -c %a-%U {GONE} {place} {place}/keys"]).stdout.split() == [
        "700-root", "700-root", "600-root",
    ]  # fmt: skip
    (message,) = gone_records(world, "left")
    assert f"account left (uid {uid}) is gone: the plan; keys" in message
    assert place in message
    assert world.jailssh("apply", "--gone").stdout == "no account is gone\n"
    useradd(world, "joins", uid, "--no-user-group", "--gid", GROUP, "--shell", LOGIN)
    world.client.authorize("joins")
    with daemon(world):
        assert lists_home(world, "joins").stdout.split()[-1] == "/home/joins"
    assert world.client.ssh("joins", "id").stderr == "jailssh: command not allowed; this account allows: sftp\n"


def test_an_old_name_for_somebody_else(world: World) -> None:
    """adduser sets the old person's keys aside and says so; they do not let in."""
    world.adduser("again", "sftp-only")
    old = world.uid("again")
    assert lists_home(world, "again").code == 0
    world.userdel("again")
    useradd(world, "again", old + 500)
    world.host.write("/srv/new.pub", NEW_KEY)
    done = world.jailssh("adduser", "again", "--jail", "sftp-only", "--key", "/srv/new.pub", "--yes")
    said = done.stdout + done.stderr
    assert f"again was another account (uid {old})" in said
    assert aside(world, "again", old) in said
    keys = world.host.read("/etc/jailssh/keys/again").decode()
    assert keys.count("ssh-ed25519") == 1
    assert "new@here" in keys
    assert lists_home(world, "again").code == 255
    assert not world.exists(f"/var/lib/jailssh/plan.v1/{old}")
    assert world.exists(plan_of(world, "again"))
    # Not an account that adduser made: it stays.
    world.jailssh("deluser", "again", "--yes")
    assert world.uid("again") == old + 500


def test_a_new_account_under_an_old_name(world: World) -> None:
    world.adduser("renewed", "sftp-only")
    old = world.uid("renewed")
    world.userdel("renewed")
    world.host.run(["useradd", "--uid", str(old), "holder"], check=True)
    done = world.jailssh("adduser", "renewed", "--jail", "sftp-only")
    assert f"renewed was another account (uid {old})" in done.stdout + done.stderr
    assert not world.exists("/etc/jailssh/keys/renewed")
    assert "deleted" in world.jailssh("deluser", "renewed", "--yes").stdout


@pytest.mark.parametrize("users_file", ["as it was", "removed by hand"])
def test_deluser_leaves_somebody_elses_account_alone(world: World, users_file: str) -> None:
    name = "reused" if users_file == "as it was" else "unfiled"
    world.adduser(name, "sftp-only")
    uid = world.uid(name)
    world.userdel(name)
    useradd(world, name, uid + 600)
    if users_file == "removed by hand":
        world.host.run(["rm", f"/etc/jailssh/users/{name}.conf"], check=True)
    done = world.jailssh("deluser", name, "--yes")
    assert "has another uid than the one in the jail; only its jailssh files are removed" in done.stdout
    assert world.uid(name) == uid + 600
    assert world.exists(f"/home/{name}")
    for path in (f"/etc/jailssh/keys/{name}", f"/etc/jailssh/users/{name}.conf", f"/var/lib/jailssh/plan.v1/{uid}",
                 f"/var/lib/jailssh/owners/{name}", f"/var/lib/jailssh/undo/account-{name}.json"):  # fmt: skip
        assert not world.exists(path), path


def test_a_renamed_account(world: World) -> None:
    world.adduser("maiden", "sftp-only")
    uid = world.uid("maiden")
    world.host.run(["usermod", "--login", "married", "maiden"], check=True)
    world.client.authorize("married")
    world.jailssh("apply", "--gone")
    assert not world.exists(f"/var/lib/jailssh/plan.v1/{uid}")
    assert aside(world, "maiden", uid)
    with daemon(world):
        assert lists_home(world, "married").code != 0


def test_named_keys_of_a_name_that_is_somebody_elses(world: World) -> None:
    """An account that is in its jail through a group has no file that says its uid: the note does."""
    by_group(world, "team1")
    world.jailssh("keys", "add", "team1", "me", world.client.public_key_file)
    assert lists_home(world, "team1").code == 0
    old = world.uid("team1")
    world.userdel("team1")
    useradd(world, "team1", old + 700, "--no-user-group", "--gid", GROUP, "--shell", LOGIN)
    with daemon(world):
        # sshd takes the old key, and the account gets nothing for it.
        assert lists_home(world, "team1").code != 0
    (record,) = world.host.journal(**{fields.EVENT: "plan-failed", fields.UID: str(old + 700)})
    assert f"is for uid {old}, the account has uid {old + 700}" in record["MESSAGE"]
    world.jailssh("apply", "--gone")
    place = aside(world, "team1", old)
    assert world.exists(f"{place}/keys.d/me.pub")
    assert not world.exists("/etc/jailssh/keys/team1")
    assert not world.exists("/etc/jailssh/keys.d/team1")
    assert world.client.ssh("team1", "id").code == 255


def test_one_wrong_file_stops_nobody_else(world: World) -> None:
    for name in ("stale", "fine"):
        world.adduser(name, "sftp-only")
    plans = {name: world.host.read(plan_of(world, name)) for name in ("stale", "fine")}
    for name, jail in (("stale", "no-such-jail"), ("fine", "sftp-ro")):
        world.host.write(f"/etc/jailssh/users/{name}.conf", f"uid = {world.uid(name)}\njail = {jail}\n")
    try:
        done = world.jailssh("apply", check=False)
        assert done.code == 1
        assert "jail no-such-jail of account stale does not exist" in done.stderr
        assert "fine" in done.stdout
        # Its jail is not there: whoever took that away meant it.
        assert world.host.run(["test", "-e", plan_of(world, "stale")]).code == 1
        assert world.host.read(plan_of(world, "fine")) != plans["fine"]
        world.host.write("/etc/jailssh/users/stale.conf", f"uid = {world.uid('stale')}\njail = sftp-only\n")
        assert world.jailssh("apply").code == 0
        assert world.host.read(plan_of(world, "stale")) == plans["stale"]
        world.host.write("/etc/jailssh/users/stale.conf", "what is this\n")
        done = world.jailssh("apply", check=False)
        assert (done.code, world.host.read(plan_of(world, "stale"))) == (1, plans["stale"])
    finally:
        world.host.write("/etc/jailssh/users/stale.conf", f"uid = {world.uid('stale')}\njail = sftp-only\n")
    assert world.jailssh("apply").code == 0


@pytest.fixture
def directory(world: World, tmp_path: Path) -> Iterator[Directory]:
    before = world.host.read("/etc/nsswitch.conf")
    directory = Directory(world.host, tmp_path)
    yield directory
    directory.state("up")
    world.host.write("/etc/nsswitch.conf", before)
    world.host.run(["rm", "-f", "/etc/fake.passwd", "/etc/fake.group"], check=True)
    world.jailssh("apply", "--gone")


def from_directory(world: World, directory: Directory, name: str, uid: int) -> None:
    directory.account(name, uid, f"/home/{name}", LOGIN)
    world.host.run(["install", "-d", "-m", "700", "-o", str(uid), "-g", str(uid), f"/home/{name}"], check=True)
    world.adduser(name, "sftp-only", "--yes")


@pytest.mark.parametrize("state", ["away", "busy"])
def test_a_directory_that_is_away_takes_nobodys_plan(world: World, directory: Directory, state: str) -> None:
    from_directory(world, directory, "dora", 40001)
    from_directory(world, directory, "dave", 40002)
    assert lists_home(world, "dora").code == 0
    kept = ("plan.v1/40001", "plan.v1/40002", "owners/dora", "owners/dave")
    world.adduser("local1", "sftp-only")
    directory.state(state)
    # A name that the directory may have is not given to a new account.
    assert "cannot be looked up" in world.jailssh("adduser", "local2", "--jail", "sftp-only", check=False).stderr
    # Whoever is local is looked up with their groups, which nobody can tell now: only the directory's order matters.
    world.host.run(["sed", "-i", "s/^group:.*/group: files/", "/etc/nsswitch.conf"], check=True)
    world.host.write("/etc/jailssh/users/local1.conf", f"uid = {world.uid('local1')}\njail = sftp-ro\n")
    for how in ([], ["--gone"]):
        done = world.jailssh("apply", *how, check=False)
        says = "unavailable" if state == "away" else state
        assert done.code == 1
        for name in ("dora", "dave"):
            assert f"account {name}: cannot be looked up: fake is {says}" in done.stderr
        assert all(world.exists(f"/var/lib/jailssh/{path}") for path in kept)
        assert all(world.exists(f"/etc/jailssh/{path}") for path in ("keys/dora", "users/dora.conf"))
        if not how:
            assert "local1" in done.stdout  # its change was published
    assert world.jailssh("apply", "--gone", "--dry-run", check=False).code == 1
    listed = world.jailssh("list").stdout
    assert "UNKNOWN: account dora: cannot be looked up" in listed
    directory.state("up")
    assert world.jailssh("apply").code == 0
    assert lists_home(world, "dora").code == 0
    directory.remove("dora")
    world.jailssh("apply", "--gone")
    assert not world.exists("/var/lib/jailssh/plan.v1/40001")
    assert world.exists("/var/lib/jailssh/plan.v1/40002")
    assert world.exists(f"{aside(world, 'dora', 40001)}/users.conf")
    world.host.run(["sh", "-c", f"rm -r {GONE}/dora-*"], check=True)


def test_a_key_is_taken_away_while_the_directory_is_away(world: World, directory: Directory) -> None:
    directory.account("many", 40003, "/home/many", LOGIN)
    world.host.run(["install", "-d", "-m", "700", "-o", "40003", "-g", "40003", "/home/many"], check=True)
    world.jailssh("adduser", "many", "--jail", "sftp-only", "--yes")
    world.host.write("/srv/new.pub", NEW_KEY)
    world.jailssh("keys", "add", "many", "me", world.client.public_key_file)
    world.jailssh("keys", "add", "many", "other", "/srv/new.pub")
    assert lists_home(world, "many").code == 0
    directory.state("away")
    roster = world.host.read("/var/lib/jailssh/plan.v1/40003")
    assert b"\0me\0" in roster
    world.jailssh("keys", "remove", "many", "me")
    assert b"\0me\0" not in world.host.read("/var/lib/jailssh/plan.v1/40003")
    directory.state("up")
    assert lists_home(world, "many").code == 255


def test_one_slow_answer_holds_up_no_other_login(world: World, directory: Directory) -> None:
    """jailsshd asks by uid: only that question hangs, sshd's by name does not."""
    from_directory(world, directory, "slow", 40005)
    world.host.run(["rm", plan_of(world, "slow")], check=True)
    # On a busy machine one may take longer than the five seconds that the question is waited for.
    assert any(overtakes(world, directory, f"swift{number}") for number in range(3))
    for record in world.host.journal(**{fields.EVENT: "plan-failed", fields.UID: "40005"}):
        assert record[fields.REASON] == "lookup"
        assert "no answer of the name service within 5 seconds" in record["MESSAGE"]


def overtakes(world: World, directory: Directory, name: str) -> bool:
    """Log in to a new account while another one's login waits for an answer; return whether that waited still."""
    directory.state("up")
    world.adduser(name, "sftp-only", "--on-demand")
    directory.state("hang 40005")
    with daemon(world), world.client.start_ssh("slow", "internal-sftp") as slow:
        time.sleep(0.5)
        assert lists_home(world, name).code == 0
        waits = slow.poll() is None
        err = slow.communicate(timeout=20)[1]
        assert slow.returncode == 125, err
    return waits


def test_a_command_does_not_wait_for_ever(world: World, directory: Directory) -> None:
    for number in range(8):
        from_directory(world, directory, f"many{number}x", 40010 + number)
    world.host.run(["sed", "-i", "s/^group:.*/group: files/", "/etc/nsswitch.conf"], check=True)
    directory.state("hang")
    begun = time.monotonic()
    done = world.jailssh("apply", "--gone", check=False)
    assert done.code == 1
    assert 14 < time.monotonic() - begun < 25  # three answers are waited for
    assert all(f"account many{number}x" in done.stderr for number in range(8))
    assert all(world.exists(f"/var/lib/jailssh/plan.v1/{40010 + number}") for number in range(8))
