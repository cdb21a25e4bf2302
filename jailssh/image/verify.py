"""After a build: does everything in the tree find what it needs to start, seen from inside?

Each program is given to its own loader (``ld.so --list``, which maps libraries and runs nothing of the program), in
namespaces of its own without network, as an account without rights that cannot gain any; the host is out of reach.
"""

from __future__ import annotations

import os
import stat

from jailssh.core.errors import HostError
from jailssh.core.names import escape
from jailssh.host import process
from jailssh.host.editor import TreeEditor
from jailssh.image.elf import MAGIC, read_elf
from jailssh.image.errors import ImageError
from jailssh.image.manifest import Entry
from jailssh.image.target import Target

_SECONDS = 20
_NOBODY = "65534"
_MISSING = ("not found", "cannot open shared object", "Error loading shared library", "Error relocating")
_SANDBOX = ("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")
_NO_RIGHTS = ("setpriv", "--no-new-privs", "--bounding-set=-all,+setuid,+setgid,+sys_chroot", "--inh-caps=-all")
_HEAD = 256
# Scripts elsewhere may be samples or parts of something larger.
_PROGRAM_DIRS = ("bin", "sbin", "games")


def verify(target: Target) -> list[str]:
    """Return what does not start in the finished tree, with the reason; an empty list is good.

    Raises :class:`HostError` where there is no sandbox to be had: only root can make one here.
    """
    if os.geteuid() != 0:
        raise HostError("--verify", "only root can enter the tree")
    known = target.manifest()
    if known is None:
        raise HostError(f"target {target.path}", "there is no manifest of a build beside it")
    entries = {entry.path: entry for entry in known[0].entries}
    failures = []
    with target.root(target.path) as root:
        editor = TreeEditor(root, owned=True)
        try:
            for entry in entries.values():
                if entry.kind == "file" and entry.mode & 0o111:
                    failures += _check(editor, target.path, entry, entries)
        finally:
            editor.close()
    return failures


def _check(editor: TreeEditor, tree: str, entry: Entry, entries: dict[str, Entry]) -> list[str]:
    try:
        fd = editor.open_file(entry.path)
    except OSError as error:
        return [f"{escape(entry.path)}: {(error.strerror or str(error)).lower()}"]
    with open(fd, "rb", buffering=0) as file:
        head = os.pread(fd, _HEAD, 0)
        if head.startswith(b"#!"):
            is_program = os.path.basename(os.path.dirname(entry.path)) in _PROGRAM_DIRS
            return _check_script(entry, head, entries) if is_program else []
        if not head.startswith(MAGIC):
            return []
        try:
            elf = read_elf(file, entry.path)
        except ImageError as error:
            return [str(error)]
    if not elf.interp:
        return []
    enter = ("chroot", f"--userspec={_NOBODY}:{_NOBODY}", "--groups=", tree)
    argv = [*_SANDBOX, *_NO_RIGHTS, *enter, elf.interp, "--list", entry.path]
    done = process.run(argv, timeout=_SECONDS, check=False)
    said = f"{done.stdout}\n{done.stderr}"
    wrong = [line.strip() for line in said.splitlines() if any(text in line for text in _MISSING)]
    if not wrong and done.code:
        wrong = [process.last_line(done.stderr) or f"its loader ended with status {done.code}"]
    return [f"{escape(entry.path)}: {escape(line, 400)}" for line in wrong[:3]]


def _check_script(entry: Entry, head: bytes, entries: dict[str, Entry]) -> list[str]:
    words = os.fsdecode(head[2:].split(b"\n", 1)[0]).split()
    path = words[0] if words else ""
    for _ in range(40):
        path, link = _step(path, entries)
        if link is None:
            break
        path = link
    found = entries.get(path)
    if found and found.kind in ("file", "hard") and (found.kind == "hard" or found.mode & stat.S_IXOTH):
        return []
    return [f"{escape(entry.path)}: its interpreter {escape(words[0] if words else '')!r} is not in the tree"]


def _step(path: str, entries: dict[str, Entry]) -> tuple[str, str | None]:
    """Return the path, and where it leads if some part of it is a link of the tree."""
    parts = path.split("/")
    for end in range(2, len(parts) + 1):
        entry = entries.get("/".join(parts[:end]))
        if entry and entry.kind == "link":
            above = "/".join(parts[: end - 1])
            whole = os.path.join(above or "/", entry.target, *parts[end:])
            return path, "/" + os.path.normpath(whole).lstrip("/")
    return path, None
