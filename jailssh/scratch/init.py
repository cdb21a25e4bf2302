"""The first process of a scratch host, started as a program of its own by :mod:`jailssh.scratch.host`.

``python -I -S init.py JSON``, with JSON an object of ``owner`` (the pid that must be our parent), ``overlays``
(list of directories) and ``installs`` (object of source directory to target directory).  It writes JSON lines to
stdout: ``{"pid": N}``, then ``{"ready": true}`` or ``{"error": [what, why, errno]}``; afterwards it reads stdin and
ends at end of file.  It imports the standard library alone so that it starts fast and needs no import path.

Two processes: the outer one dies with the owner (PR_SET_PDEATHSIG), the inner one is pid 1 of the new pid namespace
and dies with the outer one.  When pid 1 ends the kernel ends every process of its namespace, and with the last of
them the mounts go (pid_namespaces(7), mount_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import secrets
import signal
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

_libc = ctypes.CDLL(None, use_errno=True)

_CLONE_FLAGS = 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000  # NEWNS, PID, NET, IPC, UTS
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_NR_MOUNT_SETATTR = 442  # the same number on every architecture since Linux 5.12
_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

# Detached again before anything is started; any directory that every machine has would do.
_STORE = "/tmp"  # noqa: S108
# What the scratch host must not inherit from the machine, hidden by an overlayfs whiteout.
_HIDDEN = (
    "/etc/jailssh",
    "/etc/machine-id",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/nologin",
    "/etc/ssh/sshd_config.d",
    "/etc/systemd/journald.conf.d",
    "/etc/systemd/system.control",
    "/usr/share/pam-configs/jailssh",
    "/var/lib/jailssh",
    "/var/log/journal",
)
# Files that the machine's own set-up of jailssh has changed, and how a line of it is told.
_JAILED_SHELL = re.compile(r"^([^:]*:[^:]*:[^:]*:[^:]*:[^:]*:[^:]*):\S*/jailssh-login$", re.MULTILINE)
_PROFILE = re.compile(r"^Module: jailssh\n.*?(?=^Module: |\Z)", re.M | re.S)
# From the line in front of the first one that names our group to the last of the profile; the numbers in them count its
# own lines alone, or, of that first one, lead to the end of what stands first.
_REFUSING = re.compile(
    r"^(?:account[^\n]*\tpam_permit\.so *\n)?account[^\n]* ingroup jailssh\n.*?pam_deny\.so *\n", re.M | re.S
)
_MODULE = re.compile(r"^(?:account|session)[^\n]*/pam_jailssh\.so *\n", re.MULTILINE)
_CHANGED = (
    ("/etc/group", re.compile(r"^jailssh(?:-forward|-jump-[0-9a-f]+)?:.*\n", re.MULTILINE), ""),
    ("/etc/gshadow", re.compile(r"^jailssh(?:-forward|-jump-[0-9a-f]+)?:.*\n", re.MULTILINE), ""),
    ("/etc/passwd", _JAILED_SHELL, r"\1:/usr/sbin/nologin"),
    ("/etc/pam.d/common-account", _REFUSING, ""),
    *((f"/etc/pam.d/common-{phase}", _MODULE, "") for phase in ("account", "session", "session-noninteractive")),
    *((f"/var/lib/pam/{phase}", _PROFILE, "") for phase in ("account", "session", "session-noninteractive")),
    ("/var/lib/pam/seen", re.compile(r"^jailssh\n", re.MULTILINE), ""),
)
_NODES = (
    ("null", 1, 3, 0o666),
    ("zero", 1, 5, 0o666),
    ("full", 1, 7, 0o666),
    ("random", 1, 8, 0o666),
    ("urandom", 1, 9, 0o666),
    ("tty", 5, 0, 0o666),
    ("fuse", 10, 229, 0o666),
)
_DEV_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("log", "/run/systemd/journal/dev-log"),
)
_RUN_DIRS = (
    ("/run/lock", 0o1777),
    ("/run/user", 0o755),
    ("/run/sshd", 0o755),
    ("/run/systemd", 0o755),
    ("/run/systemd/journal", 0o755),
    ("/run/log", 0o755),
)


class StepError(Exception):
    """A step of the set-up failed: ``what`` was tried, and the OSError."""

    def __init__(self, what: str, error: OSError) -> None:
        super().__init__(what, error)
        self.what = what
        self.error = error


@contextlib.contextmanager
def _step(what: str) -> Iterator[None]:
    """Name what is being done, for the error message."""
    try:
        yield
    except OSError as error:
        raise StepError(what, error) from error


def _check(result: int) -> None:
    """Turn the -1 of a libc call into OSError."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    with _step(f"mount {kind or source} on {target}"):
        _check(
            _libc.mount(
                os.fsencode(source),
                os.fsencode(target),
                kind.encode() if kind else None,
                ctypes.c_ulong(flags),
                data.encode() if data else None,
            )
        )


def _make_read_only() -> None:
    """Make each mount of this namespace read-only, so that nothing outside the overlays can be changed."""
    with _step("make the machine's mounts read-only"):
        attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
        _check(
            _libc.syscall(
                ctypes.c_long(_NR_MOUNT_SETATTR),
                ctypes.c_int(-1),
                b"/",
                ctypes.c_uint(_AT_RECURSIVE),
                attributes,
                ctypes.c_size_t(len(attributes)),
            )
        )


def _copy_attributes(source: str, target: str) -> None:
    info = os.stat(source)
    os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, stat.S_IMODE(info.st_mode))


def _hide(lower: str, upper: str, relative: str) -> None:
    """Put a whiteout for ``relative`` into ``upper`` if ``lower`` has it; parents keep their owner and mode."""
    if not os.path.lexists(f"{lower}/{relative}"):
        return
    parts = relative.split("/")
    for depth in range(1, len(parts)):
        parent = "/".join(parts[:depth])
        if not os.path.isdir(f"{upper}/{parent}"):
            os.mkdir(f"{upper}/{parent}")
            _copy_attributes(f"{lower}/{parent}", f"{upper}/{parent}")
    os.mknod(f"{upper}/{relative}", stat.S_IFCHR, os.makedev(0, 0))


def _overlay(source: int, target: str, number: int) -> None:
    """Mount an overlay of the directory open as ``source`` on ``target``, changes going to the store."""
    # Through /proc/self/fd a lower directory stays reachable when something is mounted over its path, and a path with
    # ':' or ',' in it needs no escaping.
    lower = f"/proc/self/fd/{source}"
    upper, work = f"{_STORE}/{number}.upper", f"{_STORE}/{number}.work"
    with _step(f"prepare the overlay on {target}"):
        os.mkdir(upper)
        os.mkdir(work)
        _copy_attributes(lower, upper)
        for hidden in _HIDDEN:
            if hidden.startswith(target + "/"):
                _hide(lower, upper, hidden[len(target) + 1 :])
    options = f"lowerdir={lower},upperdir={upper},workdir={work},redirect_dir=on,xino=on"
    _mount("scratch", target, "overlay", 0, options)


def _open_directory(path: str) -> int:
    with _step(f"open {path}"):
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _fill_dev(machine_dev: int) -> None:
    """Mount a /dev of its own: no disk, no kernel log, and not the machine's /dev/log."""
    _mount("scratch", "/dev", "tmpfs", _MS_NOSUID | _MS_NOEXEC, "mode=755")
    for name, major, minor, mode in _NODES:
        path = f"/dev/{name}"
        try:
            os.mknod(path, stat.S_IFCHR | mode, os.makedev(major, minor))
            os.chmod(path, mode)
        except PermissionError:
            # A container may forbid mknod; its own nodes still work.
            if os.path.exists(f"/proc/self/fd/{machine_dev}/{name}"):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
                _mount(f"/proc/self/fd/{machine_dev}/{name}", path, None, _MS_BIND)
    for name, target in _DEV_LINKS:
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts")
    os.mkdir("/dev/shm")  # noqa: S108
    _mount("scratch", "/dev/pts", "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5")
    _mount("scratch", "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")  # noqa: S108


def _build_mounts(overlays: list[str], installs: dict[str, str]) -> None:
    with _step("make the mounts private"):
        _check(_libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))
    layers = [(_open_directory(path), path) for path in overlays if os.path.isdir(path)]
    layers += [(_open_directory(source), target) for source, target in installs.items()]
    machine_dev = _open_directory("/dev")
    _make_read_only()
    _mount("scratch", _STORE, "tmpfs", _MS_NODEV, "mode=755")
    for number, (source, target) in enumerate(layers):
        _overlay(source, target, number)
        os.close(source)
    with _step("detach the store"):
        _check(_libc.umount2(_STORE.encode(), _MNT_DETACH))
    _mount("scratch", "/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")  # noqa: S108
    _mount("scratch", "/run", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    _fill_dev(machine_dev)
    os.close(machine_dev)
    _mount("scratch", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def _write(path: str, text: str, mode: int) -> None:
    with _step(f"write {path}"):
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            os.fchmod(fd, mode)
            file.write(text)


def _fill_files() -> None:
    """Write the few files that make it a host of its own."""
    with _step("create the directories below /run"):
        for path, mode in _RUN_DIRS:
            os.mkdir(path)
            os.chmod(path, mode)
        os.makedirs("/etc/ssh/sshd_config.d", exist_ok=True)
    _write("/etc/machine-id", secrets.token_hex(16) + "\n", 0o444)
    _write("/etc/hostname", "scratch\n", 0o644)
    _write("/etc/hosts", "127.0.0.1 localhost scratch\n::1 localhost\n", 0o644)


def _forget_jails() -> None:
    """Take out of the files of accounts and PAM what the machine's own set-up of jailssh has put there."""
    for path, ours, instead in _CHANGED:
        with (
            _step(f"change {path}"),
            contextlib.suppress(FileNotFoundError),
            open(path, "r+", encoding="latin-1") as file,
        ):
            before = file.read()
            after = ours.sub(instead, before)
            if after != before:
                file.seek(0)
                file.truncate()
                file.write(after)


def _start_network() -> None:
    """Name the host and bring the loopback interface up (netdevice(7))."""
    with _step("bring up the loopback interface"):
        socket.sethostname("scratch")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            request = struct.pack("16sH22x", b"lo", 0)
            flags = struct.unpack_from("16sH", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _be_init(spec: dict[str, Any]) -> NoReturn:
    """Set the host up, then stay until the owner closes our stdin."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps orphans for a parent that ignores it
    os.umask(0o022)
    try:
        _build_mounts(spec["overlays"], spec["installs"])
        _forget_jails()
        _fill_files()
        _start_network()
    except StepError as error:
        _say({"error": [error.what, error.error.strerror, error.error.errno]})
        os._exit(1)
    except OSError as error:
        _say({"error": [f"set up {error.filename or ''}".strip(), error.strerror, error.errno]})
        os._exit(1)
    _say({"ready": True})
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.dup2(null, 2)
    while os.read(0, 1):
        pass
    os._exit(0)


def main() -> NoReturn:
    """Unshare, start pid 1, and end with it."""
    spec = json.loads(sys.argv[1])
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != spec["owner"]:  # it died before the line above
        os._exit(1)
    if _libc.unshare(ctypes.c_int(_CLONE_FLAGS)) < 0:
        code = ctypes.get_errno()
        _say({"error": ["unshare the namespaces", os.strerror(code), code or errno.EPERM]})
        os._exit(1)
    pid = os.fork()
    if pid == 0:
        _be_init(spec)
    _say({"pid": pid})
    os.close(0)
    os.close(1)
    os.waitpid(pid, 0)
    os._exit(0)


if __name__ == "__main__":
    main()
