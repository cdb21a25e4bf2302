"""New systems: from the packages of a distribution, an archive or a directory, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape
from jailssh.core.signals import signals_raise, signals_wait
from jailssh.files import fs
from jailssh.files.homes import mounts_below
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.systems import oci, ranges
from jailssh.systems.settings import System, is_name

TREE = "tree"
CHANGING = "changing"
"""Beside the tree while the settings of a system that runs are changed: what finds it there later completes that."""
_NEW = ".new-"
_IMAGES = "images"
_WORD = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}\Z")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{0,80}\Z")
_MIRROR = re.compile(r"(https?|file)://[A-Za-z0-9.:/_~@%+-]{1,300}\Z")
_BASE = ("dbus", "iproute2", "iputils-ping", "procps", "systemd-sysv")
_INITS = frozenset(("systemd-sysv", "sysvinit-core"))
_KEYS = re.compile(r"ssh_host_[a-z0-9]+_key(\.pub)?\Z")
_LONGEST = 3600.0


@dataclass(frozen=True)
class Wanted:
    """Where a system comes from: a suite with more or fewer packages, or ``source``, an archive or a directory.

    Either may hold images of containers, of which ``tag`` names one.
    """

    _: KW_ONLY
    suite: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    mirror: str = ""
    source: str = ""
    tag: str = ""

    def packages(self) -> tuple[str, ...]:
        """Return the packages to be installed beside the essential ones; with an init unless one is named."""
        base = [each for each in _BASE if each not in _INITS or not _INITS & set(self.include)]
        return tuple(sorted({*base, *self.include} - set(self.exclude)))


def check(wanted: Wanted) -> Wanted:
    """Return what is wanted, if its words are such; else :class:`UsageError`."""
    if bool(wanted.suite) == bool(wanted.source):
        raise UsageError("create", "needs one of --suite and --from")
    if wanted.source and (wanted.include or wanted.exclude or wanted.mirror):
        raise UsageError("--from", "cannot be combined with --include, --exclude or --mirror")
    if wanted.tag and not wanted.source:
        raise UsageError("--tag", "needs --from")
    if wanted.suite and not _WORD.match(wanted.suite):
        raise UsageError("--suite", f"{wanted.suite[:60]!r} is no name of a suite, as in bookworm")
    for option, words in (("--include", wanted.include), ("--exclude", wanted.exclude)):
        for word in words:
            if not _PACKAGE.match(word):
                raise UsageError(option, f"{word[:60]!r} is no name of a package")
    if wanted.mirror and not _MIRROR.match(wanted.mirror):
        raise UsageError("--mirror", f"{escape(wanted.mirror)[:80]!r} is no URL of a mirror")
    if wanted.source and not os.path.exists(wanted.source):
        raise UsageError(f"--from {escape(wanted.source)}", "does not exist")
    return wanted


def folder_of(layout: Layout, name: str) -> str:
    """Return the directory of a system."""
    return f"{layout.systems}/{name}"


def exists(layout: Layout, name: str) -> bool:
    """True if there is a system of that name."""
    return os.path.isdir(folder_of(layout, name))


def names(layout: Layout) -> list[str]:
    """Return the names of all systems."""
    found = os.listdir(layout.systems) if os.path.isdir(layout.systems) else []
    return sorted(filter(is_name, found))  # on a file system of its own there is a directory lost+found


def create(layout: Layout, system: System, wanted: Wanted, tell: Callable[[str], None], *, fresh: bool) -> None:
    """Make the system; nothing of it is left where that fails.

    ``fresh``: packages are fetched again, even if they were for another system.
    """
    fs.ensure_dir(layout.systems, 0o700)  # set-uid files of its root's are out of reach of the host's accounts
    with signals_raise():
        _create(layout, system, wanted, tell, fresh=fresh)


def _create(layout: Layout, system: System, wanted: Wanted, tell: Callable[[str], None], *, fresh: bool) -> None:
    archive = _archive(layout, wanted, tell, fresh=fresh) if wanted.suite else wanted.source
    with fs.lock(f"{layout.systems}/.lock", lambda _: tell("jailssh: system: waiting for another one to be made")):
        _clear(layout)
        if exists(layout, system.name):
            raise HostError(f"system {system.name}", "is there already", hint=f"jailssh system remove {system.name}")
        new = f"{_NEW}{secrets.token_hex(8)}"
        folder = f"{layout.systems}/{new}"
        fs.ensure_dir(folder, 0o700)
        try:
            fs.ensure_dir(f"{folder}/{TREE}", 0o755)
            fill(archive, folder, wanted.tag)
            if wanted.suite:
                _personalise(f"{folder}/{TREE}", system)
            ranges.take(layout, folder)
            os.sync()
            os.rename(folder, folder_of(layout, system.name))
        except BaseException:
            with signals_wait():
                _clear(layout)
            raise


def _clear(layout: Layout) -> None:
    """Remove what an interrupted creation has left; who calls has the lock, so there is none under way."""
    top = fs.open_dir(layout.systems)
    try:
        for name in os.listdir(top):
            if name.startswith(_NEW):
                fs.remove_tree(top, name)
    except OSError as error:
        raise fs.failed("remove", layout.systems, error) from error
    finally:
        os.close(top)


def _archive(layout: Layout, wanted: Wanted, tell: Callable[[str], None], *, fresh: bool) -> str:
    """Return the archive of such a system, made where there is none yet."""
    mirror = wanted.mirror or _own_mirror()
    words = (wanted.suite, mirror, " ".join(wanted.packages()), " ".join(sorted(wanted.exclude)))
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
    path = f"{layout.cache}/{wanted.suite}-{digest}.tar"
    fs.ensure_dir(layout.cache, 0o700)
    with fs.lock(f"{layout.cache}/.lock", lambda _: tell("jailssh: system: waiting for packages that are fetched")):
        if os.path.isfile(path) and not fresh:
            return path
        if process.find_program("mmdebstrap") is None:
            raise HostError("--suite", "needs the program mmdebstrap", hint="apt-get install mmdebstrap")
        tell(f"jailssh: system: fetching {wanted.suite} from {mirror}")
        part = f"{path}.part"
        hook = "".join(f"Package: {name}\\nPin: release *\\nPin-Priority: -1\\n\\n" for name in wanted.exclude)
        hooks = [f'--setup-hook=printf "{hook}" >"$1"/etc/apt/preferences.d/jailssh'] if hook else []
        argv = ["mmdebstrap", "--quiet", "--mode=root", "--format=tar", "--variant=minbase", *hooks,
                f"--include={','.join(wanted.packages())}", wanted.suite, part, mirror]  # fmt: skip
        try:
            process.run(argv, timeout=_LONGEST)
            os.rename(part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)
    return path


def _own_mirror() -> str:
    """Return the mirror that this host's packages come from, if that is one of Debian's."""
    for path in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"):
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as stream:
                for word in stream.read().split():
                    if _MIRROR.match(word) and word.rstrip("/").endswith("/debian"):
                        return word
    raise UsageError("--suite", "no source of Debian's packages is known on this host", hint="name one with --mirror")


def fill(source: str, folder: str, tag: str) -> None:
    """Fill the tree in the directory of a new system; :class:`HostError`, :class:`UsageError`.

    The images of an archive are first unpacked beside the tree.  ``tag``: as in :func:`oci.fill`.
    """
    tree = f"{folder}/{TREE}"
    if not (os.path.isdir(source) and oci.is_layout(source)):
        _copy(source, tree)
        if not oci.is_layout(tree):
            if tag:
                raise UsageError("--tag", f"{escape(source)} holds no images")
            return
        source = f"{folder}/{_IMAGES}"
        os.rename(tree, source)
        fs.ensure_dir(tree, 0o755)
    oci.fill(source, tree, tag)
    top = fs.open_dir(folder, strict=False)
    try:
        fs.remove_tree(top, _IMAGES)
    finally:
        os.close(top)


def _copy(source: str, tree: str) -> None:
    argv = ["cp", "--archive", "--reflink=auto", "--one-file-system", f"{source}/.", tree]
    if not os.path.isdir(source):
        options = ["--extract", "--numeric-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*", "--acls"]
        argv = ["tar", *options, "--directory", tree, "--file", os.path.abspath(source)]
    # It ends with this process: nobody writes there while the next one removes what is left.
    done = process.run(["setpriv", "--pdeathsig", "KILL", "--", *argv], check=False, timeout=_LONGEST)
    if done.code != 0:
        # What comes after the first line only says that there was one.
        first = next(filter(None, done.stderr.splitlines()), f"exit status {done.code}")
        raise HostError(f"--from {escape(source)}", escape(first.removeprefix(f"{argv[0]}: "), 400))


def _personalise(tree: str, system: System) -> None:
    """Write the names of the system into a tree that was just made from packages; nobody has run anything in it."""
    etc = fs.open_dir(f"{tree}/etc")
    try:
        fs.atomic_write_at(etc, "hostname", f"{system.hostname}\n".encode())
        hosts = f"127.0.0.1\tlocalhost\n127.0.1.1\t{system.hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        fs.atomic_write_at(etc, "hosts", hosts.encode())
        fs.atomic_write_at(etc, "machine-id", f"{secrets.token_hex(16)}\n".encode(), 0o444)
    finally:
        os.close(etc)
    # Those that came with the package are the same in each copy of the archive.
    keys = [name for name in _entries(f"{tree}/etc/ssh") if _KEYS.match(name)]
    for name in keys:
        os.unlink(f"{tree}/etc/ssh/{name}")
    if keys:
        process.run(["ssh-keygen", "-A", "-f", tree], timeout=120)


def _entries(path: str) -> Sequence[str]:
    return os.listdir(path) if os.path.isdir(path) else ()


def remove(layout: Layout, name: str) -> None:
    """Remove a system that does not run, by descriptor; a mount in it is an error, and nothing of that is touched."""
    with fs.lock(f"{layout.systems}/.lock"):
        mounted = mounts_below(folder_of(layout, name))
        if mounted:
            raise HostError(f"system {name}", f"has a mount at {escape(mounted[-1])}", hint="umount it first")
        top = fs.open_dir(layout.systems)
        try:
            fs.remove_tree(top, name)
        except OSError as error:
            raise fs.failed("remove", folder_of(layout, name), error) from error
        finally:
            os.close(top)
