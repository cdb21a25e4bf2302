"""Trees, names and moments that are against us: nothing of the host is reached, and nothing is left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished, ScratchHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("login-program")]

KEPT = "/var/lib/jailssh/trees"
RUN = "jailssh run --bind /usr::ro"
MAKE = f"""
set -e
install -d -m 700 {KEPT} /run/jailssh/trees; chmod 755 /run/jailssh
mount -t tmpfs x /srv; mount -t tmpfs x {KEPT}
for tree in /srv/tree /srv/-tree /srv/planted /srv/goes; do
    mkdir $tree && cd $tree && mkdir usr proc dev etc tmp root srv
    for name in bin sbin lib lib64; do ln -s usr/$name $name; done
done
useradd -m planter; mkdir /srv/host; echo kept >/srv/host/file
cd /srv/planted; rmdir dev proc tmp; ln -s /srv/host dev; ln -s ../host proc; ln -s / tmp
mknod srv/disk b 7 0; mknod srv/null c 1 3; mkfifo srv/fifo; cp /bin/true srv/suid; chmod 4755 srv/suid
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/srv/planted/srv/socket")'
chown -hR planter: /srv/planted
"""


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.run(["sh", "-c", MAKE], check=True)
        yield scratch


def sh(host: ScratchHost, line: str) -> Finished:
    return host.run(["sh", "-c", line], timeout=60)


def tables(host: ScratchHost) -> str:
    """Return the host's mounts, and what is there of files."""
    return sh(host, f"sort /proc/mounts; find /srv /run /etc/passwd {KEPT} -xdev ! -name .lock | sort").stdout


def is_gone(host: ScratchHost, *commands: str) -> None:
    pattern = re.compile("|".join(("jailssh[- ]run", *commands)))
    host.wait_until(lambda: not pattern.search(" ".join(host.pids().values())), "the end of all processes")


def test_what_a_user_has_planted_leads_nowhere(host: ScratchHost) -> None:
    before = tables(host)
    look = "for name in disk null fifo socket; do timeout 0.2 cat /srv/$name; done; echo x >/dev/file; /srv/suid; id -u"
    done = sh(host, f"{RUN} --no-terminal -u nobody /srv/planted sh -c '{look}; echo /proc/[0-9]*; cat /proc/file'")
    assert (done.code, done.stdout) == (1, "65534\n/proc/[0-9]*\n"), done
    for option, said in (
        ("--tmpfs /tmp", "--tmpfs: /tmp: Not a directory"),
        ("--tmpfs /dev", "--tmpfs: /dev: Not a directory"),
        ("--bind /srv/host:/proc", "--bind: /proc: Symbolic link loop"),
        ("--bind /srv/host:/tmp/srv", "--bind: /tmp/srv: Symbolic link loop|Not a directory"),
        ("--bind /srv/host:/srv/fifo", "--bind: /srv/fifo: Not a directory"),
        ("--overlay /srv/planted", "--overlay /srv/planted: is in the tree itself"),
    ):
        done = sh(host, f"{RUN} --no-terminal {option} /srv/planted true")
        assert (done.code, bool(re.search(said, done.stderr))) == (125, True), done
    assert tables(host) == before


def test_names_that_are_options_are_names(host: ScratchHost) -> None:
    assert sh(host, f"cd /srv; {RUN} -- -tree echo --help -u").stdout == "--help -u\n"
    assert sh(host, f"cd /srv; {RUN} ./-tree -- sh -c 'echo $0' --json").stdout == "--json\n"
    for line, code, said in (
        (f"{RUN} /srv/tree --version", 127, "--version: no such program in the tree"),
        ("jailssh launch --bind /usr::ro /srv/tree -- -x", 127, "-x: no such program in the tree"),
        ("jailssh launch -u -x /srv/tree -- true", 2, "expected one argument"),
        (f"{RUN} -n -x /srv/tree true", 2, "expected one argument"),
        ("jailssh session end -- --all", 2, "is no name of"),
        ("jailssh session recover -- -x", 2, "is no name of"),
        ("jailssh enter -- -x", 2, "required: JAIL"),
        ("jailssh enter ../x -- true", 2, "is not valid"),
    ):
        done = sh(host, line)
        assert (done.code, said in done.stderr) == (code, True), done


def test_long_paths_and_options_of_proc(host: ScratchHost) -> None:
    """A path of an fstab is as long as any; what is longer is told by its line."""
    deep = "/".join(["d" * 200] * 14)
    script = "; ".join(f"mkdir {'d' * 200} && cd {'d' * 200}" for _ in range(14))
    sh(host, f"cd /srv/tree; {script}")
    for target, wanted in ((deep, (0, "1\n", "")), ("x/" * 2100, (125, "", "/root/t:1: a path is longer than 4095"))):
        host.write("/root/t", f"tmpfs /{target} tmpfs size=1m\n")
        done = sh(host, f"{RUN} -f /root/t /srv/tree grep -c ddd /proc/mounts")
        assert (done.code, done.stdout, wanted[2] in done.stderr) == (*wanted[:2], True), done
    sh(host, "rm -r /srv/tree/ddd*")
    for options, said in (("hidepid=2", "hidepid=invisible"), ("subset=pid", "self thread-self"), ("hidepid=9", "")):
        host.write("/root/t", f"proc /proc proc {options}\n")
        look = "echo $(ls /proc | grep -v ^[0-9]) $(grep -o hidepid=[a-z]* /proc/self/mounts | head -n 1)"
        done = sh(host, f"{RUN} -f /root/t /srv/tree sh -c '{look}'")
        assert (done.code, said in done.stdout) == (0 if said else 125, True), done
    assert "/root/t:1: proc: Invalid argument" in done.stderr


def test_a_tree_that_goes_away(host: ScratchHost) -> None:
    """Who runs in it keeps it; a session on it is told, and stays for what it has written."""
    script = f"{RUN} /srv/goes sh -c 'sleep 0.5; echo x >/srv/new; echo $?' & sleep 0.4"
    done = sh(host, f"{script}; mv /srv/goes /srv/gone; mkdir /srv/goes; wait; ls /srv/gone/srv /srv/goes")
    assert done.stdout == "0\n/srv/goes:\n\n/srv/gone/srv:\nnew\n", done
    sh(host, "rmdir /srv/goes; mv /srv/gone /srv/goes")
    begun = sh(host, f"{RUN} --session lost /srv/goes sh -c 'echo a >/srv/written'; rm -r /srv/goes")
    assert begun.code == 0, begun
    sh(host, f"kill -9 {holder(host, 'lost')}; sleep 0.2")
    done = sh(host, "jailssh session recover lost")
    assert (done.code, "/srv/goes: No such file" in done.stderr) == (1, True), done
    assert host.read(f"{KEPT}/lost/written/upper/srv/written") == b"a\n"
    assert sh(host, "jailssh session end lost; ls /run/jailssh/trees").stdout == "session lost ended\n"


def holder(host: ScratchHost, name: str) -> int:
    return int(json.loads(host.read(f"/run/jailssh/trees/{name}"))["pid"])


def test_the_first_process_is_killed_or_stopped(host: ScratchHost) -> None:
    before = tables(host)
    find = "while ! p=$(pgrep -xf 'sleep 4401'); do sleep 0.02; done; kill -9 $(ps -o ppid= -p $p); wait $!; echo $?"
    assert sh(host, f"{RUN} -p /run/first /srv/tree sleep 4401 & {find}").stdout == "137\n"
    sh(host, f"{RUN} --session stopped /srv/tree sh -c 'sleep 4401 >/dev/null 2>&1 &'")
    done = sh(host, f"kill -STOP {holder(host, 'stopped')}; jailssh session end --json stopped")
    assert [row["by_itself"] for row in json.loads(done.stdout)] == [True], done
    is_gone(host, "sleep 4401")
    assert tables(host) == before


def test_two_trees_do_not_see_each_other_and_outlive_their_accounts(host: ScratchHost) -> None:
    sh(host, "useradd -m leaver")
    one = f"{RUN} --session one -u leaver /srv/tree sh -c"
    sh(host, f"{one} 'ipcmk -M 100 >/dev/null; sleep 4402 >/dev/null 2>&1 &'")
    look = "ps -e -o args= | grep -c [4]402; ipcs -m | grep -c ^0x; hostname; kill -9 -1"
    assert sh(host, f"{RUN} -n other /srv/tree sh -c '{look}'").stdout == "0\n0\nother\n"
    assert sh(host, f"{one} 'ps -e -o args= | grep -c [4]402; ipcs -m | grep -c ^0x'").stdout == "1\n1\n"
    sh(host, "userdel -f -r leaver")
    (row,) = json.loads(sh(host, "jailssh session list --json").stdout)
    assert (row["name"], row["state"], row["processes"]) == ("one", "held", 1), row
    done = sh(host, f"{one} true")
    assert (done.code, "user 'leaver': does not exist" in done.stderr) == (125, True), done
    assert sh(host, "jailssh session end one").code == 0
    is_gone(host, "sleep 4402")


def test_ids_that_are_not_granted(host: ScratchHost) -> None:
    sh(host, "useradd -m walker; sed -i /^walker:/d /etc/subuid /etc/subgid; chmod 755 /srv")
    for maps in ("-M '0 100000 5'", "-M '0 0 1'", "-G '0 0 1'"):
        done = host.run(["sh", "-c", f"{RUN} -U {maps} /srv/tree sleep 4403"], user="walker", cwd="/")
        assert (done.code, done.stdout, "not granted to you" in done.stderr) == (125, "", True), done
    is_gone(host, "sleep 4403")


LINES = {
    "run": f"{RUN} -U -N -n other -p /run/step --ephemeral /srv/tree sleep 4404",
    "launch": "jailssh launch --bind /usr::ro -N -b -p /run/step /srv/tree -- sleep 4404",
    "session": f"{RUN} --session step /srv/tree sleep 4404",
}
# At system calls that nobody but jailssh-run makes.
STEPS = {
    "run": ("fsmount", "pivot_root", "capset"),
    "launch": ("clone", "pivot_root", "capset", "renameat"),
    "session": ("pivot_root", "capset"),
}


@pytest.mark.needs("strace")
@pytest.mark.parametrize("line", LINES)
def test_killed_at_a_step(host: ScratchHost, line: str) -> None:
    """Whoever makes the call is killed before it is done; the others end by themselves."""
    before = tables(host)
    for step in STEPS[line]:
        trace = f"strace --seccomp-bpf -f -o /dev/null -e trace={step} -e inject={step}:signal=KILL"
        done = sh(host, f"timeout 9 {trace} {LINES[line]}")
        assert done.code in (125, 137, 143), (step, done)
        # The draft of a pid file is known to nobody but who was killed as it would have been renamed.
        sh(host, "jailssh session end step; rm -f /run/.step.*")
        is_gone(host, "sleep 4404")
        assert tables(host) == before, step
