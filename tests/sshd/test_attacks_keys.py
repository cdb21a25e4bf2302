"""Known attacks by way of keys: what is written for sshd to read, and what sshd tells about it."""

from __future__ import annotations

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "git", "journald", "login-program")

KEYS = "/etc/jailssh/keys/crew"


@pytest.fixture(scope="module", autouse=True)
def crew(world: World) -> None:
    """A shared account whose keys are alice's, which is the client's, and zoe's."""
    world.jailssh("adduser", "crew", "--jail", "git-only")
    world.jailssh("keys", "add", "crew", "alice", world.client.public_key_file, "--group", "captains")
    world.client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "zoe@home", "-f", "zoe"], check=True)
    world.jailssh("keys", "add", "crew", "zoe", f"{world.client.home}/zoe.pub", "--group", "stokers")


def a_key(world: World) -> str:
    """Return the type and base64 of a key that nobody has."""
    world.client.run(["sh", "-c", "rm -f new*; ssh-keygen -q -t ed25519 -N '' -f new"], check=True)
    return " ".join(world.host.read(f"{world.client.home}/new.pub").decode().split()[:2])


@pytest.mark.parametrize(
    "text",
    [
        'command="/bin/sh" {key}',
        'environment="LD_PRELOAD=/home/crew/x.so" {key}',
        'restrict,command="a\\"b" {key}',
        "cert-authority {key}",
        'no-pty {key} x\rcommand="/bin/sh" {key}',
        '\tcommand="/bin/sh"\t{key}',
        '{key} x\ncommand="/bin/sh" {key}',
        "{key} " + "x" * 9000,
        "ssh-ed25519 {key}",
        '"{key}"',
        "@cert-authority * {key}",
    ],
)
def test_a_key_file_that_brings_options(world: World, text: str) -> None:
    """E23, G08: it is refused, and nothing is written."""
    before = world.host.read(KEYS)
    world.client.write("bad.pub", text.replace("{key}", a_key(world)) + "\n")
    done = world.jailssh("keys", "add", "crew", "mallory", f"{world.client.home}/bad.pub", check=False)
    assert (done.code in (1, 2), done.stdout) == (True, "")
    assert done.stderr.startswith("jailssh: ")
    assert "Traceback" not in done.stderr
    assert world.host.read(KEYS) == before
    assert not world.exists("/etc/jailssh/keys.d/crew/mallory.pub")


@pytest.mark.parametrize(
    "name", ["a\nb", 'a"b', "a b", "../alice", "-rf", "a,b", "", "a/b", "%u", "$(id)", "é", "x" * 300, "@captains", "."]
)
def test_a_name_that_is_more_than_a_name(world: World, name: str) -> None:
    """E23, M02"""
    before = world.host.read(KEYS)
    world.client.write("good.pub", a_key(world) + "\n")
    done = world.jailssh("keys", "add", "crew", "--", name, f"{world.client.home}/good.pub", check=False)
    assert (done.code in (1, 2), done.stdout) == (True, "")
    assert "Traceback" not in done.stderr
    for line in done.stderr.splitlines():
        assert line.startswith(("jailssh: ", "hint: "))
        assert line.isprintable()
    assert world.host.read(KEYS) == before


@pytest.mark.parametrize(
    "comment",
    ['x" command="/bin/sh', "x\\", "#", "a\x1b[2Jb\x07", "restrict", "%u $(id) `id`", "ssh-ed25519 AAAA", "\x9b"],
)
def test_a_comment_is_only_a_comment(world: World, comment: str) -> None:
    """E23, G08: each line begins with what restricts it, and has one key."""
    world.client.write("comment.pub", f"{a_key(world)} {comment}\n")
    world.jailssh("keys", "add", "crew", "odd", f"{world.client.home}/comment.pub")
    try:
        text = world.host.read(KEYS).decode()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert len(lines) == 3
        for line in lines:
            assert line.startswith("restrict,")
            assert line.split('" ')[0].count("command=") == 1
            assert line.isprintable()
        found = world.host.run(["ssh-keygen", "-l", "-f", KEYS], check=True).stdout.splitlines()
        assert len(found) == 3
    finally:
        world.jailssh("keys", "remove", "crew", "odd")


def test_what_sshd_tells_about_keys(world: World) -> None:
    """G11: -v shows the options of the keys that were tried; there is no name of other people in them, no group."""
    done = world.client.ssh("crew", "git-upload-pack nothing", options=("-v", "-o", "LogLevel=DEBUG3"))
    assert done.code == 126
    remote = [line for line in done.stderr.splitlines() if "Remote:" in line]
    assert remote, "sshd says something"
    for secret in ("zoe", "captains", "stokers", "keys.d"):
        assert secret not in "".join(remote)


def test_files_of_keys_are_roots(world: World) -> None:
    """G10: what sshd reads or runs for keys, nobody else can change."""
    paths = "/etc/jailssh /etc/jailssh/keys /etc/jailssh/keys.d /etc/jailssh/keys.d/crew /usr/local/bin/jailssh"
    found = world.host.run(
        ["find", *paths.split(), KEYS, "-maxdepth", "1", "(", "!", "-user", "root", "-o", "-perm", "/022", ")"],
        check=True,
    )
    assert found.stdout == ""
