"""After a build: does everything in the tree find what it needs, and does it start, seen from inside?

Each program is given to its own loader (``ld.so --list``, which maps libraries and runs nothing of the program), and
if that finds all, started with ``--version``, both in a closed room (:mod:`jailssh.host.sandbox`).  Only not starting
counts: execve(2) that fails, a loader that gives up, a deadly signal.  What a program says is thrown away and its
status means nothing: many know no ``--version``, and busybox ends with 127 for want of an applet of that name.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
from dataclasses import dataclass, field

from jailssh.closure.elf import MAGIC, Elf, read_elf
from jailssh.closure.errors import ImageError
from jailssh.closure.manifest import DEVICES, WITH_CONTENT, EntryMap
from jailssh.core.errors import HostError
from jailssh.core.names import HostPath, JailPath, directory_of, escape
from jailssh.files.editor import TreeEditor
from jailssh.host import sandbox
from jailssh.host.process import SYSTEM_PATH
from jailssh.tree.target import Target
from jailssh.tree.working import Tree, try_languages

_START_SECONDS = 5
# What the loaders of glibc and musl say, of a program that they list and of one that they start.
_MISSING = ("not found", "cannot open shared object", "Error loading shared library", "Error relocating")
_GIVES_UP = re.compile(
    r"error while loading shared libraries|symbol lookup error|relocation error|Inconsistency detected by ld\.so|"
    r"FATAL: kernel too old|Error loading shared library|Error relocating|version `[^']*' not found|"
    r"cannot open shared object|must be installed for"
)
_LOADER_STATUS = 127
_DEADLY = {
    128 + number: number.name for number in (signal.SIGILL, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS)
}
# Of abort(3) and of GLib: a program ends itself so, for want of a bus or a terminal, or for want of a library.
_OWN_END = (128 + signal.SIGABRT, 128 + signal.SIGTRAP)
_HEAD = 256  # As much of a script as the kernel reads (BINPRM_BUF_SIZE).
_MAX_LINKS = 40
# Scripts elsewhere may be samples or parts of something larger.
_PROGRAM_DIRS = ("bin", "sbin", "games")
_SET_ID = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True)
class Verified:
    """``failures``: what does not start, or not work, with the reason; none is good.

    ``notes``  what could not do or be all.  ``works``: which languages were tried and work.
    """

    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    works: list[str] = field(default_factory=list)


def verify(target: Target) -> Verified:
    """Return what does not start in the finished tree.

    Raises :class:`HostError` where there is no sandbox to be had: only root can make one here.
    """
    if os.geteuid() != 0:
        raise HostError("--verify", "only root can enter the tree")
    entries = target.entries()
    if entries is None:
        raise HostError(f"target {target.path}", "there is no manifest of a build beside it")
    with target.root(target.path) as root:
        flags = os.fstatvfs(root).f_flag
        if flags & os.ST_NOEXEC:
            why = "it lies on a file system that is mounted noexec, so no program of it can be started there"
            return Verified(
                [f"does not start: {escape(target.path)}: {why}; mount -o remount,exec, or take another place"]
            )
        editor = TreeEditor(root, owned=True)
        try:
            failures, notes, works = sandbox.inside(
                target.path, root, lambda room: _Verifier(room, editor).run(entries)
            )
        finally:
            editor.close()
    return Verified(failures, [*_without_effect(target.path, flags, entries), *notes], works)


def _without_effect(tree: HostPath, flags: int, entries: EntryMap) -> list[str]:
    """Return what the mount that the tree lies on takes the effect from."""
    kinds = (
        (os.ST_NOSUID, "nosuid", "set-id bits", [one.path for one in entries if one.mode & _SET_ID and one.size]),
        (os.ST_NODEV, "nodev", "devices", [one.path for one in entries if one.kind in DEVICES]),
    )
    notes = []
    for flag, name, what, paths in kinds:
        if flags & flag and paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            of = f"{escape(paths[0])}{more}"
            notes.append(f"{what} have no effect ({of}): {escape(tree)} lies on a file system that is mounted {name}")
    return notes


def languages_in(room: sandbox.Room, editor: TreeEditor, entries: EntryMap) -> tuple[list[str], list[str], list[str]]:
    """Return of the languages in any tree which work, which do not, and what could not be tried."""
    return _Verifier(room, editor).languages(entries)


class _Verifier:
    def __init__(self, room: sandbox.Room, editor: TreeEditor) -> None:
        self._room = room
        self._editor = editor
        self._notes: list[str] = []

    def run(self, entries: EntryMap) -> tuple[list[str], list[str], list[str]]:
        """Return the failures, the notes, and what works."""
        failures = []
        for entry in entries:
            if entry.kind in WITH_CONTENT and entry.mode & 0o111:
                failures += [f"does not start: {escape(entry.path)}: {why}" for why in self._check(entry.path)]
        if not self._room.has_proc:
            self._notes.append("no program was started, only its loader asked: this host lets no /proc be mounted")
            return failures, self._notes, []
        works, not_working, notes = self.languages(entries)
        return [*failures, *not_working], [*self._notes, *notes], works

    def languages(self, entries: EntryMap) -> tuple[list[str], list[str], list[str]]:
        """Return which languages work, which do not, and what could not be tried."""
        report = try_languages(self._room, Tree(entries, self._find))
        return report.works, report.failures, report.notes

    def _check(self, path: JailPath) -> list[str]:
        info = self._editor.look(path)
        if info is None:
            return ["it is not in the tree any more"]
        if not stat.S_ISREG(info.st_mode):
            return []  # Replaced since, by a command of the spec or by hand.
        with open(self._editor.open_file(path), "rb", buffering=0) as file:
            head = os.pread(file.fileno(), _HEAD, 0)
            if head.startswith(b"#!"):
                return self._check_script(head) if _is_in_program_dir(path) else []
            if not head.startswith(MAGIC):
                return []
            try:
                elf = read_elf(file, path)
            except ImageError as error:
                return [error.why]
            if not elf.program:
                return []
            if not self._can_get_to(path):
                self._notes.append(f"{escape(path)} was not started: its directory is closed to most accounts")
                return []
            if info.st_mode & 0o005 == 0o005:
                return self._start(path, elf)
            file.seek(0)
            with self._room.readable(path, file.fileno()):
                return self._start(path, elf)

    def _can_get_to(self, path: JailPath) -> bool:
        """True if every account may pass the directories above."""
        above = directory_of(path)
        while above != "/":
            info = self._editor.look(above)
            if info is None or not info.st_mode & stat.S_IXOTH:
                return False
            above = directory_of(above)
        return True

    def _start(self, path: JailPath, elf: Elf) -> list[str]:
        if elf.interp:
            if wrong := self._ask_loader(path, JailPath(elf.interp)):
                return [escape(line, 400) for line in wrong[:3]]
            if not self._room.has_proc:
                return []
        ended = self._room.run([path, "--version"], _START_SECONDS)
        if ended.error:
            return [_why_not(ended.error, elf)]
        if ended.code in _DEADLY:
            return [f"it is killed by {_DEADLY[ended.code]}"]
        said = next((line for line in _lines(ended.said, path) if _GIVES_UP.search(line)), "")
        if said and ended.code in (_LOADER_STATUS, *_OWN_END):
            return [f"its loader gives up: {escape(said, 400)}"]
        return []

    def _ask_loader(self, path: JailPath, interp: JailPath) -> list[str]:
        """Return what the loader does not find for a program."""
        if self._find(interp) is None:
            return [f"its loader {escape(interp)} is not in the tree"]
        ended = self._room.run([interp, "--list", path], _START_SECONDS, both=True)
        if ended.error:
            return [f"its loader {escape(interp)}: {os.strerror(ended.error).lower()}"]
        lines = _lines(ended.said, path)
        wrong = [line for line in lines if any(text in line for text in _MISSING)]
        if not wrong and ended.code:
            wrong = [next((line for line in reversed(lines) if line), f"its loader ended with status {ended.code}")]
        return wrong

    def _find(self, path: JailPath) -> tuple[JailPath, os.stat_result] | None:
        """Return what is at the end of the links from ``path``, and where, as a process in the tree finds it."""
        todo = path.split("/")[::-1]
        current, links = "", 0
        info = None
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                current = os.path.dirname(current).rstrip("/")
                continue
            step = JailPath(f"{current}/{part}")
            info = self._editor.look(step)
            if info is None:
                return None
            if not stat.S_ISLNK(info.st_mode):
                current = step
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            target = self._editor.read_link(step)
            current = "" if target.startswith("/") else current
            todo += target.split("/")[::-1]
        return None if info is None else (JailPath(current), info)

    def _check_script(self, head: bytes) -> list[str]:
        """Look for what the first line names, which the kernel reads so: blanks and tabs separate, no others."""
        line = os.fsdecode(head[2:].split(b"\n", 1)[0])
        words = re.split(r"[ \t]+", line.strip(" \t"), maxsplit=1)
        interpreter = JailPath(words[0])
        if not self._is_program(interpreter):
            return [f"its interpreter '{escape(interpreter)}' is not in the tree"]
        if os.path.basename(interpreter) != "env" or len(words) == 1:
            return []
        # env(1) takes options and settings of variables before the program.
        name = next((word for word in words[1].split() if not word.startswith("-") and "=" not in word), "")
        places = [name] if "/" in name else [f"{folder}/{name}" for folder in SYSTEM_PATH]
        if name and not any(self._is_program(place) for place in map(JailPath, places)):
            return [f"its interpreter '{escape(name)}' is not in the tree"]
        return []

    def _is_program(self, path: str) -> bool:
        found = self._find(JailPath(path)) if path.startswith("/") else None
        return found is not None and stat.S_ISREG(found[1].st_mode) and bool(found[1].st_mode & 0o111)


def _lines(said: str, path: JailPath) -> list[str]:
    return [line.strip().removeprefix(f"{path}: ") for line in said.splitlines()]


def _is_in_program_dir(path: JailPath) -> bool:
    return os.path.basename(os.path.dirname(path)) in _PROGRAM_DIRS


def _why_not(error: int, elf: Elf) -> str:
    if error == errno.ENOEXEC:
        return f"it is for another machine ({elf.abi.machine}, {elf.abi.bits} bits), or damaged"
    return f"it cannot be executed: {os.strerror(error).lower()}"
