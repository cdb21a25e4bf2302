"""Starts the login program by a small program, login_starter.c.

To fork the tests' own process, which has thousands of tests in it, takes longer than a login.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

_SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}
_libc = ctypes.CDLL(None, use_errno=True)


class Listened(Protocol):
    """A kernel that answers some calls of a login: the filter that stops them, and where its listener is sent."""

    program: bytes
    socket: socket.socket

    def install(self) -> None:
        """In the process that becomes the login program, as root: take the filter, and hand the listener over."""


@dataclass(frozen=True)
class Start:
    """A program with its words, to be started as an account in namespaces (descriptors); ``starter`` is login_starter.

    ``filtered``: the seccomp program that it has; ``kernel`` answers what its own one stops.
    """

    starter: str
    uid: int
    program: str
    argv: Sequence[bytes]
    envp: Sequence[bytes]
    filtered: bytes
    kernel: Listened | None
    namespaces: Sequence[int]

    def by_program(self, streams: tuple[int | IO[bytes], int | IO[bytes], int | IO[bytes]]) -> subprocess.Popen[bytes]:
        """Start it by the starter."""
        filters = (self.filtered, self.kernel.program if self.kernel else b"")
        to = self.kernel.socket.fileno() if self.kernel else 0
        words = os.memfd_create("words")
        try:
            with open(words, "wb", closefd=False) as stream:
                stream.write(struct.pack("=4I", len(self.argv), len(self.envp), *(len(code) // 8 for code in filters)))
                stream.writelines(filters)
                stream.writelines(word + b"\0" for word in (*self.argv, *self.envp))
            given = (words, to, *self.namespaces)
            stdin, stdout, stderr = streams
            command = [self.starter, str(self.uid), self.program, *map(str, given)]
            return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=given)
        finally:
            os.close(words)

    def in_child(self, prepare: Callable[[], object]) -> None:
        """Do the same in a child that was forked; ``prepare`` runs as the account right before."""
        vectors = _vector(self.argv), _vector(self.envp)
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):  # Python has its own way with these
            signal.signal(number, signal.SIG_DFL)
        for fd in self.namespaces:
            _checked(_libc.setns(fd, 0))
        os.chdir("/")
        for _ in range(2):  # only a second fork has a parent that it can see
            child = os.fork()
            if not child:
                continue
            os.closerange(0, 2048)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status < 0:
                with contextlib.suppress(OSError):  # SIGKILL
                    signal.signal(-status, signal.SIG_DFL)
                os.kill(os.getpid(), -status)
            os._exit(status)
        if self.filtered:
            _install_filter(self.filtered)
        if self.kernel:
            self.kernel.install()
        os.setgroups([6000])  # as sshd does for an account that is a member of another group
        os.setgid(self.uid)
        os.setuid(self.uid)
        prepare()
        _checked(_libc.execve(self.program.encode(), *vectors))


def _install_filter(program: bytes) -> None:
    """Filter this process as root, so that no_new_privs is not needed and privilege can still be gained."""
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    _checked(_libc.syscall(_SECCOMP_CALL[os.uname().machine], 1, 0, head))


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _vector(words: Iterable[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    listed = list(words)
    return (ctypes.c_char_p * (len(listed) + 1))(*listed, None)
