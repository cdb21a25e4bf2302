"""The second half of ``--verify``: what starts, does it work?  Each language that the tree has is tried from inside.

What it is tried with stands in :mod:`jailssh.tree.trials`.  The room (:mod:`jailssh.host.sandbox`) has a ``/tmp`` of
its own then, a loopback interface, and a web server with a certificate that is made for this and shown over the tree's.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from jailssh.closure.manifest import EntryMap
from jailssh.core.names import JailPath, escape
from jailssh.host import https
from jailssh.host.sandbox import Room
from jailssh.tree.trials import HTTPS, TRIALS, Trial

_SECONDS = 20
_BIN = ("/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/games")
_CERTIFICATES = "/etc/ssl/certs"
_ENVIRONMENT = {
    "PATH": ":".join(_BIN), "LC_ALL": "C.UTF-8", "HOME": "/tmp", "TERM": "xterm", "LANG": "C.UTF-8",  # noqa: S108
    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip
_PROGRAM = re.compile("|".join(f"(?:{one.program})" for one in TRIALS))


@dataclass
class Report:
    """``works`` and ``failures`` by program, in words; ``notes``: what could not be tried."""

    works: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tree:
    """What is asked about the tree: where a path leads as a process in it finds it, and what is at its end."""

    entries: EntryMap
    end_of: Callable[[JailPath], tuple[JailPath, os.stat_result] | None]


def try_languages(room: Room, tree: Tree) -> Report:
    """Try every language that is found in the tree; nothing else is started in the room at the same time."""
    report = Report()
    programs = list(_programs(tree))
    if not programs:
        return report
    room.furnish()
    server = https.listen() if _is_folder(tree, _CERTIFICATES) else None
    if server:
        room.show(_CERTIFICATES, server.certificates)
    for path, real in programs:
        _try(room, tree, path, real, server, report)
    return report


def _programs(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield by which path programs of the table are started, each once, and where they are."""
    seen: set[tuple[str, ...]] = set()
    for entry in tree.entries:
        folder, name = os.path.split(entry.path)
        if folder not in _BIN or not _PROGRAM.fullmatch(name):
            continue
        end = tree.end_of(entry.path)
        if end is None or not stat.S_ISREG(end[1].st_mode) or end[1].st_mode & 0o005 != 0o005:
            continue
        names = tuple(one.name for one in _trials_of(name))
        if (end[0], *names) not in seen:
            seen.add((end[0], *names))
            yield entry.path, end[0]


def _trials_of(name: str) -> list[Trial]:
    return [one for one in TRIALS if re.fullmatch(one.program, name)]


def _try(room: Room, tree: Tree, path: str, real: str, server: https.Trial | None, report: Report) -> None:
    done: list[str] = []
    prefix = os.path.dirname(os.path.dirname(real))
    for trial in _trials_of(os.path.basename(path)):
        if trial.if_there and not any(_is_there(tree, one.replace("{prefix}", prefix)) for one in trial.if_there):
            continue
        if trial.kind == HTTPS and server is None:
            report.notes.append(f"{escape(path)}: https was not tried: the tree has no {_CERTIFICATES}")
            continue
        why, timed_out = _run(room, trial, path, server)
        if timed_out:
            report.notes.append(f"{escape(path)}: {trial.kind}: it was not done within {_SECONDS} s")
        elif why:
            what = "starts but does not work" if done else "does not work"
            report.failures.append(f"{escape(path)} {what}: {trial.kind}: {why}")
            return
        else:
            done.append(trial.kind)
    if done:
        report.works.append(f"{escape(path)} works: {', '.join(done)}")


def _run(room: Room, trial: Trial, path: str, server: https.Trial | None) -> tuple[str, bool]:
    """Return why a trial failed, "" if it did not; and if its time was up."""
    url = server.url if server else ""
    host = url.removeprefix("https://").rstrip("/")
    values = (("{program}", path), ("{url}", url), ("{host}", host))
    room.clean()
    for name, text in trial.files:
        room.put(name, text.encode())
    said = ""
    for number, step in enumerate(trial.steps, 1):
        argv = [_filled(word, values) for word in step]
        beside = server.serve if server and trial.kind == HTTPS else None
        ended = room.run(argv, _SECONDS, both=True, environment=_ENVIRONMENT, beside=beside)
        said = ended.said
        if ended.error:
            return f"it cannot be executed: {os.strerror(ended.error).lower()}", False
        if ended.code is None:
            return "", True
        if ended.code and not (trial.fails and number == len(trial.steps)):
            return _words(said) or f"it ended with status {ended.code}", False
    if not re.search(trial.says, said, re.MULTILINE):
        return f"it said {_words(said) or 'nothing'}", False
    return "", False


def _filled(word: str, values: tuple[tuple[str, str], ...]) -> str:
    for name, value in values:
        word = word.replace(name, value)
    return word


def _words(said: str) -> str:
    """Return what is most telling of what a program has said: an error's last line, most often."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if re.search(r"(?i)error|cannot|could not|unable|not found|no such|fail", line)]
    return escape((wrong or lines or [""])[-1], 300)


def _is_folder(tree: Tree, path: str) -> bool:
    end = tree.end_of(JailPath(path))
    return end is not None and end[0] == path and stat.S_ISDIR(end[1].st_mode)


def _is_there(tree: Tree, pattern: str) -> bool:
    if "*" not in pattern:
        return tree.end_of(JailPath(pattern)) is not None
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), path) for path in tree.entries.paths())
