"""Listening sockets in the file system."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress

from jailssh.core.names import check_absolute
from jailssh.files import fs


def listen_at(path: str, mode: int, *, backlog: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Return a socket of this ``kind`` that listens at ``path``, replacing what is there in one step.

    It gets its name when it has its mode and listens already, so that whoever sees it can connect to it.
    """
    head, name = os.path.split(check_absolute(path, "socket"))
    dirfd = fs.open_dir(head, strict=False)
    new = f".new-{secrets.token_hex(8)}"
    listener = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    try:
        # By way of the descriptor: no link can lead elsewhere, and the name is short enough for sun_path of unix(7).
        listener.bind(f"/proc/self/fd/{dirfd}/{new}")
        os.chmod(new, mode, dir_fd=dirfd)
        listener.listen(backlog)
        os.rename(new, name, src_dir_fd=dirfd, dst_dir_fd=dirfd)
    except OSError as error:
        listener.close()
        with suppress(OSError):
            os.unlink(new, dir_fd=dirfd)
        raise fs.failed("listen at", path, error) from error
    finally:
        os.close(dirfd)
    return listener


def is_listened_at(path: str) -> bool:
    """True if a process of this network namespace listens at the stream socket ``path`` (proc(5): net/unix)."""
    accepting = 0x10000  # SO_ACCEPTCON, as the kernel prints it
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            words = line.rstrip("\n").split(" ", 7)
            if line.endswith(f" {path}\n") and len(words) > 3 and int(words[3], 16) & accepting:
                return True
    return False
