"""After a build: does everything in the tree find what it needs, and does it start, seen from inside?

Each program is given to its own loader (``ld.so --list``, which maps libraries and runs nothing of the program), and
if that finds all, started with ``--version``.  Both happen in namespaces of their own without network and without
other processes, in a read-only view of the tree, as an account without rights that cannot gain any; the host is out
of reach.  What a program says is thrown away and its status, unless it is one of those that say that it did not
start, means nothing: many know no ``--version``.
"""

from __future__ import annotations

import os
import signal
import stat

from jailssh.closure.elf import MAGIC, read_elf
from jailssh.closure.errors import ImageError
from jailssh.closure.manifest import Entry
from jailssh.core.errors import HostError
from jailssh.core.names import escape
from jailssh.files.editor import TreeEditor
from jailssh.host import process
from jailssh.tree.target import Target

_SECONDS = 20
_NOBODY = "65534"
_MISSING = ("not found", "cannot open shared object", "Error loading shared library", "Error relocating")
_NAMESPACES = ("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")
# A mount of the tree alone: what is mounted below it stays out, and its devices lead nowhere.
_VIEW = 'mount --bind "$1" "$1" && mount -o remount,bind,ro,nosuid,nodev "$1" || exit 125; cd /; ulimit -c 0; shift; '
_RUN = _VIEW + '"$@"'
_RUN_QUIETLY = _VIEW + '"$@" >/dev/null 2>&1'
_NO_RIGHTS = ("setpriv", "--no-new-privs", "--bounding-set=-all,+setuid,+setgid,+sys_chroot", "--inh-caps=-all")
_START_SECONDS = 5
# Of chroot(1), a shell and the loaders of glibc and musl.
_NOT_STARTED = {126: "it cannot be executed", 127: "its loader gives up, or it is not there"}
_DEADLY = {128 + number: number for number in (signal.SIGILL, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV)}
_DEADLY |= {128 + number: number for number in (signal.SIGTRAP, signal.SIGSYS, signal.SIGABRT)}
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
    process.run([*_NAMESPACES, "sh", "-c", _RUN, "sh", target.path, "true"], timeout=_SECONDS)
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
            return _check_script(entry, head, entries) if _is_program(entry) else []
        if not head.startswith(MAGIC):
            return []
        try:
            elf = read_elf(file, entry.path)
        except ImageError as error:
            return [str(error)]
    if elf.interp and (wrong := _ask_loader(tree, elf.interp, entry.path)):
        return [f"{escape(entry.path)}: {escape(line, 400)}" for line in wrong[:3]]
    # Without a loader it may be a library, which can be executed and then has nothing to run.
    if elf.interp or (elf.loadable and _is_program(entry)):
        return [f"{escape(entry.path)}: {why}" for why in _start(tree, entry.path)]
    return []


def _is_program(entry: Entry) -> bool:
    return os.path.basename(os.path.dirname(entry.path)) in _PROGRAM_DIRS


def _ask_loader(tree: str, interp: str, path: str) -> list[str]:
    """Return what the loader does not find for a program."""
    done = _inside(_RUN, tree, interp, "--list", path)
    said = f"{done.stdout}\n{done.stderr}"
    wrong = [line.strip() for line in said.splitlines() if any(text in line for text in _MISSING)]
    if not wrong and done.code:
        wrong = [process.last_line(done.stderr) or f"its loader ended with status {done.code}"]
    return wrong


def _start(tree: str, path: str) -> list[str]:
    """Start a program and return why it did not start; one that still runs when the time is up has started."""
    done = _inside(_RUN_QUIETLY, tree, path, "--version")
    if done.code in _DEADLY:
        return [f"it is killed by {signal.Signals(_DEADLY[done.code]).name}"]
    return [_NOT_STARTED[done.code]] if done.code in _NOT_STARTED else []


def _inside(script: str, tree: str, *command: str) -> process.Completed:
    """Run a command in the tree."""
    limit = ("timeout", "--signal=KILL", str(_START_SECONDS))
    enter = ("chroot", f"--userspec={_NOBODY}:{_NOBODY}", "--groups=", tree)
    argv = [*_NAMESPACES, "sh", "-c", script, "sh", tree, *limit, *_NO_RIGHTS, *enter, *command]
    return process.run(argv, timeout=_SECONDS, check=False)


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
