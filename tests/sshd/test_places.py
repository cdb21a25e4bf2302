"""Only what rules name is shown, and what programs of the host read in a home stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jailssh.core.home_readers import covers
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "rsync", "journald", "login-program")

READER = "reader"
# The same rule alone, where nothing but its directory is shown, and beside a plugin that shows the whole home.
JAILS = {"alone": "command", "beside": "command, sftp"}
JAIL = """plugins = {}
[command]
commands = "cat <path:~/box>", "ls -a <path:~/box>", "cp <path:~/box> <path:~/box>"
write = ~/box
"""
SECRET = "a line that nobody may see"
# Whoever shares the directory changes x between a file and links that lead out, all the time.
SWAPS = """
cd /home/{0}/box
while :; do
    for to in ../secret /home/{0}/secret ../.ssh/id; do ln -s $to l && mv -T l x; echo plain >f && mv -T f x; done
done
"""


@pytest.fixture(scope="module", params=JAILS)
def reader(request: pytest.FixtureRequest, world: World) -> str:
    name = f"{READER}-{request.param}"
    world.host.write(f"/etc/jailssh/jails/{name}.conf", JAIL.format(JAILS[request.param]))
    world.adduser(name, name)
    world.put(f"/home/{name}/secret", SECRET, name)
    return name


def test_the_directory_is_made_at_the_first_login(world: World, reader: str) -> None:
    world.host.run(["rm", "-rf", f"/home/{reader}/box"], check=True)
    assert world.client.ssh(reader, "ls -a box").stdout.split() == [".", ".."]
    made = world.host.run(["stat", "-c", "%U %a", f"/home/{reader}/box"], check=True).stdout.split()
    assert made == [reader, "755"]


@pytest.mark.parametrize("to", ["../secret", "/home/{}/secret", "../../{}/secret", "/etc/passwd", "/proc/1/root"])
def test_a_link_leads_nowhere(world: World, reader: str, to: str) -> None:
    world.host.run(["ln", "-sfn", to.format(reader), f"/home/{reader}/box/link"], check=True)
    done = world.client.ssh(reader, "cat box/link")
    assert done.code != 0
    assert SECRET not in done.stdout


def test_a_link_that_is_changed_meanwhile_leads_nowhere(world: World, reader: str) -> None:
    swapper = world.host.popen(["timeout", "60", "sh", "-c", SWAPS.format(reader)], user=reader)
    try:
        seen = [world.client.ssh(reader, "cat box/x") for _ in range(25)]
    finally:
        world.host.run(["pkill", "-KILL", "-u", str(world.uid(reader))])
        swapper.wait()
    assert all(SECRET not in done.stdout + done.stderr for done in seen)
    assert {done.code == 0 for done in seen} == {True, False}, seen


def test_what_the_rule_has_can_be_changed(world: World, reader: str) -> None:
    world.put(f"/home/{reader}/box/one", "text\n", reader)
    done = world.client.ssh(reader, "cp box/one box/two")
    assert done.code == 0, done
    assert world.host.read(f"/home/{reader}/box/two") == b"text\n"


def test_rsync_gets_its_directory_alone(world: World) -> None:
    shown = world.jailssh("plan", "show", "rsync-backup").stdout
    assert "/home/rsync-backup/backup of the host at /home/rsync-backup/backup" in shown
    assert "/home/rsync-backup of the host" not in shown


@pytest.fixture
def emptied(world: World) -> Iterator[str]:
    yield "/home/sftp-only"
    world.host.run(["sh", "-c", "cd /home/sftp-only && rm -rf .x .y"], check=True)


@pytest.mark.parametrize(("name", "kind"), covers())
def test_what_the_host_reads_in_a_home(world: World, emptied: str, name: str, kind: str) -> None:
    """It can be neither written, nor removed, nor replaced, whether it was there before or not."""
    for before in ("missing", "there"):
        path = f"{emptied}/{name}"
        if before == "missing":
            world.host.run(["rm", "-rf", path], check=True)
        target = f"{name}/up.txt" if kind == "directory" else name
        batch = [
            f"-put up.txt {target}", f"-rm {name}", f"-rmdir {name}", f"-rename {name} .x", "put up.txt .y",
            f"-rename .y {name}", f"-ln -s .y {name}", f"-ln .y {name}", f"-mkdir {name}", f"-chmod 777 {name}",
        ]  # fmt: skip
        assert world.client.sftp("sftp-only", "\n".join(batch) + "\n").code == 0
        found = world.host.run(["find", path, "-printf", "%P %y %s %u %m\n"], check=True).stdout.split()
        size = ["0"] if kind == "file" else []
        assert found[-4 if kind == "file" else 0 :][:1] == (["f"] if kind == "file" else ["d"]), found
        assert "up.txt" not in found
        if size:
            assert found[-3:] == ["0", "sftp-only", "600"]


def test_what_is_covered_is_made_ahead(world: World) -> None:
    world.adduser("early", "sftp-only")
    found = world.host.run(["find", "/home/early", "-mindepth", "1", "-printf", "%P %y %s %u %m\\n"], check=True)
    lines = found.stdout.splitlines()
    assert {f"{name} f 0 early 600" for name, kind in covers() if kind == "file"} <= set(lines)
    assert {line.split()[0] for line in lines if line.split()[1] == "d"} >= {n for n, k in covers() if k == "directory"}


def test_a_home_without_room_is_told_and_refused(world: World) -> None:
    world.host.run(["useradd", "-m", "-s", "/bin/sh", "full"], check=True)
    options = f"nr_inodes=3,mode=755,uid={world.uid('full')}"
    world.host.run(["mount", "-t", "tmpfs", "-o", options, "x", "/home/full"], check=True)
    try:
        said = world.adduser("full", "sftp-only", "--yes").stdout
        assert "(no space left on device); until then logins of full are refused" in said
        assert world.client.sftp("full", "ls\n").code != 0
        assert world.last_login("full")[-1]["JAILSSH_REASON"] == "mask"
        world.host.run(["mount", "-o", "remount,nr_inodes=100", "/home/full"], check=True)
        assert world.client.sftp("full", "ls\n").code == 0
    finally:
        world.host.run(["umount", "-l", "/home/full"])


@pytest.fixture(scope="module")
def elsewhere(world: World) -> str:
    """An account whose jail shows its home at another path than the host has it."""
    world.host.write("/etc/jailssh/jails/moved.conf", 'plugins = sftp rsync command\n[rsync]\nwrite = ~/in\n'
                     '[command]\ncommands = "pwd", "ls <path:~>"\nwrite = ~\n')  # fmt: skip
    world.adduser("moved", "moved")
    path = "/etc/jailssh/users/moved.conf"
    world.host.write(path, world.host.read(path).decode() + "home = /upload\n")
    world.jailssh("apply")
    world.host.run(["install", "-d", "-o", "moved", "/home/moved/in"], check=True)
    return "moved"


def test_a_home_is_shown_where_the_account_s_file_says(world: World, elsewhere: str) -> None:
    assert world.client.ssh(elsewhere, "pwd").stdout == "/upload\n"
    sent = world.client.sftp(elsewhere, "put /etc/hostname /upload/name\nls -1 /upload\nls -1 /\n")
    assert sent.code == 0 and "/upload/name\n" in sent.stdout, sent
    owner = world.host.run(["stat", "-c", "%U", "/home/moved/name"], check=True).stdout.split()
    assert owner == [elsewhere]
    assert world.client.ssh(elsewhere, "ls /home").code != 0
    assert world.client.ssh(elsewhere, "ls /upload/../home/moved").code != 0


def test_a_link_out_of_such_a_home_leads_nowhere(world: World, elsewhere: str) -> None:
    world.host.run(["ln", "-sfn", "/home/moved", "/home/moved/away"], check=True)
    done = world.client.ssh(elsewhere, "ls away")
    assert done.code != 0 and not done.stdout


def test_all_that_such_a_jail_promises_holds(world: World, elsewhere: str) -> None:
    done = world.jailssh("selftest", elsewhere, check=False)
    assert done.code == 0, done.stdout + done.stderr
