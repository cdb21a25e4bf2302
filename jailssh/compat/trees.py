"""jk_init, jk_cp, jk_update and jk_check: trees that Jailkit made, or that would have been made with it."""

from __future__ import annotations

import configparser
import filecmp
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jailssh.compat import call, words
from jailssh.compat.call import Failed
from jailssh.compat.options import Given
from jailssh.core.errors import EXIT_FAILED, EXIT_OK
from jailssh.core.names import JailPath, escape
from jailssh.files import beneath, fs
from jailssh.files.editor import TreeEditor
from jailssh.host import accounts

INIT = "/etc/jailkit/jk_init.ini"
CHECK = "/etc/jailkit/jk_check.ini"
UPDATE = "/etc/jailkit/jk_update.ini"
_DIRECTORIES = ("/bin", "/lib", "/usr", "/opt")
_SEPARATOR = "/./"
_REPLACE = "replace"
_MOST_TOLD = 20


def jk_init(given: Given) -> int:
    """Build the sections into the jail."""
    ini = given.value("c") or (INIT if os.path.exists(INIT) else "")
    if given.value("c") and not os.path.exists(ini):
        raise Failed(3, f"configfile {ini} does not exist")
    more = ["--jk-init", ini] if ini else []
    if given.has("l"):
        return _list(ini, more)
    jail, sections = given.jail_and_rest()
    if not jail or not sections:
        raise Failed(2, "need at least a jail directory and a section")
    argv = ["build", *more, *(f"section:{name}" for name in sections), jail, "--allow-missing"]
    return _change("jk_init", given, argv, jail)


def _list(ini: str, more: Sequence[str]) -> int:
    """Print the sections with Jailkit's words."""
    found = call.facts("jk_init", ["build", *more, "--list-sections"], "", rows=True)["rows"]
    print(f"\n** Available sections in {ini or 'jailssh'} **\n")
    for row in sorted(found, key=lambda row: str(row["name"])):
        print(f"{row['name']} - {row['comment']}" if row["comment"] else row["name"])
    print()
    return EXIT_OK


def jk_cp(given: Given) -> int:
    """Copy files with what they need into the jail."""
    jail, files = given.jail_and_rest()
    if not jail or not files:
        raise Failed(2, "need at least a jail directory and a file to copy")
    if not os.path.isdir(jail):
        raise Failed(3, f"{jail} is not a directory")
    if missing := [path for path in files if path.startswith("/") and not os.path.lexists(path)]:
        raise Failed(4, f"{missing[0]} does not exist")
    keep = (["--owner"] if given.has("o") else []) + (["--setuid"] if given.has("s") else [])
    return _change("jk_cp", given, ["cp", jail, *files, *keep], jail)


def _change(name: str, given: Given, argv: Sequence[str], jail: str) -> int:
    """Change a tree and print Jailkit's words; without -f nothing that is there is replaced."""
    argv = [*argv, *_how(given)]
    if not given.has("f") and os.path.isdir(jail):
        would = call.facts(name, [*argv, "--dry-run"], jail, quietly=True)
        there = [row["path"] for row in would["changes"] if row["action"] == _REPLACE]
        if there:
            shown = ", ".join(there[:_MOST_TOLD]) + (
                f" and {len(there) - _MOST_TOLD} more" if there[_MOST_TOLD:] else ""
            )
            raise Failed(EXIT_FAILED, f"these differ from the host and would be replaced: {shown}; nothing was changed;"
                         f" repeat it with -f")  # fmt: skip
    done = call.facts(name, argv, jail)
    for row in done["changes"]:
        print(words.of_change(row, jail))
    return EXIT_OK


def _how(given: Given) -> list[str]:
    return (["--reflink"] if given.has("k") else []) + (["--verbose"] if given.has("v") else [])


@dataclass
class _Drift:
    """Paths in a jail: files that differ from the host's, and what the host has no more, deepest first."""

    outdated: list[str] = field(default_factory=list)
    deprecated: list[tuple[str, bool]] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def jk_update(given: Given) -> int:
    """Bring files that differ from the host's up to date, and remove root's that the host has no more."""
    jail, section = given.value("j"), given.value("c")
    if jail and section:
        raise Failed(21, "cannot specify both a jail and a configsection")
    skips, directories = given.values("s"), list(given.rest)
    if section:
        jail = section
        more, folders = _of_section(section)
        skips, directories = [*skips, *more], [*directories, *folders]
    if not jail:
        raise Failed(1, "must at least specify a jail or a configsection")
    jail = os.path.abspath(jail)
    drift = _Drift()
    root = fs.open_dir(jail)
    try:
        for folder in directories or _DIRECTORIES:
            inside = "/" + folder.removeprefix(jail).strip("/")
            if directories and not _is_dir(root, inside):
                raise Failed(1, f"{folder} is no directory of the jail; nothing was changed")
            _look(root, inside, {*_skips(skips, jail)}, drift)
        for path in drift.skipped:
            print(f"skip {jail}{path}")
        if given.has("d"):
            for path in drift.outdated:
                print(f"will update outdated file {jail}{path}")
            for path, is_dir in drift.deprecated:
                print(f"will remove deprecated {'directory' if is_dir else 'file'} {jail}{path}")
            return EXIT_OK
        return _update(given, jail, root, drift)
    finally:
        os.close(root)


def _is_dir(root: int, inside: str) -> bool:
    try:
        os.close(beneath.open_beneath(root, inside))
    except OSError:
        return False
    return True


def _of_section(section: str) -> tuple[list[str], list[str]]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(UPDATE)
    except configparser.Error as error:
        raise Failed(1, f"{UPDATE}: {escape(str(error).splitlines()[0], 200)}") from error
    if not parser.has_section(section):
        raise Failed(1, f"configfile {UPDATE} does not have a section called {section}")
    lists = [parser.get(section, key, fallback="").split(",") for key in ("skips", "directories")]
    skips, directories = ([part.strip() for part in each if part.strip()] for each in lists)
    return skips, directories


def _skips(skips: Sequence[str], jail: str) -> Iterator[str]:
    """Yield what is left out, as paths in the jail; it was given as one of the host or of the jail."""
    for each in skips:
        path = "/" + each.strip("/")
        yield path.removeprefix(jail) if path.startswith(f"{jail}/") else path


def _look(root: int, folder: str, skips: set[str], drift: _Drift) -> None:
    """Compare a directory of the jail with the host's, entering no link and no other mount."""
    if folder in skips:
        drift.skipped.append(folder)
        return
    try:
        fd = beneath.open_beneath(root, folder)
    except OSError:
        return  # a link, as /bin on most hosts, a mount, or not there
    try:
        for name in sorted(os.listdir(fd)):
            path = f"{folder}/{name}"
            if path in skips:
                drift.skipped.append(path)
                continue
            _entry(root, fd, path, skips, drift)
    finally:
        os.close(fd)


def _entry(root: int, fd: int, path: str, skips: set[str], drift: _Drift) -> None:
    info = os.stat(os.path.basename(path), dir_fd=fd, follow_symlinks=False)
    there = os.lstat(path) if os.path.lexists(path) else None
    is_dir = stat.S_ISDIR(info.st_mode)
    if is_dir:
        _look(root, path, skips, drift)
    if there is None:
        if info.st_uid != 0:
            drift.foreign.append(path)
        else:
            drift.deprecated.append((path, is_dir))
    elif stat.S_ISREG(info.st_mode) and not _is_same(fd, path, info):
        (drift.outdated if info.st_uid == 0 else drift.foreign).append(path)


def _is_same(fd: int, path: str, info: os.stat_result) -> bool:
    """True if a file of the jail has what the host's has; a link of the host's is followed there."""
    if not os.path.isfile(path):
        return True
    if os.stat(path).st_size != info.st_size:
        return False
    ours = os.open(os.path.basename(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    try:
        return filecmp.cmp(path, f"/proc/self/fd/{ours}", shallow=False)
    finally:
        os.close(ours)


def _update(given: Given, jail: str, root: int, drift: _Drift) -> int:
    for path in drift.outdated:
        print(f"removing outdated file {jail}{path}")
    if drift.outdated:
        argv = ["cp", jail, *drift.outdated, *_how(given)]
        for row in call.facts("jk_update", argv, jail)["changes"]:
            print(words.of_change(row, jail))
    kept = _remove(jail, root, drift)
    told = [f"jk_update: not root's, so it stays: {escape(path)}" for path in drift.foreign[:_MOST_TOLD]]
    told += [f"ERROR: jk_update: cannot remove: {escape(path)}" for path in kept]
    words.tell(told, jail)
    return EXIT_FAILED if kept else EXIT_OK


def _remove(jail: str, root: int, drift: _Drift) -> list[str]:
    """Remove what the host has no more; return what could not be, such as a directory that is not empty."""
    editor = TreeEditor(root, owned=True)
    kept = []
    try:
        # What is in a directory comes before it.
        for path, is_dir in drift.deprecated:
            try:
                gone = editor.remove(JailPath(path))
            except OSError:
                kept.append(path)
                continue
            if gone:
                print(f"removing deprecated {'directory' if is_dir else 'file'} {jail}{path}")
            elif not is_dir:
                kept.append(path)
    finally:
        editor.close()
    return kept


def jk_check(given: Given) -> int:
    """Look at the directories that are named, else at every one that jk_check would: of its file, and of homes."""
    jails = [os.path.abspath(jail) for jail in given.rest]
    if not jails:
        jails = list(dict.fromkeys([*_sections_of(given.value("c") or CHECK), *_jails_of_homes()]))
    code = EXIT_OK
    for jail in jails:
        if os.path.isdir(jail):
            code = max(code, call.verb("jk_check", ["check", "--dir", jail], jail))
        else:
            words.tell([f"jk_check: cannot check files in {jail}/, it does not exist"])
            code = max(code, EXIT_FAILED if given.rest else EXIT_OK)
    return code


def _sections_of(file: str) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        read = parser.read(file)
    except configparser.Error as error:
        raise Failed(1, f"{file}: {escape(str(error).splitlines()[0], 200)}") from error
    if not read:
        words.tell([f"WARNING: {file} does not exist, only checking jails found in /etc/passwd"])
    if any(parser.options(section) for section in parser.sections()):
        words.tell([f"jk_check: what {file} leaves out is looked at; to leave it out: jailssh config import {file}"])
    return [name.rstrip("/") or "/" for name in parser.sections()]


def _jails_of_homes() -> Iterator[str]:
    for row in accounts.local_homes():
        jail, mark, _ = row.partition(_SEPARATOR)
        if mark and jail:
            yield jail
