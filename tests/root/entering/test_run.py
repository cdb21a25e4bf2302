"""`jailssh run` on a directory: a row for each thing that jchroot does, and for what it should have done."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import ScratchHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("login-program")]

TREE = "/srv/tree"
RUN = ["jailssh", "run", "--bind", "/usr::ro"]
# name: options, command, exit status, what is printed, what is said on standard error.
ROWS: dict[str, tuple[str, str, int, str, str]] = {
    "reaper is pid 1": ("", "echo $$", 0, "2", ""),
    "root without power": ("", "grep -c 'Cap.*:\t0000000000000000' /proc/self/status", 0, "5", ""),
    "no new privileges": ("", "grep NoNewPrivs /proc/self/status | cut -f2", 0, "1", ""),
    "filter": ("", "grep Seccomp: /proc/self/status | cut -f2", 0, "2", ""),
    "host name": ("-n jailhost", "hostname", 0, "jailhost", ""),
    "long host name": (f"-n {'x' * 80}", "echo no", 125, "", "no host name of at most 64"),
    "processes": ("", "ls -d /proc/[0-9]* | wc -l", 0, r"[3-5]", ""),
    "status": ("", "exit 7", 7, "", ""),
    "killed": ("", "kill -9 $$", 137, "", ""),
    "uid without group": ("-u 1234", "id -g", 125, "", "has no entry, and so no group"),
    "uid with group": ("-u 1234 -g 4321", "echo $(id -u) $(id -g) $(id -G)", 0, "1234 4321 4321", ""),
    "user by name": ("-u nobody", "id -u; grep CapEff /proc/self/status | cut -f2", 0, "65534\n0{16}", ""),
    "unknown user": ("-u nosuchuser", "echo no", 125, "", "does not exist"),
    "unknown group": ("-g nosuchgroup", "echo no", 125, "", "does not exist"),
    "half a number": ("-u 12abc", "echo no", 125, "", "does not exist"),
    "uid above all": ("-u 4294967295 -g 1", "echo no", 125, "", "is above"),
    "uid beyond numbers": ("-u 99999999999999999999 -g 1", "echo no", 125, "", "is above"),
    "host's devices": ("--bind /dev:/srv", "echo no", 125, "", "of the host is not shown"),
    "dots in a target": ("--tmpfs /srv/../etc", "echo no", 125, "", "no plain path below the tree"),
    "own shared memory": ("", "ipcs -m | grep -c ^0x", 1, "0", ""),
    "directory": ("-c /etc", "pwd", 0, "/etc", ""),
    "relative directory": ("-c etc", "pwd", 0, "/etc", ""),
    "no directory": ("-c /nonexist", "echo no", 125, "", "/nonexist: No such file"),
    "variables": ("-e A=1 -e EMPTY= -e LANG", "echo $A.${EMPTY-un}.${LANG-un}.${SECRET-no}", 0, "1..un.no", ""),
    "no loader's variables": ("", "env | grep -c ^LD_", 1, "0", ""),
    "descriptors": ("", "ls /proc/$$/fd", 0, "0\n1\n2", ""),
    "no device": ("", "mknod /tmp/b b 254 0", 1, "", "not permitted"),
    "no mount": ("", "mount -t tmpfs x /tmp", 32, "", "denied|not permitted|superuser"),
    "no umount": ("", "umount /proc", 32, "", "superuser|denied|not permitted"),
    "kernel's files": ("", "echo x >/proc/sys/kernel/core_pattern", 2, "", "[Rr]ead-only"),
    "no key of the kernel's": ("", "echo h >/proc/sysrq-trigger; cat /proc/keys /proc/kallsyms | wc -c", 0, "0", ".*"),
    "no disk": ("", "ls /dev", 0, "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero", ""),
    "network": ("-N", "cat /sys/class/net/lo/flags 2>/dev/null; ip -br addr", 0, r"lo +UNKNOWN +127.0.0.1/8.*", ""),
    "user namespace": ("-U", "id -u; cat /proc/self/uid_map", 0, r"0\n +0 +65534 +1", ""),
    "maps": ("-U -M '0 100000 5,5 200000 10' -G '0 100000 5'", "wc -l </proc/self/uid_map", 0, "2", ""),
    "bad map": ("-U -M garbage", "echo no", 125, "", "INSIDE OUTSIDE COUNT"),
    "user beside the maps": ("-U -u 77 -g 77", "echo no", 125, "", "not in the maps"),
    "maps alone": ("-M '0 1 1'", "echo no", 125, "", "need a user namespace"),
    "kept capability": ("--keep-cap net_bind_service -u nobody", "grep CapEff /proc/self/status", 0, ".*0400", ""),
    "privileged": ("--privileged", "mount -t tmpfs x /tmp && echo mounted", 0, "mounted", ""),
    "read-only": ("--ro", "touch /x", 1, "", "Read-only"),
    "tmpfs": ("--tmpfs /tmp:1m", "stat -f -c %T /tmp", 0, "tmpfs", ""),
    "ephemeral": ("--ephemeral", "touch /gone && stat -f -c %b:%S / && ls /gone", 0, "131072:4096\n/gone", ""),
    "ephemeral in a user namespace": ("-U --ephemeral", "stat -f -c %T /", 0, "overlayfs", ""),
    "layers": ("--ro --layer /srv/layer", "cat /only; touch /only", 1, "below", "ead-only"),
    "layers without a place": ("--layer /srv/layer", "echo no", 125, "", "place for what is written"),
    "overlay": ("--overlay /srv/store", "echo x >/written; cat /written", 0, "x", ""),
    "link as a target": ("--tmpfs /link", "echo no", 125, "", "--tmpfs: /link: Not a directory"),
    "bind of a file": ("--bind /etc/hostname:/etc/file:ro", "echo x >/etc/file", 2, "", "ead-only"),
    "file on a directory": ("--bind /etc/hostname:/etc", "echo no", 125, "", "Not a directory"),
    "options of the command": ("", "echo $0 $*", 0, "sh -u -N --json", ""),
    "malformed line": ("-f /root/bad", "echo no", 125, "", r"/root/bad:2: unknown option 'roxyz'"),
    "nothing at the target": ("-f /root/nowhere", "echo no", 125, "", r"/root/nowhere:1: /nowhere: No such file"),
    "fstab": ("-f /root/good", "grep -c ' /etc/a' /proc/mounts; touch /srv/x", 1, "1", "ead-only"),
}  # fmt: skip


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        script = f"mkdir -p {TREE} && cd {TREE} && mkdir usr proc dev etc tmp root srv 'etc/a b' && touch etc/file"
        links = " && ".join(f"ln -s usr/{name} {name}" for name in ("bin", "sbin", "lib", "lib64"))
        scratch.run(["sh", "-c", f"{script} && {links} && ln -s /etc link"], check=True)
        scratch.run(
            ["sh", "-c", "mkdir /srv/layer /srv/store; mount -t tmpfs x /srv/store; echo below >/srv/layer/only"],
            check=True,
        )
        scratch.write("/root/bad", "tmpfs /tmp tmpfs\ntmpfs /tmp tmpfs roxyz\n")
        scratch.write("/root/nowhere", "tmpfs /nowhere tmpfs\n")
        scratch.write(
            "/root/good",
            "# mounts\ntmpfs\tetc/a\\040b tmpfs size=1m\n/srv srv none bind,ro\n/none /srv none bind,nofail\n",
        )
        yield scratch


@pytest.mark.parametrize("name", ROWS)
def test_row(host: ScratchHost, name: str) -> None:
    options, command, code, printed, said = ROWS[name]
    words = ["-u", "-N", "--json"] if "options" in name else []
    dashes = "-- " if name < "m" else ""
    line = f'exec 9</; SECRET=x LD_X=y {" ".join(RUN)} {options} {TREE} {dashes}sh -c "$0" sh "$@"'
    done = host.run(["sh", "-c", line, command, *words])
    assert done.code == code, done
    shown = " ".join(done.stdout.split()) if name in ("no disk", "network") else done.stdout.strip()
    assert re.fullmatch(printed, shown), done
    assert re.search(said, done.stderr) if said else done.stderr == "", done


@pytest.mark.parametrize(
    ("tree", "said"),
    [("/", "the host's own root"), ("/root/bad", "is no directory"), ("/nowhere", "is no directory")],
)
def test_what_is_no_tree(host: ScratchHost, tree: str, said: str) -> None:
    done = host.run([*RUN, tree, "true"])
    assert (done.code, said in done.stderr) == (125, True), done


def test_programs_that_do_not_run(host: ScratchHost) -> None:
    assert [host.run([*RUN, TREE, word]).code for word in ("nosuch", "/nosuch", "/etc/file")] == [127, 127, 126]


def test_a_jails_image_by_its_name(host: ScratchHost) -> None:
    host.run(
        ["sh", "-c", f"mkdir -p /var/lib/jailssh/images/some && ln -s {TREE} /var/lib/jailssh/images/some/current"]
    )
    done = host.run([*RUN, "some", "touch", "/x"])
    assert (done.code, "ead-only" in done.stderr) == (1, True), done
    # As that of a jail with root = live: what else works is said, and is what has just worked.
    for verb in (["run"], ["launch"], ["run", "--session", "bare"]):
        done = host.run(["jailssh", *verb, "some", "--", "touch", "/x"])
        assert (done.code, "jail some: has root = live: /usr of its image is empty" in done.stderr) == (125, True), done
        assert "add --bind /usr::ro" in done.stderr
    assert host.run(["jailssh", "session", "list"]).stdout == "no sessions\n"


def test_what_was_written_is_where_it_should_be(host: ScratchHost) -> None:
    host.run([*RUN, "--overlay", "/srv/store", TREE, "sh", "-c", "echo kept >/etc/new"], check=True)
    assert host.read("/srv/store/upper/etc/new") == b"kept\n"
    assert host.run(["test", "-e", f"{TREE}/etc/new"]).code == 1


def test_a_planted_link_leads_what_is_written_nowhere(host: ScratchHost) -> None:
    host.run(["sh", "-c", "mkdir /srv/planted /srv/host && ln -s /srv/host /srv/planted/upper"], check=True)
    done = host.run([*RUN, "--overlay", "/srv/planted", TREE, "touch", "/x"])
    assert (done.code, done.stderr) == (125, "jailssh: run: /srv/planted: upper: Not a directory\n")
    assert host.run(["ls", "/srv/host"]).stdout == ""


def test_a_shell_without_a_command(host: ScratchHost) -> None:
    done = host.run([*RUN, TREE], input=b"echo in $0\n")
    assert (done.code, done.stdout) == (0, "in /bin/sh\n")


def test_the_directory_one_is_in(host: ScratchHost) -> None:
    assert host.run([*RUN, ".", "true"], cwd=TREE).code == 0


def test_nothing_is_left_behind(host: ScratchHost) -> None:
    """Not in the tree, in no table of mounts, and no process, though something was left in the background."""
    before = sorted(host.run(["find", TREE, "-xdev"]).stdout.split("\n"))
    done = host.run([*RUN, TREE, "sh", "-c", "setsid sleep 987 & sleep 987 & echo"])
    assert done.code == 0
    assert "sleep 987" not in " ".join(host.pids().values())
    assert TREE not in host.run(["cat", "/proc/mounts"]).stdout
    assert sorted(host.run(["find", TREE, "-xdev"]).stdout.split("\n")) == before


def _start(host: ScratchHost, *options: str, command: str = "sleep 986") -> int:
    """Start a command with a pid file and return the pid of `jailssh run`, once it runs."""
    line = f"{' '.join(RUN)} {' '.join(options)} -p /run/pid {TREE} sh -c '{command}'"
    script = (
        f"rm -f /run/pid; {line} >/run/out 2>&1 & echo $!; while test ! -e /run/pid; do sleep 0.02; done; sleep 0.2"
    )
    return int(host.run(["sh", "-c", script], check=True).stdout)


def test_signals_are_passed_on_and_the_pid_file_goes(host: ScratchHost) -> None:
    script = (
        f"{' '.join(RUN)} -p /run/pid {TREE} sh -c 'trap \"exit 9\" TERM; echo ready; sleep 60 & wait' >/run/out & "
        "while ! grep -q ready /run/out; do sleep 0.02; done; test $(wc -l </run/pid) = 1 && kill -TERM $!; wait $!; "
        "echo $?; ls /run/pid"
    )
    done = host.run(["sh", "-c", script])
    assert (done.stdout, "No such file" in done.stderr) == ("9\n", True), done


def test_a_link_in_the_place_of_a_pid_file_is_replaced(host: ScratchHost) -> None:
    host.run(["sh", "-c", "echo kept >/root/target; ln -sf /root/target /run/linked"], check=True)
    done = host.run([*RUN, "-p", "/run/linked", TREE, "true"])
    assert (done.code, host.read("/root/target")) == (0, b"kept\n")


def test_no_device_makes_room_for_a_pid_file(host: ScratchHost) -> None:
    host.run(["sh", "-c", "mknod /run/null c 1 3; ln -s null /run/link-to-null"], check=True)
    for path in ("/run/null", "/run/link-to-null"):
        for verb in ("run", "launch"):
            done = host.run(["jailssh", verb, "-p", path, TREE, "--", "true"])
            assert (done.code, done.stderr) == (125, f"jailssh: {path}: exists and is not a file\n")
    assert host.run(["sh", "-c", "test -c /run/null && test -L /run/link-to-null"]).code == 0


def test_a_pid_file_that_cannot_be_written_leaves_nothing(host: ScratchHost) -> None:
    line = f"mkdir /run/folder; {' '.join(RUN)} -p /run/folder {TREE} sleep 983; echo $?; rmdir /run/folder"
    done = host.run(["sh", "-c", line])
    assert done.stdout == "125\n", done
    assert "/run/folder: Is a directory" in done.stderr
    host.wait_until(lambda: "jailssh-run" not in " ".join(host.pids().values()), "the end of all its processes")
    host.wait_until(lambda: "folder" not in host.run(["find", "/run", "-name", "*folder*"]).stdout, "the end of drafts")


@pytest.mark.parametrize("background", [False, True])
def test_killed(host: ScratchHost, background: bool) -> None:
    pid = _start(host, *(["-b"] if background else []))
    host.run(["kill", "-9", str(pid)], check=True)
    host.wait_until(lambda: ("sleep 986" in " ".join(host.pids().values())) == background, "the end of the command")
    if background:
        host.run(["sh", "-c", "kill -9 $(cat /run/pid)"], check=True)
    host.wait_until(lambda: host.run(["test", "-e", "/run/pid"]).code != 0, "the end of the pid file")
    assert "sleep 986" not in " ".join(host.pids().values())


def test_killed_at_any_moment(host: ScratchHost) -> None:
    for delay in range(12):
        script = f"{' '.join(RUN)} -U -p /run/pid {TREE} sleep 985 & sleep {0.08 + delay * 0.01}; kill -9 $!"
        host.run(["sh", "-c", script])
    host.wait_until(lambda: "sleep 985" not in " ".join(host.pids().values()), "the end of all commands")
    host.wait_until(
        lambda: "run/pid" not in host.run(["find", "/run", "-name", "*pid*"]).stdout, "the end of all files"
    )
    assert TREE not in host.run(["cat", "/proc/mounts"]).stdout


def test_own_terminal(host: ScratchHost) -> None:
    inside = f"{' '.join(RUN)} {TREE} sh -c 'tty; ls /dev/pts; echo $TERM'"
    done = host.run(["script", "-qec", inside, "/dev/null"], env={"TERM": "vt100"})
    assert (done.code, done.stdout.replace("^@", "").split()) == (0, ["/dev/pts/0", "0", "ptmx", "vt100"]), done


def test_plan_is_shown(host: ScratchHost) -> None:
    done = host.run([*RUN, "--dry-run", "--keep-cap", "chown", TREE, "true"])
    assert "WEAKER: keeps the capability chown" in done.stdout
    assert f"root is {TREE}, writable" in done.stdout


def test_an_ordinary_user_needs_a_namespace(host: ScratchHost) -> None:
    host.run(["useradd", "-m", "walker"], check=True)
    host.run(["chmod", "755", "/srv"], check=True)
    assert "needs root" in host.run([*RUN, TREE, "true"], user="walker").stderr
    done = host.run([*RUN, "-U", TREE, "sh", "-c", "id -u; touch /srv/x; grep CapEff /proc/self/status"], user="walker")
    assert done.stdout.split() == ["0", "CapEff:", "0" * 16], done
    assert "denied" in done.stderr


def test_the_program_alone_takes_no_login_plan(host: ScratchHost) -> None:
    for plan in ("", r"jailssh-plan\0001\0001000\0001000\000a\0000000000000000000\0000\000end\000"):
        done = host.run(["sh", "-c", f"printf '{plan}' | (exec 3<&0; /usr/local/libexec/jailssh/jailssh-run)"])
        assert done.code == 125, done
