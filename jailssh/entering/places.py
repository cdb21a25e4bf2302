"""Where the tree is that a command runs in: a directory, a jail's image, an image file, a tar."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape, is_clean_absolute
from jailssh.entering import ids
from jailssh.host.paths import Layout

_OF_PROGRAMS = ("/usr", "/bin", "/lib", "/lib64", "/sbin")


def unpacker(program: str, named: str) -> str:
    """Return what :func:`jailssh.files.untar.decompressed` takes: a path where Python cannot decompress it itself.

    :class:`HostError` about ``named`` where it is not installed.
    """
    from jailssh.files import untar  # slow to import, and for tars alone
    from jailssh.host import process

    if program in untar.KNOWN:
        return program
    found = process.find_program(program)
    if found is None:
        hint = f"apt-get install {program}"
        raise HostError(named, f"is compressed by {program}, which is not installed", hint=hint)
    return found


@dataclass(frozen=True)
class Place:
    """A tree.  ``path``: the directory or file; ``named``: what was named, for messages and the journal.

    ``jail``: the name of the one whose image it is.  ``image``: the file system of an image file.  ``unpacker``: of a
    tar, the program that decompresses it, or "".  ``memory``: where a tar is unpacked to.
    """

    _: KW_ONLY
    path: str
    named: str
    jail: str = ""
    image: str | None = None
    unpacker: str | None = None
    memory: str = ""

    def tree_with(self, overlay: str | None) -> str:
        """Return the path that the plan has: of a tar the directory that it will be unpacked to."""
        if self.unpacker is None:
            return self.path
        return self.memory if overlay is None else f"{directory(overlay, '--overlay')}/tree"

    def prepare(self, overlay: str | None) -> None:
        """Unpack what is a tar: into memory of this process, or once into the directory for what is written."""
        if self.unpacker is None:
            return
        from jailssh.files import untar  # slow to import, and for a tar alone

        program = unpacker(self.unpacker, self.named)
        if overlay is None:
            untar.in_memory(self.path, self.named, program, self.memory)
        else:
            untar.once(self.path, self.named, program, directory(overlay, "--overlay"))

    def refuse_bare(self, shown: Collection[str]) -> None:
        """Raise :class:`UsageError` for the image of a jail with ``root = live``: its programs are the host's own.

        ``shown``: where in the tree something of the host is shown; that is all right then.  A command is not shown
        the host's directories unasked: the jail hides some of what is in them.
        """
        bare = [top for top in _OF_PROGRAMS if _is_empty(self.path + top) and top not in shown]
        if self.jail and bare:
            why = f"has root = live: {' and '.join(bare)} of its image {'is' if len(bare) == 1 else 'are'} empty"
            binds = " ".join(f"--bind {top}::ro" for top in bare)
            hint = f"add {binds} (without what the jail hides there); as its accounts see it: jailssh enter"
            raise UsageError(f"jail {self.jail}", why, hint=hint)

    def shell(self, wanted: str) -> str:
        """Return the shell of who names no command: the own one where the tree has it."""
        return wanted if os.path.lexists(self.path + wanted) else ids.SHELL


def _is_empty(path: str) -> bool:
    try:
        with os.scandir(path) as found:
            return not any(found)
    except OSError:
        return False  # a link into /usr, or not there at all


def look(text: str, layout: Layout) -> Place:
    """Return the place that TREE names; :class:`UsageError`, :class:`HostError`."""
    image = f"{layout.images}/{text}/current"
    if text and "/" not in text and not os.path.exists(text) and os.path.isdir(image):
        path = directory(image)
        return Place(path=path, named=path, jail=text)
    if not text or not os.path.lexists(text) or os.path.isdir(text):
        path = directory(text)
        return Place(path=path, named=path)
    return _of_file(text, layout)


def _of_file(text: str, layout: Layout) -> Place:
    from jailssh.entering.kinds import kind_of  # for files alone

    path, named = os.path.realpath(text), f"tree {escape(text)}"
    if not is_clean_absolute(path):
        raise UsageError(named, "is no plain path")
    kind, unpacker = kind_of(path, named)
    if not ids.is_root():
        what = f"an image ({kind})" if kind else "a tar"
        raise HostError(named, f"is {what}, which only root may run in", hint="unpack it, and name the directory")
    if kind is not None:
        return Place(path=path, named=path, image=kind)
    return Place(path=path, named=path, unpacker=unpacker, memory=f"{layout.run}/unpacked")


def directory(text: str, what: str = "tree") -> str:
    """Return the path of a directory that is one already and not the root; :class:`UsageError`, which says ``what``."""
    if not text:  # an unset variable of a script, which would be the directory that this runs in
        raise UsageError(f"{what} ''", "is no directory")
    path = os.path.realpath(text)
    if path == "/":
        raise UsageError(f"{what} /", "is the host's own root")
    if not os.path.isdir(path):
        raise UsageError(f"{what} {escape(text)}", "is no directory")
    if not is_clean_absolute(path):
        raise UsageError(f"{what} {escape(text)}", "is no plain path")
    return path
