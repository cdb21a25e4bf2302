"""The system call filter, installed in a child and tried against the kernel."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import stat
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from jailssh.core.closed import Network
from jailssh.policy import seccomp

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86_64")
MOUNT, UNSHARE, CLONE, PTRACE, IOCTL, PERSONALITY = 165, 272, 56, 101, 16, 135
SOCKET, SOCKETPAIR, CLONE3, SETNS, PIVOT, OPEN_TREE = 41, 53, 435, 308, 155, 428
GETPID, KEYCTL, BPF, IO_URING, USERFAULTFD, CHROOT, OPEN_TREE_ATTR = 39, 250, 321, 425, 323, 161, 467
TIOCSTI, TIOCGWINSZ, TIOCLINUX = 0x5412, 0x5413, 0x541C


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    head = Program(len(program) // 8, ctypes.addressof(buffer))
    assert LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert LIBC.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(head)) == 0


def under_filter(network: Network, act: Callable[[], int]) -> int:
    """Return what ``act`` returns in a child under the filter, or minus the signal that ended it."""
    program = seccomp.filter_for(network)[1]
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            install(program)
            os.write(writer, struct.pack("i", act()))
        finally:
            os._exit(0)
    os.close(writer)
    data = os.read(reader, 4)
    os.close(reader)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return int(struct.unpack("i", data)[0])


def call(number: int, *args: int) -> int:
    """Return the errno of a raw system call, 0 if it succeeds."""
    wide = [ctypes.c_ulong(arg & (2**64 - 1)) for arg in args]
    return 0 if LIBC.syscall(ctypes.c_long(number), *wide) >= 0 else ctypes.get_errno()


@X86
@pytest.mark.parametrize("network", sorted(set(Network) - {Network.AUTO}))
@pytest.mark.parametrize(
    ("number", "args", "expected"),
    [
        (GETPID, (), 0),
        (MOUNT, (0, 0, 0, 0, 0), errno.EPERM),
        (CHROOT, (0,), errno.EPERM),
        (PIVOT, (0, 0), errno.EPERM),
        (OPEN_TREE, (-1, 0, 0), errno.EPERM),
        (OPEN_TREE_ATTR, (-1, 0, 0, 0, 0), errno.EPERM),
        (SETNS, (-1, 0), errno.EPERM),
        (UNSHARE, (0x10000000,), errno.EPERM),
        (CLONE3, (0, 0), errno.ENOSYS),
        (CLONE, (0x10000000 | 17, 0, 0, 0, 0), errno.EPERM),
        (CLONE, (0x00020000 | 17, 0, 0, 0, 0), errno.EPERM),
        (CLONE, (0x1_40000000 | 17, 0, 0, 0, 0), errno.EPERM),
        (PTRACE, (0, 0, 0, 0), errno.EPERM),
        (KEYCTL, (0, 0, 0, 0, 0), errno.EPERM),
        (BPF, (0, 0, 0), errno.EPERM),
        (IO_URING, (1, 0), errno.EPERM),
        (USERFAULTFD, (1,), errno.EPERM),
        (IOCTL, (-1, TIOCSTI, 0), errno.EPERM),
        (IOCTL, (-1, TIOCSTI | 1 << 32, 0), errno.EPERM),
        (IOCTL, (-1, TIOCLINUX, 0), errno.EPERM),
        (IOCTL, (-1, TIOCGWINSZ, 0), errno.EBADF),
        (PERSONALITY, (0xFFFFFFFF,), 0),
        (PERSONALITY, (0x0040000,), errno.EPERM),
        (SOCKETPAIR, (16, 1, 0, 0), errno.EAFNOSUPPORT),
        (SOCKET, (1, 1, 0), 0),
        (SOCKET, (40, 1, 0), errno.EAFNOSUPPORT),
        (SOCKET, (38, 5, 0), errno.EAFNOSUPPORT),
        (SOCKET, (9, 5, 0), errno.EAFNOSUPPORT),
        (SOCKET, (1 << 32 | 9, 5, 0), errno.EAFNOSUPPORT),
    ],
)
def test_calls(network: Network, number: int, args: tuple[int, ...], expected: int) -> None:
    assert under_filter(network, lambda: call(number, *args)) == expected


@X86
@pytest.mark.parametrize(("network", "expected"), [("none", errno.EAFNOSUPPORT), ("host", 0)])
@pytest.mark.parametrize("family", [2, 10, 16])
def test_network_families(network: Network, expected: int, family: int) -> None:
    result = under_filter(network, lambda: call(SOCKET, family, 3 if family == 16 else 2, 0))
    assert result in ((0, errno.EAFNOSUPPORT) if expected == 0 and family == 10 else (expected,))


def test_ordinary_work_goes_on() -> None:
    def work() -> int:
        pid = os.fork()
        if pid == 0:
            os.execv("/bin/true", ["true"])
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert under_filter(Network.NONE, work) == 0


@X86
def test_foreign_architectures_kill() -> None:
    # x32: the same call numbers with bit 30 set.
    assert under_filter(Network.NONE, lambda: call(0x40000000 | GETPID)) == -signal.SIGSYS


@X86
def test_32_bit_calls_kill() -> None:
    # mov eax, 20 (getpid of i386); int 0x80; ret
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    import mmap

    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    assert under_filter(Network.NONE, lambda: int(function())) == -signal.SIGSYS


def test_small_and_always_the_same() -> None:
    machine, program = seccomp.filter_for(Network.NONE)
    assert machine == os.uname().machine
    assert len(program) % 8 == 0
    assert len(program) // 8 < 220
    seccomp._compile.cache_clear()
    assert seccomp.filter_for(Network.NONE)[1] == program
    assert seccomp.filter_for(Network.HOST)[1] != program
    with pytest.raises(ValueError, match="some"):
        seccomp.filter_for("some")  # type: ignore[arg-type]


@X86
def test_no_set_id_file_is_made(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    texts = [ctypes.create_string_buffer(os.fsencode(tmp_path / name)) for name in ("x", "xnew", ".")]
    path, new, folder = map(ctypes.addressof, texts)
    fd, here = os.open(tmp_path / "x", os.O_RDONLY), -100
    made, hidden = os.O_CREAT | os.O_WRONLY, os.O_TMPFILE | os.O_WRONLY
    ways: list[Callable[[int], tuple[int, ...]]] = [
        lambda mode: (90, path, mode), lambda mode: (91, fd, mode), lambda mode: (268, here, path, mode),
        lambda mode: (452, here, path, mode, 0), lambda mode: (85, new, mode), lambda mode: (2, new, made, mode),
        lambda mode: (257, here, new, made, mode), lambda mode: (2, folder, hidden, mode),
        lambda mode: (257, here, folder, hidden, mode), lambda mode: (133, new, stat.S_IFREG | mode, 0),
        lambda mode: (259, here, new, stat.S_IFREG | mode, 0),
    ]  # fmt: skip
    for way in ways:
        for mode in (0o4755, 0o2755, 0o6777, 0o4000, 0o4755 | 1 << 40):
            assert under_filter(Network.NONE, partial(call, *way(mode))) == errno.EPERM, (way(mode), mode)
        (tmp_path / "xnew").unlink(missing_ok=True)
        assert under_filter(Network.NONE, partial(call, *way(0o1755))) == 0, way(0)
        (tmp_path / "xnew").unlink(missing_ok=True)
    # Where no file is made the mode is what a register happened to hold.
    assert under_filter(Network.NONE, lambda: call(2, path, os.O_RDONLY, 0o6777)) == 0
    assert (
        under_filter(Network.NONE, lambda: call(257, here, path, os.O_WRONLY | os.O_DIRECTORY, 0o6777)) == errno.ENOTDIR
    )
    os.close(fd)
