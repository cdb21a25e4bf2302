"""setup tries a whole login: where this host can serve it says so, elsewhere it names what is missing and goes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.fixtures import PREFIX

pytestmark = pytest.mark.needs("root", "sshd")

JAILSSH = f"{PREFIX}/bin/jailssh"
STATE = "/var/lib/jailssh"
SERVES = "this host can serve logins: test login of a temporary account succeeded"
# The command under a system call filter as a container has it: FILTERED ERRNO NUMBER,… COMMAND…
FILTERED = """
import ctypes, os, struct, sys
numbers = [int(word) for word in sys.argv[2].split(",")]
row = lambda *words: struct.pack("HBBI", *words)
code = [row(0x20, 0, 0, 0)] + [row(0x15, len(numbers) - n, 0, each) for n, each in enumerate(numbers)]
code = b"".join([*code, row(6, 0, 0, 0x7fff0000), row(6, 0, 0, 0x50000 | int(sys.argv[1]))])
keep = ctypes.create_string_buffer(code, len(code))
head = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(keep))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall({"x86_64": 317, "aarch64": 277}[os.uname().machine], 1, 0, head) == 0
os.execv(sys.argv[3], sys.argv[3:])
"""
EPERM, ENOSYS = 1, 38
NUMBERS = {"x86_64": {"mount": 165, "pivot_root": 155, "keyctl": 250, "unshare": 272},
           "aarch64": {"mount": 40, "pivot_root": 41, "keyctl": 219, "unshare": 97}}  # fmt: skip
NEWER = {"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "clone3": 435, "openat2": 437,
         "mount_setattr": 442}  # fmt: skip


@pytest.fixture
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: PREFIX}) as host:
        host.run(["sh", "-c", "ssh-keygen -A >/dev/null"], check=True)
        yield host


def setup(host: ScratchHost, *before: str) -> Finished:
    return host.run([*before, JAILSSH, "setup", "--yes"])


def filtered(host: ScratchHost, error: int, *calls: str) -> Finished:
    known = {**NUMBERS[host.run(["uname", "-m"]).stdout.strip()], **NEWER}
    numbers = ",".join(str(known[call]) for call in calls)
    return setup(host, "/usr/bin/python3", "-c", FILTERED, str(error), numbers)


def state(host: ScratchHost) -> str:
    listing = (
        "find /etc/ssh /etc/jailssh /usr/local/libexec /var/lib/jailssh -printf '%p %m %u %g\\n' 2>/dev/null | sort"
    )
    return host.run(["sh", "-c", f"cat /etc/passwd /etc/group; {listing}"]).stdout


def assert_refused(host: ScratchHost, done: Finished, *words: str) -> None:
    assert done.code == 4, done
    for word in words:
        assert word in done.stderr
    assert "hint: " in done.stderr
    assert SERVES not in done.stdout
    assert host.run(["test", "-e", "/etc/ssh/sshd_config.d/20-jailssh.conf"]).code != 0
    assert host.run(["getent", "group", "jailssh"]).code != 0


def assert_serves(done: Finished) -> None:
    assert done.code == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(SERVES)


def test_it_serves_and_nothing_is_left(host: ScratchHost) -> None:
    host.start_journald()
    assert_serves(setup(host))
    before = state(host)
    host.run(["sh", "-c", f"mkdir -p {STATE}/proof-of-setup.old/home; touch {STATE}/plan.v1/65520"], check=True)
    assert_serves(setup(host))
    assert state(host) == before
    assert "proof" not in before
    assert "655" not in host.run(["ls", f"{STATE}/plan.v1"]).stdout
    assert host.run(["sh", "-c", "ls /run/jailssh/ns | grep -v -e ^net -e ^ipc -e ^uts-; true"]).stdout == ""
    assert [row["JAILSSH_EXIT"] for row in host.journal(JAILSSH_EVENT="session-end")] == ["0", "0"]


@pytest.mark.parametrize("error", [EPERM, ENOSYS])
def test_it_serves_where_some_calls_are_missing(host: ScratchHost, error: int) -> None:
    for calls in (("keyctl",), ("clone3",), ("openat2",), ("mount_setattr",),
                  ("keyctl", "clone3", "openat2", "mount_setattr")):  # fmt: skip
        assert_serves(filtered(host, error, *calls))


@pytest.mark.parametrize(("calls", "named"), [
    (("mount",), "mount (EPERM)"), (("pivot_root",), "pivot_root (EPERM)"), (("fsopen",), "fsopen (EPERM)"),
    (("open_tree", "move_mount"), "open_tree (EPERM), move_mount (EPERM)"),
    (("unshare", "pivot_root"), "clone of a PID namespace (EPERM)"),
])  # fmt: skip
def test_a_filtered_call_is_named(host: ScratchHost, calls: tuple[str, ...], named: str) -> None:
    before = state(host)
    done = filtered(host, EPERM, *calls)
    assert_refused(host, done, named, "is refused")
    left = [line for line in state(host).splitlines() if line not in before.splitlines()]
    assert all(line.split()[0] in (STATE, f"{STATE}/undo", f"{STATE}/undo/.lock") for line in left), left


def test_a_kernel_without_the_calls_is_named(host: ScratchHost) -> None:
    assert_refused(host, filtered(host, ENOSYS, "fsopen", "open_tree"), "fsopen (ENOSYS)", "Linux 5.2 or newer")


def test_a_missing_capability_is_named(host: ScratchHost) -> None:
    for name in ("sys_admin", "sys_chroot", "mknod", "setpcap"):
        done = setup(host, "setpriv", f"--bounding-set=-{name}")
        assert_refused(host, done, f"lacks capabilities that the login program needs: cap_{name}\n")
        assert "cap_mknod cap_setgid cap_setuid cap_setpcap cap_sys_chroot cap_sys_admin" in done.stderr


def test_no_new_privs(host: ScratchHost) -> None:
    assert_refused(host, setup(host, "setpriv", "--no-new-privs"), "no_new_privs")


@pytest.mark.parametrize(("path", "option", "word"), [
    (f"{PREFIX}/libexec", "nosuid", "mounted nosuid"), (f"{PREFIX}/libexec", "noexec", "mounted noexec"),
    ("/run", "ro", "/run: is on a file system mounted read-only"),
])  # fmt: skip
def test_mount_options(host: ScratchHost, path: str, option: str, word: str) -> None:
    host.run(["sh", "-c", f"mount --bind {path} {path} && mount -o remount,bind,{option} {path}"], check=True)
    assert word in setup(host).stderr


def test_images_that_cannot_be_executed(host: ScratchHost) -> None:
    host.run(["sh", "-c", f"mkdir -p {STATE} && mount -t tmpfs -o noexec,mode=755 none {STATE}"], check=True)
    assert_refused(host, setup(host), f"{STATE}: is on a file system mounted noexec")


def test_without_a_journal_and_with_a_full_tmp(host: ScratchHost) -> None:
    host.run(["sh", "-c", "mount -t tmpfs -o size=64k none /tmp; cat /dev/zero >/tmp/full; true"])
    done = setup(host)
    assert_serves(done)
    assert "note: journald is not running" in done.stdout
    assert "note: /tmp is full" in done.stdout


def test_a_damaged_login_program_is_found(host: ScratchHost) -> None:
    host.run(["sh", "-c", f"cp /bin/false {PREFIX}/libexec/jailssh/jailssh-login"], check=True)
    assert_refused(host, setup(host), "is refused: exit status 1")
