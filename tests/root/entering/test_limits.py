"""`jailssh run --limit` with control groups of version 1, as this machine has them, by the kernel's own tables."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import ScratchHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("login-program")]

RUN = "jailssh run --bind /usr::ro"
MAKE = """
set -e
mkdir -p /srv/tree && cd /srv/tree && mkdir usr proc dev etc tmp root srv
for name in bin sbin lib lib64; do ln -s usr/$name $name; done
mount -t tmpfs groups /sys/fs/cgroup
for name in memory pids cpu; do
    mkdir /sys/fs/cgroup/$name; mount -t cgroup -o $name none /sys/fs/cgroup/$name
done
"""
HOG = '/usr/bin/python3 -c "x = b\\"x\\" * (400 << 20); print(len(x))"'
BOMB = "n=0; while test $n -lt 60; do sleep 60 & n=$((n + 1)); done; echo made"


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        made = scratch.run(["sh", "-c", MAKE])
        if made.code != 0:
            pytest.skip(f"this machine has no control groups of version 1 for memory, pids and cpu: {made.stderr}")
        yield scratch


def run(host: ScratchHost, line: str) -> tuple[int, str, str]:
    done = host.run(["sh", "-c", line])
    return done.code, done.stdout, done.stderr


def groups(host: ScratchHost) -> list[str]:
    """Those of this scratch host, whose pids count in a namespace of its own."""
    script = "find /sys/fs/cgroup -type d -name jailssh-run.*.$(stat -Lc %i /proc/1/ns/pid)"
    return host.run(["sh", "-c", script]).stdout.split()


def nothing_is_left(host: ScratchHost) -> None:
    host.wait_until(lambda: not groups(host), f"the end of {groups(host)}", timeout=30)


def test_memory(host: ScratchHost) -> None:
    code, out, _ = run(host, f"{RUN} --limit memory=64m /srv/tree sh -c '{HOG}; echo ended $?'")
    assert (code, out) == (0, "ended 137\n")
    assert run(host, f"{RUN} --limit memory=900m /srv/tree {HOG}")[1] == f"{400 << 20}\n"
    nothing_is_left(host)


def test_tasks(host: ScratchHost) -> None:
    code, out, said = run(host, f"{RUN} --limit tasks=20 /srv/tree sh -c '{BOMB}'")
    assert code == 2, said
    assert "made" not in out
    assert "fork" in said
    nothing_is_left(host)


def test_tasks_are_those_of_the_command(host: ScratchHost) -> None:
    assert run(host, f"{RUN} --limit tasks=1 /srv/tree true") == (0, "", "")
    assert run(host, f"{RUN} --limit tasks=2 /srv/tree sh -c 'true; true & wait'") == (0, "", "")


def test_cpu(host: ScratchHost) -> None:
    burn = "import time; t = time.time(); c = time.process_time\nwhile time.time() < t + 2: pass\nprint(c())"
    host.write("/srv/tree/root/burn", burn)
    code, out, said = run(host, f"{RUN} --limit cpu=20% /srv/tree /usr/bin/python3 /root/burn")
    assert code == 0, said
    assert float(out) < 0.9
    nothing_is_left(host)


def test_all_of_them_and_where_it_is(host: ScratchHost) -> None:
    line = f"{RUN} --limit memory=64m,tasks=9 --limit cpu=50% /srv/tree"
    code, out, _ = run(host, f"{line} sh -c 'cut -d: -f2- /proc/self/cgroup | grep -E ^\"(cpu|pids|memory):\"'")
    assert (code, sorted(out.split())) == (0, ["cpu:/", "memory:/", "pids:/"])  # of its own namespace
    assert "at most: cpu 50% of one processor" in run(host, f"{line.replace('run', 'run --dry-run', 1)} true")[1]
    nothing_is_left(host)


@pytest.mark.parametrize(
    "limit",
    ["memory=1k", "memory=", "memory=64q", "tasks=0", "tasks=-1", "cpu=50", "cpu=0%", "disk=1", "", "tasks=1,tasks=2"],
)
def test_words_that_are_wrong(host: ScratchHost, limit: str) -> None:
    code, out, said = run(host, f"{RUN} --limit '{limit}' /srv/tree echo ran")
    assert (code, out, "jailssh: --limit: " in said) == (125, "", True), said


@pytest.mark.parametrize("options", ["", "-p /run/pid", "-b -p /run/pid"])
def test_killed_at_any_moment(host: ScratchHost, options: str) -> None:
    for delay in range(10):
        line = f"{RUN} {options} --limit tasks=9,memory=64m /srv/tree sleep 982 >/dev/null 2>&1"
        run(host, f"{line} & sleep {delay * 0.02}; kill -9 $!")
    if "-b" in options:
        run(host, "pkill -f 'sleep 982'")
    host.wait_until(lambda: "sleep 982" not in " ".join(host.pids().values()), "the end of all commands")
    assert run(host, f"{RUN} --limit tasks=9,memory=64m /srv/tree true")[0] == 0  # who comes next takes the rest away
    nothing_is_left(host)


def test_what_is_left_of_others_goes_and_what_lives_stays(host: ScratchHost) -> None:
    run(
        host,
        "cd /sys/fs/cgroup/pids; i=$(stat -Lc %i /proc/1/ns/pid); mkdir jailssh-run.99999.1.$i jailssh-run.99999.1.7 "
        "jailssh-run.1.$(cut -d' ' -f22 /proc/1/stat).$i",
    )
    assert run(host, f"{RUN} --limit tasks=9 /srv/tree true")[0] == 0
    left = [path.rpartition("/")[2] for path in groups(host)]
    assert [name.split(".")[1] for name in left] == ["1"]
    assert run(host, "rmdir /sys/fs/cgroup/pids/jailssh-run.1.* /sys/fs/cgroup/pids/jailssh-run.99999.1.7")[0] == 0


def test_what_cannot_be_started_leaves_nothing(host: ScratchHost) -> None:
    run(host, "mkdir -p /run/folder")
    for line in (
        "-p /run/folder /srv/tree true", "-p /nowhere/x /srv/tree true", "-c /nowhere /srv/tree true",
        "--tmpfs /nowhere /srv/tree true", "/srv/tree nosuch", "-n x -U -u 77 -g 77 /srv/tree true",
    ):  # fmt: skip
        assert run(host, f"{RUN} --limit tasks=9,cpu=90% {line}")[0] in (125, 127)
        nothing_is_left(host)


def test_without_control_groups_it_is_said(host: ScratchHost) -> None:
    code, out, said = run(
        host, f"unshare -m sh -c 'umount /sys/fs/cgroup/cpu; {RUN} --limit cpu=9%,tasks=9 /srv/tree echo ran'"
    )
    assert (code, out) == (125, "")
    assert re.search("--limit cpu: has no control groups here", said)
    nothing_is_left(host)


def test_a_user_is_told(host: ScratchHost) -> None:
    run(host, "useradd -m bounded; chmod 755 /srv")
    done = host.run(["sh", "-c", f"{RUN} -U --limit tasks=9 /srv/tree true"], user="bounded")
    assert (done.code, "--limit: needs root" in done.stderr) == (125, True)


def test_term_is_followed_by_kill(host: ScratchHost) -> None:
    script = (
        f"{RUN} /srv/tree sh -c 'trap \"\" TERM; echo ready; while :; do sleep 1; done' >/run/stubborn & "
        "while ! grep -q ready /run/stubborn; do sleep 0.02; done; kill -TERM $!; wait $!; echo $?"
    )
    began = time.monotonic()
    assert host.run(["sh", "-c", script], timeout=30).stdout == "137\n"
    assert 9.5 < time.monotonic() - began < 25


def test_a_terminal_that_goes_asks_first(host: ScratchHost) -> None:
    """Who ends in order when its terminal goes is let; who does not is killed after a while."""
    host.write(
        "/srv/tree/root/polite",
        "trap 'echo bye >/srv/said; exit 3' TERM HUP\necho ready\nwhile :; do sleep 0.1; done\n",
    )
    run(host, f"timeout -s KILL 2 script -qec '{RUN} /srv/tree sh /root/polite' /dev/null </dev/zero >/dev/null")
    host.wait_until(lambda: "polite" not in " ".join(host.pids().values()), "the end of the command", timeout=30)
    assert host.read("/srv/tree/srv/said") == b"bye\n"
