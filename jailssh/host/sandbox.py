"""A closed room around a tree, in which programs of the tree are started: nothing of the host is in reach there.

Mount, process, network, IPC and host name namespaces are new.  The room's root is a tmpfs with a read-only view of the
tree, without what is mounted below it, and with what every place that programs run in has: a ``/proc`` of the room's
own processes and the harmless devices.  A program is an account without rights that cannot gain any.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import stat
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from jailssh.core.errors import HostError
from jailssh.core.names import HostPath, JailPath, below
from jailssh.files import fs
from jailssh.host.process import SYSTEM_PATH

# sched.h: mount, host name, IPC, process and network namespaces.
_NEW_MOUNTS, _NEW_PROCESSES = 0x00020000, 0x20000000
_NEW = _NEW_MOUNTS | 0x04000000 | 0x08000000 | _NEW_PROCESSES | 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096
_REC, _PRIVATE = 16384, 1 << 18
_DETACH = 2
_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOBODY, _BESIDE = 65534, 65533
# netdevice(7)
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_DEVICES = ("full", "null", "random", "urandom", "zero")
_STREAMS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
# In the room's own /dev, where no name of the tree is in the way.
_COPY = "dev/.copy"
_SAID = 1 << 16  # bytes of what a program says
_FILE = 16 << 20  # bytes of a file that it writes where it may
_ENVIRONMENT = {"PATH": ":".join(SYSTEM_PATH), "LC_ALL": "C.UTF-8"}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    ``error``  the errno of execve(2) if it was not even begun, else 0.  ``code``: exit status, 128+n after signal n,
    None if it still ran when its time was up.  ``said``: the first 64 KiB of its standard error, or of both streams.
    """

    error: int
    code: int | None
    said: str


def inside(tree: HostPath, root: int, work: Callable[[Room], Any]) -> Any:
    """Return what ``work`` returns, which is called in a process of root's that has the room; plain data (JSON).

    ``tree``  the absolute path of the tree, ``root`` a descriptor of it.  Raises :class:`HostError` where there is no
    such room to be had, and those of ``work``.
    """
    source, target = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(source)
        _outer(tree, root, work, target)
    os.close(target)
    try:
        with open(source, "rb") as stream:
            data = stream.read()
    finally:
        # It has ended, or we are to end: what is in the room ends with it.
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not data:
        raise HostError("sandbox", "ended without an answer")
    answer = json.loads(data)
    if "error" in answer:
        raise HostError(*answer["error"][:2], hint=answer["error"][2])
    return answer["done"]


def _outer(tree: HostPath, root: int, work: Callable[[Room], Any], target: int) -> NoReturn:
    """Make the namespaces and the first process in them; wait for its end."""
    code = 1
    try:
        _die_with_parent()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if _libc.unshare(ctypes.c_int(_NEW)):
            _answer(target, {"error": ("sandbox", f"no namespaces to be had: {_reason()}", "")})
            os._exit(1)
        first = os.fork()
        if first == 0:
            _first(tree, root, work, target)
        os.close(target)
        code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    finally:
        os._exit(1 if code else 0)


def _first(tree: HostPath, root: int, work: Callable[[Room], Any], target: int) -> NoReturn:
    try:
        _die_with_parent()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            done = {"done": work(Room(tree, root))}
        except HostError as error:
            done = {"error": (error.what, error.why, error.hint)}
        except OSError as error:
            name = f" ({error.filename})" if error.filename else ""
            done = {"error": ("sandbox", f"{(error.strerror or str(error)).lower()}{name}", "")}
        _answer(target, done)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _answer(target: int, data: Any) -> None:
    fs.write_all(target, json.dumps(data).encode())


def _die_with_parent() -> None:
    _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _reason() -> str:
    return os.strerror(ctypes.get_errno()).lower()


def _mount(source: str | None, place: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, place, kind, data)]
    if _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]):
        code = ctypes.get_errno()
        raise OSError(code, f"cannot mount: {os.strerror(code)}", place)


def _make_private(tree: HostPath) -> None:
    """Let no mount made from now on reach another namespace.

    Where we are in a chroot(2) whose root is no mount point, the mount that it lies on is above it: the way there is
    by ``..``, which ends at the root only for who is below it.
    """
    try:
        _mount(None, "/", None, _REC | _PRIVATE)
        return
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    here = os.open("/", _FOLDER)
    os.chdir("/")
    os.chroot(tree)
    while not os.path.samestat(os.stat("."), os.stat("..")):
        os.chdir("..")
    os.chroot(".")
    _mount(None, "/", None, _REC | _PRIVATE)
    os.fchdir(here)
    os.chroot(".")
    os.close(here)


class Room:
    """The room, seen by the process that made it; all methods raise OSError.

    ``has_proc``  False where this host lets no /proc be mounted, as in some containers: programs that look for their
    libraries near their own place find none there.
    """

    def __init__(self, tree: HostPath, root: int) -> None:
        self._tree = tree
        self._largest = _SAID
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        _make_private(tree)
        host = os.open("/dev", _FOLDER)
        place = os.open(tree, _FOLDER)
        if not os.path.samestat(os.fstat(place), os.fstat(root)):
            raise HostError(f"tree {tree}", "was moved meanwhile")
        os.fchdir(place)
        _mount(".", ".", None, _BIND)
        _mount(None, tree, None, _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV)
        plain = os.open(tree, _FOLDER)
        _mount("none", tree, "tmpfs", _NOSUID, "mode=0755")
        self._view = os.open(tree, _FOLDER)
        self.has_proc = self._make_proc()
        self._make_dev(host)
        for name in os.listdir(plain):
            if name not in ("proc", "dev"):
                self._show(plain, name)
        for fd in (host, place, plain):
            os.close(fd)

    def _make_proc(self) -> bool:
        os.mkdir("proc", 0o755, dir_fd=self._view)
        try:
            _mount("proc", f"{self._tree}/proc", "proc", _RDONLY | _NOSUID | _NODEV | _NOEXEC)
        except PermissionError:
            return False
        return True

    def _make_dev(self, host: int) -> None:
        os.mkdir("dev", 0o755, dir_fd=self._view)
        for name in _DEVICES:
            with suppress(FileNotFoundError):
                if stat.S_ISCHR(os.stat(name, dir_fd=host, follow_symlinks=False).st_mode):
                    self._bind(host, name, f"dev/{name}")
        for name, target in _STREAMS.items():
            os.symlink(target, f"dev/{name}", dir_fd=self._view)

    def _show(self, plain: int, name: str) -> None:
        """Show what the tree has at its top; a view has the flags of what it is taken from, read-only among them."""
        mode = os.stat(name, dir_fd=plain, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(name, dir_fd=plain), name, dir_fd=self._view)
        elif stat.S_ISREG(mode):
            self._bind(plain, name, name)
        elif stat.S_ISDIR(mode):
            os.mkdir(name, 0o755, dir_fd=self._view)
            below = os.open(name, _FOLDER, dir_fd=plain)
            os.fchdir(below)
            _mount(".", f"{self._tree}/{name}", None, _BIND)
            os.close(below)

    def _bind(self, above: int, name: str, place: str) -> None:
        """Show the file or device ``name`` of an open directory at ``place``."""
        info = os.stat(name, dir_fd=above, follow_symlinks=False)
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=self._view))
        os.fchdir(above)
        _mount(f"./{name}", f"{self._tree}/{place}", None, _BIND)
        if not os.path.samestat(info, os.stat(place, dir_fd=self._view, follow_symlinks=False)):
            raise OSError(errno.ESTALE, "it was changed meanwhile", name)

    def furnish(self) -> bool:
        """Give programs more of what a jail has: a private ``/tmp``, terminals, a loopback interface that is up.

        False where this host does not let a terminal be had.
        """
        for name in ("tmp", "dev/shm", "dev/pts"):
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=self._view)
            if not stat.S_ISDIR(os.stat(name, dir_fd=self._view, follow_symlinks=False).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), f"/{name}")
        for name in ("tmp", "dev/shm"):
            _mount("none", f"{self._tree}/{name}", "tmpfs", _NOSUID | _NODEV, "mode=1777,size=64m")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        self._largest = _FILE
        options = "newinstance,ptmxmode=0666,mode=0620"
        try:
            _mount("devpts", f"{self._tree}/dev/pts", "devpts", _NOSUID | _NOEXEC, options)
        except OSError:
            return False
        os.symlink("pts/ptmx", "dev/ptmx", dir_fd=self._view)
        return True

    def clean(self) -> None:
        """Leave nothing in the room's own ``/tmp``."""
        folder = os.open("tmp", _FOLDER, dir_fd=self._view)
        try:
            for name in os.listdir(folder):
                fs.remove_tree(folder, name)
        finally:
            os.close(folder)

    def put(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Put a file into the room's own ``/tmp``."""
        fd = os.open(f"tmp/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode, dir_fd=self._view)
        try:
            fs.write_all(fd, data)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)

    def show(self, path: str, files: Mapping[str, bytes]) -> None:
        """Show a directory with these files, which everybody may read, over the directory ``path`` of the tree."""
        folder = f"dev/{path.strip('/').replace('/', '-')}"
        for name in (folder, *(f"{folder}/{os.path.dirname(one)}" for one in files if "/" in one)):
            os.mkdir(name, 0o755, dir_fd=self._view)
        for name, data in files.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(f"{folder}/{name}", flags, 0o644, dir_fd=self._view)
            try:
                fs.write_all(fd, data)
            finally:
                os.close(fd)
        _mount(f"{self._tree}/{folder}", f"{self._tree}{path}", None, _BIND)

    @contextmanager
    def readable(self, path: JailPath, file: int) -> Iterator[None]:
        """Show a copy of the open file ``file``, which everybody may read and start, at ``path`` of the tree."""
        fd = os.open(_COPY, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700, dir_fd=self._view)
        try:
            fs.copy_data(file, fd)
            os.fchmod(fd, 0o755)
        finally:
            os.close(fd)
        place = below(self._tree, path)
        try:
            _mount(f"{self._tree}/{_COPY}", place, None, _BIND)
            yield
        finally:
            _libc.umount2(os.fsencode(place), _DETACH)
            os.unlink(_COPY, dir_fd=self._view)

    def run(
        self,
        argv: list[str],
        seconds: float,
        *,
        both: bool = False,
        environment: Mapping[str, str] = _ENVIRONMENT,
        beside: Callable[[], None] | None = None,
    ) -> Ended:
        """Start ``argv`` (a path of the tree first) and return how it ended; what is left of it then is killed.

        It starts in the directory that is its HOME in ``environment``.  ``both``: what it says on standard output
        counts too.  ``beside``: work of ours that goes on meanwhile in a
        process of its own, which nothing of the tree can reach but by what it offers itself.
        """
        if beside:
            self._start(beside)
        report, failed = os.pipe2(os.O_CLOEXEC)
        words = os.memfd_create("said", os.MFD_CLOEXEC)
        try:
            child = os.fork()
            if child == 0:
                self._become(argv, failed, words, words if both else self._null, environment)
            os.close(failed)
            error = int(os.read(report, 16) or 0)
            code = _wait(child, seconds)
            return Ended(error, code, os.pread(words, _SAID, 0).decode("utf-8", "surrogateescape"))
        finally:
            os.close(report)
            os.close(words)
            _end_all()

    def _start(self, work: Callable[[], None]) -> None:
        """Do ``work`` in a process that has no rights, is another account than programs, and sees devices alone."""
        if os.fork():
            return
        try:
            os.setsid()
            os.fchdir(self._view)
            os.chroot("dev")
            os.chdir("/")
            os.setgroups([])
            os.setresgid(_BESIDE, _BESIDE, _BESIDE)
            os.setresuid(_BESIDE, _BESIDE, _BESIDE)
            if _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)

    def _become(
        self, argv: list[str], failed: int, words: int, output: int, environment: Mapping[str, str]
    ) -> NoReturn:
        """Give up all rights and be the program; the errno is told where that fails."""
        code = errno.EIO
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for stream, fd in enumerate((self._null, output, words)):
                os.dup2(fd, stream)
            failed = os.dup2(failed, 3, inheritable=False) if failed != 3 else 3
            os.fchdir(self._view)
            os.closerange(4, os.sysconf("SC_OPEN_MAX"))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._largest, self._largest))
            os.chroot(".")
            os.chdir(environment.get("HOME", "/"))
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
            if _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")
            os.execve(argv[0], argv, environment)  # noqa: S606 - no shell: what starts is the very file
        except OSError as error:
            code = error.errno or errno.EIO
        finally:
            os.write(failed, str(code).encode())
            os._exit(127)


def _wait(child: int, seconds: float) -> int | None:
    """Return the status of the child; None, and it is not waited for, if the time is up before it ends."""
    end = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        left = end - time.monotonic()
        if left <= 0:
            return None
        signal.sigtimedwait({signal.SIGCHLD}, left)


def _end_all() -> None:
    """End every other process of the room; as its first process we alone are left out (kill(2))."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
