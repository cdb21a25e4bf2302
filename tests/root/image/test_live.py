"""Real logins into live roots, and updates under sessions that go on."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.core.errors import ConfigError
from jailssh.core.names import HostPath
from jailssh.image import live
from jailssh.plugin.api import ImageNeeds
from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.client import SshClient
from tests.harness.languages import login_faults, script

LOGINS = pytest.mark.needs("root", "sshd", "sftp", "login-program", "journald")
STATE = "/var/lib/jailssh/images"


def jailssh(host: ScratchHost, *args: str, check: bool = True) -> Finished:
    return host.run(["/usr/local/bin/jailssh", *args], check=check)


@pytest.fixture(scope="module")
def host(installed_host: ScratchHost, client: SshClient) -> Iterator[ScratchHost]:
    """A host with the accounts ``livia`` in a live root and ``iris`` in an image of her own."""
    installed_host.run(["mkdir", "-p", "/etc/jailssh/jails", "/usr/local/etc"], check=True)
    installed_host.write("/usr/local/etc/secret", "hidden\n")
    installed_host.write(
        "/etc/jailssh/jails/hosting.conf",
        "plugins = shell sftp\nroot = live\ninaccessible_paths = /usr/local/etc, /usr/local/nosuch\n",
    )
    installed_host.write("/etc/jailssh/jails/copies.conf", "plugins = shell\n[shell]\ntools = no\nprograms = cat\n")
    installed_host.stop_sshd()
    jailssh(installed_host, "setup", "--yes")
    for name, jail in (("livia", "hosting"), ("iris", "copies")):
        jailssh(installed_host, "adduser", name, "--jail", jail, "--key", client.public_key_file)
    installed_host.start_sshd()
    yield installed_host
    for name in ("livia", "iris"):
        jailssh(installed_host, "deluser", name, "--yes", check=False)
    installed_host.stop_sshd()
    installed_host.run(["rm", "-r", "/usr/local/etc/secret", "/etc/jailssh/jails"], check=True)
    installed_host.start_sshd()


@LOGINS
def test_a_live_root_has_the_hosts_programs(host: ScratchHost, client: SshClient) -> None:
    assert client.ssh("livia", "id -un; awk 'BEGIN { print 6*7 }'; perl -MPOSIX -e 'print floor(1.5)'").stdout == (
        "livia\n42\n1"
    )
    inside = client.ssh("livia", "ls /usr/bin").stdout.split()
    assert set(inside) == set(os.listdir("/usr/bin"))
    assert client.ssh("livia", "readlink -e /etc/alternatives/awk /etc/localtime /bin/sh").code == 0
    assert client.sftp("livia", "ls\n").code == 0


@LOGINS
def test_a_live_root_shows_nothing_else(host: ScratchHost, client: SshClient) -> None:
    assert client.ssh("livia", "ls /").stdout.split() == sorted(
        {"bin", "dev", "etc", "home", "lib", "mnt", "opt", "proc", "run", "sbin", "srv", "tmp", "usr", "var"}
        | {name for name in ("lib32", "lib64", "libx32", "libo32") if os.path.exists(f"/{name}")}
    )
    assert client.ssh("livia", "ls /usr/local/etc; cat /etc/passwd | wc -l").stdout == "2\n"
    for path in ("/etc/shadow", "/etc/jailssh", "/etc/ssh", "/etc/ssl/private", "/var/lib/jailssh", "/root"):
        assert client.ssh("livia", f"test -e {path}").code == 1, path
    flags = client.ssh("livia", "grep ' /usr ' /proc/self/mountinfo").stdout
    assert {"ro", "nosuid", "nodev"} <= set(flags.split()[5].split(",")), flags
    assert "Read-only file system" in client.ssh("livia", "touch /usr/new").stderr


@LOGINS
def test_the_tree_of_a_live_root_is_tiny(host: ScratchHost) -> None:
    facts = json.loads(jailssh(host, "image", "show", "hosting", "--json", "--files").stdout)
    assert facts["bytes"] < 3_000_000
    kinds = {row["path"]: row["kind"] for row in facts["files"]}
    assert not [path for path, kind in kinds.items() if kind == "file" and not path.startswith("/etc/")]
    assert "/etc/ld.so.conf" not in kinds


@LOGINS
def test_an_update_leaves_a_running_session_alone(host: ScratchHost, client: SshClient) -> None:
    old = host.run(["readlink", "-f", f"{STATE}/copies/current"], check=True).stdout.strip()
    session = client.start_ssh("iris", "echo ready; read line; cat /etc/hosts; echo $line")
    assert session.stdin is not None
    assert session.stdout is not None
    assert session.stdout.readline() == b"ready\n"
    pins = set(host.run(["ls", "/run/jailssh/ns"], check=True).stdout.split())
    host.write("/etc/jailssh/jails/copies.conf", "plugins = shell\nkeep = 1\n", mode=0o600)
    assert jailssh(host, "update", "--all", check=False).code == 1
    failed = [line for line in jailssh(host, "image", "list").stdout.splitlines() if "LAST UPDATE FAILED" in line]
    assert [line.split()[0] for line in failed if line.startswith("copies")] == ["copies"]
    assert "copies" in [record["JAILSSH_JAIL"] for record in host.journal(JAILSSH_EVENT="image-failed")]
    host.write("/etc/jailssh/jails/copies.conf", "plugins = shell\n[shell]\ntools = no\nprograms = cat tac\n")
    assert "1 plan published" in jailssh(host, "update", "--all").stdout
    new = host.run(["readlink", "-f", f"{STATE}/copies/current"], check=True).stdout.strip()
    assert new != old
    assert client.ssh("iris", "echo x | tac").stdout == "x\n"
    (row,) = [
        row for row in json.loads(jailssh(host, "image", "list", "--json").stdout) if old.endswith(row["generation"])
    ]
    assert len(row["sessions"]) == 1
    refused = jailssh(host, "image", "gc", row["generation"], check=False)
    assert (refused.code, "mounted by 1 sessions" in refused.stderr) == (2, True)
    session.stdin.write(b"still here\n")
    session.stdin.close()
    assert session.stdout.read().endswith(b"still here\n")
    assert session.wait(20) == 0
    host.wait_until(lambda: '"sessions": []' in _row(host, row["generation"]), "the session's mounts are gone")
    assert f"removed {row['generation']}" in jailssh(host, "image", "gc", row["generation"]).stdout
    after = set(host.run(["ls", "/run/jailssh/ns"], check=True).stdout.split())
    assert len(pins - after) == 1
    assert client.ssh("iris", "echo again").stdout == "again\n"


@LOGINS
def test_a_jail_that_is_to_run_what_it_cannot_is_an_error_with_the_cure(host: ScratchHost, client: SshClient) -> None:
    conf, text = "/etc/jailssh/jails/copies.conf", "plugins = shell\n[shell]\ntools = no\nprograms = cat"
    host.run(["cp", "/usr/bin/true", "/usr/local/bin/python3.99"], check=True)
    host.write(conf, f"{text} python3.99\n")
    try:
        done = jailssh(host, "apply", check=False)
        assert done.code == 1, done.stdout + done.stderr
        assert "this host lacks /usr/local/lib*/python3.99/encodings, without which python does not work" in done.stderr
        assert "apt-get install libpython3.99-minimal, or leave the program out" in done.stderr
        assert client.ssh("iris", "echo as before").stdout == "as before\n"
    finally:
        host.run(["rm", "/usr/local/bin/python3.99"], check=True)
        host.write(conf, f"{text}\n")
    assert jailssh(host, "apply").code == 0


@LOGINS
def test_languages_in_a_live_root_and_in_an_image(host: ScratchHost, client: SshClient) -> None:
    conf, text = "/etc/jailssh/jails/copies.conf", "plugins = shell\n[shell]\ntools = no\nprograms = cat"
    names = ("python3", "perl", "git", "tput", "sqlite3")
    host.write(conf, f"packages = sqlite3\n{text} rm grep mkdir sh python3 perl git tput\n")
    try:
        assert jailssh(host, "apply").code == 0
        for account in ("livia", "iris"):
            said = client.ssh(account, script(names)).stdout
            assert [login_faults(name, said) for name in names] == [""] * len(names), (account, said)
    finally:
        host.write(conf, f"{text}\n")
        jailssh(host, "apply")


@LOGINS
def test_the_loaders_cache_of_a_live_root_is_mended_as_the_hosts(host: ScratchHost) -> None:
    path = f"{STATE}/hosting/current/etc/ld.so.cache"
    host.run(["touch", path], check=True)
    assert jailssh(host, "image", "verify", check=False).code == 1
    # Made anew by ldconfig it would be empty: the libraries are not in this tree.
    jailssh(host, "image", "verify", "--repair")
    assert jailssh(host, "image", "verify", check=False).code == 0
    assert host.run(["cmp", path, "/etc/ld.so.cache"]).code == 0


def _row(host: ScratchHost, generation: str) -> str:
    rows = json.loads(jailssh(host, "image", "list", "--json").stdout)
    return json.dumps([row for row in rows if row["generation"] == generation])


def test_programs_that_a_live_root_cannot_show() -> None:
    for path, why in ((None, "not on this host"), ("/opt/x/tool", "not below /usr")):
        with pytest.raises(ConfigError, match=f"program tool is {why}"):
            live.live_needs((("p", ImageNeeds(programs=("tool",))),), {"tool": path}.get)
    with pytest.raises(ConfigError, match="/usr/share/nosuch is not on this host"):
        live.live_needs((("p", ImageNeeds(dirs=("/usr/share/nosuch",))),), lambda _: None)


def test_what_plugins_want_outside_of_usr_is_taken() -> None:
    need = ImageNeeds(
        files=("/usr/lib/git-core", "/etc/profile", "/etc/own"),
        texts=(("/etc/hosts", "x"), ("/etc/gitconfig", "y")),
        dirs=("/srv/git", "/usr/bin"),
        links=(("/etc/a", "b"), ("/bin/sh", "dash")),
    )
    own, (name, taken) = live.live_needs((("git", need),), lambda _: None)
    assert name == "git"
    assert taken == ImageNeeds(files=("/etc/own",), texts=need.texts, dirs=("/srv/git",), links=(("/etc/a", "b"),))
    assert "/etc/resolv.conf" not in own[1].files
    assert "/usr" in own[1].dirs


@pytest.fixture
def reached() -> Iterator[Path]:
    """A directory that everybody gets to, which one of pytest's is not."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_lies_in_a_closed_directory_is_not_copied(reached: Path) -> None:
    (reached / "shut/php").mkdir(parents=True)
    (reached / "shut/php/php.ini").write_text("x")
    paths = [HostPath(f"{reached}/{each}") for each in ("shut/php", "shut/none/x")]
    assert live._mirror(paths)[0] == [f"{reached}/shut/php/php.ini"]
    (reached / "shut").chmod(0o750)
    assert live._mirror(paths) == ([], [])


def test_only_what_all_may_read_is_copied(reached: Path) -> None:
    for name, mode in (("shut", 0o700), ("named", 0o711)):
        (reached / name).mkdir()
        (reached / name / "open").write_text("x")
        (reached / name).chmod(mode)
    for name, mode in (("open", 0o644), ("closed", 0o640)):
        (reached / name).write_text("x")
        (reached / name).chmod(mode)
    (reached / "link").symlink_to("closed")
    found = live._mirror([HostPath(str(reached)), HostPath(str(reached / "none"))])
    assert found == ([f"{reached}/open"], [(f"{reached}/link", "closed")])
