"""The system call filter of a jail, as a BPF program that the plan carries.

The filter is the second wall: namespaces, an empty capability set and ``no_new_privs`` already hold without it.  It
makes the kernel smaller for a jailed process, so that a bug in a rarely used corner is out of reach.  Everything
is allowed but what stands here; a call of a foreign architecture (32 bit, x32) kills the process.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import struct
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType

from jailssh.core.closed import Network
from jailssh.core.errors import HostError
from jailssh.policy.bpf import LOW_HALF, Condition, Denial, Test, compile_filter

# linux/sched.h; Python has names for these only from 3.12 on.
CLONE_NAMESPACES = {
    "NEWNS": 0x00020000,
    "NEWCGROUP": 0x02000000,
    "NEWUTS": 0x04000000,
    "NEWIPC": 0x08000000,
    "NEWUSER": 0x10000000,
    "NEWPID": 0x20000000,
    "NEWNET": 0x40000000,
}
MOUNTING = (
    "mount", "umount2", "umount", "pivot_root", "chroot", "setns", "unshare", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr",
)  # fmt: skip
OTHER_PROCESSES = ("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd")
KERNEL_CORNERS = (
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "fanotify_init",
    "keyctl", "add_key", "request_key", "lookup_dcookie", "modify_ldt", "vm86", "vm86old", "uselib",
)  # fmt: skip
MACHINE = (
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "reboot",
    "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "open_by_handle_at", "name_to_handle_at", "iopl",
    "ioperm", "syslog", "vhangup", "nfsservctl",
)  # fmt: skip
OF_SYSTEM = ("reboot", "vhangup", "name_to_handle_at", "quotactl", "quotactl_fd")
"""What of the machine's is a system's own, or nothing without the host's own power."""
IPC = (
    "ipc", "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semtimedop_time64", "semctl",
    "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink",
)  # fmt: skip
# Newer than the oldest libseccomp that we work with; these numbers are the same on every architecture since 5.1.
BY_NUMBER = {"statmount": 457, "listmount": 458, "open_tree_attr": 467, "listns": 470}
NUMBERS = {**BY_NUMBER, "fchmodat2": 452}
# Where each call that gives a file its mode has it.  mkdir(2) takes no set-id bit of its mode; openat2(2), whose mode
# stands behind a pointer, is taken from each command by the login program (login/command/command_filter.c), which needs
# it itself.
MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mknod": 1, "mknodat": 2, "creat": 1}
MODES_OF_OPEN = {"open": 1, "openat": 2}
"""Where the flags are; the mode is behind them, and is none where no file is made."""
SET_ID = (stat.S_ISUID, stat.S_ISGID)
MAKES_FILE = (os.O_CREAT, os.O_TMPFILE & ~os.O_DIRECTORY)
SONAMES = {"c": "libc.so.6", "seccomp": "libseccomp.so.2"}
_FINDS = "ctypes.util"
TERMINAL_IOCTLS = ("TIOCSTI", "TIOCLINUX", "TIOCCONS", "TIOCSETD")
PERSONALITY_QUERY = 0xFFFFFFFF
_ARCHITECTURE = 12
"""Where libseccomp's programs have the machine's AUDIT_ARCH: what the second instruction compares with."""

# The families below AF_PACKET (17) that a program with a network needs; all above are refused as a range.
AF_UNIX, AF_PACKET = 1, 17
NETWORK_FAMILIES = (0, AF_UNIX, 2, 10, 16)
"""AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: the same on every architecture (linux/socket.h).

The module socket has them too, and takes longer to import than a filter to be made.
"""


def filter_for(network: Network, *, ipc: bool = True) -> tuple[str, bytes]:
    """Return ``(architecture as uname -m says, BPF program)`` for a jail with this ``network`` (see compile_plan).

    Without ``ipc`` there are no System V IPC and no POSIX message queues (ENOSYS), and the login program makes no
    IPC namespace for each login.  The same program comes out each time on one host.  Raises :class:`HostError` without
    libseccomp's binding.
    """
    if network == Network.AUTO:
        raise ValueError(network)
    return os.uname().machine, _compile(Network(network) != Network.NONE, ipc)


@cache
def _compile(network: bool, ipc: bool) -> bytes:
    return _made(_denials(network, ipc))


def filter_for_system(*, ipc: bool, raw: bool) -> tuple[str, bytes]:
    """Return the same for a whole system, whose init needs mounts, namespaces and set-id files.

    What it denies is the host's; ``raw``: raw sockets are allowed.
    """
    return os.uname().machine, _made(_denials_of_system(ipc, raw))


def _made(wanted: Iterator[tuple[str, Denial]]) -> bytes:
    lib = _library()
    denials: dict[int, list[Denial]] = {}
    try:
        for call, denial in wanted:
            number = NUMBERS.get(call, -1)
            if number < 0:
                number = lib.resolve_syscall(lib.Arch.NATIVE, call)
            # Negative: this architecture has no such call.
            if number >= 0:
                denials.setdefault(number, []).append(denial)
        if lib.resolve_syscall(lib.Arch.NATIVE, "socketcall") >= 0:
            # One call for many, which libseccomp takes apart.
            return _export(_program(lib, denials))
        (architecture,) = struct.unpack_from("=I", _export(lib.SyscallFilter(lib.ALLOW)), _ARCHITECTURE)
        return compile_filter(architecture, denials, x32=os.uname().machine == "x86_64")
    except (OSError, RuntimeError, ValueError) as error:
        hint = "libseccomp queries the kernel; check that seccomp(2) is allowed for this process"
        raise HostError("system call filter", f"cannot be made: {error}", hint=hint) from error


def _program(lib: ModuleType, denials: Mapping[int, Sequence[Denial]]) -> object:
    program = lib.SyscallFilter(lib.ALLOW)
    program.set_attr(lib.Attr.ACT_BADARCH, lib.KILL_PROCESS)
    # A tree instead of a list: the kernel runs the filter for every call number once when it is installed.
    program.set_attr(lib.Attr.CTL_OPTIMIZE, 2)
    for number, denied in denials.items():
        for denial in denied:
            for tests in itertools.product(*(list(_as_libseccomp(lib, test)) for test in denial.tests)):
                program.add_rule(lib.ERRNO(denial.errno), number, *tests)
    return program


def _as_libseccomp(lib: ModuleType, test: Condition) -> Iterator[object]:
    """Yield compares of which one must be true."""
    for value in test.values:
        if test.kind == Test.HAS:
            yield lib.Arg(test.argument, lib.MASKED_EQ, value, value)
        elif test.kind == Test.IS:
            yield lib.Arg(test.argument, lib.MASKED_EQ, LOW_HALF, value & LOW_HALF)
        else:
            yield lib.Arg(test.argument, lib.NE if test.kind == Test.NOT else lib.GT, value)


def _export(program: object) -> bytes:
    fd = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        program.export_bpf(file)  # type: ignore[attr-defined]
        file.seek(0)
        return file.read()


def _library() -> ModuleType:
    """Return libseccomp's own binding (python3-seccomp in Debian) or pyseccomp, which has the same interface."""
    try:
        import seccomp

        return seccomp  # type: ignore[no-any-return, unused-ignore]
    except ImportError:
        pass
    try:
        return _pyseccomp()
    except (ImportError, RuntimeError, OSError) as error:
        raise HostError(
            "system call filter", f"libseccomp cannot be used: {error}", hint="install python3-seccomp or pyseccomp"
        ) from error


def _pyseccomp() -> ModuleType:
    """Import pyseccomp; its two libraries are found by the loader, instead of by a run of ldconfig(8) for each.

    The module that would run it takes twice as long to import as this one (subprocess, tempfile): it gets none.
    """
    import ctypes

    known = sys.modules.get(_FINDS)
    finds = ModuleType(_FINDS)
    finds.find_library = SONAMES.get  # type: ignore[attr-defined]
    try:
        sys.modules[_FINDS] = ctypes.util = finds  # type: ignore[attr-defined]
        import pyseccomp
    finally:
        del sys.modules[_FINDS], ctypes.util  # type: ignore[attr-defined]
        if known is not None:
            sys.modules[_FINDS] = ctypes.util = known  # type: ignore[attr-defined]
    return pyseccomp  # type: ignore[no-any-return, unused-ignore]


def _denials_of_system(ipc: bool, raw: bool) -> Iterator[tuple[str, Denial]]:
    import socket

    for call in (*KERNEL_CORNERS, *(call for call in MACHINE if call not in OF_SYSTEM)):
        yield call, Denial(errno.EPERM)
    for call in () if ipc else IPC:
        yield call, Denial(errno.ENOSYS)
    ioctls = tuple(getattr(termios, name) for name in TERMINAL_IOCTLS)
    yield "ioctl", Denial(errno.EPERM, (Condition(Test.IS, 1, ioctls),))
    families = {*NETWORK_FAMILIES, AF_PACKET} if raw else set(NETWORK_FAMILIES)
    top = max(families)
    refused = errno.EAFNOSUPPORT
    yield "socket", Denial(refused, (Condition(Test.ABOVE, 0, (top,)),))
    yield "socket", Denial(refused, (Condition(Test.IS, 0, tuple(set(range(top)) - families)),))
    if not raw:
        # Not by taking the capability: a program that has it by its file, as ping(8) has, could not be executed.
        flags = (0, socket.SOCK_NONBLOCK, socket.SOCK_CLOEXEC, socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        kinds = tuple(int(socket.SOCK_RAW | flag) for flag in flags)
        inet = (int(socket.AF_INET), int(socket.AF_INET6))
        yield "socket", Denial(errno.EPERM, (Condition(Test.IS, 0, inet), Condition(Test.IS, 1, kinds)))


def _denials(network: bool, ipc: bool) -> Iterator[tuple[str, Denial]]:
    """Yield calls and when they are denied."""
    denied = errno.EPERM
    for call in (*MOUNTING, *OTHER_PROCESSES, *KERNEL_CORNERS, *MACHINE, *BY_NUMBER):
        yield call, Denial(denied)
    # ENOSYS: the flags are behind a pointer that a filter cannot follow; libc then takes clone.
    yield "clone3", Denial(errno.ENOSYS)
    for call in () if ipc else IPC:
        yield call, Denial(errno.ENOSYS)
    flags = 1 if os.uname().machine.startswith("s390") else 0
    yield "clone", Denial(denied, (Condition(Test.HAS, flags, tuple(CLONE_NAMESPACES.values())),))
    yield "ioctl", Denial(denied, (Condition(Test.IS, 1, tuple(getattr(termios, name) for name in TERMINAL_IOCTLS)),))
    yield "personality", Denial(denied, (Condition(Test.NOT, 0, (PERSONALITY_QUERY,)),))
    # A set-id file outside, where others can run it, would lend them the account's rights: chmod(2), inode(7).
    for call, place in MODES.items():
        yield call, Denial(denied, (Condition(Test.HAS, place, SET_ID),))
    for call, place in MODES_OF_OPEN.items():
        yield call, Denial(denied, (Condition(Test.HAS, place, MAKES_FILE), Condition(Test.HAS, place + 1, SET_ID)))
    # A compare of the whole register fails closed: a family with anything in the high half is none that is allowed.
    refused = errno.EAFNOSUPPORT
    yield "socketpair", Denial(refused, (Condition(Test.NOT, 0, (AF_UNIX,)),))
    if not network:
        yield "socket", Denial(refused, (Condition(Test.NOT, 0, (AF_UNIX,)),))
        return
    top = max(NETWORK_FAMILIES)
    yield "socket", Denial(refused, (Condition(Test.ABOVE, 0, (top,)),))
    yield "socket", Denial(refused, (Condition(Test.IS, 0, tuple(set(range(top)) - set(NETWORK_FAMILIES))),))
