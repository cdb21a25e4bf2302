"""Homes: private ones that root cannot read, odd ones, and ones that their owner changes during the login."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
import signal
import stat
import struct
from collections.abc import Callable, Iterator

import pytest

from tests.harness.sysctl import SUID_DUMPABLE, kernel_setting
from tests.root import login_lab
from tests.root.login_lab import OTHER_UID, UID, Lab, assert_ended, assert_refused, plan

pytestmark = login_lab.NEEDS
every_lab = login_lab.every_lab


@pytest.fixture
def home(every_lab: Lab) -> Iterator[pathlib.Path]:
    """A home that the test may ruin, two levels below a directory that is 0711."""
    every_lab.host.run(["rm", "-rf", "/home/odd"], check=True)
    every_lab.make_dir("/home/odd", 0o711)
    made = every_lab.make_home("/home/odd/u", UID)
    every_lab.publish(plan(source="/home/odd/u"))
    yield made
    every_lab.host.run(["rm", "-rf", "/home/odd"], check=True)


def test_a_private_home(every_lab: Lab, home: pathlib.Path) -> None:
    # The flavours with file capabilities have no power over files: the account's own rights are what opens it.
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert_ended(every_lab.login("probe write /home/u/x y"), 0)
    assert (home / "x").read_text() == "y"
    assert (home / "x").stat().st_uid == UID


def test_a_home_that_the_account_may_not_enter(every_lab: Lab, home: pathlib.Path) -> None:
    home.parent.chmod(0o700)
    assert_refused(every_lab.login("probe exit 0"), "source")


def replace(path: pathlib.Path, make: Callable[[pathlib.Path], object]) -> None:
    path.rename(path.with_name("aside"))
    make(path)


ODD: dict[str, Callable[[pathlib.Path], object]] = {
    "missing": lambda path: None,
    "a symbolic link": lambda path: path.symlink_to("aside"),
    "a symbolic link to the root": lambda path: path.symlink_to("/"),
    "a file": lambda path: path.write_text(""),
    "a fifo": os.mkfifo,
}


@pytest.mark.parametrize("what", ODD)
def test_a_home_that_is(every_lab: Lab, home: pathlib.Path, what: str) -> None:
    replace(home, ODD[what])
    assert_refused(every_lab.login("probe exit 0"), "source")


def test_an_optional_source_that_is_missing(every_lab: Lab, home: pathlib.Path) -> None:
    every_lab.publish(plan(source="/home/odd/u", must="optional"))
    replace(home, ODD["missing"])
    assert_ended(every_lab.login("probe exit 7"), 7)


def test_a_parent_that_is_a_symbolic_link(every_lab: Lab, home: pathlib.Path) -> None:
    every_lab.path("/home/link").symlink_to("odd")
    try:
        every_lab.publish(plan(source="/home/link/u"))
        assert_refused(every_lab.login("probe exit 0"), "source")
    finally:
        every_lab.path("/home/link").unlink()


@pytest.mark.parametrize("mask", [0o022, 0, 0o777])
def test_no_ssh_directory(every_lab: Lab, home: pathlib.Path, mask: int) -> None:
    (home / ".ssh/authorized_keys").unlink()
    (home / ".ssh").rmdir()
    done = every_lab.login("probe try open /home/u/.ssh/x create", prepare=lambda: os.umask(mask))
    assert done.facts["try.open"] in ("EROFS", "EACCES", "EEXIST")
    made = (home / ".ssh").stat()
    assert (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid) == (0o700, UID, UID)


@pytest.mark.parametrize("what", ["a symbolic link", "a symbolic link to the root", "a file", "a fifo"])
def test_an_ssh_directory_that_is(every_lab: Lab, home: pathlib.Path, what: str) -> None:
    """Whatever stands there is covered itself: it can be neither written to, removed nor replaced."""
    replace(home / ".ssh", ODD[what])
    before = os.lstat(home / ".ssh")
    for how in ("rw", "create"):
        assert every_lab.login(f"probe try open /home/u/.ssh {how}").facts["try.open"] in ("EROFS", "EACCES", "EEXIST")
    assert (home / ".ssh").lstat() == before


def test_a_swap_during_the_login_leads_nowhere(every_lab: Lab, home: pathlib.Path) -> None:
    # The account changes its home between a directory and a link to another's, and .ssh likewise, all the time.
    secret = every_lab.make_home("/home/odd/secret", OTHER_UID)
    (secret / "secret").write_text("secret")
    secret.chmod(0o755)
    (secret / "secret").chmod(0o644)
    home.parent.chmod(0o777)
    swapper = os.fork()
    if swapper == 0:
        with contextlib.suppress(BaseException):
            swap(home)
        os._exit(0)
    try:
        for _ in range(15):
            done = every_lab.login("probe cat /home/u/secret")
            assert done.code in (1, 125), done
            assert done.out == b""
            done = every_lab.login("probe try open /home/u/.ssh/authorized_keys rw")
            assert done.code in (0, 125), done
            assert b"=ok" not in done.out
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)


def swap(home: pathlib.Path) -> None:
    """Exchange the home, and its .ssh, with links: renameat2(2), RENAME_EXCHANGE."""
    rename = ctypes.CDLL(None).renameat2
    link, keys = home.with_name("link"), home / "link"
    link.symlink_to("secret")
    keys.symlink_to("/")
    while True:
        rename(-100, os.fsencode(home), -100, os.fsencode(link), 2)
        rename(-100, os.fsencode(home / ".ssh"), -100, os.fsencode(keys), 2)


# A file system on which root has no rights, as on NFS with root_squash: a FUSE server that looks who is asking.
LOOKUP, GETATTR, OPENDIR, RELEASEDIR, READDIR, INIT, ACCESS, STATFS, FORGET = 1, 3, 27, 29, 28, 26, 34, 17, 2
MODES = {1: (0o40700, UID), 2: (0o40700, UID)}


def attributes(node: int) -> bytes:
    mode, uid = MODES[node]
    return struct.pack("<6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 2, uid, uid, 0, 4096, 0)


def answer(request: bytes) -> tuple[int, bytes] | None:
    """Return errno and body for a request (linux/fuse.h), None where none is wanted."""
    code, _, node, uid = struct.unpack_from("<IQQI", request, 4)
    body = request[40:]
    if code == FORGET:
        return None
    if code == INIT:
        _, minor = struct.unpack_from("<2I", body)
        return 0, struct.pack("<4I2H2I2H8I", 7, min(minor, 31), 65536, 0, 0, 0, 65536, 1, 1, 0, *([0] * 8))
    if uid != UID:
        return errno.EACCES, b""
    if code == LOOKUP:
        if node == 1 and body == b".ssh\0":
            return 0, struct.pack("<2Q2Q2I", 2, 0, 0, 0, 0, 0) + attributes(2)
        return errno.ENOENT, b""
    if code == GETATTR:
        return 0, struct.pack("<Q2I", 0, 0, 0) + attributes(node)
    if code == STATFS:
        return 0, struct.pack("<5Q4I6I", 1, 1, 1, 1, 1, 4096, 255, 4096, *([0] * 7))
    if code == OPENDIR:
        return 0, struct.pack("<Q2I", 0, 0, 0)
    return (0, b"") if code in (READDIR, RELEASEDIR, ACCESS) else (errno.ENOSYS, b"")


def serve(lab: Lab, target: str, ready: int, who: str) -> None:
    """In a child: mount the file system on the scratch host and answer until killed."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{lab.host.init_pid}/ns/mnt") as namespace:
        assert libc.setns(namespace.fileno(), 0) == 0
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40700,{who}"
    assert libc.mount(b"squash", target.encode(), b"fuse", 6, options.encode()) == 0
    os.write(ready, b"x")
    while True:
        request = os.read(fuse, 1 << 17)
        said = answer(request)
        if said is not None:
            number, body = said
            unique = struct.unpack_from("<Q", request, 8)[0]
            os.write(fuse, struct.pack("<IiQ", 16 + len(body), -number, unique) + body)


SERVERS = {
    "that maps root to nobody": "user_id=0,group_id=0,allow_other",
    "of the account's own": f"user_id={UID},group_id={UID}",
}


@contextlib.contextmanager
def served(lab: Lab, home: pathlib.Path, kind: str) -> Iterator[None]:
    """Have the home on a file system that answers the account alone."""
    ours, theirs = os.pipe()
    server = os.fork()
    if server == 0:
        with contextlib.suppress(BaseException):
            serve(lab, "/home/odd/u", theirs, SERVERS[kind])
        os._exit(1)
    os.close(theirs)
    try:
        assert os.read(ours, 1) == b"x"
        with pytest.raises(PermissionError):
            os.listdir(home)
        yield
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        os.close(ours)
        lab.host.run(["umount", "-l", "/home/odd/u"])


@pytest.mark.parametrize("kind", SERVERS)
def test_a_home_on_which_root_has_no_rights(every_lab: Lab, home: pathlib.Path, kind: str) -> None:
    with served(every_lab, home, kind):
        if "old-kernel" in every_lab.flavour and "own" in kind:
            # Before Linux 5.12 the rights of a mount are taken from it where it stands: root must be able to enter.
            assert_refused(every_lab.login("probe exit 0"), "mount")
            return
        facts = every_lab.login("probe facts surroundings").facts
        assert facts["cwd"] == "/home/u"
        done = every_lab.login("probe try list /home/u/.ssh")
        assert done.facts["try.list"] in ("ok", "EACCES")


@pytest.mark.alone
def test_no_process_is_the_user_where_it_could_be_traced(every_lab: Lab, home: pathlib.Path) -> None:
    with kernel_setting(SUID_DUMPABLE, "1"), served(every_lab, home, "of the account's own"):
        assert_refused(every_lab.login("probe exit 0"), "mount" if "old-kernel" in every_lab.flavour else "mask")
