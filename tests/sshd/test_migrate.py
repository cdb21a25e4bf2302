"""``jailssh migrate``: accounts that other programs confine, found, brought in with their logins compared, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from jailssh.core import journal_fields as fields
from tests.sshd.people import People
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "rsync", "git", "journald", "login-program")

COMMANDS = {
    "mig-bak": "rrsync -wo /srv/mig-bak",
    "mig-files": "internal-sftp -R",
    "mig-git": 'git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"',
}
NEW = "/etc/jailssh/jails/rsync-wo.conf"
FILES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")


@pytest.fixture(scope="module")
def old(world: World) -> Iterator[World]:
    """The host with three accounts whose keys are limited to a command, and a cron job that names a home."""
    for name, command in COMMANDS.items():
        world.host.run(["useradd", "--create-home", "--shell", "/bin/bash", name], check=True)
        world.host.run(["install", "-d", "-o", name, f"/home/{name}/.ssh", f"/srv/{name}"], check=True)
        line = f'command="{command}",restrict,from="127.0.0.0/8,::1" {world.client.public_key}\n'
        world.put(f"/home/{name}/.ssh/authorized_keys", line, name)
    world.host.write("/etc/cron.d/mig", "0 3 * * * root tar cf /x.tar /home/mig-bak\n")
    yield world
    world.jailssh("migrate", "--undo", "--yes")


def texts(world: World) -> list[bytes]:
    return [world.host.read(path) for path in FILES]


def apply(world: World, *options: str, check: bool = True) -> str:
    names = [word for name in COMMANDS for word in ("--user", name)]
    done = world.jailssh("migrate", *names, "--apply", "--yes", *options, check=check)
    return done.stdout + done.stderr


def test_the_inventory_changes_nothing(old: World) -> None:
    before = texts(old)
    seen = json.loads(old.jailssh("migrate", "authorized_keys", "--json").stdout)
    rows = {row["account"]: row for row in seen["accounts"]}
    assert {name: rows[name]["jail"] for name in COMMANDS} == {
        "mig-bak": "rsync-wo", "mig-files": "sftp-ro", "mig-git": "git-2",
    }  # fmt: skip
    assert {"/etc/jailssh/jails/rsync-wo.conf", "/etc/jailssh/jails/git-2.conf"} <= set(seen["files"])
    assert ("/etc/cron.d/mig:1", "mig-bak") in {(row["where"], row["account"]) for row in seen["elsewhere"]}
    assert texts(old) == before and old.host.run(["test", "-e", NEW]).code == 1


def test_what_worked_works_and_all_goes_back(old: World) -> None:
    before = texts(old)
    told = apply(old, "--try-logins")
    assert "3 of 3 accounts" in told
    assert "mig-files: logins tried before and after: works: sftp" in told
    assert "mig-bak: logins tried before and after: works: rsync up" in told
    assert "mig-git: logins tried before and after: works: git fetch, git push" in told
    assert old.client.sftp("mig-files", "ls\n").code == 0
    assert old.client.ssh("mig-files", "id").code == 126
    assert "nothing to bring in" in apply(old)
    old.jailssh("migrate", "--undo", "--yes")
    assert texts(old) == before
    assert old.host.run(["test", "-e", NEW]).code == 1
    assert not old.host.run(["sh", "-c", "ls -d /run/jailssh-trial-*"]).stdout


def test_one_that_cannot_be_brought_in_stops_no_other(old: World) -> None:
    before = texts(old)
    sleeper = old.host.popen(["sleep", "60"], user="mig-git")
    try:
        told = apply(old, check=False)
    finally:
        old.host.run(["pkill", "-KILL", "-u", str(old.uid("mig-git"))])
        sleeper.wait()
    assert "mig-git: not brought in" in told and "2 of 3 accounts" in told
    assert old.client.sftp("mig-files", "ls\n").code == 0
    assert "1 of 1 account" in apply(old)
    old.jailssh("migrate", "--undo", "--yes")
    assert texts(old) == before


def test_rules_of_gitolite_are_rights_of_named_keys(old: World) -> None:
    """Who may read by a rule reads, and what may be pushed is what the rules say of it."""
    home = "/srv/mig-lite"
    old.host.run(["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/bash", "mig-lite"], check=True)
    old.host.run(["mkdir", "-p", f"{home}/.gitolite/conf", f"{home}/.ssh"], check=True)
    repos = {"one": "RW+ = ann", "two": "- v[12] = ann\n  RW = ann", "three": "RW+ = bob"}
    old.put(
        f"{home}/.gitolite/conf/gitolite.conf",
        "".join(f"repo {name}\n  {rule}\n" for name, rule in repos.items()),
        "root",
    )
    for name in repos:
        folder = f"{home}/repositories/{name}.git"
        old.host.run(["git", "init", "--bare", "-q", folder], check=True)
        old.host.run(["ln", "-sf", f"{home}/.gitolite/hooks/common/update", f"{folder}/hooks/update"], check=True)
    command = 'command="/usr/share/gitolite3/gitolite-shell ann",no-pty'
    old.put(f"{home}/.ssh/authorized_keys", f"{command} {old.client.public_key}\n", "root")
    old.host.run(["chown", "-R", "mig-lite:", home], check=True)
    told = old.jailssh("migrate", "--user", "mig-lite", "--apply", "--yes").stdout
    assert "1 of 1 account" in told
    lines = old.host.read("/etc/jailssh/rights/gitolite-mig-lite").decode().splitlines()[1:]
    assert lines == [
        *("write one ann", "deny two refs/heads/v1* ann", "deny two refs/heads/v1*/** ann"),
        *("deny two refs/heads/v2* ann", "deny two refs/heads/v2*/** ann", "push two refs/** ann"),
        "create two refs/** ann",
    ]
    codes = {
        (name, verb): old.client.ssh("mig-lite", f"git-{verb}-pack '{name}'", input="0000").code
        for name in repos
        for verb in ("upload", "receive")
    }
    allowed = {case for case, code in codes.items() if code == 0}
    assert allowed == {(name, verb) for name in ("one", "two") for verb in ("upload", "receive")}, codes
    work = f"{old.client.home}/lite"
    old.client.git(["init", "-q", work], check=True)
    said = ["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "--allow-empty", "-m", "x"]
    old.client.git(["-C", work, *said], check=True)
    wanted = [f"HEAD:refs/heads/{name}" for name in ("main", "v1", "v2/x", "v3")]
    done = old.client.git(["-C", work, "push", "--porcelain", "mig-lite@127.0.0.1:two", *wanted])
    new = {line.split(":")[1].split("\t")[0] for line in done.stdout.splitlines() if line.startswith("*")}
    assert (done.code, new) == (1, {"refs/heads/main", "refs/heads/v3"}), (done.stdout, done.stderr)
    assert done.stdout.count("no right to create it") == 2
    old.jailssh("migrate", "--undo", "--yes")
    old.host.run(["userdel", "--remove", "mig-lite"])


def test_keys_with_different_commands_are_keys_of_a_shared_account(old: World) -> None:
    name, people = "mig-keys", People(old, "mig-keys")
    old.host.run(["useradd", "--create-home", "--shell", "/bin/bash", name], check=True)
    old.host.run(["install", "-d", "-o", name, f"/home/{name}/.ssh", f"/home/{name}/in"], check=True)
    commands = {"up": "rrsync -wo in", "look": "internal-sftp -R", "far": "rrsync -ro in", "tell": "/usr/bin/id"}
    text = ""
    for key, command in commands.items():
        public = old.host.read(people.make(key)).decode().replace(f"{key}@desk", key)
        more = ',from="192.0.2.0/24"' if key == "far" else ""
        text += f'restrict{more},command="{command}" {public}'
    old.put(f"/home/{name}/.ssh/authorized_keys", text, name)
    told = old.jailssh("migrate", "--user", name, "--apply", "--yes").stdout
    assert "1 of 1 account" in told, told
    try:
        shells = {key: f"ssh -F {old.client.home}/.ssh/of-{key}.config" for key in commands}
        for key, code in (("up", 0), ("look", 126), ("far", 126), ("tell", 126)):
            done = old.client.run(["rsync", "-e", shells[key], "up.txt", f"{name}@host:in/"])
            assert (done.code == 0) is (code == 0), (key, done)
        assert old.exists(f"/home/{name}/in/up.txt")
        assert people.ssh("tell", "/usr/bin/id").code == 0
        assert people.ssh("up", "/usr/bin/id").code == 126
        sftp = ["sftp", "-F", ".ssh/of-look.config", "-b", "-", f"{name}@host"]
        assert old.client.run(sftp, input="ls\n").code == 0
        assert old.client.run(sftp, input="put up.txt\n").code != 0
        limits = {record.get(fields.REASON) for record in old.records(name) if record.get(fields.KEY) == "far"}
        assert limits == {"address"}
        # A key that nobody described is shut out.
        old.jailssh("keys", "add", name, "later", people.make("later"))
        assert people.ssh("later", "/usr/bin/id").code != 0
        assert {record.get(fields.REASON) for record in people.last()} == {"expired"}
        assert old.host.read(f"/home/{name}/.ssh/authorized_keys").decode() == text
    finally:
        old.jailssh("migrate", "--undo", "--yes", "--user", name)


def test_a_chroot_of_sshd_becomes_a_home_at_the_same_path(old: World) -> None:
    """What the client called /upload is there, and nothing of the host."""
    block = "/etc/ssh/sshd_config.d/90-chroot.conf"
    old.host.run(
        ["useradd", "--no-create-home", "--home-dir", "/srv/mig-drop", "--shell", "/bin/sh", "mig-drop"], check=True
    )
    old.host.run(["install", "-d", "-o", "mig-drop", "/srv/mig-drop/upload"], check=True)
    old.host.write("/etc/jailssh/keys/mig-drop", f"restrict {old.client.public_key}\n")
    old.host.write(block, "Match User mig-drop\nChrootDirectory %h\nForceCommand internal-sftp -u 027\n")
    old.host.write("/srv/mig-drop/readme", "x")
    seen = json.loads(old.jailssh("migrate", "sshd_config", "--json").stdout)
    assert [row["account"] for row in seen["accounts"]] == ["mig-drop"]
    assert "1 of 1 account" in old.jailssh("migrate", "--user", "mig-drop", "--apply", "--yes").stdout
    done = old.client.sftp("mig-drop", "pwd\nput /etc/hostname upload/a\nls -l /upload\n-get /readme\n-ls /srv\n")
    assert done.code == 0 and "Remote working directory: /\n" in done.stdout and "-rw-r-----" in done.stdout, done
    assert "not found" in done.stderr and old.host.read("/srv/mig-drop/upload/a")
    old.jailssh("migrate", "--undo", "--yes")
    old.host.run(["rm", block], check=True)
    assert b"::/srv/mig-drop:/bin/sh\n" in old.host.read("/etc/passwd")


def test_a_chroot_of_directories_is_the_root_of_a_jail(old: World) -> None:
    """Each is at the path that it had, by one jail for all such accounts."""
    block, names = "/etc/ssh/sshd_config.d/90-chroot.conf", ("mig-one", "mig-two")
    for name in names:
        make = f"""useradd --no-create-home --home-dir /srv/{name} --shell /bin/sh {name}
            install -d -m 755 /srv/{name} /srv/{name}/pub; install -d -o {name} /srv/{name}/in /srv/{name}/pub/up
            echo news >/srv/{name}/pub/news"""
        old.host.run(["sh", "-ec", make], check=True)
        old.host.write(f"/etc/jailssh/keys/{name}", f"restrict {old.client.public_key}\n")
    old.host.write(block, "Match User mig-one,mig-two\nChrootDirectory %h\nForceCommand internal-sftp\n")
    old.host.run(["install", "-d", "-o", "mig-two", "/srv/mig-two/more"], check=True)
    said = old.jailssh("migrate", "sshd_config", "--apply", "--yes").stdout
    assert "2 of 2 accounts" in said
    assert said.count("put into jail sshd-sftp; allows: sftp") == 2
    assert b'[directories]\nwrite = "~ as /"\n' in old.host.read("/etc/jailssh/jails/sshd-sftp.conf")
    work = "pwd\nput /etc/hostname in/a\nput /etc/hostname /pub/up/b\nget /pub/news got\nls -1 /\n"
    done = old.client.sftp("mig-one", work)
    assert done.code == 0 and "Remote working directory: /\n" in done.stdout, done
    assert done.stdout.splitlines()[-2:] == ["/in", "/pub"]
    assert old.client.sftp("mig-two", "put /etc/hostname /more/c\n").code == 0
    assert old.client.sftp("mig-one", "put /etc/hostname /pub/no\n").code != 0
    assert old.host.read("/srv/mig-one/pub/up/b") and old.host.read("/srv/mig-two/more/c")
    old.jailssh("migrate", "--undo", "--yes")
    old.host.run(["rm", block], check=True)


@pytest.mark.parametrize("source", ["nosuch", "jail kit"])
def test_unknown_sources_are_refused(old: World, source: str) -> None:
    done = old.jailssh("migrate", source, check=False)
    assert done.code == 2 and "does not exist" in done.stderr and "authorized_keys" in done.stderr


def test_an_account_that_nothing_confines_is_refused(old: World) -> None:
    done = old.jailssh("migrate", "--user", "root", "--apply", "--yes", check=False)
    assert done.code != 0 and "nothing that could be migrated confines it" in done.stderr
