"""Owner and mode of installed programs, and small files and directories that come and go."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jailssh.files import fs
from jailssh.host import packages, process

_STATOVERRIDE = "/usr/bin/dpkg-statoverride"
_STATOVERRIDES = "/var/lib/dpkg/statoverride"


def access_of(path: str) -> tuple[int, int, int]:
    """Return ``(mode, uid, gid)`` of a trusted file (:func:`jailssh.files.fs.open_trusted`)."""
    fd = fs.open_trusted(path)
    try:
        info = os.fstat(fd)
        return stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid
    finally:
        os.close(fd)


def set_access(path: str, mode: int, uid: int, gid: int) -> None:
    """Give a trusted file this owner and mode; one that others can write to is refused and cannot get a set-id bit.

    Of a file that a Debian package brought, dpkg is told: it gives the next version the same.
    """
    fd = fs.open_trusted(path)
    try:
        if os.path.exists(_STATOVERRIDE) and packages.owners([path]):
            argv = [_STATOVERRIDE, "--force-statoverride-add", "--add", f"#{uid}", f"#{gid}", f"{mode:o}", path]
            process.run(argv, timeout=60)
        # chown(2) clears the set-id bits, so the mode comes second.
        os.fchown(fd, uid, gid)
        os.fchmod(fd, mode)
    except OSError as error:
        raise fs.failed("change the mode of", path, error) from error
    finally:
        os.close(fd)


def is_named_to_dpkg(group: str) -> bool:
    """True if a file is given to this group by dpkg-statoverride(1): dpkg stops at once where such a group is gone."""
    data = read_optional(_STATOVERRIDES) or b""
    return any(line.split(" ")[1:2] == [group] for line in data.decode("utf-8", "replace").splitlines())


def has_capabilities(path: str) -> bool:
    """True if the file carries capabilities (capabilities(7)); changing its owner would drop them."""
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def read_optional(path: str, limit: int = 1 << 20) -> bytes | None:
    """Return the content of a trusted file, None where there is none."""
    return fs.read_trusted(path, limit) if os.path.lexists(path) else None


def read_followed(path: str, limit: int = 1 << 20) -> bytes | None:
    """Do the same for what links lead to, as most services read their files: ``sites-enabled`` is made of links.

    For looking alone: what is written goes to the path that was named.
    """
    return read_optional(os.path.realpath(path), limit)


def remove_empty_dir(path: str) -> None:
    """Remove a directory; one that is absent or not empty stays as it is."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
            raise fs.failed("remove directory", path, error) from error


@contextmanager
def temporary(directory: str, data: bytes) -> Iterator[str]:
    """Yield the path of a new root-only file with ``data`` in ``directory`` (trusted); it is removed at the end."""
    path = f"{directory}/.candidate-{secrets.token_hex(8)}"
    fs.atomic_write(path, data, mode=0o600, uid=os.geteuid(), gid=os.getegid())
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


def reload_units() -> list[str]:
    """Have systemd read its units anew where it runs: the drop-in that keeps user managers out holds only then."""
    if not process.has_systemd():
        return []
    process.run(["systemctl", "daemon-reload"], timeout=60)
    return ["systemd reloaded its units"]
