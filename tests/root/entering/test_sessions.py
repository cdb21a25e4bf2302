"""Sessions on trees: several commands in one set of namespaces, found again after a crash, ended clean."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from jailssh.scratch.host import Finished, ScratchHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("login-program")]

TREE = "/srv/tree"
STATE = "/var/lib/jailssh/trees"


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        script = f"mkdir -p {TREE} && cd {TREE} && mkdir usr proc dev etc tmp root srv"
        links = " && ".join(f"ln -s usr/{name} {name}" for name in ("bin", "sbin", "lib", "lib64"))
        scratch.run(["sh", "-c", f"{script} && {links}"], check=True)
        # An overlay cannot be written to on another one.
        scratch.run(["sh", "-c", f"mkdir -p {STATE} /srv/kept && mount -t tmpfs x {STATE}"], check=True)
        scratch.write("/srv/kept/precious", "precious")
        yield scratch


@pytest.fixture
def name(host: ScratchHost, request: pytest.FixtureRequest) -> Iterator[str]:
    own = f"s{abs(hash(request.node.name)) % 10**8}"
    yield own
    host.run(["jailssh", "session", "end", own])
    assert listed(host, own) is None
    assert host.run(["ls", STATE]).stdout == ""


def run(host: ScratchHost, name: str, command: str, *options: str) -> Finished:
    line = ["jailssh", "run", "--session", name, "--bind", "/usr::ro", *options, TREE, "--", "sh", "-c", command]
    return host.run(line)


def listed(host: ScratchHost, name: str) -> dict[str, Any] | None:
    rows = json.loads(host.run(["jailssh", "session", "list", "--json"], check=True).stdout)
    return next((row for row in rows if row["name"] == name), None)


def test_commands_share_namespaces_and_what_is_written(host: ScratchHost, name: str) -> None:
    spaces = "readlink /proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/uts"
    first = run(host, name, f"echo one >/srv/x; {spaces}")
    second = run(host, name, f"{spaces}; cat /srv/x")
    assert (first.code, second.code) == (0, 0), (first, second)
    assert second.stdout == first.stdout + "one\n"
    assert host.run(["ls", f"{TREE}/srv"]).stdout == ""
    assert host.run(["cat", f"{STATE}/{name}/written/upper/srv/x"]).stdout == "one\n"


def test_a_command_has_no_power_and_its_own_status(host: ScratchHost, name: str) -> None:
    # Of ls itself, which has the directory open: a shell has descriptors of its own while it makes a pipe.
    shown = "grep -c 'Cap.*:\t0000000000000000' /proc/self/status; ls /proc/self/fd; exit 7"
    for _ in range(2):
        done = run(host, name, shown)
        assert (done.code, done.stdout) == (7, "5\n0\n1\n2\n3\n"), done
    assert run(host, name, "kill -9 $$").code == 137
    assert run(host, name, "id -u; grep CapEff /proc/self/status", "-u", "nobody").stdout == (
        "65534\nCapEff:\t0000000000000000\n"
    )
    assert run(host, name, "mount -t tmpfs x /tmp").code != 0


def test_the_background_outlives_a_command_and_ends_with_the_session(host: ScratchHost, name: str) -> None:
    run(host, name, "sleep 4321 >/dev/null 2>&1 </dev/null &")
    row = listed(host, name)
    assert row
    assert (row["state"], row["processes"], row["tree"]) == ("held", 1, TREE), row
    assert "sleep" in run(host, name, "cat /proc/[0-9]*/comm").stdout
    begun = time.monotonic()
    done = host.run(["jailssh", "session", "end", name, "--json"])
    assert (done.code, json.loads(done.stdout)[0]["by_itself"]) == (0, True), done
    assert time.monotonic() - begun < 9  # what does not end by itself is killed after ten
    assert not any("4321" in line for line in host.pids().values())


def test_what_ignores_the_end_is_killed(host: ScratchHost, name: str) -> None:
    run(host, name, "(trap '' TERM; exec sleep 4322) >/dev/null 2>&1 </dev/null &")
    assert host.run(["jailssh", "session", "end", name]).code == 0
    assert not any("4322" in line for line in host.pids().values())


def test_it_cannot_be_ended_from_inside(host: ScratchHost, name: str) -> None:
    run(host, name, "kill -TERM 1; kill -KILL 1; true")
    row = listed(host, name)
    assert row
    assert row["state"] == "held"


def holder(host: ScratchHost, name: str) -> int:
    return int(json.loads(host.read(f"/run/jailssh/trees/{name}"))["pid"])


def test_it_is_found_again_after_a_crash(host: ScratchHost, name: str) -> None:
    assert run(host, name, "echo kept >/srv/y; sleep 4323 >/dev/null 2>&1 </dev/null &").code == 0
    host.run(["kill", "-9", str(holder(host, name))], check=True)
    host.wait_until(lambda: (listed(host, name) or {}).get("state") == "ended", "the session to be seen as ended")
    assert not any("4323" in line for line in host.pids().values())
    lost = run(host, name, "true")
    assert (lost.code, f"jailssh session recover {name}" in lost.stderr) == (125, True), lost
    assert host.run(["jailssh", "session", "recover"]).code == 0
    assert run(host, name, "cat /srv/y").stdout == "kept\n"


def test_another_process_by_its_number_is_not_taken(host: ScratchHost, name: str) -> None:
    run(host, name, "true")
    path = f"/run/jailssh/trees/{name}"
    record = json.loads(host.read(path))
    for change in ({"start": record["start"] - 1}, {"boot": "other"}, {"pid": 1, "start": 1}):
        host.write(path, json.dumps(record | change), 0o600)
        assert (listed(host, name) or {})["state"] == "ended", change
        assert run(host, name, "true").code == 125
    host.write(path, json.dumps(record), 0o600)
    assert run(host, name, "true").code == 0
    host.run(["chmod", "666", path], check=True)
    assert "can be changed" in (done := run(host, name, "true")).stderr or done.code == 125, done
    host.run(["chmod", "600", path], check=True)


def test_nothing_of_the_host_is_removed_by_its_end(host: ScratchHost, name: str) -> None:
    done = run(host, name, "cat /srv/precious; touch /srv/new", "--bind", "/srv/kept:/srv")
    assert (done.code, done.stdout) == (0, "precious"), done
    host.run(["jailssh", "session", "end", name], check=True)
    assert host.run(["ls", "/srv/kept"]).stdout == "new\nprecious\n"


def test_a_mount_in_its_directory_stops_the_removal(host: ScratchHost, name: str) -> None:
    run(host, name, "mkdir /srv/d")
    below = f"{STATE}/{name}/written/upper/srv/d"
    host.run(["mount", "--bind", "/srv/kept", below], check=True)
    done = host.run(["jailssh", "session", "end", name])
    assert (done.code, "remove" in done.stderr) == (1, True), done
    host.run(["sh", "-c", f"umount $(grep -o '{STATE}/{name}[^ ]*' /proc/mounts)"], check=True)
    assert host.run(["cat", "/srv/kept/precious"]).stdout == "precious"


def test_other_options_of_the_tree_are_an_error(host: ScratchHost, name: str) -> None:
    run(host, name, "true")
    for options in (("--ro",), ("-n", "other"), ("--tmpfs", "/tmp")):
        done = run(host, name, "true", *options)
        assert (done.code, "was begun with another tree or other options" in done.stderr) == (125, True), done
    bare = host.run(["jailssh", "run", "--session", name, TREE, "--", "echo", "bare"])
    assert (bare.code, bare.stdout) == (0, "bare\n"), bare
    other = host.run(["jailssh", "run", "--session", name, "/srv/kept", "--", "true"])
    assert other.code == 125, other


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-b"], "cannot be combined with --background"),
        (["-p", "/run/p"], "cannot be combined with --background or --pidfile"),
        (["--tmpfs", "/nowhere"], "/nowhere: No such file"),
        (["-u", "nosuchuser"], "does not exist"),
        (["--dry-run"], ""),
    ],
)
def test_what_cannot_be_begun_leaves_nothing(host: ScratchHost, name: str, options: list[str], said: str) -> None:
    done = run(host, name, "true", *options)
    assert (done.code, said in done.stderr) == (0 if options == ["--dry-run"] else 125, True), done
    assert listed(host, name) is None
    assert host.run(["ls", STATE]).stdout == ""


@pytest.mark.parametrize("word", ["-x", "a/b", "..", "", "a b", "x" * 64])
def test_what_is_no_name(host: ScratchHost, word: str) -> None:
    done = host.run(["jailssh", "run", f"--session={word}", TREE, "true"])
    assert (done.code, "is no name" in done.stderr) == (125, True), done


def test_two_beginnings_at_once_are_one_session(host: ScratchHost, name: str) -> None:
    line = ["jailssh", "run", "--session", name, "--bind", "/usr::ro", TREE, "--", "readlink", "/proc/self/ns/pid"]
    both = [host.popen(line, stdout=subprocess.PIPE) for _ in range(2)]
    said = [each.communicate(timeout=30)[0] for each in both]
    assert said[0] == said[1]
    assert said[0].startswith(b"pid:")


def test_a_command_ends_with_its_caller(host: ScratchHost, name: str) -> None:
    run(host, name, "true")
    line = f"jailssh run --session {name} {TREE} -- sleep 4324 & echo $! >/run/outer; wait"
    with host.popen(["sh", "-c", line]) as caller:
        host.wait_until(lambda: (listed(host, name) or {}).get("processes") == 2, "the command to run")
        host.run(["sh", "-c", "kill -9 $(cat /run/outer)"], check=True)
        caller.wait(30)
    host.wait_until(lambda: (listed(host, name) or {}).get("processes") == 0, "the command to end", 30)


@pytest.mark.parametrize("content", ["", "{}", '{"facts": {"tree": 1}, "plan": "xx"}', "[]"])
def test_a_damaged_file_is_told_and_ended(host: ScratchHost, name: str, content: str) -> None:
    run(host, name, "true")
    host.run(["kill", "-9", str(holder(host, name))], check=True)
    host.write(f"{STATE}/{name}/plan", content)
    assert (listed(host, name) or {})["state"] == "damaged"
    for done in (run(host, name, "true"), host.run(["jailssh", "session", "recover", name])):
        assert (done.code in (1, 125), "is no plan of a session" in done.stderr or "empty" in done.stderr) == (
            True,
            True,
        )
    assert host.run(["jailssh", "session", "end", name]).code == 0


def test_who_begins_it_can_be_killed_at_any_time(host: ScratchHost, name: str) -> None:
    line = f"jailssh run --session {name} --bind /usr::ro {TREE} -- true"
    for hundredths in range(12, 60, 8):
        host.run(["sh", "-c", f"timeout -s KILL 0.{hundredths:02} {line}"])
        row = listed(host, name)
        # What holds a tree is known, or goes by itself.
        held = 1 if row and row["state"] == "held" else 0
        host.wait_until(partial(holders_are, host, held), f"no other holder, after 0.{hundredths:02} s")
        host.run(["jailssh", "session", "end", name])
        assert listed(host, name) is None
    assert host.run(["sh", "-c", line]).code == 0


def holders_are(host: ScratchHost, number: int) -> bool:
    return sum("jailssh-run" in line for line in host.pids().values()) == number


def test_users_of_their_own(host: ScratchHost, name: str) -> None:
    for _ in range(2):
        done = run(host, name, "id -u; cat /proc/self/uid_map", "-U", "--ephemeral")
        assert (done.code, done.stdout.split()) == (0, ["0", "0", "65534", "1"]), done


# A scratch host has no loop devices; 0 to 7 are more than what other tests have at a time.
LOOPS = "cd /dev; test -e loop-control || mknod loop-control c 10 237; for n in 0 1 2 3 4 5 6 7; do"
LOOPS += " test -e loop$n || mknod loop$n b 7 $n; done"


@pytest.mark.needs("squashfs")
@pytest.mark.parametrize("kind", ["squashfs", "tar"])
def test_a_session_on_an_image_file(host: ScratchHost, name: str, kind: str) -> None:
    folder = "/srv/images"
    make = {"squashfs": f"mksquashfs {TREE} {folder}/tree.squashfs -quiet -no-progress >/dev/null",
            "tar": f"tar -C {TREE} -cf {folder}/tree.tar ."}  # fmt: skip
    host.run(["sh", "-c", f"{LOOPS}; mkdir -p {folder} && cd {folder} && rm -f * && {make[kind]}"], check=True)

    def command(text: str, *options: str) -> Finished:
        line = ["jailssh", "run", "--session", name, "--bind", "/usr::ro", *options, f"{folder}/tree.{kind}"]
        return host.run([*line, "--", "sh", "-c", text])

    refused = command("true", "--ephemeral") if kind == "tar" else None
    assert refused is None or (refused.code == 125 and "not with --ephemeral or --ro" in refused.stderr), refused
    done = [command("echo one >/srv/x"), command("cat /srv/x")]
    assert [(each.code, each.stdout) for each in done] == [(0, ""), (0, "one\n")], done
    pid = next(row["pid"] for row in json.loads(host.run(["jailssh", "session", "list", "--json"]).stdout)
               if row["name"] == name)  # fmt: skip
    host.run(["kill", "-9", str(pid)], check=True)
    assert command("true").code == 125
    host.run(["jailssh", "session", "recover", name], check=True)
    assert command("cat /srv/x").stdout == "one\n"
